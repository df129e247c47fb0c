"""Where numbers come from: nodes, programs, processes and seeds."""

from __future__ import annotations

from aiida_lpsgb.report.results import Results
from aiida_lpsgb.report.text import Column, Number, Table


def nodes_table(results: Results) -> Table | None:
    """Seed and nodes of every run."""
    titles = {
        "system": "system",
        "run": "run",
        "seed": "seed",
        "potential_pk": "potential",
        "diffusivity_pk": "diffusivity",
        "analysis_pk": "analysis",
        "md_pks": "dynamics",
        "run_pk": "process",
    }
    rows = tuple(
        (
            run.system,
            run.label,
            run.seed,
            run.potential_pk,
            run.diffusivity_pk,
            run.analysis_pk,
            " ".join(map(str, run.md_pks)),
            run.pk,
        )
        for run in results.runs
    )
    return Table("nodes", "Nodes of the runs", tuple(Column(*t) for t in titles.items()), rows) if rows else None


def origin_tables(results: Results) -> list[Table]:
    """Nodes, programs, processes and seeds."""
    programs = Table("codes", "Programs", _columns("code", "program"), tuple(results.codes.items()))
    hours = results.core_hours
    counts = tuple(
        (label, number, cached or None, Number(hours[label]) if label in hours else None)
        for label, (number, cached) in results.processes.items()
    )
    header = (*_columns("process", "runs"), Column("cached", "from the cache"), Column("core_hours", "core-hours"))
    processes = Table("processes", "Processes", header, counts)
    seeds = Table("seeds", "Seeds", (Column("of", "seed of"), Column("value", "value")), tuple(results.seeds.items()))
    return [table for table in (nodes_table(results), programs, processes, seeds) if table and table.rows]


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, name) for name in names)
