"""Calcfunctions that derive the inputs of molecular dynamics runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.calculations.functions.seeds import derive_seeds
from aiida_lpsgb.calculations.md_parameters import DEFAULTS, resolve
from aiida_lpsgb.parsers.md_summary import join_results

ConfigurationsData = DataFactory("lpsgb.configurations")

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


@calcfunction
def halve_timestep(parameters: orm.Dict) -> orm.Dict:
    """Same run with half the time step."""
    values = parameters.get_dict()
    values["timestep_fs"] = values.get("timestep_fs", DEFAULTS["timestep_fs"]) / 2
    return orm.Dict(values)


@calcfunction
def remaining_stages(parameters: orm.Dict, first: orm.Int) -> orm.Dict:
    """Same run from a stage on, given by its index."""
    values = parameters.get_dict()
    return orm.Dict({**values, "stages": values["stages"][first.value :]})


@calcfunction
def join_segments(parameters: orm.Dict, **segments: orm.Data) -> orm.Dict:
    """Results of a run from those of its segments.

    Parameters
    ----------
    parameters
        Parameters of the whole run.
    segments
        `results_<segment>` and, where there is some, `thermo_<segment>` of each segment; joined in the order of the
        labels.

    Returns
    -------
    Dict
        As those of `lpsgb.md`, with `n_segments`: averages over the rows of all segments, the number and the highest
        grade of all extrapolated configurations, the minimisations of all.
    """
    labels = sorted(name.removeprefix("results_") for name in segments if name.startswith("results_"))
    return orm.Dict(
        join_results(
            resolve(parameters.get_dict()),
            [segments[f"results_{label}"].get_dict() for label in labels],
            [_arrays(segments.get(f"thermo_{label}")) for label in labels],
        )
    )


def _arrays(node: orm.ArrayData | None) -> dict[str, np.ndarray]:
    return {} if node is None else {name: node.get_array(name) for name in node.get_arraynames()}


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


@calcfunction
def sample_frames(settings: orm.Dict, **trajectories: orm.Data) -> orm.Data:
    """Evenly spaced frames of several trajectories, to be labelled.

    Parameters
    ----------
    settings
        `n_frames`: number of frames taken from each trajectory, the last one among them.
    trajectories
        Trajectories with all species.

    Returns
    -------
    ConfigurationsData
        Unlabelled frames with `temperature_K` and `source` in their `info`.
    """
    n_frames = settings["n_frames"]
    images = []
    for label, node in sorted(trajectories.items()):
        with node.open_trajectory() as trajectory:
            if trajectory.n_frames < n_frames:
                raise ValueError(f"{label} has {trajectory.n_frames} frames, {n_frames} are to be taken")
            for index in np.linspace(0, trajectory.n_frames, n_frames + 1)[1:].round().astype(int) - 1:
                atoms = trajectory.frame(int(index))
                atoms.info |= {"temperature_K": node.base.attributes.get("temperature_K"), "source": label}
                images.append(atoms)
    return ConfigurationsData(images)
