"""Calcfunctions between configurations and programs that compute one configuration a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling import labels as label_checks
from aiida_lpsgb.labelling import vasp
from aiida_lpsgb.labelling.container import with_labels

PLACE = "image_{:05d}"


@calcfunction
def structures(configurations: ConfigurationsData) -> dict[str, orm.StructureData]:
    """Return each configuration as a structure, atoms of a species together.

    Parameters
    ----------
    configurations : ConfigurationsData
        Configurations, labelled or not.

    Returns
    -------
    dict
        ``image_00000``, ``image_00001`` …, with the atoms in the order of `aiida_lpsgb.labelling.vasp.site_order`.
    """
    return {PLACE.format(place): _structure(atoms) for place, atoms in enumerate(configurations)}


def _structure(atoms: Atoms) -> orm.StructureData:
    # Nothing but what a label depends on: tags and charges would make kinds of their own.
    order = vasp.site_order(atoms.get_chemical_symbols())
    plain = Atoms(numbers=atoms.numbers[order], positions=atoms.positions[order], cell=atoms.cell, pbc=atoms.pbc)
    return orm.StructureData(ase=plain)


@calcfunction
def labels_of_vasp(
    configurations: ConfigurationsData, level_of_theory: orm.Str, **misc: orm.Dict
) -> dict[str, orm.Data]:
    """Put VASP's results on the configurations they belong to.

    Parameters
    ----------
    configurations : ConfigurationsData
        All configurations that were computed.
    level_of_theory : Str
        Name the labels go by.
    misc : Dict
        Nodes ``misc`` of aiida-vasp by the place of the configuration, ``image_00000_misc``.

    Returns
    -------
    dict
        ``configurations`` (those with a label, in order) and ``results``.
    """

    def label(atoms: Atoms, nodes: Mapping[str, orm.Data]) -> dict[str, Any]:
        return vasp.label(nodes["misc"].get_dict(), atoms.get_chemical_symbols())

    return assemble(configurations, level_of_theory.value, misc, label)


def assemble(
    configurations: ConfigurationsData,
    level_of_theory: str,
    nodes: Mapping[str, orm.Data],
    label: Callable[[Atoms, Mapping[str, orm.Data]], Mapping[str, Any]],
) -> dict[str, orm.Data]:
    """Make the outputs of an engine from what its processes gave, one configuration each.

    Parameters
    ----------
    configurations
        All configurations.
    level_of_theory
        Name the labels go by.
    nodes
        Outputs of the processes by place and name, such as ``image_00003_misc``.
    label
        Function of a configuration and its nodes by name, which returns ``energy`` (eV), ``forces`` (eV/Å, in the
        order of the configuration) and ``stress`` (eV/Å³, Voigt, ASE's sign); it raises a ValueError where there is no
        label in them.

    Returns
    -------
    dict
        ``configurations`` (those with a label, in order; absent if there is none) and ``results`` (Dict:
        ``n_configurations``, ``n_labelled``, ``unlabelled`` (places), ``refused`` (place to reason),
        ``level_of_theory``).
    """
    found, refused = [], {}
    unlabelled = []
    for place, atoms in enumerate(configurations):
        prefix = PLACE.format(place) + "_"
        own = {key.removeprefix(prefix): node for key, node in nodes.items() if key.startswith(prefix)}
        if not own:
            unlabelled.append(place)
            continue
        try:
            values = dict(label(atoms, own))
            label_checks.check(values)
        except ValueError as error:
            refused[str(place)] = str(error)
            unlabelled.append(place)
            continue
        found.append(with_labels(atoms, **values))
    results = {
        "n_configurations": len(configurations),
        "n_labelled": len(found),
        "unlabelled": unlabelled,
        "refused": refused,
        "level_of_theory": level_of_theory,
    }
    outputs: dict[str, orm.Data] = {"results": orm.Dict(results)}
    if found:
        outputs["configurations"] = ConfigurationsData(found, configurations.species, level_of_theory)
    return outputs
