"""Supercells: by matrix, by number of atoms, by shortest height."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell

from aiida_lpsgb.structures.validation import require_buildable, require_cell, require_ordered

__all__ = ["at_least", "heights", "supercell"]


def supercell(atoms: Atoms, matrix: Sequence[int] | Sequence[Sequence[int]]) -> Atoms:
    """Repeat a structure.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic, ordered structure.
    matrix : three integers, or 3 × 3 integers
        Repetitions, or the new cell's vectors in terms of the old ones (rows).

    Returns
    -------
    ase.Atoms
        The supercell, atoms grouped by element as they were.

    Raises
    ------
    ValueError
        If the matrix is not of integers with a positive determinant, or the structure has no cell.
    """
    require_ordered(atoms)
    require_cell(atoms)
    transformation = np.asarray(matrix, dtype=float)
    if transformation.shape == (3,):
        transformation = np.diag(transformation)
    if transformation.shape != (3, 3) or not np.allclose(transformation, np.round(transformation)):
        raise ValueError(f"supercell must be three integers or a 3 x 3 matrix of integers, not {matrix}")
    if np.linalg.det(transformation) < 0.5:
        raise ValueError(f"supercell {matrix} has no positive volume")
    require_buildable(len(atoms) * np.linalg.det(transformation))
    repeated = make_supercell(atoms, np.round(transformation).astype(int))
    return _grouped(repeated, list(dict.fromkeys(atoms.get_chemical_symbols())))


def heights(cell: np.ndarray) -> np.ndarray:
    """Distances between the opposite faces of a cell.

    Parameters
    ----------
    cell : numpy.ndarray, shape (3, 3)
        Cell vectors as rows, in Å.

    Returns
    -------
    numpy.ndarray, shape (3,)
        Heights in Å, one for each cell vector.
    """
    return 1.0 / np.linalg.norm(np.linalg.inv(np.asarray(cell, dtype=float)), axis=0)


def at_least(atoms: Atoms, n_atoms: int = 1, height: float = 0.0) -> Atoms:
    """Repeat a structure to a minimum of atoms and of height, as close to a cube as repetitions allow.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic, ordered structure.
    n_atoms : int
        Least number of atoms.
    height : float
        Least distance between opposite faces, in Å.

    Returns
    -------
    ase.Atoms
        The supercell.
    """
    require_cell(atoms)
    spans = heights(atoms.cell.array)
    require_buildable(max(n_atoms, len(atoms) * float(np.prod(height / spans))))
    repeats = np.maximum(1, np.ceil(height / spans - 1e-9)).astype(int)
    while len(atoms) * math.prod(repeats.tolist()) < n_atoms:
        repeats[np.argmin(spans * repeats)] += 1
    return supercell(atoms, repeats.tolist())


def _grouped(atoms: Atoms, elements: Sequence[str]) -> Atoms:
    """Sort the atoms by element, in the given order and otherwise as they are."""
    rank = {element: i for i, element in enumerate(elements)}
    return atoms[np.argsort([rank[symbol] for symbol in atoms.get_chemical_symbols()], kind="stable")]
