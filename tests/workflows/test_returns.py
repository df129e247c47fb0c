"""A study whose production extrapolates goes back to learning."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import ProcessState, run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.report import study_results
from aiida_lpsgb.report.tables.systems import comparison
from aiida_lpsgb.workflows.protocols import load_codes
from aiida_lpsgb.workflows.study import StudyWorkChain
from aiida_lpsgb.workflows.study_inputs import validate_inputs
from tests.workflows.conftest import CIF, HOLD, MD, MINIATURE, SEED, register_codes

RETURNS = {"max_share": 0.02, "max_returns": 1, "max_labels": 4, "max_atoms": 100}


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.fixture
def builder(computer):
    """Return a function that makes the builder of a study of lithium sulphide by the dry codes."""

    def factory(potentials=None, **overrides):
        return StudyWorkChain.get_builder_from_protocol(
            load_codes(computer),
            orm.StructureData(ase=bulk("LiS", "rocksalt", a=5.2)),
            potentials=potentials,
            protocol="fast",
            overrides={"properties": None, "validate": None, "ordering": {"n_candidates": 1}, **overrides},
            seed=orm.Int(1),
        )

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestBuilder:
    def test_numbers_are_those_of_the_protocol(self, builder):
        values = StudyWorkChain.get_protocol_inputs("fast")["returns"]
        assert builder().returns.get_dict() == values
        assert builder(returns={"max_share": 0.1}).returns.get_dict() == values | {"max_share": 0.1}

    def test_it_can_be_turned_off(self, builder):
        assert "returns" not in builder(returns=None)._inputs(prune=True)

    def test_where_nothing_is_watched_or_learned_there_is_no_return(self, builder, generate_potential):
        assert "returns" not in builder(transport={"watch": None})._inputs(prune=True)
        given = {"p1": generate_potential(species=("Li", "S"))}
        assert "returns" not in builder(potentials=given)._inputs(prune=True)

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"returns": {"max_share": 2}}, "`max_share` is 2; it is a share"),
            ({"returns": {"max_labels": 0}}, "`max_labels` must be an integer of at least 1"),
            ({"returns": {"max_frames": 3}}, "override 'returns.max_frames' is no entry"),
        ],
    )
    def test_numbers_that_cannot_be(self, builder, overrides, message):
        with pytest.raises(ValueError, match=message):
            builder(**overrides)

    def test_it_goes_with_a_watch_and_with_learning(self, builder, generate_potential):
        inputs = builder()._inputs(prune=True)
        assert validate_inputs(inputs, None) is None
        given = {**inputs, "potentials": {"p1": generate_potential(species=("Li", "S"))}}
        assert validate_inputs(given, None).startswith("returns: with `potentials` that are given nothing is learned")
        unwatched = {**inputs, "transport": {k: v for k, v in inputs["transport"].items() if k != "watch"}}
        assert validate_inputs(unwatched, None).startswith("returns: runs are not watched")


# --- when it goes back, and what follows from failures --------------------------------------------------------------


def ended(caller, name, outputs, status=0, message=""):
    """Return the stored node of a work chain that was called, with outputs by the labels of their links."""
    node = orm.WorkChainNode(process_type=f"aiida.workflows:lpsgb.{name}")
    node.set_process_label(name)
    node.set_process_state(ProcessState.FINISHED)
    node.set_exit_status(status)
    node.set_exit_message(message)
    node.base.links.add_incoming(caller, LinkType.CALL_WORK, "CALL")
    node.store()
    for label, data in outputs.items():
        data.store()
        data.base.links.add_incoming(node, LinkType.RETURN, label)
    return node


@pytest.fixture
def study(aiida_profile_clean, builder, generate_workchain, generate_potential, generate_configurations, monkeypatch):
    """Return a study that has learned a potential, with functions to let it produce and learn again; it is not run."""
    process = generate_workchain("lpsgb.study", builder(returns=RETURNS)._inputs(prune=True))
    assert process.build_structures() is None
    submitted = []
    monkeypatch.setattr(process, "submit", lambda process_class, **inputs: submitted.append(inputs))

    def learned(seed, status=0, message=""):
        outputs = {
            "potentials__p1": generate_potential(species=("Li", "S"), seed=seed),
            "active_sets__p1": orm.SinglefileData.from_string(f"{seed}", filename="state.als"),
            "training_sets__start": generate_configurations(seed=seed),
        }
        return ended(process.node, "active_learning", outputs if status == 0 else {}, status, message)

    def produce(n_extrapolated, n_graded=100, size=8, failed=False):
        process.open_queue()
        grade = 40.0 if n_extrapolated else None
        seen = {"n_extrapolated": n_extrapolated, "n_graded": n_graded, "max_grade": grade}
        outputs = {"summary": orm.Dict({"runs": {}, "extrapolation": {"t900k_p1_1": seen}})}
        if n_extrapolated:
            atoms = bulk("LiS", "rocksalt", a=5.2).repeat((size, 1, 1))
            atoms.info["mv_grade"] = grade
            outputs["extrapolated__t900k_p1_1__segment_000"] = ConfigurationsData([atoms], ["Li", "S"])
        sweep = ended(process.node, "transport", outputs, 401 * failed, "a run failed" * failed)
        process.ctx.children["crystal"] = sweep
        process.child_ended("crystal", sweep)
        process.inspect_systems()
        return sweep

    def learn_again(node):
        process.learn_again()
        process.ctx.learning = node
        process.inspect_learning_again()

    process.ctx.learning = learned(1)
    process.inspect_learning()
    return SimpleNamespace(
        process=process, submitted=submitted, learned=learned, produce=produce, learn_again=learn_again
    )


class TestReturning:
    @pytest.mark.parametrize(
        ("n_extrapolated", "failed", "expected"), [(0, False, False), (2, False, False), (3, False, True)]
    )
    def test_a_handful_of_frames_is_no_reason(self, study, n_extrapolated, failed, expected):
        study.produce(n_extrapolated, failed=failed)
        assert study.process.goes_back() is expected

    def test_a_system_that_failed_where_frames_extrapolate_goes_back(self, study):
        study.produce(1, failed=True)
        assert study.process.goes_back()

    def test_a_system_that_failed_for_another_reason_does_not(self, study):
        study.produce(0, failed=True)
        assert not study.process.goes_back()
        assert study.process.finish().status == 403

    def test_where_nothing_extrapolates_the_study_ends_well(self, study):
        study.produce(2)
        assert study.process.finish() is None
        assert study.process.outputs["table"]["crystal"]["extrapolated"]["n_extrapolated"] == 2

    def test_it_learns_from_the_frames_with_what_it_has(self, study):
        study.produce(5)
        before = study.process.ctx.potentials["p1"]
        study.learn_again(study.learned(2))
        (inputs,) = study.submitted
        assert inputs["potential"].uuid == before.uuid
        assert set(inputs["training_sets"]) == {"start"}
        frames = inputs["candidates"]["production"]
        assert frames.creator.process_type.endswith("lpsgb.learning.candidates")
        assert frames[0].info["source"] == "crystal_t900k_p1_1"
        assert inputs["seed"].value != study.process.ctx.seeds["exploration"].value
        assert inputs["metadata"]["call_link_label"] == "return_1"
        assert study.process.has_to_produce()
        assert study.process.ctx.potentials["p1"].uuid != before.uuid

    def test_the_results_are_those_of_the_last_potentials(self, study):
        first = study.produce(5)
        again = study.learned(2)
        study.learn_again(again)
        second = study.produce(1)
        assert not study.process.goes_back()
        assert study.process.finish() is None
        outputs = study.process.outputs
        assert outputs["potentials"]["p1"].uuid == again.outputs.potentials.p1.uuid
        assert (
            outputs["systems"]["crystal"]["summary"].uuid == second.outputs.summary.uuid != first.outputs.summary.uuid
        )
        entry = outputs["table"]["crystal"]
        assert (entry["n_returns"], entry["extrapolated"]["n_extrapolated"]) == (1, 1)
        assert [seen["n_extrapolated"] for seen in entry["extrapolated_before"]] == [5]

    def test_one_that_extrapolates_in_the_end_does_not_pass_for_success(self, study):
        study.produce(5)
        study.learn_again(study.learned(2))
        study.produce(4)
        assert not study.process.goes_back()
        code = study.process.finish()
        assert code.status == 411
        assert "learning (times: 1): crystal: 4 of 100 frames, grades up to 40" in code.message
        assert "summary" in study.process.outputs["systems"]["crystal"]


class TestFailures:
    """Whatever fails on the way back, the production before is what there is."""

    def check(self, study, message):
        assert not study.process.has_to_produce()
        code = study.process.finish()
        assert code.status == 410
        assert code.message.startswith("Production extrapolates (crystal: 5 of 100 frames")
        assert message in code.message
        assert "summary" in study.process.outputs["systems"]["crystal"]
        assert "p1" in study.process.outputs["potentials"]

    def test_frames_that_are_too_large(self, study):
        study.produce(5, size=60)
        study.process.learn_again()
        study.process.inspect_learning_again()
        self.check(study, "1 have more than 100 atoms (`max_atoms`)")
        assert study.submitted == []

    def test_labels_that_fail(self, study):
        study.produce(5)
        study.learn_again(study.learned(2, 405, "labelling failed in iteration 1: the disk is full"))
        self.check(study, "active_learning<")
        self.check(study, "[405] labelling failed in iteration 1: the disk is full")

    def test_potentials_that_are_not_fit(self, study):
        first = study.produce(5)
        study.learn_again(study.learned(2))
        unfit = study.process.exit_codes.ERROR_POTENTIAL_UNFIT.format(detail="p1: bulk modulus")
        code = study.process._give_up(unfit)
        assert code.status == 410
        assert code.message.startswith("Production extrapolates (crystal: 5 of 100 frames")
        assert "Not fit for production: p1: bulk modulus" in code.message
        assert study.process.outputs["systems"]["crystal"]["summary"].uuid == first.outputs.summary.uuid


def test_a_study_that_was_stopped_hands_its_potentials_on(study):
    """Its outputs come at its end; what it had learned is still to be added to."""
    node = study.process.node
    learning = study.process.ctx.learning
    added = StudyWorkChain.get_builder_adding(node, {"large": {"kind": "crystal", "run": {"n_atoms": 64}}})
    assert added.potentials["p1"].uuid == learning.outputs.potentials.p1.uuid
    assert "p1" in added.transport.active_sets
    assert "returns" not in added._inputs(prune=True)


# --- for real -------------------------------------------------------------------------------------------------------


def cold_then_hot():
    """Return the builder of a study that learns at 100 K and produces at 1200 K."""
    register_codes()
    overrides = deepcopy(MINIATURE)
    overrides |= {"passive_learning": None, "reference_md": None, "validate": None, "returns": RETURNS}
    overrides["start_set"] = {"strains": [0.0], "amplitudes": [0.02], "n_rattles": 4}
    overrides["potential"] = {"level": 4, "radial_basis_size": 4}
    overrides["recipes"] = {"crystal": {"learn": {"n_atoms": 12}, "run": {"n_atoms": 48}}}
    settings = {"temperatures_K": [100], "n_potentials": 1, "gamma_break": [20]}
    overrides["active_learning"]["settings"] |= settings
    overrides["transport"] = {
        "temperatures_K": [1200],
        "structural_temperatures_K": [],
        "motion": ["diffusivity"],
        "budget": None,
        "watch": {"gamma_select": 5.0, "interval_steps": 20, "spacing_ps": 0.1},
        "parameters": MD | {"stages": [HOLD | {"name": "produce", "duration_ps": 2, "dump_interval_ps": 0.02}]},
    }
    return WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        load_codes(),
        orm.CifData(file=str(CIF), parse_policy="lazy"),
        {"crystal": {"kind": "crystal"}},
        protocol="fast",
        overrides=overrides,
        seed=orm.Int(SEED),
    )


@pytest.mark.slow
def test_learned_cold_and_run_hot(aiida_profile_clean):
    results, node = run_get_node(cold_then_hot())
    assert node.exit_status in (0, 411), node.exit_message
    calls = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    sweeps = [entry.node for entry in calls if entry.link_label == "crystal"]
    assert len(sweeps) == 2

    entry = results["table"]["crystal"]
    (before,) = entry["extrapolated_before"]
    assert before["n_graded"] == 2000 / 20 + 1
    assert before["n_extrapolated"] > RETURNS["max_share"] * before["n_graded"]
    assert entry["n_returns"] == 1
    assert entry["extrapolated"]["n_extrapolated"] < before["n_extrapolated"]
    assert (node.exit_status == 0) is (entry["extrapolated"]["n_extrapolated"] <= 0.02 * 101)

    # The frames are from the first production, by way of processes alone.
    (again,) = [entry.node for entry in calls if entry.link_label == "return_1"]
    learned = results["training_sets"]["candidates_01"]
    assert 1 <= len(learned) <= RETURNS["max_labels"]
    assert learned.labelled
    frames = again.inputs.candidates.production
    assert {atoms.info["source"] for atoms in frames} == {"crystal_t1200k_p1_1"}
    assert frames.creator.process_type.endswith("lpsgb.learning.candidates")
    (dynamics,) = frames.creator.base.links.get_incoming(link_label_filter="crystal%").all_nodes()
    assert dynamics.creator.process_type.endswith("lpsgb.md")
    assert dynamics.uuid == sweeps[0].outputs.extrapolated.t1200k_p1_1.segment_000.uuid

    # What is handed on is of the last potentials.
    assert sweeps[1].inputs.potentials.p1.uuid == results["potentials"]["p1"].uuid
    assert sweeps[0].inputs.potentials.p1.uuid != sweeps[1].inputs.potentials.p1.uuid
    assert results["systems"]["crystal"]["summary"].uuid == sweeps[1].outputs.summary.uuid

    found = study_results(node)
    (system,) = found.systems
    assert system.extrapolated_before == ((before["n_extrapolated"], before["n_graded"]),)
    table = comparison(found)
    shown = dict(zip((column.key for column in table.columns), table.rows[0], strict=True))
    assert f"(before: {before['n_extrapolated']} of 101)" in shown["extrapolated"]
    rows = [row["iteration"] for row in found.learning.iterations]
    assert rows == list(range(1, len(rows) + 1))
    assert len(rows) > len(node.outputs.learning_curve["iterations"])

    # Another system is added at its own cost.
    builder = StudyWorkChain.get_builder_adding(node, {"large": {"kind": "crystal", "run": {"n_atoms": 96}}})
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        _, added = run_get_node(builder)
    assert added.is_finished_ok, added.exit_message
    for call in added.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all():
        jobs = [job for job in call.node.called_descendants if isinstance(job, orm.CalcJobNode)]
        assert {job.base.caching.is_created_from_cache for job in jobs} == {call.link_label == "crystal"}
