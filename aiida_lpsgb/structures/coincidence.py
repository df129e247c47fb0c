"""Coincidence of two planar lattices: the common cell of two grains, and what strain it costs each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

__all__ = [
    "Match",
    "NoCoincidence",
    "Twist",
    "integer_row_basis",
    "match",
    "no_coincidence",
    "reduced_basis",
    "strain_tensor",
    "twists",
]

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


def reduced_basis(basis: np.ndarray) -> np.ndarray:
    """Shortest basis of a planar lattice (rows), shape (2, 2)."""
    a, b = basis
    while True:
        if a @ a > b @ b + 1e-9:
            a, b = b, a
        shorter = b - round(float(a @ b / (a @ a))) * a
        # Where the projection is half of a, rounding could add and take away a for ever: only go on while it helps.
        if shorter @ shorter > b @ b - 1e-9:
            return np.array([a, b])
        b = shorter


def integer_row_basis(rows: np.ndarray) -> np.ndarray:
    """Basis, shape (2, 2), of the planar lattice that integer vectors span, shape (n, 2) of rank 2."""
    remaining = [row.copy() for row in np.asarray(rows)]
    basis = []
    for column in range(2):
        while sum(row[column] != 0 for row in remaining) > 1:
            pivot = min((row for row in remaining if row[column]), key=lambda row: abs(row[column]))
            for row in remaining:
                if row is not pivot:
                    row -= row[column] // pivot[column] * pivot
        pivot = next(row for row in remaining if row[column])
        basis.append(pivot)
        remaining = [row for row in remaining if row is not pivot]
    return np.array(basis)


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


def no_coincidence(pairs: Sequence[tuple[np.ndarray, np.ndarray]], max_strain: float, max_area: float) -> NoCoincidence:
    """Describe the failure of :func:`match`, naming the cell that comes nearest.

    Parameters
    ----------
    pairs : sequence of two numpy.ndarray, shape (2, 2)
        The lattices of every orientation that was tried.
    max_strain, max_area : float
        As given to :func:`match`.

    Returns
    -------
    NoCoincidence
        To be raised.
    """
    limit = max(LOOK_FURTHER, 6 * max_strain)
    nearest = min(
        (found for pair in pairs if (found := _nearest(*pair, max_strain, limit, max_area)) is not None),
        key=lambda m: m.max_strain,
        default=None,
    )
    detail = (
        f"none has less than {limit:.1%} strain"
        if nearest is None
        else f"the nearest has {nearest.max_strain:.2%} strain and {nearest.area:.0f} Å²"
    )
    return NoCoincidence(
        f"no coincidence with at most {max_strain:.2%} strain of each grain and {max_area:.0f} Å²: {detail}"
    )


def _nearest(first: np.ndarray, second: np.ndarray, max_strain: float, limit: float, max_area: float) -> Match | None:
    """The cell of least strain that :func:`match` would find if it were allowed that strain."""
    wider = max_strain
    while wider < limit:
        wider = min(2 * wider, limit)
        # Cells of less strain than was allowed are turned away from the orientation that was asked for.
        found = [m for m in _candidates(first, second, wider, max_area) if m.max_strain > max_strain]
        for item in sorted(found, key=lambda m: m.max_strain):
            if _candidates(first, second, item.max_strain * (1 + 1e-9), max_area):
                return item
    return None


@dataclass(frozen=True)
class Twist:
    """A common cell of a planar lattice and the same lattice turned.

    Attributes
    ----------
    turn_deg : float
        Counter-clockwise rotation of the second lattice that fits best, in degrees within (−180, 180].
    angle_deg : float
        The smallest of the turns that are equivalent to it, as a magnitude.
    match : Match
        The common cell; the second lattice's vectors refer to its turned basis.
    """

    turn_deg: float
    angle_deg: float
    match: Match


def twists(
    basis: np.ndarray,
    max_strain: float,
    max_area: float,
    *,
    equivalent_deg: Sequence[float] = (0.0,),
    accept: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[Twist]:
    """Find the common cells of a planar lattice with itself, turned.

    Every sublattice up to the area is laid on every other of its shape (Zur and McGill, J. Appl. Phys. 55, 378 (1984)).

    Parameters
    ----------
    basis : numpy.ndarray, shape (2, 2)
        Lattice vectors as rows, in Å.
    max_strain : float
        Largest principal strain of either lattice, each taking half of the mismatch.
    max_area : float
        Largest area of the common cell, in Å².
    equivalent_deg : sequence of float
        Turns that leave the crystal as it is.
    accept : callable, optional
        Takes angles in degrees, shape (n,), and says which are wanted; by default those above 1°.

    Yields
    ------
    Twist
        The smallest area first (but for what strain makes of it). Angles that differ by less than strains within the
        limit turn a lattice count as one orientation; each cell of it has less strain than all smaller ones, up to
        twice the smallest area.
    """
    same = math.degrees(2 * max_strain)
    accept = accept or (lambda angles: angles > max(1.0, same))
    kept: list[tuple[float, float, float]] = []  # angle, area, strain
    for part in _parts_by_index(int(max_area * (1 + 1e-6) / abs(np.linalg.det(basis)))):
        first = _reduced(part, basis)
        second = _reduced(_sublattices(*_index_range(part, max_strain)), basis)
        first, second, turns, areas, strains = _of_one_shape(first, second, basis, max_strain)
        turns = np.concatenate([turns, turns - 180.0])
        folded = np.abs((turns[:, None] + np.asarray(equivalent_deg) + 180.0) % 360.0 - 180.0).min(axis=1)
        areas, strains = np.tile(areas, 2), np.tile(strains, 2)
        wanted = np.flatnonzero(accept(folded))
        for k in wanted[np.lexsort((np.abs(turns[wanted]), np.round(strains[wanted], 6), np.round(areas[wanted], 2)))]:
            alike = [(area, strain) for angle, area, strain in kept if abs(angle - folded[k]) <= same]
            if any(strain <= strains[k] + 1e-5 or areas[k] > 2 * area for area, strain in alike):
                continue
            kept.append((float(folded[k]), float(areas[k]), float(strains[k])))
            half, sign = k % len(first), 1 if k < len(first) else -1
            turned = basis @ _turn(turns[k])
            found = _as_match(basis, turned, first[half], sign * second[half])
            yield Twist(180.0 - (180.0 - float(turns[k])) % 360.0, float(folded[k]), found)


def _turn(degrees: float) -> np.ndarray:
    """Matrix that turns row vectors counter-clockwise."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, s], [-s, c]])


def _parts_by_index(largest: int, size: int = 5000) -> Iterator[np.ndarray]:
    """Yield the sublattices in the order of their index, some thousand at a time."""
    start = 1
    while start <= largest:
        stop, count = start, 0
        while stop <= largest and (count == 0 or count + 2 * stop < size):
            count += 2 * stop  # an upper estimate of the number of sublattices of this index
            stop += 1
        yield _sublattices(start, stop)
        start = stop


def _sublattices(start: int, stop: int) -> np.ndarray:
    """Sublattices of index `start` ≤ n < `stop` by their Hermite forms, shape (k, 2, 2)."""
    found = []
    for n in range(start, stop):
        for p in (p for p in range(1, n + 1) if n % p == 0):
            rows = np.zeros((n // p, 2, 2), dtype=int)
            rows[:, 0, 0], rows[:, 0, 1], rows[:, 1, 1] = p, np.arange(n // p), n // p
            found.append(rows)
    return np.concatenate(found)


def _index_range(part: np.ndarray, max_strain: float) -> tuple[int, int]:
    """Indices of sublattices whose area may be strained to that of some others."""
    indices = np.abs(_det(part))
    lowest, highest = indices.min() * (1 - 4.1 * max_strain), indices.max() * (1 + 4.5 * max_strain)
    return max(1, math.floor(lowest)), math.ceil(highest) + 1


def _reduced(numbers: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Gauss-reduce sublattices given by integers, shape (k, 2, 2): the shorter vector first, right-handed."""
    numbers = numbers.copy()
    for _ in range(100):
        vectors = numbers @ basis
        lengths = np.einsum("kij,kij->ki", vectors, vectors)
        swap = lengths[:, 0] > lengths[:, 1] * (1 + 1e-9)
        numbers[swap] = numbers[swap][:, ::-1]
        vectors = numbers @ basis
        a, b = vectors[:, 0], vectors[:, 1]
        times = np.round(np.einsum("ki,ki->k", a, b) / np.einsum("ki,ki->k", a, a) - 1e-9).astype(int)
        if not (swap.any() or times.any()):
            break
        numbers[:, 1] -= times[:, None] * numbers[:, 0]
    numbers[_det(numbers @ basis) < 0, 1] *= -1
    return numbers


#: Right-handed bases that a nearly square or hexagonal cell has beside its reduced one (a, b).
ALTERNATIVES = np.array(
    [
        *([[1, 0], [0, 1]], [[1, 0], [1, 1]], [[1, 0], [-1, 1]], [[0, 1], [-1, 0]], [[0, 1], [-1, -1]]),
        *([[0, 1], [-1, 1]], [[1, 1], [0, 1]], [[1, 1], [-1, 0]], [[-1, 1], [-1, 0]], [[-1, 1], [0, -1]]),
    ]
)


def _of_one_shape(
    first: np.ndarray, second: np.ndarray, basis: np.ndarray, max_strain: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of sublattices of one shape: their integers, turn of the second in degrees, area in Å² and strain."""
    second = (ALTERNATIVES @ second[:, None]).reshape(-1, 2, 2)
    vectors = second @ basis
    lengths = np.linalg.norm(vectors, axis=2)
    cosines = np.einsum("ki,ki->k", vectors[:, 0], vectors[:, 1]) / lengths.prod(axis=1)
    likely = (lengths[:, 0] <= lengths[:, 1] * (1 + 5 * max_strain)) & (np.abs(cosines) <= 0.5 + 5 * max_strain)
    second = second[likely]
    trees = [cKDTree(_shape(numbers @ basis)) for numbers in (first, second)]
    # The angle between two vectors changes by at most twice the strain; each lattice takes half of the mismatch.
    pairs = trees[0].sparse_distance_matrix(trees[1], 2.2 * max_strain + 1e-9, p=np.inf, output_type="ndarray")
    first, second = first[pairs["i"]], second[pairs["j"]]
    own, other = first @ basis, second @ basis
    maps = np.linalg.solve(other, own)
    turns = np.arctan2(maps[:, 0, 1] - maps[:, 1, 0], maps[:, 0, 0] + maps[:, 1, 1])
    c, s = np.cos(turns), np.sin(turns)
    other = other @ np.stack([np.stack([c, s], axis=1), np.stack([-s, c], axis=1)], axis=1)
    common = (own + other) / 2
    strains = np.maximum(_stretch(own, common), _stretch(other, common))
    fits = strains <= max_strain + 1e-9
    return first[fits], second[fits], np.degrees(turns[fits]), np.abs(_det(common[fits])), strains[fits]


def _shape(vectors: np.ndarray) -> np.ndarray:
    """Lengths and angle of pairs of vectors, on scales on which a strain counts alike."""
    lengths = np.linalg.norm(vectors, axis=2)
    angles = np.arctan2(_det(vectors), np.einsum("ki,ki->k", vectors[:, 0], vectors[:, 1]))
    return np.column_stack([np.log(lengths), angles / 2])


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
    """Take short vectors, order them right-handed, and share the mismatch."""
    cell = (n_a @ first + n_b @ second) / 2
    if abs(cell[0] @ cell[1]) > (0.5 + 1e-6) * min(cell[0] @ cell[0], cell[1] @ cell[1]):
        shorter = np.round(reduced_basis(cell) @ np.linalg.inv(cell)).astype(int)
        n_a, n_b = shorter @ n_a, shorter @ n_b
    if np.linalg.det(n_a @ first) < 0:
        n_a, n_b = n_a[::-1], n_b[::-1]
    vectors_a, vectors_b = n_a @ first, n_b @ second
    cell = (vectors_a + vectors_b) / 2
    deformations = tuple(np.linalg.solve(vectors, cell).T for vectors in (vectors_a, vectors_b))
    return Match(n_a.astype(int), n_b.astype(int), cell, deformations)
