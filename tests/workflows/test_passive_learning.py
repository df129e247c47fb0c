"""The choice of level and cut-off, on the real programs."""

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase.build import bulk
from ase.calculators.lj import LennardJones

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.comparison import compare

PassiveLearningWorkChain = WorkflowFactory("lpsgb.passive_learning")
SETTINGS = {"levels": [2, 6], "cutoffs_angstrom": [4.0, 5.0], "validation_share": 0.25}


def crystal():
    atoms = bulk("Li", "sc", a=2.8, cubic=True).repeat(2)
    atoms.symbols[1::3] = "S"
    return atoms


def labelled(count, seed=1, calculator=LennardJones, **keywords):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        atoms = crystal()
        atoms.positions += rng.normal(size=atoms.positions.shape) * 0.1
        live = atoms.copy()
        live.calc = calculator(**(keywords or {"sigma": 2.4, "epsilon": 0.5, "rc": 5}))
        found = {"energy": live.get_potential_energy(), "forces": live.get_forces(), "stress": live.get_stress()}
        images.append(with_labels(atoms, **found))
    return ConfigurationsData(images, ["Li", "S"], "lj")


@pytest.fixture
def builder(installed_code):
    """Return a factory of builders."""

    def factory(counts=(12, 8), settings=None, seed=3, structure=None, **overrides):
        codes = {
            "mlp": installed_code("lpsgb-mlp", "lpsgb.mlp"),
            "md": installed_code("lmp", "lpsgb.md"),
        }
        return PassiveLearningWorkChain.get_builder_from_protocol(
            codes,
            {f"set_{seed}": labelled(count, seed) for seed, count in enumerate(counts)},
            orm.StructureData(ase=structure or crystal()),
            protocol="fast",
            overrides={
                "settings": SETTINGS | (settings or {}),
                "training": {"max_iter": 30, "starts": 2},
                "cell": {"n_atoms": 60},
                **overrides,
            },
            seed=orm.Int(seed),
        )

    return factory


def test_grid(builder):
    outputs, node = run_get_node(builder())
    assert node.is_finished_ok, node.exit_message
    points = {point["name"]: point for point in outputs["grid"]["points"]}
    assert list(points) == ["l02_r4", "l02_r5", "l06_r4", "l06_r5"]
    assert all(point["n_configurations"] == 5 and not point["missing"] for point in points.values())
    assert all(0 < point["time_us_atom_step"] < 1e4 for point in points.values())
    # The labels reach to 5 Å, and a larger basis explains more of them.
    error = {name: point["forces_rmse_ev_angstrom"] for name, point in points.items()}
    assert error["l06_r5"] < error["l02_r5"]
    chosen = next(point for point in points.values() if point["chosen"])
    assert outputs["parameters"].get_dict() == {
        "species": ["Li", "S"],
        "min_distance_angstrom": 1.4,
        "radial_basis_size": 8,
        "level": chosen["level"],
        "cutoff_angstrom": chosen["cutoff_angstrom"],
    }
    assert (outputs["potential"].level, outputs["potential"].cutoff) == (chosen["level"], chosen["cutoff_angstrom"])
    # The errors are those of that potential on what was held back.
    held_back = outputs["validation_sets"]["fold_0"]
    predicted = []
    for atoms in held_back:
        live = atoms.copy()
        live.calc = outputs["potential"].get_ase()
        found = {"energy": live.get_potential_energy(), "forces": live.get_forces(), "stress": live.get_stress()}
        predicted.append(with_labels(atoms, **found))
    for key, value in compare(held_back, predicted).items():
        assert chosen[key] == pytest.approx(value, rel=1e-4, abs=1e-9), key

    # All of it comes from the cache, with the times that were measured then.
    with enable_caching():
        again, repeated = run_get_node(builder())
    assert again["grid"].get_dict() == outputs["grid"].get_dict()
    calculations = [child for child in repeated.called_descendants if isinstance(child, orm.CalculationNode)]
    assert all(child.base.caching.is_created_from_cache for child in calculations), [
        child.process_label for child in calculations if not child.base.caching.is_created_from_cache
    ]


def test_folds_use_every_configuration(builder):
    outputs, node = run_get_node(builder(settings={"levels": [2], "cutoffs_angstrom": [4.0], "n_folds": 3}))
    assert node.is_finished_ok, node.exit_message
    (point,) = outputs["grid"]["points"]
    assert point["n_configurations"] == 20
    assert sorted(outputs["validation_sets"]) == ["fold_0", "fold_1", "fold_2"]
    trainings = [child for child in node.called if child.process_label == "MlpTrainBaseWorkChain"]
    assert sorted(sum(len(part) for part in child.inputs.mlp.training_sets.values()) for child in trainings) == [
        13,
        13,
        14,
    ]


def test_a_target_that_is_missed(builder):
    settings = {"levels": [2], "cutoffs_angstrom": [4.0], "target": 1e-9}
    outputs, node = run_get_node(builder(settings=settings))
    assert node.exit_status == PassiveLearningWorkChain.exit_codes.ERROR_TARGET_NOT_REACHED.status
    assert "no candidate has an error of at most the target, 1e-09" in node.exit_message
    assert "grid" in outputs
    assert "parameters" not in outputs


def test_without_a_cost_there_is_no_choice(builder, aiida_code_installed):
    inputs = builder(settings={"levels": [2], "cutoffs_angstrom": [4.0]})
    inputs.md.md.code = aiida_code_installed(label="false", filepath_executable="/bin/false")
    outputs, node = run_get_node(inputs)
    assert node.exit_status == PassiveLearningWorkChain.exit_codes.ERROR_NO_POINT.status
    assert "l02_r4: MdBaseWorkChain" in node.exit_message
    assert "parameters" not in outputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": (3,)}, "training_sets: of 3 configurations 1 would be validated on"),
        ({"structure": bulk("Cu")}, r"potential: species is \['Li', 'S'\] and lacks \['Cu'\]"),
        ({"settings": {"levels": [3]}}, "settings: levels is"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(builder, arguments, message):
    with pytest.raises(ValueError, match=message):
        builder(**arguments)
