"""Calcfunctions of the passive stage: which potentials are tried, on what, and which of them is taken."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.functions.seeds import derive_seed
from aiida_lpsgb.calculations.validation import levels_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.mtp.choice import Candidate, choose, pareto_front
from aiida_lpsgb.mtp.comparison import ERRORS, compare, uncertainty_key

SETTINGS = {
    "levels": "levels of the moment tensor potentials",
    "cutoffs_angstrom": "their cut-offs, each with each level",
    "validation_share": "share of the configurations that is validated on, where there is one fold",
    "n_folds": "with 1, one part is validated on; with more, each of so many, by potentials that the others trained",
    "error": f"by which the choice is made: {', '.join(ERRORS)}",
    "target": "the cheapest potential with at most this error is chosen; with null, the cheapest within one standard "
    "error of the best",
}


def settings_error(settings: Mapping[str, Any]) -> str | None:
    """Say what is wrong with the settings of the passive stage."""
    if set(settings) != set(SETTINGS):
        wrong = sorted(set(settings) ^ set(SETTINGS))
        return f"settings: {', '.join(wrong)} unknown or missing; there must be {', '.join(SETTINGS)}"
    levels, cutoffs = settings["levels"], settings["cutoffs_angstrom"]
    if not _are_different(levels) or not all(isinstance(v, int) and v % 2 == 0 and 2 <= v <= 28 for v in levels):
        return f"settings: levels is {levels}, expected different even numbers from 2 to 28"
    if not _are_different(cutoffs) or not all(isinstance(v, (int, float)) and v > 0 for v in cutoffs):
        return f"settings: cutoffs_angstrom is {cutoffs}, expected different positive numbers"
    if not (isinstance(settings["n_folds"], int) and settings["n_folds"] >= 1):
        return f"settings: n_folds is {settings['n_folds']!r}, expected an integer of at least 1"
    if not 0 < settings["validation_share"] < 1:
        return f"settings: validation_share is {settings['validation_share']}, expected a number between 0 and 1"
    if settings["error"] not in ERRORS:
        return f"settings: error is {settings['error']!r}, expected one of {', '.join(ERRORS)}"
    if settings["target"] is not None and not settings["target"] > 0:
        return f"settings: target is {settings['target']}, expected a positive number or null"
    return None


def _are_different(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and len(set(values)) == len(values)


def point_label(level: int, cutoff_angstrom: float) -> str:
    """Name of a point of the grid: `l08_r5`, `l14_r5p5`."""
    return f"l{level:02d}_r{cutoff_angstrom:g}".replace(".", "p")


def grid_points(settings: Mapping[str, Any]) -> dict[str, tuple[int, float]]:
    """Level and cut-off of each point by its name, the small ones first."""
    pairs = [(level, cutoff) for level in sorted(settings["levels"]) for cutoff in sorted(settings["cutoffs_angstrom"])]
    return {point_label(*pair): pair for pair in pairs}


def fold_sizes(count: int, settings: Mapping[str, Any]) -> list[int]:
    """How many of so many configurations are validated on in each fold.

    Raises
    ------
    ValueError
        If there are too few of them.
    """
    n_folds = settings["n_folds"]
    if n_folds == 1:
        sizes = [max(round(count * settings["validation_share"]), 1)]
    else:
        sizes = [len(part) for part in np.array_split(np.arange(count), n_folds)]
    if min(sizes) < 2 or count - max(sizes) < 1:
        raise ValueError(
            f"of {count} configurations {min(sizes)} would be validated on: at least 2 are needed, and some to train on"
        )
    return sizes


@calcfunction
def split_validation(
    settings: orm.Dict, seed: orm.Int, **training_sets: ConfigurationsData
) -> dict[str, ConfigurationsData]:
    """Split labelled configurations at random into what is trained and what is validated on.

    Parameters
    ----------
    settings : Dict
        `n_folds` and `validation_share`.
    seed : Int
        Seed of the choice.
    training_sets : ConfigurationsData
        Labelled configurations of one level of theory.

    Returns
    -------
    dict
        ``training_<fold>`` and ``validation_<fold>``, folds from 0; each configuration is validated on once at most.
    """
    if error := levels_error(training_sets.items()):
        raise ValueError(error)
    ordered = [training_sets[label] for label in sorted(training_sets)]
    images = list(chain.from_iterable(ordered))
    species = sorted(set(chain.from_iterable(node.species for node in ordered)))
    level = ordered[0].level_of_theory
    order = np.random.default_rng(derive_seed(seed.value, "validation")).permutation(len(images))
    parts, start = {}, 0
    for fold, size in enumerate(fold_sizes(len(images), settings.get_dict())):
        chosen = set(order[start : start + size].tolist())
        start += size
        for name, kept in (("training", False), ("validation", True)):
            some = (atoms for place, atoms in enumerate(images) if (place in chosen) is kept)
            parts[f"{name}_{fold}"] = ConfigurationsData(some, species, level)
    return parts


@calcfunction
def plan_grid(potential: orm.Dict, training: orm.Dict, settings: orm.Dict, seed: orm.Int) -> dict[str, orm.Dict]:
    """Parameters of every potential of the grid, and of every training.

    Parameters
    ----------
    potential : Dict
        Of `lpsgb.potential.untrained`; level and cut-off are those of the grid.
    training : Dict
        Of `lpsgb.mlp.train`; each training gets a seed by the name of its point and fold.
    settings : Dict
        Keys of `SETTINGS`.
    seed : Int
        Seed that those of the trainings derive from.

    Returns
    -------
    dict
        ``potential_<point>`` and ``training_<point>_<fold>``, points as `point_label` names them.
    """
    plan = {}
    for label, (level, cutoff) in grid_points(settings.get_dict()).items():
        plan[f"potential_{label}"] = orm.Dict({**potential.get_dict(), "level": level, "cutoff_angstrom": cutoff})
        for fold in range(settings["n_folds"]):
            own = {"seed": derive_seed(seed.value, "grid", label, f"fold {fold}")}
            plan[f"training_{label}_{fold}"] = orm.Dict({**training.get_dict(), **own})
    return plan


@calcfunction
def choose_potential(potential: orm.Dict, settings: orm.Dict, **found: orm.Data) -> dict[str, orm.Dict]:
    """Compare the potentials of a grid and choose one.

    Parameters
    ----------
    potential : Dict
        Of `lpsgb.potential.untrained`.
    settings : Dict
        Keys of `SETTINGS`.
    found : Data
        ``validation_<fold>`` (labelled configurations), ``predicted_<point>_<fold>`` (the same by a potential that was
        not trained on them) and ``timing_<point>`` (what its steps took, as `lpsgb.md` gives it). A point that lacks
        one of them is not chosen.

    Returns
    -------
    dict
        ``grid``: `points` (level, cut-off, errors with uncertainties over all folds, `time_us_atom_step`, `on_front`,
        `chosen`, `missing`), `error`, `target` and the `reason` of the choice. ``parameters``: those of the chosen
        potential, which hold nothing that was measured; absent if none is good enough.
    """
    values = settings.get_dict()
    points = [
        {"name": label, "level": level, "cutoff_angstrom": cutoff, **_point(label, values, found)}
        for label, (level, cutoff) in grid_points(values).items()
    ]
    whole = [point for point in points if not point["missing"]]
    if not whole:
        raise ValueError("no point of the grid has both errors and a cost")
    error = values["error"]
    candidates = [
        Candidate(point["name"], point["time_us_atom_step"], point[error], point[uncertainty_key(error)])
        for point in whole
    ]
    chosen, reason = choose(candidates, values["target"])
    for place, (point, on_front) in enumerate(zip(whole, pareto_front(candidates), strict=True)):
        point |= {"on_front": on_front, "chosen": place == chosen}
    outputs = {"grid": orm.Dict({"points": points, "error": error, "target": values["target"], "reason": reason})}
    if chosen is not None:
        own = {key: whole[chosen][key] for key in ("level", "cutoff_angstrom")}
        outputs["parameters"] = orm.Dict({**potential.get_dict(), **own})
    return outputs


def _point(label: str, settings: Mapping[str, Any], found: Mapping[str, orm.Data]) -> dict[str, Any]:
    """What is known of a point of the grid."""
    folds = range(settings["n_folds"])
    known: dict[str, Any] = {"missing": [], "on_front": False, "chosen": False}
    if missing := [fold for fold in folds if f"predicted_{label}_{fold}" not in found]:
        known["missing"].append(f"predictions of fold {', '.join(map(str, missing))}")
    else:
        reference = chain.from_iterable(found[f"validation_{fold}"] for fold in folds)
        predicted = chain.from_iterable(found[f"predicted_{label}_{fold}"] for fold in folds)
        known |= compare(reference, predicted)
        if settings["error"] not in known:
            known["missing"].append(f"labels for {settings['error']}")
    if f"timing_{label}" in found:
        known["time_us_atom_step"] = found[f"timing_{label}"]["time_us_atom_step"]
    else:
        known["missing"].append("a measured cost")
    return known
