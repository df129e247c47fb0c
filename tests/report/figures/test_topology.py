"""Rings of ions."""

import numpy as np

from aiida_lpsgb.analysis.rings import Ring
from aiida_lpsgb.report import figures


def test_nothing_dies_before_it_is_born():
    birth = np.array([1.0, 1.2, 1.4])
    figure = figures.persistence_diagram(birth, birth + 0.5, filtration="alpha", scale="radius", threshold_A=0.4)
    values = np.ma.array(figure.axes[0].collections[0].get_array()).ravel()
    shown = values.reshape(2 * [round(values.size**0.5)])
    assert np.ma.count(shown) > 0
    assert np.ma.count(shown[np.triu_indices(len(shown), 1)]) == 0
    assert figure.axes[0].get_title(loc="left") == "alpha filtration"


def test_a_ring_is_seen_along_its_normal_with_the_lengths_of_its_edges():
    """A 3 × 4 Å rectangle that leans in space."""
    flat = np.array([(0.0, 0, 0), (3, 0, 0), (3, 4, 0), (0, 4, 0)])
    turn = np.linalg.qr(np.arange(9.0).reshape(3, 3) ** 2 + np.eye(3))[0]
    ring = Ring(np.arange(4), flat @ turn.T, 2.0, 2.5, 0)
    axes, *_ = figures.rings([ring], columns=1).axes
    assert [text.get_text() for text in axes.texts] == ["3.0", "4.0", "3.0", "4.0"]
    drawn = axes.lines[0].get_xydata()
    np.testing.assert_allclose(np.linalg.norm(np.diff(drawn, axis=0), axis=1), [3, 4, 3, 4])
    assert axes.get_title() == "1: 4 ions\nb 2.00, d 2.50 Å"
