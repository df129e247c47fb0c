"""Input files of `lpsgb.md`, and that LAMMPS continues a run by them as if it had never ended."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io.lammpsdata import write_lammps_data

from aiida_lpsgb.analysis.lammps_dump import DumpFrames
from aiida_lpsgb.calculations.lammps_script import (
    DATA_FILE,
    PairStyle,
    mtp_pair_style,
    render_mlip_ini,
    render_runs,
    render_script,
)
from aiida_lpsgb.calculations.md import processor_grid, tilts, write_data_file
from aiida_lpsgb.calculations.md_parameters import planned_steps, resolve
from aiida_lpsgb.parsers.lammps_log import parse_log
from aiida_lpsgb.parsers.md_summary import describe_minimisation
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.ordering import order

PROGRAMS = Path(sys.executable).parent
SPECIES = ["Li", "P", "S"]
STAGES = [
    {"name": "relax", "ensemble": "minimise"},
    {"name": "heat", "ensemble": "npt", "duration_ps": 2, "temperature_K": [300, 600]},
    {"name": "produce", "ensemble": "nvt", "duration_ps": 4, "temperature_K": 600, "dump_interval_ps": 0.1},
]
EXTRAPOLATION = {"gamma_select": 2.0, "gamma_break": 10.0}


def parameters(**changes):
    return resolve({"stages": STAGES, "restart_interval_ps": None, **changes})


def script(changes=None, **kwargs):
    values = parameters(**(changes or {}))
    return render_script(values, mtp_pair_style(values, SPECIES), 7, **kwargs)


class TestLines:
    def test_stages_have_absolute_steps(self):
        assert planned_steps(parameters()) == 3000
        assert 'if "$(step) < 1000" then "run 1000 upto start 0 stop 1000"' in script()
        assert 'if "$(step) < 3000" then "run 3000 upto start 1000 stop 3000"' in script()
        assert "velocity all create 300 7 mom yes rot no dist gaussian" in script()

    def test_damping_of_the_paper_is_the_default(self):
        assert "fix stage_1 all npt temp 300 600 0.1 aniso 0 0 1 fixedpoint 0 0 0" in script()
        assert "fix stage_2 all nvt temp 600 600 0.1" in script()
        assert "timestep 0.002" in script()

    def test_processes_share_the_cell_the_same_way_however_it_breathes(self):
        text = script(grid=(2, 1, 1))
        line = 'if "$(extract_setting(world_size)) == 2" then "processors 2 1 1"'
        assert text.index(line) < text.index("read_data")
        assert "processors" not in script()

    def test_continuation_reads_the_restart_and_keeps_velocities(self):
        text = script(restart_file="md.500.restart")
        assert "read_restart md.500.restart" in text
        assert "read_data" not in text
        assert "velocity" not in text

    def test_a_minimisation_is_run_where_it_stands_only(self):
        stages = [STAGES[1], STAGES[0], STAGES[2]]
        assert 'if "$(step) == 1000" then "minimize' in script({"stages": stages})
        assert '"reset_timestep 1000"' in script({"stages": stages})

    def test_walltime_ends_the_run_before_the_scheduler_does(self):
        assert "timer timeout 0:57:00 every 100" in script(walltime_s=3600)
        assert "timer timeout 0:00:01" in script(walltime_s=1)

    def test_pair_styles(self):
        control = {"extrapolation": EXTRAPOLATION}
        assert "pair_style mtp potential.mtp\n" in script()
        assert "pair_style mtp/gpu potential.mtp\n" in script({"pair_style": "mtp/gpu"})
        on_gpu = script({"pair_style": "mtp/extrapolation/gpu", **control})
        assert "pair_style mtp/extrapolation/gpu potential.mtp active_set.als 10 2 10 extrapolated.cfg\n" in on_gpu
        assert "compute grade all pair mtp/extrapolation/gpu\n" in on_gpu
        assert "pair_style mtp/gpu potential.mtp precision mixed\n" in script(
            {"pair_style": "mtp/gpu", "precision": "mixed"}
        )
        graded = script({"pair_style": "mtp/extrapolation/gpu", "precision": "mixed", **control})
        assert " 10 2 10 extrapolated.cfg precision mixed\n" in graded
        graded = script({"pair_style": "mtp/extrapolation", **control})
        assert "pair_style mtp/extrapolation potential.mtp active_set.als 10 2 10 extrapolated.cfg\n" in graded
        control = {"extrapolation": {**EXTRAPOLATION, "grade": "neighborhood"}}
        assert "extrapolated.cfg neighborhood\n" in script({"pair_style": "mtp/extrapolation", **control})
        assert "pair_style mlip mlip.ini" in script({"pair_style": "mlip", **control})
        assert "every" not in script({"pair_style": "mlip", **control, "restart_interval_ps": 1}).split("stage 1")[1]
        assert "select:threshold-break 10" in render_mlip_ini(parameters(pair_style="mlip", **control))

    def test_charges(self):
        lines = PairStyle(("Na", "Cl"), ("pair_style coul/dsf 0.2 8", "pair_coeff * *"), {"Na": 1, "Cl": -1})
        text = render_script(parameters(), lines, 7)
        assert "atom_style charge" in text
        assert text.index("set type 2 charge -1") < text.index("pair_style")

    @pytest.mark.parametrize(
        ("start", "end", "every", "cuts"),
        [
            (0, 1000, None, ["run 1000 upto"]),
            (0, 1000, 300, ["run 300 upto", "run 1000 upto"]),
            (100, 1000, 300, ["run 300 upto", "run 1000 upto"]),
            (300, 400, 300, ["run 400 upto"]),
            (0, 300, 300, ["run 300 upto"]),
        ],
    )
    def test_runs_are_cut_at_restart_points(self, start, end, every, cuts):
        lines = render_runs(start, end, every)
        assert [line.split('then "')[1][: len(cut)] for line, cut in zip(lines, cuts, strict=True)] == cuts
        assert ["every 300" in line for line in lines] == [every is not None and k > 0 for k in range(len(lines))]


class TestRelaxation:
    """Cells that lean relax, too."""

    @pytest.fixture(scope="class")
    def crystal(self, data_path):
        cif = data_path.parents[1] / "examples" / "data" / "beta-li3ps4.cif"
        return order(read_cif(cif), charges={"Li": 1, "P": 5, "S": -2}, rank_by="occupancy", seed=1)[0]

    @pytest.mark.parametrize("axes", ["z", "aniso"])
    def test_line_searches_do_not_stall(self, tmp_path, data_path, crystal, axes):
        """LAMMPS's own keywords end both with "linesearch alpha is zero" and some 2700 bar along z."""
        leaning = crystal.copy()
        cell = leaning.cell.array.copy()
        cell[2, 1] += 0.08 * cell[2, 2]
        leaning.set_cell(cell, scale_atoms=True)
        leaning.rattle(0.02, seed=1)
        structure, potential = SimpleNamespace(cell=cell, get_ase=leaning.copy), data_path / "mtp" / "li3ps4_level8.mtp"
        assert tilts(structure) == pytest.approx((0, 0, cell[2, 1]))
        values = parameters(stages=[{"ensemble": "minimise", "relax_cell": axes, "max_steps": 2000}])
        pair_style = mtp_pair_style(values, SPECIES)
        (tmp_path / "potential.mtp").write_bytes(potential.read_bytes())
        write_data_file(str(tmp_path / DATA_FILE), structure, pair_style)
        (tmp_path / "md.in").write_text(render_script(values, pair_style, 7, leaning=True))
        command = [str(PROGRAMS / "lmp"), "-in", "md.in", "-log", "log.lammps", "-screen", "none"]
        subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        phases = parse_log((tmp_path / "log.lammps").read_text()).minimisations[0]
        found = describe_minimisation(phases, values["stages"][0])
        assert found["converged"], found["why"]
        assert [phase.criterion for phase in phases] == 3 * ["force tolerance"]
        assert found["pressure_residual_bar"] < 5
        shear = max(abs(phases[-1].row[name]) for name in ("Pxy", "Pxz", "Pyz"))
        assert (shear < 5) == (axes == "aniso")


class TestContinuation:
    """Frames of a continued run are those of the undisturbed one, to the last bit."""

    STAGES = [
        {"ensemble": "minimise", "max_steps": 5, "relax_cell": "iso"},
        {"name": "heat", "ensemble": "npt", "duration_ps": 0.3, "temperature_K": [300, 700], "dump_interval_ps": 0.02},
        {"name": "hold", "ensemble": "nvt", "duration_ps": 0.25, "temperature_K": 700},
        {"name": "cool", "ensemble": "npt", "duration_ps": 0.4, "temperature_K": [700, 300]},
        {"name": "quench", "ensemble": "minimise", "max_steps": 5},
        {"name": "end", "ensemble": "nve", "duration_ps": 0.1, "temperature_K": 300},
    ]

    def run(self, folder, crystal, data_path, processes, restart_file=None, stage=1, walltime_s=None):
        stages = [dict(entry) for entry in self.STAGES]
        for entry in stages:
            entry.pop("dump_interval_ps", None)
        stages[stage]["dump_interval_ps"] = 0.02
        values = resolve({"stages": stages, "restart_interval_ps": 0.1, "timestep_fs": 1.0, "thermo_interval_ps": 0.02})
        folder.mkdir(exist_ok=True)
        (folder / "potential.mtp").write_bytes((data_path / "mtp" / "li3ps4_level8.mtp").read_bytes())
        with (folder / DATA_FILE).open("w") as handle:
            write_lammps_data(handle, crystal, specorder=SPECIES, units="metal", atom_style="atomic", force_skew=True)
            handle.write("\nMasses\n\n1 6.94\n2 30.97\n3 32.06\n")
        pair_style = mtp_pair_style(values, SPECIES)
        grid = processor_grid(crystal.cell.array, processes) if processes > 1 else None
        text = render_script(values, pair_style, 7, grid=grid, restart_file=restart_file, walltime_s=walltime_s)
        (folder / "md.in").write_text(text)
        launcher = [str(PROGRAMS / "mpiexec"), "-n", str(processes)] if processes > 1 else []
        command = [*launcher, str(PROGRAMS / "lmp"), "-in", "md.in", "-log", "log.lammps", "-screen", "none"]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        (dump,) = folder.glob("trajectory.*.bin")
        return {frame.step: (frame.cell, frame.table.copy()) for frame in DumpFrames(dump)}

    @pytest.mark.parametrize("processes", [1, 2])
    @pytest.mark.parametrize(
        ("stage", "restart"), [(1, 200), (2, 300), (2, 500), (3, 700), (3, 900), (5, 300), (5, 1000)]
    )
    def test_same_frames(self, tmp_path, data_path, processes, stage, restart):
        cif = data_path.parents[1] / "examples" / "data" / "beta-li3ps4.cif"
        crystal = order(read_cif(cif), charges={"Li": 1, "P": 5, "S": -2}, rank_by="occupancy", seed=1)[0]
        crystal = crystal.repeat((1, 1, 2))
        crystal.rattle(0.05, seed=1)
        undisturbed = self.run(tmp_path / "whole", crystal, data_path, processes, stage=stage)
        (tmp_path / "next").mkdir()
        name = f"md.{restart}.restart"
        (tmp_path / "next" / name).write_bytes((tmp_path / "whole" / name).read_bytes())
        continued = self.run(tmp_path / "next", crystal, data_path, processes, name, stage)
        assert set(continued) == {step for step in undisturbed if step >= restart}
        for step, (cell, table) in continued.items():
            assert np.array_equal(cell, undisturbed[step][0])
            # The undisturbed run writes the frame of the restart point before its positions pass through the cell.
            tolerance = 1e-12 if step == restart else 0.0
            assert np.abs(table - undisturbed[step][1]).max() <= tolerance, f"step {step}"
