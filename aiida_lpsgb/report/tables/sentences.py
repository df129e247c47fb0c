"""What must be known before a number is quoted, in words."""

from __future__ import annotations

from aiida_lpsgb.report.fits import Measured, contradictions, measured
from aiida_lpsgb.report.results import Results, System
from aiida_lpsgb.report.text import Number, decimal


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
