"""Mean-squared displacements against lag."""

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


def test_runs_of_a_temperature_share_a_colour_and_a_name():
    lags = np.arange(1.0, 50.0)
    runs = [
        figures.Displacement(900.0, lags, 6 * lags, window_ps=(2.0, 20.0), slope_A2_ps=6.0, intercept_A2=1.0),
        figures.Displacement(900.0, lags, 5 * lags),
        figures.Displacement(300.0, lags, np.full_like(lags, 0.3), diffusive=False),
    ]
    axes = figures.msd_panel(runs).axes[0]
    curves = {line.get_label(): line for line in axes.lines}
    assert {"900 K", "300 K", "fit in its window", "not diffusive"} <= set(curves)
    assert curves["300 K"].get_linestyle() == ":"
    colours = [line.get_color() for line in axes.lines if line.get_lw() == 1.1 and len(line.get_xdata())]
    assert colours[0] == colours[1] != colours[2]
    fitted = next(line for line in axes.lines if line.get_lw() == 3.5 and len(line.get_xdata()))
    np.testing.assert_allclose(fitted.get_ydata(), 1 + 6 * fitted.get_xdata())


def test_every_species_has_a_curve():
    lags = np.arange(1.0, 10.0)
    axes = figures.element_msd(lags, {"Li": lags, "P": 0.01 * lags}).axes[0]
    assert {line.get_label(): line.get_ydata()[0] for line in axes.lines} == {"Li": 1.0, "P": 0.01}
    assert axes.get_xscale() == axes.get_yscale() == "log"
