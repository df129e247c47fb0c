"""Properties of a crystal by a pair style, a moment tensor potential and an ASE calculator."""

import numpy as np
import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.data.pair_style import PairStyleData

PropertiesWorkChain = WorkflowFactory("lpsgb.properties")
EMT = {"calculator": "ase.calculators.emt:EMT"}
OVERRIDES = {
    "deformation": {"strain": 0.002},
    "start": {"amplitudes": [0.02], "n_rattles": 1},
    "relaxation": {"force_tolerance_ev_angstrom": 1e-4, "stress_tolerance_GPa": 1e-3},
}


@pytest.fixture
def codes(installed_code):
    return {
        "label": installed_code("lpsgb-label", "lpsgb.label.ase"),
        "md": installed_code("lmp", "lpsgb.md"),
    }


def run(codes, atoms, **arguments):
    arguments.setdefault("overrides", OVERRIDES)
    builder = PropertiesWorkChain.get_builder_from_protocol(
        codes, orm.StructureData(ase=atoms), protocol="fast", seed=orm.Int(1), **arguments
    )
    return run_get_node(builder)


def test_a_calculator(codes):
    """Copper by EMT: C11 172.6, C12 115.4, C44 89.9 GPa at 0 K."""
    results, node = run(codes, bulk("Cu", a=3.7, cubic=True), calculator=EMT)
    assert node.is_finished_ok, node.exit_message
    found = results["results"].get_dict()
    tensor = np.array(found["elasticity"]["tensor_GPa"])
    assert [tensor[0, 0], tensor[0, 1], tensor[3, 3]] == pytest.approx([172.6, 115.4, 89.9], abs=0.5)
    assert found["elasticity"]["stable"]
    assert found["equation_of_state"]["bulk_modulus_GPa"] == pytest.approx(134.5, abs=0.5)
    assert found["lattice"]["lengths_A"] == pytest.approx([3.59] * 3, abs=0.002)
    assert found["level_of_theory"] == "ase.calculators.emt:EMT"
    assert "drift" not in results
    for name, count in {"relaxed": 1, "strained": 16}.items():
        assert len(results[name]) == count
        assert all(np.abs(atoms.get_forces()).max() < 1e-4 for atoms in results[name])
    assert np.ptp([atoms.get_volume() for atoms in results["strained"]]) > 3
    assert results["structure"].get_cell_volume() == pytest.approx(46.26, abs=0.02)


def test_a_potential_with_its_drift(codes):
    potential = PairStyleData(["pair_style lj/smooth/linear 8", "pair_coeff 1 1 0.0104 3.40"], ["Ar"])
    stages = [
        {"name": "heat", "ensemble": "nvt", "duration_ps": 0.4, "temperature_K": 20},
        {"name": "drift", "ensemble": "nve", "duration_ps": 1, "temperature_K": 20},
    ]
    overrides = {**OVERRIDES, "drift": {"parameters": {"stages": stages, "timestep_fs": 4.0}}}
    results, node = run(codes, bulk("Ar", a=5.25, cubic=True), potential=potential, overrides=overrides)
    assert node.is_finished_ok, node.exit_message
    found = results["results"].get_dict()
    tensor = np.array(found["elasticity"]["tensor_GPa"])
    assert tensor[0, 1] == pytest.approx(tensor[3, 3], rel=0.01)  # Cauchy's relation of a pair potential
    drift = results["drift"].get_dict()
    assert drift["energy_drift_mev_atom_ps"] < 0.05
    assert 5 < drift["temperature_K"] < 25
    assert drift["duration_ps"] == pytest.approx(1)


def test_strained_cells_that_do_not_come_to_rest(codes):
    overrides = {**OVERRIDES, "relaxation": {"max_steps": 1}}
    _, node = run(codes, bulk("Cu", a=3.7, cubic=True), calculator=EMT, overrides=overrides)
    assert node.exit_status == 401
    assert "not relaxed after 1 steps" in node.exit_message


def test_a_drift_needs_a_potential(codes):
    builder = PropertiesWorkChain.get_builder_from_protocol(
        codes,
        orm.StructureData(ase=bulk("Ar", a=5.25)),
        PairStyleData(["pair_style lj/cut 8", "pair_coeff 1 1 0.01 3.4"], ["Ar"]),
        protocol="fast",
    )
    builder.drift.parameters = orm.Dict({"stages": [{"ensemble": "nvt", "duration_ps": 1, "temperature_K": 20}]})
    with pytest.raises(ValueError, match="must be of the ensemble nve"):
        run_get_node(builder)


def test_relaxations_need_the_program(codes, installed_code):
    with pytest.raises(ValueError, match="codes: 'relax' is missing; properties need `lpsgb-label`"):
        PropertiesWorkChain.get_builder_from_protocol({"label": installed_code("lmp", "lpsgb.label.cp2k")})


@pytest.mark.parametrize(("roles", "minutes"), [(("label",), 10), (("label", "relax"), 20)])
def test_relaxations_take_the_options_of_the_role_that_their_code_has(codes, roles, minutes):
    options = {"label": {"max_wallclock_seconds": 600}, "relax": {"max_wallclock_seconds": 1200}}
    builder = PropertiesWorkChain.get_builder_from_protocol(
        dict.fromkeys(roles, codes["label"]) | {"md": codes["md"]},
        orm.StructureData(ase=bulk("Cu")),
        calculator=EMT,
        options=options,
    )
    assert builder.relax.metadata.options["max_wallclock_seconds"] == 60 * minutes


def test_a_builder_says_at_once_what_is_missing(codes):
    with pytest.raises(ValueError, match=r"relax: give either `parameters` .* or `potential`"):
        PropertiesWorkChain.get_builder_from_protocol(codes, orm.StructureData(ase=bulk("Cu")))


def test_nothing_is_left_running_where_the_cell_of_the_drift_is_refused(codes, generate_workchain, monkeypatch):
    potential = PairStyleData(["pair_style lj/cut 8", "pair_coeff 1 1 0.01 3.4"], ["Ar"])
    builder = PropertiesWorkChain.get_builder_from_protocol(codes, orm.StructureData(ase=bulk("Ar", a=5.25)), potential)
    builder.drift.cell = orm.Dict({"matrix": [[1, 0, 0], [2, 0, 0], [0, 0, 1]]})
    process = generate_workchain("lpsgb.properties", builder._inputs(prune=True))
    relaxed = orm.CalcJobNode()
    relaxed.set_process_state("finished")
    relaxed.set_exit_status(0)
    relaxed.store()
    atoms = bulk("Ar", a=5.25)
    atoms.calc = SinglePointCalculator(atoms, energy=-0.08, forces=np.zeros((1, 3)), stress=np.zeros(6))
    configurations = ConfigurationsData([atoms], level_of_theory="toy")
    configurations.base.links.add_incoming(relaxed, LinkType.CREATE, "configurations")
    configurations.store()
    process.ctx.relaxed = relaxed
    monkeypatch.setattr(process, "submit", lambda *_, **__: pytest.fail("a job was submitted"))
    assert process.strain().status == PropertiesWorkChain.exit_codes.ERROR_DRIFT_FAILED.status
