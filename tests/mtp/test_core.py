"""The evaluation library through its Python binding, against motep's evaluator and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from motep.calculator import MTP as MotepCalculator
from motep.io.mlip.mtp import read_mtp

from aiida_lpsgb.mtp import _core
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.potential import MTP

KERNELS = _core.available_kernels()


def random_text(level, n_species, seed=0, *, radial_basis_size=8, scaling=1.0, cutoff=5.0):
    """A potential with random coefficients of comparable influence, as .mtp text."""
    rng = np.random.default_rng([level, n_species, seed])
    mtp = untrained(level, n_species, min_distance=1.6, cutoff=cutoff, radial_basis_size=radial_basis_size)
    n_scalars = len(mtp.moment_mapping)
    n_radial = mtp.n_parameters - n_species - n_scalars
    parameters = np.concatenate(
        [rng.uniform(-0.1, 0.1, n_radial), rng.uniform(-5, 5, n_species), rng.uniform(-1, 1, n_scalars)]
    )
    text = mtp.with_parameters(parameters).to_string()
    if scaling != 1.0:
        text = text.replace("species_count", f"scaling = {scaling}\nspecies_count", 1)
    return text


def random_atoms(n_species, seed=0, *, n=10, cell=((6.0, 0.4, -0.3), (0.5, 5.0, 0.2), (-0.6, 0.8, 7.0)), pbc=True):
    """Atoms (atomic number = species) at least 1.5 A from each other and their images."""
    rng = np.random.default_rng([n_species, seed])
    atoms = Atoms(cell=cell, pbc=pbc)
    while len(atoms) < n:
        trial = atoms + Atoms(numbers=[rng.integers(n_species)], scaled_positions=rng.random((1, 3)), cell=cell)
        distances = trial.get_all_distances(mic=True)
        if np.all(distances[np.triu_indices(len(trial), 1)] > 1.5):
            trial.pbc = pbc
            atoms = trial
    return atoms


def evaluate(text, atoms, kernel=""):
    evaluator = _core.Evaluator(_core.Potential(text), kernel)
    return evaluator.evaluate(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)


def with_idle_functions(mtp, n):
    """The potential with so many radial functions more, each with a basic moment that nothing is made of."""
    n_basic = len(mtp.index_basic)
    idle = np.zeros((n, 4), dtype=int)
    idle[:, 0] = mtp.n_radial + np.arange(n)
    times = mtp.index_times.copy()
    times[:, [0, 1, 3]] += n * (times[:, [0, 1, 3]] >= n_basic)
    radial = np.ones((mtp.n_species, mtp.n_species, n, mtp.radial_basis_size))
    return replace(
        mtp,
        n_radial=mtp.n_radial + n,
        index_basic=np.concatenate([mtp.index_basic, idle]),
        index_times=times,
        moment_mapping=mtp.moment_mapping + n * (mtp.moment_mapping >= n_basic),
        n_moments=mtp.n_moments + n,
        radial_coefficients=np.concatenate([mtp.radial_coefficients, radial], axis=2),
    )


def motep_results(text, atoms, path):
    path.write_text(text)
    data = read_mtp(path)
    data.species = np.arange(data.species_count)
    calculator = MotepCalculator(data, engine="cext", mode="run")
    calculator.calculate(atoms)
    return calculator.results


def assert_close(ours, theirs, tolerance=1e-9):
    assert np.max(np.abs(np.asarray(ours) - theirs)) <= tolerance * max(np.max(np.abs(theirs)), 1e-4)


def assert_agrees_with_motep(text, atoms, path, kernel):
    ours, theirs = evaluate(text, atoms, kernel), motep_results(text, atoms, path)
    assert_close(ours["energy"], theirs["energy"])
    assert_close(ours["energies"], theirs["energies"])
    assert_close(ours["forces"], theirs["forces"])
    if "stress" in theirs:
        assert_close(-ours["virial"][[0, 1, 2, 5, 4, 3]] / atoms.get_volume(), theirs["stress"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n_species", [1, 2, 3])
@pytest.mark.parametrize("level", range(2, 22, 2))
def test_agrees_with_motep(level, n_species, kernel, tmp_path):
    text = random_text(level, n_species)
    assert_agrees_with_motep(text, random_atoms(n_species, level), tmp_path / "p.mtp", kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("level", range(2, 30, 2))
def test_another_shape_by_the_general_kernel(level, kernel):
    """Moments of more radial functions, which no energy uses, change nothing but the code that runs."""
    text, atoms = random_text(level, 2), random_atoms(2, level, n=7)
    other = with_idle_functions(MTP.from_string(text), 2).to_string()
    expected, found = evaluate(text, atoms, kernel), evaluate(other, atoms, kernel)
    for name in ("energies", "forces", "virial"):
        assert_close(found[name], expected[name], 1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "atoms",
    [
        pytest.param(
            Atoms(numbers=[1], cell=[2.1, 2.4, 2.2], pbc=True), id="one atom in a cell smaller than the cutoff"
        ),
        pytest.param(random_atoms(2, 1, n=2, cell=((3, 0, 0), (2.5, 2, 0), (1, -2, 4))), id="strongly skewed"),
        pytest.param(random_atoms(2, 2, n=7, pbc=False), id="molecule"),
        pytest.param(random_atoms(2, 3, n=7, pbc=(True, False, True)), id="slab"),
        pytest.param(random_atoms(2, 4, n=60, cell=(12, 11, 10)), id="more atoms than lanes"),
        pytest.param(
            Atoms(numbers=[0, 1], positions=[(0, 0, 0), (0, 0, 40.0)], cell=[9, 9, 80], pbc=True), id="isolated"
        ),
    ],
)
def test_cells(atoms, kernel, tmp_path):
    assert_agrees_with_motep(random_text(10, 2), atoms, tmp_path / "p.mtp", kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "options", [{"radial_basis_size": 1}, {"radial_basis_size": 16}, {"scaling": 0.3}, {"cutoff": 7.0}]
)
def test_radial_functions(options, kernel, tmp_path):
    assert_agrees_with_motep(random_text(8, 2, **options), random_atoms(2, 5), tmp_path / "p.mtp", kernel)


def test_atoms_outside_the_cell_and_shifted_origin():
    text, atoms = random_text(8, 2), random_atoms(2, 6)
    moved = atoms.copy()
    moved.positions += [3.0, -20.0, 0.7]
    moved.positions[2] += 5 * atoms.cell[0] - 3 * atoms.cell[2]
    assert_close(evaluate(text, moved)["forces"], evaluate(text, atoms)["forces"])


def test_cell_vectors_of_directions_without_period_may_be_missing():
    text, atoms = random_text(8, 2), random_atoms(2, 7, n=5, pbc=False)
    bare = Atoms(numbers=atoms.numbers, positions=atoms.positions)
    assert_close(evaluate(text, bare)["forces"], evaluate(text, atoms)["forces"])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("level", [2, 8, 16])
def test_forces_are_minus_the_gradient(level, kernel):
    text, atoms = random_text(level, 3), random_atoms(3, 8)
    forces = evaluate(text, atoms, kernel)["forces"]
    h = 1e-4
    for i, axis in [(0, 0), (3, 1), (9, 2)]:
        energies = {}
        for step in (-2, -1, 1, 2):
            moved = atoms.copy()
            moved.positions[i, axis] += step * h
            energies[step] = evaluate(text, moved, kernel)["energy"]
        slope = (8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * h)
        assert abs(forces[i, axis] + slope) < 1e-6 * np.abs(forces).max()


@pytest.mark.parametrize("kernel", KERNELS)
def test_virial_is_minus_the_strain_derivative(kernel):
    text, atoms = random_text(12, 3), random_atoms(3, 9)
    virial = evaluate(text, atoms, kernel)["virial"]
    h = 1e-5
    for k, (a, b) in enumerate([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]):
        energies = {}
        for step in (-2, -1, 1, 2):
            strain = np.eye(3)
            strain[a, b] += step * h / 2
            strain[b, a] += step * h / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies[step] = evaluate(text, strained, kernel)["energy"]
        slope = (8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * h)
        assert abs(virial[k] + slope) < 1e-6 * np.abs(virial).max()


def with_parameters(text, parameters):
    """The same potential with coefficients in the order radial, species, moment."""
    return MTP.from_string(text).with_parameters(parameters).to_string()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("options", [{}, {"scaling": 0.3}, {"radial_basis_size": 14}])
def test_rows_are_derivatives_by_the_coefficients(options, kernel):
    text, atoms = random_text(10, 2, **options), random_atoms(2, 10)
    text = text.replace("scaling = 0.3\n", "")
    potential = _core.Potential(text)
    rows = _core.Evaluator(potential, kernel).rows(atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    parameters = np.concatenate([potential.radial_coeffs, potential.species_coeffs, potential.moment_coeffs])
    assert rows.shape == (len(atoms), len(parameters))
    h = 1e-5
    rng = np.random.default_rng(1)
    linear = len(potential.species_coeffs) + len(potential.moment_coeffs)
    for k in [*rng.integers(len(potential.radial_coeffs), size=12), *range(len(parameters) - linear, len(parameters))]:
        energies = {}
        for step in (-2, -1, 1, 2):
            changed = parameters.copy()
            changed[k] += step * h
            energies[step] = evaluate(with_parameters(text, changed), atoms, kernel)["energies"]
        slope = (8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * h)
        assert np.abs(rows[:, k] - slope).max() < 1e-6 * max(1.0, np.abs(rows[:, k]).max())


def test_scaling_scales_the_rows():
    atoms = random_atoms(2, 11)
    plain, scaled = (_core.Potential(random_text(8, 2, scaling=s)) for s in (1.0, 0.5))
    halved = np.array(plain.radial_coeffs) / 2
    same = _core.Potential(
        with_parameters(random_text(8, 2), np.concatenate([halved, plain.species_coeffs, plain.moment_coeffs]))
    )
    arguments = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    n = len(halved)
    assert_close(_core.Evaluator(scaled).rows(*arguments)[:, :n] * 2, _core.Evaluator(same).rows(*arguments)[:, :n])


@pytest.mark.parametrize("kernel", KERNELS)
def test_repulsive_basis_below_the_smallest_distance(kernel):
    """The radial functions are constant, and each of two atoms gets 1e4 (exp(-10 (r - 1)) - exp(-10 (r_min - 1)))."""
    text = random_text(8, 1)
    repulsive = text.replace("RBChebyshev", "RBChebyshev_repuls")

    def dimer(distance):
        return Atoms(numbers=[0, 0], positions=[(0, 0, 0), (0, 0, distance)])

    near, at, far = (evaluate(repulsive, dimer(d), kernel) for d in (1.2, 1.6, 1.9))
    assert near["energy"] - at["energy"] == pytest.approx(2e4 * (np.exp(-2) - np.exp(-6)), rel=1e-12)
    assert_close(near["forces"], 2e5 * np.exp(-2) * np.array([[0, 0, -1], [0, 0, 1]]), 1e-12)
    assert far["energy"] == evaluate(text, dimer(1.9), kernel)["energy"]
    assert_close(far["forces"], evaluate(text, dimer(1.9), kernel)["forces"])


@pytest.mark.parametrize("kernel", KERNELS)
def test_symmetries(kernel):
    text, atoms = random_text(14, 3), random_atoms(3, 12, n=14)
    reference = evaluate(text, atoms, kernel)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn)
    turned.positions = atoms.positions @ turn
    assert_close(evaluate(text, turned, kernel)["forces"], reference["forces"] @ turn, 1e-10)
    order = np.random.default_rng(3).permutation(len(atoms))
    assert_close(evaluate(text, atoms[order], kernel)["forces"], reference["forces"][order], 1e-10)
    doubled = evaluate(text, atoms.repeat((2, 1, 1)), kernel)
    assert_close(doubled["energy"], 2 * reference["energy"], 1e-10)
    assert np.abs(reference["forces"].sum(axis=0)).max() < 1e-10 * np.abs(reference["forces"]).max()


def test_kernels_agree_and_can_be_chosen(monkeypatch):
    potential = _core.Potential(random_text(8, 2))
    assert _core.Evaluator(potential).kernel == KERNELS[-1]
    monkeypatch.setenv("MTP_KERNEL", "baseline")
    assert _core.Evaluator(potential).kernel == "baseline"
    with pytest.raises(ValueError, match="no kernel 'magic' here; available: baseline"):
        _core.Evaluator(potential, "magic")


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0)])
def test_the_vectors_that_a_lattice_is_told_by_do_not_matter(pbc):
    """However far they lean: the nearest image may be any number of cells away."""
    text = random_text(8, 2)
    cell = np.array([[3.0, 0.2, 0], [0.3, 4.0, 0.1], [-0.4, 0.2, 3.5]])
    atoms = Atoms([0, 1, 1, 0], np.random.default_rng(5).uniform(0, 4, (4, 3)), cell=cell, pbc=pbc)
    expected = evaluate(text, atoms)
    for leaning in ([[1, 0, 0], [-900, 1, 0], [0, 0, 1]], [[1, 1, 0], [8, 9, 0], [0, 0, 1]]):
        atoms.cell = np.array(leaning) @ cell
        found = evaluate(text, atoms)
        assert found["energy"] == pytest.approx(expected["energy"], rel=1e-10)
        np.testing.assert_allclose(found["forces"], expected["forces"], atol=1e-9 * np.abs(expected["forces"]).max())


def test_an_empty_configuration_has_no_energy():
    result = evaluate(random_text(8, 2), Atoms(cell=[5, 5, 5], pbc=True))
    assert result["energy"] == 0.0
    assert result["forces"].shape == (0, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": np.array([0, 7])}, "atom 1 has type 7, the potential has species 0 to 1"),
        ({"positions": np.zeros((3, 3))}, r"positions must have the shape \(2, 3\)"),
        ({"positions": np.array([[0, 0, 0], [0, np.nan, 0]])}, "a position is not a finite number"),
        ({"positions": np.array([[0, 0, 0], [0, 1e300, 0]])}, "a position is too far outside the cell"),
        ({"cell": np.zeros((3, 3))}, "the cell vectors span no volume"),
        ({"cell": np.diag([1e-4, 5, 5])}, "so small that 100000 of it are within the cutoff"),
        ({"cell": np.diag([0.1, 0.1, 0.1])}, "so small that 100000 of it are within the cutoff"),
        ({"cell": np.diag([1e-20, 5, 5])}, "so small that 100000 of it are within the cutoff"),
        ({"cell": np.full((3, 3), np.inf)}, "the cell vectors span no volume"),
        ({"pbc": np.array([True])}, r"pbc must have the shape \(3,\)"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {
        "types": np.array([0, 1]),
        "positions": np.array([[0, 0, 0], [0, 0, 2.0]]),
        "cell": np.eye(3) * 5,
        "pbc": np.array([True] * 3),
    }
    with pytest.raises(ValueError, match=message):
        _core.Evaluator(_core.Potential(random_text(4, 2))).evaluate(**(arguments | change))


def test_an_untrained_potential_is_not_evaluated():
    potential = _core.Potential(untrained(8, 2).to_string())
    assert not potential.trained
    with pytest.raises(ValueError, match="not trained"):
        _core.Evaluator(potential)


@pytest.mark.parametrize("text", [random_text(8, 3, scaling=0.25), untrained(10, 2).to_string()])
def test_text_round_trip(text):
    first = _core.Potential(text)
    second = _core.Potential(first.to_string())
    for name in (
        "scaling", "species_count", "radial_basis_type", "min_dist", "max_dist", "radial_coeffs", "species_coeffs",
        "moment_coeffs", "alpha_index_basic", "alpha_index_times", "alpha_moment_mapping", "parameter_count",
    ):  # fmt: skip
        assert getattr(first, name) == getattr(second, name), name
    assert second.to_string() == first.to_string()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MTP\n", "MPT\n", "line 1: .*first line must be 'MTP'"),
        ("version = 1.1.0", "version = 2.0", "line 2: version 2.0 is not supported"),
        ("species_count = 2", "species_count = two", "line 4: species_count: expected an integer, found 'two'"),
        ("species_count = 2", "species_count = 0", "line 4: species_count: 0 is not between 1 and"),
        ("RBChebyshev", "RBJacobi", "radial_basis_type RBJacobi is not supported"),
        ("RBChebyshev\n\tmin_dist", "RBChebyshev\n\tmin", "motep: legacy=True"),
        ("max_dist = 5", "max_dist = -5", "max_dist must be larger than min_dist"),
        ("0-1", "1-0", "expected the pair 0-1, found 1-0"),
        ("alpha_index_basic = {{0, 0", "alpha_index_basic = {{9, 0", "radial function 9 of 2"),
        ("alpha_index_times = {{0, 0, 1, 11}", "alpha_index_times = {{0, 12, 1, 11}", "a moment not yet computed"),
        ("alpha_index_times = {{0, 0, 1, 11}", "alpha_index_times = {{0, 0, 1, 3}", "writes no product moment"),
        ("alpha_moment_mapping = {0", "alpha_moment_mapping = {99", "99 is not between 0 and 17"),
        ("moment_coeffs = {", "moment_coeffs = {nan, ", "nan is not a finite number"),
        ("moment_coeffs = {", "moment_coeffs = {1e999, ", "is not a finite number"),
        ("species_coeffs = {", "species_coeffs = {1.0, ", "expected '}', found ','"),
    ],
)
def test_wrong_text_is_refused_with_line_and_reason(old, new, message):
    text = random_text(8, 2)
    assert old in text
    with pytest.raises(_core.MTPFormatError, match=message):
        _core.Potential(text.replace(old, new, 1))


def test_every_truncation_is_refused():
    text = random_text(4, 1).rstrip()
    untrained_end = text.index("species_coeffs")
    for end in range(len(text)):
        if text[:end].rstrip() == text[:untrained_end].rstrip():
            continue
        with pytest.raises(_core.MTPFormatError, match=r"^line \d+: "):
            _core.Potential(text[:end])


def test_text_after_the_potential_is_refused():
    with pytest.raises(_core.MTPFormatError, match="unexpected text after the potential"):
        _core.Potential(random_text(4, 1) + "\nmore")
