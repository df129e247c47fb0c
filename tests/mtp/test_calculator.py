"""The ASE calculator."""

import numpy as np
import pytest
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.calculator import MTPCalculator


def test_forces_and_stress_by_finite_differences(make_potential, make_atoms, species):
    atoms = make_atoms(7)
    atoms.calc = MTPCalculator(make_potential(8), species)
    scale = np.abs(atoms.get_forces()).max()
    numeric = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 3])
    np.testing.assert_allclose(atoms.get_forces()[[0, 3]], numeric, atol=1e-5 * scale)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-5 * np.abs(stress).max())
    assert atoms.get_potential_energies().sum() == pytest.approx(atoms.get_potential_energy())


def test_molecule_has_no_stress(make_potential, make_atoms, species):
    atoms = make_atoms(4)
    atoms.pbc = False
    atoms.calc = MTPCalculator(make_potential(4), species)
    assert np.isfinite(atoms.get_potential_energy())
    assert "stress" not in atoms.calc.results


def test_refusals(make_potential, make_atoms, species):
    with pytest.raises(ValueError, match="trained first"):
        MTPCalculator(untrained(4, 3), species)
    with pytest.raises(ValueError, match="3 species, got Li, P"):
        MTPCalculator(make_potential(4), ["Li", "P"])
    atoms = make_atoms(4)
    atoms.calc = MTPCalculator(make_potential(4), ["Li", "P", "Se"])
    with pytest.raises(ValueError, match="species S not among"):
        atoms.get_potential_energy()
