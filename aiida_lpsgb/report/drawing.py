"""The figures of a study, drawn from its results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_lpsgb.report import figures
from aiida_lpsgb.report.characterisation import RECOMMENDED, characterisation_figures
from aiida_lpsgb.report.results import Run, StudyResults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A2_PS_PER_CM2_S = 1e4
DIMENSIONS = 3


def arrhenius_figure(results: StudyResults) -> Figure | None:
    """Diffusivity against inverse temperature with the fits; None if there is nothing to draw."""
    if not results.runs:
        return None
    if len(results.fits) > 1:
        drawn = {place: fit for place, fit in results.fits.items() if is_drawn(place)}
        return figures.arrhenius_comparison(drawn)
    return figures.arrhenius(
        [run.temperature_K for run in results.runs],
        [run.diffusivity_cm2_s for run in results.runs],
        [run.uncertainty_cm2_s for run in results.runs],
        results.fit,
        limits=[run.upper_limit_cm2_s is not None for run in results.runs],
        label=", ".join(sorted({run.species for run in results.runs})),
    )


def is_drawn(place: str) -> bool:
    """Whether a fit is in the figure: of the estimators of a region only the unbiased one."""
    return "," not in place or place.endswith(f", {RECOMMENDED}")


def msd_figure(run: Run) -> Figure | None:
    """Mean-squared displacement of a run and the line fitted to it; None if its node does not hold it."""
    from aiida.orm import load_node

    node = load_node(run.pk)
    names = set(node.get_arraynames())
    if not {"lag_times_ps", "msd_angstrom2"} <= names:
        return None
    error = "msd_uncertainty_angstrom2"
    return figures.msd(
        node.get_array("lag_times_ps"),
        node.get_array("msd_angstrom2"),
        error_A2=node.get_array(error) if error in names else None,
        window_ps=run.window_ps,
        slope_A2_ps=2 * DIMENSIONS * run.diffusivity_cm2_s * A2_PS_PER_CM2_S,
        intercept_A2=node.base.attributes.get("details").get("intercept_A2", 0.0),
    )


def draw(results: StudyResults) -> dict[str, Figure]:
    """All figures of a study that can be drawn.

    Parameters
    ----------
    results
        What `study_results` has collected; its profile must be loaded.

    Returns
    -------
    figures
        `arrhenius`, `learning_curve`, `msd_<pk>` for each diffusivity, and those of the characterisation of each
        place as `<place>_<name>`.
    """
    from aiida.orm import load_node

    drawn = {"arrhenius": arrhenius_figure(results)}
    drawn |= {f"msd_{run.pk}": msd_figure(run) for run in results.runs}
    for place, pk in results.characterisations.items():
        drawn |= {f"{place}_{name}": figure for name, figure in characterisation_figures(load_node(pk)).items()}
    if results.iterations:
        drawn["learning_curve"] = figures.learning_curve(results.iterations)
    return {name: figure for name, figure in drawn.items() if figure is not None}
