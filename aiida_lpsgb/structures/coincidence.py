"""Coincidence of two planar lattices: the common cell of two grains, and what strain it costs each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["Match", "NoCoincidence", "common_angles", "match", "no_coincidence", "strain_tensor"]

#: The search for the nearest coincidence, for the message, looks at strains up to this or six times the limit.
LOOK_FURTHER = 0.06


class NoCoincidence(ValueError):
    """No common cell within the limits."""


@dataclass(frozen=True)
class Match:
    """A common cell of two planar lattices.

    Attributes
    ----------
    first, second : numpy.ndarray of int, shape (2, 2)
        Its vectors in the basis of either lattice, as rows.
    cell : numpy.ndarray, shape (2, 2)
        Its vectors after both lattices were strained by half of the mismatch, as rows, in Å.
    deformations : tuple of two numpy.ndarray, shape (2, 2)
        The map x → F x that each lattice undergoes.
    """

    first: np.ndarray
    second: np.ndarray
    cell: np.ndarray
    deformations: tuple[np.ndarray, np.ndarray]

    @property
    def area(self) -> float:
        """Area of the common cell, in Å²."""
        return abs(float(np.linalg.det(self.cell)))

    @property
    def max_strain(self) -> float:
        """Largest principal strain of either lattice, as a magnitude."""
        return max(float(np.abs(np.linalg.eigvalsh(strain_tensor(f))).max()) for f in self.deformations)


def strain_tensor(deformation: np.ndarray) -> np.ndarray:
    """Strain of a deformation, its rotation taken off.

    Parameters
    ----------
    deformation : numpy.ndarray, shape (n, n)
        The map x → F x.

    Returns
    -------
    numpy.ndarray, shape (n, n)
        The Biot strain (FᵀF)^½ − 1.
    """
    _, stretches, axes = np.linalg.svd(deformation)
    return axes.T @ np.diag(stretches - 1.0) @ axes


def match(first: np.ndarray, second: np.ndarray, max_strain: float, max_area: float) -> list[Match]:
    """Find common cells of two planar lattices at fixed orientation.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (2, 2)
        Lattice vectors as rows, in Å, in one frame.
    max_strain : float
        Largest principal strain of either lattice, each taking half of the mismatch.
    max_area : float
        Largest area of the common cell, in Å².

    Returns
    -------
    list of Match
        From the smallest area to the least strain, each with less strain than all smaller ones, up to at most twice the
        smallest area; empty if there is none within the limits.
    """
    area = 2 * max(abs(np.linalg.det(first)), abs(np.linalg.det(second)))
    while area < max_area:
        found = _candidates(first, second, max_strain, area)
        if found:
            return _candidates(first, second, max_strain, min(2 * found[0].area, max_area))
        area *= 2
    return _candidates(first, second, max_strain, max_area)


def no_coincidence(first: np.ndarray, second: np.ndarray, max_strain: float, max_area: float) -> NoCoincidence:
    """Describe the failure of :func:`match`, naming the cell that comes nearest.

    Parameters
    ----------
    first, second, max_strain, max_area
        As given to :func:`match`.

    Returns
    -------
    NoCoincidence
        To be raised.
    """
    limit = max(LOOK_FURTHER, 6 * max_strain)
    wider = _candidates(first, second, limit, max_area)
    nearest = min(wider, key=lambda m: m.max_strain, default=None)
    detail = (
        f"none has less than {limit:.1%} strain"
        if nearest is None
        else f"the nearest has {nearest.max_strain:.2%} strain and {nearest.area:.0f} Å²"
    )
    return NoCoincidence(
        f"no coincidence with at most {max_strain:.2%} strain of each grain and {max_area:.0f} Å²: {detail}"
    )


def common_angles(
    first: np.ndarray, second: np.ndarray, max_strain: float, max_area: float
) -> list[tuple[float, float]]:
    """List the rotations of the second lattice that make a vector of each coincide.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (2, 2)
        Lattice vectors as rows, in Å.
    max_strain : float
        Half of the relative difference in length that is accepted.
    max_area : float
        Area of the common cell that is looked for, in Å²; its shorter vector is no longer than this allows.

    Returns
    -------
    list of (float, float)
        Angle in degrees within (−180, 180] and length of the coinciding vector in Å, the shortest first.
    """
    longest = math.sqrt(2 / math.sqrt(3) * max_area) * (1 + max_strain)
    _, a = _points(first, longest)
    _, b = _points(second, longest * (1 + 2 * max_strain))
    lengths_a, lengths_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    i, j = np.nonzero(np.abs(lengths_a[:, None] - lengths_b) <= 2 * max_strain * lengths_a[:, None] + 1e-6)
    angles = np.degrees(np.arctan2(a[i, 1], a[i, 0]) - np.arctan2(b[j, 1], b[j, 0]))
    angles = 180.0 - (180.0 - angles) % 360.0
    chosen: dict[int, tuple[float, float]] = {}
    for k in np.lexsort((np.abs(angles), np.round(lengths_a[i], 4))):
        chosen.setdefault(round(angles[k] * 100), (float(angles[k]), float(lengths_a[i[k]])))
    return list(chosen.values())


def _points(basis: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Lattice points other than the origin within a radius: integers and vectors."""
    inverse = np.linalg.inv(basis)
    limits = np.ceil(radius * np.linalg.norm(inverse, axis=0)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limits], indexing="ij"), axis=-1).reshape(-1, 2)
    vectors = grid @ basis
    lengths = np.linalg.norm(vectors, axis=1)
    inside = (lengths <= radius) & (lengths > 1e-9)
    return grid[inside], vectors[inside]


def _candidates(first: np.ndarray, second: np.ndarray, max_strain: float, max_area: float) -> list[Match]:
    """Common cells on the front of area against strain."""
    shortest = min(
        np.linalg.norm(_points(basis, 1.01 * np.linalg.norm(basis, axis=1).max())[1], axis=1).min()
        for basis in (first, second)
    )
    radius = max_area / shortest
    n_a, a = _points(first, radius)
    n_b, b = _points(second, radius * (1 + 2 * max_strain))
    distance, nearest = cKDTree(b).query(a)
    lengths = np.linalg.norm(a, axis=1)
    close = np.flatnonzero(distance <= 2 * max_strain * lengths + 1e-6)
    close = close[(n_a[close] @ (10**6, 1)) > 0]  # a vector and its opposite are one choice
    close = close[np.argsort(lengths[close], kind="stable")]
    # The shorter vector of a reduced cell of this area is no longer than that of the hexagonal one.
    short = close[lengths[close] <= math.sqrt(2 / math.sqrt(3) * max_area)]
    i, j = (grid.ravel() for grid in np.meshgrid(short, close, indexing="ij"))
    areas = np.abs(a[i, 0] * a[j, 1] - a[i, 1] * a[j, 0])
    smallest = min(abs(np.linalg.det(first)), abs(np.linalg.det(second)))
    fits = np.flatnonzero((areas > 0.5 * smallest) & (areas <= max_area * (1 + 1e-6)))
    i, j, areas = i[fits], j[fits], areas[fits]
    vectors_a, vectors_b = np.stack([a[i], a[j]], axis=1), np.stack([b[nearest[i]], b[nearest[j]]], axis=1)
    common = (vectors_a + vectors_b) / 2
    strains = np.maximum(_stretch(vectors_a, common), _stretch(vectors_b, common))
    strains[_det(vectors_a) * _det(vectors_b) <= 0.25 * areas**2] = np.inf
    front: list[Match] = []
    best = max_strain + 1e-9
    spread = np.einsum("kij,kij->k", common, common)  # of equal cells, the most compact
    for k in np.lexsort((np.round(spread, 3), np.round(strains, 7), np.round(areas, 2))):
        if strains[k] < best:
            front.append(_as_match(first, second, n_a[[i[k], j[k]]], n_b[nearest[[i[k], j[k]]]]))
            best = strains[k] - 1e-6
            if best <= 0:
                break
    return front


def _det(matrices: np.ndarray) -> np.ndarray:
    return matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]


def _stretch(vectors: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Largest principal strain of the maps that carry each pair of vectors to the common one, as a magnitude."""
    determinants = _det(vectors)
    determinants[np.abs(determinants) < 1e-9] = np.nan
    adjugates = np.stack(
        [
            np.stack([vectors[:, 1, 1], -vectors[:, 0, 1]], axis=1),
            np.stack([-vectors[:, 1, 0], vectors[:, 0, 0]], axis=1),
        ],
        axis=1,
    )
    maps = adjugates @ common / determinants[:, None, None]
    # Singular values of a 2 × 2 matrix are the half sum and half difference of these two lengths.
    plus = np.hypot(maps[:, 0, 0] + maps[:, 1, 1], maps[:, 0, 1] - maps[:, 1, 0])
    minus = np.hypot(maps[:, 0, 0] - maps[:, 1, 1], maps[:, 0, 1] + maps[:, 1, 0])
    stretches = np.stack([plus + minus, np.abs(plus - minus)]) / 2
    return np.nan_to_num(np.abs(stretches - 1).max(axis=0), nan=np.inf)


def _as_match(first: np.ndarray, second: np.ndarray, n_a: np.ndarray, n_b: np.ndarray) -> Match:
    """Order the vectors right-handed and share the mismatch."""
    if np.linalg.det(n_a @ first) < 0:
        n_a, n_b = n_a[::-1], n_b[::-1]
    vectors_a, vectors_b = n_a @ first, n_b @ second
    cell = (vectors_a + vectors_b) / 2
    deformations = tuple(np.linalg.solve(vectors, cell).T for vectors in (vectors_a, vectors_b))
    return Match(n_a.astype(int), n_b.astype(int), cell, deformations)
