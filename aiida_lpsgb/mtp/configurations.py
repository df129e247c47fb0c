"""Reader and writer of MLIP's text configuration files (``.cfg``).

The format is the one of MLIP-2 [1]_: blocks ``BEGIN_CFG … END_CFG`` with ``Size``, ``Supercell``, ``AtomData:``,
``Energy``, ``PlusStress:`` and ``Feature`` fields. ``PlusStress`` is minus volume times stress, in eV. Labels ride on
a ``SinglePointCalculator`` in ASE's signs and units. Grades of neighbourhoods are a feature ``nbh_grades`` of as many
numbers as atoms; MLIP-3's column of that name is read too. MLIP-2's binary files are read, not written.

References
----------
.. [1] I. S. Novikov, K. Gubaev, E. V. Podryabinkin, A. V. Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers

from aiida_lpsgb.mtp import _tools

__all__ = ["CFGFormatError", "iter_cfg", "labels", "read_cfg", "write_cfg"]

GRADE_FEATURE = "MV_grade"


class CFGFormatError(ValueError):
    """A configuration file is broken; the message names the file, the line and the reason."""


def read_cfg(path: str | os.PathLike, species: Sequence[str]) -> list[Atoms]:
    """Read all configurations of a ``.cfg`` file.

    Parameters
    ----------
    path
        File to read, of text or binary.
    species
        Chemical symbols; type ``i`` of the file becomes ``species[i]``.

    Returns
    -------
    list of ase.Atoms
        Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) are on ``atoms.calc`` where the file has them;
        the feature ``MV_grade`` is ``atoms.info['mv_grade']``, other features are ``atoms.info['features']``;
        per-atom columns become the arrays ``nbh_grades``, ``site_energies`` (eV) and ``initial_charges``.

    Raises
    ------
    CFGFormatError
        With line and reason, when the file is truncated, inconsistent or not finite.
    """
    return list(iter_cfg(path, species))


def iter_cfg(path: str | os.PathLike, species: Sequence[str]) -> Iterator[Atoms]:
    """Yield the configurations of a ``.cfg`` file one at a time (see `read_cfg`)."""
    with open(path, "rb"):  # for Python's own errors
        pass
    return _images(_tools.Reader.of_file(os.fspath(path), len(species)), species, os.fspath(path))


def parse_cfg(content: bytes, species: Sequence[str], name: str = "<cfg>") -> Iterator[Atoms]:
    """Yield the configurations of a file's content."""
    return _images(_tools.Reader.of_bytes(content, len(species)), species, name)


def _images(reader: _tools.Reader, species: Sequence[str], name: str) -> Iterator[Atoms]:
    numbers = np.array([atomic_numbers[symbol] for symbol in species])
    try:
        for structure in reader:
            yield atoms_of(structure, numbers)
    except UnicodeDecodeError:
        raise CFGFormatError(f"{name}: a feature is not text") from None
    except _tools.FormatError as error:
        raise CFGFormatError(f"{name}, {error}") from None


def atoms_of(structure: _tools.Structure, numbers: np.ndarray) -> Atoms:
    """Atoms of what was read; `numbers` are the atomic numbers of the types."""
    atoms = Atoms(numbers[structure.types], structure.positions, cell=structure.cell, pbc=structure.pbc)
    results: dict = {}
    if structure.energy is not None:
        results["energy"] = float(structure.energy[0])
    if structure.forces is not None:
        results["forces"] = structure.forces
    if structure.virial is not None:
        results["stress"] = -structure.virial / atoms.get_volume()
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    for attribute, name in _ARRAYS.items():
        if (values := getattr(structure, attribute)) is not None:
            atoms.set_array(name, values)
    features: dict[str, str] = {}
    for key, value in ((key.decode(), value.decode()) for key, value in structure.features):
        features[key] = f"{features[key]}\n{value}" if key in features else value
    features.pop("nbh_grades", None)
    if GRADE_FEATURE in features:
        atoms.info["mv_grade"] = float(features.pop(GRADE_FEATURE))
    if features:
        atoms.info["features"] = features
    return atoms


_ARRAYS = {"neighbourhood_grades": "nbh_grades", "site_energies": "site_energies", "charges": "initial_charges"}


def labels(atoms: Atoms) -> dict:
    """Energy, forces and stress that are stored on the atoms' calculator (nothing is calculated).

    Returns
    -------
    dict
        Those of ``energy`` (float, eV), ``forces`` (n, 3; eV/Å), ``stress`` (6, Voigt; eV/Å³) that are there.
    """
    calculator = atoms.calc
    if calculator is None or not _unchanged(atoms, calculator.atoms):
        return {}
    return {name: calculator.results[name] for name in ("energy", "forces", "stress") if _known(calculator, name)}


def _known(calculator: Calculator, name: str) -> bool:
    return calculator.results.get(name) is not None


def _unchanged(atoms: Atoms, labelled: Atoms | None) -> bool:
    """Whether labels still belong to the atoms; ASE's own comparison takes as long as reading them."""
    return labelled is not None and (
        np.array_equal(atoms.positions, labelled.positions)
        and np.array_equal(atoms.numbers, labelled.numbers)
        and np.array_equal(atoms.cell.array, labelled.cell.array)
        and np.array_equal(atoms.pbc, labelled.pbc)
    )


def write_cfg(path: str | os.PathLike, images: Iterable[Atoms], species: Sequence[str]) -> None:
    """Write configurations to a ``.cfg`` file without loss (every number is read back to the last bit).

    Parameters
    ----------
    path
        File to write; an existing one is replaced.
    images
        Configurations. Labels are taken from ``atoms.calc``, grades and features from ``atoms.info`` and grades of
        neighbourhoods from ``atoms.arrays`` as `read_cfg` leaves them. A stress is written for cells periodic in three
        directions.
    species
        Chemical symbols in the order of the potential's types.

    Raises
    ------
    ValueError
        When an atom's species is not in `species`, or a number is not finite.
    """
    with open(path, "wb") as stream:
        for index, atoms in enumerate(images):
            try:
                stream.write(format_cfg(atoms, species))
            except ValueError as error:
                raise ValueError(f"configuration {index}: {error}") from None


def format_cfg(atoms: Atoms, species: Sequence[str]) -> bytes:
    """Text of one configuration."""
    return _tools.format_structure(structure_of(atoms, species))


def types_of(atoms: Atoms, species: Sequence[str]) -> np.ndarray:
    """MTP types (n,) of atoms.

    Raises
    ------
    ValueError
        When an atom's symbol is not among `species`.
    """
    table = np.full(len(atomic_numbers), -1, dtype=np.int32)
    table[[atomic_numbers[symbol] for symbol in species]] = np.arange(len(species))
    types = table[atoms.numbers]
    if len(types) and types.min() < 0:
        missing = sorted(set(np.array(atoms.get_chemical_symbols())[types < 0].tolist()))
        raise ValueError(f"species {', '.join(missing)} not among the potential's {', '.join(species)}")
    return types


def structure_of(atoms: Atoms, species: Sequence[str]) -> _tools.Structure:
    """Atoms as the engine takes them, with all that a ``.cfg`` file holds."""
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    if np.any(atoms.pbc & ~cell.any(axis=1)):
        raise ValueError("a periodic direction has no lattice vector")
    structure = _tools.Structure(types_of(atoms, species), atoms.positions, cell, atoms.pbc)
    known = labels(atoms)
    if "energy" in known:
        structure.energy = [known["energy"]]
    if "forces" in known:
        structure.forces = known["forces"]
    if "stress" in known and atoms.pbc.all():
        structure.virial = -atoms.get_volume() * np.asarray(known["stress"], float)
    if "nbh_grades" in atoms.arrays:
        structure.neighbourhood_grades = atoms.arrays["nbh_grades"]
    features = {key: str(value) for key, value in atoms.info.get("features", {}).items()}
    if "mv_grade" in atoms.info:
        grade = float(atoms.info["mv_grade"])
        if not math.isfinite(grade):
            raise ValueError("the grade is not finite")
        features[GRADE_FEATURE] = repr(grade)
    if features:
        structure.features = list(features.items())
    return structure
