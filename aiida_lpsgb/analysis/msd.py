r"""Mean-squared displacements, and lines through them with errors that know how correlated the data are.

The mean-squared displacement of eq. (1) of Jalem et al., Energy Adv. 2, 2029 (2023), over all time origins
(windowed), is had for all lags at once by Fourier transform (Calandrini et al., Collection SFN 12, 201 (2011)).

* **Slope.** Generalised least squares of a line with intercept, with the covariance of overlapping displacements of
  Brownian motion with white noise of the vibrations on top (Michalet, Phys. Rev. E 82, 041914 (2010)).
* **Trend.** The same with a slope that may go on changing with the lag, :math:`dM/d\tau \propto \tau^{\gamma}`, up to
  half of the run: :math:`1+\gamma` is the log–log exponent of the displacement without the plateau of the vibrations,
  one for diffusion.
* **Window.** The fit begins at the earliest lag :math:`\tau_0` from which :math:`\gamma` is zero within its error, and
  from which the slope agrees with those from all later lags within the error of the difference (Lepski's rule: the bias
  of starting early is then below the noise of starting late). It ends at a stated share of the run, or at twice or four
  times that where no lag qualifies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, stats

_ATOMS_A_BATCH = 64
_LAGS_FITTED = 24
_CANDIDATES = 10
LONGEST_SHARE = 0.4
_AGREEMENT = 3.0
"""Within how many standard errors the slopes from later lags must agree with that from an earlier one."""
_BLOCKS_THAT_TELL = 5  # how large an error is
_LEVEL = 0.95  # of the interval of the exponent that must hold one


def mean_squared_displacement(positions: np.ndarray, workers: int = 1) -> np.ndarray:
    """Mean-squared displacement over all time origins and atoms, by component, at every lag.

    Parameters
    ----------
    positions
        Unwrapped positions at even times, Å, shape ``(n_frames, n_atoms, 3)``.
    workers
        Threads.

    Returns
    -------
    numpy.ndarray
        Å², shape ``(n_frames, 3)``; row *m* belongs to a lag of *m* frames. The sum over components is the usual total.
    """
    positions = np.asarray(positions)
    if positions.ndim != 3 or positions.shape[2] != 3 or not positions.size:
        raise ValueError(
            f"positions must have shape (n_frames, n_atoms, 3) and hold something, found {positions.shape}"
        )
    n_frames, n_atoms, _ = positions.shape
    size = fft.next_fast_len(2 * n_frames, real=True)
    power = np.zeros((3, size // 2 + 1))
    squares = np.zeros((3, n_frames))
    for low in range(0, n_atoms, _ATOMS_A_BATCH):
        batch = positions[:, low : low + _ATOMS_A_BATCH]
        # Small numbers lose less to rounding: sum and correlation of squares cancel in the end.
        x = np.ascontiguousarray((batch - batch[:1]).transpose(2, 1, 0), dtype=float)
        squares += np.einsum("kif,kif->kf", x, x)
        spectrum = fft.rfft(x, size, overwrite_x=True, workers=workers).view(float)
        # Real and imaginary parts alternate: |X|² is the sum of neighbours.
        power += np.einsum("kif,kif->kf", spectrum, spectrum).reshape(3, -1, 2).sum(axis=2)
    correlation = fft.irfft(power, size)[:, :n_frames]
    ends = np.zeros((3, n_frames))
    ends[:, 1:] = np.cumsum(squares[:, :-1] + squares[:, :0:-1], axis=1)
    total = 2 * squares.sum(axis=1, keepdims=True) - ends
    origins = np.arange(n_frames, 0, -1)
    msd = (total - 2 * correlation) / (origins * n_atoms)
    msd[:, 0] = 0.0
    return np.maximum(msd, 0.0).T


@dataclass(frozen=True)
class Window:
    """Lags, in frames, between which a line is fitted."""

    first: int
    last: int

    def lags(self) -> np.ndarray:
        """The lags that are fitted, frames: evenly spread on a logarithmic scale."""
        return spread_lags(self.first, self.last)


def spread_lags(first: int, last: int) -> np.ndarray:
    """Whole lags from ``first`` to ``last``, evenly spread on a logarithmic scale."""
    return np.unique(np.rint(np.geomspace(first, last, _LAGS_FITTED)).astype(int))


@dataclass(frozen=True)
class Lines:
    """Lines through the displacement of the whole and of its blocks.

    Attributes
    ----------
    whole, blocks
        Slopes a frame, ``(…)`` and ``(n_blocks, …)``.
    intercept
        Of the total.
    gain
        By what factor the whole run's standard error falls below that of the mean of its blocks, which lose the
        displacements across their borders.
    noise
        Variance of the vibrations in units of the variance of a step.
    variance
        Of the total's slope in the units of :func:`brownian_covariance`.
    """

    whole: np.ndarray
    blocks: np.ndarray
    intercept: float
    gain: float
    noise: float
    variance: float

    @property
    def slope(self) -> float:
        """Slope of the total, Å² a frame."""
        return float(np.sum(self.whole))

    @property
    def error(self) -> float:
        """Standard error of the slope of the total."""
        parts = self.blocks.reshape(len(self.blocks), -1).sum(axis=1)
        return float(self.gain * parts.std(ddof=1) / np.sqrt(len(parts)))

    @property
    def dof(self) -> int:
        """Degrees of freedom of the error."""
        return len(self.blocks) - 1


@dataclass(frozen=True)
class Trend:
    """How the slope of the displacement changes with the lag, up to half of the run.

    Attributes
    ----------
    exponent, exponent_error
        Log–log exponent of the displacement beyond the plateau and its standard error; 1 for diffusion.
    slope, slope_error
        Slope at the longest lag, Å² a frame, and its standard error.
    dof
        Degrees of freedom of the errors.
    """

    exponent: float
    exponent_error: float
    slope: float
    slope_error: float
    dof: int

    @property
    def straight(self) -> bool:
        """Whether the exponent is one within its error."""
        return abs(self.exponent - 1) <= stats.t.ppf(0.5 + _LEVEL / 2, self.dof) * self.exponent_error


def brownian_covariance(lags: Sequence[int], n_frames: int, noise: float = 0.0) -> np.ndarray:
    """Covariance of windowed mean-squared displacements of one coordinate of Brownian motion seen through white noise.

    Parameters
    ----------
    lags
        Lags, frames.
    n_frames
        Length of the trajectory.
    noise
        Variance of the white noise in units of the variance of a step of the Brownian motion.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_lags, n_lags)``, in units of the squared variance of a step.
    """
    parts = _covariance_parts(tuple(int(n) for n in lags), n_frames)
    return parts[0] + noise * parts[1] + noise**2 * parts[2]


@lru_cache(maxsize=256)
def _covariance_parts(lags: tuple[int, ...], n_frames: int) -> np.ndarray:
    """Coefficients of the covariance as a polynomial in the noise, shape ``(3, n_lags, n_lags)``."""
    parts = np.empty((3, len(lags), len(lags)))
    for a, n in enumerate(lags):
        for b, m in enumerate(lags[: a + 1]):
            shift = np.arange(-m, n + 1)  # of the origin of the second displacement against that of the first
            common = np.maximum(0, np.minimum(n, shift + m) - np.maximum(0, shift))
            ends = np.zeros(len(shift))
            for where, sign in ((0, 1), (n - m, 1), (n, -1), (-m, -1)):
                ends[where + m] += sign
            pairs = np.minimum(n_frames - n, n_frames - m - shift) - np.maximum(0, -shift)
            pairs = 2 * np.maximum(0, pairs) / ((n_frames - n) * (n_frames - m))
            for power, term in enumerate((common**2, 2 * common * ends, ends**2)):
                parts[power, a, b] = parts[power, b, a] = pairs @ term
    return parts


def inverse_covariance(covariance: np.ndarray) -> np.ndarray:
    """Inverse of a covariance of lags, shape ``(n_lags, n_lags)``, whose neighbours may be all but the same."""
    deviations = np.sqrt(np.diag(covariance))
    scale = np.outer(deviations, deviations)
    return np.linalg.pinv(covariance / scale, rcond=1e-10, hermitian=True) / scale


def _gls_weights(design: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Weights ``(n_parameters, n_lags)`` of generalised least squares."""
    inverse = inverse_covariance(covariance)
    return np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)


def line_weights(lags: np.ndarray, n_frames: int, noise: float) -> tuple[np.ndarray, float]:
    """Weights ``(2, n_lags)`` of intercept and slope, and the slope's variance."""
    covariance = brownian_covariance(lags, n_frames, noise)
    weights = _gls_weights(np.stack([np.ones(len(lags)), lags.astype(float)], axis=1), covariance)
    return weights, float(weights[1] @ covariance @ weights[1])


def fit_lines(msd: np.ndarray, block_msd: np.ndarray, window: Window, n_frames: int) -> Lines:
    """Fit lines to the displacement of the whole ``(n_lags, …)`` and of the blocks ``(n_blocks, n_lags, …)``.

    The displacements of all components share one set of weights.
    """
    lags = window.lags()
    points, parts = msd[lags], block_msd[:, lags]
    total = points if points.ndim == 1 else points.sum(axis=1)
    slope, intercept = np.polyfit(lags, total, 1)
    noise = 0.0
    for _ in range(2):
        # The line itself tells how much of the displacement is vibration.
        noise = float(np.clip(intercept / (2 * slope), 0.0, 1e6)) if slope > 0 else 1e6
        weights, variance = line_weights(lags, n_frames, noise)
        intercept, slope = weights @ total
    block_weights, block_variance = line_weights(lags, block_msd.shape[1], noise)
    gain = np.sqrt(variance / (block_variance / len(block_msd)))
    blocks = np.einsum("l,bl...->b...", block_weights[1], parts)
    return Lines(weights[1] @ points, blocks, float(intercept), float(gain), noise, variance)


def slope_trend(
    msd: np.ndarray,
    lags: np.ndarray,
    lines: Lines,
    n_frames: int,
    times: np.ndarray | None = None,
) -> Trend:
    """Follow the displacement from the first lag of a window to the longest.

    Parameters
    ----------
    msd
        Total mean-squared displacement at the lags, Å².
    lags
        Lags, frames.
    lines
        The lines fitted in the window, whose blocks tell how large the errors are.
    n_frames
        Length of the run.
    times
        What the displacement should be linear in, frames; the lags if None.
    """
    times = np.asarray(lags if times is None else times, float)
    # The slope is a + c ln(τ / longest): its integral is linear in the two.
    design = np.stack([np.ones(len(lags)), times, times * np.log(times / times[-1]) - times], axis=1)
    covariance = brownian_covariance(lags, n_frames, lines.noise)
    weights = _gls_weights(design, covariance)
    _, slope, change = weights @ msd
    errors = np.sqrt(np.diag(weights @ covariance @ weights.T)[1:] / lines.variance) * lines.error
    scale = max(abs(lines.slope), 1e-300)
    return Trend(1 + float(change / scale), float(errors[1] / scale), float(slope), float(errors[0]), lines.dof)


@dataclass(frozen=True)
class Fit:
    """A window with its lines, the trend beyond it, and the displacements of the whole and of the blocks."""

    window: Window
    lines: Lines
    trend: Trend
    msd: np.ndarray
    block_msd: np.ndarray

    def settled(self) -> tuple[float, float]:
        """What the slope at the longest lags says of that of the line.

        The line begins early and is sharp; the slope at the longest lags is where the motion ends, and blunt. As the
        line is the efficient estimate where both estimate the same, their difference has the variance by which the
        later one is worse (Hausman, Econometrica 46, 1251 (1978)). What it exceeds is taken for bias, and taken off in
        proportion (James & Stein).

        Returns
        -------
        factor : float
            By which the slope is to be multiplied; one where the difference is no larger than its error.
        error : float
            Standard error of that, as a share of the slope.
        """
        slope, difference = self.lines.slope, self.trend.slope - self.lines.slope
        variance = self.trend.slope_error**2 - self.lines.error**2
        known = self.trend.straight and self.lines.dof >= _BLOCKS_THAT_TELL - 1 and slope > 0
        if not known or variance <= 0 or difference**2 <= variance:
            return 1.0, 0.0
        share = 1 - variance / difference**2
        return 1 + share * difference / slope, float(np.sqrt(share * variance)) / slope


def fit_window(
    positions: np.ndarray,
    given: tuple[int, int] | None = None,
    *,
    share: float = 0.08,
    n_blocks: int = 10,
    directions: slice = slice(None),
    workers: int = 1,
) -> Fit:
    """Find the window, unless it is given, and fit it.

    Parameters
    ----------
    positions
        Unwrapped positions, Å, shape ``(n_frames, n_ions, 3)``.
    given
        First and last lag, frames, if they are not to be found.
    share
        Last lag as a share of the run; doubled, up to twice, as long as no first lag qualifies.
    n_blocks
        Blocks of time for the errors; fewer are taken if a block would be shorter than 1.25 times the last lag.
    directions
        Which components count.
    workers
        Threads.
    """
    n_frames = len(positions)
    msd = mean_squared_displacement(positions, workers)[:, directions]

    def fitted(last: int, starts: Sequence[int]) -> list[Fit]:
        blocks = [mean_squared_displacement(positions[a:b], workers) for a, b in block_edges(n_frames, last, n_blocks)]
        block_msd = np.stack(blocks)[..., directions]
        fits = []
        for first in starts:
            window = Window(int(first), last)
            lines = fit_lines(msd, block_msd, window, n_frames)
            lags = spread_lags(window.first, n_frames // 2)
            trend = slope_trend(msd[lags].sum(axis=1), lags, lines, n_frames)
            fits.append(Fit(window, lines, trend, msd, block_msd))
        return fits

    if given is not None:
        return fitted(given[1], [given[0]])[0]
    for factor in (1, 2, 4):
        last = max(4, int(min(factor * share, max(share, LONGEST_SHARE)) * n_frames))
        starts = np.unique(np.rint(np.geomspace(1, max(1, last // 2), _CANDIDATES)).astype(int))
        fits = fitted(last, starts)
        if (found := _earliest(fits)) is not None:
            return found
    return fits[-1]


def _earliest(fits: Sequence[Fit]) -> Fit | None:
    """The fit of the earliest lag that qualifies, or None."""
    slopes = np.array([fit.lines.slope for fit in fits])
    blocks = np.array([fit.lines.blocks.sum(axis=1) for fit in fits])
    starts = [fit.window.first for fit in fits]
    for k, fit in enumerate(fits):
        spread = np.std(blocks[k:] - blocks[k], axis=1, ddof=1) / np.sqrt(blocks.shape[1])
        if fit.trend.straight and np.all(np.abs(slopes[k:] - slopes[k]) <= _AGREEMENT * spread):
            # Twice the lag that qualifies: what is left of the early motion fades fast, and was just below the noise.
            safe = fits[int(np.searchsorted(starts, min(2 * starts[k], starts[-1])))]
            return safe if safe.trend.straight else fit
    return None


def block_edges(n_frames: int, last: int, n_blocks: int) -> list[tuple[int, int]]:
    """First and last frame of blocks that are long enough for a last lag; frames left over stay out of them."""
    count = min(n_blocks, int(n_frames / (1.25 * last)))
    if count < 2:
        raise ValueError(
            f"the last lag ({last} frames) leaves no two blocks in {n_frames} frames: shorten window_ps or run longer"
        )
    length = n_frames // count
    return [(k * length, (k + 1) * length) for k in range(count)]
