"""All tables of a study, and those that a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.report.comparison import both_tables
from aiida_lpsgb.report.fits import PARTS
from aiida_lpsgb.report.published import published_of
from aiida_lpsgb.report.results import Results
from aiida_lpsgb.report.tables.learning import (
    boundary_energies_table,
    cards_table,
    grid_table,
    labels_table,
    learning_table,
    potentials_table,
    properties_table,
)
from aiida_lpsgb.report.tables.nodes import origin_tables
from aiida_lpsgb.report.tables.runs import costs_table, fits_table, regions_table, runs_table, temperatures_table
from aiida_lpsgb.report.tables.sentences import sentence_of, warnings
from aiida_lpsgb.report.tables.systems import comparison, side_by_side
from aiida_lpsgb.report.text import Table

WIDTH = 120
"""Of lines of text."""
NOT_PRINTED = ("sentence", *(f"activation_energy_{part}_ev" for part in PARTS))
"""Columns of the table of fits that are for the page and for files."""
MEANING = (
    "± is one standard uncertainty; intervals, bars and limits (<) are at 95 %. Where the motion of a run is not "
    "diffusive there is no value but an upper limit. Several runs of one temperature are averaged; their error is the "
    "larger of what their own errors and their scatter give."
)
"""What the numbers mean, said once."""


def all_tables(results: Results, published: Mapping[str, Any] | None = None) -> list[Table]:
    """Every table that has something in it."""
    found = [
        comparison(results, published),
        *both_tables(results),
        runs_table(results),
        fits_table(results),
        regions_table(results),
        grid_table(results),
        potentials_table(results),
        cards_table(results),
        properties_table(results),
        boundary_energies_table(results),
        learning_table(results),
        labels_table(results),
        costs_table(results),
        *origin_tables(results),
    ]
    return [table for table in found if table is not None and table.rows]


def table(results: Results, published: Mapping[str, Any] | None = None) -> str:
    """The results as text for a terminal.

    Parameters
    ----------
    results
        What `study_results` has collected.
    published
        Published numbers to stand beside them.
    """
    printed = [
        grid_table(results),
        learning_table(results),
        potentials_table(results),
        cards_table(results),
        properties_table(results),
        boundary_energies_table(results),
        temperatures_table(results),
        _short(fits_table(results)),
        *side_by_side(results, published),
        *both_tables(results),
        costs_table(results),
    ]
    parts = [results.standing + (f", {results.material}" if results.material else "")]
    parts += [str(found) for found in printed if found is not None and found.rows]
    if results.runs:
        parts.append(fill(MEANING, WIDTH))
    told = [(f"{s.name}: {sentence}", "  ") for s in results.systems if (sentence := sentence_of(s))]
    told += [(f"! {sentence}", "  ") for sentence in warnings(results)]
    parts += ["\n".join(fill(text, WIDTH, subsequent_indent=indent) for text, indent in told)]
    parts += [_notes(results, published)] if published else []
    return "\n\n".join(part for part in parts if part)


def _short(table: Table | None) -> Table | None:
    """A table of fits without the columns, and the estimators, that are not printed."""
    if table is None:
        return None
    kept = [index for index, column in enumerate(table.columns) if column.key not in NOT_PRINTED]
    rows = [row for row in table.rows if "," not in row[1] or row[1].endswith(f", {RECOMMENDED}")]
    cells = tuple(tuple(row[index] for index in kept) for row in rows)
    return Table(table.name, table.title, tuple(table.columns[index] for index in kept), cells)


def _notes(results: Results, published: Mapping[str, Any]) -> str:
    """Where the published numbers are from, and why runs may differ."""
    lines = [f"published: {published['source']}"] if "source" in published else []
    for system in results.systems:
        for name, entry in published_of(published, system.name, system.recipe).items():
            if name != "recipe" and "note" in entry:
                lines.append(fill(f"{system.name}, {name}: {entry['note']}", WIDTH, subsequent_indent="  "))
    return "\n".join(lines)
