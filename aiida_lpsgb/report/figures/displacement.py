"""Mean-squared displacements against lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiida_lpsgb.report.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    figure, axes = new_figure()
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

    figure, axes = new_figure(5.2, 3.8)
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
def element_msd(lags_ps: np.ndarray, msd_A2: Mapping[str, np.ndarray]) -> Figure:
    """Mean-squared displacement of every species, doubly logarithmic.

    Parameters
    ----------
    lags_ps
        Lags, ps.
    msd_A2
        By species: total displacement at each lag, Å².
    """
    figure, axes = new_figure()
    for k, (species, values) in enumerate(msd_A2.items()):
        axes.loglog(lags_ps, values, color=COLOURS[k % len(COLOURS)], label=species)
    _label_lags(axes, lags_ps)
    axes.set_xlabel("lag  (ps)")
    axes.set_ylabel("mean-squared displacement  (Å²)")
    axes.legend()
    return figure


def _label_lags(axes: Axes, lags: np.ndarray) -> None:
    """Plain numbers; on a short axis two and five times the powers of ten as well."""
    axes.xaxis.set_major_formatter("{x:g}")
    short = len(lags) > 0 and lags.max() < 100 * lags.min()
    axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if short and f"{x:.0e}"[0] in "25" else "")
