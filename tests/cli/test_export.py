"""`aiida-lpsgb export`: folders that LAMMPS runs, and files of structures and trajectories."""

import subprocess
from datetime import UTC, datetime

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory
from ase.build import bulk
from ase.io import read
from click.testing import CliRunner

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.cli import main
from aiida_lpsgb.cli.quicksetup import environment_program

HOLD = {"ensemble": "nvt", "duration_ps": 0.05, "temperature_K": 300.0}


@pytest.fixture
def potential(aiida_profile, data_path):
    return DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", ["Li", "P", "S"]).store()


@pytest.fixture
def structure(aiida_profile):
    atoms = bulk("LiP", "zincblende", a=6.5, cubic=True).repeat((2, 2, 2))
    return orm.StructureData(ase=atoms).store()


@pytest.fixture
def job(generate_calc_job_node, structure, potential):
    """Return a job that has run molecular dynamics of 50 steps."""
    parameters = {"timestep_fs": 1.0, "stages": [HOLD | {"dump_interval_ps": 0.01}]}
    inputs = {"structure": structure, "potential": potential, "parameters": orm.Dict(parameters), "seed": orm.Int(3)}
    return generate_calc_job_node("lpsgb.md", inputs)


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    return result.output


def lammps(folder):
    """Run the folder as its reader would, and return LAMMPS's log."""
    program = environment_program("lmp")
    if program is None:
        pytest.fail("lmp is not installed in this environment")
    subprocess.run([program, "-in", "in.lmp"], cwd=folder, check=True, capture_output=True)
    return (folder / "log.lammps").read_text()


def test_lammps_runs_the_folder_of_a_job(job, tmp_path):
    output = run("lammps", job.pk, tmp_path / "run")
    assert "Li32P32; run it there: lmp -in in.lmp" in output
    log = lammps(tmp_path / "run")
    assert "lpsgb finished" in log
    assert "velocity all create 300 3 " in log
    assert len(list((tmp_path / "run").glob("trajectory.*.bin"))) == 1
    assert "is not empty; --force" in run("lammps", job.pk, tmp_path / "run", code=1)


def test_a_structure_and_a_potential(structure, potential, tmp_path):
    run("lammps", structure.pk, potential.pk, tmp_path / "run", "--temperature", 600, "--protocol", "fast")
    script = (tmp_path / "run" / "in.lmp").read_text()
    assert "temp 900 600 " in script
    assert (tmp_path / "run" / "potential.mtp").read_text() == potential.get_mtp()


def test_a_potential_that_does_not_know_the_structure(potential, tmp_path):
    salt = orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6)).store()
    assert "not ['Cl', 'Na']" in run("lammps", salt.pk, potential.pk, tmp_path / "run", code=1)
    assert not (tmp_path / "run").exists()


def test_a_run_of_a_sweep_is_named(structure, potential, tmp_path):
    sweep = orm.WorkChainNode(process_type="aiida.workflows:lpsgb.transport").store()
    for label, temperature in {"t300k_p1_1": 300.0, "t600k_p1_1": 600.0}.items():
        caller, kind = sweep, {"transport_run": label, "md.base": "part_0"}
        for name, link in kind.items():
            chain = orm.WorkChainNode(process_type=f"aiida.workflows:lpsgb.{name}")
            chain.base.links.add_incoming(caller, LinkType.CALL_WORK, link)
            caller = chain.store()
        job = orm.CalcJobNode(process_type="aiida.calculations:lpsgb.md")
        parameters = orm.Dict({"stages": [HOLD | {"temperature_K": temperature}]})
        inputs = {"structure": structure, "potential": potential, "parameters": parameters, "seed": orm.Int(1)}
        for port, node in inputs.items():
            job.base.links.add_incoming(node if node.is_stored else node.store(), LinkType.INPUT_CALC, port)
        job.base.links.add_incoming(caller, LinkType.CALL_CALC, "iteration_01")
        job.store()
    assert "--run: say which one: t300k_p1_1, t600k_p1_1" in run("lammps", sweep.pk, tmp_path / "run", code=1)
    run("lammps", sweep.pk, tmp_path / "run", "--run", "t600k_p1_1")
    assert "temp 600 600 " in (tmp_path / "run" / "in.lmp").read_text()


@pytest.mark.parametrize("name", ["s.cif", "s.data", "s.extxyz", "POSCAR", "s.xyz"])
def test_a_structure_to_a_file(structure, tmp_path, name):
    path = tmp_path / name
    assert "1 frame" in run("file", structure.pk, "-o", path)
    assert len(read(path, format="lammps-data", atom_style="atomic") if name == "s.data" else read(path)) == 64
    assert "is there already" in run("file", structure.pk, "-o", path, code=1)


@pytest.fixture
def segments(aiida_profile):
    """Return two segments of a run, the first frame of the second being the last of the first."""
    rng = np.random.default_rng(0)
    positions, times = rng.normal(size=(6, 2, 3)), np.arange(6.0)
    parts = [slice(0, 4), slice(3, 6)]
    return [
        DataFactory("lpsgb.trajectory")(
            Trajectory(
                ["Li", "S"], positions[part], 9 * np.eye(3), times[part], steps=(1000 * times[part]).astype(int)
            ),
            "nvt",
            300.0,
        ).store()
        for part in parts
    ]


def test_segments_are_joined(segments, tmp_path):
    path = tmp_path / "run.extxyz"
    assert "6 frames" in run("file", *(node.pk for node in segments), "-o", path)
    assert [atoms.info["time_ps"] for atoms in read(path, ":")] == [0, 1, 2, 3, 4, 5]
    assert "3 frames" in run("file", *(node.pk for node in segments), "-o", path, "--every", 2, "--force")
    assert "the format holds one structure, and there are 6" in run(
        "file", *(node.pk for node in segments), "-o", tmp_path / "POSCAR", code=1
    )


def test_a_file_that_is_not_replaced_is_kept(potential, tmp_path):
    (tmp_path / "x.xyz").write_text("mine")
    run("file", potential.pk, "-o", tmp_path / "x.xyz", "--force", code=1)
    assert (tmp_path / "x.xyz").read_text() == "mine"


def test_the_first_job_of_an_imported_run(structure, potential, tmp_path):
    """An archive may bring the last job first."""
    chain = orm.WorkChainNode(process_type="aiida.workflows:lpsgb.md.base").store()
    for hours, temperature in ((2, 600.0), (1, 300.0)):
        job = orm.CalcJobNode(process_type="aiida.calculations:lpsgb.md")
        parameters = orm.Dict({"stages": [HOLD | {"temperature_K": temperature}]}).store()
        inputs = {"structure": structure, "potential": potential, "parameters": parameters, "seed": orm.Int(1).store()}
        for port, node in inputs.items():
            job.base.links.add_incoming(node, LinkType.INPUT_CALC, port)
        job.base.links.add_incoming(chain, LinkType.CALL_CALC, f"iteration_0{hours}")
        job.backend_entity.bare_model.ctime = datetime(2026, 1, 1, hours, tzinfo=UTC)
        job.store()
    run("lammps", chain.pk, tmp_path / "run")
    assert "temp 300 300 " in (tmp_path / "run" / "in.lmp").read_text()


def test_wrong_sources(potential, tmp_path):
    assert "give structures, configurations or a run" in run("file", potential.pk, "-o", tmp_path / "x.xyz", code=1)
    assert "is no format" in run("file", potential.pk, "-o", tmp_path / "x.nothing", code=2)
    assert "not 3 things" in run("lammps", 1, 2, 3, tmp_path / "run", code=2)


def test_an_archive_says_what_it_has_left_out(structure, tmp_path):
    path = tmp_path / "structure.aiida"
    words = ["export", "archive", str(structure.pk), "-o", str(path)]
    result = CliRunner().invoke(main, [*words, "--max-file", "0.1 kB"])
    assert result.exit_code == 0, result.output
    assert f"{path}: " in result.output
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 1
    assert "replace it with --force" in again.output
