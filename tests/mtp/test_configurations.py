"""The .cfg reader and writer."""

import re
import struct

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.mtp.configurations import CFGFormatError, labels, read_cfg, write_cfg

SPECIES = ["Li", "P", "S"]
TEXT = """BEGIN_CFG
 Size
    2
 Supercell
    4.0 0.0 0.0
    0.5 5.0 0.0
    0.0 0.0 6.0
 AtomData:  id type       cartes_x      cartes_y      cartes_z           fx          fy          fz
             1    0       0.0 0.0 0.0   0.1 0.2 0.3
             2    2       1.0 2.0 3.0  -0.1 -0.2 -0.3
 Energy
    -12.5
 PlusStress:  xx          yy          zz          yz          xz          xy
     1.0 2.0 3.0 4.0 5.0 6.0
 Feature   EFS_by\tVASP
 Feature   two\\_words\tfirst
 Feature   two\\_words\tsecond line
 Feature   MV_grade\t1.25
END_CFG

"""


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "in.cfg"
        path.write_text(text)
        return path

    return write


def test_read(file):
    images = read_cfg(file(TEXT * 2), SPECIES)
    assert len(images) == 2
    atoms = images[1]
    assert atoms.get_chemical_symbols() == ["Li", "S"]
    assert atoms.pbc.all()
    assert atoms.get_potential_energy() == -12.5
    np.testing.assert_array_equal(atoms.get_forces()[1], [-0.1, -0.2, -0.3])
    np.testing.assert_allclose(atoms.get_stress(), -np.arange(1.0, 7.0) / 120.0, rtol=1e-15)
    assert atoms.info["mv_grade"] == 1.25
    assert atoms.info["features"] == {"EFS_by": "VASP", "two words": "first\nsecond line"}


def test_round_trip_without_loss(tmp_path):
    rng = np.random.default_rng(3)
    images = []
    for pbc in ((1, 1, 1), (1, 1, 0), (0, 0, 0)):
        atoms = Atoms("Li2PS", rng.normal(size=(4, 3)), cell=np.eye(3) * 7 + rng.normal(size=(3, 3)), pbc=pbc)
        atoms.calc = SinglePointCalculator(
            atoms, energy=rng.normal(), forces=rng.normal(size=(4, 3)), stress=rng.normal(size=6)
        )
        atoms.info = {"mv_grade": rng.uniform(), "features": {"a b": "c\nd"}}
        atoms.set_array("nbh_grades", rng.uniform(size=4))
        images.append(atoms)
    write_cfg(tmp_path / "a.cfg", images, SPECIES)
    for old, new in zip(images, read_cfg(tmp_path / "a.cfg", SPECIES), strict=True):
        np.testing.assert_array_equal(old.positions, new.positions)
        np.testing.assert_array_equal(old.pbc, new.pbc)
        np.testing.assert_array_equal(old.cell.array[old.pbc], new.cell.array[new.pbc])
        np.testing.assert_array_equal(old.arrays["nbh_grades"], new.arrays["nbh_grades"])
        assert old.info == new.info
        assert labels(new)["energy"] == labels(old)["energy"]
        np.testing.assert_array_equal(labels(old)["forces"], labels(new)["forces"])
        if old.pbc.all():
            np.testing.assert_allclose(labels(old)["stress"], labels(new)["stress"], rtol=1e-14)


def test_grades_of_neighbourhoods_as_a_feature_or_a_column(file):
    (atoms,) = read_cfg(file(TEXT.replace("END_CFG", " Feature   nbh_grades\t 1.5 2.5\nEND_CFG")), SPECIES)
    np.testing.assert_array_equal(atoms.arrays["nbh_grades"], [1.5, 2.5])
    column = TEXT.replace("fz\n", "fz nbh_grades\n").replace("0.3\n", "0.3 1.5\n")
    (atoms,) = read_cfg(file(column), SPECIES)
    np.testing.assert_array_equal(atoms.arrays["nbh_grades"], [1.5, 1.5])
    with pytest.raises(CFGFormatError, match="nbh_grades should be 2 numbers, got 1"):
        read_cfg(file(TEXT.replace("END_CFG", " Feature   nbh_grades\t 1.5\nEND_CFG")), SPECIES)


def test_direct_coordinates(file):
    direct = TEXT.replace("cartes", "direct").replace("1.0 2.0 3.0  ", "0.5 0.5 0.5  ")
    (atoms,) = read_cfg(file(direct), SPECIES)
    np.testing.assert_allclose(atoms.positions[1], [2.25, 2.5, 3.0])


def test_unlabelled_and_moved_atoms_have_no_labels(file):
    (atoms,) = read_cfg(file(TEXT), SPECIES)
    assert set(labels(atoms)) == {"energy", "forces", "stress"}
    atoms.positions += 0.1
    assert labels(atoms) == {}
    assert labels(Atoms("Li")) == {}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("BEGIN_CFG", "BEGIN", "line 1: expected BEGIN_CFG"),
        ("    2\n Super", "    3\n Super", "line 11: atom 3 of 3"),
        ("    2\n Super", "    1\n Super", "line 10: unknown field '2'"),
        ("    2\n Super", "    0\n Super", "line 3: .*positive integer"),
        ("    2\n Super", "    9e30\n Super", "line 3: .*positive integer"),
        ("1.0 2.0 3.0  ", "1_0 2.0 3.0  ", "line 10: atom data should be numbers"),
        ("-12.5", "-1_2.5", "line 12: the energy should be numbers"),
        ("    4.0 0.0 0.0\n    0.5 5.0 0.0\n    0.0 0.0 6.0\n", "", "Supercell without a lattice vector"),
        ("1.0 2.0 3.0  ", "1.0 2.0 nan  ", "line 10: atom data should be finite"),
        ("1.0 2.0 3.0  ", "1.0 2.0 x  ", "line 10: atom data should be numbers"),
        ("0.5 5.0 0.0", "0.5 5.0", "line 6: a lattice vector should be 3 numbers"),
        ("0.5 5.0 0.0", "8.0 0.0 0.0", "linearly dependent"),
        ("2    2  ", "2    3  ", "atom type 3, but there are 3 species"),
        ("2    2  ", "7    2  ", "ids should be"),
        ("cartes_z", "other", "line 8: unknown AtomData column 'other'"),
        ("cartes_z", "", "AtomData needs"),
        ("-12.5", "", "Energy|the energy"),
        ("PlusStress:", "Stress:", "line 13: Stress: has no settled sign"),
        ("5.0 6.0", "5.0", "line 14: PlusStress should be 6 numbers"),
        ("MV_grade\t1.25", "MV_grade\tinf", "MV_grade"),
        (" Energy", " Enthalpy", "line 11: unknown field 'Enthalpy'"),
    ],
)
def test_broken_files_say_where_and_why(file, old, new, reason):
    assert old in TEXT
    with pytest.raises(CFGFormatError, match=reason):
        read_cfg(file(TEXT.replace(old, new)), SPECIES)


def test_types_may_only_be_left_out_where_all_atoms_are_alike(file):
    untyped = re.sub(r"^( +[12] +)[02] +", r"\1", TEXT.replace("id type", "id"), flags=re.MULTILINE)
    (atoms,) = read_cfg(file(untyped), ["S"])
    assert atoms.get_chemical_symbols() == ["S", "S"]
    with pytest.raises(CFGFormatError, match="line 8: AtomData without the column type, but there are 3 species"):
        read_cfg(file(untyped), SPECIES)


@pytest.mark.parametrize("n_lines", range(1, 19))
def test_truncated(file, n_lines):
    with pytest.raises(CFGFormatError, match="line"):
        read_cfg(file("\n".join(TEXT.split("\n")[:n_lines])), SPECIES)


def binary(size, *fields):
    return b"n" + struct.pack("i", size) + b"".join(fields) + b"#"


BINARY = [
    b"l" + np.diag([4.0, 5.0, 6.0]).tobytes(),
    b"p" + np.arange(6.0).tobytes(),
    b"t" + np.array([0, 2], dtype=np.int32).tobytes(),
    b"f" + np.ones(6).tobytes(),
    b"s" + np.array([1.0, 2.0, 3.0, 6.0, 4.0, 5.0]).tobytes(),
    b"e" + np.array([-12.5]).tobytes(),
    b"F" + struct.pack("i", 8) + b"MV_grade" + struct.pack("i", 4) + b"1.25",
]


def test_binary(tmp_path):
    """MLIP-2's binary files: a letter for each field, the stress as xx yy zz xy yz xz."""
    (tmp_path / "b.cfg").write_bytes(binary(2, *BINARY) * 2)
    images = read_cfg(tmp_path / "b.cfg", SPECIES)
    assert len(images) == 2
    atoms = images[1]
    assert atoms.get_chemical_symbols() == ["Li", "S"]
    np.testing.assert_array_equal(atoms.positions, np.arange(6.0).reshape(2, 3))
    np.testing.assert_allclose(atoms.get_stress(), -np.arange(1.0, 7.0) / 120.0)
    assert atoms.get_potential_energy() == -12.5
    assert atoms.info["mv_grade"] == 1.25


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"n\xff\x00", "truncated"),
        (b"n\xff\xff\xff\xff", "wrong length"),
        (binary(2, *BINARY)[:-1], "truncated"),
        (binary(2, *BINARY)[:60], "truncated"),
        (binary(2, *BINARY[1:]), "without lattice or positions"),
        (binary(2, BINARY[0], b"x"), "unknown tag 'x'"),
        (binary(2, *BINARY[:2], b"t" + np.array([0, 3], dtype=np.int32).tobytes()), "atom type 3"),
        (binary(2, *BINARY[:2], b"e" + np.array([np.nan]).tobytes()), "not finite"),
        (binary(2, *BINARY) + b"BEGIN_CFG", "should begin with 'n'"),
    ],
)
def test_damaged_binary(tmp_path, content, reason):
    (tmp_path / "b.cfg").write_bytes(content)
    with pytest.raises(CFGFormatError, match=reason):
        read_cfg(tmp_path / "b.cfg", SPECIES)


def test_write_refuses_unknown_species_and_infinities(tmp_path):
    with pytest.raises(ValueError, match="configuration 0: species Na"):
        write_cfg(tmp_path / "x.cfg", [Atoms("NaLi", np.eye(3)[:2])], SPECIES)
    with pytest.raises(ValueError, match=r"configuration 1: .*not finite"):
        write_cfg(tmp_path / "x.cfg", [Atoms("Li"), Atoms("Li", [[0, 0, np.inf]])], SPECIES)
