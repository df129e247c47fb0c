"""Calcfunctions of a transport study: whether a run was long enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

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
    need = run_length.need(diffusivity.scalars, limits["target_relative_error"], produced)
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
