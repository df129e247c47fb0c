"""The HTML page and the figures in it."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner

from aiida_lpsgb.cli import main
from aiida_lpsgb.report import arrhenius_figure, draw, html, study_results

VOID = {"meta", "img", "br", "link"}


class Checker(HTMLParser):
    """Checks that every element is closed and gathers text and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def results(finished):
    return study_results(finished)


def test_page_is_whole_and_self_contained(results, tmp_path):
    page = html(results, tmp_path / "report.html", draw(results)).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert len(checker.addresses) == 2 + len(results.runs)
    assert all(address.startswith("data:image/svg+xml;base64,") for address in checker.addresses)
    text = " ".join(checker.text)
    for words in (
        "Li diffusion in Li",
        "(1.00 ± 0.10)e-06",
        "Converged after 2 iterations",
        "3.1 meV/atom",
        "/opt/lmp",
    ):
        assert words in text
    assert not re.search(r"\bNone\b|\bnan\b|\{\{|\}\}", text)


def test_page_with_a_boundary(make_study, tmp_path):
    results = study_results(make_study(boundary=True))
    page = html(results, tmp_path / "report.html", draw(results)).read_text(encoding="utf-8")
    checker = Checker()
    checker.feed(page)
    text = " ".join(checker.text)
    for words in ("boundary region, occupancy", "0.410 ± 0.015", "γ = 0.31 J/m²", "Structure and disorder: crystal"):
        assert words in text


def test_labels_are_escaped(make_study, tmp_path):
    study = make_study()
    study.label = "<b>bold</b> & more"
    page = html(study_results(study), tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page


def test_same_results_give_the_same_page(results, tmp_path):
    pages = [html(results, tmp_path / f"{number}.html", draw(results)).read_bytes() for number in range(2)]
    assert pages[0] == pages[1]


def test_page_of_an_empty_study(make_study, tmp_path):
    results = study_results(make_study(temperatures=(), learning=False))
    assert arrhenius_figure(results) is None
    assert draw(results) == {}
    assert "Diffusivity" in html(results, tmp_path / "report.html").read_text(encoding="utf-8")


def test_arrhenius_figure_shows_every_run(results):
    (axes,) = arrhenius_figure(results).axes
    x = np.sort(np.concatenate([line.get_xdata() for line in axes.lines if line.get_marker() == "o"]))
    assert x == pytest.approx([1000 / 700, 1000 / 600, 1000 / 500])


class TestCommands:
    def test_results(self, finished, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        output = CliRunner().invoke(main, ["results", str(finished.pk)])
        assert output.exit_code == 0, output.output
        assert "(1.00 ± 0.10)e-06" in output.output
        assert (tmp_path / f"arrhenius-{finished.pk}.png").read_bytes().startswith(b"\x89PNG")

    def test_table_only(self, finished, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert CliRunner().invoke(main, ["results", str(finished.pk), "--no-plot"]).exit_code == 0
        assert list(tmp_path.iterdir()) == []

    def test_newest_study_is_the_default(self, finished, make_study):
        newest = make_study(temperatures=(), learning=False)
        assert f"StudyWorkChain<{newest.pk}>" in CliRunner().invoke(main, ["results", "--no-plot"]).output

    def test_report(self, finished, tmp_path):
        path = tmp_path / "page.html"
        output = CliRunner().invoke(main, ["report", str(finished.pk), "-o", str(path)])
        assert output.exit_code == 0, output.output
        assert path.stat().st_size > 10_000

    @pytest.mark.parametrize("command", ["report", "results"])
    def test_cannot_write(self, finished, tmp_path, command):
        output = CliRunner().invoke(main, [command, str(finished.pk), "-o", str(tmp_path / "missing" / "x.png")])
        assert output.exit_code == 1
        assert "cannot write" in output.output
        assert "Traceback" not in output.output

    def test_unknown_picture_format(self, finished, tmp_path):
        output = CliRunner().invoke(main, ["results", str(finished.pk), "-o", str(tmp_path / "x.doc")])
        assert "cannot write" in output.output

    def test_not_a_study(self, finished):
        output = CliRunner().invoke(main, ["report", str(finished.called[0].called[0].pk)])
        assert output.exit_code == 1
        assert "has no diffusivities" in output.output
