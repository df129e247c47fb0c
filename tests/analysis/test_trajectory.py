"""Views of many frames: the breathing cell, slices, species."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory
from tests.analysis.conftest import TRICLINIC, walk


def breathing(n_frames=200, amplitude=0.05, seed=3):
    """Atoms that keep their scaled positions, many images away, in a cell that breathes."""
    rng = np.random.default_rng(seed)
    scaled = rng.uniform(-3, 3, (5, 3))
    cells = TRICLINIC * (1 + amplitude * np.sin(np.arange(n_frames))[:, None, None])
    return scaled, cells, Trajectory(["Li"] * 5, scaled @ cells, cells, np.arange(n_frames) * 1.0)


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


def test_slices_and_subsets():
    trajectory, positions = walk(600)
    part = trajectory[100:500:3]
    np.testing.assert_allclose(part.positions(), positions[100:500:3], atol=2 * STEP_A)
    np.testing.assert_allclose(part.times_ps, trajectory.times_ps[100:500:3])
    lithium = trajectory.subset("Li")
    np.testing.assert_allclose(lithium.positions(), positions[:, [1, 3, 4]], atol=2 * STEP_A)
    with pytest.raises(ValueError, match="no Na in this trajectory; it has P, Li, S"):
        trajectory.positions("Na")
