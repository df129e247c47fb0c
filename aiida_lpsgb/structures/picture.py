"""Pictures of bicrystals and interfaces: projections with molecules, grains and regions told apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from scipy.spatial import ConvexHull, QhullError

from aiida_lpsgb.structures.units import Unit, as_pairs, bond_cutoffs, find_units

__all__ = ["draw", "save"]

GRAIN_COLOURS = ("#4c78a8", "#f2a541", "#9a9a9a")
POINTS_PER_ANGSTROM = 5.0


def draw(
    atoms: Atoms,
    *,
    views: Sequence[str] = ("x", "y"),
    regions: Sequence[Mapping[str, float]] | None = None,
    cutoffs: Mapping[tuple[str, str] | str, float] | None = None,
    depth: float | None = None,
    title: str = "",
) -> Figure:
    """Draw a structure along one or more Cartesian axes, its normal (z) to the right.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; ``arrays["grain"]``, if there, colours the molecules.
    views : sequence of {"x", "y"}
        Directions to look along, a panel for each.
    regions : sequence of mapping, optional
        ``centre_A`` and ``thickness_A`` of what is shaded; those of ``info["grain_boundary"]`` or
        ``info["interface"]`` by default.
    cutoffs : mapping of pair to float, optional
        Bonds, as for :func:`aiida_lpsgb.structures.units.find_units`.
    depth : float, optional
        Show only atoms within this of the front, in Å; all by default.
    title : str
        Heading.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a view: molecules as filled outlines with their bonds, single ions as discs.

    Raises
    ------
    ValueError
        If a view is neither x nor y.
    """
    if regions is None:
        known: dict[str, Any] = atoms.info.get("grain_boundary") or atoms.info.get("interface") or {}
        regions = known.get("regions", [])
    unknown = [view for view in views if view not in ("x", "y")]
    if unknown or not views:
        raise ValueError(f"views must be 'x' or 'y', not {list(views)}")
    extents = [_lateral_extent(atoms, _lateral(view)) for view in views]
    height = atoms.cell.array[2, 2]
    scale = 11.0 / max(height, 1.0)
    figure, axes = plt.subplots(
        len(views),
        1,
        figsize=(12.0, 1.2 + sum(max(1.2, scale * extent) + 0.5 for extent in extents)),
        gridspec_kw={"height_ratios": [max(1.2, scale * extent) for extent in extents]},
        squeeze=False,
        layout="constrained",
    )
    for axis, view in zip(axes[:, 0], views, strict=True):
        _panel(axis, atoms, view, regions, cutoffs, depth)
    axes[-1, 0].set_xlabel("z (Å)")
    figure.suptitle(title)
    _legend(figure, atoms)
    return figure


def save(figure: Figure, path: str | PathLike) -> None:
    """Write a figure to a file and close it."""
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def _lateral(view: str) -> int:
    return 1 if view == "x" else 0


def _lateral_extent(atoms: Atoms, lateral: int) -> float:
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ atoms.cell.array[:2]
    return float(np.ptp(corners[:, lateral]))


def _panel(
    axis: Axes,
    atoms: Atoms,
    view: str,
    regions: Sequence[Mapping[str, float]],
    cutoffs: Mapping[tuple[str, str] | str, float] | None,
    depth: float | None,
) -> None:
    """Draw one projection."""
    lateral, along = _lateral(view), "xy".index(view)
    height = atoms.cell.array[2, 2]
    wrapped = atoms.copy()
    wrapped.wrap()
    grains = wrapped.arrays.get("grain", np.full(len(wrapped), 3))
    front = wrapped.positions[:, along].max()
    lengths = bond_cutoffs(atoms.get_chemical_symbols()) if cutoffs is None else as_pairs(cutoffs)
    outlines: dict[int, list[np.ndarray]] = {}
    bonds, discs = [], []
    for unit in find_units(wrapped, cutoffs, allow_infinite=True):
        if depth is not None and unit.centre[along] < front - depth:
            continue
        flat = unit.positions[:, [2, lateral]]
        if len(flat) == 1:
            discs.append((unit.centre[along], flat[0], unit.symbols[0]))
            continue
        bonded = _bonded(unit, lengths)
        grain = int(grains[unit.indices[0]])
        outlines.setdefault(grain, []).extend(_outline(flat[corners]) for corners in _polyhedra(unit, bonded))
        bonds += [(flat[i], flat[j]) for i, j in bonded]
        discs += [(p[along], f, s) for p, f, s in zip(unit.positions, flat, unit.symbols, strict=True)]
    for region in regions:
        for image in (-height, 0.0, height):
            centre, half = region["centre_A"] + image, region["thickness_A"] / 2
            axis.axvspan(centre - half, centre + half, color="#d62728", alpha=0.10, lw=0)
    for grain, polygons in outlines.items():
        colour = GRAIN_COLOURS[(grain - 1) % len(GRAIN_COLOURS)]
        axis.add_collection(PolyCollection(polygons, facecolor=colour, edgecolor=colour, alpha=0.35, lw=0.8))
    axis.add_collection(LineCollection(bonds, colors="#555555", lw=0.6))
    discs.sort(key=lambda disc: disc[0])
    points = np.array([disc[1] for disc in discs])
    numbers = [atomic_numbers[disc[2]] for disc in discs]
    sizes = [(POINTS_PER_ANGSTROM * covalent_radii[number]) ** 2 * 0.5 for number in numbers]
    axis.scatter(*points.T, s=sizes, c=jmol_colors[numbers], edgecolors="black", linewidths=0.3, zorder=3)
    axis.set_xlim(-2, height + 2)
    axis.set_aspect("equal")
    axis.set_ylabel(f"{'xy'[lateral]} (Å), seen along {view}")


def _bonded(unit: Unit, cutoffs: Mapping[tuple[str, str], float]) -> list[tuple[int, int]]:
    """Pairs of a unit's atoms that are bonded."""
    longest = {frozenset(pair): cutoff for pair, cutoff in cutoffs.items()}
    pairs = itertools.combinations(range(len(unit.symbols)), 2)
    reach = [(i, j, longest.get(frozenset((unit.symbols[i], unit.symbols[j])), 0.0)) for i, j in pairs]
    return [(i, j) for i, j, most in reach if np.linalg.norm(unit.positions[i] - unit.positions[j]) <= most]


def _polyhedra(unit: Unit, bonded: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Every atom of three bonds or more with its neighbours, or the whole unit if it has none."""
    around: dict[int, list[int]] = {}
    for i, j in bonded:
        around.setdefault(i, [i]).append(j)
        around.setdefault(j, [j]).append(i)
    return [atoms for atoms in around.values() if len(atoms) > 3] or [list(range(len(unit.symbols)))]


def _outline(points: np.ndarray) -> np.ndarray:
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        return points


def _legend(figure: Figure, atoms: Atoms) -> None:
    """Name the elements by their colours."""
    handles = [
        plt.Line2D([], [], marker="o", ls="", mfc=jmol_colors[atomic_numbers[s]], mec="black", label=s)
        for s in dict.fromkeys(atoms.get_chemical_symbols())
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False)
