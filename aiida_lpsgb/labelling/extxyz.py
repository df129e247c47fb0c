"""Extended XYZ with every number written exactly (ASE's writer keeps eight decimals)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.io.extxyz import key_val_dict_to_str
from ase.stress import voigt_6_to_full_3x3_stress

from aiida_lpsgb.mtp.configurations import labels as labels_of

_KINDS = {"f": "R", "i": "I", "u": "I", "b": "L", "U": "S"}


def _format(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "F"
    return repr(value.item()) if isinstance(value, (np.floating, np.integer)) else str(value)


def _columns(atoms: Atoms, forces: np.ndarray | None) -> dict[str, np.ndarray]:
    columns = {"species": np.array(atoms.get_chemical_symbols()), "pos": atoms.positions}
    columns |= {name: array for name, array in atoms.arrays.items() if name not in ("numbers", "positions")}
    if forces is not None:
        columns["forces"] = forces
    return columns


def write_extxyz(stream: TextIO, images: Iterable[Atoms]) -> None:
    """Write images so that ``ase.io.read(…, format='extxyz')`` gives them back exactly.

    Parameters
    ----------
    stream
        Text file to write to.
    images
        Images; labels are taken from their calculators.
    """
    for atoms in images:
        labels = labels_of(atoms)
        columns = _columns(atoms, labels.get("forces"))
        tables = {name: array.reshape(len(atoms), -1) for name, array in columns.items()}
        properties = ":".join(f"{name}:{_KINDS[table.dtype.kind]}:{table.shape[1]}" for name, table in tables.items())
        comment: dict[str, Any] = {"Lattice": atoms.cell.array.T, "Properties": properties}
        comment |= {key: value for key, value in atoms.info.items() if value is not None}
        if "energy" in labels:
            comment["energy"] = float(labels["energy"])
        if "stress" in labels:
            comment["stress"] = voigt_6_to_full_3x3_stress(labels["stress"])
        comment["pbc"] = atoms.pbc
        stream.write(f"{len(atoms)}\n{key_val_dict_to_str(comment)}\n")
        for row in range(len(atoms)):
            stream.write(" ".join(_format(value) for table in tables.values() for value in table[row]) + "\n")
