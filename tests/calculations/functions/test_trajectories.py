"""Dumps of one's own and of aiida-lammps, and what is refused."""

import io

import numpy as np
import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.trajectories import read_dump

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

FRAME = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 10
0 10
0 10
ITEM: ATOMS id type element xu yu zu
1 1 Li {x} 0 0
2 2 Cl 5 5 5
"""
PARAMETERS = {"temperature_K": 500.0, "timestep_fs": 2.0}


def text(n_frames=5):
    return "".join(FRAME.format(step=100 * i, x=0.5 * i) for i in range(n_frames))


def single_file(content):
    return orm.SinglefileData(io.BytesIO(content.encode()), filename="run.dump")


def positions(node):
    with node.open_trajectory() as trajectory:
        return trajectory.positions("Li")[:, 0, 0], trajectory.times_ps


def test_a_dump_of_ones_own():
    node = read_dump(single_file(text()), orm.Dict(PARAMETERS))
    x, times = positions(node)
    assert np.allclose(x - x[0], 0.5 * np.arange(5), atol=1e-3)
    assert np.allclose(times, 0.2 * np.arange(5))
    assert node.base.attributes.get("temperature_K") == 500.0
    assert node.creator.process_label == "read_dump"


def test_a_trajectory_of_aiida_lammps():
    lammps = pytest.importorskip("aiida_lammps.data.trajectory")
    # It knows boxes with tilts only.
    tilted = text().replace("BOX BOUNDS", "BOX BOUNDS xy xz yz").replace("0 10\n", "0 10 0\n")
    dump = lammps.LammpsTrajectory(io.StringIO(tilted))
    x, times = positions(read_dump(dump, orm.Dict(PARAMETERS)))
    assert np.allclose(x - x[0], 0.5 * np.arange(5), atol=1e-3)
    assert np.allclose(times, 0.2 * np.arange(5))


@pytest.mark.parametrize(
    ("make", "parameters", "message"),
    [
        (lambda: single_file("nothing"), PARAMETERS, "dump: "),
        (lambda: single_file(text()), PARAMETERS | {"step_fs": 2}, "parameters: unknown step_fs"),
        (lambda: orm.Int(1), PARAMETERS, "it is Int; give SinglefileData"),
        (lambda: single_file(text()), {"temperature_K": -5.0, "timestep_fs": 2.0}, "temperature_K"),
    ],
)
def test_what_cannot_be_read_is_refused(make, parameters, message):
    _, node = read_dump.run_get_node(make(), orm.Dict(parameters))
    assert node.exit_status == 410
    assert message in node.exit_message
