"""Calcfunctions over `aiida_lpsgb.structures`: every structure's history leads back to the file it came from."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from aiida.plugins import DataFactory
from ase import Atoms
from pymatgen.core import Structure

from aiida_lpsgb.structures import ordering, strain
from aiida_lpsgb.structures import supercell as supercells
from aiida_lpsgb.structures.validation import require_ordered


@calcfunction
def order(structure: orm.Data, parameters: orm.Dict, seed: orm.Int) -> dict[str, orm.Data]:
    """Fill the partially occupied sites of a crystal.

    Parameters
    ----------
    structure : CifData or StructureData
        The crystal, its sites partially occupied.
    parameters : Dict
        ``charges`` (element to formal charge) and, optionally, the other keywords of
        :func:`aiida_lpsgb.structures.ordering.order`: ``n_candidates``, ``supercell``, ``rank_by``, ``keep_shares``,
        ``max_deviation``, ``n_samples``.
    seed : Int
        Of the sampling of cells too large to enumerate.

    Returns
    -------
    dict
        ``structure`` (StructureData, the best arrangement), ``others`` (``candidate_1`` …, next best first) and
        ``results`` (Dict: ``ewald_energies_eV``, ``log_probabilities``, ``composition_deviation``).
    """
    candidates = ordering.order(
        _partially_occupied(structure), seed=seed.value, **_options(parameters, ordering.order, "charges")
    )
    results = {
        "n_candidates": len(candidates),
        "ewald_energies_eV": [atoms.info["ewald_energy_eV"] for atoms in candidates],
        "log_probabilities": [atoms.info["log_probability"] for atoms in candidates],
        "composition_deviation": candidates[0].info["composition_deviation"],
    }
    nodes = [orm.StructureData(ase=atoms) for atoms in candidates]
    outputs: dict[str, Any] = {"structure": nodes[0], "results": orm.Dict(results)}
    if nodes[1:]:
        outputs["others"] = {f"candidate_{i}": node for i, node in enumerate(nodes[1:], start=1)}
    return outputs


@calcfunction
def start_set(parameters: orm.Dict, seed: orm.Int, **structures: orm.StructureData) -> orm.Data:
    """Strain and rattle structures into the start set of a potential.

    Parameters
    ----------
    parameters : Dict
        Optional keywords of :func:`aiida_lpsgb.structures.strain.start_set`: ``strains``, ``shears``, ``amplitudes``,
        ``n_rattles``.
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
    options = parameters.get_dict()
    atoms = _ordered(structure, "structure")
    if set(options) == {"matrix"}:
        return orm.StructureData(ase=supercells.supercell(atoms, options["matrix"]))
    return orm.StructureData(ase=supercells.at_least(atoms, **_options(parameters, supercells.at_least)))


def _partially_occupied(node: orm.Data) -> Structure:
    """Return the crystal of a CifData or StructureData with its occupancies."""
    if isinstance(node, orm.CifData):
        return ordering.read_cif(node.get_content())
    if isinstance(node, orm.StructureData):
        return node.get_pymatgen_structure()
    raise TypeError(f"structure must be CifData or StructureData, not {type(node).__name__}")


def _ordered(node: orm.StructureData, name: str) -> Atoms:
    """Return the atoms of a structure, partial occupancies refused."""
    require_ordered(node, name)
    return node.get_ase()


def _options(parameters: orm.Dict, function: Callable[..., Any], *required: str) -> dict[str, Any]:
    """Return the parameters as keywords of a function, unknown and missing ones refused by name.

    A seed and the structures themselves are inputs of their own, so they are no parameters.
    """
    options = parameters.get_dict()
    signature = inspect.signature(function).parameters
    known = {name for i, name in enumerate(signature) if i > 0 and name != "seed"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"parameters: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    missing = sorted(set(required) - set(options))
    if missing:
        raise ValueError(f"parameters: {', '.join(missing)} must be given")
    return options
