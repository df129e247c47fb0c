"""Recipes and overrides that are guessed from a crystal, and questions that must be answered first."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.guess import guess
from aiida_lpsgb.workflows.study_plan import StudyPlan

CRYSTALS = Path(__file__).parents[2] / "examples" / "data"
PLACES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]


def plan(name, **given):
    path = CRYSTALS / f"{name}.cif"
    material = guess(read_structure(path, oxidation_states=True), **given.pop("known", {}))
    return StudyPlan.of(path, material, **given)


def test_systems_are_named_by_their_indices():
    made = plan(
        "li6ps5cl", boundaries=["001/-250", "0,0,1/1,-2,0"], twists=["001", "001@36.9"], interfaces=["100"], glass=True
    )
    assert list(made.systems) == [
        *("crystal", "tilt_001_m250", "tilt_001_1m20", "twist_001", "twist_001_36p9", "glass", "interface_100"),
    ]
    assert made.systems["twist_001_36p9"]["angle"] == 36.9
    assert made.systems["glass"]["amorphous"] == {"centre": "P", "unit": "PS4", "cutoffs": {"P-S": 2.54}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"boundaries": ["120"]}, "give axis/plane, such as 001/120"),
        ({"boundaries": ["001/12"]}, "'12' is not three integers"),
        ({"twists": ["001@x"]}, "'x' is not an angle in degrees"),
        ({"twists": ["001"], "pseudo_cubic": True}, "given by its Σ, such as 001@5"),
    ],
)
def test_what_is_no_boundary(request_, message):
    with pytest.raises(ValueError, match=message):
        plan("li6ps5cl", **request_)


def test_mixed_valence_is_asked():
    half = Structure(Lattice.cubic(6.0), [{"Li": 0.5}, "Fe", "P", *4 * "O"], PLACES)
    with pytest.raises(ValueError, match=r"mixed valence: Fe .* give one charge for each element"):
        StudyPlan.of("half.cif", guess(half))
    charges = {"Li": 1, "Fe": 2.5, "P": 5, "O": -2}
    assert StudyPlan.of("half.cif", guess(half, charges=charges)).overrides["ordering"]["charges"] == charges


def test_full_order_needs_no_charges():
    full = Structure(Lattice.cubic(6.0), ["Li", "Fe", "Fe", *4 * "O"], PLACES)
    assert guess(full).charges.value is None
    assert StudyPlan.of("full.cif", guess(full)).overrides["mobile"] == {"species": "Li", "charge": 1.0}
