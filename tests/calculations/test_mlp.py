"""Calculations that drive ``mlp``: what they write, what they refuse, and real runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase.build import bulk
from ase.calculators.lj import LennardJones

from aiida_lpsgb.calculations.mlp import INDEX_FEATURE
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.comparison import compare
from aiida_lpsgb.mtp.configurations import labels as labels_of
from aiida_lpsgb.mtp.configurations import read_cfg

SPECIES = ["Li", "P", "S"]


@pytest.fixture
def inputs(generate_potential, generate_configurations, aiida_code_installed, metadata):
    """Return a factory of valid inputs of a sub-command."""

    def factory(command):
        common = {
            "code": aiida_code_installed(label="mlp", filepath_executable="/bin/true"),
            "metadata": metadata,
            "potential": generate_potential(),
        }
        sets = {"b": generate_configurations(2, seed=1), "a": generate_configurations(1, seed=2)}
        if command in ("errors", "predict"):
            return common | {"configurations": sets["b"]}
        extra = {
            "train": {},
            "grade": {"configurations": generate_configurations(3, seed=3, labelled=False)},
            "select": {
                "candidates": {
                    "y": generate_configurations(2, seed=4, labelled=False),
                    "x": generate_configurations(1, seed=5, labelled=False),
                }
            },
        }
        return common | {"training_sets": sets} | extra[command]

    return factory


def store(inputs):
    """Store what a CalcInfo refers to by uuid."""
    inputs["potential"].store()
    return inputs


def assert_refused(entry_point, inputs, message):
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    with pytest.raises(ValueError, match=message):
        instantiate_process(get_manager().get_runner(), CalculationFactory(entry_point), **inputs)


def test_train_writes_its_files(inputs, generate_calc_job, generate_configurations):
    given = store(inputs("train"))
    given["validation_set"] = generate_configurations(1, seed=9)
    given["parameters"] = orm.Dict({"max_iter": 5, "skip_preinit": True, "update_mindist": False, "force_weight": 0.1})
    calcinfo, folder = generate_calc_job("lpsgb.mlp.train", given)
    assert calcinfo.codes_info[0].cmdline_params == [
        "train",
        "potential.mtp",
        "train.cfg",
        "--trained-pot-name=trained.mtp",
        "--curr-pot-name=current.mtp",
        "--valid-cfgs=validation.cfg",
        "--force-weight=0.1",
        "--max-iter=5",
        "--skip-preinit",
    ]
    assert calcinfo.local_copy_list == [(given["potential"].uuid, "potential.mtp", "potential.mtp")]
    written = read_cfg(folder.get_abs_path("train.cfg"), SPECIES)
    expected = [*given["training_sets"]["a"], *given["training_sets"]["b"]]
    for image, back in zip(expected, written, strict=True):
        assert np.array_equal(image.positions, back.positions)
        assert labels_of(image)["energy"] == labels_of(back)["energy"]
    assert len(read_cfg(folder.get_abs_path("validation.cfg"), SPECIES)) == 1


def test_weights_of_sets_are_those_of_their_configurations(inputs, generate_calc_job):
    given = store(inputs("train") | {"parameters": {"set_weights": {"b*": 3, "strained": 2}}})
    calcinfo, folder = generate_calc_job("lpsgb.mlp.train", given)
    options = calcinfo.codes_info[0].cmdline_params
    assert "--weight-feature=set_weight" in options
    assert not [option for option in options if option.startswith("--set-weights")]
    written = read_cfg(folder.get_abs_path("train.cfg"), SPECIES)
    assert [atoms.info.get("features", {}).get("set_weight") for atoms in written] == [None, "3", "3"]


class TestPrior:
    @pytest.fixture
    def given(self, inputs, generate_potential, generate_configurations):
        prior_set = generate_configurations(3, level_of_theory="cheap")
        return inputs("train") | {"prior": generate_potential(), "prior_set": prior_set}

    def test_files(self, given, generate_calc_job):
        """Its labels may be of another level: that is what it is for."""
        calcinfo, folder = generate_calc_job("lpsgb.mlp.train", store(given | {"parameters": {"prior_weight": 4}}))
        options = calcinfo.codes_info[0].cmdline_params
        assert {"--prior=prior.mtp", "--prior-set=prior.cfg", "--prior-weight=4"} <= set(options)
        assert len(read_cfg(folder.get_abs_path("prior.cfg"), SPECIES)) == 3
        assert Path(folder.get_abs_path("prior.mtp")).read_text() == given["prior"].get_content()

    def test_wrong_ones(self, given, generate_potential):
        lone = {name: node for name, node in given.items() if name != "prior_set"}
        assert_refused("lpsgb.mlp.train", lone, "prior: `prior` and `prior_set` go together")
        untrained = given | {"prior": generate_potential(trained=False)}
        assert_refused("lpsgb.mlp.train", untrained, "prior: it is not trained")
        both = given | {"parameters": orm.Dict({"l2": 1e-4})}
        assert_refused("lpsgb.mlp.train", both, "prior: `parameters` has l2 as well")


def test_a_configuration_has_one_weight(inputs):
    both = inputs("train") | {"parameters": orm.Dict({"set_weights": {"a": 3}, "weight_feature": "mine"})}
    assert_refused("lpsgb.mlp.train", both, "parameters: give either set_weights or weight_feature")
    wrong = inputs("train") | {"parameters": orm.Dict({"set_weights": {"a": -1}})}
    assert_refused("lpsgb.mlp.train", wrong, "set_weights is {'a': -1}, expected numbers of at least 0 by name")


def test_plain_dictionaries_become_nodes(inputs, generate_calc_job):
    calcinfo, _ = generate_calc_job("lpsgb.mlp.train", store(inputs("train") | {"parameters": {"max_iter": 7}}))
    assert "--max-iter=7" in calcinfo.codes_info[0].cmdline_params


def test_nothing_is_sent_by_default(inputs, generate_calc_job):
    calcinfo, _ = generate_calc_job("lpsgb.mlp.train", store(inputs("train")))
    assert not [option for option in calcinfo.codes_info[0].cmdline_params if "seed" in option or "threads" in option]


def test_threads_come_from_the_resources_and_stay_out_of_the_parameters(inputs, generate_calc_job):
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 3}
    values = store(inputs("train"))
    values["metadata"] = {"options": {**values.get("metadata", {}).get("options", {}), "resources": resources}}
    calcinfo, _ = generate_calc_job("lpsgb.mlp.train", values)
    assert "--threads=3" in calcinfo.codes_info[0].cmdline_params
    assert "threads" not in CalculationFactory("lpsgb.mlp.train").OPTIONS


def test_grade_writes_its_files(inputs, generate_calc_job):
    calcinfo, folder = generate_calc_job("lpsgb.mlp.grade", store(inputs("grade")))
    assert calcinfo.codes_info[0].cmdline_params == [
        "calc-grade",
        "potential.mtp",
        "train.cfg",
        "in.cfg",
        "graded.cfg",
        "--als-filename=active_set.als",
    ]
    assert len(read_cfg(folder.get_abs_path("in.cfg"), SPECIES)) == 3


def test_grade_without_configurations(inputs, generate_calc_job):
    given = store(inputs("grade"))
    del given["configurations"]
    _, folder = generate_calc_job("lpsgb.mlp.grade", given)
    assert len(read_cfg(folder.get_abs_path("in.cfg"), SPECIES)) == 1


def test_select_numbers_the_candidates(inputs, generate_calc_job):
    given = store(inputs("select"))
    calcinfo, folder = generate_calc_job("lpsgb.mlp.select", given)
    assert calcinfo.codes_info[0].cmdline_params[:5] == [
        "select-add",
        "potential.mtp",
        "train.cfg",
        "in.cfg",
        "added.cfg",
    ]
    written = read_cfg(folder.get_abs_path("in.cfg"), SPECIES)
    expected = [*given["candidates"]["x"], *given["candidates"]["y"]]
    for number, (image, back) in enumerate(zip(expected, written, strict=True)):
        assert np.array_equal(image.positions, back.positions)
        assert back.info["features"][INDEX_FEATURE] == str(number)


def test_predict_writes_its_files(inputs, generate_calc_job):
    calcinfo, folder = generate_calc_job("lpsgb.mlp.predict", store(inputs("predict")))
    assert calcinfo.codes_info[0].cmdline_params == ["calc-efs", "potential.mtp", "in.cfg", "predicted.cfg"]
    assert calcinfo.retrieve_temporary_list == ["predicted.cfg"]
    assert len(read_cfg(folder.get_abs_path("in.cfg"), SPECIES)) == 2


def test_errors_writes_its_files(inputs, generate_calc_job):
    calcinfo, _ = generate_calc_job("lpsgb.mlp.errors", store(inputs("errors")))
    assert calcinfo.codes_info[0].cmdline_params == ["calc-errors", "potential.mtp", "in.cfg"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_iterations", 5, "parameters: `mlp train` has no option 'max_iterations'; it has bfgs_conv_tol"),
        ("max_iter", 0, "parameters: max_iter is 0, expected an integer of at least 1"),
        ("seed", -1, "parameters: seed is -1, expected an integer of at least 0"),
        ("force_weight", -0.1, "parameters: force_weight is -0.1, expected a number of at least 0"),
        ("max_iter", 2.5, "parameters: max_iter is 2.5, expected an integer"),
        ("max_iter", True, "parameters: max_iter is True, expected an integer"),
        ("bfgs_conv_tol", 0, "parameters: bfgs_conv_tol is 0, expected a positive number"),
        ("weighting", "atoms", "parameters: weighting is 'atoms', expected one of vibrations, molecules, structures"),
        ("skip_preinit", "yes", "parameters: skip_preinit is 'yes', expected true or false"),
        ("energy_weight", "1", "parameters: energy_weight is '1', expected a number of at least 0"),
    ],
)
def test_bad_parameters_are_refused(inputs, key, value, message):
    assert_refused("lpsgb.mlp.train", inputs("train") | {"parameters": orm.Dict({key: value})}, message)


@pytest.mark.parametrize("command", ["grade", "select"])
@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"select_threshold": 1.0}, "parameters: select_threshold is 1.0, expected a number above 1"),
        ({"swap_threshold": 0.5}, "parameters: swap_threshold is 0.5, expected a number above 1"),
        ({"energy_weight": 0}, "there is nothing to select by"),
    ],
)
def test_bad_selections_are_refused(inputs, command, parameters, message):
    assert_refused(f"lpsgb.mlp.{command}", inputs(command) | {"parameters": orm.Dict(parameters)}, message)


@pytest.mark.parametrize("command", ["train", "grade", "select", "errors", "predict"])
def test_unknown_species_are_refused(inputs, generate_potential, command):
    given = inputs(command) | {"potential": generate_potential(["Li", "S"])}
    port = "configurations" if command == "errors" else r"(training_sets\.[ab]|candidates\.[xy]|configurations)"
    assert_refused(f"lpsgb.mlp.{command}", given, rf"{port}: contains \['P'\], which the potential")


@pytest.mark.parametrize("command", ["grade", "select", "errors", "predict"])
def test_untrained_potentials_are_refused(inputs, generate_potential, command):
    given = inputs(command) | {"potential": generate_potential(trained=False)}
    assert_refused(f"lpsgb.mlp.{command}", given, "potential: it is not trained")


def test_unlabelled_configurations_are_refused(inputs, generate_configurations):
    given = inputs("train")
    given["training_sets"]["c"] = generate_configurations(2, labelled=False)
    assert_refused("lpsgb.mlp.train", given, r"training_sets\.c: 2 of 2 configurations lack energy or forces")
    given = inputs("train") | {"validation_set": generate_configurations(2, labelled=False)}
    assert_refused("lpsgb.mlp.train", given, "validation_set: 2 of 2 configurations lack")
    given = inputs("errors") | {"configurations": generate_configurations(2, labelled=False)}
    assert_refused("lpsgb.mlp.errors", given, "configurations: some lack energy or forces")


def test_mixed_levels_of_theory_are_refused(inputs, generate_configurations):
    given = inputs("train")
    given["training_sets"]["c"] = generate_configurations(1, level_of_theory="other")
    assert_refused("lpsgb.mlp.train", given, "different levels of theory would be mixed")


@pytest.mark.parametrize(("command", "port"), [("train", "training_sets"), ("select", "candidates")])
def test_empty_namespaces_are_refused(inputs, command, port):
    assert_refused(f"lpsgb.mlp.{command}", inputs(command) | {port: {}}, f"{port}: there is none")


@pytest.mark.parametrize("command", ["train", "grade", "select", "errors", "predict"])
def test_exit_codes_that_invalidate_the_cache(command):
    exit_codes = CalculationFactory(f"lpsgb.mlp.{command}").exit_codes
    for label in ("ERROR_OUTPUT_MISSING", "ERROR_OUTPUT_INCOMPLETE", "ERROR_MLP", "ERROR_OUT_OF_WALLTIME"):
        assert exit_codes[label].invalidates_cache
    if command == "train":
        assert not exit_codes["ERROR_INVALID_POTENTIAL"].invalidates_cache


@pytest.fixture(params=["lpsgb-mlp", "mlp"])
def program(request, installed_code, aiida_code_installed):
    """Return the code of a program with mlp's sub-commands; MLIP-2's own is tried where it is on PATH."""
    if request.param == "lpsgb-mlp":
        return installed_code("lpsgb-mlp", "lpsgb.mlp.train")
    path = shutil.which("mlp")
    if path is None:
        pytest.skip("MLIP-2's mlp is not on PATH")
    return aiida_code_installed(label="mlip-2", filepath_executable=path)


def lennard_jones(count, amplitude, seed):
    """Return rattled images with labels that a pair potential explains."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        atoms = bulk("Li", "sc", a=2.8, cubic=True).repeat(2)
        atoms.symbols[1::3] = "S"
        atoms.positions += rng.normal(size=atoms.positions.shape) * amplitude
        live = atoms.copy()
        live.calc = LennardJones(sigma=2.4, epsilon=0.5, rc=5)
        labels = {"energy": live.get_potential_energy(), "forces": live.get_forces(), "stress": live.get_stress()}
        images.append(with_labels(atoms, **labels))
    return images


def test_the_whole_chain_on_a_real_program(program, generate_potential, metadata):
    """Train, test, grade and select; the trained potential explains its training set."""
    near = ConfigurationsData(lennard_jones(20, 0.1, seed=1), ["Li", "S"], "lj")
    more = ConfigurationsData(lennard_jones(10, 0.1, seed=2), ["Li", "S"], "lj")
    far = ConfigurationsData(lennard_jones(5, 0.25, seed=3), ["Li", "S"], "lj")
    common = {"code": program, "metadata": metadata}
    sets = {"training_sets": {"one": near, "two": more}}

    outputs, node = run_get_node(
        CalculationFactory("lpsgb.mlp.train"),
        **common,
        **sets,
        potential=generate_potential(["Li", "S"], trained=False),
        validation_set=far,
        parameters=orm.Dict({"max_iter": 40}),
    )
    assert node.is_finished_ok, node.exit_message
    potential, results = outputs["potential"], outputs["results"].get_dict()
    assert potential.trained
    assert potential.training_errors["energy_mae_ev_atom"] == results["training"]["energy_mae_ev_atom"] < 0.1
    assert results["training"]["n_configurations"] == 30
    assert results["validation"]["n_configurations"] == 5
    assert 0 < results["n_iterations"] <= 40
    assert results["loss_history"][-1] <= results["loss_history"][0]

    common["potential"] = potential
    outputs, node = run_get_node(CalculationFactory("lpsgb.mlp.errors"), **common, configurations=far)
    assert node.is_finished_ok, node.exit_message
    for key, value in results["validation"].items():
        assert outputs["results"][key] == pytest.approx(value, rel=1e-4)
    compared = far.get_ase()
    differences = []
    for atoms in compared:
        copy = atoms.copy()
        copy.calc = potential.get_ase()
        differences.append(copy.get_forces() - atoms.get_forces())
    lengths = np.linalg.norm(np.concatenate(differences), axis=1)
    assert outputs["results"]["forces_mae_ev_angstrom"] == pytest.approx(lengths.mean(), rel=1e-4)
    assert outputs["results"]["forces_max_ev_angstrom"] == pytest.approx(lengths.max(), rel=1e-4)
    component = np.sqrt(np.mean(np.square(differences)))
    assert outputs["results"]["forces_rmse_ev_angstrom"] == pytest.approx(component, rel=1e-4)

    errors = outputs["results"].get_dict()
    outputs, node = run_get_node(CalculationFactory("lpsgb.mlp.predict"), **common, configurations=far)
    assert node.is_finished_ok, node.exit_message
    compared = compare(far, outputs["configurations"])
    for key, value in errors.items():
        assert compared[key] == pytest.approx(value, rel=1e-4), key

    outputs, node = run_get_node(CalculationFactory("lpsgb.mlp.grade"), **common, **sets, configurations=far)
    assert node.is_finished_ok, node.exit_message
    assert outputs["active_set"].filename == "active_set.als"
    graded = list(outputs["configurations"])
    assert [np.array_equal(a.positions, b.positions) for a, b in zip(far, graded, strict=True)] == [True] * 5
    assert outputs["results"]["max_grade"] == pytest.approx(max(atoms.info["mv_grade"] for atoms in graded), rel=1e-12)
    assert outputs["results"]["max_grade"] > 1

    outputs, node = run_get_node(
        CalculationFactory("lpsgb.mlp.select"), **common, **sets, candidates={"far": far, "near": near}
    )
    assert node.is_finished_ok, node.exit_message
    results = outputs["results"].get_dict()
    assert results["n_candidates"] == 25
    assert results["n_selected"] == len(outputs["selected"]) > 0
    places = results["selected"]
    expected = [far[place] for place in places["far"]] + [near[place] for place in places["near"]]
    for sent, image in zip(expected, outputs["selected"], strict=True):
        assert np.array_equal(image.positions, sent.positions)

    outputs, node = run_get_node(CalculationFactory("lpsgb.mlp.select"), **common, **sets, candidates={"near": near})
    assert node.is_finished_ok, node.exit_message
    assert outputs["results"]["n_selected"] == 0
    assert "selected" not in outputs
