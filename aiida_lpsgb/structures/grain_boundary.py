"""Grain boundaries of any crystal: from axis and plane to a periodic bicrystal made of whole units.

Three steps, each usable by itself: :func:`boundaries` finds how two grains can meet (orientation, common cell, strain);
:func:`aiida_lpsgb.structures.bicrystal.candidates` finds where to cut and how to shift them, and
:func:`aiida_lpsgb.structures.bicrystal.build` makes the periodic cell.
:func:`aiida_lpsgb.structures.bicrystal.grain_boundary` does the three with the best choice of each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_lpsgb.structures.coincidence import NoCoincidence, common_angles, match, no_coincidence, strain_tensor
from aiida_lpsgb.structures.crystal import Crystal, Plane, primitive_indices

__all__ = ["Boundary", "Grain", "boundaries", "laboratory_frame"]

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
        ``twist``: rotation about the normal. ``mixed``: `plane` and `plane_2`, `direction` and `direction_2` parallel.
    convention : {"lattice", "pseudo-cubic"}
        ``lattice``: angles and coincidences are those of the true lattice. ``pseudo-cubic``: the literature's labels,
        which read the indices as if the cell were a cube. Then Σ and nominal angle are reported beside the true angle,
        and a twist is given by its `sigma`: the index pairs (m, −n) → (m, n) … that coincide in the cubic lattice say
        which true directions are laid on each other.
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


def laboratory_frame(normal: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Rotate a plane's normal to z and a direction's part within the plane to x.

    Parameters
    ----------
    normal : numpy.ndarray, shape (3,)
        Unit normal.
    direction : numpy.ndarray, shape (3,)
        A direction that is not the normal.

    Returns
    -------
    numpy.ndarray, shape (3, 3)
        The rotation: laboratory = rotation @ crystal.
    """
    x = direction - (direction @ normal) * normal
    x = x / np.linalg.norm(x)
    return np.array([x, np.cross(normal, x), normal])


def _about_z(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _symmetric(crystal: Crystal, plane: Plane, along: np.ndarray) -> Boundary:
    """Turn the second grain by 180° about the normal: its planar lattice falls on the first's, vector on opposite."""
    lower = Grain(plane, laboratory_frame(plane.normal, along), np.eye(2, dtype=int), np.eye(2))
    upper = replace(lower, frame=_about_z(180.0) @ lower.frame, vectors=-lower.vectors)
    return _finish(crystal, "symmetric", "lattice", (lower, upper), lower.basis, np.array([1.0, 0.0, 0.0]))


def _asymmetric(
    crystal: Crystal, first: Plane, second: Plane, along: np.ndarray, max_strain: float, max_area: float
) -> list[Boundary]:
    """Lay the axes of both grains parallel or antiparallel."""
    lower = laboratory_frame(first.normal, along)
    frames = [(lower, laboratory_frame(second.normal, sign * along)) for sign in (1, -1)]
    x = np.array([1.0, 0.0, 0.0])
    found = _search(crystal, "asymmetric", (first, second), frames, x, max_strain, max_area)
    if not found:
        _refuse((first, second), frames, max_strain, max_area)
    return found


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
    frames = [
        (
            laboratory_frame(first.normal, crystal.direction(direction)),
            laboratory_frame(second.normal, crystal.direction(direction_2)),
        )
    ]
    found = _search(crystal, "mixed", (first, second), frames, None, max_strain, max_area)
    if not found:
        _refuse((first, second), frames, max_strain, max_area)
    return found


def _twist(
    crystal: Crystal,
    plane: Plane,
    turns: Sequence[tuple[float, float | None, int | None]],
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Turn the second grain about the normal by each of the angles."""
    lower = laboratory_frame(plane.normal, plane.basis[0])
    z = np.array([0.0, 0.0, 1.0])
    found: list[Boundary] = []
    for turn, nominal, sigma in turns:
        items = _search(crystal, "twist", (plane, plane), [(lower, _about_z(turn) @ lower)], z, max_strain, max_area)
        if nominal is not None:
            items = [replace(i, convention="pseudo-cubic", nominal_angle_deg=nominal, sigma=sigma) for i in items]
        found += [item for item in items if item.angle_deg > 1.0]
    if not found and turns:
        _refuse((plane, plane), [(lower, _about_z(turns[0][0]) @ lower)], max_strain, max_area)
    if not found:
        raise NoCoincidence(
            f"no twist about the normal of {plane.miller.tolist()} lays a lattice vector on another within "
            f"{max_strain:.2%} strain, {max_area:.0f} Å² and the angles asked for"
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
    basis = (plane.basis @ laboratory_frame(plane.normal, plane.basis[0]).T)[:, :2]
    angles = [turn for turn, _ in common_angles(basis, basis, max_strain, max_area)]
    if angle is not None:
        angles = [turn for turn in angles if abs(abs(turn) - abs(angle)) <= tolerance]
    return [(turn, None, None) for turn in angles if abs(turn) > 1e-6]


def _nominal_turns(
    crystal: Crystal, plane: Plane, sigma: int | None, max_strain: float, max_area: float
) -> Iterator[tuple[float, float, int]]:
    """Yield the true and nominal angle of twists whose index vectors coincide in the cubic lattice.

    A rotation by 2·atan(n·|hkl| / m) about [hkl] has Σ = m² + n²(h² + k² + l²) without its factors of two
    (Ranganathan, Acta Cryst. 21, 197 (1966)).
    """
    axis = plane.miller.astype(float)
    square = int(plane.miller @ plane.miller)
    lower = laboratory_frame(plane.normal, plane.basis[0])
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
    frame = laboratory_frame(axis / math.sqrt(square), within[0].astype(float))
    for _, nominal, turn in sorted(found, key=lambda item: (round(item[0], 3), round(item[1], 3), abs(item[2]))):
        turn = 180.0 - (180.0 - turn) % 360.0
        if round(turn, 3) not in seen:
            seen.add(round(turn, 3))
            yield turn, _nominal_angle(crystal, frame, _about_z(nominal) @ frame, np.array([0.0, 0.0, 1.0])), int(sigma)


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
    planes: tuple[Plane, Plane],
    frames: Sequence[tuple[np.ndarray, np.ndarray]],
    lab_axis: np.ndarray | None,
    max_strain: float,
    max_area: float,
) -> list[Boundary]:
    """Find common cells for each pair of orientations, the smallest first."""
    found: list[Boundary] = []
    for pair in frames:
        for item in match(*_planar_bases(planes, pair), max_strain, max_area):
            grains = (
                Grain(planes[0], pair[0], item.first, item.deformations[0]),
                Grain(planes[1], pair[1], item.second, item.deformations[1]),
            )
            found.append(_finish(crystal, kind, "lattice", grains, item.cell, lab_axis))
    return sorted(found, key=lambda item: (round(item.area, 2), round(item.max_strain, 6)))


def _refuse(planes, frames, max_strain: float, max_area: float) -> None:
    """Say what comes nearest to a coincidence."""
    raise no_coincidence(*_planar_bases(planes, frames[0]), max_strain, max_area)


def _planar_bases(planes: tuple[Plane, Plane], frames: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    first, second = ((plane.basis @ frame.T)[:, :2] for plane, frame in zip(planes, frames, strict=True))
    return first, second


def _finish(
    crystal: Crystal,
    kind: str,
    convention: str,
    grains: tuple[Grain, Grain],
    cell: np.ndarray,
    lab_axis: np.ndarray | None,
) -> Boundary:
    """Count the grains' rotation by the fit to their orientation, turn the cell's first vector to x, add the angle."""
    rotation = _about_z(-math.degrees(math.atan2(cell[0, 1], cell[0, 0])))
    planar = rotation[:2, :2]
    fitted = []
    for grain in grains:
        left, _, right = np.linalg.svd(grain.deformation)
        turn = np.eye(3)
        turn[:2, :2] = left @ right
        stretch = planar @ grain.deformation @ turn[:2, :2].T @ planar.T
        fitted.append(replace(grain, frame=rotation @ turn @ grain.frame, deformation=stretch))
    grains = (fitted[0], fitted[1])
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
    frame = laboratory_frame(miller / np.linalg.norm(miller), np.asarray(axis, dtype=float))
    angle = _nominal_angle(crystal, frame, _about_z(180.0) @ frame, np.array([1.0, 0.0, 0.0]))
    return replace(boundary, convention="pseudo-cubic", nominal_angle_deg=angle, sigma=nominal_sigma)


def _nominal_angle(crystal: Crystal, first: np.ndarray, second: np.ndarray, lab_axis: np.ndarray) -> float:
    """Misorientation of cubic grains, orientations being equivalent that are so in the crystal."""
    to_indices = np.linalg.inv(crystal.cell).T
    in_indices = [to_indices @ rotation @ crystal.cell.T for rotation in crystal.rotations]
    cubic = [rotation for rotation in in_indices if np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)]
    return _misorientation(first, second, np.array(cubic), lab_axis)[0]
