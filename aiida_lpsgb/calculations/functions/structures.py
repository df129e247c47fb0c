"""Calcfunctions over `aiida_lpsgb.structures`: every structure's history leads back to the file it came from.

Input that cannot be used is refused: the process finishes with exit code 410 and the reason as its message, and has no
outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida.plugins import DataFactory
from ase import Atoms

from aiida_lpsgb.calculations.functions.structure_requests import (
    AMORPHOUS_REQUIRED,
    BOUNDARY_KEYS,
    BOUNDARY_REQUIRED,
    BUILD_KEYS,
    CRYSTAL_KEYS,
    INTERFACE_KEYS,
    ORDER_KEYS,
    RATTLE_REQUIRED,
    boundaries_for,
    crystal_of,
    options_for,
    ordered,
    partially_occupied,
    refuse_vacuum,
    repeated,
    require_known,
)
from aiida_lpsgb.mtp.calculator import MTPCalculator
from aiida_lpsgb.structures import amorphous, ordering, strain
from aiida_lpsgb.structures import bicrystal as bicrystals
from aiida_lpsgb.structures import interface as interfaces

#: Exit status of a calcfunction that refuses its input.
REFUSED = 410


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
    require_known(options, ORDER_KEYS)
    disordered, said = partially_occupied(structure, options.pop("check_formula", True))
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
        [ordered(structures[name], name) for name in sorted(structures)],
        seed=seed.value,
        **options_for(parameters, strain.start_set),
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
    return orm.StructureData(ase=repeated(structure, parameters))


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
    refuse_vacuum(options)
    require_known(options, BOUNDARY_KEYS, BOUNDARY_REQUIRED)
    crystal = crystal_of(structure, options, parent)
    found = boundaries_for(crystal, options)
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
    options = options_for(parameters, strain.rattle, *RATTLE_REQUIRED)
    copies = strain.rattle(ordered(structure, "structure"), seed=seed.value, **options)
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
        refuse_vacuum({"vacuum": known[name].get("vacuum_A", 0.0)})
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
    require_known(options, INTERFACE_KEYS | set(CRYSTAL_KEYS), ("plane",))
    atoms = interfaces.interface(
        crystal_of(crystal, options, parent),
        ordered(glass, "glass"),
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
    options = options_for(parameters, amorphous.characterise, *AMORPHOUS_REQUIRED)
    nodes = {"structure": structure, "reference": reference}
    return orm.Dict(
        {name: amorphous.characterise(ordered(node, name), **options).as_dict() for name, node in nodes.items()}
    )


def _calculator(potential: orm.Data) -> MTPCalculator:
    return MTPCalculator(potential.mtp, potential.species)


def _ranked_outputs(ranked: Sequence[Atoms], results: dict[str, Any]) -> dict[str, Any]:
    """Store the best structure, the others by rank, and what is known of them."""
    nodes = [orm.StructureData(ase=atoms) for atoms in ranked]
    outputs: dict[str, Any] = {"structure": nodes[0], "results": orm.Dict(results)}
    if nodes[1:]:
        outputs["others"] = {f"candidate_{i}": node for i, node in enumerate(nodes[1:], start=1)}
    return outputs
