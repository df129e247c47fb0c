"""Parameters of a staged molecular-dynamics run: defaults, lengths, and what is wrong with them (no AiiDA)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiida_lpsgb.typed import meant

FS_PER_PS = 1000.0

PLAIN_STYLES = ("mtp", "mtp/gpu")
GRADED_STYLES = ("mtp/extrapolation", "mtp/extrapolation/gpu")
MTP_STYLES = (*PLAIN_STYLES, *GRADED_STYLES, "mlip")
GPU_STYLES = tuple(style for style in MTP_STYLES if style.endswith("/gpu"))
PRECISIONS = ("double", "mixed")
ENSEMBLES = ("minimise", "nve", "nvt", "npt")
BAROSTATS = ("iso", "aniso", "tri")
CELL_RELAXATIONS = ("x", "y", "z", "iso", "aniso", "tri")
GRADES = ("configuration", "neighborhood")

LONGEST_STEP_FS = 20.0
"""A quarter of the period of the slowest vibrations."""
DEFAULTS: dict[str, Any] = {
    "pair_style": "mtp",
    "timestep_fs": 2.0,
    "thermostat_damping_ps": 0.1,
    "barostat_damping_ps": 1.0,
    "barostat": "aniso",
    "thermo_interval_ps": 0.1,
    "restart_interval_ps": 10.0,
    "neighbour_skin_A": 2.0,
}
# Options of the pair style of an aiida-lammps potential, which keeps none itself, and of those on a GPU.
OPTIONAL = ("pair_style_options", "precision")
EXTRAPOLATION_DEFAULTS: dict[str, Any] = {
    "grade": None,
    "interval_steps": 10,
    "spacing_ps": 0.1,
    "max_configurations": 200,
}
THRESHOLDS = ("gamma_select", "gamma_break")
MINIMISE_DEFAULTS: dict[str, Any] = {
    "max_steps": 1000,
    "relax_cell": None,
    "force_tolerance_eV_A": 1e-4,
    "pressure_tolerance_bar": 50.0,
    "pressure_bar": 0.0,
}
DYNAMICS_DEFAULTS: dict[str, Any] = {"pressure_bar": 0.0, "dump_interval_ps": None}
MINIMISE_KEYS = {"name", "ensemble", *MINIMISE_DEFAULTS}
DYNAMICS_KEYS = {"name", "ensemble", "duration_ps", "temperature_K", *DYNAMICS_DEFAULTS}


def resolve(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the defaults of a parameters dictionary."""
    resolved = {**DEFAULTS, **parameters}
    resolved["stages"] = [
        {**(MINIMISE_DEFAULTS if stage["ensemble"] == "minimise" else DYNAMICS_DEFAULTS), **stage}
        for stage in parameters["stages"]
    ]
    if parameters.get("extrapolation") is not None:
        resolved["extrapolation"] = {**EXTRAPOLATION_DEFAULTS, **parameters["extrapolation"]}
    return resolved


def to_steps(picoseconds: float, timestep_fs: float) -> int:
    """Number of steps of a time or an interval, at least one."""
    return max(1, round(picoseconds * FS_PER_PS / timestep_fs))


def stage_steps(stage: Mapping[str, Any], timestep_fs: float) -> int:
    """Number of MD steps of a stage (0 for a minimisation)."""
    if stage["ensemble"] == "minimise":
        return 0
    return to_steps(stage["duration_ps"], timestep_fs)


def planned_steps(parameters: Mapping[str, Any]) -> int:
    """Number of MD steps of all stages."""
    return sum(stage_steps(stage, parameters["timestep_fs"]) for stage in parameters["stages"])


def stage_name(stage: Mapping[str, Any]) -> str:
    """Name of a stage: its own, or that of its ensemble."""
    return stage.get("name", stage["ensemble"])


def relaxed_cell(stage: Mapping[str, Any], leaning: bool) -> str | None:
    """What of the cell a minimisation relaxes: LAMMPS changes all lengths of a leaning cell with its angles only."""
    return "tri" if leaning and stage["relax_cell"] == "aniso" else stage["relax_cell"]


def temperature_range(stage: Mapping[str, Any]) -> tuple[float, float]:
    """First and last thermostat temperature of a stage, in K."""
    temperature = stage["temperature_K"]
    first, last = temperature if isinstance(temperature, (list, tuple)) else (temperature, temperature)
    return float(first), float(last)


def dumped_stage(parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The stage whose trajectory is written, or None."""
    return next((stage for stage in parameters["stages"] if stage.get("dump_interval_ps")), None)


# --- what is wrong --------------------------------------------------------------------------------------------------


def parameters_error(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with a parameters dictionary, or None.

    Parameters
    ----------
    parameters
        As given, without the defaults.

    Returns
    -------
    str or None
        One sentence that names the entry and says what is right.
    """
    if message := unknown_keys(parameters, {*DEFAULTS, *OPTIONAL, "stages", "extrapolation"}):
        return message
    stages = parameters.get("stages")
    if not isinstance(stages, (list, tuple)) or not stages:
        return "`stages` must be a list with at least one stage"
    for name, choices in (("pair_style", MTP_STYLES), ("barostat", BAROSTATS)):
        if parameters.get(name, DEFAULTS[name]) not in choices:
            return f"`{name}` is {parameters[name]!r}; choose one of {', '.join(choices)}"
    if message := precision_error(parameters):
        return message
    for name in ("timestep_fs", "thermostat_damping_ps", "barostat_damping_ps", "thermo_interval_ps"):
        if message := not_positive(name, parameters.get(name, DEFAULTS[name])):
            return message
    if parameters.get("timestep_fs", 0) > LONGEST_STEP_FS:
        return (
            f"`timestep_fs` is {parameters['timestep_fs']:g}: no atom is followed by steps above {LONGEST_STEP_FS:g} fs"
        )
    interval = parameters.get("restart_interval_ps")
    if interval is not None and (message := not_positive("restart_interval_ps", interval)):
        return message
    for index, stage in enumerate(stages):
        if message := stage_error(stage, parameters.get("timestep_fs", DEFAULTS["timestep_fs"])):
            return f"stage {index}: {message}"
    if sum(bool(stage.get("dump_interval_ps")) for stage in stages) > 1:
        return "only one stage may set `dump_interval_ps`, since a job has one trajectory"
    return extrapolation_error(parameters)


def trajectory_error(parameters: Mapping[str, Any]) -> str | None:
    """Why a run leaves no trajectory to use, or None."""
    if dumped_stage(parameters) is None:
        names = ", ".join(stage_name(stage) for stage in parameters["stages"])
        return f"no stage sets `dump_interval_ps` ({names}), so the run would leave no trajectory to use"
    return None


def unknown_keys(given: Mapping[str, Any], known: Iterable[str]) -> str | None:
    """Name the keys that are not known, with those that may be meant."""
    known = sorted(known)
    unknown = sorted(set(given) - set(known))
    if not unknown:
        return None
    return f"unknown keys {unknown}{meant(unknown, known)}; known are {known}"


def not_positive(name: str, value: Any) -> str | None:
    """What is wrong with a value that must be a positive number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        return f"`{name}` must be positive, it is {value!r}"
    return None


def not_finite(name: str, value: Any) -> str | None:
    """What is wrong with a value that must be a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return f"`{name}` must be a number, it is {value!r}"
    return None


def not_a_count(name: str, value: Any) -> str | None:
    """What is wrong with a value that must be an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        return f"`{name}` must be an integer of at least 1, it is {value!r}"
    return None


def stage_error(stage: Any, timestep_fs: float = DEFAULTS["timestep_fs"]) -> str | None:
    """What is wrong with one stage, or None."""
    if not isinstance(stage, Mapping):
        return f"a stage is a dictionary with `ensemble` and the rest, this is {stage!r}"
    if stage.get("ensemble") not in ENSEMBLES:
        return ensemble_error(stage.get("ensemble"))
    if stage["ensemble"] == "minimise":
        return minimisation_error(stage)
    if "relax_cell" in stage:
        return "`relax_cell` is for `minimise`; an npt stage moves the cell by its barostat"
    if message := unknown_keys(stage, DYNAMICS_KEYS):
        return message
    if message := not_positive("duration_ps", stage.get("duration_ps")) or temperature_error(stage):
        return message
    if stage["duration_ps"] * FS_PER_PS < 0.5 * timestep_fs:
        return f"`duration_ps` ({stage['duration_ps']:g}) is shorter than a step of {timestep_fs:g} fs"
    if message := not_finite("pressure_bar", stage.get("pressure_bar", 0.0)):
        return message
    return dump_error(stage)


def ensemble_error(ensemble: Any) -> str:
    """Say which ensembles there are."""
    hint = ""
    if ensemble == "nph":
        hint = " (for constant pressure take npt, whose thermostat holds the temperature)"
    elif ensemble in ("minimize", "min", "relax"):
        hint = " (minimise)"
    return f"`ensemble` is {ensemble!r}{hint}; choose one of {', '.join(ENSEMBLES)}"


def minimisation_error(stage: Mapping[str, Any]) -> str | None:
    """What is wrong with a stage of minimisation, or None."""
    if dynamic := sorted((DYNAMICS_KEYS - MINIMISE_KEYS) & set(stage)):
        return f"{dynamic} have no meaning in a minimisation; it takes {sorted(MINIMISE_KEYS)}"
    if message := unknown_keys(stage, MINIMISE_KEYS):
        return message
    values = {**MINIMISE_DEFAULTS, **stage}
    if values["relax_cell"] is not None and values["relax_cell"] not in CELL_RELAXATIONS:
        return f"`relax_cell` is {values['relax_cell']!r}; choose one of {', '.join(CELL_RELAXATIONS)}"
    return (
        not_a_count("max_steps", values["max_steps"])
        or not_positive("force_tolerance_eV_A", values["force_tolerance_eV_A"])
        or not_positive("pressure_tolerance_bar", values["pressure_tolerance_bar"])
        or not_finite("pressure_bar", values["pressure_bar"])
    )


def temperature_error(stage: Mapping[str, Any]) -> str | None:
    """What is wrong with the temperatures of a stage, or None."""
    if "temperature_K" not in stage:
        return "`temperature_K` is missing"
    given = stage["temperature_K"]
    values = list(given) if isinstance(given, (list, tuple)) else [given, given]
    if len(values) != 2 or any(not_finite("", value) for value in values):
        return f"`temperature_K` must be a number, or [start, end] of a ramp, it is {given!r}"
    if min(values) <= 0:
        return f"`temperature_K` must be above 0 K, it is {given!r}"
    return None


def dump_error(stage: Mapping[str, Any]) -> str | None:
    """What is wrong with the interval of the trajectory, or None."""
    interval = stage.get("dump_interval_ps")
    if interval is None:
        return None
    if message := not_positive("dump_interval_ps", interval):
        return message
    if interval > stage["duration_ps"]:
        return f"`dump_interval_ps` ({interval:g}) is longer than the stage ({stage['duration_ps']:g} ps)"
    return None


def precision_error(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with the precision, or None; only the pair styles on a GPU have a choice."""
    precision, style = parameters.get("precision"), parameters.get("pair_style", DEFAULTS["pair_style"])
    if precision is None:
        return None
    if style not in GPU_STYLES:
        return f"`precision` has no effect with pair_style {style}, which is in double; use {' or '.join(GPU_STYLES)}"
    if precision not in PRECISIONS:
        return f"`precision` is {precision!r}; choose one of {', '.join(PRECISIONS)}"
    return None


def extrapolation_error(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with the extrapolation control, or None."""
    control = parameters.get("extrapolation")
    style = parameters.get("pair_style", DEFAULTS["pair_style"])
    if style in PLAIN_STYLES and control is not None:
        return f"`extrapolation` has no effect with pair_style {style}; use {', '.join(GRADED_STYLES)} or mlip"
    if style in GRADED_STYLES and control is None:
        return f"pair_style {style} needs `extrapolation` with `gamma_select` and `gamma_break`"
    if control is None:
        return None
    if message := unknown_keys(control, {*EXTRAPOLATION_DEFAULTS, *THRESHOLDS}):
        return f"`extrapolation`: {message}"
    values = {**EXTRAPOLATION_DEFAULTS, **control}
    if values["grade"] is not None and values["grade"] not in GRADES:
        return f"extrapolation `grade` is {values['grade']!r}; choose one of {', '.join(GRADES)}, or none"
    checks: tuple[tuple[Callable[[str, Any], str | None], str], ...] = (
        (not_a_count, "interval_steps"),
        (not_a_count, "max_configurations"),
        (not_positive, "spacing_ps"),
    )
    for check, name in checks:
        if message := check(name, values[name]):
            return f"extrapolation {message}"
    return gamma_error(control.get("gamma_select"), control.get("gamma_break"))


def gamma_error(gamma_select: Any, gamma_break: Any) -> str | None:
    """Both thresholds are needed, of at least one, and the run may not break before it selects."""
    if gamma_select is None or gamma_break is None:
        return "extrapolation needs both `gamma_select` and `gamma_break`"
    for name, value in (("gamma_select", gamma_select), ("gamma_break", gamma_break)):
        if message := not_finite(name, value):
            return message
    if gamma_select < 1:
        return f"`gamma_select` is {gamma_select:g}; a grade below 1 is interpolation, use at least 1 (usual: 2)"
    if gamma_break < gamma_select:
        return f"`gamma_break` ({gamma_break:g}) is below `gamma_select` ({gamma_select:g}); nothing would be selected"
    return None


# --- a longer run ---------------------------------------------------------------------------------------------------


def extension_error(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Why a run does not continue another: all but the length of the last stage and what is looked at must be the same.

    Parameters
    ----------
    before, now
        Parameters of the run that is continued and of the one that continues it, without the defaults.
    """
    before, now = resolve(before), resolve(now)
    free = {"stages", "restart_interval_ps", "thermo_interval_ps", "extrapolation"}
    if other := sorted(key for key in set(before) | set(now) if key not in free and before.get(key) != now.get(key)):
        return f"{other} differ from those of the run that is continued"
    if len(before["stages"]) != len(now["stages"]) or before["stages"][:-1] != now["stages"][:-1]:
        return "only the last stage may differ from that of the run that is continued, in its length"
    last, longer = dict(before["stages"][-1]), dict(now["stages"][-1])
    if last == longer:
        return None
    if last["ensemble"] == "minimise" or any(
        last.get(key) != longer.get(key) for key in (set(last) | set(longer)) - {"duration_ps"}
    ):
        return "of the last stage only `duration_ps` may differ from that of the run that is continued"
    if longer["duration_ps"] < last["duration_ps"]:
        return f"the last stage is shorter ({longer['duration_ps']:g} ps) than that of the run that is continued"
    first, end = temperature_range(last)
    if first != end:
        return f"a ramp ({first:g} to {end:g} K) cannot be extended: its slope would be another"
    return None
