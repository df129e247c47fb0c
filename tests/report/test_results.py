"""Collecting a study's results from its nodes."""

import pytest
from aiida import orm

from aiida_lpsgb.report import study_results
from aiida_lpsgb.report.results import outcome


def test_runs_by_temperature_with_their_origin(finished):
    results = study_results(finished)
    assert [run.temperature_K for run in results.runs] == [500.0, 600.0, 700.0]
    assert [run.seed for run in results.runs] == [101, 102, 100]
    for run in results.runs:
        diffusivity = orm.load_node(run.pk)
        trajectory = diffusivity.creator.inputs.t
        assert run.trajectory_pk == trajectory.pk
        assert run.md_pk == trajectory.creator.pk
        assert run.potential_pk == trajectory.creator.inputs.potential.pk
    (pk,) = {run.potential_pk for run in results.runs}
    assert results.potentials[pk]["cutoff_angstrom"] == 5.0


def test_what_was_used(finished):
    results = study_results(finished)
    assert results.processes == {
        "ArrheniusWorkChain": 1,
        "MdCalculation": 3,
        "advance": 1,
        "diffusivity": 3,
    }
    assert results.codes == {"lmp@localhost": "/opt/lmp"}
    assert sorted(results.seeds.values()) == [7, 100, 101, 102]
    assert (results.formula, results.n_atoms) == ("Li", 1)


def test_learning_curve_and_errors(finished):
    results = study_results(finished)
    assert results.converged is True
    assert [row["n_extrapolated"] for row in results.iterations] == [37, 0]
    assert results.test_errors["n_configurations"] == 40


def test_a_boundary_beside_the_crystal(make_study):
    results = study_results(make_study(boundary=True))
    assert [(run.place, run.temperature_K) for run in results.runs] == [
        (place, temperature) for place in ("crystal", "boundary cell") for temperature in (500.0, 600.0, 700.0)
    ]
    assert {place: fit["activation_energy_ev"] for place, fit in results.fits.items()} == {
        "crystal": 0.3123,
        "boundary cell": 0.4,
        "boundary region, occupancy": 0.41,
        "boundary region, tagged": 0.35,
    }
    assert results.fit["activation_energy_ev"] == 0.3123
    assert results.boundary["energies_J_m2"] == {"candidate_0": 0.314}
    assert list(results.characterisations) == ["crystal"]


def test_a_sweep_alone(make_study):
    study = make_study(learning=False)
    (sweep,) = [call for call in study.called if call.process_label == "ArrheniusWorkChain"]
    results = study_results(sweep)
    assert len(results.runs) == 3
    assert results.iterations == ()
    assert results.converged is None
    assert results.test_errors is None


def test_a_study_that_has_nothing_yet(make_study):
    results = study_results(make_study(temperatures=(), learning=False))
    assert results.runs == ()
    assert results.fit is None


def test_another_process_is_refused(finished):
    other = finished.called[0].called[0]
    with pytest.raises(ValueError, match=r"has no diffusivities; give a process of lpsgb\.study"):
        study_results(other)


def test_outcome_of_a_failure(aiida_profile_clean):
    node = orm.WorkChainNode()
    node.set_process_label("StudyWorkChain")
    node.set_process_state("finished")
    node.set_exit_status(402)
    node.set_exit_message("not converged")
    assert outcome(node.store()) == f"StudyWorkChain<{node.pk}> failed with exit status 402: not converged"
