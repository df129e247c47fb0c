"""What a study took."""

import pytest
from aiida import orm

from aiida_lpsgb.report import study_results
from aiida_lpsgb.report.gather.effort import cores


def test_what_it_took(rich):
    results = study_results(rich)
    assert results.processes["TransportRunWorkChain"] == (12, 0)
    assert set(results.core_hours) == {"AnalyseCalculation", "MdCalculation"}
    assert results.codes
    assert set(results.codes.values()) == {"/opt/lmp"}
    assert results.seeds == {f"StudyWorkChain<{rich.pk}>": 7}
    assert results.versions == {"aiida-lpsgb": "0.1.0", "aiida-core": "2.9.4", "LAMMPS": "22 Jul 2025"}
    assert results.material == "Li3PS4"


def test_jobs_from_the_cache_cost_nothing(make_study):
    study = make_study(temperatures=(600.0, 500.0), learning=False)
    md = [node for node in orm.QueryBuilder().append(orm.CalcJobNode).all(flat=True) if node.pk > study.pk]
    for node in md:
        node.base.extras.set("_aiida_cached_from", "another")
    results = study_results(study)
    assert results.processes["MdCalculation"] == (2, 2)
    assert set(results.core_hours.values()) == {0.0}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"num_machines": 2, "num_mpiprocs_per_machine": 8}, 16),
        ({"num_machines": 1, "tot_num_mpiprocs": 4, "num_cores_per_mpiproc": 2}, 8),
        ({"num_cpus": 3}, 3),
        ({}, 1),
    ],
)
def test_cores(resources, expected):
    assert cores(resources) == expected
