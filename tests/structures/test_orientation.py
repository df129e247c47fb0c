import numpy as np
import pytest
from ase.build import bulk
from scipy.spatial.transform import Rotation

from aiida_lpsgb.structures import orientation
from aiida_lpsgb.structures.crystal import Crystal


@pytest.fixture(scope="module")
def cubic():
    return Crystal(bulk("Cu", cubic=True)).rotations


def test_rodrigues_formula_agrees_with_scipy():
    axis = np.array([1, -2, 3]) / np.sqrt(14)
    expected = Rotation.from_rotvec(np.radians(37) * axis).as_matrix()
    assert np.allclose(orientation.about(axis, 37), expected)
    assert np.allclose(orientation.about_z(37), orientation.about(np.array([0, 0, 1.0]), 37))


def test_laboratory_frame_is_a_rotation_of_normal_and_direction():
    normal, direction = np.array([1, 1, 1]) / np.sqrt(3), np.array([2.0, 0, 1])
    frame = orientation.laboratory_frame(normal, direction)
    assert np.allclose(frame @ frame.T, np.eye(3))
    assert np.linalg.det(frame) == pytest.approx(1)
    assert np.allclose(frame @ normal, [0, 0, 1])
    along = frame @ direction
    assert along[1] == pytest.approx(0, abs=1e-12)
    assert along[0] > 0


@pytest.mark.parametrize(("angle", "smallest"), [(36.87, 36.87), (53.13, 36.87), (90, 0), (120, 30)])
def test_smallest_of_the_equivalent_rotations_is_found(cubic, angle, smallest):
    z = np.array([0, 0, 1.0])
    found, axis = orientation.misorientation(np.eye(3), orientation.about_z(angle), cubic, z)
    assert found == pytest.approx(smallest, abs=1e-4)
    assert np.array_equal(axis, z)


def test_preferred_axis_wins_over_a_smaller_angle(cubic):
    """60° about [111] is 70.53° about [110] in a cube."""
    turned = orientation.about(np.array([1, 1, 1]) / np.sqrt(3), 60)
    assert orientation.misorientation(np.eye(3), turned, cubic)[0] == pytest.approx(60)
    angles = [
        orientation.misorientation(np.eye(3), turned, cubic, np.array(axis) / np.sqrt(2))[0]
        for axis in ([1, 1, 0], [1, -1, 0], [0, 1, 1])
    ]
    assert pytest.approx(70.5288, abs=1e-3) in angles
