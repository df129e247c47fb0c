"""Calcfunctions that make potentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.md_parameters import not_a_count, not_positive, unknown_keys
from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.mtp import basis

REQUIRED = ("level", "species")
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
    if message := untrained_error(given):
        raise ValueError(f"parameters: {message}")
    species = given.pop("species")
    options = {key.removesuffix("_angstrom"): value for key, value in given.items() if key != "level"}
    mtp = basis.untrained(given["level"], len(species), seed=None if seed is None else seed.value, **options)
    return PotentialData(mtp, species, trained=False)


@calcfunction
def forget(potential: PotentialData) -> PotentialData:
    """Return a potential of the same form without coefficients, to be trained from new ones.

    Parameters
    ----------
    potential : PotentialData
        With coefficients, from a training or random.
    """
    coefficients = ("radial_coefficients", "species_coefficients", "moment_coefficients")
    return PotentialData(replace(potential.mtp, **dict.fromkeys(coefficients)), potential.species)


def untrained_error(given: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters of an untrained potential, or None."""
    if message := unknown_keys(given, KEYS):
        return message
    if missing := [key for key in REQUIRED if key not in given]:
        return f"{', '.join(missing)} must be given"
    if given["level"] not in list(basis.LEVELS):
        return f"`level` is {given['level']!r}; it is an even number from {min(basis.LEVELS)} to {max(basis.LEVELS)}"
    for key in ("cutoff_angstrom", "min_distance_angstrom"):
        if key in given and (message := not_positive(key, given[key])):
            return message
    shortest, cutoff = (given.get(key) for key in ("min_distance_angstrom", "cutoff_angstrom"))
    if shortest is not None and cutoff is not None and shortest >= cutoff:
        return f"`min_distance_angstrom` ({shortest:g}) must be below `cutoff_angstrom` ({cutoff:g})"
    if "radial_basis_size" in given:
        return not_a_count("radial_basis_size", given["radial_basis_size"])
    return None
