"""Where ions are."""

import numpy as np
import pytest

from aiida_lpsgb.report import figures

EDGES_A = np.linspace(0, 10, 11), np.linspace(0, 20, 21)


def test_references_are_marked():
    r = np.linspace(0.01, 8, 200)
    figure = figures.radial_distributions({"Li-S": (r, r), "P-S": (r, r)}, references_A={"Li-S": 2.43})
    first, second = figure.axes
    assert first.get_title(loc="right") == "dotted: reference 2.43 Å"
    assert second.get_title(loc="right") == ""


def dashed(axes):
    return [line.get_ydata()[0] for line in axes.lines]


def test_a_map_is_drawn_upright_with_the_ends_of_its_regions_inside():
    density = np.zeros((10, 20))
    density[2, 17] = 1.0
    axes = figures.density_map(density, EDGES_A, regions_A=[(0.0, 4.0), (4.0, 9.0), (9.0, 20.0)]).axes[0]
    shown = np.asarray(axes.collections[0].get_array()).reshape(20, 10)
    assert shown[17, 2] == 1.0
    assert dashed(axes) == [4.0, 9.0]
    assert axes.get_aspect() == 1.0


def test_maps_of_several_species_each_have_a_scale():
    few, many = np.full((10, 20), 1.0), np.full((10, 20), 5.0)
    figure = figures.density_maps({"Li": many, "P": few}, EDGES_A, regions_A=[(4.0, 9.0)])
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["Li", "P"]
    assert [axes.collections[0].get_clim() for axes in panels] == [(0, 5), (0, 1)]
    assert [dashed(axes) for axes in panels] == [[4.0, 9.0]] * 2


def test_a_profile_is_relative_to_the_mean():
    position = np.arange(0.0, 10.0)
    density = np.where(position < 5, 0.02, 0.04)
    axes = figures.profile(position, density, smooth_A3=density, regions_A=[(0.0, 5.0)]).axes[0]
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(curves["counted"][[0, -1]], [2 / 3, 4 / 3])
    np.testing.assert_allclose(curves["smoothed"], curves["counted"])


def test_units_stand_from_rare_to_common_with_their_numbers():
    axes = figures.units({"crystal": {"PS4": 64.0}, "glass": {"PS4": 50.0, "P2S7": 6.5}}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["P$_{2}$S$_{7}$", "PS$_{4}$"]
    assert [text.get_text() for text in axes.texts] == ["", "64", "6.5", "50"]


def test_means_of_the_disorder_are_told():
    axes = figures.disorder({"Li": (np.array([0.2, 0.8]), np.array([0.0, 1.0, 2.0]))}, means={"Li": 1.3}).axes[0]
    assert axes.get_legend().get_texts()[0].get_text() == "Li, mean 1.30"
    assert axes.lines[0].get_xdata()[0] == pytest.approx(1.3)
