"""The emulator of VASP as a function."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EMULATOR = Path(__file__).parents[1] / "programs" / "vasp_emulator.py"


@pytest.fixture
def emulate(tmp_path):
    """Return a function that runs the emulator and gives the folder of its files."""

    def factory(atoms, incar="NSW = 0", **config):
        folder = tmp_path / f"vasp_{len(list(tmp_path.glob('vasp_*')))}"
        folder.mkdir()
        atoms.write(folder / "POSCAR", format="vasp", direct=True)
        (folder / "INCAR").write_text(incar + "\nENCUT = 300; NELM = 60\n")
        (folder / "KPOINTS").write_text("k\n0\nGamma\n1 1 1\n0 0 0\n")
        titles = [f"   TITEL  = PAW_PBE {symbol} 01Jan2026\n" for symbol in dict.fromkeys(atoms.get_chemical_symbols())]
        (folder / "POTCAR").write_text("".join(titles))
        config = {"calculator": "ase.calculators.emt:EMT", "folder": str(folder)} | config
        (folder / "config.json").write_text(json.dumps(config))
        subprocess.run([sys.executable, EMULATOR, "config.json"], cwd=folder, capture_output=True, check=False)
        return folder

    return factory
