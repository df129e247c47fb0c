"""Checks that an atomic structure is what the rest of the package takes for granted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ase import Atoms

__all__ = [
    "StructureWarning",
    "composition",
    "empty_layer",
    "require_cell",
    "require_charges",
    "require_ordered",
    "require_present",
    "total_charge",
]


class StructureWarning(UserWarning):
    """What a person should know of a structure that was read or made all the same."""


def require_ordered(structure: Any, name: str = "structure") -> None:
    """Refuse a structure some of whose sites are partially or jointly occupied.

    Parameters
    ----------
    structure : ase.Atoms, pymatgen Structure or AiiDA StructureData
        Recognised by its attributes, so that this module needs none of the three packages' nodes.
    name : str
        What the message calls the structure (an input port, say).

    Raises
    ------
    ValueError
        If any site is not occupied by exactly one whole atom.
    """
    partial = _partial_sites(structure)
    if partial:
        shown = ", ".join(partial[:4]) + (f" and {len(partial) - 4} more" if len(partial) > 4 else "")
        raise ValueError(
            f"{name} has partially occupied sites ({shown}), which no simulation can use as they are; order it first "
            "(aiida-lpsgb structure order, or the calcfunction lpsgb.order)"
        )


def require_cell(atoms: Atoms) -> None:
    """Refuse atoms without three cell vectors that span a volume: it has neither copies nor strains.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.

    Raises
    ------
    ValueError
        If there is no such cell.
    """
    if not abs(atoms.cell.volume) > 1e-6:
        raise ValueError(
            f"{atoms.get_chemical_formula()} has no cell of three vectors (a molecule, perhaps): give it one"
        )


def _partial_sites(structure: Any) -> list[str]:
    """Name the partially occupied sites or kinds of a structure."""
    if isinstance(structure, Atoms):
        occupancy = structure.info.get("occupancy") or {}
        return [
            " + ".join(f"{symbol} {share:g}" for symbol, share in shares.items())
            for shares in occupancy.values()
            if len(shares) != 1 or abs(sum(shares.values()) - 1) > 1e-3
        ]
    if hasattr(structure, "is_ordered"):
        return [site.species_string for site in structure if not site.is_ordered]
    if hasattr(structure, "kinds"):
        return [
            f"kind {kind.name}: " + " + ".join(f"{s} {w:g}" for s, w in zip(kind.symbols, kind.weights, strict=True))
            for kind in structure.kinds
            if kind.is_alloy or kind.has_vacancies
        ]
    raise TypeError(
        f"{type(structure).__name__} is not a structure: pass ase.Atoms, a pymatgen Structure or StructureData"
    )


#: Cells above this are a slip of the pen rather than a wish, in atoms.
LARGEST_CELL = 5_000_000


def require_buildable(n_atoms: float, limit: int = LARGEST_CELL) -> None:
    """Refuse to build a cell that would fill the memory.

    Parameters
    ----------
    n_atoms : float
        How many atoms it would have.
    limit : int
        How many it may have.

    Raises
    ------
    ValueError
        If these are more.
    """
    if not n_atoms <= limit:
        raise ValueError(
            f"the cell would have {n_atoms:.3g} atoms, and at most {limit} are built: ask for a smaller one"
        )


#: Layers of a crystal without an atom's centre are thinner than this, in Å; those of van der Waals solids have 3 to 4.
EMPTY_LAYER_A = 8.0


def empty_layer(cell: np.ndarray, scaled_positions: np.ndarray) -> str | None:
    """Say so if a cell has a layer without atoms that is thicker than any of a crystal.

    Parameters
    ----------
    cell : ndarray, shape (3, 3)
        Cell vectors in rows, Å.
    scaled_positions : ndarray, shape (n, 3)
        Positions in units of the cell vectors.

    Returns
    -------
    str or None
        What is empty, in a sentence; None for a crystal.
    """
    spacings = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    for axis, spacing, fractions in zip("abc", spacings, np.asarray(scaled_positions).T, strict=True):
        heights = np.sort(fractions % 1.0)
        thickest = float(np.diff(heights, append=heights[0] + 1.0).max() * spacing)
        if thickest > EMPTY_LAYER_A:
            return f"the cell is empty over {thickest:.1f} Å along {axis}, as that of a slab or a molecule"
    return None


def composition(atoms: Atoms) -> dict[str, int]:
    """Count the atoms of each element, in alphabetical order."""
    symbols, counts = np.unique(atoms.get_chemical_symbols(), return_counts=True)
    return {str(symbol): int(count) for symbol, count in zip(symbols, counts, strict=True)}


def require_charges(elements: Iterable[str], charges: Mapping[str, float]) -> None:
    """Refuse formal charges that leave out an element.

    Parameters
    ----------
    elements : iterable of str
        The elements of the structure.
    charges : mapping of str to float
        Formal charge of each element, in units of e.

    Raises
    ------
    ValueError
        If an element has no charge.
    """
    missing = sorted(set(elements) - set(charges))
    if missing:
        named = ", ".join(sorted(charges)) or "none"
        raise ValueError(f"no formal charge given for {', '.join(missing)} (charges name: {named})")


def require_present(named: Iterable[str], elements: Iterable[str], what: str) -> None:
    """Refuse what names elements that the structure does not contain.

    Parameters
    ----------
    named : iterable of str
        Elements, or pairs of them such as ``P-S``.
    elements : iterable of str
        The elements of the structure.
    what : str
        What the message calls that which names them.

    Raises
    ------
    ValueError
        If an element is not there.
    """
    there = set(elements)
    missing = sorted({element for name in named for element in name.split("-")} - there)
    if missing:
        raise ValueError(f"{what}: there is no {', '.join(missing)} in the structure of {', '.join(sorted(there))}")


def total_charge(atoms: Atoms, charges: Mapping[str, float]) -> float:
    """Sum the formal charges of a structure.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    charges : mapping of str to float
        Formal charge of each element, in units of e.

    Returns
    -------
    float
        The total charge, in units of e.

    Raises
    ------
    ValueError
        If an element has no charge.
    """
    counts = composition(atoms)
    require_charges(counts, charges)
    return float(sum(charges[symbol] * count for symbol, count in counts.items()))
