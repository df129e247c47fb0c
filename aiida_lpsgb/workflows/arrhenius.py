"""From a structure and a potential to D(T), the activation energy and σ(300 K): `lpsgb.arrhenius`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, WorkChainSpec, while_
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.molecular_dynamics import plan_sweep, run_label
from aiida_lpsgb.workflows.protocols import ProtocolMixin
from aiida_lpsgb.workflows.queue import QueueMixin

MolecularDynamicsBaseWorkChain = WorkflowFactory("lpsgb.md.base")
DiffusivityData = DataFactory("lpsgb.diffusivity")
PotentialData = DataFactory("lpsgb.potential")
TrajectoryData = DataFactory("lpsgb.trajectory")
diffusivity = CalculationFactory("lpsgb.diffusivity")
arrhenius_fit = CalculationFactory("lpsgb.arrhenius_fit")
speciation = CalculationFactory("lpsgb.speciation")

# Ports of the molecular dynamics that the work chains of this package fill in themselves.
MD_FILLED_IN = tuple(f"md.{port}" for port in ("structure", "potential", "active_set", "parameters", "seed", "parent_folder"))
MIN_TEMPERATURES = 2


class ArrheniusWorkChain(ProtocolMixin, QueueMixin):
    """Run molecular dynamics at several temperatures and fit the diffusivities."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="Fully occupied structure, large enough for the analysis.")
        spec.input("potential", valid_type=PotentialData, help="Trained potential that knows every element of it.")
        spec.input("temperatures", valid_type=orm.List, validator=validate_temperatures, help="Temperatures in K.")
        spec.input("seeds", valid_type=orm.List, validator=validate_seeds, help="One integer a replica of the sweep.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.md`, with the word `target` where a stage is to have the run's temperature.",
        )
        spec.input("diffusivity_parameters", valid_type=orm.Dict, help="Parameters of `lpsgb.diffusivity`.")
        spec.input(
            "speciation_parameters",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.speciation`; if given, the share of whole polyanions is reported for every run.",
        )
        spec.input("max_concurrent", valid_type=orm.Int, default=lambda: orm.Int(2), help="Runs at the same time.")
        spec.expose_inputs(MolecularDynamicsBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.inputs.validator = validate_inputs

        spec.outline(
            cls.setup,
            while_(cls.queue_waits)(cls.run_batch),
            cls.analyse,
            cls.fit,
        )

        spec.output("arrhenius", valid_type=orm.Dict, required=False, help="E_a, D₀ and σ(300 K) with uncertainties.")
        spec.output_namespace("diffusivities", valid_type=DiffusivityData, help="A diffusivity a run.")
        spec.output_namespace("trajectories", valid_type=TrajectoryData, help="A trajectory a run.")
        spec.output_namespace("speciation", valid_type=orm.Dict, required=False, help="Whole polyanions in each run.")
        spec.exit_code(
            401,
            "ERROR_RUNS_FAILED",
            message="Molecular dynamics failed for {labels}; the diffusivities of the other runs are attached.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: orm.StructureData,
        potential: orm.Data,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        seeds: orm.List | None = None,
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        code
            LAMMPS with a pair style for moment tensor potentials.
        structure, potential
            What to run, and with which potential.
        protocol
            `fast`, `moderate` (default) or `paper`.
        overrides
            Replacements for entries of the protocol; unknown keys are refused.
        seeds
            One integer a replica; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.get_builder()
        builder.structure = structure
        builder.potential = potential
        builder.temperatures = orm.List(values["temperatures_K"])
        builder.seeds = seeds or cls.draw_seeds(values["n_replicas"])
        builder.parameters = orm.Dict(values["parameters"])
        builder.diffusivity_parameters = orm.Dict(values["diffusivity"])
        if values["speciation"]:
            builder.speciation_parameters = orm.Dict(values["speciation"])
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        builder.md.md.code = code
        builder.md.md.metadata.options = values["options"]
        return builder

    def setup(self) -> None:
        """Queue a run for every temperature and replica."""
        plan = plan_sweep(self.inputs.parameters, self.inputs.temperatures, self.inputs.seeds)
        runs = {}
        for replica in range(1, len(self.inputs.seeds.get_list()) + 1):
            for temperature in self.inputs.temperatures.get_list():
                label = run_label(temperature, replica)
                inputs = AttributeDict(self.exposed_inputs(MolecularDynamicsBaseWorkChain, namespace="md"))
                inputs.md.structure = self.inputs.structure
                inputs.md.potential = self.inputs.potential
                inputs.md.parameters = plan[f"parameters_{label}"]
                inputs.md.seed = plan[f"seed_{label}"]
                runs[label] = inputs
        self.report(f"{len(runs)} runs at {self.inputs.temperatures.get_list()} K")
        self.fill_queue(MolecularDynamicsBaseWorkChain, runs, self.inputs.max_concurrent.value)

    def analyse(self) -> None:
        """Diffusivity (and polyanions) of every run that has a trajectory to its end."""
        self.ctx.diffusivities = {}
        for label, run in self.ctx.children.items():
            if not run.is_finished_ok:
                self.report(f"run {label} ended with [{run.exit_status}]: {run.exit_message}")
                continue
            trajectory = run.outputs.trajectory
            self.out(f"trajectories.{label}", trajectory)
            self.ctx.diffusivities[label] = diffusivity(trajectory, self.inputs.diffusivity_parameters)
            self.out(f"diffusivities.{label}", self.ctx.diffusivities[label])
            if "speciation_parameters" in self.inputs:
                self.out(f"speciation.{label}", speciation(trajectory, self.inputs.speciation_parameters))

    def fit(self) -> ExitCode | None:
        """Fit all diffusivities together."""
        failed = [label for label, run in self.ctx.children.items() if not run.is_finished_ok]
        temperatures = {node.temperature_K for node in self.ctx.diffusivities.values()}
        if len(temperatures) >= MIN_TEMPERATURES:
            self.out("arrhenius", arrhenius_fit(**self.ctx.diffusivities))
        if failed:
            return self.exit_codes.ERROR_RUNS_FAILED.format(labels=", ".join(failed))
        return None


def validate_temperatures(node: orm.List, _: Any) -> str | None:
    """At least two different temperatures above zero."""
    temperatures = node.get_list()
    if message := validation.temperature_error(temperatures):
        return f"temperatures: {message}"
    if len(set(temperatures)) < MIN_TEMPERATURES:
        return f"temperatures: an Arrhenius fit needs at least {MIN_TEMPERATURES} different ones, got {temperatures}"
    if len(set(temperatures)) < len(temperatures):
        return f"temperatures: {temperatures} holds one twice; use `seeds` for replicas"
    return None


def validate_seeds(node: orm.List, _: Any) -> str | None:
    """Distinct non-negative integers."""
    seeds = node.get_list()
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        return f"seeds: a list of non-negative integers is needed, got {seeds}"
    if len(set(seeds)) < len(seeds):
        return f"seeds: {seeds} holds one twice; the replicas would be the same run"
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structure and potential must fit each other."""
    if any(key not in inputs for key in ("structure", "potential")):
        return None  # the ports themselves complain
    return validation.md_inputs_error(inputs["structure"], inputs["potential"])
