"""The calculation that runs molecular dynamics with a calculator of ASE, and its parser."""

import json

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling import dynamics
from aiida_lpsgb.labelling.extxyz import write_extxyz

DYNAMICS = {"temperature_K": 300, "n_steps": 15, "interval_steps": 5, "seed": 1, "ensemble": "npt"}
PARAMETERS = {"calculator": "ase.calculators.emt:EMT", "dynamics": DYNAMICS}


@pytest.fixture
def inputs(installed_code, metadata):
    return {
        "code": installed_code("lpsgb-label", "lpsgb.label.ase"),
        "start": ConfigurationsData([bulk("Cu", cubic=True)]),
        "parameters": orm.Dict(PARAMETERS),
        "metadata": metadata,
    }


def test_files(inputs, generate_calc_job):
    inputs["start"].store()
    inputs["metadata"]["options"]["max_wallclock_seconds"] = 100
    calcinfo, folder = generate_calc_job("lpsgb.dynamics", inputs)
    assert calcinfo.codes_info[0].cmdline_params == ["start.npz", "parameters.json", "frames.xyz", "--max-seconds=95"]
    assert calcinfo.local_copy_list == [(inputs["start"].uuid, "configurations.npz", "start.npz")]
    with folder.open("parameters.json") as handle:
        assert json.load(handle) == PARAMETERS


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"calculator": "chgnet"}, "parameters: dynamics is missing"),
        (PARAMETERS | {"dynamics": {}}, "parameters: dynamics: .*temperature_K"),
    ],
)
def test_bad_parameters(inputs, generate_calc_job, parameters, message):
    with pytest.raises(ValueError, match=message):
        generate_calc_job("lpsgb.dynamics", inputs | {"parameters": orm.Dict(parameters)})


def test_a_run_begins_from_one_configuration(inputs, generate_calc_job):
    start = ConfigurationsData([bulk("Cu"), bulk("Cu")])
    with pytest.raises(ValueError, match="start: holds 2 configurations, expected one"):
        generate_calc_job("lpsgb.dynamics", inputs | {"start": start})


@pytest.fixture
def parse(generate_calc_job_node, generate_parser, tmp_path):
    """Return a function that parses the frames of a run, cut where told."""

    def factory(stdout, keep=1.0, stderr="", frames=True):
        start = bulk("Cu", cubic=True)
        node = generate_calc_job_node(
            "lpsgb.dynamics",
            {"start": ConfigurationsData([start]), "parameters": orm.Dict(PARAMETERS)},
            {"dynamics.out": stdout, "dynamics.err": stderr},
            options={"output_filename": "dynamics.out"},
        )
        if frames:
            path = tmp_path / "frames.xyz"
            with path.open("w") as stream:
                write_extxyz(stream, dynamics.run(start, EMT(), dynamics.Plan.of(DYNAMICS)))
            text = path.read_text()
            path.write_text(text[: int(len(text) * keep)])
        return generate_parser("lpsgb.dynamics").parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(tmp_path)
        )

    return factory


def test_a_whole_segment(parse):
    results, node = parse("done: 15 of 15 steps\n")
    assert node.exit_status == 0, node.exit_message
    frames = results["configurations"]
    assert [atoms.info["step"] for atoms in frames] == [5, 10, 15]
    assert results["results"].get_dict() == {
        "n_steps_done": 15,
        "n_frames": 3,
        "level_of_theory": "ase.calculators.emt:EMT",
    }
    # What the run goes on from is there to the last bit.
    expected = list(dynamics.run(bulk("Cu", cubic=True), EMT(), dynamics.Plan.of(DYNAMICS)))[-1]
    assert np.array_equal(frames[-1].positions, expected.positions)
    assert np.array_equal(frames[-1].get_momenta(), expected.get_momenta())
    assert np.array_equal(frames[-1].info["barostat"], expected.info["barostat"])


@pytest.mark.parametrize("keep", [0.99, 0.7, 0.5])
def test_a_frame_that_is_cut_is_left_out(parse, keep):
    results, node = parse("step 5 of 15: 300 K\n", keep)
    n_whole = int(keep * 3)
    assert node.exit_status == 301
    assert f"after step {5 * n_whole}." in node.exit_message
    assert len(results["configurations"]) == n_whole


@pytest.mark.parametrize(
    ("stdout", "status"),
    [("out of time: step 10 of 15\n", 400), ("exploded after step 10 of 15: a force of 300 eV/Å\n", 320)],
)
def test_other_ends(parse, stdout, status):
    _, node = parse(stdout)
    assert node.exit_status == status


def test_nothing_was_run(parse):
    _, node = parse("", stderr="ERROR: calculator no.such:Thing: No module named 'no'\n")
    assert node.exit_status == 310
    assert "No module named 'no'" in node.exit_message
    _, node = parse("", frames=False)
    assert node.exit_status in (300, 301)
