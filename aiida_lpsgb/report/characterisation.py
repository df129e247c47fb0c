"""What `lpsgb.analyse` has found: a table beside reference values, and the figures, both by the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from aiida_lpsgb.analysis.density import DensityMap, grid_axes
from aiida_lpsgb.analysis.neighbours import heights
from aiida_lpsgb.analysis.observables import Outcome, Row, registry
from aiida_lpsgb.analysis.rings import Ring, from_arrays
from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.report import figures
from aiida_lpsgb.report.text import Number, columns, decimal

if TYPE_CHECKING:
    from aiida.orm import Data, ProcessNode
    from matplotlib.figure import Figure


# Edges that differ by more are those of another cell, such as that of a grain boundary.
_SAME_CELL = 0.06
# The total mean-squared displacement grows by six D; one Å²/ps is 1e-4 cm²/s.
_SLOPE_A2_PS = 6e4

# What begins the names of the projected densities of further species.
BESIDE = "projection_A2_"

HEADER = ("quantity", "here", "published")


# ---- the table -----------------------------------------------------------------------------------------------------


def characterisation_rows(
    summary: Mapping[str, Any], references: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str]]:
    """Headline numbers beside published values where there are any: quantity, number here, published number.

    Parameters
    ----------
    summary
        The ``summary`` of `lpsgb.analyse`.
    references
        By name of the number (``cell_A``, ``density_g_cm3``, and those that the rows of observables name): ``values``
        and a ``note`` on why a run may differ.
    """
    references = references or {}
    rows = _cell_rows(summary["run"]["cell_A"], references.get("cell_A", {}).get("values"))
    lines = headline_rows(summary)
    return rows + [(line.quantity, str(number_of(line)), published_number(line, references)) for line in lines]


def headline_rows(summary: Mapping[str, Any], node: str | None = None) -> list[Row]:
    """The density, and the lines of every observable in a summary.

    Parameters
    ----------
    summary
        The ``summary`` of `lpsgb.analyse`.
    node
        Only observables that become this, ``arrays`` or ``diffusivity``; all if None.
    """
    lines = [Row("density (g/cm³)", summary["run"]["density_g_cm3"], None, ".3f", ("density_g_cm3",))]
    for name, observable in registry().items():
        if name not in summary or node not in (None, observable.node):
            continue
        several = observable.variants or observable.needs_regions
        for label, headline in summary[name].items() if several else [("", summary[name])]:
            lines += observable.rows(headline, label)
    return lines


def characterisation_table(summary: Mapping[str, Any], references: Mapping[str, Any] | None = None) -> str:
    """The rows of `characterisation_rows` as text, and the notes of the references under them."""
    header, rows = HEADER, characterisation_rows(summary, references)
    if references is None:
        header, rows = header[:2], [row[:2] for row in rows]
    notes = [f"{name}: {entry['note']}" for name, entry in (references or {}).items() if "note" in entry]
    return "\n".join([columns(header, rows), *([""] if notes else []), *notes])


def _cell_rows(lengths: Sequence[float], unit: Sequence[float] | None) -> list[tuple[str, str, str]]:
    """Edges of the unit cell, where the cell is a supercell of the published one."""
    if unit is None:
        return []
    repeats = [max(1, round(length / edge)) for length, edge in zip(lengths, unit, strict=True)]
    found = [length / number for length, number in zip(lengths, repeats, strict=True)]
    if any(abs(a / b - 1) > _SAME_CELL for a, b in zip(found, unit, strict=True)):
        return []
    return [(f"{name} (Å)", f"{a:.2f}", f"{b:.2f}") for name, a, b in zip("abc", found, unit, strict=True)]


def number_of(row: Row) -> Number:
    """The number of a line."""
    return Number(row.value, row.error, form=row.form)


def published_number(row: Row, references: Mapping[str, Any]) -> str:
    """The published number of a line, empty if there is none."""
    name, *keys = row.reference or ("",)
    value = references.get(name, {}).get("values")
    for key in keys:
        value = _published_peak(key, value or {})
    return "" if value is None else f"{value:{row.form}}" if "%" in row.form else decimal(value)


def _published_peak(pair: str, peaks: Mapping[str, float]) -> float | None:
    """A pair is found whichever way round it is named."""
    return next((peaks[name] for name in (pair, "-".join(reversed(pair.split("-")))) if name in peaks), None)


# ---- figures -------------------------------------------------------------------------------------------------------


def characterisation_figures(
    node: ProcessNode, references: Mapping[str, Any] | None = None, names: Collection[str] | None = None
) -> dict[str, Figure]:
    """The figures of a `lpsgb.analyse` process, by the name of the observable and, where there are several, a label.

    What an archive has left out is not drawn.

    Parameters
    ----------
    node
        The process, finished or not.
    references
        As of `characterisation_rows`; first peaks are marked.
    names
        Of the observables to draw; all if None.
    """
    from aiida_lpsgb.data.left_out import left_out_of

    drawn: dict[str, Figure] = {}
    for name, observable in registry().items():
        if name not in node.outputs or not (names is None or name in names):
            continue
        several = observable.variants or observable.needs_regions
        for label, data in node.outputs[name].items() if several else [("", node.outputs[name])]:
            if left_out_of(data):
                continue
            for part, figure in DRAWINGS[name](outcome_of(data), references or {}).items():
                drawn["_".join(word for word in (name, label, part) if word)] = figure
    return drawn


def caption(name: str) -> str:
    """What a figure of `characterisation_figures` shows."""
    observable, _, label = name.partition("_")
    captions = registry()[observable].captions if observable in registry() else {}
    if label in captions or not captions:
        return captions.get(label, name)
    for part in filter(None, captions):
        if label.endswith(f"_{part}"):
            return f"{captions[part].rstrip('.')} ({label.removesuffix(f'_{part}').replace('_', ', ')})."
    return f"{captions[''].rstrip('.')} ({label.replace('_', ', ')})."


def outcome_of(node: Data) -> Outcome:
    """Numbers and arrays of a node that `lpsgb.analyse` has made."""
    if hasattr(node, "get_dict"):
        return Outcome(node.get_dict())
    return Outcome(dict(node.base.attributes.all), {name: node.get_array(name) for name in node.get_arraynames()})


def density_of(node: Data) -> DensityMap:
    """The map of an output `density` of `lpsgb.analyse`, to project, smooth or write for VESTA.

    Parameters
    ----------
    node
        The array node.
    """
    return _density_map(outcome_of(node))


def _density_map(found: Outcome) -> DensityMap:
    cell = found.arrays["cell_A"]
    atoms = Atoms(found.arrays["numbers"], positions=found.arrays["positions_A"], cell=cell, pbc=True)
    return DensityMap(found.arrays["density_A3"], cell, atoms, found.scalars["species"])


def _draw_rdf(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    published = references.get("first_peaks_A", {}).get("values", {})
    pairs = found.scalars["first_peaks_A"]
    curves = {pair: (found.arrays["r_A"], found.arrays[f"g_{pair.replace('-', '_')}"]) for pair in pairs}
    peaks = {pair: _published_peak(pair, published) for pair in pairs}
    marked = {pair: peak for pair, peak in peaks.items() if peak is not None}
    return {"": figures.radial_distributions(curves, references_A=marked)}


def _draw_speciation(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    units = found.scalars["units"]
    return {"": figures.units({"": units})} if len(units) > 1 else {}


def _draw_density(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    density = _density_map(found)
    region = found.scalars.get("region_definition")
    # Map and profile show the third vector, on which a bicrystal's boundaries stand.
    slab = region if region and region.get("axis") == 2 else None
    first, third, _ = grid_axes(density, 1)
    projected = figures.density_map(
        density.projection(1), (first, third), species=density.species, regions_A=_ranges(slab, density.cell, third[-1])
    )
    line = {name: found.arrays[f"profile_{name}_2"] for name in ("position_A", "A3", "smooth_A3", "error_A3")}
    profile = figures.profile(
        line["position_A"],
        line["A3"],
        smooth_A3=line["smooth_A3"],
        error_A3=line["error_A3"],
        species=density.species,
        regions_A=_ranges(slab, density.cell, heights(density.cell)[2]),
    )
    drawn = {"": projected, "profile": profile}
    beside = {name.removeprefix(BESIDE): values for name, values in found.arrays.items() if name.startswith(BESIDE)}
    if beside:
        maps = {density.species: density.projection(1), **beside}
        drawn["species"] = figures.density_maps(maps, (first, third), regions_A=_ranges(slab, density.cell, third[-1]))
    return drawn


def _ranges(slab: Mapping[str, Any] | None, cell: np.ndarray, length: float) -> list[tuple[float, float]]:
    """Where slabs lie on an axis of some length along the third cell vector, split where they cross its end."""
    if slab is None:
        return []
    half = 0.5 * slab["thickness_A"] / heights(cell)[2]
    ranges = []
    for centre in np.atleast_1d(slab["centres"]):
        low = (centre - half) % 1.0
        high = low + 2 * half
        ranges += [(low, min(high, 1.0))] + ([(0.0, high - 1.0)] if high > 1 else [])
    return [(low * length, high * length) for low, high in ranges]


def _draw_disorder(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    name = found.scalars["species"]
    curve = found.arrays["distribution"], found.arrays["edges"]
    return {"": figures.disorder({name: curve}, means={name: found.scalars["mean"]})}


def _draw_topology(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    options = {key: found.scalars[key] for key in ("filtration", "scale", "n_frames", "threshold_A")}
    drawn = {"": figures.persistence_diagram(found.arrays["birth_A"], found.arrays["death_A"], **options)}
    members = rings_of_node(found.arrays)
    if members:
        drawn["rings"] = figures.rings(members, scale=found.scalars["scale"])
    return drawn


def rings_of_node(arrays: Mapping[str, np.ndarray]) -> list[Ring]:
    """Representative rings of an output of `topology`; empty where it has none."""
    return from_arrays(arrays)[0] if "ring_ions" in arrays else []


def _draw_elements(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    curves = {name.removeprefix("msd_A2_"): v for name, v in found.arrays.items() if name.startswith("msd_A2_")}
    return {"": figures.element_msd(found.arrays["lags_ps"], curves)}


def draw_motion(found: Outcome, references: Mapping[str, Any] | None = None) -> dict[str, Figure]:
    """Mean-squared displacement of a `lpsgb.diffusivity` node's numbers and arrays, with the line that was fitted."""
    numbers = found.scalars
    return {
        "": figures.msd(
            found.arrays["lags_ps"],
            found.arrays["msd_A2"],
            error_A2=found.arrays.get("msd_error_A2"),
            window_ps=numbers["window_ps"],
            # Of a region the line is that of its estimator, not of the displacements that are drawn.
            slope_A2_ps=_SLOPE_A2_PS * numbers["diffusivity_cm2_s"] if "intercept_A2" in numbers else None,
            intercept_A2=numbers.get("intercept_A2", 0.0),
        )
    }


def _draw_region(found: Outcome, references: Mapping[str, Any]) -> dict[str, Figure]:
    return draw_motion(found) if found.scalars["estimator"] == RECOMMENDED else {}


DRAWINGS: dict[str, Callable[[Outcome, Mapping[str, Any]], dict[str, Figure]]] = {
    "rdf": _draw_rdf,
    "speciation": _draw_speciation,
    "density": _draw_density,
    "elements": _draw_elements,
    "disorder": _draw_disorder,
    "topology": _draw_topology,
    "diffusivity": draw_motion,
    "regions": _draw_region,
}
"""By observable: its figures, by a part of their name that is empty for the first."""
