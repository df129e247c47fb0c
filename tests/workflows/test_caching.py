"""A study that is run again with caching takes everything from the one before."""

import pytest
from aiida import orm
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
