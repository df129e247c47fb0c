"""Labels of results, nested or not, and what is said of how a process ended."""

import pytest
from aiida import orm
from aiida.engine import ProcessState

from aiida_lpsgb.workflows.outputs import flattened, how_it_ended, named


def test_nested_and_flat_results_have_the_same_labels():
    flat = {"regions__boundary__tagged": 1, "regions__grain__tagged": 2, "total": 3}
    assert flattened(flat) == flat
    assert flattened({"regions": {"boundary": {"tagged": 1}, "grain": {"tagged": 2}}, "total": 3}) == flat


def test_a_name_leaves_the_inputs_as_they_are():
    inputs = {"x": 1, "metadata": {"options": {"queue_name": "long"}}}
    assert named("first", inputs)["metadata"] == {"options": {"queue_name": "long"}, "call_link_label": "first"}
    assert inputs == {"x": 1, "metadata": {"options": {"queue_name": "long"}}}


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ({"state": ProcessState.FINISHED, "exit_status": 310, "exit_message": "too far"}, "[310] too far"),
        ({"state": ProcessState.KILLED}, "killed"),
        ({"state": ProcessState.EXCEPTED, "exception": "Traceback …\n  line 1\nValueError: no disk\n"},
         "excepted: ValueError: no disk"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("aiida_profile")
def test_how_it_ended(state, ended):
    """A process that was killed, or raised something, has neither status nor message."""
    node = orm.WorkChainNode()
    node.set_process_label("MdBaseWorkChain")
    for name, value in state.items():
        getattr(node, {"state": "set_process_state"}.get(name, f"set_{name}"))(value)
    node.store()
    assert how_it_ended(node) == f"MdBaseWorkChain<{node.pk}> {ended}"
