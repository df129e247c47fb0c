"""``aiida-lpsgb export``: folders that LAMMPS runs, files that other programs open, and archives to hand on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_lpsgb.cli import nodes
from aiida_lpsgb.cli.errors import PlainGroup
from aiida_lpsgb.cli.options import profile_option, protocol_option, species_option, use_profile
from aiida_lpsgb.cli.types import ARCHIVE, FOLDER, LENGTH, SEED, SIZE, StructureFile

if TYPE_CHECKING:
    from aiida import orm
    from ase import Atoms

SCRIPT = "in.lmp"
MD = "aiida.calculations:lpsgb.md"
RUNS = ("aiida.workflows:lpsgb.transport_run", "aiida.workflows:lpsgb.md.base")


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"]})
def export() -> None:
    """Write LAMMPS folders, structures, trajectories and archives."""


@dataclass(frozen=True)
class Run:
    """Everything that one run of LAMMPS is made of.

    Attributes
    ----------
    structure, potential, parameters, seed, active_set
        Inputs of `lpsgb.md`.
    """

    structure: orm.StructureData
    potential: orm.Data
    parameters: dict[str, Any]
    seed: int
    active_set: orm.SinglefileData | None = None


@export.command()
@click.argument("sources", metavar="PK|FILE...", nargs=-1, required=True)
@click.argument("folder", type=FOLDER)
@click.option("--run", "run_name", metavar="NAME", help="Which run, as the report calls it: crystal t600k_p1_1.")
@click.option("--temperature", type=LENGTH, metavar="K", default=300.0, show_default=True, help="For a structure.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Of velocities, for a structure.")
@protocol_option()
@species_option("What the types of a potential in a file stand for, such as Li,P,S.")
@click.option("-f", "--force", is_flag=True, help="Write into a folder that is not empty.")
@profile_option()
def lammps(
    sources: Sequence[str],
    folder: Path,
    run_name: str | None,
    temperature: float,
    seed: int,
    protocol: str | None,
    species: Sequence[str],
    force: bool,
    profile: str | None,
) -> None:
    """Write a FOLDER that `lmp -in in.lmp` runs: data, potential and input.

    Of one PK: a run (lpsgb.md and what calls it), or a sweep or study, of which --run names the run. Of two, STRUCTURE
    and POTENTIAL (PK or file): the schedule of the protocol at the temperature.
    """
    use_profile(profile)
    if folder.exists() and any(folder.iterdir()) and not force:
        raise click.ClickException(f"{folder} is not empty; --force writes into it")
    if len(sources) == 1:
        run = _run_of(nodes.load_node(sources[0]), run_name)
    elif len(sources) == 2:
        run = _made_up(sources[0], sources[1], temperature, seed, protocol, species)
    else:
        raise click.UsageError(f"give one PK, or a structure and a potential, not {len(sources)} things")
    _write_run(run, folder)
    click.echo(f"{folder}: {run.structure.get_formula()}; run it there: lmp -in {SCRIPT}")


def _write_run(run: Run, folder: Path) -> None:
    from aiida.orm import load_node

    from aiida_lpsgb.calculations.lammps_script import ACTIVE_SET_FILE
    from aiida_lpsgb.calculations.md import write_input
    from aiida_lpsgb.calculations.validation import md_inputs_error

    if message := md_inputs_error(run.structure, run.potential):
        raise ValueError(message)
    folder.mkdir(parents=True, exist_ok=True)
    told = write_input(folder, SCRIPT, run.structure, run.potential, run.parameters, run.seed)
    copies = [(run.potential if uuid == run.potential.uuid else load_node(uuid), a, b) for uuid, a, b in told.files]
    if run.active_set is not None:
        copies.append((run.active_set, run.active_set.filename, ACTIVE_SET_FILE))
    for node, name, target in copies:
        with node.base.repository.open(name, "rb") as source, (folder / target).open("wb") as handle:
            shutil.copyfileobj(source, handle)


def _made_up(
    structure: str, potential: str, temperature_K: float, seed: int, protocol: str | None, species: Sequence[str]
) -> Run:
    """A run of a structure with a potential, on the schedule of the protocol of `lpsgb.transport`."""
    from aiida.plugins import WorkflowFactory

    from aiida_lpsgb.calculations.functions.sweep import at_temperature

    template = WorkflowFactory("lpsgb.transport").get_protocol_inputs(protocol)["parameters"]
    atoms = nodes.structure(structure)
    found = nodes.potentials([potential], species)
    return Run(atoms, next(iter(found.values())), at_temperature(template, temperature_K), seed)


def _run_of(node: orm.Node, name: str | None) -> Run:
    """The run that a process is, or the one of those below it that a name means."""
    from aiida import orm

    if not isinstance(node, orm.ProcessNode):
        raise click.ClickException(
            f"{node.pk} is {type(node).__name__}: give a structure and a potential, or a process"
        )
    if node.process_type == MD:
        return _inputs_of(node.inputs)
    if node.process_type in RUNS:
        return _inputs_of(_first_job(node).inputs)
    runs = dict(_runs_below(node))
    if not runs:
        raise click.ClickException(f"{node.process_label}<{node.pk}> has called no run of LAMMPS")
    if name is None and len(runs) > 1:
        raise click.ClickException(f"--run: say which one: {', '.join(runs)}")
    if name is not None and name not in runs:
        raise click.ClickException(f"--run {name!r} is none of {', '.join(runs)}")
    return _inputs_of(_first_job(runs[name] if name else next(iter(runs.values()))).inputs)


def _runs_below(node: orm.ProcessNode, path: str = "") -> Iterator[tuple[str, orm.ProcessNode]]:
    """Every run below a process by the names of its callers."""
    from aiida.common.links import LinkType

    links = (LinkType.CALL_CALC, LinkType.CALL_WORK)
    for link in node.base.links.get_outgoing(link_type=links).all():
        name = f"{path} {link.link_label}".strip()
        if link.node.process_type in RUNS or link.node.process_type == MD:
            yield name, link.node
        else:
            yield from _runs_below(link.node, name)


def _first_job(run: orm.ProcessNode) -> orm.ProcessNode:
    """The job that a run began with; after an import the keys say nothing of the order."""
    jobs = [node for node in run.called_descendants if node.process_type == MD]
    if not jobs:
        raise click.ClickException(f"{run.process_label}<{run.pk}> has no job yet")
    return min(jobs, key=lambda job: job.ctime)


def _inputs_of(inputs: Any) -> Run:
    return Run(
        inputs.structure,
        inputs.potential,
        inputs.parameters.get_dict(),
        inputs.seed.value,
        inputs.active_set if "active_set" in inputs else None,
    )


@export.command("file")
@click.argument("sources", metavar="PK...", nargs=-1, required=True)
@click.option(
    *("-o", "--output"),
    required=True,
    type=StructureFile(),
    help="File, its format by its name: .extxyz, .xyz, .cif, POSCAR, .data (LAMMPS), .traj; of frames those of ASE.",
)
@click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Take one frame in so many.")
@click.option("-f", "--force", is_flag=True, help="Replace the file if there is one.")
@profile_option()
def export_file(sources: Sequence[str], output: Path, every: int, force: bool, profile: str | None) -> None:
    """Write a structure, or the frames of the segments of a run or of configurations, to a file.

    Of a process its output `structure` is written, or all segments of its run where the format holds several frames.
    """
    from aiida_lpsgb.structures.files import write_frames

    use_profile(profile)
    _refuse_to_replace(output, force)
    count = write_frames(output, _frames(sources, every))
    click.echo(f"{output}: {count} {'frame' if count == 1 else 'frames'}")


def _refuse_to_replace(output: Path, force: bool) -> None:
    if output.exists() and not force:
        raise click.ClickException(f"{output} is there already; replace it with --force")


def _frames(sources: Sequence[str], every: int) -> Iterator[Atoms]:
    """Frames of all sources in their order; a frame that a restart has repeated once."""
    from aiida import orm

    from aiida_lpsgb.data.configurations import ConfigurationsData
    from aiida_lpsgb.data.trajectory import TrajectoryData

    found = [nodes.load_node(text) for text in sources]
    if len(found) == 1 and isinstance(found[0], orm.ProcessNode):
        name = "trajectories" if "trajectories" in found[0].outputs else "structure"
        found = nodes.trajectories(sources, {}) if name == "trajectories" else [nodes.structure(sources[0])]
    if all(isinstance(node, TrajectoryData) for node in found):
        yield from _joined(found, every)
        return
    for node in found:
        if isinstance(node, orm.StructureData):
            yield node.get_ase()
        elif isinstance(node, ConfigurationsData):
            yield from (atoms for number, atoms in enumerate(node) if number % every == 0)
        else:
            raise click.ClickException(f"{node.pk} is {type(node).__name__}; give structures, configurations or a run")


def _joined(segments: Sequence[orm.Data], every: int) -> Iterator[Atoms]:
    from contextlib import ExitStack

    from aiida_lpsgb.analysis.trajectory import Trajectory

    with ExitStack() as stack:
        whole = Trajectory.concatenate([stack.enter_context(node.open_trajectory()) for node in segments])
        for number in range(0, whole.n_frames, every):
            atoms = whole.frame(number)
            atoms.info |= {"time_ps": float(whole.times_ps[number])}
            yield atoms


@export.command()
@click.argument("sources", metavar="PK...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=ARCHIVE, help="The archive, a file that ends on .aiida.")
@click.option("--max-file", type=SIZE, metavar="SIZE", help="Leave out larger files, but for potentials: 100kB.")
@click.option(
    "--keep", multiple=True, metavar="NAME", help="Keep files of this name or pattern, such as 'g_*.npy'. Repeatable."
)
@click.option("-f", "--force", is_flag=True, help="Replace the file if there is one.")
@profile_option()
def archive(
    sources: Sequence[str],
    output: Path,
    max_file: int | None,
    keep: Sequence[str],
    force: bool,
    profile: str | None,
) -> None:
    """Write an archive of studies that others import (verdi archive import), query and report.

    Without its largest files it is small: all nodes, numbers and links stay, trajectories go.
    """
    from aiida_lpsgb.data.archive import write_archive

    use_profile(profile)
    _refuse_to_replace(output, force)
    left_out = write_archive([nodes.load_node(text) for text in sources], output, max_file, keep)
    for files in left_out:
        click.echo(f"left out: {files.count} {files.name}, {files.bytes / 1e6:.1f} MB")
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")
