"""Kinds of processes, and how their nodes are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aiida_lpsgb.report.processes import Process

if TYPE_CHECKING:
    from aiida.orm import Node

STUDY, TRANSPORT, LEARNING, PASSIVE = ROOTS = tuple(
    f"aiida.workflows:lpsgb.{name}" for name in ("study", "transport", "active_learning", "passive_learning")
)
RUN, VALIDATION, LABELLING = (f"aiida.workflows:lpsgb.{name}" for name in ("transport_run", "validate", "label"))
MD_BASE, PARITY, PROPERTIES = (f"aiida.workflows:lpsgb.{name}" for name in ("md.base", "boundary_parity", "properties"))
ANALYSIS, MD = (f"aiida.calculations:lpsgb.{name}" for name in ("analyse", "md"))
ADVANCE, CHOOSE, JUDGE, CARD = (
    f"aiida.calculations:lpsgb.{name}" for name in ("learning.advance", "passive.choose", "judge", "properties.card")
)


def below(prefix: str, nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes of a namespace by the rest of their labels."""
    return {label.removeprefix(prefix): node for label, node in nodes.items() if label.startswith(prefix)}


def last(processes: Sequence[Process]) -> Process | None:
    """The last process that left something."""
    return next((process for process in reversed(processes) if process.state == "finished"), None)


def newest(processes: Sequence[Process]) -> Process | None:
    """The last process, whether it left something or not."""
    return processes[-1] if processes else None


def standing(process: Process | None, whole: bool = True) -> str:
    """How a process ended or stands; empty if it ended well and nothing is to follow."""
    if process is None:
        return "not begun"
    return "" if whole and process.succeeded else process.outcome
