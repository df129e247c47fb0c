"""From what a person types to nodes: structures, potentials, labelled configurations, trajectories."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aiida import orm


NUMBER = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def load_node(identifier: str) -> orm.Node:
    """A node by PK, UUID or label, or an end with a message."""
    from aiida import orm
    from aiida.common.exceptions import MultipleObjectsError, NotExistent

    try:
        return orm.load_node(identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise click.ClickException(f"{identifier}: no such file, and no such node ({error})") from error


def structure(text: str) -> orm.StructureData:
    """A fully occupied structure from a file or a node; of a process its output ``structure``."""
    from aiida import orm

    from aiida_lpsgb.structures.files import read_atoms

    if Path(text).is_file():
        node = orm.StructureData(ase=read_atoms(text))
        node.label = Path(text).name
        return node
    node = load_node(text)
    if isinstance(node, orm.ProcessNode):
        if "structure" not in node.outputs:
            raise click.ClickException(f"{text}: {node.process_label} has no output `structure`")
        node = node.outputs.structure
    if not isinstance(node, orm.StructureData):
        raise click.ClickException(f"{text} is {type(node).__name__}, not a structure; order a CIF first")
    return node


def parent(text: str | None) -> orm.StructureData | orm.CifData | None:
    """A crystal before it was ordered, from a file or a node; None without any."""
    from aiida import orm

    from aiida_lpsgb.workflows.crystal import crystal_node

    if text is None:
        return None
    node = crystal_node(text) if Path(text).is_file() else load_node(text)
    if not isinstance(node, (orm.StructureData, orm.CifData)):
        raise click.ClickException(f"{text} is {type(node).__name__}, neither a structure nor a CIF")
    return node


def potentials(texts: Sequence[str], species: Sequence[str] = ()) -> dict[str, orm.Data]:
    """Potentials ``p1``, ``p2`` … from files, nodes, or processes that have learned some.

    Parameters
    ----------
    texts
        ``.mtp`` files, or PK or UUID of a potential, a study or a learning.
    species
        What the types of the potentials in files stand for.
    """
    from aiida import orm

    from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES

    found: list[orm.Data] = []
    for text in texts:
        if Path(text).is_file():
            found.append(_potential_of(Path(text), species))
            continue
        node = load_node(text)
        if isinstance(node, POTENTIAL_TYPES):
            found.append(node)
        elif isinstance(node, orm.ProcessNode):
            found += _potentials_of(text, node)
        else:
            raise click.ClickException(f"{text} is {type(node).__name__}, which is no potential and holds none")
    return {f"p{number}": node for number, node in enumerate(found, start=1)}


def _potential_of(path: Path, species: Sequence[str]) -> orm.Data:
    from aiida_lpsgb.data.potential import PotentialData

    if not species:
        raise click.ClickException(f"{path}: say what its types stand for, in their order: --species Li,P,S")
    try:
        return PotentialData(path, species)
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from error


def _potentials_of(text: str, node: orm.ProcessNode) -> list[orm.Data]:
    for place in (node.outputs, node.inputs):
        if "potentials" in place:
            return [place.potentials[name] for name in sorted(place.potentials)]
    if "potential" in node.outputs:
        return [node.outputs.potential]
    raise click.ClickException(f"{text}: {node.process_label} has learned no potential and was given none")


def training_sets(texts: Iterable[str], level_of_theory: str | None = None) -> dict[str, orm.Data]:
    """Labelled configurations from files or nodes, by names that their order makes."""
    return {f"given_{number}": configurations(text, level_of_theory) for number, text in enumerate(texts, start=1)}


def configurations(text: str, level_of_theory: str | None = None, labelled: bool = True) -> orm.Data:
    """Configurations from a file (or folder) of any format that is read, or a node."""
    from aiida_lpsgb.data.configurations import ConfigurationsData
    from aiida_lpsgb.labelling import files

    if Path(text).exists():
        try:
            found = files.read([Path(text)], None, level_of_theory, labelled=labelled)
            node = ConfigurationsData(found.images, level_of_theory=found.level_of_theory)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
        node.label = Path(text).name
        return node
    node = load_node(text)
    if not isinstance(node, ConfigurationsData):
        raise click.ClickException(f"{text} is {type(node).__name__}, not a set of configurations")
    return node


def codes(computer: str, roles: Iterable[str] | None = None) -> dict[str, orm.AbstractCode]:
    """The codes that ``aiida-lpsgb quicksetup`` makes, or an end that says so."""
    from aiida.common.exceptions import NotExistent

    from aiida_lpsgb.workflows.protocols import load_codes

    try:
        found = load_codes(computer)
    except NotExistent as error:
        raise click.ClickException(f"{error}; aiida-lpsgb quicksetup --computer {computer} makes it") from error
    return found if roles is None else {role: found[role] for role in roles}


def overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Nested overrides from ``path=value``, the value read as YAML.

    ``transport.temperatures_K=[700, 500]`` gives ``{"transport": {"temperatures_K": [700, 500]}}``.
    """
    from aiida_lpsgb.calculations.protocols import merged
    from aiida_lpsgb.typed import yaml_value

    nested: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not all(path.split(".")):
            raise click.ClickException(
                f"--set {assignment}: give path=value, such as transport.temperatures_K=[700,500]"
            )
        try:
            value = yaml_value(text)
        except ValueError as error:
            raise click.ClickException(f"--set {path}: {text!r} is no value: {error}") from error
        if isinstance(value, str) and NUMBER.fullmatch(value):  # YAML takes 1e-3, without a point, for text
            value = float(value)
        for name in reversed(path.split(".")):
            value = {name: value}
        nested = merged(nested, value)
    return nested


def as_plain(value: Any) -> Any:
    """Content of a builder as what YAML can hold: values of nodes, and names of those that are no values."""
    from aiida import orm

    if isinstance(value, orm.Dict):
        return as_plain(value.get_dict())
    if isinstance(value, orm.List):
        return value.get_list()
    if isinstance(value, (orm.Int, orm.Float, orm.Str, orm.Bool)):
        return value.value
    if isinstance(value, orm.AbstractCode):
        return f"code {value.full_label}"
    if isinstance(value, orm.Node):
        name = value.label or (value.get_formula() if isinstance(value, orm.StructureData) else "")
        return " ".join(filter(None, [type(value).__name__, name, f"<{value.pk}>" if value.is_stored else ""]))
    if hasattr(value, "items"):
        return {key: as_plain(item) for key, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def trajectories(texts: Sequence[str], given: dict[str, Any]) -> list[orm.Data]:
    """Segments of one run, from dumps (read with provenance), nodes, or processes whose run they are.

    Parameters
    ----------
    texts
        Files, or PK or UUID of an `lpsgb.trajectory` or of a process with outputs ``trajectories``.
    given
        ``timestep`` (fs), ``temperature`` (K), ``species``, ``every``, ``units``, ``sorted_rows`` and
        ``restart_gap_ps`` of dumps; ``dry_run``.
    """
    from aiida import orm

    from aiida_lpsgb.data.trajectory import TrajectoryData

    found: list[orm.Data] = []
    for text in texts:
        if Path(text).is_file():
            found.append(_read_dump(Path(text), given))
            continue
        node = load_node(text)
        if isinstance(node, TrajectoryData):
            found.append(node)
        elif isinstance(node, orm.ProcessNode) and "trajectories" in node.outputs:
            segments = node.outputs.trajectories
            if any(not isinstance(segments[name], orm.Node) for name in segments):
                names = ", ".join(segments)
                raise click.ClickException(f"{text} has several runs, {names}: give the segments of one of them")
            found += [segments[name] for name in sorted(segments)]
        else:
            raise click.ClickException(f"{text} is {type(node).__name__}, which is no trajectory and has none")
    return found


def _read_dump(path: Path, given: dict[str, Any]) -> orm.Data:
    from aiida import orm
    from aiida.plugins import CalculationFactory

    from aiida_lpsgb.calculations.functions.trajectories import READER_KEYS

    for name in ("timestep", "temperature"):
        if given[name] is None:
            raise click.UsageError(f"{path}: a dump does not say it: give --{name}")
    parameters = {"timestep_fs": given["timestep"], "temperature_K": given["temperature"]}
    parameters |= {key: given[key] for key in READER_KEYS if given[key]}
    function = CalculationFactory("lpsgb.read_dump")
    found, process = function.run_get_node(
        orm.SinglefileData(path.absolute()), orm.Dict(parameters), metadata={"store_provenance": not given["dry_run"]}
    )
    if not process.is_finished_ok:
        raise click.ClickException(f"{path}: {process.exit_message}")
    return found
