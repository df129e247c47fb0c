"""Protocol files, defaults, overrides, options by role and codes."""

import pytest
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.workflows.protocols import code_of

NAMES = (
    "lpsgb.active_learning",
    "lpsgb.grain_boundary",
    "lpsgb.melt_quench",
    "lpsgb.study",
    "lpsgb.transport",
    "lpsgb.validate",
)


@pytest.mark.parametrize("name", NAMES)
def test_protocols_of_every_work_chain(name):
    work_chain = WorkflowFactory(name)
    assert set(work_chain.get_available_protocols()) == {"fast", "moderate", "paper"}
    assert work_chain.get_default_protocol() == "moderate"
    for protocol in work_chain.get_available_protocols():
        assert "description" not in work_chain.get_protocol_inputs(protocol)


def test_override_goes_deep():
    inputs = WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("fast", {"settings": {"gamma_select": 3.0}})
    assert inputs["settings"]["gamma_select"] == 3.0
    assert inputs["settings"]["gamma_break"] == [5]


def test_unknown_override_is_refused_with_its_path():
    with pytest.raises(ValueError, match=r"'active_learning\.settings\.gamma_selct'"):
        WorkflowFactory("lpsgb.active_learning").get_protocol_inputs(
            "fast", {"settings": {"gamma_selct": 3.0}}, path="active_learning."
        )


@pytest.mark.parametrize("value", [5, False, [500]])
def test_an_override_of_many_entries_is_a_dictionary(value):
    with pytest.raises(ValueError, match=r"'transport' is .*, not a dictionary"):
        WorkflowFactory("lpsgb.study").get_protocol_inputs("fast", {"transport": value})
    assert WorkflowFactory("lpsgb.study").get_protocol_inputs("fast", {"validate": None})["validate"] is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"temperatures_K": 700}, r"override 'temperatures_K' is 700, not a list such as \["),
        ({"n_replicas": 1.5}, "'n_replicas' is 1.5, not a whole number"),
        ({"n_replicas": "two"}, "'n_replicas' is 'two', not a number such as 1"),
        ({"n_replicas": True}, "'n_replicas' is True, not a number"),
        ({"parameters": {"timestep_fs": [2]}}, r"'parameters\.timestep_fs' is \[2\], not a number"),
        ({"parameters": {"timestep_fs": float("nan")}}, r"'parameters\.timestep_fs' is nan, not a number"),
        ({"max_concurrent": 0}, "'max_concurrent' is 0: nothing would ever begin"),
        ({"budget": 100}, "'budget' is 100, not a dictionary with "),
    ],
)
def test_an_override_of_another_kind_is_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        WorkflowFactory("lpsgb.transport").get_protocol_inputs("fast", overrides)


def test_entries_with_exclusive_keys_are_replaced():
    inputs = WorkflowFactory("lpsgb.melt_quench").get_protocol_inputs("fast", {"supercell": {"matrix": [1, 2, 3]}})
    assert inputs["supercell"] == {"matrix": [1, 2, 3]}


def test_open_entries_take_new_keys():
    inputs = WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("fast", {"training": {"l2": 0.1}})
    assert inputs["training"]["l2"] == 0.1
    assert inputs["training"]["max_iter"] == 100


def test_unknown_protocol():
    with pytest.raises(ValueError, match="choose one of"):
        WorkflowFactory("lpsgb.study").get_protocol_inputs("quick")


def test_options_by_role_and_those_of_overrides_over_them():
    given = {"md": {"queue_name": "long"}, "train": {"queue_name": "short"}}
    own = {"options": {"md": {"queue_name": "night"}}}
    values = WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("fast", own, given)
    assert values["options"]["md"] == {"queue_name": "night"}
    assert values["options"]["train"] == {"queue_name": "short"}
    assert values["options"]["label"] == {}


@pytest.mark.parametrize("where", ["overrides", "options"])
def test_options_of_an_unknown_job_are_refused(where):
    wrong = {"lammps": {"queue_name": "long"}}
    arguments = {"overrides": {"options": wrong}} if where == "overrides" else {"options": wrong}
    with pytest.raises(ValueError, match="unknown lammps; the jobs are label, relax, train"):
        WorkflowFactory("lpsgb.transport").get_protocol_inputs("fast", **arguments)


def test_a_code_that_is_missing_or_of_another_kind(aiida_profile_clean, installed_code):
    mlp = installed_code("lpsgb-mlp", "lpsgb.mlp.train")
    with pytest.raises(ValueError, match="'md' is missing; given are mlp"):
        code_of({"mlp": mlp}, "md")
    with pytest.raises(ValueError, match=r"'md' is .*registered for lpsgb\.mlp\.train"):
        code_of({"md": mlp}, "md")
    with pytest.raises(ValueError, match="unknown lmp"):
        code_of({"lmp": mlp}, "md")
