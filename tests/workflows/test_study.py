"""What `lpsgb.study` hands to its children, and what a finished one holds."""

from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm
from aiida.common import AttributeDict, LinkType
from ase.build import bulk
from ase.calculators.morse import MorsePotential

from aiida_lpsgb.workflows.protocols import load_codes
from aiida_lpsgb.workflows.study import StudyWorkChain
from tests.workflows.conftest import MINIATURE


def test_boundaries_and_interfaces_are_told_the_crystal_before_it_was_ordered(aiida_profile_clean):
    queued, crystal = {}, orm.StructureData(ase=bulk("Li"))
    study = SimpleNamespace(
        inputs=AttributeDict({"crystal": crystal}),
        ctx=SimpleNamespace(recipes={"gb": {"run": "parameters"}}),
        _recipe_inputs=lambda *_: AttributeDict(),
        enqueue=lambda label, _, given: queued.update({label: given}),
    )
    StudyWorkChain._make_boundary(study, "gb")
    assert queued["recipe_gb"] == {"boundary": "parameters", "parent": crystal}


@pytest.mark.daemon
class TestFinished:
    """A miniature study, run once."""

    def test_every_system_has_its_structure_runs_and_fit(self, study):
        assert set(study.outputs.systems) == {"crystal", "boundary"}
        for system in study.outputs.systems.values():
            labels = {f"t{t}k_{p}_1" for t in (1000, 650, 300) for p in ("p1", "p2")}
            assert set(system["diffusivities"]) <= labels
            assert {"t1000k_p1_1", "t1000k_p2_1", "t300k_p1_1"} <= set(system["diffusivities"])
            assert set(system["judgements"]) == set(system["diffusivities"])
            assert system["structure"].get_formula()
            assert "summary" in system
        assert set(study.outputs.table.get_dict()) == {"crystal", "boundary"}

    def test_the_level_that_was_chosen_is_learned(self, study):
        (point,) = study.outputs.passive_learning.grid["points"]
        assert point["chosen"]
        assert point["time_us_atom_step"] > 0
        assert study.inputs.potential["level"] == 2
        assert {potential.level for potential in study.outputs.potentials.values()} == {4}

    def test_frames_of_the_label_engines_dynamics_are_learned_from(self, study):
        frames = study.outputs.training_sets.reference
        assert len(frames) == study.inputs.reference_md.settings["n_samples"]
        assert frames.level_of_theory == study.outputs.training_sets.start.level_of_theory
        assert frames.creator.process_type.endswith("lpsgb.reference.sample")

    def test_what_the_label_engine_relaxes_is_learned_from(self, study):
        reference = study.outputs.properties.reference
        for name, count in {"relaxed": 1, "strained": 12}.items():
            learned = study.outputs.training_sets[name]
            assert learned.uuid == reference[name].uuid
            assert len(learned) == count
        assert study.outputs.training_sets.strained.level_of_theory == study.outputs.training_sets.start.level_of_theory

    def test_where_potentials_come_to_rest_is_learned_from(self, study):
        minima = study.outputs.training_sets.minima_01
        expected = {f"{name}_{potential}" for name in ("crystal_best", "boundary") for potential in ("p1", "p2")}
        assert {atoms.info["source"] for atoms in minima} == expected
        assert minima.level_of_theory == study.outputs.training_sets.start.level_of_theory
        for potential in study.outputs.potentials.values():
            assert minima.uuid in {node.uuid for node in potential.creator.inputs.training_sets.values()}

    def test_cards_hold_the_errors_of_the_training_that_made_the_potential(self, study):
        for name, potential in study.outputs.potentials.items():
            rmse = potential.creator.outputs.results["training"]["forces_rmse_ev_angstrom"]
            checks = {check["check"]: check["value"] for check in study.outputs.cards[name]["checks"]}
            assert checks["training_forces_rmse_mev_A"] == pytest.approx(1000 * rmse)

    def test_structure_is_looked_at_where_it_is_asked_for(self, study):
        observables = study.outputs.systems["crystal"]["observables"]
        assert {"rdf", "disorder", "density", "topology"} <= set(observables["t300k_p1_1"])
        assert "rdf" not in observables["t1000k_p1_1"]

    def test_diffusion_of_the_boundary_is_resolved_by_region(self, study):
        boundary = study.outputs.systems["boundary"]
        assert any(name.startswith("boundary") for name in boundary["regional_arrhenius"])
        assert any(name.startswith("core") for name in boundary["regional_arrhenius"])
        assert "regions" not in study.outputs.systems["crystal"]
        assert len(boundary["recipe"]["energies_J_m2"]) == 1

    def test_energies_of_boundaries_are_single_points_of_the_relaxed_cells(self, study):
        """The same by ASE alone: Morse for the labels, the stored potentials for the predictions."""
        (parity,) = [call for call in study.called if call.process_label == "BoundaryParityWorkChain"]
        cells = {atoms.info["source"]: atoms for atoms in parity.outputs.labelled}
        boundary = study.outputs.boundary_energies["boundaries"]["boundary"]

        def gamma(calculator):
            bulk, cell = (cells[f"{kind}_boundary"].copy() for kind in ("bulk", "boundary"))
            bulk.calc = cell.calc = calculator
            excess = cell.get_potential_energy() - len(cell) / len(bulk) * bulk.get_potential_energy()
            return excess / (2 * np.linalg.norm(np.cross(cell.cell[0], cell.cell[1]))) * 16.021766

        keywords = MINIATURE["label"]["engine"]["parameters"]["keywords"]
        assert boundary["label_J_m2"] == pytest.approx(gamma(MorsePotential(**keywords)), rel=1e-4, abs=1e-5)
        for name, potential in study.outputs.potentials.items():
            predicted = boundary["potentials_J_m2"][name]
            assert predicted == pytest.approx(gamma(potential.get_ase()), rel=1e-4, abs=1e-5)
            error = parity.outputs.errors[name]["boundary_energy_mae_J_m2"]
            assert error == pytest.approx(abs(predicted - boundary["label_J_m2"]))

    def test_each_potential_is_tested(self, study):
        assert set(study.outputs.test_errors) == set(study.outputs.potentials) == {"p1", "p2"}
        contents = {node.get_content() for node in study.outputs.potentials.values()}
        assert len(contents) == 2


class TestAdding:
    """A study that has further systems beside those of one that is there."""

    NEW = {"large": {"kind": "crystal", "run": {"n_atoms": 64}}}

    @pytest.fixture
    def study(self, aiida_profile_clean, computer, generate_workchain, generate_potential):
        """Return a function that makes the node of a study with given potentials, which has active sets, too."""

        def factory(**overrides):
            builder = StudyWorkChain.get_builder_from_protocol(
                load_codes(computer),
                orm.StructureData(ase=bulk("LiS", "rocksalt", a=5.2)),
                potentials={"p1": generate_potential()},
                protocol="fast",
                overrides={"properties": None, **overrides},
            )
            node = generate_workchain("lpsgb.study", builder._inputs(prune=True)).node
            active_set = orm.SinglefileData.from_string("active set", filename="state.als").store()
            active_set.base.links.add_incoming(node, LinkType.RETURN, "active_sets__p1")
            return node

        return factory

    def test_runs_are_watched_as_before(self, study):
        node = study()
        builder = StudyWorkChain.get_builder_adding(node, self.NEW)
        assert set(builder.systems) == {"crystal", "large"}
        assert builder.metadata.description == f"large added to StudyWorkChain<{node.pk}>"
        assert "p1" in builder.transport.active_sets

    def test_without_a_watch_there_is_nothing_to_watch_with(self, study):
        """Active sets without a watch would be refused, by every run of the study."""
        builder = StudyWorkChain.get_builder_adding(study(transport={"watch": None}), self.NEW)
        assert not builder.transport._inputs(prune=True).get("active_sets")

    def test_a_study_that_has_learned_nothing(self, aiida_profile_clean):
        node = orm.WorkChainNode(process_type="aiida.workflows:lpsgb.study").store()
        with pytest.raises(ValueError, match="has learned no potentials"):
            StudyWorkChain.get_builder_adding(node, self.NEW)
