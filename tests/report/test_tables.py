"""Results as tables and as text."""

import csv
import io
import json
from dataclasses import replace

import pytest

from aiida_lpsgb.report import study_results, table, tables
from aiida_lpsgb.report.files import json_text, write_csv
from aiida_lpsgb.report.fits import Fit
from tests.report.conftest import D0_CM2_S, ENERGIES_EV, fit_results

PUBLISHED = {
    "source": "A. Author, J. Some 1, 1 (2023)",
    "systems": {
        "crystal": {
            "activation_energy_ev": {"values": 0.29},
            "f_pd": {"values": 0.04, "note": "by another convention"},
            "first_peaks_A": {"values": {"S-P": 2.06}},
        }
    },
}


@pytest.fixture(scope="module")
def results(rich):
    return study_results(rich)


def lines_of(text):
    """Return the cells of each line of a text, by its first cell."""
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    return {line[0]: line[1:] for line in cells if line}


def test_text(rich, results):
    text = table(results)
    assert text.startswith(f"StudyWorkChain<{rich.pk}> finished, Li3PS4\n")
    assert "Active learning (converged)" in text
    assert "2 of 4" in text
    lines = lines_of(text)
    energies = [f"{ENERGIES_EV[name]:.3f}" for name in ("crystal", "tilt_120")]
    assert [cell.split(" ")[0] for cell in lines["Eₐ (eV)"]] == energies
    assert lines["γ (J/m²)"] == ["–", "0.314"]
    assert lines["kind"] == ["crystal", "boundary"]
    assert all(len(line) <= 120 for line in text.splitlines() if line.startswith(("±", "!")))


def test_runs_that_are_watched_tell_their_grades(results):
    rows = list(csv.DictReader(io.StringIO(tables.runs_table(results).csv())))
    watched = [row for row in rows if row["potential"] == "p1"]
    assert {row["n_extrapolated"] for row in watched if row["system"] == "crystal"} == {"0"}
    assert {row["max_grade"] for row in watched if row["system"] == "crystal"} == {"1.5"}
    assert {row["n_extrapolated"] for row in rows if row["potential"] == "p2"} == {""}
    hot = [row["run"] for row in watched if row["n_extrapolated"] == "3"]
    assert hot
    assert all(row["system"] == "tilt_120" for row in watched if row["run"] in hot and row["max_grade"] == "4.25")
    assert any("extrapolate; the highest grade is 4.2" in sentence for sentence in tables.warnings(results))


def test_where_motion_is_not_diffusive_there_is_a_limit_and_no_number(results):
    cold = {row[0]: row for row in tables.temperatures_table(results).rows if row[1] == 300.0}
    for row in cold.values():
        assert row[2].startswith("< ")
        assert row[3].startswith("< ")
    rows = csv.DictReader(io.StringIO(tables.runs_table(results).csv()))
    for row in rows:
        if row["temperature_K"] == "300.0":
            assert row["diffusivity_cm2_s"] == row["conductivity_s_cm"] == ""
            assert float(row["diffusivity_cm2_s_upper_limit95"]) > 0
        else:
            assert float(row["diffusivity_cm2_s"]) > 0
    assert "< " in lines_of(table(results))["σ(300 K), runs (S/cm)"][0]


def test_a_contradiction_has_a_line_of_its_own(results):
    text = table(results)
    sentences = [line for line in text.splitlines() if line.startswith("! ") and "contradict" in line]
    assert len(sentences) == 2
    assert sentences[0].startswith("! crystal: the runs at 300 K contradict the fit: D < ")
    assert "contradicted by a run" in text


def test_a_fit_that_knows_the_limits_is_not_contradicted(results):
    crystal = results.system("crystal")
    one = Fit(fit_results("crystal", (600.0, 500.0)))
    close = [replace(run, motion=run.motion | {"upper_limit_cm2_s": 1e-6}) for run in crystal.runs]
    system = replace(crystal, fit=one, runs=tuple(close))
    assert tables.contradiction_sentences(system) == []


def test_runs_of_several_potentials_are_averaged(results):
    crystal = results.system("crystal")
    numbers = tables.system_numbers(crystal, 300.0, {})
    (column,) = [column for column in numbers if column.key == "diffusivity_500k_cm2_s"]
    runs = [run.motion for run in crystal.at(500.0)]
    assert len(runs) == 2
    mean = sum(run["diffusivity_cm2_s"] for run in runs) / 2
    assert numbers[column].value.value == pytest.approx(mean)
    assert mean == pytest.approx(D0_CM2_S["crystal"] * 2.718281828 ** (-0.4 / (8.617333262e-5 * 500)) * 1.075, rel=1e-6)


def test_what_is_not_known_at_the_target_says_at_which_temperature_it_is(results):
    lines = lines_of(table(results))
    assert lines["isotropy ξ"][0].endswith("(500 K)")
    assert "(" not in lines["mean site disorder, normalised"][0]


def test_isotropy_of_a_boundary_is_that_of_its_region(results):
    tilt = results.system("tilt_120")
    runs = tuple(
        replace(
            run,
            regions={
                key: found | {"isotropy": 0.25 if key == "boundary_occupancy" else 0.9}
                for key, found in run.regions.items()
            },
        )
        for run in tilt.runs
    )
    numbers = tables.system_numbers(replace(tilt, runs=runs), 300.0, {})
    (entry,) = [entry for column, entry in numbers.items() if column.key == "isotropy"]
    assert entry.value.value == pytest.approx(0.25)


def test_published_numbers_stand_beside(results):
    text = table(results, PUBLISHED)
    lines = lines_of(text)
    assert lines["Eₐ (eV)"][1] == "0.29"
    assert lines["first peak P-S (Å)"][1] == "2.06"
    assert lines["f_PD, L > 1 Å, alpha, diameter"][1] == "0.04"
    assert "published: A. Author, J. Some 1, 1 (2023)" in text
    assert "crystal, f_pd: by another convention" in text
    header = tables.comparison(results, PUBLISHED).csv().splitlines()[0].split(",")
    assert header.index("activation_energy_ev_published") > header.index("activation_energy_ev")


def test_columns_of_systems_that_know_different_things_keep_their_order():
    assert tables.ordered([["a", "b", "d"], ["a", "c", "d", "e"]]) == ["a", "c", "b", "d", "e"]


def test_every_table_is_rectangular(results):
    found = tables.all_tables(results, PUBLISHED)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert {"systems", "runs", "fits", "regions", "potentials", "learning", "labels", "costs", "codes"} <= set(names)
    for one in found:
        assert all(len(row) == len(one.columns) for row in one.rows), one.name
        width = {len(row) for row in csv.reader(io.StringIO(one.csv()))}
        assert len(width) == 1, one.name


def test_costs_by_temperature(results):
    rows = {(row[0], row[1]): row for row in tables.costs_table(results).rows}
    _, _, n_runs, produced, hours, known = rows["crystal", 300.0]
    assert (n_runs, produced, known) == (2, 120.0, "0 of 2")
    assert hours.value > 0
    assert rows["crystal", 500.0][-1] == "2 of 2"


def test_errors_of_every_potential(results):
    rows = {row[0]: row for row in tables.potentials_table(results).rows}
    assert [str(rows[name][7]) for name in ("p1", "p2")] == ["3.1", "4.1"]


def test_grid(results):
    found = tables.grid_table(results)
    rows = {row[0]: row for row in found.rows}
    assert [rows[name][-1] for name in rows] == ["on the front", "chosen", "lacks a measured cost"]
    assert [str(cell) for cell in rows["l14_r5"][3:]] == ["2.4", "1.92", "2.48", "49", "70", "0.168", "chosen"]
    assert str(rows["l20_r5"][3]) == "–"
    assert "within one standard error" in found.note
    assert "Choice of level and cut-off" in table(results)


def test_regions_by_estimator(results):
    found = tables.regions_table(results)
    assert {(row[3], row[4]) for row in found.rows} == {
        (region, estimator) for region in ("boundary", "elsewhere") for estimator in ("tagged", "occupancy")
    }
    assert tables.region_words("grain_2_both_ends") == "grain_2, both_ends"


def test_text_of_an_empty_study(make_study):
    text = table(study_results(make_study(temperatures=(), learning=False)))
    assert "crystal" in text
    assert "not begun" in str(tables.comparison(study_results(make_study(temperatures=(), learning=False))))


def test_csv_files(results, tmp_path):
    written = write_csv(results, tmp_path / "new")
    names = {path.name for path in written}
    assert {"systems.csv", "runs.csv", "msd_crystal_t500k_p1_1.csv"} <= names
    rows = list(csv.DictReader((tmp_path / "new" / "msd_crystal_t500k_p1_1.csv").open(encoding="utf-8")))
    total = [float(row["msd_A2"]) for row in rows]
    parts = [sum(float(row[f"msd_{axis}_A2"]) for axis in "xyz") for row in rows]
    assert total == pytest.approx(parts)
    assert float(rows[0]["lag_ps"]) == pytest.approx(0.2)


def test_json_has_everything(results):
    content = json.loads(json_text(results))
    crystal = content["systems"][0]
    assert crystal["fit"]["activation_energy_eV"] == pytest.approx(0.4)
    assert crystal["runs"][0]["motion"]["verdict"].startswith("not diffusive")
    assert content["learning"]["labels"] == {"start": 12, "label_01": 5}
    assert content["finished"] is True


def test_a_system_without_a_line_has_a_limit_and_says_why(results):
    crystal = results.system("crystal")
    fit = Fit(fit_results("crystal", (500.0, 300.0), limits=(500.0, 300.0)))
    text = table(replace(results, systems=(replace(crystal, fit=fit),)))
    assert lines_of(text)["σ(300 K), fit (S/cm)"][0].startswith("< ")
    assert "Eₐ (eV)" not in lines_of(text)
    assert "a line needs two temperatures" in text
    assert f"aiida-lpsgb launch sweep --add {crystal.sweep_pk} --max-production 240" in " ".join(text.split())


def test_potentials_that_disagree_are_named(results):
    crystal = results.system("crystal")
    fit = Fit(crystal.fit.results | {"disagreeing_potentials": ["p2"]})
    found = tables.warnings(replace(results, systems=(replace(crystal, fit=fit),)))
    assert "crystal: p2 disagrees grossly with the other potentials" in found
