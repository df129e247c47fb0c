"""What the figures show of the numbers they are given."""

import matplotlib as mpl
import numpy as np
import pytest

from aiida_lpsgb.report import figures


def tick_labels(axis):
    axis.figure.canvas.draw()
    ticks = zip(axis.get_minorticklabels(), axis.get_minorticklocs(), strict=True)
    low, high = sorted(axis.get_view_interval())
    return [label.get_text() for label, place in ticks if low <= place <= high and label.get_text()]


@pytest.mark.parametrize(("longest", "labels"), [(4.0, ["0.2", "0.5", "2"]), (1000.0, [])])
def test_lags_are_labelled_once(longest, labels):
    lags = np.geomspace(0.2, longest, 30)
    figure = figures.msd(lags, np.stack([lags] * 3, axis=1), window_ps=(1.0, 3.0))
    assert tick_labels(figure.axes[0].xaxis) == labels


def test_displacement_fit_and_errors():
    lags = np.arange(1, 41) * 0.5
    error = np.where(lags < 10, 0.2, np.nan)
    figure = figures.msd(lags, 6 * lags, error_A2=error, window_ps=(2.0, 8.0), slope_A2_ps=6.0, intercept_A2=0.5)
    fit = next(line for line in figure.axes[0].lines if line.get_label() == "fit")
    np.testing.assert_allclose(fit.get_ydata(), 0.5 + 6 * fit.get_xdata())
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 0]
    assert band.max() == 9.5


def test_limits_are_arrows_from_their_level():
    figure = figures.arrhenius([500, 600], [1e-7, 1e-6], [1e-7, 1e-7], limits=[True, False])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    tops = [value for line in axes.lines if line.get_marker() == "_" for value in line.get_ydata()]
    assert tops[-1] == pytest.approx(1e-7 + 1.645e-7)


def test_references_are_marked():
    r = np.linspace(0.01, 8, 200)
    figure = figures.radial_distributions({"Li-S": (r, r), "P-S": (r, r)}, references_A={"Li-S": 2.43})
    first, second = figure.axes
    assert first.get_title(loc="right") == "dotted: reference 2.43 Å"
    assert second.get_title(loc="right") == ""


def test_nothing_dies_before_it_is_born():
    birth = np.array([1.0, 1.2, 1.4])
    figure = figures.persistence_diagram(birth, birth + 0.5, filtration="alpha", scale="radius", threshold_A=0.4)
    values = np.ma.array(figure.axes[0].collections[0].get_array()).ravel()
    shown = values.reshape(2 * [round(values.size**0.5)])
    assert np.ma.count(shown) > 0
    assert np.ma.count(shown[np.triu_indices(len(shown), 1)]) == 0
    assert figure.axes[0].get_title(loc="left") == "alpha filtration"


def test_files_are_reproducible_and_settings_are_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    for name in ("a", "b"):
        figures.save(figures.disorder({"Li": (np.ones(3), np.arange(4.0))}, means={"Li": 1.5}), tmp_path / name)
    assert dict(mpl.rcParams) == before
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
