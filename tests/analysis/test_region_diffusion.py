"""A slab of fast ions between slow ones: which estimator gives back what went in."""

from dataclasses import replace

import numpy as np
import pytest

from aiida_lpsgb.analysis import region_slopes
from aiida_lpsgb.analysis.region_diffusion import ELSEWHERE, region_diffusivity
from aiida_lpsgb.analysis.regions import Box, Slab
from aiida_lpsgb.analysis.trajectory import Trajectory

INSIDE, OUTSIDE, EDGE, THICKNESS = 0.06, 0.01, 30.0, 8.0  # Å²/ps and Å


def local_diffusivity(z):
    distance = z - EDGE / 2
    distance -= EDGE * np.rint(distance / EDGE)
    return np.where(np.abs(distance) <= THICKNESS / 2, INSIDE, OUTSIDE)


@pytest.fixture(scope="module")
def layered():
    """Metropolis walk whose steps depend on where it is but whose density is even, as a grain boundary's nearly is."""
    rng = np.random.default_rng(11)
    n_ions, n_frames, substeps = 300, 1500, 4
    x = rng.uniform(0, EDGE, (n_ions, 3))
    frames = np.empty((n_frames, n_ions + 1, 3))
    for t in range(n_frames):
        for _ in range(substeps):
            here = local_diffusivity(x[:, 2]) / substeps
            step = rng.normal(size=(n_ions, 3)) * np.sqrt(2 * here)[:, None]
            there = local_diffusivity(x[:, 2] + step[:, 2]) / substeps
            square = (step**2).sum(axis=1)
            accept = rng.random(n_ions) < (here / there) ** 1.5 * np.exp(square / 4 * (1 / here - 1 / there))
            x[accept] += step[accept]
        frames[t, :-1] = x
    frames[:, -1] = 0
    return Trajectory(["Li"] * n_ions + ["S"], frames, np.eye(3) * EDGE, np.arange(n_frames) * 1.0)


@pytest.fixture(scope="module")
def results(layered):
    return {
        w: region_diffusivity(layered, "Li", {"boundary": Slab(2, (0.5,), THICKNESS)}, window_ps=w)
        for w in ((2, 20), (10, 120))
    }


def ratio(result, name, which="lateral"):
    truth = (OUTSIDE if name == ELSEWHERE else INSIDE) * 1e-4
    return getattr(result, which).value / truth


@pytest.mark.parametrize("window", [(2, 20), (10, 120)])
@pytest.mark.parametrize("name", ["boundary", ELSEWHERE])
def test_recommended_estimator_is_right_along_the_boundary(results, window, name):
    assert ratio(results[window][name, "occupancy"], name) == pytest.approx(1, abs=0.05)


def test_coverage():
    """95 % intervals of a region hold the truth in 90–98 % of runs."""
    rng = np.random.default_rng(0)
    replicas, hits = 150, np.zeros(3)
    slab = {"slab": Slab(2, (0.5,), 10.0)}
    for _ in range(replicas):
        walk = rng.uniform(0, EDGE, (1, 60, 3)) + (rng.normal(size=(400, 60, 3)) * 0.2).cumsum(axis=0)
        everything = np.concatenate([walk, np.zeros((400, 1, 3))], axis=1)
        trajectory = Trajectory(["Li"] * 60 + ["S"], everything, np.eye(3) * EDGE, np.arange(400) * 1.0)
        found = region_diffusivity(trajectory, "Li", slab, estimators=["occupancy"], window_ps=(1, 8))
        result = found["slab", "occupancy"]
        intervals = [estimate.interval() for estimate in (result.total, result.lateral, result.components[0])]
        hits += [low < 0.02e-4 < high for low, high in intervals]
    # Two standard deviations of a binomial of 150 are 4 %.
    assert np.all(hits >= 0.90 * replicas), hits / replicas
    assert np.all(hits <= 0.99 * replicas), hits / replicas


def test_default_window_ends_before_ions_leave(layered):
    """So that the mean over directions, whose normal part falls with time, is right as well."""
    found = region_diffusivity(layered, "Li", {"boundary": Slab(2, (0.5,), THICKNESS)}, estimators=["occupancy"])
    for name in ("boundary", ELSEWHERE):
        result = found[name, "occupancy"]
        assert ratio(found[name, "occupancy"], name, "total") == pytest.approx(1, abs=0.05)
        assert result.window_ps[1] < 20
    assert found["boundary", "occupancy"].still_there > 0.93


def test_lags_at_which_ions_have_left_are_wrong_along_the_normal(results):
    long = results[10, 120]["boundary", "occupancy"]
    assert long.still_there < 0.85
    assert ratio(long, "boundary", "total") < 0.95


def test_biases_of_the_others(results):
    long = results[10, 120]
    # Tagged ions carry the slow grain's motion into the boundary's displacement, and the other way round.
    assert ratio(long["boundary", "tagged"], "boundary") < 0.96
    assert ratio(long[ELSEWHERE, "tagged"], ELSEWHERE) > 1.04
    # Counting only those that stay cuts off the normal displacement.
    for estimator in ("both_ends", "continuous"):
        assert long["boundary", estimator].components[2].value < 0.9 * long["boundary", estimator].lateral.value
        assert ratio(results[2, 20]["boundary", estimator], "boundary") == pytest.approx(1, abs=0.05)


def test_counts_and_residence(results, layered):
    result = results[2, 20]["boundary", "tagged"]
    assert result.mean_ions == pytest.approx(300 * THICKNESS / EDGE, rel=0.1)
    assert result.number_density_A3 == pytest.approx(300 / EDGE**3, rel=0.1)
    assert result.counts[0] == pytest.approx(result.mean_ions * (layered.n_frames - 1), rel=0.01)
    assert 5 < result.residence_ps < 200


def test_whole_cell_is_the_ordinary_result(layered):
    from aiida_lpsgb.analysis.diffusion import diffusivity

    region = region_diffusivity(layered, "Li", {"all": Box((0, 0, 0), (1, 1, 1))}, window_ps=(2, 40))
    plain = diffusivity(layered, "Li", window_ps=(2, 40))
    for estimator in ("tagged", "both_ends", "continuous", "occupancy"):
        assert region["all", estimator].total.value == pytest.approx(plain.value, rel=0.02)
    assert np.isinf(region["all", "tagged"].residence_ps)


@pytest.mark.parametrize(("memory_ps", "amplitude_A"), [(0.0, 0.3), (2.0, 0.45)])
def test_whole_cell_is_the_ordinary_result_where_ions_vibrate(memory_ps, amplitude_A):
    """The noise of the vibrations weighs the lags of a region as it does those of the cell."""
    from aiida_lpsgb.analysis.diffusion import diffusivity

    rng = np.random.default_rng(2)
    n_frames, n_ions, interval = 500, 80, 0.1
    kept = np.exp(-interval / memory_ps) if memory_ps else 0.0
    vibration = rng.normal(0, amplitude_A, (n_frames, n_ions, 3))
    for t in range(1, n_frames):
        vibration[t] = kept * vibration[t - 1] + np.sqrt(1 - kept**2) * vibration[t]
    walk = rng.uniform(0, EDGE, (1, n_ions, 3)) + rng.normal(0, 0.045, (n_frames, n_ions, 3)).cumsum(axis=0)
    everything = np.concatenate([walk + vibration, np.zeros((n_frames, 1, 3))], axis=1)
    trajectory = Trajectory(["Li"] * n_ions + ["S"], everything, np.eye(3) * EDGE, np.arange(n_frames) * interval)
    plain = diffusivity(trajectory, "Li", window_ps=(2.0, 6.0))
    found = region_diffusivity(trajectory, "Li", {"all": Box((0, 0, 0), (1, 1, 1))}, window_ps=(2.0, 6.0))
    for estimator in ("tagged", "occupancy"):
        result = found["all", estimator]
        assert result.value == pytest.approx(plain.value, rel=1e-3)
        assert result.uncertainty == pytest.approx(plain.uncertainty, rel=0.6)
        np.testing.assert_allclose([c.value for c in result.components], [c.value for c in plain.components], rtol=5e-3)


def test_regions_follow_the_framework(layered):
    """A run that drifts as a whole has its slab drift as well; without a framework the slab stands still."""
    drift = np.linspace(0, 18, layered.n_frames)[:, None, None] * np.array([0.0, 0.0, 1.0])
    moving = Trajectory(layered.symbols, layered.positions() + drift, np.eye(3) * EDGE, layered.times_ps)
    slab = {"boundary": Slab(2, (0.5,), THICKNESS)}
    still = region_diffusivity(layered, "Li", slab, estimators=["occupancy"], window_ps=(2, 20))
    found = region_diffusivity(moving, "Li", slab, estimators=["occupancy"], window_ps=(2, 20))
    for key, result in still.items():
        assert found[key].value == pytest.approx(result.value, rel=0.01)
        assert found[key].mean_ions == pytest.approx(result.mean_ions, rel=0.01)
    lost = region_diffusivity(moving, "Li", slab, estimators=["occupancy"], window_ps=(2, 20), drift=None)
    assert lost["boundary", "occupancy"].lateral.value < 0.7 * still["boundary", "occupancy"].lateral.value


def test_regions_have_a_verdict_of_their_own():
    """A slab of ions that hop amid ions that only vibrate."""
    rng = np.random.default_rng(5)
    z = np.concatenate([rng.uniform(12, 18, 100), rng.uniform(0, 10, 100)])
    start = np.stack([rng.uniform(0, EDGE, 200), rng.uniform(0, EDGE, 200), z], axis=1)
    hops = rng.normal(0, 0.25, (1000, 200, 3)) * np.array([1.0, 1.0, 0.0]) * (np.arange(200) < 100)[:, None]
    positions = start + hops.cumsum(axis=0) + rng.normal(0, 0.25, (1000, 200, 3))
    everything = np.concatenate([positions, np.zeros((1000, 1, 3))], axis=1)
    trajectory = Trajectory(["Li"] * 200 + ["S"], everything, np.eye(3) * EDGE, np.arange(1000) * 1.0)
    slab = {"boundary": Slab(2, (0.5,), 9.0)}
    found = region_diffusivity(trajectory, "Li", slab, estimators=["occupancy"], charge=1, temperature_K=500)
    fast, slow = found["boundary", "occupancy"], found[ELSEWHERE, "occupancy"]
    assert fast.diffusive
    assert fast.lateral.value == pytest.approx(0.25**2 / 2 * 1e-4, abs=4 * fast.lateral.error)
    assert not slow.diffusive
    assert slow.scalars()["conductivity_s_cm"] is None
    assert slow.upper_limit_cm2_s < 0.02 * fast.value
    assert fast.scalars()["verdict"].startswith("diffusive: ")


def test_an_estimator_that_sees_no_diffusion_has_no_conductivity(layered, monkeypatch):
    """What `both_ends` gives of a thin slab may fall to zero where ions have left, while they do diffuse there."""
    known = region_slopes.line_slopes

    def shrinking(*given):
        slopes = known(*given)
        return replace(slopes, whole=-0.1 * slopes.whole, blocks=-0.1 * slopes.blocks)

    monkeypatch.setattr("aiida_lpsgb.analysis.region_diffusion.line_slopes", shrinking)
    slab, estimators = {"boundary": Slab(2, (0.5,), THICKNESS)}, ["both_ends", "occupancy"]
    found = region_diffusivity(
        layered, "Li", slab, estimators=estimators, window_ps=(2, 20), charge=1, temperature_K=500
    )
    assert found["boundary", "occupancy"].diffusive
    numbers = found["boundary", "both_ends"].scalars()
    assert numbers["conductivity_s_cm"] is None
    assert numbers["verdict"].startswith("not diffusive yet: no diffusion was seen above the noise")


def test_several_regions_and_a_turned_frame(layered):
    regions = {"a": Slab(2, (0.5,), THICKNESS), "b": Slab(2, (0.0,), 4.0)}
    found = region_diffusivity(layered, "Li", regions, estimators=["occupancy"], window_ps=(5, 60))
    assert set(found) == {("a", "occupancy"), ("b", "occupancy"), (ELSEWHERE, "occupancy")}
    assert ratio(found["a", "occupancy"], "a") == pytest.approx(1, abs=0.06)
    assert found["b", "occupancy"].lateral.value == pytest.approx(OUTSIDE * 1e-4, rel=0.1)
    turned = region_diffusivity(
        layered, "Li", regions, estimators=["occupancy"], window_ps=(5, 60), frame=np.eye(3)[[2, 0, 1]]
    )
    assert turned["a", "occupancy"].components[0].value == pytest.approx(
        found["a", "occupancy"].components[2].value, rel=1e-3
    )


def test_bad_input(layered):
    slab = Slab(2, (0.5,), THICKNESS)
    with pytest.raises(ValueError, match="regions overlap"):
        region_diffusivity(layered, "Li", {"a": slab, "b": Slab(2, (0.55,), 8)}, window_ps=(2, 20))
    with pytest.raises(ValueError, match="unknown estimators"):
        region_diffusivity(layered, "Li", {"a": slab}, estimators=["best"], window_ps=(2, 20))
    with pytest.raises(ValueError, match="frame must hold three orthonormal directions"):
        region_diffusivity(layered, "Li", {"a": slab}, frame=2 * np.eye(3), window_ps=(2, 20))
    with pytest.raises(ValueError, match="hop_length_A must be positive"):
        region_diffusivity(layered, "Li", {"a": slab}, hop_length_A=0.0, window_ps=(2, 20))


@pytest.mark.parametrize("estimator", ["occupancy", "propagator"])
def test_a_region_that_is_hardly_visited(estimator):
    """One ion that is inside for the first hundredth of the run: nothing begins there in the other blocks."""
    rng = np.random.default_rng(3)
    frames = rng.normal(0, 0.05, (400, 6, 3)).cumsum(axis=0) + 5.0
    frames[4:, 0] += [0, 0, 10.0]
    frames[:, 1:5, 2] += 10.0
    frames[:, 5] = 0.0
    run = Trajectory(["Li"] * 5 + ["S"], frames, np.eye(3) * 20.0, np.arange(400.0))
    with pytest.raises(ValueError, match=f"too few displacements of '{estimator}' in region 'a' up to 20 ps"):
        region_diffusivity(run, "Li", {"a": Slab(2, (0.25,), 1.0)}, estimators=[estimator], window_ps=(2, 20))
