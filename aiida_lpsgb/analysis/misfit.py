"""Where in a boundary the misfit sits: the core of a dislocation, as a box that can be analysed as a region."""

from __future__ import annotations

import numpy as np

from aiida_lpsgb.analysis._pairs import disorder as site_disorder
from aiida_lpsgb.analysis.regions import Box, Slab

CORE = "core"
"""What a region of this kind is called."""
#: Steps of the search along the boundary, in Å.
_STEP_A = 0.5
_DEGREE = 6


def misfit_core(
    scaled: np.ndarray,
    cell: np.ndarray,
    boundary: Slab,
    width_A: float,
    *,
    through: int | None = None,
    cutoff_A: float = 5.0,
) -> Box:
    """Find the part of a boundary that holds most of its misfit.

    The misfit of a framework atom is by how much its disorder parameter (:mod:`aiida_lpsgb.analysis.disorder`, of the
    framework alone) exceeds the mean of the atoms outside the slabs, and a box is worth the sum over what it holds.

    Parameters
    ----------
    scaled
        Positions of the framework of a relaxed structure, as fractions of the cell vectors, shape ``(n, 3)``.
    cell
        Cell vectors in rows, Å.
    boundary
        The slabs of the boundaries; the box lies in the first.
    width_A
        Width of the box along the boundary, Å; a cell vector that is no longer is taken whole.
    through
        Cell vector that the box runs along from end to end, such as that of the tilt axis.
    cutoff_A
        Distance of a neighbour, Å.

    Returns
    -------
    Box
        As thick as the slab.

    Raises
    ------
    ValueError
        If a length is not positive, the box would run along the normal, or the slab holds none of the framework.
    """
    if width_A <= 0 or cutoff_A <= 0:
        raise ValueError(f"width_A and cutoff_A must be positive, found {width_A} and {cutoff_A}")
    if through == boundary.axis:
        raise ValueError(f"a core runs along its boundary: through must not be {through}, the axis of the slab")
    first = Slab(boundary.axis, boundary.centres[:1], boundary.thickness_A)
    misfit = np.nan_to_num(site_disorder(scaled, cell, (True, True, True), cutoff_A, _DEGREE))
    outside = ~boundary.contains(scaled, cell)
    inside = first.contains(scaled, cell)
    if not inside.any():
        raise ValueError("no framework atom is in the boundary's slab; its centre or thickness cannot be right")
    misfit -= misfit[outside].mean() if outside.any() else misfit.min()
    low, high = np.zeros(3), np.ones(3)
    low[boundary.axis], high[boundary.axis] = first.intervals(boundary.axis, cell)[0]
    along = [k for k in range(3) if k not in (boundary.axis, through)]
    lengths = np.linalg.norm(cell, axis=1)
    widths = {k: width_A / lengths[k] for k in along if width_A < lengths[k]}
    held = _held(scaled[inside], widths, lengths)
    best = np.unravel_index(np.argmax(held @ misfit[inside]), held.shape[:-1])
    for (axis, width), start, steps in zip(widths.items(), best, held.shape, strict=False):
        low[axis] = start / steps
        high[axis] = low[axis] + width
    return Box(tuple(low.tolist()), tuple(high.tolist()))


def _held(scaled: np.ndarray, widths: dict[int, float], lengths: np.ndarray) -> np.ndarray:
    """Which positions each box of the search holds: a dimension for every vector it moves along, atoms last."""
    held = np.ones(len(scaled), bool)
    for axis, width in widths.items():
        n = int(np.ceil(lengths[axis] / _STEP_A))
        window = (scaled[:, axis] - np.arange(n)[:, None] / n) % 1.0 < width
        held = held[..., None, :] & window
    return held
