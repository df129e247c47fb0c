"""Grain boundaries of any crystal: from axis and plane to a periodic bicrystal made of whole units.

Three steps, each usable by itself: :func:`boundaries` finds how two grains can meet (orientation, common cell, strain);
:func:`aiida_lpsgb.structures.bicrystal.candidates` finds where to cut and how to shift them, and
:func:`aiida_lpsgb.structures.bicrystal.build` makes the periodic cell.
:func:`aiida_lpsgb.structures.bicrystal.grain_boundary` does the three with the best choice of each.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_lpsgb.structures import pseudo_cubic
from aiida_lpsgb.structures.boundary_request import check_options, check_tilt_axis, check_twist_axis, kind_of
from aiida_lpsgb.structures.coincidence import (
    NoCoincidence,
    integer_row_basis,
    match,
    no_coincidence,
    reduced_basis,
    strain_tensor,
    twists,
)
from aiida_lpsgb.structures.crystal import Crystal, Plane, primitive_indices
from aiida_lpsgb.structures.orientation import about_z, laboratory_frame, misorientation
from aiida_lpsgb.structures.validation import StructureWarning

__all__ = ["Boundary", "Grain", "as_indices", "boundaries", "require_boundary"]

#: Grains whose orientations differ by less are one crystal, in degrees.
SMALLEST_ANGLE = 1.0
#: A twist's label keeps to the orientation that it has in the parent's cell within this, in degrees.
SAME_ORIENTATION = 3.0


@dataclass(frozen=True)
class Grain:
    """One grain: its boundary plane, and how the crystal lies in the laboratory frame.

    Attributes
    ----------
    plane : Plane
        The plane parallel to the boundary.
    frame : numpy.ndarray, shape (3, 3)
        Rotation from the crystal's Cartesian frame to the laboratory; the plane's normal goes to z.
    vectors : numpy.ndarray of int, shape (2, 2)
        Common cell in the plane's basis, as rows.
    deformation : numpy.ndarray, shape (2, 2)
        In-plane map x → F x in the laboratory that makes the grain fit.
    """

    plane: Plane
    frame: np.ndarray
    vectors: np.ndarray
    deformation: np.ndarray

    @property
    def basis(self) -> np.ndarray:
        """The plane's lattice vectors in the laboratory, unstrained, shape (2, 2), in Å."""
        return (self.plane.basis @ self.frame.T)[:, :2]


@dataclass(frozen=True)
class Boundary:
    """How two grains of a crystal can meet.

    Attributes
    ----------
    kind : {"symmetric", "asymmetric", "twist", "mixed"}
        Symmetric and asymmetric tilt, twist, or a boundary that is neither.
    convention : {"lattice", "pseudo-cubic"}
        How axis, plane and Σ were understood.
    grains : tuple of two Grain
        Lower and upper grain.
    cell : numpy.ndarray, shape (2, 2)
        Common in-plane cell as rows, in Å.
    angle_deg, axis : float, numpy.ndarray
        True misorientation: smallest rotation about the tilt or twist axis (or about any, if none is about that) that
        turns grain 1 into grain 2, equivalent orientations counted as one; axis as a direction of grain 1's setting.
    nominal_angle_deg, sigma : float or None, int or None
        What the same indices mean in a cubic lattice (pseudo-cubic convention only).
    notes : tuple of str
        What is not as the request would have it, one sentence each.
    """

    kind: str
    convention: str
    grains: tuple[Grain, Grain]
    cell: np.ndarray
    angle_deg: float
    axis: np.ndarray
    nominal_angle_deg: float | None = None
    sigma: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def area(self) -> float:
        """Area of the common cell, in Å²."""
        return abs(float(np.linalg.det(self.cell)))

    @property
    def displacement_cell(self) -> np.ndarray:
        """Cell of non-identical displacements as rows, in Å: shifts of grain 2 by its vectors change nothing.

        It is spanned by the planar lattices of both grains, strained to fit.
        """
        first, second = (grain.vectors for grain in self.grains)
        counts = [abs(round(float(np.linalg.det(vectors)))) for vectors in (first, second)]
        common = math.lcm(*counts)
        inverses = [np.round(common * np.linalg.inv(vectors)).astype(int) for vectors in (first, second)]
        return reduced_basis(integer_row_basis(np.vstack(inverses)) / common @ self.cell)

    @property
    def strains(self) -> tuple[np.ndarray, np.ndarray]:
        """In-plane strain tensor of either grain in the laboratory frame."""
        first, second = (strain_tensor(grain.deformation) for grain in self.grains)
        return first, second

    @property
    def max_strain(self) -> float:
        """Largest principal strain of either grain, as a magnitude."""
        return max(float(np.abs(np.linalg.eigvalsh(strain)).max()) for strain in self.strains)

    def describe(self) -> dict[str, Any]:
        """Summarise as plain numbers, units in the keys."""
        first, second = self.grains
        return {
            "kind": self.kind,
            "convention": self.convention,
            "plane_1": first.plane.miller.tolist(),
            "plane_2": second.plane.miller.tolist(),
            "axis": as_indices(self.axis),
            "true_angle_deg": round(self.angle_deg, 4),
            "nominal_angle_deg": None if self.nominal_angle_deg is None else round(self.nominal_angle_deg, 4),
            "nominal_sigma": self.sigma,
            "area_A2": round(self.area, 4),
            "max_strain": round(self.max_strain, 8),
            "strain_1": np.round(self.strains[0], 8).tolist(),
            "strain_2": np.round(self.strains[1], 8).tolist(),
            "spacing_1_A": round(first.plane.spacing, 6),
            "spacing_2_A": round(second.plane.spacing, 6),
            "notes": list(self.notes),
        }


def boundaries(
    crystal: Crystal,
    axis: Sequence[int] | None,
    plane: Sequence[int],
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
    smallest: bool = False,
) -> list[Boundary]:
    """Find how two grains can meet at a plane.

    Where the crystal's own symmetry turns grain 1 into grain 2, what is found is no grain boundary but one crystal with
    a shift; a :class:`aiida_lpsgb.structures.validation.StructureWarning` says so.

    Parameters
    ----------
    crystal : Crystal
        The crystal; all indices refer to its cell, or to its parent's if it has one.
    axis : three integers or None
        Direction of the tilt axis (within the plane) or twist axis (normal to it); None for ``mixed``, and for a twist
        about the normal of a plane that no lattice direction is normal to.
    plane : three integers
        Miller indices of the boundary in grain 1.
    kind : {"symmetric", "asymmetric", "twist", "mixed"}, optional
        ``symmetric``: tilt with the same plane on both sides. ``asymmetric``: tilt with `plane_2` on the other side.
        ``twist``: rotation about the normal. ``mixed``: `plane` and `plane_2`, `direction` and `direction_2` parallel.
        By default what the indices say: mixed with directions, asymmetric with a second plane, a twist where the axis
        is the normal or left out, else symmetric.
    convention : {"lattice", "pseudo-cubic"}
        ``lattice``: angles and coincidences are those of the true lattice. ``pseudo-cubic``: the literature's labels,
        which read the indices as if the cell were a cube. Then Σ and nominal angle are reported beside the true angle,
        and a twist is given by its `sigma`: the index pairs (m, −n) → (m, n) … that coincide in the cubic lattice say
        which true directions are laid on each other.
    sigma : int, optional
        Nominal Σ of a pseudo-cubic twist; other kinds follow from their planes, and it is checked.
    angle : float, optional
        True twist angle to look for, in degrees; by default all.
    angle_tolerance : float
        Accepted difference from `angle`, in degrees.
    plane_2, direction, direction_2 : three integers, optional
        For asymmetric and mixed boundaries.
    max_strain : float
        Largest principal strain of either grain.
    max_area : float
        Largest area of the common cell, in Å².
    smallest : bool
        Stop at the smallest common cell of a twist, instead of listing all.

    Returns
    -------
    list of Boundary
        The smallest common cell first; larger ones of the same orientation follow where they have less strain.

    Raises
    ------
    ValueError
        If the indices do not fit the kind of boundary.
    NoCoincidence
        If no common cell is within the limits; the message names the nearest.
    """
    first = crystal.plane(plane)
    if kind is None:
        kind = kind_of(crystal, axis, first, plane_2, direction)
    check_options(kind, convention, sigma, angle, plane_2, direction, direction_2, max_strain, max_area)
    second = crystal.plane(plane_2) if plane_2 is not None else first
    nominal = convention == "pseudo-cubic"
    if kind == "twist":
        check_twist_axis(crystal, axis, first, convention)
        if nominal:
            found = _labelled_twists(crystal, first, sigma, angle, angle_tolerance, max_strain, max_area)
        else:
            found = _lattice_twists(crystal, first, angle, angle_tolerance, max_strain, max_area, smallest)
        return [_with_notes(crystal, item, axis) for item in found]
    if kind == "mixed":
        orientations = [_parallel(crystal, (first, second), (direction, direction_2), nominal)]
    else:
        check_tilt_axis(crystal, axis, first.miller, "plane")
        check_tilt_axis(crystal, axis, second.miller, "plane_2")
        opposite = [-int(index) for index in axis]
        orientations = [
            _parallel(crystal, (first, second), (axis, other), nominal, about_x=True) for other in (opposite, axis)
        ]
    if kind == "symmetric":
        orientations.pop()  # axes antiparallel are a half turn about the normal, axes parallel the crystal itself
    if sigma is not None:
        orientations = _with_sigma(orientations, kind, plane, sigma)
    if kind == "symmetric":
        found = [_coincident(crystal, first, orientations[0])]
    else:
        found = _search(crystal, kind, (first, second), orientations, max_strain, max_area)
    real = [item for item in found if item.angle_deg > SMALLEST_ANGLE]
    if not real:
        warnings.warn(_no_boundary(found[0]), StructureWarning, stacklevel=2)
    return [_with_notes(crystal, item, axis) for item in real or found]


def require_boundary(found: Sequence[Boundary]) -> None:
    """Refuse what is no grain boundary.

    Parameters
    ----------
    found : sequence of Boundary
        As :func:`boundaries` returns them.

    Raises
    ------
    NoCoincidence
        If the crystal's own symmetry turns grain 1 into grain 2.
    """
    if found[0].angle_deg <= SMALLEST_ANGLE:
        raise NoCoincidence(_no_boundary(found[0]))


def _no_boundary(item: Boundary) -> str:
    planes = " and ".join(dict.fromkeys(str(grain.plane.miller.tolist()) for grain in item.grains))
    return (
        f"no grain boundary: the crystal's own symmetry turns grain 1 into grain 2 at the {item.kind} boundary on "
        f"{planes}, so the two are one crystal with a shift; choose another plane"
    )


def as_indices(direction: np.ndarray, largest: int = 12) -> list[int] | list[float]:
    """Write a direction in the cell's vectors as small integers, or else as numbers of at most 1."""
    scaled = np.asarray(direction, dtype=float) / np.abs(direction).max()
    for n in range(1, largest + 1):
        if np.allclose(n * scaled, np.round(n * scaled), atol=2e-3):
            return [int(x) for x in np.round(n * scaled)]
    return [round(float(x), 4) + 0.0 for x in scaled]


def _with_notes(crystal: Crystal, item: Boundary, axis: Sequence[int] | None) -> Boundary:
    """Say where the axis of the rotation is not the one that was asked for."""
    if axis is None or item.angle_deg <= SMALLEST_ANGLE:
        return item
    asked, found = crystal.direction(axis), crystal.direction(item.axis)
    axis = [int(x) for x in axis]
    cosine = abs(float(asked @ found)) / float(np.linalg.norm(asked) * np.linalg.norm(found))
    if cosine > math.cos(math.radians(1.0)):
        return item
    if item.kind == "twist":
        note = f"{axis} is not normal to the plane: the grains are turned about the plane's normal"
    else:
        note = (
            f"no rotation about the axis asked for, {axis}, turns grain 1 into grain 2: the smallest is "
            f"{item.angle_deg:.2f}° about {as_indices(item.axis)}; if the crystal has lost symmetry by ordering or "
            "relaxation, give its parent"
        )
    return replace(item, notes=(*item.notes, note))


@dataclass(frozen=True)
class _Orientation:
    """How two grains lie, before their planar lattices are compared.

    Attributes
    ----------
    frames : tuple of two numpy.ndarray, shape (3, 3)
        Rotations from the crystal to the laboratory.
    axis : numpy.ndarray or None
        Laboratory direction of the tilt or twist axis, if there is one.
    nominal : tuple of float and (int or None), or None
        Angle and Σ of the label (pseudo-cubic convention only).
    """

    frames: tuple[np.ndarray, np.ndarray]
    axis: np.ndarray | None
    nominal: tuple[float, int | None] | None

    def planar_bases(self, planes: tuple[Plane, Plane]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of both planar lattices in the laboratory, in Å."""
        first, second = ((plane.basis @ frame.T)[:, :2] for plane, frame in zip(planes, self.frames, strict=True))
        return first, second


def _parallel(
    crystal: Crystal,
    planes: tuple[Plane, Plane],
    directions: tuple[Sequence[int], Sequence[int]],
    nominal: bool,
    about_x: bool = False,
) -> _Orientation:
    """Lay a direction within either plane parallel to the other's."""
    pairs = list(zip(planes, directions, strict=True))
    for name, (plane, along) in zip(("direction", "direction_2"), pairs, strict=True):
        if int(primitive_indices(along, name) @ plane.miller) != 0:
            raise ValueError(f"{name} {list(along)} does not lie within its plane {plane.miller.tolist()}")
    lower, upper = (laboratory_frame(plane.normal, crystal.direction(along)) for plane, along in pairs)
    axis = np.array([1.0, 0.0, 0.0]) if about_x else None
    label = None
    if nominal:
        cubic = [pseudo_cubic.frame(plane.miller, along) for plane, along in pairs]
        label = (pseudo_cubic.angle(crystal, *cubic, axis), pseudo_cubic.sigma(*cubic))
    return _Orientation((lower, upper), axis, label)


def _twists(plane: Plane, turns: Iterable[tuple[float, float | None]], sigma: int | None) -> list[_Orientation]:
    """Turn the second grain about the normal by each of the true angles, which come with their nominal ones."""
    lower = laboratory_frame(plane.normal, plane.basis[0])
    z = np.array([0.0, 0.0, 1.0])
    return [
        _Orientation((lower, about_z(turn) @ lower), z, None if nominal is None else (nominal, sigma))
        for turn, nominal in turns
    ]


def _lattice_twists(
    crystal: Crystal,
    plane: Plane,
    angle: float | None,
    tolerance: float,
    max_strain: float,
    max_area: float,
    smallest: bool,
) -> list[Boundary]:
    """Twists at which planar cells of the true lattice coincide, the smallest cell first."""
    lower = laboratory_frame(plane.normal, plane.basis[0])
    equivalent = []
    for rotation in crystal.rotations:
        turned = lower @ rotation @ lower.T
        if turned[2, 2] > 1 - 1e-4:
            equivalent.append(math.degrees(math.atan2(turned[1, 0], turned[0, 0])))

    def accept(angles: np.ndarray) -> np.ndarray:
        distinct = angles > max(SMALLEST_ANGLE, math.degrees(2 * max_strain))
        return distinct if angle is None else (angles > SMALLEST_ANGLE) & (np.abs(angles - abs(angle)) <= tolerance)

    basis = (plane.basis @ lower.T)[:, :2]
    search = twists(basis, max_strain, max_area, equivalent_deg=equivalent, accept=accept)
    found = []
    for item in itertools.islice(search, 1 if smallest else None):
        (orientation,) = _twists(plane, [(item.turn_deg, None)], None)
        grains = (
            Grain(plane, orientation.frames[0], item.match.first, item.match.deformations[0]),
            Grain(plane, orientation.frames[1], item.match.second, item.match.deformations[1]),
        )
        found.append(_finish(crystal, "twist", grains, item.match.cell, orientation))
    if not found:
        raise _no_twist(plane, basis, equivalent, angle, tolerance, max_strain, max_area)
    return sorted(found, key=lambda item: (round(item.area, 2), round(item.max_strain, 6)))


def _no_twist(
    plane: Plane,
    basis: np.ndarray,
    equivalent: Sequence[float],
    angle: float | None,
    tolerance: float,
    max_strain: float,
    max_area: float,
) -> NoCoincidence:
    """Say that there is no such twist, and which is nearest."""
    limits = f"within {max_strain:.2%} strain of each grain and {max_area:.0f} Å²"
    every = [item.angle_deg for item in twists(basis, max_strain, max_area, equivalent_deg=equivalent)]
    if angle is None or not every:
        return NoCoincidence(
            f"every rotation found about the normal of {plane.miller.tolist()} is one of the crystal's own symmetry: "
            f"no grain boundary {limits}"
        )
    nearest = min(every, key=lambda found: abs(found - abs(angle)))
    return NoCoincidence(
        f"no twist about the normal of {plane.miller.tolist()} lays planar cells on each other {limits} at {angle:g} ± "
        f"{tolerance:g}°: the nearest is at {nearest:.2f}°"
    )


def _labelled_twists(
    crystal: Crystal,
    plane: Plane,
    sigma: int,
    angle: float | None,
    tolerance: float,
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Twists that a pseudo-cubic label stands for, the smallest cell first.

    Of several orientations, the label keeps to the one that it has in the parent's cell.
    """
    turns = pseudo_cubic.turns(crystal, plane, sigma, max_strain, max_area)
    found = _search(crystal, "twist", (plane, plane), _twists(plane, turns, sigma), max_strain, max_area)
    distinct = _distinct_twists(found, plane, max_strain, max_area)
    if angle is not None:
        return _with_angle(distinct, angle, tolerance)
    if crystal.parent is None:
        return distinct
    original = crystal.in_parent_cell()
    try:
        turns = pseudo_cubic.turns(original, original.plane(plane.miller), sigma, max_strain, max_area)
        planes = (original.plane(plane.miller),) * 2
        before = _search(original, "twist", planes, _twists(planes[0], turns, sigma), max_strain, max_area)
        asked = _distinct_twists(before, planes[0], max_strain, max_area)[0].angle_deg
    except NoCoincidence:
        return distinct
    kept = [item for item in distinct if abs(item.angle_deg - asked) <= SAME_ORIENTATION]
    if not kept:
        angles = ", ".join(f"{item.angle_deg:.2f}°" for item in distinct)
        raise NoCoincidence(
            f"the Σ{sigma} twist on {plane.miller.tolist()} is at {asked:.2f}° in the parent's cell, and in the "
            f"crystal's nothing within {max_strain:.2%} strain and {max_area:.0f} Å² is within {SAME_ORIENTATION:g}° "
            f"of that, only {angles}: allow more strain or area, or give the angle that is meant"
        )
    if kept[0] is not distinct[0]:
        note = (
            f"kept at the orientation of the parent's cell, {asked:.2f}°; in the crystal's cell the smallest common "
            f"cell of this label is at {distinct[0].angle_deg:.2f}°"
        )
        kept = [replace(item, notes=(*item.notes, note)) for item in kept]
    return kept


def _with_sigma(
    orientations: Sequence[_Orientation], kind: str, plane: Sequence[int], sigma: int
) -> list[_Orientation]:
    """Keep the orientations of a label's Σ."""
    sigmas = [item.nominal[1] for item in orientations]
    if sigma in sigmas:
        return [item for item in orientations if item.nominal[1] == sigma]
    named = " and ".join(f"{found}" for found in sorted(set(sigmas), key=str))
    raise ValueError(f"the {kind} boundary on {list(plane)} has the nominal Σ {named}, not {sigma}")


def _with_angle(twists: Sequence[Boundary], angle: float, tolerance: float) -> list[Boundary]:
    """Keep the twists of a label that have a true angle."""
    kept = [item for item in twists if abs(item.angle_deg - angle) <= tolerance]
    if not kept:
        angles = ", ".join(f"{item.angle_deg:.2f}°" for item in twists)
        raise NoCoincidence(
            f"no Σ{twists[0].sigma} twist within the limits has a true angle of {angle:g} ± {tolerance:g}°: they have "
            f"{angles}"
        )
    return kept


def _coincident(crystal: Crystal, plane: Plane, orientation: _Orientation) -> Boundary:
    """Make the boundary of grains whose planar lattices coincide, vector on opposite."""
    lower = Grain(plane, orientation.frames[0], np.eye(2, dtype=int), np.eye(2))
    upper = replace(lower, frame=orientation.frames[1], vectors=-lower.vectors)
    return _finish(crystal, "symmetric", (lower, upper), lower.basis, orientation)


def _search(
    crystal: Crystal,
    kind: str,
    planes: tuple[Plane, Plane],
    orientations: Sequence[_Orientation],
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Find common cells for each of the orientations, the smallest first."""
    found: list[Boundary] = []
    for orientation in orientations:
        for item in match(*orientation.planar_bases(planes), max_strain, max_area):
            grains = (
                Grain(planes[0], orientation.frames[0], item.first, item.deformations[0]),
                Grain(planes[1], orientation.frames[1], item.second, item.deformations[1]),
            )
            found.append(_finish(crystal, kind, grains, item.cell, orientation))
    if not found:
        raise no_coincidence([item.planar_bases(planes) for item in orientations], max_strain, max_area)
    return sorted(found, key=lambda item: (round(item.area, 2), round(item.max_strain, 6)))


def _distinct_twists(found: Sequence[Boundary], plane: Plane, max_strain: float, max_area: float) -> list[Boundary]:
    """Leave out what is no twist, or equivalent to another one."""
    distinct: dict[tuple, Boundary] = {}
    for item in sorted(found, key=lambda i: (round(i.area, 2), round(i.max_strain, 6), i.angle_deg)):
        if item.angle_deg > SMALLEST_ANGLE:
            distinct.setdefault((round(item.angle_deg, 1), round(item.area, 1), round(item.max_strain, 4)), item)
    if not distinct:
        raise NoCoincidence(
            f"every rotation found about the normal of {plane.miller.tolist()} is one of the crystal's own symmetry: "
            f"no grain boundary within {max_strain:.2%} strain of each grain and {max_area:.0f} Å²"
        )
    return list(distinct.values())


def _finish(
    crystal: Crystal, kind: str, grains: tuple[Grain, Grain], cell: np.ndarray, orientation: _Orientation
) -> Boundary:
    """Count the grains' rotation by the fit to their orientation, turn the cell's first vector to x, add the angle."""
    rotation = about_z(-math.degrees(math.atan2(cell[0, 1], cell[0, 0])))
    planar = rotation[:2, :2]
    fitted = []
    for grain in grains:
        left, _, right = np.linalg.svd(grain.deformation)
        turn = np.eye(3)
        turn[:2, :2] = left @ right
        stretch = planar @ grain.deformation @ turn[:2, :2].T @ planar.T
        fitted.append(replace(grain, frame=rotation @ turn @ grain.frame, deformation=stretch))
    grains = (fitted[0], fitted[1])
    axis = None if orientation.axis is None else rotation @ orientation.axis
    angle, about = misorientation(grains[0].frame, grains[1].frame, crystal.rotations, axis)
    indices = about @ grains[0].frame @ np.linalg.inv(crystal.setting)
    indices = indices / np.abs(indices).max()
    convention = "lattice" if orientation.nominal is None else "pseudo-cubic"
    return Boundary(kind, convention, grains, cell @ planar.T, angle, indices, *(orientation.nominal or ()))
