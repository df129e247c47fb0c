from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import write
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.files import read_atoms, read_structure, write_atoms


@pytest.mark.parametrize("name", ["a.extxyz", "a.cif", "POSCAR", "a.vasp", "a.xsf", "a.json", "a.data", "a.lmp"])
def test_what_is_written_is_read(name, lps, tmp_path):
    plain = lps.copy()
    plain.info.clear()
    write_atoms(tmp_path / name, plain)
    again = read_atoms(tmp_path / name)
    assert again.get_chemical_formula() == "Li12P4S16"
    own = np.sort(lps.get_all_distances(mic=True).ravel())
    assert np.allclose(np.sort(again.get_all_distances(mic=True).ravel()), own, atol=1e-3)
    assert read_structure(tmp_path / name).composition.formula == "Li12 P4 S16"


def test_files_that_only_pymatgen_reads(tmp_path):
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["Li+", "F-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.to(filename=str(tmp_path / "a.yaml"))
    assert read_atoms(tmp_path / "a.yaml").get_chemical_formula() == "F4Li4"
    assert read_structure(tmp_path / "a.yaml", oxidation_states=True)[0].specie.oxi_state == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.foo", "hello\n", r"x\.foo cannot be read, by ASE or pymatgen \(by its name or content"),
        ("x.vasp", "hello\n", r"x\.vasp cannot be read, by ASE or pymatgen \(as vasp"),
        ("x.data", "hello\n", r"x\.data cannot be read as a LAMMPS data file"),
        ("x.cif", "hello\n", r"x\.cif: expected one structure in the CIF, found 0"),
        ("x.extxyz", "", r"x\.extxyz cannot be read"),
        (
            "POSCAR",
            "x\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n",
            r"line 6 must name the elements.*\(1 1\)",
        ),
        ("x.extxyz", '1\nLattice="4 0 0 0 4 0 0 0 4"\nX 0 0 0\n', "an atom has no element"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_structure(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_atoms(tmp_path / name)


def test_missing_partial_and_molecular_structures(tmp_path, cif_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_atoms(tmp_path / "nothing.xyz")
    with pytest.raises(ValueError, match=r"beta-li3ps4\.cif has partially occupied sites"):
        read_atoms(cif_path)
    write(tmp_path / "water.xyz", molecule("H2O"))
    with pytest.raises(ValueError, match="not periodic in three dimensions"):
        read_structure(tmp_path / "water.xyz")
    (tmp_path / "flat.extxyz").write_text('1\nLattice="0 0 0 0 0 0 0 0 0" pbc="T T T"\nLi 0 0 0\n')
    with pytest.raises(ValueError, match=r"flat\.extxyz: the cell has no volume"):
        read_structure(tmp_path / "flat.extxyz")


@pytest.mark.parametrize("name", ["b", "b.foo", "b.cube2"])
def test_names_without_a_format_are_refused_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match="is no format that a structure can be written in"):
        write_atoms(tmp_path / name, bulk("Cu"))
    assert not list(Path(tmp_path).iterdir())
