"""Strained, rattled and pressed copies of a structure: the start set of a potential."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from aiida_lpsgb.structures.approach import approach
from aiida_lpsgb.structures.validation import require_cell, require_ordered

__all__ = ["apply_strain", "isotropic", "rattle", "shear", "start_set"]


def apply_strain(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Deform a structure homogeneously, its scaled coordinates kept.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic structure.
    strain : numpy.ndarray, shape (3, 3)
        Displacement gradient e: every vector r becomes (1 + e) r.

    Returns
    -------
    ase.Atoms
        A strained copy without calculator.

    Raises
    ------
    ValueError
        If the strain is not 3 × 3, not finite or turns the cell inside out, or the structure has no cell.
    """
    require_cell(atoms)
    gradient = np.asarray(strain, dtype=float)
    if gradient.shape != (3, 3):
        raise ValueError(f"strain must be a 3 x 3 displacement gradient, not of shape {gradient.shape}")
    deformation = np.eye(3) + gradient
    if not np.isfinite(gradient).all():
        raise ValueError(f"strain must be finite, not {gradient.tolist()}")
    if np.linalg.det(deformation) <= 0:
        raise ValueError(f"strain {gradient.tolist()} turns the cell inside out")
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
    return strained


def isotropic(atoms: Atoms, strains: Sequence[float]) -> list[Atoms]:
    """Scale every length of a structure by 1 + each strain.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic structure.
    strains : sequence of float
        Linear strains: 0.05 lengthens the cell by 5 %.

    Returns
    -------
    list of ase.Atoms
        One copy for each strain.
    """
    return [apply_strain(atoms, strain * np.eye(3)) for strain in strains]


def shear(atoms: Atoms, strains: Sequence[float], planes: Sequence[str] = ("yz", "xz", "xy")) -> list[Atoms]:
    """Shear a structure without change of orientation.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic structure.
    strains : sequence of float
        Tensor shear strains e_ij = e_ji.
    planes : sequence of {"yz", "xz", "xy"}
        Cartesian pairs to shear.

    Returns
    -------
    list of ase.Atoms
        One copy for each pair and strain, pairs outermost.

    Raises
    ------
    ValueError
        If a pair is none of the three.
    """
    sheared = []
    for plane in planes:
        if plane not in ("yz", "xz", "xy"):
            raise ValueError(f"shear plane must be 'yz', 'xz' or 'xy', not {plane!r}")
        i, j = ("xyz".index(axis) for axis in plane)
        for strain in strains:
            gradient = np.zeros((3, 3))
            gradient[i, j] = gradient[j, i] = strain
            sheared.append(apply_strain(atoms, gradient))
    return sheared


def rattle(atoms: Atoms, amplitude: float, n: int, seed: int | np.random.Generator) -> list[Atoms]:
    """Displace every atom by independent Gaussian noise.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    amplitude : float
        Standard deviation of each Cartesian component, in Å.
    n : int
        How many copies.
    seed : int or numpy.random.Generator
        Source of the noise.

    Returns
    -------
    list of ase.Atoms
        Rattled copies without calculator.

    Raises
    ------
    ValueError
        If the amplitude or the number is negative.
    """
    if not (0 <= amplitude < np.inf) or n < 0:
        raise ValueError(f"rattle amplitude ({amplitude} Å) and number ({n}) must not be negative")
    rng = np.random.default_rng(seed)
    rattled = []
    for _ in range(n):
        copy = atoms.copy()
        copy.positions += rng.normal(scale=amplitude, size=copy.positions.shape)
        rattled.append(copy)
    return rattled


def start_set(
    structures: Sequence[Atoms],
    *,
    seed: int,
    strains: Sequence[float] = (-0.05, -0.03, -0.01, 0.0, 0.01, 0.03, 0.05),
    shears: Sequence[float] = (),
    amplitudes: Sequence[float] = (0.05, 0.15),
    n_rattles: int = 1,
    approaches: Sequence[float] = (),
) -> list[Atoms]:
    """Strain every structure, rattle every strained one, and bring atoms of each together.

    Parameters
    ----------
    structures : sequence of ase.Atoms
        Ordered structures.
    seed : int
        Of the rattling; copies differ from each other.
    strains : sequence of float
        Isotropic strains.
    shears : sequence of float
        Shear strains, applied in the three planes.
    amplitudes : sequence of float
        Rattle amplitudes in Å; 0 keeps an unrattled copy.
    n_rattles : int
        Copies for each amplitude other than 0.
    approaches : sequence of float
        Shares of their shortest distances that atoms of every two species are brought to, a copy each, by
        :func:`~aiida_lpsgb.structures.approach.approach`.

    Returns
    -------
    list of ase.Atoms
        (strains + 3 shears) × (rattles) copies of each structure, and then those of its approaches, without calculator
        or info.

    Raises
    ------
    ValueError
        If a structure is partially occupied, a share is not between 0 and 1, or the set would be empty.
    """
    rng = np.random.default_rng(seed)
    images = []
    for i, atoms in enumerate(structures):
        require_ordered(atoms, f"structure {i}")
        for strained in isotropic(atoms, strains) + shear(atoms, shears):
            strained.info = {}
            for amplitude in amplitudes:
                images += rattle(strained, amplitude, 1 if amplitude == 0 else n_rattles, rng)
        for share in approaches:
            images.append(approach(atoms, share, rng))
            images[-1].info = {}
    if not images:
        raise ValueError("the start set is empty: give at least one structure, one strain or shear, and one amplitude")
    return images
