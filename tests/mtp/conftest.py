"""Fixtures of the tests of potentials: configurations labelled by a known potential, and MLIP-2's program."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.mtp.basis import random_coefficients, untrained
from aiida_lpsgb.mtp.calculator import Engine

SPECIES = ["Li", "P", "S"]


def random_potential(level=6, seed=0, **settings):
    """A potential whose basis functions are of comparable influence."""
    mtp = random_coefficients(untrained(level, len(SPECIES), 1.4, **settings), seed)
    rng = np.random.default_rng([seed, level])
    parameters = mtp.parameters
    parameters[mtp.n_radial_parameters :] = rng.uniform(-1, 1, mtp.n_species + len(mtp.moment_mapping))
    degree = np.floor(np.log2(1 + np.arange(len(mtp.moment_mapping))))
    parameters[mtp.n_radial_parameters + mtp.n_species :] /= 3.0**degree
    return mtp.with_parameters(parameters)


def random_atoms(n_atoms=8, seed=0, n_cell=6.0):
    """Atoms of all species in a triclinic cell, no two of them close."""
    rng = np.random.default_rng(seed)
    cell = n_cell * np.eye(3) + rng.uniform(-0.5, 0.5, (3, 3))
    atoms = Atoms(cell=cell, pbc=True)
    while len(atoms) < n_atoms:
        trial = atoms + Atoms(SPECIES[len(atoms) % 3], scaled_positions=rng.random((1, 3)), cell=cell)
        trial.pbc = True
        distances = trial.get_all_distances(mic=True)[np.triu_indices(len(trial), 1)]
        if not len(distances) or distances.min() > 1.5:
            atoms = trial
    return atoms


def strain_slopes(energies_of, atoms, step=1e-4):
    """Derivatives of every atom's energy by the strains xx, yy, zz, xy, xz and yz, shape (n, 6), by differences."""
    slopes = []
    for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]:
        energies = {}
        for k in (-2, -1, 1, 2):
            strain = np.eye(3)
            strain[i, j] += k * step
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
            energies[k] = energies_of(strained)
        slopes.append((8 * (energies[1] - energies[-1]) - (energies[2] - energies[-2])) / (12 * step))
    return np.transpose(slopes)


def labelled_images(mtp, count, n_atoms=8, seed=0):
    """Random configurations with the energies, forces and stresses of a potential."""
    engine, images = Engine(mtp, SPECIES), []
    for index in range(count):
        atoms = random_atoms(n_atoms, [seed, index])
        found = engine.evaluate(atoms)
        found.pop("energies")
        atoms.calc = SinglePointCalculator(atoms, **found)
        images.append(atoms)
    return images


@pytest.fixture(scope="session")
def species():
    return list(SPECIES)


@pytest.fixture(scope="session")
def make_potential():
    return random_potential


@pytest.fixture(scope="session")
def make_atoms():
    return random_atoms


@pytest.fixture(scope="session")
def make_labelled():
    return labelled_images


@pytest.fixture(scope="session")
def mlip2():
    """Path of MLIP-2's program, which the environment variable LPSGB_MLIP2_MLP gives."""
    program = os.environ.get("LPSGB_MLIP2_MLP")
    if not program:
        pytest.skip("LPSGB_MLIP2_MLP does not give MLIP-2's mlp")
    path = shutil.which(program)
    assert path, f"LPSGB_MLIP2_MLP={program} is not a program"
    return str(Path(path).absolute())
