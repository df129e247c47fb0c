"""Displacements of ions by the region they begin in, end in and stay in, and where they go.

Every displacement belongs to the region of its time origin. It counts in up to three ways: by where it began
(``tagged``), where it is in that region again at its end (``both_ends``), and where it never left (``continuous``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aiida_lpsgb.analysis._motion import regional
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.trajectory import Trajectory, transform

_IONS_A_BATCH = 128


@dataclass(frozen=True)
class RegionRun:
    """A run, its mobile species, and the regions in which that is looked at.

    Attributes
    ----------
    trajectory
        Evenly spaced frames.
    species
        The mobile species.
    regions
        Regions by name, not overlapping.
    drift_A
        Drift of what is held still, which positions are freed from, Å, shape ``(n_frames, 3)``.
    frame
        Three orthonormal directions in rows, the components of displacements.
    n_blocks
        Equal blocks of time, for the errors.
    """

    trajectory: Trajectory
    species: str
    regions: Mapping[str, Region]
    drift_A: np.ndarray
    frame: np.ndarray
    n_blocks: int

    @property
    def block_edges(self) -> np.ndarray:
        """First frames of the blocks, and the number of frames, shape ``(n_blocks + 1,)``."""
        return -(-np.arange(self.n_blocks + 1) * self.trajectory.n_frames // self.n_blocks)

    @property
    def scaled_drift(self) -> np.ndarray:
        """The drift as fractions of the mean cell's vectors, shape ``(n_frames, 3)``, single precision."""
        return (self.drift_A @ np.linalg.inv(self.trajectory.mean_cell)).astype(np.float32)


@dataclass(frozen=True)
class DisplacementSums:
    """Displacements of one way of counting, summed over ions and time origins.

    Attributes
    ----------
    squares_A2
        Sum of the squared displacements by component, Å², shape ``(n_lags, n_regions, n_blocks, 3)``: by region and
        block of the time origin.
    number
        How many, shape ``(n_lags, n_regions, n_blocks)``.
    """

    squares_A2: np.ndarray
    number: np.ndarray


@dataclass(frozen=True)
class RegionDisplacements:
    """Displacements by lag and region; what no region holds, if ions are ever there, is the last region.

    Attributes
    ----------
    lags
        Frames, ascending, shape ``(n_lags,)``.
    n_frames
        Length of the run.
    tagged, both_ends, continuous
        Those that begin in a region, wherever they go; those that end there as well; those that stay throughout.
    went
        How many go from one region to another, shape ``(n_lags, from, to, n_blocks)``.
    present
        Frames that all ions together spend in a region, shape ``(n_regions,)``.
    leaves
        How often an ion leaves a region, shape ``(n_regions,)``.
    """

    lags: np.ndarray
    n_frames: int
    tagged: DisplacementSums
    both_ends: DisplacementSums
    continuous: DisplacementSums
    went: np.ndarray
    present: np.ndarray
    leaves: np.ndarray

    def counted_by(self, estimator: str) -> DisplacementSums:
        """What an estimator counts: ``both_ends`` and ``continuous`` their own, all others tagged displacements."""
        return {"both_ends": self.both_ends, "continuous": self.continuous}.get(estimator, self.tagged)

    @property
    def still_there(self) -> np.ndarray:
        """Share of the ions of each region that are in it again after each lag, shape ``(n_lags, n_regions)``."""
        return self.both_ends.number.sum(axis=2) / np.maximum(self.tagged.number.sum(axis=2), 1)


def count_displacements(run: RegionRun, lags: np.ndarray, workers: int | None = 1) -> RegionDisplacements:
    """Count the displacements of a run by region.

    Parameters
    ----------
    run
        The run and its regions.
    lags
        Frames, ascending, shape ``(n_lags,)``.
    workers
        Threads; None for all cores.

    Raises
    ------
    ValueError
        If regions overlap or one is never visited.
    """
    trajectory, cell, n_regions = run.trajectory, run.trajectory.mean_cell, len(run.regions) + 1
    turn = (cell @ run.frame.T).astype(np.float32)
    drift = (run.drift_A @ run.frame.T).astype(np.float32)
    scaled_drift = run.scaled_drift
    edges = run.block_edges.astype(np.int32)

    def count(ions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scaled = trajectory.scaled(indices=ions, dtype=np.float32)
        labels = _labels(scaled - scaled_drift[:, None], run.regions, cell)
        positions = transform(scaled, turn)
        positions -= drift[:, None]
        return regional(positions, labels, lags.astype(np.int32), edges, n_regions)

    # Some ions at a time, as all of them at once are too much to hold.
    atoms = trajectory.indices(run.species)
    batches = np.array_split(atoms, -(-len(atoms) // _IONS_A_BATCH))
    total, present, leaves = (sum(x) for x in zip(*map_frames(count, batches, workers), strict=True))
    for name, seen in zip(run.regions, present, strict=False):
        if not seen:
            raise ValueError(f"no {run.species} is ever in region {name!r}; its centre or size cannot be right")
    keep = n_regions if present[-1] else n_regions - 1  # nobody may be elsewhere
    # Shape (lags, from, to | none | stayed, blocks, component | number).
    tagged, stayed, ended = total[:, :keep, :-1].sum(axis=2), total[:, :keep, -1], total[:, :keep, :keep]
    both = np.einsum("lrrbk->lrbk", ended)
    kinds = (DisplacementSums(part[..., :3], part[..., 3]) for part in (tagged, both, stayed))
    return RegionDisplacements(lags, trajectory.n_frames, *kinds, ended[..., 3], present[:keep], leaves[:keep])


def _labels(scaled: np.ndarray, regions: Mapping[str, Region], cell: np.ndarray) -> np.ndarray:
    """Number of the region each position is in, that of all regions where it is in none."""
    labels = np.full(scaled.shape[:-1], len(regions), np.int8)
    for r, region in enumerate(regions.values()):
        inside = region.contains(scaled, cell)
        if np.any(labels[inside] != len(regions)):
            raise ValueError("regions overlap: an ion may be in one of them only; make them thinner or move them")
        labels[inside] = r
    return labels
