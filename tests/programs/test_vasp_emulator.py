"""The emulator's files, read by parsers that were written for VASP's."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read
from pymatgen.io.vasp import Outcar, Vasprun

EMULATOR = Path(__file__).parent / "vasp_emulator.py"


@pytest.fixture
def emulate(tmp_path):
    """Return a function that runs the emulator in a folder and gives the atoms it was given."""

    def factory(incar="NSW = 0", folder="run", atoms=None, poscar=None, **config):
        path = tmp_path / folder
        path.mkdir()
        if atoms is None:
            atoms = bulk("Cu", cubic=True)
            atoms.rattle(0.1, seed=1)
            atoms.set_cell(atoms.cell.array + np.random.default_rng(1).normal(size=(3, 3)) * 0.05, scale_atoms=True)
        if poscar:
            (path / "POSCAR").write_bytes(poscar.read_bytes())
        else:
            atoms.write(path / "POSCAR", format="vasp", direct=True)
        (path / "INCAR").write_text(incar + "\nENCUT = 300; NELM = 60\n")
        (path / "KPOINTS").write_text("k\n0\nGamma\n1 1 1\n0 0 0\n")
        (path / "POTCAR").write_text("   TITEL  = PAW_PBE Cu 01Jan2026\n")
        config = {"calculator": "ase.calculators.emt:EMT", "folder": str(path)} | config
        (path / "config.json").write_text(json.dumps(config))
        done = subprocess.run([sys.executable, EMULATOR, "config.json"], cwd=path, capture_output=True, text=True)
        return path, atoms, done

    return factory


def test_ase_and_pymatgen_read_what_it_writes(emulate):
    path, atoms, done = emulate(entropy=0.5)
    assert done.returncode == 0, done.stderr
    atoms.calc = EMT()
    for found in (read(path / "vasprun.xml"), read(path / "OUTCAR")):
        assert found.get_potential_energy(force_consistent=True) == pytest.approx(
            atoms.get_potential_energy(), abs=1e-6
        )
        assert found.get_potential_energy() == pytest.approx(atoms.get_potential_energy() + 0.25, abs=1e-6)
        assert found.get_forces() == pytest.approx(atoms.get_forces(), abs=1e-6)
        assert found.get_stress() == pytest.approx(atoms.get_stress(), abs=1e-8)
        assert found.cell.array == pytest.approx(atoms.cell.array, abs=1e-8)
    run = Vasprun(path / "vasprun.xml", parse_dos=False, parse_potcar_file=False)
    assert run.converged
    assert run.ionic_steps[0]["stress"] == pytest.approx(-atoms.get_stress(voigt=False) / (0.1 * units.GPa), abs=1e-6)
    assert Outcar(path / "OUTCAR").final_energy == pytest.approx(atoms.get_potential_energy(), abs=0.3)


def test_a_run_that_goes_on_is_the_run_that_was_not_interrupted(emulate):
    """CONTCAR holds the velocities, so that two runs of three steps are one of six."""
    incar = "IBRION = 0\nNSW = {}\nPOTIM = 2.0\nTEBEG = 300\nISIF = 2"
    whole, _, _ = emulate(incar.format(6), "whole")
    first, _, _ = emulate(incar.format(3), "first")
    second, _, _ = emulate(incar.format(3), "second", poscar=first / "CONTCAR")
    frames = read(whole / "vasprun.xml", index=":")
    parts = read(first / "vasprun.xml", index=":") + read(second / "vasprun.xml", index=":")
    assert len(frames) == len(parts) == 6
    for one, other in zip(frames, parts, strict=True):
        difference = (one.get_scaled_positions() - other.get_scaled_positions() + 0.5) % 1 - 0.5
        assert np.abs(difference).max() < 1e-6
    assert not np.allclose(frames[0].positions, frames[-1].positions, atol=1e-3)


@pytest.mark.parametrize(
    ("mode", "returncode", "text"),
    [
        ("electronic", 0, ""),
        ("edddav", 1, "EDDDAV"),
        ("zbrent", 1, "ZBRENT"),
        ("walltime", -9, ""),
        ("segfault", -11, ""),
    ],
)
def test_failures(emulate, mode, returncode, text):
    path, _, done = emulate(failures=[{"mode": mode}])
    assert done.returncode == returncode, done.stderr
    assert text in done.stdout
    outcar = (path / "OUTCAR").read_text() if (path / "OUTCAR").exists() else ""
    assert ("General timing" in outcar) == (mode == "electronic")
    if mode == "electronic":
        assert not Vasprun(path / "vasprun.xml", parse_dos=False, parse_potcar_file=False).converged_electronic
    elif mode != "segfault":
        assert outcar.count("Iteration") > 0


def test_potcar_must_be_that_of_poscar(emulate):
    _, _, done = emulate(atoms=bulk("Ni", cubic=True))
    assert done.returncode == 1
    assert "species of POTCAR" in done.stdout
