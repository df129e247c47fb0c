"""From a partially occupied crystal to its conductivity: `lpsgb.study`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.seeds import split_seed
from aiida_lpsgb.workflows.molecular_dynamics import MD_FILLED_IN
from aiida_lpsgb.workflows.protocols import ProtocolMixin

ActiveLearningWorkChain = WorkflowFactory("lpsgb.active_learning")
ArrheniusWorkChain = WorkflowFactory("lpsgb.arrhenius")
LabelWorkChain = WorkflowFactory("lpsgb.label")
MolecularDynamicsBaseWorkChain = WorkflowFactory("lpsgb.md.base")
ValidateWorkChain = WorkflowFactory("lpsgb.validate")
make_start_set = CalculationFactory("lpsgb.start_set")
make_supercell = CalculationFactory("lpsgb.supercell")
order = CalculationFactory("lpsgb.order")
untrained_potential = CalculationFactory("lpsgb.potential.untrained")

SUPERCELLS = ("exploration", "sweep", "validation")


class StudyWorkChain(ProtocolMixin):
    """Order the crystal, learn a potential for it, run it at several temperatures, and test the potential."""

    WHOLE_ENTRIES = (*ProtocolMixin.WHOLE_ENTRIES, "charges", *SUPERCELLS)
    OPEN_ENTRIES = ("ordering", "start_set", "potential", "active_learning", "arrhenius", "validate")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input(
            "crystal",
            valid_type=(orm.CifData, orm.StructureData),
            help="The crystal; partially occupied sites are ordered first.",
        )
        spec.input("seed", valid_type=orm.Int, help="The seed that all other seeds of the study derive from.")
        spec.input("n_replicas", valid_type=orm.Int, default=lambda: orm.Int(1), help="Replicas of the sweep's runs.")
        spec.input("ordering", valid_type=orm.Dict, help="Parameters of `lpsgb.order`.")
        spec.input("start_set", valid_type=orm.Dict, help="Parameters of `lpsgb.start_set`.")
        spec.input("potential", valid_type=orm.Dict, help="Parameters of `lpsgb.potential.untrained`.")
        spec.input_namespace("supercells", help="Parameters of `lpsgb.supercell` for the runs of each part.")
        for name in SUPERCELLS:
            spec.input(f"supercells.{name}", valid_type=orm.Dict, help=f"Cell of the {name} runs.")
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("configurations",))
        spec.expose_inputs(MolecularDynamicsBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.expose_inputs(
            ActiveLearningWorkChain,
            namespace="active_learning",
            exclude=("potential", "training_sets", "structures", "seed", "label", "md", "test_set"),
        )
        spec.expose_inputs(ArrheniusWorkChain, namespace="arrhenius", exclude=("structure", "potential", "seeds", "md"))
        spec.expose_inputs(
            ValidateWorkChain,
            namespace="validate",
            exclude=("structure", "potential", "seeds", "md", "label", "errors"),
        )

        spec.outline(
            cls.build_structures,
            cls.label_start_set,
            cls.learn,
            cls.inspect_learning,
            cls.sweep,
            cls.inspect_sweep,
            cls.validate_potential,
            cls.inspect_validation,
        )

        spec.output("structure", valid_type=orm.StructureData, help="The ordered crystal.")
        spec.expose_outputs(ActiveLearningWorkChain)
        spec.expose_outputs(ArrheniusWorkChain)
        spec.output("test_set", valid_type=orm.Data, required=False, help="Labelled frames that were never trained on.")
        spec.output("test_errors", valid_type=orm.Dict, required=False, help="Errors of the potential on them.")
        spec.exit_code(401, "ERROR_LABELLING_FAILED", message="The start set could not be labelled: {detail}")
        spec.exit_code(402, "ERROR_LEARNING_FAILED", message="Active learning did not converge: {detail}")
        spec.exit_code(403, "ERROR_SWEEP_FAILED", message="The temperature sweep failed: {detail}")
        spec.exit_code(404, "ERROR_VALIDATION_FAILED", message="The potential could not be tested: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        *,
        mlp_code: orm.AbstractCode,
        md_code: orm.AbstractCode,
        label_code: orm.AbstractCode,
        crystal: orm.CifData | orm.StructureData,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        seed: orm.Int | None = None,
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        mlp_code, md_code, label_code
            `lpsgb-mlp` or MLIP-2's `mlp`; LAMMPS; the ASE labeller.
        crystal
            The crystal, partial occupancies allowed.
        protocol
            `fast`, `moderate` (default) or `paper`.
        overrides
            Replacements for entries of the protocol; `active_learning`, `arrhenius` and `validate` take those of
            their own protocols. Unknown keys are refused.
        seed
            Seed of the study; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.get_builder()
        builder.crystal = crystal
        builder.seed = seed or cls.draw_seed()
        for name in ("ordering", "start_set", "potential"):
            builder[name] = orm.Dict(values[name])
        for name in SUPERCELLS:
            builder.supercells[name] = orm.Dict(values["supercells"][name])
        builder.label.engine.ase.code = label_code
        builder.label.engine.ase.parameters = orm.Dict(values["label"])
        builder.label.engine.ase.metadata.options = values["options"]
        builder.md.md.code = md_code
        builder.md.md.metadata.options = values["options"]

        learning = ActiveLearningWorkChain.get_protocol_inputs(protocol, values["active_learning"])
        builder.active_learning.settings = orm.Dict(learning["settings"])
        builder.active_learning.exploration = orm.Dict(learning["exploration"])
        builder.active_learning.max_concurrent = orm.Int(learning["max_concurrent"])
        builder.active_learning.train.parameters = orm.Dict(learning["training"])
        builder.active_learning.grade.parameters = orm.Dict(learning["grading"])
        builder.active_learning.select.parameters = orm.Dict(learning["selection"])
        for name in ("train", "grade", "select", "errors"):
            builder.active_learning[name].code = mlp_code
            builder.active_learning[name].metadata.options = values["options"]

        sweep = ArrheniusWorkChain.get_protocol_inputs(protocol, values["arrhenius"])
        builder.n_replicas = orm.Int(sweep["n_replicas"])
        builder.arrhenius.temperatures = orm.List(sweep["temperatures_K"])
        builder.arrhenius.parameters = orm.Dict(sweep["parameters"])
        builder.arrhenius.diffusivity_parameters = orm.Dict(sweep["diffusivity"])
        builder.arrhenius.speciation_parameters = orm.Dict(sweep["speciation"])
        builder.arrhenius.max_concurrent = orm.Int(sweep["max_concurrent"])

        validation = ValidateWorkChain.get_protocol_inputs(protocol, values["validate"])
        builder.validate.temperatures = orm.List(validation["temperatures_K"])
        builder.validate.parameters = orm.Dict(validation["parameters"])
        builder.validate.settings = orm.Dict({"n_frames": validation["n_frames"]})
        builder.validate.max_concurrent = orm.Int(validation["max_concurrent"])
        return builder

    def build_structures(self) -> None:
        """Order the crystal and repeat it for every part of the study."""
        self.ctx.seeds = split_seed(self.inputs.seed, self.inputs.n_replicas)
        ordered = order(self.inputs.crystal, self.inputs.ordering, self.ctx.seeds["ordering"])
        candidates = {"best": ordered["structure"], **ordered.get("others", {})}
        self.ctx.start_set = make_start_set(self.inputs.start_set, self.ctx.seeds["start_set"], **candidates)
        self.ctx.potential = untrained_potential(self.inputs.potential, self.ctx.seeds["potential"])
        cells = self.inputs.supercells
        self.ctx.exploration_cells = {
            name: make_supercell(structure, cells.exploration) for name, structure in candidates.items()
        }
        self.ctx.sweep_cell = make_supercell(ordered["structure"], cells.sweep)
        self.ctx.validation_cell = make_supercell(ordered["structure"], cells.validation)
        self.out("structure", ordered["structure"])
        self.report(
            f"{len(candidates)} ordered structures of {ordered['structure'].get_formula()}, "
            f"{len(self.ctx.start_set)} configurations to start with"
        )

    def label_start_set(self) -> ToContext:
        """Label the strained and rattled configurations."""
        inputs = AttributeDict(self.exposed_inputs(LabelWorkChain, namespace="label"))
        inputs.configurations = self.ctx.start_set
        return ToContext(labelling=self.submit(LabelWorkChain, **inputs))

    def learn(self) -> ExitCode | ToContext:
        """Learn the potential actively."""
        if "configurations" not in self.ctx.labelling.outputs:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=how_it_ended(self.ctx.labelling))
        inputs = AttributeDict(self.exposed_inputs(ActiveLearningWorkChain, namespace="active_learning"))
        inputs.potential = self.ctx.potential
        inputs.training_sets = {"start": self.ctx.labelling.outputs.configurations}
        inputs.structures = self.ctx.exploration_cells
        inputs.seed = self.ctx.seeds["exploration"]
        inputs.label = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.md = self.exposed_inputs(MolecularDynamicsBaseWorkChain, namespace="md")
        return ToContext(learning=self.submit(ActiveLearningWorkChain, **inputs))

    def inspect_learning(self) -> ExitCode | None:
        """Hand on what was learned."""
        self.out_many(self.exposed_outputs(self.ctx.learning, ActiveLearningWorkChain))
        if not self.ctx.learning.is_finished_ok:
            return self.exit_codes.ERROR_LEARNING_FAILED.format(detail=how_it_ended(self.ctx.learning))
        return None

    def sweep(self) -> ToContext:
        """Run the crystal at several temperatures."""
        inputs = AttributeDict(self.exposed_inputs(ArrheniusWorkChain, namespace="arrhenius"))
        inputs.structure = self.ctx.sweep_cell
        inputs.potential = self.ctx.learning.outputs.potential
        inputs.seeds = self.ctx.seeds["sweep"]
        inputs.md = self.exposed_inputs(MolecularDynamicsBaseWorkChain, namespace="md")
        return ToContext(sweep=self.submit(ArrheniusWorkChain, **inputs))

    def inspect_sweep(self) -> ExitCode | None:
        """Hand on diffusivities and fit."""
        self.out_many(self.exposed_outputs(self.ctx.sweep, ArrheniusWorkChain))
        if not self.ctx.sweep.is_finished_ok:
            return self.exit_codes.ERROR_SWEEP_FAILED.format(detail=how_it_ended(self.ctx.sweep))
        return None

    def validate_potential(self) -> ToContext:
        """Compare with the label engine at the temperatures of the sweep."""
        inputs = AttributeDict(self.exposed_inputs(ValidateWorkChain, namespace="validate"))
        inputs.structure = self.ctx.validation_cell
        inputs.potential = self.ctx.learning.outputs.potential
        inputs.seeds = self.ctx.seeds["validation"]
        inputs.label = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.md = self.exposed_inputs(MolecularDynamicsBaseWorkChain, namespace="md")
        inputs.errors = self.inputs.active_learning.errors
        return ToContext(validation=self.submit(ValidateWorkChain, **inputs))

    def inspect_validation(self) -> ExitCode | None:
        """Hand on the test set and the errors."""
        validation = self.ctx.validation
        if "test_set" in validation.outputs:
            self.out("test_set", validation.outputs.test_set)
        if not validation.is_finished_ok:
            return self.exit_codes.ERROR_VALIDATION_FAILED.format(detail=how_it_ended(validation))
        self.out("test_errors", validation.outputs.errors)
        return None


def how_it_ended(node: orm.ProcessNode) -> str:
    """Name, exit status and message of a process."""
    return f"{node.process_label}<{node.pk}> [{node.exit_status}] {node.exit_message}"
