"""Derivatives with respect to coefficients, and fits."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.mtp import _core, _training
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import labels, types_of
from aiida_lpsgb.mtp.errors import evaluate_errors
from aiida_lpsgb.mtp.training import Prior, Weights, balanced, train
from aiida_lpsgb.mtp.training import training_set as make_training_set


def training_set(mtp, images, species, kernel="", weights=None):
    data = _training.TrainingSet(mtp.to_string(), kernel)
    for atoms in images:
        targets, row_weights = (weights or Weights()).targets(atoms)
        data.add(types_of(atoms, species), atoms.positions, atoms.cell.array, atoms.pbc, targets, row_weights)
    return data


@pytest.fixture(params=[4, 8, 10, 14])
def case(request, make_potential, make_labelled, species):
    mtp = make_potential(request.param, seed=3, radial_basis_size=5)
    images = make_labelled(make_potential(6, seed=1), 3, seed=request.param)
    return mtp, images, training_set(mtp, images, species)


def test_predictions_are_those_of_the_engine(case, species):
    mtp, images, data = case
    for index, atoms in enumerate(images):
        found = Engine(mtp, species).evaluate(atoms)
        values = data.predict(index, mtp.parameters)
        expected = [found["energy"], *found["forces"].ravel(), *(-atoms.get_volume() * found["stress"])]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_derivatives_by_finite_differences(case):
    """The seven-point rule is exact for polynomials of the sixth degree; a prediction is one of the fourth."""
    mtp, _, data = case
    parameters, jacobian = mtp.parameters, data.jacobian(1, mtp.parameters)
    for k in np.random.default_rng(0).choice(len(parameters), 25, replace=False):
        step, numeric = 0.05 * np.eye(len(parameters))[k], 0.0
        for n, weight in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60)):
            change = data.predict(1, parameters + n * step) - data.predict(1, parameters - n * step)
            numeric = numeric + weight * change / step[k]
        np.testing.assert_allclose(jacobian[:, k], numeric, rtol=0, atol=1e-10 * max(np.abs(numeric).max(), 1.0))


def test_derivatives_agree_with_motep(case, species, tmp_path):
    motep = pytest.importorskip("motep.calculator")
    from motep.io.mlip.mtp import read_mtp

    mtp, images, data = case
    mtp.write(tmp_path / "p.mtp")
    form = read_mtp(tmp_path / "p.mtp")
    form.species = np.arange(3)
    atoms = images[0].copy()
    atoms.numbers = types_of(atoms, species)
    calculator = motep.MTP(form, engine="cext", mode="train")
    calculator.calculate(atoms)
    jacobian, engine, n = data.jacobian(0, mtp.parameters), calculator.engine, mtp.n_radial_parameters
    moments = slice(n + 3, None)
    energy, forces = engine.jac_energy(atoms), engine.jac_forces(atoms)
    scale = np.abs(jacobian[1:-6]).max()
    np.testing.assert_allclose(jacobian[0, :n], energy.radial_coeffs.ravel(), atol=1e-9 * np.abs(jacobian[0]).max())
    np.testing.assert_allclose(jacobian[0, moments], energy.moment_coeffs, rtol=1e-9)
    np.testing.assert_allclose(jacobian[0, n : n + 3], energy.species_coeffs)
    theirs = forces.radial_coeffs.reshape(n, -1).T
    np.testing.assert_allclose(jacobian[1:-6, :n], theirs, atol=1e-9 * scale)
    theirs = forces.moment_coeffs.reshape(len(mtp.moment_mapping), -1).T
    np.testing.assert_allclose(jacobian[1:-6, moments], theirs, atol=1e-9 * scale)


def test_energy_derivatives_are_the_rows_of_the_engine(case, species):
    mtp, images, data = case
    rows = Engine(mtp, species).rows(images[2])
    jacobian = data.jacobian(2, mtp.parameters)
    np.testing.assert_allclose(jacobian[0], rows.sum(axis=0), atol=1e-10 * np.abs(rows).max())


@pytest.mark.parametrize("kernel", _core.available_kernels())
def test_normal_equations(case, species, kernel):
    mtp, images, _ = case
    data = training_set(mtp, images, species, kernel)
    matrix, gradient, loss = data.normal_equations(mtp.parameters, 1)
    expected = np.zeros_like(matrix), np.zeros_like(gradient), 0.0
    for index, atoms in enumerate(images):
        targets, weights = Weights().targets(atoms)
        jacobian = data.jacobian(index, mtp.parameters)
        residual = data.predict(index, mtp.parameters) - targets
        new = jacobian.T @ (weights[:, None] * jacobian), jacobian.T @ (weights * residual), weights @ residual**2
        expected = tuple(a + b for a, b in zip(expected, new, strict=True))
    np.testing.assert_allclose(matrix, expected[0], atol=1e-12 * np.abs(matrix).max())
    np.testing.assert_allclose(gradient, expected[1], atol=1e-11 * np.abs(gradient).max())
    assert loss == pytest.approx(expected[2], rel=1e-12)
    n, linear = mtp.n_radial_parameters, data.linear_equations(mtp.parameters, 1)
    np.testing.assert_allclose(linear[0], matrix[n:, n:], rtol=0, atol=1e-12 * np.abs(matrix[n:, n:]).max())
    np.testing.assert_allclose(linear[1], gradient[n:], rtol=0, atol=1e-12 * np.abs(gradient[n:]).max())
    assert linear[2] == pytest.approx(loss, rel=1e-12)


def test_threads_change_rounding_only(make_potential, make_labelled, species):
    mtp = make_potential(8)
    data = training_set(mtp, make_labelled(mtp, 7, seed=5), species)
    parameters = 1.1 * mtp.parameters
    one, two = (data.normal_equations(parameters, threads)[0] for threads in (1, 2))
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-13 * np.abs(one).max())
    np.testing.assert_array_equal(two, data.normal_equations(parameters, 2)[0])
    one, many = (data.linear_equations(parameters, threads)[2] for threads in (1, 50))
    assert many == pytest.approx(one)


def test_weights_follow_mlip2(make_labelled, make_potential):
    (atoms,) = make_labelled(make_potential(), 1)
    known, n = labels(atoms), len(atoms)
    targets, weights = Weights(2.0, 0.3, 0.05).targets(atoms)
    np.testing.assert_array_equal(targets[1:-6], known["forces"].ravel())
    assert weights[0] == 2.0 / n
    np.testing.assert_array_equal(weights[1:-6], 0.3)
    # The loss of a stress is the Frobenius norm of V sigma in eV, by atom.
    virial = atoms.get_volume() * atoms.get_stress(voigt=False)
    assert weights[-6:] @ targets[-6:] ** 2 == pytest.approx(0.05 / n * np.sum(virial**2))
    assert Weights(2.0, weighting="molecules").targets(atoms)[1][0] == 2.0
    assert Weights(2.0, weighting="structures").targets(atoms)[1][0] == 2.0 / n**2
    assert Weights(weighting="structures").targets(atoms)[1][1] == 0.01 / n
    scaled = Weights(scale_by_force=0.5).targets(atoms)[1]
    assert scaled[1] == pytest.approx(0.01 * 0.5 / (np.sum(known["forces"][0] ** 2) + 0.5))


def test_missing_labels_do_not_count(make_labelled, make_potential, species):
    mtp = make_potential()
    first, second = make_labelled(mtp, 2)
    first.calc = SinglePointCalculator(first, energy=3.0)
    weights = Weights().targets(first)[1]
    assert np.count_nonzero(weights) == 1
    second.calc = None
    with pytest.raises(ValueError, match="no configuration has"):
        train(mtp, [second], species)
    assert train(mtp, [first, second], species, max_iter=2).loss >= 0


def test_known_potential_is_found_again(make_potential, make_labelled, species):
    """From a distorted potential the fit returns to the one that made the labels."""
    mtp = make_potential(6, seed=2)
    images = make_labelled(mtp, 30, seed=1)
    start = mtp.with_parameters(mtp.parameters * np.random.default_rng(0).uniform(0.9, 1.1, mtp.n_parameters))
    result = train(start, images, species, regularisation=0.0, max_iter=300, tolerance=1e-2)
    assert result.loss < 1e-12 * result.loss_history[0]
    fresh = make_labelled(mtp, 3, seed=2)
    assert evaluate_errors(result.mtp, fresh, species).forces.maximum < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_potential_is_found_from_nothing(make_potential, make_labelled, species, seed):
    """The least loss is known, 0, where the labels come from a potential of the same form."""
    mtp = make_potential(4, seed=2)
    images = make_labelled(mtp, 20, seed=1)
    result = train(untrained(4, 3, 1.4), images, species, seed=seed, starts=4, max_iter=60)
    assert result.loss < 1e-12 * np.mean([np.sum(atoms.get_forces() ** 2) for atoms in images])
    assert evaluate_errors(result.mtp, make_labelled(mtp, 3, seed=2), species).forces.maximum < 1e-3


@pytest.mark.parametrize("regularisation", [0.0, 1e-2])
def test_linear_coefficients_are_at_their_optimum(make_potential, make_labelled, species, regularisation):
    """No change of moment and species coefficients lowers the loss, after every iteration."""
    mtp = make_potential(6, seed=4)
    images, found = make_labelled(make_potential(8, seed=2), 12), []
    data, count = make_training_set(mtp, images, species, Weights())
    train(
        mtp,
        images,
        species,
        regularisation=regularisation,
        max_iter=4,
        progress=lambda iteration, loss, current: found.append((loss, current.parameters)),
    )
    n, rng = mtp.n_radial_parameters, np.random.default_rng(0)

    def loss_at(parameters):
        return data.linear_equations(parameters)[2] / count + regularisation * parameters @ parameters

    for loss, parameters in found[1:]:
        assert loss_at(parameters) == pytest.approx(loss, rel=1e-9)
        for size in (1e-4, 1e-2):
            change = np.zeros_like(parameters)
            change[n:] = size * rng.normal(size=len(parameters) - n) * np.abs(parameters[n:])
            assert loss_at(parameters + change) > loss
            assert loss_at(parameters + change) == pytest.approx(loss_at(parameters - change), rel=1e-5)


@pytest.mark.parametrize("init", ["same", "random"])
def test_functions_of_pairs_that_hardly_meet_do_not_grow(make_potential, make_atoms, species, init):
    """Atoms of one species are images of each other here, a little within the cut-off, and change the loss little."""
    engine, images = Engine(make_potential(8, seed=2), species), []
    for seed in range(20):
        atoms = make_atoms(3, [1, seed], n_cell=4.9)
        found = engine.evaluate(atoms)
        found.pop("energies")
        atoms.calc = SinglePointCalculator(atoms, **found)
        images.append(atoms)
    mtp = train(untrained(6, 3, 1.4), images, species, init=init, starts=1, max_iter=15).mtp
    sizes = np.sqrt(np.mean(mtp.radial_coefficients**2, axis=(2, 3)))
    assert np.diag(sizes).max() < 3 * np.median(sizes[~np.eye(3, dtype=bool)])


def test_random_start_learns(make_potential, make_labelled, species):
    images = make_labelled(make_potential(4, seed=2), 25, seed=1)
    seen = []
    result = train(
        untrained(6, 3, 1.4, radial_basis_size=5),
        images,
        species,
        seed=5,
        starts=1,
        max_iter=40,
        progress=lambda iteration, loss, mtp: seen.append((iteration, loss, mtp.trained)),
    )
    assert result.loss < 0.05 * result.loss_history[0]
    assert all(b <= a for a, b in zip(result.loss_history, result.loss_history[1:], strict=False))
    assert seen == [(i, loss, True) for i, loss in enumerate(result.loss_history)]


def test_of_several_starts_the_best_goes_on(make_potential, make_labelled, species):
    images = make_labelled(make_potential(8, seed=2), 20, seed=1)
    mtp = untrained(6, 3, 1.4, radial_basis_size=4)
    alone = [train(mtp, images, species, seed=seed, starts=1, max_iter=40).loss for seed in range(5)]
    raced = [train(mtp, images, species, seed=seed, starts=6, max_iter=40).loss for seed in range(2)]
    assert max(alone) > 1.05 * min(alone)  # there are several minima
    assert max(raced) < np.median(alone)


def test_trained_potentials_have_one_start(make_potential, make_labelled, species):
    images = make_labelled(make_potential(4, seed=2), 6, seed=1)
    start = make_potential(4, seed=3)
    one, many = (train(start, images, species, starts=starts, max_iter=3) for starts in (1, 8))
    assert one.loss_history == many.loss_history


@pytest.mark.parametrize("init", ["same", "random"])
def test_kinds_of_starts(make_potential, make_labelled, species, init):
    images = make_labelled(make_potential(4, seed=2), 6, seed=1)
    mtp = train(untrained(4, 3, 1.4), images, species, init=init, starts=1, max_iter=0).mtp
    radial = mtp.radial_coefficients
    assert np.allclose(radial, radial[:1, :1]) == (init == "same")


def test_reproducible_for_a_seed(make_potential, make_labelled, species):
    images = make_labelled(make_potential(4, seed=2), 6, seed=1)
    runs = [train(untrained(4, 3, 1.4), images, species, seed=seed, max_iter=5).mtp for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_limit_on_iterations(make_potential, make_labelled, species):
    images = make_labelled(make_potential(8, seed=2), 20)
    result = train(untrained(4, 3, 1.4), images, species, max_iter=3)
    assert not result.converged
    assert len(result.loss_history) == 4
    assert result.mtp.trained
    assert len(train(untrained(4, 3, 1.4), images, species, max_iter=0).loss_history) == 1


def test_image_weights(make_potential, make_labelled, species):
    mtp = make_potential(4, seed=2)
    good, bad = make_labelled(mtp, 4), make_labelled(make_potential(4, seed=9), 4, seed=9)
    start = mtp.with_parameters(1.02 * mtp.parameters)
    settings = {"image_weights": [1] * 4 + [0] * 4, "regularisation": 0.0, "max_iter": 60, "tolerance": 1e-9}
    result = train(start, [*good, *bad], species, **settings)
    assert evaluate_errors(result.mtp, good, species).forces.rmse < 1e-4
    with pytest.raises(ValueError, match="image_weights"):
        train(start, good, species, image_weights=[1, 1, 1])


def test_regularisation_is_the_square_of_the_coefficients(make_potential, make_labelled, species):
    images = make_labelled(make_potential(4, seed=2), 12)
    start = make_potential(4, seed=3)
    bound, strong = (train(start, images, species, regularisation=x, max_iter=40) for x in (1e-2, 1.0))
    free = train(bound.mtp, images, species, max_iter=40)
    penalty = 1e-2 * np.sum(bound.mtp.parameters**2)
    assert bound.loss == pytest.approx(
        train(bound.mtp, images, species, regularisation=0.0, max_iter=0).loss + penalty, rel=1e-6
    )
    assert bound.loss - penalty > free.loss
    assert np.linalg.norm(strong.mtp.parameters) < 0.9 * np.linalg.norm(bound.mtp.parameters)
    with pytest.raises(ValueError, match="regularisation should be finite"):
        train(start, images, species, regularisation=-1)


class TestPrior:
    """Labels of a cheap level, and few of another that is like it."""

    @pytest.fixture(scope="class")
    def cheap(self, make_potential, make_labelled, species):
        images = make_labelled(make_potential(4, seed=2), 30)
        return train(untrained(4, 3, 1.4), images, species, starts=2, max_iter=30).mtp, images

    @pytest.fixture(scope="class")
    def dear(self, make_potential):
        """The cheap level's potential with other moment coefficients and energies of the species."""
        mtp, rng = make_potential(4, seed=2), np.random.default_rng(5)
        parameters, first = mtp.parameters, mtp.n_radial_parameters
        parameters[first : first + 3] += (3.0, -2.0, 1.0)
        parameters[first + 3 :] *= 1 + 0.1 * rng.normal(size=len(parameters) - first - 3)
        return mtp.with_parameters(parameters)

    def test_few_labels_are_enough(self, cheap, dear, make_labelled, species):
        few, fresh = make_labelled(dear, 5, seed=7), make_labelled(dear, 20, seed=8)
        errors = {
            name: evaluate_errors(mtp, fresh, species).forces.rmse
            for name, mtp in {
                "alone": train(untrained(4, 3, 1.4), few, species, regularisation=1e-4, max_iter=30).mtp,
                "cheap": cheap[0],
                "prior": train(untrained(4, 3, 1.4), few, species, prior=Prior(*cheap), max_iter=30).mtp,
                "many": train(cheap[0], make_labelled(dear, 30, seed=9), species, max_iter=30).mtp,
            }.items()
        }
        assert errors["many"] < errors["prior"] < errors["cheap"]
        assert errors["prior"] < 0.5 * errors["alone"]

    def test_the_loss_is_that_of_the_labels_and_the_prior(self, cheap, dear, make_labelled, species):
        """A quadratic form with the curvature of the loss of the cheap labels, about shifted coefficients."""
        few = make_labelled(dear, 3, seed=7)
        centre = train(untrained(4, 3, 1.4), few, species, prior=Prior(*cheap), max_iter=0).mtp.parameters
        data, count = make_training_set(cheap[0], cheap[1], species, Weights())
        curvature = data.normal_equations(cheap[0].parameters)[0] / count
        own, _ = make_training_set(cheap[0], few, species, Weights())

        def loss_at(parameters):
            away = parameters - centre
            return (own.linear_equations(parameters)[2] + 2.0 * away @ curvature @ away) / len(few)

        found = []
        train(
            untrained(4, 3, 1.4),
            few,
            species,
            prior=Prior(*cheap, weight=2.0),
            max_iter=10,
            progress=lambda _, loss, mtp: found.append((loss, mtp.parameters)),
        )
        assert found[-1][0] == pytest.approx(loss_at(found[-1][1]), rel=1e-9)
        assert found[-1][0] < found[0][0]

    def test_energies_of_the_species_are_shifted(self, cheap, make_atoms, species):
        engine, images = Engine(cheap[0], species), []
        for n in (5, 6, 7, 8):  # of three compositions
            images.append(make_atoms(n, seed=n))
            energy = engine.evaluate(images[-1])["energy"] + np.dot(
                (5, 2, -1), np.bincount(types_of(images[-1], species))
            )
            images[-1].calc = SinglePointCalculator(images[-1], energy=energy)
        start = train(untrained(4, 3, 1.4), images, species, prior=Prior(*cheap), max_iter=0).mtp
        np.testing.assert_allclose(start.species_coefficients - cheap[0].species_coefficients, (5, 2, -1), atol=1e-8)

    def test_bad_input(self, cheap, make_labelled, make_potential, species):
        images = make_labelled(make_potential(6), 2)
        with pytest.raises(ValueError, match=r"its cutoff is 5\.0, and 6\.0 of the one that is trained"):
            train(untrained(4, 3, 1.4, cutoff=6.0), images, species, prior=Prior(*cheap))
        with pytest.raises(ValueError, match="its n_parameters is"):
            train(untrained(6, 3, 1.4), images, species, prior=Prior(*cheap))
        with pytest.raises(ValueError, match="a prior or a regularisation"):
            train(untrained(4, 3, 1.4), images, species, prior=Prior(*cheap), regularisation=1e-4)
        with pytest.raises(ValueError, match="must be trained first"):
            Prior(untrained(4, 3, 1.4), images)
        with pytest.raises(ValueError, match="positive number of configurations, got 0"):
            Prior(*cheap, weight=0)


def test_fixed_composition_keeps_the_species_coefficients_small(make_potential, make_atoms, species):
    """They are not determined one by one then, and must not drift apart."""
    images = [make_atoms(6, seed) for seed in range(12)]
    for index, atoms in enumerate(images):
        atoms.calc = SinglePointCalculator(atoms, energy=-24.0 + 0.01 * index, forces=np.zeros((6, 3)))
    result = train(untrained(4, 3, 1.4), images, species, max_iter=30)
    np.testing.assert_allclose(result.mtp.species_coefficients, result.mtp.species_coefficients[0], rtol=1e-3)
    assert np.abs(result.mtp.species_coefficients).max() < 6.0


def test_balancing_leaves_the_energy(make_potential, make_labelled, species):
    mtp = make_potential(10)
    images = make_labelled(mtp, 2)
    other = balanced(mtp)
    norms = np.sqrt(np.sum(other.radial_coefficients**2, axis=(0, 1, 3)))
    np.testing.assert_allclose(norms, norms[0])
    report = evaluate_errors(other, images, species)
    scale = max(np.abs(image.get_forces()).max() for image in images)
    assert report.forces.maximum < 1e-9 * scale


def test_bad_starts(make_potential, make_labelled, species):
    images = make_labelled(make_potential(4), 2)
    with pytest.raises(ValueError, match="starts should be positive, got 0"):
        train(untrained(4, 3, 1.4), images, species, starts=0)
    with pytest.raises(ValueError, match="init should be one of same, random, got 'other'"):
        train(untrained(4, 3, 1.4), images, species, init="other")


def test_bad_input(make_potential, make_labelled, species):
    mtp = make_potential(4)
    images = make_labelled(mtp, 2)
    with pytest.raises(ValueError, match="no configuration to train on"):
        train(mtp, [], species)
    with pytest.raises(ValueError, match="3 species, got Li, P"):
        train(mtp, images, ["Li", "P"])
    with pytest.raises(ValueError, match="configuration 2: species Na"):
        train(mtp, [*images, Atoms("Na")], species)
    with pytest.raises(ValueError, match="RBTaylor"):
        train(replace(mtp, radial_basis_type="RBTaylor"), images, species)
    broken = images[1].copy()
    broken.calc = SinglePointCalculator(broken, forces=np.full((len(broken), 3), 1e9))
    with pytest.raises(ValueError, match="configuration 1: a force of 1e\\+09"):
        train(mtp, [images[0], broken], species)
    close = Atoms("Li2", [[0, 0, 0], [0, 0, 1e-5]])
    close.calc = SinglePointCalculator(close, energy=1.0)
    with pytest.raises(ValueError, match="configuration 0: two atoms are"):
        train(mtp, [close], species)
    with pytest.raises(ValueError, match="weight force"):
        Weights(force=-1)
    with pytest.raises(ValueError, match="weighting should be one of"):
        Weights(weighting="atoms")
