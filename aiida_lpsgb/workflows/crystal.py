"""A crystal of any kind that a person may have, as a structure and as a node."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from aiida import orm
from ase import Atoms
from pymatgen.core import Structure

from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.files import is_cif, read_structure

__all__ = ["crystal_node", "structure_of"]


def structure_of(crystal: Any) -> Structure:
    """A crystal of any kind with its occupancies, and its oxidation states where it has them."""
    if isinstance(crystal, Structure):
        return crystal
    if isinstance(crystal, Atoms):
        return Structure(
            crystal.cell.array, crystal.get_chemical_symbols(), crystal.positions, coords_are_cartesian=True
        )
    if isinstance(crystal, orm.StructureData):
        return crystal.get_pymatgen_structure()
    if isinstance(crystal, orm.CifData):
        return read_cif(crystal.get_content(), check_formula=False, oxidation_states=True)
    return read_structure(crystal, check_formula=False, oxidation_states=True)


def crystal_node(crystal: Any) -> orm.CifData | orm.StructureData:
    """A node of a crystal: a CIF with partial occupancies as it is, anything else as a structure.

    Parameters
    ----------
    crystal
        A file, a structure of ASE or pymatgen, or a node, which is returned.
    """
    if isinstance(crystal, (orm.StructureData, orm.CifData)):
        return crystal
    structure = structure_of(crystal).copy()
    structure.remove_oxidation_states()
    path = Path(crystal) if isinstance(crystal, (str, PathLike)) else None
    if path is not None and is_cif(path) and not structure.is_ordered:
        node = orm.CifData(file=str(path.absolute()), parse_policy="lazy")
    else:
        node = orm.StructureData(pymatgen=structure)
    node.label = structure.composition.reduced_formula if path is None else path.name
    return node
