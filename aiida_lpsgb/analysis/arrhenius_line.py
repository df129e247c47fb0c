"""The Arrhenius line of one potential, and what it says of D at a target temperature.

* **Points.** A run whose motion is not diffusive enters with its upper limit, never with its slope.
* **Line.** In one or two regimes (:mod:`aiida_lpsgb.analysis.arrhenius`); the target takes the regime that reaches it.
  Limits among the temperatures at which diffusion was seen bend the line itself.
* **Extrapolation.** Below the coldest temperature at which diffusion was seen nothing tells whether another regime
  begins: the activation energy may change there by :data:`BEND_EV` (standard deviation), and the interval of D widens
  with the distance. Limits at such temperatures, the target included, constrain that change. Where it would have to be
  far larger they contradict the line, as at a transition, and nothing is said of D beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.stats import qmc

from aiida_lpsgb.analysis.arrhenius import K_B, ArrheniusFit, Regimes, fit_regimes
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate, finite

BEND_EV = 0.1
"""Standard deviation of a change of the activation energy below the coldest measured temperature, eV."""

ALONE = "potential"
"""Label where there is but one potential."""

_DRAWS = 13  # powers of two
_WIDER = 2.0  # than the prior: how far changes of the activation energy are tried
_FEWEST_DRAWS = 10  # that limits must leave, in effect: of fewer, quantiles are those of chance


@dataclass(frozen=True)
class Point:
    """What one run says of D.

    Attributes
    ----------
    temperature_K
        Temperature.
    d_cm2_s, error_cm2_s
        Value and standard error; they count only where ``diffusive``.
    limit_cm2_s
        Upper 95 % limit.
    diffusive
        Whether the motion was seen to be diffusive.
    potential
        With which potential.
    label
        Name of the run.
    """

    temperature_K: float
    d_cm2_s: float
    error_cm2_s: float
    limit_cm2_s: float
    diffusive: bool
    potential: str = ALONE
    label: str = ""

    @classmethod
    def from_scalars(cls, scalars: Mapping[str, Any], potential: str = ALONE, label: str = "") -> Point:
        """From ``scalars()`` of a diffusivity.

        Raises
        ------
        ValueError
            If it does not tell its temperature.
        """
        if scalars.get("temperature_K") is None:
            raise ValueError(f"diffusivity {label or scalars.get('region')!r} does not tell its temperature_K")
        return cls(
            float(scalars["temperature_K"]),
            float(scalars["diffusivity_cm2_s"] or 0.0),
            float(scalars["uncertainty_cm2_s"] or 0.0),
            float(scalars["upper_limit_cm2_s"]),
            bool(scalars["diffusive"] and scalars["diffusivity_cm2_s"] > 0 and scalars["uncertainty_cm2_s"] > 0),
            potential,
            label,
        )


def fit_refusal(points: Sequence[Point]) -> str | None:
    """Why no line can be drawn through the points of any potential, None if one can."""
    if not points:
        return "there are no diffusivities"
    seen = {p.potential: set() for p in points}
    for point in points:
        if point.diffusive:
            seen[point.potential].add(point.temperature_K)
    if any(len(temperatures) >= 2 for temperatures in seen.values()):
        return None
    known = ", ".join(f"{t:g} K" for t in sorted(set().union(*seen.values()))) or "no temperature"
    return f"a line needs two temperatures with diffusive motion, found it at {known}"


@dataclass(frozen=True)
class Line:
    """One potential.

    Attributes
    ----------
    potential
        Its label.
    regimes
        One or two lines.
    fit
        That of the regime that reaches the target.
    coldest_K
        Coldest temperature at which diffusion was seen.
    nearest_K
        Temperature nearest to the target at which diffusion was seen.
    ln_d
        ln D (cm²/s) at the target: mean and standard deviation with all that is known; unknown where limits contradict
        the line.
    ln_d_statistics, ln_d_replicas, ln_d_extrapolation
        Parts of its standard deviation.
    draws, weights
        Equally likely values of ln D before, and their likelihood after, the limits are heard.
    """

    potential: str
    regimes: Regimes
    fit: ArrheniusFit
    coldest_K: float
    nearest_K: float
    ln_d: Estimate
    ln_d_statistics: float
    ln_d_replicas: float
    ln_d_extrapolation: float
    draws: np.ndarray
    weights: np.ndarray

    @property
    def contradicted(self) -> bool:
        """Whether limits beyond the line leave nothing of it, however the activation energy may change."""
        return not np.isfinite(self.ln_d.value)

    @property
    def parts_of_energy(self) -> tuple[float, float]:
        """Standard error of E_a from statistics and from the scatter of runs, eV."""
        return _statistics_and_scatter(self.fit, self.fit.activation_energy_error_eV)

    @property
    def parts_of_ln_d0(self) -> tuple[float, float]:
        """The same of ln D₀."""
        return _statistics_and_scatter(self.fit, float(np.sqrt(self.fit.covariance[0, 0])))

    def scalars(self) -> dict[str, Any]:
        """What the line says, for a database."""
        regimes = self.regimes
        interval = regimes.transition_interval95_K
        return {
            **_fit_scalars(self.fit),
            "ln_diffusivity": finite(self.ln_d.value),
            "ln_diffusivity_uncertainty": finite(self.ln_d.error),
            "coldest_temperature_K": self.coldest_K,
            "regimes": {
                "fits": [_fit_scalars(fit) for fit in regimes.fits],
                "transition_K": regimes.transition_K,
                "transition_interval95_K": list(interval) if interval else None,
                "aicc": [value if np.isfinite(value) else None for value in regimes.criterion],
            },
        }


def line(points: Sequence[Point], target_K: float, bend_eV: float = BEND_EV) -> Line:
    """Fit the points of one potential and take the regime that reaches the target.

    Parameters
    ----------
    points
        Of one potential, at two temperatures or more with diffusive motion.
    target_K
        Temperature at which D is wanted.
    bend_eV
        Standard deviation of a change of the activation energy beyond the temperatures measured.
    """
    seen = np.array([p.temperature_K for p in points if p.diffusive])
    cold, hot = seen.min(), seen.max()
    far = [p for p in points if not p.diffusive and p.temperature_K < cold]
    near = [p for p in points if p.diffusive or p.temperature_K >= cold]
    limits = [not p.diffusive for p in near]
    values = [p.d_cm2_s if p.diffusive else 0.0 for p in near]
    errors = [p.error_cm2_s if p.diffusive else _limit_error(p) for p in near]
    regimes = fit_regimes([p.temperature_K for p in near], values, errors, limits)
    chosen = regimes.at(target_K)
    edge = cold if target_K < cold else hot if target_K > hot else target_K
    along, here = chosen.ln_estimate(target_K), direct(points, target_K)
    if here.error < along.error:
        # Runs at the target itself know better than a line that they do not lie on.
        deviates = stats.t.ppf((np.arange(2**_DRAWS) + 0.5) / 2**_DRAWS, here.dof)
        draws, weights = here.value + here.error * deviates, np.full(2**_DRAWS, 0.5**_DRAWS)
        statistics, scatter = here.error, 0.0
    else:
        draws, weights = _draws(chosen, target_K, edge, far, bend_eV)
        statistics, scatter = _statistics_and_scatter(chosen, along.error)
    left = 1 / np.sum(weights**2) >= _FEWEST_DRAWS
    mean, deviation = _middle(draws, weights, along.dof) if left else (np.nan, np.nan)
    beyond = float(np.sqrt(np.maximum(0.0, deviation**2 - along.error**2))) if edge != target_K else 0.0
    return Line(
        potential=points[0].potential,
        regimes=regimes,
        fit=chosen,
        coldest_K=float(cold),
        nearest_K=float(seen[np.argmin(np.abs(seen - target_K))]),
        ln_d=Estimate(mean, deviation, along.dof),
        ln_d_statistics=statistics,
        ln_d_replicas=scatter,
        ln_d_extrapolation=beyond,
        draws=draws,
        weights=weights,
    )


def direct(points: Sequence[Point], target_K: float) -> Estimate:
    """Ln D of the runs at the target itself; unknown where one of them saw none, but would have seen as much."""
    at_target = [p for p in points if abs(p.temperature_K / target_K - 1) < 1e-6]
    there = [p for p in at_target if p.diffusive]
    if not there:
        return UNKNOWN
    found = _mean_ln_d(there)
    reach = np.exp(found.interval()[1])
    contradicted = any(not p.diffusive and p.limit_cm2_s < reach for p in at_target)
    return UNKNOWN if contradicted else found


def _mean_ln_d(there: Sequence[Point]) -> Estimate:
    """Weighted mean of ln D of diffusive runs."""
    logs, errors = (
        np.array(v) for v in zip(*((np.log(p.d_cm2_s), p.error_cm2_s / p.d_cm2_s) for p in there), strict=True)
    )
    mean = np.average(logs, weights=errors**-2)
    own = float(np.sum(errors**-2) ** -0.5)
    spread = float(logs.std(ddof=1) / np.sqrt(len(logs))) if len(logs) > 1 else 0.0
    return Estimate(float(mean), max(own, spread), len(logs) - 1 if spread > own else np.inf)


def _limit_error(point: Point) -> float:
    """Standard error that makes the limit the 95 % one of a value of zero."""
    return point.limit_cm2_s / stats.norm.ppf(0.95)


def _statistics_and_scatter(fit: ArrheniusFit, error: float) -> tuple[float, float]:
    """The parts of a standard error that runs have of themselves, and that their scatter about the line adds."""
    own = error / fit.inflation
    return float(own), float(np.sqrt(max(0.0, error**2 - own**2)))


def _draws(fit: ArrheniusFit, target_K: float, edge_K: float, far: Sequence[Point], bend_eV: float):
    """Values of ln D at the target and their weights: line and bend as drawn, limits beyond the line as likelihood."""
    uniform = qmc.Sobol(4, scramble=False).random_base2(_DRAWS) + 0.5 / 2**_DRAWS
    normal = special.ndtri(uniform[:, :3])
    if np.isfinite(fit.dof):
        # Student's t: the normal deviates of the line over the root of a χ² share.
        normal[:, :2] /= np.sqrt(stats.chi2.ppf(uniform[:, 3], fit.dof) / fit.dof)[:, None]
    root = np.linalg.cholesky(fit.covariance)
    lines = np.array([fit.ln_d0, fit.activation_energy_eV]) + normal[:, :2] @ root.T
    bend = normal[:, 2] * bend_eV * _WIDER
    log_weight = 0.5 * normal[:, 2] ** 2 * (1 - _WIDER**2)

    def ln_d(temperature: float) -> np.ndarray:
        x, start = 1 / (K_B * temperature), 1 / (K_B * edge_K)
        outside = (x - start) if (temperature - edge_K) * (target_K - edge_K) > 0 else 0.0
        return lines @ np.array([1.0, -x]) - bend * outside

    for point in far:
        log_weight = log_weight + special.log_ndtr(
            -np.exp(np.clip(ln_d(point.temperature_K), -200, 50)) / _limit_error(point)
        )
    weights = np.exp(log_weight - log_weight.max())
    return ln_d(target_K), weights / weights.sum()


def _middle(draws: np.ndarray, weights: np.ndarray, dof: float) -> tuple[float, float]:
    """Median of weighted draws, and the standard error whose 95 % interval with these degrees of freedom is theirs.

    Student's t with one or two degrees of freedom, as lines through three or four points have, has no variance.
    """
    order = np.argsort(draws)
    shares = np.cumsum(weights[order])
    low, middle, high = np.interp([0.025, 0.5, 0.975], shares, draws[order])
    return float(middle), float((high - low) / (2 * stats.t.ppf(0.975, dof)))


def _fit_scalars(fit: ArrheniusFit) -> dict[str, Any]:
    return {
        "activation_energy_eV": fit.activation_energy_eV,
        "activation_energy_uncertainty_eV": fit.activation_energy_error_eV,
        "activation_energy_interval95_eV": list(fit.activation_energy.interval()),
        "ln_d0": fit.ln_d0,
        "covariance_ln_d0_eV": fit.covariance.tolist(),
        "birge_ratio": fit.birge_ratio if np.isfinite(fit.birge_ratio) else None,
        "degrees_of_freedom": fit.dof if np.isfinite(fit.dof) else None,
        "temperatures_K": fit.temperatures_K.tolist(),
        "diffusivities_cm2_s": fit.d_cm2_s.tolist(),
        "uncertainties_cm2_s": fit.errors_cm2_s.tolist(),
        "limits": fit.limits.tolist(),
    }
