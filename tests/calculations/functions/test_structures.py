from pathlib import Path

import pytest
from aiida import orm
from aiida.plugins import CalculationFactory

from aiida_lpsgb.calculations.functions import structures
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.units import survey

CIF = Path(__file__).parents[3] / "examples" / "data" / "beta-li3ps4.cif"
CHARGES = {"Li": 1, "P": 5, "S": -2}

pytestmark = pytest.mark.usefixtures("aiida_profile")


def refused(name, reason, *inputs, **named):
    """Run a calcfunction and check that it refuses its input with a reason."""
    outputs, node = CalculationFactory(name).run_get_node(*inputs, **named)
    assert node.exit_status == structures.REFUSED, node.exit_message
    assert reason in node.exit_message
    assert not outputs


def cif_node(folder, text):
    path = folder / "crystal.cif"
    path.write_text(text)
    return orm.CifData(file=str(path), parse_policy="lazy")


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
    refused("lpsgb.interface", "plane must be given", crystal, glass, orm.Dict({}))
    refused("lpsgb.amorphous_report", "unknown centres", glass, crystal, orm.Dict({"centres": "P", "unit": "PS4"}))


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
    """What cannot be used ends the process with an exit code and the reason, and no outputs."""
    disordered, crystal = orm.StructureData(pymatgen=read_cif(CIF)), ordered["structure"]
    refused("lpsgb.supercell", "structure has partially occupied sites", disordered, orm.Dict({"n_atoms": 100}))
    refused("lpsgb.supercell", "no positive volume", crystal, orm.Dict({"matrix": [1, 1, -1]}))
    refused("lpsgb.start_set", "crystal has partially occupied sites", orm.Dict({}), orm.Int(0), crystal=disordered)
    refused(
        "lpsgb.start_set",
        "unknown rattle; `rattle` may be meant as `n_rattles`; known are",
        orm.Dict({"rattle": 1}),
        orm.Int(0),
        crystal=crystal,
    )
    refused(
        "lpsgb.start_set",
        "atoms approach to a share of their distance between 0 and 1, not 1.2",
        orm.Dict({"approaches": [1.2]}),
        orm.Int(0),
        crystal=crystal,
    )
    refused("lpsgb.order", "no formal charge given for Li, P, S", disordered, orm.Dict({}), orm.Int(0))
    refused(
        "lpsgb.order",
        "unknown charge; `charge` may be meant as `charges`; known are",
        disordered,
        orm.Dict({"charge": CHARGES}),
        orm.Int(0),
    )
    refused("lpsgb.rattle", "n must be given", crystal, orm.Dict({"amplitude": 0.1}), orm.Int(0))
    tilt = {"axis": [0, 0, 1], "plane": [1, 2, 0]}
    refused("lpsgb.bicrystal", "it would hold two free surfaces", crystal, orm.Dict({**tilt, "vacuum": 10.0}))
    refused("lpsgb.bicrystal", "unknown planes", crystal, orm.Dict({**tilt, "planes": 1}))
    refused("lpsgb.bicrystal", "one crystal with a shift", crystal, orm.Dict({**tilt, "plane": [1, 0, 0]}))
    refused("lpsgb.bicrystal", "axis must be given", crystal, orm.Dict({"plane": [1, 2, 0], "kind": "symmetric"}))
    refused("lpsgb.lowest", "at least one relaxation")


def test_order_passes_on_why_a_cif_was_refused_and_what_it_warned_of(tmp_path):
    text = CIF.read_text().replace("4 b 0.000  0.000 0.500 0.7", "4 b 0.000  0.000 0.500 1.7")
    refused("lpsgb.order", "site at (0, 0, 0.5) add up to 1.70", cif_node(tmp_path, text), orm.Dict({}), orm.Int(0))
    text = CIF.read_text().replace("4 b 0.000  0.000 0.500 0.7", "4 b 0.000  0.000 0.500 .")
    refused("lpsgb.order", "Li 13.2 instead of 12", cif_node(tmp_path, text), orm.Dict({}), orm.Int(0))
    text = CIF.read_text().replace("4 b 0.000  0.000 0.500 0.7", "4 b 0.000  0.000 0.500 0.78")
    outputs = CalculationFactory("lpsgb.order")(
        cif_node(tmp_path, text), orm.Dict({"charges": CHARGES, "rank_by": "occupancy"}), orm.Int(0)
    )
    (warning,) = outputs["results"]["warnings"]
    assert "Li 12.3 instead of 12" in warning
    assert outputs["structure"].get_formula("hill") == "Li12P4S16"


def test_order_tells_what_it_did(ordered):
    results = ordered["results"]
    assert results["occupancies"] == [
        {"site": "Li3 (Li 0.30)", "n_sites": 4, "asked": {"Li": 0.3}, "filled": {"Li": 0.0}},
        {"site": "Li2 (Li 0.70)", "n_sites": 4, "asked": {"Li": 0.7}, "filled": {"Li": 1.0}},
    ]
    assert results["supercell"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert results["warnings"] == []


def test_ordered_crystal_needs_no_charges(ordered):
    again = CalculationFactory("lpsgb.order")(ordered["structure"], orm.Dict({}), orm.Int(0))
    assert again["structure"].get_formula("hill") == "Li12P4S16"
    assert again["results"]["ewald_energies_eV"] == [None]


def test_parent_of_a_bicrystal_may_be_the_cif(ordered):
    relaxed = CalculationFactory("lpsgb.rattle")(
        ordered["structure"], orm.Dict({"amplitude": 0.05, "n": 1}), orm.Int(4)
    )
    parameters = orm.Dict({"axis": [0, 0, 1], "plane": [1, 2, 0], "width": 15, "region": 7.5, "shift_step": 4.0})
    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    outputs = CalculationFactory("lpsgb.bicrystal")(relaxed["copy_0"], parameters, parent=cif)
    assert outputs["results"]["candidates"][0]["true_angle_deg"] == pytest.approx(34.55, abs=0.01)
    alone = CalculationFactory("lpsgb.bicrystal")(relaxed["copy_0"], parameters)["results"]["candidates"][0]
    assert alone["true_angle_deg"] == pytest.approx(180)
    assert "no rotation about the axis asked for" in alone["notes"][0]


def test_energies_with_vacuum_are_refused():
    entry = {"n_atoms": 10, "total_area_A2": 16.0, "regions": [{"centre_A": 5.0}], "vacuum_A": 12.0}
    bulk = orm.StructureData(cell=[[3, 0, 0], [0, 3, 0], [0, 0, 3]])
    bulk.append_atom(position=(0, 0, 0), symbols="Li")
    energy = orm.Dict({"minimised_energies_eV": [-1.0]})
    inputs = (orm.Dict({"candidates": [entry]}), energy, bulk)
    refused("lpsgb.boundary_energies", "two free surfaces", *inputs, candidate_0=energy)
    refused("lpsgb.boundary_energies", "no candidate_7 among", *inputs, candidate_7=energy)


def test_lowest_of_several_relaxations():
    chosen = CalculationFactory("lpsgb.lowest")(
        copy_0=orm.Dict({"minimised_energies_eV": [-9.0, -1.0]}),
        copy_1=orm.Dict({"minimised_energies_eV": [-3.0]}),
        copy_2=orm.Dict({"minimised_energies_eV": [-2.0]}),
    )
    assert chosen.get_dict() == {"lowest": "copy_1", "energies_eV": {"copy_0": -1.0, "copy_1": -3.0, "copy_2": -2.0}}


def test_every_calcfunction_is_registered():
    """Caching is enabled by entry points: a function without one is never served from the cache."""
    names = [name for name in vars(structures) if getattr(getattr(structures, name), "is_process_function", False)]
    assert len(names) == 9
    for name in names:
        assert CalculationFactory(f"lpsgb.{name}") is getattr(structures, name)
