"""Calcfunctions that split, join and pick configurations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_lpsgb.calculations.validation import levels_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.configurations import labels as labels_of


@calcfunction
def split(configurations: ConfigurationsData, batch_size: orm.Int) -> dict[str, ConfigurationsData]:
    """Split configurations into batches, in order.

    Parameters
    ----------
    configurations : ConfigurationsData
        What to split.
    batch_size : Int
        Most configurations a batch; the batches are as even as they can be.

    Returns
    -------
    dict
        ``batch_000``, ``batch_001`` …
    """
    size = batch_size.value
    if size < 1:
        raise ValueError(f"batch_size is {size}, expected at least 1")
    images = iter(configurations)
    fewest, n_larger = divmod(len(configurations), n_batches := -(-len(configurations) // size))
    return {
        f"batch_{number:03d}": _like(configurations, islice(images, fewest + (number < n_larger)))
        for number in range(n_batches)
    }


@calcfunction
def take(configurations: ConfigurationsData, indices: orm.List) -> ConfigurationsData:
    """Pick configurations by their places.

    Parameters
    ----------
    configurations : ConfigurationsData
        What to pick from.
    indices : List
        Places from 0, in the order wanted, each once.

    Returns
    -------
    ConfigurationsData
        The configurations picked.
    """
    places = indices.get_list()
    bad = [place for place in places if not (isinstance(place, int) and 0 <= place < len(configurations))]
    if bad:
        raise ValueError(f"indices: there are no places {bad}; the configurations have 0 to {len(configurations) - 1}")
    if len(set(places)) != len(places):
        raise ValueError("indices: a place is named twice")
    if not places:
        raise ValueError("indices: there is none")
    with configurations.open_reader() as reader:
        return _like(configurations, (reader[place] for place in places))


@calcfunction
def merge(**sets: ConfigurationsData) -> ConfigurationsData:
    """Join sets of configurations in the order of their labels.

    Parameters
    ----------
    sets : ConfigurationsData
        One or more, labelled by the same level of theory if labelled.

    Returns
    -------
    ConfigurationsData
        All configurations.
    """
    if not sets:
        raise ValueError("there is no set to merge")
    error = levels_error(sets.items())
    if error:
        raise ValueError(error)
    ordered = [sets[label] for label in sorted(sets)]
    species = list(dict.fromkeys(chain.from_iterable(node.species for node in ordered)))
    levels = {node.level_of_theory for node in ordered} - {None}
    return ConfigurationsData(chain.from_iterable(ordered), species, levels.pop() if levels else None)


@calcfunction
def collect_labels(configurations: ConfigurationsData, **labelled: ConfigurationsData) -> dict[str, orm.Data]:
    """Put labels that were computed in several jobs back on the configurations they belong to.

    Parameters
    ----------
    configurations : ConfigurationsData
        All configurations that labels were asked for.
    labelled : ConfigurationsData
        Any of these configurations, labelled, in any order.

    Returns
    -------
    dict
        ``configurations`` (those with a label, in order), ``unlabelled`` (the others; absent if there is none) and
        ``results`` (Dict: ``n_configurations``, ``n_labelled``, ``unlabelled`` (places), ``level_of_theory``).
    """
    error = levels_error(labelled.items())
    if error:
        raise ValueError(error)
    found = {_key(atoms): labels_of(atoms) for label in sorted(labelled) for atoms in labelled[label]}
    places = [place for place, atoms in enumerate(configurations) if _key(atoms) not in found]
    levels = {node.level_of_theory for node in labelled.values()} - {None}
    level = levels.pop() if levels else None
    results = {
        "n_configurations": len(configurations),
        "n_labelled": len(configurations) - len(places),
        "unlabelled": places,
        "level_of_theory": level,
    }
    outputs: dict[str, orm.Data] = {"results": orm.Dict(results)}
    if len(places) < len(configurations):
        images = (with_labels(atoms, **found[_key(atoms)]) for atoms in configurations if _key(atoms) in found)
        outputs["configurations"] = ConfigurationsData(images, configurations.species, level)
    if places:
        with configurations.open_reader() as reader:
            outputs["unlabelled"] = _like(configurations, (reader[place] for place in places))
    return outputs


def _key(atoms: Atoms) -> bytes:
    """Return what tells configurations apart; labelling changes none of it, down to the last bit."""
    return atoms.numbers.tobytes() + atoms.positions.tobytes() + atoms.cell.array.tobytes() + atoms.pbc.tobytes()


def _like(configurations: ConfigurationsData, images: Iterator[Atoms]) -> ConfigurationsData:
    return ConfigurationsData(images, configurations.species, configurations.level_of_theory)
