"""Reader and writer of MLIP's text configuration files (``.cfg``).

The format is the one of MLIP-2 [1]_: blocks ``BEGIN_CFG … END_CFG`` with ``Size``, ``Supercell``, ``AtomData:``,
``Energy``, ``PlusStress:`` and ``Feature`` fields. ``PlusStress`` is minus volume times stress, in eV. Labels ride on
a ``SinglePointCalculator`` in ASE's signs and units. Grades of neighbourhoods are a feature ``nbh_grades`` of as many
numbers as atoms; MLIP-3's column of that name is read too.

References
----------
.. [1] I. S. Novikov, K. Gubaev, E. V. Podryabinkin, A. V. Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021).
"""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn, TextIO

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator

__all__ = ["CFGFormatError", "iter_cfg", "labels", "read_cfg", "write_cfg"]

_STRESS_ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
_PLACES = {"cartes": ("cartes_x", "cartes_y", "cartes_z"), "direct": ("direct_x", "direct_y", "direct_z")}
_FORCES = ("fx", "fy", "fz")
_COLUMNS = {"id", "type", *_PLACES["cartes"], *_PLACES["direct"], *_FORCES, "site_en", "charge", "nbh_grades"}
_ESCAPES = ((" ", "\\_"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
GRADE_FEATURE = "MV_grade"
# One number for each atom, as a feature because MLIP-2 refuses columns that it does not know.
NEIGHBOURHOOD_FEATURE = "nbh_grades"


class CFGFormatError(ValueError):
    """A configuration file is broken; the message names the file, the line and the reason."""


class _Lines:
    """Non-blank lines of a text stream, one at a time, with the number of the current one."""

    def __init__(self, stream: TextIO, name: str):
        self._stream: Iterator[str] = iter(stream)
        self._pending: str | None = None
        self.name = name
        self.number = 0

    def next(self) -> str | None:
        if self._pending is not None:
            line, self._pending = self._pending, None
            return line
        try:
            for line in self._stream:
                self.number += 1
                if not line.isspace():
                    return line
        except UnicodeDecodeError:
            self.number += 1
            self.fail("not text (binary configuration files are not read: convert them with `mlp convert-cfg`)")
        return None

    def need(self, what: str) -> str:
        line = self.next()
        if line is None:
            self.fail(f"the file ends where {what} should be")
        return line

    def push_back(self, line: str) -> None:
        self._pending = line

    def table(self, size: int, names: list[str]) -> np.ndarray:
        """The next `size` lines as numbers (size, columns)."""
        first = self.number
        rows: list[str] = []
        if self._pending is None:
            try:
                rows.extend(itertools.islice(self._stream, size))
            except UnicodeDecodeError:  # what was read before it stays in `rows`
                rows.append("not text\n")
        if names[:1] == ["id"] and rows:
            values = _quick_table("".join(rows), len(names))
            # With the right ids at the beginning of all lines, no line has lost numbers to another.
            if len(values) == size and np.array_equal(values[:, 0], np.arange(1, size + 1)):
                self.number += size
                return values
        self._stream = itertools.chain(rows, self._stream)
        self.number = first
        return np.array([self._table_row(index, size, len(names)) for index in range(size)]).reshape(size, len(names))

    def _table_row(self, index: int, size: int, width: int) -> list[float]:
        tokens = self.need(f"atom {index + 1} of {size}").split()
        if len(tokens) != width:
            self.fail(f"atom {index + 1} of {size} should have {width} columns, got {' '.join(tokens)[:60]!r}")
        return self.floats(tokens, "atom data")

    def fail(self, reason: str) -> NoReturn:
        raise CFGFormatError(f"{self.name}, line {self.number}: {reason}")

    def floats(self, tokens: Sequence[str], what: str) -> list[float]:
        try:
            values = [float(token) for token in tokens]
        except ValueError:
            values = None
        if values is None or any("_" in token for token in tokens):  # Python alone takes 1_0 for a number
            self.fail(f"{what} should be numbers, got {' '.join(tokens)[:60]!r}")
        if not all(map(math.isfinite, values)):
            self.fail(f"{what} should be finite, got {' '.join(tokens)[:60]!r}")
        return values


def _quick_table(text: str, width: int) -> np.ndarray:
    """Numbers of a text in lines of `width`; empty when it is not made of finite numbers and whole lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, sep=" ")
        except (DeprecationWarning, ValueError):
            return np.empty((0, width))
    whole = len(values) % width == 0 and np.isfinite(values).all()
    return values.reshape(-1, width) if whole else np.empty((0, width))


def read_cfg(path: str | os.PathLike, species: Sequence[str]) -> list[Atoms]:
    """Read all configurations of a ``.cfg`` file.

    Parameters
    ----------
    path
        File to read.
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
    with open(path, encoding="utf-8") as stream:
        yield from parse_cfg(stream, species, os.fspath(path))


def parse_cfg(
    stream: TextIO, species: Sequence[str], name: str = "<cfg>", allow_empty: bool = False
) -> Iterator[Atoms]:
    """Yield the configurations of an open text stream; `allow_empty` accepts configurations without atoms."""
    lines = _Lines(stream, name)
    species = list(species)
    while (line := lines.next()) is not None:
        if line.strip() != "BEGIN_CFG":
            lines.fail(f"expected BEGIN_CFG, got {line.strip()[:40]!r}")
        yield _block(lines, species, allow_empty)


def _block(lines: _Lines, species: list[str], allow_empty: bool) -> Atoms:
    """Read one configuration after its BEGIN_CFG."""
    size = cell = table = energy = virial = None
    features: dict[str, str] = {}
    while (line := lines.need("END_CFG").split(maxsplit=1))[0] != "END_CFG":
        key, rest = line[0], line[1] if len(line) > 1 else ""
        if key == "Size":
            size = _size(lines, rest, allow_empty)
        elif key in ("Supercell", "SuperCell"):
            cell = _cell(lines, rest)
        elif key in ("AtomData:", "Atomic_data:"):
            if size is None:
                lines.fail("AtomData before Size")
            table = _atom_data(lines, rest, size)
        elif key == "Energy":
            energy = _numbers(lines, rest, 1, "the energy")[0]
        elif key == "PlusStress:":
            virial = _virial(lines, rest)
        elif key in ("Stress:", "Virial:"):
            lines.fail(f"{key} has no settled sign and unit; PlusStress: (= -volume·stress, eV) is needed")
        elif key == "Feature":
            _feature(lines, rest, features)
        else:
            lines.fail(f"unknown field {key[:40]!r}")
    if table is None:
        lines.fail("configuration without AtomData")
    return _atoms(lines, species, cell, table, energy, virial, features)


def _numbers(lines: _Lines, rest: str, count: int, what: str) -> list[float]:
    """Numbers of a field: on its own line, or on the line below."""
    tokens = (rest if rest.strip() else lines.need(what)).split()
    if len(tokens) != count:
        lines.fail(f"{what} should be {count} number{'s' * (count > 1)}, got {len(tokens)}")
    return lines.floats(tokens, what)


def _size(lines: _Lines, rest: str, allow_empty: bool) -> int:
    value = _numbers(lines, rest, 1, "the number of atoms")[0]
    if not (0 if allow_empty else 1) <= value < 2**31 or value != int(value):
        lines.fail(f"the number of atoms should be a positive integer, got {value:g}")
    return int(value)


def _cell(lines: _Lines, rest: str) -> np.ndarray:
    """Up to three lattice vectors; missing ones are directions without periodicity."""
    rows = [_numbers(lines, rest, 3, "a lattice vector")] if rest.strip() else []
    while len(rows) < 3:
        line = lines.need("a lattice vector")
        tokens = line.split()
        if tokens[0][0] not in "+-.0123456789nNiI":
            lines.push_back(line)
            break
        rows.append(_numbers(lines, line, 3, "a lattice vector"))
    if not rows:
        lines.fail("Supercell without a lattice vector")
    cell = np.zeros((3, 3))
    cell[: len(rows)] = rows
    return cell


def _atom_data(lines: _Lines, rest: str, size: int) -> dict[str, np.ndarray]:
    """Columns of the AtomData table by name."""
    names = rest.split()
    unknown = [name for name in names if name not in _COLUMNS]
    if unknown:
        lines.fail(f"unknown AtomData column {unknown[0][:40]!r}")
    if len(set(names)) != len(names):
        lines.fail("an AtomData column is given twice")
    if sum(set(columns) <= set(names) for columns in _PLACES.values()) != 1:
        lines.fail("AtomData needs cartes_x cartes_y cartes_z or direct_x direct_y direct_z")
    if len(set(_FORCES) & set(names)) not in (0, 3):
        lines.fail("AtomData needs fx, fy and fz together")
    values = lines.table(size, names)
    table = {name: values[:, column] for column, name in enumerate(names)}
    if "id" in table and not np.array_equal(table["id"], np.arange(1, size + 1)):
        lines.fail("the ids should be 1, 2, 3, … in this order")
    return table


def _virial(lines: _Lines, rest: str) -> np.ndarray:
    names = rest.split()
    if sorted(names) != sorted(_STRESS_ORDER):
        lines.fail(f"PlusStress: should name xx yy zz yz xz xy, got {rest.strip()[:60]!r}")
    values = _numbers(lines, "", 6, "PlusStress")
    return np.array([values[names.index(name)] for name in _STRESS_ORDER])


def _feature(lines: _Lines, rest: str, features: dict[str, str]) -> None:
    """One feature; a key that comes again continues its value on a new line."""
    rest = rest.rstrip("\r\n")
    if not rest:
        lines.fail("a Feature without a name")
    key, _, value = rest.replace("\t", " ", 1).partition(" ")
    for plain, escaped in _ESCAPES:
        key = key.replace(escaped, plain)
    features[key] = f"{features[key]}\n{value}" if key in features else value


def _atoms(lines, species, cell, table, energy, virial, features) -> Atoms:
    size = len(next(iter(table.values())))
    types = table.get("type", np.zeros(size))
    if size and (np.any(types != np.round(types)) or types.min() < 0 or types.max() >= len(species)):
        wrong = types[(types != np.round(types)) | (types < 0) | (types >= len(species))][0]
        lines.fail(f"atom type {wrong:g}, but there are {len(species)} species ({' '.join(species)}: types from 0)")
    cell = np.zeros((3, 3)) if cell is None else cell
    pbc = np.any(cell != 0, axis=1)
    volume = abs(np.linalg.det(cell))
    if pbc.all() and not 1e-6 < volume < math.inf:
        lines.fail("the lattice vectors are linearly dependent")
    if "cartes_x" in table:
        positions = np.column_stack([table[name] for name in _PLACES["cartes"]])
    elif pbc.all():
        positions = np.column_stack([table[name] for name in _PLACES["direct"]]) @ cell
    else:
        lines.fail("direct coordinates need three lattice vectors")
    atoms = Atoms([species[int(i)] for i in types], positions=positions, cell=cell, pbc=pbc)
    results: dict = {} if energy is None else {"energy": energy}
    if "fx" in table:
        results["forces"] = np.column_stack([table[name] for name in _FORCES])
    if virial is not None and pbc.all():  # without a volume there is no stress
        results["stress"] = -virial / volume
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    for column, array in (("nbh_grades", "nbh_grades"), ("site_en", "site_energies"), ("charge", "initial_charges")):
        if column in table:
            atoms.set_array(array, np.array(table[column]))
    if NEIGHBOURHOOD_FEATURE in features:
        grades = lines.floats(features.pop(NEIGHBOURHOOD_FEATURE).split(), f"the feature {NEIGHBOURHOOD_FEATURE}")
        if len(grades) != size:
            lines.fail(f"the feature {NEIGHBOURHOOD_FEATURE} should be {size} numbers, got {len(grades)}")
        atoms.set_array(NEIGHBOURHOOD_FEATURE, np.array(grades))
    if GRADE_FEATURE in features:
        atoms.info["mv_grade"] = lines.floats([features.pop(GRADE_FEATURE).strip()], "the feature MV_grade")[0]
    if features:
        atoms.info["features"] = features
    return atoms


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
        Configurations. Labels are taken from ``atoms.calc``, features from ``atoms.info`` and per-atom columns from
        ``atoms.arrays`` as `read_cfg` leaves them. A stress is written for cells periodic in three directions.
    species
        Chemical symbols in the order of the potential's types.

    Raises
    ------
    ValueError
        When an atom's species is not in `species`, or a number is not finite.
    """
    types = {symbol: index for index, symbol in enumerate(species)}
    with open(path, "w", encoding="utf-8") as stream:
        for index, atoms in enumerate(images):
            try:
                stream.write(format_cfg(atoms, types))
            except ValueError as error:
                raise ValueError(f"configuration {index}: {error}") from None


def format_cfg(atoms: Atoms, types: dict[str, int]) -> str:
    """Text of one configuration; `types` maps symbols to MTP types."""
    symbols = atoms.get_chemical_symbols()
    missing = sorted(set(symbols) - set(types))
    if missing:
        raise ValueError(f"species {', '.join(missing)} not among {', '.join(types)}")
    known = labels(atoms)
    text = ["BEGIN_CFG\n", f" Size\n    {len(atoms)}\n", *_format_cell(atoms)]
    names, columns = ["cartes_x", "cartes_y", "cartes_z"], list(atoms.positions.T)
    if "forces" in known:
        names, columns = [*names, "fx", "fy", "fz"], [*columns, *np.asarray(known["forces"]).T]
    values = np.column_stack(columns).astype(float)
    if not np.isfinite(values).all():
        raise ValueError("a position or force is not finite")
    text.append(" AtomData:  id type" + "".join(f"{name:>24}" for name in names) + "\n")
    row = "    %10d %4d" + " %23r" * len(names) + "\n"
    text.extend(row % (i + 1, types[s], *v) for i, (s, v) in enumerate(zip(symbols, values.tolist(), strict=True)))
    if "energy" in known:
        text.append(f" Energy\n    {_finite(known['energy'], 'energy')!r:>24}\n")
    if "stress" in known and atoms.pbc.all():
        virial = -atoms.get_volume() * np.asarray(known["stress"], float)
        text.append(" PlusStress:" + "".join(f"{name:>24}" for name in _STRESS_ORDER) + "\n")
        text.append("            " + "".join(f"{_finite(v, 'stress')!r:>24}" for v in virial) + "\n")
    return "".join([*text, *_format_features(atoms), "END_CFG\n\n"])


def _format_cell(atoms: Atoms) -> list[str]:
    """Lattice vectors; a direction without periodicity has none, which the format allows for the last ones only."""
    cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    if not np.isfinite(cell).all():
        raise ValueError("a lattice vector is not finite")
    if np.any(atoms.pbc & ~cell.any(axis=1)):
        raise ValueError("a periodic direction has no lattice vector")
    count = max((index + 1 for index in range(3) if cell[index].any()), default=0)
    rows = ["    " + "".join(f" {x!r:>23}" for x in row.tolist()) + "\n" for row in cell[:count]]
    return [" Supercell\n", *rows] if rows else []


def _finite(value: float, what: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"the {what} is not finite")
    return float(value)


def _format_features(atoms: Atoms) -> Iterator[str]:
    features = dict(atoms.info.get("features", {}))
    if "mv_grade" in atoms.info:
        features[GRADE_FEATURE] = repr(_finite(atoms.info["mv_grade"], "grade"))
    if NEIGHBOURHOOD_FEATURE in atoms.arrays:
        grades = atoms.arrays[NEIGHBOURHOOD_FEATURE]
        features[NEIGHBOURHOOD_FEATURE] = " ".join(repr(_finite(grade, "grade")) for grade in grades)
    for key, value in features.items():
        for plain, escaped in _ESCAPES:
            key = key.replace(plain, escaped)
        for line in str(value).split("\n"):
            yield f" Feature   {key}\t{line}\n"
