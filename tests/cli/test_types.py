"""What is typed is read and refused in one place, by every option of every command."""

import inspect
import math
import os

import click
import pytest
from click.testing import CliRunner

from aiida_lpsgb.cli import main
from aiida_lpsgb.cli.types import FIGURE, FILE, FOLDER, PAGE, PLAN, SIZE, Number, OutputPath, StructureFile
from aiida_lpsgb.structures import bicrystal, boundary, interface, ordering


def commands(group, name=""):
    """Yield every command below a group with its name."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        path = f"{name} {word}".strip()
        yield from commands(command, path) if isinstance(command, click.Group) else [(path, command)]


COMMANDS = dict(commands(main))
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in COMMANDS.items()
    for parameter in command.params
]


def converted(kind, value):
    return kind.convert(value, None, None)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_option_is_of_a_kind_that_is_checked(parameter):
    kind = parameter.type
    if isinstance(kind, click.Path):
        assert kind.exists or isinstance(kind, OutputPath)
    assert type(kind) not in (type(click.FLOAT), type(click.INT), click.FloatRange)
    if isinstance(kind, Number):
        for value in ("nan", "inf", "-inf", "one", ""):
            with pytest.raises(click.BadParameter):
                converted(kind, value)
    if isinstance(kind, click.IntRange):
        assert kind.min is not None


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("structure boundary", (boundary.boundaries, bicrystal.bicrystals)),
        ("structure interface", (interface.interface,)),
        ("structure order", (ordering.order,)),
    ],
)
def test_defaults_are_those_of_the_library(name, functions):
    library = {key: p.default for function in functions for key, p in inspect.signature(function).parameters.items()}
    compared = {
        parameter.name: parameter.default
        for parameter in COMMANDS[name].params
        if parameter.name in library
        and isinstance(parameter.type, (Number, click.IntRange))
        and not parameter.nargs > 1
    }
    assert compared
    assert compared == {key: library[key] for key in compared}


@pytest.mark.parametrize("kind", [FILE, FOLDER, FIGURE, StructureFile(), PLAN])
def test_what_cannot_be_written_is_refused(kind, tmp_path):
    (tmp_path / "file").write_text("")
    suffix = "" if kind is FOLDER else ".yaml" if kind is PLAN else ".png" if kind is FIGURE else ".cif"
    assert converted(kind, str(tmp_path / f"new{suffix}")) == tmp_path / f"new{suffix}"
    with pytest.raises(click.BadParameter, match="is a file, not a folder"):
        converted(kind, str(tmp_path / "file" / f"new{suffix}"))
    if kind is FOLDER:
        assert converted(kind, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
        with pytest.raises(click.BadParameter, match="is a file"):
            converted(kind, str(tmp_path / "file"))
        return
    with pytest.raises(click.BadParameter, match=r"there is no folder '.*gone'"):
        converted(kind, str(tmp_path / "gone" / f"new{suffix}"))
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(click.BadParameter, match="is a directory"):
        converted(kind, str(tmp_path / f"folder{suffix}"))


def test_folders_that_take_no_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(click.BadParameter, match=f"nothing can be written into '{tmp_path}'"):
        converted(FILE, str(tmp_path / "new"))


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (StructureFile(), "x.foo", "no format that a structure can be written in"),
        (PAGE, "x.pdf", "give a name that ends with .html or .htm"),
        (PLAN, "crystal.cif", "give a name that ends with .yaml or .yml"),
        (FIGURE, "x.foo", "a figure is told by its suffix, one of"),
    ],
)
def test_names_that_stand_for_no_format(kind, name, message, tmp_path):
    with pytest.raises(click.BadParameter, match=message):
        converted(kind, str(tmp_path / name))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("structure guess CIF --mobile li", "'li' is no chemical symbol: give Li"),
        ("structure guess CIF --charge Xx=1", "'Xx' is no chemical symbol"),
        ("structure guess CIF --charge Li", "'Li' is not ELEMENT=CHARGE"),
        ("structure guess CIF --charge Li=nan", "'Li=nan' is not ELEMENT=CHARGE"),
        (
            "structure guess CIF --charge Na=1 --charge Li=1 --charge P=5 --charge S=-2",
            "the charges given: there is no Na in the structure of Li, P, S",
        ),
        ("structure guess CIF --charge Li=5 --charge P=5 --charge S=-2", "leave the cell of Li12 P4 S16 charged"),
        ("structure guess CIF --cutoff PS=2", "'PS' is not two elements, such as P-S"),
        ("structure guess CIF --cutoff P-S=-1", "'P-S=-1': a length must be above 0"),
        ("structure guess CIF --cutoff P-S=1e9", "above 0 and at most 10 Å, not 1000000000.0"),
        ("structure guess CIF --cutoff Na-Cl=2", "a bond given: there is no Cl, Na in the structure"),
        ("structure order CIF -o x.cif --min-distance Na-Na=2", "min_distances: there is no Na in the structure"),
        ("structure order CIF -o x.cif --supercell 50 50 50", "atoms, and at most 10000 are built"),
        ("structure boundary CIF --plane 000 --list", "'000': three zeros are no plane and no direction"),
        ("structure boundary CIF --plane 0,0 --list", "'0,0' is not three integers"),
        ("structure guess nan.extxyz", "nan.extxyz: a position or the cell is not a finite number"),
    ],
)
def test_what_no_crystal_has_is_refused(words, message, tmp_path, monkeypatch, crystal_file):
    monkeypatch.chdir(tmp_path)
    box = 'Lattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1:pos:R:3 pbc="T T T"'
    (tmp_path / "nan.extxyz").write_text(f"2\n{box}\nLi 0 0 nan\nS 2 2 2\n", encoding="utf-8")
    result = CliRunner().invoke(main, words.replace("CIF", crystal_file).split())
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert message in result.output


@pytest.fixture
def crystal_file():
    from tests.docs.test_commands import CRYSTALS

    return str(CRYSTALS / "beta-li3ps4.cif")


def test_numbers_that_are_none():
    assert converted(Number(min=0), "1e3") == 1000.0
    assert math.isclose(converted(Number(-1, min_open=True), "-0.5"), -0.5)
    with pytest.raises(click.BadParameter, match="is not a finite number"):
        converted(Number(), "nan")


@pytest.mark.parametrize(("text", "size"), [("100kB", 100_000), ("2 MB", 2_000_000), ("1.5GB", 15 * 10**8), ("7", 7)])
def test_sizes(text, size):
    assert SIZE.convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "many", "3 furlongs", "-1kB"])
def test_sizes_that_are_none(text):
    with pytest.raises(click.BadParameter, match="is no size"):
        SIZE.convert(text, None, None)
