"""The literature's labels of grain boundaries, which read a crystal's indices as if its cell were a cube.

A label such as Σ5[001]/(120) 53.13° is exact for a cubic crystal. For another one it names a plane and an axis, and for
a twist the pairs of index vectors that are laid on each other; Σ and angle are nominal. Orientations that the crystal's
own symmetry makes equivalent count as one, those that only a cube's would do not: the Σ5 twists of 36.87° and 53.13°
are the same in a cubic crystal, but two boundaries in an orthorhombic one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from aiida_lpsgb.structures.coincidence import NoCoincidence
from aiida_lpsgb.structures.crystal import Crystal, Plane
from aiida_lpsgb.structures.orientation import about, about_z, laboratory_frame, misorientation

__all__ = ["angle", "frame", "sigma", "turns"]

LARGEST_INDEX = 6
LARGEST_SIGMA = 999


def frame(plane: Sequence[int], direction: Sequence[int]) -> np.ndarray:
    """Orientation of a cube with a plane (hkl) normal to z and a direction [uvw] within it along x, shape (3, 3)."""
    return laboratory_frame(_unit(plane), np.asarray(direction, dtype=float))


def angle(crystal: Crystal, first: np.ndarray, second: np.ndarray, axis: np.ndarray | None) -> float:
    """Nominal misorientation of two grains.

    Parameters
    ----------
    crystal : Crystal
        The crystal, whose symmetry says which orientations are equivalent.
    first, second : numpy.ndarray, shape (3, 3)
        Orientations of the cubic grains: laboratory = matrix @ crystal.
    axis : numpy.ndarray, shape (3,), optional
        Laboratory direction that is preferred as the axis.

    Returns
    -------
    float
        Angle in degrees.
    """
    to_indices = np.linalg.inv(crystal.setting).T
    in_indices = [to_indices @ rotation @ crystal.setting.T for rotation in crystal.rotations]
    cubic = [rotation for rotation in in_indices if np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)]
    return misorientation(first, second, np.array(cubic), axis)[0]


def sigma(first: np.ndarray, second: np.ndarray) -> int | None:
    """Σ of two cubic lattices: the smallest number that makes an integer matrix of the rotation between them.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (3, 3)
        Orientations: laboratory = matrix @ crystal.

    Returns
    -------
    int or None
        Σ (Grimmer, Acta Cryst. A 32, 783 (1976)), or None above 999.
    """
    rotation = second.T @ first
    odd = range(1, LARGEST_SIGMA + 1, 2)
    return next((n for n in odd if np.allclose(n * rotation, np.round(n * rotation), atol=1e-6 * n)), None)


def turns(
    crystal: Crystal, plane: Plane, label: int, max_strain: float, max_area: float
) -> Iterator[tuple[float, float]]:
    """Yield the twists whose index vectors coincide in the cubic lattice.

    A rotation by ``2 atan(n |hkl| / m)`` about [hkl] has Σ = m² + n²(h² + k² + l²) without its factors of two
    (Ranganathan, Acta Cryst. 21, 197 (1966)).

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    plane : Plane
        The boundary plane.
    label : int
        The Σ asked for.
    max_strain : float
        Half of the relative difference in length of two vectors that may be laid on each other.
    max_area : float
        Area of the common cell that is looked for, in Å².

    Yields
    ------
    float, float
        True and nominal angle in degrees, those of the shortest vectors first.

    Raises
    ------
    NoCoincidence
        If no rotation about the plane's normal has this Σ, or none of its index vectors are alike in length.
    """
    square = int(plane.miller @ plane.miller)
    pairs = [
        (m, n)
        for m, n in itertools.product(range(1, 30), repeat=2)
        if math.gcd(m, n) == 1 and _odd_part(m * m + n * n * square) == label
    ]
    if not pairs:
        raise NoCoincidence(
            f"no rotation about the normal of {plane.miller.tolist()} has Σ = {label} in a cubic lattice"
        )
    normal = _unit(plane.miller)
    true_frame = laboratory_frame(plane.normal, plane.basis[0])
    within = [v for v in _small_indices() if v @ plane.miller == 0]
    longest = math.sqrt(2 / math.sqrt(3) * max_area) * (1 + max_strain)
    found, mismatches = [], []
    for m, n in pairs:
        nominal = 2 * math.degrees(math.atan2(n * math.sqrt(square), m))
        for vector in within:
            turned = about(normal, nominal) @ vector
            if not np.allclose(turned, np.round(turned), atol=1e-6):
                continue
            # Grain 2's `vector` lies on grain 1's `turned`.
            a, b = (true_frame @ crystal.direction(v) for v in (np.round(turned), vector))
            length = float(np.linalg.norm(a))
            mismatch = abs(length / float(np.linalg.norm(b)) - 1)
            mismatches.append((mismatch, length))
            if length <= longest and mismatch <= 2 * max_strain:
                turn = math.degrees(math.atan2(a[1], a[0]) - math.atan2(b[1], b[0]))
                found.append((length, nominal, 180.0 - (180.0 - turn) % 360.0))
    if not found:
        mismatch, length = min(mismatches)
        raise NoCoincidence(
            f"no Σ{label} twist about the normal of {plane.miller.tolist()} lays index vectors of equal length on each "
            f"other within {max_strain:.2%} strain of each grain and {max_area:.0f} Å²: the nearest are {length:.1f} Å "
            f"long and need {mismatch / 2:.2%}"
        )
    upright = frame(plane.miller, within[0])
    z = np.array([0.0, 0.0, 1.0])
    seen = set()
    for _, nominal, turn in sorted(found, key=lambda item: (round(item[0], 3), round(item[1], 3), abs(item[2]))):
        if round(turn, 3) not in seen:
            seen.add(round(turn, 3))
            yield turn, angle(crystal, upright, about_z(nominal) @ upright, z)


def _unit(indices: Sequence[int]) -> np.ndarray:
    return np.asarray(indices) / np.linalg.norm(indices)


def _small_indices() -> list[np.ndarray]:
    grid = itertools.product(range(-LARGEST_INDEX, LARGEST_INDEX + 1), repeat=3)
    return [np.array(v) for v in grid if any(v) and math.gcd(*v) == 1]


def _odd_part(number: int) -> int:
    while number % 2 == 0:
        number //= 2
    return number
