"""Elastic constants and equations of state against closed forms and against energies."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.labelling import labels
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.labelling.potentials import pair_style
from aiida_lpsgb.labelling.relaxation import Plan, relax
from aiida_lpsgb.structures import elasticity
from aiida_lpsgb.structures.strain import apply_strain

EPSILON, SIGMA, CUTOFF = 0.0104, 3.40, 9.0
TIGHT = {"force_tolerance_ev_angstrom": 1e-5, "stress_tolerance_GPa": 1e-5}


def lennard_jones():
    return pair_style([f"pair_style lj/cut {CUTOFF}", f"pair_coeff 1 1 {EPSILON} {SIGMA}"], ["Ar"])


def relaxed(atoms, calculator, cell):
    found = relax(atoms, calculator, Plan(cell=cell, **TIGHT))
    return with_labels(found, **labels.compute(calculator, found))


def measured(atoms, calculator, **deformation):
    rest = relaxed(atoms, calculator, cell=True)
    cells = [relaxed(cell, calculator, cell=False) for cell in elasticity.strained_cells(rest, **deformation)]
    return rest, cells


def pair_sums(constant):
    """Elastic constants (GPa) of fcc Lennard-Jones at rest by lattice sums; C12 = C44 by Cauchy's relation."""
    shifts = np.array(np.meshgrid(*[np.arange(-8, 9)] * 3)).reshape(3, -1).T
    r = shifts @ (constant / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    d = np.linalg.norm(r, axis=1)
    r, d = r[(d > 0) & (d < CUTOFF)], d[(d > 0) & (d < CUTOFF)]
    first = 4 * EPSILON * (-12 * SIGMA**12 / d**13 + 6 * SIGMA**6 / d**7)
    second = 4 * EPSILON * (156 * SIGMA**12 / d**14 - 42 * SIGMA**6 / d**8)
    weight = (second - first / d) / d**2 / (2 * constant**3 / 4) / units.GPa
    return (weight * r[:, 0] ** 4).sum(), (weight * r[:, 0] ** 2 * r[:, 1] ** 2).sum()


def test_lennard_jones_is_the_lattice_sum():
    rest, cells = measured(bulk("Ar", a=5.25, cubic=True), lennard_jones(), strain=0.002, volume_strains=())
    c11, c12 = pair_sums(rest.cell.lengths()[0])
    found = elasticity.elastic_tensor(cells)
    tensor = np.array(found.tensor_GPa)
    assert tensor[0, 0] == pytest.approx(c11, rel=2e-3)
    assert tensor[0, 1] == pytest.approx(c12, rel=2e-3)
    assert tensor[3, 3] == pytest.approx(c12, rel=2e-3)
    assert tensor[:3, 3:] == pytest.approx(0, abs=1e-4)
    assert found.bulk_modulus_GPa == pytest.approx((c11 + 2 * c12) / 3, rel=2e-3)
    assert found.shear_modulus_voigt_GPa == pytest.approx((c11 - c12 + 3 * c12) / 5, rel=2e-3)
    assert found.stable
    assert elasticity.equation_of_state(cells) is None


def test_a_rotated_crystal_has_the_same_moduli_and_eigenvalues():
    """With another tensor: the constants follow the axes of the lattice."""
    crystal = bulk("Cu", a=3.6)
    turned = crystal.copy()
    turned.rotate(25, (1, 2, 3), rotate_cell=True)
    found = [elasticity.elastic_tensor(measured(a, EMT(), volume_strains=())[1]) for a in (crystal, turned)]
    assert np.abs(np.array(found[0].tensor_GPa) - found[1].tensor_GPa).max() > 5
    assert found[0].bulk_modulus_GPa == pytest.approx(found[1].bulk_modulus_GPa, rel=1e-3)
    assert found[0].shear_modulus_GPa == pytest.approx(found[1].shear_modulus_GPa, rel=2e-3)
    assert found[0].eigenvalues_GPa == pytest.approx(found[1].eigenvalues_GPa, rel=5e-3)


def test_constants_are_the_curvature_of_the_energy():
    """Of a crystal whose ions move: hcp, whose C13 and C66 change where they are let go."""
    rest, cells = measured(bulk("Cu", "hcp", a=2.56, c=4.18), EMT(), volume_strains=())
    tensor = np.array(elasticity.elastic_tensor(cells).tensor_GPa)

    def energy(strain):
        return relaxed(apply_strain(rest, strain), EMT(), cell=False).get_potential_energy()

    h = 0.004
    for voigt in ([1, 0, 0], [1, -1, 0]):
        curvature = (energy(h * np.diag(voigt)) + energy(-h * np.diag(voigt)) - 2 * rest.get_potential_energy()) / h**2
        expected = voigt @ tensor[:3, :3] @ voigt
        assert curvature / rest.get_volume() / units.GPa == pytest.approx(expected, rel=0.01)


def test_the_equation_of_state_agrees_with_the_constants():
    rest, cells = measured(bulk("Cu", a=3.6), EMT())
    state, constants = elasticity.equation_of_state(cells, rest), elasticity.elastic_tensor(cells)
    assert state.bulk_modulus_GPa == pytest.approx(constants.bulk_modulus_voigt_GPa, rel=5e-3)
    assert state.volume_A3_per_atom == pytest.approx(rest.get_volume(), rel=1e-4)
    assert len(state.volumes_A3_per_atom) == 7
    assert state.residual_mev_atom < 0.01


def test_an_unstable_crystal_is_told():
    """Body-centred Lennard-Jones falls to a shear."""
    calculator = lennard_jones()
    rest = bulk("Ar", "bcc", a=4.1, cubic=True)
    cells = [with_labels(cell, **labels.compute(calculator, cell)) for cell in elasticity.strained_cells(rest)]
    found = elasticity.elastic_tensor(cells)
    assert not found.stable
    assert min(found.eigenvalues_GPa) < 0


def test_density():
    found = elasticity.lattice(bulk("Cu", a=3.61, cubic=True))
    assert found["density_g_cm3"] == pytest.approx(8.97, abs=0.01)
    assert found["angles_deg"] == pytest.approx([90, 90, 90])


@pytest.mark.parametrize(
    ("deformation", "message"),
    [
        ({"strain": 0}, "strain is 0, expected a small number"),
        ({"strain": 0.5}, "strain is 0.5"),
        ({"volume_strains": [0.1]}, "expected at least 4 different"),
        ({"volume_strains": [-2, -1, 0, 1]}, "expected at least 4 different"),
    ],
)
def test_bad_deformations(deformation, message):
    with pytest.raises(ValueError, match=message):
        elasticity.strained_cells(bulk("Cu"), **deformation)


def test_a_missing_cell_is_named():
    cells = [with_labels(cell, energy=0.0, stress=np.zeros(6)) for cell in elasticity.strained_cells(bulk("Cu"))]
    with pytest.raises(ValueError, match="both ways along xx"):
        elasticity.elastic_tensor(cells[1:])
