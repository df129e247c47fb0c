"""Trajectories from and to other formats: LAMMPS dumps, ASE, extended XYZ, MDAnalysis."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from ase import Atoms

from aiida_lpsgb.analysis.lammps_dump import Clock, DumpFrame, DumpFrames, Rows, Walls
from aiida_lpsgb.analysis.lattice import AMBIGUOUS
from aiida_lpsgb.analysis.trajectory_file import Encoded, Encoder

if TYPE_CHECKING:
    from aiida_lpsgb.analysis.trajectory import Trajectory


class Conversions:
    """What a :class:`~aiida_lpsgb.analysis.trajectory.Trajectory` can be made from and turned into."""

    @classmethod
    def from_lammps_dump(
        cls,
        path: str | os.PathLike | Sequence[str | os.PathLike],
        species: Sequence[str] | None = None,
        timestep_fs: float | None = None,
        metadata: dict[str, Any] | None = None,
        every: int = 1,
        *,
        units: str | None = None,
        sorted_rows: bool = False,
        restart_gap_ps: float | None = None,
    ) -> Self:
        """Read a LAMMPS ``dump custom``, text or binary, or several that continue each other.

        Best written as ``id type xsu ysu zsu`` with ``dump_modify … sort id time yes units yes``: scaled unwrapped
        positions are exact at constant pressure. ``xu yu zu``, ``x y z`` and ``xs ys zs`` are understood too, the
        latter two with ``ix iy iz`` if there, else by the nearest image from frame to frame. A box that flips is folded
        back. A dump that ends in the middle of a frame keeps its whole frames; ``truncated`` then says where it broke,
        and a warning is given.

        Parameters
        ----------
        path
            The dump, or dumps of restarts in order; they are joined as
            :meth:`~aiida_lpsgb.analysis.trajectory.Trajectory.concatenate` does, as are the runs of one file whose
            steps begin again.
        species
            Symbols by LAMMPS type; may be left out if the dump has an ``element`` column.
        timestep_fs
            Time step; may be left out if the dump tells times (``time yes``).
        metadata
            Kept with the trajectory.
        every
            Keep one frame in so many of the joined run.
        units
            LAMMPS units of the times, ``metal`` or ``real``, where neither the dump nor the size of its time step
            tells.
        sorted_rows
            That a dump without ids has its atoms in the same order in every frame.
        restart_gap_ps
            Time from the last frame of a run to the first of the next where the steps begin again and no frame is
            repeated.

        Raises
        ------
        ValueError
            If the dump has no whole frame, lacks columns, has types beyond ``species``, or leaves open what its rows or
            times mean; the message names the keyword that tells it.
        """
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if every < 1:
            raise ValueError(f"every must be 1 or more, found {every}")
        reader = _DumpReader(species, timestep_fs, metadata, units, sorted_rows)
        for source in paths:
            reader.read(source)
        reader.end()
        if not reader.parts:
            broken = f" ({reader.truncated})" if reader.truncated else ""
            raise ValueError(f"{paths[-1] if paths else 'no dump'}: no whole frame{broken}")
        parts = [cls.of(part) for part in reader.parts]
        joined = cls.concatenate(parts, names=reader.names, restart_gap_ps=restart_gap_ps)
        if joined.truncated:
            warnings.warn(f"{paths[-1]}: {joined.truncated}; {len(joined)} whole frames kept", stacklevel=2)
        return joined[::every] if every > 1 else joined

    @classmethod
    def from_ase(
        cls,
        images: Iterable[Atoms],
        interval_ps: float | None = None,
        unwrapped: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> Self:
        """From ASE images of the same atoms in the same order.

        Parameters
        ----------
        images
            Any iterable of ``Atoms``; only one is held at a time.
        interval_ps
            Time between images; taken from ``info['time_ps']`` if None, and refused where it contradicts that.
        unwrapped
            Whether positions are unwrapped already; else the nearest image from frame to frame is taken.
        metadata
            Kept with the trajectory.
        """
        encoder, start_ps = None, None
        for number, atoms in enumerate(images):
            if encoder is None:
                encoder = Encoder(atoms.get_chemical_symbols(), metadata, atoms.pbc)
                start_ps = atoms.info.get("time_ps")
            if atoms.get_chemical_symbols() != encoder.symbols:
                raise ValueError(f"image {number} has other atoms than the first")
            told_ps = atoms.info.get("time_ps")
            if interval_ps is None and told_ps is None:
                raise ValueError(f"image {number} has no info['time_ps']; give interval_ps")
            if interval_ps is not None and None not in (told_ps, start_ps):
                _check_interval(number, float(told_ps) - float(start_ps), interval_ps)
            if atoms.cell.rank < 3:
                raise ValueError(
                    f"image {number} has a cell without volume; give it one of three independent vectors, also along "
                    "what is not periodic"
                )
            scaled = atoms.positions @ np.linalg.inv(atoms.cell.array)
            time = float(told_ps) if interval_ps is None else number * interval_ps
            step = int(atoms.info.get("step", number))
            encoder.append(scaled, atoms.cell.array, time, step, unwrapped=unwrapped)
        if encoder is None:
            raise ValueError("a trajectory needs at least one image")
        _warn_of_moves(encoder, "these images")
        return cls.of(encoder.finish())

    @classmethod
    def from_extxyz(cls, path: str | os.PathLike, interval_ps: float | None = None, unwrapped: bool = False) -> Self:
        """From an extended XYZ file; times from the ``time_ps`` entry of each frame unless ``interval_ps`` is given."""
        from ase.io import iread

        return cls.from_ase(iread(path, format="extxyz"), interval_ps, unwrapped)

    def write_extxyz(self: Trajectory, path: str | os.PathLike, wrap: bool = False) -> None:
        """Write an extended XYZ file, one frame at a time, with ``time_ps`` and ``step`` of each."""
        from ase.io import write

        with open(path, "w") as handle:
            for index in range(self.n_frames):
                write(handle, self.frame(index, wrap=wrap), format="extxyz")

    @classmethod
    def from_mdanalysis(cls, universe: Any, unwrapped: bool = False, metadata: dict[str, Any] | None = None) -> Self:
        """From an MDAnalysis ``Universe`` whose atoms have elements (or names that are element symbols)."""
        from MDAnalysis.lib.mdamath import triclinic_vectors

        names = universe.atoms.elements if hasattr(universe.atoms, "elements") else universe.atoms.names
        encoder = Encoder([str(n) for n in names], metadata)
        for step in universe.trajectory:
            cell = triclinic_vectors(step.dimensions).astype(float)
            scaled = step.positions.astype(float) @ np.linalg.inv(cell)
            encoder.append(scaled, cell, step.time, step.frame, unwrapped=unwrapped)
        _warn_of_moves(encoder, "this universe")
        return cls.of(encoder.finish())

    def to_mdanalysis(self: Trajectory) -> Any:
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


class _DumpReader:
    """Reads dumps into encoded parts: one for each file, and for each run within it whose steps begin again.

    Files of a frame each (``dump … run.*.dump``) are one part: from one to the next, an unwrapped atom may have gone
    further than the nearest image tells.
    """

    def __init__(
        self,
        species: Sequence[str] | None,
        timestep_fs: float | None,
        metadata: dict[str, Any] | None,
        units: str | None,
        sorted_rows: bool,
    ):
        self.parts: list[Encoded] = []
        self.names: list[str] = []
        self.truncated: str | None = None
        self._rows, self._walls = Rows(species, sorted_rows), Walls()
        self._metadata, self._timestep_fs, self._units = metadata, timestep_fs, units
        self._encoder: Encoder | None = None
        self._clock: Clock | None = None
        self._columns: list[str] = []
        self._from = self._to = ""

    def read(self, source: str | os.PathLike) -> None:
        """Add the runs of a dump; the last one is not ended where the next file may go on with it."""
        frames = DumpFrames(source)
        name, number, count = os.path.basename(source), 0, 0
        for count, frame in enumerate(frames, start=1):
            if self._encoder is not None and self._begins(frame, first=count == 1):
                self.end()
                number += count > 1
            self._add(frame, name, f"{name}, run {number}" if number else name)
        self.truncated = frames.truncated
        if count != 1 or frames.truncated:
            self.end(frames.truncated)

    def _begins(self, frame: DumpFrame, first: bool) -> bool:
        """Whether a frame, perhaps the first of its file, begins a run."""
        return self._clock.begins_again(frame) or (first and frame.columns != self._columns)

    def _add(self, frame: DumpFrame, name: str, run: str) -> None:
        try:
            symbols, scaled, unwrapped = self._rows(frame)
            scaled, cell = self._walls(frame, scaled)
            if self._encoder is None:
                self._encoder = Encoder(symbols, self._metadata, frame.pbc)
                self._clock = Clock(self._timestep_fs, self._units)
                self._from = run
            # Times are told when the run's frames have shown what they mean.
            self._clock.add(frame)
            self._encoder.append(scaled, cell, len(self._encoder), frame.step, unwrapped=unwrapped)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        self._columns, self._to = frame.columns, run

    def end(self, truncated: str | None = None) -> None:
        """End the run that is being read, if one is."""
        if self._encoder is None:
            return
        name = self._from if self._from == self._to else f"{self._from} to {self._to}"
        try:
            self._encoder.times_ps = self._clock.times_ps()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        _warn_of_moves(self._encoder, name)
        self.parts.append(self._encoder.finish(truncated))
        self.names.append(name)
        self._encoder = None


def _check_interval(number: int, passed_ps: float, interval_ps: float) -> None:
    """Refuse an interval by which an image is not at the time, since the first, that it tells."""
    if abs(passed_ps - number * interval_ps) > 1e-3 * interval_ps:
        raise ValueError(
            f"image {number} is {passed_ps:g} ps after the first by info['time_ps'], and {number * interval_ps:g} ps "
            f"by interval_ps = {interval_ps:g}; leave interval_ps out, or time_ps where it is wrong"
        )


def _warn_of_moves(encoder: Encoder, name: str) -> None:
    if encoder.follower.longest_move > AMBIGUOUS:
        warnings.warn(
            f"{name}: positions are wrapped, and an atom moves by {encoder.follower.longest_move:.2f} of the cell from "
            "one frame to the next, so that it may have gone the other way: write unwrapped positions (xu yu zu, or "
            "with ix iy iz) or more frames",
            stacklevel=3,
        )
