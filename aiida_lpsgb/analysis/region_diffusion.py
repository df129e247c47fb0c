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
    go from where to where (:mod:`aiida_lpsgb.analysis.region_propagator`), which ions that leave do no harm.

Use ``propagator``. Along the boundary ``occupancy`` is right at any lag; along the normal the first four are right only
at lags within which few ions have left. A window that is not given ends there.

Displacements are counted in :mod:`aiida_lpsgb.analysis.region_displacements`, and the first four fit them in
:mod:`aiida_lpsgb.analysis.region_slopes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.diffusion import check_hop_length, directions, reference_drift
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate, finite, from_blocks, ratio_from_blocks
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Motion, Verdict
from aiida_lpsgb.analysis.msd import Lines, Trend, Window, fit_window, line_weights, slope_trend, spread_lags
from aiida_lpsgb.analysis.region_displacements import RegionDisplacements, RegionRun, count_displacements
from aiida_lpsgb.analysis.region_propagator import PARALLEL, Propagated, propagator_slopes
from aiida_lpsgb.analysis.region_slopes import RegionSlopes, line_slopes, occupancy_slopes
from aiida_lpsgb.analysis.regions import Region, Slab
from aiida_lpsgb.analysis.trajectory import Trajectory
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

_LINES, _OCCUPANCY, _PROPAGATOR = ("tagged", "both_ends", "continuous"), "occupancy", "propagator"
ESTIMATORS = (*_LINES, _OCCUPANCY, _PROPAGATOR)
ELSEWHERE = "elsewhere"
"""Name of what no region holds."""

_DENSE_LAGS = 40
# A window that is not given ends where fewer ions of a region are in it again than this share of those at its first
# lag, yet not before this many times the first lag.
_STILL_THERE = 0.97
_SHORTEST_WINDOW = 4
_FEWEST_BLOCKS = 6


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
        Some of ``tagged``, ``both_ends``, ``continuous``, ``occupancy`` and ``propagator``, described in this module:
        use ``propagator``; the others are right along the boundary, and show along the normal how ions leave.
    temperature_K, charge
        Kept with the results, for the conductivity; the temperature from the trajectory's metadata if None.
    window_ps
        First and last lag of the fit; by default that of the lateral displacement of all ions, which grows linearly
        even where the normal one bends, up to the lag at which some region's ions have begun to leave. A transient of
        the whole is left out.
    longest_lag_share
        Last lag as a share of the run, where ``window_ps`` is not given.
    n_blocks
        Blocks of time for the uncertainty.
    drift
        What is held still: the species that do not move (``framework``), or some by name. Regions follow it.
    frame
        Three orthonormal directions in rows, the third the normal of the boundary; if None two directions in the plane
        of the first slab and its normal, or x, y, z where that is z or there is no slab.
    tolerance
        Largest half-width of the 95 % interval of the log–log exponent with which a motion may be called diffusive.
    hop_length_A
        Length of a hop, Å; found from the displacements if None, or 3 Å where these show none.
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
    check_hop_length(hop_length_A)
    frame = _own_frame(regions, trajectory.mean_cell) if frame is None else directions(frame)
    drift_A, _ = reference_drift(trajectory, species, drift)
    positions = (trajectory.positions(species) - drift_A[:, None]) @ frame.T
    window = _window(trajectory, positions, window_ps, share=longest_lag_share, n_blocks=n_blocks)
    cut = _transient(trajectory, positions, window)
    positions = positions[cut:]

    run = RegionRun(trajectory[cut:], species, regions, drift_A[cut:], frame, n_blocks)
    displacements = count_displacements(run, _lags_to_count(window, len(positions)), workers)
    if window_ps is None:
        window = _before_they_leave(displacements, window)
    fitted = _nearest(displacements.lags, window.lags())
    hop = hop_length_A or hop_length(positions, len(positions) // 2)
    hop_found = hop_length_A is None and hop is not None
    occupancy = occupancy_slopes(displacements, fitted)
    measured = _Measured(run, displacements, fitted, occupancy, hop or USUAL_HOP_A, hop_found)

    temperature = trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K
    results = {}
    for found in _estimates(measured, estimators):
        _check_counted(measured, found.slopes, found.region, found.estimator)
        result = _result(measured, found, _verdict(measured, found, tolerance, cut))
        results[result.region, result.estimator] = replace(result, temperature_K=temperature, charge=charge)
    return results


def _own_frame(regions: Mapping[str, Region], cell: np.ndarray) -> np.ndarray:
    """Two directions in the plane of the first slab and its normal; x, y, z where that is z or there is no slab."""
    axis = next((region.axis for region in regions.values() if isinstance(region, Slab)), None)
    if axis is None:
        return np.eye(3)
    normal = np.linalg.inv(cell)[:, axis] / np.linalg.norm(np.linalg.inv(cell)[:, axis])
    if np.abs(normal[2]) > PARALLEL:
        return np.eye(3)
    first = cell[(axis + 1) % 3] / np.linalg.norm(cell[(axis + 1) % 3])
    return np.stack([first, np.cross(normal, first), normal])


# ---- lags ----------------------------------------------------------------------------------------------------------


def _window(
    trajectory: Trajectory, positions: np.ndarray, window_ps: tuple[float, float] | None, *, share: float, n_blocks: int
) -> Window:
    """The window that is given, or that of the lateral displacement of all ions."""
    if window_ps is None:
        window = fit_window(positions, share=share, n_blocks=n_blocks, directions=slice(0, 2)).window
    else:
        first, last = (max(1, round(w / trajectory.interval_ps)) for w in window_ps)
        window = Window(first, last)
    if not window.first < window.last < trajectory.n_frames // 2:
        raise ValueError(f"window_ps {window_ps} must hold two lags within half of the run")
    return window


def _transient(trajectory: Trajectory, positions: np.ndarray, window: Window) -> int:
    """Frames to leave out at the beginning; none where the window would be too long for what is left."""
    volume = {"volume": np.abs(np.linalg.det(trajectory.cells))}
    cut, _ = transient(positions, window.first, trajectory.interval_ps, volume)
    return cut if window.last < (trajectory.n_frames - cut) // 2 else 0


def _lags_to_count(window: Window, n_frames: int) -> np.ndarray:
    """Those of the window, shorter and longer ones.

    The time spent in each region is an integral over lags, from the shortest on; the verdict wants half of the run.
    """
    dense = np.unique(np.rint(np.geomspace(1, window.last, _DENSE_LAGS)).astype(int))
    return np.union1d(np.union1d(window.lags(), spread_lags(window.first, n_frames // 2)), dense)


def _before_they_leave(displacements: RegionDisplacements, window: Window) -> Window:
    """The window up to the lag at which ions of some region have begun to leave; vibrations across the edge aside."""
    share, lags = displacements.still_there, displacements.lags
    stay = np.all(share >= _STILL_THERE * share[lags == window.first], axis=1)
    limit = max(lags[stay].max(initial=0), _SHORTEST_WINDOW * window.first)
    return Window(window.first, int(lags[lags <= min(limit, window.last)].max()))


def _nearest(lags: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the lags that were counted stand for those wanted."""
    distance = np.abs(np.log(lags)[:, None] - np.log(wanted))
    chosen = np.zeros(len(lags), bool)
    chosen[np.argmin(distance, axis=0)] = True
    return chosen


# ---- verdict and results -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Measured:
    """What all estimators share: the run and its regions, what was counted and which lags are fitted, the slopes of
    ``occupancy``, and the length of a hop and whether the displacements show it.
    """

    run: RegionRun
    displacements: RegionDisplacements
    fitted: np.ndarray
    occupancy: RegionSlopes
    hop_A: float
    hop_found: bool

    @property
    def names(self) -> list[str]:
        """Of the regions, and of what is left over if ions are there."""
        return [*self.run.regions, ELSEWHERE][: len(self.displacements.present)]

    @property
    def window(self) -> Window:
        """First and last lag that is fitted."""
        lags = self.displacements.lags[self.fitted]
        return Window(int(lags[0]), int(lags[-1]))


@dataclass(frozen=True)
class _Found:
    """Slopes by one estimator, of which those of one region, by its number, are meant; what ``propagator`` found."""

    estimator: str
    region: int
    slopes: RegionSlopes
    normal: Propagated | None = None


def _estimates(measured: _Measured, estimators: Sequence[str]) -> list[_Found]:
    """What each estimator finds of the regions, and of what no region holds where ``occupancy`` is asked for."""
    asked = range(len(measured.names if _OCCUPANCY in estimators else measured.run.regions))
    found = []
    for estimator in estimators:
        if estimator == _PROPAGATOR:
            for r in range(len(measured.names)):
                _check_counted(measured, measured.occupancy, r, estimator)
            slopes, normals = propagator_slopes(measured.run, measured.occupancy, measured.window.first)
            found += [_Found(estimator, r, slopes, normals[r]) for r in asked if r in normals]
        else:
            together = estimator == _OCCUPANCY
            slopes = measured.occupancy if together else line_slopes(measured.displacements, measured.fitted, estimator)
            found += [_Found(estimator, r, slopes) for r in asked]
    return found


def _blocks_of(slopes: RegionSlopes, r: int) -> np.ndarray:
    """Slopes of the blocks in which the region was seen throughout, ``(n, 3)``."""
    blocks = slopes.blocks[:, r]
    return blocks[np.isfinite(blocks).all(axis=1)]


def _check_counted(measured: _Measured, slopes: RegionSlopes, r: int, estimator: str) -> None:
    """Raise ValueError where displacements of a region are too few for a slope or for its error."""
    if len(_blocks_of(slopes, r)) < 2 or not np.isfinite(slopes.whole[r]).all():
        longest_ps = measured.window.last * measured.run.trajectory.interval_ps
        raise ValueError(
            f"too few displacements of {estimator!r} in region {measured.names[r]!r} up to {longest_ps:g} ps: "
            "shorten window_ps, widen the region or leave the estimator out"
        )


def _is_seen(slopes: RegionSlopes, r: int) -> bool:
    """Whether the 95 % interval of the diffusivity lies above zero."""
    return bool(from_blocks(slopes.whole[r].mean(), _blocks_of(slopes, r).mean(axis=1)).interval()[0] > 0)


def _verdict(measured: _Measured, found: _Found, tolerance: float, cut: int) -> Verdict:
    """The verdict on a region: the tests of :mod:`aiida_lpsgb.analysis.verdict` on the motion of its own ions.

    All of them are by ``occupancy``; diffusion shall be seen by the estimator as well. How far ions have come is the
    displacement at the region's rate in the time they spend in it within half of the run; the displacement shall be
    linear in the times spent in the regions, weighted with their lateral diffusivities.
    """
    slopes, displacements, interval = measured.occupancy, measured.displacements, measured.run.trajectory.interval_ps
    r = found.region
    parts = _blocks_of(slopes, r)
    if len(parts) < _FEWEST_BLOCKS or not np.isfinite(slopes.whole).all():
        return Verdict(diffusive=False, sentence="not diffusive yet: too few displacements to tell")
    steady = {"displacement": steadiness(parts.mean(axis=1) * (A2_PS_TO_CM2_S / interval / 2))}
    ions = displacements.present[r] / displacements.n_frames
    gone = max(float(slopes.whole[r].sum() * slopes.time[-1, r, r]), 0.0)
    needed = min(IONS_THAT_HOP, max(1, round(ions / 2)))
    hopped = int(ions * min(1.0, gone / measured.hop_A**2))
    reach = Reach(measured.hop_A, measured.hop_found, gone, gone, hopped, needed)
    seen = _is_seen(slopes, r) and _is_seen(found.slopes, r)
    trend = _lateral_trend(measured, r)
    lags = (measured.window.first * interval, int(displacements.lags[-1]) * interval)
    return judge(trend, lags, seen, reach, steady, exponent_tolerance=tolerance, cut_ps=cut * interval)


def _lateral_trend(measured: _Measured, r: int) -> Trend:
    """How the lateral displacement of a region's ions goes on, in the time they spend weighted with where they do."""
    slopes, lags, n_frames = measured.occupancy, measured.displacements.lags, measured.displacements.n_frames
    lateral = slopes.whole[:, :2].sum(axis=1)
    _, variance = line_weights(lags[measured.fitted], n_frames, slopes.noise[r])
    lines = Lines(slopes.whole[r, :2], _blocks_of(slopes, r)[:, :2], 0.0, 1.0, slopes.noise[r], variance)
    if lateral[r] <= 0:
        return Trend(np.nan, np.inf, np.nan, np.inf, lines.dof)
    long = lags >= measured.window.first
    times = slopes.time[:, r] @ np.maximum(lateral, 0.0) / lateral[r]
    tagged = measured.displacements.tagged
    number = np.maximum(tagged.number[:, r].sum(axis=1), 1)
    msd = tagged.squares_A2[:, r, :, :2].sum(axis=(1, 2)) / number
    return slope_trend(msd[long], lags[long], lines, n_frames, times[long])


def _result(measured: _Measured, found: _Found, verdict: Verdict) -> RegionDiffusivity:
    """The slopes of one region by one estimator as diffusivities, with what was counted for them."""
    run, displacements, slopes = measured.run, measured.displacements, found.slopes
    r, name, estimator = found.region, measured.names[found.region], found.estimator
    trajectory, interval = run.trajectory, run.trajectory.interval_ps
    unit = A2_PS_TO_CM2_S / interval / 2
    whole, parts = slopes.whole[r] * unit, _blocks_of(slopes, r) * unit
    bias = np.array([0.0, 0.0, found.normal.bias if found.normal else 0.0])

    def estimate(chosen: slice) -> Estimate:
        value = from_blocks(whole[chosen].mean(), parts[:, chosen].mean(axis=1))
        return replace(value, error=float(np.hypot(value.error, bias[chosen].mean())))

    shown = displacements.lags <= measured.window.last
    counted = displacements.counted_by(estimator)
    counts = counted.number[shown, r].sum(axis=1)
    mean_ions, leaves = displacements.present[r] / displacements.n_frames, displacements.leaves[r]
    total = estimate(slice(None))
    jump_limit = 3 * measured.hop_A**2 / (6 * mean_ions * trajectory.duration_ps) * A2_PS_TO_CM2_S
    return RegionDiffusivity(
        species=run.species,
        region=name,
        estimator=estimator,
        total=total,
        components=tuple(estimate(slice(k, k + 1)) for k in range(3)),
        lateral=estimate(slice(0, 2)),
        isotropy=_isotropy(whole, parts, bias[2]),
        verdict=verdict,
        detected=bool(total.interval()[0] > 0 and total.value > jump_limit),
        upper_limit_cm2_s=max(total.upper_limit(), jump_limit),
        duration_ps=trajectory.duration_ps,
        mean_ions=float(mean_ions),
        residence_ps=float(displacements.present[r] / leaves * interval) if leaves else np.inf,
        still_there=float(displacements.still_there[shown, r][-1]),
        number_density_A3=mean_ions / (_share(run, name) * trajectory.mean_volume_A3),
        window_ps=(measured.window.first * interval, measured.window.last * interval),
        lags_ps=displacements.lags[shown] * interval,
        msd_A2=counted.squares_A2[shown, r].sum(axis=1) / np.maximum(counts, 1)[:, None],
        counts=counts.astype(int),
        propagated=found.normal,
        frame=run.frame,
    )


def _share(run: RegionRun, name: str) -> float:
    """Share of the cell's volume that a region takes, or what no region holds."""
    shares = {other: region.share(run.trajectory.mean_cell) for other, region in run.regions.items()}
    return 1 - sum(shares.values()) if name == ELSEWHERE else shares[name]


def _isotropy(whole: np.ndarray, parts: np.ndarray, bias: float) -> Estimate:
    """Normal over the larger lateral component; unknown where the latter is not above zero."""
    side = int(np.argmax(whole[:2]))
    if from_blocks(whole[side], parts[:, side]).interval()[0] <= 0:
        return UNKNOWN
    found = ratio_from_blocks(parts[:, 2], parts[:, side], whole[2] / whole[side])
    return replace(found, error=float(np.hypot(found.error, bias / whole[side])))
