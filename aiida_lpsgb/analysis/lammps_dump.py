"""Reading LAMMPS ``dump custom`` files, text and binary, frame by frame, telling whole frames from broken ones, and
what their rows and times mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers

from aiida_lpsgb.analysis._dump import label_width, rows

_MAGIC = b"DUMPCUSTOM"
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}
_TIME_IN_PS = {"metal": 1.0, "real": 1e-3}
_LONGEST_METAL, _SHORTEST_REAL = 0.05, 0.1  # time of a step in picoseconds and in femtoseconds
_SHORTEST_FS = 0.01  # of any step, where the unit is given


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
    units: str | None

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
        if program := next((name for magic, name in _PACKED.items() if head.startswith(magic)), None):
            raise ValueError(f"{path}: the dump is compressed: unpack it with {program} -d first")
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


class Rows:
    """Sorts the atoms of frames by id, makes sure that they are the same ones, and gives symbols and positions.

    Parameters
    ----------
    species
        Symbols by LAMMPS type; None to take the column ``element``.
    sorted_rows
        That frames without ids have their atoms in the same order.
    """

    def __init__(self, species: Sequence[str] | None, sorted_rows: bool = False):
        self._species, self._sorted_rows = species, sorted_rows
        self._ids: np.ndarray | None = None
        self._kinds: np.ndarray | None = None
        self._symbols: list[str] = []

    def __call__(self, frame: DumpFrame) -> tuple[list[str], np.ndarray, bool]:
        """Symbols, scaled positions ``(n_atoms, 3)`` in order of atom id, and whether these are unwrapped."""
        order: slice | np.ndarray = slice(None)
        ids = frame.column("id")
        if ids is not None and np.any(ids[1:] < ids[:-1]):
            order = np.argsort(ids, kind="stable")
        ids, kinds = None if ids is None else ids[order], _kinds(frame, self._species)[order]
        if self._kinds is None:
            self._check_first(frame, ids)
            self._ids, self._kinds, self._symbols = ids, kinds, _symbols(kinds, self._species)
        else:
            self._check(frame.step, ids, kinds)
        scaled, unwrapped = _scaled(frame)
        return self._symbols, scaled[order], unwrapped

    def _check_first(self, frame: DumpFrame, ids: np.ndarray | None) -> None:
        if self._species is not None:
            _compare_elements(frame, self._species)
        same = np.zeros(0) if ids is None else ids[1:][ids[1:] == ids[:-1]]
        if len(same) and not self._sorted_rows:
            raise ValueError(
                f"atoms of the dump share the id {same[0]:.0f} (atom_modify id no?), and LAMMPS reorders its atoms as "
                "it runs: write it with ids, or give sorted_rows=True if each frame has its atoms in the same order"
            )

    def _check(self, step: int, ids: np.ndarray | None, kinds: np.ndarray) -> None:
        if (ids is None or self._ids is None) and not self._sorted_rows:
            raise ValueError(
                "the dump has no column id, and LAMMPS reorders its atoms as it runs: write it with id, or give "
                "sorted_rows=True if each frame has its atoms in the same order (dump_modify … sort)"
            )
        same_ids = ids is None or self._ids is None or np.array_equal(ids, self._ids)
        if not same_ids or not np.array_equal(kinds, self._kinds):
            raise ValueError(
                f"the atoms at step {step} are not those of the first frame (ids or species differ): dump a group that "
                "does not change"
            )


class Walls:
    """Holds the box where it is not periodic as it is in the first frame.

    There it is no lattice that atoms move with: LAMMPS lets it follow the outermost atoms (boundary s or m).
    """

    def __init__(self) -> None:
        self._first: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, frame: DumpFrame, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scaled positions and cell of a frame, in the box held."""
        free = ~np.array(frame.pbc, bool)
        if not free.any():
            return scaled, frame.cell
        cell, origin = frame.cell.copy(), frame.origin.copy()
        if self._first is None:
            self._first = cell, origin
        cell[free], origin[free] = self._first[0][free], self._first[1][free]
        return (scaled @ frame.cell + frame.origin - origin) @ np.linalg.inv(cell), cell


class Clock:
    """What the frames of a run tell of time.

    Parameters
    ----------
    timestep_fs
        Time step; None where the dump's own times are to be taken.
    units
        LAMMPS units of these, ``metal`` or ``real``; None where the dump tells, or the size of its step.
    """

    def __init__(self, timestep_fs: float | None = None, units: str | None = None):
        if timestep_fs is not None and not 0 < timestep_fs < np.inf:
            raise ValueError(f"timestep_fs must be positive, found {timestep_fs}")
        if units is not None and units not in _TIME_IN_PS:
            raise ValueError(f"units must be one of {', '.join(_TIME_IN_PS)}, found {units!r}")
        self._timestep_fs, self._units = timestep_fs, units
        self._steps: list[int] = []
        self._times: list[float | None] = []
        self._told: str | None = None

    def begins_again(self, frame: DumpFrame) -> bool:
        """Whether a frame does not come after the last one."""
        if not self._steps:
            return False
        back = frame.time is not None and self._times[-1] is not None and frame.time <= self._times[-1]
        return frame.step <= self._steps[-1] or back

    def add(self, frame: DumpFrame) -> None:
        """Note the next frame's step and time."""
        self._steps.append(frame.step)
        self._times.append(frame.time)
        if frame.units is not None:
            if frame.units not in _TIME_IN_PS:
                raise ValueError(
                    f"the dump is in LAMMPS units {frame.units!r}; lengths in Å are needed ({', '.join(_TIME_IN_PS)})"
                )
            if self._units not in (None, frame.units):
                raise ValueError(f"the dump is in LAMMPS units {frame.units!r}, not {self._units!r}: leave units out")
            self._told = frame.units

    def times_ps(self) -> list[float]:
        """Times of the frames, ps.

        Raises
        ------
        ValueError
            If they are not told, told without their unit, or contradict the time step.
        """
        steps = np.array(self._steps, float)
        told = None if None in self._times else np.array(self._times, float)
        if self._timestep_fs is not None:
            times = steps * self._timestep_fs * 1e-3
            if told is not None:
                self._compare(steps, times, told)
            return times.tolist()
        if told is None:
            raise ValueError("the dump tells no times: give timestep_fs, or write it with dump_modify … time yes")
        return (told * _TIME_IN_PS[self._unit_of(steps, told)]).tolist()

    def _unit_of(self, steps: np.ndarray, told: np.ndarray) -> str:
        if self._told:
            return self._told
        # No step of a simulation with atoms is longer than 50 fs, and hardly one shorter than 0.1 fs.
        rate = _rate(steps, told)
        if self._units:
            step_fs = rate * _TIME_IN_PS[self._units] * 1e3
            if rate and not _SHORTEST_FS <= step_fs <= _LONGEST_METAL * 1e3:
                raise ValueError(
                    f"units={self._units!r} contradicts the times in the dump, by which a step would take {step_fs:g} "
                    "fs: leave units out"
                )
            return self._units
        if 0 <= rate <= _LONGEST_METAL:
            return "metal"
        if rate >= _SHORTEST_REAL:
            return "real"
        raise ValueError(
            f"the dump tells times without their unit ({rate:g} a step): give timestep_fs, or units='metal' or 'real'"
        )

    def _compare(self, steps: np.ndarray, times: np.ndarray, told: np.ndarray) -> None:
        """The dump's own times must pass as the steps do, in one of the units that may be meant."""
        units = [self._told or self._units] if self._told or self._units else list(_TIME_IN_PS)
        passed = times - times[0]
        for unit in units:
            # The last digit of a printed time, and a share of what has passed.
            slack = 1e-5 * np.abs(told).max() * _TIME_IN_PS[unit] + 1e-3 * passed
            if np.all(np.abs((told - told[0]) * _TIME_IN_PS[unit] - passed) <= slack):
                return
        shown = " or ".join(f"{_rate(steps, told) * _TIME_IN_PS[unit] * 1e3:g} fs ({unit})" for unit in units)
        raise ValueError(
            f"timestep_fs = {self._timestep_fs:g} contradicts the times in the dump, which pass by {shown} a step: "
            "leave timestep_fs out, or give that of this run"
        )


def _rate(steps: np.ndarray, times: np.ndarray) -> float:
    """Time of a step, in the unit of the times."""
    if len(steps) > 1:
        return float(np.median(np.diff(times) / np.diff(steps)))
    return float(times[0] / steps[0]) if steps[0] else 0.0


def _kinds(frame: DumpFrame, species: Sequence[str] | None) -> np.ndarray:
    """LAMMPS types, or symbols where the dump tells them and no species are given."""
    if frame.labels is not None and species is None:
        return frame.labels
    types = frame.column("type")
    if types is None and frame.labels is not None:
        raise ValueError("the dump has elements and no types: leave species out, which go by types")
    if types is None:
        raise ValueError(f"the dump has neither type nor element among its columns: {' '.join(frame.columns)}")
    if species is None:
        raise ValueError("the dump names no elements: give species, the symbols in order of LAMMPS types")
    return types


def _compare_elements(frame: DumpFrame, species: Sequence[str]) -> None:
    """Where a dump names elements beside types, these must be the ones that species says."""
    types = frame.column("type")
    # Unless dump_modify … element names them, LAMMPS writes C for every type.
    if types is None or frame.labels is None or np.all(frame.labels == "C"):
        return
    for kind in np.unique(types[(types >= 1) & (types <= len(species))]).astype(int):
        told = frame.labels[types == kind][0]
        if told != species[kind - 1] and told in atomic_numbers:
            raise ValueError(
                f"species says {species[kind - 1]} for type {kind}, which is {told} in the dump's column element: "
                "leave species out, or give it in the order of the types"
            )


def _symbols(kinds: np.ndarray, species: Sequence[str] | None) -> list[str]:
    if species is None:
        return kinds.tolist()
    types = kinds.astype(int)
    if types.min() < 1 or types.max() > len(species):
        beyond = types.min() if types.min() < 1 else types.max()
        raise ValueError(f"the dump has type {beyond} but species names {len(species)}: {', '.join(species)}")
    return np.array(species)[types - 1].tolist()


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
        self._units: str | None = None
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
        begin = self._handle.tell()
        if -self._take("<i8")[0] != len(_MAGIC) or bytes(self._take("u1", len(_MAGIC))) != _MAGIC:
            text = ", and the file does not begin with ITEM:, as one of text does" if not begin else ""
            raise _Broken(f"byte {begin} does not begin a frame of a binary dump custom{text}")
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
        self._units: str | None = None
        self._row_bytes = 32.0

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
        label_column = columns.index("element") if "element" in columns else -1
        table = np.empty((n_atoms, len(columns) - (label_column >= 0)))
        labels = np.zeros(n_atoms * label_width if label_column >= 0 else 0, np.int8)
        done, rest = 0, b""
        while done < n_atoms:
            # The rows of the last frame tell how long those of this one are, about.
            more = self._handle.read(int(self._row_bytes * (n_atoms - done)) + 64)
            if not more:
                raise _Broken(f"the dump ends inside a frame, {n_atoms - done} of its {n_atoms} atoms missing")
            text = rest + more
            try:
                count, used = rows(text, table, labels, done, len(columns), label_column)
            except ValueError:
                raise _Broken("the dump is corrupt: the rows of atoms do not hold the columns named") from None
            done, rest = done + count, text[used:]
            self._row_bytes = max(self._row_bytes, used / count) if count else 2 * self._row_bytes
        self._handle.seek(-len(rest), os.SEEK_CUR)
        return table, labels.view(f"S{label_width}").astype(str) if label_column >= 0 else None
