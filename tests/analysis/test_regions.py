"""Which regions have something in common."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.regions import Box, Slab, disjoint

CELL = np.diag([10.0, 20.0, 40.0])
BOUNDARY = Slab(axis=2, centres=(0.0, 0.5), thickness_A=8.0)


@pytest.mark.parametrize(
    ("other", "together"),
    [
        (Slab(axis=2, centres=(0.25,), thickness_A=8.0), True),
        (Slab(axis=2, centres=(0.4,), thickness_A=8.0), False),
        (Slab(axis=0, centres=(0.25,), thickness_A=1.0), False),  # crosses it
        (Box((0.0, 0.2, -0.1), (1.0, 0.6, 0.1)), False),
        (Box((0.0, 0.2, 0.15), (1.0, 0.6, 0.35)), True),
        (Box((0.0, 0.2, 0.85), (0.5, 0.6, 0.95)), False),  # by the edge of the cell
        (Box((0.2, 0.2, 0.0), (0.4, 0.4, 1.0)), False),
    ],
)
def test_what_overlaps_is_parted(other, together):
    groups = disjoint({"boundary": BOUNDARY, "other": other}, CELL)
    assert [list(g) for g in groups] == ([["boundary", "other"]] if together else [["boundary"], ["other"]])


def test_boxes_and_as_few_groups_as_it_takes():
    regions = {
        "all": Box((0, 0, 0), (1, 1, 1)),
        "left": Box((0.9, 0, 0), (0.3, 1, 1)),
        "right": Box((0.4, 0, 0), (0.8, 1, 1)),
        "both": Box((0.2, 0, 0), (0.5, 1, 1)),
    }
    assert [list(g) for g in disjoint(regions, CELL)] == [["all"], ["left", "right"], ["both"]]
    assert disjoint({}, CELL) == []
