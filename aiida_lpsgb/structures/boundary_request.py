"""What a request of a boundary means, and what is none in any crystal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aiida_lpsgb.structures.crystal import Crystal, Plane, primitive_indices

__all__ = ["check_request"]

KINDS = ("symmetric", "asymmetric", "twist", "mixed")
#: Cosine above which an axis is the normal of a plane.
COLLINEAR = math.cos(math.radians(0.5))


def check_request(
    plane: Sequence[int],
    axis: Sequence[int] | None = None,
    kind: str | None = None,
    *,
    convention: str = "lattice",
    sigma: int | None = None,
    angle: float | None = None,
    angle_tolerance: float = 1.0,
    plane_2: Sequence[int] | None = None,
    direction: Sequence[int] | None = None,
    direction_2: Sequence[int] | None = None,
    max_strain: float = 0.01,
    max_area: float = 1500.0,
) -> None:
    """Refuse what is no boundary in any crystal.

    Parameters
    ----------
    plane, axis, kind, ...
        As for :func:`aiida_lpsgb.structures.boundary.boundaries`.

    Raises
    ------
    ValueError
        If the indices are none, or do not fit each other or the kind.
    """
    given = {"plane": plane, "axis": axis, "plane_2": plane_2, "direction": direction, "direction_2": direction_2}
    indices = {name: primitive_indices(value, name) for name, value in given.items() if value is not None}
    if kind is None:
        kind = "mixed" if direction is not None else "asymmetric" if plane_2 is not None else None
    if kind is not None:
        check_options(kind, convention, sigma, angle, plane_2, direction, direction_2, max_strain, max_area)
    if kind in ("symmetric", "asymmetric"):
        for name in ("plane", "plane_2"):
            if name in indices:
                check_tilt_axis(None, axis, indices[name], name)


def kind_of(
    crystal: Crystal,
    axis: Sequence[int] | None,
    plane: Plane,
    plane_2: Sequence[int] | None,
    direction: Sequence[int] | None,
) -> str:
    """The kind of boundary that a request means without naming it."""
    if direction is not None:
        return "mixed"
    if plane_2 is not None:
        return "asymmetric"
    if axis is None or _is_normal(crystal, primitive_indices(axis, "axis"), plane):
        return "twist"
    return "symmetric"


def _is_normal(crystal: Crystal, axis: np.ndarray, plane: Plane) -> bool:
    """Whether an axis is normal to a plane, or has the plane's own indices, as labels of a cube mean it."""
    return np.array_equal(np.abs(axis), np.abs(plane.miller)) or _cosine(crystal, axis, plane) > COLLINEAR


def _cosine(crystal: Crystal, axis: np.ndarray, plane: Plane) -> float:
    """Cosine of the angle between an axis and a plane's normal."""
    direction = crystal.direction(axis)
    return abs(float(direction @ plane.normal)) / float(np.linalg.norm(direction))


def check_options(kind, convention, sigma, angle, plane_2, direction, direction_2, max_strain, max_area) -> None:
    """Refuse options of :func:`aiida_lpsgb.structures.boundary.boundaries` that contradict each other or the kind."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if convention not in ("lattice", "pseudo-cubic"):
        raise ValueError(f"convention must be 'lattice' or 'pseudo-cubic', not {convention!r}")
    if not 0 < max_strain < 0.2:
        raise ValueError(f"max_strain must be above 0 and below 0.2, not {max_strain}")
    if not max_area > 0:
        raise ValueError(f"max_area must be positive, not {max_area} Å²")
    if kind in ("asymmetric", "mixed") and plane_2 is None:
        raise ValueError(f"a boundary of kind {kind!r} needs plane_2, the plane of the second grain")
    if kind in ("symmetric", "twist") and plane_2 is not None:
        raise ValueError(f"a boundary of kind {kind!r} has one plane: leave plane_2 out")
    if kind == "mixed" and (direction is None or direction_2 is None):
        raise ValueError("a mixed boundary needs direction and direction_2, which are laid parallel within the planes")
    if kind != "mixed" and (direction is not None or direction_2 is not None):
        raise ValueError("direction and direction_2 are for mixed boundaries; the others are given by their axis")
    if kind == "twist" and convention == "pseudo-cubic" and sigma is None:
        raise ValueError("a pseudo-cubic twist is given by its nominal sigma, such as 5")
    if sigma is not None and convention == "lattice":
        raise ValueError("sigma belongs to convention='pseudo-cubic'; a true lattice is asked for an angle")
    if angle is not None and not np.isfinite(angle):
        raise ValueError(f"angle must be a number of degrees, not {angle}")
    if angle is not None and kind != "twist":
        raise ValueError("angle is for twists; a tilt's follows from its planes")


def check_tilt_axis(crystal: Crystal | None, axis: Sequence[int] | None, miller: np.ndarray, name: str) -> None:
    """Refuse an axis that is not within the plane; with the crystal, name an equivalent one that is."""
    if axis is None:
        raise ValueError("axis must be given: a tilt is about a direction within the plane")
    indices = primitive_indices(axis, "axis")
    if int(indices @ miller) == 0:
        return
    others = [] if crystal is None else _equivalent(crystal, indices)
    lying = [alternative for alternative in others if int(alternative @ miller) == 0]
    hint = f"; the equivalent direction {lying[0].tolist()} does" if lying else ""
    raise ValueError(
        f"{name} {miller.tolist()} does not contain the tilt axis {indices.tolist()} "
        f"(hu + kv + lw = {int(indices @ miller)}, not 0){hint}"
    )


def check_twist_axis(crystal: Crystal, axis: Sequence[int] | None, plane: Plane, convention: str) -> None:
    """Refuse an axis that is not the plane's normal; without an axis it is the normal."""
    if axis is None:
        return
    indices = primitive_indices(axis, "axis")
    if convention == "pseudo-cubic" and np.array_equal(np.abs(indices), np.abs(plane.miller)):
        return
    cosine = _cosine(crystal, indices, plane)
    if cosine < COLLINEAR:
        raise ValueError(
            f"plane {plane.miller.tolist()} is not normal to the twist axis {indices.tolist()}: the axis is "
            f"{math.degrees(math.acos(min(1.0, cosine))):.2f}° off its normal; leave the axis out to turn about that"
        )


def _equivalent(crystal: Crystal, indices: np.ndarray) -> list[np.ndarray]:
    """Directions equivalent to one by the crystal's symmetry."""
    inverse = np.linalg.inv(crystal.setting)
    images = [np.round(rotation @ crystal.direction(indices) @ inverse).astype(int) for rotation in crystal.rotations]
    return [np.array(image) for image in sorted({tuple(image) for image in images}, reverse=True)]
