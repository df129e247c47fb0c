"""Errors of predictions: against the closed form, the program's own report, and a bootstrap."""

import numpy as np
import pytest
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import GPa

from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.calculator import MTPCalculator
from aiida_lpsgb.mtp.comparison import ERRORS, compare, ratio, uncertainty_key
from aiida_lpsgb.mtp.errors import evaluate_errors
from aiida_lpsgb.parsers.mlp_output import parse_report


def image(n_atoms, energy=0.0, forces=0.0, stress=None):
    atoms = Atoms(f"Cu{n_atoms}", positions=np.arange(3.0 * n_atoms).reshape(-1, 3), cell=[9, 9, 9], pbc=True)
    given = {} if stress is None else {"stress": full_3x3_to_voigt_6_stress(stress)}
    return with_labels(atoms, energy=energy, forces=np.zeros((n_atoms, 3)) + forces, **given)


def test_closed_form():
    shear = GPa * np.array([[0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    reference = [image(2, stress=np.zeros((3, 3))), image(4, stress=np.zeros((3, 3)))]
    predicted = [image(2, 0.4, [3.0, 4.0, 0.0], shear), image(4, -0.4, 0.0, np.zeros((3, 3)))]
    found = compare(reference, predicted)
    assert (found["n_configurations"], found["n_atoms"], found["n_stresses"]) == (2, 6, 2)
    assert found["energy_mae_ev_atom"] == pytest.approx((0.2 + 0.1) / 2)
    assert found["energy_rmse_ev_atom"] == pytest.approx(np.sqrt((0.04 + 0.01) / 2))
    assert found["forces_mae_ev_angstrom"] == pytest.approx(2 * 5.0 / 6)
    assert found["forces_rmse_ev_angstrom"] == pytest.approx(np.sqrt(2 * 25.0 / 18))
    assert found["forces_max_ev_angstrom"] == pytest.approx(5.0)
    # Both halves of a shear count, as they do in the norm of the tensor.
    assert found["stress_mae_gpa"] == pytest.approx(np.sqrt(18.0) / 2)
    assert found["stress_rmse_gpa"] == pytest.approx(np.sqrt(18.0 / 18))
    assert set(ERRORS) <= set(found)


def test_errors_are_those_of_the_program(generate_images):
    images = generate_images(6, size=9, seed=3)
    mtp = untrained(6, 3, min_distance=1.2, cutoff=4.0, seed=2)
    species = ["Li", "P", "S"]
    predicted = []
    for atoms in images:
        live = atoms.copy()
        live.calc = MTPCalculator(mtp, species)
        predicted.append(
            with_labels(atoms, energy=live.get_potential_energy(), forces=live.get_forces(), stress=live.get_stress())
        )
    reported = parse_report(str(evaluate_errors(mtp, images, species)))
    found = compare(images, predicted)
    assert len(reported) == 11
    for key, value in reported.items():
        assert found[key] == pytest.approx(value, rel=1e-4), key


def test_standard_errors_are_those_of_a_bootstrap():
    rng = np.random.default_rng(5)
    reference, predicted = [], []
    for n_atoms in rng.integers(4, 12, size=60):
        # The forces of a configuration share what is wrong with them.
        forces = rng.normal(size=(n_atoms, 3)) * rng.gamma(2.0, 0.1)
        reference.append(image(int(n_atoms)))
        predicted.append(image(int(n_atoms), energy=rng.normal(), forces=forces))
    found = compare(reference, predicted)
    for error in ("energy_mae_ev_atom", "energy_rmse_ev_atom", "forces_mae_ev_angstrom", "forces_rmse_ev_angstrom"):
        drawn = []
        for _ in range(400):
            places = rng.integers(60, size=60)
            drawn.append(compare([reference[k] for k in places], [predicted[k] for k in places])[error])
        assert found[uncertainty_key(error)] == pytest.approx(np.std(drawn), rel=0.25), error


def test_one_configuration_has_no_standard_error():
    assert ratio(np.array([3.0]), np.array([2.0])) == (1.5, None)
    assert compare([image(2)], [image(2, 1.0)])["energy_rmse_uncertainty_ev_atom"] is None


def test_where_nothing_is_wrong_nothing_is_uncertain():
    found = compare([image(2), image(3)], [image(2), image(3)])
    assert found["forces_rmse_ev_angstrom"] == found["forces_rmse_uncertainty_ev_angstrom"] == 0.0
    assert "stress_rmse_gpa" not in found


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="configuration 1: the prediction is of another one"):
        compare([image(2), image(2)], [image(2), image(3)])
    with pytest.raises(ValueError, match="configuration 0 has no energy and no forces"):
        compare([image(2)], [image(2).copy()])
    with pytest.raises(ValueError, match="no configuration to compare"):
        compare([], [])
    with pytest.raises(ValueError, match="shorter"):
        compare([image(2), image(2)], [image(2)])
