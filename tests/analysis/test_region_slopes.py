"""Slopes of displacements that are made up to be exact."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.region_displacements import DisplacementSums, RegionDisplacements
from aiida_lpsgb.analysis.region_slopes import fit_line, line_slopes, occupancy_slopes

LAGS = np.arange(1, 201)
FITTED = np.isin(LAGS, [5, 10, 20, 40, 80, 160])
SLOPES = np.array([[0.06, 0.05, 0.04], [0.01, 0.02, 0.03]])  # Å² a frame, of two regions by component
PLATEAUS = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]])
N_FRAMES, N_BLOCKS, ORIGINS = 1000, 4, 500.0


def sums(mean):
    """What adds up to a mean displacement ``(n_lags, n_regions, 3)``, in blocks that are all the same."""
    number = np.full((*mean.shape[:2], N_BLOCKS), ORIGINS)
    return DisplacementSums(mean[:, :, None] * number[..., None], number)


def displacements(leave=(0.02, 0.005)):
    """Ions that change between two regions at even rates, and move at the rate of where they are."""
    total = sum(leave)
    stationary = np.array([leave[1], leave[0]]) / total
    chance = np.concatenate([[0], LAGS])[:, None, None]
    chance = stationary + np.exp(-total * chance) * (np.eye(2) - stationary)
    # The integral as the estimator takes it, which has the same chances at the same lags.
    time = np.cumsum((chance[1:] + chance[:-1]) / 2, axis=0)
    went = chance[1:, :, :, None] * np.full(N_BLOCKS, ORIGINS)
    straight = PLATEAUS + SLOPES * LAGS[:, None, None]
    kinds = [sums(PLATEAUS + time @ SLOPES), sums(straight), sums(2 * straight)]
    present, leaves = stationary * 1e5, stationary * leave * 1e5
    return RegionDisplacements(LAGS, N_FRAMES, *kinds, went, present, leaves), time


def test_lines_of_what_each_estimator_counts():
    counted, _ = displacements()
    for estimator, factor in (("both_ends", 1), ("continuous", 2)):
        found = line_slopes(counted, FITTED, estimator)
        np.testing.assert_allclose(found.whole, factor * SLOPES, rtol=1e-6)
        np.testing.assert_allclose(found.blocks, np.broadcast_to(factor * SLOPES, (N_BLOCKS, 2, 3)), rtol=1e-6)
        # Plateau over twice the slope.
        np.testing.assert_allclose(found.noise, PLATEAUS.sum(axis=1) / SLOPES.sum(axis=1) / 2, rtol=1e-6)
    # Ions of the fast region leave it, those of the slow one enter it.
    tagged = line_slopes(counted, FITTED, "tagged").whole
    assert np.all(tagged[0] < SLOPES[0])
    assert np.all(tagged[1] > SLOPES[1])


def test_occupancy_tells_regions_apart_that_ions_change():
    counted, time = displacements()
    found = occupancy_slopes(counted, FITTED)
    np.testing.assert_allclose(found.whole, SLOPES, rtol=1e-6)
    np.testing.assert_allclose(found.blocks, np.broadcast_to(SLOPES, (N_BLOCKS, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.time, time, rtol=1e-9)
    np.testing.assert_allclose(found.time.sum(axis=2), np.tile(LAGS[:, None], 2), rtol=1e-9)


def test_blocks_that_saw_nobody_are_unknown():
    counted, _ = displacements()
    counted.tagged.number[:, 1, 2] = 0
    counted.tagged.squares_A2[:, 1, 2] = 0
    found = line_slopes(counted, FITTED, "tagged")
    assert np.isnan(found.blocks[2, 1]).all()
    assert np.isfinite(found.blocks[2, 0]).all()
    assert np.isfinite(found.whole).all()


def test_a_line_through_what_is_known():
    lags = LAGS[FITTED]
    values = 0.4 + 0.05 * lags
    values[1] = np.nan
    assert fit_line(lags, values, N_FRAMES) == pytest.approx((0.05, 0.4 / 0.05 / 2), rel=1e-6)
    assert fit_line(lags, values, N_FRAMES, 0.0) == pytest.approx((0.05, 0.0), rel=1e-6)
    values[1:] = np.nan
    assert np.isnan(fit_line(lags, values, N_FRAMES)[0])
