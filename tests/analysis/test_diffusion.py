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
    replicas, hits, values = 120, np.zeros(5), []
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


# ---- verdict -------------------------------------------------------------------------------------------------------


def hopping(rng, n_frames, n_ions, rate, hop=3.0, back=1 / 6, vibration=0.3):
    """Ions on a cubic lattice that hop at a rate a frame, straight back with a chance; their long-time D, Å²/frame."""
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    position, last = np.zeros((n_ions, 3)), rng.integers(6, size=n_ions)
    frames = np.empty((n_frames, n_ions, 3))
    for t in range(n_frames):
        moves = rng.random(n_ions) < rate
        other = (last + 3 + rng.integers(1, 6, n_ions)) % 6
        chosen = np.where(rng.random(n_ions) < back, (last + 3) % 6, other)
        last = np.where(moves, chosen, last)
        position = position + np.where(moves[:, None], hop * directions[chosen], 0.0)
        frames[t] = position
    c = -back + (1 - back) / 5
    return frames + rng.normal(0, vibration, frames.shape), rate * hop**2 / 6 * (1 + c) / (1 - c)


def fractional(rng, n_frames, n_ions, hurst):
    """Fractional Brownian motion, whose displacement grows as the lag to the power 2 × hurst (Davies & Harte)."""
    k = np.arange(n_frames)
    covariance = 0.5 * ((k + 1.0) ** (2 * hurst) - 2.0 * k ** (2 * hurst) + np.abs(k - 1.0) ** (2 * hurst))
    eigenvalues = np.maximum(np.fft.fft(np.concatenate([covariance, covariance[-2:0:-1]])).real, 0)
    size = len(eigenvalues)
    noise = rng.normal(size=(size, 3 * n_ions)) + 1j * rng.normal(size=(size, 3 * n_ions))
    increments = np.fft.fft(np.sqrt(eigenvalues / size)[:, None] * noise, axis=0).real[:n_frames]
    return increments.cumsum(axis=0).reshape(n_frames, n_ions, 3)


def verdicts(make, n=10):
    return [diffusivity(run(make(np.random.default_rng(seed))), "Li") for seed in range(n)]


def test_hops_are_diffusive_and_their_length_is_found():
    found = verdicts(lambda rng: hopping(rng, 1000, 60, 0.05)[0])
    assert np.mean([r.diffusive for r in found]) >= 0.9
    truth = hopping(np.random.default_rng(0), 2, 1, 0.05)[1] * 1e-4
    assert np.mean([r.total.interval()[0] < truth < r.total.interval()[1] for r in found]) >= 0.8
    lengths = [r.scalars()["hop_length_A"] for r in found]
    assert np.median(lengths) == pytest.approx(3.0, abs=0.3)
    assert all(r.scalars()["hop_length_found"] for r in found)
    assert "diffusive: " in found[0].verdict.sentence


def test_back_jumps_do_not_fool():
    """Seven jumps of ten go straight back: the interval of what is called diffusive holds the long-time value."""
    hits = []
    for seed in range(25):
        positions, truth = hopping(np.random.default_rng(seed), 800, 100, 0.1, back=0.7)
        result = diffusivity(run(positions), "Li")
        low, high = result.total.interval()
        if result.diffusive:
            hits.append(low < truth * 1e-4 < high)
        else:
            assert result.upper_limit_cm2_s > truth * 1e-4
    assert len(hits) >= 15
    assert np.mean(hits) >= 0.88


@pytest.mark.parametrize(("hurst", "n_ions", "n_frames"), [(0.35, 48, 800), (0.42, 300, 3000), (0.25, 300, 800)])
def test_anomalous_motion_is_not_diffusive(hurst, n_ions, n_frames):
    found = verdicts(lambda rng: fractional(rng, n_frames, n_ions, hurst), 3 if n_frames > 1000 else 8)
    assert not any(r.diffusive for r in found)
    assert np.mean([r.exponent for r in found]) == pytest.approx(2 * hurst, abs=0.15)


def test_cages_and_too_few_hops_are_not_diffusive():
    rng = np.random.default_rng(0)
    kept = np.exp(-1 / 30)
    cage = np.zeros((1000, 100, 3))
    for t in range(1, 1000):
        cage[t] = kept * cage[t - 1] + rng.normal(0, 1.5 * np.sqrt(1 - kept**2), (100, 3))
    assert not diffusivity(run(cage), "Li").diffusive
    rare, truth = hopping(np.random.default_rng(1), 800, 400, 2e-4)
    result = diffusivity(run(rare), "Li", charge=1, temperature_K=300)
    assert not result.diffusive
    assert result.verdict.sentence.startswith("not diffusive yet: ions have not come as far as a hop of 3.0 Å")
    assert result.upper_limit_cm2_s > truth * 1e-4
    scalars = result.scalars()
    assert scalars["conductivity_s_cm"] is None
    assert scalars["conductivity_upper_limit_s_cm"] == pytest.approx(
        nernst_einstein(result.upper_limit_cm2_s, result.number_density_A3, 300)
    )


def test_few_that_move_in_a_crowd():
    """One ion of ten moves: their own displacement counts. Three ions of a hundred are too few to tell."""
    rng = np.random.default_rng(3)
    crowd = rng.normal(0, 0.3, (1000, 200, 3))
    crowd[:, :20] += hopping(rng, 1000, 20, 0.1, vibration=0.0)[0]
    result = diffusivity(run(crowd), "Li")
    assert result.diffusive
    assert result.value == pytest.approx(0.1 * 0.1 * 9 / 6 * 1e-4, abs=3 * result.uncertainty)
    few = rng.normal(0, 0.3, (1000, 100, 3))
    few[:, :3] += hopping(rng, 1000, 3, 0.1, vibration=0.0)[0]
    assert not diffusivity(run(few), "Li").diffusive
    alone = diffusivity(run(hopping(rng, 4000, 2, 0.2)[0]), "Li")
    assert alone.diffusive


def test_ions_that_slow_down_are_told():
    rng = np.random.default_rng(4)
    walk = np.concatenate([steps(rng, 500, 100) * np.sqrt(5), steps(rng, 500, 100) * np.sqrt(0.5)]).cumsum(axis=0)
    result = diffusivity(run(walk), "Li")
    scalars = result.scalars()
    assert scalars["transient_cut_ps"] >= 500
    assert f"{scalars['transient_cut_ps']:.3g} ps were a transient" in scalars["verdict"]
    assert result.value == pytest.approx(0.5 * D, abs=3 * result.uncertainty)
    # What speeds up until the end has no steady part.
    faster = (steps(rng, 1000, 100) * np.linspace(0.1, 3, 1000)[:, None, None]).cumsum(axis=0)
    result = diffusivity(run(faster), "Li")
    assert not result.diffusive
    assert "not stationary (displacement)" in " ".join(result.scalars()["failed_tests"])
    first, _, last = result.scalars()["rates_first_middle_last_cm2_s"]
    assert last > 3 * first


def test_volume_and_energy_that_drift_are_told():
    rng = np.random.default_rng(5)
    walk = steps(rng, 600, 60).cumsum(axis=0)
    drift = np.linspace(0, 1, 600)
    steady = diffusivity(run(walk), "Li", energy_eV=rng.normal(size=600))
    assert steady.diffusive
    assert set(steady.scalars()["stationarity_p_values"]) == {"displacement", "volume", "energy"}
    drifting = diffusivity(run(walk), "Li", energy_eV=rng.normal(size=600) + 5 * drift)
    assert not drifting.diffusive
    assert "energy" in drifting.verdict.sentence
    with pytest.raises(ValueError, match="energy_eV must hold 600 values"):
        diffusivity(run(walk), "Li", energy_eV=[1.0])


def test_one_species_has_no_haven_ratio():
    rng = np.random.default_rng(6)
    walk = steps(rng, 500, 30).cumsum(axis=0)
    alone = Trajectory(["Li"] * 30, walk, np.eye(3) * 20, np.arange(500) * 1.0)
    scalars = diffusivity(alone, "Li").scalars()
    assert scalars["drift"] == "none"
    assert scalars["haven_ratio"] is None
    assert scalars["collective_cm2_s"] is None
