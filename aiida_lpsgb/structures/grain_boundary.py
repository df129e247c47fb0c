"""Grain boundaries of any crystal: from axis and plane to a periodic bicrystal made of whole units.

<<<<<<< HEAD
Three steps, each usable by itself: :func:`boundaries` finds how two grains can meet (orientation, common cell, strain),
:func:`candidates` finds where to cut and how to shift them, :func:`build` makes the bicrystal. :func:`grain_boundary`
does the three with the best choice of each.

Grain 1 lies below the first boundary and grain 2 above it, the plane's normal along z, the second boundary at the top
of the cell. A symmetric boundary's second grain is the first one turned by 180° about the normal, which brings any
lattice plane into exact coincidence with itself; for a centrosymmetric crystal that is the mirror twin. Where one
grain is the image of the other under a half turn about the normal, or a mirror along it (most twists), the bicrystal
keeps a screw axis or glide plane, and both boundaries of the cell are equivalent whatever the cut and the shift.
Other boundaries are equivalent where the crystal has an inversion centre or a mirror between two layers of units to
cut at. What holds is reported.
=======
Three steps, each usable by itself: :func:`boundaries` finds how two grains can meet (orientation, common cell, strain);
:func:`aiida_lpsgb.structures.bicrystal.candidates` finds where to cut and how to shift them, and
:func:`aiida_lpsgb.structures.bicrystal.build` makes the periodic cell.
:func:`aiida_lpsgb.structures.bicrystal.grain_boundary` does the three with the best choice of each.
>>>>>>> main
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_lpsgb.structures.coincidence import NoCoincidence, common_angles, match, strain_tensor
from aiida_lpsgb.structures.crystal import Crystal, Plane, primitive_indices

__all__ = ["Boundary", "Grain", "boundaries"]

KINDS = ("symmetric", "asymmetric", "twist", "mixed")


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
        turns grain 1 into grain 2, equivalent orientations counted as one; axis as a direction of grain 1's cell.
    nominal_angle_deg, sigma : float or None, int or None
        What the same indices mean in a cubic lattice (pseudo-cubic convention only).
    """

    kind: str
    convention: str
    grains: tuple[Grain, Grain]
    cell: np.ndarray
    angle_deg: float
    axis: np.ndarray
    nominal_angle_deg: float | None = None
    sigma: int | None = None

    @property
    def area(self) -> float:
        """Area of the common cell, in Å²."""
        return abs(float(np.linalg.det(self.cell)))

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
            "axis": [round(float(x), 4) + 0.0 for x in self.axis],
            "true_angle_deg": round(self.angle_deg, 4),
            "nominal_angle_deg": None if self.nominal_angle_deg is None else round(self.nominal_angle_deg, 4),
            "nominal_sigma": self.sigma,
            "area_A2": round(self.area, 4),
            "max_strain": round(self.max_strain, 8),
            "strain_1": np.round(self.strains[0], 8).tolist(),
            "strain_2": np.round(self.strains[1], 8).tolist(),
            "spacing_1_A": round(first.plane.spacing, 6),
            "spacing_2_A": round(second.plane.spacing, 6),
        }


<<<<<<< HEAD
@dataclass(frozen=True)
class Candidate:
    """Where the grains are cut and how they are placed against each other.

    Attributes
    ----------
    cuts : tuple of two float
        Height of the cut through either crystal's plane, within one spacing, in Å.
    shift : numpy.ndarray, shape (2,)
        In-plane displacement of grain 2, in Å.
    gaps : tuple of two float
        Space along the normal between the cuts at the first and second boundary, in Å: that of contact.
    equivalent : str
        Symmetry that carries one boundary into the other: ``screw``, ``glide``, ``inversion``, ``mirror`` or ``none``.
    crowding : float
        Sum of (contact distance / distance)¹² over pairs of both grains at the first boundary, per Å²: the softer
        side of the contact, which ranks candidates of equal gap.
    twin : numpy.ndarray, shape (3, 3), optional
        Half turn or mirror that makes grain 2 of grain 1.
    flips : tuple of two Flip, optional
        Inversions or mirrors of either grain at the cuts.
    """

    cuts: tuple[float, float]
    shift: np.ndarray
    gaps: tuple[float, float]
    equivalent: str
    crowding: float
    twin: np.ndarray | None = None
    flips: tuple[Flip, Flip] | None = None

    def describe(self) -> dict[str, Any]:
        """Summarise as plain numbers, units in the keys."""
        return {
            "cuts_A": [round(cut, 6) for cut in self.cuts],
            "shift_A": [round(float(x), 6) + 0.0 for x in self.shift],
            "gaps_A": [round(gap, 6) for gap in self.gaps],
            "equivalent_by": self.equivalent,
            "crowding_per_A2": round(self.crowding, 6),
        }


# ----------------------------------------------------------------------------------------------- how two grains can m


=======
>>>>>>> main
def boundaries(
    crystal: Crystal,
    axis: Sequence[int] | None,
    plane: Sequence[int],
    kind: str = "symmetric",
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
) -> list[Boundary]:
    """Find how two grains can meet at a plane.

    Parameters
    ----------
    crystal : Crystal
        The crystal; all indices refer to its cell.
    axis : three integers or None
        Direction of the tilt axis (within the plane) or twist axis (normal to it); None only for ``mixed``.
    plane : three integers
        Miller indices of the boundary in grain 1.
    kind : {"symmetric", "asymmetric", "twist", "mixed"}
        ``symmetric``: tilt with the same plane on both sides. ``asymmetric``: tilt with `plane_2` on the other side.
<<<<<<< HEAD
        ``twist``: rotation about the normal. ``mixed``: `plane` and `plane_2` with `direction` and `direction_2`
        parallel.
    convention : {"lattice", "pseudo-cubic"}
        ``lattice``: angles and coincidences are those of the true lattice. ``pseudo-cubic``: the literature's labels,
        which read the indices as if the cell were a cube. Then Σ and nominal angle are reported beside the true
        angle, and a twist is given by its `sigma`: the index pairs (m, −n) → (m, n) … that coincide in the cubic
        lattice say which true directions are laid on each other.
=======
        ``twist``: rotation about the normal. ``mixed``: `plane` and `plane_2`, `direction` and `direction_2` parallel.
    convention : {"lattice", "pseudo-cubic"}
        ``lattice``: angles and coincidences are those of the true lattice. ``pseudo-cubic``: the literature's labels,
        which read the indices as if the cell were a cube. Then Σ and nominal angle are reported beside the true angle,
        and a twist is given by its `sigma`: the index pairs (m, −n) → (m, n) … that coincide in the cubic lattice say
        which true directions are laid on each other.
>>>>>>> main
    sigma : int, optional
        Nominal Σ of a pseudo-cubic twist; for a tilt it is checked against the plane's.
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
    _check_request(kind, convention, sigma, angle, plane_2, direction, direction_2, max_strain, max_area)
    first = crystal.plane(plane)
    second = crystal.plane(plane_2) if plane_2 is not None else first
    if kind == "symmetric":
        found = [_symmetric(crystal, first, _tilt_axis(crystal, axis, first, "plane"))]
    elif kind == "asymmetric":
        _tilt_axis(crystal, axis, second, "plane_2")
        along = _tilt_axis(crystal, axis, first, "plane")
        found = _asymmetric(crystal, first, second, along, max_strain, max_area)
    elif kind == "twist":
        _check_twist_axis(crystal, axis, first, convention)
        turns = _twist_angles(crystal, first, convention, sigma, angle, angle_tolerance, max_strain, max_area)
        found = _twist(crystal, first, turns, max_strain, max_area)
    else:
        found = _mixed(crystal, first, second, direction, direction_2, max_strain, max_area)
    if convention == "pseudo-cubic" and kind == "symmetric":
        found = [_with_nominal_tilt(crystal, item, axis, sigma) for item in found]
    return found


def _check_request(kind, convention, sigma, angle, plane_2, direction, direction_2, max_strain, max_area) -> None:
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
    if angle is not None and kind != "twist":
        raise ValueError("angle is for twists; a tilt's follows from its planes")


def _tilt_axis(crystal: Crystal, axis: Sequence[int] | None, plane: Plane, name: str) -> np.ndarray:
    """Check that the axis lies within the plane and return its Cartesian direction."""
    if axis is None:
        raise ValueError("axis must be given")
    indices = primitive_indices(axis, "axis")
    if int(indices @ plane.miller) == 0:
        return crystal.direction(indices)
    lying = [alternative for alternative in _equivalent(crystal, indices) if int(alternative @ plane.miller) == 0]
    hint = f"; the equivalent direction {lying[0].tolist()} does" if lying else ""
    raise ValueError(
        f"{name} {plane.miller.tolist()} does not contain the tilt axis {indices.tolist()} "
        f"(hu + kv + lw = {int(indices @ plane.miller)}, not 0){hint}"
    )


def _check_twist_axis(crystal: Crystal, axis: Sequence[int] | None, plane: Plane, convention: str) -> None:
    if axis is None:
        raise ValueError("axis must be given")
    indices = primitive_indices(axis, "axis")
    direction = crystal.direction(indices)
    cosine = abs(float(direction @ plane.normal)) / float(np.linalg.norm(direction))
    if convention == "pseudo-cubic" and np.array_equal(np.abs(indices), np.abs(plane.miller)):
        return
    if cosine < math.cos(math.radians(0.5)):
        raise ValueError(
            f"plane {plane.miller.tolist()} is not normal to the twist axis {indices.tolist()}: the axis is "
            f"{math.degrees(math.acos(min(1.0, cosine))):.2f}° off its normal"
        )


def _equivalent(crystal: Crystal, indices: np.ndarray) -> list[np.ndarray]:
    """Directions equivalent to one by the crystal's symmetry."""
    inverse = np.linalg.inv(crystal.cell)
    images = [np.round(rotation @ crystal.direction(indices) @ inverse).astype(int) for rotation in crystal.rotations]
    return [np.array(image) for image in sorted({tuple(image) for image in images}, reverse=True)]


def _frame(normal: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Rotation that carries a normal to z and the direction's part within the plane to x."""
    x = direction - (direction @ normal) * normal
    x = x / np.linalg.norm(x)
    return np.array([x, np.cross(normal, x), normal])


def _about_z(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _symmetric(crystal: Crystal, plane: Plane, along: np.ndarray) -> Boundary:
    """Turn the second grain by 180° about the normal: its planar lattice falls on the first's, vector on opposite."""
    lower = Grain(plane, _frame(plane.normal, along), np.eye(2, dtype=int), np.eye(2))
    upper = replace(lower, frame=_about_z(180.0) @ lower.frame, vectors=-lower.vectors)
    return _finish(crystal, "symmetric", "lattice", (lower, upper), lower.basis, np.array([1.0, 0.0, 0.0]))


def _asymmetric(
    crystal: Crystal, first: Plane, second: Plane, along: np.ndarray, max_strain: float, max_area: float
) -> list[Boundary]:
    """Lay the axes of both grains parallel or antiparallel."""
    lower = _frame(first.normal, along)
    return _search(
        crystal,
        "asymmetric",
        first,
        second,
        [(lower, _frame(second.normal, sign * along)) for sign in (1, -1)],
        np.array([1.0, 0.0, 0.0]),
        max_strain,
        max_area,
    )


def _mixed(
    crystal: Crystal,
    first: Plane,
    second: Plane,
    direction: Sequence[int],
    direction_2: Sequence[int],
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    for name, indices, plane in (("direction", direction, first), ("direction_2", direction_2, second)):
        if int(primitive_indices(indices, name) @ plane.miller) != 0:
            raise ValueError(f"{name} {list(indices)} does not lie within its plane {plane.miller.tolist()}")
    frames = (_frame(first.normal, crystal.direction(direction)), _frame(second.normal, crystal.direction(direction_2)))
    return _search(crystal, "mixed", first, second, [frames], None, max_strain, max_area)


def _twist(
    crystal: Crystal,
    plane: Plane,
    turns: Sequence[tuple[float, float | None, int | None]],
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Turn the second grain about the normal by each of the angles."""
    lower = _frame(plane.normal, plane.basis[0])
    z = np.array([0.0, 0.0, 1.0])
    found: list[Boundary] = []
    refused: list[NoCoincidence] = []
    for turn, nominal, sigma in turns:
        frames = [(lower, _about_z(turn) @ lower)]
        try:
            items = _search(crystal, "twist", plane, plane, frames, z, max_strain, max_area)
        except NoCoincidence as error:
            refused.append(error)
            continue
        if sigma is not None:
            items = [replace(i, convention="pseudo-cubic", nominal_angle_deg=nominal, sigma=sigma) for i in items]
        found += [item for item in items if item.angle_deg > 1.0]
    if not found:
        raise (
            refused[0]
            if refused
            else NoCoincidence(
                f"no twist about the normal of {plane.miller.tolist()} lays a lattice vector on another within "
                f"{max_strain:.2%} strain, {max_area:.0f} Å² and the angles asked for"
            )
        )
    distinct: dict[tuple, Boundary] = {}
    for item in sorted(found, key=lambda i: (round(i.area, 2), round(i.max_strain, 6), i.angle_deg)):
        distinct.setdefault((round(item.angle_deg, 1), round(item.area, 1), round(item.max_strain, 4)), item)
    return list(distinct.values())


def _twist_angles(
    crystal: Crystal,
    plane: Plane,
    convention: str,
    sigma: int | None,
    angle: float | None,
    tolerance: float,
    max_strain: float,
    max_area: float,
) -> list[tuple[float, float | None, int | None]]:
    """List true twist angles to try, with nominal angle and Σ in the pseudo-cubic convention."""
    if convention == "pseudo-cubic":
        turns = list(_nominal_turns(crystal, plane, sigma, max_strain, max_area))
        if not turns:
            raise NoCoincidence(
                f"no rotation about the normal of {plane.miller.tolist()} has Σ = {sigma} in a cubic lattice"
            )
        return turns
    basis = (plane.basis @ _frame(plane.normal, plane.basis[0]).T)[:, :2]
    angles = [turn for turn, _ in common_angles(basis, basis, max_strain, max_area)]
    if angle is not None:
        angles = [turn for turn in angles if abs(abs(turn) - abs(angle)) <= tolerance]
    return [(turn, None, None) for turn in angles if abs(turn) > 1e-6]


def _nominal_turns(
    crystal: Crystal, plane: Plane, sigma: int | None, max_strain: float, max_area: float
) -> Iterator[tuple[float, float, int]]:
<<<<<<< HEAD
    """Yield the true angle between index vectors that coincide in the cubic lattice of the same indices, and that
    lattice's.
=======
    """Yield the true and nominal angle of twists whose index vectors coincide in the cubic lattice.
>>>>>>> main

    A rotation by 2·atan(n·|hkl| / m) about [hkl] has Σ = m² + n²(h² + k² + l²) without its factors of two
    (Ranganathan, Acta Cryst. 21, 197 (1966)).
    """
    axis = plane.miller.astype(float)
    square = int(plane.miller @ plane.miller)
    lower = _frame(plane.normal, plane.basis[0])
    within = [v for v in _small_indices(6) if v @ plane.miller == 0]
    found = []
    for m, n in itertools.product(range(1, 30), range(1, 30)):
        if math.gcd(m, n) != 1 or _odd_part(m * m + n * n * square) != sigma:
            continue
        nominal = 2 * math.degrees(math.atan2(n * math.sqrt(square), m))
        rotation = _rotation(axis / math.sqrt(square), nominal)
        for vector in within:
            turned = rotation @ vector
            if not np.allclose(turned, np.round(turned), atol=1e-6):
                continue
            # Grain 2's `vector` lies on grain 1's `turned`.
            a, b = (lower @ crystal.direction(v) for v in (np.round(turned), vector))
            longest = math.sqrt(2 / math.sqrt(3) * max_area) * (1 + max_strain)
            if np.linalg.norm(a) <= longest and abs(np.linalg.norm(a) / np.linalg.norm(b) - 1) <= 2 * max_strain:
                turn = math.degrees(math.atan2(a[1], a[0]) - math.atan2(b[1], b[0]))
                found.append((float(np.linalg.norm(a)), nominal, turn))
    seen = set()
    for _, nominal, turn in sorted(found, key=lambda item: (round(item[0], 3), round(item[1], 3), abs(item[2]))):
        turn = 180.0 - (180.0 - turn) % 360.0
        if round(turn, 3) not in seen:
            seen.add(round(turn, 3))
            yield turn, nominal, int(sigma)


def _small_indices(limit: int) -> list[np.ndarray]:
    grid = itertools.product(range(-limit, limit + 1), repeat=3)
    return [np.array(v) for v in grid if any(v) and math.gcd(*v) == 1]


def _rotation(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix by Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    radians = math.radians(degrees)
    return np.eye(3) + math.sin(radians) * cross + (1 - math.cos(radians)) * cross @ cross


def _odd_part(number: int) -> int:
    while number % 2 == 0:
        number //= 2
    return number


def _search(
    crystal: Crystal,
    kind: str,
    first: Plane,
    second: Plane,
    frames: Sequence[tuple[np.ndarray, np.ndarray]],
    lab_axis: np.ndarray | None,
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Find common cells for each pair of orientations."""
    found: list[Boundary] = []
    refused: list[NoCoincidence] = []
    for lower, upper in frames:
        bases = [(plane.basis @ frame.T)[:, :2] for plane, frame in ((first, lower), (second, upper))]
        try:
            matches = match(*bases, max_strain, max_area)
        except NoCoincidence as error:
            refused.append(error)
            continue
        for item in matches:
            grains = (
                Grain(first, lower, item.first, item.deformations[0]),
                Grain(second, upper, item.second, item.deformations[1]),
            )
            found.append(_finish(crystal, kind, "lattice", grains, item.cell, lab_axis))
    if not found:
        raise refused[0]
    return sorted(found, key=lambda item: (round(item.area, 2), round(item.max_strain, 6)))


def _finish(
    crystal: Crystal,
    kind: str,
    convention: str,
    grains: tuple[Grain, Grain],
    cell: np.ndarray,
    lab_axis: np.ndarray | None,
) -> Boundary:
    """Turn the common cell's first vector to x and add the misorientation."""
    turn = -math.degrees(math.atan2(cell[0, 1], cell[0, 0]))
    rotation = _about_z(turn)
    planar = rotation[:2, :2]
    grains = tuple(
        replace(grain, frame=rotation @ grain.frame, deformation=planar @ grain.deformation @ planar.T)
        for grain in grains
    )
    axis = None if lab_axis is None else rotation @ lab_axis
    angle, about = _misorientation(grains[0].frame, grains[1].frame, crystal.rotations, axis)
    indices = about @ grains[0].frame @ np.linalg.inv(crystal.cell)
    indices = indices / np.abs(indices).max()
    return Boundary(kind, convention, grains, cell @ planar.T, angle, indices)


def _misorientation(
    first: np.ndarray, second: np.ndarray, rotations: np.ndarray, lab_axis: np.ndarray | None
) -> tuple[float, np.ndarray]:
    """Smallest equivalent rotation about the axis, or about any if none is about it: degrees, laboratory axis."""
    about_axis, about_any = [], []
    for symmetry in rotations:
        rotation = second @ symmetry @ first.T
        angle = math.degrees(math.acos(min(1.0, max(-1.0, (np.trace(rotation) - 1) / 2))))
        values, vectors = np.linalg.eig(rotation)
        axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        about_any.append((round(angle, 6), angle, axis))
        if lab_axis is not None and (angle < 1e-3 or abs(axis @ lab_axis) > math.cos(math.radians(0.5))):
            about_axis.append((round(angle, 6), angle, lab_axis))
    _, angle, axis = min(about_axis or about_any, key=lambda item: item[0])
    return angle, axis


def _with_nominal_tilt(crystal: Crystal, boundary: Boundary, axis: Sequence[int], sigma: int | None) -> Boundary:
    """Add what the indices of a symmetric tilt mean in a cubic lattice."""
    miller = boundary.grains[0].plane.miller
    nominal_sigma = _odd_part(int(miller @ miller))
    if sigma is not None and sigma != nominal_sigma:
        raise ValueError(
            f"a symmetric tilt boundary on {miller.tolist()} has the nominal Σ {nominal_sigma}, not {sigma}"
        )
    frame = _frame(miller / np.linalg.norm(miller), np.asarray(axis, dtype=float))
    inverse = np.linalg.inv(crystal.cell)
    in_indices = [np.linalg.inv(inverse.T @ np.linalg.inv(r) @ crystal.cell.T) for r in crystal.rotations]
    cubic = [r for r in in_indices if np.allclose(r @ r.T, np.eye(3), atol=1e-3)]
    angle, _ = _misorientation(frame, _about_z(180.0) @ frame, np.array(cubic), np.array([1.0, 0.0, 0.0]))
    return replace(boundary, convention="pseudo-cubic", nominal_angle_deg=angle, sigma=nominal_sigma)
<<<<<<< HEAD


# ------------------------------------------------------------------------------------------------ cuts, shifts and gaps


def candidates(
    crystal: Crystal,
    boundary: Boundary,
    *,
    shift_step: float = 1.0,
    max_shifts: int = 100,
    contact: float = CONTACT,
) -> list[Candidate]:
    """Scan terminations and rigid shifts, each with the gap at which the grains touch.

    The gap is that of hard contact: no two atoms of different grains are closer than `contact` times the shortest
    distance between units that their elements have in the crystal.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    boundary : Boundary
        How its grains meet.
    shift_step : float
        Distance between the in-plane shifts tried, in Å.
    max_shifts : int
        Most shifts tried for a termination; the step widens to keep to it.
    contact : float
        Share of the crystal's own distances.

    Returns
    -------
    list of Candidate
        The densest (smallest sum of gaps) first.
    """
    table = _contact_table(crystal, contact)
    reach = max(table.values())
    shifts = _shifts(boundary, shift_step, max_shifts)
    twin = _twin_operation(crystal, boundary)
    found = []
    for cuts, flips in _cut_choices(crystal, boundary, twin):
        lower = _faces(crystal, boundary.grains[0], cuts[0], reach)
        upper = _moved(lower, twin) if twin is not None else _faces(crystal, boundary.grains[1], cuts[1], reach)
        equivalent = ("screw" if np.linalg.det(twin) > 0 else "glide") if twin is not None else "none"
        if flips is not None:
            equivalent = flips[0].kind
        for shift in shifts:
            gap, crowding = _contact(lower[1], upper[0], shift, boundary.cell, table)
            second = gap
            if equivalent == "none":
                second, _ = _contact(upper[1], lower[0], -shift, boundary.cell, table)
            found.append(Candidate(cuts, shift, (gap, second), equivalent, crowding, twin, flips))
    return sorted(found, key=lambda c: (round(sum(c.gaps), 2), round(c.crowding, 6), c.cuts, tuple(c.shift)))


def _twin_operation(crystal: Crystal, boundary: Boundary) -> np.ndarray | None:
    """Half turn about z or mirror along z that makes grain 2 of grain 1 and leaves the common cell as it is."""
    first, second = boundary.grains
    if not np.array_equal(first.plane.miller, second.plane.miller):
        return None
    inverse = np.linalg.inv(boundary.cell)
    for symmetry in crystal.point_group:
        operation = second.frame @ symmetry @ first.frame.T
        involution = np.allclose(operation @ operation, np.eye(3), atol=1e-4)
        if not involution or not np.allclose(operation[2], [0, 0, 1], atol=1e-4) or np.trace(operation) > 2.9:
            continue
        planar = operation[:2, :2]
        image = boundary.cell @ planar.T @ inverse
        strained_alike = np.allclose(planar @ first.deformation @ planar.T, second.deformation, atol=1e-4)
        if strained_alike and np.allclose(image, np.round(image), atol=1e-3):
            return np.round(operation, 12)
    return None


def _moved(faces: tuple[_Slab, _Slab], operation: np.ndarray) -> tuple[_Slab, _Slab]:
    """Apply an operation that keeps z to the faces of a grain."""
    lower, upper = (replace(face, positions=face.positions @ operation.T) for face in faces)
    return lower, upper


def _cut_choices(
    crystal: Crystal, boundary: Boundary, twin: np.ndarray | None
) -> Iterator[tuple[tuple[float, float], tuple[Flip, Flip] | None]]:
    """Yield the cuts of both grains, with the flips that make the two boundaries equivalent if these need any."""
    first, second = (grain.plane for grain in boundary.grains)
    if twin is not None:
        yield from (((cut, cut), None) for cut in crystal.terminations(first))
        return
    clean = [
        [flip for flip in crystal.flips(plane) if _is_clean(crystal, plane, flip.height)] for plane in (first, second)
    ]
    pairs = [(a, b) for a in clean[0] for b in clean[1] if a.kind == b.kind]
    yield from (((a.height, b.height), (a, b)) for a, b in pairs)
    if not pairs:
        cuts = itertools.product(crystal.terminations(first)[:4], crystal.terminations(second)[:4])
        yield from (((cut, other), None) for cut, other in cuts)


def _is_clean(crystal: Crystal, plane: Plane, height: float, clearance: float = 0.05) -> bool:
    """Whether no unit's centre lies in the cut."""
    distance = (crystal.heights(plane) - height + plane.spacing / 2) % plane.spacing - plane.spacing / 2
    return bool(np.abs(distance).min() > clearance)


def _shifts(boundary: Boundary, step: float, limit: int) -> list[np.ndarray]:
    """Shifts over the smaller grain's planar lattice cell, beyond which they repeat (but for strain)."""
    basis = min((grain.basis @ grain.deformation.T for grain in boundary.grains), key=lambda b: abs(np.linalg.det(b)))
    counts = np.maximum(1, np.ceil(np.linalg.norm(basis, axis=1) / step)).astype(int)
    while counts.prod() > limit:
        counts[np.argmax(counts)] -= 1
    return [np.array([i, j]) / counts @ basis for i, j in itertools.product(range(counts[0]), range(counts[1]))]


def _contact_table(crystal: Crystal, contact: float) -> dict[tuple[str, str], float]:
    """Contact distance of every ordered pair of elements, in Å."""
    elements = sorted(set(crystal.atoms.get_chemical_symbols()))
    return {
        (a, b): contact * crystal.distances.get((min(a, b), max(a, b)), FAR)
        for a, b in itertools.product(elements, repeat=2)
    }


@dataclass(frozen=True)
class _Slab:
    """Part of a grain between two cuts; z counts from the lower one.

    ``advance`` is how far the crystal at the upper cut is displaced in the plane against that at the lower one.
    """

    positions: np.ndarray
    symbols: np.ndarray
    thickness: float
    advance: np.ndarray


def _slab(crystal: Crystal, grain: Grain, cut: float, n_layers: int) -> _Slab:
    """Fill the common cell with the units whose centres lie within n layers above the cut."""
    plane = grain.plane
    basis = grain.basis
    lateral = grain.frame @ plane.stacking
    cell = grain.vectors @ basis
    inverse = np.linalg.inv(cell)
    points = _representatives(grain.vectors) @ basis
    rotation = _polar_rotation(grain.deformation)
    positions, symbols = [], []
    for unit in crystal.units:
        centre = grain.frame @ unit.centre
        arms = (unit.positions - unit.centre) @ grain.frame.T @ rotation.T
        lowest = math.ceil((cut - centre[2]) / plane.spacing - 1e-9)
        layers = np.arange(lowest, lowest + n_layers)
        planar = (centre[:2] + layers[:, None] * lateral[:2])[:, None, :] + points[None]
        scaled = planar.reshape(-1, 2) @ inverse
        scaled -= np.floor(scaled + 1e-9)
        heights = np.repeat(centre[2] + layers * plane.spacing - cut, len(points))
        centres = np.column_stack([scaled @ cell @ grain.deformation.T, heights])
        positions.append((centres[:, None] + arms[None]).reshape(-1, 3))
        symbols += list(unit.symbols) * len(centres)
    advance = grain.deformation @ (n_layers * lateral[:2])
    return _Slab(np.vstack(positions), np.array(symbols), n_layers * plane.spacing, advance)


def _polar_rotation(deformation: np.ndarray) -> np.ndarray:
    """Rotation part of an in-plane deformation, in three dimensions."""
    left, _, right = np.linalg.svd(deformation)
    rotation = np.eye(3)
    rotation[:2, :2] = left @ right
    return rotation


def _representatives(vectors: np.ndarray) -> np.ndarray:
    """One integer point of each class modulo the rows of an integer matrix, from its Hermite form."""
    a, b = (row.astype(int).copy() for row in vectors)
    while b[0] != 0:
        a, b = b, a - (a[0] // b[0]) * b
    return np.array(list(itertools.product(range(abs(a[0])), range(abs(b[1])))))


def _faces(crystal: Crystal, grain: Grain, cut: float, reach: float) -> tuple[_Slab, _Slab]:
    """Atoms near the lower and the upper cut of a grain, as if both cuts were at height 0 in one lattice plane."""
    depth = reach + 2 * max((np.abs(unit.positions - unit.centre).max() for unit in crystal.units), default=0.0)
    n_layers = max(1, math.ceil(2 * depth / grain.plane.spacing))
    slab = _slab(crystal, grain, cut, n_layers)
    near_bottom = slab.positions[:, 2] < depth
    near_top = slab.positions[:, 2] > slab.thickness - depth
    top = slab.positions[near_top] - [*slab.advance, slab.thickness]
    return (
        replace(slab, positions=slab.positions[near_bottom], symbols=slab.symbols[near_bottom]),
        replace(slab, positions=top, symbols=slab.symbols[near_top]),
    )


def _contact(
    below: _Slab, above: _Slab, shift: np.ndarray, cell: np.ndarray, table: Mapping[tuple[str, str], float]
) -> tuple[float, float]:
    """Gap at which the atoms above touch those below, and how many do."""
    reach = max(table.values())
    planar = _with_images(above.positions[:, :2] + shift, cell, reach)
    heights = np.tile(above.positions[:, 2], len(planar) // len(above.positions))
    symbols = np.tile(above.symbols, len(planar) // len(above.positions))
    wrapped = _wrap(below.positions[:, :2], cell)
    pairs = cKDTree(wrapped).sparse_distance_matrix(cKDTree(planar), reach, output_type="coo_matrix")
    i, j, lateral = pairs.row, pairs.col, pairs.data
    distances = np.array([table[a, b] for a, b in zip(below.symbols[i], symbols[j], strict=True)])
    touching = lateral < distances
    i, j, lateral, distances = i[touching], j[touching], lateral[touching], distances[touching]
    if not len(i):
        return 0.0, 0.0
    gaps = below.positions[i, 2] - heights[j] + np.sqrt(distances**2 - lateral**2)
    gap = float(gaps.max())
    separations = np.hypot(lateral, gap + heights[j] - below.positions[i, 2])
    crowding = float(((distances / separations) ** 12).sum() / abs(np.linalg.det(cell)))
    return gap, crowding


def _wrap(points: np.ndarray, cell: np.ndarray) -> np.ndarray:
    scaled = points @ np.linalg.inv(cell)
    return (scaled - np.floor(scaled)) @ cell


def _with_images(points: np.ndarray, cell: np.ndarray, reach: float) -> np.ndarray:
    """Points and their periodic images within reach of the cell."""
    spans = abs(np.linalg.det(cell)) / np.linalg.norm(cell[::-1], axis=1)
    counts = np.ceil(reach / spans).astype(int)
    images = np.array(list(itertools.product(*[range(-n, n + 1) for n in counts]))) @ cell
    return (_wrap(points, cell)[None] + images[:, None]).reshape(-1, 2)


# ---------------------------------------------------------------------------------------------------------- bicrystals


def build(
    crystal: Crystal,
    boundary: Boundary,
    candidate: Candidate,
    *,
    width: float = 25.0,
    region: float = 10.0,
    n_atoms: int = 1,
    vacuum: float = 0.0,
) -> Atoms:
    """Make the periodic bicrystal.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    boundary : Boundary
        How its grains meet.
    candidate : Candidate
        Where they are cut and how they are placed.
    width : float
        Least thickness of each grain, in Å.
    region : float
        Thickness of each boundary's region, in Å, recorded for the analysis.
    n_atoms : int
        Least number of atoms, reached by repeats within the plane.
    vacuum : float
        If positive, the second boundary is opened by this much, in Å: two slabs that meet once.

    Returns
    -------
    ase.Atoms
        Atoms grouped by element in the crystal's order, with ``arrays["grain"]`` (1 or 2) and
        ``info["grain_boundary"]``: the description of boundary and candidate, and ``regions`` (centre and thickness
        along the normal in Å, and the centre as a fraction of the third cell vector).

    Raises
    ------
    ValueError
        If a grain would be thinner than two regions, or the numbers are not positive.
    """
    if width <= 0 or region <= 0 or n_atoms < 1 or vacuum < 0:
        raise ValueError(
            f"width ({width} Å), region ({region} Å) and n_atoms ({n_atoms}) must be positive, vacuum ({vacuum} Å) not negative"
        )
    if width < 2 * region:
        raise ValueError(
            f"grains {width:g} Å wide are thinner than two regions of {region:g} Å, so nothing in them would be bulk-like: "
            f"give a width of at least {2 * region:g} Å, or a thinner region"
        )
    lower, upper = _two_slabs(crystal, boundary, candidate, width)
    first_gap, second_gap = candidate.gaps
    displacement = candidate.shift + lower.advance
    offset = np.zeros(2) if vacuum else _offset(boundary, candidate, lower, upper)
    height = lower.thickness + first_gap + upper.thickness + (vacuum or second_gap)
    cell = np.zeros((3, 3))
    cell[:2, :2] = boundary.cell
    cell[2] = [*offset, height]
    lift = second_gap / 2
    positions = np.vstack(
        [
            lower.positions + [0.0, 0.0, lift],
            upper.positions + [*displacement, lower.thickness + first_gap + lift],
        ]
    )
    repeats = _planar_repeats(boundary.cell, len(positions), n_atoms)
    atoms = Atoms([*lower.symbols, *upper.symbols], positions=positions, cell=cell, pbc=True)
    atoms.set_array("grain", np.repeat([1, 2], [len(lower.positions), len(upper.positions)]))
    atoms = atoms.repeat((*repeats, 1))
    elements = list(dict.fromkeys(crystal.atoms.get_chemical_symbols()))
    atoms = atoms[np.argsort([elements.index(s) for s in atoms.get_chemical_symbols()], kind="stable")]
    centres = [lift + lower.thickness + first_gap / 2] + ([] if vacuum else [height])
    atoms.info["grain_boundary"] = {
        **boundary.describe(),
        **candidate.describe(),
        "grain_widths_A": [round(slab.thickness, 6) for slab in (lower, upper)],
        "repeats": list(repeats),
        "vacuum_A": vacuum,
        "total_area_A2": round(boundary.area * math.prod(repeats), 4),
        "regions": [_region(centre, region, height) for centre in centres],
    }
    return atoms


def _two_slabs(crystal: Crystal, boundary: Boundary, candidate: Candidate, width: float) -> tuple[_Slab, _Slab]:
    """Fill both grains; a twin is made of the first grain's very atoms."""
    first, second = boundary.grains
    lower = _slab(crystal, first, candidate.cuts[0], math.ceil(width / first.plane.spacing - 1e-9))
    if candidate.twin is None:
        return lower, _slab(crystal, second, candidate.cuts[1], math.ceil(width / second.plane.spacing - 1e-9))
    planar = candidate.twin[:2, :2]
    return lower, replace(lower, positions=lower.positions @ candidate.twin.T, advance=planar @ lower.advance)


def _offset(boundary: Boundary, candidate: Candidate, lower: _Slab, upper: _Slab) -> np.ndarray:
    """In-plane part of the third cell vector that makes the second boundary the image of the first.

    A twin operation done twice must be a lattice vector; a flip of grain 1 must be one of grain 2 as well; and where
    there is neither, the second boundary has the opposite shift of the first.
    """
    displacement = candidate.shift + lower.advance
    if candidate.twin is not None:
        offset = displacement + candidate.twin[:2, :2] @ displacement
    elif candidate.flips is not None:
        below, above = (
            grain.deformation @ (grain.frame @ flip.shift)[:2]
            for grain, flip in zip(boundary.grains, candidate.flips, strict=True)
        )
        offset = above + upper.advance - below - lower.advance
        if candidate.flips[0].kind == "inversion":
            offset = offset + 2 * displacement
    else:
        offset = lower.advance + upper.advance
    return offset - np.round(offset @ np.linalg.inv(boundary.cell)) @ boundary.cell


def _region(centre: float, thickness: float, height: float) -> dict[str, float]:
    return {
        "centre_A": round(float(centre), 6),
        "thickness_A": float(thickness),
        "centre_fraction": round(float(centre / height) % 1.0, 8),
    }


def _planar_repeats(cell: np.ndarray, count: int, n_atoms: int) -> tuple[int, int]:
    """Repeats that reach the number of atoms, the shorter side first."""
    repeats = np.ones(2, dtype=int)
    lengths = np.linalg.norm(cell, axis=1)
    while count * repeats.prod() < n_atoms:
        repeats[np.argmin(lengths * repeats)] += 1
    return int(repeats[0]), int(repeats[1])


def grain_boundary(
    crystal: Crystal,
    axis: Sequence[int] | None,
    plane: Sequence[int],
    kind: str = "symmetric",
    *,
    width: float = 25.0,
    region: float = 10.0,
    n_atoms: int = 1,
    vacuum: float = 0.0,
    shift_step: float = 1.0,
    **request: Any,
) -> Atoms:
    """Build the first boundary that :func:`boundaries` finds with the densest of its :func:`candidates`.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    axis, plane, kind, **request
        As for :func:`boundaries`.
    width, region, n_atoms, vacuum
        As for :func:`build`.
    shift_step : float
        As for :func:`candidates`.

    Returns
    -------
    ase.Atoms
        As :func:`build` makes it.
    """
    boundary = boundaries(crystal, axis, plane, kind, **request)[0]
    candidate = candidates(crystal, boundary, shift_step=shift_step)[0]
    return build(crystal, boundary, candidate, width=width, region=region, n_atoms=n_atoms, vacuum=vacuum)


def boundary_energy(
    energy: float, n_formula_units: float, bulk_energy: float, area: float, n_boundaries: int = 2
) -> float:
    """Excess energy of a boundary against the bulk.

    Parameters
    ----------
    energy : float
        Energy of the bicrystal, in eV.
    n_formula_units : float
        Formula units in it.
    bulk_energy : float
        Energy of the bulk per formula unit, in eV.
    area : float
        Area of one boundary, in Å².
    n_boundaries : int
        Boundaries in the cell.

    Returns
    -------
    float
        γ in J/m².
    """
    excess = energy - n_formula_units * bulk_energy
    return excess / (n_boundaries * area) * EV_PER_SQUARE_ANGSTROM_IN_J_PER_M2
=======
>>>>>>> main
