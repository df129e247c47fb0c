r"""From the diffusivities of several runs with one or several potentials to E_a, D and σ at a target temperature.

* **Points.** A run whose motion is not diffusive enters with its upper limit, never with its slope.
* **Lines.** One a potential (:mod:`aiida_lpsgb.analysis.arrhenius`), in one or two regimes; the target takes the regime
  that reaches it. Limits among the temperatures at which diffusion was seen bend the line itself.
* **Extrapolation.** Below the coldest temperature at which diffusion was seen nothing tells whether another regime
  begins: the activation energy may change there by :data:`BEND_EV` (standard deviation), and the interval of D widens
  with the distance. Limits at such temperatures, the target included, constrain that change.
* **Committee.** E_a, ln D₀ and ln D are means over the potentials. Their variance has named parts,

  .. math::

     \mathrm{total}^2 = \mathrm{statistics}^2 + \mathrm{replicas}^2 + \mathrm{committee}^2 + \mathrm{extrapolation}^2,

  of the runs themselves, of the scatter of runs about their line, of potentials among each other, and of what may
  happen below the coldest run. The committee's share is what the lines scatter beyond the first two; intervals use
  Student's *t* with one degree of freedom less than there are potentials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.stats import qmc

from aiida_lpsgb.analysis.arrhenius import K_B, ArrheniusFit, Regimes, fit_regimes
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate
from aiida_lpsgb.analysis.motion import nernst_einstein

BEND_EV = 0.1
"""Standard deviation of a change of the activation energy below the coldest measured temperature, eV."""
FAR = 1.25
"""An extrapolation from a temperature above this many times the target is said to be one."""
GROSS = np.log(3.0)
"""A potential disagrees grossly if ln D differs by more than this, and by three standard errors, from the others."""

ALONE = "potential"
"""Label where there is but one potential."""

_DRAWS = 13  # powers of two
_WIDER = 2.0  # than the prior: how far changes of the activation energy are tried


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
        ln D (cm²/s) at the target: mean and standard deviation with all that is known.
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
    def parts_of_energy(self) -> tuple[float, float]:
        """Standard error of E_a from statistics and from the scatter of runs, eV."""
        return _statistics_and_scatter(self.fit, self.fit.activation_energy_error_eV)


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
    along, direct = chosen.ln_estimate(target_K), _direct(points, target_K)
    if direct.error < along.error:
        # Runs at the target itself know better than a line that they do not lie on.
        deviates = stats.t.ppf((np.arange(2**_DRAWS) + 0.5) / 2**_DRAWS, direct.dof)
        draws, weights = direct.value + direct.error * deviates, np.full(2**_DRAWS, 0.5**_DRAWS)
        statistics, scatter = direct.error, 0.0
    else:
        draws, weights = _draws(chosen, target_K, edge, far, bend_eV)
        statistics, scatter = _statistics_and_scatter(chosen, along.error)
    mean, deviation = _middle(draws, weights, along.dof)
    beyond = float(np.sqrt(max(0.0, deviation**2 - along.error**2))) if edge != target_K else 0.0
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


# ---- committee -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """A mean over potentials and the parts of its standard error.

    Attributes
    ----------
    value
        Mean.
    statistics, replicas, extrapolation
        Standard error of the mean from runs, from their scatter about lines, and from what may happen beyond them.
    committee
        Standard error of the mean from potentials; None with a single one, which cannot tell.
    interval95
        95 % interval.
    """

    value: float
    statistics: float
    replicas: float
    committee: float | None
    extrapolation: float
    interval95: tuple[float, float]

    @property
    def total(self) -> float:
        """Standard error of the mean."""
        return float(
            np.sqrt(sum(p**2 for p in (self.statistics, self.replicas, self.committee or 0.0, self.extrapolation)))
        )

    def scalars(self, name: str, unit: str = "") -> dict[str, Any]:
        """Value, total error, interval and parts by name."""
        unit = f"_{unit}" if unit else ""
        parts = ("statistics", "replicas", "committee", "extrapolation")
        return {
            f"{name}{unit}": self.value,
            f"{name}_uncertainty{unit}": self.total,
            f"{name}_interval95{unit}": list(self.interval95),
        } | {f"{name}_{part}{unit}": getattr(self, part) for part in parts}


def mean_over_potentials(
    values: Sequence[float],
    statistics: Sequence[float],
    replicas: Sequence[float],
    dof: Sequence[float],
    extrapolation: Sequence[float] | None = None,
) -> Spread:
    """Mean over potentials with its parts; the interval holds however few there are.

    Parameters
    ----------
    values
        One a potential.
    statistics, replicas
        Standard errors of each.
    dof
        Degrees of freedom of each.
    extrapolation
        Standard deviations of what all have in common.
    """
    values, n = np.asarray(values, float), len(values)
    own, scatter = (float(np.sqrt(np.sum(np.square(part)))) / n for part in (statistics, replicas))
    common = 0.0 if extrapolation is None else float(np.mean(extrapolation))
    mean = float(values.mean())
    if n == 1:
        committee, reach = None, stats.t.ppf(0.975, dof[0]) * np.hypot(own, scatter)
    else:
        observed = float(values.std(ddof=1)) / np.sqrt(n)
        committee = float(np.sqrt(max(0.0, observed**2 - own**2 - scatter**2)))
        reach = stats.t.ppf(0.975, n - 1) * max(observed, np.hypot(own, scatter))
    half = float(np.hypot(reach, stats.norm.ppf(0.975) * common))
    return Spread(mean, own, scatter, committee, common, (mean - half, mean + half))


def disagreeing(lines: Sequence[Line]) -> list[str]:
    """Potentials whose D differs grossly from that of the others in the middle or at the cold end of what all have run.

    With two potentials nobody can tell which is wrong: both are named.
    """
    if len(lines) < 2:
        return []
    cold = max(f.coldest_K for f in lines)
    middle = float(np.exp(np.mean([np.log(f.fit.temperatures_K).mean() for f in lines])))
    named = []
    for own in lines:
        for temperature in (middle, cold):
            order = (own, *(other for other in lines if other is not own))
            mine, *others = (f.regimes.at(temperature).ln_estimate(temperature) for f in order)
            values = np.array([e.value for e in others])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            error = np.sqrt(mine.error**2 + np.mean([e.error**2 for e in others]) + spread**2)
            if abs(mine.value - np.median(values)) > max(GROSS, 3 * error):
                named.append(own.potential)
                break
    return named


@dataclass(frozen=True)
class Transport:
    """Activation energy, D and σ of a place at a target temperature.

    Attributes
    ----------
    target_K
        The target temperature.
    reason
        Why no line could be drawn; None if one could.
    lines
        One a potential through whose points one could.
    activation_energy, ln_d0, ln_d
        Means over potentials, eV and ln of cm²/s; None without lines. ``ln_d`` is at the target.
    direct
        ln D of the runs at the target itself; unknown if none is diffusive there, or one that is not denies it.
    limit_cm2_s
        Upper 95 % limit of D at the target from the runs of all potentials at it or above; None if there are none.
    haven_ratio
        D over the collective D, weighted mean over the runs; unknown where it has no meaning.
    disagreeing
        Potentials that disagree grossly.
    sentence
        What to know before the value at the target is quoted.
    """

    target_K: float
    reason: str | None
    lines: tuple[Line, ...]
    activation_energy: Spread | None
    ln_d0: Spread | None
    ln_d: Spread | None
    direct: Estimate
    limit_cm2_s: float | None
    haven_ratio: Estimate
    disagreeing: tuple[str, ...]
    sentence: str

    def scalars(self, number_density_A3: float, charge: float | None) -> dict[str, Any]:
        """All scalars: JSON types, units in the keys, None for what is not known.

        Parameters
        ----------
        number_density_A3
            Ions per Å³.
        charge
            Charge number of the ion; no conductivity without.
        """
        numbers: dict[str, Any] = {
            "fitted": self.reason is None,
            "reason": self.reason,
            "target_temperature_K": float(self.target_K),
            "sentence": self.sentence,
            "disagreeing_potentials": list(self.disagreeing),
            "n_potentials": len(self.lines),
            "nearest_temperature_K": min((f.nearest_K for f in self.lines), key=self._distance, default=None),
        }
        empty = Spread(np.nan, np.nan, np.nan, None, np.nan, (np.nan, np.nan))
        for spread, name, unit in (
            (self.activation_energy, "activation_energy", "eV"),
            (self.ln_d0, "ln_d0", ""),
            (self.ln_d, "ln_diffusivity", ""),
        ):
            found = (spread or empty).scalars(name, unit)
            numbers |= found if spread else dict.fromkeys(found)
        numbers |= self._at_target(number_density_A3, charge)
        numbers |= self.haven_ratio.scalars("haven_ratio")
        return numbers | {"potentials": {f.potential: _line_scalars(f) for f in self.lines}}

    def _distance(self, temperature_K: float) -> float:
        return abs(temperature_K - self.target_K)

    def _at_target(self, density: float, charge: float | None) -> dict[str, Any]:
        siemens = nernst_einstein(1.0, density, self.target_K, charge) if charge is not None else None
        best = self.ln_d
        if best is not None:
            d, interval = float(np.exp(best.value)), [float(np.exp(end)) for end in best.interval95]
        elif np.isfinite(self.direct.value):
            d, interval = float(np.exp(self.direct.value)), [float(np.exp(end)) for end in self.direct.interval()]
        else:
            d, interval = None, None
        if best is not None and self.limit_cm2_s is not None:
            # Of several potentials the interval is symmetric in ln D, and may reach beyond what was seen not to be.
            d, interval = min(d, self.limit_cm2_s), [min(end, self.limit_cm2_s) for end in interval]
        numbers = {
            "diffusivity_cm2_s": d,
            "diffusivity_interval95_cm2_s": interval,
            "diffusivity_upper_limit_cm2_s": self.limit_cm2_s,
            "d0_cm2_s": float(np.exp(self.ln_d0.value)) if self.ln_d0 else None,
        }
        known = siemens is not None
        haven = self.haven_ratio
        collective = known and d is not None and np.isfinite(haven.value)
        numbers |= {
            "conductivity_s_cm": siemens * d if known and d is not None else None,
            "conductivity_interval95_s_cm": [siemens * end for end in interval] if known and interval else None,
            "conductivity_upper_limit_s_cm": siemens * self.limit_cm2_s if known and self.limit_cm2_s else None,
            "collective_conductivity_s_cm": siemens * d / haven.value if collective else None,
            "collective_conductivity_interval95_s_cm": None,
        }
        if collective:
            # Relative errors of D and of the ratio add in squares, about the logarithm.
            ends = np.log(np.array(interval) / d)
            ratio = np.log(np.array(haven.interval())[::-1].clip(1e-3 * haven.value) / haven.value)
            reach = np.array([-1, 1]) * np.hypot(ends, ratio)
            numbers["collective_conductivity_interval95_s_cm"] = [
                float(siemens * d / haven.value * np.exp(end)) for end in reach
            ]
        return numbers


def _line_scalars(line: Line) -> dict[str, Any]:
    regimes = line.regimes
    return {
        **_fit_scalars(line.fit),
        "ln_diffusivity": line.ln_d.value,
        "ln_diffusivity_uncertainty": line.ln_d.error,
        "coldest_temperature_K": line.coldest_K,
        "regimes": {
            "fits": [_fit_scalars(fit) for fit in regimes.fits],
            "transition_K": regimes.transition_K,
            "transition_interval95_K": list(regimes.transition_interval95_K)
            if regimes.transition_interval95_K
            else None,
            "aicc": [value if np.isfinite(value) else None for value in regimes.criterion],
        },
    }


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


def transport(
    points: Sequence[Point],
    target_K: float = 300.0,
    haven_ratios: Sequence[Estimate] = (),
    bend_eV: float = BEND_EV,
) -> Transport:
    """Activation energy, prefactor and D at a target temperature from runs with one or several potentials.

    Parameters
    ----------
    points
        Any number of runs.
    target_K
        Temperature at which D is wanted.
    haven_ratios
        Those of the runs, where they have a meaning.
    bend_eV
        Standard deviation of a change of the activation energy beyond the temperatures measured.

    Raises
    ------
    ValueError
        If the target makes no sense or there are no points.
    """
    if not np.isfinite(target_K) or target_K <= 0:
        raise ValueError(f"target_temperature_K must be positive, found {target_K}")
    if not points:
        raise ValueError("there are no diffusivities to fit")
    by_potential = {name: [p for p in points if p.potential == name] for name in sorted({p.potential for p in points})}
    lines = tuple(line(own, target_K, bend_eV) for own in by_potential.values() if fit_refusal(own) is None)
    energy = prefactor = ln_d = None
    if lines:
        parts = [f.parts_of_energy for f in lines]
        dof = [f.fit.dof for f in lines]
        energy = mean_over_potentials([f.fit.activation_energy_eV for f in lines], *zip(*parts, strict=True), dof)
        errors = [_statistics_and_scatter(f.fit, float(np.sqrt(f.fit.covariance[0, 0]))) for f in lines]
        prefactor = mean_over_potentials([f.fit.ln_d0 for f in lines], *zip(*errors, strict=True), dof)
        ln_d = _at_target(lines)
    direct = _direct(points, target_K)
    named = tuple(disagreeing(lines))
    return Transport(
        target_K=float(target_K),
        reason=fit_refusal(points),
        lines=lines,
        activation_energy=energy,
        ln_d0=prefactor,
        ln_d=ln_d,
        direct=direct,
        limit_cm2_s=_limit(points, target_K),
        haven_ratio=_mean_ratio(haven_ratios),
        disagreeing=named,
        sentence=_sentence(points, lines, by_potential, target_K, direct, named),
    )


def _at_target(lines: Sequence[Line]) -> Spread:
    """Ln D at the target. Of a single potential the interval is that of its draws, which limits may make lopsided."""
    spread = mean_over_potentials(
        [f.ln_d.value for f in lines],
        [f.ln_d_statistics for f in lines],
        [f.ln_d_replicas for f in lines],
        [f.fit.dof for f in lines],
        [f.ln_d_extrapolation for f in lines],
    )
    if len(lines) > 1:
        return spread
    order = np.argsort(lines[0].draws)
    cumulative = np.cumsum(lines[0].weights[order])
    ends = tuple(float(lines[0].draws[order][np.searchsorted(cumulative, level)]) for level in (0.025, 0.975))
    return replace(spread, interval95=ends)


def _limit(points: Sequence[Point], target_K: float) -> float | None:
    """Upper 95 % limit of D at the target: D grows with temperature, so that of any run at it or above will do.

    A temperature counts if all potentials were run there, and then by the run that leaves the most room: how little
    ions move with one potential is no limit of how they move with another.
    """
    potentials = {point.potential for point in points}
    runs: dict[float, list[Point]] = {}
    for point in points:
        if point.temperature_K >= target_K * (1 - 1e-9):
            runs.setdefault(point.temperature_K, []).append(point)
    complete = [own for own in runs.values() if {point.potential for point in own} == potentials]
    return min((max(point.limit_cm2_s for point in own) for own in complete), default=None)


def _direct(points: Sequence[Point], target_K: float) -> Estimate:
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


def _mean_ratio(ratios: Sequence[Estimate]) -> Estimate:
    """Weighted mean of the logarithms of ratios that have a meaning, as a ratio."""
    known = [r for r in ratios if np.isfinite(r.value) and r.value > 0 and np.isfinite(r.error) and r.error > 0]
    if not known:
        return UNKNOWN
    logs, errors = np.log([r.value for r in known]), np.array([r.error / r.value for r in known])
    mean = np.average(logs, weights=errors**-2)
    error = float(np.sum(errors**-2) ** -0.5)
    dof = sum(r.dof for r in known)
    if len(known) > 1:
        error *= max(1.0, float(np.sqrt(np.sum(((logs - mean) / errors) ** 2) / (len(known) - 1))))
    value = float(np.exp(mean))
    return Estimate(value, value * error, dof)


def _sentence(points, lines, by_potential, target_K: float, direct: Estimate, named: Sequence[str]) -> str:
    """What to know before the value at the target is quoted."""
    parts = []
    if lines:
        nearest = min((f.nearest_K for f in lines), key=lambda t: abs(t - target_K))
        above = 100 * (nearest / target_K - 1)
        if nearest > FAR * target_K:
            parts.append(
                f"D at {target_K:g} K is extrapolated from {nearest:g} K, {above:.0f} % above it: "
                "another regime may begin in between, which the interval allows for"
            )
        below = sorted({p.temperature_K for p in points if not p.diffusive and p.temperature_K < nearest})
        if below:
            held = ", ".join(f"{t:g}" for t in below)
            parts.append(f"the runs at {held} K, in which no diffusion was seen, hold it below their limits")
    elif np.isfinite(direct.value):
        parts.append(f"no line: D at {target_K:g} K is that of the runs at this temperature")
    else:
        parts.append("no line and no diffusion at the target: only an upper limit is known")
    if lines and (missing := [name for name, own in by_potential.items() if fit_refusal(own)]):
        parts.append(f"no line could be drawn for {', '.join(missing)}")
    if len(lines) == 1:
        parts.append("a single potential says nothing of how far another would differ")
    if named:
        parts.append(f"{', '.join(named)} disagrees grossly with the other potentials")
    return "; ".join(parts)
