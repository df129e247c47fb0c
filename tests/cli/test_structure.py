import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write
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
    assert "parent must be in the crystal's own setting" in wrong.output
    write("less.extxyz", read(crystal)[:-1])
    wrong = call("boundary", "relaxed.extxyz", "-o", "gb.extxyz", *words, "--parent", "less.extxyz")
    assert "parent Li12 P4 S15 is not the crystal before relaxation" in wrong.output


def test_order_ranked_by_a_potential(call):
    words = ("--charge", "Li=1", "--charge", "P=5", "--charge", "S=-2", "-n", 3, "--potential", POTENTIAL)
    result = call("order", CIF, "-o", "ranked.cif", *words, "--species", "Li,P,S")
    assert result.exit_code == 0, result.output
    written = [line for line in result.output.splitlines() if line.startswith("ranked-")]
    energies = [float(line.split(", energy ")[1].split()[0]) for line in written]
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
    assert call("strain", crystal, "-o", "pressed.extxyz", "--approach", 0.8, "--approach", 0.6).exit_code == 0
    closest = [
        atoms.get_all_distances(mic=True)[~np.eye(len(atoms), dtype=bool)].min()
        for atoms in read("pressed.extxyz", ":")
    ]
    assert closest[1] / closest[0] == pytest.approx(0.6 / 0.8)
    assert "at least one of" in call("strain", crystal, "-o", "x.xyz").output


def test_interface_and_drawing(call, crystal):
    write("glass.extxyz", read(crystal).repeat((3, 1, 1)))
    result = call("interface", crystal, "glass.extxyz", "-o", "if.extxyz", "--plane", "0,0,1", "--width", 20)
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


SALT = """data_salt
_chemical_formula_sum 'Li F'
_cell_formula_units_Z 4
_cell_length_a 4.1
_cell_length_b 4.1
_cell_length_c 4.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_IT_number 225
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 0 0 0 {0}
F1 0.5 0.5 0.5 {1}
"""


@pytest.mark.parametrize(
    ("occupancies", "said"),
    [
        (("0.5", "1"), "the cell's atoms (Li2 F4) are not those of the formula that the CIF states (Li1 F1, Z = 4)"),
        (("1.2", "1"), "occupancies of the site at (0, 0, 0) add up to 1.20"),
        (("1", "x"), "the occupancy of site F1 (line 18) is 'x'"),
    ],
)
def test_what_a_cif_says_wrong_is_one_line(call, occupancies, said):
    Path("salt.cif").write_text(SALT.format(*occupancies))
    result = call("order", "salt.cif", "-o", "o.extxyz", "--charge", "Li=1", "--charge", "F=-1")
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: salt.cif: {said}")
    assert len(result.output.splitlines()) == 1


def test_small_differences_are_warned_of_and_missing_values_filled_in(call):
    for occupancies, warned in ((("0.9", "0.9"), True), ((".", "?"), False)):
        Path("salt.cif").write_text(SALT.format(*occupancies))
        result = call("order", "salt.cif", "-o", "o.extxyz", "--charge", "Li=1", "--charge", "F=-1", "--max-atoms", 8)
        assert result.exit_code == 0, result.output
        assert ("Warning: the cell's atoms (Li3.6 F3.6) are not those of the formula" in result.output) is warned
        assert "F4Li4" in result.output


def test_a_formula_can_be_ignored(call):
    Path("salt.cif").write_text(SALT.format("0.5", "1"))
    result = call("order", "salt.cif", "-o", "o.extxyz", "--charge", "Li=2", "--charge", "F=-1", "--ignore-formula")
    assert result.exit_code == 0, result.output
    assert "4 sites of Li1 (Li 0.50): filled Li 0.50" in result.output


def test_mixing_is_told(call):
    text = SALT.replace("_chemical_formula_sum 'Li F'\n", "").format("1", "0.9") + "Cl1 0.5 0.5 0.5 0.1\n"
    Path("mixed.cif").write_text(text)
    charges = ("--charge", "Li=1", "--charge", "F=-1", "--charge", "Cl=-1")
    result = call("order", "mixed.cif", "-o", "o.extxyz", *charges)
    assert "supercell [[1, 0, 0], [0, 1, 0], [0, 0, 2]]" in result.output
    assert "8 sites of F1/Cl1 (F 0.90 + Cl 0.10): filled F 0.88 + Cl 0.12" in result.output
    small = call("order", "mixed.cif", "-o", "o.extxyz", *charges, "--supercell", 1, 1, 1)
    assert (
        "Warning: the 4 sites of F1/Cl1 (F 0.90 + Cl 0.10) are filled with 4 F: this cell cannot hold" in small.output
    )
    assert "a supercell (1, 1, 2) of 16 atoms can" in small.output


def test_the_primitive_cell_is_filled_where_it_is_asked_for(call):
    result = call("order", CIF.with_name("li6ps5cl.cif"), "-o", "small.extxyz", "--primitive")
    assert result.exit_code == 0, result.output
    assert "supercell [[" in result.output
    assert read("small.extxyz").get_chemical_formula() == "ClLi6PS5"


def test_files_of_other_programs(call, crystal):
    assert call("order", crystal, "-o", "POSCAR").exit_code == 0
    result = call("order", "POSCAR", "-o", "b.data")
    assert "nothing to order" in result.output
    assert "3 atom types" in Path("b.data").read_text()
    assert "12 Li, 4 PS4" in call("check", "b.data").output
    assert call("boundary", "b.data", "-o", "gb.vasp", "--axis", "001", "--plane", "120").exit_code == 0
    Path("x.foo").write_text("hello\n")
    Path("broken.cif").write_text("hello\n")
    Path("broken.vasp").write_text("hello\n")
    for name in ("x.foo", "broken.cif", "broken.vasp"):
        for words in (("check", name), ("order", name, "-o", "o.cif")):
            result = call(*words)
            assert result.exit_code == 1
            assert result.output.startswith(f"Error: {name}")
            assert len(result.output.splitlines()) == 1
    for name in ("b.foo", "b", "b.cube2"):
        result = call("order", crystal, "-o", name)
        assert f"{name}: " in result.output
        assert "is no format that a structure can be written in; use .extxyz" in result.output
        assert not Path(name).exists()


def test_no_boundary_and_twists_without_an_axis(call, crystal):
    result = call("boundary", crystal, "-o", "x.extxyz", "--axis", "001", "--plane", "100")
    assert result.exit_code == 1
    assert result.output.count("no grain boundary: the crystal's own symmetry turns grain 1 into grain 2") == 1
    twist = call("boundary", crystal, "--plane", "120", "--kind", "twist", "--list", "--max-area", 600)
    assert twist.output.startswith("true angle 180.000°")
    wrong = call("boundary", crystal, "--axis", "010", "--plane", "120", "--kind", "twist", "--list")
    assert "leave the axis out to turn about that" in wrong.output


def test_a_reader_that_stops_reading_gets_no_traceback(crystal):
    words = ["boundary", str(crystal), "--plane", "001", "--kind", "twist", "--list"]
    program = "from aiida_lpsgb.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "structure", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        run.stdout.close()
        assert b"Traceback" not in run.stderr.read()


def test_the_parent_may_be_the_disordered_crystal(call, crystal):
    assert call("strain", crystal, "-o", "relaxed.extxyz", "--rattle", 0.05).exit_code == 0
    words = ("--axis", "001", "--plane", "120", "--list")
    alone = call("boundary", "relaxed.extxyz", *words).output
    assert alone.startswith("true angle 180.000°")
    assert "no rotation about the axis asked for, [0, 0, 1]" in alone
    assert call("boundary", "relaxed.extxyz", *words, "--parent", CIF).output.startswith("true angle  34.55")


def test_slabs_are_no_crystals_to_cut_grains_from(call):
    atoms = bulk("LiF", "rocksalt", a=4.1, cubic=True)
    atoms.center(vacuum=6, axis=2)
    atoms.write("slab.extxyz")
    result = call("boundary", "slab.extxyz", "--axis", "0,0,1", "--plane", "1,2,0", "--list")
    assert "slab.extxyz: the cell is empty over 12.0 Å along c" in result.output
    assert result.exit_code == 1


def test_numbers_that_are_none(call):
    bulk("Cu", cubic=True).write("cu.extxyz")
    for words in (
        ("boundary", "cu.extxyz", "--plane", "001", "--angle", "nan", "--list"),
        ("strain", "cu.extxyz", "-o", "s.extxyz", "--rattle", "nan"),
    ):
        assert "'nan' is not a finite number" in call(*words).output
    several = call("strain", "cu.extxyz", "-o", "s.data", "--isotropic", "0.01", "--isotropic", "0.02")
    assert "s.data: the format holds one structure, and there are 2; use .extxyz" in several.output
    assert "'Na=nan' is not ELEMENT=CHARGE" in call("order", CIF, "-o", "x.cif", "--charge", "Na=nan").output


def test_the_ranking_follows_the_occupancies(call):
    result = call("order", CIF, "-o", "o.extxyz")
    assert "ranked by occupancy: the occupancies of Li say which sites it prefers" in result.output
    assert "ranked by" not in call("order", CIF, "-o", "o.extxyz", "--rank-by", "ewald").output
