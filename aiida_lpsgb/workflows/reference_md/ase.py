"""Reference dynamics with a calculator of ASE, at one temperature: `lpsgb.reference_md.ase`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec
from aiida.plugins import CalculationFactory

from aiida_lpsgb.calculations.functions.reference import last, start_of, with_dynamics
from aiida_lpsgb.calculations.label.ase import AseLabelCalculation
from aiida_lpsgb.workflows.reference_md.run import ReferenceRunWorkChain

DynamicsCalculation = CalculationFactory("lpsgb.dynamics")


class AseReferenceRunWorkChain(ReferenceRunWorkChain):
    """Run `lpsgb.dynamics` until all steps are done; a job that was interrupted is gone on from its last frame."""

    CODE_PLUGIN = AseLabelCalculation.CODE_PLUGIN

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the inputs of the jobs."""
        super().define(spec)
        spec.input("parameters", valid_type=orm.Dict, help="Those of `lpsgb.label.ase`.")
        spec.expose_inputs(DynamicsCalculation, namespace="dynamics", exclude=("start", "parameters"))

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder for the level of theory of `lpsgb.label.ase`."""
        label = AseLabelCalculation.get_builder_from_protocol(code, None, protocol, overrides, options)
        builder = cls.get_builder()
        builder.parameters = label.parameters
        builder.dynamics.code = code
        builder.dynamics.metadata.options = dict(options or {})
        return builder

    def setup(self) -> None:
        """Begin with the structure at rest."""
        super().setup()
        self.ctx.start = start_of(self.inputs.structure)
        self.ctx.parameters = with_dynamics(self.inputs.parameters, self.inputs.plan)

    def segment(self) -> tuple[type, dict[str, Any]]:
        """Return a job from the last frame."""
        inputs = self.exposed_inputs(DynamicsCalculation, namespace="dynamics")
        return DynamicsCalculation, {**inputs, "start": self.ctx.start, "parameters": self.ctx.parameters}

    def inspect_segment(self) -> ExitCode | None:
        """Go on from the last frame, where there is one more than before."""
        child = self.ctx.segment
        frames = child.outputs.configurations if "configurations" in child.outputs else None
        if frames is not None:
            self.keep(child.outputs.results["n_steps_done"], frames)
            self.ctx.start = last(frames)
        # What was ended from outside and came further is not a failure.
        passing = frames is not None and not child.base.caching.is_valid_cache
        if child.is_finished_ok or passing:
            return None
        return self.fail()
