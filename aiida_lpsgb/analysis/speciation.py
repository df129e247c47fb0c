"""Polyanions from bonds: which centres are whole, and which units they are linked into."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from aiida_lpsgb.analysis.neighbours import pairs_within
from aiida_lpsgb.analysis.observables import (
    BOND_LENGTHS,
    COUNT,
    POSITIVE,
    SPECIES,
    Context,
    Observable,
    Outcome,
    Row,
    parameters_of,
)
from aiida_lpsgb.analysis.trajectory import Trajectory


@dataclass(frozen=True)
class Speciation:
    """Bond statistics over frames.

    Attributes
    ----------
    whole_fraction
        Centres with exactly the wanted number of ligands, share, by frame ``(n_frames,)``.
    intact_fraction
        Centres that still have every ligand of the first frame within the cut-off, share, by frame.
    isolated_fraction
        Whole centres that share no ligand with another centre and are not bonded to one, share of all centres, by
        frame.
    coordination
        Mean share of centres by number of ligands.
    units
        Mean number of units by formula a frame, such as ``P1S4`` → ``PS4``.
    frames
        Frames looked at.
    """

    whole_fraction: np.ndarray
    intact_fraction: np.ndarray
    isolated_fraction: np.ndarray
    coordination: dict[int, float]
    units: dict[str, float]
    frames: np.ndarray


def speciation(
    trajectory: Trajectory,
    centre: str,
    ligand: str,
    cutoff_A: float,
    coordination: int = 4,
    bonds_A: dict[str, float] | None = None,
    every: int = 1,
) -> Speciation:
    """Follow polyanions through a trajectory.

    Parameters
    ----------
    trajectory
        The run.
    centre
        Species at the centre of a polyanion, such as P.
    ligand
        Species around it, such as S.
    cutoff_A
        Longest centre–ligand bond, Å.
    coordination
        Ligands of a whole centre.
    bonds_A
        Longest centre–centre and ligand–ligand bonds, keyed ``"P-P"`` and ``"S-S"``; such bonds link units (P₂S₆, S₂)
        and are left out if not given.
    every
        Look at one frame in so many.

    Raises
    ------
    ValueError
        If a cut-off is not positive, or a species or bond is not of this trajectory.
    """
    _check_cutoffs(cutoff_A, bonds_A, centre, ligand)
    if every < 1:
        raise ValueError(f"every must be 1 or more, found {every}")
    centres, ligands = trajectory.indices(centre), trajectory.indices(ligand)
    atoms = np.concatenate([centres, ligands])
    kinds = np.r_[np.zeros(len(centres), int), np.ones(len(ligands), int)]
    frames = np.arange(0, trajectory.n_frames, every)
    whole, intact, isolated = (np.empty(len(frames)) for _ in range(3))
    counts, units, first_bonds = Counter(), Counter(), None
    for row, index in enumerate(frames):
        scaled = trajectory.scaled(None, index, index + 1, indices=atoms)[0]
        bonds = _bonds(scaled, trajectory.cells[index], trajectory.pbc, kinds, cutoff_A, bonds_A, (centre, ligand))
        mixed = bonds[kinds[bonds[:, 0]] != kinds[bonds[:, 1]]]
        mixed = np.sort(mixed, axis=1)
        number = np.bincount(mixed[:, 0], minlength=len(centres))[: len(centres)]
        whole[row] = np.mean(number == coordination)
        codes = mixed[:, 0] * len(atoms) + mixed[:, 1]
        if first_bonds is None:
            first_bonds = codes
        lost = first_bonds[~np.isin(first_bonds, codes)] // len(atoms)
        intact[row] = 1 - len(np.unique(lost)) / len(centres)
        counts.update(number.tolist())
        formulas, alone = _units(bonds, kinds, centre, ligand)
        units.update(formulas)
        isolated[row] = np.mean((number == coordination) & alone)
    total = len(centres) * len(frames)
    return Speciation(
        whole,
        intact,
        isolated,
        {int(k): v / total for k, v in sorted(counts.items())},
        {k: v / len(frames) for k, v in sorted(units.items())},
        frames,
    )


def _check_cutoffs(cutoff_A: float, bonds_A: dict[str, float] | None, centre: str, ligand: str) -> None:
    known = {f"{centre}-{centre}", f"{ligand}-{ligand}"}
    if unknown := sorted(set(bonds_A or {}) - known):
        raise ValueError(f"bonds_A names {', '.join(unknown)}; it may name {' and '.join(sorted(known))}")
    if min([cutoff_A, *(bonds_A or {}).values()]) <= 0:
        raise ValueError("bond cut-offs must be positive")


def _bonds(scaled, cell, pbc, kinds, cutoff_A, bonds_A, names) -> np.ndarray:
    longest = {(0, 1): cutoff_A}
    for kind in (0, 1):
        if (length := (bonds_A or {}).get(f"{names[kind]}-{names[kind]}")) is not None:
            longest[kind, kind] = length
    pairs, distances = pairs_within(scaled, cell, pbc, max(longest.values()))
    limit = np.zeros((2, 2))
    for (a, b), length in longest.items():
        limit[a, b] = limit[b, a] = length
    return pairs[distances <= limit[kinds[pairs[:, 0]], kinds[pairs[:, 1]]]]


def _units(bonds: np.ndarray, kinds: np.ndarray, centre: str, ligand: str) -> tuple[Counter, np.ndarray]:
    """Formulae of the connected units, and which centres are the only one of theirs."""
    n = len(kinds)
    graph = coo_matrix((np.ones(len(bonds), bool), (bonds[:, 0], bonds[:, 1])), shape=(n, n))
    count, label = connected_components(graph, directed=False)
    per_unit = np.stack([np.bincount(label[kinds == k], minlength=count) for k in (0, 1)], axis=1)
    kinds_of_unit, numbers = np.unique(per_unit, axis=0, return_counts=True)
    formulas = Counter()
    for (a, b), number in zip(kinds_of_unit, numbers, strict=True):
        formulas[_formula(centre, int(a)) + _formula(ligand, int(b))] += int(number)
    return formulas, per_unit[label[kinds == 0], 0] == 1


def _formula(symbol: str, number: int) -> str:
    return "" if number == 0 else symbol if number == 1 else f"{symbol}{number}"


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Means and minima over frames, ``shares_by_coordination`` and mean numbers of ``units`` by formula."""
    found = speciation(trajectory, **options)
    numbers: dict[str, Any] = {"n_frames": len(found.frames)}
    for name in ("whole_fraction", "intact_fraction", "isolated_fraction"):
        values = getattr(found, name)
        numbers |= {f"{name}_mean": float(values.mean()), f"{name}_min": float(values.min())}
    shares = {str(number): share for number, share in found.coordination.items()}
    return Outcome(numbers | {"shares_by_coordination": shares, "units": found.units})


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for the share of whole units."""
    return [Row("whole units", headline["whole_fraction_mean"], form=".1%", reference=("whole_fraction",))]


OBSERVABLE = Observable(
    name="speciation",
    order=20,
    summary="Polyanions: which centres are whole, and which units they are linked into.",
    parameters=parameters_of(
        speciation,
        centre=SPECIES,
        ligand=SPECIES,
        cutoff_A=POSITIVE,
        coordination=COUNT,
        bonds_A=BOND_LENGTHS,
        every=COUNT,
    ),
    compute=observe,
    headline=("whole_fraction_mean", "units"),
    rows=rows,
    captions={"": "Polyanions in the cell, mean numbers."},
)
