"""Diffusion in regions along their normal, from how often ions go from where to where.

Slabs across one axis are layers of one profile; a box is one of its own, of the ions that are inside it sideways. Their
diffusivities are the most likely ones of :mod:`aiida_lpsgb.analysis.propagator` at several lags: the slope of the
apparent displacement over these is free of the vibrations and of the width of a cell of the grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S
from aiida_lpsgb.analysis.neighbours import heights
from aiida_lpsgb.analysis.propagator import Layers, effective_diffusivity, fit_layers, transitions
from aiida_lpsgb.analysis.region_displacements import RegionRun
from aiida_lpsgb.analysis.region_slopes import RegionSlopes, fit_line
from aiida_lpsgb.analysis.regions import Box, Slab

PARALLEL = 0.999
"""Cosine of the angle between two directions from which on they count as one."""

_LAGS, _LONGEST_SHARE = 8, 0.16


@dataclass(frozen=True)
class Propagated:
    """Diffusivity of a layer along its normal by lag, cm²/s, and the free energy along the normal.

    Attributes
    ----------
    early, late
        From the first and the second half of the lags.
    bias
        Standard error beyond that of blocks of time: by what early and late differ, beyond their noise.
    lags_ps, apparent
        The lags, and what transitions within each alone tell, which holds the vibrations.
    position_A, free_energy_kT
        Along the normal of the cell, from its origin.
    """

    early: float
    late: float
    bias: float
    lags_ps: np.ndarray
    apparent: np.ndarray
    position_A: np.ndarray
    free_energy_kT: np.ndarray


def propagator_slopes(run: RegionRun, slopes: RegionSlopes, first: int) -> tuple[RegionSlopes, dict[int, Propagated]]:
    """Slopes with those along the normal from transitions between cells of a grid.

    Parameters
    ----------
    run
        The run and its regions.
    slopes
        Of ``occupancy``, whose lateral parts are kept and tell at which lags to look.
    first
        Shortest lag, frames, at which vibrations have faded.

    Returns
    -------
    slopes : RegionSlopes
        Those given, but along the normal.
    propagated : dict
        What was found along the normal, by number of the region. What no region holds is among them where all regions
        are slabs: the layers between them would hold a box, too.

    Raises
    ------
    ValueError
        If the third direction of the frame is not the normal of a region.
    """
    trajectory = run.trajectory
    whole, blocks = slopes.whole.copy(), slopes.blocks.copy()
    propagated: dict[int, Propagated] = {}
    unit = A2_PS_TO_CM2_S / trajectory.interval_ps / 2
    scaled = trajectory.scaled(run.species, dtype=np.float32)
    scaled -= run.scaled_drift[:, None]
    for profile in _profiles(run, elsewhere=len(whole) > len(run.regions)):
        layers = profile.layers(run)
        lags = _lags(run, slopes, profile.held, layers, first)
        own, parts, free_energy = _apparent(run, profile, layers, scaled, lags, slopes)
        for layer, r in enumerate(profile.reported):
            line = _line_of_layer(lags, own[:, layer], parts[:, :, layer], trajectory.n_frames)
            whole[r, 2], blocks[:, r, 2] = line.whole, line.blocks
            propagated[r] = Propagated(
                early=float(line.early * unit),
                late=float(line.late * unit),
                bias=float(line.bias * unit),
                lags_ps=lags * trajectory.interval_ps,
                apparent=own[:, layer] / lags * unit,
                position_A=(np.arange(layers.n_cells) + 0.5) * layers.spacing_A,
                free_energy_kT=free_energy,
            )
    return replace(slopes, whole=whole, blocks=blocks), propagated


@dataclass(frozen=True)
class _Profile:
    """An axis of the cell and the regions that are layers along it, by number.

    ``held`` are those that lie there, ``reported`` also what no region holds; of a box, ``box`` is that.
    """

    axis: int
    held: list[int]
    reported: list[int]
    box: Box | None

    def layers(self, run: RegionRun) -> Layers:
        cell, regions = run.trajectory.mean_cell, list(run.regions.values())
        return Layers.along(float(heights(cell)[self.axis]), [regions[r].intervals(self.axis, cell) for r in self.held])


def _profiles(run: RegionRun, elsewhere: bool) -> Iterator[_Profile]:
    """Axes along which layers lie: all slabs across one axis together, each box for itself."""
    cell = run.trajectory.mean_cell
    normals = np.linalg.inv(cell).T / np.linalg.norm(np.linalg.inv(cell), axis=0)[:, None]
    along = np.abs(normals @ run.frame[2])
    slabs: dict[int, list[int]] = {}
    for r, (name, region) in enumerate(run.regions.items()):
        axis = region.axis if isinstance(region, Slab) else int(np.argmax(along))
        if along[axis] < PARALLEL:
            raise ValueError(
                f"the third direction of frame must be the normal of region {name!r} for the estimator 'propagator': "
                f"it is {np.degrees(np.arccos(along[axis])):.0f}° off"
            )
        if isinstance(region, Slab):
            slabs.setdefault(axis, []).append(r)
        else:
            yield _Profile(axis, [r], [r], region)
    only_slabs = all(isinstance(region, Slab) for region in run.regions.values())
    rest = [len(run.regions)] if elsewhere and only_slabs else []
    for axis, numbers in slabs.items():
        yield _Profile(axis, numbers, numbers + rest, None)


def _lags(run: RegionRun, slopes: RegionSlopes, held: list[int], layers: Layers, first: int) -> np.ndarray:
    """Lags, frames, until ions cross the thinnest layer; from where the slowest ones begin to leave a cell of the grid,
    as within a cell nobody knows where they are.
    """
    n_frames = run.trajectory.n_frames
    thinnest = layers.shares[:, : len(held)].sum(axis=0).min() * layers.spacing_A
    lateral = np.maximum(slopes.whole[:, :2].mean(axis=1), 1e-12)
    longest = int(np.clip(thinnest**2 / lateral.max(), 8 * first, _LONGEST_SHARE * n_frames))
    longest = min(max(longest, first + _LAGS), n_frames // 2)
    shortest = int(np.clip(2 * layers.spacing_A**2 / lateral.min(), first, max(longest // 5, first)))
    return np.unique(np.rint(np.geomspace(shortest, longest, _LAGS)).astype(int))


def _apparent(
    run: RegionRun, profile: _Profile, layers: Layers, scaled: np.ndarray, lags: np.ndarray, slopes: RegionSlopes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Apparent displacements 2 D(t) t of each layer at each lag, Å², whole ``(n_lags, n_layers)`` and by block of time
    ``(n_blocks, n_lags, n_layers)``, and the free energy in each cell of the grid, kT.
    """
    cells = np.floor((scaled[..., profile.axis] % 1.0) * layers.n_cells).astype(np.int32) % layers.n_cells
    counted = None if profile.box is None else profile.box.beside(scaled, profile.axis)
    chosen = cells if counted is None else cells[counted]
    density = np.bincount(chosen.ravel(), minlength=layers.n_cells).astype(float)
    n_layers = layers.shares.shape[1]
    start = np.full(n_layers, max(float(slopes.whole[:, :2].mean()) / 2, 1e-6))
    whole, parts = np.empty((len(lags), n_layers)), np.full((run.n_blocks, len(lags), n_layers), np.nan)
    barriers = np.array([effective_diffusivity(np.ones(n_layers), density, layers, k) for k in range(n_layers)])
    for k, lag in enumerate(lags):
        counts = transitions(cells, int(lag), layers.n_cells, run.block_edges, counted)
        start, own = fit_layers(counts, density, layers, float(lag), start)
        whole[k], parts[:, k] = 2 * start * barriers * lag, 2 * own * barriers * lag
    shown = np.maximum(density, 1e-4 * density.mean())
    return whole, parts, -np.log(shown / shown.max())


@dataclass(frozen=True)
class _LayerLine:
    """Slopes of the apparent displacement of one layer, Å² a frame: of the whole run, of its blocks, of the first and
    the second half of the lags, and the error by which these two disagree.
    """

    whole: float
    blocks: list[float]
    early: float
    late: float
    bias: float


def _line_of_layer(lags: np.ndarray, own: np.ndarray, parts: np.ndarray, n_frames: int) -> _LayerLine:
    """Lines through the apparent displacement of a layer, ``(n_lags,)`` and, by block, ``(n_blocks, n_lags)``."""
    whole, noise = fit_line(lags, own, n_frames)
    middle = len(lags) // 2

    def halves(values: np.ndarray) -> list[float]:
        sides = slice(None, middle + 1), slice(middle, None)
        return [fit_line(lags[side], values[side], n_frames, noise)[0] for side in sides]

    early, late = halves(own)
    split = [b - a for a, b in map(halves, parts)]
    # What early and late lags differ by, beyond their noise, is bias that is left in the one or the other.
    beyond = (late - early) ** 2 - np.nanvar(split, ddof=1) / len(parts)
    blocks = [fit_line(lags, values, n_frames, noise)[0] for values in parts]
    return _LayerLine(whole, blocks, early, late, np.sqrt(max(beyond, 0.0)) / 2)
