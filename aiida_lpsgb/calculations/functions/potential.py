"""Calcfunctions that make potentials."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.mtp import basis

KEYS = {"level", "species", "cutoff_angstrom", "min_distance_angstrom", "radial_basis_size", "radial_basis_type"}


@calcfunction
def untrained(parameters: orm.Dict, seed: orm.Int | None = None) -> PotentialData:
    """Make a moment tensor potential that is still to be trained.

    Parameters
    ----------
    parameters : Dict
        ``level`` (an even number from 2 to 28) and ``species`` (symbols, in the order the types get), and optionally
        ``cutoff_angstrom``, ``min_distance_angstrom``, ``radial_basis_size`` and ``radial_basis_type``.
    seed : Int
        Gives the potential random coefficients to start from. Without it there are none, and the training program
        draws its own.

    Returns
    -------
    PotentialData
        The potential.
    """
    given = parameters.get_dict()
    unknown = sorted(set(given) - KEYS)
    if unknown:
        raise ValueError(f"parameters: unknown keys {unknown}; there are {', '.join(sorted(KEYS))}")
    for key in ("level", "species"):
        if key not in given:
            raise ValueError(f"parameters: {key} is missing")
    species = given.pop("species")
    options = {key.removesuffix("_angstrom"): value for key, value in given.items() if key != "level"}
    mtp = basis.untrained(given["level"], len(species), seed=None if seed is None else seed.value, **options)
    return PotentialData(mtp, species, trained=False)
