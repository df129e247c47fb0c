"""What lies in a region, and which regions have something in common."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.regions import Box, Slab, disjoint, region_from_dict

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


def test_two_slabs_at_the_cell_boundary():
    cell = np.diag([10.0, 10.0, 40.0])
    slab = Slab(2, (0.0, 0.5), 10.0)
    z = np.array([0.05, 0.95, -0.1, 0.2, 0.45, 0.62, 1.124])
    inside = slab.contains(np.stack([np.zeros(7), np.zeros(7), z], axis=1), cell)
    assert inside.tolist() == [True, True, True, False, True, True, True]
    assert slab.share(cell) == pytest.approx(0.5, abs=1e-3)
    box = Box((0.9, 0.0, 0.0), (1.1, 1.0, 0.5))
    assert box.contains(
        np.array([[0.95, 0.3, 0.2], [1.05, -0.3, 0.4], [0.5, 0.5, 0.2], [0.0, 0.0, 0.7]]), cell
    ).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert box.share(cell) == pytest.approx(0.1)


def test_regions_from_plain_values():
    assert region_from_dict({"axis": 2, "centres": 0.5, "thickness_A": 10}) == Slab(2, (0.5,), 10.0)
    assert region_from_dict({"low": [0, 0, 0], "high": [1, 1, 0.5]}) == Box((0, 0, 0), (1, 1, 0.5))
    with pytest.raises(ValueError, match="found centre"):
        region_from_dict({"centre": 1})
    with pytest.raises(ValueError, match="thickness_A"):
        Slab(2, (0.5,), 0)
