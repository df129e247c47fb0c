"""Why a claimed order of systems is not supported: statistics, the potentials, or the convention of a number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aiida_lpsgb.analysis.comparison import LEVEL, SUPPORTED, Known, Relation, Structure, order, parse_order
from aiida_lpsgb.report.text import with_error


@dataclass(frozen=True)
class Evidence:
    """What there is to tell why, of one quantity.

    Attributes
    ----------
    structures
        What is known of the systems, by name.
    potentials
        The quantity and its standard error by each potential alone, by system and potential; of D its logarithm.
    conventions
        What is known of the systems where the quantity is counted otherwise, by the name of that convention.
    """

    structures: Mapping[str, Structure]
    potentials: Mapping[str, Mapping[str, tuple[float, float | None]]]
    conventions: Mapping[str, Mapping[str, Structure]] = field(default_factory=dict)


def reason(step: Relation, evidence: Evidence) -> str:
    """What is to blame for a step of an order that is open or contradicted, with the numbers that say so.

    An open step is blamed on what makes most of the error of the number that is known worst, a contradicted one on the
    potentials where some of them would have it so. Other conventions that support the step are named.

    Parameters
    ----------
    step
        One step, such as ``crystal < tilt``.
    evidence
        Of the step's quantity.

    Returns
    -------
    str
        Empty for a step that is supported.
    """
    if step.verdict == "supported":
        return ""
    kinds, _ = parse_order(step.claim)
    own = {name: s for name, s in evidence.structures.items() if s.kind in kinds and step.quantity in s.known}
    blame = _of_contradicted if step.verdict == "contradicted" else _of_open
    told = [blame(step, own, evidence)]
    for name, structures in evidence.conventions.items():
        again = [found for found in order(structures, step.quantity, step.claim) if found.claim == step.claim]
        if again and again[0].probability >= SUPPORTED:
            told.append(f"convention: by {name} {again[0].probability:.0%}")
    return "; ".join(told)


def _of_open(step: Relation, own: Mapping[str, Structure], evidence: Evidence) -> str:
    worst = max(own, key=lambda name: _width(own[name].known[step.quantity]))
    found = list(evidence.potentials.get(worst, {}).values())
    errors = [error for _, error in found if error is not None]
    spread = np.std([value for value, _ in found], ddof=1) if len(found) > 1 else 0.0
    differ = len(errors) == len(found) and spread > np.sqrt(np.mean(np.square(errors or [0.0])))
    return f"{'potentials' if differ else 'statistics'}: {worst} {_how_well(own[worst].known[step.quantity])}"


def _of_contradicted(step: Relation, own: Mapping[str, Structure], evidence: Evidence) -> str:
    """Which potentials would have the step, each by itself."""
    (first, second), _ = parse_order(step.claim)
    found = {name: evidence.potentials.get(name, {}) for name in own}
    means = {
        potential: [
            np.mean([found[name][potential][0] for name, s in own.items() if s.kind == kind])
            for kind in (first, second)
        ]
        for potential in sorted(set.intersection(*map(set, found.values())))
    }
    if "~" in step.claim or len(means) < 2:
        return f"not for want of statistics: {', '.join(own)} are known well enough"
    holds = [potential for potential, (a, b) in means.items() if a < b]
    if holds:
        return f"potentials: {' and '.join(holds)} of {len(means)} would have it so"
    return f"by all {len(means)} potentials alike"


def _width(known: Known) -> float:
    """How badly something is known: half of the 95 % interval as a logarithm of a factor, or as a share."""
    if known.value is None:
        return math.inf
    if known.low is None or known.high is None:
        return 0.0
    if known.positive:
        return math.log(known.high / max(known.low, 1e-300)) / 2
    return (known.high - known.low) / 2 / max(abs(known.value), 1e-300)


def _how_well(known: Known) -> str:
    if known.value is None:
        return "has only an upper limit"
    if known.low is None or known.high is None:
        return "is of a single run"
    if known.positive:
        return f"is known within a factor of {float(f'{math.exp(_width(known)):.2g}'):g}"
    return f"is {with_error(known.value, (known.high - known.low) / 2 / LEVEL)}"
