"""What a job's resources say of the threads and processes that its program may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What of the resources tells the number, the first that is there.
THREADS = ("num_cores_per_mpiproc", "num_cores_per_machine", "num_mpiprocs_per_machine", "tot_num_mpiprocs")


def threads_of(resources: Mapping[str, Any]) -> int:
    """How many threads a program may use; a number of threads is no parameter, since it changes no result."""
    return next((int(resources[name]) for name in THREADS if resources.get(name)), 1)


def processes_of(resources: Mapping[str, Any]) -> int:
    """How many processes a job has, as far as its resources say it."""
    of_machines = int(resources.get("num_machines") or 1) * int(resources.get("num_mpiprocs_per_machine") or 1)
    return int(resources.get("tot_num_mpiprocs") or of_machines)
