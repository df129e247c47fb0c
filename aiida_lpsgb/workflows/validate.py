"""Errors of potentials on configurations they have never seen: `lpsgb.validate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.sweep import run_label, temperature_label
from aiida_lpsgb.workflows.md import inputs_of_run
from aiida_lpsgb.workflows.outputs import how_it_ended, namespace_of
from aiida_lpsgb.workflows.predictions import PredictionsMixin
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job, inputs_of_child
from aiida_lpsgb.workflows.queue import QueueMixin
from aiida_lpsgb.workflows.sweep import MdBaseWorkChain, expose_sweep

LabelWorkChain = WorkflowFactory("lpsgb.label")
ConfigurationsData = DataFactory("lpsgb.configurations")
compare = CalculationFactory("lpsgb.configurations.compare")
plan_sweep = CalculationFactory("lpsgb.plan_sweep")
sample_frames = CalculationFactory("lpsgb.md.frames")


class ValidateWorkChain(ProtocolMixin, QueueMixin, PredictionsMixin):
    """Run structures with the first potential, label frames of the runs, and compute all potentials' errors on them."""

    CHILDREN = ("label",)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input_namespace(
            "structures", valid_type=orm.StructureData, help="Fully occupied structures that are run, by name."
        )
        expose_sweep(spec)
        cls.limit_queue(spec, "Runs")
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=validate_settings,
            help="`n_frames`: number of frames labelled a run.",
        )
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("configurations",))
        cls.expose_predictions(spec)
        spec.inputs.validator = validate_inputs

        spec.outline(
            cls.queue_runs,
            while_(cls.queue_waits)(cls.run_queue),
            cls.label,
            cls.predict,
            cls.finish,
        )
        spec.output("test_set", valid_type=ConfigurationsData, help="The labelled frames.")
        spec.output_namespace("errors", valid_type=orm.Dict, help="Errors of each potential on them.")
        spec.output_namespace(
            "predictions", valid_type=ConfigurationsData, help="The frames as each potential would label them."
        )
        spec.exit_code(401, "ERROR_RUNS_FAILED", message="Not all runs reached their end: {detail}")
        spec.exit_code(402, "ERROR_LABELLING_FAILED", message="No frame could be labelled: {detail}")
        spec.exit_code(403, "ERROR_PREDICTIONS_FAILED", message="Predictions are missing: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structures: Mapping[str, orm.StructureData] | None = None,
        potentials: Mapping[str, orm.Data] | None = None,
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
            By role: `mlp`, `md`, `label`; see `load_codes`.
        structures, potentials
            By name; left out where a parent fills them in.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the override `label` takes entries of the protocol of `lpsgb.label`, the roles
            of `options` are `md`, `label` and `select` (the predictions).
        seed
            Seed of the runs; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structures=structures, potentials=potentials)
        builder.temperatures = orm.List(values["temperatures_K"])
        builder.n_replicas = orm.Int(values["n_replicas"])
        builder.seed = seed or cls.draw_seed()
        builder.parameters = orm.Dict(values["parameters"])
        builder.settings = orm.Dict({"n_frames": values["n_frames"]})
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        fill_job(builder.md.md, codes, values, "md")
        fill_job(builder.predict.mlp, codes, values, "mlp", "select")
        builder.label = inputs_of_child(LabelWorkChain, codes, values, "label", path)
        return cls.checked(builder)

    def queue_runs(self) -> None:
        """Queue a run of every structure at every temperature."""
        inputs = self.inputs
        potential = inputs.potentials[min(inputs.potentials)]
        names = orm.List(sorted(inputs.structures))
        plan = plan_sweep(inputs.parameters, inputs.temperatures, names, inputs.n_replicas, inputs.seed)
        runs = {}
        for name, structure in inputs.structures.items():
            for temperature in inputs.temperatures.get_list():
                for replica in range(1, inputs.n_replicas.value + 1):
                    label = run_label(temperature, name, replica)
                    parameters = plan[f"parameters_{temperature_label(temperature)}"]
                    seed = plan[f"seed_{label}"]
                    runs[label] = inputs_of_run(
                        self, structure=structure, potential=potential, parameters=parameters, seed=seed
                    )
        self.fill_queue(MdBaseWorkChain, runs)

    def label(self) -> ExitCode | ToContext:
        """Label frames of the runs."""
        failed = [how_it_ended(run) for run in self.ctx.children.values() if not run.is_finished_ok]
        if failed:
            return self.exit_codes.ERROR_RUNS_FAILED.format(detail="; ".join(failed))
        segments = {
            f"{label}_{name}": node
            for label, run in self.ctx.children.items()
            for name, node in namespace_of(run, "trajectories").items()
        }
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.configurations = sample_frames(self.inputs.settings, **segments)
        self.report(f"labelling {len(inputs.configurations)} test configurations")
        return ToContext(labelling=self.submit(LabelWorkChain, **inputs))

    def predict(self) -> ExitCode | ToContext:
        """Let every potential predict the labels that came back."""
        labelling = self.ctx.labelling
        if "configurations" not in labelling.outputs:
            return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=how_it_ended(labelling))
        if not labelling.is_finished_ok:
            self.report(f"some labels failed, going on with the others: {labelling.exit_message}")
        self.out("test_set", labelling.outputs.configurations)
        return self.predict_with_all(labelling.outputs.configurations)

    def finish(self) -> ExitCode | None:
        """Compare, and hand out errors and predictions."""
        test_set = self.ctx.labelling.outputs.configurations
        found, failed = self.predictions()
        for name, predicted in found.items():
            self.out(f"predictions.{name}", predicted)
            self.out(f"errors.{name}", compare(test_set, predicted, metadata={"call_link_label": f"errors_{name}"}))
        if failed:
            return self.exit_codes.ERROR_PREDICTIONS_FAILED.format(detail="; ".join(failed))
        return None


def validate_settings(node: orm.Dict, _: Any) -> str | None:
    """Without a frame there would be nothing to test on."""
    settings = node.get_dict()
    if set(settings) != {"n_frames"} or not isinstance(settings["n_frames"], int) or settings["n_frames"] < 1:
        return f"settings: is {settings}, expected `n_frames` alone, a whole number above 0"
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structures and potentials must fit each other."""
    if not inputs.get("structures") or not inputs.get("potentials"):
        return None  # the ports themselves complain
    for name, structure in inputs["structures"].items():
        for potential in inputs["potentials"].values():
            if message := validation.md_inputs_error(structure, potential):
                return f"structures.{name}: {message}"
    return None
