r"""From the diffusivities of several runs with one or several potentials to E_a, D and σ at a target temperature.

E_a, ln D₀ and ln D are means over the potentials, of which each has its line
(:mod:`aiida_lpsgb.analysis.arrhenius_line`). Their variance has named parts,

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
from scipy import stats

from aiida_lpsgb.analysis.arrhenius_line import BEND_EV, Line, Point, direct, fit_refusal, line
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate
from aiida_lpsgb.analysis.motion import nernst_einstein

FAR = 1.25
"""An extrapolation from a temperature above this many times the target is said to be one."""
GROSS = np.log(3.0)
"""A potential disagrees grossly if ln D differs by more than this, and by three standard errors, from the others."""


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
        Means over potentials, eV and ln of cm²/s; None without lines. ``ln_d`` is at the target, and None also where
        limits contradict the line of a potential, or where the mean is above ``limit_cm2_s``.
    direct
        ln D of the runs at the target itself; unknown if none is diffusive there, one that is not denies it, or it is
        above ``limit_cm2_s``.
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
        return numbers | {"potentials": {f.potential: f.scalars() for f in self.lines}}

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
            interval[1] = min(interval[1], self.limit_cm2_s)
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
        parts = [f.parts_of_ln_d0 for f in lines]
        prefactor = mean_over_potentials([f.fit.ln_d0 for f in lines], *zip(*parts, strict=True), dof)
        ln_d = None if any(f.contradicted for f in lines) else _at_target(lines)
    at_target, limit = direct(points, target_K), _limit(points, target_K)
    if limit is not None:
        # What lies above the limit is no value, and neither is the limit.
        ln_d = ln_d if ln_d is not None and ln_d.value <= np.log(limit) else None
        at_target = at_target if at_target.value <= np.log(limit) else UNKNOWN
    named = tuple(disagreeing(lines))
    return Transport(
        target_K=float(target_K),
        reason=fit_refusal(points),
        lines=lines,
        activation_energy=energy,
        ln_d0=prefactor,
        ln_d=ln_d,
        direct=at_target,
        limit_cm2_s=limit,
        haven_ratio=_mean_ratio(haven_ratios),
        disagreeing=named,
        sentence=_sentence(points, lines, by_potential, target_K, ln_d is not None, at_target, named),
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


def _sentence(
    points: Sequence[Point],
    lines: Sequence[Line],
    by_potential: Mapping[str, Sequence[Point]],
    target_K: float,
    extrapolated: bool,
    direct: Estimate,
    named: Sequence[str],
) -> str:
    """What to know before the value at the target is quoted."""
    parts = []
    if extrapolated:
        parts += _of_extrapolation(points, lines, target_K)
    else:
        parts.append(_why_no_value(points, lines))
        if np.isfinite(direct.value):
            parts[0] += f": D at {target_K:g} K is that of the runs at this temperature"
        else:
            parts[0] += f"{':' if lines else ' and no diffusion at the target:'} only an upper limit is known"
    if lines and (missing := [name for name, own in by_potential.items() if fit_refusal(own)]):
        parts.append(f"no line could be drawn for {', '.join(missing)}")
    if len(lines) == 1:
        parts.append("a single potential says nothing of how far another would differ")
    if named:
        parts.append(f"{', '.join(named)} disagrees grossly with the other potentials")
    return "; ".join(parts)


def _of_extrapolation(points: Sequence[Point], lines: Sequence[Line], target_K: float) -> list[str]:
    """How far the target is from the runs, and what holds the line there."""
    parts = []
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
    return parts


def _why_no_value(points: Sequence[Point], lines: Sequence[Line]) -> str:
    """Why no line tells D at the target."""
    if not lines:
        return "no line"
    if not (against := [f for f in lines if f.contradicted]):
        return "the line passes above the upper limit of D at the target"
    cold = {f.potential: f.coldest_K for f in against}
    below = {p.temperature_K for p in points if not p.diffusive and p.temperature_K < cold.get(p.potential, 0.0)}
    held = ", ".join(f"{t:g}" for t in sorted(below))
    return (
        f"the runs at {held} K, in which no diffusion was seen, lie far below the line of {', '.join(cold)}, which is "
        "not extrapolated"
    )
