"""What was found, as tables: to be printed, shown on a page or written to files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from textwrap import fill
from typing import Any, NamedTuple

from aiida_lpsgb.analysis.observables import Row
from aiida_lpsgb.analysis.region_diffusion import ELSEWHERE, ESTIMATORS
from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.report.characterisation import headline_rows, published_number
from aiida_lpsgb.report.fits import PARTS, Fit, Measured, contradictions, measured, pooled_error
from aiida_lpsgb.report.published import published_of
from aiida_lpsgb.report.results import Results, Run, System
from aiida_lpsgb.report.text import Column, Number, Table, decimal

MEV_PER_EV = 1000.0
DEFAULT_TARGET_K = 300.0
WIDTH = 120
"""Of lines of text."""
OF_ISOTROPY = ("propagator", RECOMMENDED)
"""Estimators of motion in a region that are without bias along the normal, the best first."""
NOT_PRINTED = ("sentence", *(f"activation_energy_{part}_ev" for part in PARTS))
"""Columns of the table of fits that are for the page and for files."""
SYSTEMS_A_BLOCK = 4
"""So many systems stand side by side in print."""
MEANING = (
    "± is one standard uncertainty; intervals, bars and limits (<) are at 95 %. Where the motion of a run is not "
    "diffusive there is no value but an upper limit. Several runs of one temperature are averaged; their error is the "
    "larger of what their own errors and their scatter give."
)
"""What the numbers mean, said once."""


# ---- all systems ---------------------------------------------------------------------------------------------------


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
    named = {found["estimator"]: found for found in run.regions.values() if found["region"] != ELSEWHERE}
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


# ---- warnings ------------------------------------------------------------------------------------------------------


def warnings(results: Results) -> list[str]:
    """What must not be overlooked: runs that contradict a fit, potentials that disagree, and what failed."""
    found = []
    for system in results.systems:
        found += [f"{system.name}: {sentence}" for sentence in contradiction_sentences(system)]
        if system.fit and system.fit.disagreeing:
            named = ", ".join(system.fit.disagreeing)
            found.append(f"{system.name}: {named} disagrees grossly with the other potentials")
        found += [f"{system.name}: {sentence}" for sentence in extrapolation_sentences(system)]
    for name, card in results.cards.items():
        found += [f"{name} is not fit for production: {reason}" for reason in card["reasons"]]
    return found + list(results.failures)


def sentence_of(system: System) -> str:
    """What to know before a system's numbers at the target are quoted, and how to run on where there is no line."""
    if system.fit is None:
        return ""
    spent = [run.judgement["production_ps"] for run in system.runs if run.judgement and not run.judgement["known"]]
    if system.fit.fitted or not spent or system.sweep_pk is None:
        return system.fit.sentence
    longer = f"aiida-lpsgb launch sweep --add {system.sweep_pk} --max-production {4 * max(spent):g}"
    return f"{system.fit.sentence}. To run on: {longer}"


def extrapolation_sentences(system: System) -> list[str]:
    """Which runs of a system left what their potential has learned."""
    found = [run for run in system.runs if run.n_extrapolated]
    if not found:
        return []
    worst = max(found, key=lambda run: run.max_grade or 0.0)
    named = ", ".join(run.label for run in found)
    highest = "" if worst.max_grade is None else f"; the highest grade is {worst.max_grade:.1f}, in {worst.label}"
    return [f"frames of {named} extrapolate{highest}: learn from them (output extrapolated) and run again"]


def contradicted(system: System) -> list[tuple[float, Measured, tuple[float, float]]]:
    """Where the runs of a system contradict its fit."""
    if system.fit is None:
        return []
    by_temperature = {t: measured([run.motion for run in system.at(t)]) for t in system.temperatures_K}
    return contradictions(system.fit, by_temperature)


def contradiction_sentences(system: System) -> list[str]:
    """Where the runs of a system contradict its fit, in words."""
    return [
        f"the runs at {temperature:g} K contradict the fit: D {'' if here.limit else '= '}"
        f"{Number(here.value, here.error, limit=here.limit)} cm²/s, where the fit says "
        f"{decimal(low, 2)} to {decimal(high, 2)} cm²/s (95 %); do not rely on its extrapolation"
        for temperature, here, (low, high) in contradicted(system)
    ]


# ---- runs ----------------------------------------------------------------------------------------------------------


def runs_table(results: Results) -> Table:
    """Every run: what it has found, and how long it is."""
    species = ", ".join(dict.fromkeys(system.species for system in results.systems if system.species))
    titles = {
        "system": "system",
        "run": "run",
        "temperature_K": "T (K)",
        "potential": "potential",
        "diffusivity_cm2_s": f"D {species} (cm²/s)",
        "conductivity_s_cm": "σ (S/cm)",
        "isotropy": "isotropy ξ",
        "haven_ratio": "Haven ratio",
        "production_ps": "produced (ps)",
        "max_grade": "highest γ",
        "n_extrapolated": "extrapolating frames",
        "verdict": "verdict",
        "judgement": "long enough",
        "state": "state",
    }
    rows = tuple(_run_row(run) for run in results.runs)
    return Table("runs", "Runs", tuple(Column(*entry) for entry in titles.items()), rows)


def _run_row(run: Run) -> tuple[Any, ...]:
    motion = run.motion or {}
    return (
        run.system,
        run.label,
        run.temperature_K,
        run.potential,
        motion_number(motion, "diffusivity"),
        motion_number(motion, "conductivity"),
        _ratio(motion, "isotropy"),
        _ratio(motion, "haven_ratio"),
        run.production_ps,
        grade_number(run),
        run.n_extrapolated,
        motion.get("verdict"),
        (run.judgement or {}).get("reason"),
        run.outcome,
    )


def grade_number(run: Run) -> Number:
    """The highest grade of a run that was watched."""
    if run.max_grade is None and run.n_extrapolated == 0:
        return Number(limit=run.watched_above, form=".1f")
    return Number(run.max_grade, form=".1f")


def motion_number(motion: Mapping[str, Any], quantity: str) -> Number:
    """A number of one diffusivity; an upper limit where the motion is not diffusive."""
    here = measured([motion], quantity) if motion else None
    return Number(here.value, here.error, limit=here.limit) if here else Number()


def temperatures_table(results: Results) -> Table | None:
    """D by system and temperature, a column for each potential: the runs as they are printed."""
    names = sorted({run.potential for run in results.runs})
    rows = []
    for system in results.systems:
        for temperature in system.temperatures_K:
            runs = system.at(temperature)
            cells = [
                ", ".join(str(motion_number(r.motion, "diffusivity")) for r in runs if r.potential == n) for n in names
            ]
            so_far = any(run.outcome for run in runs)
            rows.append((system.name, temperature, *cells, "so far" if so_far else ""))
    if not rows:
        return None
    header = [Column("system", "system"), Column("T", "T (K)"), *(Column(n, f"D, {n} (cm²/s)") for n in names)]
    return Table("temperatures", "Diffusivities", (*header, Column("state", "state")), tuple(rows))


def regions_table(results: Results) -> Table | None:
    """The motion in every region of every run, by each estimator."""
    titles = {
        "system": "system",
        "run": "run",
        "temperature_K": "T (K)",
        "region": "region",
        "estimator": "estimator",
        "diffusivity_cm2_s": "D (cm²/s)",
        "lateral_cm2_s": "D lateral (cm²/s)",
        "normal_cm2_s": "D normal (cm²/s)",
        "isotropy": "isotropy ξ",
        "verdict": "verdict",
    }
    rows = tuple(
        (
            run.system,
            run.label,
            run.temperature_K,
            found["region"],
            found["estimator"],
            motion_number(found, "diffusivity"),
            _part(found, "lateral"),
            _part(found, "normal"),
            _ratio(found, "isotropy"),
            found.get("verdict"),
        )
        for run in results.runs
        for found in run.regions.values()
    )
    return Table("regions", "Motion by region", tuple(Column(*t) for t in titles.items()), rows) if rows else None


def _ratio(motion: Mapping[str, Any], name: str) -> Number:
    """Isotropy or Haven ratio of a motion that is diffusive."""
    if not motion.get("diffusive"):
        return Number()
    return Number(motion.get(name), motion.get(f"{name}_uncertainty"), form=".2f")


def _part(motion: Mapping[str, Any], name: str) -> Number:
    """The lateral or normal part of a motion that is diffusive."""
    if not motion["diffusive"]:
        return Number()
    return Number(motion.get(f"{name}_cm2_s"), motion.get(f"{name}_uncertainty_cm2_s"))


def fits_table(results: Results) -> Table | None:
    """Every Arrhenius fit: of cells, and of their regions by each estimator."""
    target = target_K(results)
    named = [
        (system.name, where, fit)
        for system in results.systems
        for where, fit in [("cell", system.fit), *((region_words(k), f) for k, f in system.regional_fits.items())]
        if fit
    ]
    if not named:
        return None
    titles = {
        "system": "system",
        "where": "where",
        "activation_energy_ev": "Eₐ (eV)",
        **{f"activation_energy_{part}_ev": f"±, {part} (eV)" for part in PARTS},
        "d0_cm2_s": "D₀ (cm²/s)",
        f"diffusivity_{target:g}k_cm2_s": f"D({target:g} K) (cm²/s)",
        f"conductivity_{target:g}k_s_cm": f"σ({target:g} K) (S/cm)",
        f"collective_conductivity_{target:g}k_s_cm": f"σ({target:g} K), collective (S/cm)",
        "transition_K": "bends at (K)",
        "diffusive_K": "diffusive at (K)",
        "n_limits": "limits",
        "sentence": "to know",
    }
    return Table(
        "fits",
        "Arrhenius fits",
        tuple(Column(*entry) for entry in titles.items()),
        tuple((system, where, *_fit_cells(fit)) for system, where, fit in named),
        "The parts of ± are of the runs themselves (statistics), of their scatter about the line (replicas), of the "
        "potentials among each other (committee), and of what may happen below the coldest run (extrapolation).",
    )


def _fit_cells(fit: Fit) -> tuple[Any, ...]:
    collective, interval, _ = fit.at_target("collective_conductivity")
    bends = sorted({f"{transition:.0f}" for transition in fit.transitions_K})
    return (
        Number(*fit.energy_eV),
        *(Number(value) for value in fit.parts("activation_energy", "_eV").values()),
        Number(fit.results["d0_cm2_s"]),
        at_target(fit, "diffusivity"),
        at_target(fit, "conductivity"),
        Number(collective, interval=interval),
        ", ".join(bends),
        ", ".join(f"{temperature:g}" for temperature in fit.diffusive_K),
        len(fit.diffusive) - sum(fit.diffusive),
        fit.sentence,
    )


def region_words(label: str) -> str:
    """The label of a region and an estimator in words."""
    estimator = next((name for name in ESTIMATORS if label.endswith(f"_{name}")), "")
    return f"{label.removesuffix(f'_{estimator}')}, {estimator}" if estimator else label


def costs_table(results: Results) -> Table | None:
    """What every temperature of every system took, and whether it was enough."""
    rows = []
    for system in results.systems:
        for temperature in sorted({run.temperature_K for run in system.runs}):
            runs = [run for run in system.runs if run.temperature_K == temperature]
            produced = [run.production_ps for run in runs if run.production_ps is not None]
            judged = [run.judgement["known"] for run in runs if run.judgement]
            hours = Number(sum(run.core_hours for run in runs))
            known = f"{sum(judged)} of {len(judged)}" if judged else ""
            rows.append((system.name, temperature, len(runs), sum(produced) if produced else None, hours, known))
    if not rows:
        return None
    titles = {
        "system": "system",
        "temperature_K": "T (K)",
        "n_runs": "runs",
        "production_ps": "produced (ps)",
        "core_hours": "core-hours",
        "known": "known well enough",
    }
    return Table("costs", "What each temperature took", tuple(Column(*entry) for entry in titles.items()), tuple(rows))


# ---- learning and errors -------------------------------------------------------------------------------------------


def learning_table(results: Results) -> Table | None:
    """The learning curve; training errors are those of the training set."""
    learning = results.learning
    if learning is None or not learning.iterations:
        return None
    titles = {
        "iteration": "iteration",
        "potentials": "explored by",
        "gamma_break": "γ_break",
        "n_broken": "runs ended early",
        "n_extrapolated": "configurations above γ_select",
        "max_grade": "highest γ",
        "explored_ps": "explored (ps)",
        "n_configurations": "trained on",
        "energy_rmse_mev_atom": "energy RMSE (meV/atom)",
        "forces_rmse_mev_A": "force RMSE (meV/Å)",
        "test_energy_rmse_mev_atom": "test energy RMSE (meV/atom)",
        "test_forces_rmse_mev_A": "test force RMSE (meV/Å)",
    }
    rows = []
    for entry in learning.iterations:
        errors, test = training_errors(entry), entry.get("test") or {}
        rows.append(
            (
                entry["iteration"],
                ", ".join(entry.get("potentials", ("p1",))),  # not named where the first alone explored
                entry["gamma_break"],
                f"{entry['n_broken']} of {entry['n_runs']}",
                entry["n_extrapolated"],
                Number(entry.get("max_grade"), form=".1f"),
                entry.get("explored_ps"),
                errors.get("n_configurations"),
                *_errors_cells(errors),
                *_errors_cells(test),
            )
        )
    stands = "converged" if learning.converged else "not converged" if learning.failed else "so far"
    return Table("learning", f"Active learning ({stands})", tuple(Column(*t) for t in titles.items()), tuple(rows))


def grid_table(results: Results) -> Table | None:
    """Every point of the grid of the passive stage: errors on what was held back, and cost."""
    if results.grid is None:
        return None
    titles = {
        "name": "point",
        "level": "level",
        "cutoff_A": "cut-off (Å)",
        "time_us_atom_step": "µs/atom/step",
        "energy_mae_mev_atom": "energy MAE (meV/atom)",
        "energy_rmse_mev_atom": "energy RMSE (meV/atom)",
        "forces_mae_mev_A": "force error, mean length (meV/Å)",
        "forces_rmse_mev_A": "force RMSE (meV/Å)",
        "stress_rmse_gpa": "stress RMSE (GPa)",
        "standing": "standing",
    }
    rows = []
    for point in results.grid["points"]:
        standing = "chosen" if point["chosen"] else "on the front" if point["on_front"] else ""
        lacks = f"lacks {', '.join(point['missing'])}" if point["missing"] else ""
        rows.append(
            (
                point["name"],
                point["level"],
                point["cutoff_angstrom"],
                Number(point.get("time_us_atom_step"), form=".3g"),
                *(
                    _in_mev(point.get(f"{quantity}_{statistic}_{unit}"), form)
                    for quantity, unit, form in (("energy", "ev_atom", ".2f"), ("forces", "ev_angstrom", ".0f"))
                    for statistic in ("mae", "rmse")
                ),
                Number(point.get("stress_rmse_gpa"), form=".3f"),
                standing or lacks,
            )
        )
    columns = tuple(Column(*entry) for entry in titles.items())
    return Table("grid", "Choice of level and cut-off", columns, tuple(rows), results.grid["reason"])


def training_errors(iteration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Errors on the training set in an entry of the learning curve, empty if they were not reported."""
    return iteration["training"].get("training") or {}


def _errors_cells(errors: Mapping[str, Any]) -> tuple[Number, Number]:
    return _in_mev(errors.get("energy_rmse_ev_atom"), ".1f"), _in_mev(errors.get("forces_rmse_ev_angstrom"), ".0f")


def _in_mev(value: float | None, form: str) -> Number:
    return Number(None if value is None else MEV_PER_EV * value, form=form)


def potentials_table(results: Results) -> Table | None:
    """Every potential: what it is, and its errors on configurations that were never trained on."""
    if not results.potentials:
        return None
    titles = {
        "potential": "potential",
        "species": "species",
        "level": "level",
        "cutoff_A": "cut-off (Å)",
        "n_parameters": "parameters",
        "n_test": "tested on",
        "energy_mae_mev_atom": "energy MAE (meV/atom)",
        "energy_rmse_mev_atom": "energy RMSE (meV/atom)",
        "forces_mae_mev_A": "force error, mean length (meV/Å)",
        "forces_rmse_mev_A": "force RMSE (meV/Å)",
        "stress_rmse_gpa": "stress RMSE (GPa)",
        "node": "node",
    }
    rows = []
    for name, known in results.potentials.items():
        errors = results.test_errors.get(name, {})
        rows.append(
            (
                name,
                " ".join(known.get("species", ())),
                known.get("level") if known["class"] == "PotentialData" else known["class"],
                known.get("cutoff_angstrom"),
                known.get("n_parameters"),
                errors.get("n_configurations"),
                _in_mev(errors.get("energy_mae_ev_atom"), ".1f"),
                _in_mev(errors.get("energy_rmse_ev_atom"), ".1f"),
                _in_mev(errors.get("forces_mae_ev_angstrom"), ".0f"),
                _in_mev(errors.get("forces_rmse_ev_angstrom"), ".0f"),
                Number(errors.get("stress_rmse_gpa"), form=".3f"),
                known["pk"],
            )
        )
    return Table("potentials", "Potentials", tuple(Column(*entry) for entry in titles.items()), tuple(rows))


PROPERTIES = {
    ("lattice", "density_g_cm3"): ("density (g/cm³)", ".3f"),
    ("elasticity", "bulk_modulus_GPa"): ("B (GPa)", ".1f"),
    ("elasticity", "shear_modulus_GPa"): ("G (GPa)", ".1f"),
    ("equation_of_state", "bulk_modulus_GPa"): ("B, equation of state (GPa)", ".1f"),
    ("equation_of_state", "volume_A3_per_atom"): ("V₀ (Å³/atom)", ".2f"),
    ("elasticity", "poisson_ratio"): ("Poisson's ratio", ".2f"),
    ("elasticity", "universal_anisotropy"): ("universal anisotropy", ".2f"),
    ("drift", "energy_drift_mev_atom_ps"): ("drift (meV/atom/ps)", ".4f"),
}
"""Numbers of `lpsgb.properties` that are shown, with their titles and forms."""


def properties_table(results: Results) -> Table | None:
    """What each potential, and the label engine, makes of the crystal."""
    if not results.properties:
        return None
    header = [Column("by", "by"), *(Column(f"{e}_A", f"{e} (Å)") for e in "abc")]
    header += [Column(key_of(title), title) for title, _ in PROPERTIES.values()]
    rows = []
    for name, found in results.properties.items():
        edges = [Number(length, form=".3f") for length in found["lattice"]["lengths_A"]]
        numbers = [Number((found.get(part) or {}).get(key), form=form) for (part, key), (_, form) in PROPERTIES.items()]
        level = f"{name} ({found['level_of_theory']})" if name == "reference" else name
        rows.append((level, *edges, *numbers, "stable" if found["elasticity"]["stable"] else "unstable"))
    return Table(
        "properties",
        "The crystal at rest",
        (*header, Column("stable", "to small strains")),
        tuple(rows),
        "Of relaxed ions at 0 K. B and G are averages of Hill; the equation of state keeps the shape of the cell.",
    )


def cards_table(results: Results) -> Table | None:
    """Whether each potential is fit for production: a line a check, a column a potential."""
    if not results.cards:
        return None
    checks: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, card in results.cards.items():
        for check in card["checks"]:
            checks.setdefault(check["check"], {})[name] = check
    rows = []
    for check, found in checks.items():
        limit = next(iter(found.values()))["limit"]
        cells = [_check_text(found.get(name)) for name in results.cards]
        rows.append((check, "" if isinstance(limit, bool) else Number(limit), *cells))
    outcome = ["passes" if card["passed"] else "fails" for card in results.cards.values()]
    rows.append(("all", "", *outcome))
    header = (Column("check", "check"), Column("limit", "at most"), *(Column(name, name) for name in results.cards))
    return Table("cards", "Are the potentials fit for production?", header, tuple(rows))


def _check_text(check: Mapping[str, Any] | None) -> str:
    if check is None or check["passed"] is None:
        return "not known"
    value = check["value"]
    text = ("yes" if value else "no") if isinstance(value, bool) else decimal(value)
    return text if check["passed"] else f"{text}, fails"


def labels_table(results: Results) -> Table | None:
    """How many labelled configurations each set has."""
    if results.learning is None or not results.learning.labels:
        return None
    rows = tuple(results.learning.labels.items())
    level = f"labels: {results.learning.level_of_theory}" if results.learning.level_of_theory else ""
    header = (Column("set", "set"), Column("n_configurations", "configurations"))
    return Table("labels", "Training sets", header, rows, level)


# ---- where it came from --------------------------------------------------------------------------------------------


def nodes_table(results: Results) -> Table | None:
    """Seed and nodes of every run."""
    titles = {
        "system": "system",
        "run": "run",
        "seed": "seed",
        "potential_pk": "potential",
        "diffusivity_pk": "diffusivity",
        "analysis_pk": "analysis",
        "md_pks": "dynamics",
        "run_pk": "process",
    }
    rows = tuple(
        (
            run.system,
            run.label,
            run.seed,
            run.potential_pk,
            run.diffusivity_pk,
            run.analysis_pk,
            " ".join(map(str, run.md_pks)),
            run.pk,
        )
        for run in results.runs
    )
    return Table("nodes", "Nodes of the runs", tuple(Column(*t) for t in titles.items()), rows) if rows else None


def origin_tables(results: Results) -> list[Table]:
    """Nodes, programs, processes and seeds."""
    programs = Table("codes", "Programs", _columns("code", "program"), tuple(results.codes.items()))
    hours = results.core_hours
    counts = tuple(
        (label, number, cached or None, Number(hours[label]) if label in hours else None)
        for label, (number, cached) in results.processes.items()
    )
    header = (*_columns("process", "runs"), Column("cached", "from the cache"), Column("core_hours", "core-hours"))
    processes = Table("processes", "Processes", header, counts)
    seeds = Table("seeds", "Seeds", (Column("of", "seed of"), Column("value", "value")), tuple(results.seeds.items()))
    return [table for table in (nodes_table(results), programs, processes, seeds) if table and table.rows]


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, name) for name in names)


# ---- all of it -----------------------------------------------------------------------------------------------------


def all_tables(results: Results, published: Mapping[str, Any] | None = None) -> list[Table]:
    """Every table that has something in it."""
    from aiida_lpsgb.report.comparison import both_tables

    found = [
        comparison(results, published),
        *both_tables(results),
        runs_table(results),
        fits_table(results),
        regions_table(results),
        grid_table(results),
        potentials_table(results),
        cards_table(results),
        properties_table(results),
        learning_table(results),
        labels_table(results),
        costs_table(results),
        *origin_tables(results),
    ]
    return [table for table in found if table is not None and table.rows]


def table(results: Results, published: Mapping[str, Any] | None = None) -> str:
    """The results as text for a terminal.

    Parameters
    ----------
    results
        What `study_results` has collected.
    published
        Published numbers to stand beside them.
    """
    from aiida_lpsgb.report.comparison import both_tables

    printed = [
        grid_table(results),
        learning_table(results),
        potentials_table(results),
        cards_table(results),
        properties_table(results),
        temperatures_table(results),
        _short(fits_table(results)),
        *side_by_side(results, published),
        *both_tables(results),
        costs_table(results),
    ]
    parts = [results.standing + (f", {results.material}" if results.material else "")]
    parts += [str(found) for found in printed if found is not None and found.rows]
    if results.runs:
        parts.append(fill(MEANING, WIDTH))
    told = [(f"{s.name}: {sentence}", "  ") for s in results.systems if (sentence := sentence_of(s))]
    told += [(f"! {sentence}", "  ") for sentence in warnings(results)]
    parts += ["\n".join(fill(text, WIDTH, subsequent_indent=indent) for text, indent in told)]
    parts += [_notes(results, published)] if published else []
    return "\n\n".join(part for part in parts if part)


def _short(table: Table | None) -> Table | None:
    """A table of fits without the columns, and the estimators, that are not printed."""
    if table is None:
        return None
    kept = [index for index, column in enumerate(table.columns) if column.key not in NOT_PRINTED]
    rows = [row for row in table.rows if "," not in row[1] or row[1].endswith(f", {RECOMMENDED}")]
    cells = tuple(tuple(row[index] for index in kept) for row in rows)
    return Table(table.name, table.title, tuple(table.columns[index] for index in kept), cells)


def _notes(results: Results, published: Mapping[str, Any]) -> str:
    """Where the published numbers are from, and why runs may differ."""
    lines = [f"published: {published['source']}"] if "source" in published else []
    for system in results.systems:
        for name, entry in published_of(published, system.name, system.recipe).items():
            if name != "recipe" and "note" in entry:
                lines.append(fill(f"{system.name}, {name}: {entry['note']}", WIDTH, subsequent_indent="  "))
    return "\n".join(lines)


def as_json(results: Results) -> dict[str, Any]:
    """Everything that was collected, as plain values."""
    from dataclasses import asdict

    def plain(value: Any) -> Any:
        if isinstance(value, Fit):
            return plain(value.results)
        if isinstance(value, Mapping):
            return {str(key): plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry) for entry in value]
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    fields = {name: getattr(results, name) for name in results.__dataclass_fields__}
    systems = [
        {
            **{name: plain(getattr(system, name)) for name in system.__dataclass_fields__ if name != "runs"},
            "runs": [plain(asdict(run)) for run in system.runs],
        }
        for system in results.systems
    ]
    learning = plain(asdict(results.learning)) if results.learning else None
    return {
        **plain({k: v for k, v in fields.items() if k not in ("systems", "learning")}),
        "systems": systems,
        "learning": learning,
    }
