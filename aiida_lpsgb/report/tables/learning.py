"""Potentials: how they were learned, what they err by, and whether they are fit for production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_lpsgb.report.results import Results
from aiida_lpsgb.report.tables.systems import key_of
from aiida_lpsgb.report.text import Column, Number, Table, decimal

MEV_PER_EV = 1000.0

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


def boundary_energies_table(results: Results) -> Table | None:
    """Energies of small cells of boundaries by every potential, beside the label engine's."""
    if not results.boundary_energies:
        return None
    potentials = sorted(next(iter(results.boundary_energies.values()))["potentials_J_m2"])
    columns = (
        Column("boundary", "boundary"),
        Column("n_atoms", "atoms"),
        Column("label_J_m2", "γ, labels (J/m²)"),
        *(Column(f"{name}_J_m2", f"γ, {name} (J/m²)") for name in potentials),
    )
    rows = []
    for boundary, found in sorted(results.boundary_energies.items()):
        values = (found["label_J_m2"], *(found["potentials_J_m2"][name] for name in potentials))
        rows.append((boundary, found["n_atoms"], *(Number(value, form=".3f") for value in values)))
    return Table("boundary_energies", "Energies of boundaries in small cells", columns, tuple(rows))
