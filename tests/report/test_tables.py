"""Text of a study's results."""

from dataclasses import replace

import pytest

from aiida_lpsgb.report import study_results, table
from aiida_lpsgb.report.tables import columns, diffusivity_text, with_uncertainty


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
    assert "t500k_1  500    (1.00 ± 0.10)e-06" in text
    assert "Active learning (converged)" in text
    assert "2 of 4" in text
    assert "E_a = 0.312 ± 0.015 eV, D₀ = 1.50e-03 cm²/s, fitted from 500 to 700 K" in text
    assert "σ(300 K) = 2.10e-04 S/cm, 95 % interval 9.0e-05 to 4.8e-04 S/cm" in text
    assert "Li P S, level 2, cut-off 5 Å" in text
    assert "energy 3.1 meV/atom, force component 87 meV/Å, stress component 0.210 GPa" in text


def test_no_diffusion_seen_is_an_upper_limit(finished):
    run = replace(study_results(finished).runs[0], upper_limit_cm2_s=3.21e-9)
    assert diffusivity_text(run) == "< 3.2e-09"


def test_table_of_an_empty_study(make_study):
    text = table(study_results(make_study(temperatures=(), learning=False)))
    assert text.count("\n") == 0
