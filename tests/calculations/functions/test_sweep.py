"""Runs of a sweep by name, and frames that are taken from them."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.calculations.functions.sweep import (
    at_temperature,
    plan_sweep,
    potential_at_fault,
    read_label,
    run_label,
    sample_frames,
)
from aiida_lpsgb.data.trajectory import TrajectoryData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

TEMPLATE = {
    "timestep_fs": 1.0,
    "stages": [
        {"ensemble": "minimise"},
        {"ensemble": "npt", "temperature_K": [300, "target"], "duration_ps": 1},
        {"ensemble": "npt", "temperature_K": "target", "duration_ps": 1},
    ],
}


def plan(temperatures=(500, 600), names=("p1", "p2"), n_replicas=2):
    return plan_sweep(
        orm.Dict(TEMPLATE), orm.List(list(temperatures)), orm.List(list(names)), orm.Int(n_replicas), orm.Int(3)
    )


def test_the_word_target_becomes_the_temperature():
    stages = at_temperature(TEMPLATE, 512.5)["stages"]
    assert [stage.get("temperature_K") for stage in stages] == [None, [300, 512.5], 512.5]
    assert TEMPLATE["stages"][2]["temperature_K"] == "target"


def test_labels_are_valid_link_labels():
    assert run_label(512.5, "p1", 2) == "t512p5k_p1_2"
    assert run_label(300.0, "mine", 1) == "t300k_mine_1"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("t500k_p1_1", (500.0, "p1", 1)),
        ("t512p5k_p1_12", (512.5, "p1", 12)),
        ("t500k_my_potential_2", (500.0, "my_potential", 2)),
    ],
)
def test_labels_of_runs(label, expected):
    assert read_label(label) == expected


def test_labels_are_those_that_a_sweep_gives():
    for run in ((300.0, "p1", 1), (512.25, "a_b", 3), (1e5, "p2", 2)):
        assert read_label(run_label(*run)) == run


def test_what_is_no_label_is_refused():
    with pytest.raises(ValueError, match="no label of a run, such as t500k_p1_1"):
        read_label("part_0")


RUNS = {"crystal": {"t900k_p1_1": True, "t900k_p2_1": True, "t900k_p3_1": False, "t750k_p3_1": False}}
TILT = {"tilt": {"t900k_p1_1": True, "t600k_p3_1": False, "t600k_p3_2": False, "t300k_p3_1": True}}


@pytest.mark.parametrize(
    ("outcomes", "sentence"),
    [
        (RUNS, "all that failed are of p3 (crystal at 900 and 750 K), those of p1 and p2 ended well"),
        ({"": TILT["tilt"]}, "all that failed are of p3 (at 600 K), those of p1 ended well"),
        (RUNS | TILT, "(crystal at 900 and 750 K; tilt at 600 K), those of p1 and p2 ended well"),
        (RUNS | {"tilt": {"t900k_p1_1": False}}, ""),
        ({"": {"t900k_p1_1": False, "t750k_p1_1": False}}, ""),
        ({"": {"t900k_p1_1": False, "t900k_p2_1": True}}, ""),
        ({"": {"t900k_p1_1": True}}, ""),
        ({}, ""),
    ],
)
def test_the_potential_that_has_all_failed_runs_is_named(outcomes, sentence):
    found = potential_at_fault(outcomes)
    assert found.endswith(sentence)
    assert bool(found) is bool(sentence)


def test_every_run_has_a_seed_of_its_own():
    runs = plan()
    seeds = {label: node.value for label, node in runs.items() if label.startswith("seed_")}
    assert len(seeds) == len(set(seeds.values())) == 8
    assert runs["parameters_t500k"]["stages"][2]["temperature_K"] == 500


def test_another_temperature_potential_or_replica_changes_no_other_run():
    few, more = plan(), plan((400, 500, 600), ("p0", "p1", "p2"), 3)
    assert all(
        more[label].base.caching.compute_hash() == node.base.caching.compute_hash() for label, node in few.items()
    )


def segment(n_frames):
    images = [bulk("Cu", cubic=True) for _ in range(n_frames)]
    trajectory = Trajectory.from_ase(images, interval_ps=0.1)
    return TrajectoryData(trajectory, "nvt", 600.0, 1.0)


def test_frames_are_spread_over_the_segments_of_a_run():
    segments = {"a_segment_000": segment(6), "a_segment_001": segment(2), "b_segment_000": segment(3)}
    found = sample_frames(orm.Dict({"n_frames": 4}), **segments)
    assert len(found) == 4 + 3
    sources = [image.info["source"] for image in found]
    assert sources == ["a"] * 4 + ["b"] * 3
