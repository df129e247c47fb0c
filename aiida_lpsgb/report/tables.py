"""A study's results as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida_lpsgb.report.characterisation import characterisation_table, summary_of
from aiida_lpsgb.report.results import CRYSTAL, Run, StudyResults
from aiida_lpsgb.report.text import columns, in_mev, interval, plus_minus, text, with_uncertainty


def run_header(runs: Sequence[Run]) -> tuple[str, ...]:
    """Column titles of the table of diffusivities."""
    species = ", ".join(sorted({run.species for run in runs}))
    return ("where", "run", "T (K)", f"D {species} (cm²/s)", "σ (S/cm)", "units whole", "seed", "potential", "node")


def run_row(run: Run) -> tuple[str, ...]:
    """One line of the table of diffusivities."""
    return (
        run.place,
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


def fit_facts(fit: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers of the Arrhenius fit: what each is, and its value."""
    energy = plus_minus(fit["activation_energy_ev"], fit["activation_energy_uncertainty_ev"])
    return [
        ("activation energy", f"{energy} eV"),
        ("σ(300 K), extrapolated", f"{fit['conductivity_300k_s_cm']:.1e} S/cm"),
        ("D₀", f"{fit['d0_cm2_s']:.1e} cm²/s"),
    ]


FIT_HEADER = ("where", "E_a (eV)", "D₀ (cm²/s)", "σ(300 K) (S/cm)", "95 % interval (S/cm)", "fitted (K)")


def fit_row(place: str, fit: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of the table of Arrhenius fits; σ(300 K) is extrapolated."""
    return (
        place,
        plus_minus(fit["activation_energy_ev"], fit["activation_energy_uncertainty_ev"]),
        f"{fit['d0_cm2_s']:.1e}",
        f"{fit['conductivity_300k_s_cm']:.1e}",
        interval(fit["conductivity_300k_interval95_s_cm"]),
        f"{min(fit['temperatures_K']):g} to {max(fit['temperatures_K']):g}",
    )


def boundary_line(boundary: Mapping[str, Any]) -> str:
    """A relaxed grain boundary in words."""
    lowest = boundary["lowest"]
    entry = boundary["candidates"][lowest]
    planes = " and ".join(dict.fromkeys(str(tuple(entry[key])) for key in ("plane_1", "plane_2")))
    sigma, nominal = entry.get("nominal_sigma"), entry.get("nominal_angle_deg")
    label = f" (nominally Σ{sigma}, {nominal:.2f}°)" if sigma else ""
    return (
        f"Boundary: {entry['kind']}, {planes}, true angle {entry['true_angle_deg']:.2f}°{label}, "
        f"{entry['n_atoms']} atoms, strain {100 * entry['max_strain']:.2f} %, "
        f"γ = {boundary['energies_J_m2'][lowest]:.2f} J/m²"
    )


def table(results: StudyResults, published: Mapping[str, Any] | None = None) -> str:
    """The results of a study as text for a terminal: diffusivities, fits, potential, errors and analyses.

    Parameters
    ----------
    results
        What `study_results` has collected; its profile must be loaded.
    published
        Published numbers of the crystal, as `characterisation_rows` takes them.
    """
    parts = [results.outcome + (f", {results.formula}, {results.n_atoms} atoms" if results.formula else "")]
    if results.iterations:
        title = f"Active learning ({'converged' if results.converged else 'not converged'})"
        rows = [iteration_row(iteration) for iteration in results.iterations]
        parts.append(f"{title}\n{columns(iteration_header(), rows)}")
    if results.boundary:
        parts.append(boundary_line(results.boundary))
    if results.runs:
        parts.append(columns(run_header(results.runs), [run_row(run) for run in results.runs]))
    if results.fits:
        parts.append(columns(FIT_HEADER, [fit_row(place, fit) for place, fit in results.fits.items()]))
    notes = [potential_line(pk, attributes) for pk, attributes in results.potentials.items()]
    if results.test_errors:
        notes.append(errors_line(results.test_errors))
    parts.append("\n".join(notes))
    for place, pk in results.characterisations.items():
        summary = summary_of(pk)
        if summary:
            references = published if place == CRYSTAL else None
            title = f"The {place} at {summary['temperature_K']:g} K" if "temperature_K" in summary else f"The {place}"
            parts.append(f"{title}\n{characterisation_table(summary, references)}")
    return "\n\n".join(parts).rstrip()
