"""What README and docs tell a reader to type exists: modules, entry points, commands, options, files, overrides."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import textwrap
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import ase.io
import click
import numpy as np
import pytest
from aiida import orm
from aiida.cmdline.commands.cmd_verdi import verdi
from aiida.common import AttributeDict
from aiida.common.links import LinkType
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory
from aiida.plugins.entry_point import get_entry_point_names
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.cli import main as aiida_lpsgb
from aiida_lpsgb.workflows import protocols

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if "_build" not in path.relative_to(ROOT).parts
)
FACTORIES = {"CalculationFactory": "calculations", "DataFactory": "data", "WorkflowFactory": "workflows"}
# Programs of others, whose options are theirs.
FOREIGN = {"pip", "python3", "source", "cmake", "lmp", "mpiexec", "sbatch"}
# A builder that can be made without a study that has finished.
BUILDERS = re.compile(r"\"lpsgb\.(study|transport)\"\)\.get_builder_from_protocol\(")
# One that goes on from such a study.
ADDING = re.compile(r"\.get_builder_(adding|restart)\(")
SCRIPTS = re.compile(r"(?:examples|benchmarks)/[\w./-]+\.\w+")


def blocks(language):
    """Return every fenced block of a language as a parameter that names its page and line."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(rf"^([ ]*)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(textwrap.dedent(match[2]), id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def commands():
    """Return every line of the console blocks that begins with a prompt as a parameter."""
    found = []
    for block in blocks("console"):
        lines = block.values[0].replace("\\\n", " ").splitlines()
        found += [pytest.param(line[2:], id=f"{block.id} {line[2:40]}") for line in lines if line.startswith("$ ")]
    return found


def entry_points():
    """Return the names of all entry points of this package that AiiDA knows."""
    return {name for kind in FACTORIES.values() for name in get_entry_point_names(f"aiida.{kind}")}


# --- Python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", blocks("python"))
def test_python_names_what_exists(code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and find_spec(node.module.split(".")[0]):
            module = import_module(node.module)
            missing = [alias.name for alias in node.names if not provides(module, alias.name)]
            assert missing == [], f"{node.module} has no {missing}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FACTORIES:
            name = ast.literal_eval(node.args[0])
            assert name in get_entry_point_names(f"aiida.{FACTORIES[node.func.id]}"), f"no entry point {name}"


def provides(module, name):
    """Tell whether a name can be imported from a module."""
    return hasattr(module, name) or (hasattr(module, "__path__") and find_spec(f"{module.__name__}.{name}"))


@pytest.fixture
def names(aiida_profile_clean, data_path, monkeypatch, tmp_path):
    """Return what pages take for granted (imports, codes, a crystal, potentials), and lay out their files."""
    computer = orm.Computer("docs", "localhost", "", "core.local", "core.direct", "/tmp").store()
    computer.set_default_mpiprocs_per_machine(1)
    plugins = {"mlp": "lpsgb.mlp.train", "md": "lpsgb.md", "label": "lpsgb.label.ase", "analyse": "lpsgb.analyse"}
    codes = {
        role: orm.InstalledCode(computer, "/bin/true", label=role, default_calc_job_plugin=plugin).store()
        for role, plugin in plugins.items()
    }
    monkeypatch.setattr(protocols, "load_codes", lambda: codes)
    monkeypatch.chdir(tmp_path)
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.symbols = "Li3PS4"
    atoms.write("measured.extxyz")
    atoms.calc = SinglePointCalculator(atoms, energy=-30.0, forces=np.zeros((8, 3)), stress=np.zeros(6))
    atoms.write("labelled.extxyz")
    crystal = orm.StructureData(ase=atoms)
    potential = DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", ["Li", "P", "S"])
    return {
        **{"CalculationFactory": CalculationFactory, "DataFactory": DataFactory, "WorkflowFactory": WorkflowFactory},
        **{"orm": orm, "ase": ase, "submit": check, "load_codes": lambda: codes, "codes": codes},
        **{"crystal": crystal, "structure": crystal, "first": potential, "second": potential},
        "systems": {"crystal": {"kind": "crystal"}},
    }


@pytest.fixture
def study(names):
    """Return a study with the inputs of a builder and two potentials, as if it had finished."""
    work_chain = WorkflowFactory("lpsgb.study")
    builder = work_chain.get_builder_from_protocol(names["codes"], names["crystal"], names["systems"], protocol="fast")
    node = orm.WorkChainNode(process_type=work_chain.build_process_type())
    for label, value in stored_inputs(builder._inputs(prune=True)):
        node.base.links.add_incoming(value if value.is_stored else value.store(), LinkType.INPUT_WORK, label)
    node.store()
    for name in ("first", "second"):
        names[name].store().base.links.add_incoming(node, LinkType.RETURN, f"potentials__{name}")
    return node


def stored_inputs(inputs, prefix=""):
    """Yield every node among nested inputs with the label of its link."""
    for name, value in inputs.items():
        if isinstance(value, orm.Data):
            yield prefix + name, value
        elif isinstance(value, dict) and name != "metadata":
            yield from stored_inputs(value, f"{prefix}{name}__")


def check(builder):
    """Validate a builder as its submission would."""
    error = builder.process_class.spec().inputs.validate(AttributeDict(builder._inputs(prune=True)))
    assert error is None, error


@pytest.mark.parametrize("code", [block for block in blocks("python") if BUILDERS.search(block.values[0])])
def test_builders_take_what_is_documented(names, code):
    code = code.replace("study.outputs.potentials.p1", "first")
    code = code.replace("/path/to/examples", str(ROOT / "examples"))
    code = code.replace("/path/to/crystal.cif", str(ROOT / "examples/data/beta-li3ps4.cif"))
    namespace = dict(names)
    exec(compile(code.replace("submit(", "check("), "page", "exec"), namespace | {"check": check}, namespace)
    check(namespace["builder"])


@pytest.mark.parametrize("code", [block for block in blocks("python") if ADDING.search(block.values[0])])
def test_builders_that_go_on_from_a_study_take_what_is_documented(names, study, code):
    exec(compile(code.replace("submit(", "check("), "page", "exec"), names | {"check": check, "study": study})


# --- the shell ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", commands())
def test_commands_and_their_options_exist(line):
    words = shlex.split(line, comments=True)
    words = words[: words.index("|")] if "|" in words else words
    while "=" in words[0]:  # variables of the environment
        words = words[1:]
    program, *arguments = words
    if program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program in ("aiida-lpsgb", "verdi"):
        group = aiida_lpsgb if program == "aiida-lpsgb" else verdi
        resolve(group, arguments)
    elif program == "python":
        check_script(arguments)
    else:
        installed = {entry.name for entry in metadata.entry_points(group="console_scripts")} | FOREIGN
        assert program in installed, f"{program} is no program of this package"


def resolve(group, words):
    """Walk words down a tree of click commands, checking every option on the way."""
    context, command, words = click.Context(group, info_name=group.name), group, list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            break
        if word.startswith("-"):
            option = word.partition("=")[0]
            known = {name: one for one in command.get_params(context) for name in (*one.opts, *one.secondary_opts)}
            assert option in known, f"{command.name} has no {option}"
            if "=" not in word and not known[option].is_flag:
                del words[: known[option].nargs]
        elif isinstance(command, click.Group):
            if (inner := command.get_command(context, word)) is None:
                raise AssertionError(f"{command.name} has no {word}")
            command, context = inner, click.Context(inner, info_name=word, parent=context)
        elif command.name == "run":
            check_script([word, *words])
            break


def check_script(words):
    """Look for a script of this repository and for the options it is called with."""
    script, *options = words
    text = (ROOT / script).read_text(encoding="utf-8")
    for option in (word for word in options if word.startswith("--")):
        assert f'"{option}"' in text, f"{script} has no {option}"


# --- text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_entry_points_and_files_that_are_named_exist(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(lpsgb\.[a-z0-9_.]+)`", text))
    assert named <= entry_points(), f"no such entry points: {sorted(named - entry_points())}"
    missing = [name for name in set(SCRIPTS.findall(text)) if not (ROOT / name).exists()]
    assert missing == []


def test_the_reference_has_every_process():
    text = (ROOT / "docs/reference/processes.md").read_text(encoding="utf-8")
    processes = {*get_entry_point_names("aiida.calculations"), *get_entry_point_names("aiida.workflows")}
    missing = [name for name in sorted(processes) if name.startswith("lpsgb.") and f"`{name}`" not in text]
    assert missing == []


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_pictures_that_are_shown_exist(page):
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]*\]\(([^)\s]+)|^```\{(?:figure|image)\} (\S+)", text, re.MULTILINE)
    missing = [name for name in map("".join, shown) if not (page.parent / name).exists()]
    assert missing == []


@pytest.mark.slow
def test_the_gallery_is_drawn_by_its_script(tmp_path):
    script = ROOT / "docs" / "gallery" / "pictures.py"
    subprocess.run([sys.executable, script, tmp_path], check=True)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert {"crystal.png", "tilt.png", "twist.png"} <= drawn <= {path.name for path in script.parent.glob("*.png")}
