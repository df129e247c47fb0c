"""`lpsgb.melt_quench` with the real LAMMPS, and an interface with the glass."""

from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory, DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk

from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.structures.units import survey

CIF = Path(__file__).parents[2] / "examples" / "data" / "beta-li3ps4.cif"


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
            {"md": installed_code("lmp", "lpsgb.md")},
            crystal,
            potential,
            amorphous=amorphous or {"centre": "S", "unit": "S", "cutoffs": {}},
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

    @pytest.mark.parametrize(
        ("amorphous", "message"),
        [
            ({"centre": "S"}, "unit must be given"),
            ({"centre": "P", "unit": "S", "cutoffs": {}}, "has no P"),
            ({"centre": "S", "unit": "PS4", "cutoffs": {}}, "has no unit PS4, only Li, S"),
            ({"centre": "S", "unit": "S", "max_order": 0.1}, "unknown max_order"),
            ({"centre": "S", "unit": "S", "cutoffs": {"S": 2.0}}, "a bond cut-off must be named by two elements"),
        ],
    )
    def test_impossible_reports_are_refused_before_melting(self, builder, amorphous, message):
        with pytest.raises(ValueError, match=message):
            run_get_node(builder(0.1, amorphous))

    def test_impossible_sizes_and_stages_are_refused_before_melting(self, builder):
        inputs = builder(0.1)
        inputs.supercell = orm.Dict({"matrix": [2, 2]})
        with pytest.raises(ValueError, match="supercell must be three integers"):
            run_get_node(inputs)
        with pytest.raises(ValueError, match="parameters: stage 0"):
            inputs.parameters = orm.Dict({"stages": [{"ensemble": "npt", "temperature_K": 300}]})

    def test_paper_has_the_published_stages(self):
        values = WorkflowFactory("lpsgb.melt_quench").get_protocol_inputs("paper")
        stages = values["parameters"]["stages"]
        assert [stage["duration_ps"] for stage in stages] == [200, 400, 340, 2000, 8000]
        heat, cool = stages[0], stages[2]
        assert heat["temperature_K"] == [300, 2000]
        assert (cool["temperature_K"][0] - cool["temperature_K"][1]) / cool["duration_ps"] == 5
        assert np.prod(values["supercell"]["matrix"]) * 32 == 12288


def ancestors(node):
    """Every node that a node comes from."""
    seen, front = {}, [node]
    while front:
        for link in front.pop().base.links.get_incoming().all():
            if link.node.uuid not in seen:
                seen[link.node.uuid] = link.node
                front.append(link.node)
    return seen


@pytest.mark.slow
@pytest.mark.usefixtures("aiida_profile_clean")
def test_from_the_cif_to_a_running_interface(installed_code, data_path):
    """The chain of examples/glass.py in miniature: order, melt and quench, join, run; nothing is lost on the way."""
    lammps = installed_code("lmp", "lpsgb.md")
    mtp = MTP.read(data_path / "mtp" / "li3ps4_level8.mtp")
    potential = DataFactory("lpsgb.potential")(mtp, ["Li", "P", "S"])
    cif = orm.CifData(file=str(CIF), parse_policy="lazy")
    ordering = orm.Dict({"charges": {"Li": 1, "P": 5, "S": -2}, "rank_by": "occupancy"})
    crystal = CalculationFactory("lpsgb.order")(cif, ordering, orm.Int(1))["structure"]

    stages = [
        {"name": "hold", "ensemble": "nvt", "duration_ps": 2, "temperature_K": 1500},
        {"name": "cool", "ensemble": "nvt", "duration_ps": 1, "temperature_K": [1500, 300]},
    ]
    builder = WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
        {"md": lammps},
        crystal,
        potential,
        amorphous={"centre": "P", "unit": "PS4", "max_bragg_order": 1.0, "max_pair_modulation": 10.0},
        protocol="fast",
        overrides={"supercell": {"n_atoms": 380}, "parameters": {"stages": stages, "timestep_fs": 1.0}},
        seed=orm.Int(5),
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    order = {name: report["pair_modulation"] for name, report in outputs["amorphous"].get_dict().items()}
    assert order["structure"] < 0.5 * order["reference"]

    parameters = orm.Dict({"plane": [0, 0, 1], "max_strain": 0.05, "shift_step": 6.0, "n_cuts": 2})
    joined = CalculationFactory("lpsgb.interface")(crystal, outputs["structure"], parameters)
    stages = [
        {"name": "relax", "ensemble": "minimise", "max_steps": 50},
        {"name": "run", "ensemble": "npt", "duration_ps": 0.5, "temperature_K": 300},
    ]
    run = {"code": lammps, "structure": joined["structure"], "potential": potential, "seed": orm.Int(3)}
    md = {**run, "parameters": orm.Dict({"stages": stages})}
    outputs, node = run_get_node(WorkflowFactory("lpsgb.md.base"), md=md)
    assert node.is_finished_ok, node.exit_message
    first, last = joined["structure"].get_ase(), outputs["structure"].get_ase()
    assert last.get_chemical_formula() == first.get_chemical_formula()
    assert survey(last).shortest_pair > 1.6
    found = ancestors(outputs["structure"])
    assert cif.uuid in found
    without_creator = [n for n in found.values() if isinstance(n, orm.StructureData) and n.creator is None]
    assert not without_creator
