"""Every `aiida-lpsgb` command that README and docs print runs as it is printed, and each task takes one of them."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory, WorkflowFactory
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from click.testing import CliRunner

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.cli import main
from aiida_lpsgb.labelling import files
from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.ordering import order
from tests.docs.test_code_blocks import ROOT, commands, stored_inputs
from tests.labelling.conftest import emulate  # noqa: F401
from tests.report.conftest import build_study

CRYSTALS = ROOT / "examples" / "data"
NEXT = ROOT / "docs" / "how-to" / "next.md"
SUBMITTING = ("study", "launch")
#: Those that set up a machine, whose tests are their own, and those whose files are of another program.
ELSEWHERE = ("quicksetup",)
#: What PK stands for, by how a command begins.
PROCESSES = {
    "launch sweep --add": "sweep",
    "study crystal.cif --potential": "potential",
    "export lammps": "runs",
    "export file PK -o structure": "structure",
    "export file PK -o run": "trajectory",
    "data export": "configurations",
    "": "study",
}


#: Pages that are run with every test; all together take a minute.
OFTEN = ("docs/how-to/next.md", "docs/how-to/own-crystal.md")
SLOW = pytest.mark.slow


def printed():
    """Return every command of this package with its page, those of one page in their order."""
    found = {}
    for block in commands():
        line = block.values[0].partition("  #")[0].strip()
        if line.startswith("aiida-lpsgb ") and shlex.split(line)[1] not in ELSEWHERE:
            found.setdefault(block.id.partition(":")[0], []).append(line)
    table = re.findall(r"^\| [^|]+ \| `(aiida-lpsgb [^`]+)` \|$", NEXT.read_text(encoding="utf-8"), re.MULTILINE)
    found["docs/how-to/next.md"] += table
    return found


def ordered_crystal():
    """Return ordered β-Li₃PS₄."""
    (atoms,) = order(read_structure(CRYSTALS / "beta-li3ps4.cif"), {"Li": 1, "P": 5, "S": -2}, seed=1)
    atoms.info = {}
    return atoms


@pytest.fixture(scope="module")
def crystal():
    return ordered_crystal()


@pytest.fixture
def folder(crystal, data_path, tmp_path, monkeypatch):
    """Go to a folder with the files that the commands name."""
    fill_folder(tmp_path, crystal, data_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fill_folder(tmp_path, crystal, data_path):
    """Write the files that the commands name."""
    for path in CRYSTALS.glob("*.cif"):
        shutil.copy(path, tmp_path)
    for name in ("crystal.cif", "structure.cif"):
        shutil.copy(CRYSTALS / "beta-li3ps4.cif", tmp_path / name)
    crystal.write(tmp_path / "structure.cif")
    shutil.copy(data_path / "mtp" / "li3ps4_level8.mtp", tmp_path / "pot.mtp")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name in ("ordered", "supercell", "frames"):
        crystal.write(tmp_path / f"{name}.extxyz")
    labelled = crystal.copy()
    forces = np.zeros((len(crystal), 3))
    labelled.calc = SinglePointCalculator(labelled, energy=-90.0, forces=forces, stress=np.zeros(6))
    labelled.write(tmp_path / "labelled.extxyz")
    for name in ("train.xyz", "extra.traj"):
        files.write(tmp_path / name, [labelled], ["Li", "P", "S"], "SevenNet-0")
    frame = "ITEM: TIMESTEP\n{}\nITEM: NUMBER OF ATOMS\n2\nITEM: BOX BOUNDS pp pp pp\n" + 3 * "0 8\n"
    frame += "ITEM: ATOMS id element xu yu zu\n1 Li {} 0 0\n2 Cl 4 4 4\n"
    (tmp_path / "run.dump").write_text("".join(frame.format(100 * k, 0.1 * k) for k in range(20)))


@pytest.fixture
def nodes(computer, crystal, data_path):
    """Return what PK stands for in the commands."""
    return stored_nodes(computer, crystal, data_path)


def stored_nodes(computer, crystal, data_path):
    """Return what PK stands for in the commands: nodes as processes would have left them."""
    potential = DataFactory("lpsgb.potential")(data_path / "mtp/li3ps4_level8.mtp", ["Li", "P", "S"]).store()
    structure = orm.StructureData(ase=crystal).store()
    frames = Trajectory(["Li", "S"], np.zeros((30, 2, 3)), np.eye(3) * 9, np.arange(30.0))
    trajectory = DataFactory("lpsgb.trajectory")(frames, "nvt", 500.0, 2.0).store()
    found = {"potential": potential, "structure": structure, "trajectory": trajectory, "study": build_study()}
    found["configurations"] = DataFactory("lpsgb.configurations")([crystal], ["Li", "P", "S"]).store()

    work_chain = WorkflowFactory("lpsgb.transport")
    codes = {"md": orm.load_code(f"lmp@{computer}"), "analyse": orm.load_code(f"lpsgb-analyse@{computer}")}
    builder = work_chain.get_builder_from_protocol(codes, structure, {"p1": potential}, protocol="fast")
    sweep = orm.WorkChainNode(process_type=work_chain.build_process_type())
    for label, value in stored_inputs(builder._inputs(prune=True)):
        sweep.base.links.add_incoming(value if value.is_stored else value.store(), LinkType.INPUT_WORK, label)
    found["sweep"] = sweep.store()

    found["runs"] = caller = orm.WorkChainNode(process_type="aiida.workflows:lpsgb.study").store()
    for name, link in {"transport": "crystal", "transport_run": "t500k_p1_1", "md.base": "part_0"}.items():
        chain = orm.WorkChainNode(process_type=f"aiida.workflows:lpsgb.{name}")
        chain.base.links.add_incoming(caller, LinkType.CALL_WORK, link)
        caller = chain.store()
    stage = {"ensemble": "nvt", "duration_ps": 0.05, "temperature_K": 500.0}
    inputs = {"structure": structure, "potential": potential, "seed": orm.Int(1)}
    inputs["parameters"] = orm.Dict({"stages": [stage]})
    job = orm.CalcJobNode(process_type="aiida.calculations:lpsgb.md")
    for port, node in inputs.items():
        job.base.links.add_incoming(node if node.is_stored else node.store(), LinkType.INPUT_CALC, port)
    job.base.links.add_incoming(caller, LinkType.CALL_CALC, "iteration_01")
    job.store()
    return found


def words_of(line, nodes, computer):
    """Return the arguments of a command, nodes for their names; what would be submitted is only checked."""
    text = line.removeprefix("aiida-lpsgb ")
    kind = next(name for start, name in PROCESSES.items() if text.startswith(start))
    words = []
    for word in shlex.split(text):
        pattern = "*" in word and sorted(Path.cwd().glob(word))
        words += map(str, pattern) if pattern else [str(nodes[kind].pk) if word in ("PK", "1234") else word]
    if words[0] in ("results", "report", "watch") and "PK" not in text:
        words.append(str(nodes["study"].pk))
    if words[0] in SUBMITTING:
        words += ["--computer", computer, *([] if "--dry-run" in words else ["--dry-run"])]
    return words


@pytest.mark.parametrize("page", [page if page in OFTEN else pytest.param(page, marks=SLOW) for page in printed()])
def test_the_commands_of_a_page_run_as_they_are_printed(page, folder, nodes, computer, emulate):  # noqa: F811
    if page == "docs/how-to/import.md":
        emulate(bulk("Cu", cubic=True)).rename(folder / "run1")
    for line in printed()[page]:
        words = words_of(line, nodes, computer)
        if words[0] == "export":  # it replaces nothing that is there
            shutil.rmtree(folder / "folder", ignore_errors=True)
            Path(words[words.index("-o") + 1] if "-o" in words else "none").unlink(missing_ok=True)
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception!r}"


TASKS = {
    "study a new crystal": "study",
    "learn from dynamics of your own": "study --from",
    "run a potential of your own": "launch sweep --potential",
    "add a temperature": "launch sweep --add --temperatures",
    "analyse a dump of your own": "launch analyse",
    "all tables as CSV": "results --csv",
    "a folder that LAMMPS runs": "export lammps",
}


def test_each_task_takes_one_command():
    rows = re.findall(r"^\| ([^|`]+) \| (`.+`) \|$", NEXT.read_text(encoding="utf-8"), re.MULTILINE)
    assert [task for task, _ in rows] == list(TASKS)
    for task, cell in rows:
        (command,) = re.findall(r"`([^`]+)`", cell)
        assert command.startswith("aiida-lpsgb ")
        assert set(TASKS[task].split()) <= set(command.split())
        assert not re.search(r"[;&|]", command)


def test_what_csv_and_lammps_folders_hold(folder, nodes):
    """What the two commands promise: columns of every table, and data, potential and input."""
    result = CliRunner().invoke(main, ["results", str(nodes["study"].pk), "--csv", "tables", "--json", "all.json"])
    assert result.exit_code == 0, result.output
    assert (folder / "tables" / "runs.csv").read_text(encoding="utf-8").count("\n") == 4
    assert json.loads((folder / "all.json").read_text(encoding="utf-8"))["pk"] == nodes["study"].pk
    CliRunner().invoke(main, ["export", "lammps", str(nodes["runs"].pk), "folder"])
    assert {"in.lmp", "potential.mtp"} <= {path.name for path in (folder / "folder").iterdir()}
    assert read(folder / "structure.cif").get_chemical_formula() == "Li12P4S16"
