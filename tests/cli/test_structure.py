import json
from pathlib import Path

import pytest
from ase.io import read
from click.testing import CliRunner

from aiida_lpsgb.cli.structure import structure

CIF = Path(__file__).parents[2] / "examples" / "data" / "beta-li3ps4.cif"


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*words):
        return CliRunner().invoke(structure, [str(word) for word in words])

    return invoke


@pytest.fixture
def crystal(call):
    charges = ("--charge", "Li=1", "--charge", "P=5", "--charge", "S=-2")
    result = call("order", CIF, "-o", "crystal.cif", "--rank-by", "occupancy", *charges)
    assert result.exit_code == 0, result.output
    assert "Li12P4S16" in result.output
    return Path("crystal.cif")


def test_boundary(call, crystal):
    words = ("--axis", "001", "--plane", "1-20", "--width", 20, "--picture", "gb.png")
    result = call("boundary", crystal, "-o", "gb.extxyz", *words, "--json")
    assert result.exit_code == 0, result.output
    description = json.loads(result.output)
    assert description["plane_1"] == [1, -2, 0]
    assert len(read("gb.extxyz")) == description["n_atoms"]
    assert Path("gb.png").read_bytes().startswith(b"\x89PNG")
    checked = call("check", "gb.extxyz")
    assert "PS4" in checked.output
    assert "longest bond: 2.102" in checked.output


def test_listing_builds_nothing(call, crystal):
    words = ("--axis", "0,0,1", "--plane", "0 0 1", "--kind", "twist", "--pseudo-cubic", "--sigma", 5, "--list")
    result = call("boundary", crystal, "-o", "gb.extxyz", *words)
    assert result.exit_code == 0, result.output
    assert "true angle" in result.output
    assert not Path("gb.extxyz").exists()


def test_interface_and_drawing(call, crystal):
    assert call("boundary", crystal, "-o", "glass.extxyz", "--axis", "001", "--plane", "100").exit_code == 0
    result = call("interface", crystal, "glass.extxyz", "-o", "if.extxyz", "--plane", "1,0,0", "--width", 20)
    assert result.exit_code == 0, result.output
    assert "glass_strain" in result.output
    assert call("draw", "if.extxyz", "if.png").exit_code == 0
    assert Path("if.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--axis", "001", "--plane", "121"), "does not contain the tilt axis"),
        (("--axis", "001", "--plane", "12"), "not three integers"),
        (("--axis", "001", "--plane", "a,b,c"), "not three integers"),
        (("--axis", "001", "--plane", "120", "--width", "15"), "thinner than two regions"),
    ],
)
def test_errors_are_one_line(call, crystal, words, message):
    result = call("boundary", crystal, "-o", "x.extxyz", *words)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_order_needs_charges(call):
    result = call("order", CIF, "-o", "x.cif", "--charge", "Li=1")
    assert "no formal charge given for P, S" in result.output
    assert "not ELEMENT=CHARGE" in call("order", CIF, "-o", "x.cif", "--charge", "Li").output


def test_partially_occupied_crystal_is_refused(call):
    result = call("boundary", CIF, "-o", "x.extxyz", "--axis", "001", "--plane", "120")
    assert "partially occupied" in result.output
