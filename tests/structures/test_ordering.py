import itertools
import math

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.io import read
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_lpsgb.structures import ordering
from aiida_lpsgb.structures.cif import read_cif

CHARGES = {"Li": 1, "P": 5, "S": -2}


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
    monkeypatch.setattr(ordering, "ENUMERATION_LIMIT", 0)
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
