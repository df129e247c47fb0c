"""From a structure and a potential to D(T), the activation energy and σ(300 K): `lpsgb.arrhenius`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, while_
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.workflows.outputs import flattened
from aiida_lpsgb.workflows.sweep import MIN_TEMPERATURES, SweepWorkChain

DiffusivityData = DataFactory("lpsgb.diffusivity")
TrajectoryData = DataFactory("lpsgb.trajectory")
diffusivity = CalculationFactory("lpsgb.diffusivity")
arrhenius_fit = CalculationFactory("lpsgb.arrhenius_fit")
region_diffusivity = CalculationFactory("lpsgb.region_diffusivity")
speciation = CalculationFactory("lpsgb.speciation")


class ArrheniusWorkChain(SweepWorkChain):
    """Run molecular dynamics at several temperatures and fit the diffusivities."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("diffusivity_parameters", valid_type=orm.Dict, help="Parameters of `lpsgb.diffusivity`.")
        spec.input(
            "speciation_parameters",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.speciation`; if given, the share of whole polyanions is reported for every run.",
        )
        spec.input(
            "region_parameters",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.region_diffusivity`; if given, diffusion is resolved by region as well.",
        )

        spec.outline(
            cls.queue_sweep,
            while_(cls.queue_waits)(cls.run_batch),
            cls.analyse,
            cls.fit,
        )

        spec.output("arrhenius", valid_type=orm.Dict, required=False, help="E_a, D₀ and σ(300 K) with uncertainties.")
        spec.output_namespace("diffusivities", valid_type=DiffusivityData, help="A diffusivity a run.")
        spec.output_namespace("trajectories", valid_type=TrajectoryData, help="A trajectory a run.")
        spec.output_namespace("speciation", valid_type=orm.Dict, required=False, help="Whole polyanions in each run.")
        spec.output_namespace(
            "regions",
            valid_type=DiffusivityData,
            required=False,
            help="Diffusivities by run, region and estimator.",
        )
        spec.output_namespace(
            "regional_arrhenius",
            valid_type=orm.Dict,
            required=False,
            help="The fits by region and estimator.",
        )
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

    def analyse(self) -> None:
        """Diffusivity (by region too, and polyanions) of every run that has a trajectory to its end."""
        self.ctx.diffusivities, self.ctx.regional = {}, {}
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
            if "region_parameters" in self.inputs:
                self._resolve_regions(label, trajectory)

    def _resolve_regions(self, label: str, trajectory: TrajectoryData) -> None:
        try:
            found = region_diffusivity(trajectory, self.inputs.region_parameters)
        except ValueError as error:
            self.report(f"run {label} is not resolved by region: {error}")
            return
        for name, node in flattened(found).items():
            region_and_estimator = name.replace("__", ".")
            self.out(f"regions.{label}.{region_and_estimator}", node)
            self.ctx.regional.setdefault(region_and_estimator, {})[label] = node

    def fit(self) -> ExitCode | None:
        """Fit all diffusivities together, and those of each region and estimator."""
        failed = [label for label, run in self.ctx.children.items() if not run.is_finished_ok]
        if enough_temperatures(self.ctx.diffusivities):
            self.out("arrhenius", arrhenius_fit(**self.ctx.diffusivities))
        for name, diffusivities in self.ctx.regional.items():
            if enough_temperatures(diffusivities):
                self.out(f"regional_arrhenius.{name}", arrhenius_fit(**diffusivities))
        if failed:
            return self.exit_codes.ERROR_RUNS_FAILED.format(labels=", ".join(failed))
        return None


def enough_temperatures(diffusivities: Mapping[str, DiffusivityData]) -> bool:
    """Whether a line can be drawn through them."""
    return len({node.temperature for node in diffusivities.values()}) >= MIN_TEMPERATURES
