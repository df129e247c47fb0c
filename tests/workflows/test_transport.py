"""What `lpsgb.transport` and its runs refuse, and which cold runs are given up."""

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from aiida import orm
from aiida.common import AttributeDict
from ase.build import bulk

from aiida_lpsgb.calculations.functions.transport import budget_error
from aiida_lpsgb.workflows.transport import too_short, validate_inputs
from aiida_lpsgb.workflows.transport_run import TransportRunWorkChain
from aiida_lpsgb.workflows.transport_run import validate_inputs as validate_run


@pytest.fixture
def inputs(aiida_profile_clean, generate_potential):
    """Return the inputs that the validator looks at."""
    return {
        "structure": orm.StructureData(ase=bulk("Li")),
        "potentials": {"p1": generate_potential()},
        "temperatures": orm.List([900, 300]),
        "motion": orm.Dict({"diffusivity": {"species": "Li"}}),
    }


def test_good_inputs(inputs):
    assert validate_inputs(inputs, None) is None


def test_a_potential_that_does_not_know_the_structure_is_named(inputs, generate_potential):
    inputs["potentials"]["mine"] = generate_potential(species=("P", "S"))
    assert validate_inputs(inputs, None).startswith("potentials.mine: potential: it knows")


def test_structural_observables_need_temperatures_that_are_run(inputs):
    inputs["structural"] = orm.Dict({"rdf": {}})
    assert "go together" in validate_inputs(inputs, None)
    inputs["structural_temperatures"] = orm.List([300, 400])
    assert validate_inputs(inputs, None).startswith("structural_temperatures: [400] are none of `temperatures`")


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max_production_ps": 10}, "give max_production_ps and target_relative_error"),
        ({"target_relative_error": 0, "max_production_ps": 10}, "`target_relative_error` must be positive"),
        ({"target_relative_error": 0.1, "max_production_ps": 10, "x": 1}, "give max_production_ps"),
        ({"target_relative_error": 0.1, "max_production_ps": 10}, None),
    ],
)
def test_budget(budget, message):
    found = budget_error(budget)
    assert found is None if message is None else message in found


def test_a_run_with_a_budget_needs_a_diffusivity_to_judge():
    budget = orm.Dict({"target_relative_error": 0.1, "max_production_ps": 10})
    assert "go together" in validate_run({"budget": budget}, None)
    assert "`diffusivity` is missing" in validate_run({"budget": budget, "motion": orm.Dict({"rdf": {}})}, None)
    assert validate_run({"budget": budget, "motion": orm.Dict({"diffusivity": {"species": "Li"}})}, None) is None


def test_a_look_that_failed_is_told_as_that_also_where_the_whole_analysis_then_ends_well():
    ended = {"process_label": "AnalyseCalculation", "pk": 7, "is_finished": True, "exit_message": "no frames"}
    look = SimpleNamespace(is_finished_ok=False, exit_status=310, **ended)
    whole = SimpleNamespace(is_finished_ok=True, exit_status=0, **ended)
    part = SimpleNamespace(outputs=SimpleNamespace(structure=None, results=None))
    ctx = AttributeDict({"analysis": look, "failure": None, "not_judged": None, "over": False, "parts": [part]})
    ctx |= {"segments": {}, "extrapolated": {}}
    process = MagicMock(ctx=ctx, exit_codes=TransportRunWorkChain.exit_codes)
    TransportRunWorkChain.judge(process)
    assert ctx.over
    ctx.analysis = whole
    code = TransportRunWorkChain.finish(process)
    assert code.status == 402
    assert code.message == "The run could not be analysed: AnalyseCalculation<7> [310] no frames"


def run(finished, **judgement):
    return SimpleNamespace(is_finished_ok=finished, outputs=Outputs(judgement))


class Outputs(dict):
    """Outputs of a process: by name, and as attributes."""

    def __init__(self, judgement):
        super().__init__({"judgement": judgement} if judgement else {})
        self.judgement = judgement


@pytest.mark.parametrize(
    ("node", "expected"),
    [(run(True, known=False), True), (run(True, known=True), False), (run(True), False), (run(False), False)],
)
def test_only_a_run_that_spent_its_budget_is_too_short(node, expected):
    assert too_short(node) is expected
