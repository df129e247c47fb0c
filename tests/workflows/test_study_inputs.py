"""What `lpsgb.study` refuses before anything is submitted."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_lpsgb.workflows.study_inputs import elements, validate_inputs

STAGE = {"ensemble": "npt", "duration_ps": 5, "temperature_K": "target"}
CRYSTAL = {"kind": "crystal", "learn": {"n_atoms": 8}, "run": {"n_atoms": 8}}


@pytest.fixture
def inputs(aiida_profile_clean):
    """Return the inputs that the validator looks at."""
    return {
        "systems": {"crystal": orm.Dict(CRYSTAL)},
        "potential": orm.Dict({"species": ["Li", "P", "S"], "level": 8}),
        "start_set": orm.Dict({}),
        "label": {"engine": {}},
        "active_learning": {"settings": orm.Dict({})},
    }


def test_good_inputs(inputs):
    assert validate_inputs(inputs, None) is None


@pytest.mark.parametrize("name", ["validation", "recipe_crystal", "seed"])
def test_names_that_are_taken(inputs, name):
    """Results of one would be taken for those of the other."""
    inputs["systems"][name] = orm.Dict(CRYSTAL)
    assert validate_inputs(inputs, None).startswith(f"systems.{name}: the study itself calls something so")


@pytest.mark.parametrize("port", ["potential", "label", "active_learning"])
def test_nothing_to_learn_with(inputs, port):
    del inputs[port]
    assert validate_inputs(inputs, None).startswith(f"{port}: missing; give it, or `potentials`")


def test_nothing_to_learn_from(inputs, generate_configurations):
    del inputs["start_set"]
    assert "to learn from" in validate_inputs(inputs, None)
    inputs["training_sets"] = {"mine": generate_configurations()}
    assert validate_inputs(inputs, None) is None


def test_dynamics_of_the_label_engine_are_enough_to_learn_from(inputs):
    del inputs["start_set"]
    inputs["reference_md"] = {"settings": orm.Dict({})}
    assert validate_inputs(inputs, None) is None


def half_filled():
    """Return a crystal of lithium, chlorine and half-filled sites."""
    crystal = orm.StructureData(cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]])
    crystal.append_atom(position=(0, 0, 0), symbols=["Li"], weights=[0.5])
    crystal.append_atom(position=(2.5, 2.5, 0), symbols=["Cl"])
    return crystal


@pytest.mark.parametrize(
    ("ordering", "message"),
    [
        ({}, "ordering: no formal charge given for Cl, Li"),
        ({"charges": {"Li": 1}}, "ordering: no formal charge given for Cl (charges name: Li)"),
        ({"charges": {"Li": 1, "Cl": -0.5}, "supercel": [1, 1, 2]}, "ordering: parameters: unknown supercel"),
        ({"charges": {"Li": 1, "Cl": -0.5}, "primitive": 1}, "ordering: primitive must be true or false, not 1"),
        ({"charges": {"Li": 1, "Cl": -0.5}}, None),
    ],
)
def test_charges_are_those_of_the_crystal(inputs, ordering, message):
    inputs["crystal"], inputs["ordering"] = half_filled(), orm.Dict(ordering)
    inputs["potential"] = orm.Dict({"species": ["Cl", "Li"], "level": 8})
    found = validate_inputs(inputs, None)
    assert found is None if message is None else message in found


def test_full_order_needs_no_charges(inputs):
    inputs["crystal"] = orm.StructureData(ase=bulk("LiCl", "rocksalt", a=5.13))
    inputs["potential"] = orm.Dict({"species": ["Cl", "Li"], "level": 8})
    assert validate_inputs(inputs, None) is None


@pytest.mark.parametrize(
    ("potential", "message"),
    [
        ({"species": ["Li", "P", "S"], "level": 7}, "potential: `level` is 7; it is an even number from 2 to 28"),
        ({"species": ["Li", "P", "S"]}, "potential: level must be given"),
        ({"species": ["Li"], "level": 8, "cutof": 5}, "potential: unknown keys ['cutof']"),
        (
            {"species": ["Li"], "level": 8, "min_distance_angstrom": 5.5, "cutoff_angstrom": 5.0},
            "`min_distance_angstrom` (5.5) must be below `cutoff_angstrom` (5)",
        ),
    ],
)
def test_potentials_that_cannot_be(inputs, potential, message):
    inputs["potential"] = orm.Dict(potential)
    assert message in validate_inputs(inputs, None)


def test_a_potential_that_lacks_an_element_of_the_crystal(inputs, generate_potential):
    inputs["crystal"] = orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6))
    assert validate_inputs(inputs, None) == "potential: `species` lacks Cl, Na of the crystal"
    inputs["potentials"] = {"mine": generate_potential()}
    assert validate_inputs(inputs, None).startswith("potentials.mine: it knows ['Li', 'P', 'S'] and not ['Cl', 'Na']")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"kind": "boundary", "axis": [0, 0, 1], "plane": [0, 0, 0]}, "plane must not be zero"),
        ({"kind": "boundary", "plane": [1, 2, 0], "kind_": 1}, "unknown kind_"),
        ({"kind": "boundary", "axis": [0, 0, 1], "plane": [1, 2, 1], "run": {"kind": "symmetric"}}, "tilt axis"),
        ({"kind": "boundary", "plane": [1, 0, 0], "run": {"width": 8.0, "region": 6.0}}, "thinner than two regions"),
        ({"kind": "crystal", "run": {"natoms": 8}}, "systems.new.run: supercell: parameters: unknown natoms"),
        ({"kind": "crystal", "run": 8}, "systems.new.run: must be a dictionary"),
        ({"kind": "glass", "amorphous": {"centre": "P"}}, "unit must be given"),
        ({"kind": "crystal", "regions": {"slab": {"axis": 2}}}, "systems.new.regions.slab"),
        (
            {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}, "learn": {}, "explore": {"stages": []}},
            "systems.new.explore: `stages` must be a list",
        ),
    ],
)
def test_recipes_that_cannot_be(inputs, recipe, message):
    inputs["active_learning"]["exploration"] = orm.Dict({"pair_style": "mtp/extrapolation", "stages": [STAGE]})
    inputs["systems"]["new"] = orm.Dict(recipe)
    assert message in validate_inputs(inputs, None)


def test_a_melt_is_no_hotter_than_what_was_explored(inputs):
    """A melt at 2000 K by potentials that knew 1500 K broke units in ways that no label had shown."""
    melt = {"ensemble": "npt", "duration_ps": 5, "temperature_K": [300, 2000]}
    glass = {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}, "learn": {"n_atoms": 64}}
    inputs["melt_quench"] = {"parameters": orm.Dict({"stages": [{"ensemble": "minimise"}, melt]})}
    inputs["active_learning"]["settings"] = orm.Dict({"temperatures_K": [700, 1200]})
    inputs["active_learning"]["exploration"] = orm.Dict({"pair_style": "mtp/extrapolation", "stages": [STAGE]})
    inputs["systems"]["glass"] = orm.Dict(glass)
    assert "explored up to 1200 K and the glass melted at 2000 K" in validate_inputs(inputs, None)
    inputs["systems"]["glass"] = orm.Dict(glass | {"explore": {"temperatures_K": [1500, 2000]}})
    assert validate_inputs(inputs, None) is None
    inputs["systems"]["glass"] = orm.Dict({key: glass[key] for key in ("kind", "amorphous")})
    assert validate_inputs(inputs, None) is None
    inputs["systems"]["glass"] = orm.Dict(glass)
    inputs["melt_quench"] = {"parameters": orm.Dict({"stages": [{"ensemble": "minimise"}]})}
    assert validate_inputs(inputs, None) is None


def test_labels_of_two_levels_are_refused(inputs, generate_configurations):
    def engine(calculator):
        return {"engine": {"ase": {"parameters": orm.Dict({"calculator": calculator})}}}

    inputs["label"], inputs["active_learning"]["label"] = engine("sevennet"), engine("chgnet")
    found = validate_inputs(inputs, None)
    assert found.endswith("which cannot be mixed: label SevenNet-0, active_learning.label CHGNet")
    inputs["label"] = engine("chgnet")
    assert validate_inputs(inputs, None) is None
    inputs["training_sets"] = {"mine": generate_configurations(level_of_theory="PBE")}
    assert validate_inputs(inputs, None).startswith(
        "training_sets.mine: its labels are PBE, those that the label engine"
    )


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
    assert validate_inputs(inputs, None).startswith("systems.tilt: plane must be given for a boundary")


def test_elements_of_a_crystal(aiida_profile_clean):
    assert elements(orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6))) == ["Cl", "Na"]


@pytest.mark.parametrize("missing", ["properties", "thresholds"])
def test_properties_and_thresholds_go_together(missing, aiida_profile_clean):
    inputs = {"systems": {"crystal": orm.Dict({"kind": "crystal"})}, "potentials": {"p1": orm.Dict()}}
    inputs |= {name: orm.Dict() for name in ("properties", "thresholds") if name != missing}
    inputs["properties"] = {} if missing == "properties" else {"start": orm.Dict()}
    assert validate_inputs(inputs, None) == "thresholds: `properties` and `thresholds` go together"
