"""What the parameters of calcfunctions over structures must be, and the structures that they are of."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Collection
from typing import Any

from aiida import orm
from ase import Atoms
from pymatgen.core import Structure

from aiida_lpsgb.structures import amorphous, ordering, strain
from aiida_lpsgb.structures import bicrystal as bicrystals
from aiida_lpsgb.structures import interface as interfaces
from aiida_lpsgb.structures import supercell as supercells
from aiida_lpsgb.structures.boundary import Boundary, boundaries, require_boundary
from aiida_lpsgb.structures.boundary_request import check_request
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import Crystal, primitive_indices, site_marks
from aiida_lpsgb.structures.units import survey
from aiida_lpsgb.structures.validation import StructureWarning, require_charges, require_ordered
from aiida_lpsgb.typed import meant

CRYSTAL_KEYS = ("cutoffs", "charges")
SIZE_KEYS = ("width", "region", "n_atoms")
BOUNDARY_REQUIRED = ("plane",)
REQUEST_KEYS = set(inspect.signature(boundaries).parameters) - {"crystal", "smallest"}
BUILD_KEYS = set(bicrystals.BUILD_OPTIONS) - {"calculator", "vacuum"}
BOUNDARY_KEYS = BUILD_KEYS | REQUEST_KEYS | set(CRYSTAL_KEYS)
AMORPHOUS_REQUIRED = ("centre", "unit")
AMORPHOUS_KEYS = set(inspect.signature(amorphous.characterise).parameters) - {"atoms"}
RATTLE_REQUIRED = ("amplitude", "n")
ORDER_KEYS = set(inspect.signature(ordering.order).parameters) - {"structure", "seed"} | {"check_formula"}
SUPERCELL_KEYS = set(inspect.signature(supercells.at_least).parameters) - {"atoms"}
INTERFACE_KEYS = set(inspect.signature(interfaces.interface).parameters) - {"crystal", "glass"}


def order_request_error(options: dict[str, Any], crystal: orm.Data | None = None) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.order`, for a crystal if it is given, or None."""
    try:
        require_known(options, ORDER_KEYS)
        for key in ("n_candidates", "n_samples", "max_atoms"):
            if key in options and not (isinstance(options[key], int) and options[key] >= 1):
                raise ValueError(f"{key} must be a whole number of at least 1, not {options[key]!r}")
        if options.get("rank_by", "ewald") not in ordering.RANKINGS:
            raise ValueError(f"rank_by must be one of {', '.join(ordering.RANKINGS)}, not {options['rank_by']!r}")
        if not isinstance(options.get("primitive", False), bool):
            raise ValueError(f"primitive must be true or false, not {options['primitive']!r}")
        if options.get("supercell") is not None:
            ordering.repeats_matrix(options["supercell"])
        charges = options.get("charges")
        if charges is not None and not (isinstance(charges, dict) and all(map(_is_number, charges.values()))):
            raise ValueError(f"charges must give a number for each element, not {charges!r}")
        if crystal is not None:
            disordered, _ = partially_occupied(crystal, options.get("check_formula", True))
            elements = {element.symbol for element in disordered.composition.element_composition}
            if charges or not disordered.is_ordered:
                require_charges(elements, charges or {})
    except ValueError as error:
        return f"ordering: {error}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def boundary_request_error(
    options: dict[str, Any], structure: orm.StructureData | None = None, parent: orm.Data | None = None
) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.bicrystal`, with the crystal if it is given, or None."""
    try:
        refuse_vacuum(options)
        require_known(options, BOUNDARY_KEYS, BOUNDARY_REQUIRED)
        check_request(**{key: options[key] for key in REQUEST_KEYS if key in options})
        bicrystals.check_sizes(**{key: options[key] for key in SIZE_KEYS if key in options})
        if structure is not None:
            boundaries_for(crystal_of(structure, options, parent), options)
    except (TypeError, ValueError) as error:
        return f"boundary: {error}"
    return None


def boundary_of_crystal(options: dict[str, Any], crystal: orm.CifData | orm.StructureData) -> Boundary:
    """How the grains of a boundary lie by cell and symmetry of a crystal, which may still be disordered.

    Raises
    ------
    ValueError
        If the crystal has no such boundary.
    """
    disordered, _ = partially_occupied(crystal, check_formula=False)
    return boundaries_for(Crystal(site_marks(disordered), cutoffs={}), options)[0]


def boundary_of_crystal_error(options: dict[str, Any], crystal: orm.CifData | orm.StructureData) -> str | None:
    """Say why a crystal, which may still be disordered, has no such boundary, or None."""
    try:
        boundary_of_crystal(options, crystal)
    except (TypeError, ValueError) as error:
        return f"boundary: {error}"
    return None


def boundaries_for(crystal: Crystal, options: dict[str, Any]) -> list[Boundary]:
    """The boundaries that are asked for; what is none is refused."""
    request = {"axis": None, **{key: value for key, value in options.items() if key in REQUEST_KEYS}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)
        found = boundaries(crystal, **request, smallest=True)
    require_boundary(found)
    return found


def refuse_vacuum(options: dict[str, Any]) -> None:
    """Refuse a boundary beside vacuum."""
    if options.get("vacuum"):
        raise ValueError(
            "vacuum: the energy of a boundary is that of a cell with two of them; with vacuum it would hold two free "
            "surfaces as well (aiida_lpsgb.structures.bicrystal.build makes such cells)"
        )


def rattle_request_error(options: dict[str, Any]) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.rattle`, or None."""
    try:
        require_known(options, RATTLE_REQUIRED, RATTLE_REQUIRED)
    except ValueError as error:
        return f"rattle: {error}"
    return None if options["n"] >= 1 else f"rattle: n must be at least 1, not {options['n']}"


def start_set_request_error(options: dict[str, Any]) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.start_set`, or None."""
    known = set(inspect.signature(strain.start_set).parameters) - {"structures", "seed"}
    if message := _keys_error("start_set", options, known):
        return message
    for name in ("strains", "shears", "amplitudes", "approaches"):
        values = options.get(name, [])
        if not isinstance(values, (list, tuple)) or not all(map(_is_number, values)):
            return f"start_set: {name} must be a list of numbers, not {values!r}"
        if name == "amplitudes" and min(values, default=0) < 0:
            return f"start_set: amplitudes must not be negative, they are {list(values)}"
        if name == "approaches" and not all(0 < value < 1 for value in values):
            return f"start_set: approaches are shares of the shortest distance, between 0 and 1, not {list(values)}"
    if not (isinstance(options.get("n_rattles", 1), int) and options.get("n_rattles", 1) >= 0):
        return f"start_set: n_rattles must be a whole number of at least 0, not {options['n_rattles']!r}"
    return None


def supercell_keys_error(options: dict[str, Any]) -> str | None:
    """Say which parameters of `lpsgb.supercell` are unknown or exclude each other, or None."""
    if "matrix" in options:
        return None if set(options) == {"matrix"} else "supercell: give `matrix`, or `n_atoms` and `height`, not both"
    if message := _keys_error("supercell", options, SUPERCELL_KEYS):
        return message
    for name, value in options.items():
        if not _is_number(value) or value < 0:
            return f"supercell: {name} must be a number that is not negative, not {value!r}"
    return None


def interface_keys_error(options: dict[str, Any]) -> str | None:
    """Say which parameters of `lpsgb.interface` are unknown or missing, or make no sense, or None."""
    if message := _keys_error("interface", options, INTERFACE_KEYS | set(CRYSTAL_KEYS), ("plane",)):
        return message
    defaults = inspect.signature(interfaces.interface).parameters
    try:
        bicrystals.check_sizes(**{key: options.get(key, defaults[key].default) for key in ("width", "region")})
    except (TypeError, ValueError) as error:
        return f"interface: {error}"
    return _plane_error("interface", options["plane"])


def amorphous_keys_error(options: dict[str, Any]) -> str | None:
    """Say which parameters of `lpsgb.amorphous_report` are unknown or missing, or None."""
    return _keys_error("amorphous", options, AMORPHOUS_KEYS, AMORPHOUS_REQUIRED)


def _keys_error(
    name: str, options: dict[str, Any], known: Collection[str], required: Collection[str] = ()
) -> str | None:
    try:
        require_known(options, known, required)
    except ValueError as error:
        return f"{name}: {error}"
    return None


def _plane_error(name: str, plane: Any) -> str | None:
    try:
        primitive_indices(plane, "plane")
    except (TypeError, ValueError) as error:
        return f"{name}: {error}"
    return None


def supercell_request_error(parameters: orm.Dict, structure: orm.StructureData) -> str | None:
    """Say why a crystal cannot be repeated as the parameters of `lpsgb.supercell` ask, or None."""
    try:
        repeated(structure, parameters)
    except (TypeError, ValueError) as error:
        return f"supercell: {error}"
    return None


def amorphous_request_error(options: dict[str, Any], structure: orm.StructureData) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.amorphous_report` for what was this crystal, or None."""
    try:
        require_known(options, AMORPHOUS_KEYS, AMORPHOUS_REQUIRED)
        formulas = survey(ordered(structure, "structure"), options.get("cutoffs")).formulas
    except (TypeError, ValueError) as error:
        return f"amorphous: {error}"
    if options["centre"] not in structure.get_symbols_set():
        return f"amorphous: the structure has no {options['centre']}, which `centre` names"
    if options["unit"] not in formulas:
        return f"amorphous: the structure has no unit {options['unit']}, only {', '.join(formulas)}"
    return None


def repeated(structure: orm.StructureData, parameters: orm.Dict) -> Atoms:
    """Repeat a structure by matrix or by size."""
    atoms = ordered(structure, "structure")
    options = parameters.get_dict()
    if set(options) == {"matrix"}:
        return supercells.supercell(atoms, options["matrix"])
    return supercells.at_least(atoms, **options_for(parameters, supercells.at_least))


def crystal_of(structure: orm.StructureData, options: dict[str, Any], parent: orm.Data | None = None) -> Crystal:
    """The crystal that a boundary is cut from, with bonds and charges that the parameters name."""
    return Crystal(
        ordered(structure, "structure"),
        parent=None if parent is None else partially_occupied(parent, check_formula=False)[0],
        **{key: options[key] for key in CRYSTAL_KEYS if key in options},
    )


def partially_occupied(node: orm.Data, check_formula: bool = True) -> tuple[Structure, list[str]]:
    """Return the crystal of a CifData or StructureData with its occupancies, and what reading it warned of."""
    if isinstance(node, orm.StructureData):
        return node.get_pymatgen_structure(), []
    if not isinstance(node, orm.CifData):
        raise ValueError(f"structure must be CifData or StructureData, not {type(node).__name__}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StructureWarning)
        disordered = read_cif(node.get_content(), check_formula=check_formula)
    return disordered, [str(item.message) for item in caught if item.category is StructureWarning]


def ordered(node: orm.StructureData, name: str) -> Atoms:
    """Return the atoms of a structure, partial occupancies refused."""
    require_ordered(node, name)
    return node.get_ase()


def options_for(parameters: orm.Dict, function: Callable[..., Any], *required: str) -> dict[str, Any]:
    """Return the parameters as keywords of a function.

    A seed and the structures themselves (the first argument) are inputs of their own, so they are no parameters.
    """
    options = parameters.get_dict()
    signature = inspect.signature(function).parameters
    require_known(options, {name for i, name in enumerate(signature) if i > 0 and name != "seed"}, required)
    return options


def require_known(options: dict[str, Any], known: Collection[str], required: Collection[str] = ()) -> None:
    """Refuse unknown and missing parameters by name."""
    unknown = sorted(set(options).difference(known))
    if unknown:
        named = ", ".join(unknown) + meant(unknown, known)
        raise ValueError(f"parameters: unknown {named}; known are {', '.join(sorted(known))}")
    missing = sorted(set(required).difference(options))
    if missing:
        raise ValueError(f"parameters: {', '.join(missing)} must be given")
