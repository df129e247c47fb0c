"""The line of one potential with a known law: its regime, limits, extrapolation, and runs at the target."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.arrhenius import K_B
from aiida_lpsgb.analysis.arrhenius_line import Point, direct, fit_refusal, line

HOT = (500, 600, 700, 900)


def law(t):
    return 2e-3 * np.exp(-0.26 / (K_B * np.asarray(t, float)))


def seen(t, d, error=0.05, potential="a"):
    return Point(float(t), float(d), float(error * d), float(d * (1 + 2 * error)), True, potential)


def limit(t, d):
    return Point(float(t), 0.0, 0.0, float(d), False, "a")


def test_a_point_of_what_is_not_diffusive_is_a_limit():
    scalars = {
        "temperature_K": 300,
        "diffusivity_cm2_s": 2e-8,
        "uncertainty_cm2_s": 1e-8,
        "upper_limit_cm2_s": 5e-8,
        "diffusive": False,
    }
    assert Point.from_scalars(scalars, "p1") == Point(300.0, 2e-8, 1e-8, 5e-8, False, "p1")
    assert Point.from_scalars(scalars | {"diffusive": True}).diffusive
    with pytest.raises(ValueError, match="'boundary' does not tell its temperature_K"):
        Point.from_scalars({"region": "boundary"})


def test_exact_points_give_their_law():
    found = line([seen(t, law(t)) for t in (300, *HOT)], 300)
    assert (found.potential, found.coldest_K, found.nearest_K) == ("a", 300, 300)
    assert found.fit.activation_energy_eV == pytest.approx(0.26, rel=1e-6)
    assert found.fit.ln_d0 == pytest.approx(np.log(2e-3), rel=1e-6)
    assert found.ln_d.value == pytest.approx(np.log(law(300)), abs=0.01)
    assert found.ln_d_extrapolation == 0
    assert found.parts_of_energy[1] == found.parts_of_ln_d0[1] == 0
    scalars = found.scalars()
    assert scalars["ln_d0"] == found.fit.ln_d0
    assert scalars["regimes"]["transition_K"] is scalars["regimes"]["transition_interval95_K"] is None


def test_runs_that_scatter_add_to_what_they_know_of_themselves():
    found = line([seen(t, law(t) * np.exp(s), 0.02) for t in HOT for s in (0.4, -0.4)], 500)
    for own, scatter in (found.parts_of_energy, found.parts_of_ln_d0):
        assert scatter > 3 * own > 0


def test_beyond_the_coldest_run_the_energy_may_change():
    points = [seen(t, law(t), 0.02) for t in HOT]
    # By 0.1 eV, between 500 and 300 K a factor of five either way.
    assert line(points, 300).ln_d_extrapolation == pytest.approx(0.1 / K_B * (1 / 300 - 1 / 500), rel=0.05)
    assert line(points, 300, bend_eV=0.02).ln_d_extrapolation < 0.3 * line(points, 300).ln_d_extrapolation
    assert line(points, 600).ln_d_extrapolation == 0


def test_a_limit_beyond_the_line_is_heard_but_does_not_bend_it():
    points = [seen(t, law(t), 0.02) for t in HOT]
    free, held = line(points, 300), line([*points, limit(300, 5e-9)], 300)
    assert held.fit.activation_energy_eV == free.fit.activation_energy_eV
    assert np.exp(held.ln_d.value) < 5e-9 < np.exp(free.ln_d.value)


def test_a_limit_among_the_runs_bends_the_line():
    points = [seen(t, law(t), 0.3) for t in (500, 900)]
    assert line([*points, limit(600, law(600) / 3)], 500).fit.ln_estimate(600).value < np.log(law(600)) - 0.3


def test_the_regime_that_reaches_the_target_is_taken():
    t = np.array([300, 350, 400, 450, 500, 600, 700, 800, 1000, 1200.0])
    x, bend = 1 / (K_B * t), 1 / (K_B * 520)
    d = np.exp(np.log(1e-4) - 0.15 * (x - bend) - np.maximum(0, x - bend) * 0.2)
    points = [seen(a, b, 0.03) for a, b in zip(t, d, strict=True)]
    cold, hot = line(points, 280.0), line(points, 1100.0)
    assert cold.fit.activation_energy_eV == pytest.approx(0.35, abs=0.02)
    assert hot.fit.activation_energy_eV == pytest.approx(0.15, abs=0.02)
    low, high = cold.regimes.transition_interval95_K
    assert low <= cold.regimes.transition_K <= high
    assert low - 5 < 520 < high + 5
    assert len(cold.scalars()["regimes"]["fits"]) == 2


def test_runs_at_the_target_are_averaged_unless_one_denies_what_others_saw():
    assert np.exp(direct([seen(300, 2e-8), seen(300, 2.2e-8), seen(400, 1e-6)], 300).value) == pytest.approx(
        2.1e-8, rel=0.02
    )
    assert not np.isfinite(direct([seen(400, 1e-6)], 300).value)
    assert not np.isfinite(direct([seen(300, 4e-8), limit(300, 5e-9)], 300).value)
    assert np.exp(direct([seen(300, 4e-8), limit(300, 1e-6)], 300).value) == pytest.approx(4e-8)


def test_a_run_at_the_target_constrains_a_line_that_passes_elsewhere():
    found = line([*(seen(t, law(t), 0.02) for t in HOT), seen(300, 1e-9, 0.1)], 300)
    assert np.exp(found.ln_d.value) == pytest.approx(1e-9, rel=0.1)


def test_what_cannot_be_fitted_says_why():
    assert fit_refusal([]) == "there are no diffusivities"
    points = [seen(500, law(500)), limit(400, 1e-7), limit(300, 1e-8)]
    assert fit_refusal(points) == "a line needs two temperatures with diffusive motion, found it at 500 K"
    # Points of different potentials make no line together.
    assert fit_refusal([seen(500, 1e-6, potential="a"), seen(600, 2e-6, potential="b")]) is not None
    assert fit_refusal([seen(500, 1e-6), seen(600, 2e-6)]) is None
