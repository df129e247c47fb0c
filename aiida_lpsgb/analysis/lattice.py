"""Following atoms from frame to frame: one choice of lattice vectors, and positions without jumps through the boundary.

A lattice has many bases. LAMMPS exchanges one for another in the middle of a run where a tilted box leans too far
(``fix npt … tri`` and ``fix deform`` replace **b** by **b** − **a**), and scaled positions jump with it though no atom
has moved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# How far a cell may change from one frame to the next, in units of its vectors, where these were exchanged as well.
_LARGEST_STRAIN = 0.35
# An atom that moves further than this share of the cell between frames may have moved the other way.
AMBIGUOUS = 0.4


def basis_change(reference: np.ndarray, cell: np.ndarray, pbc: Sequence[bool] = (True,) * 3) -> np.ndarray:
    """Integer matrix by which the vectors of a cell become those of nearly the same lattice in another basis.

    Parameters
    ----------
    reference
        Cell vectors in rows, Å, in the basis wanted.
    cell
        Cell vectors of the same lattice, a little strained, in any basis.
    pbc
        Periodicity; vectors that are not periodic stay as they are.

    Returns
    -------
    numpy.ndarray
        ``n`` with ``n @ cell`` near to ``reference``, of determinant ±1, shape ``(3, 3)``.

    Raises
    ------
    ValueError
        If they are not two bases of one lattice.
    """
    relation = np.asarray(reference, float) @ np.linalg.inv(cell)
    change = np.rint(relation).astype(int)
    for axis in np.flatnonzero(~np.asarray(pbc, bool)):
        change[axis], change[:, axis] = 0, 0
        change[axis, axis] = 1
    if np.array_equal(change, np.eye(3)):
        return change
    strain = np.abs(relation - change).max()
    if round(abs(np.linalg.det(change))) != 1 or strain > _LARGEST_STRAIN:
        raise ValueError(
            f"the cell vectors jump from {_rows(reference)} to {_rows(cell)} Å, which are not two bases of one lattice"
        )
    return change


def _rows(cell: np.ndarray) -> str:
    return "; ".join(" ".join(f"{x:.3f}" for x in row) for row in np.asarray(cell))


class Follower:
    """Expresses frame after frame in the basis of the first, unwrapped.

    Parameters
    ----------
    pbc
        Periodicity along the three cell vectors.
    """

    def __init__(self, pbc: Sequence[bool] = (True,) * 3):
        self._pbc = np.array(pbc, bool)
        self._cell: np.ndarray | None = None
        self._scaled: np.ndarray | None = None
        self.longest_move = 0.0
        """Longest move of a wrapped atom between frames, along one vector and in units of it."""

    def __call__(self, scaled: np.ndarray, cell: np.ndarray, unwrapped: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Scaled positions ``(n_atoms, 3)`` and cell of a frame in the basis of the first.

        Parameters
        ----------
        scaled, cell
            As they are in the frame.
        unwrapped
            Whether positions are unwrapped already; else the nearest image to the frame before is taken.
        """
        if self._cell is not None:
            change = basis_change(self._cell, cell, self._pbc)
            if not np.array_equal(change, np.eye(3)):
                scaled, cell = scaled @ np.linalg.inv(change), change @ cell
        if not unwrapped:
            if self._scaled is not None:
                moved = scaled - self._scaled
                images = np.rint(moved) * self._pbc
                self.longest_move = max(self.longest_move, np.abs((moved - images)[:, self._pbc]).max(initial=0.0))
                scaled = scaled - images
            self._scaled = scaled
        self._cell = cell
        return scaled, cell
