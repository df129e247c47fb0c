"""Pairs of atoms within a distance, in any periodic cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree


def heights(cell: np.ndarray) -> np.ndarray:
    """Distances between opposite faces of a cell, Å, shape ``(3,)``."""
    cell = np.asarray(cell, float)
    return np.abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)


def pairs_within(
    scaled: np.ndarray, cell: np.ndarray, pbc: Sequence[bool], cutoff_A: float
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of atoms once for each image within a cut-off; an atom and its own images are no pair.

    Parameters
    ----------
    scaled
        Scaled positions, wrapped or not, shape ``(n_atoms, 3)``.
    cell
        Cell vectors in rows, Å.
    pbc
        Periodicity along the cell vectors.
    cutoff_A
        Longest distance, Å; any length, also beyond the cell.

    Returns
    -------
    pairs : numpy.ndarray
        Indices ``(n_pairs, 2)``.
    distances : numpy.ndarray
        Å, ``(n_pairs,)``.
    """
    if cutoff_A <= 0:
        raise ValueError(f"cutoff_A must be positive, found {cutoff_A}")
    cell = np.asarray(cell, float)
    owners, points = with_images(scaled, cell, pbc, cutoff_A)
    n_atoms = len(scaled)
    found = cKDTree(points[:n_atoms]).sparse_distance_matrix(cKDTree(points), cutoff_A, output_type="ndarray")
    first, second = found["i"], owners[found["j"]]
    keep = first < second
    return np.stack([first[keep], second[keep]], axis=1), found["v"][keep]


def with_images(
    scaled: np.ndarray, cell: np.ndarray, pbc: Sequence[bool], margin_A: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wrapped positions followed by the periodic images that lie within a margin of the cell.

    Returns
    -------
    owners : numpy.ndarray
        Index of the atom each point is (an image of), shape ``(n_points,)``; the atoms themselves come first.
    points : numpy.ndarray
        Å, shape ``(n_points, 3)``.
    """
    pbc = np.asarray(pbc, bool)
    scaled = np.asarray(scaled, float) - np.floor(scaled) * pbc
    reach = margin_A / heights(cell) * pbc
    owners, points = np.arange(len(scaled)), scaled
    for axis in np.flatnonzero(pbc):
        new_owners, new_points = [owners], [points]
        count = int(np.ceil(reach[axis]))
        for shift in [*range(-count, 0), *range(1, count + 1)]:
            moved = points[:, axis] + shift
            keep = (moved >= -reach[axis]) & (moved <= 1 + reach[axis])
            images = points[keep].copy()
            images[:, axis] += shift
            new_owners.append(owners[keep])
            new_points.append(images)
        owners, points = np.concatenate(new_owners), np.concatenate(new_points)
    return owners, points @ cell
