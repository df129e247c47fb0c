import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.io import read
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_lpsgb.structures import arrangement, ordering
from aiida_lpsgb.structures.cif import read_cif

CHARGES = {"Li": 1, "P": 5, "S": -2}
CRYSTALS = Path(__file__).parents[2] / "examples" / "data"


def test_cif_has_the_published_cell_and_bonds(disordered):
    assert disordered.lattice.abc == pytest.approx((13.07, 8.13, 6.26))
    assert disordered.get_space_group_info() == ("Pnma", 62)
    assert disordered.composition.as_dict() == pytest.approx({"Li": 12, "P": 4, "S": 16})
    ordered = {site.species_string for site in disordered if site.is_ordered}
    assert ordered == {"Li", "P", "S"}
    distances = disordered.distance_matrix
    sulphur = [i for i, site in enumerate(disordered) if "S" in site.species_string]
    for i, site in enumerate(disordered):
        nearest = np.sort(distances[i, sulphur])
        if site.species_string == "P":
            assert nearest[:4] == pytest.approx([2.07] * 4, abs=0.04)
            assert nearest[4] > 2.8
        elif site.species_string == "Li:0.3":
            assert np.all((nearest[:4] > 2.4) & (nearest[:4] < 2.6))


def test_cif_from_text_equals_cif_from_file(disordered, cif_path):
    assert read_cif(cif_path.read_text()) == disordered


def test_all_arrangements_of_one_cell(disordered):
    candidates = ordering.order(disordered, CHARGES, n_candidates=100)
    assert len(candidates) == 16  # the 70 ways to put 4 Li on 8 sites fall into 16 classes under Pnma
    energies = [atoms.info["ewald_energy_eV"] for atoms in candidates]
    assert energies == sorted(energies)
    for atoms in candidates:
        assert atoms.get_chemical_formula() == "Li12P4S16"
        assert atoms.info["composition_deviation"] == {"Li": 0, "P": 0, "S": 0}
        assert "occupancy" not in atoms.info
        structure = AseAtomsAdaptor.get_structure(atoms)
        structure.add_oxidation_state_by_element(CHARGES)
        assert EwaldSummation(structure).total_energy == pytest.approx(atoms.info["ewald_energy_eV"], abs=1e-5)


def test_number_of_classes_by_the_symmetry_group(disordered):
    """Count the orbits of the 70 arrangements under the crystal's operations, site by site."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    partial = [i for i, site in enumerate(disordered) if not site.is_ordered]
    coords = disordered.frac_coords[partial]
    orbits = set()
    permutations = []
    for operation in SpacegroupAnalyzer(disordered).get_symmetry_operations():
        moved = operation.operate_multi(coords)
        difference = moved[:, None] - coords[None]
        permutations.append(np.argmin(np.abs(difference - np.round(difference)).sum(-1), axis=1))
    for chosen in itertools.combinations(range(8), 4):
        orbits.add(min(tuple(sorted(p[list(chosen)])) for p in permutations))
    assert len(orbits) == 16


def test_most_probable_arrangement_fills_the_sites_of_high_occupancy(lps):
    assert lps.info["log_probability"] == pytest.approx(8 * math.log(0.7), abs=1e-5)
    scaled = lps.get_scaled_positions()
    octahedral = [r for r in scaled[:12] if np.allclose(2 * r, np.round(2 * r))]
    assert len(octahedral) == 4


def test_kept_shares_put_three_and_one(disordered):
    for atoms in ordering.order(disordered, CHARGES, n_candidates=5, keep_shares=True):
        scaled = atoms.get_scaled_positions()[:12]
        assert sum(np.isclose(r[1], [0.25, 0.75], atol=1e-6).any() for r in scaled) == 1


def test_annealing_finds_the_enumerated_minimum(disordered, monkeypatch):
    options = {"n_candidates": 3, "supercell": (1, 1, 2)}
    exact = ordering.order(disordered, CHARGES, **options)
    monkeypatch.setattr(arrangement, "ENUMERATION_LIMIT", 0)
    sampled = ordering.order(disordered, CHARGES, seed=3, **options)
    assert sampled[0].info["ewald_energy_eV"] == pytest.approx(exact[0].info["ewald_energy_eV"])
    assert np.array_equal(sampled[1].positions, ordering.order(disordered, CHARGES, seed=3, **options)[1].positions)


def test_ordered_crystal_is_its_own_candidate():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    candidates = ordering.order(salt, {"Na": 1, "Cl": -1}, n_candidates=4)
    assert len(candidates) == 1
    madelung = candidates[0].info["ewald_energy_eV"] / 4 * 2.82 / -14.399645
    assert madelung == pytest.approx(1.747565, abs=1e-4)


def test_mixed_anions_and_vacancies_stay_neutral():
    """Argyrodite-like: S and Cl share sites, Li sites are half full."""
    cell = Structure(
        Lattice.cubic(6.0),
        ["P", {"S": 0.5, "Cl": 0.5}, {"S": 0.5, "Cl": 0.5}, {"Li": 0.6}, {"Li": 0.6}, {"Li": 0.6}],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.25, 0, 0.5], [0.75, 0, 0.5], [0, 0.75, 0.5]],
    )
    charges = {"P": 1, "S": -2, "Cl": -1, "Li": 1}
    (atoms,) = ordering.order(cell, charges)
    assert sum(charges[s] for s in atoms.get_chemical_symbols()) == 0
    assert atoms.get_chemical_formula() == "ClLi2PS"
    assert atoms.info["composition_deviation"] == pytest.approx({"Cl": 0, "Li": 0.2, "P": 0, "S": 0})


def test_ranking_by_a_calculator(disordered):
    candidates = ordering.order(disordered, CHARGES, n_candidates=4)
    ranked = ordering.rank(candidates, LennardJones(rc=4.0))
    energies = [atoms.info["energy_eV"] for atoms in ranked]
    assert energies == sorted(energies)
    with pytest.raises(ValueError, match="do not compare"):
        ordering.rank([candidates[0], candidates[1][:-1]], LennardJones())


@pytest.mark.parametrize(
    ("charges", "options", "message"),
    [
        ({"Li": 1, "P": 5}, {}, "no formal charge given for S"),
        ({"Li": 1, "P": 4, "S": -2}, {}, "check charges and occupancies"),
        (CHARGES, {"n_candidates": 0}, "at least 1"),
        (CHARGES, {"rank_by": "mass"}, "'ewald' or 'occupancy'"),
    ],
)
def test_bad_input(disordered, charges, options, message):
    with pytest.raises(ValueError, match=message):
        ordering.order(disordered, charges, **options)


def test_several_structures_in_a_cif(tmp_path):
    path = tmp_path / "two.cif"
    text = "data_a\n_cell_length_a 3\n_cell_length_b 3\n_cell_length_c 3\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
    text += "_cell_angle_gamma 90\n_symmetry_Int_Tables_number 1\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
    text += "_atom_site_fract_y\n_atom_site_fract_z\nNa1 0 0 0\n"
    path.write_text(text + text.replace("data_a", "data_b"))
    assert len(read(path, index=":", format="cif")) == 2
    with pytest.raises(ValueError, match="found 2"):
        read_cif(path)


def exclusive(cation, anion, apart):
    """Half-filled cation and anion sites in pairs, `apart` Å from each other, in a rock salt of sodium chloride."""
    species = ["Na", "Na", "Cl", "Cl", {cation: 0.5}, {cation: 0.5}, {anion: 0.5}, {anion: 0.5}]
    x = apart / 8.2
    positions = [[0.25, 0.5, 0.5], [0.75, 0.5, 0.5], [0.25, 0, 0], [0.75, 0, 0]]
    positions += [[0, 0, 0.5], [0.5, 0, 0.5], [x, 0, 0.5], [0.5 + x, 0, 0.5]]
    return Structure(Lattice.orthorhombic(8.2, 4.1, 4.1), species, positions)


@pytest.mark.parametrize("rank_by", ordering.RANKINGS)
@pytest.mark.parametrize(
    ("cation", "anion", "charges", "apart"),
    [
        ("Li", "F", (1, -1), 0.49),
        ("Li", "F", (1, -1), 1.2),
        ("Na", "Cl", (1, -1), 1.6),
        ("H", "F", (1, -1), 0.5),
        ("Mg", "O", (2, -2), 1.3),
        ("Li", "Mg", (0, 0), 0.8),
        ("Ag", "I", (1, -1), 1.5),
    ],
)
def test_sites_that_exclude_each_other_are_not_both_filled(rank_by, cation, anion, charges, apart):
    cell = exclusive(cation, anion, apart)
    charges = {"Na": 1, "Cl": -1} | dict(zip((cation, anion), charges, strict=True))
    for sampled in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if sampled:
                patch.setattr(arrangement, "ENUMERATION_LIMIT", 0)
            found = ordering.order(cell, charges, n_candidates=4, rank_by=rank_by, n_samples=4)
        assert found
        for atoms in found:
            assert atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)].min() > max(1.7, apart + 0.1)


def test_an_interstitial_lies_beside_a_vacancy():
    """Anti-Frenkel pairs: an interstitial fluorine 1.4 Å from each of the sites that may be empty."""
    fluorite = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25] * 3])
    cell = fluorite.copy()
    for i, site in enumerate(cell):
        if site.specie.symbol == "F":
            cell.replace(i, {"F": 0.875}, site.frac_coords)
    for x in ([0.5, 0.5, 0.5], [0.5, 0, 0]):
        cell.append({"F": 0.5}, np.array(x) + 0.06)
    (atoms,) = ordering.order(cell, {"Ca": 2, "F": -1}, supercell=(1, 1, 1), max_deviation=0.5)
    assert atoms.get_chemical_formula() == "Ca4F8"
    fluorine = atoms[atoms.numbers == 9]
    assert fluorine.get_all_distances(mic=True)[np.triu_indices(8, 1)].min() > 1.9


def garnet(tetrahedral=0.54, octahedral=0.45):
    """Cubic Li₇La₃Zr₂O₁₂: lithium on 24d and on the split 96h, which are 1.61 and 0.79 Å apart."""
    return Structure.from_spacegroup(
        "Ia-3d",
        Lattice.cubic(12.97),
        [{"Li": tetrahedral}, {"Li": octahedral}, "La", "Zr", "O"],
        [[0.375, 0, 0.25], [0.0965, 0.6875, 0.5775], [0.125, 0, 0.25], [0, 0, 0], [0.1002, 0.1967, 0.2819]],
    )


GARNET_CHARGES = {"Li": 1, "La": 3, "Zr": 4, "O": -2}


@pytest.mark.parametrize("rank_by", ordering.RANKINGS)
def test_lithium_of_a_garnet_is_packed_without_close_pairs(rank_by):
    """Annealing alone leaves some pairs 1.61 Å apart."""
    (atoms,) = ordering.order(garnet(), GARNET_CHARGES, n_samples=2, rank_by=rank_by)
    lithium = atoms[atoms.numbers == 3]
    assert len(lithium) == 56
    assert lithium.get_all_distances(mic=True)[np.triu_indices(56, 1)].min() > 2.3
    assert sum(kind["n_sites"] for kind in atoms.info["occupancies"]) == 120


def test_more_than_fit_are_refused_with_the_pair():
    """72 Li would fill every tetrahedral and octahedral site, and neighbours of both kinds are 1.61 Å apart."""
    charges = {**GARNET_CHARGES, "Zr": 3}
    with pytest.raises(ValueError, match=r"closer than they can be, such as Li on .* Å apart .*min_distances"):
        ordering.order(garnet(0.6, 0.6), charges, n_samples=1)
    (crowded,) = ordering.order(garnet(0.6, 0.6), charges, n_samples=1, min_distances={"Li-Li": 0.5})
    assert crowded.get_chemical_symbols().count("Li") == 72


def test_two_atoms_at_one_place_are_refused():
    both = Structure(Lattice.cubic(4.0), ["Li", "F"], [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"sites Li and F are 0\.00 Å apart"):
        ordering.order(both)


def test_full_sites_that_lie_in_each_other_are_refused():
    cell = Structure(
        Lattice.cubic(5), ["Li", "Li", {"F": 0.5}, {"Cl": 0.5}], np.diag([0, 0.3, 0.5, 0]) @ np.ones((4, 3))
    )
    cell = Structure(cell.lattice, ["Li", "Li", "F"], [[0, 0, 0], [0.3, 0, 0], [0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match=r"fully occupied sites Li and Li are 1\.50 Å apart"):
        ordering.order(cell)


def argyrodite(mixing):
    """Li₆PS₅Cl, a share of sulphur and chlorine exchanged."""
    return Structure.from_spacegroup(
        "F-43m",
        Lattice.cubic(9.86),
        [{"Li": 0.5}, "P", "S", {"S": 1 - mixing, "Cl": mixing}, {"S": mixing, "Cl": 1 - mixing}],
        [[0.183, 0.183, 0.024], [0, 0, 0.5], [0.1195, 0.1195, 0.6195], [0.25, 0.25, 0.25], [0, 0, 0]],
    )


ARGYRODITE_CHARGES = {"Li": 1, "P": 5, "S": -2, "Cl": -1}


def test_mixing_is_kept_in_the_smallest_cell_that_holds_it():
    (atoms,) = ordering.order(argyrodite(0.1), ARGYRODITE_CHARGES, n_samples=1)
    info = atoms.info
    assert np.linalg.det(info["supercell"]) == pytest.approx(2)
    assert atoms.get_chemical_formula() == "Cl8Li48P8S40"
    filled = {kind["site"]: kind["filled"] for kind in info["occupancies"]}
    assert filled["S 0.90 + Cl 0.10"] == {"S": 0.875, "Cl": 0.125}
    assert filled["S 0.10 + Cl 0.90"] == {"S": 0.125, "Cl": 0.875}
    assert info["warnings"] == []


@pytest.mark.parametrize(("options", "mixing"), [({"supercell": (1, 1, 1)}, 0.1), ({"max_atoms": 60}, 0.1), ({}, 0.02)])
def test_mixing_that_vanishes_is_told_with_the_cell_that_holds_it(options, mixing):
    (atoms,) = ordering.order(argyrodite(mixing), ARGYRODITE_CHARGES, n_samples=1, **options)
    assert len(atoms) == 52
    assert len(atoms.info["warnings"]) == 2
    multiple = {0.1: 2, 0.02: 7}[mixing]
    (said, _) = atoms.info["warnings"]
    assert f"filled with 4 S: this cell cannot hold their shares, a supercell (1, 1, {multiple})" in said
    assert f"of {52 * multiple} atoms can" in said


def test_sites_of_vacancies_share_unless_told_otherwise(disordered):
    """The two lithium sites of β-Li₃PS₄ are one pool, so that nothing is missing; each by itself cannot have 0.7."""
    assert ordering.order(disordered, CHARGES)[0].info["warnings"] == []
    kinds = ordering.order(disordered, CHARGES, rank_by="occupancy")[0].info["occupancies"]
    assert [(kind["site"], kind["filled"]) for kind in kinds] == [
        ("Li3 (Li 0.30)", {"Li": 0.0}),
        ("Li2 (Li 0.70)", {"Li": 1.0}),
    ]


def test_full_order_needs_no_charges():
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (atoms,) = ordering.order(salt)
    assert atoms.get_chemical_formula() == "Cl4Na4"
    assert atoms.info["ewald_energy_eV"] is None
    salt.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    assert ordering.order(salt, {"Na": 1, "Cl": -1})[0].info["ewald_energy_eV"] < 0


def test_one_vacancy_of_many_needs_a_larger_cell():
    """One pair in sixteen of a salt is missing."""
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), [{"Na": 0.9375}, {"Cl": 0.9375}], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    (atoms,) = ordering.order(salt, {"Na": 1, "Cl": -1}, n_samples=1)
    assert round(np.linalg.det(atoms.info["supercell"])) == 2
    assert atoms.get_chemical_formula() == "Cl7Na7"
    (small,) = ordering.order(salt, {"Na": 1, "Cl": -1}, supercell=(1, 1, 1))
    assert small.get_chemical_formula() == "Cl4Na4"
    assert any("a supercell (1, 1, 2) of 15 atoms can" in said for said in small.info["warnings"])


@pytest.mark.parametrize(("name", "share"), [("li7la3zr2o12", 2), ("na3ps4", 2), ("li6ps5cl", 4), ("beta-li3ps4", 1)])
def test_primitive_cell_holds_the_same_crystal(name, share):
    crystal = read_cif(CRYSTALS / f"{name}.cif", check_formula=False)
    primitive = ordering.primitive_cell(crystal)
    assert len(primitive) * share == len(crystal)
    assert primitive.density == pytest.approx(crystal.density)
    assert {site.label for site in primitive} == {site.label for site in crystal}
    # Its lattice is the given one's, not turned, so that the sites are some of those of the whole crystal.
    found = crystal.lattice.get_fractional_coords(primitive.cart_coords)
    distances = crystal.lattice.get_all_distances(found, crystal.frac_coords)
    assert distances.min(axis=1).max() < 1e-3
    nearest = distances.argmin(axis=1)
    assert all(crystal[int(k)].species == site.species for k, site in zip(nearest, primitive, strict=True))


def test_primitive_cell_is_filled():
    crystal = read_cif(CRYSTALS / "li7la3zr2o12.cif", check_formula=False)
    (atoms,) = ordering.order(crystal, {"Li": 1, "La": 3, "Zr": 4, "O": -2}, primitive=True, n_samples=2)
    assert atoms.get_chemical_formula() == "La12Li28O48Zr8"
    multiples = np.array(atoms.info["supercell"])
    assert np.linalg.det(multiples) == pytest.approx(0.5)
    assert multiples @ crystal.lattice.matrix == pytest.approx(atoms.cell.array, abs=1e-4)


@pytest.mark.parametrize("rank_by", ordering.RANKINGS)
def test_an_odd_number_of_pairs_of_sites_that_exclude_each_other(rank_by):
    """Half of 27 is 13 or 14; as many of both elements as that do not fit into 27 places."""
    half_filled = [{element: 0.5} for _ in range(27) for element in ("Li", "F")]
    corners = np.array(list(itertools.product(range(3), repeat=3))) / 3
    positions = np.stack([corners, corners + np.array([0.04, 0, 0])], axis=1).reshape(-1, 3)
    crystal = Structure(Lattice.cubic(10), half_filled, positions)
    found = ordering.order(crystal, {"Li": 1, "F": -1}, rank_by=rank_by, n_samples=3)[0]
    assert found.get_chemical_formula() == "F13Li13"
    assert found.get_all_distances(mic=True)[np.triu_indices(26, 1)].min() > 2.5
