"""Every random choice has a seed node, derived from one seed and the name of the choice."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.engine import calcfunction


def derive_seed(seed: int, *names: object) -> int:
    """A positive 31-bit seed for what is named, such as ``derive_seed(7, "crystal", "500 K", "replica 1")``.

    It depends on the names alone and never on what else there is, so that one more system, temperature or replica
    changes no other seed.
    """
    path = "/".join(str(name) for name in names).encode("utf-8")
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0]) % (2**31 - 1) + 1


@calcfunction
def derive_seeds(seed: orm.Int, names: orm.List) -> dict[str, orm.Int]:
    """A seed for each name.

    Parameters
    ----------
    seed
        The seed that they derive from.
    names
        What they are for, such as ``["ordering", "exploration"]``; valid link labels.

    Returns
    -------
    dict
        An Int by name.
    """
    return {name: orm.Int(derive_seed(seed.value, name)) for name in names.get_list()}
