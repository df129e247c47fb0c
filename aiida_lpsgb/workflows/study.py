"""From a partially occupied crystal to its conductivity, and that of one of its grain boundaries: `lpsgb.study`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.seeds import split_seed
from aiida_lpsgb.calculations.functions.structures import boundary_request_error
from aiida_lpsgb.workflows.characterise import TOPOLOGY, named_species
from aiida_lpsgb.workflows.md import MD_FILLED_IN
from aiida_lpsgb.workflows.outputs import flattened
from aiida_lpsgb.workflows.protocols import ProtocolMixin

ActiveLearningWorkChain = WorkflowFactory("lpsgb.active_learning")
ArrheniusWorkChain = WorkflowFactory("lpsgb.arrhenius")
CharacteriseWorkChain = WorkflowFactory("lpsgb.characterise")
GrainBoundaryWorkChain = WorkflowFactory("lpsgb.grain_boundary")
LabelWorkChain = WorkflowFactory("lpsgb.label")
MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
ValidateWorkChain = WorkflowFactory("lpsgb.validate")
bicrystal = CalculationFactory("lpsgb.bicrystal")
make_start_set = CalculationFactory("lpsgb.start_set")
make_supercell = CalculationFactory("lpsgb.supercell")
order = CalculationFactory("lpsgb.order")
restrict_to_boundary = CalculationFactory("lpsgb.restrict_to_boundary")
untrained_potential = CalculationFactory("lpsgb.potential.untrained")

SUPERCELLS = ("exploration", "sweep", "validation")
OPTIONAL = {"required": False, "populate_defaults": False}


class StudyWorkChain(ProtocolMixin):
    """Order the crystal, learn a potential for it, run it at several temperatures, test the potential, look closer.

    With a boundary asked for, a small bicrystal is learned too, and a relaxed larger one is run like the crystal.
    """

    WHOLE_ENTRIES = (*ProtocolMixin.WHOLE_ENTRIES, "charges", *SUPERCELLS)
    OPEN_ENTRIES = (
        "ordering",
        "start_set",
        "potential",
        "active_learning",
        "arrhenius",
        "validate",
        "boundary",
        "grain_boundary",
        "regions",
        "characterise",
    )

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
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.expose_inputs(
            ActiveLearningWorkChain,
            namespace="active_learning",
            exclude=("potential", "training_sets", "structures", "seed", "label", "md", "test_set"),
        )
        spec.expose_inputs(
            ArrheniusWorkChain,
            namespace="arrhenius",
            exclude=("structure", "potential", "seeds", "md", "region_parameters"),
        )
        spec.input(
            "boundary",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.bicrystal` of a small cell, for start set and exploration; goes with "
            "`grain_boundary`. Indices refer to the cell of the crystal.",
        )
        spec.expose_inputs(
            GrainBoundaryWorkChain,
            namespace="grain_boundary",
            exclude=("structure", "potential", "seed", "md"),
            namespace_options=OPTIONAL | {"help": "The bicrystal that is relaxed and then run like the crystal."},
        )
        spec.input(
            "regions",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.region_diffusivity` for the runs of the boundary; its regions are filled in.",
        )
        spec.input(
            "structural_run",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.md` of the run that `characterise` looks at; goes with it.",
        )
        spec.expose_inputs(
            CharacteriseWorkChain,
            namespace="characterise",
            exclude=("trajectory",),
            namespace_options=OPTIONAL | {"help": "Analyses of the crystal (and of the boundary's region)."},
        )
        spec.expose_inputs(
            ValidateWorkChain,
            namespace="validate",
            exclude=("structure", "potential", "seeds", "md", "label", "errors"),
        )

        spec.inputs.validator = validate_inputs

        spec.outline(
            cls.build_structures,
            cls.label_start_set,
            cls.learn,
            cls.inspect_learning,
            if_(cls.has_boundary)(cls.relax_boundary, cls.inspect_boundary),
            cls.sweep,
            cls.inspect_sweep,
            if_(cls.has_boundary)(cls.sweep_boundary, cls.inspect_boundary_sweep),
            cls.validate_potential,
            cls.inspect_validation,
            if_(cls.wants_characterisation)(cls.run_structures, cls.characterise, cls.inspect_characterisation),
        )

        spec.output("structure", valid_type=orm.StructureData, help="The ordered crystal.")
        spec.expose_outputs(ActiveLearningWorkChain)
        spec.expose_outputs(ArrheniusWorkChain, exclude=("regions", "regional_arrhenius"))
        spec.expose_outputs(GrainBoundaryWorkChain, namespace="grain_boundary", namespace_options={"required": False})
        spec.expose_outputs(ArrheniusWorkChain, namespace="boundary", namespace_options={"required": False})
        for name in ("crystal", "boundary"):
            spec.expose_outputs(
                CharacteriseWorkChain, namespace=f"characterisation.{name}", namespace_options={"required": False}
            )
        spec.output("test_set", valid_type=orm.Data, required=False, help="Labelled frames that were never trained on.")
        spec.output("test_errors", valid_type=orm.Dict, required=False, help="Errors of the potential on them.")
        spec.exit_code(401, "ERROR_LABELLING_FAILED", message="The start set could not be labelled: {detail}")
        spec.exit_code(402, "ERROR_LEARNING_FAILED", message="Active learning did not converge: {detail}")
        spec.exit_code(403, "ERROR_SWEEP_FAILED", message="The temperature sweep failed: {detail}")
        spec.exit_code(404, "ERROR_VALIDATION_FAILED", message="The potential could not be tested: {detail}")
        spec.exit_code(405, "ERROR_BOUNDARY_FAILED", message="The grain boundary could not be relaxed: {detail}")
        spec.exit_code(406, "ERROR_BOUNDARY_SWEEP_FAILED", message="The boundary's sweep failed: {detail}")
        spec.exit_code(407, "ERROR_CHARACTERISATION_FAILED", message="Not all analyses could be made: {detail}")

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
        boundary: Mapping[str, Any] | None = None,
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
            Replacements for entries of the protocol; `active_learning`, `arrhenius`, `validate`, `grain_boundary` and
            `characterise` take those of their own protocols. Unknown keys are refused.
        boundary
            `axis` and `plane` of a grain boundary to learn and run beside the crystal, and whatever else of
            `lpsgb.bicrystal` names it (`kind`, `convention`, `sigma` …).
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
        builder.active_learning.train.mlp.parameters = orm.Dict(learning["training"])
        builder.active_learning.grade.mlp.parameters = orm.Dict(learning["grading"])
        builder.active_learning.select.mlp.parameters = orm.Dict(learning["selection"])
        for name in ("train", "grade", "select", "errors"):
            builder.active_learning[name].mlp.code = mlp_code
            builder.active_learning[name].mlp.metadata.options = values["options"]

        sweep = ArrheniusWorkChain.get_protocol_inputs(protocol, values["arrhenius"])
        builder.n_replicas = orm.Int(sweep["n_replicas"])
        builder.arrhenius.temperatures = orm.List(sweep["temperatures_K"])
        builder.arrhenius.parameters = orm.Dict(sweep["parameters"])
        builder.arrhenius.diffusivity_parameters = orm.Dict(sweep["diffusivity"])
        builder.arrhenius.speciation_parameters = orm.Dict(sweep["speciation"])
        builder.arrhenius.max_concurrent = orm.Int(sweep["max_concurrent"])

        mobile = {key: sweep["diffusivity"][key] for key in ("species", "charge")}
        if boundary is not None:
            relaxation = GrainBoundaryWorkChain.get_protocol_inputs(protocol, values["grain_boundary"])
            builder.boundary = orm.Dict(values["boundary"] | dict(boundary))
            builder.regions = orm.Dict(mobile | values["regions"])
            builder.grain_boundary.boundary = orm.Dict(relaxation["boundary"] | dict(boundary))
            for name in ("rattle", "bulk", "relaxation"):
                builder.grain_boundary[name] = orm.Dict(relaxation[name])
            builder.grain_boundary.max_concurrent = orm.Int(relaxation["max_concurrent"])

        builder.structural_run = orm.Dict(values["structural_run"])
        analyses = CharacteriseWorkChain.get_analyses(
            protocol, {"mobile": mobile, **values["characterise"]}, by_region=boundary is not None
        )
        for name, parameters in analyses.items():
            set_nested(builder.characterise, name, orm.Dict(parameters))

        validation = ValidateWorkChain.get_protocol_inputs(protocol, values["validate"])
        builder.validate.temperatures = orm.List(validation["temperatures_K"])
        builder.validate.parameters = orm.Dict(validation["parameters"])
        builder.validate.settings = orm.Dict({"n_frames": validation["n_frames"]})
        builder.validate.max_concurrent = orm.Int(validation["max_concurrent"])
        return builder

    def has_boundary(self) -> bool:
        """Whether a grain boundary was asked for."""
        return "boundary" in self.inputs

    def wants_characterisation(self) -> bool:
        """Whether structure, topology and disorder are to be analysed."""
        return "structural_run" in self.inputs

    def build_structures(self) -> None:
        """Order the crystal, cut the bicrystal, and repeat them for every part of the study."""
        self.ctx.seeds = split_seed(self.inputs.seed, self.inputs.n_replicas)
        ordered = order(self.inputs.crystal, self.inputs.ordering, self.ctx.seeds["ordering"])
        self.ctx.crystal = ordered["structure"]
        candidates = {"best": self.ctx.crystal, **ordered.get("others", {})}
        cells = self.inputs.supercells
        self.ctx.exploration_cells = {
            name: make_supercell(structure, cells.exploration) for name, structure in candidates.items()
        }
        if self.has_boundary():
            candidates["boundary"] = bicrystal(self.ctx.crystal, self.inputs.boundary)["structure"]
            self.ctx.exploration_cells["boundary"] = candidates["boundary"]
        self.ctx.start_set = make_start_set(self.inputs.start_set, self.ctx.seeds["start_set"], **candidates)
        self.ctx.potential = untrained_potential(self.inputs.potential, self.ctx.seeds["potential"])
        self.ctx.sweep_cell = make_supercell(self.ctx.crystal, cells.sweep)
        self.ctx.validation_cell = make_supercell(self.ctx.crystal, cells.validation)
        self.out("structure", self.ctx.crystal)
        formula = self.ctx.crystal.get_formula()
        self.report(
            f"{len(candidates)} structures of {formula}: {', '.join(candidates)}; "
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
        inputs.md = self.exposed_inputs(MdBaseWorkChain, namespace="md")
        return ToContext(learning=self.submit(ActiveLearningWorkChain, **inputs))

    def inspect_learning(self) -> ExitCode | None:
        """Hand on what was learned."""
        self.out_many(self.exposed_outputs(self.ctx.learning, ActiveLearningWorkChain))
        if not self.ctx.learning.is_finished_ok:
            return self.exit_codes.ERROR_LEARNING_FAILED.format(detail=how_it_ended(self.ctx.learning))
        return None

    def relax_boundary(self) -> ToContext:
        """Build the bicrystal from the relaxed crystal and relax it."""
        inputs = AttributeDict(self.exposed_inputs(GrainBoundaryWorkChain, namespace="grain_boundary"))
        inputs.structure = self.ctx.crystal
        inputs.potential = self.ctx.learning.outputs.potential
        inputs.seed = self.ctx.seeds["grain_boundary"]
        inputs.md = self.exposed_inputs(MdBaseWorkChain, namespace="md")
        return ToContext(relaxation=self.submit(GrainBoundaryWorkChain, **inputs))

    def inspect_boundary(self) -> ExitCode | None:
        """Hand on the boundary and its energy."""
        relaxation = self.ctx.relaxation
        self.out_many(self.exposed_outputs(relaxation, GrainBoundaryWorkChain, namespace="grain_boundary"))
        if not relaxation.is_finished_ok:
            return self.exit_codes.ERROR_BOUNDARY_FAILED.format(detail=how_it_ended(relaxation))
        return None

    def sweep(self) -> ToContext:
        """Run the crystal at several temperatures."""
        inputs = self._sweep_inputs(self.ctx.sweep_cell, "sweep")
        return ToContext(sweep=self.submit(ArrheniusWorkChain, **inputs))

    def inspect_sweep(self) -> ExitCode | None:
        """Hand on diffusivities and fit."""
        self.out_many(self.exposed_outputs(self.ctx.sweep, ArrheniusWorkChain))
        if not self.ctx.sweep.is_finished_ok:
            return self.exit_codes.ERROR_SWEEP_FAILED.format(detail=how_it_ended(self.ctx.sweep))
        return None

    def sweep_boundary(self) -> ToContext:
        """Run the relaxed bicrystal at the same temperatures, and resolve its diffusion by region."""
        relaxed = self.ctx.relaxation.outputs
        inputs = self._sweep_inputs(relaxed.structure, "boundary_sweep")
        if "regions" in self.inputs:
            restricted = restrict_to_boundary(relaxed.results, regions=self.inputs.regions)
            inputs.region_parameters = restricted["regions"]
        return ToContext(boundary_sweep=self.submit(ArrheniusWorkChain, **inputs))

    def inspect_boundary_sweep(self) -> ExitCode | None:
        """Hand on the boundary's diffusivities and fits."""
        sweep = self.ctx.boundary_sweep
        self.out_many(self.exposed_outputs(sweep, ArrheniusWorkChain, namespace="boundary"))
        if not sweep.is_finished_ok:
            return self.exit_codes.ERROR_BOUNDARY_SWEEP_FAILED.format(detail=how_it_ended(sweep))
        return None

    def _sweep_inputs(self, structure: orm.StructureData, seeds: str) -> AttributeDict:
        inputs = AttributeDict(self.exposed_inputs(ArrheniusWorkChain, namespace="arrhenius"))
        inputs.structure = structure
        inputs.potential = self.ctx.learning.outputs.potential
        inputs.seeds = self.ctx.seeds[seeds]
        inputs.md = self.exposed_inputs(MdBaseWorkChain, namespace="md")
        return inputs

    def validate_potential(self) -> ToContext:
        """Compare with the label engine at the temperatures of the sweep."""
        inputs = AttributeDict(self.exposed_inputs(ValidateWorkChain, namespace="validate"))
        inputs.structure = self.ctx.validation_cell
        inputs.potential = self.ctx.learning.outputs.potential
        inputs.seeds = self.ctx.seeds["validation"]
        inputs.label = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.md = self.exposed_inputs(MdBaseWorkChain, namespace="md")
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

    def run_structures(self) -> ToContext:
        """Run the crystal, and the boundary if there is one, for the analyses."""
        structures = {"crystal": self.ctx.sweep_cell}
        if self.has_boundary():
            structures["boundary"] = self.ctx.relaxation.outputs.structure
        runs = {}
        for name, structure in structures.items():
            inputs = AttributeDict(self.exposed_inputs(MdBaseWorkChain, namespace="md"))
            inputs.md.structure = structure
            inputs.md.potential = self.ctx.learning.outputs.potential
            inputs.md.parameters = self.inputs.structural_run
            inputs.md.seed = self.ctx.seeds["structural"]
            inputs.setdefault("metadata", {})["call_link_label"] = f"structural_run_{name}"
            runs[f"structural_{name}"] = self.submit(MdBaseWorkChain, **inputs)
        return ToContext(**runs)

    def characterise(self) -> ExitCode | ToContext:
        """Analyse the runs, that of a boundary within its region."""
        characterisations = {}
        for name in ("crystal", "boundary"):
            run = self.ctx.get(f"structural_{name}")
            if run is None:
                continue
            if not run.is_finished_ok:
                return self.exit_codes.ERROR_CHARACTERISATION_FAILED.format(detail=how_it_ended(run))
            inputs = AttributeDict(self.exposed_inputs(CharacteriseWorkChain, namespace="characterise"))
            if name == "boundary":
                inputs = self._within_boundary(inputs)
            else:
                inputs.pop("regions", None)
            inputs.trajectory = run.outputs.trajectory
            inputs.setdefault("metadata", {})["call_link_label"] = f"characterise_{name}"
            characterisations[f"characterisation_{name}"] = self.submit(CharacteriseWorkChain, **inputs)
        return ToContext(**characterisations)

    def _within_boundary(self, inputs: AttributeDict) -> AttributeDict:
        flat = {name: node for name, node in inputs.items() if isinstance(node, orm.Dict)}
        flat |= {f"{TOPOLOGY}{name}": node for name, node in inputs.get("topology", {}).items()}
        restricted = AttributeDict()
        within = restrict_to_boundary(self.ctx.relaxation.outputs.results, **flat)
        for name, node in flattened(within).items():
            set_nested(restricted, name, node)
        return restricted

    def inspect_characterisation(self) -> ExitCode | None:
        """Hand on what was found."""
        failed = []
        for name in ("crystal", "boundary"):
            process = self.ctx.get(f"characterisation_{name}")
            if process is None:
                continue
            self.out_many(self.exposed_outputs(process, CharacteriseWorkChain, namespace=f"characterisation.{name}"))
            if not process.is_finished_ok:
                failed.append(how_it_ended(process))
        if failed:
            return self.exit_codes.ERROR_CHARACTERISATION_FAILED.format(detail="; ".join(failed))
        return None


def set_nested(namespace: Any, name: str, node: orm.Dict) -> None:
    """Set an analysis by its flat name: ``topology__x`` as ``topology.x``."""
    if name.startswith(TOPOLOGY):
        namespace.setdefault("topology", {})[name.removeprefix(TOPOLOGY)] = node
    else:
        namespace[name] = node


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Refuse half of a boundary or of a characterisation, and a boundary that is asked for wrongly."""
    if ("boundary" in inputs) != bool(inputs.get("grain_boundary")):
        return "boundary: `boundary` (the cell that is learned) and `grain_boundary` (the one that is run) go together"
    if ("structural_run" in inputs) != bool(inputs.get("characterise")):
        return "structural_run: `structural_run` and `characterise` go together"
    if "boundary" in inputs and (message := boundary_request_error(inputs["boundary"].get_dict())):
        return message
    return species_error(inputs)


def species_error(inputs: Mapping[str, Any]) -> str | None:
    """Every species that an analysis names must be one of the potential's."""
    if any(key not in inputs for key in ("potential", "arrhenius")):
        return None  # the ports themselves complain
    known = inputs["potential"]["species"]
    ports = {f"arrhenius.{name}": node for name, node in inputs["arrhenius"].items() if name.endswith("_parameters")}
    ports |= {f"characterise.{name}": node for name, node in inputs.get("characterise", {}).items()}
    ports |= {f"characterise.topology.{name}": node for name, node in ports.pop("characterise.topology", {}).items()}
    if "regions" in inputs:
        ports["regions"] = inputs["regions"]
    for port, node in ports.items():
        if isinstance(node, orm.Dict) and (missing := sorted(named_species(node.get_dict()) - set(known))):
            return f"{port}: the study has no {', '.join(missing)}; `potential` names {', '.join(known)}"
    return None


def how_it_ended(node: orm.ProcessNode) -> str:
    """Name, exit status and message of a process."""
    return f"{node.process_label}<{node.pk}> [{node.exit_status}] {node.exit_message}"
