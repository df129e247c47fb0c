"""What was found, written to files."""

import csv
import json

import pytest

from aiida_lpsgb.report.files import json_text, write_csv


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
