"""Layers with known diffusivities, walked exactly: what comes back along the normal."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
from aiida_lpsgb.analysis.regions import Box, Slab
from aiida_lpsgb.analysis.trajectory import Trajectory
from tests.analysis.conftest import exact_walk

EDGE = 24.0


def layered(centre, thickness, inside, outside):
    def local(z):
        distance = z - centre
        distance = distance - EDGE * np.rint(distance / EDGE)
        return np.where(np.abs(distance) <= thickness / 2, inside, outside)

    return local


def run(rng, normal, lateral, vibration=0.0):
    """A trajectory whose ions move along z as told and sideways with the diffusivity of where they are."""
    n_frames, n_ions = normal.shape
    side = rng.normal(size=(n_frames, n_ions, 2)) * np.sqrt(2 * lateral)[..., None]
    positions = np.concatenate([rng.uniform(0, EDGE, (1, n_ions, 2)) + side.cumsum(axis=0), normal[..., None]], axis=2)
    positions = positions + rng.normal(0, 1, positions.shape) * vibration
    everything = np.concatenate([positions, np.zeros((n_frames, 1, 3))], axis=1)
    return Trajectory(["Li"] * n_ions + ["S"], everything, np.eye(3) * EDGE, np.arange(n_frames) * 1.0)


CASES = {
    "thin and fast, across the boundary": (0.0, 6.0, 0.06, 0.01, 0.25),
    "slow": (12.0, 10.0, 0.02, 0.06, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_normal_of_a_thin_layer(name):
    """Displacements are 3–12 % off; the propagator is not, and its interval says how well it is known."""
    centre, thickness, inside, outside, vibration = CASES[name]
    values, hits, naive, even = [], [], [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        local = layered(centre, thickness, inside, outside)
        normal = exact_walk(rng, local, 800, 200, EDGE)
        trajectory = run(rng, normal, local(normal), vibration)
        slab = {"layer": Slab(2, (centre / EDGE,), thickness)}
        found = region_diffusivity(trajectory, "Li", slab, estimators=["occupancy", "propagator"])
        result = found["layer", "propagator"]
        low, high = result.normal.interval()
        hits.append(low < inside * 1e-4 < high)
        values.append(result.normal.value / inside * 1e4)
        naive.append(found["layer", "occupancy"].normal.value / inside * 1e4)
        assert result.lateral == found["layer", "occupancy"].lateral
        scalars = result.scalars()
        # The same at early and at late lags.
        assert scalars["normal_early_cm2_s"] == pytest.approx(scalars["normal_late_cm2_s"], rel=0.35)
        even.append(scalars["isotropy_interval95"][0] < 1 < scalars["isotropy_interval95"][1])
    assert np.mean(values) == pytest.approx(1, abs=0.05)
    assert abs(np.mean(naive) - 1) > (0.08 if thickness < 8 else 0.02)
    assert sum(hits) >= 2
    assert sum(even) >= 2


def test_a_box():
    """The core of a dislocation along x: fast within a square of 10 Å, along the normal too."""
    rng = np.random.default_rng(5)
    local = layered(12.0, 10.0, 0.06, 0.02)
    normal = exact_walk(rng, local, 800, 300, EDGE)
    trajectory = run(rng, normal, np.full(normal.shape, 0.02))
    low, high = 7 / EDGE, 17 / EDGE
    box = {"core": Box((0.0, low, low), (1.0, high, high))}
    result = region_diffusivity(trajectory, "Li", box, estimators=["propagator"])["core", "propagator"]
    low, high = result.normal.interval()
    assert low < 0.06e-4 < high
    assert result.normal.error < 0.25 * result.normal.value


def test_what_is_left_over_beside_a_box():
    """The layers beside a slab hold the box's ions, too: they tell nothing of what no region holds."""
    rng = np.random.default_rng(7)
    normal = rng.uniform(0, EDGE, (1, 60)) + rng.normal(0, 0.3, (300, 60)).cumsum(axis=0)
    trajectory = run(rng, normal, np.full(normal.shape, 0.05))
    slab, box = Slab(2, (0.0,), 6.0), Box((0.0, 0.2, 0.3), (1.0, 0.8, 0.7))
    estimators = ["occupancy", "propagator"]
    alone = region_diffusivity(trajectory, "Li", {"layer": slab}, estimators=estimators)
    both = region_diffusivity(trajectory, "Li", {"layer": slab, "core": box}, estimators=estimators)
    assert ("elsewhere", "propagator") in alone
    assert set(both) == set(alone) - {("elsewhere", "propagator")} | {("core", name) for name in estimators}
    expected = alone["layer", "propagator"].normal.value
    assert both["layer", "propagator"].normal.value == pytest.approx(expected, rel=0.02)


def test_a_frame_that_is_not_the_normal_is_refused():
    rng = np.random.default_rng(6)
    trajectory = run(
        rng, rng.uniform(0, EDGE, (1, 20)) + rng.normal(0, 0.3, (200, 20)).cumsum(axis=0), np.full((200, 20), 0.05)
    )
    with pytest.raises(ValueError, match=r"must be the normal of region 'layer'.*90° off"):
        region_diffusivity(
            trajectory, "Li", {"layer": Slab(0, (0.5,), 8.0)}, estimators=["propagator"], frame=np.eye(3)
        )
    # Left out, the frame is that of the slab.
    found = region_diffusivity(trajectory, "Li", {"layer": Slab(0, (0.5,), 8.0)}, estimators=["propagator"])
    np.testing.assert_allclose(found["layer", "propagator"].frame, np.eye(3)[[1, 2, 0]], atol=1e-12)
