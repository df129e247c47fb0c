"""Is a diffusion coefficient known well enough, and if not, how much longer should the run be?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import stats

from aiida_lpsgb.analysis.verdict import EXPONENT_TOLERANCE

_MARGIN = 1.2  # an estimate from a noisy error shall not fall short by a little
_SHORTEST, _LONGEST = 1.25, 4.0  # factors that are asked for in one go
_UNKNOWN = 2.0


@dataclass(frozen=True)
class Progress:
    """What a run has reached.

    Attributes
    ----------
    known
        Whether the motion is diffusive and D known to the target.
    relative_error
        Standard error over D; None where the motion is not diffusive.
    factor
        By what factor the part of the run that counts should be longer; one if nothing is wanted.
    more_ps
        The same as time to add, ps.
    reason
        What is missing, in words; empty if nothing is.
    """

    known: bool
    relative_error: float | None
    factor: float
    more_ps: float
    reason: str


def progress(scalars: Mapping[str, Any], target: float = 0.1) -> Progress:
    """Whether D is known to a target, and how much longer the run should be if not.

    Errors fall with the root of the time, displacements of diffusive ions grow with it. As estimates of both are noisy,
    and as what is not diffusive yet may never be, no more than four times the run is asked for at once.

    Parameters
    ----------
    scalars
        ``scalars()`` of a diffusivity, whole or of a region.
    target
        Standard error over D that is wanted.

    Raises
    ------
    ValueError
        If the target is not between 0 and 1.
    """
    if not 0 < target < 1:
        raise ValueError(f"the target of the relative error must lie between 0 and 1, found {target}")
    d, error = scalars["diffusivity_cm2_s"], scalars["uncertainty_cm2_s"]
    if scalars["diffusive"]:
        relative = error / d
        if relative <= target:
            return Progress(True, relative, 1.0, 0.0, "")
        reason = f"D is known to {100 * relative:.0f} %, wanted are {100 * target:.0f} %"
        return _longer(scalars, relative, (relative / target) ** 2, reason)
    return _longer(scalars, None, _until_diffusive(scalars), scalars["verdict"])


def _until_diffusive(scalars: Mapping[str, Any]) -> float:
    """Factor in time after which the tests that failed may be passed."""
    factors = [_UNKNOWN]
    hop, gone = scalars.get("hop_length_A"), scalars.get("displacement_A2")
    if hop is not None and gone is not None and gone < hop**2:
        factors.append(hop**2 / gone if gone > 0 else _LONGEST)
    error, dof = scalars.get("exponent_uncertainty"), scalars.get("degrees_of_freedom")
    if error is not None and dof:
        factors.append((stats.t.ppf(0.975, dof) * error / EXPONENT_TOLERANCE) ** 2)
    return max(factors)


def _longer(scalars: Mapping[str, Any], relative: float | None, factor: float, reason: str) -> Progress:
    factor = float(min(max(_MARGIN * factor, _SHORTEST), _LONGEST))
    return Progress(False, relative, factor, (factor - 1) * float(scalars["duration_ps"]), reason)
