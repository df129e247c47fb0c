"""Runs and their fits: motion by temperature, potential and region, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_lpsgb.analysis.region_diffusion import ESTIMATORS
from aiida_lpsgb.report.fits import PARTS, Fit, measured
from aiida_lpsgb.report.results import Results, Run
from aiida_lpsgb.report.tables.systems import at_target, target_K
from aiida_lpsgb.report.text import Column, Number, Table


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
