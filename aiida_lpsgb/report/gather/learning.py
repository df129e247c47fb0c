"""What was learned and how well: the curve, the labels, errors on the test set, and the passive stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.gather.nodes import (
    ADVANCE,
    CHOOSE,
    LABELLING,
    LEARNING,
    PARITY,
    PASSIVE,
    VALIDATION,
    below,
    last,
    newest,
    standing,
)
from aiida_lpsgb.report.processes import Process, ProcessTree, inputs_of, outputs_of
from aiida_lpsgb.report.results import Learning

if TYPE_CHECKING:
    from aiida.orm import Node


def learning_of(tree: ProcessTree) -> Learning | None:
    """The learning at the top or those right below it: where there were several, each went on from the one before."""
    root = tree.root
    loops = [root] if root.process_type == LEARNING else tree.children(root.pk, LEARNING)
    if not loops:
        return None
    curves = [_curve(tree, one) for one in loops]
    rows = [row for curve in curves for row in curve.get("iterations", ())]
    loop, curve = loops[-1], curves[-1]
    given = inputs_of([loop.pk], ["training_sets__*", "settings"]).get(loop.pk, {})
    sets = dict(sorted(below("training_sets__", given).items()))
    rounds = tree.children(loop.pk, LABELLING)
    labelled = outputs_of([process.pk for process in rounds], ["configurations"])
    sets |= {process.name: labelled[process.pk]["configurations"] for process in rounds if process.pk in labelled}
    levels = [node.base.attributes.get("level_of_theory", None) for node in sets.values()]
    return Learning(
        iterations=tuple({**row, "iteration": number} for number, row in enumerate(rows, start=1)),
        converged=bool(curve.get("converged")),
        outcome=standing(loop),
        failed=loop.failed,
        labels={name: node.base.attributes.get("count") for name, node in sets.items()},
        level_of_theory=next((level for level in levels if level), None),
        gamma_select=given["settings"].get_dict().get("gamma_select") if "settings" in given else None,
    )


def _curve(tree: ProcessTree, loop: Process) -> dict[str, Any]:
    """What the iterations of a loop so far have shown."""
    step = last(tree.children(loop.pk, ADVANCE))
    return outputs_of([step.pk], ["result"])[step.pk]["result"].get_dict() if step else {}


def test_errors_of(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """Errors of each potential on the test set of a study."""
    return {name: node.get_dict() for name, node in _of_validation(tree, "errors_", "result").items()}


def prediction_pks_of(tree: ProcessTree) -> dict[str, int]:
    """What each potential predicts for the test set of a study."""
    return {name: node.pk for name, node in _of_validation(tree, "predict_", "configurations").items()}


def _of_validation(tree: ProcessTree, prefix: str, output: str) -> dict[str, Node]:
    """An output of every process of the validation whose name begins so, by the rest of its name."""
    called = [
        process
        for validation in tree.children(tree.pk, VALIDATION)
        for process in tree.children(validation.pk)
        if process.name.startswith(prefix)
    ]
    found = outputs_of([process.pk for process in called], [output])
    named = {process.name.removeprefix(prefix): found[process.pk] for process in called if process.pk in found}
    return {name: nodes[output] for name, nodes in sorted(named.items())}


def test_set_pk_of(tree: ProcessTree) -> int | None:
    """The labelled frames that a study tests its potentials on."""
    labelled = [
        process.pk
        for validation in tree.children(tree.pk, VALIDATION)
        for process in tree.children(validation.pk, LABELLING)
    ]
    found = outputs_of(labelled, ["configurations"])
    return next((found[pk]["configurations"].pk for pk in labelled if pk in found), None)


def boundary_energies_of(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """Energies of small cells of boundaries, by the label engine and by each potential of the last production."""
    compared = tree.children(tree.pk, PARITY)
    found = outputs_of([process.pk for process in compared], ["energies"])
    nodes = [found[process.pk]["energies"] for process in compared if process.pk in found]
    return nodes[-1].get_dict()["boundaries"] if nodes else {}


def grid_of(tree: ProcessTree) -> dict[str, Any] | None:
    """What the passive stage at the top or right below it has found."""
    root = tree.root
    stage = root if root.process_type == PASSIVE else newest(tree.children(root.pk, PASSIVE))
    chosen = last(tree.children(stage.pk, CHOOSE)) if stage else None
    return outputs_of([chosen.pk], ["grid"])[chosen.pk]["grid"].get_dict() if chosen else None
