r"""The site disorder parameter S_j of eq. (4), by bond-orientational order (Kawasaki & Onuki, J. Chem. Phys. 135,
174109 (2011)).

.. math:: S_j = \frac{1}{N_j}\sum_k [S_{jj} + S_{kk} - 2 S_{jk}], \qquad S_{jk} = \sum_m q_{lm}(j)\, q^*_{lm}(k)

The published values come from pyscal, which normalises every vector :math:`q_l`, so that :math:`S_j = 2 -
2\langle\cos\rangle`: 0 for a perfect lattice of like sites, 2 where neighbours know nothing of each other. This
module reports that *normalised* form, computed by its own kernel (`src/pairs.cpp`); pyscal3 is the oracle it is tested
against, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_lpsgb.analysis._pairs import disorder as site_disorder
from aiida_lpsgb.analysis.estimates import finite
from aiida_lpsgb.analysis.observables import (
    COUNT,
    POSITIVE,
    REGION,
    SPECIES,
    SPECIES_LIST,
    Context,
    Observable,
    Outcome,
    Row,
    parameters_of,
)
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.trajectory import Trajectory

NORMALISED = "normalised"


@dataclass(frozen=True)
class Disorder:
    """Disorder parameter of each ion in each frame looked at.

    Attributes
    ----------
    values
        S_j, shape ``(n_frames, n_ions)``; NaN for ions outside the region or without neighbours.
    frames
        Frames looked at.
    species, neighbours, cutoff_A, degree, form
        Whose parameter, species that count as neighbours (its own among them), their distance, l, and the form of the
        equation.
    """

    values: np.ndarray
    frames: np.ndarray
    species: str
    neighbours: tuple[str, ...]
    cutoff_A: float
    degree: int
    form: str = NORMALISED

    @property
    def mean(self) -> float:
        """Mean over ions and frames."""
        return float(np.nanmean(self.values))

    @property
    def error(self) -> float:
        """Standard error of the mean, over blocks of frames; NaN for a single frame."""
        by_frame = np.nanmean(self.values, axis=1)
        if len(by_frame) < 2:
            return float("nan")
        blocks = [b.mean() for b in np.array_split(by_frame, min(10, len(by_frame)))]
        return float(np.std(blocks, ddof=1) / np.sqrt(len(blocks)))

    @property
    def site_means(self) -> np.ndarray:
        """Mean over frames for each ion, shape ``(n_ions,)``; NaN for ions never seen."""
        seen = np.isfinite(self.values).any(axis=0)
        means = np.full(self.values.shape[1], np.nan)
        means[seen] = np.nanmean(self.values[:, seen], axis=0)
        return means

    def distribution(self, bins: int | Sequence[float] = 80) -> tuple[np.ndarray, np.ndarray]:
        """Probability density and edges of the bins, over ions and frames."""
        density, edges = np.histogram(self.values[np.isfinite(self.values)], bins, density=True)
        return density, edges


def disorder(
    trajectory: Trajectory,
    species: str,
    *,
    neighbours: Sequence[str] = (),
    cutoff_A: float = 5.0,
    degree: int = 6,
    every: int = 1,
    region: Region | None = None,
    workers: int | None = 1,
) -> Disorder:
    """Disorder parameter of a species' sites.

    Parameters
    ----------
    trajectory
        The run.
    species
        Whose parameter.
    neighbours
        Species that count as neighbours beside ions of the same kind: Li with P within 5 Å gives the published bimodal
        distribution of the crystal.
    cutoff_A
        Distance of a neighbour, Å.
    degree
        l of the spherical harmonics, 2 to 12.
    every
        Take one frame in so many.
    region
        Take only ions in this region; neighbours may be anywhere.
    workers
        Threads; None for all cores.
    """
    if cutoff_A <= 0 or every < 1 or not 2 <= degree <= 12:
        raise ValueError(f"needed: cutoff_A > 0, every ≥ 1, 2 ≤ degree ≤ 12; found {cutoff_A}, {every}, {degree}")
    kinds = sorted({species, *neighbours})
    frames = np.arange(0, trajectory.n_frames, every)
    own = trajectory.indices(species)
    indices = trajectory.indices(kinds)
    wanted = np.searchsorted(indices, own)

    def of_frame(index: int) -> np.ndarray:
        scaled = trajectory.scaled(None, index, index + 1, indices=indices)[0]
        return site_disorder(scaled, trajectory.cells[index], trajectory.pbc, cutoff_A, degree)[wanted]

    values = np.array(list(map_frames(of_frame, frames.tolist(), workers)))
    if region is not None:
        for row, i in enumerate(frames):
            inside = region.contains(trajectory.scaled(None, i, i + 1, indices=own)[0], trajectory.cells[i])
            values[row, ~inside] = np.nan
        if np.isnan(values).all():
            raise ValueError(f"no {species} with neighbours is ever in the region")
    return Disorder(values, frames, species, tuple(kinds), cutoff_A, degree)


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Arrays ``distribution``, ``edges`` and ``site_means`` (NaN for ions never in the region); the mean."""
    arguments = {**options, "region": context.region(options["region"])}
    found = disorder(trajectory, **arguments, workers=context.threads)
    distribution, edges = found.distribution()
    return Outcome(
        {
            "mean": found.mean,
            "mean_uncertainty": finite(found.error),
            "form": found.form,
            "neighbour_species": list(found.neighbours),
            "n_frames": len(found.frames),
        },
        {"distribution": distribution, "edges": edges, "site_means": found.site_means},
    )


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for the mean."""
    values = headline["mean"], headline["mean_uncertainty"]
    return [Row("mean site disorder, normalised", *values, form=".3f", reference=("mean_disorder",))]


OBSERVABLE = Observable(
    name="disorder",
    order=40,
    summary="Site disorder parameter of a species.",
    parameters=parameters_of(
        disorder,
        species=SPECIES,
        neighbours=SPECIES_LIST,
        cutoff_A=POSITIVE,
        degree=COUNT,
        every=COUNT,
        region=REGION,
    ),
    compute=observe,
    headline=("mean", "mean_uncertainty", "form"),
    rows=rows,
    captions={"": "Distribution of the site disorder parameter."},
)
