"""Trajectories: many atoms, many frames, in one or several files that open at once and are read in parts.

In a run at constant pressure the cell breathes, and an unwrapped position *x + image × box* breathes with it, more so
the further the atom has travelled. What is stored is therefore the unwrapped *scaled* position (see
:mod:`aiida_lpsgb.analysis.trajectory_file`). From it follow positions in the mean cell (:meth:`Trajectory.positions`:
what mean-squared displacements want) and positions in each frame's own cell (:meth:`Trajectory.frame`: what distances
want). All frames are in one choice of lattice vectors, that of the first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from aiida_lpsgb.analysis import seams, trajectory_file
from aiida_lpsgb.analysis.conversion import Conversions
from aiida_lpsgb.analysis.trajectory_file import STEP_A, Encoded, Encoder, TrajectoryFormatError, transform

__all__ = ["STEP_A", "Trajectory", "TrajectoryFormatError", "TrajectoryWriter", "transform"]

_FRAMES_REWRITTEN = 64


@dataclass(frozen=True)
class _Part:
    """A file's frames within a trajectory: in which basis, and in which images, its atoms are.

    ``change`` takes its cell vectors to those of the trajectory; ``images`` are added to scaled positions then.
    """

    encoded: Encoded
    change: np.ndarray
    images: np.ndarray | None = None


class Trajectory(Conversions):
    """Positions of the same atoms in many frames, with cells and times.

    Slices, :meth:`subset` and :meth:`concatenate` are views: nothing is copied, and frames are read
    from the files.

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
        encoder = Encoder(symbols, metadata, pbc)
        steps = range(n_frames) if steps is None else steps
        for frame, cell, time, step in zip(positions, cells, times_ps, steps, strict=True):
            encoder.append(np.asarray(frame, float) @ np.linalg.inv(cell), cell, time, step)
        self.__dict__ = self.of(encoder.finish()).__dict__

    @classmethod
    def of(cls, encoded: Encoded) -> Trajectory:
        """The trajectory of one file's frames."""
        n_frames = len(encoded.times_ps)
        return cls._view(
            parts=[_Part(encoded, np.eye(3, dtype=int))],
            part=np.zeros(n_frames, int),
            index=np.arange(n_frames),
            atoms=np.arange(len(encoded.symbols)),
            cells=encoded.cells,
            times_ps=encoded.times_ps,
            steps=encoded.steps,
            metadata=encoded.metadata,
            truncated=encoded.truncated,
        )

    @classmethod
    def _view(
        cls,
        *,
        parts: list[_Part],
        part: np.ndarray,
        index: np.ndarray,
        atoms: np.ndarray,
        cells: np.ndarray,
        times_ps: np.ndarray,
        steps: np.ndarray,
        metadata: dict[str, Any],
        truncated: str | None,
    ) -> Trajectory:
        """Frames of some files: ``part`` and ``index`` tell which each is, ``atoms`` which atoms of them."""
        self = cls.__new__(cls)
        encoded = parts[0].encoded
        self._parts, self._part, self._index, self._atoms = parts, part, index, atoms
        self.symbols: list[str] = [encoded.symbols[i] for i in atoms]
        self.pbc: list[bool] = list(encoded.pbc)
        self.cells: np.ndarray = cells
        self.times_ps: np.ndarray = times_ps
        self.steps: np.ndarray = steps
        self.metadata: dict[str, Any] = metadata
        self.truncated: str | None = truncated
        return self

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

    @cached_property
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
        return self._read(slice(start, stop, step), self._wanted(species, indices), self.mean_cell, dtype)

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
        return self._read(slice(start, stop, step), self._wanted(species, indices), np.eye(3), dtype)

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

    def _read(self, frames: slice, atoms: np.ndarray, cell: np.ndarray, dtype: type) -> np.ndarray:
        """Scaled positions times a cell."""
        part, index = self._part[frames], self._index[frames]
        out = np.empty((len(index), len(atoms), 3), dtype)
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
        for low, high in pairwise(edges):
            if low == high:
                continue
            source = self._parts[part[low]]
            to_scaled = np.linalg.inv(source.change @ source.encoded.cells[0])
            out[low:high] = source.encoded.decode(index[low:high], self._atoms[atoms], to_scaled @ cell, dtype)
            if source.images is not None:
                out[low:high] += (source.images[self._atoms[atoms]] @ cell).astype(dtype)
        return out

    # ---- parts and wholes ------------------------------------------------------------------------------------------

    def __getitem__(self, key: slice) -> Trajectory:
        """Part of the frames, as a view."""
        if not isinstance(key, slice):
            raise TypeError("a trajectory is cut with a slice; use frame(i) for a single frame")
        if not len(self._index[key]) or (key.step or 1) < 0:
            raise ValueError(f"{key} leaves no frames of {self.n_frames}, or turns time around")
        return self._with(
            part=self._part[key],
            index=self._index[key],
            cells=self.cells[key],
            times_ps=self.times_ps[key],
            steps=self.steps[key],
        )

    def subset(self, species: str | Iterable[str]) -> Trajectory:
        """The trajectory of some species alone, as a view."""
        return self._with(atoms=self._atoms[self.indices(species)])

    def _with(self, **changed: Any) -> Trajectory:
        """A view with some of the tables of this one changed."""
        names = ("parts", "part", "index", "atoms")
        tables = {name: getattr(self, f"_{name}") for name in names}
        tables |= {name: getattr(self, name) for name in ("cells", "times_ps", "steps", "metadata", "truncated")}
        return self._view(**tables | changed)

    @classmethod
    def concatenate(
        cls,
        parts: Sequence[Trajectory],
        *,
        names: Sequence[str] | None = None,
        restart_gap_ps: float | None = None,
    ) -> Trajectory:
        """Join runs that continue each other, as a view: nothing is read but the frames at the seams.

        A part may begin with a frame of the one before, or its metadata may say ``restart_step``: what that one has
        from there on is dropped, as a restart began there. Where the clock of a part begins again, times go on; where
        its steps begin again, they go on too if its first frame is the last one of the part before. Atoms are followed
        through the seam by the nearest image, and the lattice vectors are those of the first part.

        Parameters
        ----------
        parts
            In order.
        names
            Of the parts, for messages.
        restart_gap_ps
            Time between the last frame of a part and the first of the next where the steps begin again and no frame
            tells how much time has passed.

        Raises
        ------
        ValueError
            If the parts differ in their atoms, or do not continue each other.
        """
        if not parts:
            raise ValueError("nothing to concatenate")
        names = [f"part {k}" for k in range(len(parts))] if names is None else list(names)
        joined = parts[0]
        for number in range(1, len(parts)):
            joined = joined._continued(parts[number], names[number - 1], names[number], restart_gap_ps)
        return joined

    def _continued(self, new: Trajectory, own_name: str, name: str, restart_gap_ps: float | None) -> Trajectory:
        if new.symbols != self.symbols or new.pbc != self.pbc:
            raise ValueError(f"{name} has other atoms or another periodicity than {own_name}: {new} against {self}")
        seam = seams.find(self, new, own_name, name, restart_gap_ps)
        kept = slice(0, seam.keep)
        return self._with(
            parts=self._parts + [self._moved(part, seam) for part in new._parts],
            part=np.concatenate([self._part[kept], new._part + len(self._parts)]),
            index=np.concatenate([self._index[kept], new._index]),
            cells=np.concatenate([self.cells[kept], seam.change @ new.cells]),
            times_ps=np.concatenate([self.times_ps[kept], new.times_ps + seam.time_shift_ps]),
            steps=np.concatenate([self.steps[kept], new.steps + seam.step_shift]),
            truncated=new.truncated,
        )

    def _moved(self, part: _Part, seam: seams.Seam) -> _Part:
        """A part in this trajectory's basis and images."""
        images = np.zeros((len(part.encoded.symbols), 3), np.int32)
        images[self._atoms] = seam.images
        if part.images is not None:
            images += np.rint(part.images @ np.linalg.inv(seam.change)).astype(np.int32)
        return replace(part, change=seam.change @ part.change, images=images if images.any() else None)

    # ---- the compact file ------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> Path:
        """Write the compact file (conventional suffix ``.lpsgbtraj``), some frames at a time.

        Equal content gives equal bytes; a trajectory that was opened from a file, and is not a view, is written as it
        stands there.
        """
        encoded = self._parts[0].encoded
        if len(self._parts) == 1 and self.n_frames == len(encoded.times_ps) and self.symbols == encoded.symbols:
            return replace(encoded, metadata=self.metadata).save(path)
        encoder = Encoder(self.symbols, self.metadata, self.pbc, path)
        for low in range(0, self.n_frames, _FRAMES_REWRITTEN):
            for row, scaled in enumerate(self.scaled(None, low, low + _FRAMES_REWRITTEN), low):
                encoder.append(scaled, self.cells[row], self.times_ps[row], self.steps[row])
        encoder.finish(self.truncated)
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
        return cls.of(trajectory_file.load(source))


class TrajectoryWriter(Encoder):
    """Collects frames, in order, into a :class:`Trajectory`; parameters as for its base."""

    def finish(self, truncated: str | None = None) -> Trajectory:
        """The trajectory of the frames so far; ``truncated`` says why it is shorter than meant."""
        return Trajectory.of(super().finish(truncated))
