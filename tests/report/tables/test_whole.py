"""All tables of a study, and those that a terminal shows."""

import csv
import io

from aiida_lpsgb.report import study_results, table
from aiida_lpsgb.report.tables import whole
from tests.report.conftest import ENERGIES_EV, PUBLISHED


def test_text(rich, results, lines_of):
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


def test_published_numbers_stand_beside(results, lines_of):
    text = table(results, PUBLISHED)
    lines = lines_of(text)
    assert lines["Eₐ (eV)"][1] == "0.29"
    assert lines["first peak P-S (Å)"][1] == "2.06"
    assert lines["f_PD, L > 1 Å, alpha, diameter"][1] == "0.04"
    assert "published: A. Author, J. Some 1, 1 (2023)" in text
    assert "crystal, f_pd: by another convention" in text


def test_every_table_is_rectangular(results):
    found = whole.all_tables(results, PUBLISHED)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    assert {"systems", "runs", "fits", "regions", "potentials", "learning", "labels", "costs", "codes"} <= set(names)
    for one in found:
        assert all(len(row) == len(one.columns) for row in one.rows), one.name
        width = {len(row) for row in csv.reader(io.StringIO(one.csv()))}
        assert len(width) == 1, one.name


def test_text_of_an_empty_study(make_study):
    assert "crystal" in table(study_results(make_study(temperatures=(), learning=False)))
