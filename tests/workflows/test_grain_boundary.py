"""`lpsgb.grain_boundary` with the real LAMMPS."""

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk

from aiida_lpsgb.structures.units import survey


@pytest.fixture
def crystal():
    return orm.StructureData(ase=Atoms(bulk("LiS", "rocksalt", a=5.0, cubic=True)))


@pytest.fixture
def potential(generate_potential):
    mtp = generate_potential().mtp
    return DataFactory("lpsgb.potential")(mtp.with_parameters(0.1 * mtp.parameters), ["Li", "P", "S"])


@pytest.fixture
def builder(crystal, potential, installed_code):
    def factory(crystal=crystal, boundary=None, parent=None, **overrides):
        stages = [{"ensemble": "minimise", "max_steps": 200, "force_tolerance_eV_A": 1e-3}]
        return WorkflowFactory("lpsgb.grain_boundary").get_builder_from_protocol(
            {"md": installed_code("lmp", "lpsgb.md")},
            crystal,
            potential,
            boundary=boundary or {"axis": [0, 0, 1], "plane": [2, 1, 0], "width": 10, "region": 5, "n_candidates": 2},
            parent=parent,
            protocol="fast",
            overrides={"relaxation": {"stages": stages}, "bulk": {"stages": stages}, **overrides},
            seed=orm.Int(3),
        )

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestGrainBoundary:
    def test_lowest_of_two_candidates(self, builder):
        outputs, node = run_get_node(builder())
        assert node.is_finished_ok, node.exit_message
        results = outputs["results"].get_dict()
        assert set(results["energies_J_m2"]) == {"candidate_0", "candidate_1"} == set(outputs["relaxed"])
        lowest = results["lowest"]
        assert results["energies_J_m2"][lowest] == min(results["energies_J_m2"].values())
        assert outputs["structure"].uuid == outputs["relaxed"][lowest].uuid
        atoms = outputs["structure"].get_ase()
        assert len(atoms) == results["candidates"][lowest]["n_atoms"]
        # The rattled crystal has no symmetry of its own; the angle is that of Σ5 all the same.
        assert results["candidates"][lowest]["true_angle_deg"] == pytest.approx(36.87, abs=1.0)
        assert set(survey(atoms).formulas) == {"Li", "S"}
        called = {link.link_label: link.node for link in node.base.links.get_outgoing().all()}
        bulks = [called[f"bulk_copy_{i}"] for i in range(2)]
        energies = [run.outputs.results["minimised_energies_eV"][-1] for run in bulks]
        assert energies[0] != energies[1]
        assert outputs["bulk"].uuid == bulks[energies.index(min(energies))].outputs.structure.uuid
        assert results["bulk_energy_eV_per_atom"] == pytest.approx(min(energies) / len(outputs["bulk"].sites))
        run = called["candidate_0"]
        energy = run.outputs.results["minimised_energies_eV"][-1]
        excess = energy - len(atoms) * results["bulk_energy_eV_per_atom"]
        area = results["candidates"]["candidate_0"]["total_area_A2"]
        assert results["energies_J_m2"]["candidate_0"] == pytest.approx(16.02177 * excess / (2 * area), rel=1e-4)

    def test_every_structure_leads_to_the_crystal(self, builder, crystal):
        outputs, _ = run_get_node(builder())
        seen, front = set(), [outputs["structure"]]
        while front:
            node = front.pop()
            for link in node.base.links.get_incoming().all():
                if link.node.uuid not in seen:
                    seen.add(link.node.uuid)
                    front.append(link.node)
        assert crystal.uuid in seen

    @pytest.mark.parametrize(
        ("boundary", "message"),
        [
            ({"axis": [0, 0, 1], "plane": [2, 1, 1]}, "does not contain the tilt axis"),
            ({"axis": [0, 0, 1]}, "plane must be given"),
            ({"axis": [0, 0, 1], "plane": [2, 1, 0], "sort": "tilt"}, "unknown sort"),
            ({"axis": [0, 0, 1], "plane": [2, 1, 0], "width": 15, "region": 10}, "thinner than two regions"),
        ],
    )
    def test_impossible_boundaries_are_refused_before_submission(self, builder, boundary, message):
        with pytest.raises(ValueError, match=message):
            run_get_node(builder(boundary=boundary))

    @pytest.mark.parametrize("port", ["bulk", "relaxation"])
    def test_relaxation_without_a_minimum_is_refused_before_submission(self, builder, port):
        stages = [{"ensemble": "nvt", "duration_ps": 0.01, "temperature_K": 10}]
        with pytest.raises(ValueError, match="give a stage with `ensemble: minimise`"):
            builder(**{port: {"stages": stages}})

    def test_indices_are_those_of_the_parent(self, builder, crystal):
        doubled = orm.StructureData(ase=crystal.get_ase().repeat((1, 1, 2)))
        boundary = {"axis": [1, 0, 0], "plane": [0, 2, 1], "width": 10, "region": 5, "n_candidates": 1}
        outputs, node = run_get_node(builder(doubled, boundary, parent=crystal))
        assert node.is_finished_ok, node.exit_message
        (candidate,) = outputs["results"]["candidates"].values()
        assert candidate["plane_1"] == [0, 2, 1]
        assert candidate["true_angle_deg"] == pytest.approx(36.87, abs=1.0)

    def test_bulk_that_cannot_be_relaxed_is_told(self, builder):
        builder = builder()
        builder.md.md.code = orm.InstalledCode(
            label="false", computer=builder.md.md.code.computer, filepath_executable="/bin/false"
        ).store()
        _, node = run_get_node(builder)
        assert node.exit_status == 401
        assert "The crystal could not be relaxed: MdBaseWorkChain" in node.exit_message

    def test_protocols_are_valid(self, builder):
        process = WorkflowFactory("lpsgb.grain_boundary")
        assert set(process.get_available_protocols()) == {"fast", "moderate", "paper"}
        with pytest.raises(ValueError, match="no entry of the protocol"):
            builder(bulks={})
