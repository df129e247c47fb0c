"""When a run is long enough, and how much longer it should be."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.diffusion import diffusivity
from aiida_lpsgb.analysis.progress import progress
from aiida_lpsgb.analysis.trajectory import Trajectory


def walk(n_frames, n_ions, step, seed=0):
    positions = np.random.default_rng(seed).normal(0, step, (n_frames, n_ions, 3)).cumsum(axis=0)
    everything = np.concatenate([positions, np.zeros((n_frames, 1, 3))], axis=1)
    return Trajectory(["Li"] * n_ions + ["S"], everything, np.eye(3) * 20, np.arange(n_frames) * 1.0)


def scalars(*args, **kwargs):
    return diffusivity(walk(*args, **kwargs), "Li").scalars()


def test_a_known_diffusivity_wants_nothing():
    found = progress(scalars(800, 60, 0.3), 0.1)
    assert found.known
    assert (found.factor, found.more_ps, found.reason) == (1.0, 0.0, "")
    assert found.relative_error < 0.1


def test_the_estimate_reaches_the_target():
    """Runs that are too short for 2.5 %, made as long as is asked for, have about that error."""
    errors = []
    for seed in range(12):
        found = progress(scalars(200, 20, 0.5, seed), 0.025)
        if not found.known and found.relative_error:
            n_frames = round(200 + found.more_ps)
            assert found.more_ps == pytest.approx((found.factor - 1) * 199)
            errors.append(progress(scalars(n_frames, 20, 0.5, seed), 0.025).relative_error or 1.0)
    assert len(errors) > 3
    assert 0.010 < np.median(errors) < 0.035


def test_what_is_not_diffusive_wants_more():
    found = progress(scalars(400, 60, 0.05), 0.1)
    assert not found.known
    assert found.relative_error is None
    assert found.reason.startswith("not diffusive yet")
    assert found.factor == 4.0
    assert found.more_ps == pytest.approx(3 * 399)


def test_bad_target():
    with pytest.raises(ValueError, match="between 0 and 1"):
        progress(scalars(100, 10, 0.3), 10)
