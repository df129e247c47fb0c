"""`lpsgb.melt_quench` with the real LAMMPS, and an interface with the glass."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk


@pytest.fixture
def crystal():
    return orm.StructureData(ase=Atoms(bulk("LiS", "rocksalt", a=5.0, cubic=True)))


@pytest.fixture
def potential(generate_potential):
    mtp = generate_potential().mtp
    return DataFactory("lpsgb.potential")(mtp.with_parameters(1e-3 * mtp.parameters), ["Li", "P", "S"])


@pytest.fixture
def builder(crystal, potential, installed_code):
    """Atoms that hardly interact drift apart at 3 000 K: a gas is amorphous too."""

    def factory(duration_ps, amorphous=None):
        stages = [
            {"name": "melt", "ensemble": "nvt", "duration_ps": duration_ps, "temperature_K": 3000},
            {"name": "cool", "ensemble": "nvt", "duration_ps": 0.02, "temperature_K": [3000, 300]},
        ]
        return WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
            installed_code("lmp", "lpsgb.md"),
            crystal,
            potential,
            amorphous or {"centre": "S", "unit": "S", "cutoffs": {}},
            protocol="fast",
            overrides={"supercell": {"n_atoms": 200}, "parameters": {"stages": stages}},
            seed=orm.Int(5),
        )

    return factory


@pytest.mark.usefixtures("aiida_profile_clean")
class TestMeltQuench:
    def test_glass_and_its_interface(self, builder, crystal):
        outputs, node = run_get_node(builder(2.0))
        assert node.is_finished_ok, node.exit_message
        results = outputs["amorphous"].get_dict()
        assert results["structure"]["amorphous"]
        assert results["reference"]["bragg_order"] == pytest.approx(1)
        assert not results["reference"]["amorphous"]
        assert len(outputs["structure"].sites) == 216

        parameters = orm.Dict({"plane": [0, 0, 1], "cutoffs": {}, "n_cuts": 2, "shift_step": 5.0})
        built = CalculationFactory("lpsgb.interface")(crystal, outputs["structure"], parameters)
        info = built["results"].get_dict()
        assert info["n_atoms"] == len(built["structure"].sites)
        assert len(info["regions"]) == 2
        assert np.max(np.abs(info["glass_strain"])) <= 0.03
        symbols = built["structure"].get_ase().get_chemical_symbols()
        assert symbols.count("Li") == symbols.count("S")

    def test_crystal_that_did_not_melt_is_told(self, builder):
        outputs, node = run_get_node(builder(0.002))
        assert node.exit_status == 410
        assert "Bragg order" in node.exit_message
        assert "structure" in outputs

    def test_missing_framework_is_refused(self, builder):
        with pytest.raises(ValueError, match="unit must be given"):
            run_get_node(builder(0.1, {"centre": "S"}))
        with pytest.raises(ValueError, match="has no P"):
            run_get_node(builder(0.1, {"centre": "P", "unit": "PS4"}))

    def test_paper_has_the_published_stages(self):
        values = WorkflowFactory("lpsgb.melt_quench").get_protocol_inputs("paper")
        stages = values["parameters"]["stages"]
        assert [stage["duration_ps"] for stage in stages] == [200, 400, 340, 2000, 8000]
        heat, cool = stages[0], stages[2]
        assert heat["temperature_K"] == [300, 2000]
        assert (cool["temperature_K"][0] - cool["temperature_K"][1]) / cool["duration_ps"] == 5
        assert np.prod(values["supercell"]["matrix"]) * 32 == 12288
