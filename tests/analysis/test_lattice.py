"""Lattice vectors that are exchanged in the middle of a run."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.lattice import Follower, basis_change
from aiida_lpsgb.analysis.trajectory import STEP_A, Trajectory
from tests.analysis.conftest import TRICLINIC, walk

TURN = np.array([[1.0, 1.0, 0], [-1.0, 1.0, 0], [0, 0, 2**0.5]]) / 2**0.5
FLIPS = [
    np.array([[1, 0, 0], [-1, 1, 0], [0, 0, 1]]),
    np.array([[1, 0, 0], [0, 1, 0], [1, -1, 1]]),
    np.array([[1, 0, 0], [1, 1, 0], [-1, 1, 1]]),
    np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]]),
]


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("strain", [0.0, 0.05])
def test_the_change_is_found_under_strain(flip, strain):
    rng = np.random.default_rng(0)
    cell = flip @ (TRICLINIC @ (np.eye(3) + strain * rng.uniform(-1, 1, (3, 3))))
    change = basis_change(TRICLINIC, cell)
    np.testing.assert_array_equal(change @ flip, np.eye(3))


@pytest.mark.parametrize("other", [np.diag([2.0, 1, 1]) @ TRICLINIC, 0.6 * TRICLINIC, TRICLINIC @ TURN])
def test_another_lattice_is_refused(other):
    with pytest.raises(ValueError, match="are not two bases of one lattice"):
        basis_change(TRICLINIC, other)


def test_vectors_that_are_not_periodic_may_grow():
    grown = TRICLINIC * [[1], [1], [2.5]]
    np.testing.assert_array_equal(basis_change(TRICLINIC, grown, (True, True, False)), np.eye(3))


@pytest.mark.parametrize("wrapped", [False, True])
def test_positions_go_on_through_any_number_of_flips(wrapped):
    _, positions = walk(60, step=0.2)
    rng = np.random.default_rng(1)
    basis, follower, found = np.eye(3), Follower(), []
    for number, frame in enumerate(positions):
        breathing = TRICLINIC * (1 + 0.01 * np.sin(number))
        basis = FLIPS[rng.integers(len(FLIPS))] @ basis if number % 7 == 3 else basis
        cell = basis @ breathing
        scaled = frame @ np.linalg.inv(TRICLINIC) @ breathing @ np.linalg.inv(cell)
        scaled, cell = follower(scaled % 1.0 if wrapped else scaled, cell, not wrapped)
        np.testing.assert_allclose(cell, breathing, atol=1e-9)
        found.append(scaled @ TRICLINIC)
    np.testing.assert_allclose(np.array(found) - found[0], positions - positions[0], atol=1e-9)


def test_a_trajectory_made_of_arrays_is_followed_too():
    _, positions = walk(40)
    cells = np.array([FLIPS[0] @ TRICLINIC if 10 <= k < 30 else TRICLINIC for k in range(40)])
    trajectory = Trajectory(["Li"] * 7, positions, cells, np.arange(40.0))
    np.testing.assert_allclose(trajectory.mean_cell, TRICLINIC)
    np.testing.assert_allclose(trajectory.positions(), positions, atol=STEP_A)
    with pytest.raises(ValueError, match=r"frame 20 \(step 20\): the cell vectors jump"):
        Trajectory(["Li"] * 7, positions, np.array([TRICLINIC] * 20 + [2 * TRICLINIC] * 20), np.arange(40.0))
