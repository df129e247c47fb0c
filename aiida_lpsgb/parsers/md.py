"""Parser of `lpsgb.md`: log, dump and extrapolated configurations to nodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from aiida.plugins import CalculationFactory, DataFactory
from ase import Atoms
from ase.io.lammpsrun import read_lammps_dump_text

from aiida_lpsgb.analysis.seams import RESTART_STEP
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.calculations import lammps_script
from aiida_lpsgb.calculations.md_parameters import (
    EXTRAPOLATION_DEFAULTS,
    dumped_stage,
    resolve,
    stage_name,
    stage_steps,
    temperature_range,
    to_steps,
)
from aiida_lpsgb.calculations.potentials import known_species
from aiida_lpsgb.parsers import lammps_log
from aiida_lpsgb.parsers.extrapolated import read_extrapolated
from aiida_lpsgb.parsers.lammps_log import LammpsLog, parse_log
from aiida_lpsgb.parsers.md_summary import n_graded, summarise, thermo_arrays, time_taken, unheld_temperature
from aiida_lpsgb.parsers.program import ProgramParser

MdCalculation = CalculationFactory("lpsgb.md")
ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")


class MdParser(ProgramParser):
    """Attach everything that is whole, then say how the run ended."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the retrieved and temporarily retrieved files."""
        folder = Path(kwargs["retrieved_temporary_folder"])
        log = parse_log(self.read(MdCalculation.LOG_FILE))
        if log.version is None:
            if crash := self.signalled(" before it wrote a log"):
                return crash
            stderr = self.read(self.node.get_option("scheduler_stderr")).strip().splitlines()
            hint = "standard error is empty; check the code's path and prepended text"
            return self.exit_codes.ERROR_NO_LOG.format(detail=stderr[-1] if stderr else hint)

        self.parameters = resolve(self.node.inputs.parameters.get_dict())
        self.species = known_species(self.node.inputs.potential)
        results = summarise(log, self.parameters, len(self.node.inputs.structure.sites))
        self.thermo = thermo_arrays(log)
        if self.thermo:
            self.out("thermo", thermo_node(self.thermo))
        results |= self._parse_extrapolated(folder / lammps_script.EXTRAPOLATED_FILE, log)
        if (taken := time_taken(log)) is not None:
            self.out("timing", orm.Dict(taken))
        problem = self._parse_trajectory(folder, log)
        problem = self._parse_final(folder / lammps_script.FINAL_FILE) or problem
        self.out("results", orm.Dict(results))
        return self._exit_code(log, results, problem)

    def _exit_code(self, log: LammpsLog, results: dict[str, Any], trajectory_problem: str | None) -> ExitCode | None:
        codes = self.exit_codes
        steps = {"step": results["steps"], "planned": results["planned_steps"]}
        if log.break_grade is not None:
            grade = log.break_grade if math.isfinite(log.break_grade) else results["max_grade"]
            return codes.EXTRAPOLATION_BREAK.format(grade=f"{grade:.4g}" if grade else "of the last configuration")
        if log.error:
            return self._lammps_error(log)
        if (step := log.first_non_finite_step()) is not None:
            return codes.ERROR_NON_FINITE.format(step=step)
        if not log.finished:
            if fault := self._machine_fault():
                return codes.ERROR_MACHINE.format(detail=fault)
            return self._signalled(log, steps) or codes.ERROR_INTERRUPTED.format(**steps)
        unfinished = results["next_stage"]
        if unfinished is not None:
            stage = self.parameters["stages"][unfinished]
            if log.timed_out or stage["ensemble"] != "minimise":
                detail = f", in the minimisation {stage_name(stage)}" if stage["ensemble"] == "minimise" else ""
                return codes.ERROR_OUT_OF_WALLTIME.format(**steps, detail=detail)
            why = results["minimisations"][-1]["why"] if results["minimisations"] else "it was not run"
            return codes.ERROR_NOT_MINIMISED.format(stage=stage_name(stage), detail=why)
        if unheld := unheld_temperature(self.thermo, self.parameters, results["n_atoms"]):
            return codes.ERROR_TEMPERATURE.format(mean=f"{unheld[0]:.0f}", target=f"{unheld[1]:g}")
        if trajectory_problem:
            return codes.ERROR_OUTPUT_INCOMPLETE.format(detail=trajectory_problem)
        return None

    def _signalled(self, log: LammpsLog, steps: dict[str, int]) -> ExitCode | None:
        """Exit code of a run that a signal ended; its dynamics is suspected where there was any."""
        if not log.thermo:
            return self.signalled(" before its first step")
        return self.signalled(
            " after step {step} of {planned}".format(**steps),
            ", as it does where atoms fly apart: give a shorter `timestep_fs`, or a potential that knows such "
            "configurations",
        )

    def _lammps_error(self, log: LammpsLog) -> ExitCode:
        """Tell faults of the machine, of the dynamics and of the input apart."""
        codes, error = self.exit_codes, log.error or ""
        if "parent_folder" in self.node.inputs and not log.stage_names and lammps_log.RESTART.search(error):
            return codes.ERROR_RESTART.format(detail=error)
        if lammps_log.MACHINE.search(error):
            return codes.ERROR_MACHINE.format(detail=error)
        if lammps_log.NON_FINITE.search(error):
            return codes.ERROR_NON_FINITE.format(step=log.last_step)
        if lammps_log.UNSTABLE.search(error):
            return codes.ERROR_LOST_ATOMS.format(detail=error)
        return codes.ERROR_LAMMPS.format(detail=f"{error} (at: {log.last_line})" if log.last_line else error)

    def _machine_fault(self) -> str | None:
        """Line of the scheduler's files that names a fault of the machine, or None."""
        for option in ("scheduler_stderr", "scheduler_stdout"):
            for line in self.read(self.node.get_option(option)).splitlines():
                if lammps_log.MACHINE.search(line):
                    return line.strip()
        return None

    def _parse_extrapolated(self, path: Path, log: LammpsLog) -> dict[str, Any]:
        """Attach the configurations that extrapolate, thinned out, and count them."""
        control = self.parameters.get("extrapolation") or EXTRAPOLATION_DEFAULTS
        spacing = to_steps(control["spacing_ps"], self.parameters["timestep_fs"])
        found = read_extrapolated(path, self.species, spacing, control["max_configurations"])
        if found.images:
            self.out("extrapolated", ConfigurationsData(images=found.images, species=self.species))
        seen = log.thermo.get(lammps_script.GRADE_COLUMN, np.empty(0))
        every = [found.max_grade, log.break_grade, *seen[np.isfinite(seen)].tolist()]
        grades = [grade for grade in every if grade is not None and math.isfinite(grade)]
        return {
            "n_graded": n_graded(self.parameters, log.first_step, log.last_step),
            "n_extrapolated": found.n_found,
            "n_extrapolated_left_out": found.n_found - len(found.images),
            "max_grade": max(grades, default=None),
        }

    def _parse_trajectory(self, folder: Path, log: LammpsLog) -> str | None:
        """Attach the trajectory; returns what is wrong with it, or None."""
        stage = dumped_stage(self.parameters)
        if stage is None:
            return None
        dumps = sorted(folder.glob(lammps_script.DUMP_PATTERN))
        if not dumps:
            return "no trajectory was written"
        timestep_fs = self.parameters["timestep_fs"]
        try:
            trajectory = Trajectory.from_lammps_dump(
                dumps, self.species, timestep_fs=timestep_fs, metadata=self._restart_point(log)
            )
        except ValueError as error:
            return str(error)
        temperature = float(np.mean(temperature_range(stage)))
        self.out("trajectory", TrajectoryData(trajectory, stage["ensemble"], temperature, timestep_fs))
        return trajectory.truncated or self._missing_frames(trajectory, log.last_step)

    def _missing_frames(self, trajectory: Trajectory, last_step: int) -> str | None:
        """Tell that a dump ends before the stage it is of, or before the last step, whichever came first."""
        stages, timestep_fs = self.parameters["stages"], self.parameters["timestep_fs"]
        number = stages.index(dumped_stage(self.parameters))
        end = min(last_step, sum(stage_steps(stage, timestep_fs) for stage in stages[: number + 1]))
        interval = to_steps(stages[number]["dump_interval_ps"], timestep_fs)
        if trajectory.steps[-1] > end - interval:
            return None
        return f"the trajectory ends at step {trajectory.steps[-1]}, its stage went on to step {end}"

    def _restart_point(self, log: LammpsLog) -> dict[str, int] | None:
        """Tell the joiner of segments from which step this one goes on."""
        return {RESTART_STEP: log.first_step} if "parent_folder" in self.node.inputs else None

    def _parse_final(self, path: Path) -> str | None:
        """Attach the last configuration; returns what is wrong with it, or None."""
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # A line without its end may hold half a number.
        if not text.endswith("\n"):
            return "the last configuration was not written to its end"
        try:
            atoms = read_lammps_dump_text(StringIO(text), specorder=self.species)
        except (ValueError, IndexError, RuntimeError, StopIteration):
            return "the last configuration cannot be read"
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            return "the last configuration is not finite"
        if len(atoms) != len(self.node.inputs.structure.sites):
            return f"the last configuration has {len(atoms)} atoms"
        atoms.pbc = True
        atoms.calc = None
        atoms.wrap()
        self.out("structure", orm.StructureData(ase=Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)))
        return None


def thermo_node(thermo: Mapping[str, np.ndarray]) -> orm.ArrayData:
    """Thermodynamic output as arrays, LAMMPS metal units named in the keys."""
    node = orm.ArrayData()
    for name, values in thermo.items():
        node.set_array(name, values)
    return node
