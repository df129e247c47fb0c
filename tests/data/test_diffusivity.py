"""Diffusivity nodes."""

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory

from aiida_lpsgb.data.diffusivity import DiffusivityData

GOOD = {
    "diffusivity_cm2_s": 1e-6,
    "uncertainty_cm2_s": 1e-7,
    "temperature_K": 500,
    "species": "Li",
    "estimator": "msd",
    "conductivity_s_cm": 0.01,
    "window_ps": (1.0, 5.0),
    "arrays": {"lag_times_ps": np.arange(3.0), "msd_angstrom2": np.arange(3.0) ** 2},
    "details": {"n_ions": 12},
}


def test_store_load_and_query():
    node = orm.load_node(DiffusivityData(**GOOD).store().pk)
    assert DataFactory("lpsgb.diffusivity") is DiffusivityData
    assert (node.value, node.uncertainty, node.temperature, node.species) == (1e-6, 1e-7, 500.0, "Li")
    assert node.conductivity == 0.01
    assert node.base.attributes.get("window_ps") == [1.0, 5.0]
    assert node.base.attributes.get("region") == "all"
    assert np.array_equal(node.get_array("msd_angstrom2"), [0, 1, 4])
    query = orm.QueryBuilder().append(
        DiffusivityData, filters={"id": node.pk, "attributes.temperature_K": {"<": 700}, "attributes.species": "Li"}
    )
    assert query.count() == 1


def test_equal_content_gives_equal_hashes():
    reference = DiffusivityData(**GOOD).store().base.caching.get_hash()
    arrays = dict(reversed(GOOD["arrays"].items()))
    assert DiffusivityData(**GOOD | {"arrays": arrays}).store().base.caching.get_hash() == reference
    assert DiffusivityData(**GOOD | {"region": "boundary"}).store().base.caching.get_hash() != reference


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diffusivity_cm2_s": np.nan}, "diffusivity_cm2_s is nan"),
        ({"diffusivity_cm2_s": None}, "diffusivity_cm2_s is missing"),
        ({"uncertainty_cm2_s": -1.0}, "uncertainty_cm2_s is -1.0"),
        ({"temperature_K": 0}, "temperature_K is 0.0, expected a positive number"),
        ({"species": "Xx"}, "not chemical symbols"),
        ({"direction": "xx"}, "direction is 'xx'"),
        ({"direction": ""}, "direction is ''"),
        ({"estimator": ""}, "estimator is ''"),
        ({"window_ps": (5, 1)}, "window_ps is 5.0 to 1.0"),
        ({"conductivity_s_cm": np.inf}, "conductivity_s_cm is inf"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DiffusivityData(**GOOD | change)
