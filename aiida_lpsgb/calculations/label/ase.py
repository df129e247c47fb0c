"""Label many configurations in one job with an ASE calculator: `lpsgb.label.ase`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, ProcessBuilder

from aiida_lpsgb.calculations.label.engine import LabelEngine
from aiida_lpsgb.calculations.program import call_of, declare_program
from aiida_lpsgb.labelling import levels
from aiida_lpsgb.labelling.calculators import PRETRAINED, level_of_theory
from aiida_lpsgb.labelling.cli import check_parameters
from aiida_lpsgb.labelling.labels import MAX_FORCE

# The program ends by itself, with its labels written, this long before the scheduler would end it.
WALLTIME_FRACTION = 0.95


class AseLabelCalculation(LabelEngine, CalcJob):
    """Compute energy, forces and stress of configurations with `lpsgb-label`."""

    CODE_PLUGIN = "lpsgb.label.ase"
    LEVELS = levels.shipped("ase")
    DEFAULTS = {"parameters": None}
    PERIODIC = False

    CONFIGURATIONS_FILE = "configurations.npz"
    PARAMETERS_FILE = "parameters.json"
    LABELS_FILE = "labels.jsonl"
    OUTPUT_FILE = "label.out"
    ERROR_FILE = "label.err"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_parameters,
            help=f"`calculator`: {', '.join(sorted(PRETRAINED))}, or the import path `module:Class` of any ASE one; "
            "`keywords`: its arguments; `level_of_theory`: the name its labels go by, made of these if not given; "
            f"`max_force_ev_angstrom` ({MAX_FORCE:g}): with a larger force a configuration counts as failed.",
        )
        declare_program(spec, cls.PARAMETERS_FILE, cls.OUTPUT_FILE, "lpsgb.label.ase")

        spec.outputs["results"].help = (
            "`n_configurations`, `n_labelled`, `failed` (place to reason), `not_begun` (places), `level_of_theory`, "
            "`versions` (of ASE and the calculator)."
        )
        spec.default_output_node = "results"

        spec.exit_code(
            300, "ERROR_OUTPUT_MISSING", message="The program left no labels: {detail}", invalidates_cache=True
        )
        spec.exit_code(
            301,
            "ERROR_INTERRUPTED",
            message="The program was ended from outside; {labelled} of {total} configurations are labelled.",
            invalidates_cache=True,
        )
        spec.exit_code(310, "ERROR_LABEL_PROGRAM", message="The program stopped: {detail}", invalidates_cache=True)
        spec.exit_code(
            320,
            "ERROR_ALL_FAILED",
            message="No configuration could be labelled; the first failed with: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(
            321,
            "ERROR_SOME_FAILED",
            message="{failed} of {total} configurations could not be labelled; the first failed with: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(
            322,
            "ERROR_REFUSED",
            message="{failed} of {total} configurations have no label that can be used; the first: {detail}",
        )
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended; {labelled} of {total} configurations are labelled.",
            invalidates_cache=True,
        )

    @classmethod
    def level_of(cls, inputs: Mapping[str, Any]) -> str | None:
        """What the program will call its labels."""
        return level_of_theory(inputs["parameters"].get_dict()) if "parameters" in inputs else None

    @classmethod
    def fill_builder(
        cls, builder: ProcessBuilder, code: orm.AbstractCode, values: dict[str, Any], options: dict[str, Any]
    ) -> None:
        """Put code, parameters and options into a builder; `parameters` stand for a level if they are given."""
        level = {key: value for key, value in values["level"].items() if key != "name"}
        builder.code = code
        builder.parameters = orm.Dict(values["parameters"] or level)
        builder.metadata.options = options

    @classmethod
    def program_parameters(cls, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the program is told, from the inputs of the job."""
        return inputs["parameters"].get_dict()

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the parameters; the configurations are copied as they are."""
        parameters = self.program_parameters(self.inputs)
        return call_of_label(self, folder, parameters, self.inputs.configurations, self.LABELS_FILE)


def call_of_label(
    job: CalcJob, folder: Folder, parameters: Mapping[str, Any], configurations: orm.Data, found_file: str
) -> CalcInfo:
    """A call of `lpsgb-label`, which ends by itself before the wall time does."""
    text = json.dumps(parameters, indent=2, sort_keys=True)
    folder.create_file_from_filelike(io.StringIO(text), job.PARAMETERS_FILE, mode="w", encoding="utf-8")
    arguments = [job.CONFIGURATIONS_FILE, job.PARAMETERS_FILE, found_file]
    if walltime := job.inputs.metadata.options.get("max_wallclock_seconds"):
        arguments.append(f"--max-seconds={walltime * WALLTIME_FRACTION:g}")
    calcinfo = call_of(job, arguments)
    calcinfo.local_copy_list = [(configurations.uuid, configurations.FILENAME, job.CONFIGURATIONS_FILE)]
    calcinfo.retrieve_temporary_list = [found_file]
    return calcinfo


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """Refuse parameters that the program would not understand."""
    values = node.get_dict()
    for key, process in {"dynamics": "lpsgb.dynamics", "relaxation": "lpsgb.relax"}.items():
        if key in values:
            return f"parameters: {key} is for {process}; labels are of configurations as they are"
    try:
        check_parameters(values)
    except ValueError as error:
        return f"parameters: {error}"
    return None
