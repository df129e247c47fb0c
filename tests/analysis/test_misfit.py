"""The core of a dislocation is found where the misfit was put."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_lpsgb.analysis.misfit import misfit_core
from aiida_lpsgb.analysis.regions import Slab

SLAB = Slab(axis=2, centres=(0.0, 0.5), thickness_A=8.0)


def disturbed(centre, radius_A=4.0, along=None):
    """A crystal whose atoms near a point of the first boundary, or near a line through it, are off their sites."""
    atoms = bulk("Cu", "fcc", a=4.0, cubic=True).repeat((7, 7, 8))
    away = atoms.get_scaled_positions() - np.array([*centre, 0.0])
    away = (away - np.rint(away)) @ np.asarray(atoms.cell)
    if along is not None:
        away[:, along] = 0.0
    near = np.linalg.norm(away, axis=1) < radius_A
    atoms.positions[near] += np.random.default_rng(3).normal(0, 0.5, (near.sum(), 3))
    return atoms.get_scaled_positions(), np.asarray(atoms.cell)


def middle(box, axis):
    return (box.low[axis] + (box.high[axis] - box.low[axis]) / 2) % 1.0


def apart(a, b):
    return abs((a - b + 0.5) % 1.0 - 0.5)


@pytest.mark.parametrize("centre", [(0.5, 0.3), (0.02, 0.96)])
def test_a_point_is_found_wherever_it_lies(centre):
    box = misfit_core(*disturbed(centre), SLAB, 10.0)
    assert apart(middle(box, 0), centre[0]) * 28 < 2.5
    assert apart(middle(box, 1), centre[1]) * 28 < 2.5
    assert [high - low for low, high in zip(box.low, box.high, strict=True)] == pytest.approx(
        [10 / 28, 10 / 28, 8 / 32]
    )
    assert middle(box, 2) == pytest.approx(0.0, abs=1e-9)


def test_a_line_runs_from_end_to_end():
    box = misfit_core(*disturbed((0.6, 0.0), along=1), SLAB, 10.0, through=1)
    assert (box.low[1], box.high[1]) == (0.0, 1.0)
    assert apart(middle(box, 0), 0.6) * 28 < 2.5


def test_a_short_vector_is_taken_whole():
    box = misfit_core(*disturbed((0.6, 0.0)), SLAB, 28.0)
    assert box.low[:2] == (0.0, 0.0)
    assert box.high[:2] == (1.0, 1.0)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="width_A and cutoff_A must be positive"):
        misfit_core(*disturbed((0.5, 0.5)), SLAB, 0.0)
    with pytest.raises(ValueError, match="through must not be 2"):
        misfit_core(*disturbed((0.5, 0.5)), SLAB, 5.0, through=2)
    with pytest.raises(ValueError, match="no framework atom"):
        misfit_core(*disturbed((0.5, 0.5)), Slab(2, (17 / 32,), 0.5), 5.0)
