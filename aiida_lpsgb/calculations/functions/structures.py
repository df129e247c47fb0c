"""Calcfunctions over `aiida_lpsgb.structures`: every structure's history leads back to the file it came from.

Input that cannot be used is refused: the process finishes with exit code 410 and the reason as its message, and has no
outputs.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida.plugins import DataFactory
from ase import Atoms
from pymatgen.core import Structure

from aiida_lpsgb.mtp.calculator import MTPCalculator
from aiida_lpsgb.structures import amorphous, ordering, strain
from aiida_lpsgb.structures import bicrystal as bicrystals
from aiida_lpsgb.structures import interface as interfaces
from aiida_lpsgb.structures import supercell as supercells
from aiida_lpsgb.structures.boundary import Boundary, boundaries, check_request, require_boundary
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import Crystal, primitive_indices, site_marks
from aiida_lpsgb.structures.units import survey
from aiida_lpsgb.structures.validation import StructureWarning, require_charges, require_ordered
from aiida_lpsgb.typed import meant

#: Exit status of a calcfunction that refuses its input.
REFUSED = 410

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


def refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a calcfunction end with exit code 410 and the reason where its input cannot be used."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ValueError as error:
            return ExitCode(REFUSED, str(error))

    return wrapped


@calcfunction
@refusing
def order(
    structure: orm.Data, parameters: orm.Dict, seed: orm.Int, potential: orm.Data | None = None
) -> dict[str, orm.Data]:
    """Fill the partially occupied sites of a crystal.

    Parameters
    ----------
    structure : CifData or StructureData
        The crystal, its sites partially occupied.
    parameters : Dict
        ``charges`` (element to formal charge; a fully ordered crystal can do without) and, optionally, the other
        keywords of :func:`aiida_lpsgb.structures.ordering.order`: ``n_candidates``, ``primitive``, ``supercell``,
        ``max_atoms``, ``rank_by``, ``keep_shares``, ``max_deviation``, ``n_samples``, ``min_distances``; and
        ``check_formula`` of :func:`aiida_lpsgb.structures.cif.read_cif`.
    seed : Int
        Of the sampling of cells too large to enumerate.
    potential : PotentialData, optional
        If given, the candidates that were kept are ranked by its energies.

    Returns
    -------
    dict
        ``structure`` (StructureData, the best arrangement), ``others`` (``candidate_1`` …, next best first) and
        ``results`` (Dict: ``ewald_energies_eV``, ``log_probabilities``, ``composition_deviation``, ``supercell``,
        ``occupancies`` of the best, asked and filled, ``warnings``, and ``energies_eV`` with a potential).
    """
    options = parameters.get_dict()
    _require_known(options, ORDER_KEYS)
    disordered, said = _partially_occupied(structure, options.pop("check_formula", True))
    candidates = ordering.order(disordered, seed=seed.value, **options)
    results = {}
    if potential is not None:
        candidates = ordering.rank(candidates, _calculator(potential))
        results["energies_eV"] = [atoms.info["energy_eV"] for atoms in candidates]
    best = candidates[0].info
    results |= {
        "n_candidates": len(candidates),
        "ewald_energies_eV": [atoms.info["ewald_energy_eV"] for atoms in candidates],
        "log_probabilities": [atoms.info["log_probability"] for atoms in candidates],
        **{key: best[key] for key in ("composition_deviation", "supercell", "occupancies")},
        "warnings": said + best["warnings"],
    }
    return _ranked_outputs(candidates, results)


@calcfunction
@refusing
def start_set(parameters: orm.Dict, seed: orm.Int, **structures: orm.StructureData) -> orm.Data:
    """Strain and rattle structures into the start set of a potential.

    Parameters
    ----------
    parameters : Dict
        Optional keywords of :func:`aiida_lpsgb.structures.strain.start_set`: ``strains``, ``shears``, ``amplitudes``,
        ``n_rattles``, ``approaches``.
    seed : Int
        Of the rattling.
    structures : StructureData
        One or more ordered structures, each under a name of its own; taken in the order of the names.

    Returns
    -------
    ConfigurationsData
        The configurations, not labelled.
    """
    images = strain.start_set(
        [_ordered(structures[name], name) for name in sorted(structures)],
        seed=seed.value,
        **_options(parameters, strain.start_set),
    )
    return DataFactory("lpsgb.configurations")(images=images)


@calcfunction
@refusing
def supercell(structure: orm.StructureData, parameters: orm.Dict) -> orm.StructureData:
    """Repeat a structure.

    Parameters
    ----------
    structure : StructureData
        An ordered structure.
    parameters : Dict
        Either ``matrix`` (three integers or 3 × 3 integers), or ``n_atoms`` and/or ``height`` (in Å): the least number
        of atoms and the least distance between opposite faces.

    Returns
    -------
    StructureData
        The supercell.
    """
    return orm.StructureData(ase=_repeated(structure, parameters))


@calcfunction
@refusing
def bicrystal(
    structure: orm.StructureData,
    parameters: orm.Dict,
    potential: orm.Data | None = None,
    parent: orm.Data | None = None,
) -> dict[str, orm.Data]:
    """Build bicrystals with two grain boundaries a cell out of whole molecular units.

    Parameters
    ----------
    structure : StructureData
        The crystal, ordered, in the setting that the indices refer to where it has no parent.
    parameters : Dict
        ``plane`` and, optionally, ``axis`` (which tilts need), ``kind``, ``convention``, ``sigma``, ``angle``,
        ``angle_tolerance``, ``plane_2``, ``direction``, ``direction_2``, ``max_strain``, ``max_area``
        (:func:`aiida_lpsgb.structures.boundary.boundaries`), ``n_candidates``, ``width``, ``region``, ``n_atoms``,
        ``shift_step``, ``contact``, ``n_scanned`` (:func:`aiida_lpsgb.structures.bicrystal.bicrystals`), ``cutoffs``
        (bonds, such as ``{"P-S": 2.5}``) and
        ``charges`` (:class:`aiida_lpsgb.structures.crystal.Crystal`).
    potential : PotentialData, optional
        If given, shifts and gaps are ranked by its energies, else by density.
    parent : StructureData or CifData, optional
        The crystal before it was relaxed or ordered: indices refer to its cell, and symmetry that was lost counts as
        well (:class:`aiida_lpsgb.structures.crystal.Crystal`).

    Returns
    -------
    dict
        ``structure`` (StructureData, the best candidate), ``others`` (``candidate_1`` …) and ``results`` (Dict:
        ``candidates``, a list with orientation, strain, cut, shift, gaps and ``regions`` of each, in the same order).
    """
    options = parameters.get_dict()
    _refuse_vacuum(options)
    _require_known(options, BOUNDARY_KEYS, BOUNDARY_REQUIRED)
    crystal = _crystal(structure, options, parent)
    found = _boundaries(crystal, options)
    calculator = None if potential is None else _calculator(potential)
    building = {key: value for key, value in options.items() if key in BUILD_KEYS}
    built = bicrystals.bicrystals(crystal, found[0], calculator=calculator, **building)
    descriptions = [{**atoms.info["grain_boundary"], "n_atoms": len(atoms)} for atoms in built]
    return _ranked_outputs(built, {"candidates": descriptions})


@calcfunction
@refusing
def rattle(structure: orm.StructureData, parameters: orm.Dict, seed: orm.Int) -> dict[str, orm.StructureData]:
    """Displace every atom of a structure by Gaussian noise, in several copies.

    Parameters
    ----------
    structure : StructureData
        An ordered structure.
    parameters : Dict
        ``amplitude`` (standard deviation of each Cartesian component, in Å) and ``n``, how many copies.
    seed : Int
        Source of the noise.

    Returns
    -------
    dict
        ``copy_0``, ``copy_1`` … (StructureData).
    """
    options = _options(parameters, strain.rattle, *RATTLE_REQUIRED)
    copies = strain.rattle(_ordered(structure, "structure"), seed=seed.value, **options)
    return {f"copy_{i}": orm.StructureData(ase=atoms) for i, atoms in enumerate(copies)}


@calcfunction
@refusing
def boundary_energies(
    descriptions: orm.Dict, bulk_results: orm.Dict, bulk: orm.StructureData, **relaxed: orm.Dict
) -> orm.Dict:
    """Compute the excess energies of relaxed bicrystals against the bulk.

    Parameters
    ----------
    descriptions : Dict
        ``results`` of `lpsgb.bicrystal`.
    bulk_results, bulk : Dict, StructureData
        ``results`` and ``structure`` of the `lpsgb.md` run that relaxed the crystal.
    relaxed : Dict
        ``results`` of the run that relaxed ``candidate_N``, under that name.

    Returns
    -------
    Dict
        ``energies_J_m2`` by candidate, ``lowest`` (the name of the lowest), ``bulk_energy_eV_per_atom``, ``candidates``
        (their descriptions by name) and ``regions`` of the lowest.
    """
    if not relaxed:
        raise ValueError("relaxed: give the results of at least one relaxed candidate")
    per_atom = bulk_results["minimised_energies_eV"][-1] / len(bulk.sites)
    known = {f"candidate_{i}": entry for i, entry in enumerate(descriptions["candidates"])}
    energies = {}
    for name, results in relaxed.items():
        if name not in known:
            raise ValueError(f"relaxed: no {name} among the candidates described, {', '.join(known)}")
        _refuse_vacuum({"vacuum": known[name].get("vacuum_A", 0.0)})
        energies[name] = energy_of_boundary(known[name], results["minimised_energies_eV"][-1], per_atom)
    lowest = min(energies, key=energies.get)
    return orm.Dict(
        {
            "energies_J_m2": energies,
            "lowest": lowest,
            "bulk_energy_eV_per_atom": per_atom,
            "candidates": {name: known[name] for name in energies},
            "regions": known[lowest]["regions"],
        }
    )


def energy_of_boundary(described: Mapping[str, Any], energy_eV: float, bulk_energy_eV_per_atom: float) -> float:
    """Excess energy, in J/m², of a bicrystal that `lpsgb.bicrystal` has described, by its energy and the bulk's."""
    return bicrystals.boundary_energy(
        energy_eV,
        described["n_atoms"],
        bulk_energy_eV_per_atom,
        described["total_area_A2"],
        len(described["regions"]),
    )


@calcfunction
@refusing
def lowest(**results: orm.Dict) -> orm.Dict:
    """Pick the relaxation of lowest energy.

    Parameters
    ----------
    results : Dict
        ``results`` of `lpsgb.md` runs that ended with a minimisation, each under a name; all of one composition.

    Returns
    -------
    Dict
        ``lowest`` (its name) and ``energies_eV`` (by name).
    """
    if not results:
        raise ValueError("give the results of at least one relaxation")
    energies = {name: node["minimised_energies_eV"][-1] for name, node in sorted(results.items())}
    return orm.Dict({"lowest": min(energies, key=energies.get), "energies_eV": energies})


@calcfunction
@refusing
def interface(
    crystal: orm.StructureData, glass: orm.StructureData, parameters: orm.Dict, parent: orm.Data | None = None
) -> dict[str, orm.Data]:
    """Join a glass to a crystal plane on both sides.

    Parameters
    ----------
    crystal : StructureData
        The crystal, ordered, in the setting that the indices refer to where it has no parent.
    glass : StructureData
        A periodic glass of the same elements.
    parameters : Dict
        ``plane`` and, optionally, the other keywords of :func:`aiida_lpsgb.structures.interface.interface`, and
        ``cutoffs`` and ``charges`` of :class:`aiida_lpsgb.structures.crystal.Crystal`.
    parent : StructureData or CifData, optional
        The crystal before it was ordered, to whose cell indices refer.

    Returns
    -------
    dict
        ``structure`` (StructureData) and ``results`` (Dict: area, strain of the glass, thicknesses, gaps, ``regions``).
    """
    options = parameters.get_dict()
    _require_known(options, INTERFACE_KEYS | set(CRYSTAL_KEYS), ("plane",))
    atoms = interfaces.interface(
        _crystal(crystal, options, parent),
        _ordered(glass, "glass"),
        **{key: value for key, value in options.items() if key not in CRYSTAL_KEYS},
    )
    return {
        "structure": orm.StructureData(ase=atoms),
        "results": orm.Dict({**atoms.info["interface"], "n_atoms": len(atoms)}),
    }


@calcfunction
@refusing
def amorphous_report(structure: orm.StructureData, reference: orm.StructureData, parameters: orm.Dict) -> orm.Dict:
    """Measure long-range order, density and units of a quenched structure and of the crystal it was.

    Parameters
    ----------
    structure, reference : StructureData
        The quenched structure and the crystal.
    parameters : Dict
        ``centre`` and ``unit`` and, optionally, ``cutoffs``, ``max_bragg_order`` and ``max_pair_modulation`` of
        :func:`aiida_lpsgb.structures.amorphous.characterise`.

    Returns
    -------
    Dict
        ``structure`` and ``reference``, each with the fields of
        :class:`aiida_lpsgb.structures.amorphous.AmorphousReport`.
    """
    options = _options(parameters, amorphous.characterise, *AMORPHOUS_REQUIRED)
    nodes = {"structure": structure, "reference": reference}
    return orm.Dict(
        {name: amorphous.characterise(_ordered(node, name), **options).as_dict() for name, node in nodes.items()}
    )


def order_request_error(options: dict[str, Any], crystal: orm.Data | None = None) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.order`, for a crystal if it is given, or None."""
    try:
        _require_known(options, ORDER_KEYS)
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
            disordered, _ = _partially_occupied(crystal, options.get("check_formula", True))
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
        _refuse_vacuum(options)
        _require_known(options, BOUNDARY_KEYS, BOUNDARY_REQUIRED)
        check_request(**{key: options[key] for key in REQUEST_KEYS if key in options})
        bicrystals.check_sizes(**{key: options[key] for key in SIZE_KEYS if key in options})
        if structure is not None:
            _boundaries(_crystal(structure, options, parent), options)
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
    disordered, _ = _partially_occupied(crystal, check_formula=False)
    return _boundaries(Crystal(site_marks(disordered), cutoffs={}), options)[0]


def boundary_of_crystal_error(options: dict[str, Any], crystal: orm.CifData | orm.StructureData) -> str | None:
    """Say why a crystal, which may still be disordered, has no such boundary, or None."""
    try:
        boundary_of_crystal(options, crystal)
    except (TypeError, ValueError) as error:
        return f"boundary: {error}"
    return None


def _boundaries(crystal: Crystal, options: dict[str, Any]) -> list[Boundary]:
    """Find the boundary that is asked for; what is none is refused."""
    request = {"axis": None, **{key: value for key, value in options.items() if key in REQUEST_KEYS}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)
        found = boundaries(crystal, **request, smallest=True)
    require_boundary(found)
    return found


def _refuse_vacuum(options: dict[str, Any]) -> None:
    if options.get("vacuum"):
        raise ValueError(
            "vacuum: the energy of a boundary is that of a cell with two of them; with vacuum it would hold two free "
            "surfaces as well (aiida_lpsgb.structures.bicrystal.build makes such cells)"
        )


def rattle_request_error(options: dict[str, Any]) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.rattle`, or None."""
    try:
        _require_known(options, RATTLE_REQUIRED, RATTLE_REQUIRED)
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
        _require_known(options, known, required)
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
        _repeated(structure, parameters)
    except (TypeError, ValueError) as error:
        return f"supercell: {error}"
    return None


def amorphous_request_error(options: dict[str, Any], structure: orm.StructureData) -> str | None:
    """Say what is wrong with the parameters of `lpsgb.amorphous_report` for what was this crystal, or None."""
    try:
        _require_known(options, AMORPHOUS_KEYS, AMORPHOUS_REQUIRED)
        formulas = survey(_ordered(structure, "structure"), options.get("cutoffs")).formulas
    except (TypeError, ValueError) as error:
        return f"amorphous: {error}"
    if options["centre"] not in structure.get_symbols_set():
        return f"amorphous: the structure has no {options['centre']}, which `centre` names"
    if options["unit"] not in formulas:
        return f"amorphous: the structure has no unit {options['unit']}, only {', '.join(formulas)}"
    return None


def _repeated(structure: orm.StructureData, parameters: orm.Dict) -> Atoms:
    """Repeat a structure by matrix or by size."""
    atoms = _ordered(structure, "structure")
    options = parameters.get_dict()
    if set(options) == {"matrix"}:
        return supercells.supercell(atoms, options["matrix"])
    return supercells.at_least(atoms, **_options(parameters, supercells.at_least))


def _crystal(structure: orm.StructureData, options: dict[str, Any], parent: orm.Data | None = None) -> Crystal:
    return Crystal(
        _ordered(structure, "structure"),
        parent=None if parent is None else _partially_occupied(parent, check_formula=False)[0],
        **{key: options[key] for key in CRYSTAL_KEYS if key in options},
    )


def _calculator(potential: orm.Data) -> MTPCalculator:
    return MTPCalculator(potential.mtp, potential.species)


def _partially_occupied(node: orm.Data, check_formula: bool = True) -> tuple[Structure, list[str]]:
    """Return the crystal of a CifData or StructureData with its occupancies, and what reading it warned of."""
    if isinstance(node, orm.StructureData):
        return node.get_pymatgen_structure(), []
    if not isinstance(node, orm.CifData):
        raise ValueError(f"structure must be CifData or StructureData, not {type(node).__name__}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StructureWarning)
        disordered = read_cif(node.get_content(), check_formula=check_formula)
    return disordered, [str(item.message) for item in caught if item.category is StructureWarning]


def _ordered(node: orm.StructureData, name: str) -> Atoms:
    """Return the atoms of a structure, partial occupancies refused."""
    require_ordered(node, name)
    return node.get_ase()


def _ranked_outputs(ranked: Sequence[Atoms], results: dict[str, Any]) -> dict[str, Any]:
    """Store the best structure, the others by rank, and what is known of them."""
    nodes = [orm.StructureData(ase=atoms) for atoms in ranked]
    outputs: dict[str, Any] = {"structure": nodes[0], "results": orm.Dict(results)}
    if nodes[1:]:
        outputs["others"] = {f"candidate_{i}": node for i, node in enumerate(nodes[1:], start=1)}
    return outputs


def _options(parameters: orm.Dict, function: Callable[..., Any], *required: str) -> dict[str, Any]:
    """Return the parameters as keywords of a function.

    A seed and the structures themselves (the first argument) are inputs of their own, so they are no parameters.
    """
    options = parameters.get_dict()
    signature = inspect.signature(function).parameters
    _require_known(options, {name for i, name in enumerate(signature) if i > 0 and name != "seed"}, required)
    return options


def _require_known(options: dict[str, Any], known: Collection[str], required: Collection[str] = ()) -> None:
    """Refuse unknown and missing parameters by name."""
    unknown = sorted(set(options).difference(known))
    if unknown:
        named = ", ".join(unknown) + meant(unknown, known)
        raise ValueError(f"parameters: unknown {named}; known are {', '.join(sorted(known))}")
    missing = sorted(set(required).difference(options))
    if missing:
        raise ValueError(f"parameters: {', '.join(missing)} must be given")
