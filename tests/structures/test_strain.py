import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read

from aiida_lpsgb.structures import strain


def test_isotropic_scales_lengths(lps):
    for e, atoms in zip((-0.05, 0.02), strain.isotropic(lps, (-0.05, 0.02)), strict=True):
        assert atoms.cell.lengths() == pytest.approx((1 + e) * lps.cell.lengths())
        assert np.allclose(atoms.get_scaled_positions(), lps.get_scaled_positions())


def test_shear_keeps_volume_to_first_order_and_is_symmetric():
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    sheared = strain.shear(atoms, (0.03, -0.03))
    assert len(sheared) == 6
    for copy in sheared:
        gradient = (np.linalg.inv(atoms.cell.array) @ copy.cell.array).T - np.eye(3)
        assert np.allclose(gradient, gradient.T)
        assert copy.get_volume() == pytest.approx(atoms.get_volume() * (1 - 0.03**2))


def test_strain_of_a_triclinic_cell_moves_every_vector(lps):
    gradient = np.array([[0.01, 0.02, 0.0], [0.0, -0.01, 0.0], [0.03, 0.0, 0.02]])
    skew = lps.copy()
    skew.set_cell(lps.cell.array @ np.array([[1, 0.1, 0], [0, 1, 0.2], [0, 0, 1]]), scale_atoms=True)
    strained = strain.apply_strain(skew, gradient)
    assert np.allclose(strained.positions, skew.positions @ (np.eye(3) + gradient).T)


def test_rattle_has_the_amplitude_and_the_seed(lps):
    copies = strain.rattle(lps, 0.1, 200, seed=7)
    displacements = np.array([copy.positions - lps.positions for copy in copies])
    assert displacements.std() == pytest.approx(0.1, rel=0.02)
    assert np.array_equal(copies[3].positions, strain.rattle(lps, 0.1, 4, seed=7)[3].positions)
    assert not np.array_equal(copies[0].positions, strain.rattle(lps, 0.1, 1, seed=8)[0].positions)


def test_start_set_counts_and_is_reproducible(lps):
    options = {"strains": (-0.02, 0, 0.02), "shears": (0.02,), "amplitudes": (0, 0.1), "n_rattles": 2}
    images = strain.start_set([lps, lps], seed=1, **options)
    assert len(images) == 2 * (3 + 3) * (1 + 2)
    again = strain.start_set([lps, lps], seed=1, **options)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(images, again, strict=True))
    assert all(atoms.info == {} for atoms in images)


def test_start_set_ends_with_the_approaches(lps):
    images = strain.start_set([lps, lps], seed=1, strains=(0,), amplitudes=(0.1,), approaches=(0.8, 0.6))
    assert len(images) == 2 * (1 + 2)
    closest = [np.unique(atoms.get_all_distances(mic=True))[1] for atoms in images[1:3]]
    of_all = np.unique(lps.get_all_distances(mic=True))[1]
    assert closest == pytest.approx([0.8 * of_all, 0.6 * of_all])
    assert all(atoms.info == {} for atoms in images)


def test_bad_input(lps, cif_path):
    with pytest.raises(ValueError, match="inside out"):
        strain.isotropic(lps, [-1.5])
    with pytest.raises(ValueError, match="'zx'"):
        strain.shear(lps, [0.1], planes=["zx"])
    with pytest.raises(ValueError, match="not be negative"):
        strain.rattle(lps, -0.1, 1, 0)
    with pytest.raises(ValueError, match="start set is empty"):
        strain.start_set([], seed=0)
    with pytest.raises(ValueError, match="structure 0 has partially occupied"):
        strain.start_set([read(cif_path)], seed=0)
    with pytest.raises(ValueError, match="3 x 3"):
        strain.apply_strain(lps, [0.1, 0.1, 0.1])


def test_strain_of_what_has_no_cell():
    """Atoms keep their fractions of the cell: without one they would not move."""
    with pytest.raises(ValueError, match="H2O has no cell of three vectors"):
        strain.isotropic(molecule("H2O"), [0.05])
    with pytest.raises(ValueError, match="strain must be finite"):
        strain.isotropic(bulk("Cu"), [np.nan])
