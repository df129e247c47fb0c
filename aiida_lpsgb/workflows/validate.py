"""Errors of a potential on configurations it has never seen: `lpsgb.validate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, while_
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.calculations.functions.md import sample_frames
from aiida_lpsgb.workflows.sweep import SweepWorkChain

MlpErrorsBaseWorkChain = WorkflowFactory("lpsgb.mlp.errors.base")
LabelWorkChain = WorkflowFactory("lpsgb.label")
ConfigurationsData = DataFactory("lpsgb.configurations")


class ValidateWorkChain(SweepWorkChain):
    """Run the potential's own dynamics, label frames of it and compare."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("settings", valid_type=orm.Dict, help="`n_frames`: number of frames labelled a run.")
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("configurations",))
        spec.expose_inputs(MlpErrorsBaseWorkChain, namespace="errors", exclude=("mlp.potential", "mlp.configurations"))

        spec.outline(
            cls.queue_sweep,
            while_(cls.queue_waits)(cls.run_batch),
            cls.label,
            cls.test,
            cls.finish,
        )
        spec.output("test_set", valid_type=ConfigurationsData, help="The labelled frames.")
        spec.output("errors", valid_type=orm.Dict, help="Errors of the potential on them.")
        spec.exit_code(401, "ERROR_RUNS_FAILED", message="No molecular dynamics run reached its end: {detail}")
        spec.exit_code(402, "ERROR_LABELLING_FAILED", message="No frame could be labelled: {detail}")
        spec.exit_code(403, "ERROR_ERRORS_FAILED", message="The errors could not be computed: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        *,
        mlp_code: orm.AbstractCode,
        md_code: orm.AbstractCode,
        label_code: orm.AbstractCode,
        structure: orm.StructureData,
        potential: orm.Data,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        seeds: orm.List | None = None,
    ) -> Any:
        """Builder with the numbers of a protocol; the parameters are those of `lpsgb.active_learning`."""
        values = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.get_builder()
        builder.structure = structure
        builder.potential = potential
        builder.temperatures = orm.List(values["temperatures_K"])
        builder.seeds = seeds or cls.draw_seeds(values["n_replicas"])
        builder.parameters = orm.Dict(values["parameters"])
        builder.settings = orm.Dict({"n_frames": values["n_frames"]})
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        builder.md.md.code = md_code
        builder.md.md.metadata.options = values["options"]
        builder.label.engine.ase.code = label_code
        builder.label.engine.ase.parameters = orm.Dict(values["label"])
        builder.label.engine.ase.metadata.options = values["options"]
        builder.errors.mlp.code = mlp_code
        builder.errors.mlp.metadata.options = values["options"]
        return builder

    def label(self) -> ExitCode | ToContext:
        """Label frames of the runs that reached their end."""
        whole = {label: run.outputs.trajectory for label, run in self.ctx.children.items() if run.is_finished_ok}
        if not whole:
            run = next(iter(self.ctx.children.values()))
            return self.exit_codes.ERROR_RUNS_FAILED.format(detail=f"[{run.exit_status}] {run.exit_message}")
        inputs = AttributeDict(self.exposed_inputs(LabelWorkChain, namespace="label"))
        inputs.configurations = sample_frames(self.inputs.settings, **whole)
        self.report(f"labelling {len(inputs.configurations)} test configurations")
        return ToContext(labelling=self.submit(LabelWorkChain, **inputs))

    def test(self) -> ExitCode | ToContext:
        """Compute the errors on the labels that came back."""
        labelling = self.ctx.labelling
        if "configurations" not in labelling.outputs:
            detail = f"[{labelling.exit_status}] {labelling.exit_message}"
            return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=detail)
        inputs = AttributeDict(self.exposed_inputs(MlpErrorsBaseWorkChain, namespace="errors"))
        inputs.mlp.potential = self.inputs.potential
        inputs.mlp.configurations = labelling.outputs.configurations
        self.out("test_set", labelling.outputs.configurations)
        return ToContext(testing=self.submit(MlpErrorsBaseWorkChain, **inputs))

    def finish(self) -> ExitCode | None:
        """Hand out the errors."""
        if not self.ctx.testing.is_finished_ok:
            detail = f"[{self.ctx.testing.exit_status}] {self.ctx.testing.exit_message}"
            return self.exit_codes.ERROR_ERRORS_FAILED.format(detail=detail)
        self.out("errors", self.ctx.testing.outputs.results)
        return None
