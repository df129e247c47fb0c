"""The HTML page, what is on it, and how it looks in a browser."""

import base64
import json
import re
import shutil
import subprocess
import time
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from aiida_lpsgb.report import arrhenius_figure, draw, html, study_results
from aiida_lpsgb.report.fits import Fit
from aiida_lpsgb.report.page import inline, page, picture_of
from aiida_lpsgb.report.tables.whole import MEANING, all_tables
from tests.report.conftest import PUBLISHED, add_grid, add_learning, small_potential

VOID = {"meta", "img", "br", "link", "input", "use", "path", "image", "rect", "stop"}


class Checker(HTMLParser):
    """Checks that every element is closed and gathers text, names and addresses."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.ids += [known["id"]] if "id" in known else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check(text):
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def written(results):
    return page(results, PUBLISHED)


def test_page_is_whole_and_self_contained(written):
    checker = check(written)
    outside = [a for a in checker.addresses if not a.startswith(("data:image/png;base64,", "data:text/csv;", "#"))]
    assert outside == []
    assert not re.search(r"@import|url\((?!#)", written)
    assert len(checker.ids) == len(set(checker.ids))
    text = " ".join(checker.text)
    assert not re.search(r"\bNone\b|\bnan\b|\{\{|\}\}", text)


def test_what_a_reader_sees_first(results, written):
    text = " ".join(check(written).text)
    for words in (
        "Li transport in Li₃PS₄",
        "crystal, tilt_120",
        "SevenNet-0 + D3, 17 of them",
        "2: MTP of level 2, cut-off 5 Å",
        "aiida-lpsgb 0.1.0, aiida-core 2.9.4, LAMMPS 22 Jul 2025",
        "published 0.29",
        "symmetric on (1 2 0), 34.55°, Σ5",
        "0.314",
        "Published: A. Author, J. Some 1, 1 (2023).",
    ):
        assert words in text
    assert text.count(MEANING) == 1
    assert written.count('alt="structure of') == 2


def test_contradictions_are_banners(written):
    banners = re.findall(r'<p class="banner warn"[^>]*>([^<]+)', written)
    assert len([text for text in banners if "contradict" in text]) == 2
    assert [text for text in banners if "contradict" not in text] == [banners[2]]
    assert "of t600k_p1_1 extrapolate" in banners[2]


def test_a_run_that_is_not_diffusive_has_no_conductivity_on_its_card(written):
    cards = written[written.index('<div class="cards">') : written.index('id="arrhenius"')]
    shown = re.findall(r"<span>σ\(300 K\), runs \(S/cm\)</span><b>([^<]+)", cards)
    assert len(shown) == 2
    assert all(text.startswith("&lt; ") for text in shown)


def test_tables_can_be_downloaded(results, written):
    addresses = [a for a in check(written).addresses if a.startswith("data:text/csv")]
    found = {base64.b64decode(a.partition(",")[2]).decode() for a in addresses}
    assert {one.csv() for one in all_tables(results, PUBLISHED)} == found


def test_seeds_and_nodes_are_folded_away(written):
    folded = written[written.index("Where the numbers came from") :]
    assert "Nodes of the runs" in folded
    assert "/opt/lmp" in folded
    assert '<details class="part"><summary><h2>Where the numbers' in written


def test_same_results_give_the_same_page(results, written):
    assert page(results, PUBLISHED) == written


def test_labels_are_escaped(results, tmp_path):
    evil = replace(results.systems[0], name="<b>bold</b> & more", outcome="<script>")
    text = html(replace(results, systems=(evil,), label="<i>"), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold" in text
    assert not re.search(r"<b>bold|<i>|<script>(?!\n)", text)


def test_page_of_an_empty_study(make_study):
    results = study_results(make_study(temperatures=(), learning=False, status=None))
    assert arrhenius_figure(results) is None
    assert draw(results) == {}
    text = " ".join(check(page(results)).text)
    assert "not begun" in text
    assert "is waiting" in text


def test_page_of_a_failure_names_it(make_study):
    study = make_study(temperatures=(), learning=False, status=402, message="the budget of labels is used up")
    text = page(study_results(study))
    assert '<p class="banner bad">' in text
    assert "the budget of labels is used up" in text


def test_page_of_a_learning(aiida_profile):
    loop = add_learning(None, {"p1": small_potential().store()})
    text = " ".join(check(page(study_results(loop))).text)
    assert "Active learning (converged)" in text
    assert "extrapolation grade γ" in text


def test_page_of_a_grid(aiida_profile):
    results = study_results(add_grid(None))
    text = " ".join(check(page(results)).text)
    assert "Choice of level and cut-off" in text
    assert "of a processor for an atom and step" in text
    assert set(draw(results)) == {"grid"}


def test_predictions_stand_against_labels(results):
    left, right = draw(results)["parity"].axes
    assert [line.get_label() for line in left.lines[1:]] == ["p1", "p2"]
    assert [len(line.get_xdata()) for line in left.lines[1:]] == [6, 6]
    shifts = [np.mean(line.get_ydata() - line.get_xdata()) for line in left.lines[1:]]
    assert np.diff(shifts) == pytest.approx(1e3 * 0.01 / 3)
    assert [np.mean(line.get_ydata() - line.get_xdata()) for line in right.lines[1:]] == pytest.approx([0.1, 0.1])


@pytest.mark.slow
def test_a_thousand_systems_stay_quick_to_write_and_read(results):
    many = tuple(replace(results.systems[0], name=f"system {k}") for k in range(1000))
    begin = time.process_time()
    text = page(replace(results, systems=many))
    assert time.process_time() - begin < 120
    assert len(text) < 30e6
    assert "940 more systems stand in the table" in text
    assert text.count("<svg") < 100
    check(text)


# ---- figures -------------------------------------------------------------------------------------------------------


def test_arrhenius_figure_shows_every_point_and_limit(results):
    axes = arrhenius_figure(results).axes[0]
    drawn = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    cells = [line for line in drawn if line.get_gid().startswith("cell-")]
    assert len(cells) == 2
    for line in cells:
        np.testing.assert_allclose(sorted(line.get_xdata()), [1000 / 600, 1000 / 500])
    regions = [line.get_gid() for line in drawn if line not in cells]
    assert len(regions) == 2
    assert all(name.startswith("region-1-tilt_120") for name in regions)
    crystal = results.system("crystal")
    top = max(run.motion["upper_limit_cm2_s"] for run in crystal.at(300.0))
    limits = [line for line in axes.lines if line.get_marker() == "_" and line.get_gid().startswith("cell-0")]
    assert any(np.isclose(line.get_ydata(), top).any() for line in limits)


def test_the_axis_follows_what_was_measured(results):
    crystal = results.system("crystal")
    wide = {"ln_diffusivity_interval95": [-200.0, 100.0], "ln_diffusivity": -60.0}
    system = replace(crystal, fit=Fit(crystal.fit.results | wide))
    low, high = arrhenius_figure(replace(results, systems=(system,))).axes[0].get_ylim()
    limits = [run.motion["upper_limit_cm2_s"] for run in crystal.at(300.0)]
    hottest = [run.motion["diffusivity_cm2_s"] for run in crystal.at(600.0)]
    assert 1e-5 * min(limits) < low < min(limits)
    assert max(hottest) < high < 10 * max(hottest)


def test_axis_of_conductivity(results):
    figure = arrhenius_figure(results)
    right = next(child for child in figure.axes[0].child_axes if "σT" in child.get_ylabel())
    run = results.system("crystal").at(500.0)[0].motion
    # σ of the made-up runs is not that of Nernst and Einstein; the axis is.
    expected = run["number_density_A3"] * 1e24 * 1.602176634e-19**2 / 1.380649e-23
    figure.draw_without_rendering()
    ratio = np.array(right.get_ylim()) / np.array(figure.axes[0].get_ylim())
    np.testing.assert_allclose(ratio, expected, rtol=1e-6)


def test_systems_have_colours_of_their_own(results):
    axes = arrhenius_figure(replace(results, systems=results.systems * 3)).axes[0]
    colours = {}
    for line in axes.lines:
        if line.get_gid() and line.get_gid().startswith("cell-"):
            colours.setdefault(line.get_gid().split("-")[1], set()).add(line.get_color())
    assert all(len(found) == 1 for found in colours.values())
    assert len({min(found) for found in colours.values()}) == len(colours) == 6


def test_regions_of_many_systems_are_drawn_system_by_system(results):
    few, many = results, replace(results, systems=results.systems * 5)
    assert [name for name in draw(few) if name.endswith("_regions")] == []
    drawn = draw(many)
    assert [name for name in drawn if name.endswith("_regions")] == ["tilt_120_regions"]
    assert not [line for line in drawn["arrhenius"].axes[0].lines if (line.get_gid() or "").startswith("region-")]
    own = {line.get_gid().partition("-")[0] for line in drawn["tilt_120_regions"].axes[0].lines if line.get_gid()}
    assert own == {"cell", "region"}


def test_a_long_legend_leaves_the_axes_their_room(results):
    figure = arrhenius_figure(replace(results, systems=results.systems * 5))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    axes = figure.axes[0].get_window_extent()
    assert axes.height > 0.6 * figure.bbox.height
    assert legend.get_window_extent().x0 > axes.x1


def test_every_temperature_in_one_panel(results):
    axes = draw(results)["crystal_msd"].axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 20 and line.get_linewidth() < 2]
    assert len(curves) == 6
    assert len({line.get_color() for line in curves}) == 3
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == [
        "600 K",
        "500 K",
        "300 K",
        "fit in its window",
        "not diffusive",
    ]


def test_a_panel_a_unit_and_grades_on_a_logarithm(results):
    energies, forces, grades, counts = draw(results)["learning_curve"].axes
    assert [axes.get_yscale() for axes in (energies, forces, grades, counts)] == ["linear", "linear", "log", "linear"]
    assert "meV/atom" in energies.get_title(loc="left")
    assert "meV/Å" in forces.get_title(loc="left")


def test_figures_take_the_colours_of_the_page(results):
    text = inline(arrhenius_figure(results), "one")
    assert "currentColor" in text
    assert "#ffffff" not in text
    assert 'id="one-cell-0-crystal-0"' in text
    assert "<metadata>" not in text


def test_a_structure_that_cannot_be_drawn_has_no_picture():
    assert picture_of(SimpleNamespace(structure_pk=None, n_atoms=None)) == ""


# ---- in a browser --------------------------------------------------------------------------------------------------

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def screenshot(path, image, width, height=1600, dark=False):
    """Take a picture of a page."""
    from PIL import Image

    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={image.parent}"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    shot = [f"--screenshot={image}", f"--window-size={width},{height}", path.as_uri()]
    subprocess.run([BROWSER, *options, *shot], check=True, capture_output=True, timeout=120)
    return np.asarray(Image.open(image).convert("RGB"), int)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium to look at the page with")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [500, 1000, 1600])
def test_page_in_a_browser(results, tmp_path, width, dark):
    path = html(results, tmp_path / "page.html", PUBLISHED)
    pixels = screenshot(path, tmp_path / f"{width}.png", width, dark=dark)
    assert pixels.shape[1] == width
    background = pixels[2, 2]
    assert (background.mean() < 64) == dark
    # Nothing runs out of the page on the right, and it is not empty.
    assert (np.abs(pixels[:, -8:] - background).max(axis=(1, 2)) < 24).mean() > 0.98
    assert (np.abs(pixels - background).max(axis=2) > 24).mean() > 0.05


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium to look at the page with")
def test_tables_sort_and_filter_in_a_browser(results, tmp_path):
    many = tuple(replace(results.systems[0], name=f"cell-{k:02d}-x", n_atoms=(7 * k) % 40) for k in range(40))
    text = page(replace(results, systems=many))
    script = """<script>
    const table = [...document.querySelectorAll(".table")].find((t) => t.textContent.includes("Systems"));
    const head = [...table.querySelectorAll("th")].find((h) => h.textContent === "atoms");
    const atoms = () => [...table.querySelectorAll("tbody tr")].map((r) => Number(r.cells[head.cellIndex].textContent));
    head.querySelector("button").click(); const up = atoms();
    head.querySelector("button").click(); const down = atoms();
    const box = table.querySelector("input"); box.value = "CELL-07-x crystal"; box.dispatchEvent(new Event("input"));
    const left = [...table.querySelectorAll("tbody tr")].filter((r) => !r.hidden).map((r) => r.cells[0].textContent);
    document.documentElement.innerHTML = "<p id=found>" + JSON.stringify([up, down, left]) + "</p>";
    </script></body>"""
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", script), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    output = subprocess.run([BROWSER, *options, path.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    up, down, left = json.loads(re.search(r'<p id="found">([^<]*)', output.stdout)[1])
    assert up == sorted(up)
    assert down == up[::-1]
    assert left == ["cell-07-x"]
