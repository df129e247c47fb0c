"""Run many children of a work chain, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ToContext, WorkChain


class QueueMixin(WorkChain):
    """A queue of children in the context: fill it, then loop `while_(queue_waits)(run_batch)`.

    The children end up in `ctx.children`, label to process node, in the order they were queued.
    """

    def fill_queue(self, process_class: type, inputs: Mapping[str, Mapping[str, Any]], max_concurrent: int) -> None:
        """Queue a child for every label."""
        self.ctx.queue = [(label, dict(values)) for label, values in inputs.items()]
        self.ctx.queue_process = process_class
        self.ctx.queue_width = max_concurrent
        self.ctx.children = {}

    def queue_waits(self) -> bool:
        """Whether children are left to run."""
        self._collect()
        return bool(self.ctx.queue)

    def run_batch(self) -> ToContext:
        """Submit the next children and wait for them."""
        batch, self.ctx.queue = self.ctx.queue[: self.ctx.queue_width], self.ctx.queue[self.ctx.queue_width :]
        submitted = {}
        for label, inputs in batch:
            inputs.setdefault("metadata", {})["call_link_label"] = label
            submitted[f"queued_{label}"] = self.submit(self.ctx.queue_process, **inputs)
        return ToContext(**submitted)

    def _collect(self) -> None:
        """Move finished children from their context keys to `ctx.children`."""
        for key in [key for key in self.ctx if key.startswith("queued_")]:
            node: orm.ProcessNode = self.ctx.pop(key)
            self.ctx.children[key.removeprefix("queued_")] = node
