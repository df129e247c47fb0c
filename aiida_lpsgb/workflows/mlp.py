"""Work chains over `mlp` that mend what can be mended: `lpsgb.mlp.train.base` and its likes."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import (
    BaseRestartWorkChain,
    ExitCode,
    ProcessHandlerReport,
    ProcessSpec,
    process_handler,
    while_,
)
from aiida.plugins import CalculationFactory

MlpTrainCalculation = CalculationFactory("lpsgb.mlp.train")
# The exit codes that all sub-commands share have the same numbers.
CODES = MlpTrainCalculation.exit_codes
# How often a job that was ended from outside, or gave nothing of use, is started again.
MAX_REPEATS = 1


class MlpBaseWorkChain(BaseRestartWorkChain):
    """Run a sub-command of `mlp` and repeat it if it was interrupted."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(cls._process_class, namespace="mlp")
        spec.expose_outputs(cls._process_class)
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(411, "ERROR_FAILED_AGAIN", message="The program failed again after a repeat: {detail}")

    def setup(self) -> None:
        """Take over the calculation's inputs."""
        super().setup()
        self.ctx.inputs = self.exposed_inputs(self._process_class, namespace="mlp")
        self.ctx.repeats = 0

    @process_handler(
        priority=500,
        exit_codes=[
            CODES.ERROR_OUTPUT_MISSING,
            CODES.ERROR_CRASHED,
            CODES.ERROR_KILLED,
            CODES.ERROR_OUTPUT_INCOMPLETE,
            CODES.ERROR_MLP,
            CODES.ERROR_INVALID_POTENTIAL,
            CODES.ERROR_OUT_OF_WALLTIME,
        ],
    )
    def handle_failed(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Start again from the same inputs, so that the result is that of an undisturbed run."""
        if self.ctx.repeats >= MAX_REPEATS:
            self.out_many(self.exposed_outputs(calculation, self._process_class))
            detail = f"[{calculation.exit_status}] {calculation.exit_message}"
            return ProcessHandlerReport(True, self.exit_codes.ERROR_FAILED_AGAIN.format(detail=detail))
        self.ctx.repeats += 1
        self._report(calculation, f"failed ({calculation.exit_message}); starting again")
        return ProcessHandlerReport(True)

    def _report(self, calculation: orm.CalcJobNode, what: str) -> None:
        self.report(f"{calculation.process_label}<{calculation.pk}> {what}")


class MlpTrainBaseWorkChain(MlpBaseWorkChain):
    """Run `lpsgb.mlp.train`, repeating what was interrupted and going on with what was not finished."""

    _process_class = MlpTrainCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input(
            "max_continuations",
            valid_type=orm.Int,
            serializer=orm.to_aiida_type,
            default=lambda: orm.Int(0),
            validator=validate_continuations,
            help="How often a training that has not converged after `max_iter` iterations goes on for as many more.",
        )

    def setup(self) -> None:
        """Take over the calculation's inputs."""
        super().setup()
        self.ctx.continuations = 0

    @process_handler(priority=600, exit_codes=[CODES.ERROR_OUT_OF_WALLTIME])
    def handle_out_of_walltime(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on from the potential of the last iteration; a repeat from the start would end there too."""
        if "potential" not in calculation.outputs:
            return None
        self.ctx.inputs.potential = calculation.outputs.potential
        self._report(calculation, "ran out of wall time; going on from its last iteration")
        return ProcessHandlerReport(True)

    @process_handler(priority=400, exit_codes=ExitCode(0))
    def handle_not_converged(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on from the potential that has not converged, if that is wanted."""
        converged = calculation.outputs.results["converged"]
        if converged or self.ctx.continuations >= self.inputs.max_continuations.value:
            return None
        self.ctx.continuations += 1
        self.ctx.inputs.potential = calculation.outputs.potential
        self._report(calculation, "has not converged; going on from its potential")
        return ProcessHandlerReport(True)


class MlpGradeBaseWorkChain(MlpBaseWorkChain):
    """Run `lpsgb.mlp.grade`, repeating what was interrupted."""

    _process_class = CalculationFactory("lpsgb.mlp.grade")


class MlpSelectBaseWorkChain(MlpBaseWorkChain):
    """Run `lpsgb.mlp.select`, repeating what was interrupted."""

    _process_class = CalculationFactory("lpsgb.mlp.select")


class MlpErrorsBaseWorkChain(MlpBaseWorkChain):
    """Run `lpsgb.mlp.errors`, repeating what was interrupted."""

    _process_class = CalculationFactory("lpsgb.mlp.errors")


class MlpPredictBaseWorkChain(MlpBaseWorkChain):
    """Run `lpsgb.mlp.predict`, repeating what was interrupted."""

    _process_class = CalculationFactory("lpsgb.mlp.predict")


def validate_continuations(node: orm.Int, _: Any) -> str | None:
    """A count cannot be negative."""
    if node.value < 0:
        return f"max_continuations: is {node.value}, expected at least 0"
    return None
