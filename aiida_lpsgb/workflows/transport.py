"""How fast ions move in a structure: `lpsgb.transport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.analyse import observables_error, regions_error
from aiida_lpsgb.calculations.functions.arrhenius import BY_RUN
from aiida_lpsgb.calculations.functions.sweep import potential_at_fault, run_label, temperature_label
from aiida_lpsgb.calculations.functions.transport import budget_error
from aiida_lpsgb.calculations.md_parameters import extrapolation_error
from aiida_lpsgb.workflows.md import inputs_of_run
from aiida_lpsgb.workflows.outputs import flattened, how_it_ended, namespace_of
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job
from aiida_lpsgb.workflows.queue import QueueMixin
from aiida_lpsgb.workflows.sweep import expose_sweep

AnalyseCalculation = CalculationFactory("lpsgb.analyse")
TransportRunWorkChain = WorkflowFactory("lpsgb.transport_run")
ConfigurationsData = DataFactory("lpsgb.configurations")
DiffusivityData = DataFactory("lpsgb.diffusivity")
TrajectoryData = DataFactory("lpsgb.trajectory")
arrhenius_fit = CalculationFactory("lpsgb.arrhenius_fit")
plan_sweep = CalculationFactory("lpsgb.plan_sweep")
summarise = CalculationFactory("lpsgb.summarise")


class TransportWorkChain(ProtocolMixin, QueueMixin):
    """Run a structure with every potential at every temperature until its diffusivities are known, and fit them.

    A crystal, a boundary, a glass, an interface and anybody's structure are the same to it.
    """

    CHILDREN = ("analyse",)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        cls._define_inputs(spec)
        spec.outline(cls.queue_runs, while_(cls.queue_waits)(cls.run_queue), cls.fit, cls.finish)
        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_inputs(cls, spec: ProcessSpec) -> None:
        spec.input("structure", valid_type=orm.StructureData, help="Fully occupied structure to run.")
        expose_sweep(spec)
        cls.limit_queue(spec, "Runs")
        spec.input_namespace(
            "active_sets",
            dynamic=True,
            valid_type=orm.SinglefileData,
            required=False,
            help="Active sets by the names of potentials: runs with these are watched.",
        )
        spec.input(
            "watch",
            valid_type=orm.Dict,
            required=False,
            validator=validate_watch,
            help="How runs are watched, as `extrapolation` of `lpsgb.md`: `gamma_select`, above which a frame is kept "
            "as one that extrapolates, `gamma_break`, above which a run is ended, `interval_steps` between grades.",
        )
        spec.input(
            "ends_when_lost",
            valid_type=orm.Bool,
            default=lambda: orm.Bool(False),
            help="Whether what is queued is left out once a watched run failed where its potential extrapolates: for "
            "a parent that then has it learn more.",
        )
        spec.expose_inputs(AnalyseCalculation, namespace="analyse", exclude=("trajectories", "parameters", "regions"))
        spec.input(
            "motion",
            valid_type=orm.Dict,
            validator=observables_error,
            help="Observables of every run, as `parameters` of `lpsgb.analyse`; `diffusivity` is one of them.",
        )
        spec.input(
            "structural",
            valid_type=orm.Dict,
            validator=observables_error,
            required=False,
            help="Observables of the runs at `structural_temperatures`, those of `motion` among them.",
        )
        spec.input(
            "structural_temperatures",
            valid_type=orm.List,
            required=False,
            help="Temperatures in K at which `structural` is computed; each is one of `temperatures`.",
        )
        spec.input(
            "regions",
            valid_type=orm.Dict,
            required=False,
            validator=regions_error,
            help="Named regions of the cell, as `lpsgb.analyse` takes them.",
        )
        spec.input(
            "budget",
            valid_type=orm.Dict,
            required=False,
            validator=lambda node, _: budget_error(node.get_dict()),
            help="A run is extended until its diffusivity has the `target_relative_error`, or `max_production_ps` are "
            "spent; what is then not known is an upper limit.",
        )
        spec.input(
            "fit",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.arrhenius_fit`. The runs at its `target_temperature_K` are made even where "
            "those of other cold temperatures are given up.",
        )
        spec.inputs.validator = validate_inputs

    @classmethod
    def _define_outputs(cls, spec: ProcessSpec) -> None:
        spec.output("arrhenius", valid_type=orm.Dict, required=False, help="E_a, D₀ and σ with uncertainties.")
        spec.output_namespace(
            "diffusivities",
            valid_type=DiffusivityData,
            help="A diffusivity a run that ended well. What one that failed had found before stays with its own "
            "process.",
        )
        spec.output_namespace(
            "regions",
            valid_type=DiffusivityData,
            required=False,
            help="Diffusivities by run, region and estimator, of the same runs.",
        )
        spec.output_namespace(
            "regional_arrhenius", valid_type=orm.Dict, required=False, help="The fits by region and estimator."
        )
        spec.output_namespace(
            "judgements", valid_type=orm.Dict, required=False, help="Whether each run was long enough, and why."
        )
        spec.output_namespace(
            "structures", valid_type=orm.StructureData, help="The last configuration of each run that is known."
        )
        spec.output_namespace(
            "trajectories",
            valid_type=TrajectoryData,
            help="The segments of each run; of one that failed also those of its failure.",
        )
        spec.output_namespace(
            "observables",
            valid_type=orm.Data,
            required=False,
            help="All other results of `lpsgb.analyse` of each run that ended well.",
        )
        spec.output_namespace(
            "extrapolated",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames of each watched run that extrapolate: candidates to learn from.",
        )
        spec.output("summary", valid_type=orm.Dict, required=False, help="The headline numbers of all runs and fits.")

    @classmethod
    def _define_exit_codes(cls, spec: ProcessSpec) -> None:
        spec.exit_code(
            401,
            "ERROR_RUNS_FAILED",
            message="Of {total} runs {n} failed{blame}: {detail}; the others' results are attached.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        potentials: Mapping[str, orm.Data] | None = None,
        *,
        mobile: Mapping[str, Any] | None = None,
        regions: Mapping[str, Any] | None = None,
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
            By role: `md` (LAMMPS) and `analyse` (`lpsgb-analyse`); see `load_codes`.
        structure, potentials
            What to run, and the potentials by name; left out where a parent fills them in.
        mobile
            `species` and `charge` of the ion that moves; those of the protocol of `lpsgb.analyse` if left out.
        regions
            Regions of the structure by name, as `lpsgb.analyse` takes them; diffusion is resolved by them.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the override `analyse` takes entries of the protocol of `lpsgb.analyse`, the
            roles of `options` are `md` and `analyse`.
        seed
            Seed of the runs; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structure=structure, potentials=potentials)
        builder.seed = seed or cls.draw_seed()
        builder.n_replicas = orm.Int(values["n_replicas"])
        builder.temperatures = orm.List(values["temperatures_K"])
        builder.parameters = orm.Dict(values["parameters"])
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        builder.fit = orm.Dict({"target_temperature_K": values["target_temperature_K"], "potentials": BY_RUN})
        if values["budget"]:
            builder.budget = orm.Dict(values["budget"])
        if values["watch"]:
            builder.watch = orm.Dict(values["watch"])
        fill_job(builder.md.md, codes, values, "md")
        fill_job(builder.analyse, codes, values, "analyse")
        observables = {"mobile": dict(mobile or {}), **values["analyse"]}
        wanted = AnalyseCalculation.get_parameters(
            values["protocol"], observables, by_region=bool(regions), path=f"{path}analyse."
        )
        if regions:
            builder.regions = orm.Dict(dict(regions))
        builder.motion = orm.Dict({name: wanted[name] for name in values["motion"]})
        if temperatures := cls._structural_temperatures(values, overrides or {}):
            builder.structural = orm.Dict(wanted)
            builder.structural_temperatures = orm.List(temperatures)
        return cls.checked(builder)

    @staticmethod
    def _structural_temperatures(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[float]:
        """Where structure is looked at: as asked, else those of the protocol that are run, else the coldest."""
        wanted, there = values["structural_temperatures_K"], values["temperatures_K"]
        if "structural_temperatures_K" in overrides or not wanted:
            return wanted
        return [t for t in wanted if t in there] or [min(there)]

    @classmethod
    def get_builder_adding(
        cls,
        sweep: orm.WorkChainNode,
        *,
        temperatures_K: Sequence[float] = (),
        n_replicas: int | None = None,
        max_production_ps: float | None = None,
    ) -> Any:
        """Builder of a sweep that has more runs than a finished one, or longer ones, and fits all of them.

        With caching on (as `aiida-lpsgb quicksetup` sets it) only what is new is computed.

        Parameters
        ----------
        sweep
            A sweep, finished or not.
        temperatures_K
            Further temperatures in K.
        n_replicas
            Runs of each temperature and potential, in all.
        max_production_ps
            Budget of a run, in ps; one that is known well enough stays as it is.

        Raises
        ------
        ValueError
            If it would be the same sweep, or a smaller one.
        """
        builder = sweep.get_builder_restart()
        before = sweep.inputs.temperatures.get_list()
        more = [t for t in temperatures_K if t not in before]
        builder.temperatures = orm.List([*before, *more])
        if n_replicas is not None:
            if n_replicas < sweep.inputs.n_replicas.value:
                raise ValueError(f"n_replicas: is {n_replicas}, the sweep has {sweep.inputs.n_replicas.value} already")
            builder.n_replicas = orm.Int(n_replicas)
        if max_production_ps is not None:
            if "budget" not in sweep.inputs:
                raise ValueError("max_production_ps: the sweep has no budget; its runs are as long as their stages")
            builder.budget = orm.Dict({**sweep.inputs.budget.get_dict(), "max_production_ps": max_production_ps})
        if not more and n_replicas in (None, sweep.inputs.n_replicas.value) and max_production_ps is None:
            listed = ", ".join(f"{t:g}" for t in before)
            raise ValueError(f"nothing to add: give temperatures beside {listed} K, more replicas or a larger budget")
        return cls.checked(builder)

    def queue_runs(self) -> None:
        """Queue a run for every temperature, potential and replica, the hottest first."""
        inputs = self.inputs
        temperatures = sorted(inputs.temperatures.get_list(), reverse=True)
        potentials = sorted(inputs.potentials)
        plan = plan_sweep(
            inputs.parameters,
            orm.List(temperatures),
            orm.List(potentials),
            inputs.n_replicas,
            inputs.seed,
            **({"watch": inputs.watch} if self._watched() else {}),
        )
        self.open_queue()
        self.ctx.temperature_of = {}
        for temperature in temperatures:
            for replica in range(1, inputs.n_replicas.value + 1):
                for name in potentials:
                    label = run_label(temperature, name, replica)
                    self.ctx.temperature_of[label] = temperature
                    kind = "watched" if name in self._watched() else "parameters"
                    parameters = plan[f"{kind}_{temperature_label(temperature)}"]
                    run = self._run_inputs(temperature, name, parameters, plan[f"seed_{label}"])
                    self.enqueue(label, TransportRunWorkChain, run)
        self.report(
            f"{len(self.ctx.children)} runs of {inputs.structure.get_formula()} at "
            f"{', '.join(f'{t:g}' for t in temperatures)} K with {', '.join(potentials)}"
        )

    def _watched(self) -> Mapping[str, orm.SinglefileData]:
        """Active sets of the potentials whose runs are watched."""
        return self.inputs.get("active_sets", {}) if "watch" in self.inputs else {}

    def _run_inputs(self, temperature_K: float, potential: str, parameters: orm.Dict, seed: orm.Int) -> AttributeDict:
        run = {"structure": self.inputs.structure, "potential": self.inputs.potentials[potential]}
        if potential in self._watched():
            run["active_set"] = self._watched()[potential]
        inputs = AttributeDict({"md": inputs_of_run(self, parameters=parameters, seed=seed, **run)})
        inputs.analyse = self.exposed_inputs(AnalyseCalculation, namespace="analyse")
        structural = self.inputs.get("structural_temperatures")
        looked_at = structural is not None and temperature_K in structural.get_list()
        inputs.analyse.parameters = self.inputs.structural if looked_at else self.inputs.motion
        if "budget" in self.inputs:
            inputs.budget, inputs.motion = self.inputs.budget, self.inputs.motion
        if "regions" in self.inputs:
            inputs.regions = self.inputs.regions
        return inputs

    def child_ended(self, label: str, node: orm.ProcessNode) -> None:
        """Give up what the end of a run makes pointless."""
        if not node.is_finished_ok:
            self.report(f"run {label}: {how_it_ended(node)}")
        if self.inputs.ends_when_lost and was_lost(node) and self.ctx.queue:
            left_out = [queued for queued, *_ in self.ctx.queue]
            self.drop_queued(left_out)
            self.report(f"run {label} was lost where its potential extrapolates; left out: {', '.join(left_out)}")
        self._give_up_colder(self.ctx.temperature_of[label])

    def _give_up_colder(self, temperature: float) -> None:
        """Leave out what is colder than a temperature at which the budget was not enough for any run."""
        siblings = [other for other, t in self.ctx.temperature_of.items() if t == temperature]
        ended = [self.ctx.children.get(other) for other in siblings]
        if None in ended or not all(too_short(run) for run in ended):
            return
        colder = [
            queued
            for queued, *_ in self.ctx.queue
            if self.ctx.temperature_of[queued] < temperature
            and self.ctx.temperature_of[queued] != self.inputs.fit["target_temperature_K"]
        ]
        if colder:
            self.drop_queued(colder)
            self.report(f"not diffusive within the budget at {temperature:g} K; left out: {', '.join(colder)}")

    def fit(self) -> None:
        """Collect the results of all runs, and fit the diffusivities of the cell and of each region."""
        self.ctx.failed = {}
        summaries: dict[str, orm.Dict] = {}
        diffusivities: dict[str, orm.Data] = {}
        regional: dict[str, dict[str, orm.Data]] = {}
        for label, run in self.ctx.children.items():
            self._hand_on(label, run)
            if "active_set" in run.inputs.md.md:
                for part, results in namespace_of(run, "results").items():
                    summaries[f"dynamics_{label}_{part}"] = results
            if not run.is_finished_ok:
                self.ctx.failed[label] = how_it_ended(run)
                continue
            summaries[f"run_{label}"] = run.outputs.summary
            diffusivities[label] = run.outputs.diffusivity
            for name, node in flattened(namespace_of(run, "regions")).items():
                regional.setdefault(name, {})[label] = node
        failed = {"failed": orm.List(sorted(self.ctx.failed))} if self.ctx.failed else {}
        if diffusivities:
            summaries["arrhenius"] = arrhenius_fit(self.inputs.fit, **failed, **diffusivities)
            self.out("arrhenius", summaries["arrhenius"])
        for name, nodes in regional.items():
            summaries[f"regional_{name}"] = arrhenius_fit(self.inputs.fit, **failed, **nodes)
            self.out(f"regional_arrhenius.{name}", summaries[f"regional_{name}"])
        if summaries:
            self.out("summary", summarise(**failed, **summaries))

    def _hand_on(self, label: str, run: orm.ProcessNode) -> None:
        """Attach what a run has given; of one that failed not what was computed of the part before."""
        own = {"judgement": "judgements", "structure": "structures", "diffusivity": "diffusivities"}
        of_failed = ("judgement", "structure", "trajectories", "extrapolated")
        for name in run.outputs:
            if not run.is_finished_ok and name not in of_failed:
                continue
            if name in own:
                self.out(f"{own[name]}.{label}", run.outputs[name])
            elif name in ("trajectories", "regions", "extrapolated"):
                self.out(f"{name}.{label}", dict(run.outputs[name]))
            elif name != "results":
                node = run.outputs[name]
                self.out(f"observables.{label}.{name}", node if isinstance(node, orm.Node) else dict(node))

    def finish(self) -> ExitCode | None:
        """Name the runs that failed."""
        if not self.ctx.failed:
            return None
        blame = potential_at_fault({"": {label: label not in self.ctx.failed for label in self.ctx.children}})
        return self.exit_codes.ERROR_RUNS_FAILED.format(
            total=len(self.ctx.children),
            n=len(self.ctx.failed),
            blame=f", {blame}" if blame else "",
            detail="; ".join(f"{label}: {end}" for label, end in self.ctx.failed.items()),
        )


def too_short(run: orm.ProcessNode) -> bool:
    """Whether the budget was not enough for a run; one that failed says nothing about that."""
    return run.is_finished_ok and "judgement" in run.outputs and not run.outputs.judgement["known"]


def was_lost(run: orm.ProcessNode) -> bool:
    """Whether a run failed where its potential extrapolates."""
    return not run.is_finished_ok and "extrapolated" in run.outputs


def validate_watch(node: orm.Dict, _: Any) -> str | None:
    """What is watched must be what `lpsgb.md` understands."""
    message = extrapolation_error({"pair_style": "mtp/extrapolation", "extrapolation": node.get_dict()})
    return f"watch: {message}" if message else None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structure, potentials, temperatures and observables must fit each other."""
    if any(key not in inputs for key in ("structure", "potentials", "temperatures", "motion")):
        return None  # the ports themselves complain
    for name, potential in inputs["potentials"].items():
        if message := validation.md_inputs_error(inputs["structure"], potential):
            return f"potentials.{name}: {message}"
    active_sets = inputs.get("active_sets") or {}
    if unknown := sorted(set(active_sets) - set(inputs["potentials"])):
        return f"active_sets: there are no potentials {', '.join(unknown)}"
    if active_sets and "watch" not in inputs:
        return "watch: missing; it says how runs with `active_sets` are watched"
    if ("structural" in inputs) != ("structural_temperatures" in inputs):
        return "structural: `structural` and `structural_temperatures` go together"
    if "structural" in inputs:
        temperatures = set(inputs["temperatures"].get_list())
        if missing := sorted(set(inputs["structural_temperatures"].get_list()) - temperatures):
            return f"structural_temperatures: {missing} are none of `temperatures`, {sorted(temperatures)}"
    for port in ("motion", "structural"):
        if port in inputs and not inputs[port].get_dict().get("diffusivity"):
            return f"{port}: `diffusivity` is missing, which is what all runs are fitted by"
    return None
