"""Calcfunctions of reference dynamics: what is run, and what is taken from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.functions.seeds import derive_seed
from aiida_lpsgb.calculations.validation import levels_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling import labels as label_checks
from aiida_lpsgb.labelling import vasp

SETTINGS = {
    "temperatures_K": "a run at each",
    "ensemble": "nve, nvt or npt",
    "duration_ps": "length of each run",
    "equilibration_ps": "frames before that time are not taken",
    "frame_interval_ps": "time between frames",
    "timestep_fs": "time step",
    "n_samples": "frames that are drawn at random from all runs",
    "thermostat_damping_ps": "time within which the temperature follows",
    "barostat_damping_ps": "time within which the cell follows",
    "pressure_GPa": "pressure at constant pressure",
}


def settings_error(settings: dict[str, Any]) -> str | None:
    """Say what is wrong with the settings of reference dynamics."""
    if set(settings) != set(SETTINGS):
        wrong = sorted(set(settings) ^ set(SETTINGS))
        return f"settings: {', '.join(wrong)} unknown or missing; there must be {', '.join(SETTINGS)}"
    if settings["ensemble"] not in ("nve", "nvt", "npt"):
        return f"settings: ensemble is {settings['ensemble']!r}, expected nve, nvt or npt"
    temperatures = settings["temperatures_K"]
    if not temperatures or len(set(temperatures)) != len(temperatures) or not all(t > 0 for t in temperatures):
        return f"settings: temperatures_K is {temperatures}, expected different positive numbers"
    if not 0 < settings["timestep_fs"] * 1e-3 <= settings["frame_interval_ps"] <= settings["duration_ps"]:
        return "settings: expected timestep_fs ≤ frame_interval_ps ≤ duration_ps, all positive"
    if not 0 <= settings["equilibration_ps"] < settings["duration_ps"]:
        return "settings: equilibration_ps must be shorter than duration_ps"
    n_frames = _after(settings) * len(temperatures)
    if not 1 <= settings["n_samples"] <= n_frames:
        return f"settings: n_samples is {settings['n_samples']}, the runs give {n_frames} frames after equilibration"
    return None


def _steps(settings: dict[str, Any]) -> tuple[int, int]:
    """Return the steps between frames and of the whole run, a multiple of it."""
    interval = max(round(settings["frame_interval_ps"] * 1e3 / settings["timestep_fs"]), 1)
    return interval, max(round(settings["duration_ps"] * 1e3 / settings["timestep_fs"] / interval), 1) * interval


def _after(settings: dict[str, Any]) -> int:
    interval, n_steps = _steps(settings)
    equilibration = round(settings["equilibration_ps"] * 1e3 / settings["timestep_fs"])
    return sum(step > equilibration for step in range(interval, n_steps + 1, interval))


def run_name(temperature_K: float) -> str:
    """Return the link label of a run: `t300k`, `t512p5k`."""
    return f"t{temperature_K:g}k".replace(".", "p").replace("+", "")


@calcfunction
def plan_reference(settings: orm.Dict, seed: orm.Int) -> dict[str, orm.Dict]:
    """Return the plan of each run.

    Parameters
    ----------
    settings : Dict
        Keys of `SETTINGS`.
    seed : Int
        Seed that those of the runs derive from, by their temperature.

    Returns
    -------
    dict
        By the name of the run: `temperature_K`, `n_steps`, `interval_steps`, `seed`, `ensemble`, `timestep_fs`,
        `pressure_GPa`, `thermostat_damping_ps`, `barostat_damping_ps`.
    """
    values = settings.get_dict()
    interval, n_steps = _steps(values)
    shared = ("ensemble", "timestep_fs", "pressure_GPa", "thermostat_damping_ps", "barostat_damping_ps")
    return {
        run_name(temperature): orm.Dict(
            {
                "temperature_K": float(temperature),
                "n_steps": n_steps,
                "interval_steps": interval,
                "seed": derive_seed(seed.value, "reference", f"{temperature:g} K"),
                **{key: values[key] for key in shared},
            }
        )
        for temperature in values["temperatures_K"]
    }


@calcfunction
def start_of(structure: orm.StructureData) -> ConfigurationsData:
    """Return a structure as a set of one configuration."""
    return ConfigurationsData.from_structures([structure])


@calcfunction
def last(configurations: ConfigurationsData) -> ConfigurationsData:
    """Return the last configuration of a set, with its momenta, to go on from."""
    return ConfigurationsData([configurations[-1]], configurations.species, configurations.level_of_theory)


@calcfunction
def with_dynamics(parameters: orm.Dict, plan: orm.Dict) -> orm.Dict:
    """Return parameters of `lpsgb.label.ase` with a plan of dynamics."""
    return orm.Dict({**parameters.get_dict(), "dynamics": plan.get_dict()})


@calcfunction
def sample_reference(settings: orm.Dict, seed: orm.Int, **runs: ConfigurationsData) -> ConfigurationsData:
    """Draw frames at random from runs, after their equilibration, without taking one twice.

    Parameters
    ----------
    settings : Dict
        `n_samples` and `equilibration_ps`.
    seed : Int
        Seed of the choice.
    runs : ConfigurationsData
        Frames with `time_ps` in their `info`.

    Returns
    -------
    ConfigurationsData
        As many frames as asked for, or all where there are fewer, in the order of their runs, with `source`.
    """
    if error := levels_error(runs.items()):
        raise ValueError(error)
    after = settings["equilibration_ps"] + 1e-9
    places = [
        (name, place)
        for name in sorted(runs)
        for place, atoms in enumerate(runs[name])
        if atoms.info["time_ps"] > after
    ]
    rng = np.random.default_rng(derive_seed(seed.value, "sample"))
    taken = sorted(rng.choice(len(places), min(settings["n_samples"], len(places)), replace=False).tolist())
    images = []
    for name in sorted(runs):
        with runs[name].open_reader() as reader:
            for place in (places[k][1] for k in taken if places[k][0] == name):
                atoms = reader[place]
                atoms.info = {"temperature_K": atoms.info["temperature_K"], "source": name}
                atoms.arrays.pop("momenta", None)
                images.append(atoms)
    node = next(iter(runs.values()))
    return ConfigurationsData(images, node.species, node.level_of_theory)


@calcfunction
def vasp_parameters(
    parameters: orm.Dict, plan: orm.Dict, segment_steps: orm.Int, progress: orm.Dict | None = None
) -> orm.Dict:
    """Return INCAR tags of the next segment of molecular dynamics.

    Parameters
    ----------
    parameters : Dict
        Those of single points, under `incar`.
    plan : Dict
        Plan of the run.
    segment_steps : Int
        Most steps of a segment.
    progress : Dict
        `n_steps_done`, if there was a segment before.

    Returns
    -------
    Dict
        INCAR tags under `incar`.
    """
    done = progress["n_steps_done"] if progress else 0
    steps = min(segment_steps.value, plan["n_steps"] - done)
    return orm.Dict({"incar": parameters["incar"] | vasp.dynamics_tags(plan.get_dict(), steps, done)})


@calcfunction
def frames_of_vasp(
    level_of_theory: orm.Str,
    plan: orm.Dict,
    trajectory: orm.TrajectoryData,
    misc: orm.Dict,
    progress: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Return the frames of a segment of VASP's molecular dynamics, labelled.

    Parameters
    ----------
    level_of_theory : Str
        Name the labels go by.
    plan : Dict
        `interval_steps`, `timestep_fs` and `temperature_K`.
    trajectory : TrajectoryData
        Of aiida-vasp: fractional positions, forces, stress (kbar), `energy_free` and the electronic steps of each step.
    misc : Dict
        `run_status` with `nelm`.
    progress : Dict
        `n_steps_done`, if there was a segment before.

    Returns
    -------
    dict
        ``configurations``: frames whose electrons converged, with `step`, `time_ps` and `temperature_K`; absent if
        there is none. ``progress``: `n_steps_done`, `unconverged` (steps).
    """
    values, nelm = plan.get_dict(), misc["run_status"]["nelm"]
    done = progress["n_steps_done"] if progress else 0
    symbols = list(trajectory.base.attributes.get("symbols"))
    names = ("positions", "cells", "forces", "stress", "energy_free", "electronic_steps")
    arrays = {name: trajectory.get_array(name) for name in names}
    pstress = vasp.dynamics_tags(values, 0, 0).get("pstress", 0.0)
    images, unconverged = [], []
    for index, electronic_steps in enumerate(arrays["electronic_steps"]):
        step = done + index + 1
        if electronic_steps >= nelm:
            unconverged.append(step)
        elif step % values["interval_steps"] == 0:
            atoms = vasp.frame(symbols, {name: array[index] for name, array in arrays.items()}, pstress)
            label_checks.check(atoms.calc.results)
            atoms.info["step"] = step
            atoms.info["time_ps"] = step * values["timestep_fs"] * 1e-3
            atoms.info["temperature_K"] = values["temperature_K"]
            images.append(atoms)
    reached = done + len(arrays["electronic_steps"])
    outputs: dict[str, orm.Data] = {"progress": orm.Dict({"n_steps_done": reached, "unconverged": unconverged})}
    if images:
        outputs["configurations"] = ConfigurationsData(images, sorted(set(symbols)), level_of_theory.value)
    return outputs
