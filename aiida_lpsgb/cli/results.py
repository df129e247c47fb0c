"""``aiida-lpsgb results`` and ``aiida-lpsgb report``: what a study has found."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_lpsgb.cli.options import load_process, process_argument, profile_option

PLOT_DPI = 200


@click.command()
@process_argument(required=False)
@profile_option()
@click.option(
    "-o",
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Arrhenius plot to write (.png, .pdf, .svg); arrhenius-PK.png in this folder if not given.",
)
@click.option("--no-plot", is_flag=True, help="Print the table only.")
def results(process: str | None, profile: str | None, plot: Path | None, no_plot: bool) -> None:
    """Print the table of the study PK and draw its Arrhenius plot.

    Without PK, the newest study of the profile.
    """
    from aiida_lpsgb.report import arrhenius_figure, table

    found = _load_results(process, profile)
    click.echo(table(found))
    if no_plot:
        return
    figure = arrhenius_figure(found)
    if figure is None:
        click.echo("\nNo Arrhenius plot: there are no diffusivities to draw.")
        return
    path = plot or Path(f"arrhenius-{found.pk}.png")
    _write(path, lambda: figure.savefig(path, dpi=PLOT_DPI, bbox_inches="tight"))
    click.echo(f"\nArrhenius plot: {path}")


@click.command()
@process_argument(required=False)
@profile_option()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Page to write; report-PK.html in this folder if not given.",
)
def report(process: str | None, profile: str | None, output: Path | None) -> None:
    """Write the results of the study PK to one self-contained HTML page.

    Without PK, the newest study of the profile.
    """
    from aiida_lpsgb.report import draw, html

    found = _load_results(process, profile)
    path = output or Path(f"report-{found.pk}.html")
    _write(path, lambda: html(found, path, draw(found)))
    click.echo(f"Report: {path}")


def _load_results(process: str | None, profile: str | None):
    """Results of a study, or an end with a message."""
    from aiida_lpsgb.report import study_results

    node = load_process(process, profile)
    try:
        return study_results(node)
    except ValueError as exception:
        raise click.ClickException(str(exception)) from exception


def _write(path: Path, write) -> None:
    """Write a file, or end with a message that names it."""
    try:
        write()
    except (OSError, ValueError) as exception:
        raise click.ClickException(f"cannot write {path}: {exception}") from exception
