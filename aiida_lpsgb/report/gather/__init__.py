"""Collect what a study, a sweep or a learning has found from its nodes.

Everything is read from the processes that were called, not from the outputs at the top, so that one that runs, was
killed or was imported is looked at as one that has finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiida_lpsgb.report.gather.effort import by_label, codes_of, counts_of, jobs_of, left_out_in, seeds_of, versions_of
from aiida_lpsgb.report.gather.learning import (
    boundary_energies_of,
    grid_of,
    learning_of,
    prediction_pks_of,
    test_errors_of,
    test_set_pk_of,
)
from aiida_lpsgb.report.gather.nodes import LEARNING, PASSIVE, ROOTS, TRANSPORT, below
from aiida_lpsgb.report.gather.potentials import cards_of, potentials_of, properties_of
from aiida_lpsgb.report.gather.systems import systems_of
from aiida_lpsgb.report.processes import ProcessTree, inputs_of, outputs_of
from aiida_lpsgb.report.results import Learning, Results, System

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = ["ROOTS", "study_results"]


def study_results(node: ProcessNode) -> Results:
    """Collect what a process has found so far.

    Parameters
    ----------
    node
        An `lpsgb.study`, `lpsgb.transport`, `lpsgb.active_learning` or `lpsgb.passive_learning` process; it may still
        run.

    Raises
    ------
    ValueError
        If the process is of another kind.
    """
    if node.process_type not in ROOTS:
        kinds = ", ".join(root.partition(":")[2] for root in ROOTS)
        raise ValueError(f"{node.process_label}<{node.pk}> is none of the processes that have results: {kinds}")
    tree = ProcessTree(node.pk).refresh()
    jobs, cached = jobs_of(tree)
    systems = systems_of(tree, node, jobs)
    learning = learning_of(tree)
    root = tree.root
    return Results(
        pk=node.pk,
        uuid=node.uuid,
        label=node.label,
        description=node.description,
        process_label=node.process_label,
        outcome=root.outcome,
        finished=root.succeeded,
        failed=root.failed,
        ctime=node.ctime,
        duration=node.mtime - node.ctime,
        material=material_of(tree, node),
        systems=systems,
        learning=learning,
        grid=grid_of(tree),
        test_errors=test_errors_of(tree),
        test_set_pk=test_set_pk_of(tree),
        prediction_pks=prediction_pks_of(tree),
        boundary_energies=boundary_energies_of(tree),
        potentials=potentials_of(tree),
        cards=cards_of(tree),
        properties=properties_of(tree),
        failures=failures_of(systems, learning),
        processes=counts_of(tree, cached),
        core_hours={label: sum(jobs[pk] for pk in pks) for label, pks in by_label(tree, jobs).items()},
        codes=codes_of(jobs),
        seeds=seeds_of(tree),
        versions=versions_of(node, jobs),
        left_out=left_out_in(tree),
    )


def material_of(tree: ProcessTree, node: ProcessNode) -> str | None:
    """Reduced formula of what was studied."""
    if node.process_type == LEARNING:
        structures = below("structures__", inputs_of([node.pk], ["structures__*"]).get(node.pk, {}))
        structure = next((structures[name] for name in sorted(structures)), None)
    elif node.process_type in (TRANSPORT, PASSIVE):
        structure = node.inputs.structure
    else:
        structure = outputs_of([node.pk], ["structure"]).get(node.pk, {}).get("structure")
    if structure is None:
        return None
    return structure.get_pymatgen().composition.reduced_formula


def failures_of(systems: Sequence[System], learning: Learning | None) -> tuple[str, ...]:
    """What went wrong, each cause once; first the potential, where it is one that has all the failed runs."""
    from aiida_lpsgb.calculations.functions.sweep import potential_at_fault

    failures = [f"learning: {learning.outcome}"] if learning and learning.failed else []
    ended = {s.name: [run for run in s.runs if run.failed or not run.outcome] for s in systems}
    blame = potential_at_fault({name: {run.label: not run.failed for run in runs} for name, runs in ended.items()})
    failures += [f"of the runs {blame}"] if blame else []
    for system in systems:
        broken = [f"{system.name} {run.label}: {run.outcome}" for run in system.runs if run.failed]
        failures += broken or ([f"{system.name}: {system.outcome}"] if system.failed else [])
    return tuple(failures)
