"""Molecular dynamics that mends what can be mended: `lpsgb.md.base`."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import (
    BaseRestartWorkChain,
    ProcessHandlerReport,
    ProcessSpec,
    process_handler,
    while_,
)
from aiida.plugins import CalculationFactory

from aiida_lpsgb.calculations.functions.md import halve_timestep

MdCalculation = CalculationFactory("lpsgb.md")
# Ports that the work chains above fill in for every run.
MD_FILLED_IN = tuple(
    f"md.{port}" for port in ("structure", "potential", "active_set", "parameters", "seed", "parent_folder")
)
CODES = MdCalculation.exit_codes


class MdBaseWorkChain(BaseRestartWorkChain):
    """Run `lpsgb.md`, continuing interrupted runs and calming unstable ones."""

    _process_class = MdCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(MdCalculation, namespace="md")
        spec.expose_outputs(MdCalculation)
        spec.input(
            "max_timestep_halvings",
            valid_type=orm.Int,
            default=lambda: orm.Int(1),
            help="How often the time step may be halved when the dynamics loses atoms or becomes non-finite.",
        )
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(
            410, "ERROR_UNSTABLE", message="The dynamics stayed unstable after halving the time step {n} times."
        )
        spec.exit_code(
            310, "EXTRAPOLATION_BREAK", message="The extrapolation grade exceeded gamma_break; the run was ended there."
        )

    def setup(self) -> None:
        """Take over the calculation's inputs."""
        super().setup()
        self.ctx.inputs = self.exposed_inputs(MdCalculation, namespace="md")
        self.ctx.halvings = 0
        self.ctx.began_again = False

    @process_handler(priority=600, exit_codes=[CODES.EXTRAPOLATION_BREAK])
    def handle_extrapolation_break(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Hand the selected configurations on: the potential needs training, not the run mending."""
        self.out_many(self.exposed_outputs(calculation, MdCalculation))
        return ProcessHandlerReport(True, self.exit_codes.EXTRAPOLATION_BREAK)

    @process_handler(priority=500, exit_codes=[CODES.ERROR_OUT_OF_WALLTIME, CODES.ERROR_INTERRUPTED])
    def handle_interrupted(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Continue from the newest restart file, or start again where there is none."""
        if restart_files(calculation):
            self.ctx.inputs.parent_folder = calculation.outputs.remote_folder
            self.report(
                f"{calculation.process_label}<{calculation.pk}> was interrupted; continuing from its restart file"
            )
        else:
            self.report(
                f"{calculation.process_label}<{calculation.pk}> was interrupted without a restart file; starting again"
            )
        return ProcessHandlerReport(True)

    @process_handler(priority=480, exit_codes=[CODES.ERROR_NO_LOG])
    def handle_no_log(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start again, once: a run killed as it began leaves no log, and so does a program that is not LAMMPS."""
        if self.ctx.began_again:
            return None
        self.ctx.began_again = True
        self.report(f"{calculation.process_label}<{calculation.pk}> left no log; starting again")
        return ProcessHandlerReport(True)

    @process_handler(priority=450, exit_codes=[CODES.ERROR_LAMMPS])
    def handle_unreadable_restart(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Start again where LAMMPS refused to continue: a run killed while it wrote leaves half a restart file."""
        if "parent_folder" not in calculation.inputs:
            return None
        self.ctx.inputs.pop("parent_folder")
        self.report(f"{calculation.process_label}<{calculation.pk}> could not be continued; starting again")
        return ProcessHandlerReport(True)

    @process_handler(priority=400, exit_codes=[CODES.ERROR_LOST_ATOMS, CODES.ERROR_NON_FINITE])
    def handle_unstable(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Start again with half the time step."""
        if self.ctx.halvings >= self.inputs.max_timestep_halvings.value:
            self.out_many(self.exposed_outputs(calculation, MdCalculation))
            return ProcessHandlerReport(True, self.exit_codes.ERROR_UNSTABLE.format(n=self.ctx.halvings))
        self.ctx.halvings += 1
        self.ctx.inputs.pop("parent_folder", None)
        self.ctx.inputs.parameters = halve_timestep(self.ctx.inputs.parameters)
        self.report(
            f"{calculation.process_label}<{calculation.pk}> was unstable; starting again with half the time step"
        )
        return ProcessHandlerReport(True)


def restart_files(calculation: orm.CalcJobNode) -> list[str]:
    """Names of the restart files in the working folder of a calculation; empty where the folder is gone."""
    remote: Any = calculation.outputs.remote_folder
    try:
        return [name for name in remote.listdir() if name.startswith("md.") and name.endswith(".restart")]
    except OSError:
        return []
