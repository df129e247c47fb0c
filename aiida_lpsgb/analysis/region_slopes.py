r"""Lines through the displacements of regions: each region for itself, or all together by where ions spend their time.

Lags are weighted with the covariance of Brownian motion seen through the vibrations (:mod:`aiida_lpsgb.analysis.msd`),
whose noise the region's own line tells. Slopes are Å² a frame, twice the diffusivity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_lpsgb.analysis.msd import brownian_covariance, inverse_covariance
from aiida_lpsgb.analysis.region_displacements import RegionDisplacements

_ROUNDS = 3  # of fits, each with the noise of the vibrations that the one before has found, as for the whole cell


@dataclass(frozen=True)
class RegionSlopes:
    """Slopes of the displacement in each region, by component.

    Attributes
    ----------
    whole
        Of the whole run, Å² a frame, shape ``(n_regions, 3)``.
    blocks
        Of the blocks of time, Å² a frame, shape ``(n_blocks, n_regions, 3)``; NaN where a block has too little.
    noise
        Variance of the vibrations in units of that of a step, shape ``(n_regions,)``.
    time
        Time, frames, that ions of a region have spent in each after each lag, shape ``(n_lags, from, to)``; of
        :func:`occupancy_slopes` alone.
    """

    whole: np.ndarray
    blocks: np.ndarray
    noise: np.ndarray
    time: np.ndarray | None = None


def line_slopes(displacements: RegionDisplacements, fitted: np.ndarray, estimator: str) -> RegionSlopes:
    """Lines through the displacements that an estimator counts, each region for itself.

    Parameters
    ----------
    displacements
        What was counted.
    fitted
        Which lags are fitted, shape ``(n_lags,)``.
    estimator
        ``tagged``, ``both_ends`` or ``continuous``.
    """
    sums, n_frames = displacements.counted_by(estimator), displacements.n_frames
    lags, total, count = displacements.lags[fitted], sums.squares_A2[fitted], sums.number[fitted]
    design = _straight(lags)
    n_regions, n_blocks = count.shape[1:]
    noise, whole = [None] * n_regions, np.full((n_regions, 2, 3), np.nan)

    def line(values: np.ndarray, number: np.ndarray, weight: np.ndarray) -> np.ndarray:
        if np.any(number == 0):
            return np.full((2, 3), np.nan)
        return _least_squares(design, values / number[:, None], weight)

    for _ in range(_ROUNDS):
        weights = [_lag_weights(lags, n_frames, level) for level in noise]
        for r, weight in enumerate(weights):
            whole[r] = line(total[:, r].sum(axis=1), count[:, r].sum(axis=1), weight)
        noise = _vibrations(*np.nan_to_num(whole.sum(axis=2)).T)
    blocks = [[line(total[:, r, b], count[:, r, b], weights[r])[1] for r in range(n_regions)] for b in range(n_blocks)]
    return RegionSlopes(whole[:, 1], np.array(blocks), noise)


def occupancy_slopes(displacements: RegionDisplacements, fitted: np.ndarray) -> RegionSlopes:
    """Joint fit of the tagged displacements of all regions with the time spent in each.

    Parameters
    ----------
    displacements
        What was counted; the time is an integral over its lags, so the shortest shall be among them.
    fitted
        Which lags are fitted, shape ``(n_lags,)``.
    """
    lags, sums, went = displacements.lags, displacements.tagged, displacements.went
    n_regions, n_blocks = sums.number.shape[1:]
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
        return _least_squares(design, values, weight)

    everything = sums.squares_A2.sum(axis=2), sums.number.sum(axis=2), went.sum(axis=3)
    for _ in range(_ROUNDS):
        for r, level in enumerate(noise):
            rows = slice(r * n, (r + 1) * n)
            weight[rows, rows] = _lag_weights(lags[fitted], displacements.n_frames, level)
        whole = solve(*everything)
        noise = _vibrations(*np.nan_to_num(whole.sum(axis=1)).reshape(2, n_regions))
    blocks = [solve(sums.squares_A2[:, :, b], sums.number[:, :, b], went[..., b])[n_regions:] for b in range(n_blocks)]
    return RegionSlopes(whole[n_regions:], np.array(blocks), noise, _time_spent(*everything[1:], lags))


def fit_line(lags: np.ndarray, values: np.ndarray, n_frames: int, noise: float | None = None) -> tuple[float, float]:
    """A line through displacements along one direction.

    Parameters
    ----------
    lags
        Frames, shape ``(n_lags,)``.
    values
        Displacements, Å², shape ``(n_lags,)``; NaN is left out.
    n_frames
        Length of the run.
    noise
        Variance of the vibrations in units of that of a step; found if None.

    Returns
    -------
    slope : float
        Å² a frame; NaN where fewer than two displacements are known.
    noise : float
        As given or found.
    """
    known = ~np.isnan(values)
    if known.sum() < 2:
        return np.nan, noise or 0.0
    lags, values = lags[known], values[known, None]
    design = _straight(lags)
    for _ in range(_ROUNDS - 1 if noise is None else 0):
        line = _least_squares(design, values, _lag_weights(lags, n_frames, noise))
        noise = float(_vibrations(line[0], line[1])[0])
    return float(_least_squares(design, values, _lag_weights(lags, n_frames, noise))[1, 0]), noise


def _straight(lags: np.ndarray) -> np.ndarray:
    """Design of a line with intercept, shape ``(n_lags, 2)``."""
    return np.stack([np.ones(len(lags)), lags], axis=1).astype(float)


def _least_squares(design: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted least squares: ``design`` (n, p), ``values`` (n, k), ``weight`` (n, n) the inverse covariance."""
    left = design.T @ weight
    return np.linalg.lstsq(left @ design, left @ values, rcond=1e-12)[0]


def _lag_weights(lags: np.ndarray, n_frames: int, noise: float | None) -> np.ndarray:
    """Inverse covariance of the lags; all alike where the noise is not known yet."""
    if noise is None:
        return np.eye(len(lags))
    return inverse_covariance(brownian_covariance(lags, n_frames, noise))


def _vibrations(intercept: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Variance of the vibrations in units of that of a step, from the lines of the total displacement."""
    moving = slope > 0
    return np.where(moving, np.clip(intercept / (2 * np.where(moving, slope, 1.0)), 0.0, 1e6), 1e6)


def _time_spent(number: np.ndarray, went: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Time, frames, that ions have spent in each region after each lag, ``(n_lags, from, to)``.

    It is the integral of the chance to be there, which is counted lag by lag.
    """
    chance = np.concatenate([np.eye(went.shape[1])[None], went / np.maximum(number, 1)[:, :, None]])
    knots = np.concatenate([[0], lags]).astype(float)
    return np.cumsum(0.5 * (chance[1:] + chance[:-1]) * np.diff(knots)[:, None, None], axis=0)
