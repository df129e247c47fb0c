from pathlib import Path

import pytest
from aiida import orm
from aiida.plugins import CalculationFactory

from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.units import survey

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


def test_order_ranked_by_a_potential(ordered, generate_potential):
    parameters = orm.Dict({"charges": CHARGES, "n_candidates": 3, "rank_by": "occupancy"})
    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    ranked = CalculationFactory("lpsgb.order")(cif, parameters, orm.Int(0), generate_potential())
    energies = ranked["results"]["energies_eV"]
    assert energies == sorted(energies)
    kept = sorted(ranked["results"]["ewald_energies_eV"])
    assert kept == pytest.approx(sorted(ordered["results"]["ewald_energies_eV"]))


BOUNDARY = {"axis": [0, 0, 1], "plane": [0, 0, 1], "kind": "twist", "convention": "pseudo-cubic", "sigma": 5}


def test_bicrystal_of_a_rattled_crystal_and_its_parent(ordered):
    crystal = ordered["structure"]
    rattled = CalculationFactory("lpsgb.rattle")(crystal, orm.Dict({"amplitude": 0.05, "n": 2}), orm.Int(4))
    assert set(rattled) == {"copy_0", "copy_1"}
    rattled = rattled["copy_0"]
    parameters = orm.Dict({**BOUNDARY, "max_strain": 0.02, "width": 15, "region": 7.5, "n_candidates": 2})
    outputs = CalculationFactory("lpsgb.bicrystal")(rattled, parameters, parent=crystal)
    description = outputs["results"]["candidates"][0]
    assert (description["equivalent_by"], description["variant"]) == ("glide", True)
    assert description["true_angle_deg"] == pytest.approx(78.46, abs=0.01)
    assert len(outputs["results"]["candidates"]) == 1 + len(outputs["others"])
    atoms = outputs["structure"].get_ase()
    assert len(atoms) == description["n_atoms"]
    assert set(survey(atoms).formulas) == {"Li", "PS4"}
    assert outputs["structure"].creator.inputs.parent.uuid == crystal.uuid
    alone = CalculationFactory("lpsgb.bicrystal")(rattled, parameters)
    assert alone["results"]["candidates"][0]["equivalent_by"] == "none"


def test_boundary_energies():
    """Two boundaries of 16.02 Å² that cost 1 eV together have 0.5 J/m²; of several candidates the lowest is named."""
    entry = {"n_atoms": 10, "total_area_A2": 16.0217663, "regions": [{"centre_A": 5.0}, {"centre_A": 10.0}]}
    bulk = orm.StructureData(cell=[[3, 0, 0], [0, 3, 0], [0, 0, 3]])
    for x in (0.0, 1.0):
        bulk.append_atom(position=(x, 0, 0), symbols="Li")
    results = CalculationFactory("lpsgb.boundary_energies")(
        orm.Dict({"candidates": [entry, {**entry, "regions": entry["regions"][:1]}]}),
        orm.Dict({"minimised_energies_eV": [-1.0, -4.0]}),
        bulk,
        candidate_0=orm.Dict({"minimised_energies_eV": [-3.0, -19.0]}),
        candidate_1=orm.Dict({"minimised_energies_eV": [-19.8]}),
    )
    assert results["energies_J_m2"] == pytest.approx({"candidate_0": 0.5, "candidate_1": 0.2})
    assert results["lowest"] == "candidate_1"
    assert results["regions"] == [{"centre_A": 5.0}]
    assert results["bulk_energy_eV_per_atom"] == -2.0


def test_interface_and_amorphous_report(ordered):
    crystal = ordered["structure"]
    glass = CalculationFactory("lpsgb.supercell")(crystal, orm.Dict({"matrix": [2, 3, 4]}))
    parameters = orm.Dict({"plane": [1, 0, 0], "n_cuts": 2, "shift_step": 6.0})
    joined = CalculationFactory("lpsgb.interface")(crystal, glass, parameters)
    assert joined["results"]["n_atoms"] == len(joined["structure"].sites)
    assert len(joined["results"]["regions"]) == 2
    report = CalculationFactory("lpsgb.amorphous_report")
    orders = report(glass, crystal, orm.Dict({"centre": "P", "unit": "PS4"}))
    assert orders["structure"]["bragg_order"] == pytest.approx(1)
    assert orders["structure"]["density_g_cm3"] == pytest.approx(orders["reference"]["density_g_cm3"])
    with pytest.raises(ValueError, match="plane must be given"):
        CalculationFactory("lpsgb.interface")(crystal, glass, orm.Dict({}))
    with pytest.raises(ValueError, match="unknown centres"):
        report(glass, crystal, orm.Dict({"centres": "P", "unit": "PS4"}))


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
