import matplotlib.pyplot as plt
import numpy as np
import pytest
from ase import Atoms
from matplotlib.collections import LineCollection, PathCollection, PolyCollection

from aiida_lpsgb.structures import bicrystal, picture
from aiida_lpsgb.structures.crystal import Crystal


@pytest.fixture(scope="module")
def boundary(lps):
    return bicrystal.grain_boundary(Crystal(lps), (0, 0, 1), (1, 2, 0), width=15, region=7.5)[0]


@pytest.fixture
def drawn():
    figures = []

    def factory(*args, **kwargs):
        figures.append(picture.draw(*args, **kwargs))
        return figures[-1]

    yield factory
    for figure in figures:
        plt.close(figure)


def of_kind(axis, kind):
    return [item for item in axis.collections if type(item) is kind]


def test_every_unit_is_drawn_in_every_view(boundary, drawn):
    figure = drawn(boundary, title="Σ5")
    n_units = boundary.get_chemical_symbols().count("P")
    assert len(figure.axes) == 2
    for axis in figure.axes:
        grains = of_kind(axis, PolyCollection)
        assert [len(grain.get_paths()) for grain in grains] == [n_units / 2, n_units / 2]
        (bonds,) = of_kind(axis, LineCollection)
        assert len(bonds.get_segments()) == 4 * n_units
        assert max(np.linalg.norm(b - a) for a, b in bonds.get_segments()) < 2.2
        (atoms,) = of_kind(axis, PathCollection)
        assert len(atoms.get_offsets()) == len(boundary)
        # Either region of the cell, and its images one cell below and above.
        assert len(axis.patches) == 2 * 3
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"Li", "P", "S"}


def test_regions_are_shaded_where_they_are(boundary, drawn):
    (axis,) = drawn(boundary, views=["x"], regions=[{"centre_A": 12.0, "thickness_A": 4.0}]).axes
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches)
    assert spans[1] == pytest.approx((10.0, 14.0))


def test_depth_leaves_the_back_out(boundary, drawn):
    whole, front = (drawn(boundary, views=["y"], depth=depth).axes[0] for depth in (None, 4.0))
    counts = [len(of_kind(axis, PathCollection)[0].get_offsets()) for axis in (whole, front)]
    assert 0 < counts[1] < counts[0]


def test_condensed_unit_has_a_polyhedron_for_each_centre(drawn):
    """P₂S₇: two tetrahedra that share a corner."""
    arms = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2.05 / np.sqrt(3)
    first, bridge = np.array([5.0, 5, 5]), np.array([5.0, 5, 5]) + arms[0]
    second = bridge + arms[0]
    positions = [first, second, bridge, *(first + arms[1:]), *(second - arms[1:])]
    (axis,) = drawn(Atoms("P2S7", positions=positions, cell=[14] * 3, pbc=True), views=["x"]).axes
    (polyhedra,) = of_kind(axis, PolyCollection)
    assert len(polyhedra.get_paths()) == 2


def test_saved_picture_is_a_png(boundary, tmp_path):
    picture.save(picture.draw(boundary, views=["x"]), tmp_path / "boundary.png")
    assert (tmp_path / "boundary.png").read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()


@pytest.mark.parametrize("views", [["z"], []])
def test_unknown_views_are_refused(boundary, views):
    with pytest.raises(ValueError, match="views must be 'x' or 'y'"):
        picture.draw(boundary, views=views)
