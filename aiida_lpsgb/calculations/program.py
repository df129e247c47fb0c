"""What calculations that run one program have in common: options, its call, the threads and processes it may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.engine import CalcJob, CalcJobProcessSpec

#: What of the resources tells the number of threads, the first that is there.
THREADS = ("num_cores_per_mpiproc", "num_cores_per_machine", "num_mpiprocs_per_machine", "tot_num_mpiprocs")


def declare_program(
    spec: CalcJobProcessSpec, input_file: str, output_file: str, parser: str, *, parallel: bool = False
) -> None:
    """Set the options of a program, which knows no MPI unless it is `parallel`."""
    options = spec.inputs["metadata"]["options"]
    options["parser_name"].default = parser
    options["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
    # Where these inputs are exposed without their defaults, the default must still be enough.
    options["resources"].required = False
    if not parallel:
        options["withmpi"].default = False
    options["input_filename"].default = input_file
    options["output_filename"].default = output_file


def call_of(job: CalcJob, arguments: Sequence[str]) -> CalcInfo:
    """A call of the job's code, of which what it prints (`ERROR_FILE`, too) is retrieved."""
    codeinfo = CodeInfo()
    codeinfo.code_uuid = job.inputs.code.uuid
    codeinfo.cmdline_params = list(arguments)
    codeinfo.stdout_name = job.options.output_filename
    codeinfo.stderr_name = job.ERROR_FILE
    calcinfo = CalcInfo()
    calcinfo.codes_info = [codeinfo]
    calcinfo.retrieve_list = [job.options.output_filename, job.ERROR_FILE]
    return calcinfo


def threads_of(resources: Mapping[str, Any]) -> int:
    """How many threads a program may use; a number of threads is no parameter, since it changes no result."""
    return next((int(resources[name]) for name in THREADS if resources.get(name)), 1)


def processes_of(resources: Mapping[str, Any]) -> int:
    """How many processes a job has, as far as its resources say it."""
    of_machines = int(resources.get("num_machines") or 1) * int(resources.get("num_mpiprocs_per_machine") or 1)
    return int(resources.get("tot_num_mpiprocs") or of_machines)
