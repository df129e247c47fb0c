"""What a potential, or the label engine, makes of a crystal: `lpsgb.properties`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessSpec, ToContext
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.properties import deformation_error
from aiida_lpsgb.calculations.relax import validate_relaxation
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.workflows.md import MD_FILLED_IN, inputs_of_run
from aiida_lpsgb.workflows.outputs import RefusedError, how_it_ended, made_by, named, namespace_of
from aiida_lpsgb.workflows.protocols import ProtocolMixin, code_of, fill_in, fill_job

MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
RelaxCalculation = CalculationFactory("lpsgb.relax")
deform = CalculationFactory("lpsgb.properties.deform")
energy_drift = CalculationFactory("lpsgb.properties.drift")
evaluate = CalculationFactory("lpsgb.properties.evaluate")
make_start_set = CalculationFactory("lpsgb.start_set")
make_supercell = CalculationFactory("lpsgb.supercell")

RELAX_FILLED_IN = ("configurations", "relaxation")


class PropertiesWorkChain(ProtocolMixin):
    """Relax a crystal, strain it and let its ions come to rest: lattice, equation of state, elastic constants.

    The copies that are relaxed are rattled, since ordered sites may be a saddle point. With a potential the drift of
    the energy without a thermostat may be measured, too.
    """

    OPEN_ENTRIES = ("start", "relaxation", "deformation", "drift")

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="The crystal, ordered: its smallest cell will do.")
        spec.input("seed", valid_type=orm.Int, help="Seed of the rattling, and of velocities.")
        spec.input("start", valid_type=orm.Dict, help="Parameters of `lpsgb.start_set`: the copies that are relaxed.")
        for name, relaxed in {
            "relaxation": "the crystal: its cell is free",
            "ion_relaxation": "strained cells",
        }.items():
            spec.input(
                name,
                valid_type=orm.Dict,
                validator=validate_relaxation,
                help=f"As `relaxation` of `lpsgb.relax`, of {relaxed}.",
            )
        spec.input(
            "deformation",
            valid_type=orm.Dict,
            validator=lambda node, _: deformation_error(node.get_dict()),
            help="`strain`, the size of each of the six strains, and `volume_strains`, relative changes of the volume "
            "(empty: no equation of state).",
        )
        spec.expose_inputs(RelaxCalculation, namespace="relax", exclude=RELAX_FILLED_IN)
        spec.input_namespace(
            "drift",
            required=False,
            populate_defaults=False,
            help="Dynamics without a thermostat; left out: the drift of the energy is not measured.",
        )
        spec.input(
            "drift.cell", valid_type=orm.Dict, required=False, help="Parameters of `lpsgb.supercell`: what is run."
        )
        spec.input(
            "drift.parameters",
            valid_type=orm.Dict,
            required=False,
            help="Parameters of `lpsgb.md`; the last stage is of the ensemble `nve`.",
        )
        spec.expose_inputs(
            MdBaseWorkChain,
            namespace="drift.md",
            exclude=MD_FILLED_IN,
            namespace_options={"required": False, "populate_defaults": False},
        )
        spec.inputs.validator = validate_inputs
        spec.outline(cls.relax, cls.strain, cls.finish)
        spec.output("structure", valid_type=orm.StructureData, help="The relaxed crystal, the lowest of its copies.")
        spec.output("relaxed", valid_type=ConfigurationsData, help="The copies, at rest and labelled.")
        spec.output("strained", valid_type=ConfigurationsData, help="Strained cells, their ions at rest, labelled.")
        spec.output(
            "results",
            valid_type=orm.Dict,
            help="`lattice` (edges, angles, density), `elasticity` (tensor, moduli of Voigt, Reuss and Hill, "
            "stability), `equation_of_state`, energies.",
        )
        spec.output("drift", valid_type=orm.Dict, required=False, help="Drift of the energy, meV/atom/ps.")
        spec.exit_code(401, "ERROR_RELAXATION_FAILED", message="The crystal could not be relaxed: {detail}")
        spec.exit_code(402, "ERROR_STRAINED_FAILED", message="The strained cells could not be relaxed: {detail}")
        spec.exit_code(403, "ERROR_DRIFT_FAILED", message="The run without a thermostat failed: {detail}")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        structure: orm.StructureData | None = None,
        potential: orm.Data | None = None,
        *,
        calculator: Mapping[str, Any] | None = None,
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
            By role: `relax` (`lpsgb-label`; that of `label` if left out) and, for the drift, `md`; see `load_codes`.
        structure
            The ordered crystal; left out where a parent fills it in.
        potential, calculator
            What is examined: a potential, or parameters of `lpsgb.label.ase` (no drift then). Left out where a parent
            fills it in.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the roles of `options` are `md` and that of the code for
            relaxations (`relax_role`).
        seed
            Drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        builder = cls.get_builder()
        fill_in(builder, structure=structure)
        builder.seed = seed or cls.draw_seed()
        for name in ("start", "deformation"):
            builder[name] = orm.Dict(values[name])
        builder.relaxation = orm.Dict({**values["relaxation"], "cell": True})
        builder.ion_relaxation = orm.Dict({**values["relaxation"], "cell": False})
        builder.relax.code = relax_code(codes)
        builder.relax.metadata.options = values["options"][relax_role(codes)]
        fill_in(builder.relax, potential=potential)
        if calculator is not None:
            builder.relax.parameters = orm.Dict(dict(calculator))
        if values["drift"] and calculator is None:
            builder.drift.cell = orm.Dict(values["drift"]["cell"])
            builder.drift.parameters = orm.Dict(values["drift"]["parameters"])
            fill_job(builder.drift.md.md, codes, values, "md")
        return cls.checked(builder)

    def relax(self) -> ExitCode | ToContext:
        """Relax rattled copies of the crystal with their cells."""
        try:
            copies = made_by(make_start_set, self.inputs.start, self.inputs.seed, crystal=self.inputs.structure)
        except RefusedError as error:
            return self.exit_codes.ERROR_RELAXATION_FAILED.format(detail=error)
        return ToContext(relaxed=self._submit_relaxation(copies, self.inputs.relaxation, "relax_crystal"))

    def strain(self) -> ExitCode | ToContext:
        """Relax the ions of strained cells, and run what was relaxed."""
        if not self.ctx.relaxed.is_finished_ok:
            return self.exit_codes.ERROR_RELAXATION_FAILED.format(detail=how_it_ended(self.ctx.relaxed))
        self.out("relaxed", self.ctx.relaxed.outputs.configurations)
        made = deform(self.ctx.relaxed.outputs.configurations, self.inputs.deformation)
        self.out("structure", made["structure"])
        jobs = {}
        if "drift" in self.inputs:
            # Before anything is submitted: nothing may be left running where this is refused.
            try:
                self.ctx.cell = made_by(make_supercell, made["structure"], self.inputs.drift.cell)
            except RefusedError as error:
                return self.exit_codes.ERROR_DRIFT_FAILED.format(detail=error)
            jobs["dynamics"] = self._submit_drift()
        jobs["strained"] = self._submit_relaxation(made["strained"], self.inputs.ion_relaxation, "relax_strained")
        return ToContext(**jobs)

    def _submit_relaxation(self, configurations: orm.Data, relaxation: orm.Dict, label: str) -> orm.CalcJobNode:
        inputs = self.exposed_inputs(RelaxCalculation, namespace="relax")
        inputs |= {"configurations": configurations, "relaxation": relaxation}
        return self.submit(RelaxCalculation, **named(label, inputs))

    def _submit_drift(self) -> orm.WorkChainNode:
        given = {"potential": self.inputs.relax.potential, "parameters": self.inputs.drift.parameters}
        inputs = inputs_of_run(self, "drift.md", structure=self.ctx.cell, seed=self.inputs.seed, **given)
        return self.submit(MdBaseWorkChain, **named("drift", inputs))

    def finish(self) -> ExitCode | None:
        """Evaluate what there is; one of the two that failed leaves the other."""
        failed = None
        if "drift" in self.inputs:
            if self.ctx.dynamics.is_finished_ok:
                thermo = namespace_of(self.ctx.dynamics, "thermo")
                self.out("drift", energy_drift(self.inputs.drift.parameters, self.ctx.cell, **thermo))
            else:
                failed = self.exit_codes.ERROR_DRIFT_FAILED.format(detail=how_it_ended(self.ctx.dynamics))
        if not self.ctx.strained.is_finished_ok:
            return self.exit_codes.ERROR_STRAINED_FAILED.format(detail=how_it_ended(self.ctx.strained))
        self.out("strained", self.ctx.strained.outputs.configurations)
        self.out("results", evaluate(self.ctx.relaxed.outputs.configurations, self.ctx.strained.outputs.configurations))
        return failed


def relax_role(codes: Mapping[str, orm.AbstractCode]) -> str:
    """The role of relaxations, in codes and options: `relax`, or `label` where one program does both."""
    return "relax" if "relax" in codes else "label"


def relax_code(codes: Mapping[str, orm.AbstractCode]) -> orm.AbstractCode:
    """The code of `lpsgb-label` for relaxations: of the role `relax`, or the label engine's where it is that.

    Raises
    ------
    ValueError
        If there is none.
    """
    code = code_of(codes, relax_role(codes))
    wanted = RelaxCalculation.CODE_PLUGIN
    if code.default_calc_job_plugin not in (None, wanted):
        raise ValueError(
            f"codes: 'relax' is missing; properties need `lpsgb-label` (a code for {wanted}), and {code.full_label} is "
            f"for {code.default_calc_job_plugin}"
        )
    return code


def can_relax(codes: Mapping[str, orm.AbstractCode]) -> bool:
    """Whether there is a code that `relax_code` would take."""
    try:
        relax_code(codes)
    except ValueError:
        return False
    return True


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structure and potential must fit each other, and only a potential has a drift to be measured."""
    if "structure" not in inputs or "relax" not in inputs:
        return None  # the ports themselves complain, or a parent fills them in
    if ("parameters" in inputs["relax"]) == ("potential" in inputs["relax"]):
        return "relax: give either `parameters` (an ASE calculator) or `potential`"
    if message := validation.structure_error(inputs["structure"], "structure"):
        return message
    if drift := inputs.get("drift"):
        if missing := [name for name in ("cell", "parameters", "md") if not drift.get(name)]:
            return f"drift: {', '.join(missing)} missing"
        stages = drift["parameters"].get_dict().get("stages") or [{}]
        if stages[-1].get("ensemble") != "nve":
            return "drift: the last stage of `parameters` must be of the ensemble nve"
        if "parameters" in inputs["relax"]:
            return "drift: only a potential can be run; leave `drift` out where `relax.parameters` is given"
    potential = inputs["relax"].get("potential")
    return validation.md_inputs_error(inputs["structure"], potential) if potential is not None else None
