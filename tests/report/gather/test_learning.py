"""What was learned, and the potentials."""

from aiida_lpsgb.report import study_results
from tests.report.conftest import add_learning, small_potential


def test_learning_and_potentials(rich):
    results = study_results(rich)
    assert results.learning.converged
    assert [row["n_extrapolated"] for row in results.learning.iterations] == [37, 0]
    assert results.learning.labels == {"start": 12, "label_01": 5}
    assert results.learning.level_of_theory == "SevenNet-0 + D3"
    assert results.learning.gamma_select == 2.0
    assert [results.test_errors[name]["energy_rmse_ev_atom"] for name in ("p1", "p2")] == [0.0031, 0.0041]
    assert [known["cutoff_angstrom"] for known in results.potentials.values()] == [5.0, 5.0]


def test_a_learning_alone(aiida_profile):
    loop = add_learning(None, {"p1": small_potential().store()})
    results = study_results(loop)
    assert results.systems == ()
    assert len(results.learning.iterations) == 2
    assert list(results.potentials) == ["p1"]
