"""Results of a staged run, of one segment and of all: plain dictionaries and arrays (no AiiDA)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from aiida_lpsgb.calculations.md_parameters import (
    dumped_stage,
    planned_steps,
    relaxed_cell,
    stage_name,
    stage_steps,
    temperature_range,
    to_steps,
)
from aiida_lpsgb.parsers import lammps_log
from aiida_lpsgb.parsers.lammps_log import LammpsLog, Phase

BAR_PER_GPA = 1.0e4
# A line search that cannot go on has found a minimum to double precision if forces are below this; above it, the
# energy is not smooth.
STALLED_FORCE_EV_A = 0.01
# Rows of thermodynamic output of which a mean temperature says something.
_MIN_ROWS = 20
# Components of the pressure that a relaxation of the cell brings to their targets.
_NORMAL, _SHEAR, _TILTS = ("Pxx", "Pyy", "Pzz"), ("Pxy", "Pxz", "Pyz"), ("Xy", "Xz", "Yz")
PRESSURES = {
    "x": ("Pxx",),
    "y": ("Pyy",),
    "z": ("Pzz",),
    "iso": ("Press",),
    "aniso": _NORMAL,
    "tri": (*_NORMAL, *_SHEAR),
}
THERMO_NAMES = {
    "Step": "step",
    "Temp": "temperature_K",
    "Press": "pressure_bar",
    "PotEng": "potential_energy_eV",
    "KinEng": "kinetic_energy_eV",
    "TotEng": "total_energy_eV",
    "Volume": "volume_A3",
}


def thermo_arrays(log: LammpsLog) -> dict[str, np.ndarray]:
    """Thermodynamic output, units in the names; rows that are not finite are left out, without any it is empty."""
    finite_rows = log.finite_rows()
    if not finite_rows.any():
        return {}

    def columns(*names: str) -> np.ndarray:
        return np.column_stack([log.thermo[name][finite_rows] for name in names])

    arrays = {
        name: log.thermo[column][finite_rows].astype(np.int64 if column == "Step" else float)
        for column, name in THERMO_NAMES.items()
    }
    arrays["cell_A"] = columns("Lx", "Ly", "Lz", "Xy", "Xz", "Yz")
    if "Pxx" in log.thermo:
        arrays["pressure_tensor_bar"] = columns(*_NORMAL, *_SHEAR)
    arrays["stage"] = log.stage[finite_rows]
    return arrays


def summarise(log: LammpsLog, parameters: Mapping[str, Any], n_atoms: int) -> dict[str, Any]:
    """Steps done, averages of each stage of dynamics, and the end of each minimisation."""
    minimisations = describe_minimisations(log, parameters["stages"])
    return {
        "n_atoms": n_atoms,
        "timestep_fs": parameters["timestep_fs"],
        "n_stages": len(parameters["stages"]),
        "first_step": log.first_step,
        "steps": log.last_step,
        "planned_steps": planned_steps(parameters),
        "next_stage": next_stage(log, parameters, minimisations),
        "lammps_version": log.version,
        "minimisations": minimisations,
        "minimised_energies_eV": minimised_energies(minimisations),
        "stages": average_stages(thermo_arrays(log), parameters, n_atoms, log.last_step),
    }


def n_graded(parameters: Mapping[str, Any], first_step: int, last_step: int) -> int:
    """How many steps of a segment were graded: each by MLIP-2's pair style; 0 without control.

    The package's own grades every so many, and those of which thermodynamic output is written, for its column.
    """
    control = parameters.get("extrapolation")
    if control is None:
        return 0

    def multiples(every: int) -> int:
        return max(0, last_step // every + (-first_step) // every + 1)

    if parameters["pair_style"] == "mlip":
        return multiples(1)
    interval, thermo = control["interval_steps"], to_steps(parameters["thermo_interval_ps"], parameters["timestep_fs"])
    return multiples(interval) + multiples(thermo) - multiples(math.lcm(interval, thermo))


def average_stages(
    thermo: Mapping[str, np.ndarray], parameters: Mapping[str, Any], n_atoms: int, last_step: int
) -> list[dict[str, Any]]:
    """Averages over the rows of each stage of dynamics; every row counts the same."""
    stages: list[dict[str, Any]] = []
    end = 0
    for index, stage in enumerate(parameters["stages"]):
        end += stage_steps(stage, parameters["timestep_fs"])
        if stage["ensemble"] == "minimise" or not thermo or not (rows := thermo["stage"] == index).any():
            continue
        mean = {name: values[rows].mean(axis=0) for name, values in thermo.items() if name not in ("stage", "step")}
        stages.append(
            {
                "name": stage_name(stage),
                "ensemble": stage["ensemble"],
                "completed": bool(last_step >= end),
                "temperature_K": float(mean["temperature_K"]),
                "pressure_GPa": float(mean["pressure_bar"] / BAR_PER_GPA),
                "potential_energy_eV_per_atom": float(mean["potential_energy_eV"] / n_atoms),
                "volume_A3_per_atom": float(mean["volume_A3"] / n_atoms),
                "cell_lengths_A": mean["cell_A"][:3].tolist(),
            }
        )
    return stages


def unheld_temperature(
    thermo: Mapping[str, np.ndarray], parameters: Mapping[str, Any], n_atoms: int
) -> tuple[float, float] | None:
    """Mean and target, K, of the temperature of the stage that is dumped, where they contradict each other, or None.

    The mean is that of the second half of the stage. It may be off by a tenth, in small cells by three times what a
    temperature fluctuates; what is dumped on a ramp has no target.
    """
    stage = dumped_stage(parameters)
    if stage is None or not thermo:
        return None
    first, target = temperature_range(stage)
    (rows,) = np.nonzero(thermo["stage"] == parameters["stages"].index(stage))
    if first != target or len(rows) < _MIN_ROWS:
        return None
    mean = float(thermo["temperature_K"][rows[len(rows) // 2 :]].mean())
    allowed = max(0.1, 3 * math.sqrt(2 / (3 * n_atoms)))
    return (mean, target) if abs(mean / target - 1) > allowed else None


def next_stage(log: LammpsLog, parameters: Mapping[str, Any], minimisations: list[dict[str, Any]]) -> int | None:
    """Index of the first stage that is not done, or None.

    A minimisation before dynamics is done when it came to an end of its own; one that ends the run is done only at a
    minimum.
    """
    entries = {entry["stage"]: entry for entry in minimisations}
    stages = parameters["stages"]
    end = 0
    for index, stage in enumerate(stages):
        start, end = end, end + stage_steps(stage, parameters["timestep_fs"])
        if stage["ensemble"] != "minimise":
            if log.last_step < end:
                return index
        elif log.last_step <= start and not (log.stage > index).any():
            done = "converged" if index == len(stages) - 1 else "ended"
            if index not in entries or not entries[index][done]:
                return index
    return None


# --- minimisations --------------------------------------------------------------------------------------------------


def describe_minimisations(log: LammpsLog, stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say of each minimisation whether it reached a minimum, and why not."""
    return [
        {"stage": index, "name": stage_name(stages[index]), **describe_minimisation(phases, stages[index])}
        for index, phases in sorted(log.minimisations.items())
        if index < len(stages)
    ]


def describe_minimisation(phases: Sequence[Phase], stage: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the phases of a minimisation: of the positions, or of the positions, the cell, and the positions again."""
    last = phases[-1]
    why = why_no_minimum(phases, stage)
    ended = len(phases) == n_phases(stage) and last.criterion not in (None, lammps_log.OUT_OF_TIME)
    return {
        "ended": ended,
        "converged": why is None,
        "why": why,
        "criterion": last.criterion,
        "energy_eV": finite(last.energy),
        "force_norm_eV_A": finite(last.force_norm),
        "force_max_eV_A": finite(last.force_max),
        "pressure_residual_bar": pressure_residual(last, stage),
        "iterations": sum(phase.iterations or 0 for phase in phases),
        "evaluations": sum(phase.evaluations or 0 for phase in phases),
    }


def n_phases(stage: Mapping[str, Any]) -> int:
    """How many times LAMMPS's minimiser is called for a stage."""
    return 3 if stage["relax_cell"] else 1


def why_no_minimum(phases: Sequence[Phase], stage: Mapping[str, Any]) -> str | None:
    """Why a minimisation is not at a minimum, or None if it is.

    Forces are at a minimum by LAMMPS's own tolerances, or where its line search cannot lower the energy any more and no
    force is large. A cell is at one by the same tolerances, or when the pressure at the end is what it should be.
    """
    last = phases[-1]
    if len(phases) < n_phases(stage) or last.criterion is None:
        return next((phase.criterion for phase in reversed(phases) if phase.criterion), "it was ended from outside")
    if last.energy is None or not math.isfinite(last.energy):
        return "its energy is not finite"
    stalled = last.criterion == lammps_log.LINE_SEARCH and (last.force_max or 0.0) <= STALLED_FORCE_EV_A
    if last.criterion not in lammps_log.TOLERANCES and not stalled:
        return f"{last.criterion}, the largest force component is {last.force_max} eV/Å"
    if stage["relax_cell"] and phases[1].criterion not in lammps_log.TOLERANCES:
        off = pressure_residual(last, stage)
        if off is None or off > stage["pressure_tolerance_bar"]:
            return f"{phases[1].criterion} as the cell relaxed, the pressure is off by {off} bar"
    return None


def pressure_residual(phase: Phase, stage: Mapping[str, Any]) -> float | None:
    """Largest deviation, in bar, of a pressure that the relaxation of the cell should bring to its target."""
    if not stage["relax_cell"] or not phase.row:
        return None
    leaning = any(abs(phase.row.get(name, 0.0)) > 1e-9 for name in _TILTS)
    names = PRESSURES[relaxed_cell(stage, leaning)]
    return finite(max(abs(phase.row[name] - (0.0 if name in _SHEAR else stage["pressure_bar"])) for name in names))


def minimised_energies(minimisations: Sequence[Mapping[str, Any]]) -> list[float]:
    """Energies, eV, of the minimisations that reached a minimum, in the order of their stages."""
    return [entry["energy_eV"] for entry in minimisations if entry["converged"]]


def finite(value: float | None) -> float | None:
    """The value where it is a number; the database holds no others."""
    return float(value) if value is not None and math.isfinite(value) else None


# --- segments -------------------------------------------------------------------------------------------------------


def time_taken(log: LammpsLog) -> dict[str, Any] | None:
    """What the steps of dynamics took, stage by stage; None if there was none.

    Returns
    -------
    dict
        ``stages`` (name, ``n_steps``, ``wall_time_s``), ``n_atoms``, ``n_processes`` (times threads), and
        ``time_us_atom_step``: time of a processor for a step of an atom, in the stage that was least disturbed.
    """
    loops = {index: loop for index, loop in sorted(log.loops.items()) if loop.n_steps}
    if not loops:
        return None
    each = [1e6 * loop.seconds * loop.n_processes / (loop.n_steps * loop.n_atoms) for loop in loops.values()]
    stages = [
        {"name": log.stage_names.get(index, ""), "n_steps": loop.n_steps, "wall_time_s": loop.seconds}
        for index, loop in loops.items()
    ]
    one = next(iter(loops.values()))
    return {
        "stages": stages,
        "n_atoms": one.n_atoms,
        "n_processes": one.n_processes,
        "time_us_atom_step": min(each),
    }


def join_results(
    parameters: Mapping[str, Any], results: Sequence[Mapping[str, Any]], thermo: Sequence[Mapping[str, np.ndarray]]
) -> dict[str, Any]:
    """Results of a run from those of its segments.

    Parameters
    ----------
    parameters
        Resolved parameters of the whole run.
    results, thermo
        Results and thermodynamic output of each segment, in order; without output it is empty. A segment that was
        begun with the last stages alone says so by its number of stages.

    Returns
    -------
    dict
        The same keys as those of a segment, with `n_segments`. Averages are over the rows of all segments, those that
        a later segment ran again counted once; numbers of extrapolated configurations are sums.
    """
    last = results[-1]
    minimisations: dict[int, Mapping[str, Any]] = {}
    for segment in results:
        skipped = len(parameters["stages"]) - segment["n_stages"]
        for entry in segment["minimisations"]:
            minimisations[entry["stage"] + skipped] = {**entry, "stage": entry["stage"] + skipped}
    ordered = [dict(minimisations[index]) for index in sorted(minimisations)]
    skipped = len(parameters["stages"]) - last["n_stages"]
    grades = [segment["max_grade"] for segment in results if segment["max_grade"] is not None]
    joined = join_thermo(thermo, [len(parameters["stages"]) - segment["n_stages"] for segment in results])
    return {
        **last,
        "n_segments": len(results),
        "n_stages": len(parameters["stages"]),
        "first_step": results[0]["first_step"],
        "planned_steps": planned_steps(parameters),
        "next_stage": None if last["next_stage"] is None else last["next_stage"] + skipped,
        "minimisations": ordered,
        "minimised_energies_eV": minimised_energies(ordered),
        "stages": average_stages(joined, parameters, last["n_atoms"], last["steps"]),
        "n_graded": sum(segment["n_graded"] for segment in results),
        "n_extrapolated": sum(segment["n_extrapolated"] for segment in results),
        "n_extrapolated_left_out": sum(segment["n_extrapolated_left_out"] for segment in results),
        "max_grade": max(grades, default=None),
    }


def join_thermo(
    segments: Sequence[Mapping[str, np.ndarray]], skipped: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Join thermodynamic output: what a later segment ran again replaces what an earlier one had.

    Parameters
    ----------
    segments
        Arrays of each segment as `thermo_arrays` gives them.
    skipped
        How many stages of the run each segment left out at its beginning.
    """
    skipped = skipped or [0] * len(segments)
    parts = [
        {**arrays, "stage": arrays["stage"] + offset}
        for arrays, offset in zip(segments, skipped, strict=True)
        if arrays and len(arrays["step"])
    ]
    for part, following in pairwise(parts):
        stage, step = following["stage"][0], following["step"][0]
        keep = (part["stage"] < stage) | ((part["stage"] == stage) & (part["step"] < step))
        part.update({name: values[keep] for name, values in part.items()})
    if not parts:
        return {}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
