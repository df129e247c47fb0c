"""What a new user gets wrong ends in one sentence that names it, before anything is stored or submitted."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from aiida import orm
from click.testing import CliRunner
from plumpy import ProcessState

from aiida_lpsgb.cli import main
from tests.conftest import stored_computer
from tests.docs.test_commands import fill_folder, ordered_crystal, stored_nodes

BINARY = np.random.default_rng(0).bytes(3000)
PLAN = "format: 1\ncrystal: crystal.cif\nsystems: {crystal: {kind: crystal}}\n"
PLANS = {
    "empty": ("", "is no study"),
    "list": ("- a\n- b\n", "is no study"),
    "broken": ("a: [1, 2\nb: }", "broken.yaml cannot be read as YAML: line 2, column 2: expected ',' or ']'"),
    "near": (PLAN + "protocoll: fast\n", "unknown keys ['protocoll']; `protocoll` may be meant as `protocol`"),
    "old": (PLAN.replace("format: 1", "format: 2"), "`format` is 2"),
    "systems": (
        "format: 1\ncrystal: crystal.cif\nsystems: {crystal: 3}\n",
        "systems: expected a dictionary of recipes",
    ),
    "name": ("format: 1\ncrystal: crystal.cif\nsystems: {1: {kind: crystal}}\n", "systems: expected a dictionary"),
    "kind": (PLAN.replace("kind: crystal", "kind: crystall"), "systems.crystal: `kind` is 'crystall'"),
    "seed": (PLAN + "seed: one\n", "seed: expected a whole number of at least 1, found 'one'"),
    "label": (PLAN + "label: 7\n", "label: expected a text, found 7"),
    "protocol": (PLAN + "protocol: quick\n", "protocol 'quick' does not exist"),
    "gone": (PLAN.replace("crystal.cif", "gone.cif"), "gone.cif: there is no such file"),
}


@pytest.fixture(scope="module")
def workplace(aiida_profile, data_path, tmp_path_factory):
    """Go to a folder of files, most of them bad, and return nodes by name."""
    folder, crystal = tmp_path_factory.mktemp("bad"), ordered_crystal()
    fill_folder(folder, crystal, data_path)
    nodes = stored_nodes(stored_computer(), crystal, data_path)
    for suffix in ("cif", "extxyz", "mtp", "dump", "npz", "cfg", "traj", "db", "json", "yaml"):
        (folder / f"binary.{suffix}").write_bytes(BINARY)
        (folder / f"empty.{suffix}").write_text("")
    for source in ("crystal.cif", "ordered.extxyz", "pot.mtp"):
        text = (folder / source).read_text(encoding="utf-8")
        (folder / f"cut.{source.partition('.')[2]}").write_text(text[:700], encoding="utf-8")
    for name, (text, _) in PLANS.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "notes.txt").write_text("hello\n", encoding="utf-8")
    known = {"int": orm.Int(5).store(), "bare": orm.WorkChainNode().store(), **processes()}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield {**nodes, **known}


@pytest.fixture
def command(workplace, computer):
    """Return a function that runs a line, names of nodes for their keys, and returns its end: nothing is stored."""

    def run(line):
        words = [str(workplace[word[1:]].pk) if word[:1] == ":" else word for word in line.split()]
        if words[0] in ("study", "launch") and words[1] != "interface":
            words += ["--computer", computer, "--dry-run"]
        before = orm.QueryBuilder().append(orm.Node).count()
        result = CliRunner().invoke(main, words)
        assert isinstance(result.exception, SystemExit), (result.output, result.exception)
        assert result.exit_code != 0, result.output
        assert orm.QueryBuilder().append(orm.Node).count() == before
        last = result.output.strip().splitlines()[-1]
        assert last.startswith(("Error: ", "Critical: "))
        return last

    return run


def processes():
    """Return processes that ended in several ways, or none."""
    found = {}
    for name, entry_point, state in (
        ("failed", "lpsgb.study", ProcessState.FINISHED),
        ("killed", "lpsgb.study", ProcessState.KILLED),
        ("foreign", "core.arithmetic.multiply_add", ProcessState.FINISHED),
    ):
        node = found[name] = orm.WorkChainNode(process_type=f"aiida.workflows:{entry_point}")
        node.set_process_label("Chain")
        node.set_process_state(state)
        if state == ProcessState.FINISHED:
            node.set_exit_status(401 if name == "failed" else 0)
        node.store()
    return found


@pytest.mark.parametrize("name", ["binary", "empty", "cut"])
@pytest.mark.parametrize(
    "line",
    [
        "study FILE.cif",
        "study FILE.extxyz",
        "study crystal.cif --potential FILE.mtp --species Li,P,S",
        "launch sweep FILE.extxyz --potential :potential",
        "launch sweep structure.cif --potential FILE.mtp --species Li,P,S",
        "launch analyse FILE.dump --timestep 1 --temperature 500",
        "launch label FILE.extxyz",
        "data import FILE.extxyz -l PBE",
        "structure order FILE.cif -o x.cif",
        "structure order crystal.cif -o x.cif --potential FILE.mtp --species Li,P,S",
        "structure check FILE.extxyz",
        "export lammps FILE.extxyz :potential out",
    ],
)
def test_files_that_cannot_be_read_are_named(command, line, name):
    if name == "cut" and "dump" in line:
        pytest.skip("a run that was ended from outside: its whole frames are read")
    file = next(word for word in line.split() if word.startswith("FILE"))
    assert file.replace("FILE", name) in command(line.replace("FILE", name))


@pytest.mark.parametrize("suffix", ["npz", "cfg", "traj", "db", "json"])
@pytest.mark.parametrize("name", ["binary", "empty"])
def test_frames_that_cannot_be_read_are_named(command, name, suffix):
    last = command(f"study crystal.cif --from {name}.{suffix} -l PBE")
    assert f"{name}.{suffix}" in last or "there is no labelled configuration" in last


@pytest.mark.parametrize("name", PLANS)
def test_plans_that_are_none(command, name):
    last = command(f"study {name}.yaml")
    assert PLANS[name][1] in last
    assert f"{name}.yaml" in last or name in ("kind", "protocol", "gone")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("study binary.yaml", "binary.yaml cannot be read as YAML"),
        ("study crystal.cif --boundary 001", "boundary '001': give axis/plane"),
        ("study crystal.cif --boundary 001/121", "does not contain the tilt axis"),
        ("study crystal.cif --boundary 001/240", "has the common divisor 2: give [1, 2, 0]"),
        ("study crystal.cif --boundary 001/100", "the crystal's own symmetry turns grain 1 into grain 2"),
        ("study crystal.cif --twist 001@abc", "'abc' is not an angle in degrees"),
        ("study crystal.cif --twist 001@nan", "'nan' is not an angle in degrees"),
        ("study crystal.cif --twist 001@5.5 --pseudo-cubic", "'5.5' is not a whole number, Σ"),
        ("study crystal.cif --label sevenet", "`sevenet` may be meant as `SevenNet-0`"),
        ("study crystal.cif --set transport.temperature_K=[5]", "may be meant as `temperatures_K`"),
        ("study crystal.cif --set transport..x=1", "--set transport..x=1: give path=value"),
        ("study crystal.cif --set a=[1", "'[1' is no value: line 1"),
        ("study crystal.cif --save crystal.cif", "give a name that ends with .yaml or .yml"),
        ("study crystal.cif --save gone/x.yaml", "there is no folder 'gone'"),
        ("study crystal.cif --folder notes.txt/x", "is a file, not a folder"),
        ("study crystal.cif --seed 99999999999", "is not in the range"),
        ("study crystal.cif --label-code nothing --label sevennet", "nothing"),
        ("study crystal.cif --potential :int", "which is no potential and holds none"),
        ("study crystal.cif --potential :bare", "has learned no potential and was given none"),
        ("study crystal.cif --potential 99999", "99999: no such file, and no such node"),
        ("study crystal.cif --potential pot.mtp --species Li,P", "pot.mtp: "),
        ("study crystal.cif --potential pot.mtp --species Li,P,Li", "pot.mtp: "),
        ("study crystal.cif --from :structure", "is StructureData, not a set of configurations"),
        ("study crystal.cif -p nope", "no profile nope; there are: "),
        ("launch sweep structure.cif --potential :potential --temperatures 0", "temperatures must be above 0 K"),
        ("launch sweep structure.cif --potential :potential --temperatures nan", "'nan' is not a list of numbers"),
        ("launch sweep structure.cif --potential :potential --max-production 0", "is not in the range x>0"),
        ('launch sweep structure.cif --potential :potential --regions {"a":1}', "regions"),
        ("launch sweep structure.cif --potential :potential --regions [", "'[' is no YAML: line 1"),
        ("launch sweep :int --potential :potential", "is Int, not a structure"),
        ("launch sweep --add :killed --temperatures 300", "it is no sweep"),
        ("launch learn structure.cif --from train.xyz --level 7", "`level` is 7"),
        (
            "launch boundary structure.cif --potential :potential --boundary 001/120 --parent :int",
            "neither a structure",
        ),
        ("launch interface structure.cif ordered.extxyz 000", "three zeros are no plane"),
        ("launch interface structure.cif ordered.extxyz 001 --set max_strian=1", "may be meant as `max_strain`"),
        ("launch analyse run.dump --timestep -1 --temperature 500", "is not in the range x>0"),
        ("launch analyse run.dump --timestep 1 --temperature 500 --mobile K", "mobile ion K is not in the crystal"),
        ("launch analyse run.dump --timestep 1 --temperature 500 --set difusivity.species=Li", "`diffusivity`"),
        ("launch analyse :structure", "which is no trajectory and has none"),
        ("launch label :potential", "not a set of configurations"),
        ("results 99999", "no process 99999"),
        ("results :structure", "is not a process but a StructureData"),
        ("results :foreign --csv x", "is none of the processes that have results"),
        ("results :failed --csv notes.txt/x", "is a file, not a folder"),
        ("results :failed --json gone/x.json", "there is no folder 'gone'"),
        ("results :failed -o plot.foo", "a figure is told by its suffix"),
        ("results :failed -o plot.png", "there are no diffusivities to plot"),
        ("results :study --published list.yaml", "expected `systems`"),
        ("results :study --published broken.yaml", "broken.yaml cannot be read as YAML: line 2, column 2"),
        ("report :foreign", "is none of the processes that have results"),
        ("report :study -o gone/x.html", "there is no folder 'gone'"),
        ("watch :structure", "is not a process but a StructureData"),
        ("export lammps :structure out", "give a structure and a potential, or a process"),
        ("export lammps :failed out", "has called no run of LAMMPS"),
        ("export lammps :runs out --run none", "--run 'none' is none of"),
        ("export lammps :runs notes.txt/x", "is a file, not a folder"),
        ("export lammps structure.cif :potential out --temperature nan", "'nan' is not a finite number"),
        ("export lammps :potential structure.cif out", "not a structure"),
        ("export file :structure -o x.foo", "no format that a structure can be written in"),
        ("export file :trajectory -o x.data", "the format holds one structure, and there are 30"),
        ("export file :potential -o x.extxyz", "give structures, configurations or a run"),
        ("export file :failed -o x.cif", "has no output `structure`"),
        ("data export :structure", "not a set of configurations"),
        ("data export :configurations -o x.foo", "the format is told by the suffix"),
        ("data export :configurations -o gone/x.cfg", "there is no folder 'gone'"),
        ("data export :configurations -o train.xyz", "is there already; replace it with --force"),
        ("data import labelled.extxyz", "do not say what gave the labels"),
        ("data import notes.txt -l PBE", "notes.txt"),
    ],
)
def test_one_sentence_says_what_is_wrong(command, line, message):
    assert message in command(line)


@pytest.mark.usefixtures("workplace")
def test_nobody_to_answer(computer):
    result = CliRunner().invoke(main, ["study", "crystal.cif", "--computer", computer], input="")
    assert result.exit_code == 2
    assert "nobody is there to answer: --yes submits it, --dry-run does not" in result.output


def test_no_profile(tmp_path):
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path)}
    code = "from aiida_lpsgb.cli import main; main(['results'])"
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "make one: aiida-lpsgb quicksetup" in done.stderr
    assert "Traceback" not in done.stderr


def reached_by_reader(path):
    """Open a pipe to write to, as soon as somebody reads from it."""
    for _ in range(1200):
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            time.sleep(0.1)
    return pytest.fail(f"nobody reads {path}")


@pytest.mark.usefixtures("workplace")
def test_an_interruption_is_no_error_of_a_command(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("aiida_lpsgb.structures.files.read_structure", interrupted)
    result = CliRunner().invoke(main, ["structure", "guess", "crystal.cif"])
    assert (result.exit_code, result.output.strip()) == (1, "Aborted!")


@pytest.mark.parametrize("module", ["aiida_lpsgb.labelling.cli", "aiida_lpsgb.analysis.cli"])
def test_an_interruption_is_no_error_of_the_program(module, tmp_path):
    """A program that waits for a pipe to be written to is interrupted."""
    os.mkfifo(tmp_path / "pipe.cif")
    words = {
        "aiida_lpsgb.labelling.cli": ["frames.xyz", "pipe.cif", "labels"],
        "aiida_lpsgb.analysis.cli": ["pipe.cif", "out", "run.lpsgbtraj"],
    }[module]
    # What a shell begins in the background ignores interrupts, and so do its children.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; from {module} import main; raise SystemExit(main({words!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            pipe = reached_by_reader(tmp_path / "pipe.cif")
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
            os.close(pipe)
        finally:
            process.kill()
    assert process.returncode in (1, 130)
    assert "Traceback" not in error
