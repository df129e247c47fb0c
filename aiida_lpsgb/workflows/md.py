"""`lpsgb.md` in as many jobs as it takes, mending what can be mended: `lpsgb.md.base`."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import (
    BaseRestartWorkChain,
    ExitCode,
    ProcessHandlerReport,
    ProcessSpec,
    WorkChain,
    process_handler,
    while_,
)
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.calculations.functions.md import (
    CLOSE_STEPS,
    halve_timestep,
    join_segments,
    remaining_stages,
    watch_closely,
)
from aiida_lpsgb.calculations.md import newest_restart, validate_parameters
from aiida_lpsgb.calculations.md_parameters import DEFAULTS, GRADED_STYLES, dumped_stage, planned_steps, resolve

MdCalculation = CalculationFactory("lpsgb.md")
ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")
# Ports that the work chains above fill in for every run.
MD_FILLED_IN = tuple(
    f"md.{port}" for port in ("structure", "potential", "active_set", "parameters", "seed", "parent_folder")
)
CODES = MdCalculation.exit_codes
# Outputs of a job that become a namespace of segments.
SEGMENTED = {"trajectory": "trajectories", "thermo": "thermo", "extrapolated": "extrapolated"}
# What helps where jobs that ended so brought the run no further.
ADVICE = {
    CODES.ERROR_OUT_OF_WALLTIME.status: "give more wall time or a shorter `restart_interval_ps`",
    CODES.ERROR_INTERRUPTED.status: "what ended them is in their scheduler's files; where it was the wall time, give "
    "more of it or a shorter `restart_interval_ps`",
    CODES.ERROR_KILLED.status: "give the jobs more memory; where it was a limit of time, a shorter "
    "`restart_interval_ps`",
    CODES.ERROR_CRASHED.status: "see whether the code runs on that computer at all",
}
# Jobs in a row that may end without having brought the run any further.
MAX_STALLED = 2
# A budget, no expectation: a run goes on for as long as its jobs make progress.
MAX_JOBS = 1000


class MdBaseWorkChain(BaseRestartWorkChain):
    """Run `lpsgb.md` in segments: interrupted runs are continued, unstable ones calmed, minimisations finished."""

    _process_class = MdCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(MdCalculation, namespace="md")
        spec.inputs["max_iterations"].default = lambda: orm.Int(MAX_JOBS)
        spec.inputs["max_iterations"].help = (
            "Most jobs, as a budget. A run needs as many as its length and the wall time make; it goes on for as long "
            f"as jobs make progress, and ends when {MAX_STALLED} in a row made none."
        )
        spec.input(
            "max_timestep_halvings",
            valid_type=orm.Int,
            default=lambda: orm.Int(1),
            help="How often the time step may be halved when the dynamics loses atoms or becomes non-finite.",
        )
        spec.input(
            "max_minimisations",
            valid_type=orm.Int,
            default=lambda: orm.Int(20),
            help="Most jobs of a minimisation that ends before its minimum; each goes on from the last structure.",
        )
        spec.expose_outputs(MdCalculation, include=("results", "structure", "timing", "remote_folder"))
        spec.output(
            "parameters",
            valid_type=orm.Dict,
            required=False,
            help="Those that a run which ended well was made with, and is to be extended with: as they were given, but "
            "for a time step that was halved.",
        )
        spec.outputs["results"].help = (
            "Results of the run, joined over its segments: averages of each stage over all rows, the number and the "
            "highest grade of all extrapolated configurations, all minimisations, `steps`, `n_segments`."
        )
        spec.output_namespace("trajectories", valid_type=TrajectoryData, help="Frames, a node a segment.")
        spec.output_namespace("thermo", valid_type=orm.ArrayData, help="Thermodynamic output, a node a segment.")
        spec.output_namespace("extrapolated", valid_type=ConfigurationsData, help="As of `lpsgb.md`, a node a segment.")
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(
            310, "EXTRAPOLATION_BREAK", message="The extrapolation grade exceeded gamma_break; the run was ended there."
        )
        spec.exit_code(322, "ERROR_LAMMPS", message="LAMMPS refused the run, which would be refused again: {detail}")
        spec.exit_code(324, "ERROR_RESTART", message="The run that was to be continued has no restart file: {detail}")
        spec.exit_code(330, "ERROR_NOT_MINIMISED", message="After {n} jobs: {detail}")
        spec.exit_code(
            410,
            "ERROR_UNSTABLE",
            message="The dynamics is unstable, {mended}: {detail}",
        )
        spec.exit_code(
            411,
            "ERROR_NO_PROGRESS",
            message="{n} jobs in a row brought the run no further than step {step}{advice}; the last one: {detail}",
        )

    def setup(self) -> None:
        """Take over the calculation's inputs."""
        super().setup()
        self.ctx.inputs = self.exposed_inputs(MdCalculation, namespace="md")
        self.ctx.parameters = self.ctx.inputs.parameters
        self.ctx.halvings = self.ctx.minimisations = 0
        self._begin()
        parameters = self.ctx.parameters.get_dict()
        if "restart_interval_ps" not in parameters and any("duration_ps" in stage for stage in parameters["stages"]):
            self.report(f"restart files are written every {DEFAULTS['restart_interval_ps']:g} ps, the default")

    def inspect_process(self) -> ExitCode | None:
        """Let the handlers look at a job; where that ends the run, hand out the segments that there are.

        AiiDA itself ends it where a job excepted, was killed or failed in a way that no handler knows.
        """
        code = super().inspect_process()
        if code is not None and code.status and "results" not in self.outputs:
            self._attach_segments()
        return code

    def _begin(self) -> None:
        """Stand at the beginning of the run: nothing done yet."""
        self.ctx.segments = []
        self.ctx.stalled = 0
        self.ctx.energy = None

    # --- handlers -----------------------------------------------------------------------------------------------------

    @process_handler(priority=600, exit_codes=[CODES.EXTRAPOLATION_BREAK])
    def handle_extrapolation_break(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Hand the selected configurations on: the potential needs training, not the run mending."""
        return self._give_up(calculation, self.exit_codes.EXTRAPOLATION_BREAK)

    @process_handler(
        priority=500,
        exit_codes=[
            CODES.ERROR_OUT_OF_WALLTIME,
            CODES.ERROR_INTERRUPTED,
            CODES.ERROR_KILLED,
            CODES.ERROR_MACHINE,
        ],
    )
    def handle_interrupted(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Continue from the newest whole restart file, or from the structure that a minimisation has reached."""
        restart = newest_restart(calculation.outputs.remote_folder)
        if restart is not None and restart[1] > first_step(calculation) and "results" in calculation.outputs:
            self.ctx.segments.append(calculation)
            self.ctx.inputs.parent_folder = calculation.outputs.remote_folder
            self.ctx.stalled = 0
            return self._go_on(calculation, f"going on from step {restart[1]}")
        return self._go_on_minimising(calculation) or self._try_again(calculation)

    @process_handler(priority=490, exit_codes=[CODES.ERROR_NO_LOG, CODES.ERROR_OUTPUT_INCOMPLETE])
    def handle_repeatable(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Run the job again: killed as it began, or with a dump that lacks frames."""
        return self._try_again(calculation)

    @process_handler(priority=480, exit_codes=[CODES.ERROR_RESTART])
    def handle_unreadable_restart(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Run the segment before again, from where it began; its restart files cannot be read."""
        if not self.ctx.segments:
            return self._give_up(calculation, self.exit_codes.ERROR_RESTART.format(detail=calculation.exit_message))
        before = self.ctx.segments.pop()
        self.ctx.inputs.pop("parent_folder")
        if "parent_folder" in before.inputs:
            self.ctx.inputs.parent_folder = before.inputs.parent_folder
        return self._try_again(calculation)

    @process_handler(priority=450, exit_codes=[CODES.ERROR_NOT_MINIMISED])
    def handle_not_minimised(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from the last structure, as often as is allowed."""
        self.ctx.minimisations += 1
        if self.ctx.minimisations < self.inputs.max_minimisations.value and (
            report := self._go_on_minimising(calculation)
        ):
            return report
        code = self.exit_codes.ERROR_NOT_MINIMISED
        return self._give_up(calculation, code.format(n=self.ctx.minimisations, detail=calculation.exit_message))

    @process_handler(priority=420, exit_codes=[CODES.ERROR_CRASHED])
    def handle_crashed_at_once(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Run a job again that crashed before any dynamics; during dynamics a crash is one of atoms that fly apart."""
        return None if "thermo" in calculation.outputs else self._try_again(calculation)

    @process_handler(
        priority=400,
        exit_codes=[
            CODES.ERROR_LOST_ATOMS,
            CODES.ERROR_NON_FINITE,
            CODES.ERROR_CRASHED,
            CODES.ERROR_TEMPERATURE,
        ],
    )
    def handle_unstable(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """See whether the potential is what is wrong; if it is not, start again with half the time step."""
        if self._was_glanced_at(calculation):
            self.ctx.inputs.parameters = watch_closely(calculation.inputs.parameters)
            return self._go_on(calculation, f"the same again, graded every {CLOSE_STEPS} steps")
        if mended := self._why_not_calmed(calculation):
            code = self.exit_codes.ERROR_UNSTABLE
            return self._give_up(calculation, code.format(mended=mended, detail=calculation.exit_message))
        self.ctx.halvings += 1
        self.ctx.inputs.pop("parent_folder", None)
        self.ctx.parameters = self.ctx.inputs.parameters = halve_timestep(self.ctx.parameters)
        self.ctx.inputs.structure = self.inputs.md.structure
        self._begin()
        return self._go_on(calculation, "starting again with half the time step")

    @process_handler(priority=300, exit_codes=[CODES.ERROR_LAMMPS])
    def handle_refused(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Give up on what LAMMPS refuses."""
        return self._give_up(calculation, self.exit_codes.ERROR_LAMMPS.format(detail=calculation.exit_message))

    # --- what handlers do ---------------------------------------------------------------------------------------------

    @staticmethod
    def _was_glanced_at(calculation: orm.CalcJobNode) -> bool:
        """Whether a watched run that saw nothing would see more if it were graded more often."""
        parameters = resolve(calculation.inputs.parameters.get_dict())
        if parameters["pair_style"] not in GRADED_STYLES or "extrapolated" in calculation.outputs:
            return False
        return parameters["extrapolation"]["interval_steps"] > CLOSE_STEPS

    def _why_not_calmed(self, calculation: orm.CalcJobNode) -> str | None:
        """Why half the time step is not what an unstable run needs, or None."""
        if "extrapolated" in calculation.outputs:
            grade = calculation.outputs.results["max_grade"]
            grades = "" if grade is None else f" (grades up to {grade:.3g})"
            return f"where the potential extrapolates{grades}, which no smaller time step mends"
        stage = dumped_stage(self.ctx.parameters)
        if calculation.exit_status == CODES.ERROR_TEMPERATURE.status and stage["ensemble"] == "nve":
            return "by no thermostat, which no smaller time step mends"
        if "parent_folder" in self.inputs.md:
            return "and one that is extended keeps its time step"
        n = self.ctx.halvings
        if n < self.inputs.max_timestep_halvings.value:
            return None
        times = "once" if n == 1 else f"{n} times"
        return f"also with the time step halved {times}" if n else "and its time step may not be halved"

    def _go_on(self, calculation: orm.CalcJobNode, what: str) -> ProcessHandlerReport:
        self.report(f"{calculation.process_label}<{calculation.pk}>: {calculation.exit_message} Now: {what}")
        return ProcessHandlerReport(True)

    def _go_on_minimising(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Go on with a minimisation that precedes all dynamics, if it has made progress; else None."""
        if "structure" not in calculation.outputs or "results" not in calculation.outputs:
            return None
        results = calculation.outputs.results.get_dict()
        stages, index = calculation.inputs.parameters["stages"], results["next_stage"]
        if index is None or stages[index]["ensemble"] != "minimise" or not results["minimisations"]:
            return None
        energy = results["minimisations"][-1]["energy_eV"]
        if planned_steps_before(calculation, index) or energy is None or not self._lower(energy):
            return None
        self.ctx.energy, self.ctx.stalled = energy, 0
        self.ctx.segments.append(calculation)
        self.ctx.inputs.structure = calculation.outputs.structure
        if index:
            self.ctx.inputs.parameters = remaining_stages(calculation.inputs.parameters, orm.Int(index))
        return self._go_on(calculation, f"going on from the last structure, {energy:.6g} eV")

    def _lower(self, energy: float) -> bool:
        return self.ctx.energy is None or energy < self.ctx.energy

    def _try_again(self, calculation: orm.CalcJobNode) -> ProcessHandlerReport:
        """Run the same once more, unless that has not helped before."""
        self.ctx.stalled += 1
        if self.ctx.stalled >= MAX_STALLED:
            code = self.exit_codes.ERROR_NO_PROGRESS
            advice = f" ({ADVICE[calculation.exit_status]})" if calculation.exit_status in ADVICE else ""
            told = {"step": first_step(calculation), "advice": advice, "detail": calculation.exit_message}
            return self._give_up(calculation, code.format(n=self.ctx.stalled, **told))
        again = "trying again from there" if "parent_folder" in self.ctx.inputs else "starting again"
        return self._go_on(calculation, again)

    def _give_up(self, calculation: orm.CalcJobNode, exit_code: ExitCode) -> ProcessHandlerReport:
        """Hand out what there is."""
        if "results" in calculation.outputs:
            self.ctx.segments.append(calculation)
        self._attach_segments()
        return ProcessHandlerReport(True, exit_code)

    # --- results ------------------------------------------------------------------------------------------------------

    def results(self) -> None:
        """Attach the segments and what they give together."""
        self.ctx.segments.append(self.ctx.children[self.ctx.iteration - 1])
        self.report(f"completed in {self.ctx.iteration} jobs, {len(self.ctx.segments)} segments")
        self._attach_segments()
        self.out("parameters", self.ctx.parameters)

    def _attach_segments(self) -> None:
        segments = {f"segment_{number:03d}": node for number, node in enumerate(self.ctx.segments)}
        if not segments:
            return
        for label, node in segments.items():
            for output, namespace in SEGMENTED.items():
                if output in node.outputs:
                    self.out(f"{namespace}.{label}", node.outputs[output])
        for output in ("structure", "timing", "remote_folder"):
            if output in node.outputs:
                self.out(output, node.outputs[output])
        self.out("results", node.outputs.results if len(segments) == 1 else self._joined(segments))

    def _joined(self, segments: dict[str, orm.CalcJobNode]) -> orm.Dict:
        parts: dict[str, Any] = {}
        for label, node in segments.items():
            parts[f"results_{label}"] = node.outputs.results
            if "thermo" in node.outputs:
                parts[f"thermo_{label}"] = node.outputs.thermo
        return join_segments(self.ctx.parameters, **parts)


def inputs_of_run(process: WorkChain, namespace: str = "md", **run: orm.Data) -> AttributeDict:
    """Inputs of `lpsgb.md.base` as a work chain exposes them, with what it fills in (`MD_FILLED_IN`)."""
    inputs = process.exposed_inputs(MdBaseWorkChain, namespace=namespace)
    inputs.md |= run
    return inputs


def validate_relaxation(node: orm.Dict, _: Any) -> str | None:
    """Where energies are compared, or learned from, there is a minimum."""
    if message := validate_parameters(node, _):
        return message
    if not any(stage["ensemble"] == "minimise" for stage in node["stages"]):
        return "parameters: give a stage with `ensemble: minimise`, for it is minima that are wanted"
    return None


def first_step(calculation: orm.CalcJobNode) -> int:
    """Step that a job went on from: that of the restart file it was given."""
    if "parent_folder" not in calculation.inputs:
        return 0
    results = calculation.outputs.results.get_dict() if "results" in calculation.outputs else {}
    if results.get("first_step"):
        return results["first_step"]
    restart = newest_restart(calculation.inputs.parent_folder)
    return restart[1] if restart else 0


def planned_steps_before(calculation: orm.CalcJobNode, index: int) -> int:
    """Steps of dynamics before a stage of a job, given by its index."""
    parameters = {**DEFAULTS, **calculation.inputs.parameters.get_dict()}
    return planned_steps({**parameters, "stages": parameters["stages"][:index]})
