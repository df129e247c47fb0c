"""Elastic constants and equation of state from strained cells whose ions have come to rest.

Any program that gives energies and stresses will do: strain a relaxed crystal (`strained_cells`), relax the ions of
each strained cell and compute its energy and stress, and fit (`elastic_tensor`, `equation_of_state`). The tensor is
that of relaxed ions at the strain of the reference; its averages are those of Hill, Proc. Phys. Soc. A 65, 349 (1952),
and a crystal is stable if all eigenvalues are positive (Mouhat and Coudert, Phys. Rev. B 90, 224104, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from pymatgen.analysis.elasticity import ElasticTensor
from pymatgen.analysis.eos import EOS, EOSError

from aiida_lpsgb.structures.strain import apply_strain, isotropic

__all__ = ["Elasticity", "EquationOfState", "elastic_tensor", "equation_of_state", "strained_cells"]

STRAIN, VOLUME = "strain", "volume_strain"
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
_AMU_PER_A3_IN_G_CM3 = units._amu * 1e3 / 1e-24


@dataclass(frozen=True)
class Elasticity:
    """Elastic constants.

    Attributes
    ----------
    tensor_GPa
        In Voigt's notation (xx yy zz yz xz xy), symmetric, shape ``(6, 6)``.
    asymmetry_GPa
        Largest difference between an element and its transpose before they were averaged: a measure of the noise.
    bulk_modulus_GPa, shear_modulus_GPa
        Averages of Hill for a polycrystal of random orientations.
    bulk_modulus_voigt_GPa, bulk_modulus_reuss_GPa, shear_modulus_voigt_GPa, shear_modulus_reuss_GPa
        Their bounds: of uniform strain and of uniform stress.
    youngs_modulus_GPa, poisson_ratio
        Of the same polycrystal.
    universal_anisotropy
        0 for an isotropic crystal (Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504, 2008).
    eigenvalues_GPa
        Of the tensor in Mandel's notation, in which they do not depend on the axes.
    stable
        Whether they are all positive.
    """

    tensor_GPa: list[list[float]]
    asymmetry_GPa: float
    bulk_modulus_GPa: float
    shear_modulus_GPa: float
    bulk_modulus_voigt_GPa: float
    bulk_modulus_reuss_GPa: float
    shear_modulus_voigt_GPa: float
    shear_modulus_reuss_GPa: float
    youngs_modulus_GPa: float
    poisson_ratio: float
    universal_anisotropy: float
    eigenvalues_GPa: list[float]
    stable: bool

    def scalars(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class EquationOfState:
    """A Birch–Murnaghan equation of state of cells of one shape.

    Attributes
    ----------
    volume_A3_per_atom, energy_eV_per_atom
        At its minimum.
    bulk_modulus_GPa, bulk_modulus_derivative
        There. The shape of the cell is kept, so that it compares with Voigt's bound of `Elasticity`, not with Hill's.
    residual_mev_atom
        Root mean square deviation of the energies.
    volumes_A3_per_atom, energies_eV_per_atom
        What was fitted.
    """

    volume_A3_per_atom: float
    energy_eV_per_atom: float
    bulk_modulus_GPa: float
    bulk_modulus_derivative: float
    residual_mev_atom: float
    volumes_A3_per_atom: list[float]
    energies_eV_per_atom: list[float]

    def scalars(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return asdict(self)


def strained_cells(
    atoms: Atoms, strain: float = 0.005, volume_strains: Sequence[float] = (-0.06, -0.04, -0.02, 0.02, 0.04, 0.06)
) -> list[Atoms]:
    """Strain a relaxed crystal along each of Voigt's components, both ways, and change its volume.

    Parameters
    ----------
    atoms
        The crystal at rest.
    strain
        Size of each component of the strain tensor; a shear is the engineering strain, twice the tensor's component.
    volume_strains
        Relative changes of the volume, of one shape.

    Returns
    -------
    list of ase.Atoms
        Cells with ``strain`` (six components) or ``volume_strain`` in their ``info``, ions moved with the cell.

    Raises
    ------
    ValueError
        If there is no strain, or so few volumes that no equation of state can be fitted.
    """
    if not 0 < abs(strain) < 0.1:
        raise ValueError(f"strain is {strain!r}, expected a small number such as 0.005")
    if volume_strains and (len(set(volume_strains)) < 4 or not all(-0.5 < v < 1 for v in volume_strains)):
        raise ValueError(f"volume_strains are {list(volume_strains)}, expected at least 4 different ones, or none")
    cells = []
    for component in range(6):
        for sign in (1, -1):
            voigt = np.zeros(6)
            voigt[component] = sign * strain
            cell = apply_strain(atoms, _as_matrix(voigt))
            cell.info = {STRAIN: voigt.tolist()}
            cells.append(cell)
    for change in volume_strains:
        (cell,) = isotropic(atoms, [(1 + change) ** (1 / 3) - 1])
        cell.info = {VOLUME: float(change)}
        cells.append(cell)
    return cells


def _as_matrix(voigt: np.ndarray) -> np.ndarray:
    """Strain tensor of engineering strains."""
    xx, yy, zz, yz, xz, xy = voigt * [1, 1, 1, 0.5, 0.5, 0.5]
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def elastic_tensor(cells: Sequence[Atoms]) -> Elasticity:
    """Elastic constants by central differences of the stress.

    Parameters
    ----------
    cells
        Relaxed cells of `strained_cells`, with their stress (eV/Å³, ASE's sign) as a label; others are passed over.

    Raises
    ------
    ValueError
        If a component was not strained both ways.
    """
    stresses: dict[tuple[int, int], np.ndarray] = {}
    sizes: dict[int, float] = {}
    for cell in cells:
        if STRAIN not in cell.info:
            continue
        voigt = np.array(cell.info[STRAIN])
        component = int(np.argmax(np.abs(voigt)))
        stresses[component, int(np.sign(voigt[component]))] = cell.get_stress()
        sizes[component] = abs(float(voigt[component]))
    if missing := [COMPONENTS[c] for c in range(6) if (c, 1) not in stresses or (c, -1) not in stresses]:
        raise ValueError(f"no cells that are strained both ways along {', '.join(missing)}")
    slopes = [(stresses[c, 1] - stresses[c, -1]) / (2 * sizes[c]) / units.GPa for c in range(6)]
    return _elasticity(np.column_stack(slopes))


def _elasticity(measured: np.ndarray) -> Elasticity:
    tensor = (measured + measured.T) / 2
    mandel = np.diag([1.0, 1.0, 1.0, *[np.sqrt(2)] * 3])
    eigenvalues = np.linalg.eigvalsh(mandel @ tensor @ mandel)
    averages = ElasticTensor.from_voigt(tensor)
    return Elasticity(
        tensor_GPa=tensor.tolist(),
        asymmetry_GPa=float(np.abs(measured - measured.T).max()),
        bulk_modulus_GPa=float(averages.k_vrh),
        shear_modulus_GPa=float(averages.g_vrh),
        bulk_modulus_voigt_GPa=float(averages.k_voigt),
        bulk_modulus_reuss_GPa=float(averages.k_reuss),
        shear_modulus_voigt_GPa=float(averages.g_voigt),
        shear_modulus_reuss_GPa=float(averages.g_reuss),
        youngs_modulus_GPa=float(averages.y_mod) / 1e9,
        poisson_ratio=float(averages.homogeneous_poisson),
        universal_anisotropy=float(averages.universal_anisotropy),
        eigenvalues_GPa=eigenvalues.tolist(),
        stable=bool(eigenvalues.min() > 0),
    )


def equation_of_state(cells: Sequence[Atoms], relaxed: Atoms | None = None) -> EquationOfState | None:
    """Fit energy against volume.

    Parameters
    ----------
    cells
        Relaxed cells of `strained_cells`, with their energy as a label; those that are not of another volume are passed
        over.
    relaxed
        The crystal at rest, with its energy.

    Returns
    -------
    EquationOfState or None
        None if no volume was changed.

    Raises
    ------
    ValueError
        If the energies have no minimum.
    """
    used = [cell for cell in cells if VOLUME in cell.info]
    if not used:
        return None
    used = sorted([*used, *([relaxed] if relaxed is not None else [])], key=lambda cell: cell.get_volume())
    volumes = np.array([cell.get_volume() / len(cell) for cell in used])
    energies = np.array([cell.get_potential_energy() / len(cell) for cell in used])
    try:
        fit = EOS("birch_murnaghan").fit(volumes, energies)
    except (EOSError, RuntimeError) as error:
        raise ValueError(f"the energies of {len(used)} volumes have no equation of state: {error}") from error
    return EquationOfState(
        volume_A3_per_atom=float(fit.v0),
        energy_eV_per_atom=float(fit.e0),
        bulk_modulus_GPa=float(fit.b0_GPa),
        bulk_modulus_derivative=float(fit.b1),
        residual_mev_atom=float(1e3 * np.sqrt(np.mean((fit.func(volumes) - energies) ** 2))),
        volumes_A3_per_atom=volumes.tolist(),
        energies_eV_per_atom=energies.tolist(),
    )


def lattice(atoms: Atoms) -> dict[str, Any]:
    """Edges, angles, volume and density of a cell.

    Returns
    -------
    dict
        ``lengths_A``, ``angles_deg``, ``volume_A3_per_atom``, ``density_g_cm3``.
    """
    return {
        "lengths_A": atoms.cell.lengths().tolist(),
        "angles_deg": atoms.cell.angles().tolist(),
        "volume_A3_per_atom": float(atoms.get_volume() / len(atoms)),
        "density_g_cm3": float(atoms.get_masses().sum() / atoms.get_volume() * _AMU_PER_A3_IN_G_CM3),
    }
