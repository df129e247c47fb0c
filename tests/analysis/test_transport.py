"""Diffusion as observables: the same numbers as the functions give, and rows that heed the verdict."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.diffusion import diffusivity
from aiida_lpsgb.analysis.observables import Context, regions_of, registry
from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
from aiida_lpsgb.analysis.transport import RECOMMENDED

SLAB, BOX = {"axis": 2, "centres": [0.5], "thickness_A": 9.0}, {"low": [0, 0, 0], "high": [1, 1, 0.2]}
REGIONS = regions_of({"middle": SLAB, "edge": BOX})


def computed(name, run, given, **context):
    observable = registry()[name]
    return observable.compute(run, observable.options(given), Context(REGIONS, **context))


def test_the_whole_cell(tetrahedra):
    run = tetrahedra()
    found = computed("diffusivity", run, {"species": "Li"}, temperature_K=600.0)
    expected = diffusivity(run, "Li", temperature_K=600.0, charge=1)
    assert found.scalars == expected.scalars()
    assert found.scalars["temperature_K"] == 600.0
    np.testing.assert_array_equal(found.arrays["msd_A2"], expected.arrays()["msd_A2"])
    # What is given goes before what the run was set to.
    found = computed("diffusivity", run, {"species": "Li", "temperature_K": 700.0, "charge": 2}, temperature_K=600.0)
    assert (found.scalars["temperature_K"], found.scalars["charge"]) == (700.0, 2.0)


def test_named_regions(tetrahedra):
    run = tetrahedra()
    given = {"species": "Li", "estimators": ["occupancy", "tagged"]}
    found = computed("regions", run, given | {"names": ["middle"]}, temperature_K=600.0)
    regions = {"middle": REGIONS["middle"]}
    expected = region_diffusivity(run, "Li", regions, estimators=given["estimators"], temperature_K=600.0, charge=1)
    assert set(found) == {f"{region}_{estimator}" for region, estimator in expected}
    for (region, estimator), result in expected.items():
        assert found[f"{region}_{estimator}"].scalars == result.scalars()
    assert any(label.startswith("edge_") for label in computed("regions", run, given))


def test_a_region_within_another_changes_nothing_of_it(tetrahedra):
    run = tetrahedra()
    given = {"species": "Li", "estimators": ["occupancy", "tagged"]}
    core = regions_of({"core": {"low": [0.1, 0.0, 0.45], "high": [0.7, 1.0, 0.55]}})
    observable = registry()["regions"]
    alone = observable.compute(run, observable.options(given), Context(REGIONS, temperature_K=600.0))
    with_core = observable.compute(run, observable.options(given), Context(REGIONS | core, temperature_K=600.0))
    assert set(with_core) - set(alone) == {"core_occupancy", "core_tagged"}
    for label, outcome in alone.items():
        assert with_core[label].scalars == outcome.scalars
    assert with_core["core_tagged"].scalars["mean_ions"] < alone["middle_tagged"].scalars["mean_ions"]


@pytest.mark.parametrize("diffusive", [True, False])
def test_rows_heed_the_verdict(diffusive):
    numbers = dict.fromkeys(registry()["regions"].headline) | {
        "diffusivity_cm2_s": 2e-6,
        "uncertainty_cm2_s": 1e-7,
        "upper_limit_cm2_s": 3e-6,
        "diffusive": diffusive,
        "region": "middle",
        "estimator": RECOMMENDED,
        "isotropy": 0.5,
    }
    line, isotropy = registry()["regions"].rows(numbers, "")
    assert (line.value, line.error) == ((2e-6, 1e-7) if diffusive else (3e-6, None))
    assert ("not diffusive: below" in line.quantity) is not diffusive
    assert isotropy.value == 0.5
    assert len(registry()["regions"].rows(numbers | {"estimator": "tagged"}, "")) == 1
