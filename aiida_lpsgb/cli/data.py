"""The commands ``verdi data lpsgb.potential`` and ``verdi data lpsgb.configurations``, and ``aiida-lpsgb data``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from aiida.cmdline.commands.cmd_data import verdi_data
from aiida.cmdline.params import arguments, types
from aiida.cmdline.utils import decorators, echo

from aiida_lpsgb.cli import nodes
from aiida_lpsgb.cli.errors import PlainGroup
from aiida_lpsgb.cli.options import profile_option, species_option, use_profile
from aiida_lpsgb.cli.types import FILE, FOUND

_POTENTIAL = types.DataParamType(sub_classes=("aiida.data:lpsgb.potential",))
_CONFIGURATIONS = types.DataParamType(sub_classes=("aiida.data:lpsgb.configurations",))


def _stored(make: Callable[[], Any]) -> None:
    """Store a node and say which, or say what is wrong with the file."""
    try:
        node = make().store()
    except (ValueError, OSError) as error:
        echo.echo_critical(str(error))
    echo.echo_success(f"stored {node.__class__.__name__}<{node.pk}> (uuid {node.uuid})")


def _exported(node: Any, fmt: str, output: Path | None, force: bool) -> None:
    if output is None:
        echo.echo(node._exportcontent(fmt)[0].decode(), nl=False)
        return
    try:
        node.export(str(output), fileformat=fmt, overwrite=force)
    except OSError as error:
        echo.echo_critical(str(error))
    echo.echo_success(f"wrote {output}")


def _listed(entry_point: str, attributes: Sequence[str]) -> None:
    from aiida.orm import QueryBuilder
    from aiida.plugins import DataFactory
    from tabulate import tabulate

    cls = DataFactory(entry_point)
    # SQLite gives single truth values as numbers; the whole dictionary keeps them.
    query = QueryBuilder().append(cls, project=["id", "label", "attributes"]).order_by({cls: "id"})
    rows = [[pk, label, *(_cell(found[name]) for name in attributes)] for pk, label, found in query.iterall()]
    echo.echo(tabulate(rows, headers=["PK", "Label", *(name.replace("_", " ") for name in attributes)]))


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


@verdi_data.group("lpsgb.potential")
def potential() -> None:
    """Work with moment tensor potentials."""


@potential.command("import")
@click.argument("file", type=FOUND)
@species_option("Chemical symbols in the order of the potential's types, such as: -s Li,P,S", required=True)
@decorators.with_dbenv()
def potential_import(file: Path, species: list[str]) -> None:
    """Store the potential of an .mtp FILE."""
    from aiida_lpsgb.data.potential import PotentialData

    _stored(lambda: PotentialData(file, species))


@potential.command("export")
@arguments.DATUM(type=_POTENTIAL)
@click.option("-o", "--output", type=FILE, help="File to write; the terminal if not given.")
@click.option("-f", "--force", is_flag=True, help="Replace the file if there is one.")
@decorators.with_dbenv()
def potential_export(datum: Any, output: Path | None, force: bool) -> None:
    """Write the .mtp file of a potential."""
    _exported(datum, "mtp", output, force)


@potential.command("show")
@arguments.DATUM(type=_POTENTIAL)
@decorators.with_dbenv()
def potential_show(datum: Any) -> None:
    """Show what is known of a potential."""
    echo.echo_dictionary(datum.base.attributes.all, fmt="yaml")


@potential.command("list")
@decorators.with_dbenv()
def potential_list() -> None:
    """List all potentials."""
    _listed("lpsgb.potential", ("species", "level", "cutoff_angstrom", "n_parameters", "trained"))


@verdi_data.group("lpsgb.configurations")
def configurations() -> None:
    """Work with sets of configurations."""


_FORMATS = """\b
    Read are vasprun.xml and OUTCAR of VASP (also .gz), NAME-pos-1.xyz of CP2K with its forces and cells beside it,
    extended XYZ, .traj and .db of ASE, folders of DeePMD-kit, and .cfg of MLIP.
    """


def _import_options(command: Callable) -> Callable:
    """What is asked about files to import, by both programs."""
    for option in (
        click.option("--unlabelled", is_flag=True, help="Store configurations to be labelled; labels are not taken."),
        click.option("--skip", is_flag=True, help="Leave out frames that cannot be used instead of refusing all."),
        click.option("-l", "--level-of-theory", help="What gave the labels, if the files do not say: optB88-vdW, …"),
        species_option("Chemical symbols in order; those of the types for a .cfg file, such as: -s Li,P,S"),
        click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)),
    ):
        command = option(command)
    return command


def _export_options(command: Callable) -> Callable:
    """What is asked about a file to write, by both programs."""
    for option in (
        click.option("-f", "--force", is_flag=True, help="Replace the file if there is one."),
        click.option("-o", "--output", type=FILE, help="File; the terminal if not given."),
        click.option("-F", "--format", "fmt", type=click.Choice(["cfg", "extxyz"]), help="Instead of the suffix's."),
    ):
        command = option(command)
    return command


def _import(
    files: Sequence[Path], species: list[str], level_of_theory: str | None, skip: bool, unlabelled: bool
) -> None:
    from aiida_lpsgb.data.configurations import ConfigurationsData
    from aiida_lpsgb.labelling import files as labelled_files

    try:
        found = labelled_files.read(files, species, level_of_theory, skip, labelled=not unlabelled)
    except (ValueError, OSError) as error:
        echo.echo_critical(str(error))
    for text in found.skipped:
        echo.echo_warning(f"left out: {text}")
    level = found.level_of_theory or "no level of theory"
    echo.echo_info(f"{len(found.images)} configurations by {level}, {len(found.skipped)} left out")
    _stored(lambda: ConfigurationsData(found.images, species or None, found.level_of_theory))


def _export(datum: Any, fmt: str | None, output: Path | None, force: bool) -> None:
    """Write to the terminal, in the format asked for, or in that of the file's suffix."""
    if output is None or fmt is not None:
        _exported(datum, fmt or "extxyz", output, force)
        return
    if output.exists() and not force:
        echo.echo_critical(f"{output} is there already; replace it with --force")
    from aiida_lpsgb.labelling import files as labelled_files

    try:
        labelled_files.write(output, datum, datum.species, datum.level_of_theory)
    except (ValueError, OSError) as error:
        echo.echo_critical(str(error))
    echo.echo_success(f"wrote {output}")


@configurations.command("import", epilog=_FORMATS)
@_import_options
@decorators.with_dbenv()
def configurations_import(**given: Any) -> None:
    """Store the labelled configurations of FILES, all of one level of theory, as one set."""
    _import(**given)


@configurations.command("export")
@arguments.DATUM(type=_CONFIGURATIONS)
@_export_options
@decorators.with_dbenv()
def configurations_export(datum: Any, **given: Any) -> None:
    """Write configurations to a file: .cfg, .extxyz, .xyz, .traj or .db."""
    _export(datum, **given)


@configurations.command("show")
@arguments.DATUM(type=_CONFIGURATIONS)
@decorators.with_dbenv()
def configurations_show(datum: Any) -> None:
    """Show what is known of a set."""
    echo.echo_dictionary(datum.base.attributes.all, fmt="yaml")


@configurations.command("list")
@decorators.with_dbenv()
def configurations_list() -> None:
    """List all sets."""
    _listed("lpsgb.configurations", ("count", "species", "n_labelled", "level_of_theory", "formulae"))


@click.group("data", cls=PlainGroup)
def data() -> None:
    """Bring labelled configurations in from other programs' files, and write them to such."""


@data.command("import", epilog=_FORMATS)
@_import_options
@profile_option()
def data_import(profile: str | None, **given: Any) -> None:
    """Store the labelled configurations of FILES, all of one level of theory, as one set."""
    use_profile(profile)
    _import(**given)


@data.command("export")
@click.argument("identifier", metavar="PK")
@_export_options
@profile_option()
def data_export(identifier: str, profile: str | None, **given: Any) -> None:
    """Write configurations to a file: .cfg, .extxyz, .xyz, .traj or .db."""
    use_profile(profile)
    from aiida_lpsgb.data.configurations import ConfigurationsData

    datum = nodes.load_node(identifier)
    if not isinstance(datum, ConfigurationsData):
        raise click.ClickException(f"{identifier} is a {type(datum).__name__}, not a set of configurations")
    _export(datum, **given)
