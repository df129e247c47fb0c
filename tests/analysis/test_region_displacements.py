"""Displacements by region, counted one by one."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.region_displacements import RegionRun, count_displacements
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.trajectory import Trajectory

EDGE, N_FRAMES, N_IONS, N_BLOCKS = 12.0, 41, 5, 3
LAGS = np.array([1, 4, 20])
FRAME = np.eye(3)[[1, 2, 0]]
# In the order of the ranges below, what no region holds comes last.
REGIONS = {"low": Slab(0, (0.25,), 4.0), "high": Slab(0, (0.75,), 3.0)}
RANGES = ((1.0, 5.0), (7.5, 10.5))


def drifting_run(regions):
    """Ions that wander across slabs along x, while all that there is drifts; and where they are without the drift."""
    rng = np.random.default_rng(4)
    still = rng.uniform(0, EDGE, (1, N_IONS, 3)) + rng.normal(0, 0.8, (N_FRAMES, N_IONS, 3)).cumsum(axis=0)
    drift = np.linspace(0, 5, N_FRAMES)[:, None] * np.array([1.0, -0.5, 0.2])
    everything = np.concatenate([still, np.zeros((N_FRAMES, 1, 3))], axis=1) + drift[:, None]
    trajectory = Trajectory(["Li"] * N_IONS + ["S"], everything, np.eye(3) * EDGE, np.arange(N_FRAMES) * 0.5)
    return RegionRun(trajectory, "Li", regions, drift, FRAME, N_BLOCKS), still


def test_every_displacement_counts_where_it_belongs():
    run, still = drifting_run(REGIONS)
    found = count_displacements(run, LAGS)
    x = still[..., 0] % EDGE
    where = np.select([(low <= x) & (x <= high) for low, high in RANGES], range(2), 2)
    squares = {kind: np.zeros((3, 3, N_BLOCKS, 3)) for kind in ("tagged", "both_ends", "continuous")}
    number = {kind: np.zeros((3, 3, N_BLOCKS)) for kind in squares}
    went = np.zeros((3, 3, 3, N_BLOCKS))
    # Blocks of 41 frames begin at frames 0, 14 and 28.
    for k, lag in enumerate(LAGS):
        for t, ion in np.ndindex(N_FRAMES - lag, N_IONS):
            way, block = where[t : t + lag + 1, ion], int(np.searchsorted([14, 28], t, side="right"))
            r, end = way[0], way[-1]
            went[k, r, end, block] += 1
            counts = {"tagged": True, "both_ends": r == end, "continuous": np.all(way == r)}
            for kind in (kind for kind, counted in counts.items() if counted):
                squares[kind][k, r, block] += ((still[t + lag, ion] - still[t, ion]) @ FRAME.T) ** 2
                number[kind][k, r, block] += 1
    for kind in squares:
        np.testing.assert_array_equal(getattr(found, kind).number, number[kind])
        np.testing.assert_allclose(getattr(found, kind).squares_A2, squares[kind], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found.went, went)
    np.testing.assert_array_equal(found.present, [np.sum(where == r) for r in range(3)])
    np.testing.assert_array_equal(found.leaves, [np.sum((where[:-1] == r) & (where[1:] != r)) for r in range(3)])
    assert number["tagged"].sum() > number["both_ends"].sum() > number["continuous"].sum() > 0


def test_share_that_is_still_there():
    found = count_displacements(drifting_run(REGIONS)[0], LAGS)
    ended = np.einsum("lrrb->lr", found.went)
    np.testing.assert_allclose(found.still_there, ended / found.went.sum(axis=(2, 3)))


def test_nobody_elsewhere_and_nobody_in_a_region():
    whole = {"all": Slab(0, (0.5,), EDGE + 1.0)}
    assert count_displacements(drifting_run(whole)[0], LAGS).present.tolist() == [N_FRAMES * N_IONS]
    with pytest.raises(ValueError, match="no Li is ever in region 'thin'"):
        count_displacements(drifting_run({"thin": Slab(0, (0.5,), 1e-9)})[0], LAGS)
