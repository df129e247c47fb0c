"""Train a potential until molecular dynamics no longer extrapolates: `lpsgb.active_learning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.active_learning import (
    FIRST,
    exploration_label,
    exploration_runs,
    team_of,
)
from aiida_lpsgb.workflows.learning_inputs import SETTINGS, validate_exploration, validate_inputs, validate_settings
from aiida_lpsgb.workflows.md import MD_FILLED_IN, inputs_of_run, validate_relaxation
from aiida_lpsgb.workflows.outputs import how_it_ended, named, namespace_of
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job, inputs_of_child
from aiida_lpsgb.workflows.queue import QueueMixin

MlpTrainBaseWorkChain = WorkflowFactory("lpsgb.mlp.train.base")
MlpGradeBaseWorkChain = WorkflowFactory("lpsgb.mlp.grade.base")
MlpSelectBaseWorkChain = WorkflowFactory("lpsgb.mlp.select.base")
MlpErrorsBaseWorkChain = WorkflowFactory("lpsgb.mlp.errors.base")
LabelWorkChain = WorkflowFactory("lpsgb.label")
MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
cells_to_label = CalculationFactory("lpsgb.boundary_parity.cells")
ConfigurationsData = DataFactory("lpsgb.configurations")
PotentialData = DataFactory("lpsgb.potential")
advance = CalculationFactory("lpsgb.learning.advance")
forget = CalculationFactory("lpsgb.potential.forget")
plan_committee = CalculationFactory("lpsgb.learning.plan_committee")
plan_exploration = CalculationFactory("lpsgb.learning.plan_exploration")

MINIMA = "minima"
"""Name of the training sets of relaxed structures, with the number of the relaxation."""
CANDIDATES = "candidates"
"""Name of the training set of what was found elsewhere."""
# More runs than this share without any result end the loop: something else than the potential is wrong.
MAX_MISSING_SHARE = 0.5


class ActiveLearningWorkChain(ProtocolMixin, QueueMixin):
    """Train, explore, select, label, and again, until exploration stays within what the potential has learned.

    On what was learned further potentials are trained, from other coefficients and with other weights of the data: a
    committee. Where one of them extrapolates, all learn from that, too. Dynamics shows nothing of the minima of the
    energy, between which boundary energies and lattices are differences of a few meV an atom: in the end they can be
    learned from as well, where the potentials find them. What that makes of the potentials is explored again.
    """

    CHILDREN = ("label",)
    OPEN_ENTRIES = ("training", "grading", "selection", "relaxation")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        cls._define_inputs(spec)
        label = if_(cls.has_selected)(cls.label, cls.inspect_labels)
        select = if_(cls.has_candidates)(cls.select, cls.inspect_selection, label)
        train = if_(cls.has_to_learn)(cls.train, cls.inspect_training, cls.grade, cls.inspect_grade)
        run = while_(cls.queue_waits)(cls.run_queue)
        spec.outline(
            cls.setup,
            select,
            while_(cls.goes_on)(
                while_(cls.should_iterate)(train, cls.explore, run, cls.inspect_exploration, select),
                train,
                if_(cls.should_relax)(cls.relax, run, cls.inspect_relaxations, label),
            ),
            cls.finish,
        )
        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_inputs(cls, spec: ProcessSpec) -> None:
        spec.input("potential", valid_type=PotentialData, help="Potential to start from; an untrained one will do.")
        spec.input_namespace(
            "training_sets",
            valid_type=ConfigurationsData,
            help="Labelled configurations to start with.",
        )
        spec.input_namespace(
            "structures", valid_type=orm.StructureData, help="Structures that exploration starts from."
        )
        spec.input_namespace(
            "candidates",
            dynamic=True,
            valid_type=ConfigurationsData,
            required=False,
            help="Configurations that were found elsewhere, such as frames of production that extrapolate. Those that "
            "widen the training sets are labelled before the first training; `potential` must be trained on the sets.",
        )
        spec.input(
            "test_set",
            valid_type=ConfigurationsData,
            required=False,
            help="Labelled configurations that are never trained on; the learning curve shows the errors on them.",
        )
        settings_help = "; ".join(f"`{key}`: {text}" for key, text in SETTINGS.items())
        spec.input(
            "settings", valid_type=orm.Dict, validator=validate_settings, help=f"Settings of the loop. {settings_help}."
        )
        spec.input(
            "exploration",
            valid_type=orm.Dict,
            validator=validate_exploration,
            help="Parameters of `lpsgb.md` for the exploration runs, with the word `target` for the temperature.",
        )
        spec.input_namespace(
            "explorations",
            dynamic=True,
            valid_type=orm.Dict,
            required=False,
            help="What a structure has of its own, by its name, over `exploration` and over `temperatures_K` and "
            "`n_replicas` of `settings`: the schedule of a melt, for example.",
        )
        spec.input(
            "relaxation",
            valid_type=orm.Dict,
            required=False,
            validator=validate_relaxation,
            help="Parameters of `lpsgb.md` by which structures are relaxed in the end; needed where `n_relaxations` of "
            "`settings` is above 0.",
        )
        spec.input("seed", valid_type=orm.Int, help="Seed of exploration and committee.")
        cls.limit_queue(spec, "Exploration runs")
        spec.expose_inputs(
            MlpTrainBaseWorkChain,
            namespace="train",
            exclude=("mlp.potential", "mlp.training_sets", "mlp.validation_set"),
        )
        spec.expose_inputs(
            MlpGradeBaseWorkChain,
            namespace="grade",
            exclude=("mlp.potential", "mlp.training_sets", "mlp.configurations"),
        )
        spec.expose_inputs(
            MlpSelectBaseWorkChain, namespace="select", exclude=("mlp.potential", "mlp.training_sets", "mlp.candidates")
        )
        spec.expose_inputs(MlpErrorsBaseWorkChain, namespace="errors", exclude=("mlp.potential", "mlp.configurations"))
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("configurations",))
        spec.inputs.validator = validate_inputs

    @classmethod
    def _define_outputs(cls, spec: ProcessSpec) -> None:
        spec.output_namespace(
            "potentials",
            valid_type=PotentialData,
            help="`p1`, the potential that explored, of the last training, and where its runs no longer ended early, "
            "the other members of the committee.",
        )
        spec.output_namespace(
            "active_sets",
            valid_type=orm.SinglefileData,
            required=False,
            help="Active set (`.als`) of each potential.",
        )
        spec.output(
            "learning_curve",
            valid_type=orm.Dict,
            required=False,
            help="What every iteration has shown: training and test errors, runs broken, configurations selected.",
        )
        spec.output_namespace(
            "training_sets",
            valid_type=ConfigurationsData,
            help="Everything the potential was trained on: the sets given and one increment an iteration.",
        )

    @classmethod
    def _define_exit_codes(cls, spec: ProcessSpec) -> None:
        steps = ("TRAINING", "GRADE", "EXPLORATION", "SELECTION", "LABELLING", "RELAXATION")
        for status, step in enumerate(steps, start=401):
            said = "Grading" if step == "GRADE" else step.capitalize()
            spec.exit_code(
                status, f"ERROR_{step}_FAILED", message=f"{said} failed in iteration {{iteration}}: {{detail}}"
            )
        spec.exit_code(
            410,
            "ERROR_ITERATIONS_EXHAUSTED",
            message="The potential extrapolates after {n} iterations; go on from `potentials` and `training_sets`.",
        )
        spec.exit_code(
            411,
            "ERROR_LABELS_EXHAUSTED",
            message="The potential extrapolates after {n} labels; go on from `potentials` and `training_sets`.",
        )
        spec.exit_code(
            412,
            "ERROR_NOTHING_SELECTED",
            message="None of the {n} candidates widens the training sets: there is nothing to learn from them.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        potential: orm.Data | None = None,
        training_sets: Mapping[str, orm.Data] | None = None,
        structures: Mapping[str, orm.StructureData] | None = None,
        *,
        candidates: Mapping[str, orm.Data] | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        seed: orm.Int | None = None,
        path: str = "",
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        codes
            By role: `mlp` (`lpsgb-mlp` or MLIP-2's `mlp`), `md` (LAMMPS), `label`; see `load_codes`.
        potential, training_sets, structures
            What to start from, and the structures to explore; left out where a parent fills them in.
        candidates
            Configurations to select from and label before the first training.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the override `label` takes entries of the protocol of `lpsgb.label`, the roles
            of `options` are `train`, `select` (grading, too), `md` and `label`.
        seed
            Seed of exploration and committee; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, potential=potential, training_sets=training_sets, structures=structures)
        fill_in(builder, candidates=candidates)
        builder.settings = orm.Dict(values["settings"])
        builder.exploration = orm.Dict(values["exploration"])
        if values["settings"]["n_relaxations"]:
            builder.relaxation = orm.Dict(values["relaxation"])
        builder.seed = seed or cls.draw_seed()
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        for namespace in ("train", "grade", "select", "errors"):
            fill_job(builder[namespace].mlp, codes, values, "mlp", "train" if namespace == "train" else "select")
        builder.train.mlp.parameters = orm.Dict(values["training"])
        builder.grade.mlp.parameters = orm.Dict(values["grading"])
        builder.select.mlp.parameters = orm.Dict(values["selection"])
        fill_job(builder.md.md, codes, values, "md")
        builder.label = inputs_of_child(LabelWorkChain, codes, values, "label", path)
        return cls.checked(builder)

    def setup(self) -> None:
        """Begin with what was given."""
        self.ctx.potentials, self.ctx.active_sets = {}, {}
        # How many training sets each potential has learned from.
        self.ctx.learned = {}
        self.ctx.training_sets = dict(self.inputs.training_sets)
        self.ctx.settings = self.inputs.settings.get_dict()
        self.ctx.candidates, self.ctx.chooser = dict(self.inputs.get("candidates", {})), FIRST
        self.ctx.history = None
        # Kind and number of what is learned from next.
        self.ctx.increment = (CANDIDATES, 1)
        self.ctx.n_labels = 0
        # How often all structures have been relaxed, and whether what was learned from that is still to be explored.
        self.ctx.relaxed, self.ctx.unexplored = 0, False
        self.ctx.goes_on = True
        # Whether the last iteration's labelling gave none.
        self.ctx.barren = False
        self.ctx.exhausted = None

    # --- control flow ---------------------------------------------------------------------------------------------

    @property
    def explored(self) -> int:
        """Number of the last iteration whose exploration is in the learning curve; 0 before the first."""
        return len(self.ctx.history["iterations"]) if self.ctx.history else 0

    @property
    def iteration(self) -> int:
        """Number of the iteration that trains and explores, from 1."""
        return self.explored + 1

    def goes_on(self) -> bool:
        """Whether the loop is entered, or entered again after relaxations."""
        return self.ctx.goes_on

    def should_iterate(self) -> bool:
        """Whether a potential is still to be improved, and may be."""
        converged = self.ctx.history and self.ctx.history["converged"] and not self.ctx.unexplored
        if not converged and self.ctx.exhausted is None and self.iteration > self.ctx.settings["max_iterations"]:
            self.ctx.exhausted = self.exit_codes.ERROR_ITERATIONS_EXHAUSTED.format(n=self.explored)
        self.ctx.is_over = bool(converged) or self.ctx.exhausted is not None
        return not self.ctx.is_over

    def has_candidates(self) -> bool:
        """Whether there is something to select from, given or left by exploration, and the loop goes on."""
        settled = self.ctx.history and self.ctx.history["settled"]
        return not settled and bool(self.ctx.candidates)

    def has_selected(self) -> bool:
        """Whether there is something to label within the budget."""
        if self.ctx.selected is None:
            return False
        if self.ctx.n_labels + len(self.ctx.selected) > self.ctx.settings["max_labels"]:
            self.ctx.exhausted = self.exit_codes.ERROR_LABELS_EXHAUSTED.format(n=self.ctx.n_labels)
            return False
        return True

    @property
    def team(self) -> list[str]:
        """Potentials that explore: the first, and once it has settled, the others; after relaxations all."""
        return sorted(self.ctx.potentials) if self.ctx.unexplored else team_of(self.ctx.history)

    def _behind(self) -> list[str]:
        """Potentials that do not know all labels: of those that explore, and at the end of all."""
        names = self.ctx.potentials if self.ctx.is_over else self.team
        return [name for name in sorted(names) if self.ctx.learned.get(name) != len(self.ctx.training_sets)]

    def has_to_learn(self) -> bool:
        """Whether there are labels that a potential has not been trained on; at first, all of them."""
        return bool(self._behind())

    # --- train and grade ------------------------------------------------------------------------------------------

    def _submit(self, base: type, namespace: str, label: str, **mlp: Any) -> orm.WorkChainNode:
        """Submit a sub-command of `mlp` that takes all training sets."""
        inputs = self.exposed_inputs(base, namespace=namespace)
        inputs.mlp |= {"training_sets": self.ctx.training_sets, **mlp}
        return self.submit(base, **named(label, inputs))

    def train(self) -> ToContext:
        """Train on all sets, each potential from its last coefficients."""
        self.ctx.learning = self._behind()
        n_configurations = sum(len(node) for node in self.ctx.training_sets.values())
        self.report(
            f"iteration {self.iteration}: training on {n_configurations} configurations"
            + (f": {', '.join(self.ctx.learning)}" if self.ctx.learning != [FIRST] else "")
        )
        if "committee" not in self.ctx:
            parameters = self.inputs.train.mlp.get("parameters", orm.Dict())
            self.ctx.committee = plan_committee(parameters, self.inputs.settings, self.inputs.seed)
        if self.ctx.learning != [FIRST] and "blank" not in self.ctx:
            # The others begin from coefficients of their own, not from those that the first is given.
            self.ctx.blank = self.inputs.potential
            if self.ctx.blank.mtp.trained:
                self.ctx.blank = forget(self.inputs.potential)
        trainings = {}
        for name in self.ctx.learning:
            anew = name != FIRST or not (self.ctx.potentials or self.inputs.potential.trained)
            own = {"parameters": self.ctx.committee[name]} if anew else {}
            potential = self.ctx.potentials.get(name, self.inputs.potential if name == FIRST else self.ctx.blank)
            trainings[f"training_{name}"] = self._submit(
                MlpTrainBaseWorkChain, "train", self._label("train", name), potential=potential, **own
            )
        return ToContext(**trainings)

    def _label(self, step: str, name: str) -> str:
        """Link label of what is done for a potential: `train_02`, `train_02_p3`."""
        return f"{step}_{self.iteration:02d}" + ("" if name == FIRST else f"_{name}")

    def inspect_training(self) -> ExitCode | None:
        """Take the potentials; one that needs more training steps is taken too, the next iteration goes on from it."""
        for name in self.ctx.learning:
            training = self.ctx[f"training_{name}"]
            if "potential" not in training.outputs:
                return self._fail("TRAINING", training)
            if not training.is_finished_ok:
                self.report(
                    f"iteration {self.iteration}: training of {name} ended with [{training.exit_status}]; going on "
                    "with its potential"
                )
            self.ctx.potentials[name] = training.outputs.potential
            self.ctx.learned[name] = len(self.ctx.training_sets)
        return None

    def grade(self) -> ToContext:
        """Active sets of the new potentials, and the first one's errors on the test set."""
        jobs = {}
        for name in self.ctx.learning:
            jobs[f"grading_{name}"] = self._submit(
                MlpGradeBaseWorkChain, "grade", self._label("grade", name), potential=self.ctx.potentials[name]
            )
        if "test_set" in self.inputs and FIRST in self.ctx.learning:
            inputs = self.exposed_inputs(MlpErrorsBaseWorkChain, namespace="errors")
            inputs.mlp |= {"potential": self.ctx.potentials[FIRST], "configurations": self.inputs.test_set}
            jobs["testing"] = self.submit(MlpErrorsBaseWorkChain, **named(self._label("test", FIRST), inputs))
        return ToContext(**jobs)

    def inspect_grade(self) -> ExitCode | None:
        """Take the active sets."""
        for name in self.ctx.learning:
            grading = self.ctx[f"grading_{name}"]
            if not grading.is_finished_ok:
                return self._fail("GRADE", grading)
            self.ctx.active_sets[name] = grading.outputs.active_set
        return None

    # --- explore --------------------------------------------------------------------------------------------------

    def explore(self) -> None:
        """Queue molecular dynamics with extrapolation control for every structure, temperature and replica."""
        inputs = self.inputs
        previous = {"history": self.ctx.history} if self.ctx.history else {}
        names, own = orm.List(sorted(inputs.structures)), inputs.get("explorations", {})
        potentials = orm.List(self.team)
        plan = plan_exploration(inputs.settings, inputs.exploration, names, potentials, inputs.seed, **previous, **own)
        runs = {}
        for potential in self.team:
            learned = {"potential": self.ctx.potentials[potential], "active_set": self.ctx.active_sets[potential]}
            for name, structure in inputs.structures.items():
                for temperature, replica in exploration_runs(self.ctx.settings, dict(own.get(name, {})), self.team):
                    label = exploration_label(name, temperature, replica, potential)
                    run = {"parameters": plan[f"parameters_{label}"], "seed": plan[f"seed_{label}"]}
                    runs[label] = inputs_of_run(self, structure=structure, **learned, **run)
        self.fill_queue(MdBaseWorkChain, runs)

    def inspect_exploration(self) -> ExitCode | None:
        """Collect the candidates and add a row to the learning curve; a run without results is a broken one."""
        runs = {label: run for label, run in self.ctx.children.items() if "results" in run.outputs}
        missing = [label for label in self.ctx.children if label not in runs]
        for label in missing:
            self.report(f"run {label} gave nothing: {how_it_ended(self.ctx.children[label])}")
        if len(missing) > MAX_MISSING_SHARE * len(self.ctx.children):
            return self._fail("EXPLORATION", self.ctx.children[missing[0]])
        self.ctx.candidates = {}
        for label, run in runs.items():
            for segment, node in namespace_of(run, "extrapolated").items():
                self.ctx.candidates[f"{label}_{segment}"] = node
        optional = {"history": self.ctx.history} if self.ctx.history else {}
        if "test_set" in self.inputs and self.ctx.testing.is_finished_ok:
            optional["test"] = self.ctx.testing.outputs.results
        self.ctx.history = advance(
            settings=self.inputs.settings,
            training=self.ctx[f"training_{FIRST}"].outputs.results,
            missing=orm.List(missing),
            **optional,
            **{f"md_{label}": run.outputs.results for label, run in runs.items()},
        )
        self.ctx.unexplored = False
        self.ctx.increment = ("iteration", self.explored)
        row = self.ctx.history["iterations"][-1]
        explorers = row["potentials"]
        # What a potential does not know, its own grades tell.
        self.ctx.chooser = max(explorers, key=lambda name: explorers[name]["n_broken"])
        whose = "" if list(explorers) == [FIRST] else f"of {', '.join(explorers)} "
        self.report(
            f"iteration {row['iteration']}: {row['n_broken']} of {row['n_runs']} runs {whose}ended early (gamma_break "
            f"{row['gamma_break']:g}), {row['n_extrapolated']} configurations extrapolate"
            + (f", {row['n_missing']} runs gave nothing" if row["n_missing"] else "")
            + (", converged" if self.ctx.history["converged"] else "")
        )
        if row["n_broken"] and not row["n_extrapolated"]:
            # Nothing to learn from: another iteration would end as this one.
            broken = next(run for run in self.ctx.children.values() if not run.is_finished_ok)
            return self._fail("EXPLORATION", broken, self.explored)
        return None

    # --- select and label -----------------------------------------------------------------------------------------

    def select(self) -> ToContext:
        """Choose the candidates that widen the training set most."""
        potential = self.ctx.potentials.get(self.ctx.chooser, self.inputs.potential)
        chosen_from = {"potential": potential, "candidates": self.ctx.candidates}
        label = f"select_{self.explored:02d}"
        return ToContext(selection=self._submit(MlpSelectBaseWorkChain, "select", label, **chosen_from))

    def inspect_selection(self) -> ExitCode | None:
        """Take what was selected; there may be nothing, but of what was given to be learned from."""
        if not self.ctx.selection.is_finished_ok:
            return self._fail("SELECTION", self.ctx.selection, self.explored)
        self.ctx.selected = self.ctx.selection.outputs.selected if "selected" in self.ctx.selection.outputs else None
        if self.ctx.selected is None and not self.explored:
            self._attach_outputs()
            n_given = sum(len(node) for node in self.ctx.candidates.values())
            return self.exit_codes.ERROR_NOTHING_SELECTED.format(n=n_given)
        return None

    def label(self) -> ToContext:
        """Send the selected configurations to the label engine."""
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.configurations = self.ctx.selected
        name, number = self.ctx.increment
        where = name if name == CANDIDATES else f"{name} {number}"
        self.report(f"{where}: labelling {len(self.ctx.selected)} new configurations")
        label = f"label_{MINIMA}_{number:02d}" if name == MINIMA else f"label_{self.explored:02d}"
        return ToContext(labelling=self.submit(LabelWorkChain, **named(label, inputs)))

    def inspect_labels(self) -> ExitCode | None:
        """Add the labels that came back as a new increment."""
        labelling = self.ctx.labelling
        if "configurations" not in labelling.outputs:
            if not self.ctx.n_labels or self.ctx.barren or self.ctx.increment[0] == MINIMA:
                return self._fail("LABELLING", labelling, self.explored)
            # As of a run whose atoms fell into each other between two grades: another may end where there is a label.
            self.ctx.barren = True
            self.report(f"no label came of iteration {self.explored}, exploring once more: {labelling.exit_message}")
            return None
        self.ctx.barren = False
        if not labelling.is_finished_ok:
            self.report(f"some labels failed, going on with the others: {labelling.exit_message}")
        labels = labelling.outputs.configurations
        name, number = self.ctx.increment
        self.ctx.training_sets[free_label(self.ctx.training_sets, number, name)] = labels
        self.ctx.n_labels += len(labels)
        self.ctx.unexplored = name == MINIMA
        return None

    # --- relax ----------------------------------------------------------------------------------------------------

    def should_relax(self) -> bool:
        """Whether the potentials have settled and are still to learn where they come to rest, and may."""
        self.ctx.goes_on = self.ctx.exhausted is None and self.ctx.relaxed < self.ctx.settings["n_relaxations"]
        n_cells = len(self.inputs.structures) * len(self.ctx.potentials)
        if self.ctx.goes_on and self.ctx.n_labels + n_cells > self.ctx.settings["max_labels"]:
            self.report(f"no labels are left for {n_cells} relaxed structures: `max_labels` is spent")
            self.ctx.goes_on = False
        return self.ctx.goes_on

    def relax(self) -> None:
        """Queue a relaxation of every structure with each potential."""
        self.ctx.relaxed += 1
        self.ctx.increment = (MINIMA, self.ctx.relaxed)
        shared = {"parameters": self.inputs.relaxation, "seed": self.inputs.seed}
        runs = {
            f"{structure}_{name}": inputs_of_run(self, structure=node, potential=potential, **shared)
            for structure, node in self.inputs.structures.items()
            for name, potential in sorted(self.ctx.potentials.items())
        }
        self.fill_queue(MdBaseWorkChain, runs)

    def inspect_relaxations(self) -> ExitCode | None:
        """Collect where the relaxations ended; one that came to no minimum is left out."""
        relaxed = self.ended_well("was not relaxed")
        if not relaxed:
            return self._fail("RELAXATION", next(iter(self.ctx.children.values())))
        self.ctx.selected = cells_to_label(**{label: run.outputs.structure for label, run in relaxed.items()})
        return None

    # --- end ------------------------------------------------------------------------------------------------------

    def finish(self) -> ExitCode | None:
        """Hand out what there is and say whether the loop converged."""
        self._attach_outputs()
        return self.ctx.exhausted

    def _attach_outputs(self) -> None:
        if self.ctx.potentials:
            self.out("potentials", self.ctx.potentials)
        if self.ctx.active_sets:
            self.out("active_sets", self.ctx.active_sets)
        if self.ctx.history:
            self.out("learning_curve", self.ctx.history)
        self.out("training_sets", self.ctx.training_sets)

    def _fail(self, step: str, node: orm.ProcessNode, iteration: int | None = None) -> ExitCode:
        """Hand out what there is, and name the child that failed in an iteration, the running one if not given."""
        self._attach_outputs()
        code = self.exit_codes[f"ERROR_{step}_FAILED"]
        return code.format(iteration=iteration or self.iteration, detail=how_it_ended(node))


def free_label(training_sets: Mapping[str, Any], number: int, name: str = "iteration") -> str:
    """Name of an increment; sets of an earlier loop, which may have the same names, are kept."""
    while f"{name}_{number:02d}" in training_sets:
        number += 1
    return f"{name}_{number:02d}"
