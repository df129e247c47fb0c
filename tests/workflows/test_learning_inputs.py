"""What `lpsgb.active_learning` refuses before anything is submitted."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_lpsgb.workflows.learning_inputs import own_exploration_error, validate_inputs, validate_settings

SETTINGS = {
    "temperatures_K": [300, 600],
    "n_replicas": 1,
    "gamma_select": 2.0,
    "gamma_break": [10, 5],
    "grade": "configuration",
    "grade_interval_steps": 10,
    "criterion": "no_break",
    "max_iterations": 5,
    "max_labels": 100,
    "n_potentials": 1,
    "n_relaxations": 0,
}


def test_good_settings():
    assert validate_settings(orm.Dict(SETTINGS), None) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperatures_K": []}, "`temperatures_K`: none is given"),
        ({"temperatures_K": [300, 300]}, "holds one twice"),
        ({"temperatures_K": [300, -1]}, "above 0 K"),
        ({"gamma_break": [10, 1.5]}, "`gamma_break` (1.5) is below `gamma_select` (2)"),
        ({"gamma_break": [2, 10]}, "does not rise"),
        ({"gamma_break": 10}, "must be a list"),
        ({"gamma_select": 0.1}, "at least 1"),
        ({"criterion": "never"}, "`criterion`"),
        ({"max_iterations": 0}, "`max_iterations` must be a whole number of at least 1"),
        ({"n_relaxations": -1}, "`n_relaxations` must be a whole number of at least 0, it is -1"),
        ({"gama_break": [1]}, "unknown keys ['gama_break']"),
    ],
)
def test_bad_settings(changes, message):
    assert message in validate_settings(orm.Dict({**SETTINGS, **changes}), None)


def test_missing_setting():
    settings = {key: value for key, value in SETTINGS.items() if key != "max_labels"}
    assert "['max_labels'] are missing" in validate_settings(orm.Dict(settings), None)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"temperatures_K": []}, "`temperatures_K`: none is given"),
        ({"temperatures_K": [300, 0]}, "above 0 K"),
        ({"n_replicas": 0}, "`n_replicas` must be at least 1, it is 0"),
        ({"temperatures_K": [300], "n_replicas": 2}, None),
    ],
)
def test_a_structure_without_a_run_is_no_exploration(own, message):
    """A loop that explores nothing would have converged."""
    found = own_exploration_error(own, None)
    assert found is None if message is None else message in found


@pytest.mark.usefixtures("aiida_profile_clean")
class TestInputs:
    def test_structures_are_checked_by_name(self, generate_potential, generate_configurations):
        inputs = {"potential": generate_potential(), "training_sets": {"start": generate_configurations()}}
        assert "structures: give at least one" in validate_inputs(inputs, None)
        foreign = orm.StructureData(ase=bulk("NaCl", "rocksalt", a=5.6))
        message = validate_inputs({**inputs, "structures": {"salt": foreign}}, None)
        assert message.startswith("potential: it knows")
        partial = orm.StructureData(cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]])
        partial.append_atom(position=(0, 0, 0), symbols="Li", weights=0.7)
        message = validate_inputs({**inputs, "structures": {"crystal": partial}}, None)
        assert message.startswith("structures.crystal: sites are partially occupied")

    def test_a_start_set_is_needed(self, generate_potential):
        inputs = {"potential": generate_potential(), "structures": {"li": orm.StructureData(ase=bulk("Li"))}}
        assert "training_sets: give at least one" in validate_inputs(inputs, None)

    def test_candidates_need_a_potential_that_is_trained(self, generate_potential, generate_configurations):
        given = {
            "training_sets": {"start": generate_configurations()},
            "candidates": {"mine": generate_configurations()},
        }
        message = validate_inputs({**given, "potential": generate_potential(trained=False)}, None)
        assert message.startswith("candidates: `potential` is not trained")
        message = validate_inputs({**given, "potential": generate_potential(species=("Li", "P"))}, None)
        assert message.startswith("candidates.mine: contains ['S']")
