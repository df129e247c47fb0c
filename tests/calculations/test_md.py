"""Input files and port checks of `lpsgb.md`."""

import pytest
from aiida import orm
from aiida.engine import run
from aiida.plugins import CalculationFactory
from ase.build import bulk
from ase.io import read

from aiida_lpsgb.calculations.md import (
    planned_steps,
    render_mlip_ini,
    render_script,
    resolve,
    validate_parameters,
    validate_seed,
)

STAGES = [
    {"name": "relax", "ensemble": "minimise"},
    {"name": "heat", "ensemble": "npt", "duration_ps": 2, "temperature_K": [300, 600]},
    {"name": "produce", "ensemble": "nvt", "duration_ps": 4, "temperature_K": 600, "dump_interval_ps": 0.1},
]
EXTRAPOLATION = {"gamma_select": 2.0, "gamma_break": 10.0}


def parameters(**changes):
    return {"stages": STAGES, **changes}


def error(**changes):
    return validate_parameters(orm.Dict(parameters(**changes)), None)


@pytest.fixture
def inputs(generate_potential, installed_code, metadata):
    atoms = bulk("Li", cubic=True).repeat(2)
    atoms.symbols[0] = "P"
    atoms.symbols[1] = "S"
    return {
        "code": installed_code("lmp", "lpsgb.md"),
        "structure": orm.StructureData(ase=atoms),
        "potential": generate_potential(),
        "parameters": orm.Dict(parameters()),
        "seed": orm.Int(7),
        "metadata": metadata,
    }


class TestScript:
    def test_stages_have_absolute_steps(self):
        script = render_script(resolve(parameters()), ["Li", "P", "S"], 7)
        assert planned_steps(resolve(parameters())) == 3000
        assert 'if "$(step) < 1000" then "run 1000 upto start 0 stop 1000"' in script
        assert 'if "$(step) < 3000" then "run 3000 upto start 1000 stop 3000"' in script
        assert "velocity all create 300 7 mom yes rot no dist gaussian" in script

    def test_damping_of_the_paper_is_the_default(self):
        script = render_script(resolve(parameters()), ["Li"], 7)
        assert "fix integrate all npt temp 300 600 0.1 aniso 0 0 1" in script
        assert "fix integrate all nvt temp 600 600 0.1" in script
        assert "timestep 0.002" in script

    def test_continuation_reads_the_restart_and_keeps_velocities(self):
        script = render_script(resolve(parameters()), ["Li"], 7, continued=True)
        assert "read_restart md.*.restart" in script
        assert "read_data" not in script
        assert "velocity" not in script
        assert "minimize" not in script

    def test_walltime_ends_the_run_before_the_scheduler_does(self):
        assert "timer timeout 0:57:00 every 100" in render_script(resolve(parameters()), ["Li"], 7, walltime_s=3600)

    def test_pair_styles(self):
        control = {"extrapolation": EXTRAPOLATION}
        assert "pair_style mtp potential.mtp" in render_script(resolve(parameters()), ["Li"], 7)
        script = render_script(resolve(parameters(pair_style="mtp/extrapolation", **control)), ["Li"], 7)
        assert (
            "pair_style mtp/extrapolation potential.mtp active_set.als 10 2 10 extrapolated.cfg configuration" in script
        )
        settings = resolve(parameters(pair_style="mlip", **control))
        assert "pair_style mlip mlip.ini" in render_script(settings, ["Li"], 7)
        assert "select:threshold-break 10" in render_mlip_ini(settings)


class TestParameters:
    def test_good(self):
        assert error() is None
        assert error(pair_style="mtp/extrapolation", extrapolation=EXTRAPOLATION) is None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"timestep": 2}, "unknown keys ['timestep']"),
            ({"stages": []}, "at least one stage"),
            ({"pair_style": "lj/cut"}, "`pair_style`"),
            ({"timestep_fs": -1}, "`timestep_fs` must be positive"),
            ({"barostat": "cubic"}, "`barostat`"),
            ({"stages": [{"ensemble": "nph"}]}, "stage 0: `ensemble`"),
            ({"stages": [{"ensemble": "nvt", "duration_ps": 0, "temperature_K": 300}]}, "`duration_ps`"),
            ({"stages": [{"ensemble": "nvt", "duration_ps": 1}]}, "`temperature_K` is missing"),
            ({"stages": [{"ensemble": "nvt", "duration_ps": 1, "temperature_K": 0}]}, "above 0 K"),
            ({"stages": [{"ensemble": "nvt", "duration_ps": 1, "temperature_K": [300, -5]}]}, "above 0 K"),
            ({"stages": [STAGES[2], STAGES[2]]}, "only one stage may set `dump_interval_ps`"),
            ({"extrapolation": EXTRAPOLATION}, "no effect with pair_style mtp"),
            ({"pair_style": "mtp/extrapolation"}, "needs `extrapolation`"),
            ({"pair_style": "mtp/extrapolation", "extrapolation": {"gamma_select": 5, "gamma_break": 2}}, "is below"),
            ({"pair_style": "mtp/extrapolation", "extrapolation": {"gamma_select": 2}}, "both"),
            (
                {"pair_style": "mtp/extrapolation", "extrapolation": {"gamma_select": 0.5, "gamma_break": 2}},
                "at least 1",
            ),
        ],
    )
    def test_bad(self, changes, message):
        assert message in error(**changes)

    @pytest.mark.parametrize("seed", [0, -1, 2**31])
    def test_seed(self, seed):
        assert str(seed) in validate_seed(orm.Int(seed), None)


@pytest.mark.usefixtures("aiida_profile_clean")
class TestInputs:
    def test_files(self, generate_calc_job, inputs):
        calcinfo, folder = generate_calc_job("lpsgb.md", inputs)
        assert folder.get_content_list() == ["md.in", "structure.data"]
        atoms = read(folder.get_abs_path("structure.data"), format="lammps-data", units="metal", atom_style="atomic")
        assert len(atoms) == 16
        assert set(atoms.symbols) == {"Li", "P", "S"}
        assert calcinfo.retrieve_list == ["log.lammps"]
        assert ("trajectory.*.bin", ".", 0) in calcinfo.retrieve_temporary_list

    def test_partial_occupancy_is_refused(self, inputs):
        structure = orm.StructureData(cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]])
        structure.append_atom(position=(0, 0, 0), symbols="Li", weights=0.7)
        with pytest.raises(ValueError, match="structure: sites are partially occupied"):
            run(CalculationFactory("lpsgb.md"), **{**inputs, "structure": structure})

    def test_unknown_species_is_refused(self, inputs):
        structure = orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6))
        with pytest.raises(ValueError, match=r"potential: it knows .* and not \['Cl', 'Na'\]"):
            run(CalculationFactory("lpsgb.md"), **{**inputs, "structure": structure})

    def test_untrained_potential_is_refused(self, inputs, generate_potential):
        with pytest.raises(ValueError, match="potential: it is untrained"):
            run(CalculationFactory("lpsgb.md"), **{**inputs, "potential": generate_potential(trained=False)})

    def test_extrapolation_needs_an_active_set(self, inputs):
        extrapolating = orm.Dict(parameters(pair_style="mtp/extrapolation", extrapolation=EXTRAPOLATION))
        with pytest.raises(ValueError, match="active_set: extrapolation control needs"):
            run(CalculationFactory("lpsgb.md"), **{**inputs, "parameters": extrapolating})
