"""Run molecular dynamics with an ASE calculator, a segment a job: `lpsgb.dynamics`."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_lpsgb.calculations.label.ase import call_of_label
from aiida_lpsgb.calculations.program import declare_program
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.cli import check_parameters


class DynamicsCalculation(CalcJob):
    """Run molecular dynamics with `lpsgb-label`, from a start or from the last frame of an earlier segment."""

    CONFIGURATIONS_FILE = "start.npz"
    PARAMETERS_FILE = "parameters.json"
    FRAMES_FILE = "frames.xyz"
    OUTPUT_FILE = "dynamics.out"
    ERROR_FILE = "dynamics.err"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        spec.input(
            "start",
            valid_type=ConfigurationsData,
            validator=validate_start,
            help="One configuration: at rest, or the last frame of an earlier segment, with its momenta.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_parameters,
            help="Those of `lpsgb.label.ase`, and `dynamics`: `temperature_K`, `n_steps` (of all segments), "
            "`interval_steps` (between frames), `seed`, `ensemble` (nve, nvt, npt), `timestep_fs`, `pressure_GPa`, "
            "`thermostat_damping_ps`, `barostat_damping_ps`, `isotropic`.",
        )
        declare_program(spec, cls.PARAMETERS_FILE, cls.OUTPUT_FILE, "lpsgb.dynamics")
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="Frames of this segment, labelled, with `step`, `time_ps` and momenta.",
        )
        spec.output(
            "results",
            valid_type=orm.Dict,
            required=False,
            help="`n_steps_done` (of all segments), `n_frames`, `level_of_theory`.",
        )
        spec.default_output_node = "results"
        spec.exit_code(
            300, "ERROR_OUTPUT_MISSING", message="The program left no frames: {detail}", invalidates_cache=True
        )
        spec.exit_code(
            301,
            "ERROR_INTERRUPTED",
            message="The program was ended from outside after step {step}.",
            invalidates_cache=True,
        )
        spec.exit_code(310, "ERROR_PROGRAM", message="The program stopped: {detail}", invalidates_cache=True)
        spec.exit_code(320, "ERROR_EXPLODED", message="The run exploded: {detail}")
        spec.exit_code(
            400, "ERROR_OUT_OF_WALLTIME", message="The wall time ended after step {step}.", invalidates_cache=True
        )

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the parameters; the start is copied as it is."""
        parameters = self.inputs.parameters.get_dict()
        return call_of_label(self, folder, parameters, self.inputs.start, self.FRAMES_FILE)


def validate_start(node: ConfigurationsData, _: Any) -> str | None:
    """A run begins from one configuration."""
    return None if len(node) == 1 else f"start: holds {len(node)} configurations, expected one"


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """Refuse parameters that the program would not understand."""
    values = node.get_dict()
    if "dynamics" not in values:
        return "parameters: dynamics is missing"
    try:
        check_parameters(values)
    except ValueError as error:
        return f"parameters: {error}"
    return None
