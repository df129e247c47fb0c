"""What `lpsgb.transport` and its runs refuse, which cold runs are given up, and what is said of those that failed."""

from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import ProcessState
from aiida.plugins import DataFactory, WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.analysis.arrhenius import K_B
from aiida_lpsgb.calculations.functions.sweep import read_label, run_label
from aiida_lpsgb.calculations.functions.transport import budget_error
from aiida_lpsgb.workflows.sweep import validate_temperatures
from aiida_lpsgb.workflows.transport import too_short, validate_inputs, was_lost
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


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [([], "none is given"), ([300, 0], "above 0 K"), ([300, 300, 400], "holds one twice")],
)
def test_temperatures(temperatures, message):
    assert message in validate_temperatures(orm.List(temperatures), None)


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
        ({"target_relative_error": 10, "max_production_ps": 10}, "is a share of D, such as 0.1 for 10 %, it is 10"),
        ({"target_relative_error": 1, "max_production_ps": 10}, "is a share of D"),
        ({"target_relative_error": "10 %", "max_production_ps": 10}, "`target_relative_error` must be positive"),
        ({"target_relative_error": 0.1, "max_production_ps": None}, "`max_production_ps` must be positive"),
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


@pytest.mark.parametrize(
    ("finished", "outputs", "expected"),
    [(False, {"extrapolated"}, True), (True, {"extrapolated"}, False), (False, {"trajectories"}, False)],
)
def test_a_run_is_lost_if_it_failed_where_its_potential_extrapolates(finished, outputs, expected):
    assert was_lost(SimpleNamespace(is_finished_ok=finished, outputs=outputs)) is expected


def value(temperature_K, diffusivity_cm2_s):
    """A diffusivity of lithium that is known well."""
    return DataFactory("lpsgb.diffusivity")(
        {
            "diffusivity_cm2_s": diffusivity_cm2_s,
            "uncertainty_cm2_s": 0.05 * diffusivity_cm2_s,
            "upper_limit_cm2_s": 1.1 * diffusivity_cm2_s,
            "diffusive": True,
            "verdict": "diffusive",
            "temperature_K": temperature_K,
            "species": "Li",
            "region": "all",
            "estimator": "windowed_msd_gls",
            "direction": "xyz",
            "charge": 1.0,
            "number_density_A3": 0.02,
        }
    )


@pytest.fixture
def sweep(inputs, generate_workchain, generate_potential, installed_code):
    """Return a sweep with three potentials, and a function for runs that ended, some of which failed at the end."""

    def ended(label, exit_status):
        temperature, _, _ = read_label(label)
        node = orm.WorkChainNode()
        node.set_process_label("TransportRunWorkChain")
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(exit_status)
        node.set_exit_message("The dynamics failed: lost atoms" if exit_status else "")
        node.base.links.add_incoming(orm.Int(1).store(), LinkType.INPUT_WORK, "md__md__seed")
        node.store()
        outputs = {
            "diffusivity": value(temperature, 1e-3 * np.exp(-0.3 / (K_B * temperature))),
            "summary": orm.Dict({"run": {}}),
            "structure": orm.StructureData(ase=bulk("Li")),
            "judgement": orm.Dict({"known": not exit_status}),
        }
        for name, output in outputs.items():
            output.store().base.links.add_incoming(node, LinkType.RETURN, name)
        return node

    def factory(failed=(), **more):
        potentials = {name: generate_potential(seed=number) for number, name in enumerate(("p1", "p2", "p3"))}
        codes = {"md": installed_code("lmp", "lpsgb.md"), "analyse": installed_code("lpsgb-analyse", "lpsgb.analyse")}
        builder = WorkflowFactory("lpsgb.transport").get_builder_from_protocol(
            codes, inputs["structure"], potentials, protocol="fast", overrides={"temperatures_K": [900, 750, 600]}
        )
        process = generate_workchain("lpsgb.transport", {**builder._inputs(prune=True), **more})
        return process, lambda label: ended(label, 401 * (label in failed))

    return factory


@pytest.fixture
def fitted(sweep):
    """Return a sweep whose runs have ended, and how it ended."""

    def factory(failed):
        process, ended = sweep(failed)
        labels = [run_label(t, name, 1) for t in (900, 750, 600) for name in ("p1", "p2", "p3")]
        process.ctx.children = {label: ended(label) for label in labels}
        process.fit()
        return process, process.finish()

    return factory


@pytest.mark.parametrize(("ends", "n_left"), [(True, 0), (False, 8)])
def test_what_is_queued_is_left_out_where_the_potential_is_to_learn_from_a_loss(sweep, ends, n_left):
    process, ended = sweep(["t900k_p1_1"], ends_when_lost=orm.Bool(ends))
    process.queue_runs()
    process.ctx.queue.pop(0)
    lost = ended("t900k_p1_1")
    frames = DataFactory("lpsgb.configurations")([bulk("Li")], ["Li"]).store()
    frames.base.links.add_incoming(lost, LinkType.RETURN, "extrapolated__segment_000")
    process.ctx.children["t900k_p1_1"] = lost
    process.child_ended("t900k_p1_1", lost)
    assert len(process.ctx.queue) == n_left
    assert len(process.ctx.children) == 1 + n_left


def test_a_potential_whose_runs_fail_is_named_and_missed(fitted):
    failed = ["t750k_p3_1", "t900k_p3_1"]
    process, code = fitted(failed)
    assert code.status == process.exit_codes.ERROR_RUNS_FAILED.status
    assert code.message.startswith(
        "Of 9 runs 2 failed, all that failed are of p3 (at 900 and 750 K), those of p1 and p2 ended well: t900k_p3_1: "
        "TransportRunWorkChain"
    )
    fit = process.outputs["arrhenius"]
    assert fit["missing"] == {"p3": [900.0, 750.0]}
    assert sorted(fit["potentials"]) == ["p1", "p2"]
    assert "the fit is of p1 and p2 alone" in fit["sentence"]
    assert process.outputs["summary"]["failed"] == failed
    # What a run had found before it failed is not beside that of those which ended well.
    assert not set(failed) & set(process.outputs["diffusivities"])
    assert len(process.outputs["diffusivities"]) == 7
    assert set(failed) < set(process.outputs["structures"])


def test_failures_of_several_potentials_are_of_none(fitted):
    _, code = fitted(["t900k_p2_1", "t900k_p3_1"])
    assert code.message.startswith("Of 9 runs 2 failed: t900k_p2_1: ")


@pytest.mark.parametrize("motion", [{"rdf": {}}, {"diffusivity": None, "rdf": {}}])
def test_runs_without_a_diffusivity_could_not_be_fitted(inputs, motion):
    inputs["motion"] = orm.Dict(motion)
    assert validate_inputs(inputs, None).startswith("motion: `diffusivity` is missing")
