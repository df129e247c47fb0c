"""What labels will take, before they are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.engine.processes.builder import ProcessBuilderNamespace

from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.workflows.outputs import in_words
from aiida_lpsgb.workflows.protocols import child_inputs

LABEL = "aiida.workflows:lpsgb.label"
#: So many of the newest labellings are looked at.
MOST_LABELLINGS = 20


@dataclass(frozen=True)
class Measured:
    """What labels of a level of theory have taken.

    Attributes
    ----------
    seconds
        Time of a job for a label.
    n_labels, n_atoms
        Number of labels it was measured on, and their mean number of atoms.
    """

    seconds: float
    n_labels: int
    n_atoms: float


@dataclass(frozen=True)
class Cost:
    """What labels will take.

    Attributes
    ----------
    n_labels
        How many.
    at_most
        Whether that is a budget.
    level_of_theory
        By what.
    max_concurrent
        Jobs at the same time.
    seconds
        Time of a job for a label; None if not known.
    origin
        Where that is from.
    """

    n_labels: int
    at_most: bool
    level_of_theory: str
    max_concurrent: int
    seconds: float | None = None
    origin: str = ""

    @property
    def wall_time_s(self) -> float | None:
        """How long all of them will take; None if not known."""
        return None if self.seconds is None else self.n_labels * self.seconds / min(self.max_concurrent, self.n_labels)

    def __str__(self) -> str:
        """Tell it in a sentence."""
        what = f"{'at most ' if self.at_most else ''}{self.n_labels} labels by {self.level_of_theory}"
        if self.seconds is None:
            return f"{what}; what one takes is not known before the first ones are done"
        wall = in_words(self.wall_time_s)
        return f"{what}, {in_words(self.seconds)} each ({self.origin}): {wall} with {self.max_concurrent} at a time"


def measured(level_of_theory: str) -> Measured | None:
    """What labels of a level of theory have taken in this profile; None if none was computed here.

    Jobs that were taken from the cache do not count, nor do those that failed, except in the labellings that they
    belong to: a label that needs two attempts takes both.
    """
    builder = orm.QueryBuilder()
    builder.append(orm.WorkChainNode, filters={"process_type": LABEL}, tag="chain", project="*", edge_project="label")
    builder.append(
        orm.Dict, with_incoming="chain", edge_filters={"label": "results"},
        filters={"attributes.level_of_theory": level_of_theory, "attributes.n_labelled": {">": 0}},
    )  # fmt: skip
    builder.order_by({"chain": {"ctime": "desc"}}).limit(MOST_LABELLINGS)
    seconds = n_labels = n_atoms = 0.0
    for (chain,) in builder.all():
        jobs = [node for node in chain.called_descendants if isinstance(node, orm.CalcJobNode)]
        if not jobs or any(job.base.caching.is_created_from_cache for job in jobs):
            continue
        labelled = chain.outputs.configurations
        seconds += sum((job.mtime - job.ctime).total_seconds() for job in jobs)
        n_labels += len(labelled)
        n_atoms += labelled.base.attributes.get("n_atoms")
    return Measured(seconds / n_labels, int(n_labels), n_atoms / n_labels) if n_labels else None


def cost_of(inputs: Any, n_labels: int | None = None, seconds: float | None = None) -> Cost:
    """What the labels of a builder will take.

    Parameters
    ----------
    inputs
        Builder or inputs of `lpsgb.label`.
    n_labels
        How many there will be at most, where the configurations are not known yet.
    seconds
        What one takes; if not given, what those of the same level of theory have taken in this profile.
    """
    inputs = plain(inputs)
    level = level_of(inputs["engine"])
    found = measured(level) if seconds is None and level else None
    origin = f"measured on {found.n_labels} labels of {found.n_atoms:.0f} atoms" if found else "given"
    return Cost(
        n_labels=len(inputs["configurations"]) if n_labels is None else n_labels,
        at_most=n_labels is not None,
        level_of_theory=level or "a level of theory that their engine names",
        max_concurrent=inputs["max_concurrent"].value,
        seconds=found.seconds if found else seconds,
        origin=origin,
    )


def plain(inputs: Any) -> Mapping[str, Any]:
    """Return what a builder holds, without the namespaces that were left empty."""
    return child_inputs(inputs) if isinstance(inputs, ProcessBuilderNamespace) else inputs


def preview(builder: Any) -> list[str]:
    """What labels a builder asks for, and what they will take, as far as that is known before it runs.

    Parameters
    ----------
    builder
        Of `lpsgb.label`, `lpsgb.active_learning` or `lpsgb.study`. Of learning there is only the budget `max_labels`.
    """
    inputs = plain(builder)
    if "configurations" in inputs and "engine" in inputs:
        return [str(cost_of(inputs))]
    learning = inputs.get("active_learning") or inputs
    budget = learning["settings"].get_dict().get("max_labels") if "settings" in learning else None
    return [] if budget is None else [str(cost_of(learning["label"], budget))]
