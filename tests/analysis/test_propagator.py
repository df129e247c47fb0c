"""Propagators against exact ones, and what comes back of walks that are drawn from them."""

import numpy as np
import pytest
from scipy.linalg import expm

from aiida_lpsgb.analysis.propagator import Layers, effective_diffusivity, fit_layers, propagator, transitions
from tests.analysis.conftest import exact_walk

EDGE = 24.0


def grid_of(walk, layers):
    cells = np.floor((walk / EDGE % 1.0) * layers.n_cells).astype(int) % layers.n_cells
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
    walk = exact_walk(rng, lambda z: np.full_like(z, 0.3), 1500, 150, EDGE, lambda z: 1.0 * np.cos(2 * np.pi * z / 3.0))
    layers = Layers.along(EDGE, [], 0.35)
    cells, density = grid_of(walk, layers)
    counts = transitions(cells, 20, layers.n_cells, np.array([0, 1500]))
    found, _ = fit_layers(counts, density, layers, 20.0, np.array([0.1]))
    effective = effective_diffusivity(found, density, layers, 0)
    msd = np.mean((walk[300:] - walk[:-300]) ** 2) / 600
    assert effective == pytest.approx(0.3 / i0(1.0) ** 2, rel=0.1)
    assert effective == pytest.approx(msd, rel=0.12)
