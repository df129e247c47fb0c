"""What `lpsgb.arrhenius_fit` says, for tables and figures, and whether runs contradict it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.arrhenius import ArrheniusFit, Regimes
from aiida_lpsgb.analysis.committee import mean_over_potentials

LEVEL = 1.96
"""Standard errors in half of a 95 % interval."""
PARTS = ("statistics", "replicas", "committee", "extrapolation")
"""Of an uncertainty."""


@dataclass(frozen=True)
class Fit:
    """The content of a node of `lpsgb.arrhenius_fit`.

    Attributes
    ----------
    results
        The content; see there.
    """

    results: Mapping[str, Any]

    @property
    def fitted(self) -> bool:
        """Whether a line could be drawn."""
        return self.results["fitted"]

    @property
    def target_K(self) -> float:
        """Temperature of the extrapolated numbers."""
        return self.results["target_temperature_K"]

    @property
    def energy_eV(self) -> tuple[float | None, float | None]:
        """Activation energy at the target and its standard uncertainty."""
        return self.results["activation_energy_eV"], self.results["activation_energy_uncertainty_eV"]

    @property
    def nearest_K(self) -> float | None:
        """Temperature nearest to the target at which motion was diffusive."""
        return self.results["nearest_temperature_K"]

    @property
    def sentence(self) -> str:
        """What to know before the numbers at the target are quoted."""
        return "; ".join(text for text in (self.results["reason"], self.results["sentence"]) if text)

    @property
    def disagreeing(self) -> list[str]:
        """Potentials that disagree grossly with the others."""
        return list(self.results["disagreeing_potentials"])

    @property
    def diffusive(self) -> list[bool]:
        """Which points are diffusive; the others entered as upper limits."""
        return list(self.results["diffusive"])

    @property
    def diffusive_K(self) -> list[float]:
        """The temperatures of diffusive points, from the coldest."""
        points = zip(self.results["temperatures_K"], self.diffusive, strict=True)
        return sorted({temperature for temperature, diffusive in points if diffusive})

    @property
    def transitions_K(self) -> list[float]:
        """Where the lines of potentials bend; empty if none does."""
        found = (line["regimes"]["transition_K"] for line in self.results["potentials"].values())
        return sorted(transition for transition in found if transition is not None)

    def parts(self, quantity: str, unit: str = "") -> dict[str, float | None]:
        """The parts of the standard uncertainty of ``activation_energy`` (unit ``_eV``) or ``ln_diffusivity``."""
        return {part: self.results[f"{quantity}_{part}{unit}"] for part in PARTS}

    def at_target(self, quantity: str) -> tuple[float | None, Sequence[float] | None, float | None]:
        """Value, 95 % interval and upper limit of ``diffusivity`` (cm²/s) or ``conductivity`` (S/cm) at the target."""
        unit = {"diffusivity": "cm2_s", "conductivity": "s_cm", "collective_conductivity": "s_cm"}[quantity]
        names = (f"{quantity}_{unit}", f"{quantity}_interval95_{unit}", f"{quantity}_upper_limit_{unit}")
        return tuple(self.results.get(name) for name in names)

    def by_potential(self) -> dict[str, tuple[float, float]]:
        """Return ln D (cm²/s) at the target and its standard error by the line of each potential."""
        found = zip(self.results["potentials"], self._lines, strict=True)
        estimates = {name: regimes.at(self.target_K).ln_estimate(self.target_K) for name, (regimes, _) in found}
        return {name: (estimate.value, estimate.error) for name, estimate in estimates.items()}

    @cached_property
    def _lines(self) -> list[tuple[Regimes, float]]:
        """The line or lines of each potential, and the coldest temperature that they rest on."""
        return [
            (
                Regimes(
                    fits=tuple(_line(fit) for fit in line["regimes"]["fits"]),
                    transition_K=line["regimes"]["transition_K"],
                    criterion=(np.nan, np.nan),
                ),
                line["coldest_temperature_K"],
            )
            for line in self.results["potentials"].values()
        ]

    def predict(self, temperature_K: float) -> tuple[float, float, float]:
        """D and its 95 % interval, cm²/s: of the mean line, and beyond its end widening to that at the target."""
        value, low, high = self._mean(temperature_K)
        share = self._share(temperature_K)
        if share and self.results["diffusivity_cm2_s"] is not None:
            # What limits say of the target, beside the line itself, is reached in proportion to the distance.
            told = np.log([self.results["diffusivity_cm2_s"], *self.results["diffusivity_interval95_cm2_s"]])
            value, low, high = np.array([value, low, high]) + share * (told - self._mean(self.target_K))
        return float(np.exp(value)), float(np.exp(low)), float(np.exp(high))

    def _mean(self, temperature_K: float) -> tuple[float, float, float]:
        """Mean of ln D over the potentials' lines and its 95 % interval."""
        found = [regimes.at(temperature_K).ln_estimate(temperature_K) for regimes, _ in self._lines]
        none = [0.0] * len(found)
        spread = mean_over_potentials([e.value for e in found], [e.error for e in found], none, [e.dof for e in found])
        return spread.value, *spread.interval95

    def _share(self, temperature_K: float) -> float:
        """How far from the end of the line to the target, 0 within the line and 1 at the target, in 1/T."""
        edge = max(coldest for _, coldest in self._lines)
        if self.target_K >= edge or temperature_K >= edge:
            return 0.0
        return (1 / temperature_K - 1 / edge) / (1 / self.target_K - 1 / edge)


def _line(values: Mapping[str, Any]) -> ArrheniusFit:
    return ArrheniusFit(
        activation_energy_eV=values["activation_energy_eV"],
        ln_d0=values["ln_d0"],
        covariance=np.array(values["covariance_ln_d0_eV"]),
        birge_ratio=values["birge_ratio"] or np.nan,
        dof=values["degrees_of_freedom"] or np.inf,
        temperatures_K=np.array(values["temperatures_K"]),
        d_cm2_s=np.array(values["diffusivities_cm2_s"]),
        errors_cm2_s=np.array(values["uncertainties_cm2_s"]),
        limits=np.array(values["limits"], bool),
    )


# ---- runs of one temperature, and what they say of the fit ---------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A quantity that several runs of the same temperature have measured.

    Attributes
    ----------
    value, error
        Mean over the runs and its standard error: the larger of what the runs' own errors and their scatter give; None
        where the motion of one of them is not diffusive.
    limit
        Upper 95 % limit of the run that leaves the most room; stands in place of a value.
    n_runs
        How many runs.
    """

    value: float | None
    error: float | None
    limit: float | None
    n_runs: int


def measured(runs: Sequence[Mapping[str, Any]], quantity: str = "diffusivity") -> Measured | None:
    """What the scalars of diffusivities of one temperature say together; None if they do not know it.

    Parameters
    ----------
    runs
        Scalars of `lpsgb.diffusivity` nodes.
    quantity
        ``diffusivity`` (cm²/s) or ``conductivity`` (S/cm).
    """
    keys = {
        "diffusivity": ("diffusivity_cm2_s", "uncertainty_cm2_s", "upper_limit_cm2_s"),
        "conductivity": ("conductivity_s_cm", "conductivity_uncertainty_s_cm", "conductivity_upper_limit_s_cm"),
    }[quantity]
    if not runs:
        return None
    if not all(run["diffusive"] for run in runs):
        limits = [_limit_of(run, keys) for run in runs]
        known = [limit for limit in limits if limit is not None]
        return Measured(None, None, max(known), len(runs)) if len(known) == len(runs) else None
    values, errors = ([run.get(key) for run in runs] for key in keys[:2])
    if None in values:
        return None
    return Measured(float(np.mean(values)), pooled_error(values, errors), None, len(runs))


def _limit_of(run: Mapping[str, Any], keys: tuple[str, str, str]) -> float | None:
    """The upper limit of a run; of a diffusive one the end of its 95 % interval."""
    value, error, limit = (run.get(key) for key in keys)
    return value + LEVEL * (error or 0.0) if limit is None and value is not None else limit


def pooled_error(values: Sequence[float], errors: Sequence[float | None]) -> float | None:
    """Standard error of a mean: the larger of what the errors and what the scatter give; None if neither is known."""
    own = float(np.linalg.norm(errors)) / len(values) if None not in errors else None
    scatter = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return max((error for error in (own, scatter) if error is not None), default=None)


def contradictions(
    fit: Fit, runs: Mapping[float, Measured | None]
) -> list[tuple[float, Measured, tuple[float, float]]]:
    """Temperatures at which what was measured lies outside of the 95 % interval of the fit.

    Points that the line was fitted to are not looked at (their scatter widens its interval); limits and points that it
    does not know are.

    Parameters
    ----------
    fit
        The fit.
    runs
        Diffusivities (cm²/s) by temperature.

    Returns
    -------
    list
        Temperature, what was measured, and the interval of the fit there, cm²/s.
    """
    found = []
    for temperature, here in sorted(runs.items()):
        if here is None or not fit.fitted or temperature in fit.diffusive_K:
            continue
        _, low, high = fit.predict(temperature)
        if here.limit is not None:
            outside = here.limit < low
        else:
            factor = np.exp(LEVEL * (here.error or 0.0) / here.value)
            outside = here.value * factor < low or here.value / factor > high
        if outside:
            found.append((temperature, here, (low, high)))
    return found
