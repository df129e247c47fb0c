"""LAMMPS dumps of every kind, and other formats."""

import gzip
import struct

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory
from tests.analysis.conftest import TRICLINIC, walk


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
    (tmp_path / "d.gz").write_bytes(gzip.compress((tmp_path / "d").read_bytes()))
    with pytest.raises(ValueError, match=r"d.gz: the dump is compressed: unpack it with gzip -d"):
        Trajectory.from_lammps_dump(tmp_path / "d.gz", ["Li"], timestep_fs=1)
    (tmp_path / "xyz").write_text("7\nAtoms. Timestep: 0\n")
    with pytest.raises(ValueError, match=r"byte 0 does not begin .* does not begin with ITEM:"):
        Trajectory.from_lammps_dump(tmp_path / "xyz", ["Li"], timestep_fs=1)


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
    with pytest.raises(ValueError, match="is at nan ps; times must be numbers that grow"):
        Trajectory.from_ase(images, np.nan)
    assert Trajectory.from_extxyz(tmp_path / "t.xyz", trajectory.interval_ps).interval_ps == trajectory.interval_ps
    with pytest.raises(ValueError, match=r"image 1 is .* ps after the first by info\['time_ps'\], and 0.3 ps by"):
        Trajectory.from_extxyz(tmp_path / "t.xyz", 0.3)
    with pytest.raises(ValueError, match="image 0 has a cell without volume"):
        Trajectory.from_ase([Atoms("LiS", positions=p[:2]) for p in positions], 0.5)


def test_mdanalysis(tmp_path):
    pytest.importorskip("MDAnalysis")
    trajectory, positions = walk(20, step=0.1)
    again = Trajectory.from_mdanalysis(trajectory.to_mdanalysis())
    moved = again.positions() - again.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=5 * STEP_A)
    assert again.symbols == trajectory.symbols
