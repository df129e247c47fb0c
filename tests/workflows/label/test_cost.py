"""What labels will take is told before they are computed."""

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase.build import bulk

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.workflows.label.cost import Cost, cost_of, measured, preview
from aiida_lpsgb.workflows.outputs import in_words

LabelWorkChain = WorkflowFactory("lpsgb.label")
EMT = "ase.calculators.emt:EMT"


def copper(count):
    images = [bulk("Cu", cubic=True) for _ in range(count)]
    for seed, atoms in enumerate(images):
        atoms.rattle(0.1, seed=seed)
    return ConfigurationsData(images)


@pytest.fixture
def builder(aiida_profile_clean, installed_code):
    """Return a factory of builders for so many configurations."""

    def factory(count):
        return LabelWorkChain.get_builder_from_protocol(
            {"label": installed_code("lpsgb-label", "lpsgb.label.ase")},
            copper(count),
            overrides={"engine": {"parameters": {"calculator": EMT}}, "max_concurrent": 2},
        )

    return factory


def test_measured_where_labels_were_computed_before(builder):
    assert preview(builder(3)) == [f"3 labels by {EMT}; what one takes is not known before the first ones are done"]
    assert measured(EMT) is None
    _, node = run_get_node(builder(3))
    assert node.is_finished_ok, node.exit_message
    found = measured(EMT)
    assert (found.n_labels, found.n_atoms) == (3, 4)
    (job,) = [child for child in node.called if isinstance(child, orm.CalcJobNode)]
    assert found.seconds == pytest.approx((job.mtime - job.ctime).total_seconds() / 3, rel=0.2)
    # What is taken from the cache takes nothing and shows nothing.
    with enable_caching():
        run_get_node(builder(3))
    assert measured(EMT).n_labels == 3
    cost = cost_of(builder(20))
    assert cost.wall_time_s == pytest.approx(10 * found.seconds, rel=0.2)
    (sentence,) = preview(builder(20))
    assert sentence.startswith(f"20 labels by {EMT}, ")
    assert "(measured on 3 labels of 4 atoms)" in sentence
    assert sentence.endswith("with 2 at a time")


def test_of_any_engine(vasp_code, potcar_family):
    engine = {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}}
    builder = LabelWorkChain.get_builder_from_protocol(
        {"label": vasp_code()}, copper(2), protocol="fast", overrides={"engine": engine}
    )
    assert preview(builder)[0].startswith("2 labels by VASP PBE, STUB.54")


def test_given(builder):
    cost = cost_of(builder(20), seconds=90.0)
    assert cost.wall_time_s == 900.0
    assert str(cost) == f"20 labels by {EMT}, 90 s each (given): 15 min with 2 at a time"


def test_a_builder_of_learning_tells_its_budget(builder, installed_code):
    codes = {"mlp": installed_code("lpsgb-mlp", "lpsgb.mlp.train"), "md": installed_code("lmp", "lpsgb.md")}
    codes["label"] = installed_code("lpsgb-label", "lpsgb.label.ase")
    engine = {"parameters": {"calculator": EMT}}
    overrides = {"label": {"engine": engine}, "settings": {"max_labels": 70}}
    learning = WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(codes, overrides=overrides)
    assert preview(learning) == [
        f"at most 70 labels by {EMT}; what one takes is not known before the first ones are done"
    ]
    validation = WorkflowFactory("lpsgb.validate").get_builder_from_protocol(
        codes, overrides={"label": {"engine": engine}}
    )
    assert preview(validation) == []


def test_of_learning_the_budget_is_told():
    cost = Cost(300, True, "VASP PBE, PBE.54", 10, 600.0, "given")
    assert str(cost) == "at most 300 labels by VASP PBE, PBE.54, 10 min each (given): 5.0 h with 10 at a time"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "0.2 s"), (47, "47 s"), (119, "119 s"), (150, "2.5 min"), (7200, "2.0 h"), (1e7, "116 d")],
)
def test_times_in_words(seconds, text):
    assert in_words(seconds) == text
