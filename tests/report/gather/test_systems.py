"""Systems of studies and sweeps, whatever became of them."""

import pytest
from aiida import orm
from plumpy import ProcessState

from aiida_lpsgb.report import study_results
from tests.report.conftest import SYSTEMS, add_system, small_potential, work


def test_a_system(rich):
    results = study_results(rich)
    tilt = results.system("tilt_120")
    assert (tilt.kind, tilt.formula, tilt.n_atoms) == ("boundary", "Li60P8S32", 100)
    assert tilt.recipe == SYSTEMS["tilt_120"]
    assert tilt.energy_J_m2 == 0.314
    assert (tilt.n_planned, tilt.left_out, tilt.outcome) == (6, (), "")
    assert tilt.fit.energy_eV[0] == pytest.approx(0.35)
    labels = [f"{region}_{e}" for region in ("boundary", "elsewhere") for e in ("occupancy", "tagged")]
    assert sorted(tilt.regional_fits) == labels
    assert all(sorted(run.regions) == labels for run in tilt.runs)
    assert results.system("crystal").energy_J_m2 is None
    assert results.system("crystal").regional_fits == {}


def test_a_sweep_alone(make_study):
    study = make_study(learning=False)
    (sweep,) = [call for call in study.called if call.process_label == "TransportWorkChain"]
    results = study_results(sweep)
    (system,) = results.systems
    assert (system.name, system.kind) == ("Li60P8S32", "structure")
    assert [run.temperature_K for run in system.runs] == [500.0, 600.0, 700.0]
    assert system.fit is not None
    assert results.learning is None
    assert list(results.potentials) == ["p1"]


def test_a_killed_and_an_excepted_system(make_study):
    study = make_study(temperatures=(), learning=False, status=None)
    sweep = work("transport", "TransportWorkChain", {}, study, call="crystal", status=None)
    sweep.set_process_state(ProcessState.KILLED)
    assert study_results(study).failures == (f"crystal: TransportWorkChain<{sweep.pk}> was killed",)
    sweep.set_process_state(ProcessState.EXCEPTED)
    sweep.set_exception("Traceback\n  somewhere\nKeyError: 'trajectory'\n")
    (system,) = study_results(study).systems
    assert system.outcome == f"TransportWorkChain<{sweep.pk}> excepted: KeyError: 'trajectory'"


def test_a_recipe_that_failed(aiida_profile):
    study = work("study", "StudyWorkChain", {"systems__tilt_120": orm.Dict(SYSTEMS["tilt_120"])}, status=403)
    maker = work(
        "grain_boundary", "GrainBoundaryWorkChain", {}, study, call="recipe_tilt_120", status=402, message="no"
    )
    (system,) = study_results(study).systems
    assert system.outcome == f"GrainBoundaryWorkChain<{maker.pk}> failed with exit status 402: no"
    assert system.failed
    assert system.structure_pk is None


def test_a_system_of_another_study_is_not_taken(code, make_study):
    study = make_study(temperatures=(), learning=False)
    other = work("study", "StudyWorkChain", {}, status=0)
    add_system(other, code, {"p1": small_potential().store()}, "crystal", (600.0, 500.0))
    assert study_results(study).runs == ()
