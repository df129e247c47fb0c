r"""Active sets, extrapolation grades and the MaxVol selection of configurations (D-optimality).

A configuration is the row :math:`b = \frac1N \partial E/\partial p` of derivatives with respect to all coefficients,
or, for neighbourhoods, one row for each atom. The active set is the square matrix :math:`A` of rows with the largest
determinant that exchanges of one row can reach [1]_, begun with :math:`\varepsilon I`. The grade of a configuration is
:math:`\gamma = \max |b A^{-1}|`: above 1, exchanging a row for it would enlarge the determinant, and the potential
extrapolates [2]_.

References
----------
.. [1] S. A. Goreinov, I. V. Oseledets, D. V. Savostyanov, E. E. Tyrtyshnikov, N. L. Zamarashkin, in Matrix Methods:
   Theory, Algorithms and Applications (World Scientific, 2010), p. 247.
.. [2] E. V. Podryabinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017); K. Gubaev, E. V. Podryabinkin,
   A. V. Shapeev, J. Chem. Phys. 148, 241727 (2018).
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from aiida_lpsgb.mtp import _training
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import CFGFormatError, format_cfg, parse_cfg
from aiida_lpsgb.mtp.potential import MTP

__all__ = ["ALSFormatError", "ActiveSet", "Selection", "select_add"]

_MODES = {"configuration": (0.0, 1.0, 0.0, 0.0), "neighborhood": (1.0, 0.0, 0.0, 0.0)}
# Rows that are held at a time, where a configuration has not more of them.
_BLOCK = 4096
# Rows among which exchanges are made between two looks at all rows: as many as fit into a processor's cache.
_SUBSET = 2500
# Exchanges that gain less wait for the others: a row outside the subset may gain more.
_LARGE_GAIN = 2.0
_WEIGHTINGS = {"vibrations": -1, "molecules": 0, "structures": -1}


class ALSFormatError(ValueError):
    """An active set's file is broken; the message names the file and the reason."""


@dataclass
class ActiveSet:
    r"""The rows that a potential's training set spans.

    Attributes
    ----------
    mtp
        The potential whose derivatives the rows are.
    species
        Chemical symbols in the order of the potential's types.
    mode
        ``configuration`` (rows are means over a configuration's atoms) or ``neighborhood`` (one row for each atom).
    matrix, inverse
        A and its inverse (p, p); a row of A that was never selected is that of :math:`\varepsilon I`.
    images
        The configuration of each row, None where it was never selected.
    init_threshold
        ε.
    threads
        Number of threads that evaluate rows.
    """

    mtp: MTP
    species: list[str]
    mode: str = "configuration"
    init_threshold: float = 1e-5
    weighting: str = "vibrations"
    threads: int = 1
    matrix: np.ndarray = field(default=None, repr=False)  # type: ignore[assignment]
    inverse: np.ndarray = field(default=None, repr=False)  # type: ignore[assignment]
    images: list[Atoms | None] = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self):
        if self.mode not in _MODES:
            raise ValueError(f"mode should be one of {', '.join(_MODES)}, got {self.mode!r}")
        if self.weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting should be one of {', '.join(_WEIGHTINGS)}, got {self.weighting!r}")
        if self.threads < 1:
            raise ValueError(f"at least one thread is needed, got {self.threads}")
        if not (np.isfinite(self.init_threshold) and self.init_threshold > 0):
            raise ValueError(f"init_threshold should be positive, got {self.init_threshold}")
        # An engine is for one thread at a time.
        self._engines = [Engine(self.mtp, self.species) for _ in range(self.threads)]
        size = self.mtp.n_parameters
        if self.matrix is None:
            self.matrix = self.init_threshold * np.eye(size)
            self.inverse = np.eye(size) / self.init_threshold
            self.images = [None] * size

    @property
    def selected(self) -> list[Atoms]:
        """The configurations of the active set, each once, in the order of their first rows."""
        return list({id(atoms): atoms for atoms in self.images if atoms is not None}.values())

    def rows(self, atoms: Atoms) -> np.ndarray:
        """Rows of a configuration: (1, p), or (n, p) for neighbourhoods."""
        return self._rows(atoms, self._engines[0])

    def _rows(self, atoms: Atoms, engine: Engine) -> np.ndarray:
        rows = engine.rows(atoms)
        if self.mode == "neighborhood":
            return rows
        return rows.sum(axis=0, keepdims=True) * float(len(atoms)) ** _WEIGHTINGS[self.weighting]

    def _blocks(self, images: Sequence[Atoms]) -> Iterator[np.ndarray]:
        """Rows of all configurations, so many at a time as `_BLOCK` allows; each thread takes every so many of them."""

        def share(number: int) -> list[np.ndarray]:
            return [self._rows(atoms, self._engines[number]) for atoms in part[number :: self.threads]]

        with ThreadPoolExecutor(self.threads) as pool:
            for part in self._parts(images):
                found: list[np.ndarray] = [None] * len(part)  # type: ignore[list-item]
                for number, rows in enumerate(pool.map(share, range(self.threads))):
                    found[number :: self.threads] = rows
                yield np.concatenate(found)

    def _parts(self, images: Sequence[Atoms]) -> Iterator[Sequence[Atoms]]:
        """Consecutive configurations with at most `_BLOCK` rows together, at least one configuration each."""
        first, count = 0, 0
        for index, atoms in enumerate(images):
            rows = self._row_count(atoms)
            if index > first and count + rows > _BLOCK:
                yield images[first:index]
                first, count = index, 0
            count += rows
        if first < len(images):
            yield images[first:]

    def _row_count(self, atoms: Atoms) -> int:
        return len(atoms) if self.mode == "neighborhood" else 1

    def grade(self, images: Iterable[Atoms]) -> np.ndarray:
        """Extrapolation grades (number of configurations,); that of a configuration is the largest of its rows."""
        images = list(images)
        grades = np.concatenate([self._grades(rows) for rows in self._blocks(images)] or [np.empty(0)])
        starts = np.cumsum([0, *(self._row_count(atoms) for atoms in images)])[:-1]
        return np.maximum.reduceat(grades, starts) if len(images) else grades

    def neighbourhood_grades(self, atoms: Atoms) -> np.ndarray:
        """Extrapolation grade (n,) of each atom's neighbourhood.

        Raises
        ------
        ValueError
            When the active set is one of configurations.
        """
        if self.mode != "neighborhood":
            raise ValueError("neighbourhoods are graded by an active set in the mode 'neighborhood'")
        return self._grades(self.rows(atoms))

    def extend(
        self,
        images: Sequence[Atoms],
        select_threshold: float = 1.1,
        swap_threshold: float = 1.0000001,
        swap_limit: int | None = None,
    ) -> int:
        """Exchange rows for those of further configurations until the volume is maximal.

        Parameters
        ----------
        images
            Configurations to choose from.
        select_threshold
            Nothing is exchanged when no grade is above.
        swap_threshold
            Exchanges end when no grade is above.
        swap_limit
            Largest number of exchanges.

        Returns
        -------
        int
            Number of exchanges.
        """
        for name, value in (("select_threshold", select_threshold), ("swap_threshold", swap_threshold)):
            if not value > 1:
                raise ValueError(f"{name} should be above 1, got {value}")
        limit = swap_limit if swap_limit is not None else 2**62
        threshold, count = max(select_threshold, swap_threshold), 0
        candidates = _Candidates(self, images)
        gain = _LARGE_GAIN if len(candidates.owners) > _SUBSET else 0.0
        while images and count < limit:
            top, rows, largest = candidates.most_extrapolating()
            if not largest > threshold:
                break
            threshold = swap_threshold
            gain = gain if largest > gain else 0.0
            swaps = _training.exchange(rows @ self.inverse, max(threshold, gain), limit - count)
            if not swaps and not gain:  # by rounding
                break
            gain = gain if swaps else 0.0
            for candidate, old in swaps:
                rows[candidate], self.matrix[old] = self.matrix[old].copy(), rows[candidate].copy()
                self.images[old] = candidates.replace(top[candidate], rows[candidate], self.images[old])
            self.inverse = np.linalg.inv(self.matrix)
            count += len(swaps)
        return count

    def _grades(self, rows: np.ndarray) -> np.ndarray:
        found = rows @ self.inverse
        return np.abs(found, out=found).max(axis=1)

    def write(self, path: str | os.PathLike) -> None:
        """Write the active set as MLIP-2's ``.als`` file."""
        types = {symbol: index for index, symbol in enumerate(self.species)}
        numbers: dict[int, int] = {}
        for atoms in self.images:
            numbers.setdefault(id(atoms), len(numbers))
        size = len(self.images)
        with open(path, "wb") as stream:
            stream.write(self.mtp.to_string().encode() + b"\n^")
            stream.write(np.array(_MODES[self.mode]).tobytes() + b"\n#")
            stream.write(np.ascontiguousarray(self.matrix).tobytes())
            stream.write(np.ascontiguousarray(self.inverse.T).tobytes() + b"\n")
            stream.write("".join(f"{k} {numbers[id(self.images[k])]}\n" for k in range(size)).encode())
            for atoms in {id(atoms): atoms for atoms in self.images}.values():
                stream.write(format_cfg(Atoms() if atoms is None else atoms, types).encode())

    @classmethod
    def read(cls, path: str | os.PathLike, species: Sequence[str]) -> ActiveSet:
        """Read an ``.als`` file of MLIP-2.

        Raises
        ------
        ALSFormatError
            When the file is truncated, not finite or inconsistent.
        """
        with open(path, "rb") as stream:
            return _parse_als(stream.read(), species, os.fspath(path))


class _Candidates:
    """The rows that may be exchanged, made anew for each look at them: only those that left an active set are kept."""

    def __init__(self, active: ActiveSet, images: Sequence[Atoms]):
        self._active, self._images = active, images
        self.owners: list[Atoms | None] = [atoms for atoms in images for _ in range(active._row_count(atoms))]
        self._kept: dict[int, np.ndarray] = {}

    def most_extrapolating(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Numbers and rows of the `_SUBSET` largest grades, largest first, and the largest."""
        numbers, rows, grades = np.empty(0, dtype=int), np.empty((0, len(self._active.matrix))), np.empty(0)
        start = 0
        for block in self._active._blocks(self._images):
            if not np.isfinite(block).all():
                raise ValueError("the derivatives of a configuration are not finite")
            here = np.arange(start, start := start + len(block))
            for number in self._kept.keys() & set(here.tolist()):
                block[number - here[0]] = self._kept[number]
            numbers, rows = np.concatenate([numbers, here]), np.concatenate([rows, block])
            grades = np.concatenate([grades, self._active._grades(block)])
            best = np.argsort(-grades, kind="stable")[:_SUBSET]
            numbers, rows, grades = numbers[best], rows[best], grades[best]
        return numbers, rows, grades[0] if len(grades) else 0.0

    def replace(self, number: int, row: np.ndarray, owner: Atoms | None) -> Atoms | None:
        """Put a row that left the active set in the place of one that enters it, whose configuration is returned."""
        self._kept[number] = row.copy()
        owner, self.owners[number] = self.owners[number], owner
        return owner


def _parse_als(data: bytes, species: Sequence[str], name: str) -> ActiveSet:
    def fail(reason: str):
        return ALSFormatError(f"{name}: {reason}")

    text, mark, rest = data.partition(b"\n^")
    if not mark:
        raise fail("there is no active set ('^' after the potential)")
    try:
        mtp = MTP.from_string(text.decode("utf-8"), name)
    except UnicodeDecodeError:
        raise fail("the potential is not text") from None
    except ValueError as error:
        raise ALSFormatError(str(error)) from None
    size = mtp.n_parameters
    matrices = 2 * size * size * 8
    if len(rest) < 34 + matrices or rest[32:34] != b"\n#":
        raise fail(f"the file is truncated: two matrices of {size} x {size} numbers should follow the potential")
    weights = tuple(np.frombuffer(rest, count=4).tolist())
    mode = next((mode for mode, known in _MODES.items() if known == weights), None)
    if mode is None:
        raise fail(f"the weights of the rows {weights} are those of neither configurations nor neighbourhoods")
    matrix, transposed = np.frombuffer(rest, count=2 * size * size, offset=34).reshape(2, size, size).copy()
    if not (np.isfinite(matrix).all() and np.isfinite(transposed).all()):
        raise fail("a matrix is not finite")
    images = _parse_als_images(rest[34 + matrices :], size, species, name)
    return ActiveSet(mtp, list(species), mode, matrix=matrix, inverse=transposed.T.copy(), images=images)


def _parse_als_images(tail: bytes, size: int, species: Sequence[str], name: str) -> list[Atoms | None]:
    try:
        stream = io.StringIO(tail.decode("utf-8"))
        stream.readline()
        numbers = [tuple(map(int, stream.readline().split())) for _ in range(size)]
        images = list(parse_cfg(stream, species, f"{name} (configurations)", allow_empty=True))
    except UnicodeDecodeError:
        raise ALSFormatError(f"{name}: the configurations are not text") from None
    except CFGFormatError as error:
        raise ALSFormatError(str(error)) from None
    except ValueError:
        raise ALSFormatError(f"{name}: the table of rows and configurations is not made of integers") from None
    for row, pair in enumerate(numbers):
        if len(pair) != 2 or pair[0] != row or not 0 <= pair[1] < len(images):
            raise ALSFormatError(f"{name}: row {row} of the table of rows and configurations is missing or wrong")
    return [images[number] if len(images[number]) else None for _, number in numbers]


@dataclass
class Selection:
    """What `select_add` finds.

    Attributes
    ----------
    active_set
        The active set of both sets.
    added
        Indices of the candidates that it holds, in the order of their rows.
    """

    active_set: ActiveSet
    added: list[int]


def select_add(
    mtp: MTP,
    train: Sequence[Atoms],
    candidates: Sequence[Atoms],
    species: Sequence[str],
    *,
    mode: str = "configuration",
    init_threshold: float = 1e-5,
    select_threshold: float = 1.1,
    swap_threshold: float = 1.0000001,
    swap_limit: int | None = None,
    weighting: str = "vibrations",
    threads: int = 1,
) -> Selection:
    """Select the candidates that a training set should be extended by.

    Parameters
    ----------
    mtp
        Potential with coefficients.
    train
        Configurations of the training set.
    candidates
        Configurations to choose from; they need no labels.
    species
        Chemical symbols in the order of the potential's types.
    mode
        ``configuration`` or ``neighborhood``.
    init_threshold, select_threshold, swap_threshold, swap_limit
        See `ActiveSet.extend`.
    weighting
        ``vibrations`` and ``structures``: rows are means over the atoms; ``molecules``: sums.
    threads
        Number of threads that evaluate rows.

    Returns
    -------
    Selection
    """
    candidates = [copy.copy(atoms) for atoms in candidates]  # they may be objects of the training set, too
    active = ActiveSet(mtp, list(species), mode, init_threshold, weighting, threads)
    active.extend(train, swap_threshold, swap_threshold)
    active.extend(candidates, select_threshold, swap_threshold, swap_limit)
    index = {id(atoms): number for number, atoms in enumerate(candidates)}
    return Selection(active, [index[id(atoms)] for atoms in active.selected if id(atoms) in index])
