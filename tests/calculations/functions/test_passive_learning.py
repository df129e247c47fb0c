"""What the passive stage tries, on what, and what it takes."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.passive_learning import (
    choose_potential,
    fold_sizes,
    grid_points,
    plan_grid,
    point_label,
    settings_error,
    split_validation,
)
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.configurations import labels

SETTINGS = {
    "levels": [8, 2],
    "cutoffs_angstrom": [5.0, 4.5],
    "validation_share": 0.25,
    "n_folds": 1,
    "error": "forces_rmse_ev_angstrom",
    "target": None,
}
POTENTIAL = {"species": ["Li", "P", "S"], "level": 14, "cutoff_angstrom": 5.0, "min_distance_angstrom": 1.4}


def settings(**changes):
    return orm.Dict(SETTINGS | changes)


def keys(node):
    return [atoms.positions.tobytes() for atoms in node]


def test_points():
    assert point_label(14, 5.5) == "l14_r5p5"
    assert list(grid_points(SETTINGS)) == ["l02_r4p5", "l02_r5", "l08_r4p5", "l08_r5"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": [8, 9]}, "levels is"),
        ({"levels": []}, "levels is"),
        ({"levels": [8, 8]}, "levels is"),
        ({"cutoffs_angstrom": [-1]}, "cutoffs_angstrom is"),
        ({"n_folds": 0}, "n_folds is 0"),
        ({"validation_share": 1}, "validation_share is 1"),
        ({"error": "forces"}, "error is 'forces', expected one of energy_mae_ev_atom"),
        ({"target": 0}, "target is 0"),
        ({"level": 8}, "level unknown or missing"),
    ],
)
def test_bad_settings(changes, message):
    assert settings_error(SETTINGS) is None
    assert message in settings_error(SETTINGS | changes)


def test_folds():
    assert fold_sizes(300, SETTINGS | {"validation_share": 0.1}) == [30]
    assert fold_sizes(11, SETTINGS | {"n_folds": 3}) == [4, 4, 3]
    for count, changes in ((4, {}), (5, {"n_folds": 3}), (2, {"validation_share": 0.99})):
        with pytest.raises(ValueError, match="at least 2 are needed"):
            fold_sizes(count, SETTINGS | changes)


def test_a_split_holds_each_configuration_once(generate_configurations):
    sets = {"b": generate_configurations(5, seed=1), "a": generate_configurations(6, seed=2)}
    everything = sorted(keys(sets["a"]) + keys(sets["b"]))
    parts = split_validation(settings(n_folds=3), orm.Int(1), **sets)
    held_back = [keys(parts[f"validation_{fold}"]) for fold in range(3)]
    assert sorted(key for fold in held_back for key in fold) == everything
    for fold in range(3):
        assert sorted(held_back[fold] + keys(parts[f"training_{fold}"])) == everything
        assert parts[f"training_{fold}"].level_of_theory == "toy"
    again = split_validation(settings(n_folds=3), orm.Int(1), **sets)
    assert [keys(again[f"validation_{fold}"]) for fold in range(3)] == held_back
    other = split_validation(settings(n_folds=3), orm.Int(2), **sets)
    assert [keys(other[f"validation_{fold}"]) for fold in range(3)] != held_back


def test_a_seed_does_not_depend_on_the_other_points():
    arguments = orm.Dict(POTENTIAL), orm.Dict({"max_iter": 5})
    whole = plan_grid(*arguments, settings(n_folds=2), orm.Int(3))
    part = plan_grid(*arguments, settings(levels=[8], cutoffs_angstrom=[5.0]), orm.Int(3))
    assert whole["training_l08_r5_0"].get_dict() == part["training_l08_r5_0"].get_dict()
    assert len({node["seed"] for name, node in whole.items() if name.startswith("training_")}) == 8
    assert whole["potential_l02_r4p5"].get_dict() == POTENTIAL | {"level": 2, "cutoff_angstrom": 4.5}


@pytest.fixture
def found(generate_configurations):
    """Return what four potentials predict for a set, ever better with their level, and what they cost."""
    reference = generate_configurations(6, seed=4)
    nodes = {"validation_0": reference}
    for label, scale, cost in (
        ("l02_r4p5", 1.5, 1.0),
        ("l02_r5", 1.4, 2.0),
        ("l08_r4p5", 1.0091, 3.0),
        ("l08_r5", 1.009, 4.0),
    ):
        images = [with_labels(atoms, **{k: scale * v for k, v in labels(atoms).items()}) for atoms in reference]
        nodes[f"predicted_{label}_0"] = ConfigurationsData(images, reference.species, "a potential")
        nodes[f"timing_{label}"] = orm.Dict({"time_us_atom_step": cost})
    return nodes


def choose(found, **changes):
    return choose_potential(orm.Dict(POTENTIAL), settings(**changes), **found)


def test_choice(found):
    chosen = choose(found)
    assert chosen["parameters"].get_dict() == POTENTIAL | {"level": 8, "cutoff_angstrom": 4.5}
    points = {point["name"]: point for point in chosen["grid"]["points"]}
    assert [point["on_front"] for point in points.values()] == [True] * 4
    assert [name for name, point in points.items() if point["chosen"]] == ["l08_r4p5"]
    assert points["l08_r4p5"]["time_us_atom_step"] == 3.0
    assert "within one standard error" in chosen["grid"]["reason"]


def test_equal_choices_hash_equally_whatever_was_measured(found):
    before = choose(found)["parameters"]
    found["timing_l08_r4p5"] = orm.Dict({"time_us_atom_step": 3.1})
    after = choose(found)["parameters"]
    assert before.uuid != after.uuid
    assert before.base.caching.get_hash() == after.base.caching.get_hash()


def test_a_target_that_is_missed_leaves_no_choice(found):
    chosen = choose(found, target=1e-6)
    assert "parameters" not in chosen
    assert not any(point["chosen"] for point in chosen["grid"]["points"])
    assert chosen["grid"]["reason"].startswith("no candidate has an error of at most")


def test_a_point_that_lacks_something_is_told_and_not_chosen(found):
    del found["timing_l08_r4p5"], found["predicted_l08_r5_0"]
    chosen = choose(found)
    missing = {point["name"]: point["missing"] for point in chosen["grid"]["points"] if point["missing"]}
    assert missing == {"l08_r4p5": ["a measured cost"], "l08_r5": ["predictions of fold 0"]}
    assert chosen["parameters"]["level"] == 2
