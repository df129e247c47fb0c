"""From diffusivity nodes to activation energies, as a process."""

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.analysis.arrhenius import K_B
from aiida_lpsgb.analysis.motion import nernst_einstein
from aiida_lpsgb.calculations.functions.arrhenius import refusal

pytestmark = pytest.mark.usefixtures("aiida_profile")


def law(t, ea=0.3, d0=2e-3):
    return float(d0 * np.exp(-ea / (K_B * t)))


def node(temperature_K, d, diffusive=True, **more):
    scalars = {
        "diffusivity_cm2_s": d,
        "uncertainty_cm2_s": 0.05 * d,
        "upper_limit_cm2_s": 1.1 * d,
        "degrees_of_freedom": 9.0,
        "temperature_K": temperature_K,
        "species": "Li",
        "region": "all",
        "estimator": "windowed_msd_gls",
        "direction": "xyz",
        "charge": 1.0,
        "number_density_A3": 0.017,
        "diffusive": diffusive,
        "haven_ratio": 0.5 if diffusive else None,
        "haven_ratio_uncertainty": 0.1 if diffusive else None,
    }
    return DataFactory("lpsgb.diffusivity")(scalars | more)


def fit(parameters=None, **nodes):
    function = CalculationFactory("lpsgb.arrhenius_fit")
    found = function(parameters=orm.Dict(parameters), **nodes) if parameters is not None else function(**nodes)
    assert found.creator is not None
    return found.get_dict()


def test_energy_and_conductivity_at_any_target():
    nodes = {f"t{t:.0f}k": node(t, law(t)) for t in (400.0, 500.0, 600.0, 800.0)}
    found = fit(**nodes)
    low, high = found["activation_energy_interval95_eV"]
    assert low < 0.3 < high
    assert found["target_temperature_K"] == 300.0
    assert found["nearest_temperature_K"] == 400.0
    assert "33 % above" in found["sentence"]
    hot = fit({"target_temperature_K": 450}, **nodes)
    assert hot["conductivity_s_cm"] == pytest.approx(nernst_einstein(law(450), 0.017, 450), rel=0.01)
    assert hot["collective_conductivity_s_cm"] == pytest.approx(2 * hot["conductivity_s_cm"], rel=0.01)
    assert hot["diffusive"] == [True] * 4
    assert hot["labels"] == ["t400k", "t500k", "t600k", "t800k"]


def test_what_is_not_diffusive_is_a_limit_and_never_a_point():
    """Its slope, ten times too high, changes nothing."""
    nodes = {f"t{t:.0f}k": node(t, law(t)) for t in (500.0, 600.0, 800.0)}
    nodes["t300k"] = node(300.0, 10 * law(300), diffusive=False, upper_limit_cm2_s=20 * law(300))
    found = fit(**nodes)
    assert found["diffusive"] == [False, True, True, True]
    assert found["activation_energy_eV"] == pytest.approx(0.3, abs=1e-3)
    assert found["diffusivity_upper_limit_cm2_s"] == pytest.approx(20 * law(300))
    assert found["diffusivity_interval95_cm2_s"][1] < 30 * law(300)


def test_a_committee():
    nodes, potentials = {}, {}
    for k, factor in enumerate((1.0, 1.2, 0.8)):
        for t in (400.0, 500.0, 600.0):
            nodes[f"p{k}_t{t:.0f}k"], potentials[f"p{k}_t{t:.0f}k"] = node(t, factor * law(t)), f"p{k}"
    found = fit({"potentials": potentials, "target_temperature_K": 400}, **nodes)
    assert found["n_potentials"] == 3
    assert found["ln_diffusivity_committee"] == pytest.approx(
        np.std(np.log([1, 1.2, 0.8]), ddof=1) / np.sqrt(3), rel=0.05
    )
    assert set(found["potentials"]) == {"p0", "p1", "p2"}
    assert found["disagreeing_potentials"] == []
    with pytest.raises(ValueError, match="does not tell with which p0_t400k"):
        fit({"potentials": {k: v for k, v in potentials.items() if k != "p0_t400k"}}, **nodes)


def test_a_fit_that_is_not_possible_is_no_exception():
    nodes = {"a": node(500.0, 1e-6), "b": node(400.0, 1e-7, diffusive=False)}
    assert refusal(nodes) == "a line needs two temperatures with diffusive motion, found it at 500 K"
    found = fit(**nodes)
    assert found["fitted"] is False
    assert found["reason"] == refusal(nodes)
    assert found["activation_energy_eV"] is None
    assert refusal(nodes | {"c": node(600.0, 2e-6)}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": "Na"}, "of one species, found Li, Na"),
        ({"region": "boundary"}, "of one region, found all, boundary"),
        ({"charge": 2.0}, "of one charge, found 1.0, 2.0"),
        ({"temperature_K": None}, "does not tell its temperature_K"),
    ],
)
def test_diffusivities_must_belong_together(change, message):
    with pytest.raises(ValueError, match=message):
        fit(a=node(500.0, 1e-6), b=node(**{"temperature_K": 600.0, "d": 1e-6} | change))


def test_unknown_parameters_are_named():
    with pytest.raises(ValueError, match="unknown temperature; known are bend_eV, potentials, target_temperature_K"):
        fit({"temperature": 300}, a=node(500.0, 1e-6))


def test_a_potential_whose_runs_failed_is_not_missed_silently():
    def run(potential, temperature):
        return {f"t{temperature:g}k_{potential}_1": node(temperature, law(temperature))}

    there = run("p1", 900) | run("p1", 600) | run("p2", 900) | run("p2", 600) | run("p3", 600)
    by_run = {"potentials": "by run"}
    results = fit(by_run, failed=orm.List(["t750k_p3_1", "t900k_p3_1", "t900k_p1_2"]), **there)
    assert results["missing"] == {"p3": [900.0, 750.0]}
    assert results["sentence"].endswith(
        "p3 is missing at 900 and 750 K, where its runs failed; the fit is of p1 and p2 alone"
    )
    assert results["n_potentials"] == 2
    partly = fit(by_run, failed=orm.List(["t750k_p3_1"]), **there, **run("p3", 900))
    assert partly["sentence"].endswith("p3 is missing at 750 K, where its runs failed")
    assert fit(by_run, **there)["missing"] == {}
    # A label has six digits of its temperature.
    third = {"t333p333k_p1_1": node(1000 / 3, law(1000 / 3))}
    assert fit(by_run, failed=orm.List(["t333p333k_p1_2"]), **there, **third)["missing"] == {}
