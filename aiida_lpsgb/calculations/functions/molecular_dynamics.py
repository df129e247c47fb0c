"""Calcfunctions that derive the inputs of molecular dynamics runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.lammps import DEFAULTS

TARGET = "target"


def at_temperature(template: Mapping[str, Any], temperature_K: float) -> dict[str, Any]:
    """Replace the word `target` in the stages' temperatures by a number.

    Parameters
    ----------
    template
        Parameters of `lpsgb.md` whose `temperature_K` entries are numbers, "target", or [start, end] of these.
    temperature_K
        Temperature in K.
    """

    def fill(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [fill(entry) for entry in value]
        return float(temperature_K) if value == TARGET else value

    stages = [
        {**stage, "temperature_K": fill(stage["temperature_K"])} if "temperature_K" in stage else dict(stage)
        for stage in template["stages"]
    ]
    return {**template, "stages": stages}


def run_label(temperature_K: float, replica: int) -> str:
    """Link label of a run: `t500k_1`, `t512p5k_1`."""
    return f"t{temperature_K:g}k_{replica}".replace(".", "p").replace("+", "")


def derive_seeds(entropy: int | Sequence[int], n: int) -> list[int]:
    """`n` independent positive 31-bit seeds from one or several integers."""
    return [int(state) % (2**31 - 1) + 1 for state in np.random.SeedSequence(entropy).generate_state(n)]


@calcfunction
def halve_timestep(parameters: orm.Dict) -> orm.Dict:
    """Same run with half the time step."""
    values = parameters.get_dict()
    values["timestep_fs"] = values.get("timestep_fs", DEFAULTS["timestep_fs"]) / 2
    return orm.Dict(values)


@calcfunction
def plan_sweep(parameters: orm.Dict, temperatures: orm.List, seeds: orm.List) -> dict[str, orm.Data]:
    """Parameters and velocity seed of every run of a temperature sweep.

    Returns
    -------
    dict
        `parameters_<run>` and `seed_<run>` for every temperature and replica.
    """
    plan: dict[str, orm.Data] = {}
    for replica, seed in enumerate(seeds.get_list(), start=1):
        run_seeds = derive_seeds(seed, len(temperatures.get_list()))
        for temperature, run_seed in zip(temperatures.get_list(), run_seeds, strict=True):
            label = run_label(temperature, replica)
            plan[f"parameters_{label}"] = orm.Dict(at_temperature(parameters.get_dict(), temperature))
            plan[f"seed_{label}"] = orm.Int(run_seed)
    return plan
