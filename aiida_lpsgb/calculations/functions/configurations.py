"""Calcfunctions that split, join and pick configurations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_lpsgb.calculations.validation import levels_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp import comparison
from aiida_lpsgb.mtp.configurations import labels as labels_of

# A batch of fewer configurations than this is not worth a job of its own: loading a calculator takes as long.
WORTH_A_JOB = 4


def n_batches(count: int, batch_size: int, max_concurrent: int = 1) -> int:
    """Return how many batches configurations are split into.

    Parameters
    ----------
    count
        Number of configurations.
    batch_size
        Most configurations a batch may have.
    max_concurrent
        Jobs that can run at the same time; as many batches are made if each is worth a job.

    Returns
    -------
    int
        At least 1.
    """
    return max(-(-count // batch_size), min(max_concurrent, count // WORTH_A_JOB), 1)


@calcfunction
def split(
    configurations: ConfigurationsData, batch_size: orm.Int, max_concurrent: orm.Int | None = None
) -> dict[str, ConfigurationsData]:
    """Split configurations into batches of nearly equal size, in order.

    Parameters
    ----------
    configurations : ConfigurationsData
        What to split.
    batch_size : Int
        Most configurations a batch may have.
    max_concurrent : Int
        Jobs that can run at the same time: smaller batches are made to occupy them.

    Returns
    -------
    dict
        ``batch_000``, ``batch_001`` …
    """
    if batch_size.value < 1:
        raise ValueError(f"batch_size is {batch_size.value}, expected at least 1")
    count = len(configurations)
    number = n_batches(count, batch_size.value, max_concurrent.value if max_concurrent else 1)
    images = iter(configurations)
    return {
        f"batch_{k:03d}": _like(configurations, islice(images, count * (k + 1) // number - count * k // number))
        for k in range(number)
    }


@calcfunction
def split_compositions(
    configurations: ConfigurationsData, batch_size: orm.Int, max_concurrent: orm.Int
) -> dict[str, ConfigurationsData]:
    """Split configurations into batches of one composition each, as `split` does for those of one.

    Parameters
    ----------
    configurations : ConfigurationsData
        What to split.
    batch_size : Int
        Most configurations a batch may have.
    max_concurrent : Int
        Jobs that can run at the same time.

    Returns
    -------
    dict
        ``batch_000``, ``batch_001`` …, by composition and within it in order.
    """
    alike: dict[str, list[int]] = {}
    for place, atoms in enumerate(configurations):
        alike.setdefault(atoms.get_chemical_formula(), []).append(place)
    batches = []
    for places in alike.values():
        number = n_batches(len(places), batch_size.value, max_concurrent.value)
        batches += [part.tolist() for part in np.array_split(places, number)]
    with configurations.open_reader() as reader:
        return {
            f"batch_{k:03d}": _like(configurations, (reader[place] for place in places))
            for k, places in enumerate(batches)
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


@calcfunction
def compare(reference: ConfigurationsData, predicted: ConfigurationsData) -> orm.Dict:
    """Errors of predictions.

    Parameters
    ----------
    reference : ConfigurationsData
        Labelled configurations.
    predicted : ConfigurationsData
        The same configurations in the same order, as `lpsgb.mlp.predict` labels them.

    Returns
    -------
    Dict
        What `aiida_lpsgb.mtp.comparison.compare` gives: mean absolute (``mae``), root mean square (``rmse``) and
        largest (``max``) errors, the unit in each key, with standard errors.
    """
    return orm.Dict(comparison.compare(reference, predicted))


def _key(atoms: Atoms) -> bytes:
    """Return what tells configurations apart; labelling changes none of it, down to the last bit."""
    return atoms.numbers.tobytes() + atoms.positions.tobytes() + atoms.cell.array.tobytes() + atoms.pbc.tobytes()


def _like(configurations: ConfigurationsData, images: Iterator[Atoms]) -> ConfigurationsData:
    return ConfigurationsData(images, configurations.species, configurations.level_of_theory)
