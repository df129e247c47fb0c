"""Trajectory nodes."""

import numpy as np
import pytest
from aiida import orm
from aiida.manage import get_manager
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.data.trajectory import TrajectoryData


def walk(seed=1, n_frames=20):
    rng = np.random.default_rng(seed)
    symbols = ["Li", "P", "Li", "S"]
    positions = rng.normal(size=(n_frames, len(symbols), 3)).cumsum(axis=0) * 0.1 + 3
    return Trajectory(symbols, positions, np.eye(3) * 8, np.arange(n_frames) * 0.05)


def test_attributes():
    node = TrajectoryData(walk(), "npt", 500.0, 2.0)
    assert DataFactory("lpsgb.trajectory") is TrajectoryData
    attributes = node.base.attributes.all
    assert attributes["composition"] == {"Li": 2, "P": 1, "S": 1}
    assert (attributes["n_atoms"], attributes["n_frames"]) == (4, 20)
    assert attributes["duration_ps"] == pytest.approx(0.95)
    assert attributes["frame_interval_fs"] == pytest.approx(50)
    assert (attributes["ensemble"], attributes["temperature_K"], attributes["timestep_fs"]) == ("npt", 500.0, 2.0)
    assert attributes["truncated"] is None
    assert (attributes["first_step"], attributes["last_step"], attributes["start_ps"]) == (0, 19, 0.0)
    assert attributes["format_version"] == 2


@pytest.mark.parametrize("packed", [False, True])
def test_read_back(packed):
    node = orm.load_node(TrajectoryData(walk(seed=2 + packed)).store().pk)
    if packed:
        get_manager().get_profile_storage().maintain(full=False, compress=False)
    with node.open_trajectory() as trajectory:
        assert np.array_equal(trajectory.positions(), walk(seed=2 + packed).positions())
        assert trajectory.positions("Li").shape == (20, 2, 3)


def test_equal_content_gives_equal_hashes(tmp_path):
    walk().save(tmp_path / "a_name.lpsgbtraj")
    from_file = TrajectoryData(tmp_path / "a_name.lpsgbtraj").store().base.caching.get_hash()
    assert TrajectoryData(walk()).store().base.caching.get_hash() == from_file
    assert TrajectoryData(walk(), temperature_K=300).store().base.caching.get_hash() != from_file
    assert TrajectoryData(walk(seed=2)).store().base.caching.get_hash() != from_file


def test_bad_input_is_refused(tmp_path):
    path = walk().save(tmp_path / "cut.lpsgbtraj")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cut short"):
        TrajectoryData(path)
    with pytest.raises(ValueError, match="ensemble is 'NpT'"):
        TrajectoryData(walk(), "NpT")
    for bad in (0.0, -300, np.nan):
        with pytest.raises(ValueError, match="temperature_K is"):
            TrajectoryData(walk(), "npt", bad)
