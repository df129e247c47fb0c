"""Orientations of grains in the laboratory, and what turns one into another."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["about", "about_z", "laboratory_frame", "misorientation"]

#: Rotation axes that differ by less than this count as one, in degrees.
AXIS_TOLERANCE = 0.5


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


def about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Rotation matrix about a unit vector (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    radians = math.radians(degrees)
    return np.eye(3) + math.sin(radians) * cross + (1 - math.cos(radians)) * cross @ cross


def about_z(degrees: float) -> np.ndarray:
    """Rotation matrix about z."""
    return about(np.array([0.0, 0.0, 1.0]), degrees)


def misorientation(
    first: np.ndarray, second: np.ndarray, rotations: np.ndarray, axis: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Find the smallest rotation that turns one grain into another.

    Parameters
    ----------
    first, second : numpy.ndarray, shape (3, 3)
        Orientations: laboratory = matrix @ crystal.
    rotations : numpy.ndarray, shape (n, 3, 3)
        Proper rotations under which the crystal is the same.
    axis : numpy.ndarray, shape (3,), optional
        Laboratory direction that is preferred: a rotation about any other counts only if none is about this one.

    Returns
    -------
    float, numpy.ndarray
        Angle in degrees, and the axis in the laboratory.
    """
    about_axis, about_any = [], []
    for symmetry in rotations:
        rotation = second @ symmetry @ first.T
        angle = math.degrees(math.acos(min(1.0, max(-1.0, (np.trace(rotation) - 1) / 2))))
        values, vectors = np.linalg.eig(rotation)
        found = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        about_any.append((angle, found))
        if axis is not None and (angle < 1e-3 or abs(found @ axis) > math.cos(math.radians(AXIS_TOLERANCE))):
            about_axis.append((angle, axis))
    return min(about_axis or about_any, key=lambda item: round(item[0], 6))
