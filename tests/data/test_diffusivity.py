"""Diffusivity nodes."""

import json

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis.diffusion import diffusivity
from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.data.diffusivity import DiffusivityData

SCALARS = {
    "diffusivity_cm2_s": 1e-6,
    "uncertainty_cm2_s": 1e-7,
    "interval95_cm2_s": [0.8e-6, 1.2e-6],
    "temperature_K": 500.0,
    "species": "Li",
    "region": "all",
    "estimator": "msd",
    "direction": "xyz",
    "diffusive": True,
    "conductivity_s_cm": 0.01,
    "window_ps": [1.0, 5.0],
}
ARRAYS = {"lags_ps": np.arange(3.0), "msd_A2": np.array([0.0, 1.0, np.nan])}


def walk(n_frames=400):
    rng = np.random.default_rng(0)
    positions = 10 + rng.normal(0, 0.2, (n_frames, 41, 3)).cumsum(axis=0)
    positions[:, -1] = 0
    return Trajectory(["Li"] * 40 + ["S"], positions, np.eye(3) * 20, np.arange(n_frames) * 1.0)


def test_store_load_and_query():
    node = orm.load_node(DiffusivityData(SCALARS, ARRAYS).store().pk)
    assert DataFactory("lpsgb.diffusivity") is DiffusivityData
    assert (node.value, node.uncertainty, node.temperature, node.species) == (1e-6, 1e-7, 500.0, "Li")
    assert (node.conductivity, node.diffusive) == (0.01, True)
    assert node.scalars() == SCALARS
    np.testing.assert_array_equal(node.get_array("msd_A2"), ARRAYS["msd_A2"])
    query = orm.QueryBuilder().append(
        DiffusivityData, filters={"id": node.pk, "attributes.temperature_K": {"<": 700}, "attributes.diffusive": True}
    )
    assert query.count() == 1


def test_equal_content_gives_equal_hashes():
    reference = DiffusivityData(SCALARS, ARRAYS).store().base.caching.get_hash()
    again = DiffusivityData(dict(reversed(SCALARS.items())), dict(reversed(ARRAYS.items())))
    assert again.store().base.caching.get_hash() == reference
    other = DiffusivityData(SCALARS | {"region": "boundary"}, ARRAYS)
    assert other.store().base.caching.get_hash() != reference


def test_results_of_the_analysis_become_nodes():
    run = walk()
    whole = diffusivity(run, "Li", charge=1, temperature_K=500)
    regions = region_diffusivity(run, "Li", {"slab": Slab(2, (0.5,), 8.0)}, charge=1, temperature_K=500)
    for result in (whole, *regions.values()):
        node = orm.load_node(DiffusivityData(result.scalars(), result.arrays()).store().pk)
        assert set(node.scalars()) == set(json.loads(json.dumps(result.scalars())))
        assert node.base.attributes.get("verdict") == result.verdict.sentence
        assert node.base.attributes.get("normal_cm2_s") == pytest.approx(result.normal.value)
        assert node.value == pytest.approx(result.value)
        assert set(node.get_arraynames()) == set(result.arrays())
    names = ("lateral_cm2_s", "normal_cm2_s", "isotropy", "upper_limit_cm2_s", "verdict", "charge")
    for result in (whole, *regions.values()):
        assert all(result.scalars()[name] is not None for name in names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"diffusivity_cm2_s": np.nan}, "diffusivity_cm2_s is nan"),
        ({"uncertainty_cm2_s": -1.0}, "uncertainty_cm2_s is -1.0"),
        ({"temperature_K": 0}, "temperature_K is 0, expected a positive number"),
        ({"species": "Xx"}, "not chemical symbols"),
        ({"estimator": ""}, "estimator is ''"),
        ({"interval95_cm2_s": [0.0, np.inf]}, "interval95_cm2_s is inf"),
    ],
)
def test_bad_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        DiffusivityData(SCALARS | change)


def test_missing_scalars_are_named():
    with pytest.raises(ValueError, match="lack region, diffusive"):
        DiffusivityData({k: v for k, v in SCALARS.items() if k not in ("region", "diffusive")})


def test_in_a_notebook():
    shown = DiffusivityData(SCALARS | {"verdict": "diffusive: it <moves>"})._repr_html_()
    assert "Diffusion of Li at 500 K (DiffusivityData, not stored)" in shown
    assert "<td>1e-06 ± 1e-07 cm²/s</td>" in shown
    assert "it &lt;moves&gt;" in shown
    still = DiffusivityData(SCALARS | {"diffusive": False, "upper_limit_cm2_s": 3e-6})._repr_html_()
    assert "<td>&lt; 3e-06 cm²/s</td>" in still
    assert "±" not in still
