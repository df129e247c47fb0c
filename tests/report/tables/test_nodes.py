"""Where numbers come from."""

from aiida_lpsgb.report.tables import nodes


def test_every_run_has_its_nodes(results):
    found = nodes.nodes_table(results)
    rows = [dict(zip((column.key for column in found.columns), row, strict=True)) for row in found.rows]
    assert {(row["system"], row["run"]) for row in rows} == {(run.system, run.label) for run in results.runs}
    assert all(row["diffusivity_pk"] and row["potential_pk"] for row in rows)


def test_programs_processes_and_seeds_are_told(results):
    assert {"nodes", "codes", "processes"} <= {table.name for table in nodes.origin_tables(results)}
