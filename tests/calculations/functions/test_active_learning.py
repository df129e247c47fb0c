"""What active learning explores next and when it stops."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.active_learning import advance, decide, plan_exploration

SETTINGS = {
    "temperatures_K": [300, 600],
    "n_replicas": 2,
    "gamma_select": 2.0,
    "gamma_break": [10, 5],
    "grade": "configuration",
    "grade_interval_steps": 10,
    "criterion": "no_break",
}
TEMPLATE = {"stages": [{"ensemble": "npt", "duration_ps": 1, "temperature_K": [300, "target"]}]}


def md(steps=100, n_extrapolated=0, max_grade=None):
    return {
        "steps": steps,
        "planned_steps": 100,
        "timestep_fs": 2.0,
        "n_extrapolated": n_extrapolated,
        "max_grade": max_grade,
    }


def curve(*iterations, stage=0, settings=None):
    history = None
    for number, results in enumerate(iterations, start=1):
        history = advance(
            orm.Dict({**SETTINGS, **(settings or {})}),
            orm.Dict({"n_configurations": number}),
            history,
            **{f"md_{i}": orm.Dict(result) for i, result in enumerate(results)},
        )
    return history


@pytest.mark.usefixtures("aiida_profile_clean")
class TestPlan:
    def test_every_temperature_and_replica(self):
        plan = plan_exploration(orm.Dict(SETTINGS), orm.Dict(TEMPLATE), orm.Int(1))
        labels = {name.removeprefix("seed_") for name in plan if name.startswith("seed_")}
        assert labels == {"t300k_1", "t600k_1", "t300k_2", "t600k_2"}
        parameters = plan["parameters_t600k_2"].get_dict()
        assert parameters["stages"][0]["temperature_K"] == [300, 600.0]
        assert parameters["extrapolation"]["gamma_break"] == 10
        assert len({plan[f"seed_{label}"].value for label in labels}) == 4

    def test_reproducible_and_new_in_every_iteration(self):
        first = plan_exploration(orm.Dict(SETTINGS), orm.Dict(TEMPLATE), orm.Int(1))
        again = plan_exploration(orm.Dict(SETTINGS), orm.Dict(TEMPLATE), orm.Int(1))
        history = curve([md(50, 3, 11.0)])
        second = plan_exploration(orm.Dict(SETTINGS), orm.Dict(TEMPLATE), orm.Int(1), history)
        assert first["seed_t300k_1"].value == again["seed_t300k_1"].value
        assert first["seed_t300k_1"].value != second["seed_t300k_1"].value

    def test_gamma_break_falls_after_a_clean_iteration(self):
        history = curve([md()])
        plan = plan_exploration(orm.Dict(SETTINGS), orm.Dict(TEMPLATE), orm.Int(1), history)
        assert plan["parameters_t300k_1"]["extrapolation"]["gamma_break"] == 5

    def test_learning_curve(self):
        history = curve([md(50, 3, 11.0), md(100, 2, 4.0)], [md(), md()], [md(), md(100, 1, 2.5)]).get_dict()
        first = history["iterations"][0]
        assert (first["n_broken"], first["n_runs"], first["n_extrapolated"], first["max_grade"]) == (1, 2, 5, 11.0)
        assert first["explored_ps"] == pytest.approx(0.3)
        assert [row["gamma_break"] for row in history["iterations"]] == [10, 10, 5]
        assert history["converged"]


@pytest.mark.parametrize(
    ("n_broken", "n_extrapolated", "stage", "criterion", "expected"),
    [
        (1, 5, 0, "no_break", (0, False)),
        (0, 5, 0, "no_break", (1, False)),
        (0, 5, 1, "no_break", (1, True)),
        (0, 5, 1, "no_selection", (1, False)),
        (0, 0, 1, "no_selection", (1, True)),
        (1, 1, 1, "no_break", (1, False)),
    ],
)
def test_decisions(n_broken, n_extrapolated, stage, criterion, expected):
    row = {"n_broken": n_broken, "n_extrapolated": n_extrapolated}
    decision = decide(row, stage, {**SETTINGS, "criterion": criterion})
    assert (decision["stage"], decision["converged"]) == expected
