r"""Moment tensor potentials in MLIP's text format (``.mtp``).

A potential of this kind [1]_ expands the energy of an atom in scalar contractions of moment tensors

.. math:: M_{\mu,\nu}(i) = \sum_j f_\mu(r_{ij}, z_i, z_j)\, \hat r_{ij}^{\otimes \nu}, \qquad
          f_\mu = s \sum_\beta c_{z_i z_j \mu \beta}\, \varphi_\beta(r)

The file lists the components of the moments (``alpha_index_basic``), how they are multiplied and summed into further
moments (``alpha_index_times``), which of these are the scalar basis functions (``alpha_moment_mapping``), and the
coefficients.

References
----------
.. [1] A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016); K. Gubaev, E. V. Podryabinkin, G. L. W. Hart,
   A. V. Shapeev, Comput. Mater. Sci. 156, 148 (2019).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

__all__ = ["LEVELS", "MTP", "RADIAL_BASES", "MTPFormatError"]

#: level -> (basis functions, radial functions, basic moments)
LEVELS = {
    2: (1, 1, 1),
    4: (2, 1, 1),
    6: (5, 2, 5),
    8: (9, 2, 11),
    10: (16, 3, 25),
    12: (29, 3, 46),
    14: (52, 4, 81),
    16: (92, 4, 130),
    18: (163, 5, 201),
    20: (288, 5, 295),
    22: (500, 6, 421),
    24: (864, 6, 581),
    26: (1464, 6, 706),
    28: (2445, 6, 866),
}

#: Radial bases that MLIP-2 ships.
RADIAL_BASES = ("RBChebyshev", "RBChebyshev_repuls", "RBShapeev", "RBTaylor", "RBvdW")


class MTPFormatError(ValueError):
    """A potential file is broken; the message names the file, the line and the reason."""


@dataclass(frozen=True, eq=False)
class MTP:
    """A moment tensor potential: its form, and its coefficients if it has any.

    Attributes
    ----------
    n_species
        Number of species S.
    radial_basis_type
        One of `RADIAL_BASES`.
    min_distance, cutoff
        Ends of the radial basis' interval, Å.
    radial_basis_size
        Number R of radial basis functions.
    n_radial
        Number K of radial functions for each pair of species.
    index_basic
        Integers (B, 4): radial function and exponents of x, y, z of each basic moment.
    index_times
        Integers (T, 4): moment ``d += factor · a · b`` for each row (a, b, factor, d).
    moment_mapping
        Integers (M,): the moments that are basis functions.
    n_moments
        Number of all moments.
    radial_coefficients
        (S, S, K, R) by central species, neighbour species, radial function, basis function; None before training.
    species_coefficients
        (S,), energies of isolated atoms in eV; None before training.
    moment_coefficients
        (M,), eV; None before training.
    scaling
        Common factor of the radial functions.
    name
        Free text, ``potential_name`` of the file.
    """

    n_species: int
    radial_basis_type: str
    min_distance: float
    cutoff: float
    radial_basis_size: int
    n_radial: int
    index_basic: np.ndarray
    index_times: np.ndarray
    moment_mapping: np.ndarray
    n_moments: int
    radial_coefficients: np.ndarray | None = None
    species_coefficients: np.ndarray | None = None
    moment_coefficients: np.ndarray | None = None
    scaling: float = 1.0
    name: str = "MTP1m"

    def __post_init__(self):
        _check(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MTP) and self.to_string() == other.to_string()

    def __hash__(self) -> int:
        return hash(self.to_string())

    @classmethod
    def read(cls, path: str | os.PathLike) -> MTP:
        """Read a ``.mtp`` file; the selection data that MLIP appends to ``.als`` and ``.almtp`` files are ignored.

        Raises
        ------
        MTPFormatError
            With line and reason, when the file is not a complete, consistent potential.
        """
        with open(path, "rb") as stream:
            data = stream.read()
        for mark in (b"\n^", b"\n#"):
            data = data.split(mark, 1)[0]
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise MTPFormatError(f"{os.fspath(path)}, line {line}: not text") from None
        return cls.from_string(text, os.fspath(path))

    @classmethod
    def from_string(cls, text: str, name: str = "<mtp>") -> MTP:
        """Parse the text of a ``.mtp`` file; `name` stands for it in messages."""
        return _Parser(text, name).parse()

    def to_string(self) -> str:
        """Text of the ``.mtp`` file, byte for byte as MLIP-2 writes it."""
        return "".join(_format(self))

    def write(self, path: str | os.PathLike) -> None:
        """Write the ``.mtp`` file."""
        with open(path, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(self.to_string())

    @property
    def trained(self) -> bool:
        """Whether the potential has coefficients."""
        return self.radial_coefficients is not None

    @property
    def level(self) -> int | None:
        """Level of the basis, None when its numbers of basis functions, radial functions and basic moments fit none."""
        parts = (len(self.moment_mapping), self.n_radial, len(self.index_basic))
        return next((level for level, counts in LEVELS.items() if counts == parts), None)

    @property
    def n_radial_parameters(self) -> int:
        """Number of radial coefficients, S²KR."""
        return self.n_species**2 * self.n_radial * self.radial_basis_size

    @property
    def n_parameters(self) -> int:
        """Number of all coefficients."""
        return self.n_radial_parameters + self.n_species + len(self.moment_mapping)

    @property
    def parameters(self) -> np.ndarray:
        """All coefficients (n_parameters,): radial, species, moment, as the columns of an ``.als`` file.

        Raises
        ------
        ValueError
            When the potential has none yet.
        """
        if not self.trained:
            raise ValueError("the potential has no coefficients yet: it must be trained first")
        return np.concatenate([self.radial_coefficients.ravel(), self.species_coefficients, self.moment_coefficients])

    def with_parameters(self, parameters: np.ndarray) -> MTP:
        """Copy with other coefficients, (n_parameters,) in the order of `parameters`."""
        parameters = np.array(parameters, dtype=float)
        if parameters.shape != (self.n_parameters,):
            raise ValueError(f"{self.n_parameters} parameters are needed, got an array of shape {parameters.shape}")
        radial, linear = np.split(parameters, [self.n_radial_parameters])
        return replace(
            self,
            radial_coefficients=radial.reshape(
                self.n_species, self.n_species, self.n_radial, self.radial_basis_size
            ).copy(),
            species_coefficients=linear[: self.n_species].copy(),
            moment_coefficients=linear[self.n_species :].copy(),
        )


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise MTPFormatError(reason)


def _check(mtp: MTP) -> None:
    """Refuse a potential whose parts do not fit together."""
    _require(mtp.n_species >= 1, f"species_count should be at least 1, got {mtp.n_species}")
    _require(
        mtp.radial_basis_type in RADIAL_BASES,
        f"radial_basis_type {mtp.radial_basis_type[:40]!r} is not one of {', '.join(RADIAL_BASES)}",
    )
    _require(
        np.isfinite(mtp.cutoff) and 0 <= mtp.min_distance < mtp.cutoff,
        f"0 <= min_dist < max_dist is needed, got {mtp.min_distance} and {mtp.cutoff}",
    )
    _require(mtp.radial_basis_size >= 1, f"radial_basis_size should be at least 1, got {mtp.radial_basis_size}")
    _require(np.isfinite(mtp.scaling) and mtp.scaling != 0, f"scaling should be finite and not 0, got {mtp.scaling}")
    _check_indices(mtp)
    shapes = {
        "radial_coeffs": (
            mtp.radial_coefficients,
            (mtp.n_species, mtp.n_species, mtp.n_radial, mtp.radial_basis_size),
        ),
        "species_coeffs": (mtp.species_coefficients, (mtp.n_species,)),
        "moment_coeffs": (mtp.moment_coefficients, (len(mtp.moment_mapping),)),
    }
    for key, (array, shape) in shapes.items():
        if array is not None:
            _require(array.shape == shape, f"{key} should have the shape {shape}, got {array.shape}")
            _require(bool(np.isfinite(array).all()), f"{key} should be finite")
    given = [array is not None for array, _ in shapes.values()]
    _require(
        all(given) or not any(given),
        "radial_coeffs, species_coeffs and moment_coeffs should be given together (is the file truncated?)",
    )


def _check_indices(mtp: MTP) -> None:
    basic, times, mapping = mtp.index_basic, mtp.index_times, mtp.moment_mapping
    _require(len(basic) >= 1 and len(mapping) >= 1, "there should be at least one basic moment and one basis function")
    _require(basic.min() >= 0, "alpha_index_basic should not be negative")
    _require(basic[:, 1:].sum(axis=1).max() <= 32, "a moment in alpha_index_basic has a rank above 32")
    highest = basic[:, 0].max()
    _require(
        highest == mtp.n_radial - 1,
        f"radial_funcs_count is {mtp.n_radial}, but alpha_index_basic uses radial functions 0 to {highest}",
    )
    _require(mtp.n_moments >= len(basic), "alpha_moments_count is below alpha_index_basic_count")
    _require(mapping.min() >= 0 and mapping.max() < mtp.n_moments, "alpha_moment_mapping names a moment out of range")
    if len(times) == 0:
        return
    indices = times[:, [0, 1, 3]]
    _require(indices.min() >= 0 and indices.max() < mtp.n_moments, "alpha_index_times names a moment out of range")
    _require(times[:, 3].min() >= len(basic), "alpha_index_times adds to a basic moment")
    # A factor must be complete where it is used, or the order of summation would change the potential.
    last_written = np.full(mtp.n_moments, -1)
    last_written[times[:, 3]] = np.arange(len(times))  # the last assignment to an index wins
    used = last_written[times[:, :2]].max(axis=1)
    _require(bool((used < np.arange(len(times))).all()), "alpha_index_times uses a moment before it is complete")


class _Parser:
    """Line by line reader of the text of a ``.mtp`` file."""

    def __init__(self, text: str, name: str):
        self._lines = text.split("\n")
        self._number = 0
        self._name = name

    def fail(self, reason: str) -> NoReturn:
        raise MTPFormatError(f"{self._name}, line {self._number}: {reason}")

    def peek(self) -> str:
        """Next line that is not blank, without its surrounding white space; empty at the end."""
        while self._number < len(self._lines) and not self._lines[self._number].strip():
            self._number += 1
        return self._lines[self._number].strip() if self._number < len(self._lines) else ""

    def line(self, what: str) -> str:
        line = self.peek()
        self._number += 1
        if not line:
            self._number = len(self._lines)
            self.fail(f"the file ends where {what} should be")
        return line

    def value(self, key: str) -> str:
        """Value of the line ``key = value``, which must come next."""
        name, equals, value = self.line(key).partition("=")
        if name.strip() != key or not equals:
            self.fail(f"expected '{key} = …', got {self._lines[self._number - 1].strip()[:60]!r}")
        return value.strip()

    def next_is(self, key: str) -> bool:
        return self.peek().partition("=")[0].strip() == key

    def integer(self, key: str) -> int:
        text = self.value(key)
        if not (text.isascii() and text.isdigit()):
            self.fail(f"{key} should be an integer that is not negative, got {text[:40]!r}")
        value = int(text) if len(text) < 20 else 2**31
        if value >= 2**31:
            self.fail(f"{key} should be below 2^31, got {text[:40]}")
        return value

    def number(self, key: str) -> float:
        return float(self.floats(self.value(key), key, 1)[0])

    def floats(self, text: str, what: str, count: int) -> np.ndarray:
        tokens = text.split(",")
        if len(tokens) != count:
            self.fail(f"{what} should be {count} number{'s' * (count > 1)}, got {len(tokens)}")
        try:
            values = np.array([float(token) for token in tokens])
        except ValueError:
            values = None
        if values is None or "_" in text:  # Python alone takes 1_0 for a number
            self.fail(f"{what} should be numbers, got {text[:40]!r}")
        if not np.isfinite(values).all():
            self.fail(f"{what} should be finite, got {text[:40]!r}")
        return values

    def braced(self, text: str, what: str) -> str:
        if not (text.startswith("{") and text.endswith("}")):
            self.fail(f"{what} should stand in braces (is the file truncated?), got {text[:40]!r}")
        return text[1:-1]

    def integers(self, key: str, count: int, width: int) -> np.ndarray:
        """Integers (count, width) of a line ``key = {{…}, {…}}``, or ``{…}`` when `width` is 1."""
        text = self.braced(self.value(key), key)
        rows = text.replace(" ", "")
        if width > 1 and rows:
            rows = self.braced(rows, key).replace("},{", ",")
        try:
            values = [int(token) for token in rows.split(",")] if rows else []
        except ValueError:
            self.fail(f"{key} should be {count} groups of {width} integers, got {text[:40]!r}")
        if len(values) != count * width:
            self.fail(f"{key} should be {count * width} integers, got {len(values)}")
        if values and not (min(values) > -(2**31) and max(values) < 2**31):
            self.fail(f"{key} holds an integer beyond 2^31")
        return np.array(values, dtype=np.int64).reshape((count, width) if width > 1 else count)

    def parse(self) -> MTP:
        if self.line("'MTP'") != "MTP":
            self.fail("expected 'MTP': this is not a moment tensor potential")
        if (version := self.value("version")) != "1.1.0":
            self.fail(f"version 1.1.0 is needed, got {version[:20]!r}")
        parts = self._head()
        coefficients = self._radial(parts) if self.next_is("radial_coeffs") else {}
        parts |= self._moments()
        if self.next_is("species_coeffs"):
            coefficients |= self._linear(parts)
        if self.peek():
            self._number += 1
            self.fail(f"nothing should follow, got {self._lines[self._number - 1].strip()[:40]!r}")
        try:
            return MTP(**parts, **coefficients)
        except MTPFormatError as error:
            raise MTPFormatError(f"{self._name}, up to line {self._number}: {error}") from None

    def _head(self) -> dict:
        parts: dict = {"scaling": 1.0}
        if self.next_is("potential_name"):
            parts["name"] = self.value("potential_name")
        if self.next_is("scaling"):
            parts["scaling"] = self.number("scaling")
        parts["n_species"] = self.integer("species_count")
        if self.next_is("potential_tag"):
            self.value("potential_tag")
        parts["radial_basis_type"] = self.value("radial_basis_type")
        if self.next_is("scaling"):
            parts["scaling"] *= self.number("scaling")
        parts["min_distance"] = self.number("min_dist")
        parts["cutoff"] = self.number("max_dist")
        parts["radial_basis_size"] = self.integer("radial_basis_size")
        parts["n_radial"] = self.integer("radial_funcs_count")
        return parts

    def _radial(self, parts: dict) -> dict:
        self.line("radial_coeffs")
        n_species, size = parts["n_species"], parts["radial_basis_size"]
        rows = []
        for pair in ((a, b) for a in range(n_species) for b in range(n_species)):
            heading = self.line(f"the pair {pair[0]}-{pair[1]}")
            if heading != f"{pair[0]}-{pair[1]}":
                self.fail(f"expected the pair {pair[0]}-{pair[1]}, got {heading[:40]!r}")
            for _ in range(parts["n_radial"]):
                text = self.braced(self.line("radial coefficients"), "radial coefficients")
                rows.append(self.floats(text, "a row of radial_coeffs", size))
        return {"radial_coefficients": np.array(rows).reshape(n_species, n_species, parts["n_radial"], size)}

    def _moments(self) -> dict:
        parts: dict = {"n_moments": self.integer("alpha_moments_count")}
        parts["index_basic"] = self.integers("alpha_index_basic", self.integer("alpha_index_basic_count"), 4)
        parts["index_times"] = self.integers("alpha_index_times", self.integer("alpha_index_times_count"), 4)
        parts["moment_mapping"] = self.integers("alpha_moment_mapping", self.integer("alpha_scalar_moments"), 1)
        return parts

    def _linear(self, parts: dict) -> dict:
        values = {}
        for key, count in (("species", parts["n_species"]), ("moment", len(parts["moment_mapping"]))):
            text = self.braced(self.value(f"{key}_coeffs"), f"{key}_coeffs")
            values[f"{key}_coefficients"] = self.floats(text, f"{key}_coeffs", count)
        return values


def _join(values) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def _scientific(values: np.ndarray) -> str:
    return "{" + ", ".join(f"{value:.15e}" for value in values.tolist()) + "}"


def _format(mtp: MTP):
    """Pieces of the text, as MLIP-2 spells them."""
    yield f"MTP\nversion = 1.1.0\npotential_name = {mtp.name}\n"
    if mtp.scaling != 1.0:
        yield f"scaling = {mtp.scaling:.15e}\n"
    yield f"species_count = {mtp.n_species}\npotential_tag = \nradial_basis_type = {mtp.radial_basis_type}\n"
    yield f"\tmin_dist = {mtp.min_distance:.15e}\n\tmax_dist = {mtp.cutoff:.15e}\n"
    yield f"\tradial_basis_size = {mtp.radial_basis_size}\n\tradial_funcs_count = {mtp.n_radial}\n"
    if mtp.trained:
        yield "\tradial_coeffs\n"
        for (a, b), rows in zip(np.ndindex(mtp.n_species, mtp.n_species), _pairs(mtp), strict=True):
            yield f"\t\t{a}-{b}\n" + "".join(f"\t\t\t{_scientific(row)}\n" for row in rows)
    yield f"alpha_moments_count = {mtp.n_moments}\nalpha_index_basic_count = {len(mtp.index_basic)}\n"
    yield f"alpha_index_basic = {_join(_join(row) for row in mtp.index_basic.tolist())}\n"
    yield f"alpha_index_times_count = {len(mtp.index_times)}\n"
    yield f"alpha_index_times = {_join(_join(row) for row in mtp.index_times.tolist())}\n"
    yield f"alpha_scalar_moments = {len(mtp.moment_mapping)}\n"
    yield f"alpha_moment_mapping = {_join(mtp.moment_mapping.tolist())}\n"
    if mtp.trained:
        yield f"species_coeffs = {_scientific(mtp.species_coefficients)}\n"
        yield f"moment_coeffs = {_scientific(mtp.moment_coefficients)}"


def _pairs(mtp: MTP) -> np.ndarray:
    return mtp.radial_coefficients.reshape(-1, mtp.n_radial, mtp.radial_basis_size)
