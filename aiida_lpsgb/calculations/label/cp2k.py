"""Label configurations of one composition in one run of CP2K: `lpsgb.label.cp2k`."""

from __future__ import annotations

import io
import re
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, ProcessBuilder

from aiida_lpsgb.calculations.label.ase import WALLTIME_FRACTION
from aiida_lpsgb.calculations.label.engine import LabelEngine
from aiida_lpsgb.calculations.program import declare_program, keep_exit_status
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.labelling import cp2k, levels

_KEYS = {"force_eval", "basis_set", "potential", "kinds"}


class Cp2kLabelCalculation(LabelEngine, CalcJob):
    """Compute energy, forces and stress of configurations with CP2K, one after the other in one run.

    CP2K reads the configurations as a trajectory (`ENSEMBLE REFTRAJ`) and begins each with the wave functions of those
    before.
    """

    CODE_PLUGIN = "lpsgb.label.cp2k"
    LEVELS = levels.shipped("cp2k")
    DEFAULTS = {"force_eval": {}, "basis_set": None, "potential": None, "kinds": {}, "version": "2023.1"}
    ONE_COMPOSITION = True

    INPUT_FILE = "aiida.inp"
    OUTPUT_FILE = "aiida.out"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=validate_parameters,
            help="`force_eval`: the section of that name, without the structure; `basis_set` and `potential` of all "
            "elements; `kinds`: element to those of its own.",
        )
        spec.input(
            "level_of_theory",
            valid_type=orm.Str,
            serializer=orm.to_aiida_type,
            help="Name the labels go by; labels of different names are not mixed.",
        )
        spec.input(
            "version",
            valid_type=orm.Str,
            serializer=orm.to_aiida_type,
            validator=validate_version,
            help="Version of CP2K, such as 2023.1: keywords have changed.",
        )
        declare_program(spec, cls.INPUT_FILE, cls.OUTPUT_FILE, "lpsgb.label.cp2k", parallel=True)

        spec.outputs["results"].help = (
            "`n_configurations`, `n_labelled`, `unconverged`, `refused` (place to reason), `not_begun` (places), "
            "`level_of_theory`."
        )
        spec.default_output_node = "results"
        spec.exit_code(300, "ERROR_OUTPUT_MISSING", message="CP2K printed nothing.", invalidates_cache=True)
        spec.exit_code(
            301,
            "ERROR_INTERRUPTED",
            message="CP2K was ended from outside; {labelled} of {total} configurations are labelled.",
            invalidates_cache=True,
        )
        spec.exit_code(310, "ERROR_ABORTED", message="CP2K stopped: {detail}", invalidates_cache=True)
        spec.exit_code(
            321,
            "ERROR_NOT_CONVERGED",
            message="{failed} of {total} configurations have no label: {detail}",
        )
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended; {labelled} of {total} configurations are labelled.",
            invalidates_cache=True,
        )

    @classmethod
    def fill_builder(
        cls, builder: ProcessBuilder, code: orm.AbstractCode, values: dict[str, Any], options: dict[str, Any]
    ) -> None:
        """Put the level of theory and options into a builder.

        Overrides: `force_eval`, keywords over those of the level; `basis_set`, `potential` and `kinds`; `version`.
        """
        level = {key: value for key, value in values["level"].items() if key != "name"}
        used = merged(level, {key: values[key] for key in _KEYS if values[key]})
        builder.code = code
        builder.parameters = orm.Dict(used)
        builder.level_of_theory = orm.Str(cp2k.level_of_theory(values["level"]["name"], level, used))
        builder.version = orm.Str(values["version"])
        builder.metadata.options = options

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input and the trajectory to evaluate."""
        configurations = self.inputs.configurations
        positions, cells = cp2k.write_trajectory(configurations)
        walltime = self.inputs.metadata.options.get("max_wallclock_seconds")
        content = cp2k.build_input(
            self.inputs.parameters.get_dict(),
            configurations[0],
            len(configurations),
            [int(part) for part in self.inputs.version.value.split(".")],
            walltime * WALLTIME_FRACTION if walltime else None,
        )
        for name, text in (
            (self.INPUT_FILE, cp2k.write_input(content)),
            (cp2k.TRAJECTORY_FILE, positions),
            (cp2k.CELL_FILE, cells),
        ):
            folder.create_file_from_filelike(io.StringIO(text), name, mode="w", encoding="utf-8")

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = ["-i", self.INPUT_FILE]
        codeinfo.stdout_name = self.options.output_filename
        codeinfo.join_files = True
        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.retrieve_list = [self.options.output_filename]
        keep_exit_status(calcinfo)
        # The configurations are an input; so much for the repository.
        calcinfo.provenance_exclude_list = [cp2k.TRAJECTORY_FILE, cp2k.CELL_FILE]
        return calcinfo


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """The parts of a level must be there."""
    missing = sorted(_KEYS - set(node.keys()))
    if missing:
        return f"parameters: {', '.join(missing)} missing; there must be {', '.join(sorted(_KEYS))}"
    return None


def validate_version(node: orm.Str, _: Any) -> str | None:
    """A version has a year and a number."""
    if not re.fullmatch(r"\d{4}\.\d+", node.value):
        return f"version: is {node.value!r}, expected such as 2023.1"
    return None
