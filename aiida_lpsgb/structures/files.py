"""Structure files: whatever ASE or pymatgen read, and what ASE writes, LAMMPS data files included."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import read, write
from ase.io.formats import UnknownFileTypeError, filetype, ioformats
from ase.io.lammpsdata import write_lammps_data
from pymatgen.core import Structure

from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.validation import require_ordered

__all__ = ["is_cif", "read_atoms", "read_structure", "require_writable", "write_atoms", "write_frames"]

SMALLEST_VOLUME_A3 = 1e-3
LAMMPS_SUFFIXES = (".data", ".lmp", ".lammps")


def read_structure(path: str | PathLike, *, check_formula: bool = True, oxidation_states: bool = False) -> Structure:
    """Read a periodic crystal from a file, partial occupancies kept.

    Parameters
    ----------
    path : path
        A CIF, or any file that ASE or pymatgen read; of several frames the last.
    check_formula, oxidation_states : bool
        As for :func:`aiida_lpsgb.structures.cif.read_cif`; other files keep the oxidation states that they have.

    Returns
    -------
    pymatgen.core.Structure
        The crystal.

    Raises
    ------
    ValueError
        If the file cannot be read or its structure is not periodic; the message names the file.
    """
    path = _existing(path)
    if is_cif(path):
        try:
            return read_cif(path, check_formula=check_formula, oxidation_states=oxidation_states)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    found = _read(path)
    if isinstance(found, Structure):
        if not oxidation_states:
            found.remove_oxidation_states()
        return found
    if not all(found.pbc):
        raise ValueError(f"{path}: the structure is not periodic in three dimensions")
    if abs(found.cell.volume) < SMALLEST_VOLUME_A3:
        raise ValueError(f"{path}: the cell has no volume")
    return Structure(found.cell.array, found.get_chemical_symbols(), found.positions, coords_are_cartesian=True)


def read_atoms(path: str | PathLike) -> Atoms:
    """Read a fully occupied structure from a file.

    Parameters
    ----------
    path : path
        As for :func:`read_structure`.

    Returns
    -------
    ase.Atoms
        The structure; ``info`` and ``arrays`` as the file has them.

    Raises
    ------
    ValueError
        If the file cannot be read or holds a partially occupied structure.
    """
    path = _existing(path)
    found = read_structure(path) if is_cif(path) else _read(path)
    if isinstance(found, Structure):
        require_ordered(found, str(path))
        symbols = [site.specie.symbol for site in found]
        return Atoms(symbols, positions=found.cart_coords, cell=found.lattice.matrix, pbc=True)
    return found


def write_atoms(path: str | PathLike, atoms: Atoms) -> None:
    """Write a structure in the format that the file's name stands for.

    Parameters
    ----------
    path : path
        A name that ASE knows (``POSCAR``, ``x.cif``, ``x.extxyz`` …), or ``x.data`` for LAMMPS (atomic style, types in
        the order of the elements' first atoms).
    atoms : ase.Atoms
        The structure.

    Raises
    ------
    ValueError
        If the name stands for no format that can be written.
    """
    path = Path(path)
    require_writable(path)
    if path.suffix in LAMMPS_SUFFIXES:
        elements = list(dict.fromkeys(atoms.get_chemical_symbols()))
        write_lammps_data(path, atoms, specorder=elements, masses=True)
    else:
        write(path, atoms)


def write_frames(path: str | PathLike, frames: Iterable[Atoms]) -> int:
    """Write frames as they come, where the format holds several; one that holds one takes one.

    Parameters
    ----------
    path : path
        As for :func:`write_atoms`.
    frames : iterable of ase.Atoms
        What to write; a file that is there is replaced once there is a frame.

    Returns
    -------
    int
        How many were written.

    Raises
    ------
    ValueError
        If the name stands for no format that can be written, or for one of a single structure and there are more.
    """
    path = Path(path)
    require_writable(path)
    name = "" if path.suffix in LAMMPS_SUFFIXES else filetype(str(path), read=False, guess=False)
    if name in ("extxyz", "xyz", "traj"):
        count = 0
        for count, atoms in enumerate(frames, start=1):
            write(path, atoms, format=name, append=count > 1)
        return count
    images = list(frames)
    if len(images) == 1:
        write_atoms(path, images[0])
    elif name and not ioformats[name].single:
        write(path, images)
    else:
        raise ValueError(f"{path}: the format holds one structure, and there are {len(images)}; use .extxyz")
    return len(images)


def require_writable(path: str | PathLike) -> None:
    """Refuse a file name that stands for no format in which structures are written.

    Parameters
    ----------
    path : path
        The name.

    Raises
    ------
    ValueError
        If it does not; the message names formats.
    """
    path = Path(path)
    if path.suffix in LAMMPS_SUFFIXES:
        return
    try:
        writable = ioformats[filetype(str(path), read=False, guess=False)].can_write
    except (UnknownFileTypeError, KeyError):
        writable = False
    if not writable:
        raise ValueError(
            f"{path}: {path.suffix or path.name!r} is no format that a structure can be written in; use .extxyz, .cif, "
            ".vasp or the name POSCAR, .xsf, .json, or .data for LAMMPS"
        )


def is_cif(path: Path) -> bool:
    """Whether a file is a CIF by its name."""
    return path.suffix.lower() in (".cif", ".mcif")


def _existing(path: str | PathLike) -> Path:
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file")
    return Path(path)


def _read(path: Path) -> Atoms | Structure:
    """Read by ASE, or else by pymatgen."""
    if path.suffix in LAMMPS_SUFFIXES:
        return _read_lammps(path)
    if path.suffix.lower() == ".vasp" or path.name.upper().startswith(("POSCAR", "CONTCAR")):
        _require_elements(path)
    try:
        found = read(path)
    except Exception as error:  # readers raise whatever a malformed file leads them to
        reason = error
    else:
        if not len(found) or min(found.numbers) < 1:
            raise ValueError(f"{path}: " + ("an atom has no element ('X')" if len(found) else "there are no atoms"))
        if not (np.isfinite(found.positions).all() and np.isfinite(found.cell.array).all()):
            raise ValueError(f"{path}: a position or the cell is not a finite number")
        return found
    try:
        structure = Structure.from_file(path)
    except Exception as error:
        known = not isinstance(reason, UnknownFileTypeError)
        detail = f"as {filetype(str(path))}: {_first(reason)}" if known else f"by its name or content: {_first(error)}"
        raise ValueError(f"{path} cannot be read, by ASE or pymatgen ({detail})") from error
    return structure


def _require_elements(path: Path) -> None:
    """Refuse a POSCAR of VASP 4, which names no elements: readers then make up some, hydrogen first."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kinds = lines[5].split() if len(lines) > 5 else []
    named = len(lines) > 5 and any(word in chemical_symbols[1:] for word in lines[0].split())
    if kinds and all(word.isdigit() for word in kinds) and not named:
        numbers = lines[5].strip()
        raise ValueError(f"{path}: line 6 must name the elements, such as 'Li P S', above their numbers ({numbers})")


def _read_lammps(path: Path) -> Atoms:
    """Read a LAMMPS data file; its masses name the elements."""
    try:
        return read(path, format="lammps-data", atom_style=_atom_style(path))
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a LAMMPS data file: {_first(error)}") from error


def _atom_style(path: Path) -> str:
    """The style that the header of the atoms names (``Atoms # charge``), else atomic."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("Atoms"):
            return line.partition("#")[2].strip() or "atomic"
    return "atomic"


def _first(error: Exception) -> str:
    """First line of a message, or what kind of error it is."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
