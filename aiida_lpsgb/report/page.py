"""What was found as one self-contained HTML page: text, tables, figures and pictures, no external resources."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase import Atoms
from markupsafe import Markup
from matplotlib.collections import PathCollection, PolyCollection

from aiida_lpsgb.report import drawing
from aiida_lpsgb.report.characterisation import caption
from aiida_lpsgb.report.comparison import relations_figure
from aiida_lpsgb.report.figures import COLOURS
from aiida_lpsgb.report.published import published_of
from aiida_lpsgb.report.results import Results, System
from aiida_lpsgb.report.tables.nodes import origin_tables
from aiida_lpsgb.report.tables.sentences import sentence_of, warnings
from aiida_lpsgb.report.tables.systems import runs_text, system_numbers, target_K
from aiida_lpsgb.report.tables.whole import MEANING, all_tables
from aiida_lpsgb.report.text import MISSING, Number, Table, cell, decimal, formula
from aiida_lpsgb.structures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CARDS = 60
"""Systems with a card; all stand in the table."""
MOST_DRAWN = 12
"""Systems with a picture and figures of their own."""
MOST_ATOMS = 20_000
"""In a picture."""
LONG = 12
"""Rows above which a table can be searched and begins folded."""
TILE_INCHES = (6.0, 3.2)
POINTS_AN_INCH = 72
ATOM_SCALE = 0.9
"""Of the discs in a picture: 1 for atoms of about half their covalent radius."""


@dataclass(frozen=True)
class Card:
    """A system at a glance.

    Attributes
    ----------
    name, subtitle, outcome
        What it is, and how it stands if it is not finished.
    numbers
        Its headline numbers: title, number, and what is said below it.
    more
        Title and text of the others.
    sentence
        What to know before its numbers are quoted.
    picture
        Address of its picture, empty if there is none.
    """

    name: str
    subtitle: str
    outcome: str
    numbers: list[tuple[str, str, str]]
    more: list[tuple[str, str]]
    sentence: str
    picture: str


def html(results: Results, path: str | Path, published: Mapping[str, Any] | None = None) -> Path:
    """Write the page.

    Parameters
    ----------
    results
        What `study_results` has collected; its profile must be loaded.
    path
        File to write; its folder must exist.
    published
        Published numbers, of `read_published`.

    Returns
    -------
    path
        The file that was written.
    """
    path = Path(path)
    path.write_text(page(results, published), encoding="utf-8")
    return path


def page(results: Results, published: Mapping[str, Any] | None = None) -> str:
    """The page as text; equal results give equal pages."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("aiida_lpsgb.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.tests["number"] = lambda value: isinstance(value, Number)
    environment.filters |= {"cell": cell, "csv_uri": csv_uri, "order": order}
    origin = origin_tables(results)
    own = all_tables(results, published)
    return environment.get_template("page.html.j2").render(
        title=title(results),
        results=results,
        facts=facts(results),
        warnings=warnings(results),
        meaning=MEANING,
        cards=[
            card(system, results, published, k < MOST_DRAWN) for k, system in enumerate(results.systems[:MOST_CARDS])
        ],
        n_hidden=max(0, len(results.systems) - MOST_CARDS),
        arrhenius=inline(drawing.arrhenius_figure(results), "arrhenius"),
        n_drawn=drawing.MOST_SERIES,
        with_regions=drawing.has_room_for_regions(results),
        relations=inline(relations_figure(results), "relations"),
        learning=inline(drawing.learning_figure(results), "learning") if has_curve(results) else "",
        grid=inline(drawing.grid_figure(results), "grid"),
        parity=inline(drawing.parity_figure(results), "parity"),
        boundary_parity=inline(drawing.boundary_parity_figure(results), "boundaryparity"),
        tables={table.name: table for table in own},
        origin=origin,
        details=details(results, published),
        source=(published or {}).get("source", ""),
        long=LONG,
        missing=MISSING,
    )


def has_curve(results: Results) -> bool:
    """Whether there is a learning curve."""
    return bool(results.learning and results.learning.iterations)


def title(results: Results) -> str:
    """Heading of the page: what diffuses in what, or what was learned."""
    species = ", ".join(dict.fromkeys(system.species for system in results.systems if system.species))
    material = formula(results.material) or "an unknown structure"
    if results.systems:
        return f"{species} transport in {material}" if species else f"Transport in {material}"
    return f"Learning {material}"


def facts(results: Results) -> list[tuple[str, str]]:
    """What was done by what, and what it took."""
    from aiida_lpsgb.workflows.outputs import in_words

    found = []
    if results.description:
        found.append(("made", results.description))
    if results.learning and results.learning.level_of_theory:
        found.append(("labels", f"{results.learning.level_of_theory}, {sum(results.learning.labels.values())} of them"))
    if results.potentials:
        kinds = {_potential_words(known) for known in results.potentials.values()}
        found.append(("potentials", f"{len(results.potentials)}: {'; '.join(sorted(kinds))}"))
    hours = sum(results.core_hours.values())
    found.append(
        ("took", f"{in_words(results.duration.total_seconds())}, {decimal(hours, 2)} core-hours in {_jobs(results)}")
    )
    if results.left_out:
        files = ", ".join(f"{count} {name}" for name, count in results.left_out.items())
        found.append(("left out", f"{files}: the archive has no room for them; figures that need them are missing"))
    found.append(("versions", ", ".join(f"{name} {text}" for name, text in results.versions.items()) or MISSING))
    found.append(("node", f"{results.process_label}<{results.pk}>, {results.ctime:%Y-%m-%d %H:%M}, {results.uuid}"))
    return found


def _jobs(results: Results) -> str:
    jobs = [results.processes[label] for label in results.core_hours]
    total, cached = sum(number for number, _ in jobs), sum(number for _, number in jobs)
    return f"{total} jobs" + (f", {cached} of them from the cache" if cached else "")


def _potential_words(known: Mapping[str, Any]) -> str:
    if known["class"] != "PotentialData":
        return known["class"]
    level = known.get("level")
    return f"MTP{'' if level is None else f' of level {level}'}, cut-off {known['cutoff_angstrom']:g} Å"


# ---- systems -------------------------------------------------------------------------------------------------------


def card(system: System, results: Results, published: Mapping[str, Any] | None, drawn: bool) -> Card:
    """A system at a glance."""
    references = published_of(published, system.name, system.recipe)
    target = target_K(results)
    numbers, more = [], []
    for column, entry in system_numbers(system, target, references).items():
        shown, below = entry.value.parts if isinstance(entry.value, Number) else (cell(entry.value), "")
        beside = f"published {entry.published}" if entry.published else ""
        if entry.headline:
            numbers.append((column.title, shown, "; ".join(text for text in (below, beside) if text)))
        elif entry.told:
            more.append((column.title, cell(entry.value) + (f" · {beside}" if beside else "")))
    more += boundary_words(system)
    size = f"{formula(system.formula)}, {system.n_atoms} atoms" if system.formula else ""
    runs = runs_text(system)
    subtitle = ", ".join(part for part in (system.kind, size, f"{runs} runs" if runs else "") if part)
    picture = picture_of(system) if drawn else ""
    return Card(system.name, subtitle, system.outcome, numbers, more, sentence_of(system), picture)


def boundary_words(system: System) -> list[tuple[str, str]]:
    """How the grains of a boundary lie, and what of that is not as the request would have it; empty for others."""
    if "lowest" not in system.made:
        return []
    found = system.made["candidates"][system.made["lowest"]]
    planes = " and ".join(dict.fromkeys(f"({' '.join(map(str, found[key]))})" for key in ("plane_1", "plane_2")))
    label = "" if found.get("nominal_sigma") is None else f", Σ{found['nominal_sigma']}"
    lying = ("orientation", f"{found['kind']} on {planes}, {found['true_angle_deg']:.2f}°{label}")
    return [lying, *(("note", note) for note in found.get("notes", ()))]


def details(results: Results, published: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Figures of each system that is drawn, with their captions."""
    found = []
    for number, system in enumerate(results.systems[:MOST_DRAWN]):
        references = published_of(published, system.name, system.recipe)
        shown = []
        msd = drawing.msd_figure(system)
        if msd is not None:
            text = f"{caption('diffusivity')} All runs of {system.name}."
            shown.append((inline(msd, f"msd{number}"), text))
        if (regions := drawing.regions_figure(results, system)) is not None:
            text = (
                f"Diffusivity against inverse temperature in {system.name} (solid) and in its regions (hollow, dashed)."
            )
            shown.append((inline(regions, f"regions{number}"), text))
        for name, figure in drawing.structure_figures(system, references).items():
            shown.append((inline(figure, f"s{number}{name}"), caption(name)))
        if shown:
            found.append({"name": system.name, "figures": shown})
    return found


def picture_of(system: System) -> str:
    """Address of a picture of a system's structure, empty if it cannot be drawn."""
    from aiida.orm import load_node

    if system.structure_pk is None or system.n_atoms > MOST_ATOMS:
        return ""
    atoms = upright(load_node(system.structure_pk).get_ase())
    try:
        figure = picture.draw(atoms, views=("x",), regions=system.made.get("regions", []))
    except ValueError:
        return ""  # nothing that could be seen: the numbers are what counts
    as_tile(figure, atoms)
    buffer = io.BytesIO()
    picture.save(figure, buffer)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def upright(atoms: Atoms) -> Atoms:
    """The structure with its longest edge along z, which pictures show to the right."""
    longest = int(atoms.cell.lengths().argmax())
    turned = [(longest + 1) % 3, (longest + 2) % 3, longest]
    cell = atoms.cell.array[turned][:, turned]
    return Atoms(atoms.symbols, atoms.positions[:, turned], cell=cell, pbc=True)


def as_tile(figure: Figure, atoms: Atoms) -> None:
    """Make a picture small: no axes, atoms as large as their bonds ask for, polyhedra in a colour."""
    (axes,) = figure.axes
    figure.set_size_inches(TILE_INCHES)
    axes.set_axis_off()
    spans = [abs(high - low) for low, high in (axes.get_xlim(), axes.get_ylim())]
    scale = 0.85 * POINTS_AN_INCH * min(inches / span for inches, span in zip(TILE_INCHES, spans, strict=True))
    for collection in axes.collections:
        if isinstance(collection, PolyCollection) and not isinstance(collection, PathCollection):
            collection.set(facecolor=COLOURS[5], edgecolor=COLOURS[0], linewidth=0.5)
        elif isinstance(collection, PathCollection):
            collection.set_sizes(collection.get_sizes() * (ATOM_SCALE * scale / picture.POINTS_PER_ANGSTROM) ** 2)
    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_fontsize(15)
        for handle in legend.legend_handles:
            handle.set_markersize(9)


# ---- figures and tables --------------------------------------------------------------------------------------------


def inline(figure: Figure | None, name: str) -> Markup:
    """A figure as SVG that takes the colours of the page; empty without one.

    Black becomes the colour of the page's text, and the background is left out. No date and no random names are in it.
    """
    import matplotlib as mpl

    if figure is None:
        return Markup("")
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Names of parts are of this figure alone.
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = text.replace("#000000", "currentColor")
    width = re.search(r'width="([\d.]+)pt"', text)
    text = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[\d.]+pt"', rf'\1 style="max-width:{float(width[1]):.0f}pt"', text, count=1)
    return Markup(text)


def csv_uri(table: Table) -> str:
    """Address of a table as CSV."""
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(table.csv().encode()).decode()}"


def order(value: Any) -> str:
    """By what a cell is sorted."""
    if isinstance(value, Number):
        return "" if value.order is None else repr(float(value.order))
    return "" if value is None else str(value)
