"""The compact file, its resolution, laziness and damage; LAMMPS dumps of every kind."""

import io
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory, TrajectoryFormatError, TrajectoryWriter

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 12.0, 0], [-1.0, 0.5, 13.0]])


def walk(n_frames=300, n_atoms=7, cell=TRICLINIC, seed=0, step=0.3):
    rng = np.random.default_rng(seed)
    symbols = ["P", "Li", "S", "Li", "Li", "S", "P"][:n_atoms]
    positions = rng.uniform(0, 10, (1, n_atoms, 3)) + rng.normal(0, step, (n_frames, n_atoms, 3)).cumsum(axis=0)
    return Trajectory(symbols, positions, cell, np.arange(n_frames) * 0.1, metadata={"temperature_K": 500}), positions


def breathing(n_frames=200, amplitude=0.05, seed=3):
    """Atoms that keep their scaled positions, many images away, in a cell that breathes."""
    rng = np.random.default_rng(seed)
    scaled = rng.uniform(-3, 3, (5, 3))
    cells = TRICLINIC * (1 + amplitude * np.sin(np.arange(n_frames))[:, None, None])
    return scaled, cells, Trajectory(["Li"] * 5, scaled @ cells, cells, np.arange(n_frames) * 1.0)


def text_dump(path, positions, cell, columns, steps=None, shuffle=False, low=(0.0, 0.0, 0.0)):
    """Write what LAMMPS would: ``columns`` maps names to a function of (unwrapped, scaled) positions."""
    a, (xy, b), (xz, yz, c) = cell[0, 0], cell[1, :2], cell[2]
    lo = np.array(low)
    hi = lo + np.array([a, b, c])
    bound = [
        (lo[0] + min(0, xy, xz, xy + xz), hi[0] + max(0, xy, xz, xy + xz), xy),
        (lo[1] + min(0, yz), hi[1] + max(0, yz), xz),
        (lo[2], hi[2], yz),
    ]
    names = [n for group in columns for n in group.split()]
    with open(path, "w") as handle:
        for k, frame in enumerate(positions):
            handle.write(
                f"ITEM: TIMESTEP\n{steps[k] if steps is not None else 10 * k}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n"
            )
            handle.write("ITEM: BOX BOUNDS xy xz yz pp pp pp\n")
            handle.writelines(f"{x!r} {y!r} {z!r}\n" for x, y, z in np.array(bound).tolist())
            handle.write(f"ITEM: ATOMS id type {' '.join(names)}\n")
            scaled = frame @ np.linalg.inv(cell)
            values = np.concatenate([f(frame, scaled) for f in columns.values()], axis=1)
            order = np.random.default_rng(k).permutation(len(frame)) if shuffle else range(len(frame))
            for i in order:
                handle.write(f"{i + 1} {1 + i % 2} {' '.join(f'{v:.10g}' for v in values[i])}\n")


COLUMNS = {
    "scaled unwrapped": {"xsu ysu zsu": lambda x, s: s},
    "unwrapped": {"xu yu zu": lambda x, s: x},
    "scaled and images": {"xs ys zs": lambda x, s: s % 1, "ix iy iz": lambda x, s: np.floor(s)},
    "scaled alone": {"xs ys zs": lambda x, s: s % 1},
    "positions and images": {"x y z": lambda x, s: (s % 1) @ TRICLINIC, "ix iy iz": lambda x, s: np.floor(s)},
}


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


def test_breathing_cell_moves_nobody():
    scaled, cells, trajectory = breathing()
    moved = trajectory.positions() - trajectory.positions()[0]
    assert np.abs(moved).max() <= 1.2 * STEP_A
    # While the naive unwrapped positions travel by Ångströms.
    assert np.abs(scaled @ cells - scaled @ cells[0]).max() > 1
    np.testing.assert_allclose(trajectory.frame_positions(7, wrap=False), scaled @ cells[7], atol=2 * STEP_A)


def test_frame_and_wrapping():
    trajectory, positions = walk()
    atoms = trajectory.frame(-1)
    inside = atoms.get_scaled_positions(wrap=False)
    assert inside.min() >= 0
    assert inside.max() < 1
    assert atoms.info["time_ps"] == pytest.approx(29.9)
    shift = (positions[-1] - atoms.positions) @ np.linalg.inv(TRICLINIC)
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-3)
    with pytest.raises(IndexError, match="frame 300"):
        trajectory.frame(300)


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_text_dumps(tmp_path, kind, shuffle):
    _, positions = walk(60, step=0.2)
    text_dump(tmp_path / "d", positions, TRICLINIC, COLUMNS[kind], shuffle=shuffle)
    trajectory = Trajectory.from_lammps_dump(tmp_path / "d", ["Li", "S"], timestep_fs=2.0)
    moved = trajectory.positions() - trajectory.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=2 * STEP_A)
    assert trajectory.symbols == ["Li", "S"] * 3 + ["Li"]
    assert trajectory.interval_ps == pytest.approx(0.02)
    np.testing.assert_allclose(trajectory.cells[0], TRICLINIC)


def test_dump_box_origin_is_taken_off(tmp_path):
    _, positions = walk(5)
    low = np.array([-3.0, 5.0, 1.0])
    text_dump(tmp_path / "d", positions + low, TRICLINIC, {"xu yu zu": lambda x, s: x}, low=low)
    trajectory = Trajectory.from_lammps_dump(tmp_path / "d", ["Li", "S"], timestep_fs=2.0)
    np.testing.assert_allclose(trajectory.positions(), positions, atol=STEP_A)


def binary_dump(path, positions, cell, triclinic=False):
    columns = b"id type xsu ysu zsu"
    with open(path, "wb") as handle:
        for k, frame in enumerate(positions):
            table = np.empty((len(frame), 5))
            table[:, 0], table[:, 1], table[:, 2:] = np.arange(len(frame)) + 1, 1, frame @ np.linalg.inv(cell)
            handle.write(
                struct.pack("<q10sii", -10, b"DUMPCUSTOM", 1, 2) + struct.pack("<qqi6i", 5 * k, len(frame), 0, *[0] * 6)
            )
            handle.write(struct.pack("<6d", 0, cell[0, 0], 0, cell[1, 1], 0, cell[2, 2]) + struct.pack("<ii", 5, 0))
            handle.write(struct.pack("<bd", 1, k * 0.25) + struct.pack("<i", len(columns)) + columns)
            half = len(frame) // 2
            handle.write(struct.pack("<ii", 2, half * 5) + table[:half].tobytes())
            handle.write(struct.pack("<i", (len(frame) - half) * 5) + table[half:].tobytes())


def test_binary_dump_and_damage(tmp_path):
    cell = np.diag([10.0, 11.0, 12.0])
    _, positions = walk(40, cell=cell)
    binary_dump(tmp_path / "d.bin", positions, cell)
    trajectory = Trajectory.from_lammps_dump(tmp_path / "d.bin", ["Li"])
    np.testing.assert_allclose(trajectory.positions(), positions, atol=STEP_A)
    np.testing.assert_allclose(trajectory.times_ps, np.arange(40) * 0.25)
    assert trajectory.truncated is None
    data = (tmp_path / "d.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(data[: len(data) * 77 // 100])
    with pytest.warns(UserWarning, match="ends inside a frame.*30 whole frames kept"):
        cut = Trajectory.from_lammps_dump(tmp_path / "cut.bin", ["Li"])
    assert cut.n_frames == 30
    assert "ends inside a frame" in cut.truncated
    assert Trajectory.load(cut.save(tmp_path / "cut")).truncated == cut.truncated
    frame = len(data) // 40
    (tmp_path / "bad.bin").write_bytes(data[: 10 * frame] + b"\xff" * 300 + data[10 * frame + 300 :])
    with pytest.warns(UserWarning, match="10 whole frames kept"):
        assert Trajectory.from_lammps_dump(tmp_path / "bad.bin", ["Li"]).n_frames == 10


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.999])
def test_truncated_text_keeps_whole_frames(tmp_path, share):
    _, positions = walk(50)
    text_dump(tmp_path / "d", positions, TRICLINIC, COLUMNS["unwrapped"])
    data = (tmp_path / "d").read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])
    with pytest.warns(UserWarning, match="whole frames kept"):
        trajectory = Trajectory.from_lammps_dump(tmp_path / "cut", ["Li", "S"], timestep_fs=1)
    assert trajectory.n_frames in (int(50 * share), int(50 * share) - 1)
    np.testing.assert_allclose(trajectory.positions(), positions[: trajectory.n_frames], atol=STEP_A)


def test_garbled_text_is_detected(tmp_path):
    _, positions = walk(20)
    text_dump(tmp_path / "d", positions, TRICLINIC, COLUMNS["unwrapped"])
    lines = (tmp_path / "d").read_text().splitlines(keepends=True)
    per = len(lines) // 20
    lines[12 * per + 11] = "4 2 not numbers here\n"
    (tmp_path / "d").write_text("".join(lines))
    with pytest.warns(UserWarning, match="12 whole frames kept"):
        assert Trajectory.from_lammps_dump(tmp_path / "d", ["Li", "S"], timestep_fs=1).n_frames == 12


def test_restarts_are_joined(tmp_path):
    _, positions = walk(30)
    text_dump(tmp_path / "a", positions[:20], TRICLINIC, COLUMNS["unwrapped"], steps=range(20))
    text_dump(tmp_path / "b", positions[15:], TRICLINIC, COLUMNS["unwrapped"], steps=range(15, 30))
    joined = Trajectory.from_lammps_dump([tmp_path / "a", tmp_path / "b"], ["Li", "S"], timestep_fs=1)
    np.testing.assert_allclose(joined.positions(), positions, atol=STEP_A)
    parts = [Trajectory.from_lammps_dump(tmp_path / n, ["Li", "S"], timestep_fs=1) for n in "ab"]
    np.testing.assert_allclose(Trajectory.concatenate(parts).positions(), positions, atol=2 * STEP_A)


def test_dump_complaints(tmp_path):
    _, positions = walk(3)
    text_dump(tmp_path / "d", positions, TRICLINIC, COLUMNS["unwrapped"])
    with pytest.raises(ValueError, match="give timestep_fs"):
        Trajectory.from_lammps_dump(tmp_path / "d", ["Li", "S"])
    with pytest.raises(ValueError, match="type 2 but species names 1"):
        Trajectory.from_lammps_dump(tmp_path / "d", ["Li"], timestep_fs=1)
    (tmp_path / "empty").write_text("")
    with pytest.raises(ValueError, match="no whole frame"):
        Trajectory.from_lammps_dump(tmp_path / "empty", ["Li"], timestep_fs=1)


def test_slices_and_subsets():
    trajectory, positions = walk(600)
    part = trajectory[100:500:3]
    np.testing.assert_allclose(part.positions(), positions[100:500:3], atol=2 * STEP_A)
    np.testing.assert_allclose(part.times_ps, trajectory.times_ps[100:500:3])
    lithium = trajectory.subset("Li")
    np.testing.assert_allclose(lithium.positions(), positions[:, [1, 3, 4]], atol=2 * STEP_A)
    with pytest.raises(ValueError, match="no Na in this trajectory; it has P, Li, S"):
        trajectory.positions("Na")


def test_ase_and_extxyz(tmp_path):
    trajectory, positions = walk(20, step=0.1)
    trajectory.write_extxyz(tmp_path / "t.xyz", wrap=True)
    again = Trajectory.from_extxyz(tmp_path / "t.xyz")
    moved = again.positions() - again.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=3 * STEP_A)
    np.testing.assert_allclose(again.times_ps, trajectory.times_ps)
    images = [Atoms("LiS", positions=p[:2], cell=TRICLINIC, pbc=True) for p in positions]
    np.testing.assert_allclose(
        Trajectory.from_ase(images, 0.5, unwrapped=True).positions(), positions[:, :2], atol=STEP_A
    )
    with pytest.raises(ValueError, match="give interval_ps"):
        Trajectory.from_ase(images)


def test_mdanalysis(tmp_path):
    pytest.importorskip("MDAnalysis")
    trajectory, positions = walk(20, step=0.1)
    again = Trajectory.from_mdanalysis(trajectory.to_mdanalysis())
    moved = again.positions() - again.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=5 * STEP_A)
    assert again.symbols == trajectory.symbols


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
