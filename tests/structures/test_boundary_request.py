"""What is no boundary in any crystal is refused before a crystal is there."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_lpsgb.structures.boundary_request import check_request, check_tilt_axis, kind_of
from aiida_lpsgb.structures.crystal import Crystal


@pytest.fixture(scope="module")
def copper():
    return Crystal(bulk("Cu", a=3.61, cubic=True))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"plane": (1, 2, 0), "axis": (0, 0, 2)}, "axis .* common divisor 2"),
        ({"plane": (0, 0, 0)}, "plane"),
        ({"plane": (1, 2, 3), "axis": (0, 0, 1), "kind": "symmetric"}, r"does not contain the tilt axis \[0, 0, 1\]"),
        ({"plane": (1, 0, 0), "axis": (0, 0, 1), "plane_2": (1, 2, 1)}, r"plane_2 \[1, 2, 1\] does not contain"),
        ({"plane": (1, 2, 0), "kind": "symmetric"}, "axis must be given"),
        ({"plane": (1, 2, 0), "axis": (0, 0, 1), "kind": "tilt"}, "kind must be one of symmetric, asymmetric"),
        ({"plane": (1, 2, 0), "axis": (0, 0, 1), "kind": "asymmetric"}, "needs plane_2"),
        ({"plane": (1, 2, 0), "direction": (0, 0, 1)}, "needs plane_2"),
        ({"plane": (0, 0, 1), "kind": "twist", "convention": "pseudo-cubic"}, "given by its nominal sigma"),
        ({"plane": (0, 0, 1), "kind": "twist", "sigma": 5}, "sigma belongs to convention='pseudo-cubic'"),
        ({"plane": (0, 0, 1), "kind": "twist", "angle": np.nan}, "angle must be a number of degrees"),
        ({"plane": (0, 0, 1), "kind": "twist", "max_area": 0}, "max_area must be positive"),
    ],
)
def test_a_request_that_no_crystal_answers_is_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        check_request(**request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"plane": (1, 2, 0), "axis": (0, 0, 1), "kind": "symmetric"},
        # In a lattice that leans, the normal of a plane has other indices: only the crystal tells.
        {"plane": (0, 0, 1), "axis": (1, 0, 3), "kind": "twist"},
        # Without a kind the crystal tells as well whether that is a tilt.
        {"plane": (1, 2, 3), "axis": (0, 0, 1)},
    ],
)
def test_what_depends_on_the_crystal_passes(request_):
    check_request(**request_)


def test_the_axis_tells_the_kind(copper):
    plane = copper.plane((0, 0, 1))
    assert kind_of(copper, None, plane, None, None) == "twist"
    assert kind_of(copper, (0, 0, 1), plane, None, None) == "twist"
    assert kind_of(copper, (1, 0, 0), plane, None, None) == "symmetric"
    assert kind_of(copper, (1, 0, 0), plane, (0, 1, 1), None) == "asymmetric"
    assert kind_of(copper, None, plane, (0, 1, 1), (1, 0, 0)) == "mixed"


def test_with_the_crystal_an_equivalent_axis_within_the_plane_is_named(copper):
    with pytest.raises(ValueError, match=r"the equivalent direction \[1, 0, -1\] does"):
        check_tilt_axis(copper, (1, 1, 0), np.array([1, 1, 1]), "plane")
