r"""Diffusion inside a part of the cell that ions enter and leave.

An ion that is seen in a grain boundary now may be in the grain a little later, and nobody has said how the published
values treat it. The estimators differ in which displacements they count:

``tagged``
    Ions in the region at the time origin, wherever they go. At long lags it reports where ions went, not where they
    were.
``both_ends``
    Ions in the region at the origin and at the end. Those that walk far leave and are not counted: biased low along
    the normal.
``continuous``
    Ions that never leave in between (Liu, Harder & Berne, J. Phys. Chem. B 108, 6595 (2004)). Biased low along the
    normal, right along the boundary.
``occupancy``
    Tagged displacements of this region, every other region and the rest are fitted together,
    :math:`M_r(\tau) = A_r + 2\sum_s D_s T_{rs}(\tau)`, with :math:`T_{rs}(\tau)` the time that an ion that began in
    *r* has spent in *s*, which is counted from the same run. Along the boundary this holds at every lag, as
    :math:`dM/d\tau` is twice the mean of the local D; along the normal it is exact only while no ion has felt the edge.

``propagator``
    Along the boundary ``occupancy``; along the normal the most likely diffusivities of the layers given how often ions
    go from where to where (:mod:`aiida_lpsgb.analysis.propagator`), which ions that leave do no harm.

Use ``propagator``. Along the boundary ``occupancy`` is right at any lag; along the normal the first four are right only
at lags within which few ions have left. A window that is not given ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aiida_lpsgb.analysis._motion import regional
from aiida_lpsgb.analysis.diffusion import reference_drift
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate, finite, from_blocks, ratio_from_blocks
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Motion, Verdict
from aiida_lpsgb.analysis.msd import (
    Lines,
    Trend,
    Window,
    brownian_covariance,
    fit_window,
    line_weights,
    slope_trend,
    spread_lags,
)
from aiida_lpsgb.analysis.neighbours import heights
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.propagator import Layers, effective_diffusivity, fit_layers, transitions
from aiida_lpsgb.analysis.regions import Box, Region, Slab
from aiida_lpsgb.analysis.trajectory import Trajectory, transform
from aiida_lpsgb.analysis.verdict import (
    EXPONENT_TOLERANCE,
    IONS_THAT_HOP,
    USUAL_HOP_A,
    Reach,
    hop_length,
    judge,
    steadiness,
    transient,
)

ESTIMATORS = ("tagged", "both_ends", "continuous", "occupancy", "propagator")
ELSEWHERE = "elsewhere"
"""Name of what no region holds."""

_IONS_A_BATCH = 128
_DENSE_LAGS = 40
# A window that is not given ends where fewer ions of a region are in it again than this share of those at its first
# lag, yet not before this many times the first lag.
_STILL_THERE = 0.97
_SHORTEST_WINDOW = 4
_ROUNDS = 3  # of fits, each with the noise of the vibrations that the one before has found, as for the whole cell
_FEWEST_BLOCKS = 6
_PROPAGATOR_LAGS, _LONGEST_SHARE, _PARALLEL = 8, 0.16, 0.999


@dataclass(frozen=True, kw_only=True)
class RegionDiffusivity(Motion):
    """Diffusion of one region by one estimator.

    Attributes
    ----------
    duration_ps
        Length of the run.
    mean_ions
        Ions in the region at a time.
    residence_ps
        Mean time between entering and leaving; ions that vibrate across the edge enter and leave.
    still_there
        Share of the ions of the region that are in it again at the end of the window; the more have left, the further
        too low is D along the normal.
    counts
        Displacements counted at each lag.
    propagated
        Of ``propagator``: how the diffusivity along the normal depends on the lag; None of the others.
    """

    duration_ps: float
    mean_ions: float
    residence_ps: float
    still_there: float
    counts: np.ndarray
    propagated: Propagated | None = None

    def scalars(self) -> dict[str, Any]:
        """All scalars: JSON types, units in the keys, None for what is not known."""
        numbers = {
            name: finite(getattr(self, name)) for name in ("duration_ps", "mean_ions", "residence_ps", "still_there")
        }
        if self.propagated is not None:
            numbers |= {"normal_early_cm2_s": self.propagated.early, "normal_late_cm2_s": self.propagated.late}
        return super().scalars() | numbers

    def arrays(self) -> dict[str, np.ndarray]:
        """``lags_ps``, ``msd_A2`` (by component) and ``counts`` of the displacements the estimator counts.

        Of ``propagator`` also ``propagator_lags_ps`` and ``propagator_apparent_cm2_s``, the diffusivity along the
        normal that transitions within each lag alone tell, vibrations included, and the profile along the normal:
        ``profile_position_A``, ``profile_free_energy_kT``.
        """
        arrays = super().arrays() | {"counts": self.counts}
        if self.propagated is not None:
            found = self.propagated
            arrays |= {"propagator_lags_ps": found.lags_ps, "propagator_apparent_cm2_s": found.apparent}
            arrays |= {"profile_position_A": found.position_A, "profile_free_energy_kT": found.free_energy_kT}
        return arrays


@dataclass(frozen=True)
class Propagated:
    """Diffusivity of a layer along its normal by lag, cm²/s, and the free energy along the normal.

    Attributes
    ----------
    early, late
        From the first and the second half of the lags.
    lags_ps, apparent
        The lags, and what transitions within each alone tell, which holds the vibrations.
    position_A, free_energy_kT
        Along the normal of the cell, from its origin.
    """

    early: float
    late: float
    lags_ps: np.ndarray
    apparent: np.ndarray
    position_A: np.ndarray
    free_energy_kT: np.ndarray


@dataclass
class _Sums:
    """Sums over ions by lag, region and block of time origins; displacements also by component. ``present`` and
    ``leaves`` count, by region, the frames that ions spend there and how often one leaves.
    """

    tagged: np.ndarray
    n_tagged: np.ndarray
    both: np.ndarray
    n_both: np.ndarray
    stayed: np.ndarray
    n_stayed: np.ndarray
    went: np.ndarray
    present: np.ndarray
    leaves: np.ndarray


def region_diffusivity(
    trajectory: Trajectory,
    species: str,
    regions: Mapping[str, Region],
    *,
    estimators: Sequence[str] = ESTIMATORS,
    temperature_K: float | None = None,
    charge: float | None = None,
    window_ps: tuple[float, float] | None = None,
    longest_lag_share: float = 0.08,
    n_blocks: int = 10,
    drift: str | Iterable[str] | None = "framework",
    frame: np.ndarray | None = None,
    tolerance: float = EXPONENT_TOLERANCE,
    hop_length_A: float | None = None,
    workers: int | None = 1,
) -> dict[tuple[str, str], RegionDiffusivity]:
    """Diffusion of a species in several regions at once, by several estimators.

    Parameters
    ----------
    trajectory
        Evenly spaced frames.
    species
        The mobile species.
    regions
        Regions by name, not overlapping; what is left over is reported as ``elsewhere`` where ``occupancy`` is among
        the estimators.
    estimators
        Some of :data:`ESTIMATORS`; see the module's description for when to trust which.
    temperature_K, charge
        Kept with the results, for the conductivity; the temperature from the trajectory's metadata if None.
    window_ps, longest_lag_share, n_blocks, drift
        As for :func:`aiida_lpsgb.analysis.diffusion.diffusivity`; the window defaults to that of the lateral
        displacement of all ions, which grows linearly even where the normal one bends, up to the lag at which some
        region's ions have begun to leave. Regions follow what is held still. A transient of the whole is left out.
    frame
        Three orthonormal directions in rows, the third the normal of the boundary; if None two directions in the plane
        of the first slab and its normal, or x, y, z where that is z or there is no slab.
    tolerance, hop_length_A
        For the verdict, as for :func:`aiida_lpsgb.analysis.diffusion.diffusivity`.
    workers
        Threads; None for all cores.

    Returns
    -------
    dict
        Results by (region, estimator).

    Raises
    ------
    ValueError
        If regions overlap, one is never visited, or an argument makes no sense.
    """
    if unknown := sorted(set(estimators) - set(ESTIMATORS)):
        raise ValueError(f"unknown estimators {', '.join(unknown)}; known are {', '.join(ESTIMATORS)}")
    if not regions or ELSEWHERE in regions:
        raise ValueError(f"name one region or more, none of them {ELSEWHERE!r}")
    frame = _own_frame(regions, trajectory.mean_cell) if frame is None else np.asarray(frame, float)
    moved, _ = reference_drift(trajectory, species, drift)
    positions = (trajectory.positions(species) - moved[:, None]) @ frame.T
    if window_ps is None:
        options = {"share": longest_lag_share, "n_blocks": n_blocks}
        window = fit_window(positions, directions=slice(0, 2), **options).window
        first, last = window.first, window.last
    else:
        first, last = (max(1, round(w / trajectory.interval_ps)) for w in window_ps)
    if not first < last < trajectory.n_frames // 2:
        raise ValueError(f"window_ps {window_ps} must hold two lags within half of the run")
    volume = {"volume": np.abs(np.linalg.det(trajectory.cells))}
    cut, _ = transient(positions, first, trajectory.interval_ps, volume)
    if cut and last < (trajectory.n_frames - cut) // 2:
        trajectory, positions, moved = trajectory[cut:], positions[cut:], moved[cut:]
    else:
        cut = 0
    # The time spent in each region is an integral over lags, from the shortest on; the verdict wants half of the run.
    longest = trajectory.n_frames // 2
    lags = np.union1d(Window(first, last).lags(), spread_lags(first, longest))
    lags = np.union1d(lags, np.unique(np.rint(np.geomspace(1, last, _DENSE_LAGS)).astype(int)))
    sums = _accumulate(trajectory, species, regions, lags, n_blocks, moved, frame, workers)
    if window_ps is None:
        last = _before_they_leave(sums, lags, first, last)
    place = _Place(trajectory, regions, sums, lags, _nearest(lags, Window(first, last).lags()))
    temperature = trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K
    own = {"species": species, "temperature_K": temperature, "charge": charge, "frame": frame}
    hop = hop_length_A or hop_length(positions, longest)
    names = [*regions, ELSEWHERE][: len(sums.present)]
    used = {*estimators, OCCUPANCY} - {PROPAGATOR}
    slopes = {name: _ESTIMATE[name](sums, lags, place.fitted, trajectory.n_frames) for name in used}
    if PROPAGATOR in estimators:
        slopes[PROPAGATOR] = _propagate(place, slopes[OCCUPANCY], species, moved, frame, n_blocks)
    found = hop_length_A is None and hop is not None
    verdicts = [_verdict(place, slopes[OCCUPANCY], r, hop, found, tolerance, cut) for r in range(len(names))]
    results = {
        (name, estimator): _result(place, slopes[estimator], r, verdicts[r], hop, name, estimator)
        for estimator in estimators
        for r, name in enumerate(names)
        if (name != ELSEWHERE or OCCUPANCY in estimators) and r in slopes[estimator].places
    }
    return {key: replace(result, **own) for key, result in results.items()}


def _own_frame(regions: Mapping[str, Region], cell: np.ndarray) -> np.ndarray:
    """Two directions in the plane of the first slab and its normal; x, y, z where that is z or there is no slab."""
    axis = next((region.axis for region in regions.values() if isinstance(region, Slab)), None)
    if axis is None:
        return np.eye(3)
    normal = np.linalg.inv(cell)[:, axis] / np.linalg.norm(np.linalg.inv(cell)[:, axis])
    if np.abs(normal[2]) > _PARALLEL:
        return np.eye(3)
    first = cell[(axis + 1) % 3] / np.linalg.norm(cell[(axis + 1) % 3])
    return np.stack([first, np.cross(normal, first), normal])


@dataclass(frozen=True)
class _Place:
    """The run, its regions, what was counted at which lags, and which of these are fitted."""

    trajectory: Trajectory
    regions: Mapping[str, Region]
    sums: _Sums
    lags: np.ndarray
    fitted: np.ndarray

    @property
    def window(self) -> tuple[int, int]:
        """First and last lag that is fitted, frames."""
        return int(self.lags[self.fitted][0]), int(self.lags[self.fitted][-1])


@dataclass(frozen=True)
class _Slopes:
    """Slopes a frame by component: whole ``(n_regions, 3)``, blocks ``(n_blocks, n_regions, 3)``; by region the
    vibrations' share of the noise; the time, in frames, that ions of a region have spent in each; of the propagator
    what it found, and the error of the normal slope beyond that of the blocks.
    """

    whole: np.ndarray
    blocks: np.ndarray
    noise: np.ndarray
    time: np.ndarray | None = None
    propagated: Mapping[int, Propagated] = field(default_factory=dict)
    bias: np.ndarray | None = None

    @property
    def places(self) -> Sequence[int]:
        """Numbers of the regions that were fitted."""
        return list(self.propagated) or range(len(self.whole))


def _accumulate(trajectory, species, regions, lags, n_blocks: int, moved, frame, workers) -> _Sums:
    """Decode, label and count, some ions at a time; what no region holds counts as one more region."""
    cell = trajectory.mean_cell
    turn = (cell @ frame.T).astype(np.float32)
    shift = (moved @ frame.T).astype(np.float32)
    scaled_shift = (moved @ np.linalg.inv(cell)).astype(np.float32)
    edges = -(-np.arange(n_blocks + 1) * trajectory.n_frames // n_blocks)
    n_regions = len(regions) + 1

    def count(ions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scaled = trajectory.scaled(indices=ions, dtype=np.float32)
        labels = _labels(scaled - scaled_shift[:, None], regions, cell)
        positions = transform(scaled, turn)
        positions -= shift[:, None]
        return regional(positions, labels, lags.astype(np.int32), edges.astype(np.int32), n_regions)

    atoms = trajectory.indices(species)
    parts = np.array_split(atoms, -(-len(atoms) // _IONS_A_BATCH))
    total, present, leaves = (sum(x) for x in zip(*map_frames(count, parts, workers), strict=True))
    for name, seen in zip(regions, present, strict=False):
        if not seen:
            raise ValueError(f"no {species} is ever in region {name!r}; its centre or size cannot be right")
    keep = n_regions if present[-1] else n_regions - 1  # nobody may be elsewhere
    # Shape (lags, from, to | none | stayed, blocks, component | number).
    tagged, stayed, ended = total[:, :keep, :-1].sum(axis=2), total[:, :keep, -1], total[:, :keep, :keep]
    both = np.einsum("lrrbk->lrbk", ended)
    pairs = [part for x in (tagged, both, stayed) for part in (x[..., :3], x[..., 3])]
    return _Sums(*pairs, ended[..., 3], present[:keep], leaves[:keep])


def _nearest(lags: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the lags that were counted stand for those wanted."""
    distance = np.abs(np.log(lags)[:, None] - np.log(wanted))
    chosen = np.zeros(len(lags), bool)
    chosen[np.argmin(distance, axis=0)] = True
    return chosen


def _still_there(sums: _Sums) -> np.ndarray:
    """Share of the ions of each region that are in it again after each lag, ``(n_lags, n_regions)``."""
    return sums.n_both.sum(axis=2) / np.maximum(sums.n_tagged.sum(axis=2), 1)


def _before_they_leave(sums: _Sums, lags: np.ndarray, first: int, last: int) -> int:
    """The longest lag, up to ``last``, at which few ions of any region have left; vibrations across the edge aside."""
    share = _still_there(sums)
    stay = np.all(share >= _STILL_THERE * share[lags == first], axis=1)
    limit = max(lags[stay].max(initial=0), _SHORTEST_WINDOW * first)
    return int(lags[lags <= min(limit, last)].max())


def _labels(scaled: np.ndarray, regions: Mapping[str, Region], cell: np.ndarray) -> np.ndarray:
    """Number of the region each position is in, that of all regions where it is in none."""
    labels = np.full(scaled.shape[:-1], len(regions), np.int8)
    for r, region in enumerate(regions.values()):
        inside = region.contains(scaled, cell)
        if np.any(labels[inside] != len(regions)):
            raise ValueError("regions overlap: an ion may be in one of them only; make them thinner or move them")
        labels[inside] = r
    return labels


# ---- from sums to slopes -------------------------------------------------------------------------------------------


def _fit(design: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares: ``design`` (n, p), ``values`` (n, k), ``weight`` (n, n) the inverse covariance."""
    left = design.T @ weight
    return np.linalg.lstsq(left @ design, left @ values, rcond=1e-12)[0]


def _inverse_covariance(lags: np.ndarray, n_frames: int, noise: float | None) -> np.ndarray:
    """Weights of the lags; all alike where the noise is not known yet."""
    if noise is None:
        return np.eye(len(lags))
    covariance = brownian_covariance(lags, n_frames, noise)
    scale = np.sqrt(np.diag(covariance))
    return np.linalg.pinv(covariance / np.outer(scale, scale), rcond=1e-10, hermitian=True) / np.outer(scale, scale)


def _vibrations(intercept: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Variance of the vibrations in units of that of a step, from the lines of the total displacement."""
    moving = slope > 0
    return np.where(moving, np.clip(intercept / (2 * np.where(moving, slope, 1.0)), 0.0, 1e6), 1e6)


def _fit_lines(total: np.ndarray, count: np.ndarray, lags: np.ndarray, fitted: np.ndarray, n_frames: int) -> _Slopes:
    """Lines through the displacements that were counted, each region for itself."""
    design = np.stack([np.ones(fitted.sum()), lags[fitted]], axis=1).astype(float)
    n_regions, n_blocks = count.shape[1:]
    noise, whole = [None] * n_regions, np.full((n_regions, 2, 3), np.nan)

    def line(values: np.ndarray, number: np.ndarray, weight: np.ndarray) -> np.ndarray:
        if np.any(number == 0):
            return np.full((2, 3), np.nan)
        return _fit(design, values / number[:, None], weight)

    for _ in range(_ROUNDS):
        weights = [_inverse_covariance(lags[fitted], n_frames, level) for level in noise]
        for r, weight in enumerate(weights):
            whole[r] = line(total[fitted, r].sum(axis=1), count[fitted, r].sum(axis=1), weight)
        noise = _vibrations(*np.nan_to_num(whole.sum(axis=2)).T)
    blocks = [
        [line(total[fitted, r, b], count[fitted, r, b], weights[r])[1] for r in range(n_regions)]
        for b in range(n_blocks)
    ]
    return _Slopes(whole[:, 1], np.array(blocks), noise)


def _tagged(sums: _Sums, lags, fitted, n_frames) -> _Slopes:
    return _fit_lines(sums.tagged, sums.n_tagged, lags, fitted, n_frames)


def _both_ends(sums: _Sums, lags, fitted, n_frames) -> _Slopes:
    return _fit_lines(sums.both, sums.n_both, lags, fitted, n_frames)


def _continuous(sums: _Sums, lags, fitted, n_frames) -> _Slopes:
    return _fit_lines(sums.stayed, sums.n_stayed, lags, fitted, n_frames)


def _time_spent(number: np.ndarray, went: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Time, frames, that ions have spent in each region after each lag, ``(n_lags, from, to)``.

    It is the integral of the chance to be there, which is counted lag by lag.
    """
    chance = np.concatenate([np.eye(went.shape[1])[None], went / np.maximum(number, 1)[:, :, None]])
    knots = np.concatenate([[0], lags]).astype(float)
    return np.cumsum(0.5 * (chance[1:] + chance[:-1]) * np.diff(knots)[:, None, None], axis=0)


def _occupancy(sums: _Sums, lags, fitted, n_frames) -> _Slopes:
    """Joint fit of the tagged displacements of all regions with the time spent in each."""
    n_regions, n_blocks = sums.n_tagged.shape[1:]
    n = int(fitted.sum())
    weight = np.zeros((n_regions * n, n_regions * n))
    noise = [None] * n_regions

    def solve(total: np.ndarray, number: np.ndarray, went: np.ndarray) -> np.ndarray:
        """Intercepts, then slopes, by component: ``(2 n_regions, 3)``."""
        if np.any(number[fitted] == 0):
            return np.full((2 * n_regions, 3), np.nan)
        time = _time_spent(number, went, lags)[fitted]
        design = np.zeros((n_regions * n, 2 * n_regions))
        values = np.zeros((n_regions * n, 3))
        for r in range(n_regions):
            rows = slice(r * n, (r + 1) * n)
            design[rows, r] = 1.0
            design[rows, n_regions:] = time[:, r]
            values[rows] = (total / np.maximum(number, 1)[..., None])[fitted, r]
        return _fit(design, values, weight)

    everything = sums.tagged.sum(axis=2), sums.n_tagged.sum(axis=2), sums.went.sum(axis=3)
    for _ in range(_ROUNDS):
        for r, level in enumerate(noise):
            rows = slice(r * n, (r + 1) * n)
            weight[rows, rows] = _inverse_covariance(lags[fitted], n_frames, level)
        whole = solve(*everything)
        noise = _vibrations(*np.nan_to_num(whole.sum(axis=1)).reshape(2, n_regions))
    blocks = [
        solve(sums.tagged[:, :, b], sums.n_tagged[:, :, b], sums.went[..., b])[n_regions:] for b in range(n_blocks)
    ]
    return _Slopes(whole[n_regions:], np.array(blocks), noise, _time_spent(*everything[1:], lags))


# ---- along the normal ----------------------------------------------------------------------------------------------


def _propagate(place: _Place, slopes: _Slopes, species, moved, frame, n_blocks: int) -> _Slopes:
    """The slopes with those along the normal from transitions between cells of a grid."""
    trajectory = place.trajectory
    whole, blocks = slopes.whole.copy(), slopes.blocks.copy()
    bias, found = np.zeros(len(whole)), {}
    scaled = trajectory.scaled(species, dtype=np.float32)
    scaled -= (moved @ np.linalg.inv(trajectory.mean_cell)).astype(np.float32)[:, None]
    for axis, numbers, box in _groups(place, frame):
        height = float(heights(trajectory.mean_cell)[axis])
        regions = [list(place.regions.values())[r] for r in numbers]
        layers = Layers.along(height, [region.intervals(axis, trajectory.mean_cell) for region in regions])
        cells = np.floor((scaled[..., axis] % 1.0) * layers.n_cells).astype(np.int32) % layers.n_cells
        counted = None if box is None else box.beside(scaled, axis)
        lags = _propagator_lags(place, slopes, numbers, layers)
        everywhere = [*numbers, len(place.regions)] if box is None and len(whole) > len(place.regions) else numbers
        sides = (slice(None, len(lags) // 2 + 1), slice(len(lags) // 2, None))
        own, parts, free_energy = _apparent(cells, lags, layers, counted, len(scaled), n_blocks, slopes, numbers)
        for layer, r in enumerate(everywhere):
            line, noise = _line_of(lags, own[:, layer], trajectory.n_frames, None)
            halves = [_line_of(lags[k], own[k, layer], trajectory.n_frames, noise)[0] for k in sides]
            whole[r, 2] = line
            split = []
            for b in range(n_blocks):
                blocks[b, r, 2] = _line_of(lags, parts[b, :, layer], trajectory.n_frames, noise)[0]
                ends = [_line_of(lags[k], parts[b, k, layer], trajectory.n_frames, noise)[0] for k in sides]
                split.append(ends[1] - ends[0])
            # What early and late lags differ by, beyond their noise, is bias that is left in the one or the other.
            beyond = (halves[1] - halves[0]) ** 2 - np.nanvar(split, ddof=1) / n_blocks
            bias[r] = np.sqrt(max(beyond, 0.0)) / 2
            unit = A2_PS_TO_CM2_S / trajectory.interval_ps / 2
            position = (np.arange(layers.n_cells) + 0.5) * layers.spacing_A
            apparent = own[:, layer] / lags * unit
            ends = (float(end * unit) for end in halves)
            found[r] = Propagated(*ends, lags * trajectory.interval_ps, apparent, position, free_energy)
    return replace(slopes, whole=whole, blocks=blocks, propagated=found, bias=bias)


def _groups(place: _Place, frame: np.ndarray) -> Iterator[tuple[int, list[int], Box | None]]:
    """Axes along which layers lie: all slabs across one axis together, each box for itself."""
    cell = place.trajectory.mean_cell
    normals = np.linalg.inv(cell).T / np.linalg.norm(np.linalg.inv(cell), axis=0)[:, None]
    along = np.abs(normals @ frame[2])
    slabs: dict[int, list[int]] = {}
    for r, (name, region) in enumerate(place.regions.items()):
        axis = region.axis if isinstance(region, Slab) else int(np.argmax(along))
        if along[axis] < _PARALLEL:
            raise ValueError(
                f"the third direction of frame must be the normal of region {name!r} for the estimator {PROPAGATOR!r}: "
                f"it is {np.degrees(np.arccos(along[axis])):.0f}° off"
            )
        if isinstance(region, Slab):
            slabs.setdefault(axis, []).append(r)
        else:
            yield axis, [r], region
    for axis, numbers in slabs.items():
        yield axis, numbers, None


def _propagator_lags(place: _Place, slopes: _Slopes, numbers: Sequence[int], layers: Layers) -> np.ndarray:
    """Lags, frames, until ions cross the thinnest layer; from where the slowest ones begin to leave a cell of the grid,
    as within a cell nobody knows where they are.
    """
    n_frames = place.trajectory.n_frames
    thinnest = layers.shares[:, : len(numbers)].sum(axis=0).min() * layers.spacing_A
    lateral = np.maximum(slopes.whole[:, :2].mean(axis=1), 1e-12)
    longest = int(np.clip(thinnest**2 / lateral.max(), 8 * place.window[0], _LONGEST_SHARE * n_frames))
    longest = min(max(longest, place.window[0] + _PROPAGATOR_LAGS), n_frames // 2)
    first = int(np.clip(2 * layers.spacing_A**2 / lateral.min(), place.window[0], max(longest // 5, place.window[0])))
    return np.unique(np.rint(np.geomspace(first, longest, _PROPAGATOR_LAGS)).astype(int))


def _apparent(cells, lags, layers: Layers, counted, n_frames: int, n_blocks: int, slopes: _Slopes, numbers):
    """Apparent displacements 2 D(t) t of each layer at each lag, whole and by block of time, and the free energy."""
    edges = -(-np.arange(n_blocks + 1) * n_frames // n_blocks)
    chosen = cells if counted is None else cells[counted]
    density = np.bincount(chosen.ravel(), minlength=layers.n_cells).astype(float)
    n_layers = layers.shares.shape[1]
    start = np.full(n_layers, max(float(slopes.whole[:, :2].mean()) / 2, 1e-6))
    whole, parts = np.empty((len(lags), n_layers)), np.full((n_blocks, len(lags), n_layers), np.nan)
    barriers = np.array([effective_diffusivity(np.ones(n_layers), density, layers, k) for k in range(n_layers)])
    for k, lag in enumerate(lags):
        counts = transitions(cells, int(lag), layers.n_cells, edges, counted)
        start, own = fit_layers(counts, density, layers, float(lag), start)
        whole[k], parts[:, k] = 2 * start * barriers * lag, 2 * own * barriers * lag
    shown = np.maximum(density, 1e-4 * density.mean())
    return whole, parts, -np.log(shown / shown.max())


def _line_of(lags: np.ndarray, values: np.ndarray, n_frames: int, noise: float | None) -> tuple[float, float]:
    """Slope of a line through apparent displacements, and the noise of the vibrations, found if None."""
    design = np.stack([np.ones(len(lags)), lags], axis=1).astype(float)
    rounds = [None] * (_ROUNDS - 1) if noise is None else []
    known = ~np.isnan(values)
    if known.sum() < 2:
        return np.nan, noise or 0.0
    design, values, lags = design[known], values[known, None], lags[known]
    for _ in rounds:
        line = _fit(design, values, _inverse_covariance(lags, n_frames, noise))
        noise = float(_vibrations(line[0], line[1])[0])
    return float(_fit(design, values, _inverse_covariance(lags, n_frames, noise))[1, 0]), noise


OCCUPANCY, PROPAGATOR = "occupancy", "propagator"
_ESTIMATE = {"tagged": _tagged, "both_ends": _both_ends, "continuous": _continuous, OCCUPANCY: _occupancy}


# ---- verdict and results -------------------------------------------------------------------------------------------


def _blocks_of(slopes: _Slopes, r: int) -> np.ndarray:
    """Slopes of the blocks in which the region was seen throughout, ``(n, 3)``."""
    blocks = slopes.blocks[:, r]
    return blocks[np.isfinite(blocks).all(axis=1)]


def _verdict(
    place: _Place, slopes: _Slopes, r: int, hop: float | None, found: bool, tolerance: float, cut: int
) -> Verdict:
    """The verdict on a region: the tests of :mod:`aiida_lpsgb.analysis.verdict` on the motion of its own ions.

    How far ions have come is the displacement at the region's rate in the time they spend in it within half of the run;
    the displacement shall be linear in the times spent in the regions, weighted with their lateral diffusivities.
    """
    interval, n_frames = place.trajectory.interval_ps, place.trajectory.n_frames
    unit = A2_PS_TO_CM2_S / interval / 2
    parts = _blocks_of(slopes, r)
    if len(parts) < _FEWEST_BLOCKS or not np.isfinite(slopes.whole).all():
        return Verdict(diffusive=False, sentence="not diffusive yet: too few displacements to tell")
    steady = {"displacement": steadiness(parts.mean(axis=1) * unit)}
    length = hop or USUAL_HOP_A
    ions = place.sums.present[r] / n_frames
    stay = slopes.time[-1, r, r]
    gone = max(float(slopes.whole[r].sum() * stay), 0.0)
    needed = min(IONS_THAT_HOP, max(1, round(ions / 2)))
    reach = Reach(length, found, gone, gone, int(ions * min(1.0, gone / length**2)), needed)
    seen = from_blocks(slopes.whole[r].mean(), parts.mean(axis=1)).interval()[0] > 0
    trend = _lateral_trend(place, slopes, r)
    lags = (place.window[0] * interval, int(place.lags[-1]) * interval)
    return judge(trend, lags, bool(seen), reach, steady, exponent_tolerance=tolerance, cut_ps=cut * interval)


def _lateral_trend(place: _Place, slopes: _Slopes, r: int) -> Trend:
    """How the lateral displacement of a region's ions goes on, in the time they spend weighted with where they do."""
    lateral = slopes.whole[:, :2].sum(axis=1)
    parts = _blocks_of(slopes, r)[:, :2]
    n_frames, lags = place.trajectory.n_frames, place.lags
    _, variance = line_weights(lags[place.fitted], n_frames, slopes.noise[r])
    lines = Lines(slopes.whole[r, :2], parts, 0.0, 1.0, slopes.noise[r], variance)
    if lateral[r] <= 0:
        return Trend(np.nan, np.inf, np.nan, np.inf, lines.dof)
    long = lags >= place.window[0]
    times = slopes.time[:, r] @ np.maximum(lateral, 0.0) / lateral[r]
    number = np.maximum(place.sums.n_tagged[:, r].sum(axis=1), 1)
    msd = place.sums.tagged[:, r, :, :2].sum(axis=(1, 2)) / number
    return slope_trend(msd[long], lags[long], lines, n_frames, times[long])


def _result(
    place: _Place, slopes: _Slopes, r: int, verdict: Verdict, hop: float | None, name: str, estimator: str
) -> RegionDiffusivity:
    trajectory, sums, regions, lags = place.trajectory, place.sums, place.regions, place.lags
    interval = trajectory.interval_ps
    unit = A2_PS_TO_CM2_S / interval / 2
    whole, parts = slopes.whole[r] * unit, _blocks_of(slopes, r) * unit
    window_ps = tuple(lag * interval for lag in place.window)
    if len(parts) < 2 or not np.isfinite(whole).all():
        raise ValueError(
            f"too few displacements of {estimator!r} in region {name!r} up to {window_ps[1]:g} ps: "
            "shorten window_ps, widen the region or leave the estimator out"
        )
    total, number = {
        "both_ends": (sums.both, sums.n_both),
        "continuous": (sums.stayed, sums.n_stayed),
    }.get(estimator, (sums.tagged, sums.n_tagged))
    shown = lags <= place.window[1]
    counts = number[shown, r].sum(axis=1)
    cell = trajectory.mean_cell
    share = 1 - sum(g.share(cell) for g in regions.values()) if name == ELSEWHERE else regions[name].share(cell)
    mean_ions, leaves = sums.present[r] / trajectory.n_frames, sums.leaves[r]
    bias = np.array([0.0, 0.0, 0.0 if slopes.bias is None else slopes.bias[r] * unit])

    def estimate(chosen: slice) -> Estimate:
        found = from_blocks(whole[chosen].mean(), parts[:, chosen].mean(axis=1))
        return replace(found, error=float(np.hypot(found.error, bias[chosen].mean())))

    d = estimate(slice(None))
    jump_limit = 3 * (hop or USUAL_HOP_A) ** 2 / (6 * mean_ions * trajectory.duration_ps) * A2_PS_TO_CM2_S
    return RegionDiffusivity(
        species="",
        region=name,
        estimator=estimator,
        total=d,
        components=tuple(estimate(slice(k, k + 1)) for k in range(3)),
        lateral=estimate(slice(0, 2)),
        isotropy=_isotropy(whole, parts, bias[2]),
        verdict=verdict,
        detected=bool(d.interval()[0] > 0 and d.value > jump_limit),
        upper_limit_cm2_s=max(d.upper_limit(), jump_limit),
        duration_ps=trajectory.duration_ps,
        mean_ions=float(mean_ions),
        residence_ps=float(sums.present[r] / leaves * interval) if leaves else np.inf,
        still_there=float(_still_there(sums)[lags <= place.window[1], r][-1]),
        number_density_A3=mean_ions / (share * trajectory.mean_volume_A3),
        window_ps=window_ps,
        lags_ps=lags[shown] * interval,
        msd_A2=total[shown, r].sum(axis=1) / np.maximum(counts, 1)[:, None],
        counts=counts.astype(int),
        propagated=slopes.propagated.get(r),
    )


def _isotropy(whole: np.ndarray, parts: np.ndarray, bias: float) -> Estimate:
    """Normal over the larger lateral component; unknown where the latter is not above zero."""
    side = int(np.argmax(whole[:2]))
    if from_blocks(whole[side], parts[:, side]).interval()[0] <= 0:
        return UNKNOWN
    found = ratio_from_blocks(parts[:, 2], parts[:, side], whole[2] / whole[side])
    return replace(found, error=float(np.hypot(found.error, bias / whole[side])))
