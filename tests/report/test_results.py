"""Collecting what was found from processes that have ended, run, failed or were killed."""

import pytest
from aiida import orm
from plumpy import ProcessState

from aiida_lpsgb.report import study_results
from aiida_lpsgb.report.processes import Process
from aiida_lpsgb.report.results import cores
from tests.report.conftest import (
    SYSTEMS,
    add_learning,
    add_run,
    add_system,
    create,
    function,
    small_potential,
    work,
)


def test_runs_with_their_origin(rich):
    results = study_results(rich)
    assert [system.name for system in results.systems] == ["crystal", "tilt_120"]
    crystal = results.system("crystal")
    assert [run.label for run in crystal.runs] == [f"t{t}k_p{p}_1" for t in (300, 500, 600) for p in (1, 2)]
    assert [(run.temperature_K, run.potential, run.replica) for run in crystal.runs[:2]] == [
        (300.0, "p1", 1),
        (300.0, "p2", 1),
    ]
    assert [run.seed for run in crystal.runs] == [401, 402, 601, 602, 701, 702]
    for run in results.runs:
        diffusivity = orm.load_node(run.diffusivity_pk)
        assert diffusivity.creator.pk == run.analysis_pk
        assert [orm.load_node(pk).process_label for pk in run.md_pks] == ["MdCalculation"]
        assert run.potential_pk == results.potentials[run.potential]["pk"]
        assert run.outcome == ""
        assert run.production_ps == 60.0
        assert run.core_hours > 0


def test_a_run_that_is_not_diffusive_has_no_diffusivity(rich):
    cold = [run for run in study_results(rich).runs if run.temperature_K == 300]
    assert len(cold) == 4
    for run in cold:
        assert run.diffusivity_cm2_s is None
        assert run.motion["upper_limit_cm2_s"] > 0
        assert run.judgement == {"known": False, "reason": "it is not diffusive", "production_ps": 60.0}


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


def test_a_system_that_there_is_not(rich):
    with pytest.raises(KeyError, match="no system 'glass'; there are crystal, tilt_120"):
        study_results(rich).system("glass")


def test_in_a_notebook(rich):
    text = study_results(rich)._repr_html_()
    assert "<td>tilt_120</td>" in text
    assert "0.314" in text


def test_learning_and_potentials(rich):
    results = study_results(rich)
    assert results.learning.converged
    assert [row["n_extrapolated"] for row in results.learning.iterations] == [37, 0]
    assert results.learning.labels == {"start": 12, "label_01": 5}
    assert results.learning.level_of_theory == "SevenNet-0 + D3"
    assert results.learning.gamma_select == 2.0
    assert [results.test_errors[name]["energy_rmse_ev_atom"] for name in ("p1", "p2")] == [0.0031, 0.0041]
    assert [known["cutoff_angstrom"] for known in results.potentials.values()] == [5.0, 5.0]


def test_what_it_took(rich):
    results = study_results(rich)
    assert results.processes["TransportRunWorkChain"] == (12, 0)
    assert set(results.core_hours) == {"AnalyseCalculation", "MdCalculation"}
    assert results.codes
    assert set(results.codes.values()) == {"/opt/lmp"}
    assert results.seeds == {f"StudyWorkChain<{rich.pk}>": 7}
    assert results.versions == {"aiida-lpsgb": "0.1.0", "aiida-core": "2.9.4", "LAMMPS": "22 Jul 2025"}
    assert results.material == "Li3PS4"


def test_jobs_from_the_cache_cost_nothing(make_study):
    study = make_study(temperatures=(600.0, 500.0), learning=False)
    md = [node for node in orm.QueryBuilder().append(orm.CalcJobNode).all(flat=True) if node.pk > study.pk]
    for node in md:
        node.base.extras.set("_aiida_cached_from", "another")
    results = study_results(study)
    assert results.processes["MdCalculation"] == (2, 2)
    assert set(results.core_hours.values()) == {0.0}


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


def test_a_learning_alone(aiida_profile):
    loop = add_learning(None, {"p1": small_potential().store()})
    results = study_results(loop)
    assert results.systems == ()
    assert len(results.learning.iterations) == 2
    assert list(results.potentials) == ["p1"]


def test_a_study_that_has_nothing_yet(make_study):
    results = study_results(make_study(temperatures=(), learning=False, status=None))
    assert results.runs == ()
    assert [(system.name, system.outcome) for system in results.systems] == [("crystal", "not begun")]
    assert results.outcome.endswith("is waiting")


@pytest.fixture
def code(aiida_profile):
    computer = orm.Computer.collection.get_or_create(
        label="localhost", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )[1]
    return orm.InstalledCode(label="some", computer=computer, filepath_executable="/opt/lmp").store()


def a_sweep(status=None):
    """Return a sweep of two temperatures with no run yet."""
    from tests.report.conftest import some_atoms

    inputs = {
        "structure": orm.StructureData(ase=some_atoms()),
        "temperatures": orm.List([600.0, 500.0]),
        "n_replicas": orm.Int(1),
        "potentials__p1": small_potential(),
    }
    return work("transport", "TransportWorkChain", inputs, status=status)


def test_what_a_running_sweep_has_so_far(code):
    sweep = a_sweep()
    add_run(sweep, code, small_potential(), "crystal", 600.0, 1)
    going = work("transport_run", "TransportRunWorkChain", {}, sweep, call="t500k_p1_1", status=None)
    (system,) = study_results(sweep).systems
    cold, hot = system.runs
    assert hot.outcome == ""
    assert cold.outcome == f"TransportRunWorkChain<{going.pk}> is waiting"
    assert not cold.failed
    assert cold.motion is None
    assert system.fit is None
    assert (system.n_planned, system.left_out) == (2, ())
    assert system.outcome.endswith("is waiting")
    assert study_results(sweep).failures == ()


def test_a_run_that_goes_on_shows_its_last_look(code):
    sweep = a_sweep()
    run, _ = add_run(sweep, code, small_potential(), "crystal", 600.0, 1)
    work("md.base", "MdBaseWorkChain", {}, run, call="part_1", status=None)
    run.set_process_state(ProcessState.WAITING)
    ((found,),) = [system.runs for system in study_results(sweep).systems]
    assert found.outcome.endswith("is waiting")
    assert found.motion["temperature_K"] == 600.0


def test_a_failed_run_and_what_was_left_out(code):
    sweep = a_sweep(status=401)
    failed = work(
        "transport_run", "TransportRunWorkChain", {}, sweep, call="t600k_p1_1", status=401, message="lost atoms"
    )
    results = study_results(sweep)
    (system,) = results.systems
    assert system.left_out == ("t500k_p1_1",)
    assert system.failed
    cause = f"TransportRunWorkChain<{failed.pk}> failed with exit status 401: lost atoms"
    assert results.failures == (f"Li60P8S32 t600k_p1_1: {cause}",)


def test_a_run_that_failed_is_averaged_with_no_other_and_its_potential_is_named(make_study):
    """What it had found before atoms flew apart is shown with the run alone."""
    study = make_study(n_potentials=3, learning=False)
    (sweep,) = [call for call in study.called if call.process_label == "TransportWorkChain"]
    links = sweep.base.links.get_outgoing(node_class=orm.WorkChainNode).all()
    runs = {entry.link_label: entry.node for entry in links}
    for label in ("t700k_p3_1", "t600k_p3_1"):
        runs[label].set_exit_status(401)
    results = study_results(study)
    (system,) = results.systems
    assert [run.potential for run in system.at(700.0)] == ["p1", "p2"]
    assert len(system.at(500.0)) == 3
    assert all(run.motion for run in system.runs)
    blame, *others = results.failures
    assert blame == ("of the runs all that failed are of p3 (crystal at 700 and 600 K), those of p1 and p2 ended well")
    assert len(others) == 2
    for label in ("t700k_p1_1", "t700k_p2_1"):
        runs[label].set_exit_status(401)
    results = study_results(study)
    assert results.systems[0].at(700.0) == []
    assert 700.0 not in results.systems[0].temperatures_K
    assert len(results.failures) == 4


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


def test_another_process_is_refused(aiida_profile):
    node = create(function("advance"), orm.Dict({}), "result")
    with pytest.raises(ValueError, match=r"have results: lpsgb\.study, lpsgb\.transport, lpsgb\.active_learning"):
        study_results(node.creator)


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"num_machines": 2, "num_mpiprocs_per_machine": 8}, 16),
        ({"num_machines": 1, "tot_num_mpiprocs": 4, "num_cores_per_mpiproc": 2}, 8),
        ({"num_cpus": 3}, 3),
        ({}, 1),
    ],
)
def test_cores(resources, expected):
    assert cores(resources) == expected


def test_outcome_of_a_failure():
    failed = Process(7, "StudyWorkChain", state="finished", exit_status=402, exit_message="not converged")
    assert failed.outcome == "StudyWorkChain<7> failed with exit status 402: not converged"
    assert failed.failed
