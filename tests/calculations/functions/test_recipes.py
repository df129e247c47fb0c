"""What recipes say, and which of them make no sense."""

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.calculations.functions.recipes import (
    add_core,
    boundaries_error,
    completed,
    name_regions,
    observe_region,
    read_recipe,
    recipe_error,
)

TILT = {
    "kind": "boundary",
    "axis": [0, 0, 1],
    "plane": [1, 2, 0],
    "learn": {"width": 10, "region": 5},
    "run": {"width": 20, "n_atoms": 750},
}
GLASS = {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}, "run": {"n_atoms": 100}}
INTERFACE = {"kind": "interface", "glass": "glass", "plane": [0, 0, 1]}


@pytest.mark.usefixtures("aiida_profile_clean")
def test_the_small_and_the_large_cell_share_what_the_recipe_says():
    parts = read_recipe(orm.Dict(TILT))
    assert set(parts) == {"boundary", "learn", "run"}
    assert parts["boundary"].get_dict() == {"axis": [0, 0, 1], "plane": [1, 2, 0]}
    assert parts["learn"].get_dict() == {"axis": [0, 0, 1], "plane": [1, 2, 0], "width": 10, "region": 5}
    assert parts["run"].get_dict() == {"axis": [0, 0, 1], "plane": [1, 2, 0], "width": 20, "n_atoms": 750}


@pytest.mark.usefixtures("aiida_profile_clean")
def test_a_recipe_without_learn_has_no_small_cell():
    assert "learn" not in read_recipe(orm.Dict(TILT | {"learn": None}))
    assert set(read_recipe(orm.Dict(GLASS))) == {"run", "amorphous"}


@pytest.mark.parametrize(
    ("recipe", "learn", "run"),
    [
        ({}, {"n_atoms": 64}, {"n_atoms": 750, "width": 20.0, "tilts": {"a": 1, "b": 2}}),
        ({"run": {"width": 30.0}}, {"n_atoms": 64}, {"n_atoms": 750, "width": 30.0, "tilts": {"a": 1, "b": 2}}),
        ({"learn": None}, None, {"n_atoms": 750, "width": 20.0, "tilts": {"a": 1, "b": 2}}),
        # What is said of both cells comes over the defaults of one.
        ({"width": 30.0}, {"n_atoms": 64}, {"n_atoms": 750, "width": 30.0, "tilts": {"a": 1, "b": 2}}),
        (
            {"width": 30.0, "run": {"width": 40.0}},
            {"n_atoms": 64},
            {"n_atoms": 750, "width": 40.0, "tilts": {"a": 1, "b": 2}},
        ),
        ({"n_atoms": 96}, {"n_atoms": 96}, {"n_atoms": 96, "width": 20.0, "tilts": {"a": 1, "b": 2}}),
        (
            {"run": {"matrix": [2, 2, 2]}},
            {"n_atoms": 64},
            {"matrix": [2, 2, 2], "width": 20.0, "tilts": {"a": 1, "b": 2}},
        ),
        ({"matrix": [2, 2, 2]}, {"matrix": [2, 2, 2]}, {"matrix": [2, 2, 2], "width": 20.0, "tilts": {"a": 1, "b": 2}}),
        ({"run": {"tilts": {"a": 3}}}, {"n_atoms": 64}, {"n_atoms": 750, "width": 20.0, "tilts": {"a": 3, "b": 2}}),
    ],
)
def test_what_a_recipe_leaves_out(recipe, learn, run):
    defaults = {"learn": {"n_atoms": 64}, "run": {"n_atoms": 750, "width": 20.0, "tilts": {"a": 1, "b": 2}}}
    found = completed({"kind": "crystal", **recipe}, defaults)
    assert {key: found.pop(key) for key in ("learn", "run")} == {"learn": learn, "run": run}
    assert found == {"kind": "crystal", **{key: value for key, value in recipe.items() if key not in ("learn", "run")}}


@pytest.mark.usefixtures("aiida_profile_clean")
def test_slabs_of_both_boundaries_are_one_region():
    slab = {"thickness_A": 10.0, "centre_A": 1.0}
    results = orm.Dict({"regions": [slab | {"centre_fraction": 0.0}, slab | {"centre_fraction": 0.5}]})
    regions = name_regions(results, orm.Str("boundary")).get_dict()
    assert regions == {"boundary": {"axis": 2, "centres": [0.0, 0.5], "thickness_A": 10.0}}


@pytest.mark.usefixtures("aiida_profile_clean")
def test_the_core_lies_in_the_first_boundary_and_is_found_by_the_framework_alone():
    """Misfit of the framework at x = 0.7; that of the mobile ions, at x = 0.2, does not count."""
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat((5, 2, 6))
    away = atoms.get_scaled_positions() - [0.0, 0.0, 0.5]
    noise = np.random.default_rng(1).normal(0, 0.6, (len(atoms), 3))
    for element, x in {"Cl": 0.7, "Na": 0.2}.items():
        near = (np.abs(away[:, 2]) < 0.1) & (np.abs(away[:, 0] - x) < 0.11) & (atoms.symbols == element)
        atoms.positions[near] += noise[near]
    regions = orm.Dict({"boundary": {"axis": 2, "centres": [0.5, 0.0], "thickness_A": 8.0}})
    results = orm.Dict({"lowest": "candidate_0", "candidates": {"candidate_0": {"axis_along": 1}}})
    observables = orm.Dict({"diffusivity": {"species": "Na"}})
    structure = orm.StructureData(ase=atoms)
    found = add_core(regions, structure, results, observables, orm.Dict({"width_A": 7.0})).get_dict()
    assert found["boundary"] == regions["boundary"]
    low, high = found["core"]["low"], found["core"]["high"]
    assert (low[1], high[1]) == (0.0, 1.0)
    assert (low[0] + high[0]) / 2 == pytest.approx(0.7, abs=0.06)
    assert (low[2], high[2]) == pytest.approx((0.5 - 4.0 / 33.6, 0.5 + 4.0 / 33.6))


@pytest.mark.usefixtures("aiida_profile_clean")
def test_structure_is_looked_at_in_the_region_and_diffusion_by_it():
    observables = {
        "diffusivity": {"species": "Na", "charge": 1},
        "rdf": {"cutoff_A": 5.0},
        "topology": {"alpha": {"species": "Na", "filtration": "alpha"}, "rips": None},
        "density": None,
    }
    found = observe_region(orm.Dict(observables), orm.Str("interface")).get_dict()
    assert found["regions"] == {"species": "Na", "charge": 1}
    assert found["rdf"] == {"cutoff_A": 5.0, "region": "interface"}
    assert found["topology"]["alpha"]["region"] == "interface"
    assert found["topology"]["rips"] is None
    assert found["density"] is None
    assert "region" not in found["diffusivity"]


@pytest.mark.parametrize(
    ("systems", "name", "message"),
    [
        ({"x": {"kind": "crystall"}}, "x", "systems.x: `kind` is 'crystall'"),
        ({"x": {}}, "x", "systems.x: `kind` is None"),
        ({"x": {"kind": "boundary", "axis": [0, 0, 1]}}, "x", "systems.x: plane must be given for a boundary"),
        ({"x": {"kind": "glass"}}, "x", "systems.x: amorphous must be given for a glass"),
        ({"x": INTERFACE}, "x", "systems.x: `glass` is 'glass', which is no system of kind glass"),
        ({"x": INTERFACE, "glass": {"kind": "crystal"}}, "x", "systems.x: `glass` is 'glass'"),
        ({"x": TILT | {"core": 10.0}}, "x", "systems.x: `core` is 10.0; give {width_A: …}"),
        ({"x": TILT | {"core": {"width_A": -1}}}, "x", "systems.x: `core` is {'width_A': -1}"),
        ({"x": {"kind": "crystal", "core": {"width_A": 8}}}, "x", "systems.x: a system of kind crystal has no `core`"),
        ({"x": INTERFACE | {"learn": {"n_atoms": 3}}, "glass": GLASS}, "x", "has no `learn`"),
        (
            {"x": INTERFACE | {"widht": 9.0}, "glass": GLASS},
            "x",
            "systems.x.run: interface: parameters: unknown widht",
        ),
        ({"x": {"kind": "crystal", "run": {"n_atom": 9}}}, "x", "unknown n_atom"),
        ({"x": TILT | {"run": {"widht": 9.0}}}, "x", "unknown widht"),
        ({"x": {"kind": "structure"}}, "x", "give its structure as `structures.x`"),
    ],
)
def test_recipes_that_make_no_sense(systems, name, message):
    assert message in recipe_error(name, systems, ())


ARGYRODITE = [
    ({"Li": 0.5}, [0.183, 0.183, 0.024]),
    ("P", [0, 0, 0.5]),
    ("S", [0.1195, 0.1195, 0.6195]),
    ("S", [0.25, 0.25, 0.25]),
    ("Cl", [0, 0, 0]),
]


@pytest.mark.usefixtures("aiida_profile_clean")
@pytest.mark.parametrize(
    ("boundary", "message"),
    [
        ({"axis": [0, 0, 1], "plane": [1, 2, 0]}, None),
        ({"plane": [0, 0, 1], "angle": 36.9, "run": {"max_area": 600}}, None),
        ({"axis": [0, 0, 1], "plane": [1, 0, 0]}, "no grain boundary: the crystal's own symmetry"),
        ({"axis": [0, 0, 1], "plane": [1, 2, 1]}, "plane [1, 2, 1] does not contain the tilt axis [0, 0, 1]"),
        ({"plane": [0, 0, 1], "angle": 90.0, "run": {"max_area": 600}}, "no twist about the normal"),
    ],
)
def test_boundaries_are_those_of_the_disordered_crystal(boundary, message):
    species, positions = zip(*ARGYRODITE, strict=True)
    disordered = Structure.from_spacegroup("F-43m", Lattice.cubic(9.86), species, positions)
    systems = {"crystal": {"kind": "crystal"}, "x": {"kind": "boundary", **boundary}}
    error = boundaries_error(systems, orm.StructureData(pymatgen=disordered))
    if message is None:
        assert error is None
    else:
        assert error.startswith("systems.x: boundary: ")
        assert message in error


def test_recipes_that_do():
    twist = {"kind": "boundary", "plane": [0, 0, 1]}
    systems = {"tilt": TILT, "twist": twist, "glass": GLASS, "both": INTERFACE, "mine": {"kind": "structure"}}
    assert [recipe_error(name, systems, {"mine"}) for name in systems] == [None] * 5
