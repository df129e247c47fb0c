"""The work chain that labels configurations in batches."""

from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.data.configurations import ConfigurationsData

LabelWorkChain = WorkflowFactory("lpsgb.label")

# A calculator that fails for the configuration whose x of the first atom is marked, the first time or always.
FICKLE = """
import os
import signal
from pathlib import Path

from ase.calculators.emt import EMT


class Fickle(EMT):
    def __init__(self, mark, always, folder, kill=False):
        super().__init__()
        self.mark, self.always, self.kill, self.seen = mark, always, kill, Path(folder) / "seen"

    def calculate(self, atoms=None, *args):
        if abs(atoms.positions[0, 0] - self.mark) < 1e-9 and (self.always or not self.seen.exists()):
            self.seen.touch()
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("did not converge")
        super().calculate(atoms, *args)
"""


def copper(count):
    images = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        images.append(atoms)
    return images


@pytest.fixture
def inputs(installed_code, metadata):
    """Return a factory of inputs."""

    def factory(count, parameters=None, **options):
        code = installed_code("lpsgb-label", "lpsgb.label.ase")
        metadata["options"].update(options)
        parameters = orm.Dict(parameters or {"calculator": "ase.calculators.emt:EMT"})
        return {
            "configurations": ConfigurationsData(copper(count)),
            "engine": {"ase": {"code": code, "parameters": parameters, "metadata": metadata}},
        }

    return factory


@pytest.fixture
def fickle(inputs, tmp_path):
    """Return a factory of inputs whose second configuration fails, the first time or always."""

    def factory(count, always, kill=False):
        (tmp_path / "fickle_calculator.py").write_text(FICKLE)
        mark = float(copper(2)[1].positions[0, 0])
        keywords = {"mark": mark, "always": always, "folder": str(tmp_path), "kill": kill}
        parameters = {"calculator": "fickle_calculator:Fickle", "keywords": keywords, "level_of_theory": "fickle"}
        return inputs(count, parameters, environment_variables={"PYTHONPATH": str(tmp_path)})

    return factory


def jobs(node):
    return [called.base.attributes.get("process_label") for called in node.called_descendants].count(
        "AseLabelCalculation"
    )


def assert_labelled(configurations, images):
    for atoms, image in zip(configurations, images, strict=True):
        image.calc = EMT()
        assert np.array_equal(atoms.positions, image.positions)
        assert atoms.get_potential_energy() == image.get_potential_energy()


def test_one_batch(inputs):
    outputs, node = run_get_node(LabelWorkChain, **inputs(2))
    assert node.is_finished_ok, node.exit_message
    assert_labelled(outputs["configurations"], copper(2))
    assert outputs["configurations"].creator.process_label == "AseLabelCalculation"
    assert jobs(node) == 1


def test_batches_come_back_in_order(inputs):
    outputs, node = run_get_node(
        LabelWorkChain, **inputs(5), batch_size=orm.Int(2), max_concurrent=orm.Int(2), max_attempts=orm.Int(1)
    )
    assert node.is_finished_ok, node.exit_message
    assert_labelled(outputs["configurations"], copper(5))
    assert outputs["results"]["n_labelled"] == 5
    assert outputs["configurations"].level_of_theory == "ase.calculators.emt:EMT"
    assert "unlabelled" not in outputs
    assert jobs(node) == 3


def test_a_failure_is_tried_once_more(fickle, tmp_path):
    outputs, node = run_get_node(LabelWorkChain, **fickle(3, always=False))
    assert node.is_finished_ok, node.exit_message
    assert Path(tmp_path / "seen").exists()
    assert_labelled(outputs["configurations"], copper(3))
    assert jobs(node) == 2


def test_a_killed_job_loses_nothing(fickle):
    outputs, node = run_get_node(LabelWorkChain, **fickle(3, always=False, kill=True))
    assert node.is_finished_ok, node.exit_message
    assert_labelled(outputs["configurations"], copper(3))
    first, second = sorted((n for n in node.called if "AseLabel" in n.process_label), key=lambda n: n.pk)
    assert (first.exit_status, second.exit_status) == (303, 0)
    assert len(first.outputs.configurations) == 1
    assert len(second.inputs.configurations) == 2


def test_what_there_is_is_kept(fickle):
    outputs, node = run_get_node(LabelWorkChain, **fickle(4, always=True), batch_size=orm.Int(2))
    assert node.exit_status == LabelWorkChain.exit_codes.ERROR_SOME_UNLABELLED.status
    assert "1 of 4 configurations" in node.exit_message
    assert "did not converge" in node.exit_message
    images = copper(4)
    assert_labelled(outputs["configurations"], [images[0], *images[2:]])
    assert np.array_equal(outputs["unlabelled"][0].positions, images[1].positions)
    assert outputs["results"]["unlabelled"] == [1]
    assert jobs(node) == 3


def test_no_labels(inputs):
    given = inputs(2, {"calculator": "no.such:Calculator"})
    outputs, node = run_get_node(LabelWorkChain, **given, max_attempts=orm.Int(1))
    assert node.exit_status == LabelWorkChain.exit_codes.ERROR_NO_LABELS.status
    assert "No module named 'no'" in node.exit_message
    assert "configurations" not in outputs
    assert len(outputs["unlabelled"]) == 2


def test_engine_is_needed(inputs, generate_workchain):
    with pytest.raises(ValueError, match=r"engine: none is given; give the inputs of one engine"):
        generate_workchain("lpsgb.label", inputs(1) | {"engine": {}})


@pytest.mark.parametrize("port", ["batch_size", "max_concurrent", "max_attempts"])
def test_counts_must_be_positive(inputs, generate_workchain, port):
    with pytest.raises(ValueError, match=f"{port}: is 0, expected at least 1"):
        generate_workchain("lpsgb.label", inputs(1) | {port: orm.Int(0)})


def test_protocol(inputs, generate_workchain):
    given = inputs(1)
    code = given["engine"]["ase"]["code"]
    keywords = {"calculator": "chgnet", "keywords": {"use_device": "cuda"}}
    builder = LabelWorkChain.get_builder_from_protocol(
        {"label": code},
        given["configurations"],
        protocol="fast",
        overrides={"batch_size": 7, "engine": {"parameters": keywords}},
        options={"label": {"max_wallclock_seconds": 60}},
    )
    assert builder.batch_size == 7
    assert builder.engine.ase.parameters.get_dict() == keywords
    assert builder.engine.ase.metadata.options["max_wallclock_seconds"] == 60
    generate_workchain("lpsgb.label", builder._inputs(prune=True))
    assert LabelWorkChain.get_default_protocol() == "moderate"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overrides": {"batchsize": 7}}, "override 'batchsize' is no"),
        ({"overrides": {"engine": {"calculator": "chgnet"}}}, "override 'calculator' is no entry of AseLabel"),
        ({"overrides": {"engine": {"level": "CCSD(T)"}}}, r"'CCSD\(T\)' is not known; there are CHGNet, SevenNet-0"),
        ({"protocol": "slow"}, "protocol 'slow' does not exist"),
        ({"engine": "gaussian"}, "engine 'gaussian' is not registered; there are ase"),
    ],
)
def test_what_a_protocol_refuses(inputs, arguments, message):
    given = inputs(1)
    codes = {"label": given["engine"]["ase"]["code"]}
    with pytest.raises(ValueError, match=message):
        LabelWorkChain.get_builder_from_protocol(codes, given["configurations"], **arguments)


def test_levels_of_ones_own(inputs, tmp_path):
    """The engine is found by the code, the level in a file that extends those that are shipped."""
    (tmp_path / "levels.yaml").write_text("levels: {mine: {calculator: 'ase.calculators.emt:EMT'}}")
    given = inputs(1)
    code = given["engine"]["ase"]["code"]
    overrides = {"engine": {"level": "mine", "levels": str(tmp_path / "levels.yaml")}}
    builder = LabelWorkChain.get_builder_from_protocol({"label": code}, overrides=overrides)
    assert builder.engine.ase.parameters.get_dict() == {"calculator": "ase.calculators.emt:EMT"}
    assert builder.engine.ase.code.uuid == code.uuid
    builder = LabelWorkChain.get_builder_from_protocol({"label": code}, protocol="fast")
    assert builder.engine.ase.parameters.get_dict() == {"calculator": "chgnet"}


def test_what_is_final_is_not_tried_again(inputs):
    """A force that is too large is as large the next time."""
    largest = []
    for image in copper(3):
        image.calc = EMT()
        largest.append(np.linalg.norm(image.get_forces(), axis=1).max())
    given = inputs(3, {"calculator": "ase.calculators.emt:EMT", "max_force_ev_angstrom": sorted(largest)[1] + 1e-6})
    outputs, node = run_get_node(LabelWorkChain, **given)
    assert node.exit_status == LabelWorkChain.exit_codes.ERROR_SOME_UNLABELLED.status
    assert len(outputs["configurations"]) == 2
    assert outputs["results"]["unlabelled"] == [int(np.argmax(largest))]
    assert jobs(node) == 1


@pytest.mark.slow
@pytest.mark.daemon
def test_through_the_daemon(submit_and_wait, inputs):
    node = submit_and_wait(LabelWorkChain, **inputs(3), batch_size=orm.Int(1))
    assert node.is_finished_ok, node.exit_message
    assert_labelled(node.outputs.configurations, copper(3))
