"""Calcfunctions over `aiida_lpsgb.analysis`: from trajectories to diffusivities, activation energies and polyanions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis import arrhenius, diffusion, rdf
from aiida_lpsgb.analysis import density as densities
from aiida_lpsgb.analysis import disorder as sites
from aiida_lpsgb.analysis import region_diffusion as regional
from aiida_lpsgb.analysis import speciation as polyanions
from aiida_lpsgb.analysis import topology as persistent
from aiida_lpsgb.analysis.regions import region_from_dict

DiffusivityData = DataFactory("lpsgb.diffusivity")
TrajectoryData = DataFactory("lpsgb.trajectory")

REGIONAL = ("rdf", "density", "disorder")
"""Analyses that can be restricted to a region, beside topology."""
BOUNDARY = "boundary"
"""Name of the region around the boundaries of a bicrystal."""

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
    options = _options(parameters, diffusion.diffusivity, {"charge": _CHARGE})
    charge = options.pop("charge")
    options["temperature_K"] = options["temperature_K"] or trajectory.base.attributes.get("temperature_K", None)
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
        ``diffusivities_cm2_s``, ``uncertainties_cm2_s``,
        ``detected``, ``upper_limits`` (which were taken as limits; none where fewer than two temperatures show
        diffusion).
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
    result["detected"] = [bool(node.base.attributes.get("details").get("detected", node.value > 0)) for node in nodes]
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
        ``isolated_fraction_mean``, ``shares_by_coordination`` (of centres, by number of ligands), ``units`` (mean
        number by formula), ``n_frames`` and the parameters.
    """
    options = _options(parameters, polyanions.speciation)
    with trajectory.open_trajectory() as run:
        found = polyanions.speciation(run, **options)
    return orm.Dict(
        {
            "whole_fraction_mean": float(found.whole_fraction.mean()),
            "whole_fraction_min": float(found.whole_fraction.min()),
            "intact_fraction_mean": float(found.intact_fraction.mean()),
            "intact_fraction_min": float(found.intact_fraction.min()),
            "isolated_fraction_mean": float(found.isolated_fraction.mean()),
            "shares_by_coordination": {str(k): v for k, v in found.coordination.items()},
            "units": found.units,
            "n_frames": len(found.frames),
            **options,
        }
    )


@calcfunction
def region_diffusivity(trajectory: TrajectoryData, parameters: orm.Dict) -> dict[str, DiffusivityData]:
    """Diffusion in parts of the cell, by named estimators.

    Parameters
    ----------
    trajectory : TrajectoryData
        A run at constant temperature.
    parameters : Dict
        ``species``, ``regions`` (by name: ``{axis, centres, thickness_A}`` for slabs, ``{low, high}`` for a box);
        optionally ``charge`` (1), ``temperature_K`` and the keywords of
        :func:`aiida_lpsgb.analysis.region_diffusion.region_diffusivity`: ``estimators``, ``window_ps``,
        ``longest_lag_share``, ``n_blocks``, ``drift``, ``frame``.

    Returns
    -------
    dict
        A DiffusivityData for each region and estimator, named ``<region>__<estimator>``.
    """
    options = _options(parameters, regional.region_diffusivity, {"charge": _CHARGE, "temperature_K": None})
    charge = options.pop("charge")
    temperature = options.pop("temperature_K") or trajectory.base.attributes.get("temperature_K", None)
    if temperature is None:
        raise ValueError("the trajectory does not tell its temperature: give temperature_K in parameters")
    definitions = options["regions"]
    options["regions"] = {name: region_from_dict(values) for name, values in definitions.items()}
    with trajectory.open_trajectory() as run:
        found = regional.region_diffusivity(run, **options)
    nodes = {}
    for (region, estimator), result in found.items():
        sigma = result.conductivity(temperature, charge)
        nodes[f"{region}__{estimator}"] = DiffusivityData(
            result.total.value,
            result.total.error,
            temperature_K=temperature,
            species=options["species"],
            estimator=estimator,
            region=region,
            conductivity_s_cm=sigma.value,
            conductivity_uncertainty_s_cm=sigma.error,
            window_ps=result.window_ps,
            arrays={
                "lag_times_ps": result.lags_ps,
                "msd_angstrom2": result.msd_A2.sum(axis=1),
                "msd_components_angstrom2": result.msd_A2,
                "n_displacements": result.counts,
            },
            details={
                "components_cm2_s": [c.value for c in result.components],
                "components_uncertainty_cm2_s": [c.error for c in result.components],
                "lateral_cm2_s": result.lateral.value,
                "lateral_uncertainty_cm2_s": result.lateral.error,
                "isotropy": _finite(result.isotropy.value),
                "isotropy_uncertainty": _finite(result.isotropy.error),
                "mean_ions": result.mean_ions,
                "residence_ps": _finite(result.residence_ps),
                "still_there": result.still_there,
                "number_density_A3": result.number_density_A3,
                "interval95_cm2_s": list(result.total.interval()),
                "upper_limit_cm2_s": result.total.upper_limit(),
                "detected": bool(result.total.interval()[0] > 0),
                "region_definition": definitions.get(region),
                "charge": charge,
            },
        )
    return nodes


@calcfunction
def radial_distributions(trajectory: TrajectoryData, parameters: orm.Dict) -> orm.ArrayData:
    """Partial radial distribution functions and coordination numbers.

    Parameters
    ----------
    trajectory : TrajectoryData
        Any run.
    parameters : Dict
        Optionally ``pairs`` (such as ``["Li-S", "P-S"]``; all if left out), ``region`` and the keywords of
        :func:`aiida_lpsgb.analysis.rdf.radial_distributions`: ``cutoff_A``, ``bin_A``, ``every``, ``workers``.

    Returns
    -------
    ArrayData
        Arrays ``r_A``, ``edges_A`` and, for each pair, ``g_Li_S``, ``g_error_Li_S``, ``coordination_Li_S``; attributes
        ``first_peaks_A`` by pair and the parameters.
    """
    options = _options(parameters, rdf.radial_distributions)
    arguments = _with_region(options)
    if arguments["pairs"] is not None:
        arguments["pairs"] = [tuple(pair.split("-")) for pair in arguments["pairs"]]
    with trajectory.open_trajectory() as run:
        found = rdf.radial_distributions(run, **arguments)
    arrays, peaks = {}, {}
    for (a, b), result in found.items():
        arrays |= {"r_A": result.r_A, "edges_A": result.edges_A, f"g_{a}_{b}": result.g}
        arrays |= {
            f"g_error_{a}_{b}": np.nan_to_num(result.g_error, nan=-1.0),
            f"coordination_{a}_{b}": result.coordination,
        }
        peaks[f"{a}-{b}"] = _finite(result.first_peak_A())
    return _array_node(arrays, options, observable="radial_distributions", first_peaks_A=peaks)


@calcfunction
def density(trajectory: TrajectoryData, parameters: orm.Dict) -> orm.ArrayData:
    """Mean number density of a species on a grid, and its profile along each normal.

    Parameters
    ----------
    trajectory : TrajectoryData
        Any run.
    parameters : Dict
        ``species``; optionally ``voxel_A``, ``every`` (:func:`aiida_lpsgb.analysis.density.density_map`), ``region``
        (whose enrichment against the rest is reported).

    Returns
    -------
    ArrayData
        Arrays ``density_A3`` (three-dimensional), ``cell_A``, ``numbers`` and ``positions_A`` (atoms of the first frame
        in the mean cell, to show beside the map), ``profile_position_A_<k>``, ``profile_A3_<k>``,
        ``profile_error_A3_<k>``, ``profile_smooth_A3_<k>`` for the cell vectors k = 0, 1, 2; attributes ``enrichment``
        and its uncertainty, and the parameters.
    """
    options = _options(parameters, densities.density_map, {"region": None})
    arguments = _with_region(options)
    region = arguments.pop("region")
    gain = None
    with trajectory.open_trajectory() as run:
        grid = densities.density_map(run, **arguments)
        profiles = [densities.profile(run, options["species"], axis) for axis in range(3)]
        if region is not None:
            gain = densities.enrichment(run, options["species"], region)
    arrays = {"density_A3": grid.density_A3, "cell_A": grid.cell}
    arrays |= {"numbers": grid.atoms.numbers, "positions_A": grid.atoms.positions}
    for k, line in enumerate(profiles):
        arrays |= {f"profile_position_A_{k}": line.position_A, f"profile_A3_{k}": line.density_A3}
        arrays |= {
            f"profile_error_A3_{k}": np.nan_to_num(line.error_A3, nan=-1.0),
            f"profile_smooth_A3_{k}": line.smooth_A3,
        }
    return _array_node(
        arrays,
        options,
        observable="density",
        enrichment=None if gain is None else gain.value,
        enrichment_uncertainty=None if gain is None else gain.error,
    )


@calcfunction
def topology(trajectory: TrajectoryData, parameters: orm.Dict) -> orm.ArrayData:
    """Persistence diagram of the loops of a species, pooled over frames.

    Parameters
    ----------
    trajectory : TrajectoryData
        Any run.
    parameters : Dict
        ``species``; optionally ``threshold_A`` (1.0) for f_PD, ``scale`` (``radius`` or ``diameter``; else that of
        the filtration), ``region`` and the keywords of :func:`aiida_lpsgb.analysis.topology.persistence`:
        ``filtration``, ``every``, ``longest_A``, ``rings``, ``workers``.

    Returns
    -------
    ArrayData
        Arrays ``birth_A``, ``death_A``, ``ring_size``, ``frame``, ``periodic_A``; attributes ``filtration``,
        ``scale``, ``f_pd``, ``f_pd_uncertainty``, ``threshold_A``, ``loops_per_frame``, ``ring_statistics`` and the
        parameters.
    """
    options = _options(parameters, persistent.persistence, {"threshold_A": 1.0, "scale": None})
    arguments = _with_region(options)
    threshold, scale = arguments.pop("threshold_A"), arguments.pop("scale")
    with trajectory.open_trajectory() as run:
        diagram = persistent.persistence(run, **arguments)
    if scale is not None:
        diagram = diagram.in_scale(scale)
    share = diagram.persistent_fraction(threshold)
    arrays = {name: getattr(diagram, name) for name in ("birth_A", "death_A", "ring_size", "frame")}
    arrays["periodic_A"] = np.nan_to_num(diagram.periodic_A, nan=-1.0)
    return _array_node(
        arrays,
        options,
        observable="topology",
        scale=diagram.scale,
        f_pd=_finite(share.value),
        f_pd_uncertainty=_finite(share.error),
        n_frames=diagram.n_frames,
        mean_points=diagram.n_points,
        loops_per_frame=len(diagram.birth_A) / diagram.n_frames,
        ring_statistics={
            str(k): {"per_frame": n, "mean_lifetime_A": t} for k, (n, t) in diagram.ring_statistics().items()
        },
    )


@calcfunction
def disorder(trajectory: TrajectoryData, parameters: orm.Dict) -> orm.ArrayData:
    """Site disorder parameter of a species.

    Parameters
    ----------
    trajectory : TrajectoryData
        Any run.
    parameters : Dict
        ``species``; optionally ``region`` and the keywords of :func:`aiida_lpsgb.analysis.disorder.disorder`:
        ``neighbours``, ``cutoff_A``, ``degree``, ``every``, ``workers``.

    Returns
    -------
    ArrayData
        Arrays ``distribution``, ``edges``, ``site_means`` (-1 for ions never in the region); attributes ``mean``,
        ``mean_uncertainty``, ``form``, ``neighbours`` and the parameters.
    """
    options = _options(parameters, sites.disorder)
    with trajectory.open_trajectory() as run:
        found = sites.disorder(run, **_with_region(options))
    distribution, edges = found.distribution()
    arrays = {"distribution": distribution, "edges": edges, "site_means": np.nan_to_num(found.site_means, nan=-1.0)}
    return _array_node(
        arrays,
        options,
        observable="disorder",
        mean=found.mean,
        mean_uncertainty=_finite(found.error),
        form=found.form,
        neighbours=list(found.neighbours),
        n_frames=len(found.frames),
    )


@calcfunction
def characterise_summary(**results: orm.Data) -> orm.Dict:
    """Headline numbers of the results of a characterisation, side by side.

    Parameters
    ----------
    **results : Data
        Results of the other functions of this module: ``rdf``, ``speciation``, ``density``, ``disorder``,
        ``diffusivity``, ``regions__<region>__<estimator>`` and ``topology__<name>``.

    Returns
    -------
    Dict
        ``first_peaks_A``, ``whole_fraction``, ``units``, ``mean_disorder``, ``cell_A`` (lengths of the mean cell's
        vectors), ``enrichment``, ``diffusivity_cm2_s``, ``conductivity_s_cm``, ``diffusive`` (whether the motion was
        seen to be), ``isotropy``, ``haven_ratio``,
        ``topology`` (by name: f_PD with filtration, scale and threshold) and ``regions`` (by region and estimator),
        each with its uncertainty; only what was computed.
    """
    summary: dict[str, Any] = {}
    for name, node in sorted(results.items()):
        kind, _, label = name.partition("__")
        if kind in ("topology", "regions"):
            summary.setdefault(kind, {})[label] = _HEADLINES[kind](node)
        else:
            summary |= _HEADLINES[kind](node)
    return orm.Dict(summary)


@calcfunction
def restrict_to_boundary(boundary: orm.Dict, **parameters: orm.Dict) -> dict[str, orm.Dict]:
    """Parameters of analyses, restricted to the boundaries of a bicrystal.

    Parameters
    ----------
    boundary : Dict
        ``results`` of `lpsgb.boundary_energies`.
    **parameters : Dict
        By the names that `lpsgb.characterise` has for them, ``topology__<name>`` included.

    Returns
    -------
    dict
        The same names, with the ``region`` added where one is understood.
    """
    slabs = boundary["regions"]
    region = {
        "axis": 2,
        "centres": [slab["centre_fraction"] for slab in slabs],
        "thickness_A": slabs[0]["thickness_A"],
    }
    values = {name: node.get_dict() for name, node in parameters.items()}
    return {name: orm.Dict(value) for name, value in restricted(values, region).items()}


def restricted(parameters: Mapping[str, Mapping[str, Any]], region: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Add a region to the parameters of analyses.

    Parameters
    ----------
    parameters
        By the names of `restrict_to_boundary`.
    region
        ``{axis, centres, thickness_A}`` or ``{low, high}``. Structure, disorder and topology are then those of the
        region; ``regions`` resolves diffusion by it, under the name ``boundary``.
    """
    changed = {name: dict(values) for name, values in parameters.items()}
    for name, values in changed.items():
        if name == "regions":
            values["regions"] = {BOUNDARY: dict(region)}
        elif name in REGIONAL or name.startswith("topology"):
            values["region"] = dict(region)
    return changed


def _pick(names: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    return {new: values[old] for new, old in names.items() if values.get(old) is not None}


def _motion(node: DiffusivityData) -> dict[str, Any]:
    attributes = node.base.attributes.all
    own = {
        name: attributes[name]
        for name in (
            "diffusivity_cm2_s",
            "uncertainty_cm2_s",
            "conductivity_s_cm",
            "conductivity_uncertainty_s_cm",
            "temperature_K",
        )
    }
    more = ("diffusive", "isotropy", "isotropy_uncertainty", "haven_ratio", "haven_ratio_uncertainty")
    region = ("residence_ps", "still_there", "mean_ions")
    return own | _pick({name: name for name in (*more, *region)}, attributes["details"])


_HEADLINES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "rdf": lambda node: _pick({"first_peaks_A": "first_peaks_A"}, node.base.attributes.all),
    "speciation": lambda node: _pick({"whole_fraction": "whole_fraction_mean", "units": "units"}, node.get_dict()),
    "density": lambda node: (
        {"cell_A": np.linalg.norm(node.get_array("cell_A"), axis=1).tolist()}
        | _pick(
            {"enrichment": "enrichment", "enrichment_uncertainty": "enrichment_uncertainty"}, node.base.attributes.all
        )
    ),
    "disorder": lambda node: _pick(
        {"mean_disorder": "mean", "mean_disorder_uncertainty": "mean_uncertainty", "disorder_form": "form"},
        node.base.attributes.all,
    ),
    "diffusivity": _motion,
    "regions": _motion,
    "topology": lambda node: _pick(
        {n: n for n in ("f_pd", "f_pd_uncertainty", "threshold_A", "filtration", "scale", "loops_per_frame", "region")},
        node.base.attributes.all,
    ),
}


def _with_region(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the region, if any, as an object."""
    return options | {"region": region_from_dict(options["region"])} if options["region"] else dict(options)


def _array_node(arrays: dict[str, np.ndarray], options: dict[str, Any], **attributes: Any) -> orm.ArrayData:
    """Arrays with what they were computed with as attributes to query."""
    node = orm.ArrayData()
    for name, array in sorted(arrays.items()):
        node.set_array(name, np.ascontiguousarray(array))
    # How many cores worked on it says nothing about a result.
    settings = {name: value for name, value in options.items() if name != "workers"}
    node.base.attributes.set_many(settings | attributes)
    return node


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _points(nodes: list[DiffusivityData]) -> tuple[list[float], list[float], list[float], list[bool]]:
    """Temperatures, values, errors and which are limits: a limit is zero with an error that reaches up to it."""
    limits = [not node.base.attributes.get("details").get("detected", node.value > 0) for node in nodes]
    if len({node.temperature for node, limit in zip(nodes, limits, strict=True) if not limit}) < 2:
        # Too little was seen for a line through what was: fit all positive values, whose errors say how little.
        limits = [node.value <= 0 for node in nodes]
    values, errors = [], []
    for node, limit in zip(nodes, limits, strict=True):
        values.append(0.0 if limit else node.value)
        # 1.645 standard errors above zero is the one-sided 95 % limit.
        reach = node.base.attributes.get("details").get("upper_limit_cm2_s", node.value + 1.645 * node.uncertainty)
        errors.append(reach / 1.645 if limit else node.uncertainty)
    return [node.temperature for node in nodes], values, errors, limits


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
    parameters: orm.Dict, function: Callable[..., Any], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Keywords for a function of a trajectory and ``more``, defaults filled in; unknown and missing ones are refused by
    name.
    """
    given = parameters.get_dict()
    keywords = {name: p.default for name, p in inspect.signature(function).parameters.items() if name != "trajectory"}
    keywords |= more or {}
    if unknown := sorted(set(given) - set(keywords)):
        raise ValueError(f"parameters: unknown {', '.join(unknown)}; known are {', '.join(sorted(keywords))}")
    options = keywords | given
    if missing := sorted(name for name, value in options.items() if value is inspect.Parameter.empty):
        raise ValueError(f"parameters: {', '.join(missing)} missing")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}
