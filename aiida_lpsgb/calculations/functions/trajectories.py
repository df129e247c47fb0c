"""Trajectories of other programs as nodes that `lpsgb.analyse` reads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.data.trajectory import TrajectoryData

#: Exit status where the dump is refused; the message says why.
REFUSED = 410
RUN_KEYS = ("ensemble", "temperature_K", "timestep_fs")
READER_KEYS = ("species", "every", "units", "sorted_rows", "restart_gap_ps")


@calcfunction
def read_dump(dump: orm.Data, parameters: orm.Dict) -> TrajectoryData | ExitCode:
    """Read a LAMMPS dump, of one's own or of aiida-lammps.

    Parameters
    ----------
    dump : SinglefileData or aiida-lammps's LammpsTrajectory
        A `dump custom` in text or binary.
    parameters : Dict
        ``temperature_K`` and ``timestep_fs`` of the run; optionally ``ensemble`` and, as
        :meth:`aiida_lpsgb.analysis.trajectory.Trajectory.from_lammps_dump` takes them, ``species`` (by LAMMPS type,
        where the dump has no elements), ``every``, ``units``, ``sorted_rows``, ``restart_gap_ps``.

    Returns
    -------
    TrajectoryData
        The run. Where the dump cannot be understood the process ends with exit code 410 and the reason.
    """
    options = parameters.get_dict()
    if unknown := sorted(set(options) - set(RUN_KEYS + READER_KEYS)):
        return ExitCode(
            REFUSED, f"parameters: unknown {', '.join(unknown)}; known are {', '.join(RUN_KEYS + READER_KEYS)}"
        )
    run: dict[str, Any] = {key: options.get(key) for key in RUN_KEYS}
    reader = {key: options[key] for key in READER_KEYS if key in options}
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = _write(dump, Path(folder))
            trajectory = Trajectory.from_lammps_dump(path, timestep_fs=run["timestep_fs"], **reader)
            return TrajectoryData(trajectory, **run)
        except (OSError, TypeError, ValueError) as error:
            return ExitCode(REFUSED, f"dump: {error}")


def _write(dump: orm.Data, folder: Path) -> Path:
    """Write the content of a node into a file."""
    if isinstance(dump, orm.SinglefileData):
        path = folder / dump.filename
        with dump.open(mode="rb") as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    elif hasattr(dump, "write_as_lammps"):
        path = folder / "trajectory.lammpstrj"
        with path.open("wb") as target:
            dump.write_as_lammps(target)
    else:
        raise TypeError(f"it is {type(dump).__name__}; give SinglefileData or a trajectory of aiida-lammps")
    return path
