"""Systems of a study against each other, from its nodes."""

from dataclasses import replace

import pytest

from aiida_lpsgb.analysis.comparison import Known, Structure
from aiida_lpsgb.report import comparison, table
from aiida_lpsgb.report.results import System
from aiida_lpsgb.report.text import Number


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ({"kind": "boundary", "axis": [0, 0, 1], "plane": [1, 2, 0]}, "tilt"),
        ({"kind": "boundary", "axis": [1, 1, 0], "plane": [1, -1, 2]}, "tilt"),
        ({"kind": "boundary", "axis": [0, 0, 1], "plane": [0, 0, 1]}, "twist"),
        ({"kind": "boundary", "plane": [0, 0, 1]}, "twist"),
        ({"kind": "glass"}, "glass"),
    ],
)
def test_a_boundary_whose_axis_lies_in_its_plane_is_a_tilt(recipe, kind):
    assert comparison.kind_of(System("x", recipe["kind"], recipe)) == kind


def test_what_is_known_of_each_system(results):
    structures = comparison.structures_of(results)
    assert {name: structure.kind for name, structure in structures.items()} == {
        "crystal": "crystal",
        "tilt_120": "tilt",
    }
    for name, structure in structures.items():
        system = results.system(name)
        value, interval, _ = system.fit.at_target("diffusivity")
        known = structure.known["diffusivity"]
        assert (known.value, known.low, known.high) == (value, *interval)
        cold = [run for run in system.runs if "disorder" in run.summary]
        assert structure.known["disorder"].value == pytest.approx(
            sum(run.summary["disorder"]["mean"] for run in cold) / len(cold)
        )
    # Of a boundary ξ is that of its region, half of which is along the normal.
    assert structures["tilt_120"].known["isotropy"].value == pytest.approx(0.5)


def test_without_a_fit_the_runs_at_the_target_count(results):
    bare = replace(results, systems=tuple(replace(system, fit=None) for system in results.systems))
    known = comparison.structures_of(bare)["crystal"].known["diffusivity"]
    assert known.value is None  # nothing was diffusive at 300 K
    assert known.limit > 0


def test_a_ratio_that_is_not_above_zero_is_not_known(results, monkeypatch):
    """Noise makes one of a boundary that nothing crosses; the tables of all else must come out."""
    monkeypatch.setattr(comparison, "coldest_ratio", lambda *_: Number(-0.02, 0.05))
    structures = comparison.structures_of(results)
    assert all("isotropy" not in structure.known for structure in structures.values())
    assert "diffusivity" in structures["crystal"].known


def test_two_systems_have_an_order_and_no_correlation(results):
    assert comparison.correlations_table(results) is None
    rows = comparison.orders_table(results).rows
    assert {row[1] for row in rows} == {"crystal < tilt"}
    for row in rows:
        assert bool(row[4]) is (row[3] != "supported")
    assert "In which order" in table(results)
    assert comparison.relations_figure(results) is not None


def test_tables_of_many_systems(results):
    structures = {
        f"s{k}": Structure(
            kind,
            {
                "conductivity": Known.of(10.0**k, 10.0**k / 20, positive=True),
                "disorder": Known.of(1 + 0.2 * k, 0.01),
            },
        )
        for k, kind in enumerate(["crystal", "tilt", "tilt", "twist", "glass"])
    }
    (row,) = comparison.correlations_table(results, structures).rows
    assert row[2].value == pytest.approx(1)
    assert row[3].value == pytest.approx(2 / 120)
    assert row[4] == 5
    found = {row[1]: row[3] for row in comparison.orders_table(results, structures).rows if "disorder" in row[0]}
    assert found["crystal < tilt"] == found["tilt < twist"] == "supported"
    assert found["twist ~ glass"] == "supported"
    assert not any("interface" in claim for claim in found)
    figure = comparison.relations_figure(results, structures)
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xscale() == "log"
