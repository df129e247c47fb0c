"""kill -9 of a daemon worker, and of LAMMPS, in the middle of active learning: the same result, only later."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client

from aiida_lpsgb.cli import quicksetup

pytestmark = [pytest.mark.daemon, pytest.mark.slow]

EXPLORE_PS = 200
"""Long enough for a run to be seen and killed."""


def lammps_below(folder):
    """Return the PIDs of the LAMMPS processes (not their wrappers) that work below a folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            inside = Path(os.readlink(entry / "cwd")).is_relative_to(folder)
            program = Path(os.readlink(entry / "exe")).name
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        if inside and program == "lmp":
            pids.append(int(entry.name))
    return pids


def kill_worker(study, miniature):
    """Kill the daemon's only worker while a job of active learning runs."""
    miniature.wait_for(study, lambda: explorations(study, miniature))
    (pid,) = get_daemon_client().get_worker_info()["info"]
    os.kill(int(pid), signal.SIGKILL)


def kill_lammps(study, miniature):
    """Kill a run of LAMMPS that explores."""
    workdir = orm.load_computer("localhost").get_workdir()
    for pid in miniature.wait_for(study, lambda: lammps_below(workdir)):
        os.kill(pid, signal.SIGKILL)


def restart_daemon(study, miniature):
    """Stop the daemon while a job of active learning runs, repair as the README says, and start it again."""
    miniature.wait_for(study, lambda: explorations(study, miniature))
    client = get_daemon_client()
    client.stop_daemon(wait=True)
    subprocess.run(["verdi", "-p", client.profile.name, "process", "repair"], check=True, input="y\n", text=True)
    client.start_daemon(1)


def explorations(study, miniature):
    return [call for call in miniature.descendants(study) if call.process_type == "aiida.calculations:lpsgb.md"]


@pytest.fixture(scope="module")
def undisturbed(miniature, broker_profile_factory):
    """Return what an undisturbed study finds."""
    with broker_profile_factory() as profile:
        return miniature.essence(run(profile, miniature))


def run(profile, miniature, disturb=None):
    client = get_daemon_client(profile.name)
    client.start_daemon(1)
    quicksetup.wait_for_broker()
    study = submit(miniature.build(explore_ps=EXPLORE_PS, systems={"crystal": {"kind": "crystal"}}))
    if disturb is not None:
        disturb(study, miniature)
        assert not study.is_terminated, "the study had ended before it was disturbed"
    miniature.wait_for(study, lambda: study.is_terminated)
    assert study.is_finished_ok, miniature.explain(study)
    return study


@pytest.mark.parametrize("disturb", [kill_worker, kill_lammps, restart_daemon])
def test_same_result(disturb, undisturbed, miniature, broker_profile_factory):
    with broker_profile_factory() as profile:
        study = run(profile, miniature, disturb)
        assert miniature.essence(study) == undisturbed
        if disturb is kill_lammps:
            killed = [job for job in explorations(study, miniature) if not job.is_finished_ok]
            assert killed, "LAMMPS was killed, yet no job has noticed"
