"""Processes and how they ended, in words."""

from aiida_lpsgb.report.processes import Process


def test_outcome_of_a_failure():
    failed = Process(7, "StudyWorkChain", state="finished", exit_status=402, exit_message="not converged")
    assert failed.outcome == "StudyWorkChain<7> failed with exit status 402: not converged"
    assert failed.failed
