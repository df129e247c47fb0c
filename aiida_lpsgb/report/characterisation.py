"""What `lpsgb.characterise` has found: a table beside reference values, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from aiida_lpsgb.analysis.density import DensityMap, grid_axes
from aiida_lpsgb.analysis.neighbours import heights
from aiida_lpsgb.report import figures
from aiida_lpsgb.report.text import columns

if TYPE_CHECKING:
    from aiida.orm import ProcessNode
    from matplotlib.figure import Figure


# Edges that differ by more are those of another cell, such as that of a grain boundary.
_SAME_CELL = 0.06

HEADER = ("quantity", "here", "published")
RECOMMENDED = "occupancy"
"""The estimator of diffusion in a region that is without bias along it."""


def summary_of(pk: int) -> dict[str, Any]:
    """The summary of a `lpsgb.characterise` process, empty if it has none."""
    from aiida.orm import load_node

    outputs = load_node(pk).outputs
    return outputs.summary.get_dict() if "summary" in outputs else {}


def characterisation_rows(
    summary: Mapping[str, Any], references: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str]]:
    """Headline numbers beside published values where there are any: quantity, number here, published number.

    Parameters
    ----------
    summary
        The ``summary`` of `lpsgb.characterise`.
    references
        By name of the number (``cell_A``, ``first_peaks_A``, ``whole_fraction``, ``mean_disorder``, ``f_pd``):
        ``values`` and a ``note`` on why a run may differ.
    """
    references = references or {}
    rows = _cell_rows(summary.get("cell_A"), references.get("cell_A", {}).get("values"))
    peaks = references.get("first_peaks_A", {}).get("values", {})
    for pair, distance in summary.get("first_peaks_A", {}).items():
        published = _published_peak(pair, peaks)
        rows.append((f"first peak {pair} (Å)", _text(distance, None, ".2f"), _text(published, None, ".2f")))
    for key, name, form in (
        ("whole_fraction", "whole units", ".1%"),
        ("mean_disorder", "mean site disorder, normalised", ".3f"),
        ("enrichment", "enrichment of the region", ".3f"),
        ("diffusivity_cm2_s", "D (cm²/s)", ".2e"),
        ("conductivity_s_cm", "σ (S/cm)", ".2e"),
        ("isotropy", "isotropy ξ", ".2f"),
        ("haven_ratio", "Haven ratio", ".2f"),
    ):
        if key in summary:
            published = references.get(key, {}).get("values")
            if key == "diffusivity_cm2_s" and not summary.get("diffusive", True):
                name += ", not yet diffusive"
            rows.append((name, _text(summary[key], _error(summary, key), form), _text(published, None, form)))
    for label, values in summary.get("topology", {}).items():
        name = f"f_PD, L > {values['threshold_A']:g} Å, {values['filtration']}, {values['scale']}"
        here = _text(values.get("f_pd"), values.get("f_pd_uncertainty"), ".4f")
        rows.append(
            (
                name if name not in {r[0] for r in rows} else label,
                here,
                _text(references.get("f_pd", {}).get("values"), None, ".2f"),
            )
        )
    for label, values in summary.get("regions", {}).items():
        where = label.replace("__", ", ")
        here = _text(values["diffusivity_cm2_s"], values["uncertainty_cm2_s"], ".2e")
        rows.append((f"D in {where} (cm²/s)", here, ""))
        if label.endswith(RECOMMENDED) and "isotropy" in values:
            rows.append((f"ξ in {where}", _text(values["isotropy"], values["isotropy_uncertainty"], ".2f"), ""))
    return rows


def _published_peak(pair: str, peaks: Mapping[str, float]) -> float | None:
    """A pair is found whichever way round it is named."""
    return next((peaks[name] for name in (pair, "-".join(reversed(pair.split("-")))) if name in peaks), None)


def _cell_rows(lengths: Sequence[float] | None, unit: Sequence[float] | None) -> list[tuple[str, str, str]]:
    """Edges of the unit cell, where the cell is a supercell of the published one."""
    if lengths is None or unit is None:
        return []
    repeats = [max(1, round(length / edge)) for length, edge in zip(lengths, unit, strict=True)]
    found = [length / number for length, number in zip(lengths, repeats, strict=True)]
    if any(abs(a / b - 1) > _SAME_CELL for a, b in zip(found, unit, strict=True)):
        return []
    return [
        (f"{name} (Å)", _text(a, None, ".2f"), _text(b, None, ".2f"))
        for name, a, b in zip("abc", found, unit, strict=True)
    ]


def characterisation_table(summary: Mapping[str, Any], references: Mapping[str, Any] | None = None) -> str:
    """The rows of `characterisation_rows` as text, and the notes of the references under them."""
    header, rows = HEADER, characterisation_rows(summary, references)
    if references is None:
        header, rows = header[:2], [row[:2] for row in rows]
    notes = [f"{name}: {entry['note']}" for name, entry in (references or {}).items() if "note" in entry]
    return "\n".join([columns(header, rows), *([""] if notes else []), *notes])


def characterisation_figures(node: ProcessNode, references: Mapping[str, Any] | None = None) -> dict[str, Figure]:
    """The figures of a finished characterisation, by name.

    Parameters
    ----------
    node
        A `lpsgb.characterise` process.
    references
        As of `characterisation_rows`; first peaks are marked.
    """
    outputs = node.outputs
    drawn: dict[str, Figure] = {}
    if "rdf" in outputs:
        drawn["rdf"] = _radial_distributions(outputs.rdf, (references or {}).get("first_peaks_A", {}).get("values", {}))
    if "speciation" in outputs and len(found := outputs.speciation.get_dict()["units"]) > 1:
        drawn["speciation"] = figures.units({"": found})
    if "density" in outputs:
        drawn |= _density(outputs.density)
    if "disorder" in outputs:
        curve = (outputs.disorder.get_array("distribution"), outputs.disorder.get_array("edges"))
        drawn["disorder"] = figures.disorder(
            {"sites": curve}, means={"sites": outputs.disorder.base.attributes.get("mean")}
        )
    if "diffusivity" in outputs:
        drawn["msd"] = _motion(outputs.diffusivity)
    for label, diagram in outputs.topology.items() if "topology" in outputs else ():
        keys = ("filtration", "scale", "n_frames", "threshold_A")
        options = {key: diagram.base.attributes.get(key) for key in keys}
        drawn[f"topology_{label}"] = figures.persistence_diagram(
            diagram.get_array("birth_A"), diagram.get_array("death_A"), **options
        )
    return drawn


def _radial_distributions(node: Any, published: Mapping[str, float]) -> Figure:
    pairs = node.base.attributes.get("first_peaks_A")
    r = node.get_array("r_A")
    curves = {pair: (r, node.get_array(f"g_{pair.replace('-', '_')}")) for pair in pairs}
    peaks = {pair: _published_peak(pair, published) for pair in pairs}
    return figures.radial_distributions(curves, references_A={k: v for k, v in peaks.items() if v is not None})


def density_of(node: Any) -> DensityMap:
    """The map of an output `density` of `lpsgb.characterise`, to project, smooth or write for VESTA.

    Parameters
    ----------
    node
        The array node.
    """
    cell = node.get_array("cell_A")
    atoms = Atoms(node.get_array("numbers"), positions=node.get_array("positions_A"), cell=cell, pbc=True)
    return DensityMap(node.get_array("density_A3"), cell, atoms, node.base.attributes.get("species"))


def _density(node: Any) -> dict[str, Figure]:
    density = density_of(node)
    region = node.base.attributes.get("region")
    # Map and profile show the third vector, on which a bicrystal's boundaries stand.
    slab = region if region and region.get("axis") == 2 else None
    first, third, _ = grid_axes(density, 1)
    return {
        "density": figures.density_map(
            density.projection(1),
            (first, third),
            species=density.species,
            regions_A=_ranges(slab, density.cell, third[-1]),
        ),
        "profile": figures.profile(
            node.get_array("profile_position_A_2"),
            node.get_array("profile_A3_2"),
            smooth_A3=node.get_array("profile_smooth_A3_2"),
            error_A3=node.get_array("profile_error_A3_2"),
            species=density.species,
            regions_A=_ranges(slab, density.cell, heights(density.cell)[2]),
        ),
    }


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


def _motion(node: Any) -> Figure:
    return figures.msd(
        node.get_array("lag_times_ps"),
        node.get_array("msd_components_angstrom2"),
        error_A2=node.get_array("msd_uncertainty_angstrom2"),
        window_ps=node.base.attributes.get("window_ps"),
        # The total grows by six D: one Å²/ps is 1e-4 cm²/s.
        slope_A2_ps=6e4 * node.value,
        intercept_A2=node.base.attributes.get("details")["intercept_A2"],
    )


def _error(summary: Mapping[str, Any], key: str) -> float | None:
    names = {"diffusivity_cm2_s": "uncertainty_cm2_s", "conductivity_s_cm": "conductivity_uncertainty_s_cm"}
    return summary.get(names.get(key, f"{key}_uncertainty"))


def _text(value: float | None, error: float | None, form: str) -> str:
    if value is None:
        return ""
    return f"{value:{form}}" if error is None else f"{value:{form}} ± {error:{form}}"
