from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.guess import guess, guess_charges
from aiida_lpsgb.structures.ordering import order
from aiida_lpsgb.structures.units import survey

DATA = Path(__file__).parents[2] / "examples" / "data"

#: Charges, mobile ion, polyanions, whether there is speciation, neighbours of the mobile ion, ranking of each example.
KNOWN = {
    "beta-li3ps4": ({"Li": 1, "P": 5, "S": -2}, "Li", ["PS4"], ["P"], "occupancy"),
    "li6ps5cl": ({"Li": 1, "P": 5, "S": -2, "Cl": -1}, "Li", ["PS4"], ["P"], "ewald"),
    "li3n": ({"Li": 1, "N": -3}, "Li", [], ["N"], None),
    "na3ps4": ({"Na": 1, "P": 5, "S": -2}, "Na", ["PS4"], ["P"], "occupancy"),
    "li7la3zr2o12": ({"Li": 1, "La": 3, "Zr": 4, "O": -2}, "Li", [], ["La", "Zr"], "ewald"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_conductors(name):
    charges, mobile, units, neighbours, ranking = KNOWN[name]
    structure = read_structure(DATA / f"{name}.cif")
    found = guess(structure)
    assert found.questions == ()
    assert found.formula.lower() == name.removeprefix("beta-")
    assert found.charges.value == charges
    assert found.mobile.value == mobile
    assert found.units.value == units
    assert found.species.value[0] == mobile
    assert sorted(found.species.value) == sorted(charges)
    assert found.disorder.value["neighbours"] == neighbours
    assert (found.ordering.value or {}).get("rank_by") == ranking
    if units:
        assert found.speciation.value == {
            "centre": "P",
            "ligand": "S",
            "cutoff_A": pytest.approx(2.54),
            "coordination": 4,
            "bonds_A": {"P-P": pytest.approx(2.57), "S-S": pytest.approx(2.52)},
        }
        assert found.cutoffs.value == {"P-S": pytest.approx(2.54)}
    else:
        assert found.speciation.value is None
        assert found.cutoffs.value == {}
    lines = found.describe()
    assert len(lines) == 10
    assert all(line.endswith(")") for line in lines[1:])


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_guessed_can_be_used(name):
    """The crystal is ordered with the guesses, its polyanions are whole, and nothing is closer than the shortest."""
    structure = read_structure(DATA / f"{name}.cif")
    found = guess(structure)
    (atoms,) = order(structure, n_samples=1, **(found.ordering.value or {}))
    report = survey(atoms)
    assert sorted(formula for formula in report.formulas if formula in found.units.value) == found.units.value
    assert 0.6 * report.shortest_pair < found.min_distance.value < 0.8 * report.shortest_pair


def crystal(species, positions=None, a=5.0):
    grid = [[i / 2, j / 2, k / 2] for i in range(2) for j in range(2) for k in range(2)]
    return Structure(Lattice.cubic(a), species, positions or grid[: len(species)])


@pytest.mark.parametrize(
    ("species", "charges"),
    [
        (["Li", "Fe", "P", *["O"] * 4], {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        (["Li", "B", *["H"] * 4], {"Li": 1, "B": 3, "H": -1}),
        (["N", *["H"] * 4, "Cl"], {"N": -3, "H": 1, "Cl": -1}),
        (["Ag", "I"], {"Ag": 1, "I": -1}),
        ([{"Li": 0.65, "Al": 0.15}, {"Ti": 0.85}, {"P": 1.5 / 2}, {"P": 1.5 / 2}, *["O"] * 6], None),
        ([{"Zr": 0.85, "Y": 0.15}, {"O": 0.9625}, {"O": 0.9625}], {"Y": 3, "Zr": 4, "O": -2}),
        (["Cu"], {"Cu": 0}),
    ],
)
def test_commonest_neutral_states(species, charges):
    if charges is None:  # Li1.3Al0.3Ti1.7(PO4)3
        charges = {"Li": 1, "Al": 3, "Ti": 4, "P": 5, "O": -2}
    grid = [[i / 3, j / 2, k / 2] for i in range(3) for j in range(2) for k in range(2)]
    found, question = guess_charges(crystal(species, grid[: len(species)]))
    assert question is None
    assert found.value == charges


def test_mixed_valence_asks():
    found, question = guess_charges(crystal(["Fe", "Fe", "Fe", *["O"] * 4]))
    assert found.value is None
    assert question.startswith("mixed valence: Fe (+2.67 on average)")
    decorated = crystal(["Fe2+", "Fe3+", "Fe3+", *["O2-"] * 4])
    _, question = guess_charges(decorated)
    assert "Fe (+2 and +3)" in question
    material = guess(decorated)
    assert material.charges.value is None
    assert question in material.questions
    assert guess(decorated, charges={"Fe": 8 / 3, "O": -2}).charges.reason == "as given"


def test_states_of_the_file_are_taken():
    found, question = guess_charges(crystal(["Fe3+", "N3-"]))
    assert (found.value, question) == ({"Fe": 3, "N": -3}, None)
    assert found.reason == "oxidation states that the file states"


def test_states_of_a_cif(tmp_path):
    text = """data_x
_cell_length_a 4.2
_cell_length_b 4.2
_cell_length_c 4.2
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 225
loop_
_atom_type_symbol
_atom_type_oxidation_number
Mn2+ 2
O2- -2
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Mn1 Mn2+ 0 0 0
O1 O2- 0.5 0.5 0.5
"""
    path = tmp_path / "x.cif"
    path.write_text(text)
    assert guess_charges(read_structure(path, oxidation_states=True))[0].value == {"Mn": 2, "O": -2}
    path.write_text(text.replace("loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nMn2+ 2\nO2- -2\n", ""))
    assert guess_charges(read_structure(path, oxidation_states=True))[0].reason.startswith("oxidation states that")
    path.write_text(text.replace("Mn1 Mn2+", "Mn1 Mn"))
    assert not hasattr(next(iter(read_structure(path, oxidation_states=True).composition)), "oxi_state")


def test_two_ions_that_may_move_are_asked_for():
    both = crystal(["Li", "Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0]])
    found = guess(both)
    assert found.mobile.value == "Li"
    assert found.questions == ("Li or Na: which one moves? give it as mobile",)
    assert guess(both, mobile="Na").questions == ()
    vacant = crystal([{"Na": 0.5}, "Li", "Cl", {"Cl": 0.5}], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0], [0, 0.5, 0]])
    assert (guess(vacant).mobile.value, guess(vacant).questions) == ("Na", ())
    with pytest.raises(ValueError, match="mobile ion K is not in the crystal of Na, Li, Cl"):
        guess(both, mobile="K")


def test_anions_move_where_no_cation_does():
    zirconia = crystal([{"Zr": 0.85, "Y": 0.15}, {"O": 0.9625}, {"O": 0.9625}], [[0, 0, 0], [0.25] * 3, [0.75] * 3])
    assert guess(zirconia).mobile.value == "O"
    assert "vacant sites" in guess(zirconia).mobile.reason


def test_fluoride_moves_before_what_is_charged_twice():
    fluorite = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3])
    assert guess(fluorite).mobile.value == "F"


@pytest.mark.parametrize(("axis", "length", "empty"), [("a", 13.0, False), ("a", 20.25, True), ("c", 20.25, True)])
def test_cells_with_vacuum_are_told(axis, length, empty):
    atoms = bulk("LiF", "rocksalt", a=4.1, cubic=True).repeat(2)
    cell = atoms.cell.lengths()
    cell["abc".index(axis)] = length
    told = guess(Structure(np.diag(cell), atoms.symbols, atoms.positions, coords_are_cartesian=True)).empty
    assert told == (
        f"the cell is empty over {length - 3 * 2.05:.1f} Å along {axis}, as that of a slab or a molecule"
        if empty
        else None
    )


def test_networks_without_end_are_no_polyanions():
    cristobalite = Structure.from_spacegroup("Fd-3m", Lattice.cubic(7.3), ["Si", "O"], [[0, 0, 0], [0.125] * 3])
    found = guess(cristobalite)
    assert found.units.value == []
    assert found.units.reason == "the bonds O-Si make a network without end"
    assert found.speciation.value is None


def test_two_orientations_of_a_polyanion_are_one():
    """A tetrahedron turned half of the time: eight half-filled sulphur sites around phosphorus."""
    d = 2.05 / 3**0.5 / 8.0
    corners = [[x * d, y * d, z * d] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    species = ["P", *[{"S": 0.5}] * 8, *["Na"] * 3]
    cell = Structure(Lattice.cubic(8.0), species, [[0, 0, 0], *corners, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    assert guess(cell).units.value == ["PS4"]
    (atoms,) = order(cell, {"P": 5, "S": -2, "Na": 1})
    assert survey(atoms).formulas == {"Na": 3, "PS4": 1}


def test_given_bonds_and_charges_are_kept():
    structure = read_structure(DATA / "beta-li3ps4.cif")
    found = guess(structure, cutoffs={"P-S": 2.3})
    assert (found.cutoffs.value, found.cutoffs.reason) == ({"P-S": 2.3}, "as given")
    assert found.speciation.value["cutoff_A"] == 2.3
    assert guess(structure, cutoffs={}).units.value == []
    with pytest.raises(ValueError, match="no formal charge given for P"):
        guess(structure, charges={"Li": 1, "S": -2})


def test_atoms_that_lie_in_each_other_are_refused():
    both = crystal(["Li", "F", "F"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match=r"F \(atom \d\) and F \(atom \d\) are 0\.00 Å apart, in each other"):
        guess(both)


def test_sites_that_two_centres_share_count_for_both():
    """Li10GeP2S12 (Kamaya et al., Nat. Mater. 10, 682 (2011)); Ge and P share a site, Ge a little more of it."""
    structure = Structure.from_spacegroup(
        "P4_2/nmc",
        Lattice.tetragonal(8.71771, 12.63452),
        [{"Li+": 0.691}, "Li+", {"Li+": 0.643}, {"Ge4+": 0.515, "P5+": 0.485}, "P5+", "S2-", "S2-", "S2-"],
        [
            (0.2563, 0.2725, 0.1831),
            (0, 0.5, 0.9448),
            (0.2466, 0.2466, 0),
            (0, 0.5, 0.6907),
            (0, 0, 0.5),
            (0, 0.1843, 0.4078),
            (0, 0.2965, 0.0992),
            (0, 0.6975, 0.7896),
        ],
    )
    found = guess(structure)
    assert found.formula == "Li10.1Ge1.03P1.97S12"
    assert found.units.value == ["GeS4", "PS4"]
    assert "4 PS4, 2 GeS4" in found.units.reason
    assert found.speciation.value["centre"] == "P"
