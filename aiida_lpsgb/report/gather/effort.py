"""What a process took: jobs, core-hours, codes, versions and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.processes import ProcessTree, chunks, inputs_of, names_of

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

VERSIONS = {"plugin": "aiida-lpsgb", "core": "aiida-core"}
"""What AiiDA calls the versions that a process notes."""
SECONDS_PER_HOUR = 3600.0


def jobs_of(tree: ProcessTree) -> tuple[dict[int, float], set[int]]:
    """Core-hours of every job, none for those from the cache, and which processes are from the cache.

    A job's time runs from its creation to its last change, so that waiting for a scheduler counts.
    """
    from aiida.orm import ProcessNode, QueryBuilder

    hours: dict[int, float] = {}
    cached: set[int] = set()
    for some in chunks(tree.processes):
        query = QueryBuilder().append(
            ProcessNode,
            filters={"id": {"in": some}},
            project=["id", "attributes.resources", "extras._aiida_cached_from"],
        )
        for pk, resources, source in query.all():
            if source:
                cached.add(pk)
            process = tree.processes[pk]
            if process.is_job:
                seconds = (process.mtime - process.ctime).total_seconds()
                hours[pk] = 0.0 if source else seconds / SECONDS_PER_HOUR * cores(resources or {})
    return hours, cached


def cores(resources: Mapping[str, Any]) -> int:
    """Number of cores that a job asked for."""
    processes = resources.get("tot_num_mpiprocs") or resources.get("num_machines", 1) * resources.get(
        "num_mpiprocs_per_machine", 1
    )
    each = resources.get("num_cores_per_mpiproc")
    return int(processes * each if each else resources.get("num_cpus") or processes)


def by_label(tree: ProcessTree, pks: Iterable[int]) -> dict[str, list[int]]:
    """Processes by what they are called."""
    groups: dict[str, list[int]] = {}
    for pk in pks:
        groups.setdefault(tree.processes[pk].label, []).append(pk)
    return dict(sorted(groups.items()))


def counts_of(tree: ProcessTree, cached: set[int]) -> dict[str, tuple[int, int]]:
    """How many processes of each label there are, and how many of them are from the cache."""
    every = [process for pk, process in tree.processes.items() if pk != tree.pk]
    total, again = (Counter(p.label for p in group) for group in (every, [p for p in every if p.pk in cached]))
    return {label: (number, again[label]) for label, number in sorted(total.items())}


def codes_of(jobs: Iterable[int]) -> dict[str, str]:
    """Full label and executable of the codes of some jobs."""
    codes = {nodes["code"] for nodes in inputs_of(jobs, ["code"]).values()}
    return {code.full_label: str(code.get_executable()) for code in sorted(codes, key=lambda code: code.full_label)}


def versions_of(node: ProcessNode, jobs: Iterable[int]) -> dict[str, str]:
    """Versions of what took part; several of one program where it was replaced meanwhile."""
    from aiida.orm import CalcJobNode, Dict, QueryBuilder

    noted = node.base.attributes.get("version", None) or {}
    found = {name: {str(noted[key])} for key, name in VERSIONS.items() if key in noted}
    for some in chunks(jobs):
        query = QueryBuilder().append(CalcJobNode, filters={"id": {"in": some}}, tag="job")
        query.append(
            Dict,
            with_incoming="job",
            edge_filters={"label": "results"},
            project=["attributes.lammps_version", "attributes.versions"],
        )
        for lammps, others in query.all():
            programs = {"LAMMPS": lammps} if lammps else others
            for name, version in (programs if isinstance(programs, Mapping) else {}).items():
                found.setdefault(name, set()).add(str(version))
    return {name: " and ".join(sorted(versions)) for name, versions in found.items()}


def seeds_of(tree: ProcessTree) -> dict[str, int]:
    """The seed of every work chain that has one, by the path of its names; those of runs stand with the runs."""
    nodes = inputs_of(tree.processes, ["seed"])
    seeded = [pk for pk in sorted(nodes) if not tree.processes[pk].is_job]
    return {
        " ".join([*names_of(tree, pk), f"{tree.processes[pk].label}<{pk}>"]): nodes[pk]["seed"].value for pk in seeded
    }


def left_out_in(tree: ProcessTree) -> dict[str, int]:
    """How many files of each name an archive has left out of what the processes have made, the commonest first."""
    from aiida.orm import Data, ProcessNode, QueryBuilder

    from aiida_lpsgb.data.left_out import LEFT_OUT

    found: dict[int, list[str]] = {}
    for some in chunks(tree.processes):
        query = QueryBuilder().append(ProcessNode, filters={"id": {"in": some}}, tag="process")
        query.append(
            Data,
            with_incoming="process",
            filters={"extras": {"has_key": LEFT_OUT}},
            project=["id", f"extras.{LEFT_OUT}"],
        )
        found |= dict(query.all())
    return dict(Counter(name for names in found.values() for name in names).most_common())
