"""The systems of a study, or the only one of a sweep, with their runs and fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.fits import Fit
from aiida_lpsgb.report.gather.nodes import LEARNING, PASSIVE, TRANSPORT, below, standing
from aiida_lpsgb.report.gather.runs import runs_of
from aiida_lpsgb.report.processes import Process, ProcessTree, inputs_of, outputs_of
from aiida_lpsgb.report.results import Run, System

if TYPE_CHECKING:
    from aiida.orm import Node, ProcessNode

RECIPE = "recipe_"
"""What begins the name of the process that makes the structure of a system."""


def systems_of(tree: ProcessTree, node: ProcessNode, hours: Mapping[int, float]) -> tuple[System, ...]:
    """A system for every recipe of a study, or the only one of a sweep."""
    if node.process_type in (LEARNING, PASSIVE):
        return ()
    if node.process_type == TRANSPORT:
        sweeps, replaced, recipes, own = {_name_of_sweep(node): tree.root}, [], {}, {}
    else:
        every = tree.children(node.pk, TRANSPORT)
        sweeps = {process.name: process for process in every}  # of a system that was run again, the last
        replaced = [process for process in every if process not in sweeps.values()]
        recipes = below("systems__", inputs_of([node.pk], ["systems__*"]).get(node.pk, {}))
        own = below("systems__", outputs_of([node.pk], ["systems__*"]).get(node.pk, {}))
    makers = {process.name: process for process in tree.children(node.pk) if process.name.startswith(RECIPE)}
    made = outputs_of([process.pk for process in makers.values()], ["results", "amorphous"])
    before = outputs_of([process.pk for process in replaced], ["summary"])
    pks = [sweep.pk for sweep in sweeps.values()]
    inputs = inputs_of(pks, ["structure", "potentials__*", "temperatures", "n_replicas"])
    outputs = outputs_of(pks, ["arrhenius", "regional_arrhenius__*"])
    runs = runs_of(tree, {name: sweep.pk for name, sweep in sweeps.items()}, hours)
    systems = []
    for name in dict.fromkeys([*recipes, *sweeps]):
        sweep, maker = sweeps.get(name), makers.get(RECIPE + name)
        process = sweep or maker
        found = {**(made.get(maker.pk, {}) if maker else {}), **below(f"{name}__recipe", own)}
        earlier = [before.get(process.pk, {}).get("summary") for process in replaced if process.name == name]
        systems.append(
            System(
                name=name,
                outcome=standing(process, whole=process is sweep),
                failed=process is not None and process.failed,
                extrapolated_before=tuple(seen for summary in earlier if (seen := _extrapolated(summary))),
                **_of_recipe(recipes.get(name), found),
                **(_of_sweep(sweep, inputs.get(sweep.pk, {}), outputs.get(sweep.pk, {}), runs[name]) if sweep else {}),
            )
        )
    return tuple(systems)


def _of_recipe(recipe: Node | None, found: Mapping[str, Node]) -> dict[str, Any]:
    """What was asked for, and what was found in making it."""
    asked = recipe.get_dict() if recipe is not None else {}
    # The output of the study, which it has at its end; before, that of what makes a glass or a boundary.
    told = next((found[key] for key in ("", "amorphous", "results") if key in found), None)
    return {
        "kind": asked.get("kind", "structure"),
        "recipe": asked,
        "made": told.get_dict() if told is not None else {},
    }


def _of_sweep(
    sweep: Process, given: Mapping[str, Node], fits: Mapping[str, Node], runs: tuple[Run, ...]
) -> dict[str, Any]:
    """What is run, and what was found of it."""
    structure, planned = given.get("structure"), _planned(given)
    begun = {run.label for run in runs}
    regional = below("regional_arrhenius__", fits)
    return {
        "structure_pk": structure.pk if structure else None,
        "formula": structure.get_formula() if structure else None,
        "n_atoms": len(structure.sites) if structure else None,
        "sweep_pk": sweep.pk,
        "runs": runs,
        "n_planned": len(planned),
        "left_out": tuple(label for label in planned if sweep.ended and label not in begun),
        "fit": Fit(fits["arrhenius"].get_dict()) if "arrhenius" in fits else None,
        "regional_fits": {label: Fit(fit.get_dict()) for label, fit in sorted(regional.items())},
    }


def _name_of_sweep(node: ProcessNode) -> str:
    return node.label or node.inputs.structure.label or node.inputs.structure.get_formula()


def _extrapolated(summary: Node | None) -> tuple[int, int] | None:
    """Number of frames that extrapolate in all runs of a sweep, and of all that were graded; None where none was."""
    from aiida_lpsgb.calculations.functions.transport import extrapolation_of

    watched = summary.get_dict().get("extrapolation") if summary is not None else None
    if not watched:
        return None
    seen = extrapolation_of(watched.values())
    return seen["n_extrapolated"], seen["n_graded"]


def _planned(given: Mapping[str, Node]) -> list[str]:
    """Labels of all runs that the inputs of a sweep ask for."""
    from aiida_lpsgb.calculations.functions.sweep import run_label

    if "temperatures" not in given or "n_replicas" not in given:
        return []
    names = below("potentials__", given)
    return [
        run_label(temperature, name, replica)
        for temperature in given["temperatures"].get_list()
        for name in names
        for replica in range(1, given["n_replicas"].value + 1)
    ]
