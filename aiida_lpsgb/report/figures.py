"""Figures in one house style.

Every function takes plain numbers and returns a matplotlib ``Figure``; nothing here knows AiiDA.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_lpsgb.analysis.arrhenius import ArrheniusFit
from aiida_lpsgb.analysis.topology import heatmap
from aiida_lpsgb.mtp.comparison import uncertainty_key
from aiida_lpsgb.report.text import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from aiida_lpsgb.analysis.comparison import Known, Structure
    from aiida_lpsgb.analysis.rings import Ring

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

_DEEPEST = 1e-4
"""How far below all that was measured the axis of an Arrhenius plot follows a line."""

_FEW_POINTS = 500
"""Points above which they are drawn small and as pixels."""

_STYLE = {
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw within the house style, leaving the user's matplotlib settings alone."""

    @wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Figure:
        import matplotlib as mpl
        from cycler import cycler

        with mpl.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
            return function(*args, **kwargs)

    return draw


def save(figure: Figure, path: str | os.PathLike, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write a figure in several formats, without time stamps, and return the files.

    Parameters
    ----------
    figure
        What to write.
    path
        Its suffix, if any, is replaced by each format's.
    formats
        Suffixes.
    """
    paths = [Path(path).with_suffix(f".{suffix}") for suffix in formats]
    for target in paths:
        metadata = (
            {"CreationDate": None}
            if target.suffix == ".pdf"
            else {"Software": None}
            if target.suffix == ".png"
            else None
        )
        figure.savefig(target, dpi=200, bbox_inches="tight", metadata=metadata)
    return paths


def _figure(width: float = 4.4, height: float = 3.3, **kwargs: Any) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**kwargs)


_DASHES = ((5, 3), (1, 2), (6, 2, 1, 2))
"""Of the lines of regions, by their number."""


@dataclass(frozen=True)
class Series:
    """Diffusivities of one place at several temperatures, and the lines fitted to them.

    Attributes
    ----------
    name
        In the legend.
    temperatures_K, d_cm2_s, sigma_cm2_s
        Points with their standard errors; NaN where there is only a limit.
    limits_cm2_s
        Upper 95 % limits; NaN where there is a value.
    curve, extrapolated
        The fit between the temperatures that it was fitted to, and on to the target: temperature, D, and its 95 %
        interval, shape ``(n, 4)``; None if there is none.
    energy
        What the legend says of the fit.
    group
        Number of the colour: a cell and its regions share one.
    region
        Number of the region of a cell, from 1: drawn hollow and dashed, each in its own way. 0 is the cell.
    """

    name: str
    temperatures_K: Sequence[float]
    d_cm2_s: Sequence[float]
    sigma_cm2_s: Sequence[float]
    limits_cm2_s: Sequence[float]
    curve: np.ndarray | None = None
    extrapolated: np.ndarray | None = None
    energy: str = ""
    group: int = 0
    region: int = 0


@styled
def arrhenius(
    temperatures_K: Sequence[float],
    d_cm2_s: Sequence[float],
    sigma_cm2_s: Sequence[float],
    fit: ArrheniusFit | None = None,
    *,
    limits: Sequence[bool] | None = None,
    extrapolate_K: float | None = 300.0,
    label: str = "",
) -> Figure:
    """D against 1000/T with 95 % error bars, the fitted line and its 95 % band.

    Parameters
    ----------
    temperatures_K, d_cm2_s, sigma_cm2_s
        Diffusivities and standard errors.
    fit
        The fit.
    limits
        Points where no diffusion was seen, drawn as upper limits at their 95 % level.
    extrapolate_K
        Draw the fit down to this temperature.
    label
        Name in the legend.
    """
    d, s = np.asarray(d_cm2_s, float), np.asarray(sigma_cm2_s, float)
    hidden = np.zeros(len(d), bool) if limits is None else np.asarray(limits, bool)
    tops = np.where(hidden, np.maximum(d, 0) + 1.645 * s, np.nan)
    values = np.where(hidden, np.nan, d)
    parts: dict[str, Any] = {}
    if fit is not None:
        low, high = min(temperatures_K), max(temperatures_K)
        energy = with_error(fit.activation_energy_eV, fit.activation_energy_error_eV)
        parts = {"curve": curve(fit.predict, low, high), "energy": energy_text(energy)}
        if extrapolate_K is not None and extrapolate_K < low:
            parts["extrapolated"] = curve(fit.predict, extrapolate_K, low)
    return _arrhenius([Series(label, temperatures_K, values, s, tops, **parts)], None, 4.4, 3.3)


def curve(predict: Callable[[float], tuple[float, float, float]], low_K: float, high_K: float) -> np.ndarray:
    """A fit between two temperatures: temperature, D and the ends of its interval, shape ``(60, 4)``."""
    temperatures = 1 / np.linspace(1 / high_K, 1 / low_K, 60)
    return np.array([(t, *predict(t)) for t in temperatures])


def energy_text(energy: str) -> str:
    """What a legend says of an activation energy."""
    return f"Eₐ = {energy} eV"


@styled
def arrhenius_comparison(
    series: Sequence[Series],
    *,
    siemens: float | None = None,
    siemens_of: str = "",
) -> Figure:
    """D against 1000/T of several places or materials, each with its fit.

    Parameters
    ----------
    series
        What to draw; upper limits are arrows, extrapolated lines are thin.
    siemens
        σT (S K/cm) of one cm²/s, which gives an axis on the right.
    siemens_of
        Whose density that holds for, where it does not for all.
    """
    right = None if siemens is None else (siemens, siemens_of)
    return _arrhenius(series, right, 7.2, 4.6)


def _arrhenius(series: Sequence[Series], right: tuple[float, str] | None, width: float, height: float) -> Figure:
    figure, axes = _figure(width, height)
    for one in series:
        _draw_series(axes, one)
    if any(np.isfinite(one.limits_cm2_s).any() for one in series):
        axes.plot([], [], marker="$\\downarrow$", ls="", color="0.5", label="upper limit, 95 %")
    _label_arrhenius(axes)
    _show_measured(axes, series)
    if right:
        siemens, of = right
        other = axes.secondary_yaxis("right", functions=(lambda d: d * siemens, lambda s: s / siemens))
        other.set_ylabel("σT  (S K cm⁻¹)" + (f", at the density of {of}" if of else ""))
    handles, labels = axes.get_legend_handles_labels()
    if any(labels):
        axes.legend(handles, labels)
    return figure


def _draw_series(axes: Axes, series: Series) -> None:
    """Points with 95 % bars, limits as arrows, and the lines; every part is named, so that a page can hide it."""
    colour, marker = COLOURS[series.group % len(COLOURS)], "osD^vP*"[series.group // len(COLOURS) % 7]
    t, d, s, top = (
        np.asarray(v, float) for v in (series.temperatures_K, series.d_cm2_s, series.sigma_cm2_s, series.limits_cm2_s)
    )
    seen, hidden = np.isfinite(d) & (d > 0), np.isfinite(top)
    label = series.name
    style = {"mfc": "none", "ls": ""} if series.region else {"ls": ""}
    drawn: list[Any] = []
    if series.curve is not None:
        text = ", ".join(part for part in (label, series.energy) if part)
        drawn += _draw_curve(axes, series.curve, colour, text, series.region)
    if series.extrapolated is not None:
        drawn += _draw_curve(axes, series.extrapolated, colour, None, series.region, thin=True)
    if seen.any():
        bars = _log_bars(d[seen], s[seen])
        name = None if series.curve is not None else label or None
        points = axes.errorbar(
            1000 / t[seen], d[seen], bars, marker=marker, ms=4, capsize=2, color=colour, label=name, **style
        )
        drawn += points.get_children()
    if hidden.any():
        arrows = axes.errorbar(
            1000 / t[hidden], top[hidden], yerr=0.45 * top[hidden], uplims=True, fmt="_", color=colour
        )
        drawn += arrows.get_children()
    kind = f"{'region' if series.region else 'cell'}-{series.group}"
    for number, artist in enumerate(drawn):
        artist.set_gid(f"{kind}-{re.sub(r'[^A-Za-z0-9]+', '_', series.name)}-{number}")


def _show_measured(axes: Axes, series: Sequence[Series]) -> None:
    """Let the axis follow what was measured, and lines as far as they are not far from it; bands may leave it."""
    found = np.concatenate([np.r_[one.d_cm2_s, one.limits_cm2_s] for one in series]).astype(float)
    found = found[np.isfinite(found) & (found > 0)]
    lines = [part[:, 1] for one in series for part in (one.curve, one.extrapolated) if part is not None]
    if not len(found):
        return
    low = min([found.min(), *(max(line.min(), _DEEPEST * found.min()) for line in lines)])
    axes.set_ylim(low / 4, 4 * max([found.max(), *(line.max() for line in lines)]))


def _label_arrhenius(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_xlabel("1000 / T  (K⁻¹)")
    axes.set_ylabel("D  (cm² s⁻¹)")
    top = axes.secondary_xaxis("top", functions=(_reciprocal, _reciprocal))
    top.set_xlabel("T  (K)")
    shown = [250, 300, 350, 400, 500, 600, 800, 1000, 1500, 2000]
    left, right = sorted(1000 / x for x in axes.get_xlim() if x > 0)
    top.set_ticks([v for v in shown if left <= v <= right])


def _reciprocal(x: np.ndarray) -> np.ndarray:
    return 1000 / np.maximum(x, 1e-9)


def _log_bars(d: np.ndarray, s: np.ndarray) -> np.ndarray:
    """95 % bars of a log-normal: they never reach zero on a logarithmic axis."""
    factor = np.exp(1.96 * np.nan_to_num(s) / d)
    return np.stack([d - d / factor, d * factor - d])


def _draw_curve(
    axes: Axes, curve: np.ndarray, colour: str, label: str | None, region: int, thin: bool = False
) -> list[Any]:
    temperatures, value, low, high = curve.T
    style = {"ls": (0, _DASHES[(region - 1) % len(_DASHES)]) if region else "-", "lw": 0.7 if thin else 1.4}
    (line,) = axes.plot(1000 / temperatures, value, color=colour, label=label, **style)
    band = axes.fill_between(1000 / temperatures, low, high, color=colour, alpha=0.07 if region else 0.13, lw=0)
    return [line, band]


@styled
def msd(
    lags_ps: Sequence[float],
    msd_A2: np.ndarray,
    *,
    error_A2: Sequence[float] | None = None,
    window_ps: Sequence[float] | None = None,
    slope_A2_ps: float | None = None,
    intercept_A2: float = 0.0,
    labels: Sequence[str] = ("total", "x", "y", "z"),
) -> Figure:
    """Mean-squared displacement against lag, doubly logarithmic, with the window and the line that was fitted.

    Parameters
    ----------
    lags_ps
        Lags.
    msd_A2
        Total ``(n_lags,)``, or components ``(n_lags, 3)``, which are drawn under their sum.
    error_A2
        Standard error of the total; entries that are negative or NaN are left out.
    window_ps
        First and last lag of the fit, shaded.
    slope_A2_ps, intercept_A2
        The fitted line of the total.
    labels
        Names of the total and of the components.
    """
    figure, axes = _figure()
    lags, values = np.asarray(lags_ps, float), np.asarray(msd_A2, float)
    total = values if values.ndim == 1 else values.sum(axis=1)
    keep = lags > 0
    axes.plot(lags[keep], total[keep], color=COLOURS[6], label=labels[0])
    if values.ndim == 2:
        for k in range(3):
            axes.plot(lags[keep], values[keep, k], color=COLOURS[k], lw=1, label=labels[k + 1])
    if error_A2 is not None:
        error = np.asarray(error_A2, float)
        with np.errstate(invalid="ignore"):
            ok = keep & (error >= 0)
        axes.fill_between(
            lags[ok],
            np.maximum(total - 1.96 * error, 1e-12)[ok],
            (total + 1.96 * error)[ok],
            color=COLOURS[6],
            alpha=0.15,
            lw=0,
        )
    if window_ps is not None:
        axes.axvspan(*window_ps, color=COLOURS[4], alpha=0.15, lw=0, label="window of the fit")
        if slope_A2_ps is not None:
            ends = np.geomspace(*window_ps, 50)
            axes.plot(ends, intercept_A2 + slope_A2_ps * ends, "--", color=COLOURS[1], label="fit")
    axes.set_xscale("log")
    axes.set_yscale("log")
    _label_lags(axes, lags[keep])
    positive = total[keep & (total > 0)]
    if len(positive):
        axes.set_ylim(positive.min() * 0.1, positive.max() * 2)
    axes.set_xlabel("lag  (ps)")
    axes.set_ylabel("mean-squared displacement  (Å²)")
    axes.legend(loc="upper left")
    return figure


def _label_lags(axes: Axes, lags: np.ndarray) -> None:
    """Plain numbers; on a short axis two and five times the powers of ten as well."""
    axes.xaxis.set_major_formatter("{x:g}")
    short = len(lags) > 0 and lags.max() < 100 * lags.min()
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if short and f"{x:.0e}"[0] in "25" else "")


@dataclass(frozen=True)
class Displacement:
    """Mean-squared displacement of a run.

    Attributes
    ----------
    temperature_K
        Of the run.
    lags_ps, msd_A2
        Total displacement against lag.
    diffusive
        Whether the motion is; where not, the curve is dotted.
    window_ps, slope_A2_ps, intercept_A2
        The line that was fitted, and between which lags.
    """

    temperature_K: float
    lags_ps: np.ndarray
    msd_A2: np.ndarray
    diffusive: bool = True
    window_ps: Sequence[float] | None = None
    slope_A2_ps: float | None = None
    intercept_A2: float = 0.0


@styled
def msd_panel(runs: Sequence[Displacement], points: int = 120) -> Figure:
    """Mean-squared displacements at all temperatures in one panel, doubly logarithmic, with the lines that were fitted.

    Parameters
    ----------
    runs
        The hottest gets the brightest colour; several of one temperature share one.
    points
        Of a curve: lags evenly spread on the axis.
    """
    import matplotlib as mpl

    figure, axes = _figure(5.2, 3.8)
    temperatures = sorted({run.temperature_K for run in runs}, reverse=True)
    # Neither the lightest nor the darkest, which are not seen on a light or a dark page.
    shades = mpl.colormaps["plasma_r"](np.linspace(0.1, 0.65, max(len(temperatures), 2)))
    colours = dict(zip(temperatures, [mpl.colors.to_hex(shade) for shade in shades], strict=False))
    named, bottom, reach = set(), [], [np.array([])]
    for run in sorted(runs, key=lambda run: -run.temperature_K):
        keep = np.flatnonzero((run.lags_ps > 0) & (run.msd_A2 > 0))
        if not len(keep):
            continue
        lags = run.lags_ps[keep]
        nearest = np.searchsorted(lags, np.geomspace(lags[0], lags[-1], points)).clip(0, len(lags) - 1)
        shown = keep[np.unique(nearest)]
        label = f"{run.temperature_K:g} K" if run.temperature_K not in named else None
        named.add(run.temperature_K)
        style = {"color": colours[run.temperature_K], "lw": 1.1, "ls": "-" if run.diffusive else ":"}
        axes.plot(run.lags_ps[shown], run.msd_A2[shown], label=label, **style)
        bottom.append(run.msd_A2[shown[0]])
        reach.append(lags)
        if run.diffusive and run.window_ps is not None and run.slope_A2_ps:
            ends = np.geomspace(*run.window_ps, 20)
            fitted = run.intercept_A2 + run.slope_A2_ps * ends
            axes.plot(ends, fitted, color=style["color"], lw=3.5, alpha=0.45, solid_capstyle="butt")
    axes.plot([], [], color="0.5", lw=3.5, alpha=0.45, label="fit in its window")
    if not all(run.diffusive for run in runs):
        axes.plot([], [], color="0.5", lw=1.1, ls=":", label="not diffusive")
    axes.set_xscale("log")
    axes.set_yscale("log")
    if bottom:
        axes.set_ylim(bottom=0.5 * min(bottom))
    _label_lags(axes, np.concatenate(reach))
    axes.set_xlabel("lag  (ps)")
    axes.set_ylabel("mean-squared displacement  (Å²)")
    figure.legend(loc="outside right upper")
    return figure


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
    figure, panels = _figure(7.2, 4.6, nrows=2, ncols=2, sharex=True)
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
    figure, axes = _figure(5.4, 3.8)
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
    figure, (left, right) = _figure(7.2, 3.5, ncols=2)
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


@styled
def radial_distributions(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    references_A: Mapping[str, float] | None = None,
    longest_A: float | None = None,
) -> Figure:
    """g(r) of several pairs, one above the other.

    Parameters
    ----------
    curves
        By name of the pair: r (Å) and g.
    references_A
        Published or expected first peaks by pair, drawn as dotted lines and told above the panel.
    longest_A
        End of the axis.
    """
    figure, axes = _figure(4.4, 0.6 + 0.95 * len(curves), nrows=len(curves), sharex=True, squeeze=False)
    for k, (name, (r, g)) in enumerate(curves.items()):
        panel = axes[k, 0]
        panel.plot(r, g, color=COLOURS[k % 6])
        panel.axhline(1, color="0.6", lw=0.6)
        if references_A and name in references_A:
            panel.axvline(references_A[name], color=COLOURS[6], ls=":", lw=1)
            panel.set_title(f"dotted: reference {references_A[name]:.2f} Å", loc="right", pad=2, fontsize=8)
        panel.set_ylim(bottom=0)
        panel.set_title(name, loc="left", pad=2)
    axes[-1, 0].set_xlim(0, longest_A or max(float(r[-1]) for r, _ in curves.values()))
    axes[-1, 0].set_xlabel("r  (Å)")
    figure.supylabel("g(r)", fontsize=10)
    return figure


@styled
def density_map(
    projection: np.ndarray,
    edges_A: tuple[np.ndarray, np.ndarray],
    *,
    labels: tuple[str, str] = ("a", "c"),
    species: str = "Li",
    regions_A: Sequence[tuple[float, float]] = (),
) -> Figure:
    """Projected density.

    Parameters
    ----------
    projection
        Ions per Å², shape ``(n_first, n_second)``.
    edges_A
        Edges of the bins along both directions, Å.
    labels
        Names of the directions.
    species
        Whose density.
    regions_A
        Ranges along the second direction to mark, such as the boundary.
    """
    first, second = edges_A
    width, height = first[-1] - first[0], second[-1] - second[0]
    tall = float(np.clip(3.4 * height / width, 1.8, 7.5))
    figure, axes = _figure(4.4, tall + 0.6)
    top = np.quantile(projection, 0.995) or 1.0
    image = axes.pcolormesh(first, second, projection.T, cmap="magma_r", vmin=0, vmax=top, rasterized=True)
    axes.set_aspect("equal")
    axes.grid(False)
    inner = {end for ends in regions_A for end in ends if second[0] < end < second[-1]}
    for end in sorted(inner):
        axes.axhline(end, color=COLOURS[0], ls="--", lw=1.2)
    axes.set_xlabel(f"{labels[0]}  (Å)")
    axes.set_ylabel(f"{labels[1]}  (Å)")
    figure.colorbar(image, ax=axes, label=f"{species} per Å²", shrink=0.9)
    return figure


@styled
def density_maps(
    projections: Mapping[str, np.ndarray],
    edges_A: tuple[np.ndarray, np.ndarray],
    *,
    labels: tuple[str, str] = ("a", "c"),
    regions_A: Sequence[tuple[float, float]] = (),
) -> Figure:
    """Projected densities of several species side by side, each on a scale of its own.

    Parameters
    ----------
    projections
        By species: ions per Å², shape ``(n_first, n_second)``.
    edges_A, labels, regions_A
        As of `density_map`.
    """
    first, second = edges_A
    width, height = first[-1] - first[0], second[-1] - second[0]
    tall = float(np.clip(2.2 * height / width, 1.6, 7.5))
    figure, row = _figure(2.5 * len(projections) + 0.4, tall + 0.7, ncols=len(projections), sharey=True, squeeze=False)
    for axes, (species, projection) in zip(row[0], projections.items(), strict=True):
        top = np.quantile(projection, 0.995) or 1.0
        image = axes.pcolormesh(first, second, projection.T, cmap="magma_r", vmin=0, vmax=top, rasterized=True)
        axes.set_aspect("equal")
        axes.grid(False)
        for end in sorted({end for ends in regions_A for end in ends if second[0] < end < second[-1]}):
            axes.axhline(end, color=COLOURS[0], ls="--", lw=1.2)
        axes.set_title(species, loc="left")
        axes.set_xlabel(f"{labels[0]}  (Å)")
        figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, label="per Å²")
    row[0, 0].set_ylabel(f"{labels[1]}  (Å)")
    return figure


@styled
def element_msd(lags_ps: np.ndarray, msd_A2: Mapping[str, np.ndarray]) -> Figure:
    """Mean-squared displacement of every species, doubly logarithmic.

    Parameters
    ----------
    lags_ps
        Lags, ps.
    msd_A2
        By species: total displacement at each lag, Å².
    """
    figure, axes = _figure()
    for k, (species, values) in enumerate(msd_A2.items()):
        axes.loglog(lags_ps, values, color=COLOURS[k % len(COLOURS)], label=species)
    _label_lags(axes, lags_ps)
    axes.set_xlabel("lag  (ps)")
    axes.set_ylabel("mean-squared displacement  (Å²)")
    axes.legend()
    return figure


@styled
def rings(members: Sequence[Ring], *, scale: str = "radius", columns: int = 3) -> Figure:
    """Rings of ions, each seen along the normal of its best plane, to one scale.

    Parameters
    ----------
    members
        The rings.
    scale
        ``radius`` or ``diameter``, in which birth and death are told.
    columns
        Rings beside each other.
    """
    flat = [_in_plane(ring.positions_A) for ring in members]
    reach = 1.25 * max((np.abs(places).max() for places, _ in flat), default=1.0)
    n_rows = -(-len(members) // columns)
    figure, panels = _figure(2.1 * columns, 2.4 * n_rows, nrows=n_rows, ncols=columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
    for number, (axes, ring, (places, heights_A)) in enumerate(
        zip(panels.ravel(), members, flat, strict=False), start=1
    ):
        closed = np.vstack([places, places[:1]])
        axes.fill(*places.T, color=COLOURS[0], alpha=0.12, lw=0)
        axes.plot(*closed.T, color=COLOURS[0], lw=1.2)
        # Ions above the plane are large, below it small.
        sizes = 70 * np.clip(1 + 0.25 * heights_A, 0.4, 1.8)
        axes.scatter(*places.T, s=sizes, color=COLOURS[4], edgecolors="black", linewidths=0.6, zorder=3)
        for start, end, length in zip(closed[:-1], closed[1:], ring.edges_A, strict=True):
            middle = 0.5 * (start + end)
            axes.annotate(
                f"{length:.1f}",
                middle * (1 + 0.16 * reach / (np.hypot(*middle) + 1e-9)),
                ha="center",
                va="center",
                fontsize=6.5,
                color="0.35",
            )
        axes.set_title(f"{number}: {len(ring.ions)} ions\nb {ring.birth_A:.2f}, d {ring.death_A:.2f} Å", fontsize=8)
    figure.suptitle(f"birth and death by {scale}; distances in Å", fontsize=8)
    return figure


def _in_plane(positions_A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the plane that fits best, about their middle, and heights above it, Å."""
    centred = positions_A - positions_A.mean(axis=0)
    _, _, axes = np.linalg.svd(centred)
    return centred @ axes[:2].T, centred @ axes[2]


@styled
def profile(
    position_A: np.ndarray,
    density_A3: np.ndarray,
    *,
    smooth_A3: np.ndarray | None = None,
    error_A3: np.ndarray | None = None,
    mean_A3: float | None = None,
    regions_A: Sequence[tuple[float, float]] = (),
    species: str = "Li",
) -> Figure:
    """Concentration along a normal, raw and smoothed, relative to the mean of the cell.

    Parameters
    ----------
    position_A, density_A3
        Profile, Å and Å⁻³.
    smooth_A3, error_A3
        Smoothed profile and standard error.
    mean_A3
        What counts as one; the mean of the profile if None.
    regions_A
        Ranges to shade.
    species
        Whose concentration.
    """
    figure, axes = _figure(4.8, 2.6)
    mean = float(np.mean(density_A3)) if mean_A3 is None else mean_A3
    for low, high in regions_A:
        axes.axvspan(low, high, color=COLOURS[4], alpha=0.18, lw=0)
    axes.plot(position_A, density_A3 / mean, color="0.7", lw=0.7, label="counted")
    if error_A3 is not None:
        reach = 1.96 * np.asarray(error_A3) / mean
        axes.fill_between(
            position_A, density_A3 / mean - reach, density_A3 / mean + reach, color="0.7", alpha=0.4, lw=0
        )
    if smooth_A3 is not None:
        axes.plot(position_A, smooth_A3 / mean, color=COLOURS[0], label="smoothed")
    axes.axhline(1, color=COLOURS[6], lw=0.7, ls=":")
    axes.set_xlim(0, position_A[-1])
    # Room for the legend above the peaks.
    axes.set_ylim(0, 1.2 * float(np.max(density_A3)) / mean)
    axes.set_xlabel("position along the normal  (Å)")
    axes.set_ylabel(f"{species} concentration / mean")
    axes.legend(ncols=2)
    return figure


@styled
def persistence_diagram(
    birth_A: np.ndarray,
    death_A: np.ndarray,
    *,
    filtration: str,
    scale: str,
    n_frames: int = 1,
    threshold_A: float | None = 1.0,
    bin_A: float = 0.05,
    smooth_A: float = 0.1,
) -> Figure:
    """Density of loops over birth and death, smoothed, with the line of the threshold lifetime.

    Parameters
    ----------
    birth_A, death_A
        Loops, Å.
    filtration, scale
        Named on the figure: ``rips`` or ``alpha``, ``radius`` or ``diameter``.
    n_frames
        Frames that were pooled.
    threshold_A
        Lifetime above which a loop counts as persistent.
    bin_A, smooth_A
        Bin and standard deviation of the Gaussian, Å.
    """
    from matplotlib.colors import LogNorm

    figure, axes = _figure(4.4, 3.6)
    density, edges = heatmap(birth_A, death_A, n_frames, bin_A, smooth_A)
    low, high = edges[0], edges[-1]
    top = density.max() or 1.0
    shown = np.ma.masked_less(density.T, 1e-3 * top)
    # Nothing dies before it is born: what the Gaussian carries over the diagonal is not shown.
    shown[np.triu_indices(len(shown), 1)] = np.ma.masked
    image = axes.pcolormesh(edges, edges, shown, cmap="viridis_r", norm=LogNorm(1e-3 * top, top), rasterized=True)
    axes.plot([low, high], [low, high], color="0.4", lw=0.8)
    if threshold_A is not None:
        axes.plot(
            [low, high - threshold_A],
            [low + threshold_A, high],
            "--",
            color=COLOURS[1],
            lw=1,
            label=f"L = {threshold_A:g} Å",
        )
        axes.legend(loc="lower right")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.set_xlabel(f"birth, {scale}  (Å)")
    axes.set_ylabel(f"death, {scale}  (Å)")
    axes.set_title(f"{filtration} filtration", loc="left")
    figure.colorbar(image, ax=axes, label="loops per frame and Å²")
    return figure


@styled
def units(numbers: Mapping[str, Mapping[str, float]]) -> Figure:
    """How many polyanions of each kind there are, on a logarithmic scale.

    Parameters
    ----------
    numbers
        By structure: mean number of units in the cell by formula, such as ``PS4``.
    """
    largest = {
        formula: max(n.get(formula, 0.0) for n in numbers.values()) for found in numbers.values() for formula in found
    }
    formulas = sorted(largest, key=largest.get)
    height = 0.8 / len(numbers)
    figure, axes = _figure(4.4, 1.0 + (0.12 + 0.22 * len(numbers)) * len(formulas))
    for k, (name, found) in enumerate(numbers.items()):
        places = np.arange(len(formulas)) + (0.5 * (len(numbers) - 1) - k) * height
        values = [found.get(formula, 0.0) for formula in formulas]
        bars = axes.barh(places, values, height, color=COLOURS[k % len(COLOURS)], label=name)
        axes.bar_label(bars, [f"{v:.3g}" if v else "" for v in values], padding=2, fontsize=8)
    axes.set_yticks(range(len(formulas)), [re.sub(r"(\d+)", r"$_{\1}$", formula) for formula in formulas])
    axes.set_xscale("log")
    axes.set_xlim(0.3 * min(1.0, *largest.values()), 4 * max(largest.values()))
    axes.set_xlabel("units in the cell")
    axes.grid(axis="y", visible=False)
    if len(numbers) > 1:
        axes.legend(loc="lower right")
    return figure


@styled
def disorder(
    distributions: Mapping[str, tuple[np.ndarray, np.ndarray]], *, means: Mapping[str, float] | None = None
) -> Figure:
    """Distributions of the (normalised) site disorder parameter.

    Parameters
    ----------
    distributions
        By name: probability density and edges of the bins.
    means
        By name, marked by a dotted line and told in the legend.
    """
    figure, axes = _figure()
    for k, (name, (density, edges)) in enumerate(distributions.items()):
        mean = None if means is None else means.get(name)
        colour = COLOURS[k % len(COLOURS)]
        axes.stairs(density, edges, color=colour, fill=True, alpha=0.2)
        axes.stairs(density, edges, color=colour, lw=1.2, label=name if mean is None else f"{name}, mean {mean:.2f}")
        if mean is not None:
            axes.axvline(mean, color=colour, ls=":", lw=1)
    axes.set_xlabel("site disorder $S_j$, normalised")
    axes.set_ylabel("probability density")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


@styled
def scatter(
    points: Mapping[str, Sequence[tuple[float, float, float, float]]],
    *,
    x_label: str = "isotropy ξ",
    y_label: str = "D  (cm² s⁻¹)",
    log_y: bool = True,
) -> Figure:
    """One quantity against another over many structures, with 95 % bars: log D against ξ, σ against f_PD, …

    Parameters
    ----------
    points
        By kind of structure: (x, standard error of x, y, standard error of y) of each.
    x_label, y_label
        What the axes show, with units.
    log_y
        Whether the vertical axis is logarithmic.
    """
    figure, axes = _figure()
    for k, (name, rows) in enumerate(points.items()):
        x, dx, y, dy = np.array(rows, float).T
        bars = _log_bars(y, dy) if log_y else 1.96 * dy
        axes.errorbar(
            x, y, bars, 1.96 * dx, fmt="osD^vP*"[k % 7], ms=4.5, capsize=2, lw=0.8, color=COLOURS[k % 7], label=name
        )
    if log_y:
        axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    # Points may be anywhere, so the names stand outside.
    figure.legend(loc="outside upper center", ncols=min(4, len(points)))
    return figure


@styled
def relations(
    structures: Mapping[str, Structure],
    pairs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    notes: Mapping[tuple[str, str], str] | None = None,
    kinds: Sequence[str] = (),
) -> Figure:
    """Quantities of many structures against each other, a panel a pair, with 95 % bars; limits are arrows.

    Parameters
    ----------
    structures
        By name.
    pairs
        Names of the quantities on the horizontal and the vertical axis.
    labels
        What the axes say, by quantity.
    notes
        A remark by pair, such as a correlation.
    kinds
        Kinds in the order of the legend; others follow.
    """
    names = list(dict.fromkeys([*kinds, *(s.kind for s in structures.values())]))
    names = [kind for kind in names if any(s.kind == kind for s in structures.values())]
    figure, row = _figure(3.2 * len(pairs), 3.2, ncols=len(pairs), squeeze=False)
    for axes, (x, y) in zip(row[0], pairs, strict=True):
        for k, kind in enumerate(names):
            style = {"color": COLOURS[k % 7], "fmt": "osD^vP*"[k % 7], "ms": 4.5, "lw": 0.8, "capsize": 2}
            of_kind = [s.known for s in structures.values() if s.kind == kind and {x, y} <= set(s.known)]
            for first, known in enumerate(of_kind):
                (at_x, low_x, high_x), (at_y, low_y, high_y) = _bar(known[x]), _bar(known[y])
                limits = {"xuplims": known[x].value is None, "uplims": known[y].value is None}
                bars = [[[at_y - low_y], [high_y - at_y]], [[at_x - low_x], [high_x - at_x]]]
                axes.errorbar(at_x, at_y, *bars, **limits, **style, label=kind if not first else None)
        for name, scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
            if name in ("diffusivity", "conductivity"):
                scale("log")
        axes.set_xlabel(labels[x])
        axes.set_ylabel(labels[y])
        axes.set_title((notes or {}).get((x, y), ""), loc="left", fontsize=8)
    handles = {}
    for axes in row[0]:
        handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    ordered = [kind for kind in names if kind in handles]
    figure.legend([handles[kind] for kind in ordered], ordered, loc="outside upper center", ncols=max(1, len(ordered)))
    return figure


def _bar(known: Known) -> tuple[float, float, float]:
    """Place and ends of what is known; of a limit an arrow down to a third of it."""
    if known.value is None:
        return known.limit, known.limit / 3, known.limit
    low = known.value if known.low is None else known.low
    return known.value, min(low, known.value), max(known.value if known.high is None else known.high, known.value)


def _error(results: Mapping[str, Any] | None, field: str) -> float | None:
    if not results:
        return None
    value = results.get(field)
    if value is None and isinstance(results.get("training"), Mapping):
        value = results["training"].get(field)
    return value
