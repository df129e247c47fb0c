"""What the inputs of active learning must be, each and among each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.active_learning import CRITERIA, without_loop_keys
from aiida_lpsgb.calculations.functions.sweep import template_error
from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.calculations.md_parameters import GRADES
from aiida_lpsgb.typed import meant

SETTINGS = {
    "temperatures_K": "temperatures of the exploration runs",
    "n_replicas": "exploration runs a structure and temperature, each with its own velocities",
    "gamma_select": "a configuration with a higher grade is a candidate for labelling",
    "gamma_break": "falling list; a run ends where the grade exceeds it, the next entry is used once no run does",
    "grade": "configuration or neighborhood",
    "grade_interval_steps": "the grade is evaluated every so many steps",
    "criterion": "no_break (no run exceeds the last gamma_break) or no_selection (nothing exceeds gamma_select either)",
    "max_iterations": "iterations before the loop gives up",
    "max_labels": "labels before the loop gives up",
    "n_potentials": "potentials of the committee, whose spread is part of every uncertainty; when the runs of the "
    "first no longer end early, the others are trained on what it found, and explore at the highest temperature",
    "n_relaxations": "times that, once no run ends early, each potential relaxes every structure; where that ends is "
    "labelled, all learn from it (training sets `minima_01` and so on) and explore again at the highest temperature",
}


def validate_settings(node: orm.Dict, _: Any) -> str | None:
    """Every setting present, thresholds in order, limits positive."""
    settings = node.get_dict()
    if missing := sorted(set(SETTINGS) - set(settings)):
        return f"settings: {missing} are missing"
    if unknown := sorted(set(settings) - set(SETTINGS)):
        return f"settings: unknown keys {unknown}{meant(unknown, SETTINGS)}; known are {sorted(SETTINGS)}"
    if message := validation.temperatures_error(settings["temperatures_K"]):
        return f"settings: `temperatures_K`: {message}"
    schedule = settings["gamma_break"]
    numbers = isinstance(schedule, list) and all(isinstance(gamma, (int, float)) for gamma in schedule)
    if not numbers or not schedule or sorted(schedule, reverse=True) != schedule:
        return f"settings: `gamma_break` must be a list that does not rise, such as [10, 5, 2]; it is {schedule}"
    if message := validation.gamma_error(settings["gamma_select"], schedule[-1]):
        return f"settings: {message}"
    if settings["criterion"] not in CRITERIA:
        return f"settings: `criterion` is {settings['criterion']!r}; choose one of {CRITERIA}"
    if settings["grade"] not in GRADES:
        return f"settings: `grade` is {settings['grade']!r}; choose one of {', '.join(GRADES)}"
    least = dict.fromkeys(("n_replicas", "grade_interval_steps", "max_iterations", "max_labels", "n_potentials"), 1)
    for key, lowest in (least | {"n_relaxations": 0}).items():
        if not isinstance(settings[key], int) or settings[key] < lowest:
            return f"settings: `{key}` must be a whole number of at least {lowest}, it is {settings[key]!r}"
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structures and training sets must fit the potential."""
    if "potential" not in inputs:
        return None  # the port itself complains
    potential = inputs["potential"]
    checks = (grade_error, explorations_error, relaxation_error, candidates_error)
    if message := next(filter(None, (check(inputs) for check in checks)), None):
        return message
    if not inputs.get("structures"):
        return "structures: give at least one structure to explore"
    if not inputs.get("training_sets"):
        return "training_sets: give at least one labelled set to start with"
    sets = [(f"training_sets.{name}", node) for name, node in inputs["training_sets"].items()]
    sets += [("test_set", inputs["test_set"])] if "test_set" in inputs else []
    if message := validation.level_error(sets, level_of(inputs.get("label", {}).get("engine"))):
        return message
    for name, structure in inputs["structures"].items():
        port = f"structures.{name}"
        message = validation.structure_error(structure, port) or validation.species_error(structure, potential)
        if message:
            return message
    return None


def relaxation_error(inputs: Mapping[str, Any]) -> str | None:
    """Where structures are to be relaxed, it must be said how."""
    if "settings" in inputs and inputs["settings"]["n_relaxations"] and "relaxation" not in inputs:
        return "relaxation: `settings` has `n_relaxations`; give parameters with a stage of `ensemble: minimise`"
    return None


def candidates_error(inputs: Mapping[str, Any]) -> str | None:
    """What is selected from must be graded by a potential that is trained, and hold species that it knows."""
    candidates, potential = inputs.get("candidates") or {}, inputs["potential"]
    if candidates and not potential.trained:
        return "candidates: `potential` is not trained, so it cannot be told which of them are new"
    checked = (validation.configurations_error(node, potential, f"candidates.{k}") for k, node in candidates.items())
    return next(filter(None, checked), None)


def validate_exploration(node: orm.Dict, _: Any) -> str | None:
    """Stages that LAMMPS can run."""
    message = exploration_error(node.get_dict())
    return f"exploration: {message}" if message else None


def exploration_error(template: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters of exploration runs, without the control that the loop adds, or None."""
    return template_error(template, {"gamma_select": 2.0, "gamma_break": 10.0})


def explorations_error(inputs: Mapping[str, Any]) -> str | None:
    """What structures have of their own must make runs as well."""
    common = inputs["exploration"].get_dict() if "exploration" in inputs else None
    for name, node in inputs.get("explorations", {}).items():
        if message := own_exploration_error(node.get_dict(), common):
            return f"explorations.{name}: {message}"
    return None


def own_exploration_error(own: Mapping[str, Any], common: Mapping[str, Any] | None) -> str | None:
    """What is wrong with the exploration of one structure, over what all have in common, or None."""
    if "temperatures_K" in own and (message := validation.temperatures_error(own["temperatures_K"])):
        return f"`temperatures_K`: {message}"
    if not own.get("n_replicas", 1) >= 1:
        return f"`n_replicas` must be at least 1, it is {own['n_replicas']}"
    return None if common is None else exploration_error({**common, **without_loop_keys(own)})


def grade_error(inputs: Mapping[str, Any]) -> str | None:
    """Molecular dynamics, active set and selection must all grade the same thing, atoms or configurations."""
    if "settings" not in inputs:
        return None
    by_atom = inputs["settings"]["grade"] == "neighborhood"
    for name in ("grade", "select"):
        port = f"{name}.mlp.parameters"
        parameters = inputs.get(name, {}).get("mlp", {}).get("parameters")
        weight = parameters.get_dict().get("nbh_weight", 0) if parameters is not None else 0
        if bool(weight) != by_atom:
            wanted = "a positive nbh_weight" if by_atom else "no nbh_weight"
            return f"{port}: `settings` has grade {inputs['settings']['grade']!r}, which needs {wanted} here"
    return None
