"""``aiida-lpsgb results`` and ``aiida-lpsgb report``: what a study, a sweep or a learning has found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_lpsgb.cli.options import load_process, process_argument, profile_option
from aiida_lpsgb.cli.types import FIGURE, FOLDER, FOUND, PAGE, OutputPath

if TYPE_CHECKING:
    from aiida.orm import Node, ProcessNode

    from aiida_lpsgb.report import Results

ANALYSIS = "aiida.calculations:lpsgb.analyse"
PLOT_DPI = 200


def published_option() -> Callable:
    """The option ``--published``."""
    return click.option(
        "--published",
        type=FOUND,
        help="YAML file of published numbers to stand beside these, such as examples/data/beta-li3ps4-published.yaml.",
    )


@click.command()
@process_argument(required=False)
@profile_option()
@published_option()
@click.option("--csv", "folder", type=FOLDER, help="Folder for the tables, displacements and thermodynamics as CSV.")
@click.option(
    "--json",
    "json_file",
    type=OutputPath(dash=True),
    help="File for everything as JSON; - writes it here, in place of text.",
)
@click.option("-o", "--plot", type=FIGURE, help="File for the Arrhenius plot (.png, .pdf, .svg).")
def results(
    process: str | None,
    profile: str | None,
    published: Path | None,
    folder: Path | None,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Print what the process PK has found: a study, a sweep (lpsgb.transport) or a learning (lpsgb.active_learning).

    It may still run, and may have failed or been imported. Without PK, the newest of the profile. Of any other process
    its outputs are listed, and what they say in numbers; tables, JSON and plot are of the three.
    """
    from aiida_lpsgb.report import arrhenius_figure, table
    from aiida_lpsgb.report.files import json_text, write_csv, write_json
    from aiida_lpsgb.report.gather import ROOTS

    numbers = _read_published(published)
    node = load_process(process, profile)
    if node.process_type not in ROOTS and not (folder or json_file or plot):
        click.echo(summary(node, numbers))
        return
    found = _results_of(node)
    only_json = json_file == Path("-")
    click.echo(json_text(found) if only_json else table(found, numbers))
    if folder is not None:
        written = _write(folder, lambda: write_csv(found, folder, numbers))
        click.echo(f"\n{len(written)} tables: {folder}", err=only_json)
    if json_file is not None and not only_json:
        _write(json_file, lambda: write_json(found, json_file))
        click.echo(f"\nJSON: {json_file}")
    if plot is not None:
        figure = arrhenius_figure(found)
        if figure is None:
            raise click.ClickException("there are no diffusivities to plot")
        _write(plot, lambda: figure.savefig(plot, dpi=PLOT_DPI, bbox_inches="tight"))
        click.echo(f"\nArrhenius plot: {plot}", err=only_json)


@click.command()
@process_argument(required=False)
@profile_option()
@published_option()
@click.option("-o", "--output", type=PAGE, help="Page to write; report-PK.html in this folder if not given.")
def report(process: str | None, profile: str | None, published: Path | None, output: Path | None) -> None:
    """Write what the process PK has found to one self-contained HTML page.

    It may still run, and may have failed or been imported. Without PK, the newest of the profile.
    """
    from aiida_lpsgb.report import html

    numbers = _read_published(published)
    found = _results_of(load_process(process, profile))
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


def summary(node: ProcessNode, published: Mapping[str, Any] | None = None) -> str:
    """What a process has found, as text: the tables of a study, sweep or learning; of any other its outputs.

    Parameters
    ----------
    node
        The process; it may still run.
    published
        Published numbers to stand beside those of a study.
    """
    from aiida_lpsgb.report import study_results, table
    from aiida_lpsgb.report.characterisation import characterisation_table
    from aiida_lpsgb.report.gather import ROOTS
    from aiida_lpsgb.workflows.outputs import leaves

    if node.process_type in ROOTS:
        return table(study_results(node), published)
    state = node.process_state.value if node.process_state else "created"
    ended = f" [{node.exit_status}]" if node.exit_status else ""
    lines = [f"{node.process_label}<{node.pk}> {state}{ended} {node.exit_message or ''}".rstrip()]
    if node.process_type == ANALYSIS and "summary" in node.outputs:
        lines.append(characterisation_table(node.outputs.summary.get_dict(), None))
    for path, output in leaves(node.outputs, ""):
        lines.append(f"  {path[1:]}: {type(output).__name__}<{output.pk}>{_told(output)}")
    return "\n".join(lines)


def _told(output: Node) -> str:
    """What a small dictionary of results says, in one line."""
    from aiida.orm import Dict

    if not isinstance(output, Dict):
        return ""
    numbers = {key: value for key, value in output.get_dict().items() if isinstance(value, (int, float, str))}
    return "".join(
        f"\n    {key}: {value:g}" if isinstance(value, float) else f"\n    {key}: {value}"
        for key, value in numbers.items()
    )


def _results_of(node: ProcessNode) -> Results:
    """Results of a process, or an end with a message."""
    from aiida_lpsgb.report import study_results

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
