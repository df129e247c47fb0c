"""The figures of a study, drawn from its results; captions are those of the registry of observables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_lpsgb.analysis.motion import A2_PS_TO_CM2_S, nernst_einstein
from aiida_lpsgb.analysis.observables import registry
from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.mtp.configurations import labels
from aiida_lpsgb.report import figures
from aiida_lpsgb.report.characterisation import characterisation_figures
from aiida_lpsgb.report.comparison import relations_figure
from aiida_lpsgb.report.fits import Fit, measured
from aiida_lpsgb.report.results import Results, System
from aiida_lpsgb.report.tables.runs import region_words
from aiida_lpsgb.report.text import Number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SERIES = 14
"""So many systems can be told apart in one figure."""
MOST_LINES = 10
"""So many cells and regions can: regions of more are drawn system by system."""
_SAME_DENSITY = 0.1


def arrhenius_figure(results: Results) -> Figure | None:
    """Diffusivity against inverse temperature of all systems, and of their regions where these are few.

    None if there is nothing to draw.
    """
    shown = _shown(results)
    if not shown:
        return None
    with_regions = has_room_for_regions(results)
    series = [
        one
        for group, system in enumerate(shown)
        for one in _series_of(system, group, several=len(shown) > 1, with_regions=with_regions)
    ]
    siemens, of = _siemens(shown)
    return figures.arrhenius_comparison(series, siemens=siemens, siemens_of=of)


def _shown(results: Results) -> list[System]:
    return [system for system in results.systems if system.temperatures_K][:MOST_SERIES]


def has_room_for_regions(results: Results) -> bool:
    """Whether the figure of all systems has room for their regions, too."""
    return sum(1 + len(recommended_regions(system)) for system in _shown(results)) <= MOST_LINES


def regions_figure(results: Results, system: System) -> Figure | None:
    """Diffusivity against inverse temperature of a system and its regions.

    None if it has none, or if the figure of all systems shows them.
    """
    if not system.temperatures_K or not recommended_regions(system) or has_room_for_regions(results):
        return None
    siemens, _ = _siemens([system])
    return figures.arrhenius_comparison(_series_of(system, 0, several=False, with_regions=True), siemens=siemens)


def _series_of(system: System, group: int, *, several: bool, with_regions: bool) -> list[figures.Series]:
    """The cell of a system and, where they are wanted, its regions."""
    regions = recommended_regions(system) if with_regions else []
    runs = {t: [run.motion for run in system.at(t)] for t in system.temperatures_K}
    name = system.name if several else (system.species if not regions else "cell")
    series = [_series(name, runs, system.fit, group)]
    for number, label in enumerate(regions, start=1):
        inside = {t: [r.regions[label] for r in system.at(t) if label in r.regions] for t in system.temperatures_K}
        where = region_words(label).partition(",")[0]
        name = f"{system.name}: {where}" if several else where
        series.append(_series(name, inside, system.regional_fits.get(label), group, region=number))
    return series


def recommended_regions(system: System) -> list[str]:
    """Labels of the regions of a system by the estimator without bias."""
    labels = dict.fromkeys(label for run in system.runs for label in run.regions)
    return [label for label in labels if label.endswith(f"_{RECOMMENDED}")]


def _series(
    name: str, runs: Mapping[float, list[Mapping[str, Any]]], fit: Fit | None, group: int, region: int = 0
) -> figures.Series:
    """What was measured at each temperature, with the fit."""
    points = {t: here for t, found in runs.items() if (here := measured(found)) is not None}
    columns = (
        [np.nan if value is None else value for value in (getattr(here, name) for here in points.values())]
        for name in ("value", "error", "limit")
    )
    return figures.Series(name, list(points), *columns, **_curves(fit), group=group, region=region)


def _curves(fit: Fit | None) -> dict[str, Any]:
    """The fit where it was fitted, and from there to its target; nothing without one."""
    if fit is None or not fit.fitted:
        return {}
    coldest, hottest = fit.diffusive_K[0], fit.diffusive_K[-1]
    found = {
        "curve": figures.curve(fit.predict, coldest, hottest),
        "energy": figures.energy_text(str(Number(*fit.energy_eV))),
    }
    if fit.target_K < coldest and fit.at_target("diffusivity")[0] is not None:
        found["extrapolated"] = figures.curve(fit.predict, fit.target_K, coldest)
    return found


def _siemens(systems: Iterable[System]) -> tuple[float | None, str]:
    """σT of one cm²/s, and whose density it is of, where the others' is not the same."""
    known = {}
    for system in systems:
        motion = next((run.motion for run in system.runs if run.motion), {})
        if motion.get("charge") and motion.get("number_density_A3"):
            known[system.name] = nernst_einstein(1.0, motion["number_density_A3"], 1.0, motion["charge"])
    if not known:
        return None, ""
    name, first = next(iter(known.items()))
    same = all(abs(other / first - 1) < _SAME_DENSITY for other in known.values())
    return first, "" if same else name


def msd_figure(system: System) -> Figure | None:
    """Mean-squared displacements of all runs of a system; None if there are none."""
    from aiida.orm import load_node

    from aiida_lpsgb.data.left_out import arrays_there

    curves = []
    for run in system.runs:
        node = load_node(run.diffusivity_pk) if run.diffusivity_pk else None
        if node is None or not {"lags_ps", "msd_A2"} <= arrays_there(node):
            continue
        numbers = run.motion
        curves.append(
            figures.Displacement(
                run.temperature_K,
                node.get_array("lags_ps"),
                node.get_array("msd_A2").sum(axis=1),
                numbers["diffusive"],
                numbers["window_ps"],
                6 * numbers["diffusivity_cm2_s"] / A2_PS_TO_CM2_S,
                numbers.get("intercept_A2") or 0.0,
            )
        )
    return figures.msd_panel(curves) if curves else None


def structure_figures(system: System, references: Mapping[str, Any] | None = None) -> dict[str, Figure]:
    """Figures of the observables of structure, of the coldest run that has them."""
    from aiida.orm import load_node

    known = {name for name, observable in registry().items() if observable.node == "arrays"}
    for run in system.runs:
        if known & set(run.summary) - {"speciation"}:
            return characterisation_figures(load_node(run.analysis_pk), references, known)
    return {}


def draw(results: Results) -> dict[str, Figure]:
    """All figures that can be drawn.

    Parameters
    ----------
    results
        What `study_results` has collected; its profile must be loaded.

    Returns
    -------
    figures
        ``arrhenius``, ``relations``, ``grid``, ``learning_curve``, ``parity``, ``boundary_parity`` and, of each system,
        ``<system>_msd``, those of its observables, ``<system>_<name>``, and ``<system>_regions`` where ``arrhenius``
        has no room for them.
    """
    drawn = {
        "arrhenius": arrhenius_figure(results),
        "relations": relations_figure(results),
        "grid": grid_figure(results),
        "parity": parity_figure(results),
        "boundary_parity": boundary_parity_figure(results),
    }
    if results.learning and results.learning.iterations:
        drawn["learning_curve"] = learning_figure(results)
    for system in results.systems:
        drawn[f"{system.name}_msd"] = msd_figure(system)
        drawn[f"{system.name}_regions"] = regions_figure(results, system)
        drawn |= {f"{system.name}_{name}": figure for name, figure in structure_figures(system).items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}


def learning_figure(results: Results) -> Figure:
    """The learning curve."""
    return figures.learning_curve(results.learning.iterations, gamma_select=results.learning.gamma_select)


def grid_figure(results: Results) -> Figure | None:
    """Error and cost of the potentials that the passive stage has tried; None if there was none."""
    if results.grid is None:
        return None
    error = results.grid["error"]
    quantity, statistic, unit = error.split("_", 2)
    names = {"energy": "energy", "forces": "force", "stress": "stress"}
    units = {"ev_atom": "meV/atom", "ev_angstrom": "meV/Å", "gpa": "MPa"}
    label = f"{names[quantity]} {statistic.upper()} on what was held back  ({units[unit]})"
    return figures.grid([point for point in results.grid["points"] if not point["missing"]], error, label)


def boundary_parity_figure(results: Results) -> Figure | None:
    """Energies of boundaries by all potentials against those of the label engine; None if they were not compared."""
    found = list(results.boundary_energies.values())
    if not found:
        return None
    predicted = [one["potentials_J_m2"] for one in found]
    own = {who: np.array([values[who] for values in predicted]) for who in predicted[0]}
    return figures.boundary_parity(np.array([one["label_J_m2"] for one in found]), own)


def parity_figure(results: Results) -> Figure | None:
    """Predictions of all potentials against the labels of the test set; None if there are none, or no longer."""
    from aiida.orm import load_node

    from aiida_lpsgb.data.left_out import left_out_of

    if results.test_set_pk is None or not results.prediction_pks:
        return None
    sets = {pk: load_node(pk) for pk in (results.test_set_pk, *results.prediction_pks.values())}
    if any(map(left_out_of, sets.values())):
        return None

    def read(pk: int) -> tuple[np.ndarray, np.ndarray]:
        found = [(labels(atoms), len(atoms)) for atoms in sets[pk]]
        return (
            np.array([known["energy"] / n_atoms for known, n_atoms in found]),
            np.concatenate([known["forces"] for known, _ in found]),
        )

    energies, forces = read(results.test_set_pk)
    predicted = {name: read(pk) for name, pk in results.prediction_pks.items()}
    return figures.parity(
        {name: (energies, own) for name, (own, _) in predicted.items()},
        {name: (forces, own) for name, (_, own) in predicted.items()},
    )
