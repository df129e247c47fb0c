"""What potentials have learned."""

import numpy as np
import pytest

from aiida_lpsgb.report import figures


def test_errors_are_in_thousandths_and_missing_ones_are_left_out():
    errors = {"energy_rmse_ev_atom": 0.003, "forces_rmse_ev_angstrom": 0.12}
    iterations = [
        {"iteration": 1, "max_grade": 40.0, "gamma_break": 5.0, "n_extrapolated": 12, "training": errors, "test": None},
        {
            "iteration": 2,
            "max_grade": None,
            "gamma_break": 5.0,
            "n_extrapolated": 0,
            "training": errors,
            "test": errors,
        },
    ]
    energies, forces, grades, counts = figures.learning_curve(iterations, gamma_select=2.1).axes
    points = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in energies.lines}
    assert points == {"training set": ([1, 2], [3.0, 3.0]), "test set": ([2], [3.0])}
    assert forces.lines[0].get_ydata()[0] == pytest.approx(120)
    assert "meV/atom" in energies.get_title(loc="left")
    assert [list(line.get_ydata()) for line in grades.lines if line.get_label() == "highest γ"] == [[40.0]]
    assert [bar.get_height() for bar in counts.patches] == [12, 0]


def test_the_front_is_drawn_from_cheap_to_dear_and_the_choice_is_marked():
    error, on_front = "forces_rmse_ev_angstrom", {"on_front": True, "chosen": False}
    points = [
        {"level": 10, "cutoff_angstrom": 5.0, "time_us_atom_step": 4.0, error: 0.01, **on_front, "chosen": True},
        {"level": 6, "cutoff_angstrom": 5.0, "time_us_atom_step": 1.0, error: 0.03, **on_front},
        {"level": 8, "cutoff_angstrom": 6.0, "time_us_atom_step": 3.0, error: 0.04, **on_front, "on_front": False},
    ]
    axes = figures.grid(points, error, "force error  (meV/Å)").axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(np.transpose(lines["front"].get_data()), [(1, 30), (4, 10)])
    np.testing.assert_allclose(np.ravel(lines["chosen"].get_data()), [4, 10])


def test_energies_are_told_about_their_mean():
    energies = np.array([-4.1, -4.0, -3.9])
    forces = np.zeros((4, 3))
    left, right = figures.parity({"p1": (energies, energies + 0.002)}, {"p1": (forces, forces + 0.1)}).axes
    diagonal, points = left.lines
    np.testing.assert_allclose(points.get_xdata(), [-100, 0, 100], atol=1e-9)
    np.testing.assert_allclose(points.get_ydata(), [-98, 2, 102], atol=1e-9)
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    assert len(right.lines[1].get_xdata()) == 12


def test_energies_of_boundaries_stand_on_the_diagonal_where_they_agree():
    label = np.array([0.3, 0.5])
    (axes,) = figures.boundary_parity(label, {"p1": label, "p2": label + 0.1}).axes
    diagonal, first, second = axes.lines
    np.testing.assert_allclose(diagonal.get_data(), [[0.3, 0.6], [0.3, 0.6]])
    np.testing.assert_allclose(first.get_ydata(), first.get_xdata())
    np.testing.assert_allclose(second.get_data(), [[0.3, 0.5], [0.4, 0.6]])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["p1", "p2"]
    assert "J/m²" in axes.get_title(loc="left")
