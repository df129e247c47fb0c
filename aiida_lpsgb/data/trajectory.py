"""A molecular-dynamics trajectory, or a segment of one, in one compact file."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida.common.exceptions import ValidationError
from aiida.orm import Data

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.analysis.trajectory_file import VERSION
from aiida_lpsgb.data.html import described
from aiida_lpsgb.data.left_out import open_file

_ENSEMBLES = ("nve", "nvt", "npt")


class TrajectoryData(Data):
    """Unwrapped positions, cells and times of a run, or of some of its species.

    A run in several jobs is several nodes, its segments: each holds the frames of its job alone. What reads a run takes
    them as a namespace and joins them in the order of their keys, dropping a frame that a restart has repeated.

    Parameters
    ----------
    trajectory
        A :class:`~aiida_lpsgb.analysis.trajectory.Trajectory`, or the path of a file that one was saved to.
    ensemble
        ``nve``, ``nvt`` or ``npt``.
    temperature_K
        Temperature the run was set to.
    timestep_fs
        Step of the integrator.

    Raises
    ------
    ValueError
        If the file is not a complete trajectory, or one of the other values makes no sense.

    Notes
    -----
    Attributes to query: ``format_version`` (of the file), ``n_atoms``, ``n_frames``, ``species``, ``composition``
    (atoms of each species), ``first_step``, ``last_step``, ``start_ps``, ``duration_ps``, ``frame_interval_fs``,
    ``timestep_fs``, ``ensemble``, ``temperature_K``, ``truncated`` (why it is shorter than meant, None if it is not).
    """

    FILENAME = "trajectory.lpsgbtraj"

    def __init__(
        self,
        trajectory: Trajectory | str | Path,
        ensemble: str | None = None,
        temperature_K: float | None = None,
        timestep_fs: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if ensemble is not None and ensemble not in _ENSEMBLES:
            raise ValueError(f"ensemble is {ensemble!r}, expected one of {', '.join(_ENSEMBLES)}")
        for name, value in (("temperature_K", temperature_K), ("timestep_fs", timestep_fs)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}, expected a positive number")
        if isinstance(trajectory, Trajectory):
            with tempfile.TemporaryDirectory() as folder:
                self.base.repository.put_object_from_file(trajectory.save(Path(folder) / self.FILENAME), self.FILENAME)
        else:
            path = Path(trajectory)
            trajectory = Trajectory.load(path)
            self.base.repository.put_object_from_file(path, self.FILENAME)
        self.base.attributes.set_many(_describe(trajectory) | {"format_version": VERSION})
        self.base.attributes.set_many(
            {"ensemble": ensemble, "temperature_K": temperature_K, "timestep_fs": timestep_fs}
        )

    def _validate(self) -> bool:
        super()._validate()
        if self.base.repository.list_object_names() != [self.FILENAME]:
            raise ValidationError(f"a trajectory holds the file {self.FILENAME} and nothing else")
        return True

    @contextmanager
    def open_trajectory(self) -> Iterator[Trajectory]:
        """Give the trajectory, reading frames only as they are asked for."""
        with open_file(self, self.FILENAME) as handle:
            yield Trajectory.load(handle)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.base.attributes.get("n_frames")

    @property
    def species(self) -> list[str]:
        """Species kept, sorted."""
        return list(self.base.attributes.get("species"))

    def _repr_html_(self) -> str:
        """What it holds, in a notebook."""
        told = self.base.attributes.all
        rows = {
            "atoms": told["composition"],
            "from step": f"{told['first_step']} to {told['last_step']}",
            "duration (ps)": told["duration_ps"],
            "between frames (fs)": told["frame_interval_fs"],
            "ensemble": told["ensemble"],
            "temperature (K)": told["temperature_K"],
            "cut short": told["truncated"],
        }
        return described(self, f"Segment of a run, {self.n_frames} frames", rows)


def _describe(trajectory: Trajectory) -> dict[str, Any]:
    times = trajectory.times_ps
    composition = Counter(trajectory.symbols)
    return {
        "n_atoms": trajectory.n_atoms,
        "n_frames": trajectory.n_frames,
        "species": sorted(composition),
        "composition": {symbol: composition[symbol] for symbol in sorted(composition)},
        "first_step": int(trajectory.steps[0]),
        "last_step": int(trajectory.steps[-1]),
        "start_ps": float(times[0]),
        "duration_ps": float(times[-1] - times[0]),
        "frame_interval_fs": float(times[1] - times[0]) * 1000 if len(times) > 1 else None,
        "truncated": trajectory.truncated,
    }
