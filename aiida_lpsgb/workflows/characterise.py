"""Every observable of one trajectory: `lpsgb.characterise`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.calculations.functions.analysis import restricted
from aiida_lpsgb.workflows.outputs import flattened
from aiida_lpsgb.workflows.protocols import ProtocolMixin

DiffusivityData = DataFactory("lpsgb.diffusivity")
TrajectoryData = DataFactory("lpsgb.trajectory")

ANALYSES = {
    "rdf": "lpsgb.rdf",
    "speciation": "lpsgb.speciation",
    "density": "lpsgb.density",
    "disorder": "lpsgb.disorder",
    "diffusivity": "lpsgb.diffusivity",
    "regions": "lpsgb.region_diffusivity",
}
TOPOLOGY = "topology__"


class CharacteriseWorkChain(ProtocolMixin):
    """Structure, motion, topology and disorder of a run; what is not asked for is not computed."""

    WHOLE_ENTRIES: ClassVar[tuple[str, ...]] = (*ProtocolMixin.WHOLE_ENTRIES, "bonds_A")
    OPEN_ENTRIES: ClassVar[tuple[str, ...]] = (*ANALYSES, "topology")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("trajectory", valid_type=TrajectoryData, help="The run, with all species kept.")
        for name, entry_point in ANALYSES.items():
            spec.input(
                name,
                valid_type=orm.Dict,
                required=False,
                help=f"Parameters of `{entry_point}`; left out: not computed.",
            )
        spec.input_namespace(
            "topology",
            valid_type=orm.Dict,
            dynamic=True,
            required=False,
            help="Parameters of `lpsgb.topology` by a name of your choice: one for each filtration or scale.",
        )
        spec.inputs.validator = validate_species
        spec.outline(cls.analyse, cls.finish)
        spec.output(
            "rdf", valid_type=orm.ArrayData, required=False, help="Radial distributions and coordination numbers."
        )
        spec.output("speciation", valid_type=orm.Dict, required=False, help="Polyanions and whether they stay whole.")
        spec.output("density", valid_type=orm.ArrayData, required=False, help="Density map and profiles.")
        spec.output(
            "disorder", valid_type=orm.ArrayData, required=False, help="Distribution of the site disorder parameter."
        )
        spec.output("diffusivity", valid_type=DiffusivityData, required=False, help="Diffusivity of the whole cell.")
        spec.output_namespace(
            "regions", valid_type=DiffusivityData, required=False, help="Diffusivity by region and estimator."
        )
        spec.output_namespace("topology", valid_type=orm.ArrayData, required=False, help="Persistence diagrams.")
        spec.output("summary", valid_type=orm.Dict, required=False, help="The headline numbers of all of these.")
        spec.exit_code(
            401, "ERROR_ANALYSES_FAILED", message="Not all could be computed: {detail}; the others are attached."
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        trajectory: orm.Data,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        region: Mapping[str, Any] | None = None,
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        trajectory
            The run.
        protocol
            `fast`, `moderate` (default) or `paper`.
        overrides
            Replacements for entries of the protocol; None leaves an analysis out. `mobile` holds species and charge
            of what moves.
        region
            ``{axis, centres, thickness_A}`` or ``{low, high}``: structure and topology are then those of this region
            (named ``boundary``), and diffusion is resolved by it.
        """
        values = cls.get_analyses(protocol, overrides, by_region=region is not None)
        if region is not None:
            values = restricted(values, region)
        builder = cls.get_builder()
        builder.trajectory = trajectory
        for name, value in values.items():
            if name.startswith(TOPOLOGY):
                builder.topology[name.removeprefix(TOPOLOGY)] = orm.Dict(value)
            else:
                builder[name] = orm.Dict(value)
        return builder

    @classmethod
    def get_analyses(
        cls, protocol: str | None = None, overrides: Mapping[str, Any] | None = None, *, by_region: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Parameters of the analyses of a protocol by name, those of topology as ``topology__<name>``.

        Parameters
        ----------
        protocol, overrides
            As of `get_builder_from_protocol`.
        by_region
            Whether diffusion is to be resolved by regions, which `restricted` fills in; species and charge are those
            of `diffusivity` where `regions` has none.
        """
        values = cls.get_protocol_inputs(protocol, overrides)
        mobile, topology = values.pop("mobile"), values.pop("topology")
        species = {"species": mobile["species"]}
        defaults = {"density": species, "disorder": species, "diffusivity": mobile, "regions": mobile}
        analyses = {name: values[name] for name in ANALYSES if name != "regions" or by_region}
        for name, parameters in (topology or {}).items():
            analyses[f"{TOPOLOGY}{name}"] = parameters
            defaults[f"{TOPOLOGY}{name}"] = species
        return {
            name: defaults.get(name, {}) | parameters for name, parameters in analyses.items() if parameters is not None
        }

    def analyse(self) -> None:
        """Compute what is asked for, one after the other."""
        self.ctx.results, self.ctx.failed = {}, []
        for name, entry_point in ANALYSES.items():
            if name in self.inputs:
                self._compute(name, entry_point, self.inputs[name])
        for label, parameters in self.inputs.get("topology", {}).items():
            self._compute(f"topology.{label}", "lpsgb.topology", parameters)

    def _compute(self, name: str, entry_point: str, parameters: orm.Dict) -> None:
        self.report(f"computing {name}")
        try:
            result = CalculationFactory(entry_point)(self.inputs.trajectory, parameters)
        except ValueError as error:
            self.report(f"{name}: {error}")
            self.ctx.failed.append(f"{name} ({error})")
            return
        nodes = (
            {f"{name}.{key}": node for key, node in flattened(result).items()} if name == "regions" else {name: result}
        )
        for label, node in nodes.items():
            self.out(label, node)
            self.ctx.results[label.replace(".", "__")] = node

    def finish(self) -> ExitCode | None:
        """Collect the headline numbers."""
        if self.ctx.results:
            self.out("summary", CalculationFactory("lpsgb.characterise_summary")(**self.ctx.results))
        if self.ctx.failed:
            return self.exit_codes.ERROR_ANALYSES_FAILED.format(detail="; ".join(self.ctx.failed))
        return None


def validate_species(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Every species an analysis names must be in the trajectory."""
    if "trajectory" not in inputs:
        return None  # the port itself complains
    there = set(inputs["trajectory"].species)
    ports = {name: inputs[name] for name in ANALYSES if name in inputs}
    ports |= {f"topology.{name}": node for name, node in inputs.get("topology", {}).items()}
    for port, node in ports.items():
        if missing := sorted(named_species(node.get_dict()) - there):
            return f"{port}: no {', '.join(missing)} in the trajectory, which has {', '.join(sorted(there))}"
    return None


def named_species(parameters: Mapping[str, Any]) -> set[str]:
    """The species that the parameters of an analysis name."""
    single = {parameters[key] for key in ("species", "centre", "ligand") if key in parameters}
    return single | set(parameters.get("neighbours", ()))
