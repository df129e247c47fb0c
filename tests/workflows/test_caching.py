"""A study that is run again with caching takes everything from the one before."""

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

pytestmark = pytest.mark.daemon


def test_nothing_is_computed_twice(study, miniature):
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        _, again = run_get_node(miniature.build())
    assert again.is_finished_ok, miniature.explain(again)
    jobs = [node for node in miniature.descendants(again) if isinstance(node, orm.CalcJobNode)]
    assert jobs
    computed = [f"{job.process_label}<{job.pk}>" for job in jobs if not job.base.caching.is_created_from_cache]
    assert computed == []
    assert miniature.essence(again) == miniature.essence(study)


def test_a_temperature_joins_a_sweep(study, miniature):
    sweep = next(node for node in study.called if node.process_label == "TransportWorkChain")
    builder = sweep.process_class.get_builder_adding(sweep, temperatures_K=[800])
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        _, longer = run_get_node(builder)
    assert longer.is_finished_ok, miniature.explain(longer)
    before = {label: node.value for label, node in sweep.outputs.diffusivities.items()}
    after = {label: node.value for label, node in longer.outputs.diffusivities.items()}
    added = {label for label in after if label.startswith("t800k_")}
    assert added == {f"t800k_{name}_1" for name in sweep.inputs.potentials}
    assert before.items() <= after.items()
    for run in longer.called:
        if run.process_label != "TransportRunWorkChain":
            continue
        jobs = [node for node in miniature.descendants(run) if isinstance(node, orm.CalcJobNode)]
        label = run.base.links.get_incoming(link_type=LinkType.CALL_WORK).one().link_label
        assert {job.base.caching.is_created_from_cache for job in jobs} == {label not in added}, label
    assert set(longer.outputs.arrhenius["labels"]) == set(after)
