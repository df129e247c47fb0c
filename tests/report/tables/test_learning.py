"""Potentials: how they were learned, and what they err by."""

from aiida_lpsgb.report import table
from aiida_lpsgb.report.tables import learning


def test_errors_of_every_potential(results):
    rows = {row[0]: row for row in learning.potentials_table(results).rows}
    assert [str(rows[name][7]) for name in ("p1", "p2")] == ["3.1", "4.1"]


def test_grid(results):
    found = learning.grid_table(results)
    rows = {row[0]: row for row in found.rows}
    assert [rows[name][-1] for name in rows] == ["on the front", "chosen", "lacks a measured cost"]
    assert [str(cell) for cell in rows["l14_r5"][3:]] == ["2.4", "1.92", "2.48", "49", "70", "0.168", "chosen"]
    assert str(rows["l20_r5"][3]) == "–"
    assert "within one standard error" in found.note
    assert "Choice of level and cut-off" in table(results)
