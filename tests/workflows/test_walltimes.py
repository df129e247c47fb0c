"""A parallel run through many wall times of SLURM, which runs on this machine for the test alone."""

import contextlib
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.ordering import order

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]

PROGRAMS = Path(sys.executable).parent
SBIN = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
N_PROCESSES = 2
N_WALL_TIMES = 8
DURATION_PS = 600.0
INTERVAL_PS = 6.0
RESTART_PS = 2.0
# Resolution of a stored coordinate, twice, and rounding.
TOLERANCE_A = 1.1e-3

CONFIGURATION = """ClusterName=lpsgb
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=1
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Run SLURM's daemons on this machine, for as long as the tests of this module take."""
    programs = [shutil.which(name, path=SBIN) for name in ("slurmctld", "slurmd", "sbatch")]
    if not all(programs):
        pytest.skip("SLURM is not installed here (Debian: slurm-wlm); slurmctld, slurmd and sbatch are needed")
    if os.geteuid() != 0:
        pytest.skip("slurmd has to be started by root")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    path = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    path.write_text(
        CONFIGURATION.format(host=host, folder=folder, ports=(free_port(), free_port()), cpus=max(os.cpu_count(), 2))
    )
    with pytest.MonkeyPatch.context() as patch, (folder / "daemons.out").open("w") as out:
        patch.setenv("SLURM_CONF", str(path))
        daemons = []
        try:
            for program in programs[:2]:
                daemons.append(subprocess.Popen([program, "-D", "-f", str(path)], stdout=out, stderr=out))
                time.sleep(1)
            wait_until_idle()
            yield path
        finally:
            for daemon in daemons:
                daemon.terminate()
                daemon.wait(30)


def wait_until_idle(timeout=60):
    end = time.monotonic() + timeout
    while True:
        state = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
        if state.stdout.strip() == "idle":
            return
        if time.monotonic() > end:
            pytest.fail(f"SLURM did not start: {state.stdout}{state.stderr}")
        time.sleep(0.5)


@pytest.fixture
def code(slurm, tmp_path):
    """Return LAMMPS on a computer whose scheduler is SLURM."""
    computer = orm.Computer(
        label="slurm",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.slurm",
        workdir=str(tmp_path / "scratch"),
    )
    computer.set_mpirun_command(
        [str(PROGRAMS / "mpiexec"), "-launcher", "fork", "-rmk", "user", "-n", "{tot_num_mpiprocs}"]
    )
    computer.set_default_mpiprocs_per_machine(N_PROCESSES)
    computer.store().configure()
    computer.set_minimum_job_poll_interval(1.0)
    return orm.InstalledCode(
        computer=computer,
        label="lmp",
        filepath_executable=str(PROGRAMS / "lmp"),
        default_calc_job_plugin="lpsgb.md",
    )


@pytest.fixture
def inputs(code, data_path):
    """Return a factory of inputs of `lpsgb.md` with a wall time."""
    cif = data_path.parents[1] / "examples" / "data" / "beta-li3ps4.cif"
    crystal = order(read_cif(cif), charges={"Li": 1, "P": 5, "S": -2}, rank_by="occupancy", seed=1)[0]
    potential = DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", ["Li", "P", "S"])
    stage = {
        "ensemble": "npt",
        "duration_ps": DURATION_PS,
        "temperature_K": [300, 600],
        "dump_interval_ps": INTERVAL_PS,
    }
    parameters = {"stages": [stage], "restart_interval_ps": RESTART_PS, "thermo_interval_ps": RESTART_PS}
    shared = {
        "code": code,
        "structure": orm.StructureData(ase=crystal.repeat((1, 1, 2))),
        "potential": potential.store(),
        "parameters": orm.Dict(parameters),
        "seed": orm.Int(7),
    }

    def factory(wall_time_s):
        options = {
            "resources": {"num_machines": 1, "num_mpiprocs_per_machine": N_PROCESSES},
            "withmpi": True,
            "max_wallclock_seconds": wall_time_s,
        }
        return {**shared, "metadata": {"options": options}}

    return factory


def run(inputs):
    outputs, node = run_get_node(WorkflowFactory("lpsgb.md.base"), md=inputs)
    jobs = [call for call in node.called if isinstance(call, orm.CalcJobNode)]
    assert node.is_finished_ok, [(job.exit_status, job.exit_message) for job in jobs]
    return outputs, jobs


def frames(outputs):
    """Positions by step, a list of all segments that hold the step."""
    found = {}
    for label in sorted(outputs["trajectories"]):
        with outputs["trajectories"][label].open_trajectory() as trajectory:
            for index, step in enumerate(trajectory.steps):
                found.setdefault(int(step), []).append(trajectory.frame_positions(index, wrap=False))
    return found


def stored_bytes(outputs):
    return sum(node.base.repository.get_object_size(node.FILENAME) for node in outputs["trajectories"].values())


def test_same_frames_as_undisturbed_and_storage_linear_in_length(inputs):
    began = time.monotonic()
    whole, jobs = run(inputs(3000))
    assert len(jobs) == 1
    elapsed_s = time.monotonic() - began

    # The scheduler counts in minutes; within its limit LAMMPS ends by itself, shortly before the wall time asked for.
    disturbed, jobs = run(inputs(max(2, math.floor(elapsed_s / (N_WALL_TIMES + 4)))))
    assert len(jobs) > N_WALL_TIMES
    assert {job.exit_status for job in jobs[:-1]} == {400}
    assert all("num_mpiprocs_per_machine" in job.get_option("resources") and job.get_option("withmpi") for job in jobs)

    expected, found = frames(whole), frames(disturbed)
    assert sorted(found) == sorted(expected)
    for step, (positions,) in expected.items():
        for copy in found[step]:
            assert np.abs(copy - positions).max() < TOLERANCE_A, f"step {step}"

    # A job may run on for less than a restart interval behind the point that the next one begins at.
    n_stored = sum(len(copies) for copies in found.values())
    assert n_stored - len(expected) <= len(jobs) * (1 + RESTART_PS / INTERVAL_PS)
    assert stored_bytes(disturbed) < 1.5 * stored_bytes(whole) + 4096 * len(jobs)
    for before, job in pairwise(jobs):
        assert job.inputs.parent_folder.uuid == before.outputs.remote_folder.uuid
        names = job.outputs.remote_folder.listdir()
        first = disturbed["thermo"][f"segment_{jobs.index(job):03d}"].get_array("step")[0]
        assert f"md.{first}.restart" in names
        dumps = [name for name in names if name.startswith("trajectory.")]
        assert len(dumps) <= 1
    for key in ("steps", "planned_steps"):
        assert disturbed["results"][key] == whole["results"][key]
    averages = [outputs["results"]["stages"][0]["temperature_K"] for outputs in (disturbed, whole)]
    assert averages[0] == pytest.approx(averages[1], rel=1e-9)


def test_killed_by_the_scheduler(inputs):
    """SLURM's limit is a minute at least: the first job is kept from ending by itself and runs into it."""
    values = inputs(60)
    program = Path(values["code"].filepath_executable)
    script = Path(values["code"].computer.get_workdir()).parent / "lmp-without-timer"
    script.write_text(
        "#!/bin/bash\n"
        f"if mkdir {script}.begun 2>/dev/null; then sed -i '/^timer/d' md.in; sleep 50; fi\n"
        f'exec {program} "$@"\n'
    )
    script.chmod(0o755)
    parameters = values["parameters"].get_dict()
    parameters["stages"][0] |= {"duration_ps": 4 * DURATION_PS, "dump_interval_ps": 4 * INTERVAL_PS}
    values |= {
        "code": orm.InstalledCode(
            computer=values["code"].computer,
            label="lmp-without-timer",
            filepath_executable=str(script),
            default_calc_job_plugin="lpsgb.md",
        ),
        "parameters": orm.Dict(parameters),
    }
    outputs, jobs = run(values)
    assert jobs[0].exit_status == 401
    assert "DUE TO TIME LIMIT" in jobs[0].outputs.retrieved.get_object_content("_scheduler-stderr.txt")
    assert outputs["results"]["steps"] == outputs["results"]["planned_steps"]
