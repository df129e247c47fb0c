"""Parser of `lpsgb.md`: log, dump and extrapolated configurations to nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.engine import ExitCode
from aiida.parsers import Parser
from aiida.plugins import CalculationFactory, DataFactory
from ase import Atoms
from ase.io.lammpsrun import read_lammps_dump_text

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.calculations.md import planned_steps, resolve, stage_steps, temperature_range
from aiida_lpsgb.mtp.configurations import read_cfg
from aiida_lpsgb.parsers.lammps_log import LammpsLog, parse_log

MdCalculation = CalculationFactory("lpsgb.md")
ConfigurationsData = DataFactory("lpsgb.configurations")
TrajectoryData = DataFactory("lpsgb.trajectory")

BAR_PER_GPA = 1.0e4

# What LAMMPS says, depending on what it notices first, when atoms fly apart or the cell collapses.
UNSTABLE = ("Lost atoms", "box size << cutoff", "out of range", "Out of range")


class MdParser(Parser):
    """Attach everything that is whole, then say how the run ended."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the retrieved and temporarily retrieved files."""
        calc = MdCalculation
        folder = Path(kwargs["retrieved_temporary_folder"])
        try:
            text = self.retrieved.base.repository.get_object_content(calc.LOG_FILE)
        except (FileNotFoundError, NotExistent, OSError):
            return self.exit_codes.ERROR_NO_LOG.format(detail=self._stderr())
        log = parse_log(text)
        if log.version is None:
            return self.exit_codes.ERROR_NO_LOG.format(detail=self._stderr())

        self.parameters = resolve(self.node.inputs.parameters.get_dict())
        self.species = list(self.node.inputs.potential.species)
        results = summarise(log, self.parameters, self.node.inputs.structure)
        if log.thermo:
            self.out("thermo", thermo_node(log))
        extrapolated = self._parse_extrapolated(folder / calc.EXTRAPOLATED_FILE)
        results["n_extrapolated"] = len(extrapolated)
        results["max_grade"] = max((image.info["mv_grade"] for image in extrapolated), default=None)
        if extrapolated:
            self.out("extrapolated", ConfigurationsData(images=extrapolated, species=self.species))
        problem = self._parse_trajectory(folder)
        self._parse_final(folder / calc.FINAL_FILE)
        self.out("results", orm.Dict(results))
        return self._exit_code(log, results, problem)

    def _exit_code(self, log: LammpsLog, results: dict[str, Any], trajectory_problem: str | None) -> ExitCode | None:
        codes = self.exit_codes
        steps = {"step": results["steps"], "planned": results["planned_steps"]}
        if log.break_grade is not None:
            grade = log.break_grade if np.isfinite(log.break_grade) else results["max_grade"]
            return codes.EXTRAPOLATION_BREAK.format(grade=f"{grade:.4g}" if grade else "of the last configuration")
        if log.error and any(symptom in log.error for symptom in UNSTABLE):
            return codes.ERROR_LOST_ATOMS.format(detail=log.error)
        if log.error and "non-numeric" in log.error.lower():
            return codes.ERROR_NON_FINITE.format(step=log.last_step)
        if log.error:
            return codes.ERROR_LAMMPS.format(detail=log.error)
        if (step := log.first_non_finite_step()) is not None:
            return codes.ERROR_NON_FINITE.format(step=step)
        if not log.finished:
            return codes.ERROR_INTERRUPTED.format(**steps)
        if results["steps"] < results["planned_steps"]:
            return codes.ERROR_OUT_OF_WALLTIME.format(**steps)
        if trajectory_problem:
            return codes.ERROR_TRAJECTORY_TRUNCATED.format(detail=trajectory_problem)
        return None

    def _parse_extrapolated(self, path: Path) -> list[Atoms]:
        if not path.exists() or not path.stat().st_size:
            return []
        text = path.read_text(encoding="utf-8")
        # A killed run may leave half a configuration at the end: keep the whole ones.
        whole = text[: text.rfind("END_CFG") + len("END_CFG")] + "\n" if "END_CFG" in text else ""
        path.write_text(whole, encoding="utf-8")
        images = read_cfg(path, self.species) if whole else []
        for image in images:
            image.calc = None  # the potential's own energies are no labels
        return images

    def _parse_trajectory(self, folder: Path) -> str | None:
        """Attach the trajectory; returns what is wrong with it, or None."""
        if not any(stage["dump_interval_ps"] for stage in self.parameters["stages"]):
            return None
        dumps = sorted(folder.glob(MdCalculation.DUMP_PATTERN))
        if not dumps:
            return "no trajectory was written"
        timestep_fs = self.parameters["timestep_fs"]
        try:
            trajectory = Trajectory.from_lammps_dump(dumps, self.species, timestep_fs=timestep_fs)
        except ValueError as error:
            return str(error)
        self.out("trajectory", TrajectoryData(trajectory, *self._dumped_stage(), timestep_fs))
        return trajectory.truncated

    def _dumped_stage(self) -> tuple[str, float]:
        stage = next(stage for stage in self.parameters["stages"] if stage["dump_interval_ps"])
        return stage["ensemble"], float(np.mean(temperature_range(stage)))

    def _parse_final(self, path: Path) -> None:
        if not path.exists() or not path.stat().st_size:
            return
        with path.open(encoding="utf-8") as handle:
            atoms = read_lammps_dump_text(handle, specorder=self.species)
        atoms.pbc = True
        atoms.calc = None
        atoms.wrap()
        self.out("structure", orm.StructureData(ase=Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)))

    def _stderr(self) -> str:
        name = self.node.get_option("scheduler_stderr")
        try:
            lines = self.retrieved.base.repository.get_object_content(name).strip().splitlines()
        except (FileNotFoundError, NotExistent, OSError):
            lines = []
        return lines[-1] if lines else "standard error is empty; check the code's path and prepended text"


def thermo_node(log: LammpsLog) -> orm.ArrayData:
    """Thermodynamic output as arrays, LAMMPS metal units named in the keys."""
    names = {
        "Step": "step",
        "Temp": "temperature_K",
        "Press": "pressure_bar",
        "PotEng": "potential_energy_eV",
        "KinEng": "kinetic_energy_eV",
        "TotEng": "total_energy_eV",
        "Volume": "volume_A3",
    }
    node = orm.ArrayData()
    for column, name in names.items():
        node.set_array(name, log.thermo[column].astype(np.int64 if column == "Step" else float))
    node.set_array("cell_A", np.column_stack([log.thermo[key] for key in ("Lx", "Ly", "Lz", "Xy", "Xz", "Yz")]))
    node.set_array("stage", log.stage)
    return node


def summarise(log: LammpsLog, parameters: dict[str, Any], structure: orm.StructureData) -> dict[str, Any]:
    """Steps done and the averages of each stage."""
    n_atoms = len(structure.sites)
    results: dict[str, Any] = {
        "n_atoms": n_atoms,
        "timestep_fs": parameters["timestep_fs"],
        "steps": log.last_step,
        "planned_steps": planned_steps(parameters),
        "lammps_version": log.version,
        "minimised_energies_eV": [log.minimised[index] for index in sorted(log.minimised)],
        "stages": [],
    }
    end = 0
    for index, stage in enumerate(parameters["stages"]):
        end += stage_steps(stage, parameters["timestep_fs"])
        rows = log.stage == index
        if stage["ensemble"] == "minimise" or not rows.any():
            continue
        mean = {name: float(np.mean(values[rows])) for name, values in log.thermo.items()}
        results["stages"].append(
            {
                "name": stage.get("name", stage["ensemble"]),
                "ensemble": stage["ensemble"],
                "completed": log.last_step >= end,
                "temperature_K": mean["Temp"],
                "pressure_GPa": mean["Press"] / BAR_PER_GPA,
                "potential_energy_eV_per_atom": mean["PotEng"] / n_atoms,
                "volume_A3_per_atom": mean["Volume"] / n_atoms,
                "cell_lengths_A": [mean[key] for key in ("Lx", "Ly", "Lz")],
            }
        )
    return results
