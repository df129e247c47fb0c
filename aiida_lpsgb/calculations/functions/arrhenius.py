"""From diffusivities at several temperatures to an activation energy and a conductivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis.arrhenius_line import ALONE, BEND_EV, Point, fit_refusal
from aiida_lpsgb.analysis.committee import transport
from aiida_lpsgb.analysis.estimates import Estimate
from aiida_lpsgb.calculations.functions.sweep import by_potential, listed, read_label, temperature_label

DiffusivityData = DataFactory("lpsgb.diffusivity")

TARGET_K = 300.0
BY_RUN = "by run"
"""Instead of labels of potentials: the names of the diffusivities are labels of runs, which hold them."""
_DEFAULTS: dict[str, Any] = {"target_temperature_K": TARGET_K, "potentials": {}, "bend_eV": BEND_EV}


@calcfunction
def arrhenius_fit(
    parameters: orm.Dict | None = None, failed: orm.List | None = None, **diffusivities: DiffusivityData
) -> orm.Dict:
    """Activation energy, prefactor, D and σ at a target temperature from diffusivities of one species in one place.

    Parameters
    ----------
    parameters : Dict
        Optionally ``target_temperature_K`` (300), ``potentials`` (label of the potential by name of the diffusivity, or
        ``by run`` where the names are labels of runs; all are of one if left out) and ``bend_eV`` (how much the
        activation energy may change below the coldest temperature measured, 0.1).
    failed : List
        Labels of the runs that failed, whose diffusivities are missing; the sentence tells of which potentials.
    **diffusivities : DiffusivityData
        Any number, of any temperatures; replicas may repeat one. What is not diffusive enters as an upper limit.

    Returns
    -------
    Dict
        ``fitted`` and, where false, the ``reason``; ``sentence`` (what to know before quoting);
        ``activation_energy_eV``, ``ln_d0`` and ``ln_diffusivity`` (at the target), each with ``_uncertainty``,
        ``_interval95`` and the parts ``_statistics``, ``_replicas``, ``_committee`` and ``_extrapolation`` of the
        uncertainty; ``d0_cm2_s``, ``diffusivity_cm2_s``, ``conductivity_s_cm`` and ``collective_conductivity_s_cm``
        with intervals and upper limits; ``haven_ratio``; ``potentials`` (the line or lines of each with transition and
        criteria), ``disagreeing_potentials``; ``missing`` (by potential the temperatures in K at which all its runs
        failed); and what was fitted: ``labels``, ``potential_labels``,
        ``temperatures_K``, ``diffusivities_cm2_s``, ``uncertainties_cm2_s``, ``upper_limits_cm2_s``, ``diffusive``.
    """
    options = _DEFAULTS | (parameters.get_dict() if parameters is not None else {})
    if unknown := sorted(set(options) - set(_DEFAULTS)):
        raise ValueError(f"parameters: unknown {', '.join(unknown)}; known are {', '.join(sorted(_DEFAULTS))}")
    if options["potentials"] == BY_RUN:
        options["potentials"] = {label: read_label(label)[1] for label in diffusivities}
    found = {name: node.scalars() for name, node in diffusivities.items()}
    return orm.Dict(fit(found, **options, failed=failed.get_list() if failed is not None else ()))


def refusal(diffusivities: Mapping[str, DiffusivityData], potentials: Mapping[str, str] | None = None) -> str | None:
    """Why no line can be drawn through some diffusivities, None if one can; nothing is fitted or stored.

    Parameters
    ----------
    diffusivities
        Nodes by name.
    potentials
        Label of the potential by name.
    """
    return fit_refusal(_points({name: node.scalars() for name, node in diffusivities.items()}, potentials or {}))


def fit(
    diffusivities: Mapping[str, Mapping[str, Any]],
    target_temperature_K: float = TARGET_K,
    potentials: Mapping[str, str] | None = None,
    bend_eV: float = BEND_EV,
    failed: Sequence[str] = (),
) -> dict[str, Any]:
    """What :func:`arrhenius_fit` gives, from the scalars of diffusivities by name."""
    names = sorted(diffusivities, key=lambda name: (diffusivities[name].get("temperature_K") or 0.0, name))
    if not names:
        raise ValueError("give one diffusivity or more")
    nodes = [diffusivities[name] for name in names]
    for key in ("species", "charge", "region", "estimator"):
        if len(found := {node.get(key) for node in nodes}) > 1:
            raise ValueError(f"an Arrhenius fit is of one {key}, found {', '.join(sorted(map(str, found)))}")
    points = _points({name: diffusivities[name] for name in names}, potentials or {})
    result = transport(points, target_temperature_K, [_haven(node) for node in nodes if node["diffusive"]], bend_eV)
    # The density hardly changes with temperature; that of the coldest run is the nearest to most targets.
    numbers = result.scalars(nodes[0]["number_density_A3"], nodes[0].get("charge"))
    missing = missing_of(points, failed)
    told = [numbers["sentence"], *missing_sentences(missing, numbers["potentials"])]
    own = {name: nodes[0].get(name) for name in ("species", "charge", "region", "estimator", "number_density_A3")}
    return (
        numbers
        | own
        | {
            "sentence": "; ".join(text for text in told if text),
            "missing": missing,
            "labels": names,
            "potential_labels": [point.potential for point in points],
            "temperatures_K": [point.temperature_K for point in points],
            "diffusivities_cm2_s": [node["diffusivity_cm2_s"] for node in nodes],
            "uncertainties_cm2_s": [node["uncertainty_cm2_s"] for node in nodes],
            "upper_limits_cm2_s": [point.limit_cm2_s for point in points],
            "diffusive": [point.diffusive for point in points],
        }
    )


def missing_of(points: Sequence[Point], failed: Sequence[str]) -> dict[str, list[float]]:
    """By potential the temperatures (K) that it has no diffusivity at, as its runs there failed."""
    # Labels have six digits of a temperature.
    there = {(point.potential, temperature_label(point.temperature_K)) for point in points}
    every = by_potential(failed).items()
    return {name: left for name, ts in every if (left := [t for t in ts if (name, temperature_label(t)) not in there])}


def missing_sentences(missing: Mapping[str, Sequence[float]], fitted: Mapping[str, Any]) -> list[str]:
    """Tell which potentials are missing where, and of which alone the fit is."""
    sentences = [f"{name} is missing at {listed(ts)} K, where its runs failed" for name, ts in missing.items()]
    if fitted and not set(missing) <= set(fitted):
        sentences.append(f"the fit is of {listed(fitted)} alone")
    return sentences


def _points(diffusivities: Mapping[str, Mapping[str, Any]], potentials: Mapping[str, str]) -> list[Point]:
    if unknown := sorted(set(potentials) - set(diffusivities)):
        raise ValueError(f"potentials names {', '.join(unknown)}, which is no diffusivity")
    if potentials and (missing := sorted(set(diffusivities) - set(potentials))):
        raise ValueError(f"potentials does not tell with which {', '.join(missing)} was run")
    return [Point.from_scalars(node, potentials.get(name, ALONE), name) for name, node in diffusivities.items()]


def _haven(node: Mapping[str, Any]) -> Estimate:
    value, error = node.get("haven_ratio"), node.get("haven_ratio_uncertainty")
    if value is None or error is None:
        return Estimate(np.nan, np.nan)
    return Estimate(value, error, node.get("degrees_of_freedom") or np.inf)
