"""`lpsgb.md` and `lpsgb.md.base` with the real LAMMPS."""

import contextlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.data.pair_style import PairStyleData
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.ordering import order
from aiida_lpsgb.structures.strain import rattle

PROGRAMS = Path(sys.executable).parent
TEMPERATURE_K = 300.0


@pytest.fixture
def structure():
    atoms = bulk("Li", cubic=True).repeat(3)
    atoms.symbols[:9] = "P"
    atoms.symbols[9:27] = "S"
    return orm.StructureData(ase=atoms)


@pytest.fixture
def potential(generate_potential):
    """Return a potential with forces so weak that the dynamics is stable whatever the structure does."""
    mtp = generate_potential().mtp
    return DataFactory("lpsgb.potential")(mtp.with_parameters(0.1 * mtp.parameters), ["Li", "P", "S"])


@pytest.fixture
def inputs(structure, potential, installed_code, metadata):
    def factory(code=None, **parameters):
        stages = [
            {"name": "relax", "ensemble": "minimise", "max_steps": 5},
            {"name": "heat", "ensemble": "nvt", "duration_ps": 0.2, "temperature_K": [100, TEMPERATURE_K]},
            {
                "name": "produce",
                "ensemble": "nvt",
                "duration_ps": 1.0,
                "temperature_K": TEMPERATURE_K,
                "dump_interval_ps": 0.1,
            },
        ]
        return {
            "code": code or installed_code("lmp", "lpsgb.md"),
            "structure": structure,
            "potential": potential,
            "parameters": orm.Dict({"stages": stages, "thermo_interval_ps": 0.02, **parameters}),
            "seed": orm.Int(11),
            "metadata": metadata,
        }

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestCalculation:
    def test_stages(self, inputs):
        outputs, node = run_get_node(CalculationFactory("lpsgb.md"), **inputs())
        assert node.is_finished_ok, node.exit_message
        results = outputs["results"].get_dict()
        assert results["steps"] == results["planned_steps"] == 600
        assert [stage["name"] for stage in results["stages"]] == ["heat", "produce"]
        assert results["stages"][1]["temperature_K"] == pytest.approx(TEMPERATURE_K, rel=0.25)

        trajectory = outputs["trajectory"]
        assert trajectory.n_frames == 11
        assert trajectory.base.attributes.get("temperature_K") == TEMPERATURE_K
        with trajectory.open_trajectory() as frames:
            assert frames.times_ps[-1] - frames.times_ps[0] == pytest.approx(1.0)
            last = frames.frame(10)
        # The final structure and the last frame are the same configuration, but for the trajectory's resolution.
        final = outputs["structure"].get_ase()
        difference = final.get_scaled_positions() - last.get_scaled_positions()
        assert np.abs((difference - np.round(difference)) @ final.cell).max() < 1e-3
        assert np.all(final.symbols == inputs()["structure"].get_ase().symbols)

        thermo = outputs["thermo"]
        assert thermo.get_array("step")[-1] == 600
        total = thermo.get_array("potential_energy_eV") + thermo.get_array("kinetic_energy_eV")
        assert thermo.get_array("total_energy_eV") == pytest.approx(total, abs=1e-6)

    def test_same_seed_same_run(self, inputs):
        first, _ = run_get_node(CalculationFactory("lpsgb.md"), **inputs())
        second, _ = run_get_node(CalculationFactory("lpsgb.md"), **inputs())
        assert first["trajectory"].base.caching.compute_hash() == second["trajectory"].base.caching.compute_hash()
        assert first["results"].get_dict() == second["results"].get_dict()

    def test_program_that_is_not_lammps(self, inputs, aiida_code_installed):
        code = aiida_code_installed(label="true", default_calc_job_plugin="lpsgb.md", filepath_executable="/bin/true")
        _, node = run_get_node(CalculationFactory("lpsgb.md"), **inputs(code))
        assert node.exit_status == 300

    def test_own_error_of_lammps(self, inputs):
        # A skin wider than LAMMPS accepts for this box is its own error, not one we check for.
        _, node = run_get_node(CalculationFactory("lpsgb.md"), **inputs(neighbour_skin_A=-1.0))
        assert node.exit_status == 322
        assert "LAMMPS stopped" in node.exit_message


@pytest.fixture
def killed(aiida_code_installed, tmp_path):
    """Return a factory of codes whose first runs are killed once they have written a number of restart files.

    ``after`` are commands that are run in the working folder then.
    """

    def factory(n_kills=1, n_restarts=2, after=""):
        script = tmp_path / f"lmp-killed-{n_kills}-{n_restarts}"
        script.write_text(
            "#!/bin/bash\n"
            f"count=$(ls {tmp_path}/kill.* 2>/dev/null | wc -l)\n"
            f'if [ $count -ge {n_kills} ]; then exec {PROGRAMS}/lmp "$@"; fi\n'
            f'touch {tmp_path}/kill.$count; {PROGRAMS}/lmp "$@" &\n'
            f"until [ $(ls md.*.restart 2>/dev/null | wc -l) -ge {n_restarts} ]; do sleep 0.02; done\n"
            f"pkill -9 -P $!; kill -9 $!\n{after}\n"
        )
        script.chmod(0o755)
        return aiida_code_installed(
            label=script.name, default_calc_job_plugin="lpsgb.md", filepath_executable=str(script)
        )

    return factory


@pytest.fixture
def paused(aiida_code_installed, tmp_path):
    """Return a code whose first run stands still for longer than its wall time once it has written a restart file."""
    script = tmp_path / "lmp-paused"
    script.write_text(
        f'#!/bin/bash\nif [ -e {tmp_path}/begun ]; then exec {PROGRAMS}/lmp "$@"; fi\n'
        f'touch {tmp_path}/begun; {PROGRAMS}/lmp "$@" & program=$!\n'
        "until ls md.*.restart > /dev/null 2>&1; do sleep 0.02; done\n"
        "pkill -STOP -P $program; kill -STOP $program; sleep 6; pkill -CONT -P $program; kill -CONT $program\n"
        "wait $program\n"
    )
    script.chmod(0o755)
    return aiida_code_installed(label="paused", default_calc_job_plugin="lpsgb.md", filepath_executable=str(script))


@pytest.fixture
def signalled(aiida_code_installed, tmp_path):
    """Return a factory of codes whose first runs get a signal: LAMMPS itself once it is at a step, or at once."""

    def factory(number, times=1, at_step=500):
        script = tmp_path / f"lmp-{number}"
        end = f"kill -{number} $$"
        if at_step is not None:
            end = (
                f'{PROGRAMS}/lmp "$@" &\n'
                f"until grep -q '^ *{at_step} ' log.lammps 2>/dev/null; do sleep 0.02; done\n"
                f"pkill -{number} -P $!; wait $!; exit $?"
            )
        script.write_text(
            "#!/bin/bash\n"
            f"count=$(ls {tmp_path}/signal.* 2>/dev/null | wc -l)\n"
            f'if [ $count -ge {times} ]; then exec {PROGRAMS}/lmp "$@"; fi\n'
            f"touch {tmp_path}/signal.$count\n{end}\n"
        )
        script.chmod(0o755)
        return aiida_code_installed(
            label=f"{script.name}-{times}", default_calc_job_plugin="lpsgb.md", filepath_executable=str(script)
        )

    return factory


def lengthened(values, duration_ps, **changes):
    """Inputs of `lpsgb.md` with a longer production, and other parameters."""
    parameters = values["parameters"].get_dict()
    interval = duration_ps / 50
    stages = [
        *parameters["stages"][:2],
        {**parameters["stages"][2], "duration_ps": duration_ps, "dump_interval_ps": interval},
    ]
    return {**values, "parameters": orm.Dict({**parameters, "stages": stages, **changes})}


def joined(outputs):
    """Frames of all segments by step: of those that two segments have, both."""
    frames = {}
    for label in sorted(outputs["trajectories"]):
        with outputs["trajectories"][label].open_trajectory() as trajectory:
            for index, step in enumerate(trajectory.steps):
                frames.setdefault(int(step), []).append(trajectory.frame_positions(index, wrap=False))
    return frames


def same_frames(outputs, undisturbed, tolerance_A=1.1e-3):
    """Check frames against those of one undisturbed run; the tolerance is that of a trajectory's coordinates."""
    with undisturbed["trajectory"].open_trajectory() as trajectory:
        steps = [int(step) for step in trajectory.steps]
        frames = joined(outputs)
        assert sorted(frames) == steps
        for index, step in enumerate(steps):
            for positions in frames[step]:
                assert np.abs(positions - trajectory.frame_positions(index, wrap=False)).max() < tolerance_A


@pytest.mark.usefixtures("aiida_profile_clean")
class TestBase:
    def run(self, inputs, **base):
        return run_get_node(WorkflowFactory("lpsgb.md.base"), md=inputs, **base)

    def undisturbed(self, values, installed_code):
        code = installed_code("lmp", "lpsgb.md")
        outputs, node = run_get_node(CalculationFactory("lpsgb.md"), **{**values, "code": code})
        assert node.is_finished_ok, node.exit_message
        return outputs

    def test_one_job_is_one_segment(self, inputs):
        outputs, node = self.run(inputs())
        assert node.is_finished_ok, node.exit_message
        assert [call.process_label for call in node.called] == ["MdCalculation"]
        assert list(outputs["trajectories"]) == list(outputs["thermo"]) == ["segment_000"]
        assert outputs["results"].creator == node.called[0]

    def test_killed_run_is_continued(self, inputs, killed, installed_code):
        values = lengthened(inputs(killed(n_kills=2)), 100.0, restart_interval_ps=5.0)
        outputs, node = self.run(values)
        assert node.is_finished_ok, [child.exit_message for child in node.called]
        *jobs, join = node.called
        assert [child.exit_status for child in jobs] == [401, 401, 0]
        assert join.process_type == "aiida.calculations:lpsgb.md.join"
        assert sorted(outputs["trajectories"]) == ["segment_000", "segment_001", "segment_002"]
        undisturbed = self.undisturbed(values, installed_code)
        same_frames(outputs, undisturbed)
        with contextlib.ExitStack() as stack:
            labels = sorted(outputs["trajectories"])
            parts = [stack.enter_context(outputs["trajectories"][label].open_trajectory()) for label in labels]
            whole = stack.enter_context(undisturbed["trajectory"].open_trajectory())
            assert list(Trajectory.concatenate(parts).steps) == list(whole.steps)
        # Each segment holds its own frames alone, and those that the next one ran again.
        firsts = [int(outputs["thermo"][label].get_array("step")[0]) for label in sorted(outputs["thermo"])]
        assert firsts == sorted(set(firsts))
        assert all(first % 2500 == 0 for first in firsts)
        results, expected = outputs["results"].get_dict(), undisturbed["results"].get_dict()
        assert results["n_segments"] == 3
        assert results["stages"] == [
            {
                key: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
                for key, value in stage.items()
            }
            | {"cell_lengths_A": pytest.approx(stage["cell_lengths_A"])}
            for stage in expected["stages"]
        ]
        for key in ("steps", "planned_steps", "first_step", "minimisations", "minimised_energies_eV"):
            assert results[key] == expected[key]

    def test_half_a_restart_file_gives_way_to_the_one_before(self, inputs, killed, installed_code):
        cut = "newest=$(ls md.*.restart | sort -t. -k2n | tail -1); head -c 500 $newest > x; mv x $newest"
        values = lengthened(inputs(killed(n_restarts=3, after=cut)), 100.0, restart_interval_ps=5.0)
        outputs, node = self.run(values)
        assert node.is_finished_ok, [child.exit_message for child in node.called]
        assert [child.exit_status for child in node.called[:2]] == [401, 0]
        first, second = (outputs["thermo"][label].get_array("step") for label in sorted(outputs["thermo"]))
        assert second[0] >= 5000
        assert second[0] <= first[-1] - 2500
        same_frames(outputs, self.undisturbed(values, installed_code))

    def test_run_killed_as_it_began_is_started_again(self, inputs, aiida_code_installed, tmp_path):
        script = tmp_path / "lmp-late"
        script.write_text(
            f'#!/bin/bash\nif [ -e {tmp_path}/begun ]; then exec {PROGRAMS}/lmp "$@"; fi\n'
            f"touch {tmp_path}/begun; kill -9 $$\n"
        )
        script.chmod(0o755)
        code = aiida_code_installed(label="late", default_calc_job_plugin="lpsgb.md", filepath_executable=str(script))
        _, node = self.run(inputs(code))
        assert node.is_finished_ok, [child.exit_message for child in node.called]
        assert [child.exit_status for child in node.called] == [303, 0]

    def test_program_that_is_not_lammps_is_tried_twice(self, inputs, aiida_code_installed):
        code = aiida_code_installed(label="true", default_calc_job_plugin="lpsgb.md", filepath_executable="/bin/true")
        _, node = self.run(inputs(code))
        assert node.exit_status == 411
        assert [child.exit_status for child in node.called] == [300, 300]

    def test_out_of_walltime_is_continued(self, inputs, paused):
        values = lengthened(inputs(paused), 150.0, restart_interval_ps=5.0, thermo_interval_ps=1)
        values["metadata"]["options"]["max_wallclock_seconds"] = 5
        outputs, node = self.run(values)
        assert node.is_finished_ok, node.exit_message
        jobs = [call for call in node.called if "seed" in call.inputs]
        assert len(jobs) > 1
        assert {child.exit_status for child in jobs} == {400, 0}
        assert sorted(joined(outputs)) == list(range(1500, 75101, 1500))

    def test_jobs_that_make_no_progress_end_the_run(self, inputs, killed):
        values = lengthened(inputs(killed(n_kills=9, n_restarts=0)), 20.0, restart_interval_ps=5.0)
        _, node = self.run(values)
        assert node.exit_status == 411
        assert "2 jobs in a row brought the run no further than step 0" in node.exit_message
        assert len(node.called) == 2

    def test_finished_run_is_extended(self, inputs, installed_code):
        values = lengthened(inputs(), 10.0, restart_interval_ps=5.0)
        short, first = self.run(values)
        assert first.is_finished_ok, first.exit_message
        stages = values["parameters"]["stages"]
        longer = orm.Dict(
            {**values["parameters"].get_dict(), "stages": [*stages[:2], {**stages[2], "duration_ps": 14.8}]}
        )
        outputs, node = self.run({**values, "parameters": longer, "parent_folder": short["remote_folder"]})
        assert node.is_finished_ok, node.exit_message
        results = outputs["results"].get_dict()
        assert (results["first_step"], results["steps"]) == (5100, 7500)
        with outputs["trajectories"]["segment_000"].open_trajectory() as trajectory:
            assert trajectory.steps[0] == 5100
            assert trajectory.steps[-1] == 7500

    def test_extension_of_a_folder_that_was_cleaned(self, inputs):
        values = lengthened(inputs(), 2.0)
        outputs, _ = self.run(values)
        outputs["remote_folder"]._clean()
        _, node = self.run({**values, "parent_folder": outputs["remote_folder"]})
        assert node.exit_status == 324
        assert len(node.called) == 1

    def test_unstable_run_is_calmed_then_given_up(self, inputs):
        values = inputs()
        stage = {"ensemble": "nve", "duration_ps": 2.0, "temperature_K": 1e9}
        values["parameters"] = orm.Dict({"stages": [stage], "timestep_fs": 20.0, "thermo_interval_ps": 0.02})
        _, node = self.run(values)
        assert node.exit_status == 410
        assert "also with the time step halved once: " in node.exit_message
        timesteps = [child.inputs.parameters["timestep_fs"] for child in node.called if "seed" in child.inputs]
        assert timesteps == [20.0, 10.0]

    @pytest.mark.parametrize(
        ("number", "exit_status", "timesteps"), [("SEGV", 302, [2.0, 1.0]), ("KILL", 303, [2.0, 2.0])]
    )
    def test_run_that_a_signal_ends(self, inputs, signalled, number, exit_status, timesteps):
        changes = {"timestep_fs": 2.0, "restart_interval_ps": 500.0, "thermo_interval_ps": 0.1}
        values = lengthened(inputs(signalled(number)), 20.0, **changes)
        _, node = self.run(values)
        assert node.is_finished_ok, [child.exit_message for child in node.called]
        jobs = [child for child in node.called if "seed" in child.inputs]
        assert [job.exit_status for job in jobs] == [exit_status, 0]
        assert f"SIG{number}" in jobs[0].exit_message
        assert "of 10100" in jobs[0].exit_message
        assert [job.inputs.parameters["timestep_fs"] for job in jobs] == timesteps

    def test_run_that_takes_another_temperature_than_it_should_have(self, argon):
        """From a crystal at rest, half of the kinetic energy goes into the potential."""
        stage = {"ensemble": "nve", "duration_ps": 4.0, "temperature_K": 40, "dump_interval_ps": 0.5}
        outputs, node = self.run(argon([stage]))
        assert node.exit_status == 410
        assert "The temperature is not held: 2" in node.exit_message
        assert "by no thermostat, which no smaller time step mends" in node.exit_message
        assert outputs["trajectories"]["segment_000"].n_frames == 9
        assert len(node.called) == 1

    def test_run_that_crashes_again_names_the_crash(self, inputs, signalled):
        values = lengthened(inputs(signalled("SEGV", times=9)), 20.0, thermo_interval_ps=0.1)
        outputs, node = self.run(values)
        assert node.exit_status == 410
        assert "also with the time step halved once: The program crashed by SIGSEGV" in node.exit_message
        assert [job.exit_status for job in node.called if "seed" in job.inputs] == [302, 302]
        assert outputs["results"]["steps"] > 0

    def test_program_that_crashes_as_it_begins_is_tried_twice(self, inputs, signalled):
        _, node = self.run(inputs(signalled("ILL", times=9, at_step=None)))
        assert node.exit_status == 411
        assert "(see whether the code runs on that computer at all)" in node.exit_message
        assert "SIGILL (illegal instruction) before it wrote a log" in node.exit_message

    def test_what_lammps_refuses_is_not_tried_again(self, inputs):
        _, node = self.run(inputs(neighbour_skin_A=-1.0))
        assert node.exit_status == 322
        assert "Invalid neighbor argument: -1" in node.exit_message
        assert len(node.called) == 1


@pytest.fixture
def argon(installed_code, metadata):
    """Return a factory of inputs with argon, by a Lennard-Jones potential."""

    def factory(stages, size=3, code=None, rattle=0.0, potential=None, length_A=5.3, **parameters):
        atoms = bulk("Ar", a=length_A, cubic=True).repeat(size)
        if rattle:
            atoms.rattle(rattle, seed=1)
        lines = ["pair_style lj/cut 8.5", "pair_coeff * * 0.0104 3.40"]
        return {
            "code": code or installed_code("lmp", "lpsgb.md"),
            "structure": orm.StructureData(ase=atoms),
            "potential": potential or PairStyleData(lines, ["Ar"]),
            "parameters": orm.Dict({"stages": stages, "thermo_interval_ps": 0.1, **parameters}),
            "seed": orm.Int(11),
            "metadata": metadata,
        }

    return factory


MINIMISE = {"name": "relax", "ensemble": "minimise"}
HOLD = {"name": "hold", "ensemble": "nvt", "duration_ps": 1.0, "temperature_K": 60}


@pytest.mark.usefixtures("aiida_profile_clean")
class TestMinimisation:
    def run(self, inputs, **base):
        return run_get_node(WorkflowFactory("lpsgb.md.base"), md=inputs, **base)

    def test_goes_on_until_it_is_at_a_minimum(self, argon):
        outputs, node = self.run(
            argon([{**MINIMISE, "max_steps": 30, "relax_cell": "aniso"}], length_A=4.7, rattle=0.01)
        )
        assert node.is_finished_ok, node.exit_message
        *jobs, _ = node.called
        assert [job.exit_status for job in jobs] == [330] * (len(jobs) - 1) + [0]
        assert len(jobs) > 1
        (energy,) = outputs["results"]["minimised_energies_eV"]
        whole, _ = self.run(argon([{**MINIMISE, "relax_cell": "aniso"}], length_A=4.7, rattle=0.01))
        assert energy == pytest.approx(whole["results"]["minimised_energies_eV"][0], abs=1e-5)

    def test_ends_unfinished_where_it_is_not_allowed_to_go_on(self, argon):
        outputs, node = self.run(argon([{**MINIMISE, "max_steps": 2}], rattle=0.3), max_minimisations=orm.Int(2))
        assert node.exit_status == 330
        assert node.exit_message.startswith("After 2 jobs: ")
        assert outputs["results"]["minimised_energies_eV"] == []
        assert "structure" in outputs

    def test_before_dynamics_it_need_not_reach_a_minimum(self, argon):
        outputs, node = self.run(argon([{**MINIMISE, "max_steps": 2}, HOLD], rattle=0.3))
        assert node.is_finished_ok, node.exit_message
        assert outputs["results"]["minimised_energies_eV"] == []
        assert outputs["results"]["minimisations"][0]["criterion"] == "max iterations"

    @pytest.mark.slow
    def test_out_of_walltime(self, argon, aiida_code_installed, tmp_path):
        """The first job's time ends during the second of two minimisations."""
        script = tmp_path / "lmp-short"
        script.write_text(
            "#!/bin/bash\n"
            f"if [ ! -e {tmp_path}/begun ]; then touch {tmp_path}/begun\n"
            "sed -i \"s/^print 'lpsgb stage 1 long'$/&\\ntimer timeout 0:00:00 every 5/\" md.in; fi\n"
            f'exec {PROGRAMS}/lmp "$@"\n'
        )
        script.chmod(0o755)
        code = aiida_code_installed(label="short", default_calc_job_plugin="lpsgb.md", filepath_executable=str(script))
        stages = [{**MINIMISE, "force_tolerance_eV_A": 0.1}, {**MINIMISE, "name": "long"}, HOLD]
        outputs, node = self.run(argon(stages, code=code, rattle=0.3))
        jobs = [call for call in node.called if "seed" in call.inputs]
        assert node.is_finished_ok, [job.exit_message for job in jobs]
        assert [job.exit_status for job in jobs] == [400, 0]
        assert "in the minimisation long" in jobs[0].exit_message
        assert [stage["name"] for stage in jobs[1].inputs.parameters["stages"]] == ["long", "hold"]
        assert [entry["name"] for entry in outputs["results"]["minimisations"]] == ["relax", "long"]
        assert [entry["stage"] for entry in outputs["results"]["minimisations"]] == [0, 1]
        assert len(outputs["results"]["minimised_energies_eV"]) == 2
        assert outputs["results"]["steps"] == 500


@pytest.mark.usefixtures("aiida_profile_clean")
class TestNonFinite:
    def test_no_process_excepts_and_the_time_step_is_halved(self, argon):
        values = argon([HOLD])
        atoms = values["structure"].get_ase()
        atoms.positions[1] = atoms.positions[0]
        values["structure"] = orm.StructureData(ase=atoms)
        outputs, node = run_get_node(WorkflowFactory("lpsgb.md.base"), md=values)
        assert node.exit_status == 410
        assert [call.exit_status for call in node.called if "seed" in call.inputs] == [321, 321]
        assert outputs["results"].is_stored


@pytest.mark.usefixtures("aiida_profile_clean")
class TestOtherPotentials:
    """Classical pair styles of the wheel."""

    def test_dynamics(self, argon):
        npt = {"ensemble": "npt", "duration_ps": 20, "temperature_K": 40, "dump_interval_ps": 1}
        outputs, node = run_get_node(CalculationFactory("lpsgb.md"), **argon([HOLD, npt]))
        assert node.is_finished_ok, node.exit_message
        assert outputs["trajectory"].n_frames == 21
        # Solid argon at 40 K: 5.35 Å (Peterson, Batchelder, Simmons, Phys. Rev. 150, 703 (1966)); this potential 5.33.
        length = (4 * outputs["results"]["stages"][1]["volume_A3_per_atom"]) ** (1 / 3)
        assert length == pytest.approx(5.35, abs=0.06)

    def test_atoms_that_fall_into_each_other_do_not_take_the_memory_of_the_machine(self, argon):
        """A Buckingham potential has no repulsion below a distance, and the barostat would have the cell explode."""
        lines = ["pair_style buck 8.5", "pair_coeff * * 1000.0 0.3 100.0"]
        npt = {"ensemble": "npt", "duration_ps": 20, "temperature_K": 5000}
        _, node = run_get_node(CalculationFactory("lpsgb.md"), **argon([npt], potential=PairStyleData(lines, ["Ar"])))
        assert node.exit_status == 320
        assert "fix-id pressure_above_1e7_bar met on step" in node.exit_message

    def test_lattice_energy(self, argon):
        """Of the fcc crystal with a cut-off of 8.5 Å, against the sum over its shells."""
        outputs, node = run_get_node(CalculationFactory("lpsgb.md"), **argon([{**HOLD, "duration_ps": 0.002}]))
        assert node.is_finished_ok, node.exit_message
        grid = np.array(list(np.ndindex(13, 13, 13))) - 6
        distances = np.linalg.norm(grid[grid.sum(axis=1) % 2 == 0] * 5.3 / 2, axis=1)
        ratio = 3.40 / distances[(distances > 0) & (distances < 8.5)]
        expected = 0.5 * np.sum(4 * 0.0104 * (ratio**12 - ratio**6))
        assert outputs["thermo"].get_array("potential_energy_eV")[0] / 108 == pytest.approx(expected, rel=1e-8)

    def test_charges(self, installed_code, metadata):
        """Rock salt by point charges and a repulsion: its energy is that of Madelung."""
        lines = ["pair_style coul/long 9.0", "pair_coeff * *", "kspace_style ewald 1.0e-6"]
        outputs, node = run_get_node(
            CalculationFactory("lpsgb.md"),
            code=installed_code("lmp", "lpsgb.md"),
            structure=orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)),
            potential=PairStyleData(lines, ["Cl", "Na"], {"Na": 1, "Cl": -1}),
            parameters=orm.Dict({"stages": [{**HOLD, "duration_ps": 0.002, "temperature_K": 0.1}]}),
            seed=orm.Int(1),
            metadata=metadata,
        )
        assert node.is_finished_ok, node.exit_message
        energy = outputs["thermo"].get_array("potential_energy_eV")[0] / 32
        assert energy == pytest.approx(-1.7475646 * 14.399645 / 2.82, rel=1e-4)

    def test_aiida_lammps(self, argon):
        cls = pytest.importorskip("aiida_lammps.data.potential").LammpsPotentialData
        kept = dict(cls.__dict__)
        try:
            source = io.BytesIO(b"0.0104 3.40")
            given = cls.get_or_create(source, "argon.dat", "lj/cut", ["Ar"], units="metal")
        finally:
            for name in ("pair_style", "species", "atom_style", "units", "extra_tags"):
                setattr(cls, name, kept[name]) if name in kept else delattr(cls, name)
        values = argon([HOLD], potential=given, pair_style_options=[8.5])
        outputs, node = run_get_node(CalculationFactory("lpsgb.md"), **values)
        assert node.is_finished_ok, node.exit_message
        own, _ = run_get_node(CalculationFactory("lpsgb.md"), **argon([HOLD]))
        energies = [result["thermo"].get_array("potential_energy_eV") for result in (outputs, own)]
        assert np.array_equal(*energies)


@pytest.mark.usefixtures("aiida_profile_clean")
class TestTrained:
    """A potential that was learned for β-Li₃PS₄, and its active set, made by `lpsgb-mlp` itself."""

    SPECIES = ("Li", "P", "S")

    @pytest.fixture
    def trained(self, data_path):
        return DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", self.SPECIES)

    @pytest.fixture
    def crystal(self, data_path):
        cif = data_path.parents[1] / "examples" / "data" / "beta-li3ps4.cif"
        return order(read_cif(cif), charges={"Li": 1, "P": 5, "S": -2}, rank_by="occupancy", seed=1)[0]

    @pytest.fixture
    def active_set(self, trained, crystal, installed_code, metadata):
        images = [rattled for seed in range(8) for rattled in rattle(crystal, 0.02, 1, np.random.default_rng(seed))]
        outputs, node = run_get_node(
            CalculationFactory("lpsgb.mlp.grade"),
            code=installed_code("lpsgb-mlp", "lpsgb.mlp.grade"),
            potential=trained,
            training_sets={"rattled": DataFactory("lpsgb.configurations")(images, self.SPECIES)},
            parameters=orm.Dict({"nbh_weight": 1, "energy_weight": 0}),
            metadata=metadata,
        )
        assert node.is_finished_ok, node.exit_message
        return outputs["active_set"]

    @pytest.fixture
    def watched(self, trained, crystal, active_set, installed_code, metadata):
        """Return a function that runs the crystal with extrapolation control."""

        def run(parameters):
            md = {
                "code": installed_code("lmp", "lpsgb.md"),
                "structure": orm.StructureData(ase=crystal),
                "potential": trained,
                "active_set": active_set,
                "parameters": orm.Dict({"pair_style": "mtp/extrapolation", **parameters}),
                "seed": orm.Int(5),
                "metadata": metadata,
            }
            return run_get_node(WorkflowFactory("lpsgb.md.base"), md=md)

        return run

    def test_energy_is_that_of_the_ase_calculator_in_any_frame(self, trained, crystal, installed_code, metadata):
        # A triclinic cell in an arbitrary orientation: LAMMPS gets it rotated into its own frame.
        crystal.rattle(0.1, seed=3)
        crystal.set_cell(crystal.cell.array @ [[1, 0.05, 0], [0.02, 1, 0.04], [0, 0, 1.01]], True)
        crystal.rotate(33, (1, 2, 3), rotate_cell=True)
        stage = {"ensemble": "nve", "duration_ps": 0.01, "temperature_K": 10}
        outputs, node = run_get_node(
            CalculationFactory("lpsgb.md"),
            code=installed_code("lmp", "lpsgb.md"),
            structure=orm.StructureData(ase=crystal),
            potential=trained,
            parameters=orm.Dict({"stages": [stage], "thermo_interval_ps": 0.002}),
            seed=orm.Int(1),
            metadata=metadata,
        )
        assert node.is_finished_ok, node.exit_message
        crystal.calc = trained.get_ase()
        energy = outputs["thermo"].get_array("potential_energy_eV")[0]
        assert energy == pytest.approx(crystal.get_potential_energy(), rel=1e-9)

    def test_extrapolation_ends_the_run_and_keeps_what_it_found(self, watched):
        stage = {"ensemble": "nvt", "duration_ps": 5.0, "temperature_K": [300, 1500]}
        control = {"gamma_select": 2.0, "gamma_break": 5.0, "grade": "neighborhood", "interval_steps": 5}
        outputs, node = watched({"stages": [stage], "extrapolation": control})
        assert node.exit_status == 310
        results = outputs["results"].get_dict()
        assert results["steps"] < results["planned_steps"]
        assert results["max_grade"] > 5.0
        extrapolated = outputs["extrapolated"]["segment_000"]
        grades = [image.info["mv_grade"] for image in extrapolated]
        assert len(grades) == results["n_extrapolated"] - results["n_extrapolated_left_out"]
        assert min(grades) > 2.0
        assert max(grades[:-1], default=0) <= 5.0
        assert not extrapolated.labelled

    def test_a_run_that_is_lost_where_the_potential_extrapolates_is_looked_at_and_not_calmed(self, watched):
        """Graded too seldom for that to be seen, it is run again and graded often."""
        control = {"gamma_select": 2.0, "gamma_break": 1e300, "grade": "neighborhood", "interval_steps": 1000}
        parameters = {
            "stages": [{"ensemble": "npt", "duration_ps": 1.0, "temperature_K": [300, 1e7]}],
            "timestep_fs": 5.0,
            "thermo_interval_ps": 1.0,
            "extrapolation": control,
        }
        outputs, node = watched(parameters)
        assert node.exit_status == 410
        assert "where the potential extrapolates (grades up to " in node.exit_message
        jobs = [job for job in node.called if "seed" in job.inputs]
        assert [job.inputs.parameters["extrapolation"]["interval_steps"] for job in jobs] == [1000, 2]
        assert {job.inputs.parameters["timestep_fs"] for job in jobs} == {5.0}
        assert len({job.exit_message for job in jobs}) == 1
        assert outputs["extrapolated"]["segment_000"]
        assert "parameters" not in outputs
