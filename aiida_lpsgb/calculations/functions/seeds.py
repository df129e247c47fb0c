"""Every random choice has a seed node; many are derived from one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

STUDY_PARTS = ("ordering", "start_set", "potential", "exploration", "grain_boundary", "structural")


def derive_seeds(entropy: int | Sequence[int], n: int) -> list[int]:
    """`n` independent positive 31-bit seeds from one or several integers."""
    return [int(state) % (2**31 - 1) + 1 for state in np.random.SeedSequence(entropy).generate_state(n)]


@calcfunction
def split_seed(seed: orm.Int, n_replicas: orm.Int) -> dict[str, orm.Data]:
    """Seeds for every part of a study from a single one.

    Returns
    -------
    dict
        An Int each for `ordering`, `start_set`, `potential`, `exploration`, `grain_boundary` and `structural`, a List
        of one for `validation` and Lists of `n_replicas` for `sweep` and `boundary_sweep`.
    """
    n_parts, n = len(STUDY_PARTS), n_replicas.value
    seeds = derive_seeds(seed.value, n_parts + 1 + 2 * n)
    lists = {
        "validation": seeds[n_parts : n_parts + 1],
        "sweep": seeds[n_parts + 1 : n_parts + 1 + n],
        "boundary_sweep": seeds[n_parts + 1 + n :],
    }
    single = dict(zip(STUDY_PARTS, seeds, strict=False))
    return {name: orm.Int(value) for name, value in single.items()} | {
        name: orm.List(values) for name, values in lists.items()
    }
