"""What a study costs at most, against counts of what it really makes."""

import inspect
from pathlib import Path

import pytest
from aiida import orm
from ase.io import read

from aiida_lpsgb.structures import bicrystal, interface
from aiida_lpsgb.structures.strain import start_set
from aiida_lpsgb.workflows.estimate import MAX_AREA_A2, WIDTH_A, estimate, how, total
from aiida_lpsgb.workflows.from_structure import structure_of, study_from_structure
from aiida_lpsgb.workflows.protocols import load_codes

LI3N = Path(__file__).parents[2] / "examples" / "data" / "li3n.cif"
SMALL = {"recipes": {"crystal": {"learn": {"n_atoms": 8}, "run": {"n_atoms": 400}}}}


@pytest.fixture
def cost(computer):
    """Return a function that gives the costs of a study of Li₃N by part, and its builder."""

    def of(**arguments):
        overrides = {**SMALL, **arguments.pop("overrides", {})}
        builder = study_from_structure(LI3N, codes=load_codes(computer), overrides=overrides, **arguments)
        return {item.part: item for item in estimate(builder, structure_of(LI3N))}, builder

    return of


def test_the_start_set_is_as_large_as_the_one_that_is_made(cost):
    costs, builder = cost(overrides={"ordering": {"n_candidates": 1}})
    options = builder.start_set.get_dict()
    assert costs["start set"].labels == len(start_set([read(LI3N)], seed=1, **options))


def test_every_step_of_reference_dynamics_is_a_label(cost):
    settings = {"temperatures_K": [300, 600, 900], "duration_ps": 0.2, "n_samples": 7}
    costs, _ = cost(overrides={"reference_md": {"settings": settings}})
    assert costs["reference dynamics"].amount == "3 runs, 300 steps in all"
    assert costs["reference dynamics"].labels == 7
    n_atoms = len(read(LI3N))
    assert costs["reference dynamics"].core_hours == pytest.approx(300 * n_atoms * 0.028 / 3600)


def test_sizes_that_are_not_given_are_those_of_what_is_built():
    for function in (bicrystal.build, interface.interface):
        assert inspect.signature(function).parameters["width"].default == WIDTH_A
    assert inspect.signature(interface.interface).parameters["max_area"].default == MAX_AREA_A2


def test_runs_go_on_to_their_budget(cost):
    transport = {"temperatures_K": [900, 600], "n_replicas": 3, "budget": {"max_production_ps": 200.0}}
    costs, _ = cost(overrides={"transport": transport})
    # Heated, annealed, cooled and held for 14 ps; 2 fs a step, 1 µs an atom and step; 3 potentials.
    steps, atoms, runs = 214_000 / 2, 400, 2 * 3 * 3
    assert costs["transport"].core_hours == pytest.approx(runs * atoms * steps * 1e-6 / 3600)
    assert costs["transport"].amount == "18 runs of up to 214 ps"


def test_learning_is_counted_to_its_last_iteration(cost):
    settings = {"max_iterations": 4, "max_labels": 50, "temperatures_K": [500], "n_potentials": 1, "n_relaxations": 2}
    few, _ = cost(overrides={"active_learning": {"settings": settings}})
    many, _ = cost(overrides={"active_learning": {"settings": settings | {"max_iterations": 8}}})
    assert few["exploration"].labels == 50
    labels = 50 * 8 * 0.028 / 3600
    assert many["exploration"].core_hours - labels == pytest.approx(2 * (few["exploration"].core_hours - labels))
    assert few["training"].amount == "7 trainings at level 8"


def test_going_back_to_learning_is_learning_and_production_once_more(cost):
    costs, _ = cost(overrides={"returns": {"max_labels": 5, "max_atoms": 400}})
    again = [costs[part] for part in ("exploration", "training", "transport", "test")]
    frames = 5 * 400 * 0.028 / 3600
    returned = costs["back to learning"]
    assert returned.core_hours == pytest.approx(sum(part.core_hours for part in again) + frames)
    assert returned.labels == sum(part.labels for part in again) + 5
    assert returned.amount == "once, if production extrapolates"
    twice, _ = cost(overrides={"returns": {"max_labels": 5, "max_atoms": 399, "max_returns": 2}})
    assert twice["back to learning"].core_hours == pytest.approx(2 * (returned.core_hours - frames))
    assert twice["back to learning"].labels == 2 * (returned.labels - 5)
    assert "back to learning" not in cost(overrides={"returns": None})[0]


def test_higher_levels_cost_more(cost):
    first, _ = cost()
    higher, _ = cost(overrides={"potential": {"level": 14}})
    assert higher["transport"].core_hours / first["transport"].core_hours == pytest.approx(2.4)
    assert total(higher.values()).core_hours == pytest.approx(sum(item.core_hours for item in higher.values()))


def test_labels_that_are_not_timed_say_so(cost):
    engine = {"parameters": {"calculator": "ase.calculators.lj:LennardJones"}}
    costs, builder = cost(overrides={"label": {"engine": engine}})
    assert costs["start set"].core_hours == 0
    assert costs["start set"].labels > 0
    assert "counted, not timed" in how(builder)
    assert "counted, not timed" not in how(cost()[1])


def test_given_potentials_leave_learning_out(cost, generate_potential):
    costs, builder = cost(
        potentials={"p1": generate_potential(species=("Li", "N"))}, boundaries=["001/130"], glass=True
    )
    assert set(costs) == {"boundaries", "glasses", "transport"}
    assert isinstance(builder.potentials["p1"], orm.Data)
    assert all(item.core_hours > 0 for item in costs.values())
