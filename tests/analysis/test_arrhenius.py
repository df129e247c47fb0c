"""Synthetic Arrhenius data with one and two regimes, scatter, replicas and limits."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.arrhenius import K_B, fit, fit_regimes
from aiida_lpsgb.analysis.motion import nernst_einstein

T = np.array([500.0, 550.0, 600.0, 700.0, 800.0])


def line(t, ea=0.3, d0=1e-3):
    return d0 * np.exp(-ea / (K_B * np.asarray(t)))


def test_exact_line():
    result = fit(T, line(T), 0.1 * line(T))
    assert result.activation_energy_eV == pytest.approx(0.3, rel=1e-9)
    assert result.d0_cm2_s == pytest.approx(1e-3, rel=1e-9)
    assert result.predict(300)[0] == pytest.approx(line(300), rel=1e-9)
    assert result.conductivity(0.017)[0] == pytest.approx(nernst_einstein(line(300), 0.017, 300), rel=1e-9)


def test_against_curve_fit():
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(0)
    s = np.array([0.2, 0.1, 0.15, 0.05, 0.02])
    y = np.log(line(T)) + rng.normal(size=5) * s * 0.3
    popt, pcov = curve_fit(lambda x, a, b: a - b * x, 1 / (K_B * T), y, sigma=s, absolute_sigma=True)
    result = fit(T, np.exp(y), np.exp(y) * s)
    np.testing.assert_allclose([result.ln_d0, result.activation_energy_eV], popt, rtol=1e-6)
    np.testing.assert_allclose(result.covariance, pcov, rtol=1e-5)


def test_coverage_of_energy_and_extrapolation():
    rng = np.random.default_rng(1)
    hits = np.zeros(2)
    for _ in range(400):
        s = rng.uniform(0.05, 0.2, 5)
        d = np.exp(np.log(line(T)) + rng.normal(size=5) * s)
        result = fit(T, d, d * s)
        low, high = result.activation_energy.interval()
        _, d_low, d_high = result.predict(300)
        hits += [low < 0.3 < high, d_low < line(300) < d_high]
    assert np.all(hits >= 0.93 * 400)


def test_scatter_widens_the_errors():
    d = line(T) * np.exp([0.5, -0.6, 0.4, -0.5, 0.3])
    tight = fit(T, d, 0.01 * d)
    assert tight.birge_ratio > 10
    assert tight.dof == 3
    assert tight.activation_energy_error_eV > 0.03


def test_two_regimes_are_found_and_one_is_not_split():
    rng = np.random.default_rng(2)
    t = np.array([300, 350, 400, 450, 500, 600, 700, 800, 1000, 1200.0])
    bend = 1 / (K_B * 500)
    x = 1 / (K_B * t)
    y = np.log(1e-4) - 0.15 * (x - bend) - np.maximum(0, x - bend) * 0.2
    d = np.exp(y + rng.normal(size=10) * 0.05)
    two = fit_regimes(t, d, 0.05 * d)
    assert len(two.fits) == 2
    assert two.transition_K == pytest.approx(500, rel=0.12)
    assert two.low_temperature.activation_energy_eV == pytest.approx(0.35, abs=0.03)
    assert two.fits[1].activation_energy_eV == pytest.approx(0.15, abs=0.03)
    split = 0
    for _ in range(100):
        d = np.exp(np.log(line(t)) + rng.normal(size=10) * 0.05)
        split += len(fit_regimes(t, d, 0.05 * d).fits) == 2
    assert split <= 12


def test_errors_that_are_too_small_do_not_make_a_bend():
    rng = np.random.default_rng(3)
    t = np.linspace(300, 1200, 10)
    split = 0
    for _ in range(100):
        d = np.exp(np.log(line(t)) + rng.normal(size=10) * 0.2)
        split += len(fit_regimes(t, d, 0.05 * d).fits) == 2
    assert split <= 20


def test_few_points_stay_one_regime():
    result = fit_regimes(T[:3], line(T[:3]), 0.1 * line(T[:3]))
    assert len(result.fits) == 1
    assert np.isinf(result.criterion[1])


def test_limits_pull_only_where_they_bite():
    d, s = line(T), 0.1 * line(T)
    loose = fit([400, *T], [0.0, *d], [50 * line(400), *s], [True] + [False] * 5)
    np.testing.assert_allclose(loose.activation_energy_eV, 0.3, atol=1e-3)
    biting = fit([400, *T], [0.0, *d], [0.1 * line(400), *s], [True] + [False] * 5)
    assert biting.activation_energy_eV > 0.31
    assert biting.predict(400)[0] < line(400)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([500], [1e-6], [1e-7]), "two temperatures"),
        (([500, 500], [1e-6, 1e-6], [1e-7, 1e-7]), "two temperatures"),
        (([500, -3], [1e-6, 1e-6], [1e-7, 1e-7]), "temperatures must be positive"),
        (([500, 600], [1e-6, -1e-6], [1e-7, 1e-7]), "upper limit"),
        (([500, 600], [1e-6, 1e-6], [1e-7, 0]), "positive standard error"),
        (([500, 600], [1e-6], [1e-7, 0]), "differ in number"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(*arguments)


def test_a_limit_far_above_changes_nothing_however_small_the_errors():
    """A curvature from differences of a χ² of 10¹¹ is that of its rounding."""
    t, d = [500.0, 600.0, 700.0], np.array([1e-7, 3e-6, 1e-6])
    alone = fit(t, d, 1e-5 * d)
    beside = fit([*t, 400.0], [*d, 0.0], [*(1e-5 * d), 1e-3], [False, False, False, True])
    assert beside.covariance == pytest.approx(alone.covariance, rel=1e-3)
    assert beside.activation_energy_eV == pytest.approx(alone.activation_energy_eV)
