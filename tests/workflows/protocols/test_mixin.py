"""Protocol files, defaults and overrides."""

import pytest
from aiida.plugins import WorkflowFactory

NAMES = ("lpsgb.active_learning", "lpsgb.arrhenius", "lpsgb.characterise", "lpsgb.study", "lpsgb.validate")


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
    assert inputs["settings"]["gamma_break"] == [10, 5]


def test_unknown_override_is_refused():
    with pytest.raises(ValueError, match=r"settings\.gamma_selct"):
        WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("fast", {"settings": {"gamma_selct": 3.0}})


def test_entries_with_exclusive_keys_are_replaced():
    inputs = WorkflowFactory("lpsgb.study").get_protocol_inputs(
        "fast", {"supercells": {"sweep": {"matrix": [1, 2, 3]}}}
    )
    assert inputs["supercells"]["sweep"] == {"matrix": [1, 2, 3]}


def test_open_entries_take_new_keys():
    inputs = WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("fast", {"training": {"threads": 2}})
    assert inputs["training"]["threads"] == 2
    assert inputs["training"]["max_iter"] == 100


def test_unknown_protocol():
    with pytest.raises(ValueError, match="choose one of"):
        WorkflowFactory("lpsgb.study").get_protocol_inputs("quick")


def test_drawn_seeds_differ():
    work_chain = WorkflowFactory("lpsgb.arrhenius")
    seeds = work_chain.draw_seeds(5).get_list()
    assert len(set(seeds)) == 5
    assert all(0 < seed < 2**31 for seed in seeds)
