"""Potentials: how they were learned, and what they err by."""

from dataclasses import replace

from aiida_lpsgb.report import draw, table
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


def test_energies_of_boundaries_beside_the_labels(results):
    assert learning.boundary_energies_table(results) is None
    found = {"tilt": {"n_atoms": 192, "label_J_m2": 0.3142, "potentials_J_m2": {"p2": 0.3, "p1": 0.35}}}
    compared = replace(results, boundary_energies=found)
    shown = learning.boundary_energies_table(compared)
    assert [column.key for column in shown.columns] == ["boundary", "n_atoms", "label_J_m2", "p1_J_m2", "p2_J_m2"]
    assert [str(cell) for cell in shown.rows[0]] == ["tilt", "192", "0.314", "0.350", "0.300"]
    assert "Energies of boundaries in small cells" in table(compared)
    assert "boundary_parity" in draw(compared)
