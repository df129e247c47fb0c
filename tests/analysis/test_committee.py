"""Lines of several potentials with a known truth, limits, extrapolation, and a potential that is wrong."""

import json

import numpy as np
import pytest

from aiida_lpsgb.analysis.arrhenius import K_B
from aiida_lpsgb.analysis.arrhenius_line import Point, fit_refusal
from aiida_lpsgb.analysis.committee import mean_over_potentials, transport
from aiida_lpsgb.analysis.estimates import UNKNOWN, Estimate
from aiida_lpsgb.analysis.motion import nernst_einstein

HOT = (500, 600, 700, 900)


def law(t, ea=0.26, d0=2e-3):
    return d0 * np.exp(-ea / (K_B * np.asarray(t, float)))


def seen(t, d, error=0.05, potential="a"):
    return Point(float(t), float(d), float(error * d), float(d * (1 + 2 * error)), True, potential)


def limit(t, d, potential="a"):
    return Point(float(t), 0.0, 0.0, float(d), False, potential)


def runs(rng, n_potentials, temperatures, error=0.1, replicas=1, between=0.0, ea_between=0.0):
    points = []
    for k in range(n_potentials):
        shift, ea = rng.normal(0, between), 0.26 + rng.normal(0, ea_between)
        for t in temperatures:
            for _ in range(replicas):
                points.append(seen(t, np.exp(np.log(law(t, ea)) + shift + rng.normal(0, error)), error, f"p{k}"))
    return points


def test_exact_points_give_their_law():
    found = transport([seen(t, law(t)) for t in (300, *HOT)])
    assert found.reason is None
    assert found.activation_energy.value == pytest.approx(0.26, rel=1e-6)
    assert found.ln_d.value == pytest.approx(np.log(law(300)), abs=0.01)
    scalars = found.scalars(0.017, 1.0)
    assert scalars["conductivity_s_cm"] == pytest.approx(nernst_einstein(law(300), 0.017, 300), rel=0.01)
    assert scalars["potentials"]["a"]["regimes"]["transition_K"] is None
    assert scalars["activation_energy_committee_eV"] is None
    assert "single potential" in scalars["sentence"]


@pytest.mark.parametrize("n_potentials", [2, 3, 5])
def test_intervals_hold_for_few_potentials(n_potentials):
    rng = np.random.default_rng(n_potentials)
    n, hits = 200, np.zeros(2)
    for _ in range(n):
        found = transport(runs(rng, n_potentials, (300, 400, 500, 700), between=0.3, ea_between=0.01))
        truths = ((found.activation_energy, 0.26), (found.ln_d, np.log(law(300))))
        hits += [s.interval95[0] < truth < s.interval95[1] for s, truth in truths]
    assert np.all(hits >= 0.90 * n), hits / n


def test_parts_of_the_error():
    rng = np.random.default_rng(0)
    parts = [transport(runs(rng, 6, (300, 400, 500, 700), between=0.5)).ln_d for _ in range(40)]
    # Six potentials that scatter by 0.5: the mean of the squares of the committee's share is 0.5² / 6.
    assert np.mean([p.committee**2 for p in parts]) == pytest.approx(0.5**2 / 6, rel=0.25)
    alike = [transport(runs(rng, 6, (300, 400, 500, 700))).ln_d for _ in range(40)]
    assert np.median([p.committee for p in alike]) < 0.03
    for p in (*parts, *alike):
        assert p.total**2 == pytest.approx(p.statistics**2 + p.replicas**2 + p.committee**2 + p.extrapolation**2)
    scattered = transport([seen(t, law(t) * np.exp(s), 0.02) for t in HOT for s in (0.4, -0.4)], 500.0).ln_d
    assert scattered.replicas > 3 * scattered.statistics


def test_student_for_a_committee_of_three():
    """Against the textbook: mean and t-interval of three values without errors of their own."""
    values = [1.0, 2.0, 4.0]
    found = mean_over_potentials(values, [0.0] * 3, [0.0] * 3, [np.inf] * 3)
    error = np.std(values, ddof=1) / np.sqrt(3)
    assert found.committee == pytest.approx(error)
    assert found.interval95 == pytest.approx((7 / 3 - 4.302653 * error, 7 / 3 + 4.302653 * error))


def test_extrapolation_widens_with_distance_and_says_so():
    points = [seen(t, law(t), 0.02) for t in HOT]
    widths = {}
    for target in (500, 450, 400, 350, 300):
        found = transport(points, target)
        widths[target] = np.diff(found.ln_d.interval95)[0]
        assert ("extrapolated from 500 K" in found.sentence) == (target < 400)
    assert list(widths.values()) == sorted(widths.values())
    assert widths[500] < 0.2
    # A change of the activation energy by 0.1 eV between 500 and 300 K is a factor of five either way.
    assert transport(points).ln_d.extrapolation == pytest.approx(0.1 / K_B * (1 / 300 - 1 / 500), rel=0.05)
    assert "67 % above" in transport(points).sentence


def test_a_limit_at_the_target_always_constrains():
    """The line alone says 8.6e-8; the direct run allows 5e-9."""
    points = [seen(t, law(t), 0.02) for t in HOT]
    free, held = transport(points), transport([*points, limit(300, 5e-9)])
    assert np.exp(free.ln_d.interval95[1]) > 1e-6
    assert np.exp(held.ln_d.interval95[1]) < 1.5 * 5e-9
    assert held.limit_cm2_s == 5e-9
    # The slope of the hot regime is not bent by what happens below it.
    assert held.activation_energy.value == pytest.approx(0.26, abs=1e-3)
    assert "in which no diffusion was seen" in held.sentence
    loose = transport([*points, limit(300, 1e-3)])
    assert loose.ln_d.value == pytest.approx(free.ln_d.value, abs=0.05)


@pytest.mark.parametrize(("temperature", "below"), [(450, 300), (450, 1000), (480, 30)])
def test_limits_far_below_the_line_leave_no_value(temperature, below):
    """As below a phase transition: the draws that limits left were one, whose interval had no width."""
    points = [*(seen(t, law(t)) for t in HOT), limit(temperature, law(temperature) / below)]
    found = transport(points)
    scalars = found.scalars(0.017, 1.0)
    json.dumps(scalars, allow_nan=False)
    for name in ("ln_diffusivity", "diffusivity_cm2_s", "diffusivity_interval95_cm2_s", "conductivity_s_cm"):
        assert scalars[name] is None
    assert scalars["potentials"]["a"]["ln_diffusivity"] is None
    assert scalars["diffusivity_upper_limit_cm2_s"] == pytest.approx(law(temperature) / below)
    assert scalars["activation_energy_eV"] == pytest.approx(0.26, abs=1e-3)
    assert f"at {temperature} K, in which no diffusion was seen, lie far below the line of a" in found.sentence
    # Runs at the target know it nevertheless; one potential that is at a loss leaves the mean of all unknown.
    assert transport([*points, seen(300, 1e-9)]).scalars(0.017, 1.0)["diffusivity_cm2_s"] == pytest.approx(1e-9)
    assert transport([*points, *(seen(t, law(t), potential="b") for t in HOT)]).ln_d is None


def test_a_limit_is_no_value():
    """Where the line passes above what runs at the target or above it allow."""
    falling = transport([seen(t, law(1400 - t)) for t in HOT])
    scalars = falling.scalars(0.017, 1.0)
    assert scalars["diffusivity_cm2_s"] is None
    assert scalars["diffusivity_interval95_cm2_s"] is None
    assert scalars["diffusivity_upper_limit_cm2_s"] == pytest.approx(1.1 * law(500))
    assert "passes above the upper limit of D at the target: only an upper limit is known" in falling.sentence
    line = [seen(t, law(t), 0.01) for t in (310, 320, 330, 400, 500)]
    scalars = transport([*line, seen(300, 0.5 * law(300), 0.1)]).scalars(0.017, 1.0)
    low, high = scalars["diffusivity_interval95_cm2_s"]
    assert low < scalars["diffusivity_cm2_s"] < high
    assert scalars["diffusivity_cm2_s"] == pytest.approx(0.5 * law(300))
    alone = transport([seen(300, 1e-7), limit(600, 1e-9)]).scalars(0.017, 1.0)
    assert (alone["diffusivity_cm2_s"], alone["diffusivity_upper_limit_cm2_s"]) == (None, 1e-9)


def test_the_limit_is_of_the_potential_that_leaves_the_most_room():
    """What does not move with one potential may move with another: no limit of the one holds for both."""
    lines = [seen(t, law(t), 0.05, name) for t in HOT for name in "ab"]
    slow = [*lines, limit(300, 5e-9, "a")]
    assert transport([*slow, limit(300, 8e-8, "b")]).limit_cm2_s == 8e-8
    found = transport([*slow, seen(300, 4e-8, 0.05, "b")])
    assert found.limit_cm2_s == pytest.approx(4.4e-8)
    assert np.exp(found.ln_d.value) < found.scalars(0.017, 1.0)["diffusivity_interval95_cm2_s"][1] == found.limit_cm2_s
    # A potential whose run was lost is told nothing by that of the other, but by its own hotter ones.
    assert transport(slow).limit_cm2_s == pytest.approx(1.1 * law(500))


def test_of_runs_at_the_target_one_that_sees_nothing_counts_as_well():
    """The one of two replicas in which ions were seen to move is not what both have shown."""
    apart = [seen(300, 4e-8, 0.05), limit(300, 5e-9)]
    assert not np.isfinite(transport(apart).direct.value)
    assert "only an upper limit" in transport(apart).sentence
    assert transport(apart).scalars(0.017, 1.0)["diffusivity_cm2_s"] is None
    short = [seen(300, 4e-8, 0.05), limit(300, 1e-6)]
    assert np.exp(transport(short).direct.value) == pytest.approx(4e-8)
    # A line goes between the two.
    low, high = np.exp(transport([*(seen(t, law(t), 0.05) for t in HOT), *apart]).ln_d.interval95)
    assert low < 2.2e-8 < high


def test_a_run_at_the_target_constrains_a_line_that_passes_elsewhere():
    found = transport([*(seen(t, law(t), 0.02) for t in HOT), seen(300, 1e-9, 0.1)])
    low, high = np.exp(found.ln_d.interval95)
    assert low < 1e-9 < high < 1.5e-9


def test_a_wrong_potential_is_named():
    rng = np.random.default_rng(1)
    good = runs(rng, 3, HOT, between=0.1)
    assert transport(good).disagreeing == ()
    wrong = [seen(t, 8 * law(t), 0.1, "wrong") for t in HOT]
    found = transport([*good, *wrong])
    assert found.disagreeing == ("wrong",)
    assert "wrong disagrees grossly" in found.sentence


def test_what_cannot_be_fitted_says_why():
    points = [seen(500, law(500)), limit(400, 1e-7), limit(300, 1e-8)]
    found = transport(points)
    scalars = found.scalars(0.017, 1.0)
    assert scalars["fitted"] is False
    assert scalars["reason"] == fit_refusal(points)
    assert scalars["activation_energy_eV"] is None
    assert scalars["diffusivity_upper_limit_cm2_s"] == 1e-8
    assert scalars["conductivity_upper_limit_s_cm"] == pytest.approx(nernst_einstein(1e-8, 0.017, 300))
    direct = transport([seen(300, 2e-8), seen(300, 2.2e-8)]).scalars(0.017, 1.0)
    assert direct["diffusivity_cm2_s"] == pytest.approx(2.1e-8, rel=0.02)
    with pytest.raises(ValueError, match="target_temperature_K must be positive"):
        transport(points, -1.0)


def test_haven_ratio_and_collective_conductivity():
    points = [seen(t, law(t)) for t in (300, *HOT)]
    ratios = [Estimate(0.5, 0.1, 9), Estimate(0.6, 0.05, 9), UNKNOWN]
    scalars = transport(points, 300.0, ratios).scalars(0.017, 1.0)
    assert scalars["haven_ratio"] == pytest.approx(0.59, abs=0.02)
    assert scalars["collective_conductivity_s_cm"] == pytest.approx(
        scalars["conductivity_s_cm"] / scalars["haven_ratio"]
    )
    low, high = scalars["collective_conductivity_interval95_s_cm"]
    assert low < scalars["collective_conductivity_s_cm"] < high
    assert transport(points).scalars(0.017, 1.0)["collective_conductivity_s_cm"] is None
