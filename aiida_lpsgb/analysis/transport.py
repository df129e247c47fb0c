"""What a run says about transport, as observables: diffusion in the whole cell and in named regions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from aiida_lpsgb.analysis import diffusion, region_diffusion
from aiida_lpsgb.analysis.observables import (
    CHARGE,
    COUNT,
    FRAME,
    NOT_NEGATIVE,
    POSITIVE,
    REFERENCE,
    REGIONS,
    SPECIES,
    WINDOW,
    Context,
    Observable,
    Outcome,
    Parameter,
    Row,
    parameters_of,
    some_of,
)
from aiida_lpsgb.analysis.regions import disjoint
from aiida_lpsgb.analysis.trajectory import Trajectory

RECOMMENDED = "occupancy"
"""The estimator of diffusion in a region that is without bias along it."""

_KINDS = {
    "species": SPECIES,
    "temperature_K": POSITIVE,
    "skip_ps": NOT_NEGATIVE,
    "window_ps": WINDOW,
    "longest_lag_share": POSITIVE,
    "tolerance": POSITIVE,
    "n_blocks": COUNT,
    "drift": REFERENCE,
    "frame": FRAME,
    "hop_length_A": POSITIVE,
    "estimators": some_of(*region_diffusion.ESTIMATORS),
}
_CHARGE = {"charge": Parameter(CHARGE, 1, "Charge number of the ion, for the conductivity.")}
_HEADLINE = (
    "diffusivity_cm2_s",
    "uncertainty_cm2_s",
    "conductivity_s_cm",
    "conductivity_uncertainty_s_cm",
    "temperature_K",
    "diffusive",
    "detected",
    "upper_limit_cm2_s",
    "verdict",
    "isotropy",
    "isotropy_uncertainty",
)


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Scalars and arrays of a :class:`~aiida_lpsgb.analysis.diffusion.Diffusivity`."""
    arguments = {**options, "temperature_K": options["temperature_K"] or context.temperature_K}
    found = diffusion.diffusivity(trajectory, **arguments, workers=context.threads)
    return Outcome(found.scalars(), found.arrays())


def observe_regions(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> dict[str, Outcome]:
    """Those of a region and an estimator each, labelled ``<region>_<estimator>``.

    Regions that overlap, such as a boundary and the core of a dislocation in it, are looked at one after the other;
    what is elsewhere is what the first of them leave over.
    """
    arguments = {**options, "temperature_K": options["temperature_K"] or context.temperature_K}
    names = arguments.pop("names") or list(context.regions)
    groups = disjoint({name: context.regions[name] for name in names}, trajectory.mean_cell)
    outcomes: dict[str, Outcome] = {}
    for group in groups:
        found = region_diffusion.region_diffusivity(trajectory, regions=group, **arguments, workers=context.threads)
        for (region, estimator), result in found.items():
            outcomes.setdefault(f"{region}_{estimator}", Outcome(result.scalars(), result.arrays()))
    return outcomes


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """Lines for D, σ, ξ and the Haven ratio of the whole cell; those of what is not known are left out."""
    values = headline["conductivity_s_cm"], headline["conductivity_uncertainty_s_cm"]
    lines = [
        _diffusivity_row("D (cm²/s)", headline, ("diffusivity_cm2_s",)),
        Row("σ (S/cm)", *values, form=".2e", reference=("conductivity_s_cm",)),
        Row("isotropy ξ", headline["isotropy"], headline["isotropy_uncertainty"], ".2f", ("isotropy",)),
        Row("Haven ratio", headline["haven_ratio"], headline["haven_ratio_uncertainty"], ".2f", ("haven_ratio",)),
    ]
    return [line for line in lines if line.value is not None]


def region_rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """Lines for D and, by the recommended estimator, ξ of a region."""
    where = f"{headline['region']}, {headline['estimator']}"
    lines = [_diffusivity_row(f"D in {where} (cm²/s)", headline)]
    if headline["estimator"] == RECOMMENDED and headline["isotropy"] is not None:
        lines.append(Row(f"ξ in {where}", headline["isotropy"], headline["isotropy_uncertainty"], ".2f"))
    return lines


def _diffusivity_row(quantity: str, headline: Mapping[str, Any], reference: tuple[str, ...] = ()) -> Row:
    """D with its error, or its upper limit where the motion is not diffusive."""
    if not headline["diffusive"]:
        return Row(f"{quantity}, not diffusive: below", headline["upper_limit_cm2_s"], None, ".2e", reference)
    return Row(quantity, headline["diffusivity_cm2_s"], headline["uncertainty_cm2_s"], ".2e", reference)


def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Those of the function that are a user's choice."""
    own = {name: kind for name, kind in _KINDS.items() if name in inspect.signature(function).parameters}
    return parameters_of(function, **own) | _CHARGE


OBSERVABLES = [
    Observable(
        name="diffusivity",
        order=60,
        summary="Diffusion of a species in the whole cell, with its conductivity.",
        parameters=_parameters(diffusion.diffusivity),
        compute=observe,
        headline=(*_HEADLINE, "haven_ratio", "haven_ratio_uncertainty"),
        rows=rows,
        captions={"": "Mean-squared displacement and the window of the fit."},
        node="diffusivity",
    ),
    Observable(
        name="regions",
        order=70,
        summary="Diffusion of a species in named regions, by named estimators.",
        parameters=_parameters(region_diffusion.region_diffusivity)
        | {"names": Parameter(REGIONS, None, "Which of the named regions; all if None.")},
        compute=observe_regions,
        headline=(*_HEADLINE, "region", "estimator", "residence_ps", "still_there", "mean_ions"),
        rows=region_rows,
        captions={"": "Mean-squared displacement in a region and the window of the fit."},
        node="diffusivity",
        needs_regions=True,
    ),
]
