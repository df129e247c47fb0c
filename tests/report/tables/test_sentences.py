"""What must be known before a number is quoted."""

from dataclasses import replace

from aiida_lpsgb.report import table
from aiida_lpsgb.report.fits import Fit
from aiida_lpsgb.report.tables import sentences
from tests.report.conftest import fit_results


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
    assert sentences.contradiction_sentences(system) == []


def test_a_system_without_a_line_has_a_limit_and_says_why(results, lines_of):
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
    found = sentences.warnings(replace(results, systems=(replace(crystal, fit=fit),)))
    assert "crystal: p2 disagrees grossly with the other potentials" in found


def test_runs_that_extrapolate_are_named(results):
    assert any("extrapolate; the highest grade is 4.2" in sentence for sentence in sentences.warnings(results))
