"""Run many children of a work chain, a bounded number at a time; as one ends the next begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec, ProcessState, ToContext, WorkChain
from aiida.engine.processes.workchains.awaitable import Awaitable

from aiida_lpsgb.calculations.validation import declare_count
from aiida_lpsgb.workflows.outputs import how_it_ended, named

_RUNNING = "queued_"


class QueueMixin(WorkChain):
    """A queue of children in the context: fill it, then loop ``while_(queue_waits)(run_queue)``.

    AiiDA goes on with a work chain when all children that a step waits for have ended. Here it goes on when the first
    of them has, for its end may bring more of them; those that still run are waited for again. The children end up in
    ``ctx.children``, label to process node, in the order they were queued.
    """

    @staticmethod
    def limit_queue(spec: ProcessSpec, what: str) -> None:
        """Declare the port `max_concurrent`: how many of what is queued run at the same time."""
        declare_count(spec, "max_concurrent", 2, f"{what} at the same time.")

    def fill_queue(self, process_class: type, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Queue a child for every label, after a queue that is empty."""
        self.open_queue()
        for label, values in inputs.items():
            self.enqueue(label, process_class, values)

    def open_queue(self, width: int | None = None) -> None:
        """Begin with an empty queue, of which so many run at the same time: `max_concurrent` if not given."""
        self.ctx.queue = []
        self.ctx.queue_width = self.inputs.max_concurrent.value if width is None else width
        self.ctx.children = {}

    def enqueue(self, label: str, process_class: type, inputs: Mapping[str, Any]) -> None:
        """Add a child to the queue."""
        self.ctx.queue.append((label, process_class, inputs))
        self.ctx.children[label] = None  # keeps its place

    def drop_queued(self, labels: list[str]) -> None:
        """Take children that have not begun out of the queue."""
        self.ctx.queue = [entry for entry in self.ctx.queue if entry[0] not in labels]
        for label in labels:
            self.ctx.children.pop(label, None)

    def child_ended(self, label: str, node: orm.ProcessNode) -> None:
        """What follows from the end of a child, such as more of them; nothing by default."""

    def ended_well(self, otherwise: str) -> dict[str, orm.ProcessNode]:
        """Children that ended well; of the others that is reported, with ``otherwise`` and how they ended."""
        well = {label: node for label, node in self.ctx.children.items() if node.is_finished_ok}
        for label, node in self.ctx.children.items():
            if label not in well:
                self.report(f"{label} {otherwise}: {how_it_ended(node)}")
        return well

    def queue_waits(self) -> bool:
        """Whether children run or are to be run."""
        for key in self._running():
            if not isinstance(self.ctx[key], Awaitable):
                label, node = key.removeprefix(_RUNNING), self.ctx.pop(key)
                self.ctx.children[label] = node
                self.child_ended(label, node)
        return bool(self.ctx.queue or self._running())

    def run_queue(self) -> ToContext:
        """Submit as many children as may run, and wait for one to end."""
        waiting = {key: orm.load_node(self.ctx[key].pk) for key in self._running()}
        while self.ctx.queue and len(waiting) < self.ctx.queue_width:
            label, process_class, inputs = self.ctx.queue.pop(0)
            waiting[_RUNNING + label] = self.submit(process_class, **named(label, inputs))
        return ToContext(**waiting)

    def _running(self) -> list[str]:
        return [key for key in self.ctx if key.startswith(_RUNNING)]

    def _on_awaitable_finished(self, awaitable: Awaitable) -> None:
        """Go on at the end of one child of the queue.

        A child that was waited for by several steps calls back for each of them, with the awaitable of that step: the
        first call counts, and resolves the one that is waited for now.
        """
        current = next((other for other in self._awaitables if other.pk == awaitable.pk), None)
        if current is None:
            return
        super()._on_awaitable_finished(current)
        queued = current.key.startswith(_RUNNING)
        if self.state == ProcessState.WAITING and self._awaitables and queued:
            self.resume()
