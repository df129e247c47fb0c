"""The engine for Quantum ESPRESSO that the documentation shows, on a stub of its plugin's outputs."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import WorkChain, run_get_node
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.units import GPa

from aiida_lpsgb.data.configurations import ConfigurationsData

EXAMPLE = Path(__file__).parents[3] / "docs" / "how-to" / "quantum_espresso_labels.py"
LJ = {"sigma": 2.3, "epsilon": 0.1, "rc": 6.0}


class StubPwBaseWorkChain(WorkChain):
    """What `quantumespresso.pw.base` takes and gives, with a calculator of ASE in place of the program."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input("pw.code", valid_type=orm.Code)
        spec.input("pw.structure", valid_type=orm.StructureData)
        spec.input("pw.parameters", valid_type=orm.Dict)
        spec.input_namespace("pw.pseudos", dynamic=True, valid_type=orm.SinglefileData)
        spec.input("pw.metadata.options", valid_type=dict, non_db=True, required=False)
        spec.input("kpoints", valid_type=orm.KpointsData)
        spec.output("output_parameters", valid_type=orm.Dict)
        spec.output("output_trajectory", valid_type=orm.TrajectoryData)
        spec.outline(cls.compute)
        spec.exit_code(410, "ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED", message="The electrons did not converge.")

    def compute(self):
        atoms = self.inputs.pw.structure.get_ase()
        if atoms.positions[0, 0] > 100:
            return self.exit_codes.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED
        atoms.calc = LennardJones(**LJ)
        trajectory = orm.TrajectoryData()
        trajectory.set_trajectory(
            atoms.get_chemical_symbols(), atoms.positions[None], np.array([0]), cells=atoms.cell.array[None]
        )
        trajectory.set_array("forces", atoms.get_forces()[None])
        # Printed by pw.x with the sign of a pressure, in GPa by its plugin.
        trajectory.set_array("stress", -atoms.get_stress(voigt=False)[None] / GPa)
        self.out("output_parameters", orm.Dict({"energy": atoms.get_potential_energy(), "energy_units": "eV"}).store())
        self.out("output_trajectory", trajectory.store())
        return None


@pytest.fixture
def example(monkeypatch):
    """Return the module of the documentation, with the stub in place of the plugin."""
    monkeypatch.setattr("aiida.plugins.WorkflowFactory", lambda _: StubPwBaseWorkChain)
    spec = importlib.util.spec_from_file_location("quantum_espresso_labels", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def builder(example, aiida_code_installed, tmp_path):
    (tmp_path / "any.upf").write_text("none")
    code = aiida_code_installed(
        label="pw", default_calc_job_plugin="quantumespresso.pw", filepath_executable="/bin/true"
    )
    pseudos = {symbol: orm.SinglefileData(tmp_path / "any.upf") for symbol in ("Li", "P", "S")}

    def factory(images, **overrides):
        return example.PwLabelWorkChain.get_builder_from_protocol(
            code, ConfigurationsData(images), overrides={"pseudos": pseudos, **overrides}
        )

    return factory


def test_labels(builder, generate_images):
    """Species that alternate come back in order, energies, forces and stress in the units and signs of the contract."""
    images = generate_images(3, size=9, labelled=False)
    images[1].positions[:] += 1000.0
    outputs, node = run_get_node(builder(images))
    assert node.exit_status == 402, node.exit_message
    assert outputs["results"]["unlabelled"] == [1]
    assert "1: StubPwBaseWorkChain" in node.exit_message
    assert "[410] The electrons did not converge." in node.exit_message
    for labelled, image in zip(outputs["configurations"], [images[0], images[2]], strict=True):
        image.calc = LennardJones(**LJ)
        assert np.array_equal(labelled.positions, image.positions)
        assert labelled.get_potential_energy() == pytest.approx(image.get_potential_energy(), abs=1e-10)
        assert labelled.get_forces() == pytest.approx(image.get_forces(), abs=1e-10)
        assert labelled.get_stress() == pytest.approx(image.get_stress(), abs=1e-10)
    assert outputs["configurations"].level_of_theory == "Quantum ESPRESSO PBE, 60 Ry, [1, 1, 1]"


def test_what_the_builder_takes(builder, generate_images):
    images = generate_images(1, labelled=False)
    inputs = builder(images, parameters={"SYSTEM": {"ecutwfc": 80}})
    assert inputs.pw_base.pw.parameters["SYSTEM"] == {"ecutwfc": 80, "ecutrho": 480}
    assert inputs.level_of_theory == "Quantum ESPRESSO PBE, 80 Ry, [1, 1, 1]"
    with pytest.raises(ValueError, match="override 'pseudos' is needed"):
        builder(images, pseudos=None)
    isolated = bulk("Li")
    isolated.pbc = False
    with pytest.raises(ValueError, match="not periodic along all three axes"):
        run_get_node(builder([isolated]))


def test_it_is_short():
    assert len(EXAMPLE.read_text().splitlines()) < 100
