"""Diffusivities against the inverse temperature."""

import numpy as np
import pytest

from aiida_lpsgb.analysis import arrhenius
from aiida_lpsgb.report import figures

BOLTZMANN_EV_K = 8.617333262e-5
TEMPERATURES_K = np.array([600.0, 750.0, 900.0])


def series(name, **kwargs):
    nothing = np.full(3, np.nan)
    d = 1e-3 * np.exp(-0.25 / (BOLTZMANN_EV_K * TEMPERATURES_K))
    return figures.Series(name, TEMPERATURES_K, d, 0.05 * d, nothing, **kwargs)


def test_limits_are_arrows_from_their_level():
    figure = figures.arrhenius([500, 600], [1e-7, 1e-6], [1e-7, 1e-7], limits=[True, False])
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    tops = [value for line in axes.lines if line.get_marker() == "_" for value in line.get_ydata()]
    assert tops[-1] == pytest.approx(1e-7 + 1.645e-7)


def test_the_line_follows_the_fit_down_to_the_target():
    d = series("cell").d_cm2_s
    figure = figures.arrhenius(TEMPERATURES_K, d, 0.05 * d, arrhenius.fit(TEMPERATURES_K, d, 0.05 * d), label="cell")
    measured, extrapolated = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 60]
    assert 1000 / measured.get_xdata()[[0, -1]] == pytest.approx([900, 600])
    assert 1000 / extrapolated.get_xdata()[-1] == pytest.approx(300)
    assert extrapolated.get_ydata()[-1] == pytest.approx(1e-3 * np.exp(-0.25 / (BOLTZMANN_EV_K * 300)), rel=1e-3)
    (text,) = figure.axes[0].get_legend().get_texts()
    assert text.get_text().startswith("cell, Eₐ = 0.250")


def test_regions_share_the_colour_of_their_cell_and_can_be_hidden_apart():
    cell, region = series("cell"), series("boundary", region=1)
    figure = figures.arrhenius_comparison([cell, region], siemens=1e5)
    of = {gid.rpartition("-")[0]: artist for artist in figure.findobj() if "-0-" in (gid := artist.get_gid() or "")}
    assert set(of) == {"cell-0-cell", "region-0-boundary"}
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() for line in lines] == [lines[0].get_color(), "none"]
    assert lines[0].get_color() == lines[1].get_color()


def test_the_axis_does_not_follow_a_line_into_the_deep():
    curve = np.array([(300.0, 1e-30, 1e-40, 1e-20), (600.0, 1e-6, 5e-7, 2e-6)])
    figure = figures.arrhenius_comparison([series("cell", extrapolated=curve)])
    assert figure.axes[0].get_ylim()[0] > 1e-12
