"""What active learning explores next and when it stops."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.active_learning import (
    advance,
    decide,
    plan_committee,
    plan_exploration,
    summarise_explorations,
)

SETTINGS = {
    "temperatures_K": [300, 600],
    "n_replicas": 2,
    "gamma_select": 2.0,
    "gamma_break": [10, 5],
    "grade": "configuration",
    "grade_interval_steps": 10,
    "criterion": "no_break",
    "n_potentials": 1,
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


def curve(*iterations, settings=None, missing=()):
    history = None
    for number, results in enumerate(iterations, start=1):
        history = advance(
            orm.Dict({**SETTINGS, **(settings or {})}),
            orm.Dict({"n_configurations": number}),
            orm.List(list(missing)),
            history,
            **{f"md_crystal_t300k_{i}": orm.Dict(result) for i, result in enumerate(results)},
        )
    return history


def plan(structures=("crystal",), history=None, settings=None, potentials=("p1",), **explorations):
    loop = orm.Dict({**SETTINGS, **(settings or {})})
    names = orm.List(list(structures)), orm.List(list(potentials))
    own = {name: orm.Dict(changes) for name, changes in explorations.items()}
    return plan_exploration(loop, orm.Dict(TEMPLATE), *names, orm.Int(1), history, **own)


def seeds(runs):
    return {name: node.value for name, node in runs.items() if name.startswith("seed_")}


@pytest.mark.usefixtures("aiida_profile_clean")
class TestPlan:
    def test_every_temperature_and_replica(self):
        runs = plan()
        labels = {name.removeprefix("seed_") for name in seeds(runs)}
        assert labels == {"crystal_t300k_1", "crystal_t600k_1", "crystal_t300k_2", "crystal_t600k_2"}
        parameters = runs["parameters_crystal_t600k_2"].get_dict()
        assert parameters["stages"][0]["temperature_K"] == [300, 600.0]
        assert parameters["extrapolation"]["gamma_break"] == 10
        assert len(set(seeds(runs).values())) == 4

    def test_reproducible_and_new_in_every_iteration(self):
        second = plan(history=curve([md(50, 3, 11.0)]))
        assert seeds(plan()) == seeds(plan())
        assert seeds(plan())["seed_crystal_t300k_1"] != seeds(second)["seed_crystal_t300k_1"]

    def test_another_structure_or_temperature_changes_no_other_seed(self):
        more = seeds(plan(("crystal", "glass"), settings={"temperatures_K": [300, 450, 600]}))
        assert seeds(plan()).items() <= more.items()

    def test_a_structure_with_a_schedule_of_its_own(self):
        melt = {"temperatures_K": [1500], "n_replicas": 1, "barostat": "iso"}
        runs = plan(("crystal", "glass"), glass=melt)
        assert {name for name in seeds(runs) if "glass" in name} == {"seed_glass_t1500k_1"}
        assert runs["parameters_glass_t1500k_1"]["barostat"] == "iso"
        assert "temperatures_K" not in runs["parameters_glass_t1500k_1"].get_dict()
        assert "barostat" not in runs["parameters_crystal_t300k_1"].get_dict()

    def test_gamma_break_falls_after_a_clean_iteration(self):
        runs = plan(history=curve([md()]))
        assert runs["parameters_crystal_t300k_1"]["extrapolation"]["gamma_break"] == 5

    def test_the_others_are_tried_where_it_is_hottest(self):
        runs = seeds(plan(potentials=("p1", "p2", "p3")))
        assert seeds(plan()).items() <= runs.items()
        assert set(runs) - set(seeds(plan())) == {"seed_crystal_t600k_1_p2", "seed_crystal_t600k_1_p3"}
        assert runs["seed_crystal_t600k_1_p2"] != runs["seed_crystal_t600k_1_p3"]

    def test_members_of_a_committee_differ_in_coefficients_and_data(self):
        training = orm.Dict({"max_iter": 10, "init_params": "same"})
        members = plan_committee(training, orm.Dict({"n_potentials": 3}), orm.Int(5))
        assert set(members) == {"p2", "p3"}
        for member in members.values():
            assert member["max_iter"] == 30
            assert member["init_params"] == "random"
        assert members["p2"]["seed"] != members["p3"]["seed"]
        more = plan_committee(training, orm.Dict({"n_potentials": 5}), orm.Int(5))
        assert more["p2"].get_dict() == members["p2"].get_dict()

    def test_a_missing_run_is_a_broken_one(self):
        """All others lost, the rest clean: that is no convergence."""
        history = curve([md()], [md()], missing=["crystal_t300k_1"]).get_dict()
        assert [row["n_broken"] for row in history["iterations"]] == [1, 1]
        assert [row["n_missing"] for row in history["iterations"]] == [1, 1]
        assert not history["converged"]

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
    decision = decide(row(p1=(n_broken, n_extrapolated)), stage, {**SETTINGS, "criterion": criterion})
    assert (decision["stage"], decision["converged"]) == expected


def row(**potentials):
    found = {
        name: dict(zip(("n_broken", "n_extrapolated"), numbers, strict=True)) for name, numbers in potentials.items()
    }
    return {"potentials": found, "n_broken": sum(numbers[0] for numbers in potentials.values())}


def test_a_committee_converges_when_each_of_it_has_explored_to_the_end():
    settings = {**SETTINGS, "n_potentials": 3}
    alone = decide(row(p1=(1, 4)), 1, settings)
    assert alone == {"stage": 1, "settled": False, "team": ["p1"], "converged": False}
    first = decide(row(p1=(0, 2)), 1, settings)
    assert first == {"stage": 1, "settled": True, "team": ["p2", "p3"], "converged": False}
    one_left = decide(row(p2=(0, 0), p3=(2, 7)), 1, settings)
    assert one_left == {"stage": 1, "settled": False, "team": ["p3"], "converged": False}
    assert decide(row(p3=(0, 0)), 1, settings) == {"stage": 1, "settled": True, "team": [], "converged": True}


def test_runs_belong_to_potentials():
    summary = summarise_explorations(
        {"crystal_p2_t300k_1": md(), "crystal_t600k_1_p2": md(50, 3, 7.0), "crystal_t600k_1_p3": md(100, 1, 3.0)},
        ["crystal_p3_t300k_2"],
    )
    assert summary["potentials"] == {
        "p1": {"n_broken": 1, "n_extrapolated": 0},
        "p2": {"n_broken": 1, "n_extrapolated": 3},
        "p3": {"n_broken": 0, "n_extrapolated": 1},
    }
    assert (summary["n_runs"], summary["n_broken"], summary["n_missing"], summary["n_extrapolated"]) == (4, 2, 1, 4)
