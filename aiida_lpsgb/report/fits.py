"""What `lpsgb.arrhenius_fit` says, for tables and figures, and whether runs contradict it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.arrhenius import ArrheniusFit

LEVEL = 1.96
"""Standard errors in half of a 95 % interval."""


@dataclass(frozen=True)
class Fit:
    """An Arrhenius fit.

    Attributes
    ----------
    results
        The whole content of the node.
    target_K
        Temperature of the extrapolated numbers.
    lines
        One line, or two, from the colder regime; each with the temperatures it holds between.
    """

    results: Mapping[str, Any]
    target_K: float
    lines: tuple[tuple[ArrheniusFit, float, float], ...]

    @property
    def energy_eV(self) -> tuple[float, float]:
        """Activation energy of the colder regime and its standard uncertainty."""
        return self.results["activation_energy_ev"], self.results["activation_energy_uncertainty_ev"]

    @property
    def d0_cm2_s(self) -> float:
        """Prefactor."""
        return self.results["d0_cm2_s"]

    @property
    def conductivity_s_cm(self) -> tuple[float | None, Sequence[float] | None]:
        """Conductivity at the target and its 95 % interval."""
        return self.results["conductivity_300k_s_cm"], self.results["conductivity_300k_interval95_s_cm"]

    @property
    def diffusivity_cm2_s(self) -> tuple[float | None, Sequence[float] | None]:
        """Diffusivity at the target and its 95 % interval."""
        return self.results["diffusivity_300k_cm2_s"], self.results["diffusivity_300k_interval95_cm2_s"]

    @property
    def fitted_K(self) -> tuple[float, float]:
        """The coldest and the hottest temperature at which motion was diffusive."""
        seen = [t for t, limit in zip(self.temperatures_K, self.limits, strict=True) if not limit]
        return min(seen), max(seen)

    @property
    def temperatures_K(self) -> list[float]:
        """Of the points."""
        return list(self.results["temperatures_K"])

    @property
    def limits(self) -> list[bool]:
        """Which points are upper limits."""
        return list(self.results["upper_limits"])

    @property
    def density_A3(self) -> float | None:
        """Ions per Å³, which makes D a conductivity."""
        return self.results.get("number_density_A3")

    @property
    def transition_K(self) -> float | None:
        """Where two regimes meet, None for one."""
        return self.results.get("regimes", {}).get("transition_K")

    @property
    def remarks(self) -> list[str]:
        """What the fit says of itself, such as how far it extrapolates."""
        return list(self.results.get("remarks", []))

    def predict(self, temperature_K: float) -> tuple[float, float, float]:
        """D and its 95 % interval on the line that holds at a temperature, cm²/s."""
        line = next((line for line, _, high in self.lines if temperature_K <= high), self.lines[-1][0])
        return line.predict(temperature_K)


def fit_of(results: Mapping[str, Any]) -> Fit:
    """A fit from the content of its node."""
    parts = results.get("regimes", {"fits": [results]})["fits"]
    lines = tuple(_line(part, results) for part in parts)
    transition = results.get("regimes", {}).get("transition_K")
    low, high = min(results["temperatures_K"]), max(results["temperatures_K"])
    ends = [(low, high)] if len(lines) == 1 else [(low, transition or high), (transition or low, high)]
    target = results.get("target_temperature_K", 300.0)
    return Fit(results, target, tuple((line, *end) for line, end in zip(lines, ends, strict=True)))


def _line(part: Mapping[str, Any], whole: Mapping[str, Any]) -> ArrheniusFit:
    empty = np.array([])
    return ArrheniusFit(
        activation_energy_eV=part["activation_energy_ev"],
        ln_d0=part["ln_d0"],
        covariance=np.array(part["covariance_ln_d0_ev"]),
        birge_ratio=part.get("birge_ratio") or np.nan,
        dof=part.get("degrees_of_freedom") or np.inf,
        temperatures_K=np.array(part.get("temperatures_K", whole["temperatures_K"])),
        d_cm2_s=empty,
        errors_cm2_s=empty,
        limits=empty,
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
    fitted = {t for t, limit in zip(fit.temperatures_K, fit.limits, strict=True) if not limit}
    found = []
    for temperature, here in sorted(runs.items()):
        if here is None or temperature in fitted:
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
