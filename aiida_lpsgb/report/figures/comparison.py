"""One quantity against another, over many structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aiida_lpsgb.report.figures.style import COLOURS, log_bars, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aiida_lpsgb.analysis.comparison import Known, Structure


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
    figure, axes = new_figure()
    for k, (name, rows) in enumerate(points.items()):
        x, dx, y, dy = np.array(rows, float).T
        bars = log_bars(y, dy) if log_y else 1.96 * dy
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
    figure, row = new_figure(3.2 * len(pairs), 3.2, ncols=len(pairs), squeeze=False)
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
