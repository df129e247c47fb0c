"""`lpsgb.md` and `lpsgb.md.base` with the real LAMMPS."""

import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory
from ase.build import bulk

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


@pytest.mark.usefixtures("aiida_profile_clean")
class TestBase:
    def run(self, inputs, **base):
        return run_get_node(WorkflowFactory("lpsgb.md.base"), md=inputs, **base)

    def test_killed_run_is_continued(self, inputs, aiida_code_installed, tmp_path):
        script = tmp_path / "lmp-killed-once"
        script.write_text(
            "#!/bin/bash\n"
            f'if [ -e {tmp_path}/killed ]; then exec {PROGRAMS}/lmp "$@"; fi\n'
            f'{PROGRAMS}/lmp "$@" &\n'
            "until ls md.*.restart >/dev/null 2>&1; do sleep 0.05; done; sleep 0.2\n"
            f"touch {tmp_path}/killed; pkill -9 -P $!; kill -9 $!\n"
        )
        script.chmod(0o755)
        code = aiida_code_installed(label="killed", default_calc_job_plugin="lpsgb.md", filepath_executable=str(script))
        values = inputs(code, restart_interval_ps=5.0)
        stages = values["parameters"].get_dict()["stages"]
        stages[2] = {**stages[2], "duration_ps": 100.0, "dump_interval_ps": 1.0}
        values["parameters"] = orm.Dict({**values["parameters"].get_dict(), "stages": stages})
        outputs, node = self.run(values)
        assert node.is_finished_ok, [child.exit_message for child in node.called]
        assert [child.exit_status for child in node.called] == [401, 0]
        assert outputs["results"]["steps"] == 50100
        # The continued run carries the frames of the killed one: one whole trajectory.
        with outputs["trajectory"].open_trajectory() as frames:
            assert np.diff(frames.times_ps) == pytest.approx(1.0)
            assert frames.n_frames == 100

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
        assert [child.exit_status for child in node.called] == [300, 0]

    def test_program_that_is_not_lammps_is_tried_twice(self, inputs, aiida_code_installed):
        code = aiida_code_installed(label="true", default_calc_job_plugin="lpsgb.md", filepath_executable="/bin/true")
        _, node = self.run(inputs(code))
        assert not node.is_finished_ok
        assert [child.exit_status for child in node.called] == [300, 300]

    def test_out_of_walltime_is_continued(self, inputs):
        values = inputs(restart_interval_ps=10.0)
        stages = values["parameters"].get_dict()["stages"]
        stages[2] = {**stages[2], "duration_ps": 500.0, "dump_interval_ps": 10.0}
        values["parameters"] = orm.Dict({**values["parameters"].get_dict(), "thermo_interval_ps": 1, "stages": stages})
        values["metadata"]["options"]["max_wallclock_seconds"] = 4
        outputs, node = self.run(values, max_iterations=orm.Int(30))
        assert node.is_finished_ok, node.exit_message
        assert {child.exit_status for child in node.called} == {400, 0}
        with outputs["trajectory"].open_trajectory() as frames:
            assert frames.n_frames == 50

    def test_unstable_run_is_calmed_then_given_up(self, inputs):
        values = inputs()
        stage = {"ensemble": "nve", "duration_ps": 2.0, "temperature_K": 1e9}
        values["parameters"] = orm.Dict({"stages": [stage], "timestep_fs": 20.0, "thermo_interval_ps": 0.02})
        _, node = self.run(values)
        assert node.exit_status == 410
        timesteps = [child.inputs.parameters["timestep_fs"] for child in node.called if "seed" in child.inputs]
        assert timesteps == [20.0, 10.0]


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

    def test_extrapolation_ends_the_run_and_keeps_what_it_found(
        self, trained, crystal, active_set, installed_code, metadata
    ):
        stage = {"ensemble": "nvt", "duration_ps": 5.0, "temperature_K": [300, 1500]}
        control = {"gamma_select": 2.0, "gamma_break": 5.0, "grade": "neighborhood", "interval_steps": 5}
        outputs, node = run_get_node(
            WorkflowFactory("lpsgb.md.base"),
            md={
                "code": installed_code("lmp", "lpsgb.md"),
                "structure": orm.StructureData(ase=crystal),
                "potential": trained,
                "active_set": active_set,
                "parameters": orm.Dict(
                    {"stages": [stage], "pair_style": "mtp/extrapolation", "extrapolation": control}
                ),
                "seed": orm.Int(5),
                "metadata": metadata,
            },
        )
        assert node.exit_status == 310
        results = outputs["results"].get_dict()
        assert results["steps"] < results["planned_steps"]
        assert results["max_grade"] > 5.0
        grades = [image.info["mv_grade"] for image in outputs["extrapolated"]]
        assert len(grades) == results["n_extrapolated"]
        assert min(grades) > 2.0
        assert max(grades[:-1], default=0) <= 5.0
        assert not outputs["extrapolated"].labelled
