"""A study's results as plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiida_lpsgb.report.results import Run, StudyResults

MEV_PER_EV = 1000.0


def with_uncertainty(value: float | None, uncertainty: float | None = None, digits: int = 2) -> str:
    """Write a number and its standard uncertainty with one power of ten.

    Parameters
    ----------
    value, uncertainty
        In the same unit; a missing value gives ``-``, a missing uncertainty is left out.
    digits
        Significant digits of the uncertainty (of the value, where there is no uncertainty: one more).

    Examples
    --------
    >>> with_uncertainty(1.2345e-6, 1.2e-7)
    '(1.23 ± 0.12)e-06'
    """
    if value is None or not math.isfinite(value):
        return "-"
    if not uncertainty or not math.isfinite(uncertainty):
        return f"{value:.{digits}e}"
    exponent = math.floor(math.log10(max(abs(value), uncertainty)))
    scaled, spread = value / 10.0**exponent, uncertainty / 10.0**exponent
    decimals = max(0, digits - 1 - math.floor(math.log10(spread)))
    return f"({scaled:.{decimals}f} ± {spread:.{decimals}f})e{exponent:+03d}"


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows of text under a header, two spaces between columns."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def run_header(runs: Sequence[Run]) -> tuple[str, ...]:
    """Column titles of the table of diffusivities."""
    species = ", ".join(sorted({run.species for run in runs}))
    return ("run", "T (K)", f"D {species} (cm²/s)", "σ (S/cm)", "units whole", "seed", "potential", "node")


def run_row(run: Run) -> tuple[str, ...]:
    """One line of the table of diffusivities."""
    return (
        run.label,
        f"{run.temperature_K:g}",
        diffusivity_text(run),
        with_uncertainty(run.conductivity_s_cm, run.conductivity_uncertainty_s_cm),
        whole_units(run.speciation),
        text(run.seed),
        text(run.potential_pk),
        text(run.pk),
    )


def diffusivity_text(run: Run) -> str:
    """A diffusivity with its uncertainty, or its upper limit where no diffusion was seen."""
    if run.upper_limit_cm2_s is not None:
        return f"< {run.upper_limit_cm2_s:.1e}"
    return with_uncertainty(run.diffusivity_cm2_s, run.uncertainty_cm2_s)


def text(value: Any) -> str:
    """A value as text, ``-`` for none."""
    return "-" if value is None else str(value)


def iteration_header() -> tuple[str, ...]:
    """Column titles of the learning curve."""
    return (
        "iteration",
        "γ_break",
        "runs ended early",
        "above γ_select",
        "highest γ",
        "trained on",
        "energy RMSE (meV/atom)",
        "force RMSE (meV/Å)",
    )


def iteration_row(iteration: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the learning curve; the errors are those of the training set."""
    errors = training_errors(iteration)
    grade = iteration.get("max_grade")
    return (
        text(iteration["iteration"]),
        f"{iteration['gamma_break']:g}",
        f"{iteration['n_broken']} of {iteration['n_runs']}",
        text(iteration["n_extrapolated"]),
        "-" if grade is None else f"{grade:.1f}",
        text(errors.get("n_configurations")),
        in_mev(errors.get("energy_rmse_ev_atom")),
        in_mev(errors.get("forces_rmse_ev_angstrom"), 0),
    )


def training_errors(iteration: Mapping[str, Any]) -> Mapping[str, Any]:
    """Errors on the training set in an entry of the learning curve, empty if they were not reported."""
    return iteration["training"].get("training") or {}


def in_mev(value: float | None, decimals: int = 1) -> str:
    """A value in eV (or eV/Å …) as text in meV."""
    return "-" if value is None else f"{MEV_PER_EV * value:.{decimals}f}"


def errors_line(errors: Mapping[str, Any]) -> str:
    """Errors of a potential on a test set, in words."""
    parts = [
        f"energy {in_mev(errors.get('energy_rmse_ev_atom'))} meV/atom",
        f"force component {in_mev(errors.get('forces_rmse_ev_angstrom'), 0)} meV/Å",
    ]
    stress = errors.get("stress_rmse_gpa")
    if stress is not None:
        parts.append(f"stress component {stress:.3f} GPa")
    return (
        f"Root-mean-square errors on {errors.get('n_configurations')} configurations not trained on: {', '.join(parts)}"
    )


def potential_line(pk: int, attributes: Mapping[str, Any]) -> str:
    """A potential in words."""
    level = attributes.get("level")
    return (
        f"Potential {pk}: {' '.join(attributes['species'])}, level {'unknown' if level is None else level}, "
        f"cut-off {attributes['cutoff_angstrom']:g} Å, {attributes['n_parameters']} parameters"
    )


def whole_units(speciation: Mapping[str, Any] | None) -> str:
    """Share of polyanions that are whole, in per cent."""
    share = (speciation or {}).get("whole_fraction_mean")
    return "-" if share is None else f"{100 * share:.1f} %"


def plus_minus(value: float, uncertainty: float) -> str:
    """A number and its uncertainty without powers of ten, two digits of the uncertainty."""
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return f"{value:.3f}"
    decimals = max(0, 1 - math.floor(math.log10(uncertainty)))
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}"


def interval(bounds: Sequence[float]) -> str:
    """A confidence interval."""
    return f"{bounds[0]:.1e} to {bounds[1]:.1e}"


def fit_facts(fit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers of the Arrhenius fit: what each is, and its value."""
    energy = plus_minus(fit["activation_energy_ev"], fit["activation_energy_uncertainty_ev"])
    return [
        ("activation energy", f"{energy} eV"),
        ("σ(300 K), extrapolated", f"{fit['conductivity_300k_s_cm']:.1e} S/cm"),
        ("D₀", f"{fit['d0_cm2_s']:.1e} cm²/s"),
    ]


def fit_lines(fit: Mapping[str, Any]) -> list[str]:
    """The Arrhenius fit in words."""
    energy = plus_minus(fit["activation_energy_ev"], fit["activation_energy_uncertainty_ev"])
    temperatures = fit["temperatures_K"]
    return [
        f"E_a = {energy} eV, D₀ = {fit['d0_cm2_s']:.2e} cm²/s, "
        f"fitted from {min(temperatures):g} to {max(temperatures):g} K",
        f"σ(300 K) = {fit['conductivity_300k_s_cm']:.2e} S/cm, "
        f"95 % interval {interval(fit['conductivity_300k_interval95_s_cm'])} S/cm (extrapolated)",
    ]


def table(results: StudyResults) -> str:
    """The results of a study as text for a terminal: diffusivities, fit, potential and errors."""
    parts = [results.outcome + (f", {results.formula}, {results.n_atoms} atoms" if results.formula else "")]
    if results.iterations:
        title = f"Active learning ({'converged' if results.converged else 'not converged'})"
        rows = [iteration_row(iteration) for iteration in results.iterations]
        parts.append(f"{title}\n{columns(iteration_header(), rows)}")
    if results.runs:
        parts.append(columns(run_header(results.runs), [run_row(run) for run in results.runs]))
    if results.fit:
        parts.append("\n".join(fit_lines(results.fit)))
    notes = [potential_line(pk, attributes) for pk, attributes in results.potentials.items()]
    if results.test_errors:
        notes.append(errors_line(results.test_errors))
    return "\n\n".join([*parts, "\n".join(notes)]).rstrip()
