"""Calcfunctions of a transport study: whether a run was long enough, and what all runs say together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.analysis import run_length

BUDGET_KEYS = {"target_relative_error", "max_production_ps"}


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
        ``judgement`` (Dict: ``known``, ``reason``, ``production_ps``) and, where the run is to go on, ``parameters``
        with a longer last stage.
    """
    values, limits = parameters.get_dict(), budget.get_dict()
    *before, last = values["stages"]
    produced = last["duration_ps"]
    need = run_length.need(diffusivity.scalars(), limits["target_relative_error"], produced)
    longer = min(limits["max_production_ps"], need.production_ps) if not need.known else produced
    judgement = {"known": need.known, "reason": need.reason, "production_ps": produced}
    if longer <= produced:
        if not need.known:
            judgement["reason"] += f"; the budget of {limits['max_production_ps']:g} ps is spent"
        return {"judgement": orm.Dict(judgement)}
    judgement["reason"] += f"; going on to {longer:g} ps"
    extended = {**values, "stages": [*before, {**last, "duration_ps": longer}]}
    return {"judgement": orm.Dict(judgement), "parameters": orm.Dict(extended)}


def budget_error(budget: Mapping[str, Any]) -> str | None:
    """What is wrong with a budget, or None."""
    if set(budget) != BUDGET_KEYS:
        return f"budget: give {' and '.join(sorted(BUDGET_KEYS))}, not {', '.join(sorted(budget)) or 'nothing'}"
    for name, value in budget.items():
        if not value > 0:
            return f"budget: `{name}` must be positive, it is {value}"
    return None


@calcfunction
def summarise(**summaries: orm.Dict) -> orm.Dict:
    """The headline numbers of a structure: those of each run, and of the fits.

    Parameters
    ----------
    **summaries
        ``run_<label>`` (``summary`` of `lpsgb.analyse`), ``arrhenius`` and ``regional_<region>_<estimator>``
        (`lpsgb.arrhenius_fit`).

    Returns
    -------
    Dict
        ``runs``, ``arrhenius`` and ``regional_arrhenius``, by the same labels.
    """
    result: dict[str, Any] = {"runs": {}, "arrhenius": None, "regional_arrhenius": {}}
    for label, node in sorted(summaries.items()):
        if label == "arrhenius":
            result["arrhenius"] = node.get_dict()
        elif label.startswith("run_"):
            result["runs"][label.removeprefix("run_")] = node.get_dict()
        else:
            result["regional_arrhenius"][label.removeprefix("regional_")] = node.get_dict()
    return orm.Dict(result)


@calcfunction
def tabulate(**summaries: orm.Dict) -> orm.Dict:
    """A study's table: for every system what its runs and fits say.

    Parameters
    ----------
    **summaries
        ``summary`` of `lpsgb.transport` by system.
    """
    return orm.Dict({name: node.get_dict() for name, node in sorted(summaries.items())})
