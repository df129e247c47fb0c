"""A diffusion coefficient, its uncertainty and how it was estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida.orm import ArrayData

from aiida_lpsgb.data.species import check_species


class DiffusivityData(ArrayData):
    """A self-diffusion coefficient in cm²/s, with what is needed to judge and to plot it.

    Parameters
    ----------
    diffusivity_cm2_s, uncertainty_cm2_s
        The coefficient and its standard uncertainty.
    temperature_K
        Temperature of the run.
    species
        The diffusing species.
    estimator
        Name of the estimator, such as ``msd``.
    region
        The part of the cell it holds for; ``all`` for the whole.
    direction
        ``xyz`` for the isotropic average, or the Cartesian directions averaged over, such as ``z`` or ``xy``.
    conductivity_s_cm, conductivity_uncertainty_s_cm
        Ionic conductivity by the Nernst–Einstein relation and its uncertainty, in S/cm.
    window_ps
        First and last lag time of the fit.
    arrays
        Arrays to plot, by name, such as ``lag_times_ps``, ``msd_angstrom2`` and ``msd_uncertainty_angstrom2``.
    details
        Further numbers of the estimate (number of ions, of blocks …), JSON types, the unit in each key.

    Raises
    ------
    ValueError
        If a value is not finite or out of its range; the message names it.

    Notes
    -----
    Every scalar is an attribute to query by the name of its parameter.
    """

    def __init__(
        self,
        diffusivity_cm2_s: float,
        uncertainty_cm2_s: float,
        *,
        temperature_K: float,
        species: str,
        estimator: str,
        region: str = "all",
        direction: str = "xyz",
        conductivity_s_cm: float | None = None,
        conductivity_uncertainty_s_cm: float | None = None,
        window_ps: Sequence[float] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
        details: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        numbers = {
            "diffusivity_cm2_s": _number("diffusivity_cm2_s", diffusivity_cm2_s),
            "uncertainty_cm2_s": _number("uncertainty_cm2_s", uncertainty_cm2_s, minimum=0.0),
            "temperature_K": _number("temperature_K", temperature_K, minimum=math.ulp(0.0)),
            "conductivity_s_cm": _number("conductivity_s_cm", conductivity_s_cm),
            "conductivity_uncertainty_s_cm": _number(
                "conductivity_uncertainty_s_cm", conductivity_uncertainty_s_cm, minimum=0.0
            ),
        }
        if sorted(set(direction)) != sorted(direction) or not set(direction) <= set("xyz") or not direction:
            raise ValueError(f"direction is {direction!r}, expected a choice of the letters x, y and z, such as 'xyz'")
        for name, value in (("estimator", estimator), ("region", region)):
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"{name} is {value!r}, expected a name")
        names = {
            "species": check_species([species])[0],
            "estimator": estimator,
            "region": region,
            "direction": direction,
            "window_ps": None if window_ps is None else _window(window_ps),
            "details": dict(details or {}),
        }
        self.base.attributes.set_many(numbers | names)
        for name, array in sorted((arrays or {}).items()):
            self.set_array(name, np.asarray(array))

    @property
    def value(self) -> float:
        """Diffusivity in cm²/s."""
        return self.base.attributes.get("diffusivity_cm2_s")

    @property
    def uncertainty(self) -> float:
        """Standard uncertainty of the diffusivity in cm²/s."""
        return self.base.attributes.get("uncertainty_cm2_s")

    @property
    def temperature(self) -> float:
        """Temperature in K."""
        return self.base.attributes.get("temperature_K")

    @property
    def species(self) -> str:
        """The diffusing species."""
        return self.base.attributes.get("species")

    @property
    def conductivity(self) -> float | None:
        """Ionic conductivity in S/cm, if known."""
        return self.base.attributes.get("conductivity_s_cm")


def _number(name: str, value: float | None, minimum: float | None = None) -> float | None:
    if value is None:
        if name.startswith("conductivity"):
            return None
        raise ValueError(f"{name} is missing")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}, expected a finite number")
    if minimum is not None and number < minimum:
        raise ValueError(
            f"{name} is {number}, expected a {'number of at least 0' if not minimum else 'positive number'}"
        )
    return number


def _window(window_ps: Sequence[float]) -> list[float]:
    first, last = (float(value) for value in window_ps)
    if not (math.isfinite(first) and math.isfinite(last) and 0 <= first < last):
        raise ValueError(f"window_ps is {first} to {last}, expected 0 ≤ first < last")
    return [first, last]
