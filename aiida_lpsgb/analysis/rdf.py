r"""Partial radial distribution functions and coordination numbers.

.. math:: g_{ab}(r) = \left\langle \frac{V\, n_{ab}(r)}{N_a (N_b-\delta_{ab})\, \Delta V(r)} \right\rangle

with :math:`n_{ab}` the ordered pairs in the shell of volume :math:`\Delta V`. The volume is that of each frame, so a
run at constant pressure is normalised as it should be. Every pair counts once for each of its images, so the cut-off
may exceed half the cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from aiida_lpsgb.analysis._pairs import histogram
from aiida_lpsgb.analysis.estimates import finite
from aiida_lpsgb.analysis.observables import (
    COUNT,
    PAIRS,
    POSITIVE,
    REGION,
    Context,
    Observable,
    Outcome,
    Row,
    parameters_of,
)
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.trajectory import Trajectory

_BLOCKS = 10


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) and coordination number of one pair of species.

    Attributes
    ----------
    pair
        Centre and partner.
    r_A
        Middles of the shells, Å, shape ``(n_bins,)``.
    g, g_error
        Distribution and its standard error over blocks of frames (NaN for a single frame).
    coordination
        Mean number of partners within the outer edge of each shell.
    edges_A
        Edges of the shells, shape ``(n_bins + 1,)``.
    """

    pair: tuple[str, str]
    r_A: np.ndarray
    g: np.ndarray
    g_error: np.ndarray
    coordination: np.ndarray
    edges_A: np.ndarray

    def first_peak_A(self, smallest: float = 1.0, smooth_A: float = 0.05) -> float:
        """Position of the first maximum above ``smallest``, Å; NaN if there is none.

        The curve is smoothed by a Gaussian of standard deviation ``smooth_A`` for the search, a maximum must stand
        out by a twentieth of its height, and its place is that of a parabola through the top three points of the
        smoothed curve.
        """
        width = self.r_A[1] - self.r_A[0]
        curve = gaussian_filter1d(self.g, smooth_A / width) if smooth_A else self.g
        tops, properties = find_peaks(curve, height=smallest, prominence=0.0)
        standing = tops[properties["prominences"] >= 0.05 * properties["peak_heights"]]
        if not len(standing):
            return float("nan")
        left, middle, right = curve[standing[0] - 1 : standing[0] + 2]
        bend = left - 2 * middle + right
        return float(self.r_A[standing[0]] + (0.5 * (left - right) / bend if bend < 0 else 0.0) * width)

    def coordination_at(self, distance_A: float) -> float:
        """Mean number of partners within a distance."""
        return float(np.interp(distance_A, self.edges_A, np.concatenate([[0.0], self.coordination])))


def radial_distributions(
    trajectory: Trajectory,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    cutoff_A: float = 10.0,
    bin_A: float = 0.02,
    every: int = 1,
    region: Region | None = None,
    workers: int | None = 1,
) -> dict[tuple[str, str], RadialDistribution]:
    """Radial distributions of pairs of species, averaged over frames.

    Parameters
    ----------
    trajectory
        The run.
    pairs
        Centre and partner; all pairs if None.
    cutoff_A
        Longest distance, Å.
    bin_A
        Width of a shell, Å.
    every
        Take one frame in so many.
    region
        Take centres in this region only; partners may be anywhere. The partners' density is still that of the whole
        cell.
    workers
        Cores; None for all.

    Raises
    ------
    ValueError
        If a species is not there, or the cut-off or the shells make no sense.
    """
    species = trajectory.species
    pairs = list(combinations_with_replacement(species, 2)) if pairs is None else [tuple(p) for p in pairs]
    if unknown := sorted({s for p in pairs for s in p} - set(species)):
        raise ValueError(f"no {', '.join(unknown)} in this trajectory; it has {', '.join(species)}")
    if not 0 < bin_A < cutoff_A or every < 1:
        raise ValueError(f"needed: 0 < bin_A < cutoff_A and every ≥ 1, found {bin_A}, {cutoff_A} and {every}")
    n_bins = round(cutoff_A / bin_A)
    edges = np.linspace(0, cutoff_A, n_bins + 1)
    counter = _Counter(trajectory, species, cutoff_A, n_bins, region)
    frames = np.arange(0, trajectory.n_frames, every)
    blocks = np.array_split(np.arange(len(frames)), min(_BLOCKS, len(frames)))
    partial = [np.zeros((2, len(species), len(species), n_bins)) for _ in blocks]
    centres = np.zeros(len(species))
    owner = np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])
    for row, (counts, volume, present) in enumerate(map_frames(counter, frames.tolist(), workers)):
        partial[owner[row]] += np.stack([counts * volume, counts])
        centres += present
    number = np.array([len(trajectory.indices(s)) for s in species], float)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    sizes = np.array([len(b) for b in blocks])
    return {
        pair: _distribution(pair, species, partial, sizes, centres / len(frames), number, shells, edges)
        for pair in pairs
    }


class _Counter:
    """Ordered pairs of one frame: ``(n_species, n_species, n_bins)``, its volume, and centres present by species."""

    def __init__(self, trajectory: Trajectory, species: list[str], cutoff_A: float, n_bins: int, region: Region | None):
        self._trajectory, self._cutoff, self._n_bins, self._region = trajectory, cutoff_A, n_bins, region
        self._n = len(species)
        self._types = np.array([species.index(s) for s in trajectory.symbols], np.int32)

    def __call__(self, index: int) -> tuple[np.ndarray, float, np.ndarray]:
        scaled = self._trajectory.scaled(None, index, index + 1)[0]
        cell = self._trajectory.cells[index]
        types, n = self._types, self._n
        if self._region is not None:
            # Atoms of the region are types of their own; which of a pair is the centre then follows from the types.
            inside = self._region.contains(scaled, cell)
            types = (types + n * ~inside).astype(np.int32)
        kinds = n if self._region is None else 2 * n
        counts = histogram(scaled, types, cell, self._trajectory.pbc, kinds, self._cutoff, self._n_bins)
        # A pair of unlike types stands once, under (smaller, larger); a pair of like types is two ordered pairs.
        ordered = counts + counts.transpose(1, 0, 2)
        if self._region is not None:
            ordered = ordered[:n, :n] + ordered[:n, n:]
        present = np.bincount(types, minlength=kinds)[:n]
        return ordered, abs(float(np.linalg.det(cell))), present


def _distribution(pair, species, partial, sizes, centres, number, shells, edges) -> RadialDistribution:
    a, b = species.index(pair[0]), species.index(pair[1])
    partners = number[b] - (a == b)
    weighted = np.array([p[0, a, b] for p in partial])
    plain = np.array([p[1, a, b] for p in partial])
    with np.errstate(invalid="ignore", divide="ignore"):
        g_blocks = weighted / (sizes[:, None] * centres[a] * partners * shells)
        coordination = np.cumsum(plain.sum(axis=0)) / (sizes.sum() * centres[a])
    g = np.average(g_blocks, axis=0, weights=sizes)
    error = g_blocks.std(axis=0, ddof=1) / np.sqrt(len(sizes)) if len(sizes) > 1 else np.full(len(g), np.nan)
    return RadialDistribution(pair, 0.5 * (edges[1:] + edges[:-1]), g, error, coordination, edges)


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Arrays ``r_A``, ``edges_A`` and, by pair, ``g_Li_S``, ``g_error_Li_S``, ``coordination_Li_S``; first peaks."""
    arguments = {**options, "region": context.region(options["region"])}
    if options["pairs"] is not None:
        arguments["pairs"] = [tuple(pair.split("-")) for pair in options["pairs"]]
    found = radial_distributions(trajectory, **arguments, workers=context.threads)
    arrays: dict[str, np.ndarray] = {}
    for (a, b), result in found.items():
        arrays |= {"r_A": result.r_A, "edges_A": result.edges_A, f"g_{a}_{b}": result.g}
        arrays |= {f"g_error_{a}_{b}": result.g_error, f"coordination_{a}_{b}": result.coordination}
    return Outcome({"first_peaks_A": {f"{a}-{b}": finite(r.first_peak_A()) for (a, b), r in found.items()}}, arrays)


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for the first peak of each pair."""
    peaks = headline["first_peaks_A"].items()
    return [Row(f"first peak {pair} (Å)", peak, form=".2f", reference=("first_peaks_A", pair)) for pair, peak in peaks]


OBSERVABLE = Observable(
    name="rdf",
    order=10,
    summary="Partial radial distribution functions and coordination numbers.",
    parameters=parameters_of(
        radial_distributions, pairs=PAIRS, cutoff_A=POSITIVE, bin_A=POSITIVE, every=COUNT, region=REGION
    ),
    compute=observe,
    headline=("first_peaks_A",),
    rows=rows,
    captions={"": "Partial radial distribution functions."},
)
