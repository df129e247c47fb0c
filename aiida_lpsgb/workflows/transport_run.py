"""One structure, one potential, one temperature, run until its diffusivity is known: `lpsgb.transport_run`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, WorkChain, if_, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations.analyse import observables_error, regions_error
from aiida_lpsgb.calculations.functions.transport import budget_error
from aiida_lpsgb.workflows.outputs import how_it_ended, namespace_of

AnalyseCalculation = CalculationFactory("lpsgb.analyse")
MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")
judge = CalculationFactory("lpsgb.judge")

ANALYSIS_FILES = ("remote_folder", "remote_stash", "retrieved")


class TransportRunWorkChain(WorkChain):
    """Run, analyse, and go on from the last step while D is not known well enough and the budget lasts.

    A part whose dynamics failed ends the run: what it left is handed out, but nothing is computed of it, since atoms
    that fly apart diffuse fast.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(MdBaseWorkChain, namespace="md")
        spec.expose_inputs(AnalyseCalculation, namespace="analyse", exclude=("trajectories", "regions"))
        spec.input(
            "regions",
            valid_type=orm.Dict,
            required=False,
            validator=regions_error,
            help="Named regions of the cell, as `lpsgb.analyse` takes them.",
        )
        spec.input(
            "motion",
            valid_type=orm.Dict,
            validator=observables_error,
            required=False,
            help="Observables that decide whether to go on, `diffusivity` among them; those of `analyse` are computed "
            "at the end. Left out: the run is as long as it is.",
        )
        spec.input(
            "budget",
            valid_type=orm.Dict,
            required=False,
            validator=lambda node, _: budget_error(node.get_dict()),
            help="`target_relative_error` of the diffusivity and `max_production_ps`; goes with `motion`.",
        )
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            cls.run_dynamics,
            cls.inspect_run,
            while_(cls.is_judged)(
                cls.look,
                cls.judge,
                if_(cls.goes_on)(cls.run_dynamics, cls.inspect_run),
            ),
            cls.analyse,
            cls.finish,
        )
        spec.output_namespace(
            "trajectories",
            valid_type=TrajectoryData,
            help="The run, a segment a job. After `ERROR_RUN_FAILED` the segments of the part that failed are among "
            "them: observables, there, are of the segments before, those of the parts that ended well.",
        )
        spec.output("structure", valid_type=orm.StructureData, help="The last configuration that is known.")
        spec.output_namespace("results", valid_type=orm.Dict, help="Results of the dynamics, of each part of the run.")
        spec.output_namespace(
            "extrapolated",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames that extrapolate, where the run is watched (`md.md.active_set`), a node a segment.",
        )
        spec.output(
            "judgement",
            valid_type=orm.Dict,
            required=False,
            help="Whether the diffusivity is known as well as the budget asks (`known`), in a sentence (`reason`), and "
            "how long was produced (`production_ps`).",
        )
        spec.expose_outputs(AnalyseCalculation, exclude=ANALYSIS_FILES)
        spec.exit_code(401, "ERROR_RUN_FAILED", message="The dynamics failed{after}: {detail}")
        spec.exit_code(402, "ERROR_ANALYSIS_FAILED", message="The run could not be analysed: {detail}")

    def setup(self) -> None:
        """Begin with the parameters as they are."""
        self.ctx.parameters = self.inputs.md.md.parameters
        self.ctx.parts, self.ctx.segments, self.ctx.extrapolated = [], {}, {}
        self.ctx.sound = {}
        self.ctx.over = "budget" not in self.inputs
        self.ctx.failure = None

    def run_dynamics(self) -> ToContext:
        """Run, or go on from the last step."""
        inputs = AttributeDict(self.exposed_inputs(MdBaseWorkChain, namespace="md"))
        inputs.md.parameters = self.ctx.parameters
        if self.ctx.parts:
            inputs.md.parent_folder = self.ctx.parts[-1].outputs.remote_folder
        inputs.setdefault("metadata", {})["call_link_label"] = f"part_{len(self.ctx.parts)}"
        return ToContext(dynamics=self.submit(MdBaseWorkChain, **inputs))

    def inspect_run(self) -> ExitCode | None:
        """Take the segments; a part that failed ends the run, and is not analysed."""
        part = self.ctx.dynamics
        self.ctx.parts.append(part)
        first = len(self.ctx.segments)
        for node in namespace_of(part, "trajectories").values():
            self.ctx.segments[f"segment_{len(self.ctx.segments):03d}"] = node
        for label, node in namespace_of(part, "extrapolated").items():
            self.ctx.extrapolated[f"segment_{first + int(label.rpartition('_')[2]):03d}"] = node
        if part.is_finished_ok:
            self.ctx.sound = dict(self.ctx.segments)
            self.ctx.parameters = part.outputs.parameters  # the time step may have been halved
            return None
        self._hand_out()
        before = self.ctx.get("judgement")
        after = f" after {before['production_ps']:g} ps that ended well and are analysed" if before else ""
        return self.exit_codes.ERROR_RUN_FAILED.format(after=after, detail=how_it_ended(part))

    def is_judged(self) -> bool:
        """Whether the run may have to go on."""
        return not self.ctx.over

    def look(self) -> ToContext:
        """Analyse the motion so far, and all there is to analyse once the budget leaves no more."""
        spent = self.ctx.parameters["stages"][-1]["duration_ps"] >= self.inputs.budget["max_production_ps"]
        self.ctx.looked_at = self.inputs.analyse.parameters if spent else self.inputs.motion
        return ToContext(analysis=self._submit_analysis(self.ctx.looked_at, f"look_{len(self.ctx.parts)}"))

    def judge(self) -> None:
        """Decide whether the diffusivity is known, and how much longer to run if it is not."""
        if not self.ctx.analysis.is_finished_ok:
            self.ctx.failure, self.ctx.over = how_it_ended(self.ctx.analysis), True
            return
        outcome = judge(self.ctx.parameters, self.inputs.budget, self.ctx.analysis.outputs.diffusivity)
        self.ctx.judgement = outcome["judgement"]
        self.report(self.ctx.judgement["reason"])
        if "parameters" in outcome:
            self.ctx.parameters = outcome["parameters"]
        else:
            self.ctx.over = True

    def goes_on(self) -> bool:
        """Whether the run is to be extended."""
        return not self.ctx.over

    def analyse(self) -> ToContext | None:
        """Compute all observables, unless the last look has."""
        parameters = self.inputs.analyse.parameters
        if "looked_at" in self.ctx and self.ctx.looked_at.get_dict() == parameters.get_dict():
            return None
        return ToContext(analysis=self._submit_analysis(parameters, "analyse"))

    def _submit_analysis(self, parameters: orm.Dict, label: str) -> orm.CalcJobNode:
        inputs = AttributeDict(self.exposed_inputs(AnalyseCalculation, namespace="analyse"))
        inputs.parameters = parameters
        inputs.trajectories = self.ctx.sound
        if "regions" in self.inputs:
            inputs.regions = self.inputs.regions
        inputs.metadata = {**inputs.get("metadata", {}), "call_link_label": label}
        return self.submit(AnalyseCalculation, **inputs)

    def finish(self) -> ExitCode | None:
        """Hand out what there is, and say whether it could be analysed."""
        self._hand_out()
        if self.ctx.failure is None and not self.ctx.analysis.is_finished_ok:
            self.ctx.failure = how_it_ended(self.ctx.analysis)
        if self.ctx.failure is not None:
            return self.exit_codes.ERROR_ANALYSIS_FAILED.format(detail=self.ctx.failure)
        return None

    def _hand_out(self) -> None:
        """Attach what there is; of a part that failed any output may be missing."""
        for name, nodes in {"trajectories": self.ctx.segments, "extrapolated": self.ctx.extrapolated}.items():
            if nodes:
                self.out(name, nodes)
        if structures := [part.outputs.structure for part in self.ctx.parts if "structure" in part.outputs]:
            self.out("structure", structures[-1])
        for number, part in enumerate(self.ctx.parts):
            if "results" in part.outputs:
                self.out(f"results.part_{number}", part.outputs.results)
        if "judgement" in self.ctx:
            self.out("judgement", self.ctx.judgement)
        if "analysis" in self.ctx:
            self.out_many(self.exposed_outputs(self.ctx.analysis, AnalyseCalculation))


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """A budget needs something to judge, and a stage that is dumped."""
    if ("budget" in inputs) != ("motion" in inputs):
        return "budget: `budget` and `motion` (the observables that are judged) go together"
    if "motion" in inputs and not inputs["motion"].get_dict().get("diffusivity"):
        return "motion: `diffusivity` is missing, which is what is judged"
    return None
