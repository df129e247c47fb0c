"""The runs of sweeps, each by its last analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.gather.nodes import ANALYSIS, JUDGE, MD, MD_BASE, RUN, below, last, standing
from aiida_lpsgb.report.processes import Process, ProcessTree, inputs_of, outputs_of
from aiida_lpsgb.report.results import Run

if TYPE_CHECKING:
    from aiida.orm import Node

REGIONS = "regions__"


def runs_of(tree: ProcessTree, sweeps: Mapping[str, int], hours: Mapping[int, float]) -> dict[str, tuple[Run, ...]]:
    """The runs of each sweep, from the coldest; the last analysis of each counts."""
    processes = {name: tree.children(pk, RUN) for name, pk in sweeps.items()}
    every = [process for group in processes.values() for process in group]
    analyses = {process.pk: last(tree.children(process.pk, ANALYSIS)) for process in every}
    judges = {process.pk: last(tree.children(process.pk, JUDGE)) for process in every}
    wanted = ["diffusivity", f"{REGIONS}*", "summary"]
    found = outputs_of([process.pk for process in analyses.values() if process], wanted)
    judged = outputs_of([process.pk for process in judges.values() if process], ["judgement"])
    wanted = [f"md__md__{port}" for port in ("potential", "seed", "parameters", "active_set")]
    given = inputs_of([process.pk for process in every], wanted)
    parts = {process.pk: [part.pk for part in tree.children(process.pk, MD_BASE)] for process in every}
    dynamics = outputs_of([pk for pks in parts.values() for pk in pks], ["results"])
    runs: dict[str, tuple[Run, ...]] = {}
    for name, group in processes.items():
        own = []
        for process in group:
            analysis, judge = analyses[process.pk], judges[process.pk]
            nodes = found.get(analysis.pk, {}) if analysis else {}
            judgement = judged.get(judge.pk, {}).get("judgement") if judge else None
            below = [job for job in tree.below(process.pk) if job.is_job]
            own.append(
                _run(name, process, nodes, given.get(process.pk, {}), judgement)
                | _grades(
                    given.get(process.pk, {}), [dynamics[pk]["results"] for pk in parts[process.pk] if pk in dynamics]
                )
                | {
                    "core_hours": sum(hours.get(job.pk, 0.0) for job in below),
                    "analysis_pk": analysis.pk if analysis else None,
                    "md_pks": tuple(job.pk for job in below if job.process_type == MD),
                }
            )
        runs[name] = tuple(sorted((Run(**values) for values in own), key=lambda run: (run.temperature_K, run.label)))
    return runs


def _run(
    system: str, process: Process, found: Mapping[str, Node], given: Mapping[str, Node], judgement: Node | None
) -> dict[str, Any]:
    """What a run's nodes say."""
    from aiida_lpsgb.calculations.functions.sweep import read_label

    temperature, potential, replica = read_label(process.name)
    diffusivity, seed = found.get("diffusivity"), given.get("md__md__seed")
    return {
        "system": system,
        "label": process.name,
        "temperature_K": temperature,
        "potential": potential,
        "replica": replica,
        "outcome": standing(process),
        "failed": process.failed,
        "motion": diffusivity.scalars() if diffusivity is not None else None,
        "regions": {label: node.scalars() for label, node in sorted(below(REGIONS, found).items())},
        "summary": found["summary"].get_dict() if "summary" in found else {},
        "judgement": judgement.get_dict() if judgement is not None else None,
        "pk": process.pk,
        "diffusivity_pk": diffusivity.pk if diffusivity is not None else None,
        "potential_pk": given["md__md__potential"].pk if "md__md__potential" in given else None,
        "seed": seed.value if seed is not None else None,
    }


def _grades(given: Mapping[str, Node], parts: Sequence[Node]) -> dict[str, Any]:
    """What was seen of a run that was watched."""
    if "md__md__active_set" not in given:
        return {}
    from aiida_lpsgb.calculations.functions.transport import extrapolation_of

    control = given["md__md__parameters"].get_dict().get("extrapolation") or {}
    return {"watched_above": control.get("gamma_select"), **extrapolation_of(node.get_dict() for node in parts)}
