"""From a crystal to a glass by melting and quenching: `lpsgb.melt_quench`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.structure_requests import amorphous_request_error, supercell_request_error
from aiida_lpsgb.calculations.md import validate_parameters
from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES
from aiida_lpsgb.workflows.md import MD_FILLED_IN, inputs_of_run
from aiida_lpsgb.workflows.outputs import RefusedError, how_it_ended, made_by
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, fill_job

MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
amorphous_report = CalculationFactory("lpsgb.amorphous_report")
supercell = CalculationFactory("lpsgb.supercell")


class MeltQuenchWorkChain(ProtocolMixin):
    """Heat a crystal until it melts, quench it, and check that what is left is a glass."""

    WHOLE_ENTRIES = ("supercell",)
    OPEN_ENTRIES = ("amorphous",)

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="The crystal, ordered.")
        spec.input(
            "potential", valid_type=POTENTIAL_TYPES, help="As `lpsgb.md` takes it; one that has learned the melt."
        )
        spec.input("supercell", valid_type=orm.Dict, help="Parameters of `lpsgb.supercell`: the size of the glass.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            validator=validate_parameters,
            help="Parameters of `lpsgb.md`: heat, hold, cool, hold, produce.",
        )
        spec.input("seed", valid_type=orm.Int, help="Seed of the initial velocities.")
        spec.input(
            "amorphous",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.amorphous_report`: `centre` and `unit` of the framework, and limits of order.",
        )
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.inputs.validator = validate_inputs

        spec.outline(cls.run_dynamics, cls.inspect_dynamics)

        spec.expose_outputs(MdBaseWorkChain)
        spec.output("amorphous", valid_type=orm.Dict, help="Long-range order, density and units of glass and crystal.")
        spec.exit_code(401, "ERROR_DYNAMICS_FAILED", message="The melt could not be quenched: {detail}")
        spec.exit_code(402, "ERROR_REFUSED", message="{detail}")
        spec.exit_code(
            410,
            "ERROR_NOT_AMORPHOUS",
            message="The structure kept long-range order ({order}): melt it hotter or longer, or cool it faster.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        potential: orm.Data | None = None,
        *,
        amorphous: Mapping[str, Any],
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
            By role: `md` (LAMMPS); see `load_codes`.
        structure, potential
            The ordered crystal, and the potential that runs it; left out where a parent fills them in.
        amorphous
            `centre` and `unit` of the framework, such as P and PS4.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the role of `options` is `md`.
        seed
            Drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structure=structure, potential=potential)
        builder.supercell = orm.Dict(values["supercell"])
        builder.parameters = orm.Dict(values["parameters"])
        builder.amorphous = orm.Dict({**values["amorphous"], **amorphous})
        builder.seed = seed or cls.draw_seed()
        fill_job(builder.md.md, codes, values, "md")
        return cls.checked(builder)

    def run_dynamics(self) -> ExitCode | ToContext:
        """Repeat the crystal and run all stages in one job."""
        try:
            self.ctx.crystal = made_by(supercell, self.inputs.structure, self.inputs.supercell)
        except RefusedError as error:
            return self.exit_codes.ERROR_REFUSED.format(detail=error)
        run = {port: self.inputs[port] for port in ("potential", "parameters", "seed")}
        inputs = inputs_of_run(self, structure=self.ctx.crystal, **run)
        self.report(f"melting {len(self.ctx.crystal.sites)} atoms of {self.ctx.crystal.get_formula()}")
        return ToContext(dynamics=self.submit(MdBaseWorkChain, **inputs))

    def inspect_dynamics(self) -> ExitCode | None:
        """Hand the run's results on and compare the glass with the crystal."""
        run = self.ctx.dynamics
        self.out_many(self.exposed_outputs(run, MdBaseWorkChain))
        if not run.is_finished_ok:
            return self.exit_codes.ERROR_DYNAMICS_FAILED.format(detail=how_it_ended(run))
        try:
            results = made_by(amorphous_report, run.outputs.structure, self.ctx.crystal, self.inputs.amorphous)
        except RefusedError as error:
            return self.exit_codes.ERROR_REFUSED.format(detail=error)
        self.out("amorphous", results)
        glass = results["structure"]
        order = f"Bragg order {glass['bragg_order']:.3f}, pair modulation {glass['pair_modulation']:.3f}"
        self.report(f"{order}, {glass['density_g_cm3']:.3f} g/cm³, units {glass['units']}")
        if not glass["amorphous"]:
            return self.exit_codes.ERROR_NOT_AMORPHOUS.format(order=order)
        return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """The potential must know the crystal, and what is asked of the glass must be there before hours are spent."""
    if any(key not in inputs for key in ("structure", "potential", "supercell", "amorphous")):
        return None  # the ports themselves complain
    structure = inputs["structure"]
    return (
        validation.md_inputs_error(structure, inputs["potential"])
        or supercell_request_error(inputs["supercell"], structure)
        or amorphous_request_error(inputs["amorphous"].get_dict(), structure)
    )
