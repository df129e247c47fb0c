"""The compact file of a trajectory: its codec, its layout by version, and reading it in parts.

Positions are 16-bit fixed-point offsets, in steps of ``STEP_A`` = 1e-3 Å, from a key frame that is renewed whenever an
offset would not fit, so that a coordinate costs two bytes, is off by at most 5e-4 Å (a position by at most 8.7e-4 Å),
never accumulates error, and any frame or species is read without the others. What is stored is the unwrapped *scaled*
position times a fixed reference cell (that of the first frame).

Version 2, little-endian: magic, version (u4), four bytes of padding, offset of the tables, length of the header and of
the file (u8 each), padding to 64 bytes; offsets i2 ``(frames, atoms grouped by species, 3)``; from the offset of the
tables on: cells f8, times f8, steps i8, key starts i8, order i8 (if atoms were regrouped), keys i4; at the end the
header (JSON). Frames are written as they come, the tables when all are there. The format has no time stamps or random
parts: equal content gives equal bytes.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol

import numpy as np
from ase.data import atomic_numbers

from aiida_lpsgb.analysis.lattice import Follower

STEP_A = 1.0e-3
"""Resolution of a stored coordinate in Å; the error of a coordinate is at most half of it."""

VERSION = 2
"""Of the files that are written."""

_MAGIC = b"LPSGBTRJ"
_SUPERBLOCK = 64
_KEY_INTERVAL = 256
_REACH = np.iinfo(np.int16).max
_ATOMS_DECODED = 1 << 14  # at a time: what stays in a core's cache
_IN_MEMORY = 1 << 28  # bytes of a trajectory without a file that are kept in memory; beyond, in a temporary file


class TrajectoryFormatError(ValueError):
    """A trajectory file that cannot be read, with the reason."""


# ---- where offsets are ---------------------------------------------------------------------------------------------


class _Offsets(Protocol):
    """Offsets of some frames and a run of atoms, ``(frames, atoms, 3)``."""

    def read(self, frames: slice, atoms: slice) -> np.ndarray: ...


class _FileOffsets:
    """Those in a file, read where they are: nothing of it stays in memory, and threads share it."""

    def __init__(self, handle: IO[bytes], shape: tuple[int, int, int]):
        self._handle, self._descriptor, self._shape = handle, handle.fileno(), shape

    def read(self, frames: slice, atoms: slice) -> np.ndarray:
        out = np.empty((frames.stop - frames.start, atoms.stop - atoms.start, 3), "<i2")
        for piece, offset in _pieces(out, self._shape[1], frames, atoms):
            self._fill(piece, offset)
        return out

    def _fill(self, piece: np.ndarray, offset: int) -> None:
        if os.preadv(self._descriptor, [piece.data.cast("B")], offset) != piece.nbytes:
            raise TrajectoryFormatError("trajectory data end early: the file was cut while it was open")


class _StreamOffsets(_FileOffsets):
    """Those behind a stream that can seek but has no file (a packed object)."""

    def __init__(self, handle: IO[bytes], shape: tuple[int, int, int]):
        self._handle, self._shape = handle, shape
        self._lock = Lock()  # threads share the stream's position

    def _fill(self, piece: np.ndarray, offset: int) -> None:
        with self._lock:
            self._handle.seek(offset)
            data = self._handle.read(piece.nbytes)
        if len(data) != piece.nbytes:
            raise TrajectoryFormatError(f"trajectory data end early: wanted {piece.nbytes} bytes, found {len(data)}")
        piece[...] = np.frombuffer(data, "<i2").reshape(piece.shape)


class _MemoryOffsets:
    """Those in memory."""

    def __init__(self, buffer: io.BytesIO, shape: tuple[int, int, int]):
        count = int(np.prod(shape))
        self._array = np.frombuffer(buffer.getbuffer(), "<i2", count, _SUPERBLOCK).reshape(shape)

    def read(self, frames: slice, atoms: slice) -> np.ndarray:
        return self._array[frames, atoms]


def _pieces(out: np.ndarray, n_atoms: int, frames: slice, atoms: slice) -> Iterator[tuple[np.ndarray, int]]:
    """Contiguous pieces of an array of offsets and where each begins in the file."""
    if atoms.stop - atoms.start == n_atoms:
        yield out, _SUPERBLOCK + frames.start * n_atoms * 6
    else:
        for row, frame in enumerate(range(frames.start, frames.stop)):
            yield out[row], _SUPERBLOCK + (frame * n_atoms + atoms.start) * 6


# ---- what a file holds ---------------------------------------------------------------------------------------------


@dataclass
class Encoded:
    """One file's frames, encoded: see the module's description for ``keys``, ``key_starts`` and ``order``."""

    symbols: list[str]
    pbc: list[bool]
    metadata: dict[str, Any]
    truncated: str | None
    cells: np.ndarray
    times_ps: np.ndarray
    steps: np.ndarray
    key_starts: np.ndarray
    order: np.ndarray | None
    keys: np.ndarray
    offsets: _Offsets

    def __post_init__(self) -> None:
        self._place = None if self.order is None else np.argsort(self.order)

    def decode(self, frames: np.ndarray, atoms: np.ndarray, matrix: np.ndarray, dtype: type) -> np.ndarray:
        """Positions in the reference cell times a matrix: (key + offset) @ matrix.

        Only the run of stored atoms that holds the wanted ones is read.

        Parameters
        ----------
        frames, atoms
            Ascending indices of frames, any indices of atoms.
        matrix
            From Å in the reference cell to what is wanted, shape ``(3, 3)``.
        dtype
            Floating type.
        """
        out = np.empty((len(frames), len(atoms), 3), dtype)
        if not out.size:
            return out
        stored = atoms if self._place is None else self._place[atoms]
        first, last = int(stored.min()), int(stored.max()) + 1
        pick = stored - first
        whole = len(pick) == last - first and np.array_equal(pick, np.arange(len(pick)))
        matrix = (matrix * STEP_A).astype(dtype)
        together = max(1, _ATOMS_DECODED // (last - first))
        block = np.searchsorted(self.key_starts, frames, side="right") - 1
        for key in np.unique(block):
            base = self.keys[key, first:last]
            inside = np.flatnonzero(block == key)
            for start in range(inside[0], inside[-1] + 1, together):
                rows = slice(start, min(start + together, inside[-1] + 1))
                units = self._stored(frames[rows], slice(first, last)) + base
                out[rows] = transform((units if whole else units[:, pick]).astype(dtype), matrix)
        return out

    def _stored(self, frames: np.ndarray, atoms: slice) -> np.ndarray:
        low, high = int(frames[0]), int(frames[-1]) + 1
        if len(frames) == high - low:
            return self.offsets.read(slice(low, high), atoms)
        return np.concatenate([self.offsets.read(slice(i, i + 1), atoms) for i in frames.tolist()])

    def save(self, path: str | os.PathLike) -> Path:
        """Write the file. Equal content gives equal bytes."""
        n_atoms = len(self.symbols)
        with open(path, "wb") as handle:
            handle.write(b"\0" * _SUPERBLOCK)
            for low in range(0, len(self.times_ps), _KEY_INTERVAL):
                high = min(low + _KEY_INTERVAL, len(self.times_ps))
                handle.write(np.ascontiguousarray(self.offsets.read(slice(low, high), slice(0, n_atoms))).data)
            _write_tables(handle, self)
        return Path(path)


def _write_tables(handle: IO[bytes], encoded: Encoded) -> None:
    """Everything but the offsets, which have been written, and then where it is."""
    begin = -(-handle.tell() // 64) * 64
    handle.write(b"\0" * (begin - handle.tell()))
    arrays = [(encoded.cells, "<f8"), (encoded.times_ps, "<f8"), (encoded.steps, "<i8"), (encoded.key_starts, "<i8")]
    arrays += [] if encoded.order is None else [(encoded.order, "<i8")]
    for array, dtype in [*arrays, (encoded.keys, "<i4")]:
        handle.write(np.ascontiguousarray(array, dtype).tobytes())
    header = {
        "n_frames": len(encoded.times_ps),
        "n_keys": len(encoded.keys),
        "ordered": encoded.order is None,
        "pbc": encoded.pbc,
        "metadata": encoded.metadata,
        "truncated": encoded.truncated,
        "symbols": _run_lengths(encoded.symbols),
        "step_A": STEP_A,
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    handle.write(text)
    places = np.array([begin, len(text), handle.tell()], "<u8")
    handle.seek(0)
    handle.write(_MAGIC + np.array([VERSION, 0], "<u4").tobytes() + places.tobytes())


def _run_lengths(symbols: Sequence[str]) -> list[list]:
    runs: list[list] = []
    for symbol in symbols:
        if runs and runs[-1][0] == symbol:
            runs[-1][1] += 1
        else:
            runs.append([symbol, 1])
    return runs


# ---- writing -------------------------------------------------------------------------------------------------------


class Encoder:
    """Encodes frames, in order, and writes each at once.

    Parameters
    ----------
    symbols
        Chemical symbol of each atom.
    metadata
        Anything that JSON can hold and a reader should know (``ensemble``, ``temperature_K``, …).
    pbc
        Periodicity along the three cell vectors.
    path
        File to write; without one, memory, and a temporary file for what is large.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        metadata: dict[str, Any] | None = None,
        pbc: Sequence[bool] = (True,) * 3,
        path: str | os.PathLike | None = None,
    ):
        _check_symbols(symbols)
        self.symbols = [str(s) for s in symbols]
        self.metadata = dict(metadata or {})
        self.pbc = [bool(p) for p in pbc]
        self.follower = Follower(self.pbc)
        species = sorted(set(self.symbols))
        order = np.argsort([species.index(s) for s in self.symbols], kind="stable")
        self._order = None if np.array_equal(order, np.arange(len(order))) else order
        self._handle: IO[bytes] = io.BytesIO() if path is None else open(path, "w+b")  # noqa: SIM115 (read later)
        self._handle.write(b"\0" * _SUPERBLOCK)
        self._keys: list[np.ndarray] = []
        self._key_starts: list[int] = []
        self._cells: list[np.ndarray] = []
        self.times_ps: list[float] = []
        self.steps: list[int] = []

    def __len__(self) -> int:
        return len(self.times_ps)

    def append(
        self, scaled: np.ndarray, cell: np.ndarray, time_ps: float, step: int = 0, *, unwrapped: bool = True
    ) -> None:
        """Add a frame.

        Parameters
        ----------
        scaled
            Scaled positions, shape ``(n_atoms, 3)``; an atom that has crossed the cell twice stands at 2.x.
        cell
            Cell vectors in rows, Å, shape ``(3, 3)``, in any basis of the lattice.
        time_ps
            Time of the frame, which must grow from frame to frame.
        step
            Number of the MD step.
        unwrapped
            Whether positions are unwrapped; else the nearest image to the frame before is taken.
        """
        scaled, cell = np.asarray(scaled, float), np.array(cell, float)
        self._check(scaled, cell, time_ps, step)
        try:
            scaled, cell = self.follower(scaled, cell, unwrapped)
        except ValueError as error:
            raise ValueError(f"frame {len(self)} (step {step}): {error}") from None
        units = scaled @ ((self._cells[0] if self._cells else cell) / STEP_A)
        np.rint(units, out=units)
        self._store(units if self._order is None else units[self._order])
        self._cells.append(cell)
        self.times_ps.append(float(time_ps))
        self.steps.append(int(step))

    def _check(self, scaled: np.ndarray, cell: np.ndarray, time_ps: float, step: int) -> None:
        if scaled.shape != (len(self.symbols), 3):
            raise ValueError(
                f"frame {len(self)} has positions of shape {scaled.shape}, expected ({len(self.symbols)}, 3)"
            )
        if not np.isfinite(scaled).all() or not np.isfinite(cell).all():
            raise ValueError(f"frame {len(self)} (step {step}) has positions or a cell that are not finite")
        if abs(np.linalg.det(cell)) < 1e-9:
            raise ValueError(
                f"frame {len(self)} (step {step}) has a cell without volume; give a cell with three independent vectors"
            )
        if not np.isfinite(time_ps):
            raise ValueError(f"frame {len(self)} (step {step}) is at {time_ps} ps; times must be numbers that grow")
        if self.times_ps and time_ps <= self.times_ps[-1]:
            raise ValueError(f"times must grow: frame {len(self)} is at {time_ps} ps after {self.times_ps[-1]} ps")

    def _store(self, units: np.ndarray) -> None:
        if self._keys and len(self) - self._key_starts[-1] < _KEY_INTERVAL:
            offset = units - self._keys[-1]
            if max(offset.max(initial=0), -offset.min(initial=0)) <= _REACH:
                self._write(offset.astype("<i2"))
                return
        if np.abs(units).max(initial=0) > np.iinfo(np.int32).max:
            raise ValueError(
                f"frame {len(self)} has an atom further than {np.iinfo(np.int32).max * STEP_A:.0f} Å from the origin"
            )
        self._keys.append(units.astype("<i4"))
        self._key_starts.append(len(self))
        self._write(np.zeros(units.shape, "<i2"))

    def _write(self, offset: np.ndarray) -> None:
        self._handle.write(np.ascontiguousarray(offset).data)
        if isinstance(self._handle, io.BytesIO) and self._handle.tell() > _IN_MEMORY:
            larger = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the trajectory)
            larger.write(self._handle.getbuffer())
            self._handle = larger

    def finish(self, truncated: str | None = None) -> Encoded:
        """The frames so far; ``truncated`` says why they are fewer than meant."""
        if not len(self):
            raise ValueError("a trajectory needs at least one frame")
        shape = (len(self), len(self.symbols), 3)
        encoded = Encoded(
            symbols=self.symbols,
            pbc=self.pbc,
            metadata=self.metadata,
            truncated=truncated,
            cells=np.array(self._cells),
            times_ps=np.array(self.times_ps),
            steps=np.array(self.steps),
            key_starts=np.array(self._key_starts),
            order=self._order,
            keys=np.stack(self._keys),
            offsets=_MemoryOffsets(self._handle, shape)
            if isinstance(self._handle, io.BytesIO)
            else _FileOffsets(self._handle, shape),
        )
        if not isinstance(self._handle, io.BytesIO):
            _write_tables(self._handle, encoded)
            self._handle.flush()
        return encoded


def _check_symbols(symbols: Sequence[str]) -> None:
    if not len(symbols):
        raise ValueError("a trajectory needs atoms")
    if unknown := sorted({str(s) for s in symbols if s not in atomic_numbers}):
        raise ValueError(f"not chemical symbols: {', '.join(unknown)}")


# ---- reading -------------------------------------------------------------------------------------------------------


def load(source: str | os.PathLike | IO[bytes]) -> Encoded:
    """Open a compact file without reading its positions.

    Parameters
    ----------
    source
        A path, or a binary handle that can seek and stays open while the trajectory is used.

    Raises
    ------
    TrajectoryFormatError
        If the file is no trajectory, is of a newer version, or has been cut short.
    """
    handle = source if hasattr(source, "read") else open(source, "rb")  # noqa: SIM115 (kept open: read lazily)
    name = getattr(handle, "name", "the trajectory")
    handle.seek(0)
    head = handle.read(_SUPERBLOCK)
    if len(head) < 12 or head[:8] != _MAGIC:
        raise TrajectoryFormatError(
            f"{name} is not a trajectory of this package (it does not begin with {_MAGIC.decode()})"
        )
    version = int(np.frombuffer(head, "<u4", 1, 8)[0])
    if version not in _READERS:
        known = ", ".join(map(str, _READERS))
        raise TrajectoryFormatError(f"{name} has format version {version}; this package reads {known}")
    if len(head) < _SUPERBLOCK:
        raise TrajectoryFormatError(f"{name} has been cut short: it ends after {len(head)} bytes")
    try:
        return _READERS[version](handle, head, str(name))
    except (KeyError, TypeError, OverflowError) as error:
        raise TrajectoryFormatError(f"{name} has a broken header: {type(error).__name__} {error}") from None


def _read_2(handle: IO[bytes], head: bytes, name: str) -> Encoded:
    begin, length, end = (int(v) for v in np.frombuffer(head, "<u8", 3, 16))
    # Not every stream's seek() says where it went, as io's do: that of a packed repository object does not.
    handle.seek(0, os.SEEK_END)
    missing = end - handle.tell()
    if missing > 0 or not _SUPERBLOCK <= begin <= begin + length <= end:
        lacking = f"{missing} bytes are missing at the end" if missing > 0 else "it was not finished"
        raise TrajectoryFormatError(f"{name} has been cut short: {lacking}")
    handle.seek(begin)
    tables = handle.read(end - begin)
    header = _header(tables[len(tables) - length :], name)
    symbols = [str(s) for s, n in header["symbols"] for _ in range(n)]
    n_frames, n_atoms, n_keys = int(header["n_frames"]), len(symbols), int(header["n_keys"])
    shapes = {"cells": (n_frames, 3, 3), "times_ps": (n_frames,), "steps": (n_frames,), "key_starts": (n_keys,)}
    shapes |= {} if header["ordered"] else {"order": (n_atoms,)}
    shapes |= {"keys": (n_keys, n_atoms, 3)}
    dtypes = {"cells": "<f8", "times_ps": "<f8", "keys": "<i4"}
    arrays, at = {"order": None}, 0
    needed = sum(int(np.prod(shape)) * np.dtype(dtypes.get(key, "<i8")).itemsize for key, shape in shapes.items())
    if needed + length != len(tables) or begin < _SUPERBLOCK + n_frames * n_atoms * 6:
        raise TrajectoryFormatError(f"{name} has been cut short: its tables do not fit its header")
    for key, shape in shapes.items():
        arrays[key] = np.frombuffer(tables, dtypes.get(key, "<i8"), int(np.prod(shape)), at).reshape(shape)
        at += arrays[key].nbytes
    return Encoded(
        symbols=symbols,
        pbc=header["pbc"],
        metadata=header["metadata"],
        truncated=header["truncated"],
        offsets=_offsets_of(handle, (n_frames, n_atoms, 3)),
        **arrays,
    )


_READERS = {2: _read_2}
"""By version: that of the file's first layout, 1, was never released."""


def _header(text: bytes, name: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except ValueError as error:
        raise TrajectoryFormatError(f"{name} has a broken header: {error}") from None


def _offsets_of(handle: IO[bytes], shape: tuple[int, int, int]) -> _Offsets:
    try:
        handle.fileno()
    except (AttributeError, OSError):
        return _StreamOffsets(handle, shape)
    return _FileOffsets(handle, shape)


def transform(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Row vectors ``(..., 3)`` times a matrix ``(3, 3)``: three products each where it is diagonal."""
    diagonal = np.diag(matrix)
    if not np.count_nonzero(matrix - np.diag(diagonal)):
        return vectors * diagonal
    return (vectors.reshape(-1, 3) @ matrix).reshape(vectors.shape)
