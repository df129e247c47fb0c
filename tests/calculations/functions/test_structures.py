from pathlib import Path

import pytest
from aiida import orm
from aiida.plugins import CalculationFactory

from aiida_lpsgb.structures.ordering import read_cif

CIF = Path(__file__).parents[3] / "examples" / "data" / "beta-li3ps4.cif"
CHARGES = {"Li": 1, "P": 5, "S": -2}

pytestmark = pytest.mark.usefixtures("aiida_profile")


@pytest.fixture
def ordered():
    order = CalculationFactory("lpsgb.order")
    outputs = order(
        orm.CifData(file=str(CIF), parse_policy="lazy"),
        orm.Dict({"charges": CHARGES, "n_candidates": 3, "rank_by": "occupancy"}),
        orm.Int(0),
    )
    return outputs


def test_order_from_cif(ordered):
    assert ordered["structure"].get_formula("hill") == "Li12P4S16"
    assert sorted(ordered["others"]) == ["candidate_1", "candidate_2"]
    results = ordered["results"].get_dict()
    assert results["n_candidates"] == 3
    assert results["composition_deviation"] == {"Li": 0, "P": 0, "S": 0}
    inputs = ordered["structure"].creator.inputs
    assert {inputs.seed.value, inputs.structure.node_type} == {0, "data.core.cif.CifData."}


def test_order_from_partially_occupied_structure(ordered):

    structure = orm.StructureData(pymatgen=read_cif(CIF))
    parameters = orm.Dict({"charges": CHARGES, "rank_by": "occupancy"})
    again = CalculationFactory("lpsgb.order")(structure, parameters, orm.Int(0))
    assert "others" not in again
    assert again["results"]["ewald_energies_eV"][0] == pytest.approx(ordered["results"]["ewald_energies_eV"][0])


def test_start_set(ordered):
    start_set = CalculationFactory("lpsgb.start_set")
    parameters = orm.Dict({"strains": [-0.03, 0.0, 0.03], "amplitudes": [0.1], "n_rattles": 2})
    a = start_set(parameters, orm.Int(1), crystal=ordered["structure"])
    b = start_set(parameters, orm.Int(1), crystal=ordered["structure"])
    c = start_set(parameters, orm.Int(2), crystal=ordered["structure"])
    assert len(a) == 6
    assert a.base.caching.get_hash() == b.base.caching.get_hash() != c.base.caching.get_hash()


def test_supercell(ordered):
    supercell = CalculationFactory("lpsgb.supercell")
    assert len(supercell(ordered["structure"], orm.Dict({"matrix": [1, 2, 2]})).sites) == 128
    assert len(supercell(ordered["structure"], orm.Dict({"n_atoms": 750})).sites) >= 750


def test_refusals(ordered):
    disordered = orm.StructureData(pymatgen=read_cif(CIF))
    with pytest.raises(ValueError, match="structure has partially occupied sites"):
        CalculationFactory("lpsgb.supercell")(disordered, orm.Dict({"n_atoms": 100}))
    with pytest.raises(ValueError, match="crystal has partially occupied sites"):
        CalculationFactory("lpsgb.start_set")(orm.Dict({}), orm.Int(0), crystal=disordered)
    with pytest.raises(ValueError, match="unknown rattle; known are"):
        CalculationFactory("lpsgb.start_set")(orm.Dict({"rattle": 1}), orm.Int(0), crystal=ordered["structure"])
    with pytest.raises(ValueError, match="charges must be given"):
        CalculationFactory("lpsgb.order")(disordered, orm.Dict({}), orm.Int(0))
