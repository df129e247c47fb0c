"""Studies made of nodes alone, as the processes would have left them: nothing is run."""

from functools import cache

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from ase import Atoms
from plumpy import ProcessState

from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.data.diffusivity import DiffusivityData
from aiida_lpsgb.report import study_results

ERRORS = {
    "n_configurations": 40,
    "n_atoms": 1280,
    "energy_mae_ev_atom": 0.0024,
    "energy_rmse_ev_atom": 0.0031,
    "forces_mae_ev_angstrom": 0.061,
    "forces_rmse_ev_angstrom": 0.087,
    "stress_rmse_gpa": 0.21,
}
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    "tilt_120": {"kind": "boundary", "axis": [0, 0, 1], "plane": [1, 2, 0]},
    "glass": {"kind": "glass", "amorphous": {"centre": "P", "unit": "PS4"}},
}
MADE = {
    "tilt_120": {
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
        "regions": [{"centre_fraction": 0.0, "centre_A": 0.0, "thickness_A": 6.0}],
    },
    "glass": {"structure": {"amorphous": True, "bragg_order": 0.04, "whole_share": 0.9}, "reference": {}},
}
ENERGIES_EV = {"crystal": 0.40, "tilt_120": 0.35, "glass": 0.32}
D0_CM2_S = {"crystal": 5e-3, "tilt_120": 2e-3, "glass": 2e-3}
K_B = 8.617333262e-5
LAGS = np.geomspace(0.2, 20.0, 40)
COUNTER = iter(range(10**9))
PUBLISHED = {
    "source": "A. Author, J. Some 1, 1 (2023)",
    "systems": {
        "crystal": {
            "activation_energy_ev": {"values": 0.29},
            "f_pd": {"values": 0.04, "note": "by another convention"},
            "first_peaks_A": {"values": {"S-P": 2.06}},
        }
    },
}


# ---- processes -----------------------------------------------------------------------------------------------------


def process(cls, entry_point, label, inputs=(), caller=None, name=None, status=0, message=None):
    """Store a process with its inputs; it has ended unless the status is None."""
    node = cls(process_type=entry_point)
    node.set_process_label(label)
    node.set_process_state(ProcessState.WAITING if status is None else ProcessState.FINISHED)
    if status is not None:
        node.set_exit_status(status)
        node.set_exit_message(message)
    node.base.attributes.set("version", {"core": "2.9.4", "plugin": "0.1.0"})
    calculation = cls in (orm.CalcJobNode, orm.CalcFunctionNode)
    link = LinkType.INPUT_CALC if calculation else LinkType.INPUT_WORK
    for port, value in dict(inputs).items():
        node.base.links.add_incoming(value.store(), link, link_label=port)
    if caller is not None:
        link = LinkType.CALL_CALC if calculation else LinkType.CALL_WORK
        node.base.links.add_incoming(caller, link, name or f"n{next(COUNTER)}")
    if cls is orm.CalcJobNode:
        node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 2})
    return node.store()


def work(name, label, inputs=(), caller=None, **more):
    """Store a work chain of this package."""
    call = more.pop("call", None)
    return process(orm.WorkChainNode, f"aiida.workflows:lpsgb.{name}", label, inputs, caller, call, **more)


def function(name, inputs=(), caller=None):
    """Store a calcfunction of this package."""
    entry_point = f"aiida.calculations:lpsgb.{name}"
    return process(orm.CalcFunctionNode, entry_point, name.rpartition(".")[2], inputs, caller)


def create(node, data, name):
    data.base.links.add_incoming(node, LinkType.CREATE, name)
    return data.store()


def give(node, data, name):
    data.base.links.add_incoming(node, LinkType.RETURN, name)


# ---- what they have found ------------------------------------------------------------------------------------------


def small_potential(seed=1):
    from aiida_lpsgb.data.potential import PotentialData
    from aiida_lpsgb.mtp.basis import untrained

    return PotentialData(untrained(2, 3, cutoff=5.0, seed=seed), ["Li", "P", "S"])


def scalars(value, temperature, diffusive=True, region="all", estimator="windowed_msd", **more):
    """Return scalars as those of `aiida_lpsgb.analysis.motion.Motion`."""
    sigma = value * 5e5 / temperature
    return {
        "diffusivity_cm2_s": value,
        "uncertainty_cm2_s": value / 10,
        "interval95_cm2_s": [0.8 * value, 1.2 * value],
        "upper_limit_cm2_s": 1.17 * value,
        "detected": True,
        "diffusive": diffusive,
        "verdict": "diffusive: 12 ions have hopped" if diffusive else "not diffusive yet: ions have not hopped",
        "species": "Li",
        "region": region,
        "estimator": estimator,
        "direction": "xyz",
        "temperature_K": temperature,
        "charge": 1.0,
        "number_density_A3": 0.019,
        "window_ps": [2.0, 10.0],
        "lateral_cm2_s": value,
        "lateral_uncertainty_cm2_s": value / 8,
        "normal_cm2_s": value / 2,
        "normal_uncertainty_cm2_s": value / 16,
        "isotropy": 0.5 if diffusive else 1.5,  # as of a real run, whose ratio then means nothing
        "isotropy_uncertainty": 0.1,
        "haven_ratio": 0.6 if diffusive else None,
        "haven_ratio_uncertainty": 0.2 if diffusive else None,
        "conductivity_s_cm": sigma if diffusive else None,
        "conductivity_uncertainty_s_cm": sigma / 10 if diffusive else None,
        "conductivity_upper_limit_s_cm": None if diffusive else 1.17 * sigma,
        "intercept_A2": 0.3,
        **more,
    }


def arrays(value):
    line = 0.1 + 2e4 * value * LAGS
    return {"lags_ps": LAGS, "msd_A2": np.stack([line, line, line / 2], axis=1), "msd_error_A2": line / 10}


@cache
def structural():
    """Return results of all structural observables of a made-up run: label, entry and arrays of each."""
    import tempfile

    from aiida_lpsgb.analysis import cli
    from tests.analysis.conftest import tetrahedra_run

    topology = {"alpha_diameter": {"species": "Li", "filtration": "alpha", "scale": "diameter", "every": 40}}
    parameters = {
        "rdf": {"cutoff_A": 6.0, "bin_A": 0.1, "every": 20},
        "speciation": {"centre": "P", "ligand": "S", "cutoff_A": 2.5, "coordination": 4, "bonds_A": {}},
        "density": {"species": "Li", "voxel_A": 1.5},
        "disorder": {"species": "Li", "neighbours": ["P"], "cutoff_A": 7.0, "every": 20},
        "topology": topology,
    }
    with tempfile.TemporaryDirectory() as folder:
        results = cli.analyse(tetrahedra_run(), parameters, folder, temperature_K=300.0)
        return results.summary(), list(results.outcomes())


def summary_of(motion, regions, structure):
    from aiida_lpsgb.analysis.observables import registry

    found = dict(structural()[0]) if structure else {"run": dict(structural()[0]["run"])}
    found["run"] = found["run"] | {"temperature_K": motion["temperature_K"], "duration_ps": 60.0}
    known = registry()
    found["diffusivity"] = {name: motion.get(name) for name in known["diffusivity"].headline}
    if regions:
        found["regions"] = {k: {n: v.get(n) for n in known["regions"].headline} for k, v in regions.items()}
    return found


def fit_results(name, temperatures, limits=(), factor=1.0, energy=None, n_potentials=1):
    """Return results of `lpsgb.arrhenius_fit` of points that lie on a line."""
    from aiida_lpsgb.calculations.functions import arrhenius

    energy = ENERGIES_EV[name] if energy is None else energy
    points, potentials = {}, {}
    for temperature in temperatures:
        for index in range(1, n_potentials + 1):
            value = factor * D0_CM2_S[name] * np.exp(-energy / (K_B * temperature)) * (1 + 0.05 * index)
            label = f"t{temperature:g}k_p{index}_1"
            points[label] = scalars(value, temperature, diffusive=temperature not in limits)
            potentials[label] = f"p{index}"
    return arrhenius.fit(points, 300.0, potentials)


# ---- a study -------------------------------------------------------------------------------------------------------


def add_run(
    sweep, code, potential, name, temperature, index, regions=False, structure=False, diffusive=True, factor=1.0
):
    """Add a run to a sweep: dynamics, an analysis and a judgement."""
    label = f"t{temperature:g}k_p{index}_1"
    inputs = {"md__md__potential": potential, "md__md__seed": orm.Int(100 + index + int(temperature))}
    if index == 1:  # the others are not watched
        inputs["md__md__active_set"] = orm.SinglefileData.from_string("", filename="p1.als")
        inputs["md__md__parameters"] = orm.Dict({"extrapolation": {"gamma_select": 2.0}})
    run = work("transport_run", "TransportRunWorkChain", inputs, sweep, call=label)
    base = work("md.base", "MdBaseWorkChain", {}, run, call="part_0")
    hot = temperature > 550 and name == "tilt_120"
    grades = {"max_grade": 4.25 if hot else 1.5, "n_extrapolated": 3 if hot else 0}
    give(base, create(function("md.join", {}, base), orm.Dict(grades), "result"), "results")
    md = process(orm.CalcJobNode, "aiida.calculations:lpsgb.md", "MdCalculation", {"code": code}, base, "iteration_01")
    create(md, orm.Dict({"lammps_version": "22 Jul 2025"}), "results")
    analysis = process(orm.CalcJobNode, "aiida.calculations:lpsgb.analyse", "AnalyseCalculation", {}, run, "look_1")
    value = D0_CM2_S[name] * np.exp(-ENERGIES_EV[name] / (K_B * temperature)) * (1 + 0.05 * index) * factor
    motion = scalars(value, temperature, diffusive)
    diffusivity = create(analysis, DiffusivityData(motion, arrays(value)), "diffusivity")
    give(run, diffusivity, "diffusivity")
    found = {}
    if regions:
        for region, factor in (("boundary", 2.0), ("elsewhere", 0.5)):
            for estimator in ("tagged", RECOMMENDED):
                found[f"{region}_{estimator}"] = scalars(factor * value, temperature, diffusive, region, estimator)
        for key, numbers in found.items():
            create(analysis, DiffusivityData(numbers, arrays(value)), f"regions__{key}")
    if structure:
        from aiida_lpsgb.parsers.analyse import node_of

        for key, entry, content in structural()[1]:
            create(analysis, node_of(entry, content), key.replace(".", "__"))
    create(analysis, orm.Dict(summary_of(motion, found, structure)), "summary")
    judgement = {"known": diffusive, "reason": "the relative error is 0.10" if diffusive else "it is not diffusive"}
    step = function("judge", {}, run)
    create(step, orm.Dict(judgement | {"production_ps": 60.0}), "judgement")
    return run, md


def some_atoms():
    """Return a structure with whole units."""
    from tests.analysis.conftest import tetrahedra_run

    atoms = tetrahedra_run(n_frames=1).frame(0)
    atoms.wrap()
    return atoms


def add_system(study, code, potentials, name, temperatures, limits=(), fit=True, factor=1.0, atoms=None):
    """Add a system to a study; a factor on the limits makes them contradict the fit, which then does not know them."""
    kind = SYSTEMS[name]["kind"]
    atoms = some_atoms() if atoms is None else atoms
    cell = orm.StructureData(ase=atoms).store()
    inputs = {"structure": cell, "temperatures": orm.List(list(temperatures)), "n_replicas": orm.Int(1)}
    inputs |= {f"potentials__{key}": node for key, node in potentials.items()}
    sweep = work("transport", "TransportWorkChain", inputs, study, call=name)
    for temperature in temperatures:
        for index, potential in enumerate(potentials.values(), start=1):
            cold = temperature == min(temperatures)
            diffusive = temperature not in limits
            more = {"diffusive": diffusive, "factor": 1.0 if diffusive else factor}
            add_run(sweep, code, potential, name, temperature, index, kind == "boundary", cold, **more)
    if fit and len(temperatures) > 1:
        fitted = [t for t in temperatures if factor == 1.0 or t not in limits]
        step = function("arrhenius_fit", {}, sweep)
        arguments = {"limits": limits, "n_potentials": len(potentials)}
        give(sweep, create(step, orm.Dict(fit_results(name, fitted, **arguments)), "result"), "arrhenius")
        if kind == "boundary":
            for region, ratio in (("boundary", 2.0), ("elsewhere", 0.5)):
                for estimator in ("tagged", RECOMMENDED):
                    step = function("arrhenius_fit", {}, sweep)
                    content = fit_results(name, fitted, factor=ratio, **arguments)
                    node = create(step, orm.Dict(content), "result")
                    give(sweep, node, f"regional_arrhenius__{region}_{estimator}")
    return sweep


def iteration(number, gamma_break, n_broken, n_extrapolated, max_grade):
    return {
        "iteration": number,
        "gamma_break": gamma_break,
        "n_runs": 4,
        "potentials": {"p1": {"n_broken": n_broken, "n_extrapolated": n_extrapolated}},
        "n_broken": n_broken,
        "n_missing": 0,
        "n_extrapolated": n_extrapolated,
        "max_grade": max_grade,
        "explored_ps": 40.0,
        "training": {"training": ERRORS, "validation": None, "n_iterations": 100, "converged": True},
        "test": None,
    }


def add_learning(study, potentials, **more):
    """Add a learning of two iterations, with one round of labels."""
    inputs = {"training_sets__start": configurations(count=12), "settings": orm.Dict({"gamma_select": 2.0})}
    loop = work("active_learning", "ActiveLearningWorkChain", inputs, study, **more)
    rows = [iteration(1, 10.0, 2, 37, 25.2), iteration(2, 10.0, 0, 0, 1.7)]
    for index in range(2):
        step = function("learning.advance", {}, loop)
        content = {"iterations": rows[: index + 1], "stage": 0, "converged": index == 1}
        curve = create(step, orm.Dict(content), "result")
    label = work("label", "LabelWorkChain", {}, loop, call="label_01")
    give(label, create(function("x", {}, label), configurations(count=5, seed=3), "c"), "configurations")
    give(loop, curve, "learning_curve")
    for name, node in potentials.items():
        give(loop, node, f"potentials__{name}")
    return loop


def add_grid(study, **more):
    """Add a passive stage of three points, one of which has failed."""
    structure = orm.StructureData(ase=Atoms("LiPS", [[0, 0, 0], [2.5, 0, 0], [0, 2.5, 0]], cell=[6, 6, 6], pbc=True))
    stage = work("passive_learning", "PassiveLearningWorkChain", {"structure": structure}, study, **more)
    points = []
    for name, level, cost, factor in (("l08_r5", 8, 0.7, 1.0), ("l14_r5", 14, 2.4, 0.8), ("l20_r5", 20, None, 0.7)):
        point = {"name": name, "level": level, "cutoff_angstrom": 5.0, "on_front": cost is not None, "missing": []}
        point |= {key: factor * value for key, value in ERRORS.items()} | {"chosen": level == 14}
        point["forces_rmse_uncertainty_ev_angstrom"] = 0.005
        point |= {"missing": ["a measured cost"]} if cost is None else {"time_us_atom_step": cost}
        points.append(point)
    reason = "l14_r5 is the cheapest with an error within one standard error (0.005) of the smallest, 0.0696: 0.0696"
    content = {"points": points, "error": "forces_rmse_ev_angstrom", "target": None, "reason": reason}
    give(stage, create(function("passive.choose", {}, stage), orm.Dict(content), "grid"), "grid")
    return stage


def add_predictions(check, potentials):
    """Add what potentials predict for a test set to a validation."""
    from aiida_lpsgb.data.configurations import ConfigurationsData
    from aiida_lpsgb.labelling.container import with_labels

    test_set = configurations(count=6, seed=9)
    label = work("label", "LabelWorkChain", {}, check, call="labelling")
    give(label, create(function("x", {}, label), test_set, "c"), "configurations")
    for index, name in enumerate(potentials):
        images = [with_labels(a, energy=-1.0 + 0.01 * index, forces=a.get_forces() + 0.1) for a in test_set]
        job = work("mlp.predict.base", "MlpPredictBaseWorkChain", {}, check, call=f"predict_{name}")
        node = ConfigurationsData(images, test_set.species, "a potential")
        give(job, create(function("x", {}, job), node, "c"), "configurations")


def configurations(count=2, seed=0):
    """Return a node of labelled configurations."""
    from ase.calculators.singlepoint import SinglePointCalculator

    from aiida_lpsgb.data.configurations import ConfigurationsData

    images = []
    for number in range(count):
        atoms = Atoms("LiPS", [[0, 0, 0], [2.5, 0, 0], [0, 2.5 + 0.01 * (number + seed), 0]], cell=[6, 6, 6], pbc=True)
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=np.zeros((3, 3)))
        images.append(atoms)
    return ConfigurationsData(images, ["Li", "P", "S"], "SevenNet-0 + D3")


def build_study(
    systems=("crystal",),
    temperatures=(700.0, 600.0, 500.0),
    n_potentials=1,
    learning=True,
    structures=None,
    status=0,
    message=None,
    **more,
):
    """Store a study with a run of every system at every temperature with every potential."""
    computer = orm.Computer.collection.get_or_create(
        label="localhost", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )[1]
    code = orm.InstalledCode(label=f"lmp{next(COUNTER)}", computer=computer, filepath_executable="/opt/lmp").store()
    recipes = {f"systems__{name}": orm.Dict(SYSTEMS[name]) for name in systems}
    study = work("study", "StudyWorkChain", {"seed": orm.Int(7), **recipes}, status=status, message=message)
    potentials = {f"p{index}": small_potential(index).store() for index in range(1, n_potentials + 1)}
    crystal = orm.StructureData(cell=np.eye(3) * 6.0)
    for symbol, count in (("Li", 3), ("P", 1), ("S", 4)):
        for k in range(count):
            crystal.append_atom(position=(k, count, 0), symbols=symbol)
    give(study, create(function("order", {}, study), crystal, "structure"), "structure")
    if learning:
        add_learning(study, potentials)
        check = work("validate", "ValidateWorkChain", {}, study, call="validation")
        for index, name in enumerate(potentials):
            entry_point = "aiida.calculations:lpsgb.configurations.compare"
            test = process(orm.CalcFunctionNode, entry_point, "compare", {}, check, f"errors_{name}")
            errors = ERRORS | {"energy_rmse_ev_atom": 0.0031 + 0.001 * index}
            create(test, orm.Dict(errors), "result")
        add_grid(study)
        add_predictions(check, potentials)
    for name in systems:
        if temperatures:
            atoms = (structures or {}).get(name)
            add_system(study, code, potentials, name, temperatures, atoms=atoms, **more)
        if name in MADE:
            step = function("boundary_energies", {}, study)
            give(study, create(step, orm.Dict(MADE[name]), "result"), f"systems__{name}__recipe")
    if status is not None:
        study.seal()
    return study


@pytest.fixture(scope="module")
def make_study(aiida_profile):
    """Return a factory of studies: `build_study`."""
    return build_study


@pytest.fixture(scope="package")
def rich(aiida_profile):
    """Return a study of a crystal and a boundary with two potentials; its cold runs contradict the fits."""
    return build_study(("crystal", "tilt_120"), (600.0, 500.0, 300.0), n_potentials=2, limits=(300.0,), factor=1e-4)


@pytest.fixture(scope="module")
def results(rich):
    """Return what is collected of it."""
    return study_results(rich)
