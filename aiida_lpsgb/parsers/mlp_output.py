"""What MLIP-2's ``mlp`` and this package's ``lpsgb-mlp`` print."""

from __future__ import annotations

import math
import re
from typing import Any

TRAIN_HEADING = "* * * TRAIN ERRORS * * *"
VALIDATION_HEADING = "* * * VALIDATION ERRORS * * *"
_REPORT_START = "Errors report"
# Heading of a block in a report, the prefix and unit of the keys its numbers get, and the number of components that
# MLIP-2 (since July 2020) divides the mean length of a difference by.
_BLOCKS = {
    "Energy per atom:": ("energy", "ev_atom", 1),
    "Forces:": ("forces", "ev_angstrom", 3),
    "Stresses (in GPa):": ("stress", "gpa", 9),
}
_STATISTICS = {"Maximal": "max", "Average": "mae", "RMS": "rmse"}
_DIFFERENCE = re.compile(r"(Maximal|Average|RMS)\s+absolute difference = (\S+)")
_CHECKED = re.compile(r"Errors checked for (\d+) (?:configurations|atoms)")
_ITERATION = re.compile(r"BFGS iter (\d+): f=(\S+)")
_ENDINGS = {"step limit reached": False, "BFGS ended due to small decr": True}
_FAILURE = re.compile(r"^\s*(?:ERROR:|terminate called|what\(\):|Traceback \()", re.IGNORECASE)


def _number(text: str) -> float:
    """Return a number, or NaN for one that was cut off as the program was killed."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_report(text: str) -> dict[str, Any] | None:
    """Return the numbers of the first errors report in a text.

    Parameters
    ----------
    text
        Output of ``mlp``.

    Returns
    -------
    dict or None
        None if there is no complete report. ``n_configurations``, ``n_atoms`` (with forces), and the mean absolute
        (``mae``), root mean square (``rmse``) and largest (``max``) errors ``energy_…_ev_atom``,
        ``forces_…_ev_angstrom`` and ``stress_…_gpa``. For forces and stresses, ``rmse`` is that of a component, while
        ``mae`` and ``max`` are the mean and the largest length of the difference of two vectors (norm of the
        difference of two tensors).
    """
    start = text.find(_REPORT_START)
    if start < 0:
        return None
    end = re.search(r"^_{20,}\s*$", text[start:], re.MULTILINE)
    if end is None:
        return None
    report: dict[str, Any] = {"n_configurations": 0, "n_atoms": 0}
    prefix, unit, components = None, None, 1
    for line in text[start : start + end.start()].splitlines():
        stripped = line.strip()
        if stripped.endswith(":"):
            prefix, unit, components = _BLOCKS.get(stripped, (None, None, 1))
        elif prefix and (match := _CHECKED.match(stripped)):
            if prefix == "energy":
                report["n_configurations"] = int(match[1])
            elif prefix == "forces":
                report["n_atoms"] = int(match[1])
        elif prefix and (match := _DIFFERENCE.match(stripped)):
            statistic = _STATISTICS[match[1]]
            report[f"{prefix}_{statistic}_{unit}"] = _number(match[2]) * (components if statistic == "mae" else 1)
    return report


def parse_training(text: str) -> dict[str, Any]:
    """Return what the output of ``mlp train`` tells.

    Parameters
    ----------
    text
        Output of ``mlp train``.

    Returns
    -------
    dict
        ``training`` and ``validation`` (see :func:`parse_report`; None if not there), ``loss_history`` of the main
        optimisation (after the pre-training), ``n_iterations`` of it, and ``converged``: whether it ended before the
        limit on iterations did.
    """
    history: list[float] = []
    converged = False
    for line in text.splitlines():
        if match := _ITERATION.match(line.strip()):
            # The count starts anew after the pre-training.
            if int(match[1]) == 0:
                history, converged = [], False
            history.append(_number(match[2]))
        for ending, verdict in _ENDINGS.items():
            if line.strip().startswith(ending):
                converged = verdict
    _, _, after = text.partition(TRAIN_HEADING)
    training, _, validation = after.partition(VALIDATION_HEADING)
    return {
        "training": parse_report(training),
        "validation": parse_report(validation),
        "loss_history": history,
        "n_iterations": max(len(history) - 1, 0),
        "converged": converged,
    }


def find_failure(stdout: str, stderr: str) -> str | None:
    """Return the first message of an error, None if there is none.

    ``mlp`` goes on, and exits with status 0, after some of its errors, so that its messages are what tells.
    """
    lines = [*stdout.splitlines(), *stderr.rstrip().splitlines()]
    found = [line.strip() for line in lines if _FAILURE.match(line)]
    if not found:
        return None
    first = found[0]
    if first.startswith("Traceback"):
        return lines[-1].strip()
    if first.startswith("terminate called") and len(found) > 1:
        return found[1].removeprefix("what():").strip()
    return re.sub(r"^ERROR:\s*", "", first)


def is_finite(report: dict[str, Any]) -> bool:
    """Whether all numbers of a report are finite."""
    return all(math.isfinite(value) for value in report.values())
