"""The potentials of a study, their cards, and what they say of the crystal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.gather.nodes import CARD, LEARNING, PROPERTIES, TRANSPORT, below
from aiida_lpsgb.report.processes import ProcessTree, inputs_of, outputs_of

if TYPE_CHECKING:
    from aiida.orm import Node


def potentials_of(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """Every potential that ran or was learned, by name: primary key, class and attributes."""
    root = tree.root
    sweeps = [root.pk] if root.process_type == TRANSPORT else [p.pk for p in tree.children(root.pk, TRANSPORT)]
    nodes: dict[str, Node] = {}
    for given in inputs_of(sweeps[:1], ["potentials__*"]).values():
        nodes |= below("potentials__", given)
    loops = [root.pk] if root.process_type == LEARNING else [p.pk for p in tree.children(root.pk, LEARNING)]
    for learned in outputs_of(loops, ["potentials__*"]).values():
        nodes |= below("potentials__", learned)
    return {
        name: {"pk": node.pk, "class": type(node).__name__, **node.base.attributes.all}
        for name, node in sorted(nodes.items())
    }


def cards_of(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """The cards of a study: of each potential the last that was dealt."""
    dealt = {process.name.removeprefix("card_"): process.pk for process in tree.children(tree.pk, CARD)}
    found = outputs_of(dealt.values(), ["result"])
    return {name: found[pk]["result"].get_dict() for name, pk in sorted(dealt.items()) if pk in found}


def properties_of(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """What was found of the crystal by each potential and by the label engine, with the drift of the energy."""
    processes = {process.name.removeprefix("properties_"): process.pk for process in tree.children(tree.pk, PROPERTIES)}
    outputs = outputs_of(processes.values(), ["results", "drift"])
    found = {name: outputs.get(pk, {}) for name, pk in sorted(processes.items())}
    return {
        name: {**nodes["results"].get_dict(), "drift": nodes["drift"].get_dict() if "drift" in nodes else None}
        for name, nodes in found.items()
        if "results" in nodes
    }
