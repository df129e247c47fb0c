"""The steps of `lpsgb.active_learning`, with what its children have left."""

from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.common import AttributeDict, LinkType
from aiida.engine import ProcessState
from aiida.plugins import WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.workflows.active_learning import ActiveLearningWorkChain, free_label
from aiida_lpsgb.workflows.learning_inputs import validate_inputs


def test_increments_of_an_earlier_loop_are_kept():
    """A loop that goes on from the outputs of another one has its sets under the same names."""
    sets = {"start": 1, "iteration_01": 2, "iteration_02": 3}
    assert free_label(sets, 1) == "iteration_03"
    assert free_label({"start": 1}, 1) == "iteration_01"
    assert free_label({"start": 1, "iteration_01": 2}, 2) == "iteration_02"
    assert free_label({"start": 1, "candidates_01": 2}, 1, "candidates") == "candidates_02"


def test_paper_protocol_is_the_schedule_of_the_paper():
    settings = WorkflowFactory("lpsgb.active_learning").get_protocol_inputs("paper")["settings"]
    assert settings["gamma_select"] == 2.0
    assert settings["gamma_break"] == [10, 5, 2]
    assert settings["criterion"] == "no_selection"


@pytest.fixture
def loop(generate_workchain, generate_potential, generate_configurations, installed_code):
    """Return a function that sets a loop up, which is not run."""

    def factory(settings=None, **more):
        programs = {"mlp": ("lpsgb-mlp", "lpsgb.mlp.train"), "md": ("lmp", "lpsgb.md")}
        programs["label"] = ("lpsgb-label", "lpsgb.label.ase")
        engine = {"calculator": "ase.calculators.emt:EMT", "level_of_theory": "toy"}
        builder = ActiveLearningWorkChain.get_builder_from_protocol(
            {role: installed_code(*program) for role, program in programs.items()},
            generate_potential(),
            {"start": generate_configurations()},
            {"li": orm.StructureData(ase=bulk("Li"))},
            protocol="fast",
            overrides={"label": {"engine": {"parameters": engine}}, "settings": settings or {}},
            **more,
        )
        process = generate_workchain("lpsgb.active_learning", builder._inputs(prune=True))
        process.setup()
        return process

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestCandidates:
    """What was found elsewhere is learned from before anything is explored."""

    def test_there_is_nothing_to_select_from_without_them(self, loop):
        assert not loop().has_candidates()

    def test_where_none_is_new_the_loop_ends(self, loop, generate_configurations):
        process = loop(candidates={"mine": generate_configurations(count=3, labelled=False)})
        assert process.has_candidates()
        process.ctx.selection = SimpleNamespace(is_finished_ok=True, outputs={})
        code = process.inspect_selection()
        assert code.status == 412
        assert code.message.startswith("None of the 3 candidates widens the training sets")

    def test_labels_of_them_have_a_name_of_their_own(self, loop, generate_configurations):
        process = loop(candidates={"mine": generate_configurations(labelled=False)})
        labels = generate_configurations(seed=5).store()
        outputs = AttributeDict({"configurations": labels})
        process.ctx.labelling = SimpleNamespace(is_finished_ok=True, outputs=outputs)
        assert process.inspect_labels() is None
        assert process.ctx.training_sets["candidates_01"].uuid == labels.uuid
        assert process.should_iterate()
        assert process.has_to_learn()


@pytest.mark.usefixtures("aiida_profile_clean")
class TestIterationWithoutLabels:
    """A run may end so far out that its only configuration has no label; the next may not."""

    @pytest.fixture
    def labelled(self, loop, generate_configurations):
        """Return a loop, and a function that inspects a labelling which gave configurations or nothing."""
        process = loop()
        node = orm.WorkChainNode()
        node.set_process_label("LabelWorkChain")
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(401)
        node.set_exit_message("No configuration could be labelled: a force of 7.8e+04 eV/Å")
        node.store()

        def inspect(gave):
            outputs = AttributeDict({"configurations": generate_configurations().store()} if gave else {})
            message = {"exit_message": node.exit_message, "is_finished_ok": gave}
            process.ctx.labelling = SimpleNamespace(outputs=outputs, **message) if gave else node
            return process.inspect_labels()

        return process, inspect

    def test_one_is_passed_over(self, labelled):
        process, inspect = labelled
        assert inspect(True) is None
        n_sets = len(process.ctx.training_sets)
        assert inspect(False) is None
        assert len(process.ctx.training_sets) == n_sets
        assert inspect(True) is None
        assert inspect(False) is None

    def test_two_in_a_row_end_the_loop(self, labelled):
        _, inspect = labelled
        inspect(True)
        inspect(False)
        code = inspect(False)
        assert code.status == ActiveLearningWorkChain.exit_codes.ERROR_LABELLING_FAILED.status
        assert "a force of 7.8e+04 eV/Å" in code.message

    def test_an_engine_that_has_never_given_one_ends_the_loop(self, labelled):
        assert labelled[1](False).status == ActiveLearningWorkChain.exit_codes.ERROR_LABELLING_FAILED.status


def test_a_committee_begins_anew(aiida_profile_clean, loop, monkeypatch):
    """Members that began with the coefficients of the first would agree with it."""
    process, begun = loop(), {}
    given = process.inputs.potential
    assert given.mtp.trained
    monkeypatch.setattr(process, "_submit", lambda base, namespace, label, **mlp: begun.setdefault(label[-2:], mlp))
    monkeypatch.setattr(ActiveLearningWorkChain, "team", ["p1", "p2", "p3"])
    assert process.should_iterate()
    process.train()
    assert set(begun) == {"01", "p2", "p3"}
    assert begun["01"]["potential"].uuid == given.uuid
    for name in ("p2", "p3"):
        assert not begun[name]["potential"].mtp.trained
        assert begun[name]["potential"].level == given.level
        assert begun[name]["parameters"]["init_params"] == "random"
    process.ctx.potentials["p2"] = given
    begun.clear()
    process.train()
    assert begun["p2"]["potential"].uuid == given.uuid  # from now on from what it has learned


@pytest.mark.parametrize("trained", [False, True])
def test_who_begins_anew_has_more_iterations(aiida_profile_clean, loop, monkeypatch, generate_potential, trained):
    process, begun = loop(), []
    process.inputs.potential = generate_potential(trained=trained)
    monkeypatch.setattr(process, "_submit", lambda base, namespace, label, **mlp: begun.append(mlp))
    assert process.should_iterate()
    process.train()
    process.ctx.potentials["p1"] = generate_potential()
    process.train()
    first, second = begun
    usual = process.inputs.train.mlp.parameters["max_iter"]
    assert ("parameters" not in first) == trained
    assert trained or first["parameters"].get_dict() == {
        **process.inputs.train.mlp.parameters.get_dict(),
        "max_iter": 3 * usual,
    }
    assert "parameters" not in second


@pytest.mark.usefixtures("aiida_profile_clean")
class TestExplorationThatTeachesNothing:
    RUN = {"planned_steps": 100, "timestep_fs": 2.0}

    @pytest.fixture
    def explored(self, loop):
        """Return a function that inspects runs, given by what they found and how they ended."""

        def factory(*runs):
            process = loop()
            process.ctx.training_p1 = AttributeDict({"outputs": AttributeDict({"results": orm.Dict({}).store()})})
            process.ctx.children = {f"li_t300k_{i}": self.run(*run) for i, run in enumerate(runs)}
            return process.inspect_exploration()

        return factory

    def run(self, found, exit_status, message):
        node = orm.WorkChainNode()
        node.set_process_label("MdBaseWorkChain")
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(exit_status)
        node.set_exit_message(message)
        node.store()
        results = orm.Dict({**self.RUN, **found}).store()
        results.base.links.add_incoming(node, LinkType.RETURN, "results")
        return node

    DONE = ({"steps": 100, "n_extrapolated": 0, "max_grade": 1.1}, 0, "")
    FAILED = ({"steps": 0, "n_extrapolated": 0, "max_grade": None}, 322, "LAMMPS stopped: tilted box too far")
    BROKE = ({"steps": 40, "n_extrapolated": 3, "max_grade": 12.0}, 310, "The extrapolation grade exceeded gamma_break")

    def test_runs_that_fail_without_extrapolating_end_the_loop(self, explored):
        code = explored(self.DONE, self.FAILED)
        assert code.status == ActiveLearningWorkChain.exit_codes.ERROR_EXPLORATION_FAILED.status
        assert "LAMMPS stopped: tilted box too far" in code.message
        assert "in iteration 1:" in code.message

    def test_as_long_as_others_extrapolate_it_goes_on(self, explored):
        assert explored(self.FAILED, self.BROKE) is None
        assert explored(self.DONE, self.DONE) is None


@pytest.mark.usefixtures("aiida_profile_clean")
class TestRelaxation:
    """What dynamics does not see: where the structures come to rest."""

    @pytest.fixture
    def settled(self, loop, generate_potential, monkeypatch):
        """Return a function that sets up a loop whose two potentials have settled."""

        def factory(**settings):
            process = loop({"n_relaxations": 2, **settings})
            process.ctx.history = orm.Dict({"converged": True, "settled": True, "iterations": [{}, {}, {}]}).store()
            process.ctx.potentials = {name: generate_potential().store() for name in ("p1", "p2")}
            process.ctx.learned = {"p1": 1, "p2": 1}
            assert not process.should_iterate()
            return process

        return factory

    @staticmethod
    def run(structure=None):
        node = orm.WorkChainNode()
        node.set_process_label("MdBaseWorkChain")
        node.set_process_state(ProcessState.FINISHED)
        node.set_exit_status(0 if structure else 330)
        node.set_exit_message("" if structure else "not at a minimum")
        node.store()
        if structure:
            orm.StructureData(ase=structure).store().base.links.add_incoming(node, LinkType.RETURN, "structure")
        return node

    def test_each_potential_relaxes_every_structure(self, settled):
        process = settled()
        assert process.should_relax()
        process.relax()
        assert sorted(process.ctx.children) == ["li_p1", "li_p2"]
        for label, _, inputs in process.ctx.queue:
            assert inputs.md.potential.uuid == process.ctx.potentials[label[-2:]].uuid
            assert inputs.md.parameters["stages"][-1]["ensemble"] == "minimise"
            assert "active_set" not in inputs.md

    def test_all_learn_from_what_is_left(self, settled, generate_configurations):
        process = settled()
        process.relax()
        process.ctx.children = {"li_p1": self.run(bulk("Li")), "li_p2": self.run()}
        assert process.inspect_relaxations() is None
        assert [atoms.info["source"] for atoms in process.ctx.selected] == ["li_p1"]
        assert process.has_selected()
        labels = AttributeDict({"configurations": generate_configurations(seed=5).store()})
        process.ctx.labelling = SimpleNamespace(is_finished_ok=True, outputs=labels)
        assert process.inspect_labels() is None
        assert list(process.ctx.training_sets) == ["start", "minima_01"]
        assert process._behind() == ["p1", "p2"]
        assert process._label("train", "p2") == "train_04_p2"

    def test_what_was_learned_is_explored_by_all(self, settled, generate_configurations):
        """Weights of what is at rest may cost a potential what it knew of dynamics."""
        process = settled()
        assert process.should_relax()
        process.relax()
        process.ctx.children = {"li_p1": self.run(bulk("Li")), "li_p2": self.run(bulk("Li"))}
        process.inspect_relaxations()
        labels = AttributeDict({"configurations": generate_configurations(seed=5).store()})
        process.ctx.labelling = SimpleNamespace(is_finished_ok=True, outputs=labels)
        process.inspect_labels()
        assert process.goes_on()
        assert process.should_iterate()
        assert process.team == ["p1", "p2"]
        assert process._behind() == ["p1", "p2"]

    def test_so_often_and_no_more(self, settled):
        process = settled()
        process.ctx.relaxed = 2
        assert not process.should_relax()
        assert not process.goes_on()

    def test_not_where_the_loop_has_given_up(self, settled):
        process = settled()
        process.ctx.exhausted = process.exit_codes.ERROR_ITERATIONS_EXHAUSTED
        assert not process.should_relax()

    def test_labels_are_a_budget(self, settled):
        process = settled(max_labels=10)
        process.ctx.n_labels = 9
        assert not process.should_relax()
        process.ctx.n_labels = 8
        assert process.should_relax()

    def test_where_none_comes_to_rest_the_loop_fails(self, settled):
        process = settled()
        process.relax()
        process.ctx.children = {"li_p1": self.run(), "li_p2": self.run()}
        code = process.inspect_relaxations()
        assert code.status == ActiveLearningWorkChain.exit_codes.ERROR_RELAXATION_FAILED.status
        assert "not at a minimum" in code.message

    def test_it_must_be_said_how(self, loop):
        process = loop({"n_relaxations": 1})
        assert validate_inputs(process.inputs, None) is None
        inputs = {key: value for key, value in process.inputs.items() if key != "relaxation"}
        assert validate_inputs(inputs, None).startswith("relaxation: `settings` has `n_relaxations`")
