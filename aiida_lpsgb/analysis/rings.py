"""The ions of a ring: a representative of a loop that persistent homology has found."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.io import write
from ase.neighborlist import neighbor_list

if TYPE_CHECKING:
    from aiida_lpsgb.analysis.topology import Loops

LONGEST_RING = 12
"""Rings of more ions than this have size 0."""

_ROUNDING_A = 1e-4


@dataclass(frozen=True)
class Ring:
    """The shortest ring that the edge closes with which a loop is born.

    Attributes
    ----------
    ions
        Numbers of the points, in order around the ring, shape ``(n,)``.
    positions_A
        Where they are, Å, as one ring that is not cut by the boundary, shape ``(n, 3)``.
    birth_A, death_A
        Of the loop, in the scale of its filtration, Å.
    loop
        Its number among those that were found.
    """

    ions: np.ndarray
    positions_A: np.ndarray
    birth_A: float
    death_A: float
    loop: int

    @property
    def edges_A(self) -> np.ndarray:
        """Distances from each ion to the next, Å, shape ``(n,)``."""
        return np.linalg.norm(np.roll(self.positions_A, -1, axis=0) - self.positions_A, axis=1)


def rings_of(
    scaled: np.ndarray, cell: np.ndarray, loops: Loops, which: Iterable[int], pbc: Sequence[bool] = (True,) * 3
) -> list[Ring]:
    """Rings of some loops.

    The network that a loop is born in has an edge between ions that are no further apart than the closing edge: in it
    the ring is the shortest way from one end of that edge to the other that does not go around the cell.

    Parameters
    ----------
    scaled, cell, pbc
        The points that the loops are of, as `aiida_lpsgb.analysis.topology.alpha_loops` takes them.
    loops
        What it, or `rips_loops`, has found.
    which
        Numbers of the loops.

    Returns
    -------
    list of Ring
        In the order asked for; loops whose shortest ring has more than `LONGEST_RING` ions are left out.
    """
    which = [int(k) for k in which]
    if not which:
        return []
    positions = np.asarray(scaled, float) @ cell
    points = Atoms("H" * len(positions), positions=positions, cell=cell, pbc=pbc)
    reach = {k: loops.birth_A[k] * (2.0 if loops.scale == "radius" else 1.0) + _ROUNDING_A for k in which}
    network = _Network(points, max(reach.values()))
    found = []
    for k in which:
        path = network.ring(*(int(end) for end in loops.edge[k]), reach[k])
        if path is not None:
            ions = np.array([ion for ion, _ in path])
            places = positions[ions] + np.array([image for _, image in path]) @ cell
            found.append(Ring(ions, places, float(loops.birth_A[k]), float(loops.death_A[k]), k))
    return found


def to_arrays(rings: Sequence[Ring], atoms: Atoms, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Rings as arrays that can be stored, with the frame that they are in.

    Parameters
    ----------
    rings
        The rings.
    atoms
        The frame, all species.
    indices
        Which of its atoms the points are.

    Returns
    -------
    dict
        ``ring_ions`` (indices of atoms, -1 after the last, shape ``(n_rings, LONGEST_RING)``), ``ring_positions_A``
        (NaN after the last), ``ring_birth_A``, ``ring_death_A``, ``frame_numbers``, ``frame_positions_A``,
        ``frame_cell_A``.
    """
    ions = np.full((len(rings), LONGEST_RING), -1)
    places = np.full((len(rings), LONGEST_RING, 3), np.nan)
    for k, ring in enumerate(rings):
        ions[k, : len(ring.ions)] = indices[ring.ions]
        places[k, : len(ring.ions)] = ring.positions_A
    return {
        "ring_ions": ions,
        "ring_positions_A": places,
        "ring_birth_A": np.array([ring.birth_A for ring in rings]),
        "ring_death_A": np.array([ring.death_A for ring in rings]),
        "frame_numbers": atoms.numbers,
        "frame_positions_A": atoms.positions,
        "frame_cell_A": atoms.cell.array,
    }


def from_arrays(arrays: Mapping[str, np.ndarray]) -> tuple[list[Ring], Atoms]:
    """Rings, their ions numbered as the atoms of the frame, and the frame, from what `to_arrays` has made."""
    rings = []
    for k, ions in enumerate(arrays["ring_ions"]):
        n = int((ions >= 0).sum())
        places = arrays["ring_positions_A"][k, :n]
        rings.append(Ring(ions[:n], places, float(arrays["ring_birth_A"][k]), float(arrays["ring_death_A"][k]), k))
    frame = Atoms(arrays["frame_numbers"], positions=arrays["frame_positions_A"], cell=arrays["frame_cell_A"], pbc=True)
    return rings, frame


def write_rings(path: str | Path, rings: Sequence[Ring], frame: Atoms) -> None:
    """Write a frame with its rings for VESTA (``.cif``) or OVITO (``.xyz``, ``.extxyz``).

    In the ``.cif`` the ions of ring 1 are labelled such as ``Li_r1``, for VESTA to show. In extended XYZ every atom has
    the number of its ring as the property ``ring``, 0 outside of all, for OVITO to colour and select by; of an ion in
    several the first counts.

    Parameters
    ----------
    path
        The file.
    rings
        Rings whose ions are numbered as the atoms of the frame.
    frame
        All atoms.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    """
    path = Path(path)
    of_ring = np.zeros(len(frame), int)
    for number, ring in reversed(list(enumerate(rings, start=1))):
        of_ring[ring.ions] = number
    if path.suffix in (".xyz", ".extxyz"):
        told = frame.copy()
        told.set_array("ring", of_ring)
        told.info = {"rings": len(rings)}
        write(path, told, format="extxyz")
    elif path.suffix == ".cif":
        # Every atom needs a label of its own in a CIF.
        labels = [
            f"{symbol}{k}" + (f"_r{ring}" if ring else "")
            for k, (symbol, ring) in enumerate(zip(frame.get_chemical_symbols(), of_ring, strict=True), start=1)
        ]
        write(path, frame, format="cif", labels=[labels])
    else:
        raise ValueError(f"{path}: the suffix is {path.suffix!r}, expected .cif, .xyz or .extxyz")


def longest_lived(loops: Loops, number: int) -> np.ndarray:
    """Numbers of the loops that live longest, the longest first."""
    return np.argsort(-loops.lifetime_A, kind="stable")[:number]


class _Network:
    """Points and their neighbours, in a lattice without end."""

    def __init__(self, points: Atoms, reach_A: float) -> None:
        first, second, images, lengths = neighbor_list("ijSd", points, reach_A)
        order = np.argsort(first, kind="stable")
        bounds = np.searchsorted(first[order], np.arange(len(points) + 1))
        self._bounds, self._second = bounds, second[order]
        self._images, self._lengths = images[order], lengths[order]

    def _neighbours(self, ion: int, reach_A: float) -> Iterable[tuple[int, tuple[int, int, int], float]]:
        for k in range(self._bounds[ion], self._bounds[ion + 1]):
            if self._lengths[k] <= reach_A:
                yield int(self._second[k]), tuple(int(n) for n in self._images[k]), float(self._lengths[k])

    def ring(self, start: int, end: int, reach_A: float) -> list[tuple[int, tuple[int, int, int]]] | None:
        """Ions and their images along the shortest ring that the longest edge between two ions closes."""
        between = [(length, image) for ion, image, length in self._neighbours(start, reach_A) if ion == end]
        if not between:
            return None
        _, across = max(between)
        source, target = (start, (0, 0, 0)), (end, across)
        before: dict[tuple[int, tuple[int, int, int]], tuple[int, tuple[int, int, int]] | None] = {source: None}
        depth, queue = {source: 1}, deque([source])
        while queue:
            place = queue.popleft()
            if place == target:
                return _way(before, target)
            if depth[place] == LONGEST_RING:
                continue
            for ion, image, _ in self._neighbours(place[0], reach_A):
                there = (ion, tuple(a + b for a, b in zip(place[1], image, strict=True)))
                if there in before or (place == source and there == target):
                    continue
                before[there], depth[there] = place, depth[place] + 1
                queue.append(there)
        return None


def _way(before: dict, target: tuple) -> list[tuple]:
    way = [target]
    while before[way[-1]] is not None:
        way.append(before[way[-1]])
    return way[::-1]
