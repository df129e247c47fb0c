"""What is reported of the motion of a species, in the whole cell or a part of it, by whatever estimator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import constants

from aiida_lpsgb.analysis.estimates import Estimate
from aiida_lpsgb.analysis.html import motion_fields

A2_PS_TO_CM2_S = 1.0e-4
"""1 Å²/ps in cm²/s."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a motion is diffusive, and what that rests on.

    Attributes
    ----------
    diffusive
        Whether every test was passed. Where not, only the upper limit of the diffusivity holds.
    sentence
        The verdict in words, with the first test that failed.
    evidence
        The numbers behind it, JSON types, units in the keys.
    """

    diffusive: bool
    sentence: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A diffusion coefficient with its verdict; see :class:`aiida_lpsgb.analysis.diffusion.Diffusivity` and its likes.

    Attributes
    ----------
    species, region, estimator
        What moves, where (``all`` for the whole cell), and how it was estimated.
    total
        D over the three directions, cm²/s.
    components
        D along the three directions of ``frame``, cm²/s; of a boundary the third is the normal.
    lateral
        Mean of the first two, cm²/s.
    isotropy
        ξ of eq. (3) of Jalem et al. (2023): D along the third direction over the larger of the other two.
    verdict
        Whether the motion is diffusive.
    detected
        Whether any diffusion was seen above noise.
    upper_limit_cm2_s
        Upper 95 % limit of D, which holds whatever the verdict.
    number_density_A3
        Ions per Å³ of what is looked at.
    window_ps
        First and last lag of the fit, ps.
    lags_ps, msd_A2
        Lags and mean-squared displacement by component, shape ``(n_lags, 3)``.
    temperature_K, charge
        Temperature of the run and charge number of the ion; None where they are not known.
    frame
        Three orthonormal directions in rows.
    """

    species: str
    region: str
    estimator: str
    total: Estimate
    components: tuple[Estimate, Estimate, Estimate]
    lateral: Estimate
    isotropy: Estimate
    verdict: Verdict
    detected: bool
    upper_limit_cm2_s: float
    number_density_A3: float
    window_ps: tuple[float, float]
    lags_ps: np.ndarray = field(repr=False)
    msd_A2: np.ndarray = field(repr=False)
    temperature_K: float | None = None
    charge: float | None = None
    frame: np.ndarray = field(default_factory=lambda: np.eye(3), repr=False)

    @property
    def value(self) -> float:
        """D, cm²/s."""
        return self.total.value

    @property
    def uncertainty(self) -> float:
        """Standard error of D, cm²/s."""
        return self.total.error

    @property
    def normal(self) -> Estimate:
        """D along the third direction, cm²/s."""
        return self.components[2]

    @property
    def diffusive(self) -> bool:
        """Whether the motion was seen to be diffusive."""
        return self.verdict.diffusive

    @property
    def exponent(self) -> float | None:
        """Log–log exponent of the displacement beyond the vibrations; 1 for diffusion, None where it is not known."""
        return self.verdict.evidence.get("exponent")

    def conductivity(self, charge: float | None = None, temperature_K: float | None = None) -> Estimate:
        """Nernst–Einstein conductivity, S/cm.

        Parameters
        ----------
        charge, temperature_K
            Charge number of the ion and temperature; those of the result if None.
        """
        return self.total.scaled(self._siemens(charge, temperature_K))

    def _repr_html_(self) -> str:
        """What it says, in a notebook."""
        return motion_fields(self.scalars(), type(self).__name__)

    def _siemens(self, charge: float | None = None, temperature_K: float | None = None) -> float:
        """Conductivity, S/cm, of one cm²/s."""
        charge = self.charge if charge is None else charge
        temperature = self.temperature_K if temperature_K is None else temperature_K
        if temperature is None or charge is None:
            raise ValueError("the conductivity needs charge and temperature_K")
        return nernst_einstein(1.0, self.number_density_A3, temperature, charge)

    def scalars(self) -> dict[str, Any]:
        """All scalars: JSON types, units in the keys, None for what is not known.

        ``conductivity_s_cm`` is None, and ``conductivity_upper_limit_s_cm`` stands in its place, where the motion is
        not diffusive.
        """
        value, error = self.total, self.total.scalars("diffusivity", "cm2_s")
        numbers = {
            "diffusivity_cm2_s": error["diffusivity_cm2_s"],
            "uncertainty_cm2_s": error["diffusivity_uncertainty_cm2_s"],
            "interval95_cm2_s": error["diffusivity_interval95_cm2_s"],
            "degrees_of_freedom": float(value.dof) if np.isfinite(value.dof) else None,
            "upper_limit_cm2_s": float(self.upper_limit_cm2_s),
            "detected": bool(self.detected),
            "diffusive": bool(self.diffusive),
            "verdict": self.verdict.sentence,
            "species": self.species,
            "region": self.region,
            "estimator": self.estimator,
            "direction": "xyz",
            "temperature_K": None if self.temperature_K is None else float(self.temperature_K),
            "charge": None if self.charge is None else float(self.charge),
            "number_density_A3": float(self.number_density_A3),
            "window_ps": [float(lag) for lag in self.window_ps],
            "components_cm2_s": [float(c.value) for c in self.components],
            "components_uncertainty_cm2_s": [float(c.error) for c in self.components],
            "frame": np.asarray(self.frame, float).tolist(),
        }
        numbers |= self.lateral.scalars("lateral", "cm2_s")
        numbers |= self.normal.scalars("normal", "cm2_s")
        numbers |= self.isotropy.scalars("isotropy")
        return numbers | self._conductivities() | self.verdict.evidence

    def _conductivities(self) -> dict[str, Any]:
        numbers = Estimate(np.nan, np.nan).scalars("conductivity", "s_cm") | {"conductivity_upper_limit_s_cm": None}
        if self.charge is None or self.temperature_K is None:
            return numbers
        limit = {"conductivity_upper_limit_s_cm": float(self.upper_limit_cm2_s * self._siemens())}
        return numbers | (self.conductivity().scalars("conductivity", "s_cm") if self.diffusive else limit)

    def to_dict(self) -> dict[str, Any]:
        """The scalars, as results of other libraries name them."""
        return self.scalars()

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, units in the names, NaN for what is not known."""
        return {"lags_ps": self.lags_ps, "msd_A2": self.msd_A2}


def nernst_einstein(
    diffusivity_cm2_s: float, number_density_A3: float, temperature_K: float, charge: float = 1.0
) -> float:
    """Ionic conductivity of independent ions, S/cm: n e² z² D / (k_B T), eq. (2).

    Parameters
    ----------
    diffusivity_cm2_s
        Diffusion coefficient, cm²/s.
    number_density_A3
        Ions per Å³.
    temperature_K
        Temperature.
    charge
        Charge number.
    """
    if temperature_K <= 0:
        raise ValueError(f"temperature_K must be positive, found {temperature_K}")
    per_cm3 = number_density_A3 * 1e24
    return per_cm3 * (charge * constants.e) ** 2 * diffusivity_cm2_s / (constants.k * temperature_K)
