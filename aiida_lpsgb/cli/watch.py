"""``aiida-lpsgb watch``: what a running study is doing, until it ends."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, TextIO

import click

from aiida_lpsgb.cli.options import process_argument, profile_option
from aiida_lpsgb.cli.types import Number
from aiida_lpsgb.report.processes import ProcessTree, last_line, names_of

if TYPE_CHECKING:
    from aiida.orm import CalcJobNode, ProcessNode
    from aiida.transports import Transport

TAIL_BYTES = 4096
STATUS_INTERVAL_S = 20.0
"""Seconds between status lines where the last one cannot be overwritten."""
DAEMON_INTERVAL_S = 15.0
REMOTE_INTERVAL_S = 10.0
"""Seconds between looks into working folders on other machines."""
LOST_AFTER_S = 300.0
"""A daemon that has heard of a process begins it sooner."""


ROUTINE = re.compile(
    r"launching \S+ iteration #|work chain completed after \d+ iterations|remote folders will not be cleaned"
    r"|completed in 1 jobs|Submitted the `|\S+ failed but a handler |output parser returned exit code<310>"
)
"""What AiiDA reports of every restart work chain, and the end of a run by its extrapolation grade: the iteration's own
report counts those."""


class Reports:
    """What a growing set of processes reports, each line once, the oldest first, without AiiDA's routine lines."""

    def __init__(self) -> None:
        self.last = 0
        self.known: set[int] = set()

    def new(self, pks: Iterable[int]) -> list[tuple[datetime, str, str, int]]:
        """Time, level, text and process of the lines not given yet.

        Parameters
        ----------
        pks
            All processes of interest; one that was not there in the last call is asked for all its lines.
        """
        from aiida.orm import Log, QueryBuilder

        late = set(pks) - self.known
        wanted = []
        if self.known:
            wanted.append({"id": {">": self.last}, "dbnode_id": {"in": list(self.known)}})
        if late:
            wanted.append({"dbnode_id": {"in": list(late)}})
        query = QueryBuilder().append(
            Log, filters={"or": wanted}, project=["id", "time", "levelname", "message", "dbnode_id"]
        )
        rows = query.order_by({Log: "id"}).all()
        self.known |= late
        self.last = max([self.last, *(row[0] for row in rows)])
        lines = [(when, level, without_traceback(without_prefix(message)), pk) for _, when, level, message, pk in rows]
        return [line for line in lines if not ROUTINE.match(line[2])]


class Causes:
    """Reasons of failures; each is told once, however many processes hand it on."""

    AGAIN = "(as above)"

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.told: set[str] = set()
        self.lines: list[str] = []

    def learn(self, tree: ProcessTree) -> None:
        """Take note of why the processes of a tree failed; a line that says so may have been told already."""
        failed = [process for process in tree.processes.values() if process.failed]
        causes = {process.exit_message or last_line(process.exception) for process in failed}
        for cause in causes - self.known:
            self.known.add(cause)
            if any(cause in line for line in self.lines):
                self.told.add(cause)

    def once(self, text: str) -> str:
        """A line without the reasons that were told before."""
        shorter = text
        for cause in sorted(self.told, key=len, reverse=True):
            shorter = shorter.replace(cause, self.AGAIN)
        self.lines.append(text)
        self.told |= {cause for cause in self.known if cause in text}
        return shorter


def origin(tree: ProcessTree, pk: int, level: str) -> str:
    """What a line begins with: its level where it is more than a report, and the names of its system and run."""
    marks = [] if level == "REPORT" else [level.lower()]
    if name := " ".join(names_of(tree, pk)):
        marks.append(name)
    return "".join(f"{mark}: " for mark in marks)


def without_prefix(message: str) -> str:
    """Drop AiiDA's ``[pk|class|function]: `` from a report; a process that is not a work chain writes none."""
    return re.sub(r"^\[\d+\|[^\]]*\]: ", "", message)


def without_traceback(message: str) -> str:
    """The last line of a traceback, which names the error; other texts as they are."""
    if "Traceback (most recent call last)" not in message:
        return message
    return f"{last_line(message)} (the traceback: verdi process report)"


class Tails:
    """Last lines of files in the working folders of running jobs, read through their computers' transports.

    Use as a context manager: each computer's transport is opened once and closed at the end.
    """

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.transports: dict[int, Transport] = {}
        self.read_at: dict[tuple[int, str], tuple[float, list[str]]] = {}

    def __enter__(self) -> Tails:
        return self

    def __exit__(self, *exception) -> None:
        self.stack.close()

    def lines(self, job: CalcJobNode, name: str) -> list[str]:
        """Complete last lines of a file of the job; empty if it cannot be read (yet)."""
        folder = job.get_remote_workdir()
        if folder is None:
            return []
        interval = 0.0 if job.computer.transport_type == "core.local" else REMOTE_INTERVAL_S
        when, lines = self.read_at.get((job.pk, name), (-interval, []))
        if time.monotonic() - when < interval:
            return lines
        command = f"tail -c {TAIL_BYTES} {shlex.quote(f'{folder}/{name}')}"
        status, text, _ = self._transport(job).exec_command_wait(command)
        lines = text.splitlines() if status == 0 else []
        self.read_at[(job.pk, name)] = (time.monotonic(), lines)
        return lines

    def _transport(self, job: CalcJobNode) -> Transport:
        pk = job.computer.pk
        if pk not in self.transports:
            self.transports[pk] = self.stack.enter_context(job.get_transport())
        return self.transports[pk]


def md_progress(job: CalcJobNode, tails: Tails) -> str:
    """Step, share of the planned steps and temperature of a running `lpsgb.md` job; empty before its first step."""
    from aiida_lpsgb.calculations.md import MdCalculation
    from aiida_lpsgb.calculations.md_parameters import planned_steps, resolve

    planned = planned_steps(resolve(job.inputs.parameters.get_dict()))
    for line in reversed(tails.lines(job, MdCalculation.LOG_FILE)):
        if match := re.match(r"\s*(\d+)\s+([-+.\deE]+)(\s+[-+.\deE]+){3,}\s*$", line):
            step, temperature = int(match[1]), float(match[2])
            return f"step {step}/{planned} ({100 * step // max(planned, 1)} %), {temperature:.0f} K"
    return ""


def stdout_progress(job: CalcJobNode, tails: Tails) -> str:
    """Last line that a running job has printed; empty if its output is not kept or it printed nothing."""
    calcinfo = json.loads(job.base.repository.get_object_content(".aiida/calcinfo.json"))
    names = [code.get("stdout_name") for code in calcinfo.get("codes_info", [])]
    for name in filter(None, names):
        for line in reversed(tails.lines(job, name)):
            if line.strip():
                return " ".join(line.split())
    return ""


PROGRESS: dict[str, Callable[[CalcJobNode, Tails], str]] = {"aiida.calculations:lpsgb.md": md_progress}
"""How to read the progress of a kind of job; the others show the last line they printed."""


def job_progress(pk: int, tails: Tails) -> str:
    """One phrase on where a running job is; empty if that cannot be known now."""
    from aiida.orm import load_node

    job = load_node(pk)
    try:
        return PROGRESS.get(job.process_type, stdout_progress)(job, tails)
    except (OSError, ValueError, KeyError):
        return ""  # the folder, the file or the connection has just gone: the next look will tell


PLANS = {
    "plan_exploration": (("MdBase",), "runs"),
    "plan_sweep": (("MdBase", "TransportRun"), "runs"),
    "plan_grid": (("MlpTrainBase",), "trainings"),
}
"""Calcfunctions that plan what is to come, the processes that do it, and what these are called."""


def short(label: str) -> str:
    """A process's class without the words that all of them share."""
    return re.sub(r"(WorkChain|Calculation)$", "", label)


def runs_done(tree: ProcessTree, planned: Callable[[int], int]) -> list[str]:
    """How many runs of each exploration, sweep, test or grid that goes on have ended, of how many, and how many go on.

    Parameters
    ----------
    tree
        The processes.
    planned
        Number of runs that a calcfunction has planned, by its primary key.
    """
    phrases = []
    for parent in tree.active():
        children = tree.children(parent.pk)
        plans = [child for child in children if child.label in PLANS and child.succeeded]
        if not plans:
            continue
        labels, called = PLANS[plans[-1].label]
        runs = [child for child in children if child.pk > plans[-1].pk and short(child.label) in labels]
        going = sum(not run.ended for run in runs)
        if going:
            name = " ".join(names_of(tree, parent.pk))
            where = f"{name}: " if name else ""
            phrases.append(f"{where}{len(runs) - going} of {planned(plans[-1].pk)} {called} done, {going} going")
    return phrases


def labels_done(tree: ProcessTree, planned: Callable[[int], int]) -> list[str]:
    """How many labels of each engine that runs a process a label are done, and how long the others will take.

    Parameters
    ----------
    tree
        The processes.
    planned
        Number of configurations that a calcfunction has made a structure of, by its primary key.
    """
    from aiida_lpsgb.workflows.outputs import in_words

    phrases = []
    for parent in tree.active():
        children = tree.children(parent.pk)
        made = [child for child in children if child.label == "structures" and child.succeeded]
        runs = [child for child in children if child.name.startswith("image_")]
        if not made or not runs:
            continue
        total, ended = planned(made[-1].pk), [run for run in runs if run.ended]
        phrase = f"{len(ended)} of {total} labels done"
        if ended:
            each = sum((run.mtime - run.ctime).total_seconds() for run in ended) / len(ended)
            left = each * (total - len(ended)) / max(len(runs) - len(ended), 1)
            phrase += f", {in_words(each)} each, about {in_words(left)} to go"
        name = " ".join(names_of(tree, parent.pk))
        phrases.append(f"{name}: {phrase}" if name else phrase)
    return phrases


def n_planned(pk: int) -> int:
    """Number of what a calcfunction has planned: seeds of runs, parameters of trainings, or structures to label."""
    from aiida.orm import CalcFunctionNode, Data, QueryBuilder

    query = QueryBuilder().append(CalcFunctionNode, filters={"id": pk}, tag="plan")
    named = {"or": [{"like": f"{name}\\_%"} for name in ("seed", "training", "image")]}
    return query.append(Data, with_incoming="plan", edge_filters={"label": named}).count()


def status_line(tree: ProcessTree, tails: Tails, planned: Callable[[int], int] = n_planned) -> str:
    """What is going on now, in one line: the jobs that run and how far they are, the others counted."""
    active = tree.active()
    running = [process for process in active if process.is_job]
    phrases, counts = runs_done(tree, planned) + labels_done(tree, planned), Counter()
    for process in running:
        at_work = process.job_state == "withscheduler"
        progress = job_progress(process.pk, tails) if at_work else ""
        if progress:
            where = " ".join([*names_of(tree, process.pk), f"{short(process.label)}<{process.pk}>"])
            phrases.append(f"{where} {progress}")
        else:
            stage = "with the scheduler" if at_work else process.job_state or process.state or "created"
            counts[f"{short(process.label)} {stage}"] += 1
    phrases += [f"{number} × {text}" if number > 1 else text for text, number in sorted(counts.items())]
    if not phrases and active:
        deepest = active[-1]
        phrases = [f"{short(deepest.label)}<{deepest.pk}> {deepest.state or 'created'}"]
    n_ended = sum(process.ended for process in tree.processes.values())
    return f"[{n_ended} of {len(tree.processes)} processes done] " + "; ".join(phrases)


class Display:
    """Lines that stay, and one status line that is overwritten on a terminal and repeated now and then elsewhere.

    Parameters
    ----------
    stream
        Where to write.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream
        self.overwrites = stream.isatty()
        self.status = ""
        self.shown_at = -STATUS_INTERVAL_S

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self._clear()
        print(text, file=self.stream, flush=True)

    @property
    def is_due(self) -> bool:
        """Whether a status line would be shown now: always on a terminal, now and then in a file."""
        return self.overwrites or time.monotonic() - self.shown_at >= STATUS_INTERVAL_S

    def update(self, text: str) -> None:
        """Show a status line, where it is due."""
        if not self.is_due:
            return
        if self.overwrites:
            self._clear()
            width = shutil.get_terminal_size().columns - 1
            self.status = text if len(text) <= width else text[: width - 1] + "…"
            self.stream.write(self.status)
            self.stream.flush()
        else:
            self.shown_at = time.monotonic()
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Take the status line away."""
        self._clear()
        self.stream.flush()

    def _clear(self) -> None:
        if self.overwrites and self.status:
            self.stream.write("\r\x1b[2K")
            self.status = ""


def elapsed(node: ProcessNode, when: datetime) -> str:
    """Hours, minutes and seconds between the creation of a process and a moment."""
    return str(timedelta(seconds=max(0, round((when - node.ctime).total_seconds()))))


def daemon_hint() -> str | None:
    """A line that says how to go on if the profile's daemon is down, else None."""
    from aiida.common.exceptions import ConfigurationError
    from aiida.engine.daemon.client import get_daemon_client

    try:
        if get_daemon_client().is_daemon_running:
            return None
    except ConfigurationError:
        pass
    return "The daemon is not running, nothing will move until it is: verdi daemon start 2"


def lost_hint(tree: ProcessTree, now: datetime) -> str | None:
    """A line that says how to go on if processes have not been begun for long, else None."""
    waiting = [process for process in tree.active() if process.state == "created"]
    lost = [process for process in waiting if (now - process.ctime).total_seconds() > LOST_AFTER_S]
    if not lost:
        return None
    oldest = min(lost, key=lambda process: process.ctime)
    return (
        f"{short(oldest.label)}<{oldest.pk}> has not begun for {LOST_AFTER_S / 60:.0f} min; if the daemon was stopped "
        "or killed as it was submitted: verdi daemon stop, verdi process repair, verdi daemon start 2"
    )


def follow(node: ProcessNode, interval_s: float = 2.0, stream: TextIO | None = None) -> ProcessNode:
    """Print what a process and those below it do and report, until it ends.

    Nothing is changed and no process is needed to answer: the states are read from the database, the progress of
    jobs from their working folders. It may be interrupted and called again at any time.

    Parameters
    ----------
    node
        The process; it may have ended already.
    interval_s
        Seconds between looks.
    stream
        Where to write, standard output by default.

    Returns
    -------
    node
        The same node, ended.
    """
    from sqlalchemy.exc import OperationalError

    display = Display(stream or sys.stdout)
    tree, reports, causes = ProcessTree(node.pk), Reports(), Causes()
    planned = cache(n_planned)
    next_daemon_check, hint = 0.0, None
    with Tails() as tails:
        while True:
            try:
                ended = node.is_terminated  # before the last look, so that no report is missed
                causes.learn(tree.refresh())
                lines = reports.new(tree.processes)
                # Costs more than all else here, and runs beside what it tells of.
                status = status_line(tree, tails, planned) if display.is_due and not ended else ""
            except OperationalError:  # SQLite is locked for longer than it waits: whoever writes will be done soon
                time.sleep(interval_s)
                continue
            for when, level, text, pk in lines:
                display.line(f"{elapsed(node, when):>8}  {origin(tree, pk, level)}{causes.once(text)}")
            if ended:
                break
            if time.monotonic() >= next_daemon_check:
                previous, hint = hint, daemon_hint() or lost_hint(tree, datetime.now(UTC))
                next_daemon_check = time.monotonic() + DAEMON_INTERVAL_S
                if hint and hint != previous:
                    display.line(hint)
            display.update(f"{elapsed(node, datetime.now(UTC)):>8}  {status}")
            time.sleep(interval_s)
    display.close()
    display.line(f"{elapsed(node, node.mtime):>8}  {causes.once(tree.root.outcome)}")
    return node


@click.command()
@process_argument(required=False)
@profile_option()
@click.option("--interval", type=Number(min=0.1), default=1.0, show_default=True, help="Seconds between looks.")
def watch(process: str | None, profile: str | None, interval: float) -> None:
    """Follow the process PK until it ends: its reports, and what its jobs are doing.

    Without PK, the newest study of the profile. The exit status is 0 if the process finished well.
    """
    from aiida_lpsgb.cli.options import load_process

    node = load_process(process, profile)
    try:
        follow(node, interval)
    except KeyboardInterrupt:
        click.echo(f"\nStopped watching; the process goes on. To look again: aiida-lpsgb watch {node.pk}")
        raise SystemExit(130) from None
    raise SystemExit(0 if node.is_finished_ok else 1)
