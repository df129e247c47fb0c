r"""Whether a motion is diffusive: what must be seen before a slope is called a diffusion coefficient.

Any smooth curve looks like a line in a short window, and ions that rattle, hop to and fro or leave their starting order
have displacements that grow for a while. A motion is called diffusive where

* **diffusion was seen**: the 95 % interval of D lies above zero, and D above what no jumps at all allow;
* **ions have hopped**: at half of the run's length the displacement beyond the plateau of the vibrations, of the ions
  that share in the motion, has reached the square of a hop, and that of some number of ions, one by one, as well. Few
  ions that move in a crowd that stands still shall count: the displacement is the geometric mean of that of all ions
  and of that weighted with itself, :math:`\tfrac35\langle\Delta r^4\rangle/\langle\Delta r^2\rangle`, which are
  the same where all move alike;
* **the displacement is linear** from the first lag of the window to half of the run, over a factor of eight or more in
  time: its log–log exponent is one within its error, and that error is small enough to mean something;
* **the run is stationary**: the displacement rate has no trend over the blocks of the run, nor have its volume and,
  where it is known, its energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage, stats

from aiida_lpsgb.analysis.estimates import Estimate, finite
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Verdict
from aiida_lpsgb.analysis.msd import Trend, mean_squared_displacement

USUAL_HOP_A = 3.0
"""Length of a hop where the displacements show none, Å."""
IONS_THAT_HOP = 10
"""How many ions must have hopped; half of them where there are fewer than twice as many."""
EXPONENT_TOLERANCE = 0.5
"""Largest half-width of the 95 % interval of the log–log exponent with which it tells."""
STATIONARY_LEVEL = 0.01
"""A trend of the displacement in time counts if chance makes such a one in fewer runs than this share."""
SERIES_LEVEL = 0.001
"""The same of volume and energy, whose blocks remember each other in short runs."""
SHORTEST_RUN = 50
"""Frames without which nothing is said."""
SPAN = 8
"""Factor in time, up to half of the run, over which the displacement must be linear."""

_HOPS_A = (1.0, 6.0)  # what may be the length of a hop
_LAGS, _BIN_A, _SMOOTH_BINS = 12, 0.1, 2.0
_CONTRAST, _HEIGHT, _CLEAR = 1.25, 0.05, 3.0  # of the second peak over the valley, the first peak and the noise
_SHARE_HOPPED = (0.02, 0.75)
_RATE_BLOCKS = 12
_CUT, _LONGEST_CUT = 0.1, 0.6  # of the run, that a transient may take


# ---- hops ----------------------------------------------------------------------------------------------------------


def hop_length(positions: np.ndarray, longest: int) -> float | None:
    """Length of a hop from the distribution of displacements (the self part of the van Hove function), Å.

    At lags at which some ions have hopped and others have not, it has a peak of those that stayed and one of those that
    hopped. None if no lag shows the two apart, as for a liquid.

    Parameters
    ----------
    positions
        Unwrapped positions, Å, shape ``(n_frames, n_ions, 3)``.
    longest
        Longest lag to look at, frames.
    """
    best = (_CLEAR, None)
    for lag in np.unique(np.rint(np.geomspace(2, max(longest, 2), _LAGS)).astype(int)):
        apart = max(1, lag // 2)
        calm = max(1, lag // 8)  # a short mean takes out most of the vibrations
        places = ndimage.uniform_filter1d(positions, calm, axis=0)[::apart]
        steps = lag // apart
        if len(places) > steps:
            best = max(best, _second_peak(np.linalg.norm(places[steps:] - places[:-steps], axis=2).ravel()))
    return best[1]


def _second_peak(lengths: np.ndarray) -> tuple[float, float | None]:
    """How clearly, in standard errors, a second peak stands out of a distribution of lengths, and where."""
    counts = np.histogram(lengths, np.arange(0, _HOPS_A[1] + 2, _BIN_A))[0].astype(float)
    smooth = ndimage.gaussian_filter1d(counts, _SMOOTH_BINS)
    falling = np.flatnonzero(np.diff(smooth) < 0)
    first = int(falling[0]) if len(falling) else len(smooth)
    rising = np.flatnonzero(np.diff(smooth[first:]) > 0)
    if not len(rising):
        return 0.0, None
    valley = first + int(rising[0])
    second = valley + int(np.argmax(smooth[valley:]))
    hop, share = (second + 0.5) * _BIN_A, counts[valley:].sum() / len(lengths)
    rise = smooth[second] - smooth[valley]
    # A smoothed count is a mean over some bins, of displacements that overlap by half.
    clear = rise / np.sqrt((smooth[second] + smooth[valley]) / (2 * _SMOOTH_BINS))
    high = smooth[second] > _CONTRAST * smooth[valley] and smooth[second] > _HEIGHT * smooth[first]
    if high and _HOPS_A[0] <= hop <= _HOPS_A[1] and _SHARE_HOPPED[0] <= share <= _SHARE_HOPPED[1]:
        return float(clear), float(hop)
    return 0.0, None


@dataclass(frozen=True)
class Reach:
    """How far ions have come.

    Attributes
    ----------
    hop_A, found
        Length of a hop, and whether the displacements show it (else it was given or is the usual one).
    displacement_A2
        Mean-squared displacement at half of the run, beyond the plateau, of the ions that share in the motion.
    mean_A2
        The same of all ions alike.
    hopped, needed
        Ions that have come as far as a hop on average, and how many it takes.
    """

    hop_A: float
    found: bool
    displacement_A2: float
    mean_A2: float
    hopped: int
    needed: int

    @property
    def enough(self) -> bool:
        """Whether displacement and number of ions suffice."""
        return self.displacement_A2 >= self.hop_A**2 and self.hopped >= self.needed


def reach(positions: np.ndarray, plateau_A2: float, hop_A: float | None = None) -> Reach:
    """How far ions have come at half of the run.

    Parameters
    ----------
    positions
        Unwrapped positions, Å, shape ``(n_frames, n_ions, 3)``.
    plateau_A2
        Displacement of the vibrations, Å².
    hop_A
        Length of a hop, Å; looked for if None.
    """
    n_frames, n_ions, _ = positions.shape
    longest = n_frames // 2
    found = hop_length(positions, longest) if hop_A is None else None
    length = next(a for a in (hop_A, found, USUAL_HOP_A) if a is not None)
    apart = max(1, longest // 16)
    moved = positions[longest::apart] - positions[:-longest:apart]
    squares = np.einsum("fik,fik->fi", moved, moved)
    mean = squares.mean()
    beyond = max(mean - max(plateau_A2, 0.0), 0.0)
    # 1 + α₂, the non-Gaussian parameter: one where all move alike, the larger the fewer they are.
    crowding = max(1.0, 0.6 * float((squares**2).mean() / mean**2)) if mean > 0 else 1.0
    hopped = int(np.sum(squares.mean(axis=0) - max(plateau_A2, 0.0) >= length**2))
    needed = min(IONS_THAT_HOP, max(1, n_ions // 2))
    return Reach(length, found is not None, beyond * float(np.sqrt(crowding)), beyond, hopped, needed)


# ---- stationarity --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Steadiness:
    """Whether something has a trend over the run.

    Attributes
    ----------
    parts
        Means of the first, the middle and the last third with their standard errors.
    p_value
        Chance of a trend as strong in a run that has none.
    level
        Below which chance a trend counts.
    """

    parts: tuple[Estimate, Estimate, Estimate]
    p_value: float
    level: float

    @property
    def steady(self) -> bool:
        """Whether there is no trend."""
        return self.p_value >= self.level


def steadiness(blocks: np.ndarray, level: float = STATIONARY_LEVEL) -> Steadiness:
    """Look for a trend in the means of equal blocks of time, shape ``(n_blocks,)``, six or more."""
    blocks = np.asarray(blocks, float)
    numbers = np.arange(len(blocks))
    fit = stats.linregress(numbers, blocks)
    # The errors of the thirds are those of blocks about the trend, which all three share.
    spread = np.sqrt(((blocks - fit.intercept - fit.slope * numbers) ** 2).sum() / (len(blocks) - 2))
    parts = tuple(
        Estimate(float(part.mean()), float(spread / np.sqrt(len(part))), len(blocks) - 2)
        for part in np.array_split(blocks, 3)
    )
    return Steadiness(parts, float(fit.pvalue) if np.isfinite(fit.pvalue) else 1.0, level)


def displacement_rates(positions: np.ndarray, first: int) -> np.ndarray:
    """Rate of displacement in equal blocks of the run, Å² a frame: between a lag and its double."""
    length = len(positions) // _RATE_BLOCKS
    near = max(1, min(first, length // 4))
    far = 2 * near
    blocks = [mean_squared_displacement(positions[k * length : (k + 1) * length]) for k in range(_RATE_BLOCKS)]
    totals = np.stack(blocks).sum(axis=2)
    return (totals[:, far] - totals[:, near]) / (far - near)


def block_means(series: np.ndarray) -> np.ndarray:
    """Means of equal blocks of a series, shape ``(12,)``."""
    length = len(series) // _RATE_BLOCKS
    return series[: length * _RATE_BLOCKS].reshape(_RATE_BLOCKS, length).mean(axis=1)


def transient(
    positions: np.ndarray, first: int, interval: float, series: dict[str, np.ndarray]
) -> tuple[int, dict[str, Steadiness]]:
    """Frames to leave out at the beginning so that the rest is steady, none if no cut helps, and how steady it is.

    A transient fades: a cut that helps is followed by one more, as what is left of it then is just below the noise.

    Parameters
    ----------
    positions
        Unwrapped positions, Å, shape ``(n_frames, n_ions, 3)``.
    first
        Lag, frames, at which vibrations have faded.
    interval
        Time between frames, ps.
    series
        What else should be steady, by name, one value a frame.
    """

    def tested(start: int) -> dict[str, Steadiness]:
        rates = displacement_rates(positions[start:], first) / (6 * interval) * A2_PS_TO_CM2_S
        found = {"displacement": steadiness(rates)}
        return found | {name: steadiness(block_means(values[start:]), SERIES_LEVEL) for name, values in series.items()}

    whole = found = tested(0)
    for number in range(1, round(_LONGEST_CUT / _CUT) + 1):
        steady = all(part.steady for part in found.values())
        start = int(number * _CUT * len(positions))
        if steady and number == 1:
            return 0, whole
        if len(positions) - start < SHORTEST_RUN:
            break
        found = tested(start)
        if steady and all(part.steady for part in found.values()):
            return start, found
    return 0, whole


# ---- verdict -------------------------------------------------------------------------------------------------------


def judge(
    trend: Trend,
    lags_ps: tuple[float, float],
    seen: bool,
    gone: Reach,
    steady: Mapping[str, Steadiness],
    *,
    exponent_tolerance: float,
    cut_ps: float = 0.0,
) -> Verdict:
    """Put the tests together.

    Parameters
    ----------
    trend
        How the slope changes with the lag.
    lags_ps
        From which lag to which that was followed.
    seen
        Whether D is above zero and above what no jumps allow.
    gone
        How far ions have come.
    steady
        Steadiness of ``displacement``, as diffusivities in cm²/s, and whatever else is known of the run.
    exponent_tolerance
        Largest half-width of the 95 % interval of the exponent at which it tells.
    cut_ps
        Transient that was left out at the beginning.
    """
    first, longest = lags_ps
    half_width = stats.t.ppf(0.975, trend.dof) * trend.exponent_error
    exponent = f"{trend.exponent:.2f} ± {half_width:.2f}"
    hop = f"{gone.hop_A:.1f} Å"
    unsteady = [name for name, found in steady.items() if not found.steady]
    tests = {
        "no diffusion was seen above the noise": seen,
        f"ions have not come as far as a hop of {hop}: within {longest:.3g} ps those that move have a squared "
        f"displacement of {gone.displacement_A2:.2g} Å², and {gone.hopped} ions one by one ({gone.needed} needed)": (
            gone.enough
        ),
        f"the displacement is not linear: its log–log exponent from {first:.3g} to {longest:.3g} ps is {exponent}": (
            trend.straight
        ),
        f"the displacement is linear from {first:.3g} ps only, over less than a factor of {SPAN} in time": (
            SPAN * first <= longest * (1 + 1e-9)
        ),
        f"the log–log exponent is known to ± {half_width:.2g} only": half_width <= exponent_tolerance,
        f"the run is not stationary ({', '.join(unsteady)})": not unsteady,
    }
    failed = [reason for reason, passed in tests.items() if not passed]
    cut = f"; the first {cut_ps:.3g} ps were a transient and left out" if cut_ps else ""
    good = (
        f"diffusive: {gone.hopped} ions have come further than a hop of {hop}, and the displacement is linear up to "
        f"{longest:.3g} ps (exponent {exponent})"
    )
    rate = steady["displacement"].parts
    evidence: dict[str, Any] = {
        "hop_length_A": float(gone.hop_A),
        "hop_length_found": gone.found,
        "displacement_A2": float(gone.displacement_A2),
        "mean_displacement_A2": float(gone.mean_A2),
        "ions_hopped": gone.hopped,
        "ions_needed": gone.needed,
        "longest_lag_ps": float(longest),
        "exponent": finite(trend.exponent),
        "exponent_uncertainty": finite(trend.exponent_error),
        "stationary": not unsteady,
        "rates_first_middle_last_cm2_s": [part.value for part in rate],
        "rates_uncertainty_cm2_s": [part.error for part in rate],
        "stationarity_p_values": {name: found.p_value for name, found in steady.items()},
        "transient_cut_ps": float(cut_ps),
        "failed_tests": failed,
    }
    sentence = (f"not diffusive yet: {failed[0]}" if failed else good) + cut
    return Verdict(diffusive=not failed, sentence=sentence, evidence=evidence)
