"""Diffusivities against the inverse temperature, with the lines that were fitted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_lpsgb.analysis.arrhenius import ArrheniusFit
from aiida_lpsgb.report.figures.style import COLOURS, log_bars, new_figure, styled
from aiida_lpsgb.report.text import with_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DEEPEST = 1e-4
"""How far below all that was measured the axis of an Arrhenius plot follows a line."""

_CROWDED = 5
"""With more lines than this, bands only hide each other, and the legend stands beside the axes."""

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
    crowded = len(series) > _CROWDED
    figure, axes = new_figure(width + (2.4 if crowded else 0), height)
    entries = [_draw_series(axes, one, with_bands=not crowded) for one in series]
    if any(np.isfinite(one.limits_cm2_s).any() for one in series):
        arrow = axes.plot([], [], marker="$\\downarrow$", ls="", color="0.5")
        entries.append((tuple(arrow), "upper limit, 95 %"))
    _label_arrhenius(axes)
    _show_measured(axes, series)
    if right:
        siemens, of = right
        other = axes.secondary_yaxis("right", functions=(lambda d: d * siemens, lambda s: s / siemens))
        other.set_ylabel("σT  (S K cm⁻¹)" + (f", at the density of {of}" if of else ""))
    if named := [entry for entry in entries if all(entry)]:
        where = {"loc": "outside right upper"} if crowded else {}
        (figure if crowded else axes).legend(*zip(*named, strict=True), **where)
    return figure


def _draw_series(axes: Axes, series: Series, with_bands: bool) -> tuple[tuple[Any, ...], str]:
    """Draw points with 95 % bars, limits as arrows, and the lines, and return what the legend shows and says.

    Every part is named, so that a page can hide it.
    """
    colour, marker = COLOURS[series.group % len(COLOURS)], "osD^vP*"[series.group // len(COLOURS) % 7]
    t, d, s, top = (
        np.asarray(v, float) for v in (series.temperatures_K, series.d_cm2_s, series.sigma_cm2_s, series.limits_cm2_s)
    )
    seen, hidden = np.isfinite(d) & (d > 0), np.isfinite(top)
    text = ", ".join(part for part in (series.name, series.energy if series.curve is not None else "") if part)
    style = {"mfc": "none", "ls": ""} if series.region else {"ls": ""}
    drawn: list[Any] = []
    shown: list[Any] = []
    if series.curve is not None:
        drawn += _draw_curve(axes, series.curve, colour, series.region, with_bands)
        shown.append(drawn[0])
    if series.extrapolated is not None:
        drawn += _draw_curve(axes, series.extrapolated, colour, series.region, with_bands, thin=True)
    if seen.any():
        bars = log_bars(d[seen], s[seen])
        points = axes.errorbar(1000 / t[seen], d[seen], bars, marker=marker, ms=4, capsize=2, color=colour, **style)
        drawn += points.get_children()
        shown.append(points)
    if hidden.any():
        arrows = axes.errorbar(
            1000 / t[hidden], top[hidden], yerr=0.45 * top[hidden], uplims=True, fmt="_", color=colour
        )
        drawn += arrows.get_children()
    kind = f"{'region' if series.region else 'cell'}-{series.group}"
    for number, artist in enumerate(drawn):
        artist.set_gid(f"{kind}-{re.sub(r'[^A-Za-z0-9]+', '_', series.name)}-{number}")
    return tuple(shown), text


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


def _draw_curve(
    axes: Axes, curve: np.ndarray, colour: str, region: int, with_band: bool, thin: bool = False
) -> list[Any]:
    temperatures, value, low, high = curve.T
    style = {"ls": (0, _DASHES[(region - 1) % len(_DASHES)]) if region else "-", "lw": 0.7 if thin else 1.4}
    drawn = axes.plot(1000 / temperatures, value, color=colour, **style)
    if with_band:
        opacity = 0.07 if region else 0.13
        drawn.append(axes.fill_between(1000 / temperatures, low, high, color=colour, alpha=opacity, lw=0))
    return drawn
