"""Calcfunctions of a transport study: whether a run was long enough, and what all runs say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.analysis.progress import progress
from aiida_lpsgb.calculations.md_parameters import not_positive

BUDGET_KEYS = {"target_relative_error", "max_production_ps"}
PART = "_part_"
"""What stands between a run and the number of its part."""


@calcfunction
def judge(parameters: orm.Dict, budget: orm.Dict, diffusivity: orm.Data) -> dict[str, orm.Data]:
    """Decide whether a diffusivity is known well enough, and how long to run on if it is not.

    Parameters
    ----------
    parameters
        Of `lpsgb.md`; the last stage is the production.
    budget
        ``target_relative_error`` and ``max_production_ps``.
    diffusivity
        What the production has given so far.

    Returns
    -------
    dict
        ``judgement`` (Dict: ``known``, ``relative_error``, ``reason``, ``production_ps``) and, where the run is to go
        on, ``parameters`` with a longer last stage.
    """
    values, limits = parameters.get_dict(), budget.get_dict()
    *before, last = values["stages"]
    produced = last["duration_ps"]
    found = progress(diffusivity.scalars(), limits["target_relative_error"])
    longer = produced if found.known else min(limits["max_production_ps"], produced + found.more_ps)
    reason = f"{diffusivity.temperature:g} K: {found.reason or 'known'}"
    judgement = {"known": found.known, "relative_error": found.relative_error, "production_ps": produced}
    if longer <= produced:
        spent = "" if found.known else f"; the budget of {limits['max_production_ps']:g} ps is spent"
        return {"judgement": orm.Dict(judgement | {"reason": reason + spent})}
    judgement["reason"] = f"{reason}; going on to {longer:.4g} ps"
    extended = {**values, "stages": [*before, {**last, "duration_ps": longer}]}
    return {"judgement": orm.Dict(judgement), "parameters": orm.Dict(extended)}


def budget_error(budget: Mapping[str, Any]) -> str | None:
    """What is wrong with a budget, or None."""
    if set(budget) != BUDGET_KEYS:
        return f"budget: give {' and '.join(sorted(BUDGET_KEYS))}, not {', '.join(sorted(budget)) or 'nothing'}"
    for name, value in budget.items():
        if message := not_positive(name, value):
            return f"budget: {message}"
    if not budget["target_relative_error"] < 1:
        return (
            f"budget: `target_relative_error` is a share of D, such as 0.1 for 10 %, it is "
            f"{budget['target_relative_error']}"
        )
    return None


@calcfunction
def summarise(failed: orm.List | None = None, **summaries: orm.Dict) -> orm.Dict:
    """The headline numbers of a structure: those of each run, and of the fits.

    Parameters
    ----------
    failed
        Labels of the runs that failed.
    **summaries
        ``run_<label>`` (``summary`` of `lpsgb.analyse`), ``dynamics_<label>_part_<number>`` (results of each part
        of a run that was watched), ``arrhenius`` and ``regional_<region>_<estimator>`` (`lpsgb.arrhenius_fit`).

    Returns
    -------
    Dict
        ``runs``, ``arrhenius`` and ``regional_arrhenius``, by the same labels; ``failed``: labels of the runs that
        failed; ``extrapolation``: ``max_grade``, ``n_extrapolated`` and ``n_graded`` of each run that was watched,
        whether or not it reached its end.
    """
    result: dict[str, Any] = {"runs": {}, "arrhenius": None, "regional_arrhenius": {}}
    result["failed"] = failed.get_list() if failed is not None else []
    parts: dict[str, list[dict[str, Any]]] = {}
    for label, node in sorted(summaries.items()):
        if label == "arrhenius":
            result["arrhenius"] = node.get_dict()
        elif label.startswith("run_"):
            result["runs"][label.removeprefix("run_")] = node.get_dict()
        elif label.startswith("dynamics_"):
            parts.setdefault(label.removeprefix("dynamics_").rpartition(PART)[0], []).append(node.get_dict())
        else:
            result["regional_arrhenius"][label.removeprefix("regional_")] = node.get_dict()
    result["extrapolation"] = {label: extrapolation_of(results) for label, results in parts.items()}
    return orm.Dict(result)


def extrapolation_of(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Highest grade, and number of extrapolating among graded frames, of what was watched.

    Parameters
    ----------
    parts
        Results of `lpsgb.md.base`, of each part of a run, or what this function says of runs.
    """
    parts = list(parts)
    grades = [part["max_grade"] for part in parts if part["max_grade"] is not None]
    counts = {name: sum(part.get(name, 0) for part in parts) for name in ("n_extrapolated", "n_graded")}
    return {"max_grade": max(grades, default=None), **counts}


@calcfunction
def tabulate(before: orm.Dict | None = None, **summaries: orm.Dict) -> orm.Dict:
    """A study's table: for every system what its runs and fits say, and how far its potentials were left.

    Parameters
    ----------
    before
        The table of the runs with the potentials before these, where the study has gone back to learning.
    **summaries
        ``summary`` of `lpsgb.transport` by system.

    Returns
    -------
    Dict
        Of every system its summary, with ``n_returns``, how often the study had gone back to learning before these
        runs; ``extrapolated``, what `extrapolation_of` says of all its runs, None where none was watched; and
        ``extrapolated_before``, the same with each of the potentials before, the first ones first.
    """
    earlier = before.get_dict() if before is not None else {}
    n_returns = next((1 + entry["n_returns"] for entry in earlier.values()), 0)
    table = {}
    for name, node in sorted(summaries.items()):
        values, last = node.get_dict(), earlier.get(name)
        past = [*last["extrapolated_before"], last["extrapolated"]] if last else [None] * n_returns
        watched = values["extrapolation"]
        seen = extrapolation_of(watched.values()) if watched else None
        table[name] = {**values, "n_returns": n_returns, "extrapolated": seen, "extrapolated_before": past}
    return orm.Dict(table)
