"""Fits, runs of one temperature, and whether they contradict each other."""

import numpy as np
import pytest

from aiida_lpsgb.report.fits import Fit, Measured, contradictions, measured, pooled_error
from tests.report.conftest import D0_CM2_S, ENERGIES_EV, K_B, fit_results, scalars

pytestmark = pytest.mark.usefixtures("aiida_profile")


def truth(temperature):
    # The made-up runs of the first potential lie 5 % above.
    return 1.05 * D0_CM2_S["crystal"] * np.exp(-ENERGIES_EV["crystal"] / (K_B * temperature))


@pytest.fixture
def fit():
    return Fit(fit_results("crystal", (500.0, 600.0, 700.0)))


def test_a_fit_says_what_its_node_does(fit):
    assert fit.fitted
    assert fit.energy_eV[0] == pytest.approx(ENERGIES_EV["crystal"])
    assert fit.target_K == 300.0
    assert fit.diffusive_K == [500.0, 600.0, 700.0]
    assert fit.nearest_K == 500.0
    assert fit.transitions_K == []
    parts = fit.parts("activation_energy", "_eV")
    assert list(parts) == ["statistics", "replicas", "committee", "extrapolation"]
    assert parts["committee"] is None
    assert "extrapolated from 500 K" in fit.sentence


def test_a_curve_follows_the_line_and_ends_in_the_interval_at_the_target(fit):
    for temperature in (500.0, 550.0, 700.0):
        value, low, high = fit.predict(temperature)
        assert value == pytest.approx(truth(temperature))
        assert low < value < high
    value, interval, _ = fit.at_target("diffusivity")
    assert fit.predict(300.0) == pytest.approx((value, *interval))
    reaches = [np.log(high / low) for _, low, high in map(fit.predict, (500.0, 400.0, 350.0, 300.0))]
    assert reaches == sorted(reaches)


def test_a_line_that_is_not_extrapolated_has_a_curve_nevertheless():
    results = fit_results("crystal", (500.0, 600.0, 700.0))
    unknown = dict.fromkeys(("diffusivity_cm2_s", "diffusivity_interval95_cm2_s"))
    value, low, high = Fit({**results, **unknown}).predict(400.0)
    assert low < value < high
    assert value == pytest.approx(truth(400.0))


def test_a_curve_of_a_committee_is_the_mean_of_its_lines():
    fit = Fit(fit_results("crystal", (500.0, 600.0, 700.0), n_potentials=2))
    value, low, high = fit.predict(600.0)
    assert value == pytest.approx(truth(600.0) * np.sqrt(1.10 / 1.05))
    assert low < value < high
    value, interval, _ = fit.at_target("diffusivity")
    assert fit.predict(300.0) == pytest.approx((value, *interval))
    assert fit.parts("activation_energy", "_eV")["committee"] is not None
    (first, error), (second, _) = fit.by_potential().values()
    assert (first + second) / 2 == pytest.approx(np.log(value), abs=1e-2)
    assert second - first == pytest.approx(np.log(1.10 / 1.05))
    assert error > 0


def test_where_no_line_can_be_drawn_there_is_a_limit():
    fit = Fit(fit_results("crystal", (500.0, 300.0), limits=(500.0, 300.0)))
    assert not fit.fitted
    assert fit.energy_eV == (None, None)
    assert "a line needs two temperatures" in fit.sentence
    value, interval, limit = fit.at_target("diffusivity")
    assert (value, interval) == (None, None)
    assert limit > 0
    assert contradictions(fit, {300.0: Measured(None, None, 1e-20, 1)}) == []


def test_runs_of_one_temperature_are_averaged():
    one = measured([scalars(1e-6, 500.0)])
    assert (one.value, one.error, one.limit, one.n_runs) == (1e-6, pytest.approx(1e-7), None, 1)
    close = measured([scalars(1e-6, 500.0), scalars(1.02e-6, 500.0)])
    assert close.value == pytest.approx(1.01e-6)
    assert close.error == pytest.approx(np.hypot(1e-7, 1.02e-7) / 2)
    apart = measured([scalars(1e-6, 500.0), scalars(3e-6, 500.0)])
    assert apart.error == pytest.approx(1e-6)


def test_one_run_that_is_not_diffusive_makes_a_limit():
    here = measured([scalars(1e-6, 500.0), scalars(3e-6, 500.0, diffusive=False)])
    assert (here.value, here.error) == (None, None)
    assert here.limit == pytest.approx(1.17 * 3e-6)


def test_conductivities_of_ions_without_a_charge_are_not_known():
    assert measured([scalars(1e-6, 500.0, conductivity_s_cm=None)], "conductivity") is None
    assert measured([], "diffusivity") is None


@pytest.mark.parametrize(("errors", "expected"), [((None, 1.0), 1.0), ((3.0, 4.0), 2.5)])
def test_pooled_error(errors, expected):
    assert pooled_error([0.0, 2.0], errors) == pytest.approx(expected)


def test_a_limit_below_the_interval_contradicts(fit):
    low = fit.predict(300.0)[1]
    assert contradictions(fit, {300.0: Measured(None, None, 1.01 * low, 1)}) == []
    ((temperature, here, interval),) = contradictions(fit, {300.0: Measured(None, None, 0.99 * low, 1)})
    assert (temperature, here.limit, interval[0]) == (300.0, 0.99 * low, low)


def test_a_point_that_was_not_fitted_contradicts_where_intervals_do_not_meet(fit):
    _, low, high = fit.predict(300.0)
    assert contradictions(fit, {300.0: Measured(high * 1.1, high * 0.1, None, 1)}) == []
    assert len(contradictions(fit, {300.0: Measured(high * 2, high * 0.1, None, 1)})) == 1
    assert len(contradictions(fit, {300.0: Measured(low / 2, low * 0.01, None, 1)})) == 1


def test_points_of_the_fit_are_its_own_affair(fit):
    assert contradictions(fit, {500.0: Measured(100 * truth(500.0), truth(500.0), None, 1), 300.0: None}) == []
