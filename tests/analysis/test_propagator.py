"""Layers with known diffusivities, walked exactly: what comes back along the normal."""

import numpy as np
import pytest
from scipy.linalg import expm

from aiida_lpsgb.analysis.propagator import Layers, effective_diffusivity, fit_layers, propagator, transitions
from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
from aiida_lpsgb.analysis.regions import Box, Slab
from aiida_lpsgb.analysis.trajectory import Trajectory

EDGE = 24.0


def exact_walk(rng, local, n_frames, n_ions, free_energy=None, fine=0.1, edge=EDGE):
    """Unwrapped positions along the normal of a periodic medium: jumps drawn from the propagator of a finer grid."""
    n = round(edge / fine)
    centres = (np.arange(n) + 0.5) * fine
    density = np.ones(n) if free_energy is None else np.exp(-free_energy(centres))
    here, there = np.arange(n), (np.arange(n) + 1) % n
    along = 2 / (1 / local(centres) + 1 / local(centres[there])) / fine**2
    rates = np.zeros((n, n))
    rates[here, there] = along * np.sqrt(density[there] / density)
    rates[there, here] = along * np.sqrt(density / density[there])
    rates[here, here] -= rates.sum(axis=1)
    chances = np.cumsum(expm(rates), axis=1)
    cell = rng.choice(n, n_ions, p=density / density.sum())
    path = np.empty((n_frames, n_ions))
    for t in range(n_frames):
        path[t] = (cell + rng.random(n_ions)) * fine
        cell = np.minimum((chances[cell] < rng.random((n_ions, 1)) * chances[cell][:, -1:]).sum(axis=1), n - 1)
    steps = np.diff(path, axis=0)
    steps -= edge * np.rint(steps / edge)
    return np.concatenate([path[:1], path[:1] + steps.cumsum(axis=0)])


def layered(centre, thickness, inside, outside):
    def local(z):
        distance = z - centre
        distance = distance - EDGE * np.rint(distance / EDGE)
        return np.where(np.abs(distance) <= thickness / 2, inside, outside)

    return local


def run(rng, normal, lateral, vibration=0.0, edge=EDGE):
    """A trajectory whose ions move along z as told and sideways with the diffusivity of where they are."""
    n_frames, n_ions = normal.shape
    side = rng.normal(size=(n_frames, n_ions, 2)) * np.sqrt(2 * lateral)[..., None]
    positions = np.concatenate([rng.uniform(0, edge, (1, n_ions, 2)) + side.cumsum(axis=0), normal[..., None]], axis=2)
    positions = positions + rng.normal(0, 1, positions.shape) * vibration
    everything = np.concatenate([positions, np.zeros((n_frames, 1, 3))], axis=1)
    return Trajectory(["Li"] * n_ions + ["S"], everything, np.eye(3) * edge, np.arange(n_frames) * 1.0)


def grid_of(walk, layers, edge=EDGE):
    cells = np.floor((walk / edge % 1.0) * layers.n_cells).astype(int) % layers.n_cells
    return cells, np.bincount(cells.ravel(), minlength=layers.n_cells).astype(float)


def test_propagator_of_an_even_medium_is_the_gaussian():
    layers = Layers.along(30.0, [[(0.2, 0.5)]], 0.25)
    chance = propagator([0.05, 0.05], np.ones(layers.n_cells), layers, 40.0)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0, rtol=1e-9)
    middle = layers.n_cells // 2
    distance = (np.arange(layers.n_cells) - middle) * layers.spacing_A
    gauss = np.exp(-(distance**2) / (4 * 0.05 * 40)) / np.sqrt(4 * np.pi * 0.05 * 40) * layers.spacing_A
    np.testing.assert_allclose(chance[middle], gauss, atol=1e-3)


def test_propagator_is_the_matrix_exponential_and_keeps_the_density():
    rng = np.random.default_rng(0)
    layers = Layers.along(8.0, [[(0.3, 0.6)]], 1.0)
    density = rng.uniform(0.5, 2, layers.n_cells)
    d = np.array([0.3, 0.1])
    along = 1 / (layers.shares @ (1 / d)) / layers.spacing_A**2
    n = layers.n_cells
    rates = np.zeros((n, n))
    for i in range(n):
        j = (i + 1) % n
        rates[i, j] += along[i] * np.sqrt(density[j] / density[i])
        rates[j, i] += along[i] * np.sqrt(density[i] / density[j])
    rates -= np.diag(rates.sum(axis=1))
    chance = propagator(d, density, layers, 3.0)
    np.testing.assert_allclose(chance, expm(3.0 * rates), atol=1e-9)
    np.testing.assert_allclose(density @ chance, density, rtol=1e-9)


def test_absorbing_ends_against_the_series():
    """Survival between two absorbing walls a width apart (Carslaw & Jaeger), from the middle."""
    n, width, d, time = 200, 10.0, 0.2, 60.0
    layers = Layers(width / n, np.ones((n, 1)), "absorbing")
    chance = propagator([d], np.ones(n), layers, time)
    odd = np.arange(1, 60, 2)
    start = (n // 2 + 0.5) / n
    terms = np.sin(odd * np.pi * start) / odd * np.exp(-(odd**2) * np.pi**2 * d * time / width**2)
    assert chance[n // 2].sum() == pytest.approx(4 / np.pi * terms.sum(), rel=1e-3)
    with pytest.raises(ValueError, match="ends must be periodic or absorbing"):
        Layers(1.0, np.ones((4, 1)), "open")


def test_absorbing_fit():
    """Walkers that are taken off at two walls: the diffusivity comes back from those that stay and those that go."""
    rng = np.random.default_rng(1)
    n, width, d, lag = 16, 8.0, 0.1, 10
    start = rng.uniform(0, width, 20000)
    place, alive = start.copy(), np.ones(len(start), bool)
    for _ in range(lag * 40):
        place = place + rng.normal(0, np.sqrt(2 * d / 40), len(place))
        alive &= (place > 0) & (place < width)
    cell = np.where(alive, np.clip(place / width * n, 0, n - 1).astype(int), n)
    counts = np.zeros((n, n + 1))
    np.add.at(counts, ((start / width * n).astype(int), cell), 1)
    layers = Layers(width / n, np.ones((n, 1)), "absorbing")
    found, _ = fit_layers(counts[None], np.ones(n), layers, float(lag), np.array([0.03]))
    # A cell of 0.5 Å blurs by its width squared over twelve at either end; walls are crossed unseen between steps.
    assert found[0] == pytest.approx(d + 0.5**2 / 12 / lag, rel=0.08)


def test_transitions_are_counted():
    rng = np.random.default_rng(2)
    cells = rng.integers(0, 5, (60, 7))
    found = transitions(cells, 3, 5, np.array([0, 30, 60]))
    assert found.sum() == 57 * 7
    assert found[0, 2, 4] == sum((cells[t] == 2)[i] and (cells[t + 3] == 4)[i] for t in range(30) for i in range(7))
    counted = np.zeros((60, 7), bool)
    counted[:, 0] = True
    assert transitions(cells, 3, 5, np.array([0, 60]), counted).sum() == 57


def test_barriers_in_a_layer():
    """A cosine of the free energy: the long-time diffusivity is D / I₀², Lifson & Jackson."""
    from scipy.special import i0

    rng = np.random.default_rng(3)
    walk = exact_walk(rng, lambda z: np.full_like(z, 0.3), 1500, 150, lambda z: 1.0 * np.cos(2 * np.pi * z / 3.0))
    layers = Layers.along(EDGE, [], 0.35)
    cells, density = grid_of(walk, layers)
    counts = transitions(cells, 20, layers.n_cells, np.array([0, 1500]))
    found, _ = fit_layers(counts, density, layers, 20.0, np.array([0.1]))
    effective = effective_diffusivity(found, density, layers, 0)
    msd = np.mean((walk[300:] - walk[:-300]) ** 2) / 600
    assert effective == pytest.approx(0.3 / i0(1.0) ** 2, rel=0.1)
    assert effective == pytest.approx(msd, rel=0.12)


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
        normal = exact_walk(rng, local, 800, 200)
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
    normal = exact_walk(rng, local, 800, 300)
    trajectory = run(rng, normal, np.full(normal.shape, 0.02))
    low, high = 7 / EDGE, 17 / EDGE
    box = {"core": Box((0.0, low, low), (1.0, high, high))}
    result = region_diffusivity(trajectory, "Li", box, estimators=["propagator"])["core", "propagator"]
    low, high = result.normal.interval()
    assert low < 0.06e-4 < high
    assert result.normal.error < 0.25 * result.normal.value


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
