import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_lpsgb.structures.boundary import boundaries
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.slab import _representatives, faces, fill_slab, planar_grid, region_record


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(-6, 6)] * 4).filter(lambda m: m[0] * m[3] != m[1] * m[2]))
def test_every_class_of_points_is_represented_once(numbers):
    vectors = np.array(numbers).reshape(2, 2)
    points = _representatives(vectors)
    count = abs(round(np.linalg.det(vectors)))
    assert len(points) == count
    scaled = points @ np.linalg.inv(vectors)
    classes = {tuple(np.round((s - np.floor(s + 1e-9)) * count).astype(int)) for s in scaled}
    assert len(classes) == count


def test_slab_is_made_of_whole_lattice_planes():
    copper = Crystal(bulk("Cu", a=3.6, cubic=True))
    (boundary,) = boundaries(copper, (0, 0, 1), (2, 1, 0))
    grain = boundary.grains[0]
    cut = copper.terminations(grain.plane)[0]
    slab = fill_slab(copper, grain, cut, 7)
    heights = np.unique(np.round(slab.positions[:, 2], 6))
    assert len(slab.positions) == 7
    assert np.allclose(np.diff(heights), 3.6 / np.sqrt(20))
    assert slab.thickness == pytest.approx(7 * 3.6 / np.sqrt(20))
    assert 0 < heights[0] < heights[-1] < slab.thickness
    turned = slab.turned(np.diag([-1.0, -1, 1]))
    assert np.allclose(turned.positions, slab.positions * [-1, -1, 1])
    assert np.allclose(
        slab.raised(2.0).where(slab.positions[:, 2] > 3).positions[:, 2].min() - 2, heights[heights > 3][0]
    )


def test_faces_are_what_lies_at_the_cuts():
    copper = Crystal(bulk("Cu", a=3.6, cubic=True))
    (boundary,) = boundaries(copper, (0, 0, 1), (2, 1, 0))
    grain = boundary.grains[0]
    cut = copper.terminations(grain.plane)[0]
    lower, upper = faces(copper, grain, cut, 3.0)
    assert lower.positions[:, 2].min() > 0 > upper.positions[:, 2].max()
    assert lower.positions[:, 2].max() < 3.0 + 1e-9
    # Both cuts at height 0 in one lattice plane: together they are the crystal again.
    spacing = grain.plane.spacing
    heights = np.sort(np.concatenate([lower.positions[:, 2], upper.positions[:, 2]]))
    assert np.allclose(np.diff(heights), spacing)


def test_planar_grid_covers_the_cell_within_its_limit():
    basis = np.array([[5.0, 0.0], [1.0, 3.0]])
    points = planar_grid(basis, 1.0)
    assert len(points) == 5 * 4
    assert np.array_equal(points[0], [0, 0])
    assert len(planar_grid(basis, 0.1, limit=30)) <= 30
    for step, limit in ((0.0, None), (-1.0, None), (1.0, 0)):
        with pytest.raises(ValueError, match="positive step"):
            planar_grid(basis, step, limit)


def test_region_at_the_top_of_the_cell_has_the_fraction_zero():
    assert region_record(30.0, 10.0, 30.0) == {"centre_A": 30.0, "thickness_A": 10.0, "centre_fraction": 0.0}
