import json
from pathlib import Path

import pytest
from ase.io import read
from click.testing import CliRunner

from aiida_lpsgb.cli.structure import structure

POTENTIAL = Path(__file__).parents[1] / "data" / "mtp" / "li3ps4_level8.mtp"
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
    written = read("gb.extxyz")
    assert len(written) == description["n_atoms"]
    assert written.info["grain_boundary"]["regions"] == description["regions"]
    assert set(written.arrays["grain"]) == {1, 2}
    assert Path("gb.png").read_bytes().startswith(b"\x89PNG")
    checked = call("check", "gb.extxyz")
    assert "PS4" in checked.output
    assert "longest bond: 2.102" in checked.output
    assert "PS4" not in call("check", "gb.extxyz", "--cutoff", "P-S=2.0").output


def test_listing_builds_nothing(call, crystal):
    words = ("--axis", "0,0,1", "--plane", "0 0 1", "--kind", "twist", "--pseudo-cubic", "--sigma", 5)
    result = call("boundary", crystal, *words, "--list")
    assert result.exit_code == 0, result.output
    assert "true angle" in result.output
    assert "give the file to write" in call("boundary", crystal, *words).output


def test_candidates_ranked_by_a_potential(call, crystal):
    words = ("--axis", "001", "--plane", "2-10", "--width", 15, "--region", 5, "-n", 2)
    result = call("boundary", crystal, "-o", "gb.extxyz", *words, "--potential", POTENTIAL, "--species", "Li,P,S")
    assert result.exit_code == 0, result.output
    assert result.output.count("rigid_energy_J_m2: 0.") == 2
    assert len(read("gb-0.extxyz")) == len(read("gb-1.extxyz"))
    assert "needs --species" in call("boundary", crystal, "-o", "x.xyz", *words, "--potential", POTENTIAL).output


def test_twist_of_a_relaxed_crystal_with_its_parent(call, crystal):
    assert call("strain", crystal, "-o", "relaxed.extxyz", "--rattle", 0.05).exit_code == 0
    words = ("--axis", "001", "--plane", "001", "--kind", "twist", "--pseudo-cubic", "--sigma", 5, "--json")
    result = call("boundary", "relaxed.extxyz", "-o", "gb.extxyz", *words, "--parent", crystal)
    assert json.loads(result.output)["equivalent_by"] == "glide", result.output
    wrong = call("boundary", "relaxed.extxyz", "-o", "gb.extxyz", *words, "--parent", "gb.extxyz")
    assert "is not the crystal before relaxation" in wrong.output


def test_order_ranked_by_a_potential(call):
    words = ("--charge", "Li=1", "--charge", "P=5", "--charge", "S=-2", "-n", 3, "--potential", POTENTIAL)
    result = call("order", CIF, "-o", "ranked.cif", *words, "--species", "Li,P,S")
    assert result.exit_code == 0, result.output
    energies = [float(line.split(", energy ")[1].split()[0]) for line in result.output.splitlines()]
    assert len(energies) == 3
    assert energies == sorted(energies)


def test_charged_crystal_is_refused(call, crystal):
    charges = ("--charge", "Li=1", "--charge", "P=5", "--charge", "S=-1")
    result = call("boundary", crystal, "-o", "x.extxyz", "--axis", "001", "--plane", "120", *charges)
    assert "crystal is charged: its cell has +16 e" in result.output


def test_strained_set(call, crystal):
    words = ("--isotropic", -0.02, "--isotropic", 0.02, "--shear", 0.01, "--rattle", 0, "--rattle", 0.1, "--seed", 3)
    result = call("strain", crystal, "-o", "set.extxyz", *words)
    assert result.exit_code == 0, result.output
    images = read("set.extxyz", ":")
    assert len(images) == (2 + 3) * 2
    assert images[0].cell.volume == pytest.approx(0.98**3 * read(crystal).cell.volume)
    assert call("strain", crystal, "-o", "rattled.extxyz", "--rattle", 0.1, "--n-rattles", 4).exit_code == 0
    assert len(read("rattled.extxyz", ":")) == 4
    assert "at least one of" in call("strain", crystal, "-o", "x.xyz").output


def test_interface_and_drawing(call, crystal):
    assert call("boundary", crystal, "-o", "glass.extxyz", "--axis", "001", "--plane", "100").exit_code == 0
    result = call("interface", crystal, "glass.extxyz", "-o", "if.extxyz", "--plane", "1,0,0", "--width", 20)
    assert result.exit_code == 0, result.output
    assert "glass_strain" in result.output
    assert call("draw", "if.extxyz", "if.png", "--depth", 8).exit_code == 0
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
