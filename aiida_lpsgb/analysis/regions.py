"""Parts of a periodic cell: slabs and boxes, alone or several together, that breathe with the cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.neighbours import heights


@dataclass(frozen=True)
class Slab:
    """Everything within half a thickness of one of several parallel planes.

    Attributes
    ----------
    axis
        Cell vector (0, 1, 2) that the planes cut; they are parallel to the other two.
    centres
        Where, as fractions of the cell vector.
    thickness_A
        Thickness of each slab, Å, along the normal of the planes, in the mean cell.
    """

    axis: int
    centres: tuple[float, ...]
    thickness_A: float

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2):
            raise ValueError(f"axis of a slab must be 0, 1 or 2, found {self.axis}")
        if self.thickness_A <= 0 or not self.centres:
            raise ValueError("a slab needs a positive thickness_A and at least one centre")

    def contains(self, scaled: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Which of the scaled positions ``(..., 3)`` lie inside, for the mean cell given."""
        half = self._half_width(cell)
        along = scaled[..., self.axis]
        inside = np.zeros(along.shape, bool)
        for centre in self.centres:
            distance = along - centre
            distance -= np.rint(distance)
            inside |= np.abs(distance) <= half
        return inside

    def share(self, cell: np.ndarray) -> float:
        """Share of the cell's volume, slabs that overlap counted once."""
        half = self._half_width(cell)
        grid = (np.arange(20000) + 0.5) / 20000
        inside = np.zeros(len(grid), bool)
        for centre in self.centres:
            distance = grid - centre
            inside |= np.abs(distance - np.rint(distance)) <= half
        return float(inside.mean())

    def intervals(self, axis: int, cell: np.ndarray) -> list[tuple[float, float]]:
        """What it takes of a cell vector, as fractions; the axis must be its own."""
        if axis != self.axis:
            raise ValueError(f"a slab across axis {self.axis} has no intervals along axis {axis}")
        half = min(self._half_width(cell), 0.5)
        return [(centre - half, centre + half) for centre in self.centres]

    def _half_width(self, cell: np.ndarray) -> float:
        return self.thickness_A / 2 / heights(cell)[self.axis]


@dataclass(frozen=True)
class Box:
    """A parallelepiped between fractions of the cell vectors, such as the core of a dislocation.

    Attributes
    ----------
    low, high
        Fractions of the three cell vectors; ``low`` may be larger than ``high``, or negative, for a box across the
        boundary.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def __post_init__(self) -> None:
        if len(self.low) != 3 or len(self.high) != 3:
            raise ValueError("a box needs three fractions in low and in high")

    def _widths(self) -> np.ndarray:
        difference = np.subtract(self.high, self.low)
        # A box from 0 to 1 holds everything along that vector; any other difference wraps around.
        return np.where(difference >= 1, 1.0, difference % 1.0)

    def contains(self, scaled: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Which of the scaled positions ``(..., 3)`` lie inside."""
        return self._within(scaled, range(3))

    def beside(self, scaled: np.ndarray, axis: int) -> np.ndarray:
        """Which of the scaled positions lie inside as far as the cell vectors other than ``axis`` tell."""
        return self._within(scaled, [k for k in range(3) if k != axis])

    def intervals(self, axis: int, cell: np.ndarray) -> list[tuple[float, float]]:
        """What it takes of a cell vector, as fractions."""
        return [(self.low[axis], self.low[axis] + float(self._widths()[axis]))]

    def _within(self, scaled: np.ndarray, axes: Iterable[int]) -> np.ndarray:
        inside = np.ones(scaled.shape[:-1], bool)
        for axis in axes:
            if (width := self._widths()[axis]) < 1:
                inside &= (scaled[..., axis] - self.low[axis]) % 1.0 < width
        return inside

    def share(self, cell: np.ndarray) -> float:
        """Share of the cell's volume."""
        return float(np.prod(self._widths()))


Region = Slab | Box


def disjoint(regions: Mapping[str, Region], cell: np.ndarray) -> list[dict[str, Region]]:
    """Part regions into as few groups as it takes, in their order, for those of a group not to overlap.

    Parameters
    ----------
    regions
        By name.
    cell
        The mean cell, in which slabs have their thickness.
    """
    groups: list[dict[str, Region]] = []
    for name, region in regions.items():
        free = (g for g in groups if not any(_overlap(region, other, cell) for other in g.values()))
        group = next(free, None)
        if group is None:
            groups.append(group := {})
        group[name] = region
    return groups


def _overlap(a: Region, b: Region, cell: np.ndarray) -> bool:
    """Whether two regions have anything in common, or touch."""
    return all(any(_meet(x, y) for x in _extent(a, axis, cell) for y in _extent(b, axis, cell)) for axis in range(3))


def _extent(region: Region, axis: int, cell: np.ndarray) -> list[tuple[float, float]]:
    """What a region takes of a cell vector."""
    if isinstance(region, Slab) and axis != region.axis:
        return [(0.0, 1.0)]
    return region.intervals(axis, cell)


def _meet(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two intervals of a circle of length one meet."""
    return (b[0] - a[0]) % 1.0 <= a[1] - a[0] or (a[0] - b[0]) % 1.0 <= b[1] - b[0]


def region_from_dict(values: Mapping[str, Any]) -> Region:
    """A region from plain values: ``{axis, centres, thickness_A}`` for slabs or ``{low, high}`` for a box.

    Raises
    ------
    ValueError
        If the keys are of neither.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"expected a dictionary that defines a region, found {values!r}")
    keys = set(values)
    if keys == {"axis", "centres", "thickness_A"}:
        centres: Sequence[float] | float = values["centres"]
        centres = (centres,) if isinstance(centres, int | float) else centres
        return Slab(int(values["axis"]), tuple(float(c) for c in centres), float(values["thickness_A"]))
    if keys == {"low", "high"}:
        return Box(tuple(float(v) for v in values["low"]), tuple(float(v) for v in values["high"]))
    raise ValueError(
        f"a region is axis, centres, thickness_A (slabs) or low, high (box); found {', '.join(sorted(keys))}"
    )
