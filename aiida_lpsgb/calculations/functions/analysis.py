"""Calcfunctions over `aiida_lpsgb.analysis`: from trajectories to diffusivities, activation energies and polyanions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis import arrhenius, diffusion
from aiida_lpsgb.analysis import speciation as polyanions

DiffusivityData = DataFactory("lpsgb.diffusivity")
TrajectoryData = DataFactory("lpsgb.trajectory")

_CHARGE = 1.0


@calcfunction
def diffusivity(trajectory: TrajectoryData, parameters: orm.Dict) -> DiffusivityData:
    """Diffusion coefficient of a species, with its uncertainty, window and Nernst–Einstein conductivity.

    Parameters
    ----------
    trajectory : TrajectoryData
        A run at constant temperature.
    parameters : Dict
        ``species``; optionally ``charge`` (1) and the keywords of :func:`aiida_lpsgb.analysis.diffusion.diffusivity`:
        ``temperature_K`` (else that of the trajectory), ``skip_ps``, ``window_ps``, ``longest_lag_share``,
        ``tolerance``, ``n_blocks``, ``drift``, ``frame``, ``jump_length_A``.
    """
    options = _options(parameters, diffusion.diffusivity, {"charge"}, without={"trajectory", "workers"})
    charge = options.pop("charge", _CHARGE)
    options["temperature_K"] = options.get("temperature_K") or trajectory.base.attributes.get("temperature_K", None)
    if options["temperature_K"] is None:
        raise ValueError("the trajectory does not tell its temperature: give temperature_K in parameters")
    with trajectory.open_trajectory() as run:
        result = diffusion.diffusivity(run, **options)
    sigma = result.conductivity(charge)
    scalars = result.to_dict()
    for name in ("diffusivity_cm2_s", "uncertainty_cm2_s", "window_ps", "temperature_K", "species", "estimator"):
        scalars.pop(name)
    return DiffusivityData(
        result.value,
        result.uncertainty,
        temperature_K=result.temperature_K,
        species=result.species,
        estimator=result.estimator,
        conductivity_s_cm=sigma.value,
        conductivity_uncertainty_s_cm=sigma.error,
        window_ps=result.window_ps,
        arrays={
            "lag_times_ps": result.lags_ps,
            "msd_angstrom2": result.msd_A2.sum(axis=1),
            "msd_uncertainty_angstrom2": np.nan_to_num(result.msd_error_A2, nan=-1.0),
            "msd_components_angstrom2": result.msd_A2,
        },
        details=scalars | {"charge": charge},
    )


@calcfunction
def arrhenius_fit(**diffusivities: DiffusivityData) -> orm.Dict:
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
        ``regimes`` (one or two fits, ``transition_K``, ``aicc``), and what was fitted: ``temperatures_K``,
        ``diffusivities_cm2_s``, ``uncertainties_cm2_s``, ``upper_limits``.
    """
    nodes = [diffusivities[label] for label in sorted(diffusivities)]
    nodes.sort(key=lambda node: node.temperature)
    species = sorted({node.species for node in nodes})
    if len(species) != 1:
        raise ValueError(f"an Arrhenius fit is of one species, found {', '.join(species) or 'no diffusivities'}")
    temperatures, values, errors, limits = _points(nodes)
    regimes = arrhenius.fit_regimes(temperatures, values, errors, limits)
    densities, charges = (_details(nodes, key) for key in ("number_density_A3", "charge"))
    # The density hardly changes with temperature; that of the coldest run is nearest to 300 K.
    density, charge = densities[0], charges[0]
    result = _fit_results(regimes.low_temperature, density, charge)
    result["regimes"] = {
        "fits": [_fit_results(f, density, charge) for f in regimes.fits],
        "transition_K": regimes.transition_K,
        "aicc": [value if np.isfinite(value) else None for value in regimes.criterion],
    }
    result["species"] = species[0]
    result["number_density_A3"] = density
    result["charge"] = charge
    result["temperatures_K"] = temperatures
    result["diffusivities_cm2_s"] = [node.value for node in nodes]
    result["uncertainties_cm2_s"] = [node.uncertainty for node in nodes]
    result["upper_limits"] = limits
    return orm.Dict(result)


@calcfunction
def speciation(trajectory: TrajectoryData, parameters: orm.Dict) -> orm.Dict:
    """Which polyanions a run holds and whether they stay whole.

    Parameters
    ----------
    trajectory : TrajectoryData
        Any run that keeps the species asked for.
    parameters : Dict
        Keywords of :func:`aiida_lpsgb.analysis.speciation.speciation`: ``centre``, ``ligand``, ``cutoff_A`` and
        optionally ``coordination``, ``bonds_A``, ``every``.

    Returns
    -------
    Dict
        ``whole_fraction_mean``, ``whole_fraction_min``, ``intact_fraction_mean``, ``intact_fraction_min``,
        ``isolated_fraction_mean``, ``coordination`` (share by number of ligands), ``units`` (mean number by formula),
        ``n_frames`` and the parameters.
    """
    options = _options(parameters, polyanions.speciation, without={"trajectory"})
    with trajectory.open_trajectory() as run:
        found = polyanions.speciation(run, **options)
    return orm.Dict(
        {
            "whole_fraction_mean": float(found.whole_fraction.mean()),
            "whole_fraction_min": float(found.whole_fraction.min()),
            "intact_fraction_mean": float(found.intact_fraction.mean()),
            "intact_fraction_min": float(found.intact_fraction.min()),
            "isolated_fraction_mean": float(found.isolated_fraction.mean()),
            "coordination": {str(k): v for k, v in found.coordination.items()},
            "units": found.units,
            "n_frames": len(found.frames),
            **options,
        }
    )


def _points(nodes: list[DiffusivityData]) -> tuple[list[float], list[float], list[float], list[bool]]:
    """Temperatures, values, errors and which are limits: a limit is zero with an error that reaches up to it."""
    temperatures, values, errors, limits = [], [], [], []
    for node in nodes:
        details = node.base.attributes.get("details")
        limit = not details.get("detected", node.value > 0)
        temperatures.append(node.temperature)
        limits.append(limit)
        values.append(0.0 if limit else node.value)
        # 1.645 standard errors above zero is the one-sided 95 % limit.
        errors.append(
            details.get("upper_limit_cm2_s", node.value + 1.645 * node.uncertainty) / 1.645
            if limit
            else node.uncertainty
        )
    return temperatures, values, errors, limits


def _details(nodes: list[DiffusivityData], key: str) -> list[float]:
    values = [node.base.attributes.get("details").get(key) for node in nodes]
    if None in values:
        raise ValueError(
            f"{nodes[values.index(None)]} does not tell its {key}; use diffusivities made by lpsgb.diffusivity"
        )
    return values


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


def _options(
    parameters: orm.Dict, function: Callable[..., Any], more: set[str] = frozenset(), without: set[str] = frozenset()
) -> dict[str, Any]:
    """Keywords for a function; unknown and missing ones are refused by name."""
    options = parameters.get_dict()
    signature = inspect.signature(function).parameters
    allowed = (set(signature) - without) | more
    if unknown := sorted(set(options) - allowed):
        raise ValueError(f"parameters: unknown {', '.join(unknown)}; known are {', '.join(sorted(allowed))}")
    needed = {name for name, p in signature.items() if p.default is inspect.Parameter.empty} - without
    if missing := sorted(needed - set(options)):
        raise ValueError(f"parameters: {', '.join(missing)} missing")
    return options
