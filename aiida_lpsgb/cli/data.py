"""The commands ``verdi data lpsgb.potential`` and ``verdi data lpsgb.configurations``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from aiida.cmdline.commands.cmd_data import verdi_data
from aiida.cmdline.params import arguments, types
from aiida.cmdline.utils import decorators, echo

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_POTENTIAL = types.DataParamType(sub_classes=("aiida.data:lpsgb.potential",))
_CONFIGURATIONS = types.DataParamType(sub_classes=("aiida.data:lpsgb.configurations",))


def _species_option(required: bool, help_text: str) -> Callable:
    return click.option(
        "-s",
        "--species",
        required=required,
        callback=lambda _, __, value: value.replace(",", " ").split() if value else None,
        help=help_text,
    )


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
@click.argument("file", type=_FILE)
@_species_option(True, "Chemical symbols in the order of the potential's types, such as: -s Li,P,S")
@decorators.with_dbenv()
def potential_import(file: Path, species: list[str]) -> None:
    """Store the potential of an .mtp FILE."""
    from aiida_lpsgb.data.potential import PotentialData

    _stored(lambda: PotentialData(file, species))


@potential.command("export")
@arguments.DATUM(type=_POTENTIAL)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; the terminal if not given.")
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


@configurations.command("import")
@click.argument("file", type=_FILE)
@_species_option(False, "Chemical symbols in order; those of the types for a .cfg file, such as: -s Li,P,S")
@click.option("-l", "--level-of-theory", help="What gave the labels, such as optB88-vdW.")
@decorators.with_dbenv()
def configurations_import(file: Path, species: list[str] | None, level_of_theory: str | None) -> None:
    """Store all configurations of FILE: an MLIP .cfg, or any file that ASE reads."""
    import ase.io

    from aiida_lpsgb.data.configurations import ConfigurationsData

    if file.suffix == ".cfg":
        if not species:
            raise click.UsageError("a .cfg file holds numbers for species: name them in order, such as -s Li,P,S")
        _stored(lambda: ConfigurationsData.from_cfg(file, species, level_of_theory))
    else:
        _stored(lambda: ConfigurationsData(ase.io.iread(file, index=":"), species, level_of_theory))


@configurations.command("export")
@arguments.DATUM(type=_CONFIGURATIONS)
@click.option("-F", "--format", "fmt", type=click.Choice(["cfg", "extxyz"]), default="extxyz", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; the terminal if not given.")
@click.option("-f", "--force", is_flag=True, help="Replace the file if there is one.")
@decorators.with_dbenv()
def configurations_export(datum: Any, fmt: str, output: Path | None, force: bool) -> None:
    """Write configurations to a file."""
    _exported(datum, fmt, output, force)


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
