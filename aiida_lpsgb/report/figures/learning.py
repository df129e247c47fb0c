"""What potentials have learned: errors by iteration, by level and cut-off, and by configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_lpsgb.mtp.comparison import uncertainty_key
from aiida_lpsgb.report.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW_POINTS = 500
"""Points above which they are drawn small and as pixels."""


@styled
def learning_curve(iterations: Sequence[Mapping[str, Any]], *, gamma_select: float | None = None) -> Figure:
    """Errors, extrapolation grades and new configurations over the iterations of active learning, a panel each.

    Parameters
    ----------
    iterations
        For each iteration: ``iteration``, ``n_extrapolated``, ``max_grade``, ``gamma_break`` and ``training`` and
        ``test`` (results of `lpsgb.mlp.train` and `lpsgb.mlp.errors`, or None).
    gamma_select
        Grade above which a configuration is a candidate.
    """
    figure, panels = new_figure(7.2, 4.6, nrows=2, ncols=2, sharex=True)
    (energies, forces), (grades, counts) = panels
    number = [it["iteration"] for it in iterations]
    for axes, field, unit in (
        (energies, "energy_rmse_ev_atom", "energy RMSE  (meV/atom)"),
        (forces, "forces_rmse_ev_angstrom", "force RMSE  (meV/Å)"),
    ):
        for key, name, style, colour in (("training", "training set", "o-", 0), ("test", "test set", "s--", 1)):
            points = [(n, _error(it.get(key), field)) for n, it in zip(number, iterations, strict=True)]
            points = [(n, 1e3 * v) for n, v in points if v is not None]
            if points:
                axes.plot(*zip(*points, strict=True), style, ms=3.5, color=COLOURS[colour], label=name)
        axes.set_title(unit, loc="left")
        axes.set_ylim(bottom=0)
        if axes.lines:
            axes.legend()
    graded = [(n, it["max_grade"]) for n, it in zip(number, iterations, strict=True) if it.get("max_grade")]
    if graded:
        grades.plot(*zip(*graded, strict=True), "o-", ms=3.5, color=COLOURS[2], label="highest γ")
    breaks = [(n, it["gamma_break"]) for n, it in zip(number, iterations, strict=True) if it.get("gamma_break")]
    if breaks:
        grades.step(*zip(*breaks, strict=True), where="mid", color=COLOURS[6], lw=1, label="γ_break: a run ends")
    if gamma_select is not None:
        grades.axhline(gamma_select, color=COLOURS[6], lw=1, ls=":", label="γ_select: a candidate")
    grades.set_yscale("log")
    grades.set_title("extrapolation grade γ", loc="left")
    if grades.get_legend_handles_labels()[1]:
        grades.legend()
    found = [it.get("n_extrapolated") or 0 for it in iterations]
    bars = counts.bar(number, found, width=0.6, color=COLOURS[5])
    counts.bar_label(bars, padding=1, fontsize=8)
    counts.set_title("configurations above γ_select", loc="left")
    counts.margins(y=0.12)
    for axes in (grades, counts):
        axes.set_xlabel("iteration")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _error(results: Mapping[str, Any] | None, field: str) -> float | None:
    if not results:
        return None
    value = results.get(field)
    if value is None and isinstance(results.get("training"), Mapping):
        value = results["training"].get(field)
    return value


@styled
def grid(points: Sequence[Mapping[str, Any]], error: str, label: str) -> Figure:
    """Error against cost of potentials of several levels and cut-offs, with the front and the choice.

    Parameters
    ----------
    points
        Of each: ``level``, ``cutoff_angstrom``, ``time_us_atom_step``, the error and, perhaps, its standard error
        (`aiida_lpsgb.mtp.comparison.uncertainty_key`), ``on_front`` and ``chosen``.
    error
        Key of the error.
    label
        What the axis says of it, with the unit that it has after a factor of a thousand.
    """
    figure, axes = new_figure(5.4, 3.8)
    for k, cutoff in enumerate(sorted({point["cutoff_angstrom"] for point in points})):
        own = sorted((p for p in points if p["cutoff_angstrom"] == cutoff), key=lambda p: p["level"])
        cost, value = ([p[key] for p in own] for key in ("time_us_atom_step", error))
        bars = [p.get(uncertainty_key(error)) or 0.0 for p in own]
        colour = COLOURS[k % len(COLOURS)]
        axes.errorbar(
            cost, np.multiply(1e3, value), np.multiply(1e3, bars), fmt="osD^vP*"[k % 7], ms=4.5, capsize=2, lw=0.8,
            color=colour, label=f"cut-off {cutoff:g} Å",
        )  # fmt: skip
        for point in own:
            axes.annotate(
                str(point["level"]), (point["time_us_atom_step"], 1e3 * point[error]), xytext=(4, 4),
                textcoords="offset points", fontsize=7, color=colour,
            )  # fmt: skip
    front = sorted((p["time_us_atom_step"], 1e3 * p[error]) for p in points if p["on_front"])
    axes.plot(*zip(*front, strict=True), color=COLOURS[6], lw=0.8, ls="--", zorder=0, label="front")
    for point in points:
        if point["chosen"]:
            axes.plot(
                point["time_us_atom_step"], 1e3 * point[error], "o", ms=12, mfc="none", color=COLOURS[6], label="chosen"
            )
    axes.set_xscale("log")
    axes.set_xlabel("cost  (µs of a processor for an atom and step)")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", title="numbers: level")
    return figure


@styled
def boundary_parity(label_J_m2: np.ndarray, potentials_J_m2: Mapping[str, np.ndarray]) -> Figure:
    """Energies of boundaries by potentials against those of the label engine.

    Parameters
    ----------
    label_J_m2
        Of each boundary.
    potentials_J_m2
        By potential, in the same order.
    """
    figure, axes = new_figure(3.6, 3.5)
    every = np.concatenate([label_J_m2, *potentials_J_m2.values()])
    ends = [every.min(), every.max()]
    axes.plot(ends, ends, color=COLOURS[6], lw=0.8)
    for k, (name, values) in enumerate(potentials_J_m2.items()):
        axes.plot(label_J_m2, values, "o", ms=4, mew=0, alpha=0.8, color=COLOURS[k % len(COLOURS)], label=name)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title("energy of a boundary  (J/m²)", loc="left")
    axes.set_xlabel("label")
    axes.set_ylabel("prediction")
    axes.legend()
    return figure


def parity(
    energies_ev_atom: Mapping[str, tuple[np.ndarray, np.ndarray]],
    forces_ev_angstrom: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> Figure:
    """Predictions against labels: energies, about their mean, and components of forces.

    Parameters
    ----------
    energies_ev_atom, forces_ev_angstrom
        By potential: labels and predictions, of the same shape.
    """
    figure, (left, right) = new_figure(7.2, 3.5, ncols=2)
    mean = np.mean(next(iter(energies_ev_atom.values()))[0])
    meV = {name: (1e3 * (x - mean), 1e3 * (y - mean)) for name, (x, y) in energies_ev_atom.items()}
    for axes, pairs, quantity in (
        (left, meV, "energy about the mean  (meV/atom)"),
        (right, forces_ev_angstrom, "component of a force  (eV/Å)"),
    ):
        ends = np.array([(np.min(pair), np.max(pair)) for pair in pairs.values()])
        low, high = ends[:, 0].min(), ends[:, 1].max()
        axes.plot([low, high], [low, high], color=COLOURS[6], lw=0.8)
        for k, (name, (x, y)) in enumerate(pairs.items()):
            few = x.size <= _FEW_POINTS
            axes.plot(
                np.ravel(x), np.ravel(y), "o" if few else ".", ms=3 if few else 1.5, mew=0, alpha=0.7 if few else 0.4,
                color=COLOURS[k % len(COLOURS)], rasterized=not few, label=name,
            )  # fmt: skip
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(quantity, loc="left")
        axes.set_xlabel("label")
        axes.set_ylabel("prediction")
    left.legend(markerscale=2)
    return figure
