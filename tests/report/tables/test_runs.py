"""Runs and their fits."""

import csv
import io

from aiida_lpsgb.report import table
from aiida_lpsgb.report.tables import runs


def test_runs_that_are_watched_tell_their_grades(results):
    rows = list(csv.DictReader(io.StringIO(runs.runs_table(results).csv())))
    watched = [row for row in rows if row["potential"] == "p1"]
    assert {row["n_extrapolated"] for row in watched if row["system"] == "crystal"} == {"0"}
    assert {row["max_grade"] for row in watched if row["system"] == "crystal"} == {"1.5"}
    assert {row["n_extrapolated"] for row in rows if row["potential"] == "p2"} == {""}
    hot = [row["run"] for row in watched if row["n_extrapolated"] == "3"]
    assert hot
    assert all(row["system"] == "tilt_120" for row in watched if row["run"] in hot and row["max_grade"] == "4.25")


def test_where_motion_is_not_diffusive_there_is_a_limit_and_no_number(results, lines_of):
    cold = {row[0]: row for row in runs.temperatures_table(results).rows if row[1] == 300.0}
    for row in cold.values():
        assert row[2].startswith("< ")
        assert row[3].startswith("< ")
    rows = csv.DictReader(io.StringIO(runs.runs_table(results).csv()))
    for row in rows:
        if row["temperature_K"] == "300.0":
            assert row["diffusivity_cm2_s"] == row["conductivity_s_cm"] == ""
            assert float(row["diffusivity_cm2_s_upper_limit95"]) > 0
        else:
            assert float(row["diffusivity_cm2_s"]) > 0
    assert "< " in lines_of(table(results))["σ(300 K), runs (S/cm)"][0]


def test_costs_by_temperature(results):
    rows = {(row[0], row[1]): row for row in runs.costs_table(results).rows}
    _, _, n_runs, produced, hours, known = rows["crystal", 300.0]
    assert (n_runs, produced, known) == (2, 120.0, "0 of 2")
    assert hours.value > 0
    assert rows["crystal", 500.0][-1] == "2 of 2"


def test_regions_by_estimator(results):
    found = runs.regions_table(results)
    assert {(row[3], row[4]) for row in found.rows} == {
        (region, estimator) for region in ("boundary", "elsewhere") for estimator in ("tagged", "occupancy")
    }
    assert runs.region_words("grain_2_both_ends") == "grain_2, both_ends"
