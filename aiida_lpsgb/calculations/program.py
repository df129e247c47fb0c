"""What calculations that run one program have in common: options, its call, how it ended, threads and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.engine import CalcJob, CalcJobProcessSpec

#: What of the resources tells the number of threads, the first that is there.
THREADS = ("num_cores_per_mpiproc", "num_cores_per_machine", "num_mpiprocs_per_machine", "tot_num_mpiprocs")
EXIT_STATUS_FILE = "exit_status.txt"
"""Where a job notes the exit status of its program; it is missing where the job itself was ended."""


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
    declare_signals(spec)


def declare_signals(spec: CalcJobProcessSpec) -> None:
    """Declare the exit codes of a program that a signal ended. A faulty node or library is a cause, too: no cache."""
    spec.exit_code(302, "ERROR_CRASHED", message="The program crashed by {signal}{detail}.", invalidates_cache=True)
    spec.exit_code(
        303,
        "ERROR_KILLED",
        message="The program was killed by {signal}{detail}: most often for want of memory, else by a limit of the "
        "computer or a person.",
        invalidates_cache=True,
    )


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
    keep_exit_status(calcinfo)
    return calcinfo


def keep_exit_status(calcinfo: CalcInfo) -> None:
    """Let the job note the exit status of its program and hand it on, so that the scheduler learns of it as before.

    AiiDA puts the option `append_text` between the two: where that is given, the status is that of its last command.
    """
    calcinfo.append_text = f"(status=$?; echo $status > {EXIT_STATUS_FILE}; exit $status)"
    calcinfo.retrieve_list.append(EXIT_STATUS_FILE)


def threads_of(resources: Mapping[str, Any]) -> int:
    """How many threads a program may use; a number of threads is no parameter, since it changes no result."""
    return next((int(resources[name]) for name in THREADS if resources.get(name)), 1)


def processes_of(resources: Mapping[str, Any]) -> int:
    """How many processes a job has, as far as its resources say it."""
    of_machines = int(resources.get("num_machines") or 1) * int(resources.get("num_mpiprocs_per_machine") or 1)
    return int(resources.get("tot_num_mpiprocs") or of_machines)
