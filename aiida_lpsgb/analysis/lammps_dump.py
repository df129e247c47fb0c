"""Reading LAMMPS ``dump custom`` files, text and binary, frame by frame, telling whole frames from broken ones."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_MAGIC = b"DUMPCUSTOM"
_TIME_IN_PS = {"metal": 1.0, "real": 1e-3}


class _Broken(Exception):
    """The file ends, or makes no sense, inside a frame."""


@dataclass
class DumpFrame:
    """One frame as it stands in the dump.

    ``table`` has a row for each atom and the columns named in ``columns``; ``labels`` holds a text column ``element``
    if there is one. ``cell`` has cell vectors in rows and ``origin`` is the low corner of the box, both Å.
    """

    step: int
    cell: np.ndarray
    origin: np.ndarray
    pbc: list[bool]
    columns: list[str]
    table: np.ndarray
    labels: np.ndarray | None
    time: float | None
    units: str

    def time_ps(self, timestep_fs: float | None) -> float:
        """Time of the frame, ps, from the dump itself or as step × time step."""
        if timestep_fs is not None:
            return self.step * timestep_fs * 1e-3
        if self.time is None:
            raise ValueError("the dump tells no times: give timestep_fs, or write it with dump_modify … time yes")
        if self.units not in _TIME_IN_PS:
            raise ValueError(f"times in LAMMPS units {self.units!r} are not understood: give timestep_fs")
        return self.time * _TIME_IN_PS[self.units]

    def column(self, name: str) -> np.ndarray | None:
        """A numeric column, or None if the dump does not have it."""
        return self.table[:, self.columns.index(name)] if name in self.columns else None

    def triple(self, *names: str) -> np.ndarray | None:
        """Three columns as ``(n_atoms, 3)``, or None."""
        if not all(name in self.columns for name in names):
            return None
        first = self.columns.index(names[0])
        if self.columns[first : first + 3] == list(names):
            return self.table[:, first : first + 3]
        return self.table[:, [self.columns.index(name) for name in names]]


class DumpFrames:
    """The whole frames of a dump; ``truncated`` tells, after iterating, why the last ones are missing, or is None."""

    def __init__(self, path: str | os.PathLike):
        self.path = path
        self.truncated: str | None = None
        with open(path, "rb") as handle:
            head = handle.read(8)
        self._binary = len(head) == 8 and not head.startswith(b"ITEM:")

    def __iter__(self) -> Iterator[DumpFrame]:
        reader = _BinaryReader if self._binary else _TextReader
        with open(self.path, "rb") as handle:
            source = reader(handle)
            while True:
                try:
                    frame = source.next_frame()
                except _Broken as reason:
                    self.truncated = str(reason)
                    return
                if frame is None:
                    return
                yield frame


class Unwrapper:
    """Sorts the atoms of a frame by id and gives their symbols and unwrapped scaled positions."""

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def __call__(self, frame: DumpFrame, species: Sequence[str] | None) -> tuple[list[str], np.ndarray]:
        """Symbols and scaled positions ``(n_atoms, 3)`` of a frame, in order of atom id."""
        order = slice(None)
        ids = frame.column("id")
        if ids is not None and np.any(ids[1:] < ids[:-1]):
            order = np.argsort(ids, kind="stable")
        symbols = _symbols(frame, species)[order].tolist()
        scaled, unwrapped = _scaled(frame)
        scaled = scaled[order]
        if not unwrapped and self._previous is not None and self._previous.shape == scaled.shape:
            scaled -= np.rint(scaled - self._previous) * frame.pbc
        self._previous = scaled
        return symbols, scaled


def _symbols(frame: DumpFrame, species: Sequence[str] | None) -> np.ndarray:
    if frame.labels is not None and species is None:
        return frame.labels
    types = frame.column("type")
    if types is None:
        raise ValueError(f"the dump has neither type nor element among its columns: {' '.join(frame.columns)}")
    if species is None:
        raise ValueError("the dump names no elements: give species, the symbols in order of LAMMPS types")
    types = types.astype(int)
    if types.min() < 1 or types.max() > len(species):
        raise ValueError(f"the dump has type {types.max()} but species names {len(species)}: {', '.join(species)}")
    return np.array(species)[types - 1]


def _scaled(frame: DumpFrame) -> tuple[np.ndarray, bool]:
    """Scaled positions and whether they are unwrapped."""
    images = frame.triple("ix", "iy", "iz")
    if (scaled := frame.triple("xsu", "ysu", "zsu")) is not None:
        return scaled, True
    if (scaled := frame.triple("xs", "ys", "zs")) is not None:
        return (scaled.copy(), False) if images is None else (scaled + images, True)
    inverse = np.linalg.inv(frame.cell)
    if (positions := frame.triple("xu", "yu", "zu")) is not None:
        return (positions - frame.origin) @ inverse, True
    if (positions := frame.triple("x", "y", "z")) is not None:
        scaled = (positions - frame.origin) @ inverse
        return (scaled, False) if images is None else (scaled + images, True)
    raise ValueError(
        f"the dump has no positions (xsu ysu zsu, xu yu zu, xs ys zs or x y z) among: {' '.join(frame.columns)}"
    )


def _box(bounds: np.ndarray, tilt: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Cell and origin from LAMMPS' bounding box (3, 2) and tilt factors xy, xz, yz."""
    xy, xz, yz = tilt
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    length = high - low
    return np.array([[length[0], 0, 0], [xy, length[1], 0], [xz, yz, length[2]]]), low


class _BinaryReader:
    """The layout of ``DumpCustom::header_binary``, revisions 1 and 2, orthogonal and triclinic boxes."""

    def __init__(self, handle):
        self._handle = handle
        self._columns: list[str] = []
        self._units = "metal"
        self._time: float | None = None

    def _take(self, dtype: str, count: int = 1) -> np.ndarray:
        size = np.dtype(dtype).itemsize * count
        data = self._handle.read(size)
        if len(data) != size:
            raise _Broken(f"the dump ends inside a frame, after {self._handle.tell()} bytes")
        return np.frombuffer(data, dtype)

    def _text(self) -> str:
        length = int(self._take("<i4")[0])
        if not 0 <= length < 65536:
            raise _Broken(f"the dump is corrupt near byte {self._handle.tell()}")
        return bytes(self._take("u1", length)).decode(errors="replace")

    def next_frame(self) -> DumpFrame | None:
        if not self._handle.peek(1):
            return None
        if -self._take("<i8")[0] != len(_MAGIC) or bytes(self._take("u1", len(_MAGIC))) != _MAGIC:
            raise _Broken(f"byte {self._handle.tell()} does not begin a frame of a binary dump custom")
        endian, revision = self._take("<i4", 2)
        if endian != 1 or revision > 2:
            raise _Broken(f"binary dump of unknown byte order or revision {revision}")
        step, n_atoms = (int(v) for v in self._take("<i8", 2))
        triclinic, *boundary = self._take("<i4", 7)
        if triclinic not in (0, 1):
            raise ValueError(
                "dumps of general triclinic boxes are not read; write without dump_modify triclinic/general"
            )
        bounds = self._take("<f8", 6).reshape(3, 2)
        tilt = self._take("<f8", 3) if triclinic else (0.0, 0.0, 0.0)
        width = int(self._take("<i4")[0])
        self._read_names(revision)
        table = self._read_table(n_atoms, width)
        cell, origin = _box(bounds, tilt)
        pbc = [int(boundary[2 * k]) == 0 for k in range(3)]
        return DumpFrame(step, cell, origin, pbc, self._columns, table, None, self._time, self._units)

    def _read_names(self, revision: int) -> None:
        if revision > 1:
            # Units are told once, in the first frame, and only when asked for.
            if units := self._text():
                self._units = units
            self._time = float(self._take("<f8")[0]) if self._take("i1")[0] else None
            if columns := self._text():
                self._columns = columns.split()
        if not self._columns:
            raise ValueError("this binary dump does not name its columns (it is of an old LAMMPS)")

    def _read_table(self, n_atoms: int, width: int) -> np.ndarray:
        if width != len(self._columns) or n_atoms < 0:
            raise _Broken(f"the dump is corrupt near byte {self._handle.tell()}")
        parts, total = [], 0
        for _ in range(int(self._take("<i4")[0])):
            count = int(self._take("<i4")[0])
            total += count
            if count < 0 or count % width or total > n_atoms * width:
                raise _Broken(f"the dump is corrupt near byte {self._handle.tell()}")
            parts.append(self._take("<f8", count))
        if total != n_atoms * width:
            raise _Broken(f"the dump is corrupt near byte {self._handle.tell()}")
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)).reshape(n_atoms, width)


class _TextReader:
    """``ITEM:`` sections; a frame counts only when all its rows stand there."""

    def __init__(self, handle):
        self._handle = handle
        self._units = "metal"
        self._row_bytes = 0

    def _line(self) -> str:
        line = self._handle.readline()
        if not line.endswith(b"\n"):
            raise _Broken("the dump ends inside the head of a frame")
        return line.decode(errors="replace").strip()

    def next_frame(self) -> DumpFrame | None:
        step = n_atoms = time = box = None
        while True:
            if step is None and not self._handle.peek(1):
                return None
            item = self._line()
            if item == "ITEM: UNITS":
                self._units = self._line()
            elif item == "ITEM: TIME":
                time = self._number(float)
            elif item == "ITEM: TIMESTEP":
                step = self._number(int)
            elif item == "ITEM: NUMBER OF ATOMS":
                n_atoms = self._number(int)
            elif item.startswith("ITEM: BOX BOUNDS"):
                box = self._read_box(item.split()[3:])
            elif item.startswith("ITEM: ATOMS"):
                break
            else:
                raise _Broken(f"the dump is corrupt: expected a line that begins with ITEM:, found {item[:60]!r}")
        if step is None or n_atoms is None or box is None:
            raise _Broken("a frame of the dump lacks its step, number of atoms or box")
        columns = item.split()[2:]
        table, labels = self._read_table(n_atoms, columns)
        return DumpFrame(step, *box, [c for c in columns if c != "element"], table, labels, time, self._units)

    def _number(self, kind):
        text = self._line()
        try:
            return kind(text)
        except ValueError:
            raise _Broken(f"the dump is corrupt: expected a number, found {text[:60]!r}") from None

    def _read_box(self, words: list[str]) -> tuple[np.ndarray, np.ndarray, list[bool]]:
        if "origin" in words:
            raise ValueError(
                "dumps of general triclinic boxes are not read; write without dump_modify triclinic/general"
            )
        try:
            rows = np.array([[float(v) for v in self._line().split()] for _ in range(3)])
        except ValueError:
            raise _Broken("the dump is corrupt: the box bounds are not numbers") from None
        if rows.shape not in ((3, 2), (3, 3)):
            raise _Broken("the dump is corrupt: the box bounds are not numbers")
        tilt = rows[:, 2] if rows.shape[1] == 3 else (0.0, 0.0, 0.0)
        cell, origin = _box(rows[:, :2], tilt)
        flags = [w for w in words if w not in ("xy", "xz", "yz")]
        return cell, origin, [f.startswith("p") for f in flags] if flags else [True] * 3

    def _read_table(self, n_atoms: int, columns: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
        import pandas  # read_csv is the fastest reader of text that the package's dependencies bring

        text = io.BytesIO(self._read_lines(n_atoms))
        kinds = {k: str if name == "element" else float for k, name in enumerate(columns)}
        try:
            table = pandas.read_csv(text, sep=r"\s+", header=None, dtype=kinds, engine="c", na_filter=False)
        except ValueError:
            raise _Broken("the dump is corrupt: the rows of atoms do not hold the columns named") from None
        if table.shape != (n_atoms, len(columns)):
            raise _Broken("the dump is corrupt: the rows of atoms do not hold the columns named")
        labels = table[columns.index("element")].to_numpy(str) if "element" in columns else None
        numeric = [k for k, kind in kinds.items() if kind is float]
        return table[numeric].to_numpy(float), labels

    def _read_lines(self, count: int) -> bytes:
        """``count`` whole lines: a guess from the last frame's size in one read, then line by line."""
        start = self._handle.tell()
        guess = self._handle.read(int(self._row_bytes * count))
        have = guess.count(b"\n")
        if have > count:
            guess, have = b"", 0
            self._handle.seek(start)
        elif not guess.endswith(b"\n"):
            guess += self._handle.readline()
            have = guess.count(b"\n")
        rest = []
        for _ in range(count - have):
            line = self._handle.readline()
            if not line.endswith(b"\n"):
                raise _Broken(f"the dump ends inside a frame, {count - have - len(rest)} of its {count} atoms missing")
            rest.append(line)
        text = guess + b"".join(rest)
        self._row_bytes = 0.97 * len(text) / max(1, count)
        return text
