"""What a study costs at most, before it is submitted: labels, and hours of one core.

An upper bound, counted from the numbers that the builder holds: every iteration and every label that learning may
take, and every run to the end of its budget. What a step costs was measured on cores of 2026 with AVX2 or AVX-512
(`docs/topics/training.md`, `docs/how-to/cluster.md`); other machines differ by a factor, DFT is counted but not timed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida.engine import ProcessBuilder
from pymatgen.core import Structure

from aiida_lpsgb.calculations.functions.active_learning import exploration_runs
from aiida_lpsgb.calculations.functions.recipes import shared
from aiida_lpsgb.calculations.functions.sweep import ANY_K, at_temperature
from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.calculations.md_parameters import planned_steps, resolve, to_steps
from aiida_lpsgb.workflows.label.cost import Measured, measured
from aiida_lpsgb.workflows.protocols import child_inputs

__all__ = ["Cost", "estimate", "how", "total"]

SECONDS_PER_HOUR = 3600.0
MD_US = {8: 1.0, 10: 1.3, 12: 1.8, 14: 2.4, 16: 3.9, 20: 12.0, 28: 150.0}
"""Core time of a step of dynamics by level of the potential, in µs an atom."""
TRAINING_US = {8: 14.0, 14: 86.0}
"""Core time of an iteration of training by level, in µs an atom."""
LABEL_S = {"sevennet": 0.028, "chgnet": 0.014}
"""Core time of a label by calculator, in s an atom."""
GRADED = 2.0
"""How much more a step costs where the extrapolation grade is watched."""
MINIMISATION_PHASES = 3
TWIST_PLANES = 5
"""Planar cells that a twist of which nothing is known yet is taken to have in common."""
HOW = (
    "counted, as if learning took all its iterations and labels and every run all its budget; per atom "
    f"{MD_US[8]:g} µs a step at level 8 and {MD_US[14]:g} µs at level 14 (twice that where the grade is watched), "
    f"{LABEL_S['sevennet'] * 1000:.0f} ms a label by SevenNet-0"
)


@dataclass(frozen=True)
class Cost:
    """What a part of a study costs at most.

    Attributes
    ----------
    part
        What it is.
    amount
        How much of it, in words.
    labels
        Configurations that are labelled.
    core_hours
        Hours of one core, without labels whose engine is not timed.
    """

    part: str
    amount: str
    labels: int = 0
    core_hours: float = 0.0


def estimate(builder: ProcessBuilder, structure: Structure) -> list[Cost]:
    """What the study of a builder costs at most.

    Parameters
    ----------
    builder
        Of `lpsgb.study`.
    structure
        The crystal, with its occupancies.

    Returns
    -------
    list of Cost
        In the order in which the parts are run.
    """
    systems = {name: node.get_dict() for name, node in builder.systems.items()}
    learns = "potential" in builder._inputs(prune=True)
    level = _learned_level(builder) if learns else _level(builder.potentials)
    n_potentials = builder.active_learning.settings["n_potentials"] if learns else len(builder.potentials)
    costs = []
    if learns:
        costs += _learning(builder, structure, systems, level)
    costs += _making(builder, structure, systems, level)
    costs.append(_running(builder, structure, systems, level, n_potentials))
    if learns and "validate" in builder._inputs(prune=True):
        costs.append(_validating(builder, structure, systems, level))
    return costs


# --- learning -------------------------------------------------------------------------------------------------------


def _learning(builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any], level: int) -> list[Cost]:
    learning = builder.active_learning
    settings = learning.settings.get_dict()
    cells = _small_cells(builder, structure, systems)
    start = _start_set(builder, structure, systems)
    size = np.mean([n for n, _ in cells]) if cells else structure.num_sites
    per_label = _label_hours(builder)
    costs = [start] if start else []
    given = sum(len(node) for node in builder._inputs(prune=True).get("training_sets", {}).values())
    known = given + (start.labels if start else 0)

    exploration = learning.exploration.get_dict()
    atom_steps = 0.0
    n_runs = 0
    for n_atoms, own in cells:
        template = {**exploration, **{key: value for key, value in own.items() if key not in settings}}
        runs = len(exploration_runs(settings, own))
        n_runs += runs
        atom_steps += n_atoms * runs * _steps(template)
    iterations = settings["max_iterations"]
    costs.append(
        Cost(
            "exploration",
            f"{iterations} iterations of {n_runs} runs",
            settings["max_labels"],
            iterations * atom_steps * GRADED * _micro(MD_US, level) + settings["max_labels"] * size * per_label,
        )
    )
    if "passive_learning" in builder._inputs(prune=True):
        costs.insert(len(costs) - 1, _choosing(builder.passive_learning, known, size))
    configurations = known + settings["max_labels"]
    trained = (iterations + settings["n_potentials"]) * learning.train.mlp.parameters["max_iter"]
    hours = (
        trained * configurations * size * _micro(TRAINING_US, level) / 2
    )  # the set grows from iteration to iteration
    costs.append(Cost("training", f"{iterations + settings['n_potentials']} trainings at level {level}", 0, hours))
    return costs


def _choosing(passive: Any, n_configurations: int, size: float) -> Cost:
    """Trainings of the grid; what measures the costs takes seconds."""
    settings = passive.settings.get_dict()
    trainings = len(settings["cutoffs_angstrom"]) * settings["n_folds"]
    share = settings["validation_share"] if settings["n_folds"] == 1 else 1 / settings["n_folds"]
    once = passive.train.mlp.parameters["max_iter"] * n_configurations * (1 - share) * size * trainings
    hours = once * sum(_micro(TRAINING_US, level) for level in settings["levels"])
    return Cost("choice of level", f"{trainings * len(settings['levels'])} trainings", 0, hours)


def _learned_level(builder: ProcessBuilder) -> int:
    """Level of the potential that is learned; where it is still to be chosen, the highest it may be."""
    if "passive_learning" in builder._inputs(prune=True):
        return max(builder.passive_learning.settings["levels"])
    return builder.potential["level"]


def _start_set(builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any]) -> Cost | None:
    if "start_set" not in builder._inputs(prune=True):
        return None
    options = builder.start_set.get_dict()
    copies = sum(1 if amplitude == 0 else options.get("n_rattles", 1) for amplitude in options["amplitudes"])
    copies *= len(options["strains"]) + 3 * len(options.get("shears", ()))
    starts = [_cell_atoms(structure)] * builder.ordering.get_dict().get("n_candidates", 1)
    boundaries = [r for r in systems.values() if r["kind"] == "boundary" and r.get("learn")]
    starts += [_boundary_atoms(structure, recipe, "learn") for recipe in boundaries]
    labels = copies * len(starts)
    hours = copies * sum(starts) * _label_hours(builder)
    return Cost("start set", f"{len(starts)} structures, {copies} of each", labels, hours)


def _small_cells(
    builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any]
) -> list[tuple[float, Mapping[str, Any]]]:
    """Number of atoms of every cell that is explored, and what its exploration has of its own."""
    cells: list[tuple[float, Mapping[str, Any]]] = []
    for recipe in systems.values():
        if not recipe.get("learn"):
            continue
        own = recipe.get("explore") or {}
        if recipe["kind"] == "boundary":
            cells.append((_boundary_atoms(structure, recipe, "learn"), own))
        else:
            n_candidates = builder.ordering.get_dict().get("n_candidates", 1) if recipe["kind"] == "crystal" else 1
            cells += [(_repeated_atoms(structure, recipe["learn"]), own)] * n_candidates
    return cells


def _validating(builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any], level: int) -> Cost:
    validate = builder.validate
    cells = [
        _boundary_atoms(structure, r, "learn") if r["kind"] == "boundary" else _repeated_atoms(structure, r["learn"])
        for r in systems.values()
        if r.get("learn") and r["kind"] in ("crystal", "boundary")
    ]
    runs = len(validate.temperatures.get_list()) * validate.n_replicas.value
    frames = runs * validate.settings["n_frames"]
    hours = runs * sum(cells) * _steps(validate.parameters.get_dict()) * _micro(MD_US, level)
    hours += frames * sum(cells) * _label_hours(builder)
    return Cost("test", f"{runs * len(cells)} runs", frames * len(cells), hours)


# --- systems --------------------------------------------------------------------------------------------------------


def _making(builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any], level: int) -> list[Cost]:
    costs = []
    boundaries = [recipe for recipe in systems.values() if recipe["kind"] == "boundary"]
    if boundaries:
        atom_steps = 0.0
        for recipe in boundaries:
            n_candidates = (recipe.get("run") or {}).get("n_candidates", 1)
            steps = sum(s.get("max_steps", 0) for s in builder.grain_boundary.relaxation["stages"])
            atom_steps += _boundary_atoms(structure, recipe, "run") * n_candidates * steps * MINIMISATION_PHASES
        costs.append(Cost("boundaries", f"{len(boundaries)} relaxed", 0, atom_steps * _micro(MD_US, level)))
    glasses = [recipe for recipe in systems.values() if recipe["kind"] == "glass"]
    if glasses:
        steps = planned_steps(resolve(builder.melt_quench.parameters.get_dict()))
        atoms = sum(_repeated_atoms(structure, recipe.get("run") or {}) for recipe in glasses)
        costs.append(Cost("glasses", f"{len(glasses)} melted and quenched", 0, atoms * steps * _micro(MD_US, level)))
    return costs


def _running(
    builder: ProcessBuilder, structure: Structure, systems: Mapping[str, Any], level: int, n_potentials: int
) -> Cost:
    transport = builder.transport
    parameters = resolve(at_temperature(transport.parameters.get_dict(), ANY_K))
    steps = planned_steps(parameters)
    if "budget" in transport._inputs(prune=True):
        production = parameters["stages"][-1]["duration_ps"]
        longest = max(production, transport.budget["max_production_ps"])
        steps += to_steps(longest, parameters["timestep_fs"]) - to_steps(production, parameters["timestep_fs"])
    runs = len(transport.temperatures.get_list()) * transport.n_replicas.value * n_potentials
    given = builder._inputs(prune=True).get("structures", {})
    atoms = sum(
        len(given[name].sites) if name in given else _large_atoms(structure, recipe) for name, recipe in systems.items()
    )
    return Cost(
        "transport",
        f"{runs * len(systems)} runs of up to {steps * parameters['timestep_fs'] / 1000:g} ps",
        0,
        runs * atoms * steps * _micro(MD_US, level),
    )


def _large_atoms(structure: Structure, recipe: Mapping[str, Any]) -> float:
    if recipe["kind"] == "boundary":
        return _boundary_atoms(structure, recipe, "run")
    if recipe["kind"] == "interface":
        options = {**shared(recipe), **(recipe.get("run") or {})}
        return 2 * options.get("width", 25.0) * options.get("max_area", 1500.0) / 2 * _density(structure)
    return _repeated_atoms(structure, recipe.get("run") or {})


# --- sizes ----------------------------------------------------------------------------------------------------------


def _cell_atoms(structure: Structure) -> float:
    return float(structure.composition.num_atoms)


def _density(structure: Structure) -> float:
    """Atoms per Å³."""
    return _cell_atoms(structure) / structure.volume


def _repeated_atoms(structure: Structure, options: Mapping[str, Any]) -> float:
    """Atoms of a supercell."""
    cell = _cell_atoms(structure)
    if "matrix" in options:
        matrix = np.asarray(options["matrix"], float)
        return cell * abs(round(float(np.prod(matrix) if matrix.ndim == 1 else np.linalg.det(matrix))))
    return cell * max(1, math.ceil(options.get("n_atoms", 1) / cell))


def _boundary_atoms(structure: Structure, recipe: Mapping[str, Any], cell: str) -> float:
    """Atoms of a bicrystal: two grains on the planar cell of the first plane, more of them for a twist."""
    options = {**shared(recipe), **(recipe.get(cell) or {})}
    area = structure.volume / structure.lattice.d_hkl(options["plane"])
    if options.get("axis") is None or list(options["axis"]) == list(options["plane"]):
        area *= options.get("sigma") or TWIST_PLANES
    return max(2 * options.get("width", 25.0) * area * _density(structure), options.get("n_atoms", 1))


# --- times ----------------------------------------------------------------------------------------------------------


def _steps(template: Mapping[str, Any]) -> int:
    return planned_steps(resolve(at_temperature(template, ANY_K)))


def _micro(table: Mapping[int, float], level: int) -> float:
    """Core-hours an atom from a table of µs by level, between and beyond its entries by the nearest slope."""
    levels = sorted(table)
    k = min(max(int(np.searchsorted(levels, level)), 1), len(levels) - 1)
    (x0, y0), (x1, y1) = ((x, math.log(table[x])) for x in levels[k - 1 : k + 1])
    return math.exp(y0 + (y1 - y0) * (level - x0) / (x1 - x0)) * 1e-6 / SECONDS_PER_HOUR


def _level(potentials: Mapping[str, Any]) -> int:
    """Level of given potentials; that of pair styles is not known, and taken to be as fast as level 8."""
    return max((node.base.attributes.get("level", None) or 8) for node in potentials.values())


def _label_hours(builder: ProcessBuilder) -> float:
    """Core-hours of a label for each atom: measured in this profile, or known, or 0."""
    found = _measured(builder)
    return (found.seconds / found.n_atoms if found else LABEL_S.get(_calculator(builder), 0.0)) / SECONDS_PER_HOUR


def _measured(builder: ProcessBuilder) -> Measured | None:
    """What labels of this level of theory have taken in this profile."""
    level = level_of(child_inputs(builder)["label"]["engine"])
    return measured(level) if level else None


def _calculator(builder: ProcessBuilder) -> str | None:
    parameters = builder.label.engine.ase._inputs(prune=True).get("parameters")
    return None if parameters is None else parameters["calculator"]


def total(costs: Sequence[Cost]) -> Cost:
    """All parts together."""
    return Cost("at most", "", sum(cost.labels for cost in costs), sum(cost.core_hours for cost in costs))


def how(builder: ProcessBuilder) -> str:
    """How the estimate is made, in a sentence or two."""
    learns = "label" in builder._inputs(prune=True)
    if learns and (found := _measured(builder)):
        return f"{HOW}; here labels take what {found.n_labels} of their level have taken in this profile"
    if learns and _calculator(builder) not in LABEL_S:
        return f"{HOW}. The labels are counted, not timed: this package knows no time of their engine"
    return HOW
