"""Inputs, outputs and exit codes of `lpsgb.study`."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.active_learning import RETURN_SETTINGS, return_error
from aiida_lpsgb.calculations.functions.properties import CHECKS, thresholds_error
from aiida_lpsgb.calculations.functions.recipes import KINDS
from aiida_lpsgb.calculations.functions.structure_requests import order_request_error
from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES
from aiida_lpsgb.workflows.study_inputs import validate_inputs

ActiveLearningWorkChain = WorkflowFactory("lpsgb.active_learning")
BoundaryParityWorkChain = WorkflowFactory("lpsgb.boundary_parity")
GrainBoundaryWorkChain = WorkflowFactory("lpsgb.grain_boundary")
LabelWorkChain = WorkflowFactory("lpsgb.label")
PassiveLearningWorkChain = WorkflowFactory("lpsgb.passive_learning")
MeltQuenchWorkChain = WorkflowFactory("lpsgb.melt_quench")
PropertiesWorkChain = WorkflowFactory("lpsgb.properties")
ReferenceMdWorkChain = WorkflowFactory("lpsgb.reference_md")
TransportWorkChain = WorkflowFactory("lpsgb.transport")
ValidateWorkChain = WorkflowFactory("lpsgb.validate")
ConfigurationsData = DataFactory("lpsgb.configurations")

# The children that not every study has: the ports of each that the study fills in, and what it is for.
OPTIONAL_CHILDREN = {
    "label": (LabelWorkChain, ("configurations",), "Labels the start set."),
    "reference_md": (
        ReferenceMdWorkChain,
        ("structure", "seed"),
        "Dynamics of the ordered crystal by the label engine, of which frames are learned from beside the start set; "
        "left out: there are none.",
    ),
    "passive_learning": (
        PassiveLearningWorkChain,
        ("training_sets", "structure", "potential", "seed"),
        "Chooses level and cut-off of the potentials; left out: they are those of `potential`.",
    ),
    "active_learning": (
        ActiveLearningWorkChain,
        ("potential", "training_sets", "structures", "explorations", "candidates", "seed", "test_set"),
        "Learns the potentials.",
    ),
    "grain_boundary": (
        GrainBoundaryWorkChain,
        ("structure", "parent", "potential", "seed", "boundary"),
        "Relaxes grain boundaries.",
    ),
    "boundary_parity": (
        BoundaryParityWorkChain,
        ("structure", "parent", "boundaries", "potentials", "seed"),
        "Compares energies of the boundaries, in small cells, by the potentials with those of the label engine; left "
        "out: they are not compared.",
    ),
    "melt_quench": (
        MeltQuenchWorkChain,
        ("structure", "potential", "seed", "supercell", "amorphous"),
        "Makes glasses.",
    ),
    "properties": (
        PropertiesWorkChain,
        ("structure", "seed", "relax.potential", "relax.parameters"),
        "Examines the crystal by every potential and by the label engine before anything is run, for the potentials' "
        "cards; left out: there are no cards.",
    ),
    "validate": (
        ValidateWorkChain,
        ("structures", "potentials", "seed"),
        "Tests the potentials on the small cells; left out: they are not tested.",
    ),
}


def define_inputs(spec: ProcessSpec) -> None:
    """Declare what a study is made of."""
    spec.input(
        "crystal",
        valid_type=(orm.CifData, orm.StructureData),
        help="The crystal; partially occupied sites are ordered first.",
    )
    spec.input("seed", valid_type=orm.Int, help="The seed that all other seeds of the study derive from, by name.")
    spec.input(
        "ordering",
        valid_type=orm.Dict,
        validator=lambda node, _: order_request_error(node.get_dict()),
        help="Parameters of `lpsgb.order`.",
    )
    spec.input_namespace(
        "systems",
        dynamic=True,
        valid_type=orm.Dict,
        help=f"A recipe by the name of its system: `kind` ({', '.join(KINDS)}), `learn` and `run` (what the small "
        "cell that is learned and the large one that is run have of their own; no `learn`: not learned from), "
        "`explore` (how it is explored), `regions` and `core` (where else motion is looked at), of a glass "
        "`amorphous`, of an interface the `glass`, and the parameters of what makes such a structure.",
    )
    spec.input_namespace(
        "structures",
        dynamic=True,
        valid_type=orm.StructureData,
        required=False,
        help="Fully occupied structures of systems of kind `structure`, by the name of the system.",
    )
    spec.input_namespace(
        "potentials",
        dynamic=True,
        valid_type=POTENTIAL_TYPES,
        required=False,
        help="Potentials by name to run all systems with; given, nothing is learned.",
    )
    spec.input("start_set", valid_type=orm.Dict, required=False, help="Parameters of `lpsgb.start_set`.")
    spec.input(
        "potential",
        valid_type=orm.Dict,
        required=False,
        help="Parameters of `lpsgb.potential.untrained`; with `passive_learning`, but for level and cut-off.",
    )
    spec.input_namespace(
        "training_sets",
        dynamic=True,
        valid_type=ConfigurationsData,
        required=False,
        help="Labelled configurations to learn from beside, or (without `start_set`) instead of, the start set.",
    )
    for namespace, (child, filled_in, text) in OPTIONAL_CHILDREN.items():
        options = {"required": False, "populate_defaults": False, "help": text}
        spec.expose_inputs(child, namespace=namespace, exclude=filled_in, namespace_options=options)
    spec.input(
        "reference",
        valid_type=orm.Dict,
        required=False,
        help="Parameters of `lpsgb.label.ase`: what the potentials' properties are held against. Left out: they "
        "are not compared.",
    )
    spec.input(
        "thresholds",
        valid_type=orm.Dict,
        required=False,
        validator=lambda node, _: thresholds_error(node.get_dict()),
        help="Largest values with which a potential passes; goes with `properties`. "
        + "; ".join(f"`{name}`: {text}" for name, text in CHECKS.items())
        + ".",
    )
    spec.input(
        "go_on_anyway",
        valid_type=orm.Bool,
        default=lambda: orm.Bool(False),
        help="Whether to run with potentials that do not pass.",
    )
    spec.input(
        "returns",
        valid_type=orm.Dict,
        required=False,
        validator=lambda node, _: return_error(node.get_dict()),
        help="When production goes back to learning with the frames that extrapolate; all systems are then made "
        "and run again with the new potentials. Left out: it does not. "
        + "; ".join(f"`{name}`: {text}" for name, text in RETURN_SETTINGS.items())
        + ".",
    )
    spec.expose_inputs(
        TransportWorkChain,
        namespace="transport",
        exclude=("structure", "potentials", "seed", "regions", "ends_when_lost"),
    )
    spec.inputs.validator = validate_inputs


def define_outputs(spec: ProcessSpec) -> None:
    """Declare what a study finds."""
    spec.output("structure", valid_type=orm.StructureData, help="The ordered crystal.")
    spec.expose_outputs(PassiveLearningWorkChain, namespace="passive_learning", namespace_options={"required": False})
    spec.expose_outputs(ActiveLearningWorkChain, namespace_options={"required": False})
    spec.output_namespace(
        "systems",
        dynamic=True,
        help="For every system: `structure` that is run, `recipe` (what its recipe has found, such as the energy "
        "of a boundary), and the outputs of `lpsgb.transport`.",
    )
    spec.output_namespace(
        "properties",
        dynamic=True,
        valid_type=orm.Data,
        required=False,
        help="Outputs of `lpsgb.properties` by potential, and of the label engine under `reference`.",
    )
    spec.output_namespace(
        "cards",
        dynamic=True,
        valid_type=orm.Dict,
        required=False,
        help="Whether each potential is fit for production, check by check.",
    )
    spec.output("test_set", valid_type=orm.Data, required=False, help="Labelled frames that were never trained on.")
    spec.output_namespace("test_errors", valid_type=orm.Dict, required=False, help="Errors of each potential on them.")
    spec.output(
        "boundary_energies",
        valid_type=orm.Dict,
        required=False,
        help="Energies of small cells of the boundaries by the label engine and by each potential.",
    )
    spec.output(
        "table",
        valid_type=orm.Dict,
        required=False,
        help="The headline numbers of every system, how often the study had gone back to learning before "
        "(`n_returns`), and how many frames extrapolate (`extrapolated`), also with the potentials before "
        "(`extrapolated_before`).",
    )


def define_exit_codes(spec: ProcessSpec) -> None:
    """Declare how a study may fail."""
    spec.exit_code(401, "ERROR_LABELLING_FAILED", message="The start set could not be labelled: {detail}")
    spec.exit_code(402, "ERROR_LEARNING_FAILED", message="Active learning did not converge: {detail}")
    spec.exit_code(403, "ERROR_SYSTEMS_FAILED", message="Not all systems have results: {blame}{detail}")
    spec.exit_code(404, "ERROR_VALIDATION_FAILED", message="The potentials could not be tested: {detail}")
    spec.exit_code(405, "ERROR_STRUCTURES_FAILED", message="The structures could not be built: {detail}")
    spec.exit_code(406, "ERROR_PROPERTIES_FAILED", message="Properties of the crystal could not be found: {detail}")
    spec.exit_code(
        407,
        "ERROR_POTENTIAL_UNFIT",
        message="Not fit for production: {detail}. Learn more, or set `go_on_anyway` to run all the same.",
    )
    spec.exit_code(408, "ERROR_CHOICE_FAILED", message="No level and cut-off could be chosen: {detail}")
    spec.exit_code(412, "ERROR_PARITY_FAILED", message="Energies of boundaries could not be compared: {detail}")
    spec.exit_code(409, "ERROR_REFERENCE_FAILED", message="The label engine's dynamics failed: {detail}")
    spec.exit_code(
        410,
        "ERROR_RETURN_FAILED",
        message="Production extrapolates ({share}), and could not go back to learning: {detail}. The results of "
        "the runs before are attached.",
    )
    spec.exit_code(
        411,
        "ERROR_STILL_EXTRAPOLATES",
        message="Production still extrapolates after going back to learning (times: {n}): {share}. The results are "
        "attached; do not rely on those of these systems.",
    )
