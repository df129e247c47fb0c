"""Calcfunctions of the active-learning loop: what to explore next, and what an iteration has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest
from numbers import Real
from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_lpsgb.calculations.functions.seeds import derive_seed
from aiida_lpsgb.calculations.functions.structures import refusing
from aiida_lpsgb.calculations.functions.sweep import at_temperature, temperature_label
from aiida_lpsgb.calculations.md_parameters import not_a_count, unknown_keys
from aiida_lpsgb.data.configurations import ConfigurationsData

CRITERIA = ("no_break", "no_selection")
FIRST = "p1"
"""Name of the potential that explores alone until its runs no longer end early; the others of its committee follow."""
MORE_ITERATIONS = 3
"""Times as many iterations as a potential has that begins from the one of the iteration before."""
FALLEN = 0.6
"""Share of the shortest distance of a potential, within which atoms have fallen into each other."""
LOOP_KEYS = ("temperatures_K", "n_replicas")
"""Settings of the loop that a structure may have of its own."""


def exploration_label(structure: str, temperature_K: float, replica: int, potential: str = FIRST) -> str:
    """Link label of an exploration run: `crystal_t500k_1`, or `crystal_t500k_1_p2` where another than the first ran."""
    label = f"{structure}_{temperature_label(temperature_K)}_{replica}"
    return label if potential == FIRST else f"{label}_{potential}"


def exploration_runs(
    settings: Mapping[str, Any], own: Mapping[str, Any], team: Sequence[str] = (FIRST,)
) -> list[tuple[float, int]]:
    """Temperatures and replicas of the exploration runs of a structure, with each potential that explores.

    Parameters
    ----------
    settings
        Settings of the loop.
    own
        What the structure has of its own: `temperatures_K`, `n_replicas`, and parameters of `lpsgb.md`.
    team
        Who explores. The first one goes everywhere; of others, and of all once they have learned from what it found, a
        run at the highest temperature shows whether they are sound.
    """
    merged = {**settings, **own}
    if list(team) != [FIRST]:
        return [(max(merged["temperatures_K"]), 1)]
    return [(t, replica) for replica in range(1, merged["n_replicas"] + 1) for t in merged["temperatures_K"]]


def without_loop_keys(own: Mapping[str, Any]) -> dict[str, Any]:
    """What a structure has of its own as parameters of `lpsgb.md`."""
    return {key: own[key] for key in own if key not in LOOP_KEYS}


@calcfunction
def plan_exploration(
    settings: orm.Dict,
    exploration: orm.Dict,
    structures: orm.List,
    potentials: orm.List,
    seed: orm.Int,
    history: orm.Dict | None = None,
    **explorations: orm.Dict,
) -> dict[str, orm.Data]:
    """Parameters and velocity seed of every exploration run of the next iteration.

    Parameters
    ----------
    settings
        Settings of the loop (see `lpsgb.active_learning`).
    exploration
        Parameters of `lpsgb.md` with the word `target` for the temperature.
    structures
        Names of the structures that are explored.
    potentials
        Names of the potentials that explore.
    seed
        Seed of the whole loop.
    history
        What the iterations so far have shown (`advance`); none before the first.
    explorations
        By structure: what comes over `settings` and `exploration` there.

    Returns
    -------
    dict
        `parameters_<run>` (Dict) and `seed_<run>` (Int) by `exploration_label`.
    """
    loop = settings.get_dict()
    iteration, stage = next_step(history.get_dict() if history else None)
    control = {
        "gamma_select": loop["gamma_select"],
        "gamma_break": loop["gamma_break"][stage],
        "grade": loop["grade"],
        "interval_steps": loop["grade_interval_steps"],
    }
    plan: dict[str, orm.Data] = {}
    for name in structures.get_list():
        own = explorations[name].get_dict() if name in explorations else {}
        template = {**exploration.get_dict(), **without_loop_keys(own)}
        for temperature, replica in exploration_runs(loop, own, potentials.get_list()):
            for potential in potentials.get_list():
                label = exploration_label(name, temperature, replica, potential)
                choice = (f"iteration {iteration}", name, f"{temperature:g} K", replica)
                choice += () if potential == FIRST else (potential,)
                parameters = {**at_temperature(template, temperature), "extrapolation": control}
                plan[f"parameters_{label}"] = orm.Dict(parameters)
                plan[f"seed_{label}"] = orm.Int(derive_seed(seed.value, *choice))
    return plan


@calcfunction
@refusing
def pick_candidates(settings: orm.Dict, potential: orm.Data, **frames: orm.Data) -> orm.Data:
    """Frames of production that extrapolate and can be labelled: what the study goes back to learning with.

    Of every run first the frame that came first: what follows was reached by a potential that no longer knew what it
    did. Among those the ones of higher grade go before. Too large frames are left out, and those with atoms that have
    fallen into each other, closer than `FALLEN` of where the radial functions of the potential begin: no label engine
    knows them.

    Parameters
    ----------
    settings
        `RETURN_SETTINGS`.
    potential
        What the frames are learned by (`lpsgb.potential`).
    **frames
        Outputs `extrapolated` of `lpsgb.md`, labelled `<run>_segment_<number>`.

    Returns
    -------
    ConfigurationsData
        At most ``max_labels`` configurations, each with its run as ``source`` in ``info``.
    """
    max_atoms = settings["max_atoms"]
    shortest_A = FALLEN * potential.base.attributes.get("min_distance_angstrom")
    runs: dict[str, list[Atoms]] = {}
    n_frames = n_large = 0
    for label, node in sorted(frames.items()):
        for atoms in node:
            n_frames += 1
            n_large += len(atoms) > max_atoms
            if len(atoms) <= max_atoms and not len(neighbor_list("i", atoms, shortest_A)):
                atoms.info["source"] = label.rsplit("_segment_", maxsplit=1)[0]
                runs.setdefault(atoms.info["source"], []).append(atoms)
    if not runs:
        raise ValueError(
            f"{n_frames} frames extrapolate, and none can be labelled: {n_large} have more than {max_atoms} atoms "
            f"(`max_atoms`), {n_frames - n_large} have atoms closer than {shortest_A:g} Å"
        )
    turns = ([atoms for atoms in turn if atoms is not None] for turn in zip_longest(*runs.values()))
    ordered = chain.from_iterable(sorted(turn, key=lambda atoms: -atoms.info.get("mv_grade", 0.0)) for turn in turns)
    return ConfigurationsData(islice(ordered, settings["max_labels"]), potential.species)


RETURN_SETTINGS = {
    "max_share": "the largest share of the frames of a system that may extrapolate, of all in which the grade was "
    "evaluated, for its results to stand",
    "max_returns": "how often the study goes back",
    "max_labels": "frames that are labelled each time",
    "max_atoms": "larger frames are not labelled",
}


def return_error(settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the settings of a return to learning, or None."""
    if message := unknown_keys(settings, RETURN_SETTINGS):
        return message
    if missing := [key for key in RETURN_SETTINGS if key not in settings]:
        return f"{', '.join(missing)} must be given"
    share = settings["max_share"]
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
        return f"`max_share` is {share!r}; it is a share, from 0 to below 1"
    return next(filter(None, (not_a_count(key, settings[key]) for key in RETURN_SETTINGS if key != "max_share")), None)


@calcfunction
def plan_committee(training: orm.Dict, settings: orm.Dict, seed: orm.Int) -> dict[str, orm.Dict]:
    """Training parameters of potentials that begin anew, which takes more iterations than to go on.

    All but the first have random coefficients and weights of the data of their own.

    Parameters
    ----------
    training
        Parameters of `lpsgb.mlp.train` of the first member.
    settings
        Settings of the loop; `n_potentials` counts the first.
    seed
        Seed of the whole loop.

    Returns
    -------
    dict
        A Dict by name, `p1` and so on.
    """
    values = training.get_dict()
    if "max_iter" in values:
        values["max_iter"] *= MORE_ITERATIONS
    return {
        name: orm.Dict(values if name == FIRST else member(values, derive_seed(seed.value, "committee", name)))
        for name in committee(settings.get_dict())
    }


def committee(settings: Mapping[str, Any]) -> list[str]:
    """Names of all potentials: `p1`, `p2` and so on."""
    return [f"p{k}" for k in range(1, settings["n_potentials"] + 1)]


def member(training: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Training parameters of a member of a committee with coefficients and weights of its own."""
    return {**training, "init_params": "random", "seed": seed, "bootstrap_seed": seed}


@calcfunction
def advance(
    settings: orm.Dict,
    training: orm.Dict,
    missing: orm.List,
    history: orm.Dict | None = None,
    test: orm.Dict | None = None,
    **explorations: orm.Dict,
) -> orm.Dict:
    """Add an iteration to the learning curve and decide whether the loop has converged.

    Parameters
    ----------
    settings
        Settings of the loop.
    training
        Results of the last training of the first potential.
    missing
        Labels of the runs that left no results; each counts as broken.
    history
        The learning curve so far; none before the first iteration.
    test
        Errors on the separate test set, where there is one.
    explorations
        Results of this iteration's molecular dynamics, `md_<run>`.
    """
    loop = settings.get_dict()
    before = history.get_dict() if history else None
    iteration, stage = next_step(before)
    row = {
        "iteration": iteration,
        "gamma_break": loop["gamma_break"][stage],
        "training": training.get_dict(),
        "test": test.get_dict() if test else None,
        **summarise_explorations(
            {label.removeprefix("md_"): node.get_dict() for label, node in explorations.items()}, missing.get_list()
        ),
    }
    return orm.Dict({"iterations": [*(before["iterations"] if before else []), row], **decide(row, stage, loop)})


def next_step(history: Mapping[str, Any] | None) -> tuple[int, int]:
    """Number of the next iteration (from 1) and the index of its `gamma_break`."""
    if history is None:
        return 1, 0
    return len(history["iterations"]) + 1, history["stage"]


def team_of(history: Mapping[str, Any] | None) -> list[str]:
    """Potentials that explore in the next iteration."""
    return [FIRST] if history is None else history["team"]


def ended_early(result: Mapping[str, Any]) -> bool:
    """Whether an exploration run did not reach its end, by its results."""
    return result["steps"] < result["planned_steps"]


def explored_by(label: str) -> str:
    """Name of the potential of an exploration run, by its label."""
    last = label.rpartition("_")[2]
    return FIRST if last.isdigit() else last


def summarise_explorations(results: Mapping[str, Mapping[str, Any]], missing: Sequence[str] = ()) -> dict[str, Any]:
    """How many runs reached their end, and how far the others went; runs without results are broken ones.

    Parameters
    ----------
    results
        Results of the runs that have some, by their labels.
    missing
        Labels of the others.
    """
    broken = [label for label, result in results.items() if ended_early(result)] + list(missing)
    grades = [result["max_grade"] for result in results.values() if result["max_grade"] is not None]
    potentials: dict[str, dict[str, int]] = {}
    for label in sorted([*results, *missing], key=explored_by):
        found = potentials.setdefault(explored_by(label), {"n_broken": 0, "n_extrapolated": 0})
        found["n_broken"] += label in broken
        found["n_extrapolated"] += results[label]["n_extrapolated"] if label in results else 0
    return {
        "potentials": potentials,
        "n_runs": len(results) + len(missing),
        "n_broken": len(broken),
        "n_missing": len(missing),
        "n_extrapolated": sum(found["n_extrapolated"] for found in potentials.values()),
        "max_grade": max(grades, default=None),
        "explored_ps": sum(result["steps"] * result["timestep_fs"] for result in results.values()) / 1000,
    }


def decide(row: Mapping[str, Any], stage: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Next index of the `gamma_break` schedule, who explores next, and whether the loop has converged.

    The loop goes on to the next `gamma_break` when every run of an iteration reached its end. A potential has settled
    when that is so at the last one (with `criterion: no_selection` not even a selected configuration may be left
    then). When the first has, the members of the committee that did not explore beside it are trained and explore, too;
    the loop has converged when each potential has settled.
    """
    last = stage == len(settings["gamma_break"]) - 1

    def has_settled(found: Mapping[str, int]) -> bool:
        nothing_new = found["n_extrapolated"] == 0
        return last and found["n_broken"] == 0 and (nothing_new or settings["criterion"] == "no_break")

    team = [name for name, found in row["potentials"].items() if not has_settled(found)]
    settled = not team
    if settled and FIRST in row["potentials"]:
        team = [name for name in committee(settings) if name not in row["potentials"]]
    return {
        "stage": stage + 1 if row["n_broken"] == 0 and not last else stage,
        "settled": settled,
        "team": team,
        "converged": not team,
    }
