"""Base of the work chains that run reference dynamics at one temperature, a segment after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, WorkChain, while_

from aiida_lpsgb.calculations.functions.configurations import merge
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.workflows.outputs import how_it_ended, named

PREFIX = "lpsgb.reference_md."


class ReferenceRunWorkChain(WorkChain):
    """Run segments until all steps of a plan are done; each goes on with the velocities of the one before.

    An engine says how a segment is run (`run_segment`) and what came of it (`inspect_segment`).
    """

    #: Entry point of the calculation that a code for this engine is registered for.
    CODE_PLUGIN: ClassVar[str]

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="Where the run begins.")
        spec.input(
            "plan",
            valid_type=orm.Dict,
            help="`temperature_K`, `n_steps`, `interval_steps`, `seed`, `ensemble`, `timestep_fs`, `pressure_GPa`, "
            "`thermostat_damping_ps`, `barostat_damping_ps`.",
        )
        spec.input(
            "max_segments",
            valid_type=orm.Int,
            default=lambda: orm.Int(100),
            serializer=orm.to_aiida_type,
            help="Segments before the run is given up.",
        )
        spec.outline(
            cls.setup,
            while_(cls.goes_on)(cls.submit_segment, cls.inspect_segment),
            cls.finish,
        )
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames, labelled, with `step`, `time_ps` and `temperature_K`.",
        )
        spec.exit_code(401, "ERROR_SEGMENT_FAILED", message="A segment failed after step {step} of {n_steps}: {detail}")
        spec.exit_code(
            402, "ERROR_SEGMENTS_EXHAUSTED", message="Step {step} of {n_steps} is reached after {n} segments."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder for the level of theory of a protocol, without structure and plan.

        Parameters
        ----------
        code
            Code that runs the engine's program.
        protocol
            Name of the protocol of the label engine of the same name.
        overrides
            Entries that replace those of the protocol.
        options
            ``metadata.options`` of the jobs.
        """
        raise NotImplementedError

    def setup(self) -> None:
        """Begin with nothing done."""
        self.ctx.n_steps = self.inputs.plan["n_steps"]
        self.ctx.n_done = 0
        self.ctx.n_segments = 0
        self.ctx.segments = {}

    def goes_on(self) -> bool:
        """Whether steps are left to run, and segments to run them in."""
        return self.ctx.n_done < self.ctx.n_steps and self.ctx.n_segments < self.inputs.max_segments.value

    def submit_segment(self) -> ToContext:
        """Run the next segment."""
        process, inputs = self.segment()
        self.ctx.segment_label = f"segment_{self.ctx.n_segments:03d}"
        self.ctx.n_segments += 1
        return ToContext(segment=self.submit(process, **named(self.ctx.segment_label, inputs)))

    def segment(self) -> tuple[type, dict[str, Any]]:
        """Return the process of the next segment and its inputs."""
        raise NotImplementedError

    def inspect_segment(self) -> ExitCode | None:
        """Keep the frames of a segment with `keep`, or return what `fail` gives."""
        raise NotImplementedError

    def keep(self, n_done: int, configurations: ConfigurationsData | None) -> None:
        """Note how many steps are done, and keep the frames."""
        self.ctx.n_done = n_done
        if configurations is not None:
            self.ctx.segments[self.ctx.segment_label] = configurations

    def fail(self, reason: str | None = None) -> ExitCode:
        """Give what there is, and name the segment that failed, with the reason where its end does not tell it."""
        self.give()
        detail = how_it_ended(self.ctx.segment) + (f", {reason}" if reason else "")
        return self.exit_codes.ERROR_SEGMENT_FAILED.format(
            step=self.ctx.n_done, n_steps=self.ctx.n_steps, detail=detail
        )

    def give(self) -> None:
        """Join the frames of all segments."""
        sets = dict(self.ctx.segments)
        if sets:
            self.out("configurations", merge(**sets) if len(sets) > 1 else next(iter(sets.values())))

    def finish(self) -> ExitCode | None:
        """Give all frames."""
        self.give()
        if self.ctx.n_done < self.ctx.n_steps:
            return self.exit_codes.ERROR_SEGMENTS_EXHAUSTED.format(
                step=self.ctx.n_done, n_steps=self.ctx.n_steps, n=self.ctx.n_segments
            )
        return None
