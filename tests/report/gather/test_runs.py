"""Runs with their origin, of sweeps that have ended, run or failed."""

from aiida import orm
from plumpy import ProcessState

from aiida_lpsgb.report import study_results
from tests.report.conftest import add_run, small_potential, some_atoms, work


def a_sweep(status=None):
    """Return a sweep of two temperatures with no run yet."""
    inputs = {
        "structure": orm.StructureData(ase=some_atoms()),
        "temperatures": orm.List([600.0, 500.0]),
        "n_replicas": orm.Int(1),
        "potentials__p1": small_potential(),
    }
    return work("transport", "TransportWorkChain", inputs, status=status)


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
