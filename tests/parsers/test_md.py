"""How `lpsgb.md` says that a run ended, from logs that LAMMPS wrote."""

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk

from aiida_lpsgb.calculations.program import EXIT_STATUS_FILE
from aiida_lpsgb.data.pair_style import PairStyleData

RELAX = {"ensemble": "minimise", "name": "relax"}
HOLD = {"name": "hold", "ensemble": "nvt", "duration_ps": 1.0, "temperature_K": 60}
PRODUCE = {"name": "produce", "ensemble": "npt", "duration_ps": 1.0, "temperature_K": 60}
DISK = "slurmstepd: error: cannot write: No space left on device\n"
OOM = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.batch\n"
ATOMS = bulk("Ar", a=5.3, cubic=True).repeat(3)


def dump(atoms, length=None):
    """Return the last configuration as LAMMPS writes it, the cell's first length another if told."""
    lengths = atoms.cell.lengths()
    bounds = "\n".join(f"0.0 {value}" for value in (length or lengths[0], *lengths[1:]))
    rows = "\n".join(f"{i} 1 {x} {y} {z}" for i, (x, y, z) in enumerate(atoms.positions, start=1))
    return (
        f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{len(atoms)}\nITEM: BOX BOUNDS pp pp pp\n{bounds}\n"
        f"ITEM: ATOMS id type xu yu zu\n{rows}\n"
    )


def frame(step):
    """Return a frame of a trajectory, as text."""
    rows = "\n".join(f"{i} 1 {x} {y} {z}" for i, (x, y, z) in enumerate(ATOMS.get_scaled_positions(), start=1))
    bounds = "\n".join(f"0.0 {length}" for length in ATOMS.cell.lengths())
    return (
        f"ITEM: UNITS\nmetal\nITEM: TIME\n{0.002 * step}\nITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(ATOMS)}\n"
        f"ITEM: BOX BOUNDS pp pp pp\n{bounds}\nITEM: ATOMS id type xsu ysu zsu\n{rows}\n"
    )


@pytest.fixture
def parse(generate_calc_job_node, generate_parser, data_path, tmp_path):
    """Return a factory that parses the log of a name, or a text, as one of a run of stages."""

    def factory(log, stages, stderr="", files=None, parent=None, atoms=ATOMS, status=None):
        inputs = {
            "structure": orm.StructureData(ase=atoms),
            "potential": PairStyleData("pair_style lj/cut 8.5\npair_coeff * * 0.0104 3.40", ["Ar"]),
            "parameters": orm.Dict({"stages": stages}),
            "seed": orm.Int(7),
        }
        if parent is not None:
            inputs["parent_folder"] = parent
        path = data_path / "lammps" / f"{log}.log"
        text = path.read_text() if "\n" not in log and path.is_file() else log
        retrieved = {"log.lammps": text, "_scheduler-stderr.txt": stderr}
        if status is not None:
            retrieved[EXIT_STATUS_FILE] = f"{status}\n"
        options = {"scheduler_stderr": "_scheduler-stderr.txt", "scheduler_stdout": "_scheduler-stdout.txt"}
        node = generate_calc_job_node("lpsgb.md", inputs, retrieved, options=options)
        for name, content in {"final.lammpstrj": dump(atoms), **(files or {})}.items():
            (tmp_path / name).write_text(content)
        outputs, calcfunction = generate_parser("lpsgb.md").parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(tmp_path)
        )
        assert calcfunction.is_finished, calcfunction.exit_message
        return outputs, calcfunction

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestExitCodes:
    @pytest.mark.parametrize(
        ("log", "stages", "status", "message"),
        [
            ("staged", [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE], 0, ""),
            ("minimised", [{**RELAX, "relax_cell": "iso"}], 0, ""),
            ("max_steps", [RELAX], 330, "The minimisation (relax) is not at a minimum: max iterations"),
            ("max_steps_cell", [{**RELAX, "relax_cell": "aniso"}], 330, "the pressure is off by"),
            ("walltime_minimisation", [RELAX], 400, "step 0 of 0, in the minimisation relax;"),
            ("walltime_minimisation_then_dynamics", [RELAX, HOLD], 400, "step 0 of 500, in the minimisation relax;"),
            ("walltime", [HOLD, {**PRODUCE, "duration_ps": 4000}], 400, "of 2000500; continue from"),
            ("lost", [{**HOLD, "ensemble": "nve"}], 320, "Lost atoms"),
            ("blown", [PRODUCE], 320, "Domain too large"),
            ("exploded", [{**HOLD, "ensemble": "npt"}], 320, "pressure_above_1e7_bar met on step 27"),
            ("nan", [HOLD], 321, "at step 500"),
            ("disk_full", [HOLD, PRODUCE], 323, "No space left on device"),
            ("memory", [HOLD], 323, "Failed to reallocate"),
            ("refused", [HOLD], 322, "Invalid neighbor argument: -2 (at: neighbor -2 bin)"),
            ("\n", [HOLD], 300, "standard error is empty"),
        ],
    )
    def test_from_stored_logs(self, parse, log, stages, status, message):
        _, node = parse(log, stages)
        assert node.exit_status == status, node.exit_message
        assert message in (node.exit_message or "")

    def cut(self, data_path):
        text = (data_path / "lammps" / "staged.log").read_text()
        return text[: text.index("       300 ")]

    @pytest.mark.parametrize(
        ("stderr", "status", "message"),
        [("", 401, "at step 200 of 1000"), (DISK, 323, "No space"), (OOM, 323, "oom-kill")],
    )
    def test_log_that_ends_somewhere(self, parse, data_path, stderr, status, message):
        outputs, node = parse(self.cut(data_path), [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE], stderr)
        assert node.exit_status == status
        assert message in node.exit_message
        assert outputs["results"]["steps"] == 200

    @pytest.mark.parametrize(
        ("exit_status", "stderr", "status", "message"),
        [
            (139, "", 302, "SIGSEGV (segmentation fault) after step 200 of 1000, as it does where atoms fly apart"),
            (245, "", 302, "SIGSEGV"),
            (134, "", 302, "SIGABRT"),
            (134, "terminate called after throwing 'std::bad_alloc'\n", 323, "bad_alloc"),
            (137, "", 303, "killed by SIGKILL after step 200 of 1000: most often for want of memory"),
            (137, OOM, 323, "oom-kill"),
            (143, "", 401, "ended from outside at step 200 of 1000"),
        ],
    )
    def test_signal_that_ended_it(self, parse, data_path, exit_status, stderr, status, message):
        stages = [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE]
        outputs, node = parse(self.cut(data_path), stages, stderr, status=exit_status)
        assert node.exit_status == status
        assert message in node.exit_message
        assert outputs["results"]["steps"] == 200

    def test_crash_before_any_dynamics_is_none_of_the_time_step(self, parse, data_path):
        text = (data_path / "lammps" / "staged.log").read_text()
        outputs, node = parse(text[: text.index("lpsgb stage 1")], [RELAX, HOLD, PRODUCE], status=139)
        assert node.exit_status == 302
        assert node.exit_message.endswith("(segmentation fault) before its first step.")
        assert "thermo" not in outputs

    def test_crash_after_all_was_done_is_none(self, parse):
        _, node = parse("staged", [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE], status=139)
        assert node.exit_status == 0, node.exit_message

    def test_rows_that_are_not_numbers_in_a_log_without_an_error(self, parse, data_path):
        text = (data_path / "lammps" / "nan.log").read_text()
        outputs, node = parse(text[: text.index("ERROR")] + "lpsgb finished\n", [HOLD])
        assert node.exit_status == 321
        assert outputs["results"]["stages"] == []
        assert "thermo" not in outputs

    def test_non_finite_rows_do_not_spoil_the_others(self, parse, data_path):
        text = (data_path / "lammps" / "staged.log").read_text()
        row = next(line for line in text.splitlines() if line.split()[:1] == ["800"])
        text = text.replace(row, "       800   nan " + " ".join(row.split()[2:]))
        outputs, node = parse(text, [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE])
        assert node.exit_status == 321
        assert np.isfinite(outputs["results"]["stages"][1]["temperature_K"])
        assert np.isfinite(outputs["thermo"].get_array("temperature_K")).all()
        outputs["results"].store()

    @pytest.mark.parametrize("log", ["missing_restart", "half_restart"])
    def test_restart_file_that_cannot_be_read(self, parse, log, aiida_localhost, tmp_path):
        folder = orm.RemoteData(computer=aiida_localhost, remote_path=str(tmp_path))
        _, node = parse(log, [HOLD], parent=folder)
        assert node.exit_status == 324
        assert "restart file" in node.exit_message

    def test_finished_without_the_trajectory_it_should_have(self, parse):
        _, node = parse("staged", [{**RELAX, "relax_cell": "aniso"}, HOLD, {**PRODUCE, "dump_interval_ps": 0.1}])
        assert node.exit_status == 402

    @pytest.mark.parametrize(("last", "status"), [(1000, 0), (950, 402), (500, 402)])
    def test_finished_with_fewer_frames_than_it_should_have(self, parse, last, status):
        frames = {"trajectory.000000000500.bin": "".join(map(frame, range(500, last + 1, 50)))}
        stages = [{**RELAX, "relax_cell": "aniso"}, HOLD, {**PRODUCE, "dump_interval_ps": 0.1}]
        outputs, node = parse("staged", stages, files=frames)
        assert node.exit_status == status, node.exit_message
        assert outputs["trajectory"].n_frames == (last - 500) // 50 + 1
        if status:
            assert f"the trajectory ends at step {last}, its stage went on to step 1000" in node.exit_message

    @pytest.mark.parametrize("grade", ["12.5", "nan"])
    def test_extrapolation_break(self, parse, data_path, grade):
        text = self.cut(data_path) + (
            f"ERROR: MTP extrapolation: grade {grade} at step 230 exceeds the break threshold 10 (src/pair_mtp.cpp:1)\n"
        )
        outputs, node = parse(text, [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE])
        assert node.exit_status == 310
        assert outputs["results"]["max_grade"] == (12.5 if grade == "12.5" else None)

    def test_the_highest_grade_of_a_run_that_is_graded(self, parse, data_path):
        """As `pair_style mtp/extrapolation` keeps it; what is graded is told even where nothing extrapolates."""

        def graded(line):
            words = line.split()
            if words[:1] == ["Step"]:
                return f"{line} c_grade[2]"
            return f"{line} {1 + int(words[0]) / 2000}" if len(words) == 19 and words[0].isdigit() else line

        text = (data_path / "lammps" / "staged.log").read_text()
        text = "\n".join(map(graded, text.splitlines())) + "\n"
        outputs, node = parse(text, [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE])
        assert node.exit_status == 0, node.exit_message
        assert outputs["results"]["max_grade"] == pytest.approx(1.5)
        assert outputs["results"]["n_extrapolated"] == 0


@pytest.mark.usefixtures("aiida_profile_clean")
class TestStructure:
    ONE = Atoms("Ar", [(5.8, 0.5, 0.5)], cell=[5.3, 5.3, 5.3], pbc=True)

    def test_last_configuration(self, parse):
        outputs, _ = parse("max_steps", [RELAX], atoms=self.ONE)
        assert outputs["structure"].sites[0].position == pytest.approx((0.5, 0.5, 0.5))

    @pytest.mark.parametrize("final", [dump(ONE).replace("5.8", "nan"), dump(ONE, length="inf")])
    def test_none_where_it_is_not_finite(self, parse, final):
        outputs, _ = parse("max_steps", [RELAX], atoms=self.ONE, files={"final.lammpstrj": final})
        assert "structure" not in outputs

    @pytest.mark.parametrize("cut", [0, 15, 40, 150, 600, -2, 1, 3, 6, 20, 100])
    @pytest.mark.parametrize("unit", ["characters", "lines"])
    def test_run_that_finished_without_it_has_not_succeeded(self, parse, cut, unit):
        text = dump(ATOMS)
        lines = text.splitlines(keepends=True)
        final = {"final.lammpstrj": text[:cut] if unit == "characters" else "".join(lines[: min(cut, len(lines) - 1)])}
        outputs, node = parse("staged", [{**RELAX, "relax_cell": "aniso"}, HOLD, PRODUCE], files=final)
        assert node.exit_status == 402
        assert "the last configuration" in node.exit_message
        assert "structure" not in outputs
        assert "thermo" in outputs
