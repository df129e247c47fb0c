"""A diffusion coefficient, whether it can be believed, and how it was estimated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida.orm import ArrayData

from aiida_lpsgb.analysis.html import motion_fields
from aiida_lpsgb.data.html import named
from aiida_lpsgb.data.species import check_species

FORMAT_VERSION = 1
_REQUIRED = ("diffusivity_cm2_s", "uncertainty_cm2_s", "species", "region", "estimator", "direction", "diffusive")


class DiffusivityData(ArrayData):
    """A self-diffusion coefficient of a species in a cell, or in a part of it.

    Parameters
    ----------
    scalars
        What ``scalars()`` of a result of :mod:`aiida_lpsgb.analysis.diffusion`,
        :mod:`aiida_lpsgb.analysis.region_diffusion` or :mod:`aiida_lpsgb.analysis.propagator` gives: JSON types, units
        in the keys, None for what is missing. ``diffusivity_cm2_s``, ``uncertainty_cm2_s``, ``species``, ``region``,
        ``estimator``, ``direction`` and ``diffusive`` must be among them.
    arrays
        What ``arrays()`` of it gives: arrays by name, NaN for what is missing.

    Raises
    ------
    ValueError
        If a scalar is missing, not finite or out of its range; the message names it.

    Notes
    -----
    Every scalar is an attribute to query, such as ``attributes.diffusive``, ``attributes.diffusivity_cm2_s`` or
    ``attributes.normal_cm2_s``.
    """

    def __init__(self, scalars: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if missing := [name for name in _REQUIRED if name not in scalars]:
            raise ValueError(f"scalars of a diffusivity lack {', '.join(missing)}")
        for name in ("estimator", "region", "direction"):
            if not isinstance(scalars[name], str) or not scalars[name].strip():
                raise ValueError(f"{name} is {scalars[name]!r}, expected a name")
        check_species([scalars["species"]])
        for name, value in scalars.items():
            _check_finite(name, value)
        for name, value in scalars.items():
            if name.endswith("uncertainty_cm2_s") and value is not None and np.min(value) < 0:
                raise ValueError(f"{name} is {value}, expected a number of at least 0")
        if scalars.get("temperature_K") is not None and scalars["temperature_K"] <= 0:
            raise ValueError(f"temperature_K is {scalars['temperature_K']}, expected a positive number")
        self.base.attributes.set_many({"format_version": FORMAT_VERSION, **scalars})
        for name, array in sorted((arrays or {}).items()):
            self.set_array(name, np.ascontiguousarray(array))

    @property
    def value(self) -> float | None:
        """Diffusivity in cm²/s."""
        return self.base.attributes.get("diffusivity_cm2_s")

    @property
    def uncertainty(self) -> float | None:
        """Standard uncertainty of the diffusivity in cm²/s."""
        return self.base.attributes.get("uncertainty_cm2_s")

    @property
    def temperature(self) -> float | None:
        """Temperature in K."""
        return self.base.attributes.get("temperature_K", None)

    @property
    def species(self) -> str:
        """The diffusing species."""
        return self.base.attributes.get("species")

    @property
    def diffusive(self) -> bool:
        """Whether the motion was seen to be diffusive; where not, only the upper limit holds."""
        return self.base.attributes.get("diffusive")

    @property
    def conductivity(self) -> float | None:
        """Ionic conductivity in S/cm, where the motion is diffusive and the charge of the ion known."""
        return self.base.attributes.get("conductivity_s_cm", None)

    def scalars(self) -> dict[str, Any]:
        """The scalars it was built from, as the functions of :mod:`aiida_lpsgb.analysis` take them."""
        names = self.get_arraynames()
        own = {"format_version", *(f"{self.array_prefix}{name}" for name in names)}
        return {name: value for name, value in self.base.attributes.all.items() if name not in own}

    def _repr_html_(self) -> str:
        """What it says, in a notebook."""
        return motion_fields(self.scalars(), named(self))


def _check_finite(name: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}, expected a finite number, or None where it is not known")
    if isinstance(value, list | tuple):
        for item in value:
            _check_finite(name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_finite(f"{name}.{key}", item)
