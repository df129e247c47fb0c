"""results and report: what they print and write, and what they say of wrong input."""

import csv
import json

import pytest
from click.testing import CliRunner

from aiida_lpsgb.cli import main
from tests.report.conftest import build_study


@pytest.fixture(scope="module")
def study(aiida_profile):
    """Return a study of a crystal at three temperatures."""
    return build_study()


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_results_are_printed_and_nothing_is_written(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run("results", study.pk)
    assert output.exit_code == 0, output.output
    assert f"StudyWorkChain<{study.pk}> finished, Li3PS4" in output.output
    assert list(tmp_path.iterdir()) == []


def test_files(study, tmp_path):
    folder, content, plot = tmp_path / "csv", tmp_path / "all.json", tmp_path / "plot.png"
    output = run("results", study.pk, "--csv", folder, "--json", content, "-o", plot)
    assert output.exit_code == 0, output.output
    rows = list(csv.DictReader((folder / "runs.csv").open(encoding="utf-8")))
    assert [float(row["temperature_K"]) for row in rows] == [500, 600, 700]
    assert json.loads(content.read_text(encoding="utf-8"))["pk"] == study.pk
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_alone(study):
    output = run("results", study.pk, "--json", "-")
    assert json.loads(output.output)["systems"][0]["name"] == "crystal"


def test_json_here_and_the_rest_in_files(study, tmp_path):
    """What else is asked for is written, and what is said of it is no part of the JSON."""
    output = run("results", study.pk, "--json", "-", "--csv", tmp_path / "csv", "-o", tmp_path / "plot.png")
    assert json.loads(output.stdout)["systems"][0]["name"] == "crystal"
    assert (tmp_path / "csv" / "runs.csv").exists()
    assert (tmp_path / "plot.png").exists()


def test_newest_is_the_default(study):
    newest = build_study(temperatures=(), learning=False)
    assert f"StudyWorkChain<{newest.pk}>" in run("results").output


def test_published_numbers(study, tmp_path):
    path = tmp_path / "published.yaml"
    path.write_text("systems: {crystal: {activation_energy_ev: {values: 0.29}}}")
    assert "0.29" in run("results", study.pk, "--published", path).output
    path.write_text("systems: {crystal: 0.29}")
    output = run("results", study.pk, "--published", path)
    assert output.exit_code == 1
    assert "systems.crystal: expected a dictionary" in output.output


def test_report(study, tmp_path):
    path = tmp_path / "page.html"
    output = run("report", study.pk, "-o", path)
    assert output.exit_code == 0, output.output
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("command", ["report", "results"])
def test_cannot_write(study, tmp_path, command):
    output = run(command, study.pk, "-o", tmp_path / "missing" / "x.png")
    assert output.exit_code == 2
    assert "there is no folder" in output.output
    assert "Traceback" not in output.output


def test_a_file_where_a_folder_should_be(study, tmp_path):
    (tmp_path / "file").touch()
    assert run("results", study.pk, "--csv", tmp_path / "file").exit_code == 2


def test_unknown_picture_format(study, tmp_path):
    assert "a figure is told by its suffix" in run("results", study.pk, "-o", tmp_path / "x.doc").output


def test_no_diffusivities_to_plot(tmp_path, aiida_profile):
    empty = build_study(temperatures=(), learning=False)
    output = run("results", empty.pk, "-o", tmp_path / "x.png")
    assert output.exit_code == 1
    assert "there are no diffusivities to plot" in output.output


@pytest.mark.parametrize("arguments", [("report",), ("results", "--json", "-")])
def test_another_process_has_no_tables(study, arguments):
    command, *options = arguments
    output = run(command, study.called[0].pk, *options)
    assert output.exit_code == 1
    assert "none of the processes that have results" in output.output


def test_another_process_lists_its_outputs(study):
    node = next(node for node in study.called_descendants if "results" in node.outputs or "summary" in node.outputs)
    output = run("results", node.pk)
    assert output.exit_code == 0, output.output
    assert f"{node.process_label}<{node.pk}>" in output.output
    assert "Dict<" in output.output
