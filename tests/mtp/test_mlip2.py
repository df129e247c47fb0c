"""Agreement with MLIP-2's `mlp` to 1e-9: energies, forces, stresses, grades and derivatives by the coefficients.

By default against numbers that `mlp` 2.1.2 produced, in tests/data/mtp/mlip2.npz, which

    python tests/mtp/test_mlip2.py MLP UNTRAINED_MTPS

writes anew from the program and from MLIP-2's folder of templates; the slow tests run the `mlp` that LPSGB_MLIP2_MLP
names, on 100 configurations a level.

`mlp` prints six decimals. The moment and species coefficients are therefore large here, which makes them twelve digits
of energies and forces. Derivatives come from `mlp` in two ways: the rows of an active set, in full precision, are
derivatives of energies and, with `--force-weight`, of single force components (the stress rows of 2.1.2 are not
derivatives of the stress); and the seven-point rule along a direction in the space of all coefficients is exact up to
rounding, because a potential is a polynomial of fifth degree in them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal

from aiida_lpsgb.mtp import _training
from aiida_lpsgb.mtp.basis import basis_functions, random_coefficients, untrained
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import labels, read_cfg, types_of, write_cfg
from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.mtp.selection import ActiveSet

SPECIES = ["Li", "P", "S"]
RECORD = Path(__file__).parents[1] / "data" / "mtp" / "mlip2.npz"
# Level, and number of radial basis functions.
RECORDED = {"derivatives": [(8, 4), (14, 4), (20, 4)], "grades": [(8, 3)]}
LIVE = [(level, 8) for level in range(8, 22, 2)]
MAGNITUDE = 1e6
STENCIL = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
STEP = 0.05
MODES = {"configuration": ["--energy-weight=1"], "neighborhood": ["--energy-weight=0", "--nbh-weight=1"]}


def potential(level, radial_basis_size, magnitude=MAGNITUDE):
    """A potential with random coefficients, all basis functions of comparable influence."""
    mtp = random_coefficients(untrained(level, len(SPECIES), 1.4, radial_basis_size=radial_basis_size), level)
    parameters, first = mtp.parameters, mtp.n_radial_parameters
    degrees = np.floor(np.log2(1 + np.arange(len(mtp.moment_mapping))))
    linear = np.random.default_rng(level).uniform(-1, 1, len(parameters) - first)
    linear[len(SPECIES) :] /= 3.0**degrees
    parameters[first:] = magnitude * linear
    return mtp.with_parameters(parameters)


def repulsive(mtp):
    """The same with MLIP-2's repulsive radial basis, in which many neighbours are closer than `min_distance`."""
    return replace(mtp, radial_basis_type="RBChebyshev_repuls", min_distance=2.6)


def sheared_crystal(seed):
    """Strained, sheared and rattled β-Li₃PS₄."""
    rng = np.random.default_rng(seed)
    sites = [(0.333, 0.030, 0.387), (0, 0, 0.5), (0.088, 0.25, 0.165), (0.1544, 0.030, 0.274)]
    sites += [(0.938, 0.25, 0.263), (0.106, 0.25, 0.840)]
    perfect = crystal(["Li", "Li", "P", "S", "S", "S"], sites, spacegroup=62, cellpar=[13.07, 8.13, 6.26, 90, 90, 90])
    atoms = Atoms(perfect.symbols, positions=perfect.positions, cell=perfect.cell, pbc=True)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3))), scale_atoms=True)
    atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
    return atoms


def triclinic_cell(seed, n_atoms=6):
    """Atoms of random species in a skewed cell that is smaller than the cutoff."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(cell=4.6 * np.eye(3) + rng.uniform(-0.9, 0.9, (3, 3)), pbc=True)
    while len(atoms) < n_atoms:
        trial = atoms + Atoms(rng.choice(SPECIES), scaled_positions=rng.random((1, 3)), cell=atoms.cell, pbc=True)
        if len(trial) == 1 or trial.get_all_distances(mic=True)[-1, :-1].min() > 1.5:
            atoms = trial
    return atoms


def configurations(crystals, cells):
    return [*map(sheared_crystal, range(crystals)), *map(triclinic_cell, range(cells))]


class Program:
    """MLIP-2's `mlp` with its files in a folder."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = folder

    def __call__(self, *arguments):
        done = subprocess.run([self.program, *arguments], cwd=self.folder, capture_output=True, text=True, check=True)
        assert "ERROR" not in done.stdout + done.stderr

    def predict(self, mtp, images):
        """Energy, forces and virial (xx yy zz yz xz xy) of each image, one after another."""
        mtp.write(self.folder / "p.mtp")
        write_cfg(self.folder / "in.cfg", images, SPECIES)
        self("calc-efs", "p.mtp", "in.cfg", "out.cfg")
        parts = []
        for atoms in read_cfg(self.folder / "out.cfg", SPECIES):
            found = labels(atoms)
            parts += [[found["energy"]], found["forces"].ravel(), -atoms.get_volume() * found["stress"]]
        return np.concatenate(parts)

    def derivative(self, mtp, images, direction):
        """Derivative of `predict` along a direction in the space of the coefficients."""
        shifted = (mtp.with_parameters(mtp.parameters + k * STEP * direction) for k in STENCIL)
        values = [self.predict(other, images) for other in shifted]
        return sum(weight * value for weight, value in zip(STENCIL.values(), values, strict=True)) / STEP

    def grade(self, mtp, train, images, options):
        """Grades of images; s.als holds the active set selected from `train`."""
        mtp.write(self.folder / "p.mtp")
        for name, listed in (("train.cfg", train), ("in.cfg", images)):
            write_cfg(self.folder / name, listed, SPECIES)
        self("calc-grade", "p.mtp", "train.cfg", "in.cfg", "out.cfg", "--als-filename=s.als", *options)
        return np.array([atoms.info["mv_grade"] for atoms in read_cfg(self.folder / "out.cfg", SPECIES)])

    def derivative_rows(self, mtp, images, option):
        """Derivatives of energies per atom or of forces, as far as the active set holds them."""
        self.grade(mtp, images, images[:1], ["--energy-weight=0", option])
        content, size = (self.folder / "s.als").read_bytes(), mtp.n_parameters
        begin = content.index(b"\n^") + len("\n^") + 4 * 8 + len("\n#")
        rows = np.frombuffer(content, count=size * size, offset=begin).reshape(size, size)
        return rows[np.count_nonzero(rows, axis=1) > 1]  # the others are those of the identity that it began with


@dataclass
class Case:
    """A potential, configurations, and what MLIP-2 finds for them."""

    mtp: MTP
    images: list[Atoms]
    found: dict[str, np.ndarray]


def measured_derivatives(program, form, images, n_directions, n_force_images, n_force_rows=None):
    mtp = potential(*form)
    directions = np.random.default_rng(form).normal(size=(n_directions, mtp.n_parameters)) * mtp.parameters
    found = {
        "predictions": program.predict(mtp, images),
        "repulsive": program.predict(repulsive(mtp), images),
        "directions": directions,
        "derivatives": np.array([program.derivative(mtp, images, direction) for direction in directions]),
        "energy_rows": program.derivative_rows(mtp, images, "--energy-weight=1"),
        "force_rows": program.derivative_rows(mtp, images[-n_force_images:], "--force-weight=1")[:n_force_rows],
    }
    return Case(mtp, images, found)


def measured_grades(program, form, images, n_train):
    """Grades by an active set of the last images, which are small: for many coefficients there is no row."""
    mtp, found = potential(*form, magnitude=1.0), {}
    for mode, options in MODES.items():
        found[f"{mode} grades"] = program.grade(mtp, images[-n_train:], images, options)
        found[f"{mode} inverse"] = ActiveSet.read(program.folder / "s.als", SPECIES).inverse
    return Case(mtp, images, found)


def template_values(mtp):
    """Values of the basis functions in one neighbourhood, sorted."""
    rng = np.random.default_rng(5)
    return np.sort(basis_functions(mtp, rng.normal(size=(7, 3)), rng.normal(size=(7, 6))))


def record(program, templates):
    """Write the numbers that the tests compare with by default."""
    arrays = {f"template {n}": template_values(MTP.read(Path(templates) / f"{n:02d}.mtp")) for n in range(2, 30, 2)}
    for kind, forms in RECORDED.items():
        for form in forms:
            with tempfile.TemporaryDirectory() as folder:
                runner, images = Program(program, Path(folder)), configurations(2, 4)
                if kind == "derivatives":
                    case = measured_derivatives(runner, form, images, 2, 4, 6)
                else:
                    case = measured_grades(runner, form, images, 3)
            key = f"{kind} {form[0]} "
            arrays |= {key + name: array for name, array in case.found.items()}
            arrays[key + "parameters"] = case.mtp.parameters
    for index, atoms in enumerate(images):
        arrays |= {f"{name} {index}": atoms.arrays[name] for name in ("numbers", "positions")}
        arrays[f"cell {index}"] = atoms.cell.array
    np.savez_compressed(RECORD, **arrays)


def recorded(kind, form):
    with np.load(RECORD) as arrays:
        key = f"{kind} {form[0]} "
        found = {name.removeprefix(key): arrays[name] for name in arrays if name.startswith(key)}
        count = sum(name.startswith("cell ") for name in arrays)
        images = [
            Atoms(arrays[f"numbers {k}"], positions=arrays[f"positions {k}"], cell=arrays[f"cell {k}"], pbc=True)
            for k in range(count)
        ]
    return Case(potential(*form).with_parameters(found.pop("parameters")), images, found)


def variants(kind):
    live = [pytest.param(("live", form), marks=pytest.mark.slow, id=f"live-{form[0]}") for form in LIVE]
    return [pytest.param(("recorded", form), id=f"recorded-{form[0]}") for form in RECORDED[kind]] + live


@pytest.fixture(scope="module", params=variants("derivatives"))
def case(request, tmp_path_factory):
    source, form = request.param
    if source == "recorded":
        return recorded("derivatives", form)
    program = Program(request.getfixturevalue("mlip2"), tmp_path_factory.mktemp("mlp"))
    return measured_derivatives(program, form, configurations(60, 40), n_directions=3, n_force_images=8)


@pytest.fixture(scope="module", params=variants("grades"))
def graded(request, tmp_path_factory):
    source, form = request.param
    if source == "recorded":
        return recorded("grades", form)
    program = Program(request.getfixturevalue("mlip2"), tmp_path_factory.mktemp("mlp"))
    return measured_grades(program, form, configurations(60, 40), n_train=20)


def blocks(images):
    """Slices of the energy, the forces and the virial of each image."""
    begin = 0
    for atoms in images:
        forces, end = begin + 1, begin + 7 + 3 * len(atoms)
        yield from (slice(begin, forces), slice(forces, end - 6), slice(end - 6, end))
        begin = end


def assert_blocks_agree(ours, theirs, images, tolerance=1e-9):
    for part in blocks(images):
        assert np.abs(ours[part] - theirs[part]).max() <= tolerance * np.abs(theirs[part]).max()


def jacobians(mtp, images):
    """Derivatives of the images' energies, forces and virials with respect to all coefficients."""
    data = _training.TrainingSet(mtp.to_string(), "")
    for atoms in images:
        unlabelled = np.zeros(7 + 3 * len(atoms))
        data.add(types_of(atoms, SPECIES), atoms.positions, atoms.cell.array, atoms.pbc, unlabelled, unlabelled)
    return [data.jacobian(index, mtp.parameters) for index in range(len(images))]


def assert_rows_found(theirs, ours, tolerance=1e-9):
    """Each of their rows is one of ours."""
    lengths = np.linalg.norm(ours, axis=1)
    nearest = np.argmax(theirs @ (ours / np.where(lengths > 0, lengths, 1)[:, None]).T, axis=1)
    deviation = np.abs(theirs - ours[nearest]).max(axis=1)
    assert np.all(deviation <= tolerance * np.abs(theirs).max(axis=1))


def predictions(mtp, images):
    """What `Program.predict` returns, of ours."""
    engine, ours = Engine(mtp, SPECIES), []
    for atoms in images:
        found = engine.evaluate(atoms)
        ours += [[found["energy"]], found["forces"].ravel(), -atoms.get_volume() * found["stress"]]
    return np.concatenate(ours)


def test_energies_forces_and_virials(case):
    assert_blocks_agree(predictions(case.mtp, case.images), case.found["predictions"], case.images)


def test_repulsive_radial_basis(case):
    assert_blocks_agree(predictions(repulsive(case.mtp), case.images), case.found["repulsive"], case.images)


def test_derivatives_by_the_coefficients(case):
    ours = np.concatenate(jacobians(case.mtp, case.images))
    for direction, theirs in zip(case.found["directions"], case.found["derivatives"], strict=True):
        assert_blocks_agree(ours @ direction, theirs, case.images)


def test_rows_of_active_sets(case):
    ours = jacobians(case.mtp, case.images)
    energy_rows, force_rows = case.found["energy_rows"], case.found["force_rows"]
    assert len(energy_rows) >= 6
    assert len(force_rows) >= 6
    energies = [jacobian[0] / len(atoms) for jacobian, atoms in zip(ours, case.images, strict=True)]
    assert_rows_found(energy_rows, np.array(energies))
    assert_rows_found(force_rows, np.concatenate([jacobian[1:-6] for jacobian in ours]))


@pytest.mark.parametrize("mode", MODES)
def test_grades(graded, mode):
    active, inverse = ActiveSet(graded.mtp, SPECIES, mode), graded.found[f"{mode} inverse"]
    theirs = graded.found[f"{mode} grades"]
    ours = [np.abs(active.rows(atoms) @ inverse).max() for atoms in graded.images]
    # Large grades have more than nine digits in the file, small ones fewer.
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=6e-7)
    assert np.count_nonzero(theirs > 1e3) >= 3


@pytest.mark.parametrize(
    "level", [*range(2, 20, 2), *(pytest.param(level, marks=pytest.mark.slow) for level in range(20, 30, 2))]
)
def test_basis_functions_are_those_of_the_templates(level):
    with np.load(RECORD) as arrays:
        np.testing.assert_allclose(template_values(untrained(level, 1)), arrays[f"template {level}"], rtol=1e-12)


if __name__ == "__main__":
    record(*sys.argv[1:])
