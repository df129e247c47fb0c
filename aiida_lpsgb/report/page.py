"""A study's results as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from aiida_lpsgb.report import tables
from aiida_lpsgb.report.characterisation import HEADER, characterisation_rows, summary_of
from aiida_lpsgb.report.results import StudyResults
from aiida_lpsgb.report.text import in_mev

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure


CAPTIONS = {
    "rdf": "Partial radial distribution functions.",
    "speciation": "Polyanions in the cell, mean numbers.",
    "density": "Density of the mobile ions, projected.",
    "profile": "Concentration of the mobile ions along the third cell vector.",
    "disorder": "Distribution of the site disorder parameter.",
    "msd": "Mean-squared displacement and the window of the fit.",
    "topology": "Persistence diagram of the loops of the mobile ions",
}


def caption(name: str) -> str:
    """What a figure of a characterisation shows."""
    kind, _, label = name.partition("_")
    return CAPTIONS.get(kind, name) + (f" ({label.replace('_', ', ')})." if label else "")


def data_uri(figure: Figure) -> str:
    """A figure as SVG in a `data:` address, to be part of a page."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    # No date and no random names in it: the same results give the same page.
    with mpl.rc_context({"svg.hashsalt": "lpsgb"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def html(results: StudyResults, path: str | Path, figures: Mapping[str, Figure] | None = None) -> Path:
    """Write the page.

    Parameters
    ----------
    results
        What `study_results` has collected.
    path
        File to write; its folder must exist.
    figures
        Figures to show, by the names that `draw` gives them; those that are not there are left out.

    Returns
    -------
    path
        The file that was written.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("aiida_lpsgb.report", "."), autoescape=True, trim_blocks=True)
    page = environment.get_template("study.html.j2").render(
        title=title(results),
        results=results,
        finished=results.outcome.endswith(" finished"),
        when=results.ctime.strftime("%Y-%m-%d %H:%M"),
        duration=str(results.duration).split(".")[0],
        facts=facts(results),
        figures={name: data_uri(figure) for name, figure in (figures or {}).items()},
        run_header=tables.run_header(results.runs),
        run_rows=[tables.run_row(run) for run in results.runs],
        fit_header=tables.FIT_HEADER,
        fit_rows=[tables.fit_row(place, fit) for place, fit in results.fits.items()],
        boundary_line=tables.boundary_line(results.boundary) if results.boundary else None,
        characterisation_header=HEADER[:2],
        characterisations={
            place: [row[:2] for row in characterisation_rows(summary_of(pk))]
            for place, pk in results.characterisations.items()
        },
        caption=caption,
        iteration_header=tables.iteration_header(),
        iteration_rows=[tables.iteration_row(iteration) for iteration in results.iterations],
        potential_lines=[tables.potential_line(pk, values) for pk, values in results.potentials.items()],
        test_line=tables.errors_line(results.test_errors) if results.test_errors else None,
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


def title(results: StudyResults) -> str:
    """Heading of the page: the label of the study, or what diffuses in what."""
    species = ", ".join(sorted({run.species for run in results.runs}))
    return results.label or f"{species} diffusion in {results.formula or 'an unknown structure'}"


def facts(results: StudyResults) -> list[tuple[str, str]]:
    """The few numbers at the top of the page: what each is, and its value."""
    found = tables.fit_facts(results.fit) if results.fit else []
    errors = results.test_errors
    if errors:
        found.append(("energy RMSE, held-out frames", f"{in_mev(errors.get('energy_rmse_ev_atom'))} meV/atom"))
        found.append(("force RMSE, held-out frames", f"{in_mev(errors.get('forces_rmse_ev_angstrom'), 0)} meV/Å"))
    return found
