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

Use ``occupancy``. Along the boundary it is right at any lag; along the normal, and so in the mean over directions, an
estimator is right only at lags within which few ions have left. A window that is not given ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_lpsgb.analysis._motion import regional
from aiida_lpsgb.analysis.diffusion import lateral_window, reference_drift
from aiida_lpsgb.analysis.estimates import Estimate, finite, from_blocks, ratio_from_blocks
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Motion, Verdict
from aiida_lpsgb.analysis.msd import Window, brownian_covariance
from aiida_lpsgb.analysis.parallel import map_frames
from aiida_lpsgb.analysis.regions import Region
from aiida_lpsgb.analysis.trajectory import Trajectory, transform

ESTIMATORS = ("tagged", "both_ends", "continuous", "occupancy")
ELSEWHERE = "elsewhere"
"""Name of what no region holds."""

_IONS_A_BATCH = 128
_DENSE_LAGS = 40
# A window that is not given ends where fewer ions of a region are in it again than this share of those at its first
# lag, yet not before this many times the first lag.
_STILL_THERE = 0.97
_SHORTEST_WINDOW = 4


@dataclass(frozen=True, kw_only=True)
class RegionDiffusivity(Motion):
    """Diffusion of one region by one estimator.

    Attributes
    ----------
    mean_ions
        Ions in the region at a time.
    residence_ps
        Mean time between entering and leaving; ions that vibrate across the edge enter and leave.
    still_there
        Share of the ions of the region that are in it again at the end of the window; the more have left, the further
        too low is D along the normal.
    counts
        Displacements counted at each lag.
    """

    mean_ions: float
    residence_ps: float
    still_there: float
    counts: np.ndarray

    def scalars(self) -> dict[str, Any]:
        """All scalars: JSON types, units in the keys, None for what is not known."""
        numbers = {name: finite(getattr(self, name)) for name in ("mean_ions", "residence_ps", "still_there")}
        return super().scalars() | numbers

    def arrays(self) -> dict[str, np.ndarray]:
        """``lags_ps``, ``msd_A2`` (by component) and ``counts`` of the displacements the estimator counts."""
        return super().arrays() | {"counts": self.counts}


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
        As for :func:`aiida_lpsgb.analysis.diffusion.diffusivity`; the window defaults to the lateral one of all ions,
        up to the lag at which some region's ions have begun to leave.
    frame
        Three orthonormal directions in rows, the third the normal of the boundary; x, y, z if None.
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
    if window_ps is None:
        options = {"longest_lag_share": longest_lag_share, "n_blocks": n_blocks, "drift": drift, "frame": frame}
        window = lateral_window(trajectory, species, **options)
        first, last = window.first, window.last
    else:
        first, last = (max(1, round(w / trajectory.interval_ps)) for w in window_ps)
    if not first < last < trajectory.n_frames // 2:
        raise ValueError(f"window_ps {window_ps} must hold two lags within half of the run")
    lags = Window(first, last).lags()
    if "occupancy" in estimators:
        # The time spent in each region is an integral over lags, from the shortest on.
        lags = np.union1d(lags, np.unique(np.rint(np.geomspace(1, last, _DENSE_LAGS)).astype(int)))
    sums = _accumulate(trajectory, species, regions, lags, "occupancy" in estimators, n_blocks, drift, frame, workers)
    if window_ps is None:
        last = _before_they_leave(sums, lags, first, last)
    fitted = (lags >= first) & (lags <= last)
    names = [*regions, ELSEWHERE][: len(sums.present)]
    results = {}
    for estimator in estimators:
        slopes, blocks = _ESTIMATE[estimator](sums, lags, fitted, trajectory.n_frames)
        for r, name in enumerate(names):
            results[name, estimator] = _result(
                trajectory, name, estimator, regions, slopes[r], blocks[:, r], sums, r, lags, (first, last)
            )
    temperature = trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K
    own = {"species": species, "temperature_K": temperature, "charge": charge}
    own["frame"] = np.eye(3) if frame is None else np.asarray(frame, float)
    return {key: replace(result, **own) for key, result in results.items()}


def _accumulate(trajectory, species, regions, lags, elsewhere: bool, n_blocks: int, drift, frame, workers) -> _Sums:
    """Decode, label and count, some ions at a time; what no region holds counts as one more region if ``elsewhere``."""
    cell = trajectory.mean_cell
    frame = np.eye(3) if frame is None else np.asarray(frame, float)
    turn = (cell @ frame.T).astype(np.float32)
    moved = (reference_drift(trajectory, species, drift)[0] @ frame.T).astype(np.float32)
    edges = -(-np.arange(n_blocks + 1) * trajectory.n_frames // n_blocks)
    n_regions = len(regions) + elsewhere

    def count(ions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scaled = trajectory.scaled(indices=ions, dtype=np.float32)
        labels = _labels(scaled, regions, cell)
        positions = transform(scaled, turn)
        positions -= moved[:, None]
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


def _inverse_covariance(lags: np.ndarray, n_frames: int) -> np.ndarray:
    covariance = brownian_covariance(lags, n_frames)
    scale = np.sqrt(np.diag(covariance))
    return np.linalg.pinv(covariance / np.outer(scale, scale), rcond=1e-8, hermitian=True) / np.outer(scale, scale)


def _lines(total: np.ndarray, count: np.ndarray, lags: np.ndarray, fitted: np.ndarray, n_frames: int):
    """Slopes of lines: whole ``(n_regions, 3)``, blocks ``(n_blocks, n_regions, 3)``."""
    weight = _inverse_covariance(lags[fitted], n_frames)
    design = np.stack([np.ones(fitted.sum()), lags[fitted]], axis=1).astype(float)
    n_regions, n_blocks = count.shape[1:]

    def slope(values: np.ndarray, number: np.ndarray) -> np.ndarray:
        if np.any(number == 0):
            return np.full(3, np.nan)
        return _fit(design, values / number[:, None], weight)[1]

    whole = [slope(total[fitted, r].sum(axis=1), count[fitted, r].sum(axis=1)) for r in range(n_regions)]
    blocks = [[slope(total[fitted, r, b], count[fitted, r, b]) for r in range(n_regions)] for b in range(n_blocks)]
    return np.array(whole), np.array(blocks)


def _tagged(sums: _Sums, lags, fitted, n_frames):
    return _lines(sums.tagged, sums.n_tagged, lags, fitted, n_frames)


def _both_ends(sums: _Sums, lags, fitted, n_frames):
    return _lines(sums.both, sums.n_both, lags, fitted, n_frames)


def _continuous(sums: _Sums, lags, fitted, n_frames):
    return _lines(sums.stayed, sums.n_stayed, lags, fitted, n_frames)


def _occupancy(sums: _Sums, lags, fitted, n_frames):
    """Joint fit of the tagged displacements of all regions with the time spent in each."""
    n_regions, n_blocks = sums.n_tagged.shape[1:]
    weight = np.kron(np.eye(n_regions), _inverse_covariance(lags[fitted], n_frames))

    def slopes(total: np.ndarray, number: np.ndarray, went: np.ndarray) -> np.ndarray:
        if np.any(number[fitted] == 0):
            return np.full((n_regions, 3), np.nan)
        stay = went / np.maximum(number, 1)[:, :, None]  # (lags, from, to)
        start = np.eye(n_regions)[None]
        # The time spent is the integral of the chance to be there; both are counted, lag by lag.
        chance = np.concatenate([start, stay])
        knots = np.concatenate([[0], lags]).astype(float)
        pieces = 0.5 * (chance[1:] + chance[:-1]) * np.diff(knots)[:, None, None]
        time = np.cumsum(pieces, axis=0)[fitted]
        n = int(fitted.sum())
        design = np.zeros((n_regions * n, 2 * n_regions))
        values = np.zeros((n_regions * n, 3))
        for r in range(n_regions):
            rows = slice(r * n, (r + 1) * n)
            design[rows, r] = 1.0
            design[rows, n_regions:] = time[:, r]
            values[rows] = (total / np.maximum(number, 1)[..., None])[fitted, r]
        return _fit(design, values, weight)[n_regions:]

    whole = slopes(sums.tagged.sum(axis=2), sums.n_tagged.sum(axis=2), sums.went.sum(axis=3))
    blocks = [slopes(sums.tagged[:, :, b], sums.n_tagged[:, :, b], sums.went[..., b]) for b in range(n_blocks)]
    return whole, np.array(blocks)


_ESTIMATE = {"tagged": _tagged, "both_ends": _both_ends, "continuous": _continuous, "occupancy": _occupancy}


def _result(trajectory, name, estimator, regions, slope, blocks, sums, r, lags, window) -> RegionDiffusivity:
    interval = trajectory.interval_ps
    unit = A2_PS_TO_CM2_S / interval / 2
    whole, parts = slope * unit, blocks * unit
    parts = parts[np.isfinite(parts).all(axis=1)]
    if len(parts) < 2 or not np.isfinite(whole).all():
        raise ValueError(
            f"too few displacements of {estimator!r} in region {name!r} up to {window[1] * interval:g} ps: "
            "shorten window_ps, widen the region or leave the estimator out"
        )
    total, number = {
        "both_ends": (sums.both, sums.n_both),
        "continuous": (sums.stayed, sums.n_stayed),
    }.get(estimator, (sums.tagged, sums.n_tagged))
    counts = number[:, r].sum(axis=1)
    cell = trajectory.mean_cell
    share = 1 - sum(g.share(cell) for g in regions.values()) if name == ELSEWHERE else regions[name].share(cell)
    mean_ions, leaves = sums.present[r] / trajectory.n_frames, sums.leaves[r]
    side = int(np.argmax(whole[:2]))
    isotropy = (
        ratio_from_blocks(parts[:, 2], parts[:, side], whole[2] / whole[side])
        if whole[side] > 0
        else Estimate(np.nan, np.nan, len(parts) - 1)
    )
    total_d = from_blocks(whole.mean(), parts.mean(axis=1))
    return RegionDiffusivity(
        species="",
        region=name,
        estimator=estimator,
        total=total_d,
        verdict=Verdict(diffusive=total_d.interval()[0] > 0, sentence=""),
        detected=total_d.interval()[0] > 0,
        upper_limit_cm2_s=total_d.upper_limit(),
        components=tuple(from_blocks(whole[k], parts[:, k]) for k in range(3)),
        lateral=from_blocks(whole[:2].mean(), parts[:, :2].mean(axis=1)),
        isotropy=isotropy,
        mean_ions=float(mean_ions),
        residence_ps=float(sums.present[r] / leaves * interval) if leaves else np.inf,
        still_there=float(_still_there(sums)[lags <= window[1], r][-1]),
        number_density_A3=mean_ions / (share * trajectory.mean_volume_A3),
        window_ps=(window[0] * interval, window[1] * interval),
        lags_ps=lags * interval,
        msd_A2=total[:, r].sum(axis=1) / np.maximum(counts, 1)[:, None],
        counts=counts.astype(int),
    )
