"""What a job's resources say of the threads that its program may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What of the resources tells the number, the first that is there.
THREADS = ("num_cores_per_mpiproc", "num_cores_per_machine", "num_mpiprocs_per_machine", "tot_num_mpiprocs")


def threads_of(resources: Mapping[str, Any]) -> int:
    """How many threads a program may use; a number of threads is no parameter, since it changes no result."""
    return next((int(resources[name]) for name in THREADS if resources.get(name)), 1)
