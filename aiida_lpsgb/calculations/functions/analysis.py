"""Calcfunctions over `aiida_lpsgb.analysis`: from trajectories to diffusivities, activation energies and polyanions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis import diffusion, rdf
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
    options = _options(parameters, diffusion.diffusivity)
    options["charge"] = _CHARGE if options["charge"] is None else options["charge"]
    options["temperature_K"] = options["temperature_K"] or trajectory.base.attributes.get("temperature_K", None)
    with trajectory.open_trajectory() as run:
        result = diffusion.diffusivity(run, **options)
    return DiffusivityData(result.scalars(), result.arrays())


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
    options = _options(parameters, regional.region_diffusivity)
    options["charge"] = _CHARGE if options["charge"] is None else options["charge"]
    options["temperature_K"] = options["temperature_K"] or trajectory.base.attributes.get("temperature_K", None)
    options["regions"] = {name: region_from_dict(values) for name, values in options["regions"].items()}
    with trajectory.open_trajectory() as run:
        found = regional.region_diffusivity(run, **options)
    return {
        f"{region}__{estimator}": DiffusivityData(result.scalars(), result.arrays())
        for (region, estimator), result in found.items()
    }


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
    names = (
        *("diffusivity_cm2_s", "uncertainty_cm2_s", "conductivity_s_cm", "conductivity_uncertainty_s_cm"),
        *("temperature_K", "diffusive", "isotropy", "isotropy_uncertainty", "haven_ratio", "haven_ratio_uncertainty"),
        *("residence_ps", "still_there", "mean_ions"),
    )
    return _pick({name: name for name in names}, node.base.attributes.all)


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
