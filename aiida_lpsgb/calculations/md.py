"""Staged molecular dynamics with a moment tensor potential in LAMMPS."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.plugins import DataFactory
from ase.data import atomic_masses, atomic_numbers
from ase.io.lammpsdata import write_lammps_data

from aiida_lpsgb.calculations import validation

PotentialData = DataFactory("lpsgb.potential")
ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")

PAIR_STYLES = ("mtp", "mtp/extrapolation", "mlip")
ENSEMBLES = ("minimise", "nve", "nvt", "npt")
BAROSTATS = ("iso", "aniso", "tri")
GRADES = ("configuration", "neighborhood")

DEFAULTS: dict[str, Any] = {
    "pair_style": "mtp",
    "timestep_fs": 2.0,
    "thermostat_damping_ps": 0.1,
    "barostat_damping_ps": 1.0,
    "barostat": "aniso",
    "thermo_interval_ps": 0.1,
    "restart_interval_ps": None,
    "neighbour_skin_A": 2.0,
}
EXTRAPOLATION_DEFAULTS: dict[str, Any] = {"grade": "configuration", "interval_steps": 10}
STAGE_DEFAULTS: dict[str, Any] = {"pressure_bar": 0.0, "dump_interval_ps": None}
STAGE_KEYS = {
    "name",
    "ensemble",
    "duration_ps",
    "temperature_K",
    "pressure_bar",
    "dump_interval_ps",
    "max_steps",
    "relax_cell",
}
CELL_RELAXATIONS = ("x", "y", "z", "iso", "aniso", "tri")

# `timer timeout` lets LAMMPS end by itself, with its restart written, this long before the scheduler would end it.
WALLTIME_FRACTION = 0.95
FS_PER_PS = 1000.0


class MdCalculation(CalcJob):
    """Minimise, heat, hold, cool and produce with LAMMPS: one job, a list of stages."""

    INPUT_FILE = "md.in"
    DATA_FILE = "structure.data"
    POTENTIAL_FILE = "potential.mtp"
    ACTIVE_SET_FILE = "active_set.als"
    MLIP_FILE = "mlip.ini"
    LOG_FILE = "log.lammps"
    # Scaled unwrapped coordinates in binary: exact images in a breathing cell, and no text to parse. LAMMPS cannot
    # append to a binary dump, so every (re)start writes a file of its own, named by its first step.
    DUMP_PATTERN = "trajectory.*.bin"
    DUMP_FILE = "trajectory.$(step:%012.0f).bin"
    FINAL_FILE = "final.lammpstrj"
    EXTRAPOLATED_FILE = "extrapolated.cfg"
    RESTART_PATTERN = "md.*.restart"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="Fully occupied structure to start from.")
        spec.input("potential", valid_type=PotentialData, help="Trained moment tensor potential.")
        spec.input(
            "active_set",
            valid_type=orm.SinglefileData,
            required=False,
            help="Active set (`.als`) of the potential; needed where `parameters` has `extrapolation`.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            validator=validate_parameters,
            help=(
                "What to run. `stages`: list of dictionaries with `ensemble` (minimise, nve, nvt, npt), `duration_ps`, "
                "`temperature_K` (a number, or [start, end] for a ramp), `pressure_bar`, `dump_interval_ps` (writes "
                "the trajectory during this stage) and `name`; `minimise` takes `max_steps` and `relax_cell` (x, y, z, "
                "iso, aniso or tri) instead. Common keys: `pair_style` (mtp, mtp/extrapolation, "
                "mlip), `timestep_fs`, `thermostat_damping_ps`, `barostat_damping_ps`, `barostat` (iso, aniso, tri), "
                "`thermo_interval_ps`, `restart_interval_ps`, `neighbour_skin_A`, and `extrapolation` (`gamma_select`, "
                "`gamma_break`, `grade`, `interval_steps`)."
            ),
        )
        spec.input("seed", valid_type=orm.Int, validator=validate_seed, help="Seed of the initial velocities.")
        spec.input(
            "parent_folder",
            valid_type=orm.RemoteData,
            required=False,
            help="Working folder of an interrupted run of the same inputs; continues from its newest restart file.",
        )
        spec.inputs.validator = validate_inputs
        spec.inputs["metadata"]["options"]["parser_name"].default = "lpsgb.md"
        spec.inputs["metadata"]["options"]["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        # Where these inputs are exposed without their defaults, the default must still be enough.
        spec.inputs["metadata"]["options"]["resources"].required = False
        spec.inputs["metadata"]["options"]["withmpi"].default = False
        spec.inputs["metadata"]["options"]["environment_variables"].default = {"OMP_NUM_THREADS": "1"}

        spec.output("results", valid_type=orm.Dict, help="Steps done, averages of every stage, the highest grade.")
        spec.output("thermo", valid_type=orm.ArrayData, required=False, help="Thermodynamic output, an array a column.")
        spec.output(
            "structure",
            valid_type=orm.StructureData,
            required=False,
            help="Last configuration, in LAMMPS's frame (a along x, b in the xy plane).",
        )
        spec.output("trajectory", valid_type=TrajectoryData, required=False, help="Frames of the dumped stages.")
        spec.output(
            "extrapolated",
            valid_type=ConfigurationsData,
            required=False,
            help="Configurations whose extrapolation grade exceeded `gamma_select`.",
        )
        spec.default_output_node = "results"

        spec.exit_code(300, "ERROR_NO_LOG", message="LAMMPS wrote no log: {detail}", invalidates_cache=True)
        spec.exit_code(
            310,
            "EXTRAPOLATION_BREAK",
            message="The extrapolation grade {grade} exceeded gamma_break; the run was ended there.",
        )
        spec.exit_code(320, "ERROR_LOST_ATOMS", message="The dynamics is unstable: {detail}")
        spec.exit_code(321, "ERROR_NON_FINITE", message="Non-finite energy, pressure or position at step {step}.")
        spec.exit_code(322, "ERROR_LAMMPS", message="LAMMPS stopped: {detail}")
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended at step {step} of {planned}; continue from the remote folder.",
            invalidates_cache=True,
        )
        spec.exit_code(
            401,
            "ERROR_INTERRUPTED",
            message="The run was ended from outside at step {step} of {planned}.",
            invalidates_cache=True,
        )
        spec.exit_code(
            402,
            "ERROR_TRAJECTORY_TRUNCATED",
            message="LAMMPS finished, but the trajectory is incomplete: {detail}",
            invalidates_cache=True,
        )

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write data file, script and potential; name what is to be brought back."""
        parameters = resolve(self.inputs.parameters.get_dict())
        species = self.inputs.potential.species
        continued = "parent_folder" in self.inputs

        write_data_file(folder.get_abs_path(self.DATA_FILE), self.inputs.structure, species)
        walltime = self.inputs.metadata.options.get("max_wallclock_seconds")
        script = render_script(parameters, species, self.inputs.seed.value, continued=continued, walltime_s=walltime)
        folder.create_file_from_filelike(io.StringIO(script), self.INPUT_FILE, mode="w", encoding="utf-8")
        if parameters["pair_style"] == "mlip":
            folder.create_file_from_filelike(
                io.StringIO(render_mlip_ini(parameters)), self.MLIP_FILE, mode="w", encoding="utf-8"
            )

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = ["-in", self.INPUT_FILE, "-log", self.LOG_FILE, "-screen", "none"]

        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.retrieve_list = [self.LOG_FILE]
        calcinfo.retrieve_temporary_list = [self.FINAL_FILE, self.EXTRAPOLATED_FILE, (self.DUMP_PATTERN, ".", 0)]
        potential = self.inputs.potential
        calcinfo.local_copy_list = [(potential.uuid, potential.filename, self.POTENTIAL_FILE)]
        if "active_set" in self.inputs:
            active_set = self.inputs.active_set
            calcinfo.local_copy_list.append((active_set.uuid, active_set.filename, self.ACTIVE_SET_FILE))
        if continued:
            parent = self.inputs.parent_folder
            root = parent.get_remote_path()
            calcinfo.remote_copy_list = [
                (parent.computer.uuid, f"{root}/{name}", ".") for name in (self.RESTART_PATTERN, self.DUMP_PATTERN)
            ]
        return calcinfo


def resolve(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the defaults of a parameters dictionary."""
    resolved = {**DEFAULTS, **parameters}
    resolved["stages"] = [{**STAGE_DEFAULTS, **stage} for stage in parameters["stages"]]
    if "extrapolation" in parameters:
        resolved["extrapolation"] = {**EXTRAPOLATION_DEFAULTS, **parameters["extrapolation"]}
    return resolved


def stage_steps(stage: Mapping[str, Any], timestep_fs: float) -> int:
    """Number of MD steps of a stage (0 for a minimisation)."""
    if stage["ensemble"] == "minimise":
        return 0
    return round(stage["duration_ps"] * FS_PER_PS / timestep_fs)


def planned_steps(parameters: Mapping[str, Any]) -> int:
    """Number of MD steps of all stages."""
    return sum(stage_steps(stage, parameters["timestep_fs"]) for stage in parameters["stages"])


def temperature_range(stage: Mapping[str, Any]) -> tuple[float, float]:
    """First and last thermostat temperature of a stage, in K."""
    temperature = stage["temperature_K"]
    if isinstance(temperature, (list, tuple)):
        return float(temperature[0]), float(temperature[1])
    return float(temperature), float(temperature)


def write_data_file(path: str, structure: orm.StructureData, species: Sequence[str]) -> None:
    """Write a LAMMPS data file whose types follow the species of the potential."""
    atoms = structure.get_ase()
    atoms.pbc = True
    masses = {symbol: atomic_masses[atomic_numbers[symbol]] for symbol in species}
    with open(path, "w", encoding="utf-8") as handle:
        write_lammps_data(
            handle, atoms, specorder=list(species), masses=False, units="metal", atom_style="atomic", force_skew=False
        )
        handle.write("\nMasses\n\n")
        for index, symbol in enumerate(species, start=1):
            handle.write(f"{index} {masses[symbol]:.6f}  # {symbol}\n")


def render_mlip_ini(parameters: Mapping[str, Any]) -> str:
    """Settings file of MLIP-2's LAMMPS interface."""
    calc = MdCalculation
    lines = [f"mtp-filename {calc.POTENTIAL_FILE}"]
    if "extrapolation" in parameters:
        control = parameters["extrapolation"]
        lines += [
            "select TRUE",
            f"select:threshold {control['gamma_select']:g}",
            f"select:threshold-break {control['gamma_break']:g}",
            f"select:save-selected {calc.EXTRAPOLATED_FILE}",
            f"select:load-state {calc.ACTIVE_SET_FILE}",
        ]
    return "\n".join(lines) + "\n"


def render_pair_style(parameters: Mapping[str, Any]) -> str:
    """The `pair_style` line; types follow the species of the potential, so `pair_coeff * *` is enough."""
    calc = MdCalculation
    style = parameters["pair_style"]
    if style == "mlip":
        return f"pair_style mlip {calc.MLIP_FILE}"
    if style == "mtp":
        return f"pair_style mtp {calc.POTENTIAL_FILE}"
    control = parameters["extrapolation"]
    return (
        f"pair_style mtp/extrapolation {calc.POTENTIAL_FILE} {calc.ACTIVE_SET_FILE} {control['interval_steps']} "
        f"{control['gamma_select']:g} {control['gamma_break']:g} {calc.EXTRAPOLATED_FILE} {control['grade']}"
    )


def render_script(
    parameters: Mapping[str, Any],
    species: Sequence[str],
    seed: int,
    *,
    continued: bool = False,
    walltime_s: float | None = None,
) -> str:
    """LAMMPS input for a resolved parameters dictionary.

    Stage boundaries are absolute steps, so that the same script serves a first run and its continuation: a stage that
    lies behind the restart file's step is skipped, the one it falls into is completed with its original ramp.
    """
    calc = MdCalculation
    timestep_fs = parameters["timestep_fs"]

    def steps(picoseconds: float) -> int:
        return max(1, round(picoseconds * FS_PER_PS / timestep_fs))

    lines = ["units metal", "atom_style atomic", "boundary p p p"]
    if walltime_s:
        seconds = int(walltime_s * WALLTIME_FRACTION)
        lines.append(f"timer timeout {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} every 100")
    lines.append(f"read_restart {calc.RESTART_PATTERN}" if continued else f"read_data {calc.DATA_FILE}")
    lines += [
        render_pair_style(parameters),
        "pair_coeff * *",
        f"neighbor {parameters['neighbour_skin_A']:g} bin",
        "neigh_modify every 1 delay 0 check yes",
        f"timestep {timestep_fs / FS_PER_PS:g}",
        f"thermo {steps(parameters['thermo_interval_ps'])}",
        "thermo_style custom step temp press pe ke etotal vol lx ly lz xy xz yz",
        "thermo_modify format float %.10g flush yes",
    ]
    if parameters["restart_interval_ps"]:
        lines.append(f"restart {steps(parameters['restart_interval_ps'])} {calc.RESTART_PATTERN}")

    moving = [stage for stage in parameters["stages"] if stage["ensemble"] != "minimise"]
    start, velocities_set = 0, continued
    for index, stage in enumerate(parameters["stages"]):
        name = stage.get("name", stage["ensemble"])
        lines.append(f"\nprint 'lpsgb stage {index} {name}'")
        if stage["ensemble"] == "minimise":
            if not continued:
                max_steps = stage.get("max_steps", 200)
                minimise = f"minimize 0.0 1.0e-3 {max_steps} {10 * max_steps}"
                lines.append(minimise)
                if axes := stage.get("relax_cell"):
                    # The minimiser's pressure term refers to a reference cell: renew it, and end with the cell fixed.
                    pressure = f"{axes} {stage['pressure_bar']:g} vmax 0.002 nreset 50"
                    lines += [f"fix relax all box/relax {pressure}", minimise, "unfix relax", minimise]
                lines += [f"print 'lpsgb minimised {index} $(pe:%.12g)'", "reset_timestep 0"]
            continue
        if not velocities_set:
            first_temperature = temperature_range(moving[0])[0]
            lines.append(f"velocity all create {first_temperature:g} {seed} mom yes rot no dist gaussian")
            velocities_set = True
        end = start + stage_steps(stage, timestep_fs)
        lines += render_stage(stage, parameters, start, end, steps)
        start = end
    lines += [
        "",
        f"write_dump all custom {calc.FINAL_FILE} id type xu yu zu modify sort id format float %.12g",
        f"write_restart {calc.RESTART_PATTERN}",
        "print 'lpsgb finished'",
    ]
    return "\n".join(lines) + "\n"


def render_stage(
    stage: Mapping[str, Any], parameters: Mapping[str, Any], start: int, end: int, steps: Any
) -> list[str]:
    """Lines of one stage of dynamics between two absolute steps."""
    calc = MdCalculation
    first, last = temperature_range(stage)
    thermostat = f"temp {first:g} {last:g} {parameters['thermostat_damping_ps']:g}"
    pressure = stage["pressure_bar"]
    barostat = f"{parameters['barostat']} {pressure:g} {pressure:g} {parameters['barostat_damping_ps']:g}"
    integrator = {"nve": "nve", "nvt": f"nvt {thermostat}", "npt": f"npt {thermostat} {barostat}"}[stage["ensemble"]]

    run = f"run {end} upto start {start} stop {end}"
    lines = [f"fix integrate all {integrator}"]
    if stage["dump_interval_ps"]:
        interval = steps(stage["dump_interval_ps"])
        lines += [
            f"dump trajectory all custom {interval} {calc.DUMP_FILE} id type xsu ysu zsu",
            "dump_modify trajectory sort id time yes",
        ]
    # A continued run may start behind this stage; LAMMPS refuses `run upto` a step that is already past.
    lines.append(f'if "$(step) < {end}" then "{run}"')
    if stage["dump_interval_ps"]:
        lines.append("undump trajectory")
    lines.append("unfix integrate")
    return lines


def validate_seed(seed: orm.Int, _: Any) -> str | None:
    """LAMMPS takes positive seeds below 2³¹."""
    if not 0 < seed.value < 2**31:
        return f"seed is {seed.value}; LAMMPS takes an integer from 1 to 2147483647"
    return None


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """Refuse unknown keys, impossible stages and a gamma_break below gamma_select."""
    parameters = node.get_dict()
    known = set(DEFAULTS) | {"stages", "extrapolation"}
    if unknown := sorted(set(parameters) - known):
        return f"parameters: unknown keys {unknown}; known are {sorted(known)}"
    stages = parameters.get("stages")
    if not isinstance(stages, list) or not stages:
        return "parameters: `stages` must be a list with at least one stage"
    for name, choices in (("pair_style", PAIR_STYLES), ("barostat", BAROSTATS)):
        if parameters.get(name, DEFAULTS[name]) not in choices:
            return f"parameters: `{name}` is {parameters[name]!r}; choose one of {choices}"
    for name in ("timestep_fs", "thermostat_damping_ps", "barostat_damping_ps", "thermo_interval_ps"):
        if not parameters.get(name, DEFAULTS[name]) > 0:
            return f"parameters: `{name}` must be positive, it is {parameters[name]}"
    for index, stage in enumerate(stages):
        if message := stage_error(stage):
            return f"parameters: stage {index}: {message}"
    if sum(bool(stage.get("dump_interval_ps")) for stage in stages) > 1:
        return "parameters: only one stage may set `dump_interval_ps`, since a job has one trajectory"
    return extrapolation_error(parameters)


def stage_error(stage: Mapping[str, Any]) -> str | None:
    """What is wrong with one stage, or None."""
    if unknown := sorted(set(stage) - STAGE_KEYS):
        return f"unknown keys {unknown}; known are {sorted(STAGE_KEYS)}"
    if stage.get("ensemble") not in ENSEMBLES:
        return f"`ensemble` is {stage.get('ensemble')!r}; choose one of {ENSEMBLES}"
    if stage["ensemble"] == "minimise":
        axes = stage.get("relax_cell")
        if axes is not None and axes not in CELL_RELAXATIONS:
            return f"`relax_cell` is {axes!r}; choose one of {CELL_RELAXATIONS}"
        return None
    if "relax_cell" in stage:
        return "`relax_cell` is for `minimise`; an npt stage moves the cell by its barostat"
    if not stage.get("duration_ps", 0) > 0:
        return f"`duration_ps` must be positive, it is {stage.get('duration_ps')}"
    if "temperature_K" not in stage:
        return "`temperature_K` is missing"
    return validation.temperature_error(temperature_range(stage))


def extrapolation_error(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with the extrapolation control, or None."""
    control = parameters.get("extrapolation")
    style = parameters.get("pair_style", DEFAULTS["pair_style"])
    if style == "mtp" and control is not None:
        return "parameters: `extrapolation` has no effect with pair_style mtp; use mtp/extrapolation or mlip"
    if style == "mtp/extrapolation" and control is None:
        return "parameters: pair_style mtp/extrapolation needs `extrapolation` with `gamma_select` and `gamma_break`"
    if control is None:
        return None
    if unknown := sorted(set(control) - set(EXTRAPOLATION_DEFAULTS) - {"gamma_select", "gamma_break"}):
        return f"parameters: unknown keys {unknown} in `extrapolation`"
    if control.get("grade", "configuration") not in GRADES:
        return f"parameters: extrapolation `grade` is {control['grade']!r}; choose one of {GRADES}"
    return validation.gamma_error(control.get("gamma_select"), control.get("gamma_break"))


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Check structure, potential and active set against each other."""
    if any(key not in inputs for key in ("structure", "potential", "parameters")):
        return None  # the ports themselves complain
    if message := validation.md_inputs_error(inputs["structure"], inputs["potential"]):
        return message
    if "extrapolation" in inputs["parameters"].get_dict() and "active_set" not in inputs:
        return "active_set: extrapolation control needs the active set of the potential (output of lpsgb.mlp.grade)"
    return None
