"""Parts of grains between two cuts, filled with whole units, and the periodic cell that two of them make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from aiida_lpsgb.structures.boundary import Grain
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.validation import require_buildable

__all__ = ["Slab", "faces", "fill_slab", "planar_grid", "region_record", "stack"]


@dataclass(frozen=True)
class Slab:
    """Part of a grain between two cuts.

    Attributes
    ----------
    positions : numpy.ndarray, shape (n, 3)
        Atoms in the laboratory frame, z counted from the lower cut, in Å.
    symbols : numpy.ndarray of str, shape (n,)
        Their elements.
    thickness : float
        Distance between the cuts, in Å.
    advance : numpy.ndarray, shape (2,)
        How far the crystal at the upper cut is displaced in the plane against that at the lower one, in Å.
    """

    positions: np.ndarray
    symbols: np.ndarray
    thickness: float
    advance: np.ndarray

    def where(self, mask: np.ndarray) -> Slab:
        """Return the slab with some of its atoms only."""
        return replace(self, positions=self.positions[mask], symbols=self.symbols[mask])

    def raised(self, height: float) -> Slab:
        """Return the slab with its atoms moved along the normal, in Å."""
        return replace(self, positions=self.positions + np.array([0.0, 0.0, height]))

    def turned(self, operation: np.ndarray) -> Slab:
        """Return the slab under an orthogonal operation that keeps z, shape (3, 3)."""
        return replace(self, positions=self.positions @ operation.T, advance=operation[:2, :2] @ self.advance)


def fill_slab(crystal: Crystal, grain: Grain, cut: float, n_layers: int) -> Slab:
    """Fill the common cell with the units whose centres lie within some layers above a cut.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    grain : Grain
        Its orientation, in-plane cell and strain.
    cut : float
        Height of the lower cut, in Å.
    n_layers : int
        Thickness in lattice planes.

    Returns
    -------
    Slab
        The grain between its cuts; units are strained as rigid bodies.
    """
    plane = grain.plane
    basis = grain.basis
    lateral = grain.frame @ plane.stacking
    cell = grain.vectors @ basis
    inverse = np.linalg.inv(cell)
    n_units = abs(round(float(np.linalg.det(grain.vectors)))) * n_layers
    require_buildable(n_units * sum(len(unit.symbols) for unit in crystal.units))
    points = _representatives(grain.vectors) @ basis
    positions, symbols = [], []
    for unit in crystal.units:
        centre = grain.frame @ unit.centre
        arms = (unit.positions - unit.centre) @ grain.frame.T
        lowest = math.ceil((cut - centre[2]) / plane.spacing - 1e-9)
        layers = np.arange(lowest, lowest + n_layers)
        planar = (centre[:2] + layers[:, None] * lateral[:2])[:, None, :] + points[None]
        scaled = planar.reshape(-1, 2) @ inverse
        scaled -= np.floor(scaled + 1e-9)
        heights = np.repeat(centre[2] + layers * plane.spacing - cut, len(points))
        centres = np.column_stack([scaled @ cell @ grain.deformation.T, heights])
        positions.append((centres[:, None] + arms[None]).reshape(-1, 3))
        symbols += list(unit.symbols) * len(centres)
    advance = grain.deformation @ (n_layers * lateral[:2])
    return Slab(np.vstack(positions), np.array(symbols), n_layers * plane.spacing, advance)


def _representatives(vectors: np.ndarray) -> np.ndarray:
    """One integer point of each class modulo the rows of an integer matrix, from its Hermite form."""
    a, b = (row.astype(int).copy() for row in vectors)
    while b[0] != 0:
        a, b = b, a - (a[0] // b[0]) * b
    return np.array(list(itertools.product(range(abs(a[0])), range(abs(b[1])))))


def faces(crystal: Crystal, grain: Grain, cut: float, depth: float) -> tuple[Slab, Slab]:
    """Take the atoms near the cuts of a grain.

    Parameters
    ----------
    crystal, grain, cut
        As for :func:`fill_slab`.
    depth : float
        How far below the outermost atom of either surface, in Å.

    Returns
    -------
    Slab, Slab
        Atoms near the lower and the upper cut, as if both cuts were at height 0 in one lattice plane.
    """
    # The outermost unit's centre is within a lattice plane's distance of the cut, and its atoms stand out of it.
    arm = max((np.abs(unit.positions - unit.centre).max() for unit in crystal.units), default=0.0)
    n_layers = math.ceil((depth + 2 * arm) / grain.plane.spacing) + 1
    slab = fill_slab(crystal, grain, cut, n_layers)
    heights = slab.positions[:, 2]
    below = slab.where(heights > heights.max() - depth)
    below = replace(below, positions=below.positions - [*slab.advance, slab.thickness])
    return slab.where(heights < heights.min() + depth), below


def planar_grid(basis: np.ndarray, step: float, limit: int | None = None) -> list[np.ndarray]:
    """Points that cover a planar lattice cell.

    Parameters
    ----------
    basis : numpy.ndarray, shape (2, 2)
        Its vectors as rows, in Å.
    step : float
        Largest distance between the points along either vector, in Å.
    limit : int, optional
        Most points; the step widens to keep to it.

    Returns
    -------
    list of numpy.ndarray, shape (2,)
        The points, the origin first, in Å.

    Raises
    ------
    ValueError
        If the step is not positive, or no point is allowed.
    """
    if not step > 0 or (limit is not None and limit < 1):
        raise ValueError(f"shifts need a positive step (shift_step is {step} Å) and at least one point, not {limit}")
    counts = np.maximum(1, np.ceil(np.linalg.norm(basis, axis=1) / step)).astype(int)
    while limit is not None and counts.prod() > limit:
        counts[np.argmax(counts)] -= 1
    return [np.array([i, j]) / counts @ basis for i, j in itertools.product(range(counts[0]), range(counts[1]))]


def stack(
    lower: Slab,
    upper: Slab,
    cell: np.ndarray,
    *,
    shift: np.ndarray,
    gaps: tuple[float, float],
    elements: Sequence[str],
    offset: Sequence[float] = (0.0, 0.0),
    repeats: tuple[int, int] = (1, 1),
) -> tuple[Atoms, tuple[float, float]]:
    """Put two slabs on each other and close the cell.

    Parameters
    ----------
    lower, upper : Slab
        The slabs.
    cell : numpy.ndarray, shape (2, 2)
        Their common in-plane cell as rows, in Å.
    shift : numpy.ndarray, shape (2,)
        In-plane displacement of the upper slab, in Å.
    gaps : tuple of two float
        Space along the normal between the slabs, and above the upper one, in Å.
    elements : sequence of str
        Order in which the atoms are grouped.
    offset : two float
        In-plane part of the third cell vector, in Å.
    repeats : tuple of two int
        Repeats of the cell within the plane.

    Returns
    -------
    ase.Atoms, tuple of two float
        The periodic structure with ``arrays["grain"]`` (1 lower, 2 upper), and the heights of the middles of both gaps,
        the second at the top of the cell, in Å.
    """
    first, second = gaps
    height = lower.thickness + first + upper.thickness + second
    bottom = np.array([0.0, 0.0, second / 2])
    positions = np.vstack(
        [lower.positions + bottom, upper.positions + bottom + [*shift, lower.thickness + first]],
    )
    vectors = np.zeros((3, 3))
    vectors[:2, :2] = cell
    vectors[2] = [*offset, height]
    atoms = Atoms([*lower.symbols, *upper.symbols], positions=positions, cell=vectors, pbc=True)
    atoms.set_array("grain", np.repeat([1, 2], [len(lower.positions), len(upper.positions)]))
    atoms = atoms.repeat((*repeats, 1))
    order = np.argsort([elements.index(symbol) for symbol in atoms.get_chemical_symbols()], kind="stable")
    return atoms[order], (second / 2 + lower.thickness + first / 2, height)


def region_record(centre: float, thickness: float, height: float) -> dict[str, float]:
    """Describe where a boundary lies along the normal, its centre also as a share of the height."""
    return {
        "centre_A": round(float(centre), 6),
        "thickness_A": float(thickness),
        "centre_fraction": round(float(centre / height) % 1.0, 8),
    }
