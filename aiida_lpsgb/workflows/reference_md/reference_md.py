"""Reference dynamics at several temperatures, and a set of frames drawn from it: `lpsgb.reference_md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_

from aiida_lpsgb.calculations.functions.reference import SETTINGS, plan_reference, sample_reference, settings_error
from aiida_lpsgb.calculations.label import engine as engines
from aiida_lpsgb.calculations.validation import structure_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.workflows.outputs import how_it_ended
from aiida_lpsgb.workflows.protocols import ProtocolMixin, child_inputs, code_of, fill_in
from aiida_lpsgb.workflows.queue import QueueMixin
from aiida_lpsgb.workflows.reference_md.run import PREFIX, ReferenceRunWorkChain


class ReferenceMdWorkChain(ProtocolMixin, QueueMixin):
    """Run a structure at several temperatures with the calculator that gives labels, and draw frames at random."""

    # Its keys are those of the engine, which checks them.
    OPEN_ENTRIES = ("engine",)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input(
            "structure",
            valid_type=orm.StructureData,
            validator=lambda node, _: structure_error(node, "structure"),
            help="Where all runs begin.",
        )
        text = "; ".join(f"`{key}`: {meaning}" for key, meaning in SETTINGS.items())
        spec.input(
            "settings",
            valid_type=orm.Dict,
            validator=lambda node, _: settings_error(node.get_dict()),
            help=f"What is run. {text}.",
        )
        spec.input("seed", valid_type=orm.Int, help="Seed of velocities, thermostats and of the choice of frames.")
        cls.limit_queue(spec, "Runs")
        engines.expose_engines(spec, ("structure", "plan"), PREFIX, ReferenceRunWorkChain)
        spec.outline(cls.queue, while_(cls.queue_waits)(cls.run_queue), cls.finish)
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames drawn at random after equilibration, labelled at the level of the dynamics.",
        )
        spec.output_namespace(
            "runs", valid_type=ConfigurationsData, dynamic=True, help="All frames of each run, such as `t300k`."
        )
        spec.exit_code(401, "ERROR_RUN_FAILED", message="{n} of {total} runs failed; {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        *,
        engine: str | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        seed: orm.Int | None = None,
        path: str = "",
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        codes
            By role: ``label``.
        structure
            Where all runs begin; left open if not given.
        engine
            Name of the engine; the one that the code is for if not given.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the override ``engine`` takes entries of the engine, the role of ``options`` is
            ``label``.
        seed
            Seed; drawn once if not given.

        Raises
        ------
        ValueError
            If there is no such protocol or engine, or an override names an entry that it has not.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        code = code_of(codes, "label")
        name = engine or engines.name_of(code, PREFIX, ReferenceRunWorkChain)
        run = engines.load(name, PREFIX, ReferenceRunWorkChain)
        inner = run.get_builder_from_protocol(
            code, values["engine_protocol"], values["engine"], values["options"]["label"]
        )
        builder = cls.get_builder()
        fill_in(builder, structure=structure)
        builder.settings = orm.Dict(values["settings"])
        builder.seed = seed or cls.draw_seed()
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        builder.engine[name] = child_inputs(inner)
        return cls.checked(builder)

    def queue(self) -> None:
        """Queue a run at each temperature."""
        name = engines.given(self.inputs.engine)
        run = engines.load(name, PREFIX, ReferenceRunWorkChain)
        jobs = {}
        for label, plan in plan_reference(self.inputs.settings, self.inputs.seed).items():
            shared = self.exposed_inputs(run, namespace=f"engine.{name}")
            jobs[label] = {**shared, "structure": self.inputs.structure, "plan": plan}
        self.fill_queue(run, jobs)

    def finish(self) -> ExitCode | None:
        """Give all frames, and draw from the runs that came to their end."""
        failed = []
        whole = {}
        for label, run in self.ctx.children.items():
            if "configurations" in run.outputs:
                self.out(f"runs.{label}", run.outputs.configurations)
            if not run.is_finished_ok:
                failed.append(f"{label}: {how_it_ended(run)}")
            elif "configurations" in run.outputs:
                whole[label] = run.outputs.configurations
            else:
                failed.append(f"{label}: {run.process_label}<{run.pk}> left no frames")
        if failed:
            detail = "; ".join(failed)
            return self.exit_codes.ERROR_RUN_FAILED.format(n=len(failed), total=len(self.ctx.children), detail=detail)
        self.out("configurations", sample_reference(self.inputs.settings, self.inputs.seed, **whole))
        return None
