"""All systems beside each other: a column for every quantity, or a line for it in print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aiida_lpsgb.analysis.misfit import CORE
from aiida_lpsgb.analysis.observables import Row
from aiida_lpsgb.analysis.region_diffusion import ELSEWHERE
from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.report.characterisation import headline_rows, published_number
from aiida_lpsgb.report.fits import Fit, measured, pooled_error
from aiida_lpsgb.report.published import published_of
from aiida_lpsgb.report.results import Results, Run, System
from aiida_lpsgb.report.tables.sentences import contradicted
from aiida_lpsgb.report.text import Column, Number, Table, decimal

DEFAULT_TARGET_K = 300.0
OF_ISOTROPY = ("propagator", RECOMMENDED)
"""Estimators of motion in a region that are without bias along the normal, the best first."""
SYSTEMS_A_BLOCK = 4
"""So many systems stand side by side in print."""


def target_K(results: Results) -> float:
    """The temperature to which the fits extrapolate."""
    fits = (system.fit for system in results.systems)
    return next((fit.target_K for fit in fits if fit), DEFAULT_TARGET_K)


class Entry(NamedTuple):
    """What is known of a quantity of a system.

    Attributes
    ----------
    value
        A cell of a table.
    published
        The published number as text, empty if there is none.
    headline, told
        Whether it stands at the top of the system's card, or on it at all.
    """

    value: Any = None
    published: str = ""
    headline: bool = False
    told: bool = True


def system_numbers(system: System, target: float, references: Mapping[str, Any]) -> dict[Column, Entry]:
    """Everything that is known of a system, by column.

    Parameters
    ----------
    system
        The system.
    target
        Temperature to which the fits extrapolate, K.
    references
        Its published numbers.
    """
    return {
        Column("kind", "kind"): Entry(system.kind, told=False),
        Column("n_atoms", "atoms"): Entry(system.n_atoms, told=False),
        Column("runs", "runs"): Entry(runs_text(system), told=False),
        **_extrapolation_numbers(system),
        **_fit_numbers(system, target, references),
        **_recipe_numbers(system, references),
        **_motion_numbers(system, target, references),
        **_structure_numbers(system, target, references),
    }


def runs_text(system: System) -> str:
    """How many runs a system has of those that were planned."""
    if not system.n_planned:
        return ""
    done = sum(not run.outcome for run in system.runs)
    return f"{done} of {system.n_planned}" + (f", {len(system.left_out)} left out" if system.left_out else "")


def _extrapolation_numbers(system: System) -> dict[Column, Entry]:
    """How many of the graded frames extrapolate, and how many did before the study went back to learning."""
    if system.extrapolated is None:
        return {}
    now, *before = (f"{n} of {total}" for n, total in (system.extrapolated, *reversed(system.extrapolated_before)))
    text = f"{now} (before: {', '.join(before)})" if before else now
    return {Column("extrapolated", "frames that extrapolate"): Entry(text, told=False)}


def _fit_numbers(system: System, target: float, references: Mapping[str, Any]) -> dict[Column, Entry]:
    numbers: dict[Column, Entry] = {}
    name = f"conductivity_{target:g}k_s_cm"
    if system.fit and system.fit.fitted:
        energy = Number(*system.fit.energy_eV)
        numbers[Column("activation_energy_ev", "Eₐ (eV)")] = Entry(
            energy, reference(references, "activation_energy_ev"), headline=True
        )
    if system.fit:
        far = system.fit.nearest_K
        notes = [f"extrapolated from {far:g} K" if far and far != target else ""]
        notes.append("contradicted by a run" if contradicted(system) else "")
        number = at_target(system.fit, "conductivity", "; ".join(note for note in notes if note))
        title = f"σ({target:g} K), fit (S/cm)"
        numbers[Column(name, title)] = Entry(number, reference(references, name), headline=True)
    direct = measured([run.motion for run in system.at(target)], "conductivity")
    if direct:
        beside = "" if system.fit else reference(references, name)
        numbers[Column(f"conductivity_{target:g}k_run_s_cm", f"σ({target:g} K), runs (S/cm)")] = Entry(
            Number(direct.value, direct.error, limit=direct.limit), beside, headline=True
        )
    return numbers


def at_target(fit: Fit, quantity: str, note: str = "") -> Number:
    """What a fit says of D or σ at its target: a value with its interval, else an upper limit."""
    value, interval, limit = fit.at_target(quantity)
    return Number(limit=limit) if value is None else Number(value, interval=interval, note=note)


def _recipe_numbers(system: System, references: Mapping[str, Any]) -> dict[Column, Entry]:
    """What the recipe has found: the energy of a boundary, the order of a glass."""
    numbers: dict[Column, Entry] = {}
    if system.energy_J_m2 is not None:
        numbers[Column("boundary_energy_J_m2", "γ (J/m²)")] = Entry(
            Number(system.energy_J_m2, form=".3f"), reference(references, "boundary_energy_J_m2"), headline=True
        )
    glass = system.made.get("structure")
    if isinstance(glass, Mapping) and "amorphous" in glass:
        numbers[Column("amorphous", "amorphous")] = Entry(glass["amorphous"], headline=True)
        numbers[Column("bragg_order", "Bragg order")] = Entry(Number(glass["bragg_order"], form=".3f"))
    return numbers


def _motion_numbers(system: System, target: float, references: Mapping[str, Any]) -> dict[Column, Entry]:
    """D at every temperature, and of isotropy and Haven ratio what is known at the coldest."""
    numbers: dict[Column, Entry] = {}
    for temperature in sorted(system.temperatures_K, reverse=True):
        here = measured([run.motion for run in system.at(temperature)])
        if here:
            column = Column(f"diffusivity_{temperature:g}k_cm2_s", f"D({temperature:g} K) (cm²/s)")
            number = Number(here.value, here.error, limit=here.limit)
            numbers[column] = Entry(number, reference(references, column.key), told=False)
    for name, title in (("isotropy", "isotropy ξ"), ("haven_ratio", "Haven ratio")):
        number = coldest_ratio(system, name, target)
        if number:
            numbers[Column(name, title)] = Entry(number, reference(references, name))
    return numbers


def coldest_ratio(system: System, name: str, target: float) -> Number | None:
    """A ratio at the coldest temperature at which all runs know it; ξ of a boundary is that of its region."""
    for temperature in system.temperatures_K:
        runs = [_recommended(run) if name == "isotropy" else run.motion for run in system.at(temperature)]
        values = [run.get(name) for run in runs]
        if None not in values and all(run["diffusive"] for run in runs):
            error = pooled_error(values, [run.get(f"{name}_uncertainty") for run in runs])
            note = "" if temperature == target else f"{temperature:g} K"
            return Number(sum(values) / len(values), error, form=".2f", note=note)
    return None


def _recommended(run: Run) -> Mapping[str, Any]:
    """The motion in the region of a run by the estimator for its isotropy, that of the whole cell without regions."""
    # Of a boundary and the core of a dislocation in it the boundary counts.
    regions = sorted(run.regions.values(), key=lambda found: found["region"] != CORE)
    named = {found["estimator"]: found for found in regions if found["region"] != ELSEWHERE}
    return next((named[estimator] for estimator in OF_ISOTROPY if estimator in named), run.motion)


def _structure_numbers(system: System, target: float, references: Mapping[str, Any]) -> dict[Column, Entry]:
    """The headline numbers of structure of all observables, each at the coldest temperature at which it is known."""
    rows: dict[str, list[tuple[float, Row]]] = {}
    for run in system.runs:
        for row in headline_rows(run.summary, "arrays") if "run" in run.summary else []:
            if row.value is not None:
                rows.setdefault(row.quantity, []).append((run.temperature_K, row))
    numbers = {}
    for quantity, found in rows.items():
        coldest = min(temperature for temperature, _ in found)
        own = [row for temperature, row in found if temperature == coldest]
        values, form = [row.value for row in own], own[0].form
        error = None if "%" in form else pooled_error(values, [row.error for row in own])
        note = "" if coldest == target else f"{coldest:g} K"
        number = Number(sum(values) / len(values), error, form=form, note=note)
        # One of many, such as the first peak of a pair, is for the tables.
        told = len(own[0].reference) == 1
        numbers[Column(key_of(quantity), quantity)] = Entry(number, published_number(own[0], references), told=told)
    return numbers


def key_of(quantity: str) -> str:
    """A name for a quantity in files."""
    return re.sub(r"\W+", "_", quantity).strip("_")


def reference(references: Mapping[str, Any], name: str) -> str:
    """A published number, empty if there is none."""
    value = references.get(name, {}).get("values")
    return "" if value is None else decimal(value)


def comparison(results: Results, published: Mapping[str, Any] | None = None) -> Table:
    """A line for every system and a column for every quantity; one with published numbers is followed by these."""
    target = target_K(results)
    every = [system_numbers(s, target, published_of(published, s.name, s.recipe)) for s in results.systems]
    titles = ordered(numbers.keys() for numbers in every)
    shown: list[tuple[Column, bool]] = []
    for column in titles:
        shown.append((column, False))
        if any(numbers.get(column, Entry()).published for numbers in every):
            shown.append((column, True))
    rows = []
    for system, numbers in zip(results.systems, every, strict=True):
        cells = [numbers.get(column, Entry())[int(second)] for column, second in shown]
        rows.append((system.name, *cells, system.outcome))
    header = [
        Column("system", "system"),
        *(Column(f"{c.key}_published", f"{c.title}, published") if second else c for c, second in shown),
        Column("outcome", "state"),
    ]
    return Table("systems", "Systems", tuple(header), tuple(rows))


def ordered(lists: Iterable[Iterable[Column]]) -> list[Column]:
    """The columns of several lists, each once, in an order that all of them have."""
    merged: list[Column] = []
    for columns in lists:
        at = 0
        for column in columns:
            if column in merged:
                at = merged.index(column) + 1
            else:
                merged.insert(at, column)
                at += 1
    return merged


def side_by_side(results: Results, published: Mapping[str, Any] | None = None) -> list[Table]:
    """The comparison as it is printed: a line for every quantity and a column for every system, a few at a time."""
    target = target_K(results)
    tables = []
    for begin in range(0, len(results.systems), SYSTEMS_A_BLOCK):
        block = results.systems[begin : begin + SYSTEMS_A_BLOCK]
        numbers = {s.name: system_numbers(s, target, published_of(published, s.name, s.recipe)) for s in block}
        header, cells = [Column("quantity", "")], []
        for name, found in numbers.items():
            beside = any(entry.published for entry in found.values())
            header += [Column(name, name), *([Column(f"{name}_published", "published")] if beside else [])]
            cells.append((found, beside))
        rows = []
        for column in ordered(found.keys() for found in numbers.values()):
            line = [column.title]
            for found, beside in cells:
                entry = found.get(column, Entry())
                line += [entry.value, entry.published] if beside else [entry.value]
            rows.append(tuple(line))
        tables.append(Table("quantities", "" if begin else "Systems", tuple(header), tuple(rows)))
    return tables
