"""Calcfunctions of the active-learning loop: what to explore next, and what an iteration has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.functions.md import at_temperature, run_label
from aiida_lpsgb.calculations.functions.seeds import derive_seeds

CRITERIA = ("no_break", "no_selection")


@calcfunction
def plan_exploration(
    settings: orm.Dict, exploration: orm.Dict, seed: orm.Int, history: orm.Dict | None = None
) -> dict[str, orm.Data]:
    """Parameters and velocity seed of every exploration run of the next iteration.

    Parameters
    ----------
    settings
        Settings of the loop (see `lpsgb.active_learning`).
    exploration
        Parameters of `lpsgb.md` with the word `target` for the temperature.
    seed
        Seed of the whole loop.
    history
        What the iterations so far have shown (`advance`); none before the first.
    """
    loop = settings.get_dict()
    iteration, stage = next_step(history.get_dict() if history else None)
    control = {
        "gamma_select": loop["gamma_select"],
        "gamma_break": loop["gamma_break"][stage],
        "grade": loop["grade"],
        "interval_steps": loop["grade_interval_steps"],
    }
    temperatures = loop["temperatures_K"]
    n_replicas = loop["n_replicas"]
    seeds = iter(derive_seeds([seed.value, iteration], n_replicas * len(temperatures)))
    plan: dict[str, orm.Data] = {}
    for replica in range(1, n_replicas + 1):
        for temperature in temperatures:
            label = run_label(temperature, replica)
            parameters = at_temperature(exploration.get_dict(), temperature)
            plan[f"parameters_{label}"] = orm.Dict({**parameters, "extrapolation": control})
            plan[f"seed_{label}"] = orm.Int(next(seeds))
    return plan


@calcfunction
def advance(
    settings: orm.Dict,
    training: orm.Dict,
    history: orm.Dict | None = None,
    test: orm.Dict | None = None,
    **explorations: orm.Dict,
) -> orm.Dict:
    """Add an iteration to the learning curve and decide whether the loop has converged.

    Parameters
    ----------
    settings
        Settings of the loop.
    training
        Results of the training of this iteration.
    history
        The learning curve so far; none before the first iteration.
    test
        Errors on the separate test set, where there is one.
    explorations
        Results of this iteration's molecular dynamics.
    """
    loop = settings.get_dict()
    before = history.get_dict() if history else None
    iteration, stage = next_step(before)
    row = {
        "iteration": iteration,
        "gamma_break": loop["gamma_break"][stage],
        "training": training.get_dict(),
        "test": test.get_dict() if test else None,
        **summarise_explorations([node.get_dict() for node in explorations.values()]),
    }
    return orm.Dict({"iterations": [*(before["iterations"] if before else []), row], **decide(row, stage, loop)})


def next_step(history: Mapping[str, Any] | None) -> tuple[int, int]:
    """Number of the next iteration (from 1) and the index of its `gamma_break`."""
    if history is None:
        return 1, 0
    return len(history["iterations"]) + 1, history["stage"]


def summarise_explorations(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many runs reached their end, and how far the others went."""
    broken = [result for result in results if result["steps"] < result["planned_steps"]]
    grades = [result["max_grade"] for result in results if result["max_grade"] is not None]
    return {
        "n_runs": len(results),
        "n_broken": len(broken),
        "n_extrapolated": sum(result["n_extrapolated"] for result in results),
        "max_grade": max(grades, default=None),
        "explored_ps": sum(result["steps"] * result["timestep_fs"] for result in results) / 1000,
    }


def decide(row: Mapping[str, Any], stage: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Next index of the `gamma_break` schedule and whether the loop has converged.

    The loop goes on to the next `gamma_break` when every run of an iteration reached its end, and has converged when
    that is so at the last one; with `criterion: no_selection` not even a selected configuration may be left then.
    """
    last = stage == len(settings["gamma_break"]) - 1
    clean = row["n_broken"] == 0
    nothing_new = row["n_extrapolated"] == 0
    converged = last and clean and (nothing_new or settings["criterion"] == "no_break")
    return {"stage": stage + 1 if clean and not last else stage, "converged": converged}
