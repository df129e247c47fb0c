"""Every random choice has a seed node; many are derived from one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

STUDY_PARTS = ("ordering", "start_set", "potential", "exploration")


def derive_seeds(entropy: int | Sequence[int], n: int) -> list[int]:
    """`n` independent positive 31-bit seeds from one or several integers."""
    return [int(state) % (2**31 - 1) + 1 for state in np.random.SeedSequence(entropy).generate_state(n)]


@calcfunction
def split_seed(seed: orm.Int, n_replicas: orm.Int) -> dict[str, orm.Data]:
    """Seeds for every part of a study from a single one.

    Returns
    -------
    dict
        An Int each for `ordering`, `start_set`, `potential` and `exploration`, a List of one for `validation` and a
        List of `n_replicas` for `sweep`.
    """
    single, validation, sweep = np.split(
        np.array(derive_seeds(seed.value, len(STUDY_PARTS) + 1 + n_replicas.value)),
        [len(STUDY_PARTS), len(STUDY_PARTS) + 1],
    )
    return {
        **{name: orm.Int(int(value)) for name, value in zip(STUDY_PARTS, single, strict=True)},
        "validation": orm.List(validation.tolist()),
        "sweep": orm.List(sweep.tolist()),
    }
