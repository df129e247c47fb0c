"""What the rows and times of a dump mean, or leave open."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory
from tests.analysis.conftest import TRICLINIC, walk

FLIP = np.array([[1.0, 0, 0], [-1, 1, 0], [0, 0, 1]])


def dump(path, positions, columns, *, steps=None, cells=None, times=None, units=None, ids=None, append=False):
    """Write what LAMMPS would, a cell for each frame."""
    cells = [TRICLINIC] * len(positions) if cells is None else cells
    with open(path, "a" if append else "w") as handle:
        for k, (frame, cell) in enumerate(zip(positions, cells, strict=True)):
            (lx, _, _), (xy, ly, _), (xz, yz, lz) = cell.tolist()
            handle.write(f"ITEM: UNITS\n{units}\n" if units and k == 0 else "")
            handle.write("" if times is None else f"ITEM: TIME\n{times[k]:.16g}\n")
            handle.write(f"ITEM: TIMESTEP\n{50 * k if steps is None else steps[k]}\n")
            handle.write(f"ITEM: NUMBER OF ATOMS\n{len(frame)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n")
            handle.write(f"{min(0, xy, xz, xy + xz)!r} {lx + max(0, xy, xz, xy + xz)!r} {xy!r}\n")
            handle.write(f"{min(0, yz)!r} {ly + max(0, yz)!r} {xz!r}\n0 {lz!r} {yz!r}\nITEM: ATOMS {columns}\n")
            scaled = frame @ np.linalg.inv(cell)
            for i, (x, s) in enumerate(zip(frame, scaled, strict=True)):
                inside = s % 1.0
                row = {"id": (ids[k][i] if ids else i + 1), "type": 1 + i % 2}
                row |= dict(zip(("xu", "yu", "zu"), x, strict=True)) | dict(zip(("xsu", "ysu", "zsu"), s, strict=True))
                row |= dict(zip(("xs", "ys", "zs"), inside, strict=True))
                row |= dict(zip(("x", "y", "z"), inside @ cell, strict=True))
                row |= dict(zip(("ix", "iy", "iz"), np.floor(s).astype(int), strict=True))
                handle.write(" ".join(f"{row[name]:.10g}" for name in columns.split()) + "\n")
    return path


def read(path, **keywords):
    return Trajectory.from_lammps_dump(path, **{"species": ["Li", "S"], "timestep_fs": 2.0} | keywords)


def with_elements(path, elements, keep_types=True):
    """A dump with a column of elements, as LAMMPS writes what ``dump_modify … element`` names by type."""
    _, positions = walk(20)
    lines = dump(path, positions, "id type xu yu zu").read_text().splitlines()
    for k, line in enumerate(lines):
        words = line.split()
        if line.startswith("ITEM: ATOMS"):
            lines[k] = line.replace(" type", " type element" if keep_types else " element")
        elif len(words) == 5:
            kept = words[:2] if keep_types else words[:1]
            lines[k] = " ".join([*kept, elements[int(words[1]) - 1], *words[2:]])
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "columns", ["xu yu zu", "xsu ysu zsu", "xs ys zs ix iy iz", "x y z ix iy iz", "xs ys zs", "x y z"]
)
def test_a_box_that_flips_moves_nobody(tmp_path, columns):
    _, positions = walk(60, step=0.1)
    cells = [FLIP @ TRICLINIC if 20 <= k < 40 else TRICLINIC for k in range(60)]
    found = read(dump(tmp_path / "d", positions, f"id type {columns}", cells=cells))
    moved = found.positions() - found.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=2 * STEP_A)
    np.testing.assert_allclose(found.cells, np.broadcast_to(TRICLINIC, (60, 3, 3)), atol=1e-9)


@pytest.mark.parametrize("every", [1, 3, 7])
def test_every_counts_frames_of_the_joined_run(tmp_path, every):
    _, positions = walk(50)
    steps = 50 * np.arange(50)
    dumps = [
        dump(tmp_path / "a", positions[:20], "id type xu yu zu", steps=steps[:20]),
        dump(tmp_path / "b", positions[19:], "id type xu yu zu", steps=steps[19:]),
    ]
    found = read(dumps, every=every)
    np.testing.assert_array_equal(found.steps, steps[::every])
    np.testing.assert_allclose(found.positions(), positions[::every], atol=2 * STEP_A)


def test_runs_in_one_file(tmp_path):
    _, positions = walk(50)
    dump(tmp_path / "d", positions[:20], "id type xu yu zu")
    dump(tmp_path / "d", positions[20:], "id type xu yu zu", append=True)
    with pytest.raises(ValueError, match=r"steps begin again at 0 in d, run 1, after 950 in d, .*give restart_gap_ps"):
        read(tmp_path / "d")
    found = read(tmp_path / "d", restart_gap_ps=0.1)
    np.testing.assert_allclose(found.positions(), positions, atol=2 * STEP_A)
    assert found.interval_ps == pytest.approx(0.1)


def test_a_repeated_frame_within_a_file_is_dropped(tmp_path):
    _, positions = walk(30)
    doubled = np.concatenate([positions[:10], positions[9:]])
    steps = 50 * np.concatenate([np.arange(10), np.arange(9, 30)])
    found = read(dump(tmp_path / "d", doubled, "id type xu yu zu", steps=steps))
    np.testing.assert_array_equal(found.steps, 50 * np.arange(30))


def test_rows_without_ids(tmp_path):
    _, positions = walk(20)
    path = dump(tmp_path / "d", positions, "type xu yu zu")
    with pytest.raises(ValueError, match=r"no column id.*sorted_rows=True"):
        read(path)
    np.testing.assert_allclose(read(path, sorted_rows=True).positions(), positions, atol=STEP_A)
    assert read(dump(tmp_path / "one", positions[:1], "type xu yu zu")).n_frames == 1


def test_ids_that_atoms_share_are_refused(tmp_path):
    _, positions = walk(20)
    path = dump(tmp_path / "d", positions, "id type xu yu zu", ids=[[0] * 7] * 20)  # atom_modify id no
    with pytest.raises(ValueError, match=r"atoms of the dump share the id 0 .*sorted_rows=True"):
        read(path)
    np.testing.assert_allclose(read(path, sorted_rows=True).positions(), positions, atol=STEP_A)


@pytest.mark.parametrize("elements", [["S", "Li"], ["C", "S"]])
def test_elements_that_contradict_species_are_refused(tmp_path, elements):
    path = with_elements(tmp_path / "d", elements)
    with pytest.raises(ValueError, match=rf"species says Li for type 1, which is {elements[0]} in the dump's column"):
        read(path)
    assert read(path, species=None).symbols[:2] == elements


@pytest.mark.parametrize("elements", [["Li", "S"], ["C", "C"], ["Li_a", "S_b"]])
def test_elements_that_do_not_contradict_species(tmp_path, elements):
    assert read(with_elements(tmp_path / "d", elements)).symbols[:2] == ["Li", "S"]


def test_species_of_a_dump_without_types_and_types_that_are_none(tmp_path):
    path = with_elements(tmp_path / "d", ["Li", "S"], keep_types=False)
    with pytest.raises(ValueError, match="elements and no types: leave species out"):
        read(path)
    text = path.read_text().replace("ATOMS id element", "ATOMS id type").replace(" Li ", " 0 ").replace(" S ", " 1 ")
    path.write_text(text)
    with pytest.raises(ValueError, match="the dump has type 0 but species names 2"):
        read(path)


def test_a_group_that_changes_is_refused(tmp_path):
    _, positions = walk(5)
    ids = [[1, 2, 3, 4, 5, 6, 7]] * 3 + [[1, 2, 3, 4, 5, 6, 9]] * 2
    path = dump(tmp_path / "d", positions, "id type xu yu zu", ids=ids)
    with pytest.raises(ValueError, match="atoms at step 150 are not those of the first frame"):
        read(path)


@pytest.mark.parametrize(
    ("times", "units", "keywords", "interval"),
    [
        (np.arange(20) * 0.1, None, {}, 0.1),  # 2 fs a step if these are ps, absurd if fs
        (np.arange(20) * 100.0, None, {}, 0.1),
        (np.arange(20) * 100.0, "real", {}, 0.1),
        (np.arange(20) * 0.1, "metal", {"timestep_fs": 2.0}, 0.1),
        (5.0 + np.arange(20) * 0.1, None, {"timestep_fs": 2.0}, 0.1),
        (np.arange(20) * 100.0, None, {"timestep_fs": 2.0}, 0.1),
        (np.arange(20) * 4.0, None, {"units": "real"}, 0.004),
        (None, None, {"timestep_fs": 1.0}, 0.05),
    ],
)
def test_times_are_understood(tmp_path, times, units, keywords, interval):
    _, positions = walk(20)
    path = dump(tmp_path / "d", positions, "id type xu yu zu", times=times, units=units)
    assert read(path, **{"timestep_fs": None} | keywords).interval_ps == pytest.approx(interval)


@pytest.mark.parametrize(
    ("times", "units", "keywords", "message"),
    [
        (None, None, {}, "tells no times: give timestep_fs"),
        (np.arange(20) * 4.0, None, {}, r"without their unit \(0.08 a step\): give timestep_fs, or units"),
        (np.arange(20) * 0.1, "metal", {"timestep_fs": 1.0}, r"timestep_fs = 1 contradicts.* 2 fs \(metal\) a step"),
        (np.arange(20) * 0.1, None, {"timestep_fs": 1.0}, "timestep_fs = 1 contradicts the times in the dump"),
        (np.arange(20.0) ** 1.1 * 0.1, "metal", {"timestep_fs": 2.0}, "contradicts the times"),
        (np.arange(20) * 0.1, "lj", {"timestep_fs": 2.0}, "LAMMPS units 'lj'; lengths in Å are needed"),
        (np.arange(20) * 0.1, "real", {"units": "metal"}, "units 'real', not 'metal'"),
        (np.arange(20) * 100.0, None, {"units": "metal"}, "units='metal' contradicts .* would take 2000 fs"),
        (np.arange(20) * 0.1, None, {"units": "real"}, "units='real' contradicts .* would take 0.002 fs"),
        (None, None, {"timestep_fs": -1.0}, "timestep_fs must be positive"),
        (None, None, {"timestep_fs": np.inf}, "timestep_fs must be positive"),
    ],
)
def test_times_that_are_open_or_contradict_are_refused(tmp_path, times, units, keywords, message):
    _, positions = walk(20)
    path = dump(tmp_path / "d", positions, "id type xu yu zu", times=times, units=units)
    with pytest.raises(ValueError, match=message):
        read(path, **{"timestep_fs": None} | keywords)


def test_moves_that_may_have_gone_the_other_way_are_told(tmp_path):
    _, positions = walk(20, step=2.0)
    path = dump(tmp_path / "d", positions, "id type xs ys zs")
    with pytest.warns(UserWarning, match="may have gone the other way: write unwrapped positions"):
        read(path)


@pytest.mark.parametrize("columns", ["xu yu zu", "x y z"])
def test_files_of_a_frame_each_are_one_run(tmp_path, columns):
    _, positions = walk(30, step=4.0)  # far beyond half of the cell from frame to frame
    steps = 50 * np.arange(30)
    files = [dump(tmp_path / f"{k}", positions[[k]], f"id type {columns}", steps=[steps[k]]) for k in range(30)]
    if columns == "xu yu zu":
        np.testing.assert_allclose(read(files).positions(), positions, atol=STEP_A)
    else:
        with pytest.warns(UserWarning, match=r"0 to 29: positions are wrapped, and an atom moves by 0\.[45]"):
            read(files)
    with pytest.raises(ValueError, match="steps begin again at 0 in 0, after 1450 in 1 to 29"):
        read([*files[1:], files[0]])


def test_moves_between_dumps_that_may_have_gone_the_other_way_are_told(tmp_path):
    _, positions = walk(30, step=4.0)
    halves = {"0": slice(0, 15), "15": slice(15, 30)}
    steps = np.arange(30)
    dumps = [dump(tmp_path / k, positions[s], "id type xu yu zu", steps=steps[s]) for k, s in halves.items()]
    with pytest.warns(UserWarning, match=r"from 0 to 15 an atom moves by 0\.[45].* join them into one file"):
        read(dumps)


@pytest.mark.parametrize("columns", ["xu yu zu", "xsu ysu zsu", "x y z"])
def test_a_box_that_follows_the_outermost_atoms_moves_nobody(tmp_path, columns):
    """Boundary p p s: the box along z is as high as the atoms lie, in either of two dumps."""
    _, positions = walk(30, cell=np.diag([9.0, 9.0, 9.0]), step=0.2)
    positions[:, 0, 2] = np.linspace(12.0, 40.0, 30)  # leaves the others
    dumps = []
    for start in (0, 15):
        dumps.append(tmp_path / f"{start}")
        with open(dumps[-1], "w") as handle:
            for k in range(start, start + 15):
                low, high = (positions[k, :, 2].min() - 0.1).item(), (positions[k, :, 2].max() + 0.1).item()
                handle.write(f"ITEM: TIMESTEP\n{50 * k}\nITEM: NUMBER OF ATOMS\n7\n")
                handle.write("ITEM: BOX BOUNDS pp pp ss\n0 9\n0 9\n")
                handle.write(f"{low!r} {high!r}\nITEM: ATOMS id type {columns}\n")
                for i, (x, y, z) in enumerate(positions[k].tolist(), 1):
                    row = {"xu": x, "yu": y, "zu": z, "x": x % 9, "y": y % 9, "z": z}
                    row |= {"xsu": x / 9, "ysu": y / 9, "zsu": (z - low) / (high - low)}
                    handle.write(f"{i} {1 + (i - 1) % 2} {' '.join(repr(row[name]) for name in columns.split())}\n")
    found = read(dumps)
    moved = found.positions() - found.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=3 * STEP_A)
