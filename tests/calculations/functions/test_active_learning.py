"""What active learning explores next and when it stops."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.active_learning import (
    advance,
    decide,
    pick_candidates,
    plan_committee,
    plan_exploration,
    return_error,
    summarise_explorations,
)
from aiida_lpsgb.data.configurations import ConfigurationsData

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

    @pytest.mark.parametrize("team", [("p2", "p3"), ("p1", "p2", "p3"), ("p3",)])
    def test_who_learned_from_what_the_first_found_is_tried_where_it_is_hottest(self, team):
        runs = seeds(plan(potentials=team))
        labels = {"p1": "crystal_t600k_1", "p2": "crystal_t600k_1_p2", "p3": "crystal_t600k_1_p3"}
        assert set(runs) == {f"seed_{labels[name]}" for name in team}
        assert len(set(runs.values())) == len(team)

    def test_members_of_a_committee_differ_in_coefficients_and_data(self):
        training = orm.Dict({"max_iter": 10, "init_params": "same"})
        members = plan_committee(training, orm.Dict({"n_potentials": 3}), orm.Int(5))
        assert set(members) == {"p1", "p2", "p3"}
        assert members["p1"].get_dict() == {"max_iter": 30, "init_params": "same"}
        for name in ("p2", "p3"):
            assert members[name]["max_iter"] == 30
            assert members[name]["init_params"] == "random"
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
    together = decide(row(p1=(0, 0), p2=(0, 1), p3=(0, 0)), 1, settings)
    assert together == {"stage": 1, "settled": True, "team": [], "converged": True}


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


RETURNS = {"max_share": 0.02, "max_returns": 1, "max_labels": 3, "max_atoms": 20}


@pytest.mark.usefixtures("aiida_profile_clean")
class TestCandidates:
    @pytest.fixture
    def frames(self, generate_images):
        """Return a function that makes the frames of a segment, by their grades."""

        def of(*grades, size=8):
            images = generate_images(count=len(grades), size=size, labelled=False)
            for atoms, grade in zip(images, grades, strict=True):
                atoms.info["mv_grade"] = grade
            return ConfigurationsData(images, ["Li", "P", "S"])

        return of

    def picked(self, potential, **frames):
        node = pick_candidates(orm.Dict(RETURNS), potential, **frames)
        return [(atoms.info["source"], atoms.info["mv_grade"]) for atoms in node]

    def test_the_first_of_every_run_go_before_the_second(self, frames, generate_potential):
        segments = {
            "a_segment_000": frames(3.0, 90.0),
            "a_segment_001": frames(99.0),
            "b_segment_000": frames(8.0, 4.0),
        }
        found = self.picked(generate_potential(), **segments)
        assert found == [("b", 8.0), ("a", 3.0), ("a", 90.0)]

    def test_a_run_goes_on_in_its_next_segment(self, frames, generate_potential):
        found = self.picked(generate_potential(), a_segment_000=frames(3.0), a_segment_001=frames(2.0, 5.0))
        assert found == [("a", 3.0), ("a", 2.0), ("a", 5.0)]

    def test_what_cannot_be_labelled_is_left_out(self, frames, generate_potential, generate_images):
        (close,) = generate_images(count=1, labelled=False)
        close.positions[1] = close.positions[0] + [0.8, 0, 0]  # the radial functions begin at 1.5 Å
        close.info["mv_grade"] = 1e4
        broken = ConfigurationsData([close], ["Li", "P", "S"])
        sets = {"large_segment_000": frames(9.0, size=27), "broken_segment_000": broken}
        assert self.picked(generate_potential(), **sets, good_segment_000=frames(3.0)) == [("good", 3.0)]
        # On the way there, a label still tells how much they repel.
        close.positions[1] = close.positions[0] + [1.0, 0, 0]
        on_the_way = ConfigurationsData([close], ["Li", "P", "S"])
        assert self.picked(generate_potential(), way_segment_000=on_the_way) == [("way", 1e4)]
        _, node = pick_candidates.run_get_node(orm.Dict(RETURNS), generate_potential(), **sets)
        assert node.exit_status == 410
        assert node.exit_message == (
            "2 frames extrapolate, and none can be labelled: 1 have more than 20 atoms (`max_atoms`), "
            "1 have atoms closer than 0.9 Å"
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"max_share": 0}, None),
        ({"max_share": 1.0}, "`max_share` is 1.0; it is a share"),
        ({"max_share": "2 %"}, "`max_share` is '2 %'"),
        ({"max_returns": 0}, "`max_returns` must be an integer of at least 1"),
        ({"max_labels": 2.5}, "`max_labels` must be an integer"),
        ({"max_atom": 5}, "unknown keys ['max_atom']; `max_atom` may be meant as `max_atoms`"),
    ],
)
def test_settings_of_a_return(changes, message):
    found = return_error({**RETURNS, **changes})
    assert found is None if message is None else message in found
    assert return_error({"max_share": 0.1}) == "max_returns, max_labels, max_atoms must be given"
