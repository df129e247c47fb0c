"""How close two surfaces may come: contact distances of the elements, and the gap at which the first pair touches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.slab import Slab

__all__ = ["CONTACT", "FAR", "contact_table", "touch"]

#: Atoms of different grains come no closer than this share of the crystal's own distances between units.
CONTACT = 0.8
#: Distance assumed between elements that never meet within reach in the crystal, in Å.
FAR = 4.0


def contact_table(crystal: Crystal, contact: float) -> dict[tuple[str, str], float]:
    """List the contact distance of every ordered pair of elements.

    Parameters
    ----------
    crystal : Crystal
        The crystal whose own distances between units count.
    contact : float
        Share of them.

    Returns
    -------
    dict of (str, str) to float
        Distances in Å; never one at which units would bond.

    Raises
    ------
    ValueError
        If the share is not positive.
    """
    if not contact > 0:
        raise ValueError(f"contact must be a positive share of the crystal's own distances, not {contact}")
    elements = sorted(set(crystal.atoms.get_chemical_symbols()))
    table = {}
    for a, b in itertools.product(elements, repeat=2):
        own = crystal.distances.get((min(a, b), max(a, b)), FAR)
        table[a, b] = max(contact * own, min(own, 1.01 * crystal.bond_cutoffs.get((min(a, b), max(a, b)), 0.0)))
    return table


def touch(
    below: Slab, above: Slab, shift: np.ndarray, cell: np.ndarray, table: Mapping[tuple[str, str], float]
) -> tuple[float, float]:
    """Bring two surfaces into contact along the normal.

    Parameters
    ----------
    below, above : Slab
        The surfaces, heights of both counted from their cuts; at least twice the largest contact distance deep, or all
        there is, since open layers pass each other before deeper ones touch.
    shift : numpy.ndarray, shape (2,)
        In-plane displacement of what is above, in Å.
    cell : numpy.ndarray, shape (2, 2)
        Common in-plane cell as rows, in Å.
    table : mapping of pair to float
        Contact distances; see :func:`contact_table`.

    Returns
    -------
    float, float
        Gap between the cuts at which the first pair touches, in Å (at which the outermost atoms are level if they have
        gone into each other by the largest contact distance and none touches), and the crowding of
        :class:`aiida_lpsgb.structures.bicrystal.Candidate`.
    """
    reach = max(table.values())
    highest, lowest = below.positions[:, 2].max(), above.positions[:, 2].min()
    outermost = _touching_pairs(
        below.where(below.positions[:, 2] > highest - 2.0),
        above.where(above.positions[:, 2] < lowest + 2.0),
        *(shift, cell, table, reach),
    )
    # No pair with more room than the outermost ones need can touch; a hair more, for rounding.
    room = outermost[0].max(initial=highest - lowest - reach) - 1e-6
    gaps, rises, lateral, contacts = _touching_pairs(
        below.where(below.positions[:, 2] >= room - reach + lowest),
        above.where(above.positions[:, 2] <= highest + reach - room),
        *(shift, cell, table, reach),
    )
    if gaps.max(initial=-np.inf) < room:
        # They pass each other sideways wherever they meet: level is as close as surfaces come.
        return float(highest - lowest), 0.0
    gap = float(gaps.max())
    separations = np.hypot(lateral, gap - rises)
    crowding = float(((contacts / separations) ** 12).sum() / abs(np.linalg.det(cell)))
    return gap, crowding


def _touching_pairs(
    below: Slab,
    above: Slab,
    shift: np.ndarray,
    cell: np.ndarray,
    table: Mapping[tuple[str, str], float],
    reach: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gap each pair asks for, height of the lower atom above the upper, lateral and contact distance of each pair."""
    elements = sorted({first for first, _ in table})
    contacts = np.array([[table[a, b] for b in elements] for a in elements])
    planar = _with_images(above.positions[:, :2] + shift, cell, reach)
    origin = np.arange(len(planar)) % len(above.positions)
    trees = cKDTree(_wrap(below.positions[:, :2], cell)), cKDTree(planar)
    pairs = trees[0].sparse_distance_matrix(trees[1], reach, output_type="ndarray")
    i, j, lateral = pairs["i"], origin[pairs["j"]], pairs["v"]
    distances = contacts[np.searchsorted(elements, below.symbols)[i], np.searchsorted(elements, above.symbols)[j]]
    touching = lateral < distances
    i, j, lateral, distances = i[touching], j[touching], lateral[touching], distances[touching]
    rises = below.positions[i, 2] - above.positions[j, 2]
    return rises + np.sqrt(distances**2 - lateral**2), rises, lateral, distances


def _wrap(points: np.ndarray, cell: np.ndarray) -> np.ndarray:
    scaled = points @ np.linalg.inv(cell)
    return (scaled - np.floor(scaled)) @ cell


def _with_images(points: np.ndarray, cell: np.ndarray, reach: float) -> np.ndarray:
    """Points and their periodic images within reach of the cell."""
    spans = abs(np.linalg.det(cell)) / np.linalg.norm(cell[::-1], axis=1)
    counts = np.ceil(reach / spans).astype(int)
    images = np.array(list(itertools.product(*[range(-n, n + 1) for n in counts]))) @ cell
    return (_wrap(points, cell)[None] + images[:, None]).reshape(-1, 2)
