r"""Diffusion coefficients from mean-squared displacements, with uncertainties that know how correlated the data are.

The mean-squared displacement of eq. (1) of Jalem et al., Energy Adv. 2, 2029 (2023), over all time origins
(windowed), is had for all lags at once by Fourier transform (Calandrini et al., Collection SFN 12, 201 (2011)).

* **Window.** The fit begins at the earliest lag :math:`\tau_0` beyond which :math:`M(\tau)-M(\tau_0)` grows as
  :math:`(\tau-\tau_0)^\beta` with :math:`|\beta-1|` within a tolerance (the log–log slope of the *excess*, so that
  the plateau of the vibrations, which keeps the plain log–log slope below one for very long, does not matter), and
  from which the fitted slope agrees with those from all later lags within the error of the difference. It ends at a
  stated share of the run; at twice or four times that share where ions, one by one, go on more slowly or faster
  beyond it: those that hop to and fro between neighbouring sites do.
* **Slope.** Generalised least squares of a line with intercept, with the covariance of overlapping displacements of
  Brownian motion with white noise of the vibrations on top (Michalet, Phys. Rev. E 82, 041914 (2010)).
* **Uncertainty.** The spread of the slope over blocks of time, each with all its ions: it makes no assumption about
  how the ions move together, or about the form of the noise, only that blocks are longer than the memory of the motion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import fft

from aiida_lpsgb.analysis.estimates import Estimate, from_blocks, ratio_from_blocks
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Motion, Verdict
from aiida_lpsgb.analysis.trajectory import Trajectory

_ATOMS_A_BATCH = 64
_LAGS_FITTED = 24
_CANDIDATES = 10
_AGREEMENT, _WIDE_AGREEMENT = 2.0, 3.0
_LONGEST_SHARE = 0.4
_BEYOND = 4  # times the last lag of a window: how far the displacement is compared with the fit
_IONS_THAT_TELL = 8


# ---- mean-squared displacements ------------------------------------------------------------------------------------


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


def framework_drift(trajectory: Trajectory, framework: str | Iterable[str]) -> np.ndarray:
    """Displacement of the centre of mass of some species since the first frame, Å, shape ``(n_frames, 3)``."""
    atoms = trajectory.indices(framework)
    weights = trajectory.masses[atoms] / trajectory.masses[atoms].sum()
    centre = np.empty((trajectory.n_frames, 3))
    for low in range(0, trajectory.n_frames, 256):
        centre[low : low + 256] = np.einsum(
            "fai,a->fi", trajectory.positions(None, low, low + 256, indices=atoms), weights
        )
    return centre - centre[0]


def displacements(
    trajectory: Trajectory, species: str | Iterable[str], drift: str | Iterable[str] | None = "framework"
):
    """Unwrapped positions of some species with the drift of the framework removed.

    Parameters
    ----------
    trajectory
        The run.
    species
        The mobile species.
    drift
        What stands still: ``framework`` (all other species; nothing is removed if there are none), a species or
        several, or None.

    Returns
    -------
    positions : numpy.ndarray
        Å, shape ``(n_frames, n_ions, 3)``.
    reference : str
        What was held still: the species, or ``none``.
    """
    mobile = [species] if isinstance(species, str) else list(species)
    positions = trajectory.positions(mobile)
    moved, reference = reference_drift(trajectory, mobile, drift)
    positions -= moved[:, None]
    return positions, reference


def reference_drift(trajectory: Trajectory, mobile: str | Iterable[str], drift: str | Iterable[str] | None):
    """Drift to take off, Å, shape ``(n_frames, 3)``, and what is held still; arguments as for :func:`displacements`."""
    mobile = [mobile] if isinstance(mobile, str) else list(mobile)
    still = [s for s in trajectory.species if s not in mobile] if drift == "framework" else drift
    if not still:
        return np.zeros((trajectory.n_frames, 3)), "none"
    return framework_drift(trajectory, still), still if isinstance(still, str) else " ".join(still)


# ---- window and slope ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Lags, in frames, between which the displacement is diffusive.

    Attributes
    ----------
    first, last
        First and last lag, frames.
    exponent
        Log–log slope of the excess displacement in the window; 1 for diffusion.
    diffusive
        Whether the exponent is within the tolerance, and ions go on like this beyond the window.
    """

    first: int
    last: int
    exponent: float
    diffusive: bool

    def lags(self) -> np.ndarray:
        """The lags that are fitted, frames: evenly spread on a logarithmic scale."""
        return np.unique(np.rint(np.geomspace(self.first, self.last, _LAGS_FITTED)).astype(int))


def excess_exponent(msd: np.ndarray, first: int, last: int) -> float:
    """Log–log slope of the displacement beyond a lag, d ln(M(τ) − M(first)) / d ln(τ − first), up to ``last``; lags
    in frames.

    Zero if the displacement does not grow throughout.
    """
    reach = last - first
    lags = first + np.unique(np.rint(np.geomspace(max(1, reach // 8), reach, 8)).astype(int))
    excess = msd[lags] - msd[first]
    if len(lags) < 2 or np.any(excess <= 0):
        return 0.0
    return float(np.polyfit(np.log(lags - first), np.log(excess), 1)[0])


def diffusive_window(
    msd: np.ndarray,
    block_msd: np.ndarray,
    n_frames: int,
    last: int,
    tolerance: float = 0.1,
    agreement: float = _AGREEMENT,
) -> Window:
    """Find the earliest lag from which the displacement grows linearly, as far as the data can tell.

    A lag qualifies if the log–log slope of the excess displacement beyond it is one within the tolerance, and if the
    slope of the line fitted from there differs from those fitted from every later lag by no more than some standard
    errors of that difference (Lepski's rule: the bias of starting early is then below the noise of starting late).

    Parameters
    ----------
    msd
        Total mean-squared displacement at lags 0, 1, 2, … frames, shape ``(n_lags,)``.
    block_msd
        The same of blocks of time, shape ``(n_blocks, n_lags_of_a_block)``.
    n_frames
        Length of the run.
    last
        Last lag of the window, frames.
    tolerance
        Largest deviation of the log–log slope of the excess from one. If no lag meets it, the one that deviates least
        is taken and the window is marked as not diffusive.
    agreement
        How many standard errors. With two, a plain random walk begins late by chance in one run of five; with three, in
        one of fifty.
    """
    starts = np.unique(np.rint(np.geomspace(1, max(1, last // 2), _CANDIDATES)).astype(int))
    windows, slopes, blocks = [], [], []
    for first in starts:
        exponent = excess_exponent(msd, int(first), last)
        windows.append(Window(int(first), last, exponent, abs(exponent - 1) <= tolerance))
        lines = _slopes(msd, block_msd, windows[-1], n_frames)
        slopes.append(lines.whole)
        blocks.append(lines.blocks)
    slopes, blocks = np.array(slopes), np.array(blocks)
    for k, window in enumerate(windows):
        spread = np.std(blocks[k:] - blocks[k], axis=1, ddof=1) / np.sqrt(len(block_msd))
        if window.diffusive and np.all(np.abs(slopes[k:] - slopes[k]) <= agreement * spread):
            # Twice the lag that qualifies: what is left of the early motion fades fast, and was just below the noise.
            safe = windows[int(np.searchsorted(starts, min(2 * window.first, starts[-1])))]
            return safe if safe.diffusive else window
    return min(windows, key=lambda w: abs(w.exponent - 1))


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


def _line_weights(lags: np.ndarray, n_frames: int, noise: float) -> tuple[np.ndarray, float]:
    """Weights ``(2, n_lags)`` of intercept and slope by generalised least squares, and the slope's variance."""
    covariance = brownian_covariance(lags, n_frames, noise)
    scale = np.sqrt(np.diag(covariance))
    inverse = np.linalg.pinv(covariance / np.outer(scale, scale), rcond=1e-10, hermitian=True) / np.outer(scale, scale)
    design = np.stack([np.ones(len(lags)), lags.astype(float)], axis=1)
    weights = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)
    return weights, float(weights[1] @ covariance @ weights[1])


@dataclass(frozen=True)
class Lines:
    """Slopes a frame of the whole ``(…)`` and of the blocks ``(n_blocks, …)``, the intercept of the total, and by
    what factor the whole run's standard error falls below that of the mean of its blocks, which lose the
    displacements across their borders.
    """

    whole: np.ndarray
    blocks: np.ndarray
    intercept: float
    gain: float


def _slopes(msd: np.ndarray, block_msd: np.ndarray, window: Window, n_frames: int) -> Lines:
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
        weights, variance = _line_weights(lags, n_frames, noise)
        intercept, slope = weights @ total
    block_weights, block_variance = _line_weights(lags, block_msd.shape[1], noise)
    gain = np.sqrt(variance / (block_variance / len(block_msd)))
    return Lines(
        weights[1] @ points, np.einsum("l,bl...->b...", block_weights[1], parts), float(intercept), float(gain)
    )


def lateral_window(
    trajectory: Trajectory,
    species: str,
    *,
    longest_lag_share: float = 0.08,
    n_blocks: int = 10,
    drift: str | Iterable[str] | None = "framework",
    frame: np.ndarray | None = None,
) -> Window:
    """The diffusive window of all ions along the first two directions of a frame.

    Where diffusion depends on the place along the normal alone, the lateral displacement of all ions together grows
    linearly nevertheless, while the normal one bends for as long as ions need to see all of the cell. As a late window
    costs more than an early one there, three standard errors are allowed for where :func:`diffusivity` allows for two.

    Parameters
    ----------
    trajectory, species, longest_lag_share, n_blocks, drift, frame
        As for :func:`diffusivity`.
    """
    positions, _ = displacements(trajectory, species, drift)
    if frame is not None:
        positions = positions @ np.asarray(frame, float).T
    options = {"agreement": _WIDE_AGREEMENT, "directions": slice(0, 2)}
    return _fit_window(positions, trajectory.interval_ps, None, longest_lag_share, n_blocks, **options)[0]


def _fit_window(
    positions: np.ndarray,
    interval: float,
    window_ps: tuple[float, float] | None,
    longest_lag_share: float,
    n_blocks: int,
    *,
    tolerance: float = 0.1,
    agreement: float = _AGREEMENT,
    directions: slice = slice(None),
    workers: int = 1,
) -> tuple[Window, Lines, np.ndarray, np.ndarray]:
    """Find the window, unless it is given, and fit it; with the displacements of the whole and of the blocks."""
    n_frames = len(positions)
    msd = mean_squared_displacement(positions, workers)[:, directions]
    for factor in (1, 2, 4):
        share = min(factor * longest_lag_share, max(longest_lag_share, _LONGEST_SHARE))
        first, last = _last_lag(n_frames, interval, window_ps, share)
        edges = _block_edges(n_frames, last, n_blocks)
        block_msd = np.stack([mean_squared_displacement(positions[a:b], workers)[:, directions] for a, b in edges])
        if first is None:
            window = diffusive_window(msd.sum(axis=1), block_msd.sum(axis=2), n_frames, last, tolerance, agreement)
        else:
            exponent = excess_exponent(msd.sum(axis=1), first, last)
            window = Window(first, last, exponent, abs(exponent - 1) <= tolerance)
        lines = _slopes(msd, block_msd, window, n_frames)
        lasting = _goes_on(positions[..., directions], last, lines)
        if lasting or first is not None:
            break
    return replace(window, diffusive=window.diffusive and lasting), lines, msd, block_msd


def _goes_on(positions: np.ndarray, last: int, lines: Lines) -> bool:
    """Whether ions move on beyond the last lag as fitted, as far as their differing among each other can tell."""
    late = min(_BEYOND * last, len(positions) // 2)
    if late <= last or positions.shape[1] < _IONS_THAT_TELL:
        return True
    slopes = (_squares_by_ion(positions, late) - _squares_by_ion(positions, last)) / (late - last)
    error = slopes.std(ddof=1) / np.sqrt(len(slopes))
    fitted = lines.blocks.sum(axis=1)
    fit_error = lines.gain * fitted.std(ddof=1) / np.sqrt(len(fitted))
    return bool(abs(slopes.mean() - lines.whole.sum()) <= _WIDE_AGREEMENT * np.hypot(error, fit_error))


def _squares_by_ion(positions: np.ndarray, lag: int) -> np.ndarray:
    """Mean-squared displacement of each ion at one lag, from time origins an eighth of it apart."""
    apart = max(1, lag // 8)
    moved = positions[lag::apart] - positions[:-lag:apart]
    return np.einsum("fik,fik->i", moved, moved) / len(moved)


# ---- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Diffusivity(Motion):
    """A diffusion coefficient of the whole cell and how it was estimated.

    Attributes
    ----------
    collective
        Collective (charge) diffusivity of the ions, cm²/s.
    haven_ratio
        D / collective D; unknown where the latter is not above its own error.
    n_ions, n_frames, duration_ps
        What was looked at.
    exponent
        Log–log slope of the excess displacement in the window.
    jump_limit_cm2_s
        Upper 95 % limit of D had no ion jumped at all (three jumps of the stated length).
    msd_error_A2
        Standard error of the total mean-squared displacement over blocks, NaN beyond the longest lag of a block.
    intercept_A2
        Intercept of the fitted line of the total.
    n_blocks, drift
        Blocks of the uncertainty, what was held still.
    """

    collective: Estimate
    haven_ratio: Estimate
    n_ions: int
    n_frames: int
    duration_ps: float
    exponent: float
    jump_limit_cm2_s: float
    n_blocks: int
    drift: str
    intercept_A2: float
    msd_error_A2: np.ndarray = field(repr=False)

    def scalars(self) -> dict[str, Any]:
        """All scalars: JSON types, units in the keys, None for what is not known."""
        numbers = super().scalars() | self.collective.scalars("collective", "cm2_s")
        numbers |= self.haven_ratio.scalars("haven_ratio")
        sigma = Estimate(np.nan, np.nan)
        if self.diffusive and self.charge is not None and self.temperature_K is not None:
            sigma = self.collective.scaled(self._siemens())
        numbers |= sigma.scalars("collective_conductivity", "s_cm")
        numbers |= {"log_log_slope": self.exponent, "intercept_A2": self.intercept_A2}
        names = ("n_ions", "n_frames", "n_blocks", "drift", "duration_ps", "jump_limit_cm2_s")
        return numbers | {name: getattr(self, name) for name in names}

    def arrays(self) -> dict[str, np.ndarray]:
        """``lags_ps``, ``msd_A2`` (by component) and ``msd_error_A2`` (of the total)."""
        return super().arrays() | {"msd_error_A2": self.msd_error_A2}


def diffusivity(
    trajectory: Trajectory,
    species: str,
    *,
    temperature_K: float | None = None,
    charge: float | None = None,
    skip_ps: float = 0.0,
    window_ps: tuple[float, float] | None = None,
    longest_lag_share: float = 0.08,
    tolerance: float = 0.1,
    n_blocks: int = 10,
    drift: str | Iterable[str] | None = "framework",
    frame: np.ndarray | None = None,
    jump_length_A: float = 3.0,
    workers: int = 1,
) -> Diffusivity:
    """Self- and collective diffusion coefficients of a species, with uncertainties.

    Parameters
    ----------
    trajectory
        Evenly spaced frames; whole, so that the drift of the framework can be removed.
    species
        The mobile species.
    temperature_K
        Kept with the result; from the trajectory's metadata if None.
    charge
        Charge number of the ion, for the conductivity; without it there is none.
    skip_ps
        Left out at the beginning.
    window_ps
        First and last lag of the fit; by default the diffusive regime is looked for (see the module's description).
    longest_lag_share
        Last lag as a share of the run, where ``window_ps`` is not given. It is doubled, up to twice, as long as the
        displacement of the ions beyond it does not go on as fitted.
    tolerance
        Of the log–log slope of the excess, where ``window_ps`` is not given.
    n_blocks
        Blocks of time for the uncertainty; fewer are taken if a block would be shorter than 1.25 times the last lag.
    drift
        As for :func:`displacements`.
    frame
        Three orthonormal directions in rows, such as lateral, lateral and normal of a boundary; x, y, z if None.
    jump_length_A
        Length of a jump, for the upper limit where no diffusion was seen.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    ValueError
        If the run is too short, frames are uneven, or an argument makes no sense.
    """
    start = int(np.searchsorted(trajectory.times_ps, trajectory.times_ps[0] + skip_ps - 1e-9))
    if trajectory.n_frames - start < 50:
        raise ValueError(
            f"a diffusivity needs 50 frames or more after skip_ps = {skip_ps}, found {trajectory.n_frames - start}"
        )
    if start:
        trajectory = trajectory[start:]
    frame = np.eye(3) if frame is None else np.asarray(frame, float)
    if frame.shape != (3, 3) or not np.allclose(frame @ frame.T, np.eye(3), atol=1e-6):
        raise ValueError("frame must hold three orthonormal directions in its rows")
    positions, reference = displacements(trajectory, species, drift)
    if not np.array_equal(frame, np.eye(3)):
        positions = positions @ frame.T
    interval = trajectory.interval_ps
    options = {"tolerance": tolerance, "workers": workers}
    window, lines, msd, block_msd = _fit_window(positions, interval, window_ps, longest_lag_share, n_blocks, **options)
    edges = _block_edges(len(positions), window.last, n_blocks)
    together = positions.sum(axis=1, keepdims=True) / np.sqrt(positions.shape[1])
    charge_msd = mean_squared_displacement(together)
    charge_blocks = np.stack([mean_squared_displacement(together[a:b]) for a, b in edges])
    charge_lines = _slopes(charge_msd, charge_blocks, window, len(positions))

    unit = A2_PS_TO_CM2_S / interval
    whole, blocks = lines.whole / 2 * unit, lines.blocks / 2 * unit  # D by component: (3,), (n_blocks, 3)
    charge_whole, charge_parts = charge_lines.whole.mean() / 2 * unit, charge_lines.blocks.mean(axis=1) / 2 * unit
    lateral = int(np.argmax(whole[:2]))
    n_lags = len(msd) // 2 + 1
    error = np.full(n_lags, np.nan)
    longest = min(n_lags, block_msd.shape[1])
    error[:longest] = block_msd.sum(axis=2).std(axis=0, ddof=1)[:longest] / np.sqrt(len(edges))
    n_ions = positions.shape[1]
    total = from_blocks(whole.mean(), blocks.mean(axis=1), lines.gain)
    jump_limit = 3 * jump_length_A**2 / (6 * n_ions * trajectory.duration_ps) * A2_PS_TO_CM2_S
    sentence = "diffusive" if window.diffusive else "not diffusive yet: the displacement is not linear in time"
    return Diffusivity(
        species=species,
        region="all",
        estimator="windowed_msd_gls",
        total=total,
        components=tuple(from_blocks(whole[k], blocks[:, k], lines.gain) for k in range(3)),
        lateral=from_blocks(whole[:2].mean(), blocks[:, :2].mean(axis=1), lines.gain),
        isotropy=_ratio(blocks[:, 2], blocks[:, lateral], whole[2], whole[lateral]),
        verdict=Verdict(diffusive=window.diffusive, sentence=sentence),
        detected=total.interval()[0] > 0 and total.value > jump_limit,
        upper_limit_cm2_s=max(total.upper_limit(), jump_limit),
        collective=from_blocks(charge_whole, charge_parts, charge_lines.gain),
        haven_ratio=_ratio(blocks.mean(axis=1), charge_parts, whole.mean(), charge_whole),
        n_ions=n_ions,
        n_frames=trajectory.n_frames,
        duration_ps=trajectory.duration_ps,
        number_density_A3=n_ions / trajectory.mean_volume_A3,
        window_ps=(window.first * interval, window.last * interval),
        exponent=window.exponent,
        jump_limit_cm2_s=jump_limit,
        n_blocks=len(edges),
        drift=reference,
        intercept_A2=lines.intercept,
        lags_ps=np.arange(n_lags) * interval,
        msd_A2=msd[:n_lags],
        msd_error_A2=error,
        temperature_K=trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K,
        charge=charge,
        frame=frame,
    )


def _ratio(top: np.ndarray, bottom: np.ndarray, top_whole: float, bottom_whole: float) -> Estimate:
    """A ratio of diffusivities; NaN where the lower one is not above zero, as a ratio then says nothing."""
    if bottom_whole <= 0:
        return Estimate(np.nan, np.nan, len(top) - 1)
    return ratio_from_blocks(top, bottom, top_whole / bottom_whole)


def _last_lag(
    n_frames: int, interval: float, window_ps: tuple[float, float] | None, share: float
) -> tuple[int | None, int]:
    """First (None: to be found) and last lag in frames."""
    if window_ps is None:
        if not 0 < share <= _LONGEST_SHARE:
            raise ValueError(f"longest_lag_share must lie between 0 and {_LONGEST_SHARE}, found {share}")
        return None, max(4, int(share * n_frames))
    first, last = (round(float(w) / interval) for w in window_ps)
    if not 1 <= first < last < n_frames:
        raise ValueError(
            f"window_ps {tuple(window_ps)} must hold two lags between {interval:g} and {(n_frames - 1) * interval:g} ps"
        )
    return first, last


def _block_edges(n_frames: int, last: int, n_blocks: int) -> list[tuple[int, int]]:
    count = min(n_blocks, int(n_frames / (1.25 * last)))
    if count < 2:
        raise ValueError(
            f"the last lag ({last} frames) leaves no two blocks in {n_frames} frames: shorten window_ps or run longer"
        )
    # Equal lengths; frames that are left over stay out of the blocks, not out of the value.
    length = n_frames // count
    return [(k * length, (k + 1) * length) for k in range(count)]
