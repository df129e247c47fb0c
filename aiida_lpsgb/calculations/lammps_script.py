"""Input of a staged LAMMPS run (no AiiDA).

A continuation gives the frames of the undisturbed run, to the last bit on the same machine and number of processes,
because both do the same at the same steps: stage boundaries are absolute steps; the run is set up anew at every restart
point, as a continuation is (`run … every`); and what a restart file does not hold is stated (`fixedpoint`), or has a
name of its own (the fix of a stage, so that none takes over the thermostat of another). With `pair_style mlip`, which
cannot be set up anew without loss, and on a GPU, whose sums have no fixed order, a continuation is the same run to
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiida_lpsgb.calculations.md_parameters import (
    FS_PER_PS,
    GRADED_STYLES,
    planned_steps,
    relaxed_cell,
    stage_name,
    stage_steps,
    temperature_range,
    to_steps,
)

DATA_FILE = "structure.data"
POTENTIAL_FILE = "potential.mtp"
ACTIVE_SET_FILE = "active_set.als"
MLIP_FILE = "mlip.ini"
# Scaled unwrapped coordinates in binary: exact images in a breathing cell, and no text to parse. LAMMPS cannot append
# to a binary dump; the file is named by its first step.
DUMP_PATTERN = "trajectory.*.bin"
DUMP_FILE = "trajectory.$(step:%012.0f).bin"
FINAL_FILE = "final.lammpstrj"
EXTRAPOLATED_FILE = "extrapolated.cfg"
RESTART_PATTERN = "md.*.restart"

# `timer timeout` lets LAMMPS end by itself this long before the scheduler would end it.
WALLTIME_FRACTION = 0.95
# No two atoms share a bin of that size, Å. Their order, and with it the last bit of every sum, then follows from where
# they are alone, also on several processes, and not from how they came there: a continued run is that which went on.
SORT = "atom_modify sort 1000 0.5"
AS_IF_READ = "write_restart as_if_read.restart"
# Where atoms fall into each other a barostat has the cell explode within a step, for which LAMMPS takes all memory.
GUARD = "pressure_above_1e7_bar"
THERMO_COLUMNS = "step temp press pe ke etotal vol lx ly lz xy xz yz pxx pyy pzz pxy pxz pyz"
# The highest grade since the pair style was set, which graded pair styles keep.
GRADE_COLUMN = "c_grade[2]"


@dataclass(frozen=True)
class PairStyle:
    """What a potential says in LAMMPS's input.

    Attributes
    ----------
    species
        Chemical symbols in the order of LAMMPS's atom types.
    lines
        `pair_style`, `pair_coeff` and what belongs to them.
    charges
        Charge of each species in e; where there are none, atoms have no charge.
    """

    species: tuple[str, ...]
    lines: tuple[str, ...]
    charges: Mapping[str, float] = field(default_factory=dict)

    @property
    def atom_style(self) -> str:
        """`charge` where there are charges."""
        return "charge" if self.charges else "atomic"

    def render(self) -> list[str]:
        """Lines of the input, to be put after the atoms are there."""
        charges = [
            f"set type {kind} charge {self.charges[symbol]:.12g}"
            for kind, symbol in enumerate(self.species, start=1)
            if symbol in self.charges
        ]
        return [*charges, *self.lines]


def mtp_pair_style(parameters: Mapping[str, Any], species: Sequence[str]) -> PairStyle:
    """Pair style of a moment tensor potential; types follow its species, so `pair_coeff * *` is enough."""
    style = parameters["pair_style"]
    if style == "mlip":
        line = f"pair_style mlip {MLIP_FILE}"
    elif style not in GRADED_STYLES:
        line = f"pair_style {style} {POTENTIAL_FILE}"
    else:
        control = parameters["extrapolation"]
        line = (
            f"pair_style {style} {POTENTIAL_FILE} {ACTIVE_SET_FILE} {control['interval_steps']} "
            f"{control['gamma_select']:g} {control['gamma_break']:g} {EXTRAPOLATED_FILE} {control['grade'] or ''}"
        )
    if parameters.get("precision") is not None:
        line = f"{line.rstrip()} precision {parameters['precision']}"
    return PairStyle(tuple(species), (line.rstrip(), "pair_coeff * *"))


def render_mlip_ini(parameters: Mapping[str, Any]) -> str:
    """Settings file of MLIP-2's LAMMPS interface."""
    lines = [f"mtp-filename {POTENTIAL_FILE}"]
    if "extrapolation" in parameters:
        control = parameters["extrapolation"]
        lines += [
            "select TRUE",
            f"select:threshold {control['gamma_select']:g}",
            f"select:threshold-break {control['gamma_break']:g}",
            f"select:save-selected {EXTRAPOLATED_FILE}",
            f"select:load-state {ACTIVE_SET_FILE}",
        ]
    return "\n".join(lines) + "\n"


def render_script(
    parameters: Mapping[str, Any],
    pair_style: PairStyle,
    seed: int,
    *,
    leaning: bool = False,
    grid: Sequence[int] | None = None,
    restart_file: str | None = None,
    walltime_s: float | None = None,
) -> str:
    """LAMMPS input for a resolved parameters dictionary.

    Parameters
    ----------
    parameters
        Parameters with their defaults filled in.
    pair_style
        The interaction.
    seed
        Seed of the initial velocities.
    leaning
        Whether the cell's vectors are not at right angles.
    grid
        How many processes share the cell along each of its vectors, where as many run as that makes. LAMMPS would
        choose by the cell that a restart file holds, and a cell that breathes may tip the scales.
    restart_file
        Restart file to continue from; a stage that lies behind its step is skipped, the one it falls into is completed
        with its original ramp.
    walltime_s
        Wall time of the job.
    """
    timestep_fs = parameters["timestep_fs"]
    graded = parameters["pair_style"] in GRADED_STYLES
    lines = ["units metal", f"atom_style {pair_style.atom_style}", "boundary p p p"]
    if walltime_s:
        seconds = max(1, int(walltime_s * WALLTIME_FRACTION))
        lines.append(f"timer timeout {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} every 100")
    if grid is not None:
        processors = f"processors {' '.join(map(str, grid))}"
        lines.append(f'if "$(extract_setting(world_size)) == {math.prod(grid)}" then "{processors}"')
    lines.append(f"read_restart {restart_file}" if restart_file else f"read_data {DATA_FILE}")
    lines += [
        *pair_style.render(),
        f"neighbor {parameters['neighbour_skin_A']:g} bin",
        "neigh_modify every 1 delay 0 check yes",
        SORT,
        f"timestep {timestep_fs / FS_PER_PS:.12g}",
        f"thermo {to_steps(parameters['thermo_interval_ps'], timestep_fs)}",
        *([f"compute grade all pair {parameters['pair_style']}"] if graded else []),
        f"thermo_style custom {THERMO_COLUMNS}" + (f" {GRADE_COLUMN}" if graded else ""),
        "thermo_modify format float %.10g flush yes",
    ]
    start, has_velocities = 0, restart_file is not None
    for index, stage in enumerate(parameters["stages"]):
        lines.append(f"\nprint 'lpsgb stage {index} {stage_name(stage)}'")
        if stage["ensemble"] == "minimise":
            lines += render_minimisation(stage, start, bool(parameters["restart_interval_ps"]), leaning)
            continue
        if not has_velocities:
            first = temperature_range(stage)[0]
            lines.append(f"velocity all create {first:g} {seed} mom yes rot no dist gaussian")
            has_velocities = True
        end = start + stage_steps(stage, timestep_fs)
        lines += render_dynamics(index, stage, parameters, start, end)
        start = end
    lines += ["", f"write_dump all custom {FINAL_FILE} id type xu yu zu modify sort id format float %.12g"]
    if total := planned_steps(parameters):
        # A later run may go on from the end. Where the run ended early, it goes on from its last restart point.
        lines.append(f'if "$(step) == {total}" then "write_restart {RESTART_PATTERN}"')
    return "\n".join([*lines, "print 'lpsgb finished'"]) + "\n"


def render_minimisation(stage: Mapping[str, Any], start: int, with_restarts: bool, leaning: bool = False) -> list[str]:
    """Lines of a minimisation before the step `start`; a run that is continued behind it skips it.

    The minimiser's pressure term refers to a reference cell: it is renewed, and the last phase keeps the cell.
    """
    max_steps, tolerance = stage["max_steps"], stage["force_tolerance_eV_A"]
    minimise = f"minimize 0.0 {tolerance:g} {max_steps} {10 * max_steps}"
    commands = [minimise]
    if stage["relax_cell"]:
        commands += [box_relaxation(stage, leaning), minimise, "unfix relax", minimise]
    if with_restarts:
        commands.insert(0, "restart 0")  # the minimiser counts steps of its own
    commands.append(f"reset_timestep {start}")
    quoted = " ".join(f'"{command}"' for command in commands)
    # The largest force on an atom decides, whatever the number of atoms.
    return ["min_modify norm max", f'if "$(step) == {start}" then {quoted}']


def box_relaxation(stage: Mapping[str, Any], leaning: bool) -> str:
    """The fix that relaxes the cell beside the positions.

    LAMMPS takes the pressure along an axis for the slope of the energy, and its line search stalls where that is wrong:
    of a leaning cell, if a vector's tilt grew with its height, or if the lengths changed and the angles did not.
    """
    axes, keywords = relaxed_cell(stage, leaning), "vmax 0.002 nreset 50"
    if axes in ("x", "y", "z"):
        keywords += " scalexy no scalexz no scaleyz no"
    return f"fix relax all box/relax {axes} {stage['pressure_bar']:g} {keywords}"


def render_dynamics(
    index: int, stage: Mapping[str, Any], parameters: Mapping[str, Any], start: int, end: int
) -> list[str]:
    """Lines of one stage of dynamics between two absolute steps."""
    timestep_fs = parameters["timestep_fs"]
    lines = [f"fix stage_{index} all {render_integrator(stage, parameters)}"]
    if stage["dump_interval_ps"]:
        interval = to_steps(stage["dump_interval_ps"], timestep_fs)
        lines += [
            f"dump trajectory all custom {interval} {DUMP_FILE} id type xsu ysu zsu",
            "dump_modify trajectory sort id time yes units yes",
        ]
    guarded = stage["ensemble"] == "npt"
    if guarded:
        lines += ["variable pressure equal abs(press)", f"fix {GUARD} all halt 1 v_pressure > 1e7 error hard"]
    every = None
    if parameters["restart_interval_ps"]:
        every = to_steps(parameters["restart_interval_ps"], timestep_fs)
        lines.append(f"restart {every} {RESTART_PATTERN}")
    # MLIP-2's interface begins anew whenever a run is set up, and with it its file of selected configurations.
    lines += render_runs(start, end, None if parameters["pair_style"] == "mlip" else every)
    if stage["dump_interval_ps"]:
        lines.append("undump trajectory")
    if guarded:
        lines.append(f"unfix {GUARD}")
    return [*lines, f"unfix stage_{index}"]


def render_integrator(stage: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Style and arguments of the stage's integrator."""
    if stage["ensemble"] == "nve":
        return "nve"
    first, last = temperature_range(stage)
    thermostat = f"temp {first:g} {last:g} {parameters['thermostat_damping_ps']:g}"
    if stage["ensemble"] == "nvt":
        return f"nvt {thermostat}"
    pressure = f"{stage['pressure_bar']:g} {stage['pressure_bar']:g} {parameters['barostat_damping_ps']:g}"
    # A restart file does not hold the point about which the cell breathes, by default the centre when the fix is made.
    return f"npt {thermostat} {parameters['barostat']} {pressure} fixedpoint 0 0 0"


def render_runs(start: int, end: int, every: int | None) -> list[str]:
    """Run from the step at hand to `end`; LAMMPS refuses `run upto` a step that is already past.

    With restart files the run is cut at the multiples of `every`, where they are written. Reading one passes positions
    through the cell's coordinates and back, which in a triclinic cell changes their last bit. Writing another, which
    nobody reads, does the same to the run that goes on.
    """
    span = f"upto start {start} stop {end}"
    if every is None:
        return [f'if "$(step) < {end}" then "run {end} {span}"']
    first = min(end, (start // every + 1) * every)
    cut = f' "{AS_IF_READ}"' if first % every == 0 else ""
    lines = [f'if "$(step) < {first}" then "run {first} {span} post no"{cut}']
    if first < end:
        lines.append(f'if "$(step) < {end}" then "run {end} {span} post no every {every} \'{AS_IF_READ}\'"')
    return lines
