"""Potentials that LAMMPS runs as calculators."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.io import read

from aiida_lpsgb.labelling.potentials import mtp, pair_style

LINES = ["pair_style lj/cut 9", "pair_coeff 1 1 0.0104 3.40", "pair_coeff 2 2 0.004 2.8", "pair_coeff 1 2 0.006 3.1"]


def mixed(size=1):
    atoms = bulk("Ar", a=5.2, cubic=True).repeat(size)
    atoms.symbols[::2] = "Ne"
    atoms.set_cell(atoms.cell.array @ [[1, 0.05, 0], [0.02, 1, 0], [0, 0.03, 1]], scale_atoms=True)
    atoms.rattle(0.05, seed=2)
    return atoms


def test_forces_and_stress_are_the_slope_of_the_energy():
    atoms = mixed()
    atoms.calc = pair_style(LINES, ["Ar", "Ne"])
    assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, eps=1e-4), abs=1e-5)
    assert atoms.get_stress() == pytest.approx(calculate_numerical_stress(atoms, eps=1e-5), abs=1e-6)


def test_one_calculator_serves_different_cells():
    shared = pair_style(LINES, ["Ar", "Ne"])
    for size in (2, 1, (1, 1, 2), 1):
        one, other = mixed(size), mixed(size)
        one.calc, other.calc = shared, pair_style(LINES, ["Ar", "Ne"])
        assert one.get_potential_energy() == pytest.approx(other.get_potential_energy(), rel=1e-10)
        assert one.get_stress() == pytest.approx(other.get_stress(), abs=1e-10)


def test_charges():
    """Rock salt's Madelung energy: -1.747565 e²/(4 pi eps0 d) a pair."""
    lines = [
        "pair_style coul/long 9",
        "pair_coeff * *",
        "kspace_style ewald 1e-7",
        "set type 1 charge 1",
        "set type 2 charge -1",
    ]
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.calc = pair_style(lines, ["Na", "Cl"], atom_style="charge")
    assert atoms.get_potential_energy() / 4 == pytest.approx(-1.747565 * 14.399645 / 2.8, rel=1e-5)


def test_a_moment_tensor_potential(data_path):
    atoms = read(data_path / "mtp" / "li3ps4.extxyz", index=0)
    atoms.calc = mtp(str(data_path / "mtp" / "li3ps4_level8.mtp"), ["Li", "P", "S"])
    assert np.isfinite(atoms.get_stress()).all()
    assert atoms.get_forces().sum(axis=0) == pytest.approx(0, abs=1e-8)
