"""The compact file: its resolution, laziness and damage."""

import contextlib
import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory, TrajectoryFormatError, TrajectoryWriter
from tests.analysis.conftest import walk


def test_positions_within_stated_error():
    trajectory, positions = walk()
    assert np.abs(trajectory.positions() - positions).max() <= STEP_A / 2 + 1e-9
    assert np.linalg.norm(trajectory.positions() - positions, axis=2).max() <= 1e-3


def test_far_travellers_renew_the_key_frame():
    positions = np.zeros((6, 2, 3))
    positions[3:, 1, 0] = [40.0, 90.0, -700.0]
    trajectory = Trajectory(["Li", "S"], positions, np.eye(3) * 9, range(6))
    np.testing.assert_allclose(trajectory.positions(), positions, atol=STEP_A)
    assert len(trajectory._parts[0].encoded.keys) > 1


@pytest.mark.parametrize("opened", ["path", "handle", "stream"])
def test_round_trip_of_the_file(tmp_path, opened):
    trajectory, _ = walk(600)
    path = trajectory.save(tmp_path / "a.lpsgbtraj")
    if opened == "handle":
        with open(path, "rb") as handle:
            compare(Trajectory.load(handle), trajectory)
    else:
        compare(Trajectory.load(path if opened == "path" else Packed(path.read_bytes())), trajectory)
    again = Trajectory.load(path)
    again.save(tmp_path / "b.lpsgbtraj")
    assert (tmp_path / "b.lpsgbtraj").read_bytes() == path.read_bytes()


class Packed(io.BytesIO):
    """A stream without a file behind it whose seek does not tell the position, as of a packed repository object."""

    def seek(self, *args):
        super().seek(*args)
        return 0


def test_threads_share_a_packed_stream(tmp_path):
    class Slow(Packed):
        """Lets another thread in between a seek and the read that it is for."""

        def seek(self, *arguments):
            super().seek(*arguments)
            time.sleep(1e-3)

    positions = np.random.default_rng(0).random((60, 5, 3)).cumsum(axis=0)
    whole = Trajectory(["Li"] * 5, positions, np.eye(3) * 9, np.arange(60.0))
    packed = Trajectory.load(Slow(whole.save(tmp_path / "t").read_bytes()))
    with ThreadPoolExecutor(4) as pool:
        frames = list(pool.map(lambda i: packed.positions(None, i, i + 1)[0], range(60)))
    np.testing.assert_array_equal(frames, whole.positions())


def compare(again, trajectory):
    np.testing.assert_array_equal(again.positions(), trajectory.positions())
    np.testing.assert_array_equal(again.positions("Li", 3, 590, 7), trajectory.positions()[3:590:7, [1, 3, 4]])
    np.testing.assert_array_equal(again.positions(["S", "P"], 250, 260), trajectory.positions()[250:260, [0, 2, 5, 6]])
    np.testing.assert_array_equal(again.positions(indices=[4, 0]), trajectory.positions()[:, [4, 0]])
    assert (again.symbols, again.metadata, again.truncated) == (trajectory.symbols, {"temperature_K": 500}, None)
    np.testing.assert_array_equal(again.times_ps, trajectory.times_ps)


def test_size_and_laziness(tmp_path):
    frames, atoms = 500, 800
    rng = np.random.default_rng(1)
    writer = TrajectoryWriter(["Li"] * 300 + ["P"] * 100 + ["S"] * 400)
    base = rng.random((atoms, 3))
    for k in range(frames):
        writer.append(base + rng.normal(0, 0.004, (atoms, 3)), np.eye(3) * 20, k * 0.1)
    path = writer.finish().save(tmp_path / "t.lpsgbtraj")
    # Two bytes a coordinate, and at most 2 % besides.
    assert path.stat().st_size <= 1.03 * 6 * frames * atoms

    class Counting(io.BytesIO):
        count = 0

        def read(self, n=-1):
            data = super().read(n)
            Counting.count += len(data)
            return data

    trajectory = Trajectory.load(Counting(path.read_bytes()))
    Counting.count = 0
    trajectory.positions("P", 10, 20)
    assert Counting.count == 10 * 100 * 6


@pytest.mark.parametrize("cut", [4, 20, 200, 5000, -10])
def test_cut_file_is_refused(tmp_path, cut):
    data = walk(600)[0].save(tmp_path / "t").read_bytes()
    with pytest.raises(TrajectoryFormatError, match=r"cut short|not a trajectory|broken"):
        Trajectory.load(io.BytesIO(data[:cut]))


def test_foreign_and_future_files_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"not this at all" * 10)
    with pytest.raises(TrajectoryFormatError, match="not a trajectory"):
        Trajectory.load(tmp_path / "x")
    data = bytearray(walk()[0].save(tmp_path / "t").read_bytes())
    data[8] = 99
    with pytest.raises(TrajectoryFormatError, match="version 99"):
        Trajectory.load(io.BytesIO(bytes(data)))


def test_bad_frames_are_named():
    writer = TrajectoryWriter(["Li", "S"])
    writer.append(np.zeros((2, 3)), np.eye(3), 0.0)
    with pytest.raises(ValueError, match="times must grow"):
        writer.append(np.zeros((2, 3)), np.eye(3), 0.0)
    with pytest.raises(ValueError, match="not finite"):
        writer.append(np.full((2, 3), np.nan), np.eye(3), 1.0)
    with pytest.raises(ValueError, match="without volume"):
        writer.append(np.zeros((2, 3)), np.zeros((3, 3)), 1.0)
    with pytest.raises(ValueError, match="not chemical symbols: Xx1"):
        TrajectoryWriter(["Xx1"])


def test_any_damage_is_a_clear_error(tmp_path):
    rng = np.random.default_rng(0)
    whole = walk(300)[0].save(tmp_path / "t").read_bytes()
    for number in range(200):
        data = bytearray(whole)
        # The head and the header, where a byte means most, or anywhere.
        low, high = [(0, 64), (len(data) - 250, len(data)), (0, len(data))][number % 3]
        for place in rng.integers(low, high, 1 + number % 2):
            data[place] = rng.integers(256)
        with contextlib.suppress(ValueError):
            Trajectory.load(io.BytesIO(bytes(data))).positions()
