"""Where one trajectory continues another: which frames are repeats, and what its clock, basis and images are.

LAMMPS repeats frames at restarts, begins its steps again (``reset_timestep``) or its clock (``read_restart`` of older
versions), and gives atoms other images when it reads them from a file. A frame that is a repeat has the same step *and*
the same positions.

A trajectory whose ``metadata`` has ``restart_step`` says itself from which step of the one before it goes on: what that
one has beyond it, before it was ended, was run again, perhaps with another time step.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiida_lpsgb.analysis.lattice import AMBIGUOUS, basis_change

if TYPE_CHECKING:
    from aiida_lpsgb.analysis.trajectory import Trajectory

# Frames that are the same differ by the digits of a text dump and the resolution of the compact file.
_SAME_A = 0.01
_SAME_RATE = 1e-6

RESTART_STEP = "restart_step"
"""Name of the metadata that tell from which step of the part before a part goes on."""


@dataclass(frozen=True)
class Seam:
    """How a trajectory continues another.

    Attributes
    ----------
    keep
        How many frames of the first are kept.
    step_shift, time_shift_ps
        To add to steps and times of the second.
    change
        Integer matrix that takes its cell vectors to the basis of the first.
    images
        To add to its scaled positions in that basis, shape ``(n_atoms, 3)``.
    """

    keep: int
    step_shift: int
    time_shift_ps: float
    change: np.ndarray
    images: np.ndarray


def find(old: Trajectory, new: Trajectory, old_name: str, new_name: str, restart_gap_ps: float | None) -> Seam:
    """Find how ``new`` continues ``old``; see :meth:`aiida_lpsgb.analysis.trajectory.Trajectory.concatenate`.

    Raises
    ------
    ValueError
        If it does not, or how much time lies between them cannot be told.
    """
    if (restart_step := new.metadata.get(RESTART_STEP)) is not None and new.steps[0] >= restart_step:
        keep = int(np.searchsorted(old.steps, min(restart_step, new.steps[0] - 1), side="right"))
        nearest, step_shift = max(keep - 1, 0), 0
        time_shift = _restart_shift(old, keep, new, restart_step)
    else:
        keep, step_shift, time_shift = _clock(old, new, old_name, new_name, restart_gap_ps)
        nearest = min(keep, old.n_frames - 1)
    try:
        change, images, moved = _difference(old, nearest, new)
    except ValueError as error:
        raise ValueError(f"{new_name} does not continue {old_name}: {error}") from None
    if (longest := np.abs(moved[:, np.array(old.pbc, bool)]).max(initial=0.0)) > AMBIGUOUS:
        warnings.warn(
            f"from {old_name} to {new_name} an atom moves by {longest:.2f} of the cell, so that it may have gone the "
            "other way: where both are dumps of unwrapped positions, join them into one file; else write more frames",
            stacklevel=4,
        )
    return Seam(keep, step_shift, time_shift, change, images)


def _restart_shift(old: Trajectory, keep: int, new: Trajectory, restart_step: int) -> float:
    """What to add to the times of a part that goes on from a step of the one before."""
    before, after = _rate_ps(old) or _rate_ps(new), _rate_ps(new) or _rate_ps(old)
    if before is None or after is None:
        return 0.0
    last = max(keep - 1, 0)
    restart = old.times_ps[last] + before * (restart_step - old.steps[last])
    return float(restart + after * (new.steps[0] - restart_step) - new.times_ps[0])


def _clock(
    old: Trajectory, new: Trajectory, old_name: str, new_name: str, restart_gap_ps: float | None
) -> tuple[int, int, float]:
    """Frames of the first that are kept, and the shifts of steps and times of the second."""
    first, last = int(new.steps[0]), int(old.steps[-1])
    if first > last:
        return old.n_frames, 0, _time_shift(old, new, old_name, new_name)
    there = np.flatnonzero(old.steps == first)
    if len(there) and _same(old, int(there[-1]), new, 0):
        keep = int(there[-1])
        if keep == 0 and not _repeats(old, new):
            raise ValueError(
                f"{new_name} begins with the first frame of {old_name} and goes on differently: these are two runs "
                "from one start; give them one by one"
            )
        return keep, 0, float(old.times_ps[keep] - new.times_ps[0])
    if _same(old, old.n_frames - 1, new, 0):
        return old.n_frames - 1, last - first, float(old.times_ps[-1] - new.times_ps[0])
    if restart_gap_ps is None:
        raise ValueError(
            f"the steps begin again at {first} in {new_name}, after {last} in {old_name}, with other positions "
            "(reset_timestep?): give restart_gap_ps, the time in ps from the last frame of the one to the first of the "
            "other; if these are different runs, give them one by one"
        )
    rate = _rate_ps(old) or _rate_ps(new) or restart_gap_ps
    steps = max(1, round(restart_gap_ps / rate))
    return old.n_frames, last + steps - first, float(old.times_ps[-1] + restart_gap_ps - new.times_ps[0])


def _time_shift(old: Trajectory, new: Trajectory, old_name: str, new_name: str) -> float:
    """What to add to the times of a part whose steps go on: none if its clock goes on as well."""
    rate = _rate_ps(new) or _rate_ps(old)
    if rate is None:
        if new.times_ps[0] > old.times_ps[-1]:
            return 0.0
        raise ValueError(
            f"the times begin again at {new.times_ps[0]:g} ps in {new_name}, after {old.times_ps[-1]:g} ps in "
            f"{old_name}, and single frames do not tell the time step: give timestep_fs"
        )
    expected = old.times_ps[-1] + rate * (new.steps[0] - old.steps[-1])
    shift = float(expected - new.times_ps[0])
    return shift if abs(shift) > 1e-3 * rate + _SAME_RATE * abs(expected) else 0.0


def _rate_ps(trajectory: Trajectory) -> float | None:
    """Time of a step, ps; None for a single frame."""
    steps = int(trajectory.steps[-1] - trajectory.steps[0])
    return trajectory.duration_ps / steps if steps > 0 else None


def _same(old: Trajectory, i: int, new: Trajectory, j: int) -> bool:
    """Whether two frames are one: the same cell and positions, whatever the basis and images."""
    try:
        change, _, moved = _difference(old, i, new, j)
    except ValueError:
        return False
    furthest = np.linalg.norm(moved @ old.cells[i], axis=1).max(initial=0.0)
    return furthest <= _SAME_A and np.abs(change @ new.cells[j] - old.cells[i]).max() <= _SAME_A


def _repeats(old: Trajectory, new: Trajectory) -> bool:
    """Whether ``new`` has all of ``old``."""
    places = np.searchsorted(new.steps, old.steps)
    if places[-1] >= new.n_frames or not np.array_equal(new.steps[places], old.steps):
        return False
    # A run that goes on differently has gone apart by its end.
    return _same(old, old.n_frames - 1, new, int(places[-1]))


def _difference(old: Trajectory, i: int, new: Trajectory, j: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Change of basis and images that take frame ``j`` nearest to frame ``i``, and what is then left, scaled."""
    change = basis_change(old.cells[i], new.cells[j], old.pbc)
    theirs = new.scaled(None, j, j + 1)[0] @ np.linalg.inv(change)
    apart = old.scaled(None, i, i + 1)[0] - theirs
    images = np.rint(apart) * np.array(old.pbc)
    return change, images.astype(np.int32), apart - images
