"""Displacements of every species against what was built in."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.elements import element_msd
from aiida_lpsgb.analysis.trajectory import Trajectory


def run(n_frames=4000, drift=0.02):
    """Li walks, P vibrates about its place, S is at rest, and the whole drifts."""
    rng = np.random.default_rng(2)
    walk = rng.normal(size=(n_frames, 40, 3)).cumsum(axis=0) * 0.1
    vibration = 0.2 * rng.normal(size=(n_frames, 10, 3))
    rest = np.zeros((n_frames, 20, 3))
    places = np.concatenate([walk, vibration, rest], axis=1) + rng.random((70, 3)) * 20
    places += drift * np.arange(n_frames)[:, None, None]
    return Trajectory(["Li"] * 40 + ["P"] * 10 + ["S"] * 20, places, np.eye(3) * 20, np.arange(n_frames) * 0.5)


def test_walk_vibration_and_rest():
    found = element_msd(run(), "Li")
    assert found.reference == "P S"
    early = found.lags_ps < 50
    assert found.msd_A2["Li"][early] == pytest.approx(3 * 0.01 * found.lags_ps[early] / 0.5, rel=0.1)
    # Of the drift of the framework a third is the vibration of ten of its thirty ions.
    assert found.msd_A2["P"][-1] == pytest.approx(6 * 0.04, rel=0.2)
    assert found.msd_A2["S"].max() < 0.02


def test_one_frame_in_so_many_and_ions_in_batches(monkeypatch):
    whole, coarse = element_msd(run(), "Li"), element_msd(run(), "Li", every=10)
    assert coarse.lags_ps[0] == pytest.approx(5)
    expected = np.interp(coarse.lags_ps, whole.lags_ps, whole.msd_A2["Li"])
    early = coarse.lags_ps < 100
    assert coarse.msd_A2["Li"][early] == pytest.approx(expected[early], rel=0.1)
    monkeypatch.setattr("aiida_lpsgb.analysis.elements._VALUES_A_BATCH", 50_000)
    parts = element_msd(run(), "Li")
    assert parts.msd_A2["Li"] == pytest.approx(whole.msd_A2["Li"], rel=1e-9)


def test_too_short():
    with pytest.raises(ValueError, match="four frames or more, one in 20 of 40 is less"):
        element_msd(run(40), "Li", every=20)
