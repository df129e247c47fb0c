"""Programs: what their resources say of threads and processes."""

import pytest

from aiida_lpsgb.calculations.program import processes_of, threads_of


@pytest.mark.parametrize(
    ("resources", "n_processes"),
    [
        ({"num_machines": 1, "num_mpiprocs_per_machine": 1}, 1),
        ({"num_machines": 2, "num_mpiprocs_per_machine": 4}, 8),
        ({"num_machines": 2, "tot_num_mpiprocs": 6}, 6),
        ({"tot_num_mpiprocs": 3, "parallel_env": "mpi"}, 3),
        ({}, 1),
    ],
)
def test_processes(resources, n_processes):
    assert processes_of(resources) == n_processes


def test_threads_are_the_first_that_is_told():
    assert threads_of({"num_cores_per_mpiproc": 4, "num_mpiprocs_per_machine": 2}) == 4
    assert threads_of({"num_machines": 1, "num_mpiprocs_per_machine": 2}) == 2
    assert threads_of({}) == 1
