"""The tree of processes below one, read from the database with few queries.

Every query is fetched as a whole: a cursor that is left open while its rows are looked at would keep those who write
to an SQLite database waiting, and fail them after seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiida.orm import Node

ENDED = ("finished", "excepted", "killed")
SAYS_NOTHING = re.compile(r"CALL|iteration_\d+|part_\d+|look_\d+")
"""Names of calls that tell nothing beside the process that was called."""
CHUNK = 5000
"""Primary keys in one query; databases refuse many more."""


@dataclass
class Process:
    """A process of a tree.

    Attributes
    ----------
    pk, label, process_type
        As `verdi process list` shows them; the type is the entry point of its class.
    state, exit_status, exit_message, exception
        How it stands or how it ended.
    job_state
        Where a calculation job is (``uploading``, ``withscheduler``, …), None for other processes.
    is_job
        Whether it is a calculation job.
    ctime, mtime
        When it was created and last changed.
    caller
        Primary key of the process that called it, None at the top.
    name
        By which its caller called it, such as the name of a system or a run.
    children
        Primary keys of the processes it called, in the order it did.
    """

    pk: int
    label: str = ""
    process_type: str = ""
    state: str | None = None
    exit_status: int | None = None
    exit_message: str | None = None
    exception: str | None = None
    job_state: str | None = None
    is_job: bool = False
    ctime: datetime | None = None
    mtime: datetime | None = None
    caller: int | None = None
    name: str = ""
    children: list[int] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether it ended as it should."""
        return self.state == "finished" and self.exit_status == 0

    @property
    def failed(self) -> bool:
        """Whether it ended as it should not."""
        return self.ended and not self.succeeded

    @property
    def outcome(self) -> str:
        """How it ended or stands, in words."""
        name = f"{self.label}<{self.pk}>"
        if self.succeeded:
            return f"{name} finished"
        if self.state == "finished":
            return f"{name} failed with exit status {self.exit_status}: {self.exit_message}"
        if self.state == "excepted":
            return f"{name} excepted: {last_line(self.exception)}"
        if self.state == "killed":
            return f"{name} was killed"
        return f"{name} is {self.state or 'created'}"


class ProcessTree:
    """The processes called, directly or not, by one process; read again with as few queries as it has levels.

    Parameters
    ----------
    pk
        Primary key of the process at the top.
    """

    PROJECTION = (
        "id",
        "attributes.process_label",
        "process_type",
        "attributes.process_state",
        "attributes.exit_status",
        "attributes.exit_message",
        "attributes.exception",
        "attributes.state",
        "node_type",
        "ctime",
        "mtime",
    )

    def __init__(self, pk: int):
        self.pk = pk
        self.processes: dict[int, Process] = {}

    @property
    def root(self) -> Process:
        """The process at the top."""
        return self.processes[self.pk]

    def refresh(self) -> ProcessTree:
        """Read all states that may have changed since the last call."""
        closed = {pk for pk, process in self.processes.items() if process.ended}
        parents = {self.pk, *self.processes} - closed
        self._read(parents)
        while parents:
            closed |= parents  # a process calls no more than one query has shown, until the next refresh
            parents = self._read_children(parents) - closed
        return self

    def active(self) -> list[Process]:
        """Processes that have not ended, the oldest first."""
        return [process for _, process in sorted(self.processes.items()) if not process.ended]

    def children(self, pk: int, process_type: str | None = None) -> list[Process]:
        """The processes that one called, of an entry point if one is given, in the order it did."""
        # By time, since the keys of an imported process follow the order of the archive.
        called = sorted((self.processes[child] for child in self.processes[pk].children), key=lambda one: one.ctime)
        return [process for process in called if process_type in (None, process.process_type)]

    def below(self, pk: int, process_type: str | None = None) -> Iterator[Process]:
        """Every process below one, depth first."""
        for child in self.children(pk):
            if process_type in (None, child.process_type):
                yield child
            yield from self.below(child.pk, process_type)

    def _read(self, pks: Iterable[int]) -> None:
        from aiida.orm import ProcessNode, QueryBuilder

        for some in chunks(pks):
            query = QueryBuilder().append(ProcessNode, filters={"id": {"in": some}}, project=list(self.PROJECTION))
            for row in query.all():
                self._update(row)

    def _read_children(self, parents: set[int]) -> set[int]:
        from aiida.common.links import LinkType
        from aiida.orm import ProcessNode, QueryBuilder

        calls = {"type": {"in": [LinkType.CALL_CALC.value, LinkType.CALL_WORK.value]}}
        found = set()
        for some in chunks(parents):
            query = QueryBuilder().append(ProcessNode, filters={"id": {"in": some}}, tag="parent", project="id")
            query.append(
                ProcessNode,
                with_incoming="parent",
                edge_filters=calls,
                edge_project="label",
                project=list(self.PROJECTION),
                tag="child",
            )
            for parent, *row, name in sorted(query.all(), key=lambda line: line[1]):
                process = self._update(row)
                process.caller, process.name = parent, name
                if process.pk not in self.processes[parent].children:
                    self.processes[parent].children.append(process.pk)
                found.add(process.pk)
        return found

    def _update(self, row: Sequence[Any]) -> Process:
        pk, label, kind, state, status, message, exception, job_state, node_type, ctime, mtime = row
        process = self.processes.setdefault(pk, Process(pk))
        process.label, process.process_type, process.state = label or "", kind or "", state
        process.exit_status, process.exit_message, process.exception = status, message, exception
        process.job_state, process.is_job = job_state, ".calcjob." in node_type
        process.ctime, process.mtime = ctime, mtime
        return process


def names_of(tree: ProcessTree, pk: int) -> list[str]:
    """The names by which a process and its callers were called, from the top, without those that say nothing."""
    names = []
    process = tree.processes[pk]
    while process.pk != tree.pk and process.caller is not None:
        names.append(process.name)
        process = tree.processes[process.caller]
    return [name for name in reversed(names) if not SAYS_NOTHING.fullmatch(name)]


def chunks(pks: Iterable[int]) -> Iterator[list[int]]:
    """Primary keys in lists that are short enough for a query."""
    ordered = sorted(pks)
    for begin in range(0, len(ordered), CHUNK):
        yield ordered[begin : begin + CHUNK]


def outputs_of(pks: Iterable[int], labels: Sequence[str]) -> dict[int, dict[str, Node]]:
    """Outputs of many processes, by primary key and label.

    Parameters
    ----------
    pks
        Of the processes.
    labels
        Labels of the links; a ``*`` at the end stands for anything.
    """
    from aiida.common.links import LinkType

    return _linked(pks, labels, [LinkType.CREATE.value, LinkType.RETURN.value], "with_incoming")


def inputs_of(pks: Iterable[int], labels: Sequence[str]) -> dict[int, dict[str, Node]]:
    """Inputs of many processes, by primary key and label; see :func:`outputs_of`."""
    from aiida.common.links import LinkType

    return _linked(pks, labels, [LinkType.INPUT_CALC.value, LinkType.INPUT_WORK.value], "with_outgoing")


def _linked(pks: Iterable[int], labels: Sequence[str], types: list[str], join: str) -> dict[int, dict[str, Node]]:
    from aiida.orm import Data, ProcessNode, QueryBuilder

    exact = [label for label in labels if not label.endswith("*")]
    patterns = [label[:-1].replace("_", "\\_") + "%" for label in labels if label.endswith("*")]
    alternatives = [{"label": {"like": pattern}} for pattern in patterns] + (
        [{"label": {"in": exact}}] if exact else []
    )
    found: dict[int, dict[str, Node]] = {}
    for some in chunks(pks):
        query = QueryBuilder().append(ProcessNode, filters={"id": {"in": some}}, tag="process", project="id")
        query.append(
            Data,
            edge_filters={"type": {"in": types}, "or": alternatives},
            edge_project="label",
            project="*",
            **{join: "process"},
        )
        for pk, node, label in sorted(query.all(), key=lambda row: row[1].ctime):
            found.setdefault(pk, {})[label] = node
    return found


def last_line(text: str | None) -> str:
    """The last line of a traceback, which names the error."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason is known"
