"""Calcfunctions on configurations."""

import numpy as np
import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.configurations import (
    collect_labels,
    merge,
    n_batches,
    split,
    split_compositions,
    take,
)
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels


def positions(configurations):
    return [atoms.positions for atoms in configurations]


def assert_same(left, right):
    assert all(np.array_equal(a, b) for a, b in zip(positions(left), positions(right), strict=True))


def test_split_and_merge(generate_configurations):
    whole = generate_configurations(5)
    parts = split(whole, orm.Int(2))
    assert [len(part) for part in parts.values()] == [1, 2, 2]
    assert list(parts) == ["batch_000", "batch_001", "batch_002"]
    again = merge(**parts)
    assert_same(again, whole)
    assert again.level_of_theory == "toy"
    assert again.base.caching.get_hash() == whole.base.caching.get_hash()


@pytest.mark.parametrize(
    ("count", "batch_size", "max_concurrent", "expected"),
    [(5, 2, 1, 3), (5, 5, 4, 1), (40, 50, 2, 2), (30, 50, 8, 7), (7, 50, 2, 1), (100, 10, 2, 10), (1, 1, 1, 1)],
)
def test_number_of_batches(count, batch_size, max_concurrent, expected):
    assert n_batches(count, batch_size, max_concurrent) == expected


def test_batches_occupy_the_jobs(generate_configurations):
    whole = generate_configurations(25, size=3)
    parts = split(whole, orm.Int(50), orm.Int(2))
    assert [len(part) for part in parts.values()] == [12, 13]
    assert_same(merge(**parts), whole)


def test_merge_refuses_mixed_levels(generate_configurations):
    with pytest.raises(ValueError, match="different levels of theory"):
        merge(a=generate_configurations(1), b=generate_configurations(1, level_of_theory="other"))
    with pytest.raises(ValueError, match="no set to merge"):
        merge()


def test_merge_refuses_labels_without_a_level_beside_others(generate_configurations):
    known, unknown = generate_configurations(1), generate_configurations(1, level_of_theory=None)
    with pytest.raises(ValueError, match=r"b: its labels have no level of theory .* \(a by toy\)"):
        merge(a=known, b=unknown)
    assert merge(a=unknown, b=generate_configurations(1, level_of_theory=None)).level_of_theory is None
    # What has no labels has no level that could be mixed.
    assert merge(a=known, b=generate_configurations(1, labelled=False)).level_of_theory == "toy"


def test_take(generate_configurations):
    whole = generate_configurations(5)
    assert_same(take(whole, orm.List([3, 0])), [whole[3], whole[0]])
    for indices, message in (([1, 1], "twice"), ([5], r"no places \[5\]"), ([-1], r"no places \[-1\]"), ([], "none")):
        with pytest.raises(ValueError, match=message):
            take(whole, orm.List(indices))


def test_split_refuses_nonsense(generate_configurations):
    with pytest.raises(ValueError, match="batch_size is 0"):
        split(generate_configurations(1), orm.Int(0))


def test_collect_labels(generate_images):
    images = generate_images(5)
    asked = ConfigurationsData([with_labels(atoms) for atoms in images], ["Li", "P", "S"])
    first, second = ConfigurationsData(images[3:], None, "toy"), ConfigurationsData([images[0]], None, "toy")
    outputs = collect_labels(asked, one=first, two=second)
    assert outputs["results"].get_dict() == {
        "n_configurations": 5,
        "n_labelled": 3,
        "unlabelled": [1, 2],
        "level_of_theory": "toy",
    }
    for atoms, image in zip(outputs["configurations"], [images[0], *images[3:]], strict=True):
        assert np.array_equal(atoms.positions, image.positions)
        assert atoms.get_potential_energy() == image.get_potential_energy()
        assert np.array_equal(atoms.get_forces(), image.get_forces())
    assert_same(outputs["unlabelled"], images[1:3])
    assert outputs["configurations"].species == ["Li", "P", "S"]


def test_collect_no_labels(generate_configurations):
    outputs = collect_labels(generate_configurations(2, labelled=False))
    assert sorted(outputs) == ["results", "unlabelled"]


def test_split_by_composition(generate_images):
    """Batches of one composition each; put back, the labels are in order."""
    images = [generate_images(1, size=size, seed=seed)[0] for seed, size in enumerate((4, 8, 4, 8, 4))]
    whole = ConfigurationsData(images)
    parts = split_compositions(whole, orm.Int(2), orm.Int(1))
    assert all(len(part.formulae) == 1 and len(part) <= 2 for part in parts.values())
    assert {part.formulae[0] for part in parts.values()} == set(whole.formulae)
    assert_same(collect_labels(whole, **parts)["configurations"], whole)
