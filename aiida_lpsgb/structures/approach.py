"""Copies in which atoms come closer than they do by themselves: what a potential knows of its short-range repulsion.

Where no configuration has two atoms at a short distance, a potential may draw them together there, and dynamics that is
long or large enough finds such a hole.
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list

__all__ = ["approach"]

#: Species farther apart than this do not meet, in Å, such as two P in their tetrahedra.
REACH = 4.5
#: Pairs at most this much longer than the shortest of their species are neighbours.
SPREAD = 1.2
#: By how much more, as a share of the shortest distance, third atoms stay away.
MARGIN = 0.1
#: How many neighbours are tried for the one that has the most room.
TRIALS = 20


def approach(atoms: Atoms, share: float, seed: int | np.random.Generator) -> Atoms:
    """Bring one pair of neighbours of every two species together, both atoms moving alike.

    Parameters
    ----------
    atoms : ase.Atoms
        An ordered structure.
    share : float
        Of the shortest distance that these species have in the structure: where the two atoms end, between 0 and 1.
    seed : int or numpy.random.Generator
        Which neighbours.

    Returns
    -------
    ase.Atoms
        A copy without calculator. An atom is moved at most once. Species that are far apart everywhere, or of which no
        pair meets before one of the two meets a third atom, are left as they are.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"atoms approach to a share of their distance between 0 and 1, not {share}")
    rng = np.random.default_rng(seed)
    first, second, vectors, distances = neighbor_list("ijDd", atoms, REACH)
    symbols = np.array(atoms.get_chemical_symbols())
    shortest = _shortest(symbols, first, second, distances)
    moved, free = atoms.copy(), np.ones(len(atoms), dtype=bool)
    for species, length in sorted(shortest.items(), key=lambda item: item[1]):
        near = (symbols[first] == species[0]) & (symbols[second] == species[1]) & (distances <= SPREAD * length)
        pairs = np.flatnonzero(near & (first != second) & free[first] & free[second])
        tried = rng.permutation(pairs)[:TRIALS]
        trials = [_together(moved, first[pair], second[pair], vectors[pair], share * length) for pair in tried]
        rooms = [
            _room(trial, first[pair], second[pair], symbols, shortest)
            for pair, trial in zip(tried, trials, strict=True)
        ]
        if max(rooms, default=0.0) >= share + MARGIN:
            best = int(np.argmax(rooms))
            moved, free[[first[tried[best]], second[tried[best]]]] = trials[best], False
    return moved


def _shortest(
    symbols: np.ndarray, first: np.ndarray, second: np.ndarray, distances: np.ndarray
) -> dict[tuple[str, str], float]:
    """Shortest distance of every two species that are within reach of each other."""
    found = {}
    for species in combinations_with_replacement(sorted(set(symbols)), 2):
        of_both = distances[(symbols[first] == species[0]) & (symbols[second] == species[1])]
        if len(of_both):
            found[species] = float(of_both.min())
    return found


def _together(atoms: Atoms, i: int, j: int, vector: np.ndarray, distance: float) -> Atoms:
    """Return a copy in which two atoms, j at a vector from i, are at a distance from each other."""
    copy = atoms.copy()
    length = np.linalg.norm(vector)
    step = (length - distance) / 2 * vector / length
    copy.positions[i] += step
    copy.positions[j] -= step
    return copy


def _room(atoms: Atoms, i: int, j: int, symbols: np.ndarray, shortest: dict[tuple[str, str], float]) -> float:
    """Return the smallest distance of two atoms from third ones, as a share of the shortest of their species."""
    _, distances = get_distances(atoms.positions[[i, j]], atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    others = np.setdiff1d(np.arange(len(atoms)), [i, j])
    lengths = np.array(
        [[shortest.get(tuple(sorted((symbols[k], symbols[other]))), REACH) for other in others] for k in (i, j)]
    )
    return float((distances[:, others] / lengths).min(initial=np.inf))
