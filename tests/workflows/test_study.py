"""What `lpsgb.study` refuses before anything is submitted, and what a finished one holds."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_lpsgb.workflows.study import elements, validate_inputs

CRYSTAL = {"kind": "crystal", "learn": {"n_atoms": 8}, "run": {"n_atoms": 8}}


@pytest.fixture
def inputs(aiida_profile_clean):
    """Return the inputs that the validator looks at."""
    return {
        "systems": {"crystal": orm.Dict(CRYSTAL)},
        "potential": orm.Dict({"species": ["Li", "P", "S"]}),
        "start_set": orm.Dict({}),
        "label": {"engine": {}},
        "active_learning": {"settings": orm.Dict({})},
    }


def test_good_inputs(inputs):
    assert validate_inputs(inputs, None) is None


@pytest.mark.parametrize("port", ["potential", "label", "active_learning"])
def test_nothing_to_learn_with(inputs, port):
    del inputs[port]
    assert validate_inputs(inputs, None).startswith(f"{port}: missing; give it, or `potentials`")


def test_nothing_to_learn_from(inputs):
    del inputs["start_set"]
    assert "to learn from" in validate_inputs(inputs, None)
    inputs["training_sets"] = {"mine": orm.Dict({})}
    assert validate_inputs(inputs, None) is None


def test_nothing_to_explore(inputs):
    inputs["systems"] = {"crystal": orm.Dict({"kind": "crystal", "run": {"n_atoms": 8}})}
    assert "nothing to explore" in validate_inputs(inputs, None)


def test_given_potentials_are_enough(inputs):
    systems = {"crystal": orm.Dict({"kind": "crystal", "run": {"n_atoms": 8}})}
    assert validate_inputs({"systems": systems, "potentials": {"mine": orm.Dict({})}}, None) is None


def test_no_system(inputs):
    inputs["systems"] = {}
    assert validate_inputs(inputs, None) == "systems: give at least one recipe"


def test_a_wrong_recipe_is_named(inputs):
    inputs["systems"]["tilt"] = orm.Dict({"kind": "boundary"})
    assert validate_inputs(inputs, None).startswith("systems.tilt: axis, plane must be given")


def test_elements_of_a_crystal(aiida_profile_clean):
    assert elements(orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6))) == ["Cl", "Na"]


@pytest.mark.daemon
class TestFinished:
    """A miniature study, run once."""

    def test_every_system_has_its_structure_runs_and_fit(self, study):
        assert set(study.outputs.systems) == {"crystal", "boundary"}
        for system in study.outputs.systems.values():
            labels = {f"t{t}k_{p}_1" for t in (1000, 650, 300) for p in ("p1", "p2")}
            assert set(system["diffusivities"]) <= labels
            assert {"t1000k_p1_1", "t1000k_p2_1", "t300k_p1_1"} <= set(system["diffusivities"])
            assert set(system["judgements"]) == set(system["diffusivities"])
            assert system["structure"].get_formula()
            assert "summary" in system
        assert set(study.outputs.table.get_dict()) == {"crystal", "boundary"}

    def test_the_level_that_was_chosen_is_learned(self, study):
        (point,) = study.outputs.passive_learning.grid["points"]
        assert point["chosen"]
        assert point["time_us_atom_step"] > 0
        assert study.inputs.potential["level"] == 2
        assert {potential.level for potential in study.outputs.potentials.values()} == {4}

    def test_structure_is_looked_at_where_it_is_asked_for(self, study):
        observables = study.outputs.systems["crystal"]["observables"]
        assert {"rdf", "disorder", "density", "topology"} <= set(observables["t300k_p1_1"])
        assert "rdf" not in observables["t1000k_p1_1"]

    def test_diffusion_of_the_boundary_is_resolved_by_region(self, study):
        boundary = study.outputs.systems["boundary"]
        assert any(name.startswith("boundary") for name in boundary["regional_arrhenius"])
        assert "regions" not in study.outputs.systems["crystal"]
        assert len(boundary["recipe"]["energies_J_m2"]) == 1

    def test_each_potential_is_tested(self, study):
        assert set(study.outputs.test_errors) == set(study.outputs.potentials) == {"p1", "p2"}
        contents = {node.get_content() for node in study.outputs.potentials.values()}
        assert len(contents) == 2
