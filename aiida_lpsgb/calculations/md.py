"""Staged molecular dynamics in LAMMPS: `lpsgb.md`, one job, one segment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.common.folders import Folder
from aiida.common.links import LinkType
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.plugins import DataFactory
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from ase.io.lammpsdata import write_lammps_data

from aiida_lpsgb.calculations import lammps_script, validation
from aiida_lpsgb.calculations.lammps_script import PairStyle, render_mlip_ini, render_script
from aiida_lpsgb.calculations.md_parameters import extension_error, parameters_error, resolve
from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES, Interaction, interaction, is_mtp, potential_error
from aiida_lpsgb.calculations.program import declare_signals, keep_exit_status, processes_of
from aiida_lpsgb.mtp.als_header import grade_mode

ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")

ENTRY_POINT = "lpsgb.md"
MOST_TILT = 0.6
"""Share of a length by which LAMMPS lets its cells lean before it takes other vectors."""
# LAMMPS ends a whole restart file with the mark that it begins with.
RESTART_END = b"LammpS RestartT"
RESTART_MISSING = "no.restart"
RESTART_NAME = re.compile(r"md\.(\d+)\.restart")


class MdCalculation(CalcJob):
    """Minimise, heat, hold, cool and produce with LAMMPS: one job, a list of stages."""

    INPUT_FILE = "md.in"
    LOG_FILE = "log.lammps"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        cls._define_inputs(spec)
        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_inputs(cls, spec: CalcJobProcessSpec) -> None:
        spec.input("structure", valid_type=orm.StructureData, help="Fully occupied structure to start from.")
        spec.input(
            "potential",
            valid_type=POTENTIAL_TYPES,
            help=(
                "Trained moment tensor potential (`lpsgb.potential`), lines of any other pair style "
                "(`lpsgb.pair_style`), or a potential of aiida-lammps (`lammps.potential`). Only the first is graded."
            ),
        )
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
                "What to run. `stages`: list of dictionaries with `ensemble` (nve, nvt, npt), `duration_ps`, "
                "`temperature_K` (a number, or [start, end] for a ramp), `pressure_bar`, `dump_interval_ps` (writes "
                "the trajectory during this stage) and `name`; a stage with `ensemble: minimise` takes `max_steps` "
                "(of each of its phases), `force_tolerance_eV_A` (largest force on an atom), `relax_cell` (x, y, z, "
                "iso, tri, or aniso, which is tri for a leaning cell), `pressure_bar` and `pressure_tolerance_bar` "
                "instead. Common keys: `timestep_fs`, "
                "`thermostat_damping_ps`, `barostat_damping_ps`, `barostat` (iso, aniso, tri), `thermo_interval_ps`, "
                "`restart_interval_ps` (10 ps; a run with a wall time needs it), `neighbour_skin_A`. For moment tensor "
                "potentials `pair_style` (mtp, mtp/extrapolation, mlip; the first two with /gpu behind, then with "
                "`precision`, double or mixed) and `extrapolation` (`gamma_select`, `gamma_break`, `interval_steps`, "
                "`grade`, by default that of the active set; of the configurations found the first and at most one "
                "every `spacing_ps` is kept, the one of highest grade, and `max_configurations` in all). For a "
                "potential of aiida-lammps `pair_style_options`, a list."
            ),
        )
        spec.input("seed", valid_type=orm.Int, validator=validate_seed, help="Seed of the initial velocities.")
        spec.input(
            "parent_folder",
            valid_type=orm.RemoteData,
            required=False,
            help=(
                "Working folder of a run to go on with from its newest whole restart file: an interrupted one of the "
                "same inputs, or a finished one whose last stage was shorter. Only what is new is run and kept."
            ),
        )
        spec.inputs.validator = validate_inputs
        spec.inputs["metadata"]["options"]["parser_name"].default = ENTRY_POINT
        spec.inputs["metadata"]["options"]["resources"].default = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
        # Where these inputs are exposed without their defaults, the default must still be enough.
        spec.inputs["metadata"]["options"]["resources"].required = False
        spec.inputs["metadata"]["options"]["withmpi"].default = False
        spec.inputs["metadata"]["options"]["environment_variables"].default = {"OMP_NUM_THREADS": "1"}

    @classmethod
    def _define_outputs(cls, spec: CalcJobProcessSpec) -> None:
        spec.output(
            "results",
            valid_type=orm.Dict,
            help=(
                "`steps` done of `planned_steps`, the averages of every stage over this job's steps, `minimisations` "
                "(why each ended, its residual forces and pressure), `minimised_energies_eV` of those that reached a "
                "minimum, `max_grade`, `n_graded` (steps at which the grade was evaluated), `n_extrapolated` and how "
                "many of these were left out."
            ),
        )
        spec.output(
            "timing",
            valid_type=orm.Dict,
            required=False,
            help=(
                "What the steps took: `time_us_atom_step` of a processor, in the stage that was least disturbed, and "
                "the wall time of each stage. A node of its own, since it differs between equal runs."
            ),
        )
        spec.output("thermo", valid_type=orm.ArrayData, required=False, help="Thermodynamic output, an array a column.")
        spec.output(
            "structure",
            valid_type=orm.StructureData,
            required=False,
            help="Last configuration, in LAMMPS's frame (a along x, b in the xy plane).",
        )
        spec.output("trajectory", valid_type=TrajectoryData, required=False, help="This job's frames.")
        spec.output(
            "extrapolated",
            valid_type=ConfigurationsData,
            required=False,
            help="Configurations whose extrapolation grade exceeded `gamma_select`, thinned out.",
        )
        spec.default_output_node = "results"

    @classmethod
    def _define_exit_codes(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the exit codes: those of passing faults invalidate the cache, those of the physics do not."""
        spec.exit_code(300, "ERROR_NO_LOG", message="LAMMPS wrote no log: {detail}", invalidates_cache=True)
        declare_signals(spec)
        spec.exit_code(
            310,
            "EXTRAPOLATION_BREAK",
            message="The extrapolation grade {grade} exceeded gamma_break; the run was ended there.",
        )
        spec.exit_code(320, "ERROR_LOST_ATOMS", message="The dynamics is unstable: {detail}")
        spec.exit_code(321, "ERROR_NON_FINITE", message="Non-finite energy, pressure or position at step {step}.")
        spec.exit_code(322, "ERROR_LAMMPS", message="LAMMPS stopped: {detail}")
        spec.exit_code(
            323, "ERROR_MACHINE", message="The machine failed LAMMPS, not its input: {detail}", invalidates_cache=True
        )
        spec.exit_code(
            324,
            "ERROR_RESTART",
            message="The run could not be continued from its parent folder: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(
            325,
            "ERROR_TEMPERATURE",
            message="The temperature is not held: {mean} K on average, {target} K are asked for. A `timestep_fs` that "
            "is too long heats; a stage of the ensemble nve takes the temperature that the stage before left.",
        )
        spec.exit_code(
            330,
            "ERROR_NOT_MINIMISED",
            message="The minimisation ({stage}) is not at a minimum: {detail}.",
        )
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended at step {step} of {planned}{detail}; continue from the remote folder.",
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
            "ERROR_OUTPUT_INCOMPLETE",
            message="LAMMPS finished, but what it wrote is incomplete: {detail}",
            invalidates_cache=True,
        )

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write data file, script and potential; name what is to be brought back."""
        restart_file = self._restart_file() if "parent_folder" in self.inputs else None
        potential = write_input(
            Path(folder.abspath),
            self.INPUT_FILE,
            self.inputs.structure,
            self.inputs.potential,
            self.inputs.parameters.get_dict(),
            self.inputs.seed.value,
            n_processes=processes_of(self.options.resources),
            restart_file=restart_file,
            walltime_s=self.inputs.metadata.options.get("max_wallclock_seconds"),
        )

        codeinfo = CodeInfo()
        codeinfo.code_uuid = self.inputs.code.uuid
        codeinfo.cmdline_params = ["-in", self.INPUT_FILE, "-log", self.LOG_FILE, "-screen", "none"]

        calcinfo = CalcInfo()
        calcinfo.codes_info = [codeinfo]
        calcinfo.retrieve_list = [self.LOG_FILE]
        keep_exit_status(calcinfo)
        calcinfo.retrieve_temporary_list = [
            lammps_script.FINAL_FILE,
            lammps_script.EXTRAPOLATED_FILE,
            (lammps_script.DUMP_PATTERN, ".", 0),
        ]
        calcinfo.local_copy_list = list(potential.files)
        if "active_set" in self.inputs:
            active_set = self.inputs.active_set
            calcinfo.local_copy_list.append((active_set.uuid, active_set.filename, lammps_script.ACTIVE_SET_FILE))
        if restart_file not in (None, RESTART_MISSING):
            parent = self.inputs.parent_folder
            path = f"{parent.get_remote_path()}/{restart_file}"
            calcinfo.remote_copy_list = [(parent.computer.uuid, path, restart_file)]
        return calcinfo

    def _restart_file(self) -> str:
        """Name of the restart file to continue from; where there is none, LAMMPS says so."""
        found = newest_restart(self.inputs.parent_folder)
        return found[0] if found else RESTART_MISSING


def write_input(
    folder: Path,
    name: str,
    structure: orm.StructureData,
    potential: orm.Data,
    parameters: Mapping[str, Any],
    seed: int,
    *,
    n_processes: int = 1,
    restart_file: str | None = None,
    walltime_s: float | None = None,
) -> Interaction:
    """Write data file and script of a run; the files of the potential are still to be copied.

    Parameters
    ----------
    folder, name
        Where to, and what the script is called.
    structure, potential, parameters, seed
        Inputs of `lpsgb.md`.
    n_processes
        How many processes share the cell, always in the same way.
    restart_file, walltime_s
        As of :func:`~aiida_lpsgb.calculations.lammps_script.render_script`.

    Returns
    -------
    Interaction
        The potential as LAMMPS is told it, with its files.
    """
    resolved = resolve(parameters)
    told = interaction(potential, resolved)
    write_data_file(str(folder / lammps_script.DATA_FILE), structure, told.pair_style)
    grid = processor_grid(np.array(structure.cell), n_processes) if n_processes > 1 else None
    leaning = any(tilts(structure))
    more = {"leaning": leaning, "grid": grid, "restart_file": restart_file, "walltime_s": walltime_s}
    script = render_script(resolved, told.pair_style, seed, **more)
    (folder / name).write_text(script, encoding="utf-8")
    if is_mtp(potential) and resolved["pair_style"] == "mlip":
        (folder / lammps_script.MLIP_FILE).write_text(render_mlip_ini(resolved), encoding="utf-8")
    return told


def processor_grid(cell: np.ndarray, n_processes: int) -> tuple[int, int, int]:
    """Share a cell among processes so that the faces between them are smallest.

    Parameters
    ----------
    cell
        Lattice vectors, shape (3, 3), Å.
    n_processes
        Number of processes.

    Returns
    -------
    tuple of int
        Parts along each lattice vector; their product is the number of processes.
    """
    faces = [np.linalg.norm(np.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3])) for axis in range(3)]
    divisors = [n for n in range(1, n_processes + 1) if n_processes % n == 0]
    grids = [(x, y, n_processes // (x * y)) for x in divisors for y in divisors if n_processes % (x * y) == 0]
    return min(grids, key=lambda grid: sum(parts * face for parts, face in zip(grid, faces, strict=True)))


def write_data_file(path: str, structure: orm.StructureData, pair_style: PairStyle) -> None:
    """Write a LAMMPS data file whose types follow the species of the potential.

    A cell that is too skewed for LAMMPS is written by shorter vectors of the same lattice.
    """
    atoms = structure.get_ase()
    atoms.pbc = True
    with open(path, "w", encoding="utf-8") as handle:
        write_lammps_data(
            handle,
            atoms,
            specorder=list(pair_style.species),
            masses=False,
            units="metal",
            atom_style=pair_style.atom_style,
            force_skew=False,
            reduce_cell=is_skewed(atoms.cell.array),
        )
        handle.write("\nMasses\n\n")
        for index, symbol in enumerate(pair_style.species, start=1):
            handle.write(f"{index} {atomic_masses[atomic_numbers[symbol]]:.6f}  # {symbol}\n")


def tilts(structure: orm.StructureData) -> tuple[float, float, float]:
    """How far the vectors of a cell lean as LAMMPS has it: xy, xz and yz, Å; 0 where rounding alone makes them lean."""
    cell = np.array(structure.cell)
    return tuple(np.round(Prism(cell, reduce_cell=is_skewed(cell)).lammps_tilt[[1, 2, 2], [0, 0, 1]], 9).tolist())


def is_skewed(cell: np.ndarray) -> bool:
    """Whether a cell, shape (3, 3), leans by more than LAMMPS lets its own cells lean."""
    (lx, _, _), (xy, ly, _), (xz, yz, _) = Prism(cell).lammps_tilt
    return max(abs(xy) / lx, abs(xz) / lx, abs(yz) / ly) > MOST_TILT


def newest_restart(remote: orm.RemoteData) -> tuple[str, int] | None:
    """Name and step of the newest whole restart file in a working folder.

    A run that is killed while it writes leaves half a file; the one before is taken then.

    Returns
    -------
    tuple or None
        None where there is no such file, or the folder is gone.
    """
    try:
        with remote.get_authinfo().get_transport() as transport:
            root = remote.get_remote_path()
            steps = {int(match[1]): name for name in transport.listdir(root) if (match := RESTART_NAME.fullmatch(name))}
            for step in sorted(steps, reverse=True):
                if _is_whole(transport, f"{root}/{steps[step]}"):
                    return steps[step], step
    except OSError:
        pass
    return None


def _is_whole(transport: Any, path: str) -> bool:
    """Whether a restart file has its end; where the transport runs no commands LAMMPS itself has to find out."""
    try:
        status, _, _ = transport.exec_command_wait(
            f"tail -c {len(RESTART_END) + 1} {shlex.quote(path)} | grep -qa {shlex.quote(RESTART_END.decode())}"
        )
    except NotImplementedError:
        return transport.get_attribute(path).st_size > 0
    return status == 0


def validate_seed(seed: orm.Int, _: Any) -> str | None:
    """LAMMPS takes positive seeds below 2³¹."""
    if not 0 < seed.value < 2**31:
        return f"seed is {seed.value}; LAMMPS takes an integer from 1 to 2147483647"
    return None


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """Refuse unknown keys, impossible stages and a gamma_break below gamma_select."""
    message = parameters_error(node.get_dict())
    return f"parameters: {message}" if message else None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Check the ports against each other; a port may be missing where these inputs are exposed."""
    checks = (_potential_error, _active_set_error, _tilt_error, _code_error, _walltime_error, _parent_error)
    return next((message for check in checks if (message := check(inputs))), None)


def _potential_error(inputs: Mapping[str, Any]) -> str | None:
    if any(key not in inputs for key in ("structure", "potential", "parameters")):
        return None  # the ports themselves complain
    return validation.md_inputs_error(inputs["structure"], inputs["potential"]) or potential_error(
        inputs["potential"], inputs["parameters"].get_dict()
    )


def _active_set_error(inputs: Mapping[str, Any]) -> str | None:
    """The active set must be there where it is needed, and grade what the parameters say."""
    active_set = inputs.get("active_set")
    control = inputs["parameters"].get_dict().get("extrapolation") if "parameters" in inputs else None
    if control is None:
        if active_set is not None and "potential" in inputs and not is_mtp(inputs["potential"]):
            return "active_set: only a moment tensor potential is graded by one"
        return None
    if active_set is None:
        return "active_set: extrapolation control needs the active set of the potential (output of lpsgb.mlp.grade)"
    with active_set.open(mode="rb") as handle:
        mode = grade_mode(handle)
    if mode is None:
        return f"active_set: {active_set.filename} holds no active set of MLIP-2 or MLIP-3"
    if control.get("grade") not in (None, mode):
        return (
            f"parameters: extrapolation `grade` is {control['grade']!r}, but the active set was selected by "
            f"{mode}s; leave `grade` out or say {mode!r}"
        )
    return None


def _tilt_error(inputs: Mapping[str, Any]) -> str | None:
    """An axis along which other vectors lean cannot be relaxed alone."""
    if "structure" not in inputs or "parameters" not in inputs:
        return None
    relaxed = {stage.get("relax_cell") for stage in inputs["parameters"]["stages"]} & {"x", "y"}
    xy, xz, yz = tilts(inputs["structure"]) if relaxed else (0.0, 0.0, 0.0)
    for axis in relaxed:
        if (xy or xz) if axis == "x" else yz:
            return (
                f"parameters: `relax_cell` is {axis}, but vectors of the cell lean along {axis} and would turn; relax "
                "all of it (tri), or z"
            )
    return None


def _code_error(inputs: Mapping[str, Any]) -> str | None:
    """A code that says which plugin it is for must be for this one, or for another of LAMMPS."""
    code = inputs.get("code")
    plugin = code.default_calc_job_plugin if code is not None else None
    if plugin and plugin != ENTRY_POINT and not plugin.startswith("lammps."):
        return f"code: {code.full_label} is registered for {plugin}; give the code of LAMMPS"
    return None


def _walltime_error(inputs: Mapping[str, Any]) -> str | None:
    """A job that a scheduler ends must know when, and leave something to go on from."""
    code, parameters = inputs.get("code"), inputs.get("parameters")
    if code is None or code.computer is None:
        return None
    limit = inputs.get("metadata", {}).get("options", {}).get("max_wallclock_seconds")
    scheduler = code.computer.scheduler_type
    if scheduler != "core.direct" and not limit:
        return (
            f"metadata.options.max_wallclock_seconds: missing; {code.computer.label} ends jobs at a limit "
            f"({scheduler}), and LAMMPS must know it to end before"
        )
    if limit and parameters is not None and parameters.get_dict().get("restart_interval_ps", 0) is None:
        return (
            "parameters: `restart_interval_ps` is None, so a run that reaches its wall time would begin anew; "
            "leave it out (10 ps) or give a shorter time than a job can run"
        )
    return None


def _parent_error(inputs: Mapping[str, Any]) -> str | None:
    """The run that is continued must be of the same inputs."""
    parent = inputs.get("parent_folder")
    if parent is None:
        return None
    before = parent.creator
    if before is None or before.process_type != f"aiida.calculations:{ENTRY_POINT}":
        return "parent_folder: it is not the working folder of a run of lpsgb.md"
    computer = inputs["code"].computer if "code" in inputs else None
    if computer is not None and computer.uuid != parent.computer.uuid:
        return f"parent_folder: it is on {parent.computer.label}, the code on {computer.label}"
    earlier = before.base.links.get_incoming(link_type=LinkType.INPUT_CALC).nested()
    for port in ("structure", "potential", "active_set", "seed"):
        now, then = inputs.get(port), earlier.get(port)
        if (now is None) != (then is None) or (now is not None and not _equal(now, then)):
            return f"parent_folder: it was run with another {port}; a run is continued with the same inputs"
    if "parameters" in inputs:
        message = extension_error(earlier["parameters"].get_dict(), inputs["parameters"].get_dict())
        return f"parameters: {message}" if message else None
    return None


def _equal(node: orm.Data, other: orm.Data) -> bool:
    """Whether two nodes, stored or not, have the same content."""
    return node.uuid == other.uuid or _content(node) == _content(other)


def _content(node: orm.Data) -> tuple[Any, ...]:
    return node.node_type, node.base.attributes.all, node.base.repository.hash()
