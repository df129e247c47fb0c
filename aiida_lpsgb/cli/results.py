"""``aiida-lpsgb results`` and ``aiida-lpsgb report``: what a study, a sweep or a learning has found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_lpsgb.cli.options import load_process, process_argument, profile_option

if TYPE_CHECKING:
    from aiida_lpsgb.report import Results

PLOT_DPI = 200
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def published_option() -> Callable:
    """The option ``--published``."""
    return click.option(
        "--published",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="YAML file of published numbers to stand beside these, such as examples/data/beta-li3ps4-published.yaml.",
    )


@click.command()
@process_argument(required=False)
@profile_option()
@published_option()
@click.option("--csv", "folder", type=FOLDER, help="Folder for the tables, displacements and thermodynamics as CSV.")
@click.option("--json", "json_file", type=FILE, help="File for everything as JSON; - writes it here, in place of text.")
@click.option("-o", "--plot", type=FILE, help="File for the Arrhenius plot (.png, .pdf, .svg).")
def results(
    process: str | None,
    profile: str | None,
    published: Path | None,
    folder: Path | None,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Print what the process PK has found: a study, a sweep (lpsgb.transport) or a learning (lpsgb.active_learning).

    It may still run, and may have failed or been imported. Without PK, the newest of the profile.
    """
    from aiida_lpsgb.report import arrhenius_figure, table
    from aiida_lpsgb.report.files import json_text, write_csv, write_json

    numbers = _read_published(published)
    found = _load_results(process, profile)
    if json_file == Path("-"):
        click.echo(json_text(found))
        return
    click.echo(table(found, numbers))
    if folder is not None:
        written = _write(folder, lambda: write_csv(found, folder, numbers))
        click.echo(f"\n{len(written)} tables: {folder}")
    if json_file is not None:
        _write(json_file, lambda: write_json(found, json_file))
        click.echo(f"\nJSON: {json_file}")
    if plot is not None:
        figure = arrhenius_figure(found)
        if figure is None:
            raise click.ClickException("there are no diffusivities to plot")
        _write(plot, lambda: figure.savefig(plot, dpi=PLOT_DPI, bbox_inches="tight"))
        click.echo(f"\nArrhenius plot: {plot}")


@click.command()
@process_argument(required=False)
@profile_option()
@published_option()
@click.option("-o", "--output", type=FILE, help="Page to write; report-PK.html in this folder if not given.")
def report(process: str | None, profile: str | None, published: Path | None, output: Path | None) -> None:
    """Write what the process PK has found to one self-contained HTML page.

    It may still run, and may have failed or been imported. Without PK, the newest of the profile.
    """
    from aiida_lpsgb.report import html

    numbers = _read_published(published)
    found = _load_results(process, profile)
    path = output or Path(f"report-{found.pk}.html")
    _write(path, lambda: html(found, path, numbers))
    click.echo(f"Report: {path}")


def _read_published(path: Path | None) -> dict[str, Any] | None:
    """Published numbers, or an end with a message."""
    from aiida_lpsgb.report.published import read_published

    if path is None:
        return None
    try:
        return read_published(path)
    except ValueError as exception:
        raise click.ClickException(str(exception)) from exception


def _load_results(process: str | None, profile: str | None) -> Results:
    """Results of a process, or an end with a message."""
    from aiida_lpsgb.report import study_results

    node = load_process(process, profile)
    try:
        return study_results(node)
    except ValueError as exception:
        raise click.ClickException(str(exception)) from exception


def _write(path: Path, write: Callable[[], Any]) -> Any:
    """Write a file or a folder, or end with a message that names it."""
    try:
        return write()
    except (OSError, ValueError) as exception:
        raise click.ClickException(f"cannot write {path}: {exception}") from exception
