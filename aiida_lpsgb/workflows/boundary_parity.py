"""Energies of grain boundaries by potentials beside those of the label engine: `lpsgb.boundary_parity`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.boundary_parity import BOUNDARY, BULK, PREDICTED, RESULTS
from aiida_lpsgb.workflows.outputs import how_it_ended
from aiida_lpsgb.workflows.predictions import PredictionsMixin
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job, inputs_of_child
from aiida_lpsgb.workflows.queue import QueueMixin

GrainBoundaryWorkChain = WorkflowFactory("lpsgb.grain_boundary")
LabelWorkChain = WorkflowFactory("lpsgb.label")
ConfigurationsData = DataFactory("lpsgb.configurations")
PotentialData = DataFactory("lpsgb.potential")
cells_to_label = CalculationFactory("lpsgb.boundary_parity.cells")
compare_boundaries = CalculationFactory("lpsgb.boundary_parity.compare")
small_boundaries = CalculationFactory("lpsgb.boundary_parity.requests")

FILLED_IN = ("structure", "parent", "potential", "boundary", "seed")
"""Ports of `lpsgb.grain_boundary` that are filled in here."""


class BoundaryParityWorkChain(ProtocolMixin, QueueMixin, PredictionsMixin):
    """Relax small cells of boundaries with the first potential, label them, and compare energies with all potentials.

    The label engine's energies are single points of the relaxed cells of crystal and boundary.
    """

    CHILDREN = ("grain_boundary", "label")
    OPEN_ENTRIES = ("cell",)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="The crystal, ordered.")
        spec.input(
            "parent",
            valid_type=(orm.StructureData, orm.CifData),
            required=False,
            help="As of `lpsgb.grain_boundary`.",
        )
        spec.input_namespace(
            "boundaries",
            dynamic=True,
            valid_type=orm.Dict,
            help="By name, what boundary it is: `plane`, `axis` and other parameters of `lpsgb.bicrystal`.",
        )
        spec.input(
            "cell",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.bicrystal` for all of them: a size that the label engine can afford, and how "
            "the cut is searched for.",
        )
        spec.input_namespace(
            "potentials",
            dynamic=True,
            valid_type=PotentialData,
            help="Potentials by name; the first relaxes, and each is compared for the cells that it leaves.",
        )
        spec.input("seed", valid_type=orm.Int, help="As of `lpsgb.grain_boundary`.")
        cls.limit_queue(spec, "Boundaries")
        spec.expose_inputs(GrainBoundaryWorkChain, namespace="grain_boundary", exclude=FILLED_IN)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("configurations",))
        cls.expose_predictions(spec)

        spec.outline(
            cls.queue_boundaries,
            while_(cls.queue_waits)(cls.run_queue),
            cls.label,
            cls.predict,
            cls.compare,
        )
        spec.output(
            "energies",
            valid_type=orm.Dict,
            help="By boundary the energy in J/m² by the label engine and by each potential.",
        )
        spec.output_namespace("errors", valid_type=orm.Dict, help="Errors of each potential, over all boundaries.")
        spec.output("labelled", valid_type=ConfigurationsData, help="The relaxed cells with their labels.")
        spec.exit_code(401, "ERROR_ALL_FAILED", message="No boundary could be relaxed: {detail}")
        spec.exit_code(402, "ERROR_LABELLING_FAILED", message="No boundary has its labels: {detail}")
        spec.exit_code(403, "ERROR_PREDICTIONS_FAILED", message="Predictions are missing: {detail}")
        spec.exit_code(
            404, "ERROR_SOME_FAILED", message="Some boundaries are missing: {detail}; the others are in the output."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        potentials: Mapping[str, orm.Data] | None = None,
        *,
        boundaries: Mapping[str, Mapping[str, Any]] | None = None,
        parent: orm.StructureData | orm.CifData | None = None,
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
            By role: `mlp`, `md`, `label`; see `load_codes`.
        structure, potentials, boundaries
            The ordered crystal, potentials and requests by name; left out where a parent fills them in.
        parent
            The crystal before it was ordered.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the overrides `label` and `grain_boundary` take entries of their own protocols,
            the roles of `options` are `md`, `label` and `select` (the predictions).
        seed
            Drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structure=structure, potentials=potentials, parent=parent)
        if boundaries is not None:
            builder.boundaries = {name: orm.Dict(dict(boundary)) for name, boundary in boundaries.items()}
        builder.cell = orm.Dict(values["cell"])
        builder.seed = seed or cls.draw_seed()
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        relaxing = inputs_of_child(GrainBoundaryWorkChain, codes, values, "grain_boundary", path)
        builder.grain_boundary = {port: value for port, value in relaxing.items() if port not in FILLED_IN}
        builder.label = inputs_of_child(LabelWorkChain, codes, values, "label", path)
        fill_job(builder.predict.mlp, codes, values, "mlp", "select")
        return cls.checked(builder)

    def queue_boundaries(self) -> None:
        """Queue the relaxation of a small cell of every boundary."""
        requests = small_boundaries(self.inputs.cell, **self.inputs.boundaries)
        self.open_queue()
        for name, request in requests.items():
            inputs = self.exposed_inputs(GrainBoundaryWorkChain, namespace="grain_boundary")
            inputs.structure = self.inputs.structure
            inputs.potential = self.inputs.potentials[min(self.inputs.potentials)]
            inputs.boundary = request
            inputs.seed = self.inputs.seed
            if "parent" in self.inputs:
                inputs.parent = self.inputs.parent
            self.enqueue(name, GrainBoundaryWorkChain, inputs)

    def label(self) -> ExitCode | ToContext:
        """Label the relaxed crystals and bicrystals."""
        runs = self.ctx.children
        self.ctx.failed = [f"{name}: {how_it_ended(run)}" for name, run in runs.items() if not run.is_finished_ok]
        self.ctx.made = {name: run.outputs for name, run in runs.items() if run.is_finished_ok}
        if not self.ctx.made:
            return self.exit_codes.ERROR_ALL_FAILED.format(detail="; ".join(self.ctx.failed))
        cells = {BULK + name: made.bulk for name, made in self.ctx.made.items()}
        cells |= {BOUNDARY + name: made.structure for name, made in self.ctx.made.items()}
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.configurations = cells_to_label(**cells)
        self.report(f"labelling {len(cells)} relaxed cells of {len(self.ctx.made)} boundaries")
        return ToContext(labelling=self.submit(LabelWorkChain, **inputs))

    def predict(self) -> ExitCode | ToContext:
        """Let every potential say what the energies of the labelled cells are."""
        labelling = self.ctx.labelling
        if "configurations" not in labelling.outputs:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=how_it_ended(labelling))
        self.out("labelled", labelling.outputs.configurations)
        return self.predict_with_all(labelling.outputs.configurations)

    def compare(self) -> ExitCode | None:
        """Compare the energies of the boundaries, and name what is missing."""
        found, failed = self.predictions()
        if failed:
            return self.exit_codes.ERROR_PREDICTIONS_FAILED.format(detail="; ".join(failed))
        known = {RESULTS + name: made.results for name, made in self.ctx.made.items()}
        known |= {PREDICTED + name: predicted for name, predicted in found.items()}
        compared, node = compare_boundaries.run_get_node(self.ctx.labelling.outputs.configurations, **known)
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=node.exit_message)
        self.out("energies", compared["energies"])
        for name in found:
            errors = compared[f"errors_{name}"]
            self.out(f"errors.{name}", errors)
            error, n = errors["boundary_energy_mae_J_m2"], errors["n_boundaries"]
            self.report(f"{name}: energies of {n} boundaries are {error:.3f} J/m² off the label engine's, on average")
        missing = [*self.ctx.failed, *(f"{name}: it has no label" for name in compared["energies"]["unlabelled"])]
        return self.exit_codes.ERROR_SOME_FAILED.format(detail="; ".join(missing)) if missing else None
