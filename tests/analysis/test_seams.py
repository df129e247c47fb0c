"""How runs continue each other."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory
from tests.analysis.conftest import TRICLINIC, walk

FLIP = np.array([[1, 0, 0], [-1, 1, 0], [0, 0, 1]])
SYMBOLS = ["P", "Li", "S", "Li", "Li", "S", "P"]


def part(positions, first_step, first_time=None, cell=TRICLINIC, interval=10, step_ps=0.002):
    steps = first_step + interval * np.arange(len(positions))
    start = first_step * step_ps if first_time is None else first_time
    return Trajectory(SYMBOLS, positions, cell, start + step_ps * interval * np.arange(len(positions)), steps)


@pytest.fixture
def positions():
    return walk(60)[1]


def check(joined, positions):
    assert joined.n_frames == len(positions)
    assert joined.interval_ps == pytest.approx(0.02)
    assert np.all(np.diff(joined.steps) == 10)
    moved = joined.positions() - joined.positions()[0]
    np.testing.assert_allclose(moved, positions - positions[0], atol=2 * STEP_A)


@pytest.mark.parametrize("begins", [30, 29, 20, 1])
def test_frames_that_a_restart_repeats_are_dropped(positions, begins):
    first = positions[:30].copy()
    first[begins + 1 :] += 1.0  # What was run beyond the restart point went another way.
    check(Trajectory.concatenate([part(first, 0), part(positions[begins:], 10 * begins)]), positions)


def test_a_part_that_is_repeated_whole(positions):
    check(Trajectory.concatenate([part(positions[:30], 0), part(positions, 0)]), positions)


def test_two_runs_from_one_start_are_refused(positions):
    other = positions + np.linspace(0, 3, 60)[:, None, None]
    with pytest.raises(ValueError, match="these are two runs from one start"):
        Trajectory.concatenate([part(positions, 0), part(other, 0)])


def test_a_counter_that_begins_again(positions):
    parts = [part(positions[:30], 0), part(positions[30:], 0)]
    with pytest.raises(ValueError, match=r"steps begin again at 0 in b.dump, after 290 in a.dump.*restart_gap_ps"):
        Trajectory.concatenate(parts, names=["a.dump", "b.dump"])
    check(Trajectory.concatenate(parts, restart_gap_ps=0.02), positions)
    # The last frame repeated under a new number tells how much time has passed.
    check(Trajectory.concatenate([part(positions[:30], 0), part(positions[29:], 0)]), positions)


def test_a_clock_that_begins_again(positions):
    check(Trajectory.concatenate([part(positions[:30], 0), part(positions[30:], 300, first_time=0.0)]), positions)
    single = [part(positions[:1], 0, 0.0), part(positions[1:2], 10, 0.0)]
    with pytest.raises(ValueError, match="give timestep_fs"):
        Trajectory.concatenate(single)


@pytest.mark.parametrize("last", [30, 34])
def test_a_restart_that_says_where_it_began(positions, last):
    first = positions[:last].copy()
    first[30:] += 1.0  # run beyond the restart point, another way than afterwards
    second = part(positions[30:], 300)
    second.metadata["restart_step"] = 292
    check(Trajectory.concatenate([part(first, 0), second]), positions)
    # Run again with half the time step: the same numbers of steps mean other times.
    halved = part(positions[30:], 300, 300 * 0.001, step_ps=0.001)
    halved.metadata["restart_step"] = 290
    joined = Trajectory.concatenate([part(first, 0), halved])
    np.testing.assert_allclose(joined.times_ps, [*np.arange(30) * 0.02, *(0.58 + 0.01 * np.arange(1, 31))])
    np.testing.assert_allclose(joined.positions(), positions, atol=2 * STEP_A)


def test_a_time_step_that_changes(positions):
    joined = Trajectory.concatenate([part(positions[:30], 0), part(positions[30:], 300, 300 * 0.001, step_ps=0.001)])
    np.testing.assert_allclose(np.diff(joined.times_ps), [0.02] * 29 + [0.01] * 30)


def test_images_and_bases_go_on(positions):
    rng = np.random.default_rng(0)
    elsewhere = positions[30:45] + rng.integers(-3, 4, (1, 7, 3)) @ TRICLINIC
    last = positions[45:] + rng.integers(-3, 4, (1, 7, 3)) @ TRICLINIC
    parts = [part(positions[:30], 0), part(elsewhere, 300, cell=FLIP @ TRICLINIC), part(last, 450)]
    joined = Trajectory.concatenate(parts)
    check(joined, positions)
    np.testing.assert_allclose(joined.mean_cell, TRICLINIC)
    # The same where the later parts were joined first.
    check(Trajectory.concatenate([parts[0], Trajectory.concatenate(parts[1:])]), positions)


def test_other_atoms_are_refused(positions):
    with pytest.raises(ValueError, match="part 1 has other atoms"):
        Trajectory.concatenate([part(positions, 0), part(positions, 600).subset("Li")])


def test_views_across_seams(positions, tmp_path):
    parts = [part(positions[:20], 0), part(positions[20:47], 200), part(positions[47:], 470)]
    files = [Trajectory.load(run.save(tmp_path / f"{k}")) for k, run in enumerate(parts)]
    joined = Trajectory.concatenate(files)
    np.testing.assert_allclose(joined[5:55:3].positions("Li"), positions[5:55:3, [1, 3, 4]], atol=2 * STEP_A)
    np.testing.assert_allclose(joined.subset("S")[40:].positions(), positions[40:, [2, 5]], atol=2 * STEP_A)
    np.testing.assert_allclose(joined[::7].subset(["P"])[2:].positions(), positions[::7, [0, 6]][2:], atol=2 * STEP_A)
    again = Trajectory.load(joined[10:50].subset(["Li", "S"]).save(tmp_path / "view"))
    np.testing.assert_allclose(again.positions(), positions[10:50, 1:6], atol=3 * STEP_A)
    np.testing.assert_array_equal(again.steps, np.arange(10, 50) * 10)
