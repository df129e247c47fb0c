"""The calculation that relaxes configurations with any potential, and its parser."""

import json

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.data.pair_style import PairStyleData

EMT = {"calculator": "ase.calculators.emt:EMT"}


def written_in(folder):
    with folder.open("parameters.json") as handle:
        return json.load(handle)


@pytest.fixture
def inputs(installed_code, metadata):
    start = bulk("Cu", a=3.7, cubic=True)
    start.rattle(0.05, seed=1)
    return {
        "code": installed_code("lpsgb-label", "lpsgb.label.ase"),
        "configurations": ConfigurationsData([start, bulk("Cu", a=3.5)]),
        "relaxation": orm.Dict({"cell": True}),
        "metadata": metadata,
    }


def test_parameters_of_a_calculator(inputs, generate_calc_job):
    inputs["configurations"].store()
    _, folder = generate_calc_job("lpsgb.relax", inputs | {"parameters": orm.Dict(EMT)})
    assert written_in(folder) == EMT | {"relaxation": {"cell": True}}


def test_files_of_a_moment_tensor_potential(inputs, generate_calc_job, generate_potential):
    potential = generate_potential(species=["Cu"]).store()
    calcinfo, folder = generate_calc_job("lpsgb.relax", inputs | {"potential": potential})
    assert (potential.uuid, potential.filename, "potential.mtp") in calcinfo.local_copy_list
    written = written_in(folder)
    assert written["calculator"] == "aiida_lpsgb.labelling.potentials:mtp"
    assert written["keywords"] == {"path": "potential.mtp", "species": ["Cu"]}


def test_lines_of_a_pair_style(inputs, generate_calc_job):
    lines = ["pair_style table linear 100", "pair_coeff 1 1 cu.table CU"]
    potential = PairStyleData(lines, ["Cu"], files={"cu.table": b"CU"}).store()
    calcinfo, folder = generate_calc_job("lpsgb.relax", inputs | {"potential": potential})
    assert (potential.uuid, "cu.table", "cu.table") in calcinfo.local_copy_list
    assert written_in(folder)["keywords"]["lines"] == lines


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give either `parameters`"),
        ({"parameters": EMT, "potential": "lj"}, "give either `parameters`"),
        ({"potential": "argon"}, r"it knows \['Ar'\] and not \['Cu'\]"),
        ({"parameters": EMT, "relaxation": {"steps": 3}}, "unknown keys"),
        ({"parameters": EMT | {"relaxation": {}}}, "relaxation is for lpsgb.relax"),
    ],
)
def test_bad_input(inputs, generate_calc_job, given, message):
    species = {"lj": "Cu", "argon": "Ar"}
    values = {
        name: PairStyleData(["pair_style lj/cut 8", "pair_coeff 1 1 0.01 3.4"], [species[value]])
        if isinstance(value, str)
        else orm.Dict(value)
        for name, value in given.items()
    }
    with pytest.raises(ValueError, match=message):
        generate_calc_job("lpsgb.relax", inputs | values)


def test_relaxed_by_the_program(inputs):
    results, node = run_get_node(CalculationFactory("lpsgb.relax"), **inputs, parameters=orm.Dict(EMT))
    assert node.is_finished_ok, node.exit_message
    found = results["configurations"]
    assert found.level_of_theory == "ase.calculators.emt:EMT"
    for atoms in found:
        assert atoms.get_volume() / len(atoms) == pytest.approx(11.565, abs=0.01)
        assert np.linalg.norm(atoms.get_forces(), axis=1).max() <= 1e-3


def test_what_does_not_come_to_rest_fails(inputs):
    inputs["relaxation"] = orm.Dict({"max_steps": 1, "cell": True})
    results, node = run_get_node(CalculationFactory("lpsgb.relax"), **inputs, parameters=orm.Dict(EMT))
    assert node.exit_status == 322
    assert "not relaxed after 1 steps" in node.exit_message
    assert "configurations" not in results
    assert node.base.caching.is_valid_cache  # it would not come to rest another time either
