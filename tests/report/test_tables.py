"""Text of a study's results."""

import re
from dataclasses import replace

import pytest

from aiida_lpsgb.report import study_results, table
from aiida_lpsgb.report.tables import diffusivity_text
from aiida_lpsgb.report.text import columns, with_uncertainty


@pytest.mark.parametrize(
    ("value", "uncertainty", "expected"),
    [
        (1.2345e-6, 1.2e-7, "(1.23 ± 0.12)e-06"),
        (1.2e-7, 1.2345e-6, "(0.1 ± 1.2)e-06"),
        (9.996e-6, 1e-9, "(9.9960 ± 0.0010)e-06"),
        (-2e-8, 1e-8, "(-2.0 ± 1.0)e-08"),
        (123.0, 45.0, "(1.23 ± 0.45)e+02"),
        (1e-5, 0.0, "1.00e-05"),
        (1e-5, None, "1.00e-05"),
        (0.0, 1e-8, "(0.0 ± 1.0)e-08"),
        (None, None, "-"),
        (float("nan"), 1.0, "-"),
    ],
)
def test_with_uncertainty(value, uncertainty, expected):
    assert with_uncertainty(value, uncertainty) == expected


def test_columns_are_aligned():
    assert columns(("a", "long name"), [("1", "2"), ("100", "3")]) == "a    long name\n---  ---------\n1    2\n100  3"


def test_table(finished):
    text = table(study_results(finished))
    assert f"StudyWorkChain<{finished.pk}> finished" in text
    assert "crystal  t500k_1  500    (1.00 ± 0.10)e-06" in text
    assert "Active learning (converged)" in text
    assert "2 of 4" in text
    assert "crystal  0.312 ± 0.015  1.5e-03     2.1e-04          9.0e-05 to 4.8e-04    500 to 700" in text
    assert "Li P S, level 2, cut-off 5 Å" in text
    assert "energy 3.1 meV/atom, force component 87 meV/Å, stress component 0.210 GPa" in text


def test_table_with_a_boundary_and_published_numbers(make_study):
    published = {"whole_fraction": {"values": 0.99, "note": "says why"}}
    text = table(study_results(make_study(boundary=True)), published)
    assert (
        "Boundary: symmetric, (1, 2, 0), true angle 34.55° (nominally Σ5, 53.13°), 960 atoms, strain 0.00 %, "
        "γ = 0.31 J/m²"
    ) in text
    assert "boundary region, occupancy  0.410 ± 0.015" in text
    assert "The crystal at 300 K" in text
    assert re.search(r"whole units +100\.0% +99\.0%", text)
    assert "whole_fraction: says why" in text


def test_no_diffusion_seen_is_an_upper_limit(finished):
    run = replace(study_results(finished).runs[0], upper_limit_cm2_s=3.21e-9)
    assert diffusivity_text(run) == "< 3.2e-09"


def test_table_of_an_empty_study(make_study):
    text = table(study_results(make_study(temperatures=(), learning=False)))
    assert text.count("\n") == 0
