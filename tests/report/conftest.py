"""A finished study made of nodes alone: no process is run."""

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from plumpy import ProcessState

from aiida_lpsgb.data.diffusivity import DiffusivityData

ERRORS = {
    "n_configurations": 40,
    "n_atoms": 1280,
    "energy_rmse_ev_atom": 0.0031,
    "forces_rmse_ev_angstrom": 0.087,
    "stress_rmse_gpa": 0.21,
}


BOUNDARY = {
    "lowest": "candidate_0",
    "energies_J_m2": {"candidate_0": 0.314},
    "candidates": {
        "candidate_0": {
            "kind": "symmetric",
            "plane_1": [1, 2, 0],
            "plane_2": [1, 2, 0],
            "true_angle_deg": 34.5532,
            "nominal_angle_deg": 53.1301,
            "nominal_sigma": 5,
            "n_atoms": 960,
            "max_strain": 0.0,
        }
    },
}
SUMMARY = {"first_peaks_A": {"P-S": 2.06}, "whole_fraction": 1.0, "temperature_K": 300.0}

FIT = {
    "activation_energy_ev": 0.3123,
    "activation_energy_uncertainty_ev": 0.0145,
    "d0_cm2_s": 1.5e-3,
    "ln_d0": -6.5,
    "covariance_ln_d0_ev": [[0.1, 0.005], [0.005, 0.0003]],
    "conductivity_300k_s_cm": 2.1e-4,
    "conductivity_300k_interval95_s_cm": [0.9e-4, 4.8e-4],
    "temperatures_K": [500.0, 600.0, 700.0],
    "diffusivities_cm2_s": [1e-6, 2e-6, 3.8e-6],
    "uncertainties_cm2_s": [1e-7, 2e-7, 3.8e-7],
    "upper_limits": [False, False, False],
}
LAGS = np.arange(0.0, 20.0, 0.5)


def process(cls, entry_point, label, inputs=(), caller=None, call_label=None):
    """Store a finished process with its inputs."""
    node = cls(process_type=entry_point)
    node.set_process_label(label)
    node.set_process_state(ProcessState.FINISHED)
    node.set_exit_status(0)
    calculation = cls in (orm.CalcJobNode, orm.CalcFunctionNode)
    for name, value in dict(inputs).items():
        node.base.links.add_incoming(
            value.store(), LinkType.INPUT_CALC if calculation else LinkType.INPUT_WORK, link_label=name
        )
    if caller is not None:
        node.base.links.add_incoming(
            caller, LinkType.CALL_CALC if calculation else LinkType.CALL_WORK, call_label or f"n{id(node)}"
        )
    if cls is orm.CalcJobNode:
        node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
    return node.store()


def create(node, data, name):
    data.base.links.add_incoming(node, LinkType.CREATE, name)
    return data.store()


def give(node, data, name):
    data.base.links.add_incoming(node, LinkType.RETURN, name)


def trajectory():
    from aiida_lpsgb.analysis.trajectory import Trajectory
    from aiida_lpsgb.data.trajectory import TrajectoryData

    return TrajectoryData(
        Trajectory(["Li"], np.zeros((3, 1, 3)), np.eye(3) * 9.0, [0.0, 0.1, 0.2]), ensemble="npt", temperature_K=500
    )


def small_potential():
    from aiida_lpsgb.data.potential import PotentialData
    from aiida_lpsgb.mtp.basis import untrained

    return PotentialData(untrained(2, 3, cutoff=5.0, seed=1), ["Li", "P", "S"])


def build_study(temperatures=(700.0, 500.0, 600.0), learning=True, boundary=False):
    """Store a finished study with a run at each temperature, and with a boundary as well if asked for."""
    computer = orm.Computer.collection.get_or_create(
        label="localhost", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )[1]
    code = orm.InstalledCode(label="lmp", computer=computer, filepath_executable="/opt/lmp").store()
    study = process(orm.WorkChainNode, "aiida.workflows:lpsgb.study", "StudyWorkChain", {"seed": orm.Int(7)})
    potential = small_potential().store()
    add_sweep(study, code, potential, temperatures)
    if learning:
        step = process(orm.CalcFunctionNode, "aiida.calculations:x", "advance", {}, study)
        rows = [iteration(1, 10.0, 2, 37, 25.2), iteration(2, 10.0, 0, 0, 1.7)]
        curve = create(step, orm.Dict({"iterations": rows, "stage": 0, "converged": True}), "result")
        give(study, curve, "learning_curve")
        give(study, create(step, orm.Dict(ERRORS), "errors"), "test_errors")
        give(study, create(step, orm.Dict(FIT), "fit"), "arrhenius")
    if boundary:
        add_sweep(study, code, potential, temperatures, prefix="boundary__", first_seed=200)
        step = process(orm.CalcFunctionNode, "aiida.calculations:x", "compare", {}, study)
        give(study, create(step, orm.Dict(BOUNDARY), "energies"), "grain_boundary__results")
        give(study, create(step, orm.Dict(FIT | {"activation_energy_ev": 0.4}), "cell"), "boundary__arrhenius")
        for estimator, energy in (("occupancy", 0.41), ("tagged", 0.35)):
            fit = create(step, orm.Dict(FIT | {"activation_energy_ev": energy}), estimator)
            give(study, fit, f"boundary__regional_arrhenius__boundary__{estimator}")
        entry_point = "aiida.workflows:lpsgb.characterise"
        closer = process(orm.WorkChainNode, entry_point, "C", caller=study, call_label="characterise_crystal")
        give(closer, create(step, orm.Dict(SUMMARY), "summary"), "summary")
        closer.seal()
    study.seal()
    return study


def add_sweep(study, code, potential, temperatures, prefix="", first_seed=100):
    """Add a sweep with a run at each temperature to a study."""
    cell = orm.StructureData(cell=np.eye(3) * 9.0)
    cell.append_atom(position=(0, 0, 0), symbols="Li")
    sweep = process(
        orm.WorkChainNode, "aiida.workflows:lpsgb.arrhenius", "ArrheniusWorkChain", {"structure": cell}, study
    )
    for number, temperature in enumerate(temperatures):
        inputs = {"potential": potential, "seed": orm.Int(first_seed + number), "code": code}
        md = process(orm.CalcJobNode, "aiida.calculations:lpsgb.md", "MdCalculation", inputs, sweep)
        frames = create(md, trajectory(), "trajectory")
        fit = process(orm.CalcFunctionNode, "aiida.calculations:lpsgb.diffusivity", "diffusivity", {"t": frames}, sweep)
        value = 1e-6 * (temperature / 500.0) ** 4
        data = DiffusivityData(
            value,
            value / 10,
            temperature_K=temperature,
            species="Li",
            estimator="windowed_msd_gls",
            conductivity_s_cm=value * 1e4,
            conductivity_uncertainty_s_cm=value * 1e3,
            window_ps=(2.0, 10.0),
            arrays={"lag_times_ps": LAGS, "msd_angstrom2": 6e4 * value * LAGS},
        )
        give(sweep, create(fit, data, "result"), f"diffusivities__t{temperature:.0f}k_1")
        give(study, data, f"{prefix}diffusivities__t{temperature:.0f}k_1")


@pytest.fixture
def make_study(aiida_profile):
    """Return a factory of finished studies with a run at each temperature."""
    return build_study


@pytest.fixture(scope="module")
def finished(aiida_profile):
    """Return a finished study that the tests of a module share."""
    return build_study()


def iteration(number, gamma_break, n_broken, n_extrapolated, max_grade):
    return {
        "iteration": number,
        "gamma_break": gamma_break,
        "n_runs": 4,
        "n_broken": n_broken,
        "n_extrapolated": n_extrapolated,
        "max_grade": max_grade,
        "explored_ps": 40.0,
        "training": {"training": ERRORS, "validation": None, "n_iterations": 100, "converged": True},
        "test": None,
    }
