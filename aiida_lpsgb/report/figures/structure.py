"""Where ions are: distances, densities, polyanions and site disorder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aiida_lpsgb.report.figures.style import COLOURS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure


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
    figure, axes = new_figure(4.4, 0.6 + 0.95 * len(curves), nrows=len(curves), sharex=True, squeeze=False)
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
    figure, axes = new_figure(4.4, _map_height(edges_A, 3.4, 1.8) + 0.6)
    image = _draw_map(axes, projection, edges_A, regions_A)
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
    width, height = 2.5 * len(projections) + 0.4, _map_height(edges_A, 2.2, 1.6) + 0.7
    figure, row = new_figure(width, height, ncols=len(projections), sharey=True, squeeze=False)
    for axes, (species, projection) in zip(row[0], projections.items(), strict=True):
        image = _draw_map(axes, projection, edges_A, regions_A)
        axes.set_title(species, loc="left")
        axes.set_xlabel(f"{labels[0]}  (Å)")
        figure.colorbar(image, ax=axes, location="bottom", shrink=0.9, label="per Å²")
    row[0, 0].set_ylabel(f"{labels[1]}  (Å)")
    return figure


def _map_height(edges_A: tuple[np.ndarray, np.ndarray], width: float, least: float) -> float:
    """Height of a map of a width, inches."""
    first, second = (float(edges[-1] - edges[0]) for edges in edges_A)
    return float(np.clip(width * second / first, least, 7.5))


def _draw_map(
    axes: Axes,
    projection: np.ndarray,
    edges_A: tuple[np.ndarray, np.ndarray],
    regions_A: Sequence[tuple[float, float]],
) -> QuadMesh:
    """A projected density to scale, the ends of regions dashed."""
    first, second = edges_A
    top = np.quantile(projection, 0.995) or 1.0
    image = axes.pcolormesh(first, second, projection.T, cmap="magma_r", vmin=0, vmax=top, rasterized=True)
    axes.set_aspect("equal")
    axes.grid(False)
    for end in sorted({end for ends in regions_A for end in ends if second[0] < end < second[-1]}):
        axes.axhline(end, color=COLOURS[0], ls="--", lw=1.2)
    return image


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
    figure, axes = new_figure(4.8, 2.6)
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
    figure, axes = new_figure(4.4, 1.0 + (0.12 + 0.22 * len(numbers)) * len(formulas))
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
    figure, axes = new_figure()
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
