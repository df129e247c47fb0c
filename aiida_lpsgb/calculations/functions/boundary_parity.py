"""Calcfunctions that hold the energies of boundaries by potentials against those of the label engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.functions.structures import energy_of_boundary, refusing
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.mtp.configurations import labels

BULK, BOUNDARY = "bulk_", "boundary_"
"""What the names of cells begin with."""
RESULTS, PREDICTED = "results_", "predicted_"


@calcfunction
def small_boundaries(cell: orm.Dict, **boundaries: orm.Dict) -> dict[str, orm.Dict]:
    """Put what all small cells have in common over each request for a boundary.

    Parameters
    ----------
    cell : Dict
        Parameters of `lpsgb.bicrystal`: its size and how it is searched for.
    boundaries : Dict
        Parameters of `lpsgb.bicrystal` by boundary: what it is.
    """
    return {name: orm.Dict({**boundary, **cell}) for name, boundary in boundaries.items()}


@calcfunction
def cells_to_label(**structures: orm.StructureData) -> ConfigurationsData:
    """Collect relaxed cells, each with its name as ``source``.

    Parameters
    ----------
    structures : StructureData
        The cells by their names.
    """
    images = []
    for label in sorted(structures):
        atoms = structures[label].get_ase()
        atoms.info["source"] = label
        images.append(atoms)
    return ConfigurationsData(images)


@calcfunction
@refusing
def compare_boundaries(labelled: ConfigurationsData, **known: orm.Data) -> dict[str, orm.Dict]:
    """Energies of boundaries by single points of the label engine, and by each potential for the same cells.

    Parameters
    ----------
    labelled : ConfigurationsData
        Cells of `cells_to_label`, as far as they have labels.
    known : Data
        ``results_NAME`` (Dict) of the `lpsgb.grain_boundary` that has relaxed a boundary, and ``predicted_POTENTIAL``
        (ConfigurationsData), what a potential says of the same cells in the same order.

    Returns
    -------
    dict
        ``energies`` (Dict): ``boundaries``, by name ``n_atoms``, ``label_J_m2`` and ``potentials_J_m2`` by potential;
        ``unlabelled``, names of boundaries of which a label is missing; ``level_of_theory``. ``errors_POTENTIAL``
        (Dict): ``boundary_energy_mae_J_m2``, ``boundary_energy_max_J_m2`` and ``n_boundaries``.

    Raises
    ------
    ValueError
        If no boundary has both labels.
    """
    made = {key.removeprefix(RESULTS): node for key, node in sorted(known.items()) if key.startswith(RESULTS)}
    predicted = {key.removeprefix(PREDICTED): node for key, node in sorted(known.items()) if key.startswith(PREDICTED)}
    sizes = {atoms.info["source"]: len(atoms) for atoms in labelled}
    label = dict(zip(sizes, _energies(labelled), strict=True))
    energies = {name: dict(zip(sizes, _energies(node), strict=True)) for name, node in predicted.items()}
    boundaries, unlabelled = {}, []
    for name, results in made.items():
        if not {BULK + name, BOUNDARY + name} <= set(sizes):
            unlabelled.append(name)
            continue
        described, n_bulk = results["candidates"][results["lowest"]], sizes[BULK + name]
        boundaries[name] = {
            "n_atoms": described["n_atoms"],
            "label_J_m2": _gamma(name, described, label, n_bulk),
            "potentials_J_m2": {who: _gamma(name, described, found, n_bulk) for who, found in energies.items()},
        }
    if not boundaries:
        raise ValueError("no boundary has labels of both its crystal and its bicrystal")
    level = labelled.level_of_theory
    outputs = {"energies": {"boundaries": boundaries, "unlabelled": unlabelled, "level_of_theory": level}}
    for who in energies:
        off = [abs(found["potentials_J_m2"][who] - found["label_J_m2"]) for found in boundaries.values()]
        outputs[f"errors_{who}"] = {
            "boundary_energy_mae_J_m2": sum(off) / len(off),
            "boundary_energy_max_J_m2": max(off),
            "n_boundaries": len(off),
        }
    return {name: orm.Dict(values) for name, values in outputs.items()}


def _energies(configurations: ConfigurationsData) -> list[float]:
    return [labels(atoms)["energy"] for atoms in configurations]


def _gamma(name: str, described: Mapping[str, Any], energies: Mapping[str, float], n_bulk: int) -> float:
    """Energy of a boundary by energies of its bicrystal and of its crystal of so many atoms."""
    return energy_of_boundary(described, energies[BOUNDARY + name], energies[BULK + name] / n_bulk)
