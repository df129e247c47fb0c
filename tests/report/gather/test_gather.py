"""Processes that have nothing yet, and those that have nothing to collect."""

import pytest
from aiida import orm

from aiida_lpsgb.report import study_results
from tests.report.conftest import create, function


def test_a_study_that_has_nothing_yet(make_study):
    results = study_results(make_study(temperatures=(), learning=False, status=None))
    assert results.runs == ()
    assert [(system.name, system.outcome) for system in results.systems] == [("crystal", "not begun")]
    assert results.outcome.endswith("is waiting")


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


def test_another_process_is_refused(aiida_profile):
    node = create(function("advance"), orm.Dict({}), "result")
    with pytest.raises(ValueError, match=r"have results: lpsgb\.study, lpsgb\.transport, lpsgb\.active_learning"):
        study_results(node.creator)
