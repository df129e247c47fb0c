"""Calcfunctions that derive the runs of a temperature sweep, and the frames that are taken from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory

from aiida_lpsgb.calculations.functions.seeds import derive_seed
from aiida_lpsgb.calculations.md_parameters import parameters_error

ConfigurationsData = DataFactory("lpsgb.configurations")

TARGET = "target"
ANY_K = 300.0
"""Stands for any temperature where a template is checked."""


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


def template_error(template: Mapping[str, Any], extrapolation: Mapping[str, Any] | None = None) -> str | None:
    """What is wrong with parameters of `lpsgb.md` that have the word `target` for the temperature, or None.

    Parameters
    ----------
    template
        As of `at_temperature`.
    extrapolation
        Extrapolation control that the runs are given.
    """
    stages = template.get("stages")
    if isinstance(stages, (list, tuple)) and all(isinstance(stage, Mapping) for stage in stages):
        template = at_temperature(template, ANY_K)
    return parameters_error(template if extrapolation is None else {**template, "extrapolation": extrapolation})


def temperature_label(temperature_K: float) -> str:
    """How a temperature is called in link labels: `t500k`, `t512p5k`."""
    return f"t{temperature_K:g}k".replace(".", "p").replace("+", "")


def run_label(temperature_K: float, name: str, replica: int) -> str:
    """Link label of a run: `t500k_p1_1`."""
    return f"{temperature_label(temperature_K)}_{name}_{replica}"


def read_label(label: str) -> tuple[float, str, int]:
    """Temperature (K), potential (or structure) and replica in a label that `run_label` made.

    Raises
    ------
    ValueError
        If it is no such label.
    """
    match = re.fullmatch(r"t([\dpe-]+)k_(.+)_(\d+)", label)
    if match is None:
        raise ValueError(f"{label!r} is no label of a run, such as t500k_p1_1")
    return float(match[1].replace("p", ".")), match[2], int(match[3])


def by_potential(labels: Iterable[str]) -> dict[str, list[float]]:
    """Temperatures (K) of runs by the name in their labels, each from the hottest."""
    found: dict[str, set[float]] = {}
    for temperature, name, _ in sorted(map(read_label, labels)):
        found.setdefault(name, set()).add(temperature)
    return {name: sorted(temperatures, reverse=True) for name, temperatures in sorted(found.items())}


def listed(words: Iterable[Any]) -> str:
    """Several words in a sentence: `a, b and c`."""
    *most, last = [f"{word:g}" if isinstance(word, float) else str(word) for word in words]
    return f"{', '.join(most)} and {last}" if most else last


def potential_at_fault(outcomes: Mapping[str, Mapping[str, bool]]) -> str:
    """Tell that all runs that failed are of one potential, where others ended well; empty where it is not so.

    Parameters
    ----------
    outcomes
        By system and label of the run, whether it ended well; the only system may have no name.
    """
    every = [(system, label, ok) for system, runs in outcomes.items() for label, ok in runs.items()]
    failed = [(system, label) for system, label, ok in every if not ok]
    at_fault = {read_label(label)[1] for _, label in failed}
    well = sorted({read_label(label)[1] for _, label, ok in every if ok} - at_fault)
    if len(failed) < 2 or len(at_fault) != 1 or not well:
        return ""
    (name,) = at_fault
    places = []
    for system in dict.fromkeys(system for system, _ in failed):
        temperatures = by_potential(label for place, label in failed if place == system)[name]
        places.append(f"{system}{' ' if system else ''}at {listed(temperatures)} K")
    return f"all that failed are of {name} ({'; '.join(places)}), those of {listed(well)} ended well"


def watched(parameters: Mapping[str, Any], extrapolation: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a run whose extrapolation grade is watched."""
    graded = {"mlip": "mlip", "mtp/gpu": "mtp/extrapolation/gpu", "mtp/extrapolation/gpu": "mtp/extrapolation/gpu"}
    style = graded.get(parameters.get("pair_style"), "mtp/extrapolation")
    return {**parameters, "pair_style": style, "extrapolation": dict(extrapolation)}


@calcfunction
def plan_sweep(
    parameters: orm.Dict,
    temperatures: orm.List,
    names: orm.List,
    n_replicas: orm.Int,
    seed: orm.Int,
    watch: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Parameters at every temperature, and a velocity seed for every run of a sweep.

    Parameters
    ----------
    parameters
        Of `lpsgb.md`, with the word `target` for the temperature.
    temperatures
        In K.
    names
        Of the potentials (or structures) that are run at every temperature.
    n_replicas
        Runs for each temperature and name.
    seed
        Of the sweep.
    watch
        ``extrapolation`` of `lpsgb.md`, for runs whose potential has an active set.

    Returns
    -------
    dict
        `parameters_<temperature>` (Dict) and `seed_<run>` (Int), as `temperature_label` and `run_label` name them; with
        ``watch`` also `watched_<temperature>` (Dict).
    """
    plan: dict[str, orm.Data] = {}
    for temperature in temperatures.get_list():
        values = at_temperature(parameters.get_dict(), temperature)
        plan[f"parameters_{temperature_label(temperature)}"] = orm.Dict(values)
        if watch is not None:
            plan[f"watched_{temperature_label(temperature)}"] = orm.Dict(watched(values, watch.get_dict()))
        for name in names.get_list():
            for replica in range(1, n_replicas.value + 1):
                label = run_label(temperature, name, replica)
                plan[f"seed_{label}"] = orm.Int(derive_seed(seed.value, f"{temperature:g} K", name, replica))
    return plan


@calcfunction
def sample_frames(settings: orm.Dict, **trajectories: orm.Data) -> orm.Data:
    """Evenly spaced frames of several runs, to be labelled.

    Parameters
    ----------
    settings
        `n_frames`: number of frames taken from each run, the last one among them.
    trajectories
        Segments with all species, labelled `<run>_segment_<number>`.

    Returns
    -------
    ConfigurationsData
        Unlabelled frames with `temperature_K` and `source` (the run) in their `info`.
    """
    runs: dict[str, list[orm.Data]] = {}
    for label, node in sorted(trajectories.items()):
        runs.setdefault(label.rsplit("_segment_", maxsplit=1)[0], []).append(node)
    images = []
    for run, segments in runs.items():
        frames = [(node, index) for node in segments for index in range(node.n_frames)]
        wanted = np.linspace(0, len(frames), min(settings["n_frames"], len(frames)) + 1)[1:].round().astype(int) - 1
        for node, index in (frames[i] for i in wanted):
            with node.open_trajectory() as trajectory:
                atoms = trajectory.frame(index)
            atoms.info |= {"temperature_K": node.base.attributes.get("temperature_K"), "source": run}
            images.append(atoms)
    return ConfigurationsData(images)
