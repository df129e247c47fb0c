"""Reference dynamics: the embedded labeller, and VASP by its emulator."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.calculations.functions.reference import plan_reference, sample_reference, settings_error

ReferenceMdWorkChain = WorkflowFactory("lpsgb.reference_md")
SETTINGS = {
    "temperatures_K": [300, 600],
    "ensemble": "nvt",
    "duration_ps": 0.04,
    "equilibration_ps": 0.01,
    "frame_interval_ps": 0.01,
    "timestep_fs": 2.0,
    "n_samples": 4,
    "thermostat_damping_ps": 0.1,
    "barostat_damping_ps": 1.0,
    "pressure_GPa": 0.0,
}
EMT_PATH = "ase.calculators.emt:EMT"
# A calculator whose process is ended from outside once, in its third frame.
MORTAL = """
import os
import signal
from pathlib import Path

from ase.calculators.emt import EMT


class Mortal(EMT):
    def __init__(self, folder):
        super().__init__()
        self.count, self.seen = 0, Path(folder) / "seen"

    def calculate(self, *args):
        self.count += 1
        if self.count == 14 and not self.seen.exists():
            self.seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().calculate(*args)
"""


def copper():
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def builder(installed_code):
    """Return a factory of builders for the embedded labeller."""

    def factory(parameters=None, settings=None, **options):
        return ReferenceMdWorkChain.get_builder_from_protocol(
            {"label": installed_code("lpsgb-label", "lpsgb.label.ase")},
            orm.StructureData(ase=copper()),
            overrides={
                "settings": SETTINGS | (settings or {}),
                "engine": {"parameters": parameters or {"calculator": EMT_PATH}},
            },
            options={"label": options},
            seed=orm.Int(7),
        )

    return factory


def assert_labelled(configurations):
    for atoms in configurations:
        again = atoms.copy()
        again.calc = EMT()
        assert atoms.get_potential_energy() == pytest.approx(again.get_potential_energy(), abs=1e-8)
        assert atoms.get_forces() == pytest.approx(again.get_forces(), abs=1e-8)


def test_runs_and_sample(builder):
    outputs, node = run_get_node(builder())
    assert node.is_finished_ok, node.exit_message
    assert sorted(outputs["runs"]) == ["t300k", "t600k"]
    for run in outputs["runs"].values():
        assert [atoms.info["step"] for atoms in run] == [5, 10, 15, 20]
        assert_labelled(run)
    sample = outputs["configurations"]
    assert len(sample) == 4
    assert sample.level_of_theory == EMT_PATH
    assert_labelled(sample)
    assert {atoms.info["source"] for atoms in sample} <= {"t300k", "t600k"}
    assert all("step" not in atoms.info and not atoms.has("momenta") for atoms in sample)


def test_an_interrupted_segment_loses_no_frame(builder, tmp_path):
    """The run goes on from its last frame with its velocities, and ends where an undisturbed one does."""
    (tmp_path / "mortal.py").write_text(MORTAL)
    settings = {"temperatures_K": [300], "n_samples": 3}
    parameters = {"calculator": "mortal:Mortal", "keywords": {"folder": str(tmp_path)}, "level_of_theory": EMT_PATH}
    disturbed = builder(parameters, settings, environment_variables={"PYTHONPATH": str(tmp_path)})
    outputs, node = run_get_node(disturbed)
    assert node.is_finished_ok, node.exit_message
    jobs = [run for run in node.called_descendants if run.process_label == "DynamicsCalculation"]
    assert sorted(job.exit_status for job in jobs) == [0, 303]
    quiet, _ = run_get_node(builder(settings=settings))
    for one, other in zip(outputs["runs"]["t300k"], quiet["runs"]["t300k"], strict=True):
        assert one.positions == pytest.approx(other.positions, abs=1e-10)
        assert one.get_momenta() == pytest.approx(other.get_momenta(), abs=1e-10)
    assert outputs["configurations"].base.caching.get_hash() is not None


def test_a_run_that_fails_is_named(builder):
    outputs, node = run_get_node(builder({"calculator": "no.such:Thing"}, {"temperatures_K": [300], "n_samples": 3}))
    assert node.exit_status == ReferenceMdWorkChain.exit_codes.ERROR_RUN_FAILED.status
    assert "1 of 1 runs failed; t300k" in node.exit_message
    assert "after step 0 of 20" in node.exit_message
    assert "configurations" not in outputs


def test_seeds_do_not_depend_on_the_other_temperatures():
    alone = plan_reference(orm.Dict(SETTINGS | {"temperatures_K": [600], "n_samples": 3}), orm.Int(7))
    both = plan_reference(orm.Dict(SETTINGS), orm.Int(7))
    assert alone["t600k"].get_dict() == both["t600k"].get_dict()
    assert both["t300k"]["seed"] != both["t600k"]["seed"]
    assert (both["t300k"]["n_steps"], both["t300k"]["interval_steps"]) == (20, 5)


def test_a_sample_takes_no_frame_twice_and_none_before_equilibration(generate_configurations):
    runs = {}
    for label in ("a", "b"):
        node = generate_configurations(6, seed=ord(label))
        images = list(node)
        for k, atoms in enumerate(images):
            atoms.info = {"time_ps": 0.01 * (k + 1), "temperature_K": 300}
        runs[label] = type(node)(images, node.species, node.level_of_theory)
    settings = orm.Dict({"n_samples": 8, "equilibration_ps": 0.02})
    sample = sample_reference(settings, orm.Int(1), **runs)
    expected = [atoms.positions.tobytes() for label in ("a", "b") for atoms in runs[label][2:]]
    assert [atoms.positions.tobytes() for atoms in sample] == expected
    fewer = [
        sample_reference(orm.Dict({"n_samples": 3, "equilibration_ps": 0.02}), orm.Int(s), **runs) for s in (1, 1, 2)
    ]
    found = [[atoms.positions.tobytes() for atoms in node] for node in fewer]
    assert found[0] == found[1] != found[2]
    assert len(set(found[0])) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": "nph"}, "ensemble is 'nph'"),
        ({"temperatures_K": [300, 300]}, "temperatures_K is .*expected different positive"),
        ({"n_samples": 100}, "n_samples is 100, the runs give 6 frames after equilibration"),
        ({"equilibration_ps": 0.04}, "equilibration_ps must be shorter"),
        ({"frame_interval_ps": 0.001}, "expected timestep_fs ≤ frame_interval_ps"),
        ({"thermostat": 1}, "settings: thermostat unknown or missing"),
    ],
)
def test_bad_settings(changes, message):
    import re

    assert re.search(message, settings_error(SETTINGS | changes))


def test_protocols(builder):
    for name in ReferenceMdWorkChain.get_available_protocols():
        assert settings_error(ReferenceMdWorkChain.get_protocol_inputs(name)["settings"]) is None
    inputs = builder()
    slab = bulk("Cu")
    slab.pbc = [True, True, False]
    with pytest.raises(ValueError, match="structure: periodic"):
        inputs.structure = orm.StructureData(ase=slab)


# --- VASP -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def vasp_builder(vasp_code, potcar_family):
    """Return a factory of builders for the emulator of VASP."""

    def factory(failures=(), settings=None, segment_steps=8):
        builder = ReferenceMdWorkChain.get_builder_from_protocol(
            {"label": vasp_code(failures=failures)},
            orm.StructureData(ase=copper()),
            overrides={
                "settings": SETTINGS | {"temperatures_K": [300], "ensemble": "nve", "n_samples": 3} | (settings or {}),
                "engine": {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}},
            },
            options={
                "label": {"withmpi": False, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}},
            },
            seed=orm.Int(7),
        )
        builder.engine.vasp.segment_steps = orm.Int(segment_steps)
        return builder

    return factory


def test_vasp_in_segments_is_vasp_in_one(vasp_builder):
    """Velocities are carried on in CONTCAR: three segments give the frames of one."""
    outputs, node = run_get_node(vasp_builder())
    assert node.is_finished_ok, node.exit_message
    runs = [run for run in node.called_descendants if run.process_label == "VaspCalculation"]
    assert sorted(run.inputs.parameters["nsw"] for run in runs) == [4, 8, 8]
    whole, node = run_get_node(vasp_builder(segment_steps=100))
    assert node.is_finished_ok, node.exit_message
    frames, expected = list(outputs["runs"]["t300k"]), list(whole["runs"]["t300k"])
    assert [atoms.info["step"] for atoms in frames] == [atoms.info["step"] for atoms in expected] == [5, 10, 15, 20]
    for one, other in zip(frames, expected, strict=True):
        shift = (one.get_scaled_positions() - other.get_scaled_positions() + 0.5) % 1 - 0.5
        assert np.abs(shift).max() < 1e-6
        assert one.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-5)
    # It moves: the frames are not those of the start.
    assert np.abs(frames[0].positions - frames[-1].positions).max() > 1e-3
    assert outputs["configurations"].level_of_theory == "VASP PBE, STUB.54"


def test_a_segment_of_vasp_that_is_ended_is_run_again_and_a_step_that_did_not_converge_left_out(vasp_builder):
    failures = [{"mode": "walltime", "step": 6, "times": 1}, {"mode": "electronic", "step": 2}]
    outputs, node = run_get_node(vasp_builder(failures, segment_steps=8))
    assert node.is_finished_ok, node.exit_message
    # Step 2 of each segment of eight: steps 2, 10 and 18 did not converge, of which 10 would be a frame.
    assert [atoms.info["step"] for atoms in outputs["runs"]["t300k"]] == [5, 15, 20]
    statuses = [run.exit_status for run in node.called_descendants if run.process_label == "VaspCalculation"]
    assert sorted(statuses) == [0, 0, 0, 700]
