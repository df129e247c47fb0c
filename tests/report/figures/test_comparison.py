"""One quantity against another."""

import numpy as np

from aiida_lpsgb.analysis.comparison import Known, Structure
from aiida_lpsgb.report import figures


def bars_of(axes):
    return [segment for collection in axes.collections for segment in collection.get_segments()]


def test_bars_are_those_of_95_percent():
    axes = figures.scatter({"tilt": [(1.0, 0.1, 2.0, 0.5)]}, log_y=False).axes[0]
    ends = sorted(np.ravel(bars_of(axes)))
    np.testing.assert_allclose(ends, sorted([1 - 0.196, 1 + 0.196, 2, 2, 1, 1, 2 - 0.98, 2 + 0.98]))


def test_limits_are_arrows_and_kinds_share_a_name():
    structures = {
        "a": Structure("tilt", {"isotropy": Known(0.5, 0.4, 0.6), "diffusivity": Known(1e-6, 5e-7, 2e-6)}),
        "b": Structure("tilt", {"isotropy": Known(0.7, 0.6, 0.8), "diffusivity": Known(limit=1e-8)}),
        "c": Structure("crystal", {"isotropy": Known(1.0)}),
    }
    labels = {"isotropy": "ξ", "diffusivity": "D  (cm² s⁻¹)"}
    figure = figures.relations(structures, [("isotropy", "diffusivity")], labels, kinds=("crystal", "tilt"))
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["tilt"]
    low = min(segment[:, 1].min() for segment in bars_of(axes))
    np.testing.assert_allclose(low, 1e-8 / 3)
