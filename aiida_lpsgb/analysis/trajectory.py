"""Trajectories: many atoms, many frames, one small file that opens at once and is read in parts.

Positions are kept as 16-bit fixed-point offsets, in steps of ``STEP_A`` = 1e-3 Å, from a key frame that is renewed
whenever an offset would not fit, so that a coordinate costs two bytes, is off by at most 5e-4 Å (a position by at
most 8.7e-4 Å), never accumulates error, and any frame or species is read without the others. The format has no time
stamps or random parts: equal content gives equal bytes.

In a run at constant pressure the cell breathes, and an unwrapped position *x + image × box* breathes with it, more so
the further the atom has travelled. What is stored is therefore the unwrapped *scaled* position times a fixed
reference cell (that of the first frame). From it follow positions in the mean cell (:meth:`Trajectory.positions`:
what mean-squared displacements want) and positions in each frame's own cell (:meth:`Trajectory.frame`: what distances
want).
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from aiida_lpsgb.analysis import lammps_dump

STEP_A = 1.0e-3
"""Resolution of a stored coordinate in Å; the error of a coordinate is at most half of it."""

_MAGIC = b"LPSGBTRJ"
_VERSION = 1
_SUPERBLOCK = 32
_KEY_INTERVAL = 256
_REACH = np.iinfo(np.int16).max
_ATOMS_DECODED = 1 << 14  # at a time: what stays in a core's cache


class TrajectoryFormatError(ValueError):
    """A trajectory file that cannot be read, with the reason."""


class _HandleArray:
    """Frames of a binary array behind a stream that can seek but not be mapped into memory (a packed object)."""

    def __init__(self, handle: IO[bytes], offset: int, shape: tuple[int, int, int]):
        self._handle, self._offset, self.shape = handle, offset, shape
        self._lock = Lock()  # threads share the stream's position

    def __getitem__(self, key: slice | tuple[slice, slice]) -> np.ndarray:
        frames, atoms = key if isinstance(key, tuple) else (key, slice(None))
        start, stop, _ = frames.indices(self.shape[0])
        first, last, _ = atoms.indices(self.shape[1])
        out = np.empty((max(0, stop - start), last - first, 3), "<i2")
        if (first, last) == (0, self.shape[1]):
            self._read(start * self.shape[1] * 6, out)
        else:
            for row, frame in enumerate(range(start, stop)):
                self._read((frame * self.shape[1] + first) * 6, out[row])
        return out

    def _read(self, offset: int, out: np.ndarray) -> None:
        with self._lock:
            self._handle.seek(self._offset + offset)
            data = self._handle.read(out.nbytes)
        if len(data) != out.nbytes:
            raise TrajectoryFormatError(f"trajectory data end early: wanted {out.nbytes} bytes, found {len(data)}")
        out[...] = np.frombuffer(data, "<i2").reshape(out.shape)


class TrajectoryWriter:
    """Collects frames, in order, into a :class:`Trajectory`.

    Parameters
    ----------
    symbols
        Chemical symbol of each atom.
    metadata
        Anything that JSON can hold and a reader should know (``ensemble``, ``temperature_K``, …).
    pbc
        Periodicity along the three cell vectors.
    """

    def __init__(
        self, symbols: Sequence[str], metadata: dict[str, Any] | None = None, pbc: Sequence[bool] = (True,) * 3
    ):
        _check_symbols(symbols)
        self.symbols = [str(s) for s in symbols]
        self.metadata = dict(metadata or {})
        self.pbc = [bool(p) for p in pbc]
        self._species = sorted(set(self.symbols))
        order = np.argsort([self._species.index(s) for s in self.symbols], kind="stable")
        self._order = None if np.array_equal(order, np.arange(len(order))) else order
        self._offsets: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self._key_starts: list[int] = []
        self._cells: list[np.ndarray] = []
        self._times: list[float] = []
        self._steps: list[int] = []

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def steps(self) -> list[int]:
        """MD steps of the frames so far."""
        return self._steps

    def append(self, scaled: np.ndarray, cell: np.ndarray, time_ps: float, step: int = 0) -> None:
        """Add a frame.

        Parameters
        ----------
        scaled
            Unwrapped scaled positions, shape ``(n_atoms, 3)``; an atom that has crossed the cell twice stands at 2.x.
        cell
            Cell vectors in rows, Å, shape ``(3, 3)``.
        time_ps
            Time of the frame, which must grow from frame to frame.
        step
            Number of the MD step.
        """
        scaled = np.asarray(scaled, float)
        cell = np.array(cell, float)
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
        if self._times and time_ps <= self._times[-1]:
            raise ValueError(f"times must grow: frame {len(self)} is at {time_ps} ps after {self._times[-1]} ps")
        reference = self._cells[0] if self._cells else cell
        units = scaled @ (reference / STEP_A)
        np.rint(units, out=units)
        if self._order is not None:
            units = units[self._order]
        self._store(units)
        self._cells.append(cell)
        self._times.append(float(time_ps))
        self._steps.append(int(step))

    def _store(self, units: np.ndarray) -> None:
        if self._keys and len(self) - self._key_starts[-1] < _KEY_INTERVAL:
            offset = units - self._keys[-1]
            if max(offset.max(initial=0), -offset.min(initial=0)) <= _REACH:
                self._offsets.append(offset.astype("<i2"))
                return
        if np.abs(units).max(initial=0) > np.iinfo(np.int32).max:
            raise ValueError(
                f"frame {len(self)} has an atom further than {np.iinfo(np.int32).max * STEP_A:.0f} Å from the origin"
            )
        self._keys.append(units.astype("<i4"))
        self._key_starts.append(len(self))
        self._offsets.append(np.zeros(units.shape, "<i2"))

    def finish(self, truncated: str | None = None) -> Trajectory:
        """The trajectory of the frames so far; ``truncated`` says why it is shorter than meant."""
        if not self._offsets:
            raise ValueError("a trajectory needs at least one frame")
        trajectory = Trajectory.__new__(Trajectory)
        trajectory._setup(
            symbols=self.symbols,
            order=self._order,
            offsets=np.stack(self._offsets),
            keys=np.stack(self._keys),
            key_starts=np.array(self._key_starts),
            cells=np.array(self._cells),
            times=np.array(self._times),
            steps=np.array(self._steps),
            pbc=self.pbc,
            metadata=self.metadata,
            truncated=truncated,
        )
        return trajectory


class Trajectory:
    """Positions of the same atoms in many frames, with cells and times.

    Parameters
    ----------
    symbols
        Chemical symbols, length ``n_atoms``.
    positions
        Unwrapped Cartesian positions in each frame's own cell, Å, shape ``(n_frames, n_atoms, 3)``: what LAMMPS calls
        ``xu yu zu``.
    cells
        One cell ``(3, 3)`` or a cell for each frame ``(n_frames, 3, 3)``, Å.
    times_ps
        Time of each frame, ps.
    steps
        MD steps; the frame numbers if not given.
    pbc, metadata
        As for :class:`TrajectoryWriter`.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        positions: np.ndarray,
        cells: np.ndarray,
        times_ps: Sequence[float],
        steps: Sequence[int] | None = None,
        pbc: Sequence[bool] = (True,) * 3,
        metadata: dict[str, Any] | None = None,
    ):
        positions = np.asarray(positions)
        n_frames = len(positions)
        cells = np.asarray(cells, float)
        if cells.shape == (3, 3):
            cells = np.broadcast_to(cells, (n_frames, 3, 3))
        if cells.shape != (n_frames, 3, 3) or len(times_ps) != n_frames:
            raise ValueError(
                f"{n_frames} frames of positions need as many cells and times, found {len(cells)} and {len(times_ps)}"
            )
        writer = TrajectoryWriter(symbols, metadata, pbc)
        steps = range(n_frames) if steps is None else steps
        for frame, cell, time, step in zip(positions, cells, times_ps, steps, strict=True):
            writer.append(np.asarray(frame, float) @ np.linalg.inv(cell), cell, time, step)
        self.__dict__ = writer.finish().__dict__

    def _setup(
        self, *, symbols, order, offsets, keys, key_starts, cells, times, steps, pbc, metadata, truncated
    ) -> None:
        self.symbols: list[str] = list(symbols)
        self.cells: np.ndarray = cells
        self.times_ps: np.ndarray = times
        self.steps: np.ndarray = steps
        self.pbc: list[bool] = list(pbc)
        self.metadata: dict[str, Any] = metadata
        self.truncated: str | None = truncated
        self._order, self._offsets, self._keys, self._key_starts = order, offsets, keys, key_starts
        self._to_mean = np.linalg.inv(cells[0]) @ cells.mean(axis=0)

    # ---- what it is ------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.n_frames

    def __repr__(self) -> str:
        return f"<Trajectory of {self.n_atoms} atoms, {self.n_frames} frames, {self.duration_ps:.3g} ps>"

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.symbols)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times_ps)

    @property
    def species(self) -> list[str]:
        """The species present, in order of first appearance."""
        return list(dict.fromkeys(self.symbols))

    @property
    def duration_ps(self) -> float:
        """Time from the first to the last frame, ps."""
        return float(self.times_ps[-1] - self.times_ps[0])

    @property
    def interval_ps(self) -> float:
        """Time between frames, ps.

        Raises
        ------
        ValueError
            If there is but one frame or the frames are not evenly spaced.
        """
        gaps = np.diff(self.times_ps)
        if not len(gaps):
            raise ValueError("a trajectory of one frame has no time between frames")
        if np.ptp(gaps) > 1e-6 * gaps.mean() + 1e-9:
            raise ValueError(
                f"frames are not evenly spaced: between {gaps.min():.6g} and {gaps.max():.6g} ps; "
                "take an even part with [start:stop]"
            )
        return float(gaps.mean())

    @property
    def mean_cell(self) -> np.ndarray:
        """Mean of the cells, Å, shape ``(3, 3)``."""
        return self.cells.mean(axis=0)

    @property
    def mean_volume_A3(self) -> float:
        """Mean volume of the cell, Å³."""
        return float(np.abs(np.linalg.det(self.cells)).mean())

    @property
    def masses(self) -> np.ndarray:
        """Standard atomic masses, u, length ``n_atoms``."""
        return atomic_masses[[atomic_numbers[s] for s in self.symbols]]

    def indices(self, species: str | Iterable[str] | None = None) -> np.ndarray:
        """Indices of the atoms of one or several species (all atoms for None), ascending.

        Raises
        ------
        ValueError
            If a species is not in the trajectory.
        """
        if species is None:
            return np.arange(self.n_atoms)
        wanted = [species] if isinstance(species, str) else list(species)
        if unknown := [s for s in wanted if s not in self.symbols]:
            raise ValueError(f"no {', '.join(unknown)} in this trajectory; it has {', '.join(self.species)}")
        return np.flatnonzero(np.isin(self.symbols, wanted))

    # ---- positions -------------------------------------------------------------------------------------------------

    def positions(
        self,
        species: str | Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        *,
        indices: Sequence[int] | None = None,
        dtype: type = np.float64,
    ) -> np.ndarray:
        """Unwrapped positions in the mean cell: scaled positions, with their images, times the mean of the cells.

        Differences of these are displacements free of the breathing of the cell. Only what is asked for is read.

        Parameters
        ----------
        species
            One species or several; all atoms if None.
        start, stop, step
            Frames, as in a slice.
        indices
            Atoms, instead of ``species``; the result is in this order.
        dtype
            Floating type of the result.

        Returns
        -------
        numpy.ndarray
            Å, shape ``(frames, atoms, 3)``.
        """
        return self._read(slice(start, stop, step), self._wanted(species, indices), self._to_mean, dtype)

    def scaled(
        self,
        species: str | Iterable[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        step: int | None = None,
        *,
        indices: Sequence[int] | None = None,
        dtype: type = np.float64,
    ) -> np.ndarray:
        """Unwrapped scaled positions, shape ``(frames, atoms, 3)``; arguments as for :meth:`positions`."""
        return self._read(slice(start, stop, step), self._wanted(species, indices), np.linalg.inv(self.cells[0]), dtype)

    def frame_positions(self, index: int, species: str | Iterable[str] | None = None, wrap: bool = True) -> np.ndarray:
        """Positions in one frame's own cell, Å, shape ``(atoms, 3)``; put back into the cell if ``wrap``."""
        index = self._frame_index(index)
        scaled = self.scaled(species, index, index + 1)[0]
        if wrap:
            periodic = np.array(self.pbc)
            scaled[:, periodic] -= np.floor(scaled[:, periodic])
        return scaled @ self.cells[index]

    def frame(self, index: int, species: str | Iterable[str] | None = None, wrap: bool = True) -> Atoms:
        """One frame as ASE ``Atoms``, in its own cell; its time stands in ``info['time_ps']``."""
        index = self._frame_index(index)
        symbols = np.array(self.symbols)[self.indices(species)]
        atoms = Atoms(symbols, self.frame_positions(index, species, wrap), cell=self.cells[index], pbc=self.pbc)
        atoms.info.update(time_ps=float(self.times_ps[index]), step=int(self.steps[index]))
        return atoms

    def _frame_index(self, index: int) -> int:
        if not -self.n_frames <= index < self.n_frames:
            raise IndexError(f"frame {index} of a trajectory of {self.n_frames}")
        return index % self.n_frames

    def __iter__(self) -> Iterator[Atoms]:
        return (self.frame(i) for i in range(self.n_frames))

    def _wanted(self, species: str | Iterable[str] | None, indices: Sequence[int] | None) -> np.ndarray:
        if indices is None:
            return self.indices(species)
        if species is not None:
            raise ValueError("give either species or indices, not both")
        indices = np.asarray(indices, int)
        if len(indices) and (indices.min() < 0 or indices.max() >= self.n_atoms):
            raise ValueError(
                f"indices must lie between 0 and {self.n_atoms - 1}, found {indices.min()} to {indices.max()}"
            )
        return indices

    def _read(self, frames: slice, atoms: np.ndarray, matrix: np.ndarray, dtype: type) -> np.ndarray:
        """Decode frames: (key + offset) @ matrix, touching only the run of stored atoms that holds the wanted ones."""
        wanted = np.arange(self.n_frames)[frames]
        out = np.empty((len(wanted), len(atoms), 3), dtype)
        if not out.size:
            return out
        stored = atoms if self._order is None else np.argsort(self._order)[atoms]
        first, last = int(stored.min()), int(stored.max()) + 1
        pick = stored - first
        whole = len(pick) == last - first and np.array_equal(pick, np.arange(len(pick)))
        matrix = (matrix * STEP_A).astype(dtype)
        together = max(1, _ATOMS_DECODED // (last - first))
        block = np.searchsorted(self._key_starts, wanted, side="right") - 1
        for key in np.unique(block):
            base = self._keys[key, first:last]
            inside = np.flatnonzero(block == key)
            for start in range(inside[0], inside[-1] + 1, together):
                rows = slice(start, min(start + together, inside[-1] + 1))
                low, high = wanted[rows].min(), wanted[rows].max() + 1
                raw = self._offsets[low:high, first:last]
                units = (raw if frames.step in (None, 1) else raw[wanted[rows] - low]) + base
                out[rows] = transform((units if whole else units[:, pick]).astype(dtype), matrix)
        return out

    # ---- parts and wholes ------------------------------------------------------------------------------------------

    def __getitem__(self, key: slice) -> Trajectory:
        """Part of the frames. Key frames are kept, so nothing is decoded or lost."""
        if not isinstance(key, slice):
            raise TypeError("a trajectory is cut with a slice; use frame(i) for a single frame")
        wanted = np.arange(self.n_frames)[key]
        if not len(wanted) or (key.step or 1) < 0:
            raise ValueError(f"{key} leaves no frames of {self.n_frames}, or turns time around")
        return self._rewrite(self.symbols, np.arange(self.n_atoms), wanted)

    def subset(self, species: str | Iterable[str]) -> Trajectory:
        """The trajectory of some species alone."""
        keep = self.indices(species)
        return self._rewrite([self.symbols[i] for i in keep], keep, np.arange(self.n_frames))

    def _rewrite(self, symbols: list[str], atoms: np.ndarray, frames: np.ndarray) -> Trajectory:
        writer = TrajectoryWriter(symbols, self.metadata, self.pbc)
        inverse = np.linalg.inv(self.cells[0])
        for low in range(0, len(frames), _KEY_INTERVAL):
            part = frames[low : low + _KEY_INTERVAL]
            gap = int(part[1] - part[0]) if len(part) > 1 else 1
            scaled = self._read(slice(int(part[0]), int(part[-1]) + 1, gap), atoms, inverse, float)
            for row, index in enumerate(part):
                writer.append(scaled[row], self.cells[index], self.times_ps[index], self.steps[index])
        return writer.finish(self.truncated)

    @classmethod
    def join(cls, parts: Sequence[Trajectory]) -> Trajectory:
        """Join runs that continue each other (restarts); frames of steps already seen are dropped.

        Raises
        ------
        ValueError
            If the parts differ in their atoms.
        """
        if not parts:
            raise ValueError("nothing to join")
        writer = TrajectoryWriter(parts[0].symbols, parts[0].metadata, parts[0].pbc)
        for number, part in enumerate(parts):
            if part.symbols != writer.symbols:
                raise ValueError(f"part {number} has other atoms than the first: {part} against {parts[0]}")
            for index in range(part.n_frames):
                if not writer.steps or part.steps[index] > writer.steps[-1]:
                    writer.append(
                        part.scaled(None, index, index + 1)[0],
                        part.cells[index],
                        part.times_ps[index],
                        part.steps[index],
                    )
        return writer.finish(parts[-1].truncated)

    # ---- the compact file ------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> Path:
        """Write the compact file (conventional suffix ``.lpsgbtraj``). Equal content gives equal bytes.

        Layout, little-endian: magic, version (u4), length of the header (u8), offset of the data (u8), padding to 32
        bytes; header (JSON); cells f8, times f8, steps i8, key starts i8, order i8 (if atoms were regrouped), keys
        i4; offsets i2 ``(frames, atoms grouped by species, 3)`` at the data offset.
        """
        header = {
            "n_frames": self.n_frames,
            "n_keys": len(self._keys),
            "ordered": self._order is None,
            "pbc": self.pbc,
            "metadata": self.metadata,
            "truncated": self.truncated,
            "symbols": _run_lengths(self.symbols),
            "step_A": STEP_A,
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        arrays = [np.ascontiguousarray(self.cells, "<f8"), np.ascontiguousarray(self.times_ps, "<f8")]
        arrays += [np.ascontiguousarray(a, "<i8") for a in (self.steps, self._key_starts)]
        if self._order is not None:
            arrays.append(np.ascontiguousarray(self._order, "<i8"))
        arrays.append(np.ascontiguousarray(self._keys[:], "<i4"))
        offset = -(-(_SUPERBLOCK + len(text) + sum(a.nbytes for a in arrays)) // 64) * 64
        with open(path, "wb") as handle:
            handle.write(_MAGIC + np.array([_VERSION], "<u4").tobytes())
            handle.write(np.array([len(text), offset], "<u8").tobytes().ljust(_SUPERBLOCK - 12, b"\0"))
            handle.write(text)
            for array in arrays:
                handle.write(array.data)
            handle.write(b"\0" * (offset - handle.tell()))
            for low in range(0, self.n_frames, _KEY_INTERVAL):
                handle.write(np.ascontiguousarray(self._offsets[low : low + _KEY_INTERVAL]).data)
        return Path(path)

    @classmethod
    def load(cls, source: str | os.PathLike | IO[bytes]) -> Trajectory:
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
        if len(head) < _SUPERBLOCK or head[:8] != _MAGIC:
            raise TrajectoryFormatError(
                f"{name} is not a trajectory of this package (it does not begin with {_MAGIC.decode()})"
            )
        version = int(np.frombuffer(head, "<u4", 1, 8)[0])
        if version != _VERSION:
            raise TrajectoryFormatError(f"{name} has format version {version}; this package reads {_VERSION}")
        length, offset = (int(v) for v in np.frombuffer(head, "<u8", 2, 12))
        try:
            header = json.loads(handle.read(length))
        except ValueError as error:
            raise TrajectoryFormatError(f"{name} has a broken header: {error}") from None
        symbols = [s for s, n in header["symbols"] for _ in range(n)]
        n_frames, n_atoms, n_keys = header["n_frames"], len(symbols), header["n_keys"]
        # Not every stream's seek() says where it went, as io's do: that of a packed repository object does not.
        handle.seek(0, os.SEEK_END)
        missing = offset + n_frames * n_atoms * 6 - handle.tell()
        if missing > 0:
            raise TrajectoryFormatError(f"{name} has been cut short: {missing} bytes are missing at the end")
        handle.seek(_SUPERBLOCK + length)

        def take(dtype: str, *shape: int) -> np.ndarray:
            count = int(np.prod(shape))
            return np.frombuffer(handle.read(count * np.dtype(dtype).itemsize), dtype).reshape(shape)

        cells, times, steps = take("<f8", n_frames, 3, 3), take("<f8", n_frames), take("<i8", n_frames)
        key_starts = take("<i8", n_keys)
        order = None if header["ordered"] else take("<i8", n_atoms)
        keys = take("<i4", n_keys, n_atoms, 3)
        trajectory = cls.__new__(cls)
        trajectory._setup(
            symbols=symbols,
            order=order,
            offsets=_map_offsets(handle, offset, (n_frames, n_atoms, 3)),
            keys=keys,
            key_starts=key_starts,
            cells=cells,
            times=times,
            steps=steps,
            pbc=header["pbc"],
            metadata=header["metadata"],
            truncated=header["truncated"],
        )
        return trajectory

    # ---- other formats ---------------------------------------------------------------------------------------------

    @classmethod
    def from_lammps_dump(
        cls,
        path: str | os.PathLike | Sequence[str | os.PathLike],
        species: Sequence[str] | None = None,
        timestep_fs: float | None = None,
        metadata: dict[str, Any] | None = None,
        every: int = 1,
    ) -> Trajectory:
        """Read a LAMMPS ``dump custom``, text or binary, or several that continue each other.

        Best written as ``id type xsu ysu zsu`` with ``dump_modify … sort id time yes``: scaled unwrapped positions
        are exact at constant pressure. ``xu yu zu``, ``x y z`` and ``xs ys zs`` are understood too, the latter two
        with ``ix iy iz`` if there, else by the nearest image from frame to frame. A dump that ends in the middle of a
        frame keeps its whole frames; ``truncated`` then says where it broke, and a warning is given.

        Parameters
        ----------
        path
            The dump, or dumps of restarts in order (frames of steps already seen are dropped).
        species
            Symbols by LAMMPS type; may be left out if the dump has an ``element`` column.
        timestep_fs
            Time step; may be left out if the dump tells times (``time yes``).
        metadata
            Kept with the trajectory.
        every
            Keep one frame in so many.

        Raises
        ------
        ValueError
            If the dump has no whole frame, lacks columns, or has types beyond ``species``.
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if every < 1:
            raise ValueError(f"every must be 1 or more, found {every}")
        writer, truncated, last = None, None, None
        unwrapper = lammps_dump.Unwrapper()
        for source in paths:
            frames = lammps_dump.DumpFrames(source)
            for number, frame in enumerate(frames):
                if last is not None and frame.step <= last:
                    continue
                symbols, scaled = unwrapper(frame, species)
                if writer is None:
                    writer = TrajectoryWriter(symbols, metadata, frame.pbc)
                elif symbols != writer.symbols:
                    raise ValueError(f"{source}: the atoms at step {frame.step} are not those of the first frame")
                last = frame.step
                if number % every == 0:
                    writer.append(scaled, frame.cell, frame.time_ps(timestep_fs), frame.step)
            truncated = frames.truncated
        if writer is None:
            raise ValueError(
                f"{paths[-1] if paths else 'no dump'}: no whole frame{f' ({truncated})' if truncated else ''}"
            )
        if truncated:
            warnings.warn(f"{paths[-1]}: {truncated}; {len(writer)} whole frames kept", stacklevel=2)
        return writer.finish(truncated)

    @classmethod
    def from_ase(
        cls,
        images: Iterable[Atoms],
        interval_ps: float | None = None,
        unwrapped: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> Trajectory:
        """From ASE images of the same atoms in the same order.

        Parameters
        ----------
        images
            Any iterable of ``Atoms``; only one is held at a time.
        interval_ps
            Time between images; taken from ``info['time_ps']`` if None.
        unwrapped
            Whether positions are unwrapped already; else the nearest image from frame to frame is taken.
        metadata
            Kept with the trajectory.
        """
        writer, previous = None, None
        for number, atoms in enumerate(images):
            if writer is None:
                writer = TrajectoryWriter(atoms.get_chemical_symbols(), metadata, atoms.pbc)
            if atoms.get_chemical_symbols() != writer.symbols:
                raise ValueError(f"image {number} has other atoms than the first")
            if interval_ps is None and "time_ps" not in atoms.info:
                raise ValueError(f"image {number} has no info['time_ps']; give interval_ps")
            scaled = atoms.positions @ np.linalg.inv(atoms.cell.array)
            if previous is not None and not unwrapped:
                scaled -= np.rint(scaled - previous) * atoms.pbc
            time = float(atoms.info["time_ps"]) if interval_ps is None else number * interval_ps
            writer.append(scaled, atoms.cell.array, time, int(atoms.info.get("step", number)))
            previous = scaled
        if writer is None:
            raise ValueError("a trajectory needs at least one image")
        return writer.finish()

    @classmethod
    def from_extxyz(
        cls, path: str | os.PathLike, interval_ps: float | None = None, unwrapped: bool = False
    ) -> Trajectory:
        """From an extended XYZ file; times from the ``time_ps`` entry of each frame unless ``interval_ps`` is given."""
        from ase.io import iread

        return cls.from_ase(iread(path, format="extxyz"), interval_ps, unwrapped)

    def write_extxyz(self, path: str | os.PathLike, wrap: bool = False) -> None:
        """Write an extended XYZ file, one frame at a time, with ``time_ps`` and ``step`` of each."""
        from ase.io import write

        with open(path, "w") as handle:
            for index in range(self.n_frames):
                write(handle, self.frame(index, wrap=wrap), format="extxyz")

    @classmethod
    def from_mdanalysis(
        cls, universe: Any, unwrapped: bool = False, metadata: dict[str, Any] | None = None
    ) -> Trajectory:
        """From an MDAnalysis ``Universe`` whose atoms have elements (or names that are element symbols)."""
        from MDAnalysis.lib.mdamath import triclinic_vectors

        names = universe.atoms.elements if hasattr(universe.atoms, "elements") else universe.atoms.names
        writer, previous = TrajectoryWriter([str(n) for n in names], metadata), None
        for step in universe.trajectory:
            cell = triclinic_vectors(step.dimensions).astype(float)
            scaled = step.positions.astype(float) @ np.linalg.inv(cell)
            if previous is not None and not unwrapped:
                scaled -= np.rint(scaled - previous)
            writer.append(scaled, cell, step.time, step.frame)
            previous = scaled
        return writer.finish()

    def to_mdanalysis(self) -> Any:
        """An MDAnalysis ``Universe`` in memory (float32), wrapped, each frame in its own cell with a along x."""
        import MDAnalysis
        from ase.geometry import cell_to_cellpar
        from MDAnalysis.coordinates.memory import MemoryReader
        from MDAnalysis.lib.mdamath import triclinic_vectors

        dimensions = np.array([cell_to_cellpar(cell) for cell in self.cells], np.float32)
        coordinates = np.empty((self.n_frames, self.n_atoms, 3), np.float32)
        for index in range(self.n_frames):
            scaled = self.scaled(None, index, index + 1)[0]
            coordinates[index] = (scaled - np.floor(scaled)) @ triclinic_vectors(dimensions[index])
        universe = MDAnalysis.Universe.empty(self.n_atoms, trajectory=True)
        for name in ("names", "types", "elements"):
            universe.add_TopologyAttr(name, self.symbols)
        universe.load_new(
            coordinates, format=MemoryReader, dimensions=dimensions, dt=self.interval_ps if self.n_frames > 1 else 1.0
        )
        return universe


def transform(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Row vectors ``(..., 3)`` times a matrix ``(3, 3)``: three products each where it is diagonal."""
    diagonal = np.diag(matrix)
    if not np.count_nonzero(matrix - np.diag(diagonal)):
        return vectors * diagonal
    return (vectors.reshape(-1, 3) @ matrix).reshape(vectors.shape)


def _check_symbols(symbols: Sequence[str]) -> None:
    if not len(symbols):
        raise ValueError("a trajectory needs atoms")
    if unknown := sorted({str(s) for s in symbols if s not in atomic_numbers}):
        raise ValueError(f"not chemical symbols: {', '.join(unknown)}")


def _run_lengths(symbols: Sequence[str]) -> list[list]:
    runs: list[list] = []
    for symbol in symbols:
        if runs and runs[-1][0] == symbol:
            runs[-1][1] += 1
        else:
            runs.append([symbol, 1])
    return runs


def _map_offsets(handle: IO[bytes], offset: int, shape: tuple[int, int, int]) -> np.ndarray | _HandleArray:
    try:
        handle.fileno()
    except (AttributeError, OSError):
        return _HandleArray(handle, offset, shape)
    return np.memmap(handle, "<i2", "r", offset, shape)
