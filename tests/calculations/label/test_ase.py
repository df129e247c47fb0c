"""The calculation that labels configurations, and its parser."""

import json

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.manage.caching import enable_caching
from aiida.plugins import CalculationFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import Reader
from aiida_lpsgb.labelling.labels import Label

AseLabelCalculation = CalculationFactory("lpsgb.label.ase")
EMT_PATH = "ase.calculators.emt:EMT"


def copper(count, **info):
    images = []
    for seed in range(count):
        atoms = bulk("Cu", cubic=True)
        atoms.rattle(0.1, seed=seed)
        atoms.info = dict(info)
        images.append(atoms)
    return images


@pytest.fixture
def inputs(installed_code, metadata):
    return {
        "code": installed_code("lpsgb-label", "lpsgb.label.ase"),
        "configurations": ConfigurationsData(copper(3, mv_grade=4.0)),
        "parameters": orm.Dict({"calculator": EMT_PATH}),
        "metadata": metadata,
    }


def test_files(inputs, generate_calc_job):
    inputs["configurations"].store()
    inputs["metadata"]["options"]["max_wallclock_seconds"] = 100
    calcinfo, folder = generate_calc_job("lpsgb.label.ase", inputs)
    assert calcinfo.codes_info[0].cmdline_params == [
        "configurations.npz",
        "parameters.json",
        "labels.jsonl",
        "--max-seconds=95",
    ]
    assert calcinfo.local_copy_list == [
        (inputs["configurations"].uuid, "configurations.npz", "configurations.npz"),
    ]
    with folder.open("parameters.json") as handle:
        assert json.load(handle) == {"calculator": EMT_PATH}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "parameters: calculator is missing"),
        ({"calculator": "dft"}, "parameters: calculator is 'dft', expected chgnet, sevennet"),
        ({"calculator": "chgnet", "kwargs": {}}, r"parameters: unknown keys \['kwargs'\]"),
    ],
)
def test_bad_parameters_are_refused(inputs, parameters, message):
    with pytest.raises(ValueError, match=message):
        instantiate_process(
            get_manager().get_runner(), AseLabelCalculation, **inputs | {"parameters": orm.Dict(parameters)}
        )


def test_a_real_run(inputs):
    outputs, node = run_get_node(AseLabelCalculation, **inputs)
    assert node.is_finished_ok, node.exit_message
    labelled = outputs["configurations"]
    assert labelled.labelled
    assert labelled.level_of_theory == EMT_PATH
    for atoms, image in zip(labelled, copper(3), strict=True):
        image.calc = EMT()
        assert np.array_equal(atoms.positions, image.positions)
        assert atoms.get_potential_energy() == image.get_potential_energy()
        assert np.array_equal(atoms.get_forces(), image.get_forces())
        assert np.array_equal(atoms.get_stress(), image.get_stress())
        assert atoms.info == {"mv_grade": 4.0}
    results = outputs["results"].get_dict()
    assert (results["n_configurations"], results["n_labelled"]) == (3, 3)
    assert results["failed"] == {}
    assert results["versions"] == {"ase": ase.__version__}
    assert results["not_begun"] == []


def test_a_calculator_that_cannot_be_had(inputs):
    parameters = orm.Dict({"calculator": "no.such:Calculator"})
    _, node = run_get_node(AseLabelCalculation, **inputs | {"parameters": parameters})
    assert node.exit_status == 310
    assert "No module named 'no'" in node.exit_message


@pytest.mark.slow
@pytest.mark.parametrize(("calculator", "level"), [("sevennet", "SevenNet-0"), ("chgnet", "CHGNet")])
def test_pretrained_potentials(inputs, generate_images, calculator, level):
    """Forces are minus the slope of the energy, by the calculator that is run."""
    pytest.importorskip({"sevennet": "sevenn"}.get(calculator, calculator))
    base = generate_images(1, size=8, labelled=False)[0]
    step = 1e-2
    shifted = base.copy()
    shifted.positions[0, 0] += step
    outputs, node = run_get_node(
        AseLabelCalculation,
        **inputs
        | {
            "configurations": ConfigurationsData([base, shifted]),
            "parameters": orm.Dict({"calculator": calculator}),
        },
    )
    assert node.is_finished_ok, node.exit_message
    first, second = outputs["configurations"]
    assert outputs["configurations"].level_of_theory == level
    slope = (second.get_potential_energy() - first.get_potential_energy()) / step
    force = (first.get_forces()[0, 0] + second.get_forces()[0, 0]) / 2
    assert force == pytest.approx(-slope, abs=0.02, rel=0.02)


@pytest.fixture
def parse(generate_calc_job_node, generate_parser, tmp_path):
    """Return a factory that parses given files of a job on five configurations."""

    def factory(labels=None, stdout="done: 5 of 5 labelled\n", stderr=""):
        configurations = ConfigurationsData(copper(5))
        node = generate_calc_job_node(
            "lpsgb.label.ase",
            {"configurations": configurations, "parameters": orm.Dict({"calculator": EMT_PATH})},
            {"label.out": stdout, "label.err": stderr},
            options={"output_filename": "label.out"},
        )
        if labels is not None:
            (tmp_path / "labels.jsonl").write_text("".join(label.to_line() for label in labels))
        return generate_parser("lpsgb.label.ase").parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(tmp_path)
        )

    return factory


def good(index):
    return Label(index, {"energy": float(index), "forces": np.zeros((4, 3)), "stress": np.zeros(6)}, seconds=1.0)


def bad(index):
    return Label(index, {}, "RuntimeError: did not converge", 2.0)


def test_some_failed(parse):
    results, calcfunction = parse([good(0), bad(1), good(2), bad(3), good(4)])
    assert calcfunction.exit_status == 321
    assert calcfunction.exit_message == (
        "2 of 5 configurations could not be labelled; the first failed with: RuntimeError: did not converge"
    )
    assert [atoms.get_potential_energy() for atoms in results["configurations"]] == [0.0, 2.0, 4.0]
    assert results["results"]["failed"] == {
        "1": "RuntimeError: did not converge",
        "3": "RuntimeError: did not converge",
    }


def test_some_refused(parse):
    refused = Label(1, {}, "a force of 300 eV/Å", refused=True)
    _, calcfunction = parse([good(0), refused, good(2), good(3), good(4)])
    assert calcfunction.exit_status == 322
    assert "1 of 5 configurations have no label that can be used" in calcfunction.exit_message
    assert calcfunction.exit_message.endswith("a force of 300 eV/Å")
    _, calcfunction = parse([good(0), refused, good(2), good(3), bad(4)])
    assert calcfunction.exit_status == 321
    assert "did not converge" in calcfunction.exit_message


def test_all_failed(parse):
    results, calcfunction = parse([bad(index) for index in range(5)])
    assert calcfunction.exit_status == 320
    assert "configurations" not in results
    assert results["results"]["n_labelled"] == 0


def test_out_of_walltime(parse):
    results, calcfunction = parse([good(0), good(1)], "2 of 5: \nout of time: 3 of 5 not begun\n")
    assert calcfunction.exit_status == 400
    assert len(results["configurations"]) == 2
    assert results["results"]["not_begun"] == [2, 3, 4]


def test_killed(parse):
    results, calcfunction = parse([good(0), good(1)], "2 of 5: \n")
    assert calcfunction.exit_status == 301
    assert len(results["configurations"]) == 2


def test_no_labels(parse):
    _, calcfunction = parse(None, "", "Killed\n")
    assert calcfunction.exit_status == 300
    assert "Killed" in calcfunction.exit_message


def test_refused_input(parse):
    _, calcfunction = parse([], "", "ERROR: calculator is missing\n")
    assert calcfunction.exit_status == 310
    assert "calculator is missing" in calcfunction.exit_message


def test_exit_codes_that_invalidate_the_cache():
    exit_codes = AseLabelCalculation.exit_codes
    for label in (
        "ERROR_OUTPUT_MISSING",
        "ERROR_INTERRUPTED",
        "ERROR_LABEL_PROGRAM",
        "ERROR_ALL_FAILED",
        "ERROR_SOME_FAILED",
        "ERROR_OUT_OF_WALLTIME",
    ):
        assert exit_codes[label].invalidates_cache
    # A force that is too large is as large the next time.
    assert not exit_codes["ERROR_REFUSED"].invalidates_cache


def test_caching(inputs):
    """An equal job is not run again; one that failed is."""
    inputs["configurations"] = ConfigurationsData(copper(3, mv_grade=5.0))
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        _, first = run_get_node(AseLabelCalculation, **inputs)
        inputs["configurations"] = ConfigurationsData(copper(3, mv_grade=5.0))
        inputs["parameters"] = orm.Dict({"calculator": EMT_PATH})
        outputs, second = run_get_node(AseLabelCalculation, **inputs)
        assert second.base.caching.get_cache_source() == first.uuid
        assert outputs["configurations"].base.caching.get_hash() == first.outputs.configurations.base.caching.get_hash()

        inputs["parameters"] = orm.Dict({"calculator": "no.such:Calculator"})
        _, failed = run_get_node(AseLabelCalculation, **inputs)
        _, again = run_get_node(AseLabelCalculation, **inputs)
        assert not failed.base.caching.is_valid_cache
        assert not again.base.caching.is_created_from_cache


def test_the_file_that_is_sent_is_the_file_of_the_node(inputs):
    with inputs["configurations"].base.repository.open("configurations.npz", "rb") as handle:
        assert len(Reader(handle)) == 3


def test_a_failure_that_may_pass_is_not_served_from_the_cache(inputs, tmp_path):
    """A full disk or a card without memory is no property of the configurations."""
    (tmp_path / "full_disk.py").write_text(FULL_DISK)
    keywords = {"folder": str(tmp_path)}
    parameters = {"calculator": "full_disk:FullDisk", "keywords": keywords, "level_of_theory": "EMT"}
    inputs["parameters"] = orm.Dict(parameters)
    inputs["metadata"]["options"]["environment_variables"] = {"PYTHONPATH": str(tmp_path)}
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        outputs, failed = run_get_node(AseLabelCalculation, **inputs)
        assert (failed.exit_status, len(outputs["configurations"])) == (321, 2)
        outputs, again = run_get_node(AseLabelCalculation, **inputs)
    assert again.is_finished_ok, again.exit_message
    assert not again.base.caching.is_created_from_cache
    assert len(outputs["configurations"]) == 3


FULL_DISK = """
from pathlib import Path

from ase.calculators.emt import EMT


class FullDisk(EMT):
    def __init__(self, folder):
        super().__init__()
        self.seen = Path(folder) / "seen"

    def calculate(self, *args):
        if not self.seen.exists():
            self.seen.touch()
            raise OSError("No space left on device")
        super().calculate(*args)
"""
