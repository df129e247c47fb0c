"""Ports, files and restart points of `lpsgb.md`."""

from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run
from aiida.plugins import CalculationFactory
from ase import Atoms
from ase.build import bulk
from ase.io import read

from aiida_lpsgb.calculations.lammps_script import PairStyle
from aiida_lpsgb.calculations.md import (
    RESTART_END,
    is_skewed,
    newest_restart,
    processor_grid,
    validate_inputs,
    validate_parameters,
    validate_seed,
    write_data_file,
)
from aiida_lpsgb.data.pair_style import PairStyleData
from aiida_lpsgb.mtp.selection import ActiveSet

STAGES = [
    {"name": "relax", "ensemble": "minimise"},
    {"name": "produce", "ensemble": "nvt", "duration_ps": 4, "temperature_K": 600, "dump_interval_ps": 0.1},
]
EXTRAPOLATION = {"gamma_select": 2.0, "gamma_break": 10.0}
GRADED = {"pair_style": "mtp/extrapolation", "extrapolation": EXTRAPOLATION}


def parameters(**changes):
    return orm.Dict({"stages": STAGES, **changes})


@pytest.fixture
def inputs(generate_potential, installed_code, metadata):
    atoms = bulk("Li", cubic=True).repeat(2)
    atoms.symbols[0] = "P"
    atoms.symbols[1] = "S"
    return {
        "code": installed_code("lmp", "lpsgb.md"),
        "structure": orm.StructureData(ase=atoms),
        "potential": generate_potential(),
        "parameters": parameters(),
        "seed": orm.Int(7),
        "metadata": metadata,
    }


def test_parameters_name_the_port():
    assert validate_parameters(parameters(), None) is None
    assert validate_parameters(parameters(timestep=1), None).startswith("parameters: unknown keys ['timestep']")


@pytest.mark.usefixtures("aiida_profile")
@pytest.mark.parametrize("times", [0, 1, 2, -3])
def test_data_file_of_a_cell_that_leans_is_of_the_same_lattice(tmp_path, times):
    atoms = bulk("LiS", "rocksalt", a=5.0, cubic=True).repeat((2, 3, 2))
    atoms.rattle(0.1, seed=1)
    expected = np.sort(atoms.get_all_distances(mic=True).ravel())
    atoms.set_cell(np.array([[1, 0, 0], [times, 1, 0], [-times, times, 1]]) @ atoms.cell.array)
    path = str(tmp_path / "structure.data")
    write_data_file(path, orm.StructureData(ase=atoms), PairStyle(("Li", "S"), ()))
    written = read(path, format="lammps-data", atom_style="atomic")
    assert not is_skewed(written.cell.array)
    assert np.allclose(np.sort(written.get_all_distances(mic=True).ravel()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("lengths", "n_processes", "grid"),
    [
        ((10, 10, 30), 2, (1, 1, 2)),
        ((10, 10, 30), 3, (1, 1, 3)),
        ((10, 20, 30), 6, (1, 2, 3)),
        ((10, 10, 10), 8, (2, 2, 2)),
        ((30, 10, 10), 7, (7, 1, 1)),
    ],
)
def test_processes_share_the_cell_with_the_smallest_faces(lengths, n_processes, grid):
    assert processor_grid(np.diag(lengths), n_processes) == grid


@pytest.mark.parametrize("seed", [0, -1, 2**31])
def test_seed(seed):
    assert str(seed) in validate_seed(orm.Int(seed), None)


@pytest.mark.usefixtures("aiida_profile_clean")
class TestInputs:
    def test_files(self, generate_calc_job, inputs):
        calcinfo, folder = generate_calc_job("lpsgb.md", inputs)
        assert folder.get_content_list() == ["md.in", "structure.data"]
        atoms = read(folder.get_abs_path("structure.data"), format="lammps-data", units="metal", atom_style="atomic")
        assert len(atoms) == 16
        assert set(atoms.symbols) == {"Li", "P", "S"}
        assert calcinfo.retrieve_list == ["log.lammps", "exit_status.txt"]
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

    def test_code_of_another_program_is_refused(self, inputs, installed_code):
        inputs["code"] = installed_code("lpsgb-mlp", "lpsgb.mlp.train")
        with pytest.raises(ValueError, match=r"code: .* is registered for lpsgb.mlp.train; give the code of LAMMPS"):
            run(CalculationFactory("lpsgb.md"), **inputs)

    @pytest.mark.parametrize("plugin", ["lpsgb.md", "lammps.raw"])
    def test_codes_of_lammps_are_accepted(self, inputs, installed_code, plugin):
        inputs["code"] = installed_code("lmp", plugin)
        assert validate_inputs(inputs, None) is None


@pytest.mark.usefixtures("aiida_profile_clean")
@pytest.mark.parametrize(
    ("tilt", "axes", "refused"),
    [
        ((0, 0, 0), "x", False),
        ((1, 0, 0), "x", True),
        ((0, 1, 0), "x", True),
        ((0, 0, 1), "x", False),
        ((1, 1, 0), "y", False),
        ((0, 0, 1), "y", True),
        ((1, 1, 1), "z", False),
        ((1, 1, 1), "aniso", False),
    ],
)
def test_an_axis_is_not_relaxed_alone_where_vectors_lean_along_it(inputs, tilt, axes, refused):
    atoms = inputs["structure"].get_ase()
    cell = atoms.cell.array.copy()
    cell[[1, 2, 2], [0, 0, 1]] += tilt
    inputs["structure"] = orm.StructureData(ase=Atoms(atoms.symbols, atoms.positions, cell=cell, pbc=True))
    inputs["parameters"] = parameters(stages=[{"ensemble": "minimise", "relax_cell": axes}])
    message = validate_inputs(inputs, None)
    assert (message or "").startswith(f"parameters: `relax_cell` is {axes}") == refused


@pytest.mark.usefixtures("aiida_profile_clean")
class TestActiveSet:
    @pytest.fixture
    def active_set(self, inputs, tmp_path):
        def factory(mode):
            ActiveSet(inputs["potential"].mtp, ["Li", "P", "S"], mode).write(tmp_path / "set.als")
            return orm.SinglefileData(tmp_path / "set.als")

        return factory

    def test_missing(self, inputs):
        message = validate_inputs({**inputs, "parameters": parameters(**GRADED)}, None)
        assert message.startswith("active_set: extrapolation control needs")

    @pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
    @pytest.mark.parametrize("grade", [None, "configuration", "neighborhood"])
    def test_must_grade_what_it_was_selected_by(self, inputs, active_set, mode, grade):
        control = {**EXTRAPOLATION, **({"grade": grade} if grade else {})}
        values = parameters(pair_style="mtp/extrapolation", extrapolation=control)
        message = validate_inputs({**inputs, "parameters": values, "active_set": active_set(mode)}, None)
        if grade in (None, mode):
            assert message is None
        else:
            assert f"the active set was selected by {mode}s; leave `grade` out or say {mode!r}" in message

    def test_file_that_is_none(self, inputs, tmp_path):
        (tmp_path / "x.als").write_text("MTP\n")
        given = {**inputs, "parameters": parameters(**GRADED), "active_set": orm.SinglefileData(tmp_path / "x.als")}
        assert "x.als holds no active set" in validate_inputs(given, None)

    def test_has_no_meaning_for_other_potentials(self, inputs, active_set):
        given = active_set("neighborhood")
        inputs["structure"] = orm.StructureData(ase=bulk("Ar", a=5.3))
        inputs["potential"] = PairStyleData("pair_style lj/cut 8\npair_coeff * * 0.0104 3.4", ["Ar"])
        assert validate_inputs(inputs, None) is None
        assert "only a moment tensor potential" in validate_inputs({**inputs, "active_set": given}, None)


@pytest.mark.usefixtures("aiida_profile_clean")
class TestWalltime:
    @pytest.fixture
    def scheduled(self, inputs, aiida_computer, tmp_path):
        computer = aiida_computer(label="cluster", scheduler_type="core.slurm", minimum_job_poll_interval=0)
        code = orm.InstalledCode(computer=computer, label="lmp", filepath_executable="/opt/lmp")
        return {**inputs, "code": code}

    def limited(self, inputs):
        return {**inputs, "metadata": {"options": {**inputs["metadata"]["options"], "max_wallclock_seconds": 3600}}}

    def test_a_scheduler_needs_one(self, scheduled):
        message = validate_inputs(scheduled, None)
        assert message.startswith("metadata.options.max_wallclock_seconds: missing; cluster ends jobs at a limit")
        assert validate_inputs(self.limited(scheduled), None) is None

    def test_a_limit_needs_restart_files(self, inputs):
        given = self.limited({**inputs, "parameters": parameters(restart_interval_ps=None)})
        assert validate_inputs(given, None).startswith("parameters: `restart_interval_ps` is None")
        assert validate_inputs(self.limited(inputs), None) is None

    def test_without_a_limit_nothing_is_needed(self, inputs):
        assert validate_inputs({**inputs, "parameters": parameters(restart_interval_ps=None)}, None) is None


@pytest.mark.usefixtures("aiida_profile_clean")
class TestRestart:
    WHOLE = b"LammpS RestartT\0 atoms " + RESTART_END + b"\0"

    @pytest.fixture
    def folder(self, aiida_localhost, tmp_path):
        def factory(**files):
            for name, content in files.items():
                (tmp_path / f"md.{name.removeprefix('s')}.restart").write_bytes(content)
            return orm.RemoteData(computer=aiida_localhost, remote_path=str(tmp_path)).store()

        return factory

    def test_newest(self, folder):
        assert newest_restart(folder(s900=self.WHOLE, s1000=self.WHOLE)) == ("md.1000.restart", 1000)

    @pytest.mark.parametrize("half", [b"", WHOLE[:20], WHOLE[:-5]])
    def test_half_a_file_gives_way_to_the_one_before(self, folder, half):
        assert newest_restart(folder(s900=self.WHOLE, s1000=half)) == ("md.900.restart", 900)

    def test_none(self, folder, aiida_localhost):
        assert newest_restart(folder(s10=b"")) is None
        gone = orm.RemoteData(computer=aiida_localhost, remote_path="/no/such/folder").store()
        assert newest_restart(gone) is None

    def test_only_the_newest_is_copied(self, generate_calc_job, inputs, folder):
        inputs["parent_folder"] = self.parent(inputs, folder(s900=self.WHOLE, s1000=self.WHOLE))
        calcinfo, work = generate_calc_job("lpsgb.md", inputs)
        remote = inputs["parent_folder"]
        path = f"{remote.get_remote_path()}/md.1000.restart"
        assert calcinfo.remote_copy_list == [(remote.computer.uuid, path, "md.1000.restart")]
        assert "read_restart md.1000.restart" in Path(work.get_abs_path("md.in")).read_text()

    def test_without_one_lammps_says_so(self, generate_calc_job, inputs, folder):
        inputs["parent_folder"] = self.parent(inputs, folder())
        calcinfo, work = generate_calc_job("lpsgb.md", inputs)
        assert not calcinfo.remote_copy_list
        assert "read_restart no.restart" in Path(work.get_abs_path("md.in")).read_text()

    def parent(self, inputs, remote, **changes):
        """Make a folder that of a run of the same inputs, but for changes."""
        from aiida.common.links import LinkType

        node = orm.CalcJobNode(computer=remote.computer, process_type="aiida.calculations:lpsgb.md")
        for port, value in {**inputs, **changes}.items():
            if isinstance(value, orm.Data):
                node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, port)
        node.set_option("resources", {"num_machines": 1})
        node.store()
        folder = orm.RemoteData(computer=remote.computer, remote_path=remote.get_remote_path())
        folder.base.links.add_incoming(node, LinkType.CREATE, "remote_folder")
        return folder.store()

    def test_parent_must_be_of_the_same_inputs(self, inputs, folder, generate_potential):
        remote = folder(s1000=self.WHOLE)
        longer = [STAGES[0], {**STAGES[1], "duration_ps": 8}]
        same = {**inputs, "parent_folder": self.parent(inputs, remote)}
        assert validate_inputs(same, None) is None
        assert validate_inputs({**same, "parameters": parameters(stages=longer)}, None) is None
        equal = {**same, "potential": generate_potential(), "seed": orm.Int(7)}
        assert validate_inputs(equal, None) is None

    @pytest.mark.parametrize(
        ("port", "message"),
        [
            ("seed", "parent_folder: it was run with another seed"),
            ("potential", "parent_folder: it was run with another potential"),
            ("parameters", "parameters: ['timestep_fs'] differ"),
        ],
    )
    def test_other_inputs_are_refused(self, inputs, folder, generate_potential, port, message):
        other = {"seed": orm.Int(8), "potential": generate_potential(seed=2), "parameters": parameters(timestep_fs=1)}
        remote = self.parent(inputs, folder(s1000=self.WHOLE), **{port: other[port]})
        assert validate_inputs({**inputs, "parent_folder": remote}, None).startswith(message)

    def test_folder_of_nothing_is_refused(self, inputs, folder):
        message = validate_inputs({**inputs, "parent_folder": folder(s1000=self.WHOLE)}, None)
        assert message == "parent_folder: it is not the working folder of a run of lpsgb.md"
