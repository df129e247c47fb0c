"""Calculators by name, with and without dispersion."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_lpsgb.labelling import calculators

LENNARD_JONES = {
    "calculator": "ase.calculators.lj:LennardJones",
    "keywords": {"sigma": 3.4, "epsilon": 0.01, "rc": 6.0},
}
DISPERSION = {"method": "PBE", "damping": "d3zero"}


@pytest.fixture
def argon():
    atoms = bulk("Ar", cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def calculate(parameters, atoms):
    atoms = atoms.copy()
    atoms.calc = calculators.build(parameters)
    return atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()


def test_dispersion_attracts_and_has_its_own_forces_and_stress(argon):
    pytest.importorskip("dftd3")
    parameters = {**LENNARD_JONES, "dispersion": DISPERSION}
    energy, forces, stress = calculate(parameters, argon)
    bare_energy, bare_forces, bare_stress = calculate(LENNARD_JONES, argon)
    # Solid argon is bound by about 0.08 eV an atom, which dispersion gives.
    assert -0.12 < (energy - bare_energy) / len(argon) < -0.04
    assert stress[:3].sum() > bare_stress[:3].sum()
    step = 1e-3
    shifted = [argon.copy(), argon.copy()]
    for sign, atoms in zip((-1, 1), shifted, strict=True):
        atoms.positions[0, 0] += sign * step
    before, after = (calculate(parameters, atoms)[0] for atoms in shifted)
    assert forces[0, 0] == pytest.approx((before - after) / (2 * step), abs=5e-5)
    assert not np.allclose(forces, bare_forces, atol=1e-3)
    assert calculators.level_of_theory(parameters).endswith(" + d3zero(PBE)")
    assert "dftd3" in calculators.versions(parameters)


@pytest.mark.parametrize(
    ("dispersion", "message"),
    [
        ("d3bj", "expected such as"),
        ({"method": "PBE"}, "expected such as"),
        ({"method": "PBE", "damping": "none"}, "damping is 'none', expected one of d3bj"),
        ({"method": 3, "damping": "d3bj"}, "method is 3, expected the name of a functional"),
    ],
)
def test_bad_dispersion(dispersion, message):
    with pytest.raises(ValueError, match=message):
        calculators.check_dispersion(dispersion)


def test_a_functional_that_has_no_dispersion():
    pytest.importorskip("dftd3")
    with pytest.raises(ValueError, match="d3bj of nonsense"):
        calculators.build({**LENNARD_JONES, "dispersion": {"method": "nonsense", "damping": "d3bj"}})
