"""Set up the emulator of VASP: the program with its calculator, and POTCARs that hold nothing."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

EMULATOR = Path(__file__).resolve().parent / "vasp_emulator.py"
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
 nothing: this file stands for a potential
"""


def write_program(folder: Path, name: str, calculator: str, failures=(), **config) -> Path:
    """Write an executable that runs the emulator with a calculator of ASE (``module:Class``); return its path."""
    path = folder / f"{name}.json"
    config |= {"calculator": calculator, "failures": list(failures), "folder": str(folder)}
    path.write_text(json.dumps(config), encoding="utf-8")
    script = folder / name
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {EMULATOR} {path}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def upload_potcars(family: str, names) -> None:
    """Store a family of POTCARs that hold nothing, unless it is there."""
    from aiida_vasp.data.potcar import PotcarData

    if PotcarData.get_potcar_group(family) is not None:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).mkdir()
            text = POTCAR.format(name=name, element=name.partition("_")[0])
            (Path(folder) / name / "POTCAR").write_text(text, encoding="utf-8")
        PotcarData.upload_potcar_family(Path(folder), family, "holds nothing", stop_if_existing=False)
