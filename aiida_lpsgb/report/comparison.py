"""The systems of a study against each other: what goes together, and in which order they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_lpsgb.analysis.comparison import Correlation, Known, Relation, Structure, correlation, order, parse_order
from aiida_lpsgb.report import figures
from aiida_lpsgb.report.fits import measured, pooled_error
from aiida_lpsgb.report.reasons import Evidence, reason
from aiida_lpsgb.report.tables.systems import coldest_ratio, target_K
from aiida_lpsgb.report.text import Column, Number, Table, decimal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aiida_lpsgb.report.results import Results, System

CLAIM = "crystal < tilt < twist ~ interface ~ glass"
"""The published order of the diffusivity, of the persistent rings and of the site disorder."""
ORDERED = ("diffusivity", "f_pd", "disorder")
PAIRS = (("isotropy", "diffusivity"), ("conductivity", "f_pd"), ("conductivity", "disorder"))
"""Quantities that are drawn against each other, the horizontal one first."""
TITLES = {
    "diffusivity": "D({target:g} K)  (cm² s⁻¹)",
    "conductivity": "σ({target:g} K)  (S cm⁻¹)",
    "isotropy": "isotropy ξ",
    "f_pd": "f_PD",
    "disorder": "mean site disorder",
}
TOPOLOGY = "alpha_diameter"
"""The convention of f_PD, a variant of `topology`."""
NUMBERS = {"f_pd": (("topology", TOPOLOGY), "f_pd"), "disorder": (("disorder",), "mean")}
"""Where a run's summary has a number of structure."""


def kind_of(system: System) -> str:
    """`tilt` or `twist` for a boundary, by whether its axis lies in its plane; else the kind of the recipe."""
    if system.kind != "boundary":
        return system.kind
    axis = system.recipe.get("axis")
    # The zone law: of a direction [uvw] and a plane (hkl) of any lattice.
    return "tilt" if axis and not np.dot(axis, system.recipe["plane"]) else "twist"


def structures_of(results: Results, topology: str = TOPOLOGY) -> dict[str, Structure]:
    """What is known of every system.

    Parameters
    ----------
    results
        What `study_results` has collected.
    topology
        The variant of `topology` that f_PD is taken from.

    Returns
    -------
    dict
        By system: ``diffusivity`` (cm²/s) and ``conductivity`` (S/cm) at the target of the fits, by the fit or, where
        there is none, by the runs there; ``isotropy``, ``f_pd`` and ``disorder`` at the coldest temperature at which
        they are known. What is not known is left out.
    """
    target = target_K(results)
    found = {}
    for system in results.systems:
        known = {name: _at_target(system, name, target) for name in ("diffusivity", "conductivity")}
        known["isotropy"] = _by_factor(coldest_ratio(system, "isotropy", target))
        known["f_pd"] = _structural(system, ("topology", topology), "f_pd")
        known["disorder"] = _structural(system, *NUMBERS["disorder"])
        found[system.name] = Structure(kind_of(system), {k: v for k, v in known.items() if v is not None})
    return found


def _at_target(system: System, quantity: str, target_K: float) -> Known | None:
    """D or σ at the target by the fit, else by runs there; the narrower of two limits."""
    if system.fit:
        value, interval, limit = system.fit.at_target(quantity)
        if value is not None and interval is not None:
            return Known(value, interval[0], interval[1], positive=True)
        if limit is not None:
            return Known(limit=limit, positive=True)
    here = measured([run.motion for run in system.at(target_K)], quantity) if system.at(target_K) else None
    if here is not None and here.limit is not None:
        return Known(limit=here.limit, positive=True)
    return _by_factor(here)


def _by_factor(number: Number | None) -> Known | None:
    """A number that is known by a factor, which one that is not above zero is not."""
    if number is None or number.value is None or number.value <= 0:
        return None
    return Known.of(number.value, number.error, positive=True)


def _structural(system: System, path: tuple[str, ...], name: str) -> Known | None:
    """A headline number of structure at the coldest temperature at which runs have it, pooled over these."""
    own = _at_coldest(system, path, name)
    if not own:
        return None
    values, errors = zip(*(found for _, found in own), strict=True)
    return Known.of(float(np.mean(values)), pooled_error(values, errors))


def _at_coldest(system: System, path: tuple[str, ...], name: str) -> list[tuple[str, tuple[float, float | None]]]:
    """A headline number of structure and its error in the runs of the coldest temperature, by potential."""
    found: dict[float, list[tuple[str, tuple[float, float | None]]]] = {}
    for run in system.runs:
        numbers: Any = run.summary
        for key in path:
            numbers = (numbers or {}).get(key)
        if numbers and numbers.get(name) is not None:
            entry = run.potential, (numbers[name], numbers.get(f"{name}_uncertainty"))
            found.setdefault(run.temperature_K, []).append(entry)
    return found[min(found)] if found else []


def evidence_of(results: Results, structures: Mapping[str, Structure], quantity: str) -> Evidence:
    """What there is to tell why an order in one of `ORDERED` is not supported."""
    if quantity == "diffusivity":
        return Evidence(structures, {s.name: s.fit.by_potential() for s in results.systems if s.fit})
    path = NUMBERS[quantity]
    own = {system.name: dict(_at_coldest(system, *path)) for system in results.systems}
    if quantity != "f_pd":
        return Evidence(structures, own)
    variants = {variant for s in results.systems for run in s.runs for variant in run.summary.get("topology") or {}}
    others = {v.replace("_", ", "): structures_of(results, v) for v in sorted(variants - {TOPOLOGY})}
    return Evidence(structures, own, others)


# ---- tables --------------------------------------------------------------------------------------------------------


def correlations(structures: Mapping[str, Structure]) -> list[Correlation]:
    """Rank correlations of `PAIRS`, as far as there are three systems or more."""
    found = [correlation(structures, x, y) for x, y in PAIRS]
    return [entry for entry in found if entry is not None]


def orders(structures: Mapping[str, Structure], claim: str = CLAIM) -> list[list[Relation]]:
    """The steps of a claimed order in each of `ORDERED`, as far as their kinds are known, all together last."""
    found = [order(structures, quantity, claim) for quantity in ORDERED]
    return [relations for relations in found if relations]


def correlations_table(results: Results, structures: Mapping[str, Structure] | None = None) -> Table | None:
    """What goes together over all systems."""
    target = target_K(results)
    found = correlations(structures_of(results) if structures is None else structures)
    rows = tuple(
        (
            title(entry.y, target),
            title(entry.x, target),
            Number(entry.rho, interval=entry.interval95),
            Number(entry.p_value, form=".2g"),
            entry.n_structures,
        )
        for entry in found
    )
    header = (("y", "quantity"), ("x", "against"), ("rho", "rank correlation"), ("p", "p by chance"), ("n", "systems"))
    note = "Spearman's coefficient with the interval that the errors leave; p: of as large a one without any relation."
    columns = tuple(Column(*entry) for entry in header)
    return Table("correlations", "What goes together", columns, rows, note) if rows else None


def orders_table(
    results: Results, structures: Mapping[str, Structure] | None = None, claim: str = CLAIM
) -> Table | None:
    """The probability of each step of a claimed order."""
    target = target_K(results)
    structures = structures_of(results) if structures is None else structures
    found = orders(structures, claim)
    if not found:
        return None
    evidence = {name: evidence_of(results, structures, name) for name in ORDERED}
    rows = tuple(
        (
            title(step.quantity, target),
            step.claim,
            Number(step.probability, form=".0%"),
            step.verdict,
            reason(step, evidence[step.quantity]) if len(parse_order(step.claim)[1]) == 1 else "",
        )
        for relations in found
        for step in relations
    )
    header = (
        *(("quantity", "quantity"), ("claim", "claim"), ("probability", "probability"), ("verdict", "verdict")),
        ("reason", "why not supported"),
    )
    note = (
        "Probability that the mean over the systems of a kind is below that of another (<), or that they are alike (~: "
        "within 25 %, of D within a factor of 1.6), given the errors. Supported from 95 %; contradicted where the "
        "opposite has as much, in any of several steps. An open step is for want of statistics, or since potentials "
        "differ: whichever makes most of the error of the number that is known worst."
    )
    return Table("orders", "In which order", tuple(Column(*entry) for entry in header), rows, note)


def title(quantity: str, target_K: float) -> str:
    """A quantity as an axis and a table call it."""
    return TITLES[quantity].format(target=target_K)


# ---- figures -------------------------------------------------------------------------------------------------------


def relations_figure(results: Results, structures: Mapping[str, Structure] | None = None) -> Figure | None:
    """`PAIRS` against each other over all systems; None where fewer than two systems have both of any."""
    structures = structures_of(results) if structures is None else structures
    shown = [pair for pair in PAIRS if sum(set(pair) <= set(s.known) for s in structures.values()) > 1]
    if not shown:
        return None
    target = target_K(results)
    found = {(entry.x, entry.y): entry for entry in correlations(structures)}
    return figures.relations(
        structures,
        shown,
        {name: title(name, target) for name in TITLES},
        {pair: _rho_words(entry) for pair, entry in found.items()},
        kinds=parse_order(CLAIM)[0],
    )


def _rho_words(entry: Correlation) -> str:
    rho, low, high = (decimal(value, 2) for value in (entry.rho, *entry.interval95))
    return f"ρ = {rho} (95 %: {low} to {high})"


def both_tables(results: Results) -> list[Table]:
    """Correlations and orders, where there is something to compare."""
    structures = structures_of(results)
    found: Sequence[Table | None] = (correlations_table(results, structures), orders_table(results, structures))
    return [table for table in found if table is not None]
