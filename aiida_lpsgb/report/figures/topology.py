"""Rings of ions: when they are born and die, and how they look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aiida_lpsgb.analysis.topology import heatmap
from aiida_lpsgb.report.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from aiida_lpsgb.analysis.rings import Ring


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

    figure, axes = new_figure(4.4, 3.6)
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
    figure, panels = new_figure(2.1 * columns, 2.4 * n_rows, nrows=n_rows, ncols=columns, squeeze=False)
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
