"""kill -9 of the daemon's worker, and of VASP, in the middle of labels: all are labelled once and none twice."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.data.configurations import ConfigurationsData

pytest.importorskip("aiida_vasp")
pytestmark = [pytest.mark.daemon, pytest.mark.slow]

N_LABELS = 40
TIMEOUT_S = 900.0


def wait_for(condition):
    end = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.2)
    return value


def emulators(script):
    """Return the PIDs of the emulators that a code has started."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it has ended meanwhile
            continue
        if script in words:
            pids.append(int(entry.name))
    return pids


@pytest.mark.parametrize("victim", ["worker", "vasp"])
def test_all_are_labelled_once(daemon_profile, vasp_code, potcar_family, tmp_path, victim):
    images = []
    for seed in range(N_LABELS):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        images.append(atoms)
    builder = WorkflowFactory("lpsgb.label").get_builder_from_protocol(
        {"label": vasp_code(seconds=2.0)},
        ConfigurationsData(images),
        overrides={
            "max_concurrent": 2,
            "engine": {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}},
        },
        options={"label": {"withmpi": False, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}},
    )
    node = submit(builder)

    def jobs():
        return [run for run in node.called_descendants if run.process_label == "VaspCalculation"]

    wait_for(lambda: any(job.is_terminated for job in jobs()))
    running = wait_for(lambda: emulators(str(tmp_path / "vasp_0.json")))
    if victim == "worker":
        (pid,) = get_daemon_client().get_worker_info()["info"]
        os.kill(int(pid), signal.SIGKILL)
    else:
        os.kill(running[0], signal.SIGKILL)
    assert not node.is_terminated, "it had ended before it was disturbed"
    wait_for(lambda: node.is_terminated)
    assert node.is_finished_ok, node.exit_message
    labelled = node.outputs.configurations
    assert len(labelled) == N_LABELS
    for atoms, image in zip(labelled, images, strict=True):
        image.calc = EMT()
        assert np.array_equal(atoms.positions, image.positions)
        assert atoms.get_potential_energy() == pytest.approx(image.get_potential_energy(), abs=1e-7)
    done = [job.inputs.structure.uuid for job in jobs() if job.is_finished_ok]
    assert len(done) == len(set(done)) == N_LABELS
    assert len(jobs()) == N_LABELS + (victim == "vasp")
