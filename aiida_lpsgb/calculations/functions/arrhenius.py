"""From diffusivities at several temperatures to an activation energy and a conductivity."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis import arrhenius

DiffusivityData = DataFactory("lpsgb.diffusivity")


@calcfunction
def arrhenius_fit(parameters: orm.Dict | None = None, **diffusivities: DiffusivityData) -> orm.Dict:
    """Activation energy, prefactor and conductivity at 300 K from diffusivities of one species.

    Parameters
    ----------
    **diffusivities : DiffusivityData
        At two temperatures or more; replicas may repeat one. Where no diffusion was seen, the upper limit enters as a
        limit.

    Returns
    -------
    Dict
        ``activation_energy_ev``, ``activation_energy_uncertainty_ev``, ``activation_energy_interval95_ev``,
        ``d0_cm2_s``, ``ln_d0``, ``covariance_ln_d0_ev``, ``birge_ratio``, ``diffusivity_300k_cm2_s``,
        ``diffusivity_300k_interval95_cm2_s``, ``conductivity_300k_s_cm``, ``conductivity_300k_interval95_s_cm``,
        ``regimes`` (one or two fits, ``transition_K``, ``aicc``), and what was fitted.
    """
    nodes = [diffusivities[label].scalars() for label in sorted(diffusivities)]
    nodes.sort(key=lambda node: node["temperature_K"])
    species = sorted({node["species"] for node in nodes})
    if len(species) != 1:
        raise ValueError(f"an Arrhenius fit is of one species, found {', '.join(species) or 'no diffusivities'}")
    limits = [not node["diffusive"] for node in nodes]
    values = [0.0 if limit else node["diffusivity_cm2_s"] for node, limit in zip(nodes, limits, strict=True)]
    errors = [
        node["upper_limit_cm2_s"] / 1.645 if limit else node["uncertainty_cm2_s"]
        for node, limit in zip(nodes, limits, strict=True)
    ]
    temperatures = [node["temperature_K"] for node in nodes]
    regimes = arrhenius.fit_regimes(temperatures, values, errors, limits)
    density, charge = nodes[0]["number_density_A3"], nodes[0]["charge"]
    result = _fit_results(regimes.low_temperature, density, charge)
    result["regimes"] = {
        "fits": [_fit_results(f, density, charge) for f in regimes.fits],
        "transition_K": regimes.transition_K,
        "aicc": [value if np.isfinite(value) else None for value in regimes.criterion],
    }
    result |= {"species": species[0], "number_density_A3": density, "charge": charge, "temperatures_K": temperatures}
    result["diffusivities_cm2_s"] = [node["diffusivity_cm2_s"] for node in nodes]
    result["uncertainties_cm2_s"] = [node["uncertainty_cm2_s"] for node in nodes]
    result["upper_limits"] = limits
    return orm.Dict(result)


def _fit_results(fit: arrhenius.ArrheniusFit, density: float, charge: float) -> dict[str, Any]:
    d, *d_interval = fit.predict(300.0)
    sigma, *sigma_interval = fit.conductivity(density, 300.0, charge)
    return {
        "activation_energy_ev": fit.activation_energy_eV,
        "activation_energy_uncertainty_ev": fit.activation_energy_error_eV,
        "activation_energy_interval95_ev": list(fit.activation_energy.interval()),
        "ln_d0": fit.ln_d0,
        "d0_cm2_s": fit.d0_cm2_s,
        "covariance_ln_d0_ev": fit.covariance.tolist(),
        "birge_ratio": fit.birge_ratio if np.isfinite(fit.birge_ratio) else None,
        "degrees_of_freedom": fit.dof if np.isfinite(fit.dof) else None,
        "diffusivity_300k_cm2_s": d,
        "diffusivity_300k_interval95_cm2_s": d_interval,
        "conductivity_300k_s_cm": sigma,
        "conductivity_300k_interval95_s_cm": sigma_interval,
    }
