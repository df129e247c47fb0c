"""Small runs made up for the analysis."""

import numpy as np
import pytest
from scipy.linalg import expm

from aiida_lpsgb.analysis.trajectory import Trajectory

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 12.0, 0], [-1.0, 0.5, 13.0]])


def walk(n_frames=300, n_atoms=7, cell=TRICLINIC, seed=0, step=0.3):
    """Atoms of three species that wander; the trajectory and what went into it."""
    rng = np.random.default_rng(seed)
    symbols = ["P", "Li", "S", "Li", "Li", "S", "P"][:n_atoms]
    positions = rng.uniform(0, 10, (1, n_atoms, 3)) + rng.normal(0, step, (n_frames, n_atoms, 3)).cumsum(axis=0)
    return Trajectory(symbols, positions, cell, np.arange(n_frames) * 0.1, metadata={"temperature_K": 500}), positions


def tetrahedra_run(n_frames=120, n_ions=60, edge=18.0, seed=0):
    """Li that wanders among PS4 tetrahedra, a frame each half picosecond."""
    rng = np.random.default_rng(seed)
    centres = np.stack(np.meshgrid(*[[4.5, 13.5]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    legs = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    frame = np.concatenate([centres, (centres[:, None] + legs).reshape(-1, 3)])
    lithium = rng.uniform(0, edge, (1, n_ions, 3)) + rng.normal(0, 0.15, (n_frames, n_ions, 3)).cumsum(axis=0)
    still = frame + rng.normal(0, 0.03, (n_frames, *frame.shape))
    symbols = ["Li"] * n_ions + ["P"] * 8 + ["S"] * 32
    positions = np.concatenate([lithium, still], axis=1)
    times, steps = np.arange(n_frames) * 0.5, np.arange(n_frames) * 250
    return Trajectory(symbols, positions, np.eye(3) * edge, times, steps)


def exact_walk(rng, local, n_frames, n_ions, edge, free_energy=None, fine=0.1):
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


@pytest.fixture
def tetrahedra():
    """Return a factory of runs of Li that wanders among PS4 tetrahedra."""
    return tetrahedra_run
