r"""Diffusion coefficients of a whole cell, with uncertainties that hold and a verdict on whether they are any.

* **Slope and window** are those of :mod:`aiida_lpsgb.analysis.msd`.
* **Uncertainty.** The spread of the slope over blocks of time, each with all its ions: it makes no assumption about
  how the ions move together, or about the form of the noise, only that blocks are longer than the memory of the motion.
* **Verdict.** Whether ions have come far enough, for long enough and steadily enough for the slope to be a diffusion
  coefficient: :mod:`aiida_lpsgb.analysis.verdict`. A transient at the beginning is found and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate, from_blocks, ratio_from_blocks
from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, Motion, nernst_einstein
from aiida_lpsgb.analysis.msd import (
    LONGEST_SHARE,
    Fit,
    block_edges,
    brownian_covariance,
    fit_lines,
    fit_window,
    mean_squared_displacement,
)
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.analysis.verdict import (
    EXPONENT_TOLERANCE,
    SHORTEST_RUN,
    USUAL_HOP_A,
    judge,
    reach,
    transient,
)

__all__ = [
    "Diffusivity",
    "brownian_covariance",
    "diffusivity",
    "displacements",
    "framework_drift",
    "mean_squared_displacement",
    "nernst_einstein",
    "reference_drift",
]


# ---- displacements -----------------------------------------------------------------------------------------------


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


# ---- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Diffusivity(Motion):
    """A diffusion coefficient of the whole cell and how it was estimated.

    Attributes
    ----------
    collective
        Collective (charge) diffusivity of the ions, cm²/s.
    haven_ratio
        D / collective D; both are unknown where nothing stands still that the ions could move against (one species
        whose momentum is kept), the ratio also where the motion is not diffusive or the latter is not above its error.
    n_ions, n_frames, duration_ps
        What was looked at.
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
        names = ("intercept_A2", "n_ions", "n_frames", "n_blocks", "drift", "duration_ps", "jump_limit_cm2_s")
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
    tolerance: float = EXPONENT_TOLERANCE,
    n_blocks: int = 10,
    drift: str | Iterable[str] | None = "framework",
    frame: np.ndarray | None = None,
    hop_length_A: float | None = None,
    energy_eV: Sequence[float] | None = None,
    workers: int = 1,
) -> Diffusivity:
    """Self- and collective diffusion coefficients of a species, with uncertainties and a verdict.

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
        Left out at the beginning. A transient that is found beyond it is left out as well.
    window_ps
        First and last lag of the fit; by default they are looked for (:mod:`aiida_lpsgb.analysis.msd`).
    longest_lag_share
        Last lag as a share of the run, where ``window_ps`` is not given. It is doubled, up to twice, as long as from no
        first lag on the displacement is linear up to half of the run.
    tolerance
        Largest half-width of the 95 % interval of the log–log exponent with which a motion may be called diffusive.
    n_blocks
        Blocks of time for the uncertainty; fewer are taken if a block would be shorter than 1.25 times the last lag.
    drift
        What is held still: the species that do not move (``framework``), or some by name.
    frame
        Three orthonormal directions in rows, such as lateral, lateral and normal of a boundary; x, y, z if None.
    hop_length_A
        Length of a hop, Å; found from the displacements if None, or 3 Å where these show none.
    energy_eV
        Energy in each frame, if the verdict shall know of its trend.
    workers
        Threads of the Fourier transforms.

    Raises
    ------
    ValueError
        If the run is too short, frames are uneven, or an argument makes no sense.
    """
    start = int(np.searchsorted(trajectory.times_ps, trajectory.times_ps[0] + skip_ps - 1e-9))
    if trajectory.n_frames - start < SHORTEST_RUN:
        raise ValueError(
            f"a diffusivity needs {SHORTEST_RUN} frames or more after skip_ps = {skip_ps}, "
            f"found {trajectory.n_frames - start}"
        )
    if energy_eV is not None and len(energy_eV) != trajectory.n_frames:
        raise ValueError(f"energy_eV must hold {trajectory.n_frames} values, one a frame, found {len(energy_eV)}")
    check_hop_length(hop_length_A)
    frame = np.eye(3) if frame is None else directions(frame)
    energies = None if energy_eV is None else np.asarray(energy_eV, float)[start:]
    trajectory = trajectory[start:] if start else trajectory
    positions, reference = displacements(trajectory, species, drift)
    if not np.array_equal(frame, np.eye(3)):
        positions = positions @ frame.T
    interval = trajectory.interval_ps
    given = _given_lags(len(positions), interval, window_ps, longest_lag_share)
    options = {"share": longest_lag_share, "n_blocks": n_blocks, "workers": workers}
    fit = fit_window(positions, given, **options)
    series = {"volume": np.abs(np.linalg.det(trajectory.cells)), "energy": energies}
    cut, steady = transient(positions, fit.window.first, interval, {k: v for k, v in series.items() if v is not None})
    if cut:
        positions = positions[cut:]
        fit = fit_window(positions, None if given is None or given[1] > 0.4 * len(positions) else given, **options)

    gone = reach(positions, fit.lines.intercept, hop_length_A)
    unit = A2_PS_TO_CM2_S / interval
    lines, edges = fit.lines, block_edges(len(positions), fit.window.last, n_blocks)
    whole, blocks = lines.whole / 2 * unit, lines.blocks / 2 * unit  # D by component: (3,), (n_blocks, 3)
    # A window that is given is taken at its word.
    settled = fit.settled() if window_ps is None else (1.0, 0.0)

    def estimate(values: np.ndarray, parts: np.ndarray, memory: bool = False) -> Estimate:
        return from_blocks(values.mean(), parts.mean(axis=1), lines.gain, memory).scaled(*settled)

    total = estimate(whole, blocks, memory=True)
    n_ions, duration = positions.shape[1], (len(positions) - 1) * interval
    jump_limit = 3 * (hop_length_A or USUAL_HOP_A) ** 2 / (6 * n_ions * duration) * A2_PS_TO_CM2_S
    seen = bool(total.interval()[0] > 0 and total.value > jump_limit)
    half_run = len(positions) // 2 * interval
    followed = (fit.window.first * interval, half_run)
    verdict = judge(fit.trend, followed, seen, gone, steady, exponent_tolerance=tolerance, cut_ps=cut * interval)
    collective, haven = _collective(positions, fit, edges, unit) if reference != "none" else (UNKNOWN, UNKNOWN)
    side = int(np.argmax(whole[:2]))
    n_lags = len(fit.msd) // 2 + 1
    return Diffusivity(
        species=species,
        region="all",
        estimator="windowed_msd_gls",
        total=total,
        components=tuple(estimate(whole[k : k + 1], blocks[:, k : k + 1]) for k in range(3)),
        lateral=estimate(whole[:2], blocks[:, :2]),
        isotropy=_ratio(blocks[:, 2], blocks[:, side], whole[2], whole[side], lines.gain),
        verdict=verdict,
        detected=seen,
        upper_limit_cm2_s=max(_limit(total, fit, unit, verdict.diffusive), jump_limit),
        collective=collective,
        haven_ratio=haven if verdict.diffusive else UNKNOWN,
        n_ions=n_ions,
        n_frames=len(positions),
        duration_ps=duration,
        number_density_A3=n_ions / trajectory.mean_volume_A3,
        window_ps=(fit.window.first * interval, fit.window.last * interval),
        jump_limit_cm2_s=jump_limit,
        n_blocks=len(edges),
        drift=reference,
        intercept_A2=lines.intercept,
        lags_ps=np.arange(n_lags) * interval,
        msd_A2=fit.msd[:n_lags],
        msd_error_A2=_msd_error(fit, n_lags),
        temperature_K=trajectory.metadata.get("temperature_K") if temperature_K is None else temperature_K,
        charge=charge,
        frame=frame,
    )


def _limit(total: Estimate, fit: Fit, unit: float, diffusive: bool) -> float:
    """Upper 95 % limit of D: of what was fitted, or, where that is not diffusion, of the slope at the longest lags."""
    if diffusive:
        return total.upper_limit()
    return Estimate(fit.trend.slope / 6 * unit, fit.trend.slope_error / 6 * unit, fit.trend.dof).upper_limit()


def check_hop_length(hop_length_A: float | None) -> None:
    """Raise ValueError if the length of a hop is given and not positive."""
    if hop_length_A is not None and not hop_length_A > 0:
        raise ValueError(f"hop_length_A must be positive, found {hop_length_A}")


def directions(frame: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """Return three orthonormal directions in rows, shape ``(3, 3)``; raise ValueError if they are not."""
    frame = np.asarray(frame, float)
    if frame.shape != (3, 3) or not np.allclose(frame @ frame.T, np.eye(3), atol=1e-6):
        raise ValueError("frame must hold three orthonormal directions in its rows")
    return frame


def _collective(
    positions: np.ndarray, fit: Fit, edges: list[tuple[int, int]], unit: float
) -> tuple[Estimate, Estimate]:
    """Collective diffusivity, cm²/s, and the Haven ratio."""
    together = positions.sum(axis=1, keepdims=True) / np.sqrt(positions.shape[1])
    parts = np.stack([mean_squared_displacement(together[a:b]) for a, b in edges])
    lines = fit_lines(mean_squared_displacement(together), parts, fit.window, len(positions))
    whole, blocks = lines.whole.mean() / 2 * unit, lines.blocks.mean(axis=1) / 2 * unit
    own, own_blocks = fit.lines.whole.mean() / 2 * unit, fit.lines.blocks.mean(axis=1) / 2 * unit
    return from_blocks(whole, blocks, lines.gain), _ratio(own_blocks, blocks, own, whole, lines.gain)


def _msd_error(fit: Fit, n_lags: int) -> np.ndarray:
    """Standard error over blocks of the total displacement, Å², NaN beyond the longest lag of a block."""
    error = np.full(n_lags, np.nan)
    longest = min(n_lags, fit.block_msd.shape[1])
    error[:longest] = fit.block_msd.sum(axis=2).std(axis=0, ddof=1)[:longest] / np.sqrt(len(fit.block_msd))
    return error


def _ratio(top: np.ndarray, bottom: np.ndarray, top_whole: float, bottom_whole: float, gain: float) -> Estimate:
    """A ratio of diffusivities; unknown where the lower one is not above zero, as a ratio then says nothing."""
    if from_blocks(bottom.mean(), bottom, gain).interval()[0] <= 0:
        return UNKNOWN
    return ratio_from_blocks(top, bottom, top_whole / bottom_whole, gain)


def _given_lags(
    n_frames: int, interval: float, window_ps: tuple[float, float] | None, share: float
) -> tuple[int, int] | None:
    """First and last lag in frames, None if they are to be found."""
    if window_ps is None:
        if not 0 < share <= LONGEST_SHARE:
            raise ValueError(f"longest_lag_share must lie between 0 and {LONGEST_SHARE}, found {share}")
        return None
    first, last = (round(float(w) / interval) for w in window_ps)
    if not 1 <= first < last < n_frames:
        raise ValueError(
            f"window_ps {tuple(window_ps)} must hold two lags between {interval:g} and {(n_frames - 1) * interval:g} ps"
        )
    return first, last
