"""VASP for tests: an emulator as a code, and POTCARs that hold nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

EMULATOR = Path(__file__).parents[2] / "programs" / "vasp_emulator.py"
# The keys that aiida-vasp reads, and no potential.
POTCAR = """\
  PAW_PBE {name} 01Jan2026
   1.00000000000000
 parameters from PSCTR are:
   VRHFIN ={element}: none
   LEXCH  = PE
   EATOM  =     1.0000 eV,     .1000 Ry

   TITEL  = PAW_PBE {name} 01Jan2026
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        0    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =     .000    partial core radius
   POMASS =    1.000; ZVAL   =    1.000    mass and valenz
   RCORE  =    1.000    outmost cutoff radius
   ENMAX  =  140.000; ENMIN  =  100.000 eV
   END of PSCTR-controll parameters
 local part
 nothing: this file stands for a potential in tests
"""
FAMILY = "STUB.54"


@pytest.fixture
def potcar_family(aiida_profile, tmp_path):
    """Return the name of a family of POTCARs that hold nothing, for Li, Li_sv, P, S, Cu and Ar."""
    potcar = pytest.importorskip("aiida_vasp.data.potcar")
    if potcar.PotcarData.get_potcar_group(FAMILY) is None:
        for name in ("Li", "Li_sv", "P", "S", "Cu", "Ar"):
            folder = tmp_path / "potcars" / name
            folder.mkdir(parents=True)
            (folder / "POTCAR").write_text(POTCAR.format(name=name, element=name.partition("_")[0]))
        potcar.PotcarData.upload_potcar_family(tmp_path / "potcars", FAMILY, "holds nothing", stop_if_existing=False)
    return FAMILY


@pytest.fixture
def vasp_code(aiida_code_installed, tmp_path):
    """Return a factory of codes that run the emulator with a calculator of ASE and, where told, failures."""
    pytest.importorskip("aiida_vasp")

    def factory(calculator="ase.calculators.emt:EMT", failures=(), **config):
        number = len(list(tmp_path.glob("vasp_*.json")))
        path = tmp_path / f"vasp_{number}.json"
        config |= {"calculator": calculator, "failures": list(failures), "folder": str(tmp_path)}
        path.write_text(json.dumps(config))
        script = tmp_path / f"vasp_std_{number}"
        script.write_text(f"#!/bin/sh\nexec {sys.executable} {EMULATOR} {path}\n")
        script.chmod(0o755)
        return aiida_code_installed(
            label=f"vasp-{tmp_path.name}-{number}", default_calc_job_plugin="vasp.vasp", filepath_executable=str(script)
        )

    return factory
