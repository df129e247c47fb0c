"""Random walks with known diffusivity: values, coverage of the intervals, windows, invariances."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.diffusion import (
    brownian_covariance,
    diffusivity,
    mean_squared_displacement,
)
from aiida_lpsgb.analysis.motion import nernst_einstein
from aiida_lpsgb.analysis.trajectory import Trajectory

D = 1.0e-6  # cm²/s of all walks below, with frames 1 ps apart


def steps(rng, n_frames, n_ions):
    return rng.normal(size=(n_frames, n_ions, 3)) * np.sqrt(2 * D * 1e4)


def autoregressive(rng, n_frames, n_ions, memory):
    """Steps that remember their forerunner; the long-time diffusivity is D."""
    walk = steps(rng, n_frames, n_ions)
    for t in range(1, n_frames):
        walk[t] += memory * walk[t - 1]
    return walk * (1 - memory)


def paired(rng, n_frames, n_ions):
    """Ions that hop two by two: fewer independent walkers than ions."""
    return np.repeat(steps(rng, n_frames, n_ions // 2), 2, axis=1)


WALKS = {
    "isotropic": steps,
    "anisotropic": lambda rng, f, n: steps(rng, f, n) * np.sqrt([0.5, 1.0, 1.5]),
    "jumping back": lambda rng, f, n: autoregressive(rng, f, n, -0.5),
    "persistent": lambda rng, f, n: autoregressive(rng, f, n, 0.7),
    "in pairs": paired,
}


def run(positions, framework=None, cell=20.0):
    """A trajectory of Li, with S atoms standing still unless ``framework`` tells their positions."""
    n_frames, n_ions, _ = positions.shape
    still = np.zeros((n_frames, 2, 3)) if framework is None else framework
    everything = np.concatenate([positions + 5.0, still], axis=1)
    return Trajectory(["Li"] * n_ions + ["S"] * still.shape[1], everything, np.eye(3) * cell, np.arange(n_frames) * 1.0)


def test_msd_against_its_definition():
    x = np.random.default_rng(0).normal(size=(70, 130, 3)).cumsum(axis=0) + 100
    expected = [((x[k:] - x[: 70 - k]) ** 2).mean(axis=(0, 1)) for k in range(70)]
    np.testing.assert_allclose(mean_squared_displacement(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("peer", ["tidynamics", "freud"])
def test_msd_against_peers(peer):
    module = pytest.importorskip(peer)
    x = np.random.default_rng(0).normal(size=(200, 20, 3)).cumsum(axis=0)
    ours = mean_squared_displacement(x).sum(axis=1)
    if peer == "tidynamics":
        theirs = np.mean([module.msd(x[:, i]) for i in range(20)], axis=0)
    else:
        theirs = module.msd.MSD(mode="window").compute(x).msd
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_covariance_against_simulation():
    rng = np.random.default_rng(1)
    lags, n_frames, noise = [1, 3, 10], 60, 0.7
    x = rng.normal(size=(n_frames, 40000)).cumsum(axis=0) + rng.normal(size=(n_frames, 40000)) * np.sqrt(noise)
    msd = np.array([((x[k:] - x[:-k]) ** 2).mean(axis=0) for k in lags])
    np.testing.assert_allclose(np.cov(msd), brownian_covariance(lags, n_frames, noise), rtol=0.06)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow if k == "jumping back" else ()) for k in WALKS]
)
def test_coverage(kind):
    """95 % intervals hold the truth in 90–98 % of 200 runs: of D, a component, the collective D, Haven ratio and ξ."""
    rng = np.random.default_rng(7)
    replicas, hits, values = 200, np.zeros(5), []
    fast, haven = 1.5 if kind == "anisotropic" else 1.0, 0.5 if kind == "in pairs" else 1.0
    truth = np.array([D, fast * D, D / haven, haven, fast])
    for _ in range(replicas):
        result = diffusivity(run(WALKS[kind](rng, 600, 24).cumsum(axis=0)), "Li")
        values.append(result.value)
        estimates = (result.total, result.components[2], result.collective, result.haven_ratio, result.isotropy)
        intervals = [estimate.interval() for estimate in estimates]
        hits += [low < d < high for d, (low, high) in zip(truth, intervals, strict=True)]
    print(kind, hits / replicas)
    # Two standard deviations of a binomial of 200 are 3 %.
    assert np.all(hits >= 0.90 * replicas), hits / replicas
    assert np.all(hits <= 0.985 * replicas), hits / replicas
    assert np.mean(values) == pytest.approx(D, rel=0.015)


def test_vibration_is_not_diffusion():
    rng = np.random.default_rng(3)
    still = diffusivity(run(rng.normal(0, 0.3, (1000, 40, 3))), "Li")
    assert not still.detected
    assert abs(still.value) < 3 * still.uncertainty
    assert still.upper_limit_cm2_s >= still.jump_limit_cm2_s > 0
    slow = diffusivity(run(rng.normal(0, 0.3, (2000, 40, 3)) + 0.2 * steps(rng, 2000, 40).cumsum(axis=0)), "Li")
    assert slow.detected
    assert slow.value == pytest.approx(0.04 * D, abs=3 * slow.uncertainty)
    assert slow.uncertainty < 0.006 * D


def test_ballistic_start_is_left_out():
    rng = np.random.default_rng(5)
    result = diffusivity(run(autoregressive(rng, 3000, 50, 0.9).cumsum(axis=0)), "Li")
    # Memory of ten frames: the window begins well after, not at the first lag.
    assert result.window_ps[0] > 20
    assert result.value == pytest.approx(D, abs=3 * result.uncertainty)


def test_hopping_to_and_fro_is_not_diffusion():
    """Ions that relax among a few sites for 60 ps and then move on slowly: what 8 % of the run shows is too fast."""
    rng = np.random.default_rng(12)
    kept = np.exp(-1 / 60)
    place = np.zeros((2000, 60, 3))
    for t in range(1, 2000):
        place[t] = kept * place[t - 1] + rng.normal(0, np.sqrt(1 - kept**2), (60, 3))
    positions = place + 0.3 * steps(rng, 2000, 60).cumsum(axis=0)
    result = diffusivity(run(positions), "Li")
    assert result.window_ps[1] > 0.15 * 2000
    assert result.value == pytest.approx(0.09 * D, rel=0.35)
    # In the window of 8 % of the run nothing tells.
    assert diffusivity(run(positions), "Li", window_ps=(20, 160)).value > 0.2 * D


def test_framework_drift_is_removed():
    rng = np.random.default_rng(2)
    walk = steps(rng, 600, 30).cumsum(axis=0)
    drift = np.stack([0.02 * np.arange(600), np.sin(np.arange(600) / 50), np.zeros(600)], axis=1)[:, None]
    still = diffusivity(run(walk), "Li")
    moving = diffusivity(run(walk + drift, np.repeat(drift, 2, axis=1)), "Li")
    assert moving.drift == "S"
    assert moving.value == pytest.approx(still.value, rel=1e-3)
    kept = diffusivity(run(walk + drift, np.repeat(drift, 2, axis=1)), "Li", drift=None)
    assert kept.components[0].value > 1.5 * still.components[0].value


def test_breathing_cell_diffuses_nobody():
    rng = np.random.default_rng(4)
    scaled = rng.uniform(-4, 4, (12, 3))
    cells = np.eye(3) * (20 * (1 + 0.02 * rng.normal(size=600)))[:, None, None]
    trajectory = Trajectory(["Li"] * 10 + ["S"] * 2, scaled @ cells, cells, np.arange(600) * 1.0)
    result = diffusivity(trajectory, "Li")
    assert abs(result.value) < 1e-10
    assert result.msd_A2.sum(axis=1).max() < 1e-5


def test_invariance_under_rotation_translation_images_and_order():
    rng = np.random.default_rng(6)
    walk = WALKS["anisotropic"](rng, 500, 20).cumsum(axis=0)
    plain = diffusivity(run(walk), "Li")
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    turned = diffusivity(run(walk @ turn), "Li", frame=turn)
    shifted = diffusivity(run(walk + 3.3 + 20 * rng.integers(-2, 3, (1, 20, 3))), "Li")
    shuffled = diffusivity(run(walk[:, rng.permutation(20)]), "Li")
    for other in (turned, shifted, shuffled):
        assert other.value == pytest.approx(plain.value, rel=2e-3)
        np.testing.assert_allclose([c.value for c in other.components], [c.value for c in plain.components], rtol=5e-3)


def test_isotropy_and_haven_ratio():
    rng = np.random.default_rng(8)
    result = diffusivity(run((steps(rng, 3000, 60) * np.sqrt([1.0, 0.6, 0.5])).cumsum(axis=0)), "Li")
    low, high = result.isotropy.interval()
    assert low < 0.5 < high
    assert result.isotropy.error < 0.05
    pairs = diffusivity(run(paired(rng, 3000, 60).cumsum(axis=0)), "Li")
    low, high = pairs.haven_ratio.interval()
    assert low < 0.5 < high


def test_window_can_be_given_and_is_kept():
    walk = steps(np.random.default_rng(9), 500, 20).cumsum(axis=0)
    result = diffusivity(run(walk), "Li", window_ps=(5, 30))
    assert result.window_ps == (5.0, 30.0)
    assert result.scalars()["window_ps"] == [5.0, 30.0]
    with pytest.raises(ValueError, match="leaves no two blocks"):
        diffusivity(run(walk), "Li", window_ps=(5, 400))
    with pytest.raises(ValueError, match="window_ps"):
        diffusivity(run(walk), "Li", window_ps=(30, 5))


def test_short_or_uneven_runs_are_refused():
    walk = steps(np.random.default_rng(9), 40, 5).cumsum(axis=0)
    with pytest.raises(ValueError, match="50 frames or more"):
        diffusivity(run(walk), "Li")
    uneven = Trajectory(["Li", "S"], np.zeros((60, 2, 3)), np.eye(3), np.r_[np.arange(59), 90.0])
    with pytest.raises(ValueError, match="not evenly spaced"):
        diffusivity(uneven, "Li")
    with pytest.raises(ValueError, match="orthonormal"):
        diffusivity(run(steps(np.random.default_rng(1), 100, 5)), "Li", frame=np.ones((3, 3)))


def test_nernst_einstein():
    # 1e22 ions/cm³, 1e-8 cm²/s, 300 K: 1e22 · e² · 1e-8 / (k_B · 300) in S/cm.
    assert nernst_einstein(1e-8, 0.01, 300.0) == pytest.approx(6.1975e-4, rel=1e-4)
    assert nernst_einstein(1e-8, 0.01, 300.0, charge=2) == pytest.approx(4 * 6.1975e-4, rel=1e-4)
    with pytest.raises(ValueError, match="temperature_K"):
        nernst_einstein(1e-8, 0.01, 0.0)
