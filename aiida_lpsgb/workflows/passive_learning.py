"""Choose level and cut-off of a potential on labels at hand: `lpsgb.passive_learning`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.passive_learning import SETTINGS, fold_sizes, grid_points, settings_error
from aiida_lpsgb.calculations.md_parameters import parameters_error
from aiida_lpsgb.workflows.md import MD_FILLED_IN, inputs_of_run
from aiida_lpsgb.workflows.outputs import RefusedError, how_it_ended, made_by
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job
from aiida_lpsgb.workflows.queue import QueueMixin

MlpTrainBaseWorkChain = WorkflowFactory("lpsgb.mlp.train.base")
MlpPredictBaseWorkChain = WorkflowFactory("lpsgb.mlp.predict.base")
MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
ConfigurationsData = DataFactory("lpsgb.configurations")
choose_potential = CalculationFactory("lpsgb.passive.choose")
derive_seeds = CalculationFactory("lpsgb.derive_seeds")
make_supercell = CalculationFactory("lpsgb.supercell")
plan_grid = CalculationFactory("lpsgb.passive.plan")
split_validation = CalculationFactory("lpsgb.passive.split")
untrained_potential = CalculationFactory("lpsgb.potential.untrained")

TRAIN, PREDICT, RUN = "train_", "predict_", "run_"


class PassiveLearningWorkChain(ProtocolMixin, QueueMixin):
    """Train a potential at every point of a grid of levels and cut-offs, and choose by errors and cost.

    Errors are those on configurations that were held back; the cost is what a step of molecular dynamics takes. The
    runs that measure it follow the trainings, one after the other, so that none slows another down.
    """

    OPEN_ENTRIES = ("potential", "training", "cell", "cost")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        cls._define_inputs(spec)
        spec.outline(
            cls.queue_trainings,
            while_(cls.queue_waits)(cls.run_queue),
            cls.queue_runs,
            while_(cls.queue_waits)(cls.run_queue),
            cls.choose,
        )
        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_inputs(cls, spec: ProcessSpec) -> None:
        spec.input_namespace(
            "training_sets",
            dynamic=True,
            valid_type=ConfigurationsData,
            help="Labelled configurations, part of which is held back.",
        )
        spec.input(
            "structure",
            valid_type=orm.StructureData,
            help="Fully occupied structure whose dynamics the cost is measured on.",
        )
        spec.input(
            "potential",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.potential.untrained`; level and cut-off are those of the grid.",
        )
        text = "; ".join(f"`{key}`: {meaning}" for key, meaning in SETTINGS.items())
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=lambda node, _: settings_error(node.get_dict()),
            help=f"The grid and the choice. {text}.",
        )
        spec.input(
            "seed", valid_type=orm.Int, help="Seed of the split and of the coefficients that trainings begin with."
        )
        spec.input(
            "cell", valid_type=orm.Dict, help="Parameters of `lpsgb.supercell` for the runs that measure the cost."
        )
        spec.input(
            "cost",
            valid_type=orm.Dict,
            validator=lambda node, _: parameters_error(node.get_dict()),
            help="Parameters of `lpsgb.md` for these runs. The fastest of several stages counts.",
        )
        cls.limit_queue(spec, "Trainings")
        spec.expose_inputs(
            MlpTrainBaseWorkChain,
            namespace="train",
            exclude=("mlp.potential", "mlp.training_sets", "mlp.validation_set"),
        )
        spec.expose_inputs(
            MlpPredictBaseWorkChain, namespace="predict", exclude=("mlp.potential", "mlp.configurations")
        )
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.inputs.validator = validate_inputs

    @classmethod
    def _define_outputs(cls, spec: ProcessSpec) -> None:
        spec.output(
            "grid",
            valid_type=orm.Dict,
            required=False,
            help="Errors, cost and standing of every point, and why the choice was made.",
        )
        spec.output(
            "parameters",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.potential.untrained` with the level and cut-off that were chosen.",
        )
        spec.output(
            "potential",
            valid_type=orm.Data,
            required=False,
            help="The chosen potential, trained on all but the configurations that were held back (of the first fold).",
        )
        spec.output_namespace(
            "validation_sets", valid_type=ConfigurationsData, help="What was held back, such as `fold_0`."
        )

    @classmethod
    def _define_exit_codes(cls, spec: ProcessSpec) -> None:
        spec.exit_code(401, "ERROR_NO_POINT", message="No point of the grid has both errors and a cost: {detail}")
        spec.exit_code(
            402,
            "ERROR_SOME_POINTS_FAILED",
            message="{n} of {total} points have no errors or no cost; the choice is among the others: {detail}",
        )
        spec.exit_code(403, "ERROR_TARGET_NOT_REACHED", message="{detail}")
        spec.exit_code(404, "ERROR_CELL", message="The cell that the cost is measured in cannot be made: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        training_sets: Mapping[str, orm.Data] | None = None,
        structure: orm.StructureData | None = None,
        *,
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
            By role: `mlp` (`lpsgb-mlp`), `md` (LAMMPS); see `load_codes`.
        training_sets, structure
            Labelled configurations by name, and what is run to measure the cost; left out where a parent fills them in.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the roles of `options` are `train`, `select` (predictions) and `md`.
        seed
            Seed of the split and of the trainings; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, training_sets=training_sets, structure=structure)
        if training_sets is not None:
            species = sorted({symbol for node in training_sets.values() for symbol in node.species})
            builder.potential = orm.Dict({"species": species, **values["potential"]})
        for name in ("settings", "cell", "cost"):
            builder[name] = orm.Dict(values[name])
        builder.seed = seed or cls.draw_seed()
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        fill_job(builder.train.mlp, codes, values, "mlp", "train")
        fill_job(builder.predict.mlp, codes, values, "mlp", "select")
        fill_job(builder.md.md, codes, values, "md")
        builder.train.mlp.parameters = orm.Dict(values["training"])
        return cls.checked(builder)

    # --- trainings ------------------------------------------------------------------------------------------------

    def queue_trainings(self) -> ExitCode | None:
        """Hold a part back and queue a training at every point, for every fold, the large ones first."""
        self.ctx.points = list(grid_points(self.inputs.settings.get_dict()))
        self.ctx.folds = list(range(self.inputs.settings["n_folds"]))
        try:
            self.ctx.cell = made_by(make_supercell, self.inputs.structure, self.inputs.cell)
        except RefusedError as error:
            return self.exit_codes.ERROR_CELL.format(detail=error)
        training = self.inputs.train.mlp.get("parameters", orm.Dict())
        self.ctx.parts = dict(split_validation(self.inputs.settings, self.inputs.seed, **self.inputs.training_sets))
        plan = plan_grid(self.inputs.potential, training, self.inputs.settings, self.inputs.seed)
        self.ctx.predicted, self.ctx.failed = {}, {}
        self.open_queue()
        for label in reversed(self.ctx.points):
            potential = untrained_potential(plan[f"potential_{label}"])
            for fold in self.ctx.folds:
                inputs = self.exposed_inputs(MlpTrainBaseWorkChain, namespace="train")
                inputs.mlp.potential = potential
                inputs.mlp.training_sets = {"training": self.ctx.parts[f"training_{fold}"]}
                inputs.mlp.parameters = plan[f"training_{label}_{fold}"]
                self.enqueue(f"{TRAIN}{label}_{fold}", MlpTrainBaseWorkChain, inputs)
        held_back = sum(len(self.ctx.parts[f"validation_{fold}"]) for fold in self.ctx.folds)
        self.report(f"{len(self.ctx.children)} trainings at {len(self.ctx.points)} points, {held_back} held back")
        return None

    def child_ended(self, label: str, node: orm.ProcessNode) -> None:
        """Predict what was held back, once a potential is trained."""
        if label.startswith(RUN):
            return
        name = label.removeprefix(TRAIN).removeprefix(PREDICT)
        if not node.is_finished_ok:
            self.ctx.failed.setdefault(name.rpartition("_")[0], how_it_ended(node))
        elif label.startswith(TRAIN):
            inputs = self.exposed_inputs(MlpPredictBaseWorkChain, namespace="predict")
            inputs.mlp.potential = node.outputs.potential
            inputs.mlp.configurations = self.ctx.parts[f"validation_{name.rpartition('_')[2]}"]
            self.enqueue(PREDICT + name, MlpPredictBaseWorkChain, inputs)
        else:
            self.ctx.predicted[f"predicted_{name}"] = node.outputs.configurations

    # --- costs ----------------------------------------------------------------------------------------------------

    def queue_runs(self) -> None:
        """Queue a short run with a potential of every point, one at a time."""
        self.ctx.trained = {
            label: self.ctx.children[f"{TRAIN}{label}_0"].outputs.potential
            for label in self.ctx.points
            if label not in self.ctx.failed
        }
        seed = derive_seeds(self.inputs.seed, orm.List(["cost"]))["cost"]
        shared = {"structure": self.ctx.cell, "parameters": self.inputs.cost, "seed": seed}
        self.open_queue(1)
        for label, potential in self.ctx.trained.items():
            self.enqueue(RUN + label, MdBaseWorkChain, inputs_of_run(self, potential=potential, **shared))

    # --- choice ---------------------------------------------------------------------------------------------------

    def choose(self) -> ExitCode | None:
        """Choose among the points that have everything."""
        timings = {}
        for label in self.ctx.trained:
            run = self.ctx.children[RUN + label]
            if run.is_finished_ok and "timing" in run.outputs:
                timings[f"timing_{label}"] = run.outputs.timing
            else:
                self.ctx.failed[label] = how_it_ended(run)
        held_back = {name: node for name, node in self.ctx.parts.items() if name.startswith("validation_")}
        for fold in self.ctx.folds:
            self.out(f"validation_sets.fold_{fold}", held_back[f"validation_{fold}"])
        detail = "; ".join(f"{label}: {end}" for label, end in self.ctx.failed.items())
        if not timings:
            return self.exit_codes.ERROR_NO_POINT.format(detail=detail)
        found = choose_potential(
            self.inputs.potential, self.inputs.settings, **held_back, **self.ctx.predicted, **timings
        )
        self.out("grid", found["grid"])
        self.report(found["grid"]["reason"])
        if "parameters" not in found:
            return self.exit_codes.ERROR_TARGET_NOT_REACHED.format(detail=found["grid"]["reason"])
        self.out("parameters", found["parameters"])
        chosen = next(point["name"] for point in found["grid"]["points"] if point["chosen"])
        self.out("potential", self.ctx.trained[chosen])
        if self.ctx.failed:
            n = len(self.ctx.failed)
            return self.exit_codes.ERROR_SOME_POINTS_FAILED.format(n=n, total=len(self.ctx.points), detail=detail)
        return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """There must be enough labels of one level of theory, and a structure and species that fit them."""
    structure, sets = inputs.get("structure"), inputs.get("training_sets") or {}
    species = inputs["potential"].get_dict().get("species", []) if "potential" in inputs else None
    if structure is not None:
        if message := validation.structure_error(structure, "structure"):
            return message
        if species is not None and (missing := sorted(set(structure.get_symbols_set()) - set(species))):
            return f"potential: species is {species} and lacks {missing}, which the structure contains"
    for name, node in sets.items():
        if not node.labelled:
            return f"training_sets.{name}: some configurations lack energy or forces; label them first"
        if species is not None and (missing := sorted(set(node.elements) - set(species))):
            return f"training_sets.{name}: contains {missing}, which the species of `potential` lack"
    if not sets:
        return None  # the port itself complains where it is not filled in later
    labels = validation.levels_error((f"training_sets.{name}", node) for name, node in sets.items())
    return labels or held_back_error(sets, inputs["settings"].get_dict())


def held_back_error(sets: Mapping[str, orm.Data], settings: Mapping[str, Any]) -> str | None:
    """What is held back must be enough, and have what potentials are to be chosen by."""
    without = [name for name, node in sets.items() if not node.base.attributes.get("has_stress")]
    if settings["error"].startswith("stress") and without:
        return f"training_sets.{without[0]}: has no stresses, by whose errors `settings` wants to choose"
    try:
        fold_sizes(sum(len(node) for node in sets.values()), settings)
    except ValueError as error:
        return f"training_sets: {error}"
    return None
