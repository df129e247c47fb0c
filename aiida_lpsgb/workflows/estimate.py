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

from aiida_lpsgb.calculations.functions.active_learning import exploration_runs, without_loop_keys
from aiida_lpsgb.calculations.functions.recipes import shared
from aiida_lpsgb.calculations.functions.sweep import ANY_K, at_temperature
from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.calculations.md_parameters import planned_steps, resolve, to_steps
from aiida_lpsgb.structures.ordering import primitive_cell
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
WIDTH_A, MAX_AREA_A2 = 25.0, 2500.0
"""Thickness of a grain, and largest area of an interface, where recipes do not say: defaults of what builds them."""
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
    study = _Study(child_inputs(builder), structure)
    if not study.learns:
        return [*study.making(), study.running()]
    learning = [*study.start_set(), *study.reference(), *study.choosing(), study.exploring(), study.training()]
    return [*learning, *study.making(), study.running(), *study.testing(), *study.returning()]


class _Study:
    """The numbers of a study that its parts are counted from."""

    def __init__(self, inputs: Mapping[str, Any], structure: Structure) -> None:
        self.inputs = inputs
        self.structure = primitive_cell(structure) if inputs["ordering"].get_dict().get("primitive") else structure
        self.n_sites = float(self.structure.composition.num_atoms)
        self.density_A3 = self.n_sites / self.structure.volume
        self.systems = {name: node.get_dict() for name, node in inputs["systems"].items()}
        self.learns = "potential" in inputs
        self.level = self._level()
        self.step_hours = _micro(MD_US, self.level)
        self.label_hours = _label_hours(inputs) if self.learns else 0.0

    def _level(self) -> int:
        """Level of the potentials; where it is still to be chosen, the highest it may be.

        That of pair styles is not known: they are taken to be as fast as level 8.
        """
        if not self.learns:
            return max((node.base.attributes.get("level", None) or 8) for node in self.inputs["potentials"].values())
        if "passive_learning" in self.inputs:
            return max(self.inputs["passive_learning"]["settings"]["levels"])
        return self.inputs["potential"]["level"]

    def _of_kind(self, kind: str) -> list[Mapping[str, Any]]:
        return [recipe for recipe in self.systems.values() if recipe["kind"] == kind]

    # --- learning -----------------------------------------------------------------------------------------------------

    def exploring(self) -> Cost:
        """Exploration, and its labels."""
        learning = self.inputs["active_learning"]
        settings, exploration = learning["settings"].get_dict(), learning["exploration"].get_dict()
        n_runs, atom_steps = 0, 0.0
        for n_atoms, own in self._small_cells():
            runs = len(exploration_runs(settings, own))
            n_runs += runs
            atom_steps += n_atoms * runs * _steps({**exploration, **without_loop_keys(own)})
        iterations, n_labels = settings["max_iterations"], settings["max_labels"]
        hours = iterations * atom_steps * GRADED * self.step_hours + n_labels * self._mean_size() * self.label_hours
        return Cost("exploration", f"{iterations} iterations of {n_runs} runs", n_labels, hours)

    def choosing(self) -> list[Cost]:
        """Trainings of the grid; what measures the costs takes seconds."""
        if "passive_learning" not in self.inputs:
            return []
        passive = self.inputs["passive_learning"]
        settings = passive["settings"]
        trainings = len(settings["cutoffs_angstrom"]) * settings["n_folds"]
        share = settings["validation_share"] if settings["n_folds"] == 1 else 1 / settings["n_folds"]
        n_atoms = self._n_known() * (1 - share) * self._mean_size()
        once = passive["train"]["mlp"]["parameters"]["max_iter"] * n_atoms * trainings
        hours = once * sum(_micro(TRAINING_US, level) for level in settings["levels"])
        return [Cost("choice of level", f"{trainings * len(settings['levels'])} trainings", 0, hours)]

    def training(self) -> Cost:
        """Trainings of the loop and of the committee, on a set that grows from iteration to iteration."""
        learning = self.inputs["active_learning"]
        settings = learning["settings"]
        trainings = settings["max_iterations"] + settings["n_potentials"] * (1 + settings["n_relaxations"])
        steps = trainings * learning["train"]["mlp"]["parameters"]["max_iter"]
        n_atoms = (self._n_known() + settings["max_labels"]) * self._mean_size()
        hours = steps * n_atoms * _micro(TRAINING_US, self.level) / 2
        return Cost("training", f"{trainings} trainings at level {self.level}", 0, hours)

    def testing(self) -> list[Cost]:
        """All tests of the potentials."""
        return [*self.validating(), *self.comparing()]

    def validating(self) -> list[Cost]:
        """The test of the potentials on frames of runs of the small cells."""
        if "validate" not in self.inputs:
            return []
        validate = self.inputs["validate"]
        learned = [r for kind in ("crystal", "boundary") for r in self._of_kind(kind) if r.get("learn")]
        n_atoms = sum(self._atoms(recipe, "learn") for recipe in learned)
        runs = len(validate["temperatures"].get_list()) * validate["n_replicas"].value
        frames = runs * validate["settings"]["n_frames"]
        hours = n_atoms * (
            runs * _steps(validate["parameters"].get_dict()) * self.step_hours + frames * self.label_hours
        )
        return [Cost("test", f"{runs * len(learned)} runs", frames * len(learned), hours)]

    def comparing(self) -> list[Cost]:
        """Labels of small cells of the boundaries and of the crystals that they are cut from."""
        if "boundary_parity" not in self.inputs:
            return []
        cell = self.inputs["boundary_parity"]["cell"].get_dict()
        boundaries = self._of_kind("boundary")
        atoms = sum(self._boundary_atoms({**shared(recipe), **cell}) for recipe in boundaries)
        hours = (atoms + len(boundaries) * self.n_sites) * self.label_hours
        return [Cost("boundary energies", f"{len(boundaries)} in small cells", 2 * len(boundaries), hours)]

    def returning(self) -> list[Cost]:
        """Learning and production once more, as often as production may go back to learning, and labels of frames."""
        if "returns" not in self.inputs:
            return []
        settings = self.inputs["returns"].get_dict()
        again = [self.exploring(), self.training(), *self.making(), self.running(), *self.testing()]
        sizes = [size for size in map(self._run_atoms, self.systems) if size <= settings["max_atoms"]]
        n_labels = settings["max_labels"] if sizes else 0
        hours = sum(cost.core_hours for cost in again) + n_labels * max(sizes, default=0) * self.label_hours
        labels = n_labels + sum(cost.labels for cost in again)
        times = settings["max_returns"]
        often = {1: "once", 2: "twice"}.get(times, f"{times} times")
        return [Cost("back to learning", f"{often}, if production extrapolates", times * labels, times * hours)]

    def start_set(self) -> list[Cost]:
        """Labels of strained and rattled copies."""
        if "start_set" not in self.inputs:
            return []
        options = self.inputs["start_set"].get_dict()
        copies = sum(1 if amplitude == 0 else options.get("n_rattles", 1) for amplitude in options["amplitudes"])
        copies *= len(options["strains"]) + 3 * len(options.get("shears", ()))
        copies += len(options.get("approaches", ()))
        boundaries = [recipe for recipe in self._of_kind("boundary") if recipe.get("learn")]
        starts = [self.n_sites] * self._n_candidates() + [self._atoms(recipe, "learn") for recipe in boundaries]
        hours = copies * sum(starts) * self.label_hours
        return [Cost("start set", f"{len(starts)} structures, {copies} of each", copies * len(starts), hours)]

    def reference(self) -> list[Cost]:
        """Dynamics of the label engine: a step costs as much as a label, those that are learned from count as such."""
        if "reference_md" not in self.inputs:
            return []
        settings = self.inputs["reference_md"]["settings"].get_dict()
        runs = len(settings["temperatures_K"])
        steps = runs * to_steps(settings["duration_ps"], settings["timestep_fs"])
        hours = steps * self.n_sites * self.label_hours
        return [Cost("reference dynamics", f"{runs} runs, {steps} steps in all", settings["n_samples"], hours)]

    def _n_candidates(self) -> int:
        """Arrangements of the crystal's partially occupied sites that are learned from."""
        return self.inputs["ordering"].get_dict().get("n_candidates", 1)

    def _n_known(self) -> int:
        """Configurations that are labelled before learning."""
        given = sum(len(node) for node in self.inputs.get("training_sets", {}).values())
        return given + sum(cost.labels for cost in (*self.start_set(), *self.reference()))

    def _small_cells(self) -> list[tuple[float, Mapping[str, Any]]]:
        """Number of atoms of every cell that is explored, and what its exploration has of its own."""
        cells = []
        for recipe in self.systems.values():
            if recipe.get("learn"):
                cell = (self._atoms(recipe, "learn"), recipe.get("explore") or {})
                cells += [cell] * (self._n_candidates() if recipe["kind"] == "crystal" else 1)
        return cells

    def _mean_size(self) -> float:
        """Atoms of a configuration that is learned from."""
        return float(np.mean([n_atoms for n_atoms, _ in self._small_cells()] or [self.n_sites]))

    # --- systems ------------------------------------------------------------------------------------------------------

    def making(self) -> list[Cost]:
        """Relaxations of boundaries, melts of glasses."""
        costs = []
        if boundaries := self._of_kind("boundary"):
            steps = sum(stage.get("max_steps", 0) for stage in self.inputs["grain_boundary"]["relaxation"]["stages"])
            cells = (self._atoms(r, "run") * _options(r, "run").get("n_candidates", 1) for r in boundaries)
            hours = sum(cells) * steps * MINIMISATION_PHASES * self.step_hours
            costs.append(Cost("boundaries", f"{len(boundaries)} relaxed", 0, hours))
        if glasses := self._of_kind("glass"):
            steps = planned_steps(resolve(self.inputs["melt_quench"]["parameters"].get_dict()))
            hours = sum(self._atoms(recipe, "run") for recipe in glasses) * steps * self.step_hours
            costs.append(Cost("glasses", f"{len(glasses)} melted and quenched", 0, hours))
        return costs

    def running(self) -> Cost:
        """All runs of all systems, each to the end of its budget."""
        transport = self.inputs["transport"]
        parameters = resolve(at_temperature(transport["parameters"].get_dict(), ANY_K))
        steps, timestep_fs = planned_steps(parameters), parameters["timestep_fs"]
        if "budget" in transport:
            production = parameters["stages"][-1]["duration_ps"]
            longest = max(production, transport["budget"]["max_production_ps"])
            steps += to_steps(longest, timestep_fs) - to_steps(production, timestep_fs)
        n_potentials = (
            self.inputs["active_learning"]["settings"]["n_potentials"]
            if self.learns
            else len(self.inputs["potentials"])
        )
        runs = len(transport["temperatures"].get_list()) * transport["n_replicas"].value * n_potentials
        n_atoms = sum(map(self._run_atoms, self.systems))
        amount = f"{runs * len(self.systems)} runs of up to {steps * timestep_fs / 1000:g} ps"
        return Cost("transport", amount, 0, runs * n_atoms * steps * self.step_hours)

    # --- sizes --------------------------------------------------------------------------------------------------------

    def _run_atoms(self, name: str) -> float:
        """Atoms of what is run of a system."""
        given = self.inputs.get("structures", {})
        return len(given[name].sites) if name in given else self._atoms(self.systems[name], "run")

    def _atoms(self, recipe: Mapping[str, Any], cell: str) -> float:
        """Atoms of the small or the large cell of a recipe."""
        options = _options(recipe, cell)
        if recipe["kind"] == "boundary":
            return self._boundary_atoms(options)
        if recipe["kind"] == "interface":
            return options.get("width", WIDTH_A) * options.get("max_area", MAX_AREA_A2) * self.density_A3
        if "matrix" in options:
            matrix = np.asarray(options["matrix"], float)
            return self.n_sites * abs(round(float(np.prod(matrix) if matrix.ndim == 1 else np.linalg.det(matrix))))
        return self.n_sites * max(1, math.ceil(options.get("n_atoms", 1) / self.n_sites))

    def _boundary_atoms(self, options: Mapping[str, Any]) -> float:
        """Atoms of a bicrystal: two grains on the planar cell of the first plane, more of them for a twist."""
        area = self.structure.volume / self.structure.lattice.d_hkl(options["plane"])
        if options.get("axis") is None or list(options["axis"]) == list(options["plane"]):
            area *= options.get("sigma") or TWIST_PLANES
        return max(2 * options.get("width", WIDTH_A) * area * self.density_A3, options.get("n_atoms", 1))


def _options(recipe: Mapping[str, Any], cell: str) -> dict[str, Any]:
    """Parameters of the small or the large cell of a recipe, those that both share among them."""
    return {**shared(recipe), **(recipe.get(cell) or {})}


# --- times ----------------------------------------------------------------------------------------------------------


def _steps(template: Mapping[str, Any]) -> int:
    return planned_steps(resolve(at_temperature(template, ANY_K)))


def _micro(table: Mapping[int, float], level: int) -> float:
    """Core-hours an atom from a table of µs by level, between and beyond its entries by the nearest slope."""
    levels = sorted(table)
    k = min(max(int(np.searchsorted(levels, level)), 1), len(levels) - 1)
    (x0, y0), (x1, y1) = ((x, math.log(table[x])) for x in levels[k - 1 : k + 1])
    return math.exp(y0 + (y1 - y0) * (level - x0) / (x1 - x0)) * 1e-6 / SECONDS_PER_HOUR


def _label_hours(inputs: Mapping[str, Any]) -> float:
    """Core-hours of a label for each atom: measured in this profile, or known, or 0."""
    found = _measured(inputs)
    return (found.seconds / found.n_atoms if found else LABEL_S.get(_calculator(inputs), 0.0)) / SECONDS_PER_HOUR


def _measured(inputs: Mapping[str, Any]) -> Measured | None:
    """What labels of this level of theory have taken in this profile."""
    level = level_of(inputs["label"]["engine"])
    return measured(level) if level else None


def _calculator(inputs: Mapping[str, Any]) -> str | None:
    """Name of the calculator where the engine is that of ASE."""
    parameters = inputs["label"]["engine"].get("ase", {}).get("parameters")
    return None if parameters is None else parameters["calculator"]


def total(costs: Sequence[Cost]) -> Cost:
    """All parts together."""
    return Cost("at most", "", sum(cost.labels for cost in costs), sum(cost.core_hours for cost in costs))


def how(builder: ProcessBuilder) -> str:
    """How the estimate is made, in a sentence or two."""
    inputs = child_inputs(builder)
    if "label" not in inputs:
        return HOW
    if found := _measured(inputs):
        return f"{HOW}; here labels take what {found.n_labels} of their level have taken in this profile"
    if _calculator(inputs) not in LABEL_S:
        return f"{HOW}. The labels are counted, not timed: this package knows no time of their engine"
    return HOW
