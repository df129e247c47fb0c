"""A program that behaves as VASP does towards its caller, with a calculator of ASE in place of the electrons.

It reads POSCAR (with velocities), INCAR, KPOINTS and POTCAR in the working folder and writes vasprun.xml, OUTCAR,
CONTCAR, OSZICAR and, to standard output, what VASP writes there, as VASP 6 does. It knows single points (NSW = 0) and molecular dynamics (IBRION = 0: without a thermostat, SMASS = -3, or at constant temperature, MDALGO = 3, and with
ISIF = 3 at constant pressure). It fails as VASP does where it is told to.

It is called with the path of a JSON file: ``calculator`` (``module:Class`` of an ASE calculator), ``keywords``, and
``failures``, a list of dictionaries with ``mode`` and, where only some configurations are meant, ``x`` (Å, of the first
atom) or ``step`` (the ionic step), ``times`` (how often, then never again) and ``unless`` (INCAR tags that cure it).
``entropy`` (eV) separates the free energy from the energy without entropy, as smearing does; ``seconds`` is how long an
ionic step takes.

=============== =====================================================================================================
mode            what happens
=============== =====================================================================================================
electronic      the electronic steps reach NELM; VASP goes on and ends as ever
edddav          EDDDAV fails on standard output and VASP stops
zbrent          ZBRENT's complaint, and VASP stops
walltime        the scheduler ends the job in the middle of an electronic step: no timings, half a vasprun.xml
truncated       vasprun.xml is cut in the middle, all else is complete, as on a full disk
segfault        the program is ended by a segmentation fault before the first electronic step is done
=============== =====================================================================================================
"""

# The lines of VASP's files are as long as VASP makes them.
# ruff: noqa: E501

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import IsotropicMTKNPT
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

KBAR = 0.1 * units.GPa
N_ELECTRONIC = 9
VERSION = "vasp.6.3.0 20Jan22 (emulated) complex"

EIGENVALUES = """\
  <eigenvalues>
   <array>
    <dimension dim="1">band</dimension>
    <dimension dim="2">kpoint</dimension>
    <dimension dim="3">spin</dimension>
    <field>eigene</field>
    <field>occ</field>
    <set>
     <set comment="spin 1">
      <set comment="kpoint 1">
       <r>   -5.0000    1.0000 </r>
       <r>    5.0000    0.0000 </r>
      </set>
     </set>
    </set>
   </array>
  </eigenvalues>
"""


def read_incar(text):
    """Return the tags in upper case with their values as text."""
    tags = {}
    for line in text.splitlines():
        for part in re.split(r"[#!]", line)[0].split(";"):
            if "=" in part:
                key, _, value = part.partition("=")
                tags[key.strip().upper()] = value.strip()
    return tags


def read_poscar(path):
    """Return the atoms, with velocities if the file has them (Å/fs there)."""
    atoms = read(path, format="vasp")
    lines = path.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.strip().lower().startswith(("direct", "cart")))
    rest = [line.split() for line in lines[start + 1 + len(atoms) :]]
    rows = [row for row in rest[1:] if len(row) == 3][: len(atoms)]
    if len(rows) == len(atoms):
        velocities = np.array(rows, dtype=float) / units.fs
        if velocities.any():
            atoms.set_velocities(velocities)
    return atoms


def write_poscar(path, atoms, title):
    """Write a CONTCAR: direct coordinates and velocities in Å/fs."""
    symbols = atoms.get_chemical_symbols()
    runs = [(symbol, count) for symbol, count in _runs(symbols)]
    text = [title, "   1.00000000000000     "]
    text += ["  " + "".join(f"{x:22.16f}" for x in row) for row in atoms.cell.array]
    text += [
        "   " + "".join(f"{symbol:<5}" for symbol, _ in runs),
        "   " + "".join(f"{n:6d}" for _, n in runs),
        "Direct",
    ]
    text += ["".join(f"{x:20.16f}" for x in row) for row in atoms.get_scaled_positions(wrap=False)]
    text += [""]
    text += ["".join(f"{x:16.8E}" for x in row) for row in atoms.get_velocities() * units.fs]
    path.write_text("\n".join(text) + "\n")


def _runs(symbols):
    start = 0
    for k in range(1, len(symbols) + 1):
        if k == len(symbols) or symbols[k] != symbols[start]:
            yield symbols[start], k - start
            start = k


def check_potcar(text, symbols):
    """Return the titles, or None where the species are not those of POSCAR."""
    titles = re.findall(r"TITEL\s*=\s*(.+)", text)
    elements = [title.split()[1].split("_")[0] for title in titles]
    return titles if elements == [symbol for symbol, _ in _runs(symbols)] else None


class Emulator:
    """One run of the program."""

    def __init__(self, config):
        self.config = config
        self.incar = read_incar(Path("INCAR").read_text())
        self.title = Path("POSCAR").read_text().splitlines()[0].strip()
        self.atoms = read_poscar(Path("POSCAR"))
        self.nelm = int(self.incar.get("NELM", 60))
        self.nsw = int(self.incar.get("NSW", 0))
        self.pstress = float(self.incar.get("PSTRESS", 0))
        self.ibrion = int(self.incar.get("IBRION", -1 if self.nsw in (0, 1) else 0))
        module, _, name = config["calculator"].partition(":")
        self.atoms.calc = getattr(importlib.import_module(module), name)(**config.get("keywords", {}))
        self.xml, self.outcar, self.oszicar = StringIO(), StringIO(), StringIO()

    # --- running --------------------------------------------------------------------------------------------------

    def run(self):
        say(f" running on    1 total cores\n {VERSION}")
        if not Path("KPOINTS").exists():
            return self.stop("ERROR: KPOINTS file not found")
        self.potcars = check_potcar(Path("POTCAR").read_text(), self.atoms.get_chemical_symbols())
        if self.potcars is None:
            return self.stop("ERROR: the species of POTCAR are not those of POSCAR")
        say(f" POSCAR found :  {len(self.potcars)} types and {len(self.atoms):7d} ions")
        say(" POSCAR, INCAR and KPOINTS ok, starting setup\n FFT: planning ...\n WAVECAR not read\n entering main loop")
        self.begin()
        if self.nsw == 0 or self.ibrion == -1:
            self.step(1)
        else:
            self.dynamics()
        self.end()
        return 0

    def stop(self, message):
        say(message)
        self.flush()
        sys.exit(1)

    def dynamics(self):
        timestep = float(self.incar.get("POTIM", 1.0)) * units.fs
        temperature = float(self.incar.get("TEBEG", 300.0))
        if not self.atoms.get_velocities().any() and temperature > 0:
            rng = np.random.default_rng(int(self.incar.get("RANDOM_SEED", "0").split()[0]))
            thermalize_momenta(self.atoms, temperature, rng=rng)
        driver = self.driver(timestep, temperature)
        for index in range(1, self.nsw + 1):
            self.step(index)
            driver.run(1)

    def driver(self, timestep, temperature):
        if self.incar.get("MDALGO", "0") == "0":
            return VelocityVerlet(self.atoms, timestep)
        if self.incar.get("ISIF", "2") == "3":
            return IsotropicMTKNPT(
                self.atoms, timestep, temperature_K=temperature, pressure_au=0.0, tdamp=100 * timestep,
                pdamp=1000 * timestep,
            )  # fmt: skip
        rng = np.random.default_rng(int(self.incar.get("RANDOM_SEED", "0").split()[0]))
        return Langevin(self.atoms, timestep, temperature_K=temperature, friction=0.01 / units.fs, rng=rng)

    def failure(self, index):
        """Return the mode in which this step fails, or None."""
        for number, rule in enumerate(self.config.get("failures", [])):
            if "x" in rule and abs(self.atoms.positions[0, 0] - rule["x"]) > 1e-6:
                continue
            if rule.get("step", index) != index:
                continue
            if any(
                self.incar.get(key.upper(), "").lower() == str(value).lower()
                for key, value in rule.get("unless", {}).items()
            ):
                continue
            if "times" in rule:
                seen = Path(self.config["folder"]) / f"failure_{number}"
                count = int(seen.read_text()) if seen.exists() else 0
                if count >= rule["times"]:
                    continue
                seen.write_text(str(count + 1))
            return rule["mode"]
        return None

    def step(self, index):
        """One ionic step: electronic steps, then energy, forces and stress."""
        mode = self.failure(index)
        if mode == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(self.config.get("seconds", 0.0))
        energy, entropy = self.atoms.get_potential_energy(), self.config.get("entropy", 0.0)
        n_electronic = self.nelm if mode == "electronic" else min(N_ELECTRONIC, self.nelm - 1)
        self.xml.write(" <calculation>\n")
        say("       N       E                     dE             d eps       ncg     rms          rms(c)")
        for k in range(1, n_electronic + 1):
            error = abs(energy) * 10.0 ** (-k) + (1e-2 if mode == "electronic" else 0.0)
            self.electronic_step(index, k, energy + error, entropy)
            if mode == "walltime" and k == 3:
                self.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            if mode == "edddav" and k == 5:
                self.stop(" Error EDDDAV: Call to ZHEGV failed. Returncode =  13 1  48")
        if mode == "zbrent":
            self.stop(
                " ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF, or copy CONTCAR\n     to POSCAR and continue"
            )
        if mode != "electronic":
            self.outcar.write(
                "\n------------------------ aborting loop because EDIFF is reached ----------------------------------------\n"
            )
        self.outcar.write(
            "\n E-fermi :   0.0000     XC(G=0):  -1.0000     alpha+bet : -1.0000\n\n k-point     1 :       0.0000    0.0000    0.0000\n"
            "  band No.  band energies     occupation \n      1      -5.0000      2.00000\n      2       5.0000      0.00000\n\n"
        )
        self.ionic_step(index, energy, entropy)
        self.truncate = mode == "truncated"

    # --- writing --------------------------------------------------------------------------------------------------

    def begin(self):
        symbols = self.atoms.get_chemical_symbols()
        runs = list(_runs(symbols))
        x, out = self.xml.write, self.outcar.write
        x('<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>\n <generator>\n')
        for name, value in (
            ("program", "vasp "), ("version", "6.3.0  "), ("subversion", "20Jan22 (emulated) complex  "),
            ("platform", "LinuxGNU "), ("date", "2026 01 01 "), ("time", "00:00:00 "),
        ):  # fmt: skip
            x(f'  <i name="{name}" type="string">{value}</i>\n')
        x(" </generator>\n <incar>\n")
        for key, value in self.incar.items():
            x(f'  <i type="string" name="{key}">{value}</i>\n')
        x(
            ' </incar>\n <kpoints>\n  <generation param="Gamma">\n   <v type="int" name="divisions">       1        1        1 </v>\n'
        )
        x('   <v name="usershift">      0.00000000       0.00000000       0.00000000 </v>\n  </generation>\n')
        x(
            '  <varray name="kpointlist" >\n   <v>       0.00000000       0.00000000       0.00000000 </v>\n  </varray>\n'
        )
        x('  <varray name="weights" >\n   <v>       1.00000000 </v>\n  </varray>\n </kpoints>\n')
        x(' <parameters>\n  <separator name="electronic" >\n   <i name="ENMAX">')
        x(f"{float(self.incar.get('ENCUT', 300)):16.8f}</i>\n")
        x('   <i type="int" name="NBANDS">     2</i>\n   <i name="NELECT">      2.00000000</i>\n')
        x(f'   <i name="EDIFF">{float(self.incar.get("EDIFF", 1e-4)):16.8f}</i>\n')
        x('   <separator name="electronic spin" >\n    <i type="int" name="ISPIN">     1</i>\n   </separator>\n')
        x(
            f'   <separator name="electronic convergence" >\n    <i type="int" name="NELM">{self.nelm:6d}</i>\n   </separator>\n'
        )
        x('  </separator>\n  <separator name="ionic" >\n')
        x(f'   <i name="PSTRESS">{self.pstress:16.8f}</i>\n')
        x(f'   <i type="int" name="NSW">{self.nsw:6d}</i>\n   <i type="int" name="IBRION">{self.ibrion:6d}</i>\n')
        x(f'   <i name="POTIM">{float(self.incar.get("POTIM", 0.5)):16.8f}</i>\n  </separator>\n </parameters>\n')
        x(f" <atominfo>\n  <atoms>{len(symbols):8d} </atoms>\n  <types>{len(runs):8d} </types>\n")
        x('  <array name="atoms" >\n   <dimension dim="1">ion</dimension>\n   <field type="string">element</field>\n')
        x('   <field type="int">atomtype</field>\n   <set>\n')
        for kind, (symbol, count) in enumerate(runs, start=1):
            x(f"    <rc><c>{symbol:<2}</c><c>{kind:4d}</c></rc>\n" * count)
        x('   </set>\n  </array>\n  <array name="atomtypes" >\n   <dimension dim="1">type</dimension>\n')
        x(
            '   <field type="int">atomspertype</field>\n   <field type="string">element</field>\n   <field>mass</field>\n'
        )
        x('   <field>valence</field>\n   <field type="string">pseudopotential</field>\n   <set>\n')
        for (symbol, count), title in zip(runs, self.potcars, strict=True):
            mass = Atoms(symbol).get_masses()[0]
            x(
                f"    <rc><c>{count:4d}</c><c>{symbol:<2}</c><c>{mass:16.8f}</c><c>{1:16.8f}</c><c> {title:<40}</c></rc>\n"
            )
        x('   </set>\n  </array>\n </atominfo>\n <structure name="initialpos" >\n')
        self.xml_structure(" ")
        x(" </structure>\n")
        out(
            f" {VERSION}\n executed on             LinuxGNU date 2026.01.01  00:00:00\n running on    1 total cores\n\n INCAR:\n"
        )
        out("".join(f"   {key} = {value}\n" for key, value in self.incar.items()))
        for title in self.potcars:
            element = title.split()[1]
            out(f"\n POTCAR:    {title}\n   VRHFIN ={element.split('_')[0]}: \n   TITEL  = {title}\n")
            out(
                "   POMASS =   {:6.3f}; ZVAL   =    1.000    mass and valenz\n".format(
                    Atoms(element.split("_")[0]).get_masses()[0]
                )
            )
        out(
            "\n   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      2\n"
        )
        out(f"   number of dos      NEDOS =    301   number of ions     NIONS = {len(symbols):6d}\n")
        out("   total plane-waves  NPLWV =   2744\n")
        out("   ions per type =            " + "".join(f"{count:4d}" for _, count in runs) + "\n\n")
        out(" k-points in reciprocal lattice and weights: k\n   0.00000000  0.00000000  0.00000000       1.000\n\n")
        out(f"   ENCUT  = {float(self.incar.get('ENCUT', 300)):6.1f} eV\n")
        out(f"   NELM   = {self.nelm:6d};   NELMIN=  2; NELMDL= -5     # of ELM steps\n")
        out(f"   EDIFF  = {float(self.incar.get('EDIFF', 1e-4)):.1E}   stopping-criterion for ELM\n")
        out(f"   NSW    = {self.nsw:6d}    number of steps for IOM\n")
        out(
            f"   IBRION = {self.ibrion:6d}    ionic relax: 0-MD 1-quasi-New 2-CG\n   ISIF   = {int(self.incar.get('ISIF', 2)):6d}    stress and relaxation\n"
        )
        out(
            f"   ISPIN  =      1    spin polarized calculation?\n   POTIM  = {float(self.incar.get('POTIM', 0.5)):.4f}    time-step for ionic-motion\n\n"
        )

    def xml_structure(self, indent):
        x = self.xml.write
        reciprocal = self.atoms.cell.reciprocal()
        x(f'{indent} <crystal>\n{indent}  <varray name="basis" >\n')
        x("".join(f"{indent}   <v>{_row(row)} </v>\n" for row in self.atoms.cell.array))
        x(f'{indent}  </varray>\n{indent}  <i name="volume">{self.atoms.get_volume():16.8f} </i>\n')
        x(
            f'{indent}  <varray name="rec_basis" >\n'
            + "".join(f"{indent}   <v>{_row(row)} </v>\n" for row in reciprocal)
        )
        x(f'{indent}  </varray>\n{indent} </crystal>\n{indent} <varray name="positions" >\n')
        positions = self.atoms.get_scaled_positions(wrap=self.nsw > 0)
        x("".join(f"{indent}  <v>{_row(row)} </v>\n" for row in positions) + f"{indent} </varray>\n")

    def electronic_step(self, index, k, energy, entropy):
        # VASP's free energy is the one given; the entropy of smearing lies between it and the others.
        values = self.energies(energy, entropy)
        say(f"DAV: {k:3d}    {energy:19.12E}    {0.0:.5E}    {0.0:.5E}   480   0.100E-03")
        self.xml.write('  <scstep>\n   <time name="total">    0.04    0.04</time>\n   <energy>\n')
        self.xml.write("".join(f'    <i name="{name}">{value:16.8f} </i>\n' for name, value in values.items()))
        self.xml.write("   </energy>\n  </scstep>\n")
        out = self.outcar.write
        out(
            f"\n--------------------------------------- Iteration {index:6d}({k:4d})  ---------------------------------------\n\n\n"
        )
        out("  Free energy of the ion-electron system (eV)\n  ---------------------------------------------------\n")
        out(f"  free energy    TOTEN  = {energy:18.8f} eV\n\n")
        out(
            f"  energy without entropy = {values['e_wo_entrp']:18.8f}  energy(sigma->0) = {values['e_0_energy']:18.8f}\n"
        )

    @staticmethod
    def energies(free, entropy):
        return {"e_fr_energy": free, "e_wo_entrp": free + entropy, "e_0_energy": free + entropy / 2}

    def ionic_step(self, index, energy, entropy):
        forces, stress = self.atoms.get_forces(), -self.atoms.get_stress(voigt=False) / KBAR
        kinetic = self.atoms.get_kinetic_energy() if self.nsw else None
        values = self.energies(energy, entropy)
        # As VASP does: the enthalpy in vasprun.xml, the energy in OUTCAR.
        work = self.pstress * KBAR * self.atoms.get_volume()
        x, out = self.xml.write, self.outcar.write
        x("  <structure>\n")
        self.xml_structure("  ")
        x('  </structure>\n  <varray name="forces" >\n' + "".join(f"   <v>{_row(row)} </v>\n" for row in forces))
        x('  </varray>\n  <varray name="stress" >\n' + "".join(f"   <v>{_row(row)} </v>\n" for row in stress))
        x(
            "  </varray>\n  <energy>\n"
            + "".join(f'   <i name="{name}">{value + work:16.8f} </i>\n' for name, value in values.items())
        )
        if kinetic is not None:
            for name, value in (
                ("kinetic", kinetic),
                ("lattice kinetic", 0.0),
                ("nosepot", 0.0),
                ("nosekinetic", 0.0),
                ("total", energy + kinetic),
            ):
                x(f'   <i name="{name}">{value:16.8f} </i>\n')
        x("  </energy>\n")
        if index == max(self.nsw, 1):
            # As VASP does, after the last ionic step alone.
            x(EIGENVALUES)
        x(" </calculation>\n")

        pressure = np.trace(stress) / 3
        xx, yy, zz, xy, yz, zx = (stress[i] for i in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)))
        out(
            "\n\n  FORCE on cell =-STRESS in cart. coord.  units (eV):\n  Direction    XX          YY          ZZ          XY          YZ          ZX\n"
        )
        out("  " + "-" * 86 + "\n")
        scale = KBAR * self.atoms.get_volume()
        out("  Total  " + "".join(f"{value * scale:12.5f}" for value in (xx, yy, zz, xy, yz, zx)) + "\n")
        out("  in kB  " + "".join(f"{value:12.5f}" for value in (xx, yy, zz, xy, yz, zx)) + "\n")
        out(
            f"  external pressure = {pressure:11.2f} kB  Pullay stress =        0.00 kB\n\n VOLUME and BASIS-vectors are now :\n"
        )
        out(" " + "-" * 77 + f"\n  energy-cutoff  :      500.00\n  volume of cell : {self.atoms.get_volume():11.2f}\n")
        out("      direct lattice vectors                 reciprocal lattice vectors\n")
        for row, other in zip(self.atoms.cell.array, self.atoms.cell.reciprocal(), strict=True):
            out("  " + "".join(f"{value:13.9f}" for value in (*row, *other)) + "\n")
        out("\n\n POSITION                                       TOTAL-FORCE (eV/Angst)\n " + "-" * 83 + "\n")
        for position, force in zip(self.atoms.positions, forces, strict=True):
            out(
                "".join(f"{value:13.5f}" for value in position)
                + "    "
                + "".join(f"{value:14.6f}" for value in force)
                + "\n"
            )
        drift = forces.sum(axis=0)
        out(
            " "
            + "-" * 83
            + "\n    total drift:                          "
            + "".join(f"{value:14.6f}" for value in drift)
            + "\n\n\n"
        )
        out(
            "-" * 104
            + "\n\n\n\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n  ---------------------------------------------------\n"
        )
        out(f"  free  energy   TOTEN  = {energy:18.8f} eV\n\n")
        out(
            f"  energy  without entropy={values['e_wo_entrp']:18.8f}  energy(sigma->0) ={values['e_0_energy']:18.8f}\n\n\n"
        )
        line = f"{index:4d} F= {energy:.8E} E0= {values['e_0_energy']:.8E}  d E =0.000000E+00"
        if kinetic is not None:
            line = f"{index:7d} T= {self.atoms.get_temperature():6.0f}. E= {energy + kinetic:.8E} F= {energy:.8E} E0= {values['e_0_energy']:.8E}  EK= {kinetic:.5E} SP= 0.00E+00 SK= 0.00E+00"
        say(line)
        self.oszicar.write(line + "\n")

    def end(self):
        self.xml.write(' <structure name="finalpos" >\n')
        self.xml_structure(" ")
        self.xml.write(" </structure>\n</modeling>\n")
        self.outcar.write(
            "\n\n General timing and accounting informations for this job:\n ========================================================\n\n"
        )
        for name, value in (
            ("Total CPU time used", 0.5),
            ("User time", 0.4),
            ("System time", 0.1),
            ("Elapsed time", 0.5),
        ):
            self.outcar.write(f"{name + ' (sec):':>42}{value:13.3f}\n")
        self.outcar.write(
            "\n                   Maximum memory used (kb):       63948.\n                   Average memory used (kb):          N/A\n"
        )
        self.outcar.write(
            "\n                          Minor page faults:         4055\n                          Major page faults:            2\n"
        )
        self.outcar.write("                 Voluntary context switches:          987\n")
        write_poscar(Path("CONTCAR"), self.atoms, self.title)
        self.flush()

    def flush(self):
        text = self.xml.getvalue()
        Path("vasprun.xml").write_text(text[: len(text) * 2 // 3] if getattr(self, "truncate", False) else text)
        Path("OUTCAR").write_text(self.outcar.getvalue())
        Path("OSZICAR").write_text(self.oszicar.getvalue())
        if not Path("CONTCAR").exists():
            Path("CONTCAR").touch()


def _row(row):
    return "".join(f"{value:17.8f}" for value in row)


def say(text):
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(Emulator(json.loads(Path(sys.argv[1]).read_text())).run())
