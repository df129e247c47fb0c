"""Interfaces between a crystal and a glass: lateral fit, whole units, contact at both sides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from aiida_lpsgb.structures.bicrystal import check_sizes
from aiida_lpsgb.structures.boundary import Grain
from aiida_lpsgb.structures.coincidence import NoCoincidence, match, strain_tensor
from aiida_lpsgb.structures.contact import CONTACT, contact_table, touch
from aiida_lpsgb.structures.crystal import Crystal, Plane
from aiida_lpsgb.structures.orientation import laboratory_frame
from aiida_lpsgb.structures.slab import Slab, fill_slab, planar_grid, region_record, stack
from aiida_lpsgb.structures.units import Unit, find_units

__all__ = ["interface"]

#: Where nothing fits, the nearest that is named has at most this strain, or four times the limit.
LOOK_FURTHER = 0.1


def interface(
    crystal: Crystal,
    glass: Atoms,
    plane: Sequence[int],
    *,
    max_strain: float = 0.03,
    max_area: float = 2500.0,
    width: float = 25.0,
    region: float = 10.0,
    n_cuts: int = 6,
    shift_step: float = 2.0,
    contact: float = CONTACT,
) -> Atoms:
    """Join a periodic glass to a crystal plane on both sides.

    The crystal keeps its shape; the glass is strained within the plane to fit it, and along the normal such that its
    density stays. Both are cut between whole units, and neither gains or loses an atom: the crystal has whole layers,
    the glass its whole cell.

    Parameters
    ----------
    crystal : Crystal
        The crystal.
    glass : ase.Atoms
        A periodic glass of the same elements, its first two cell vectors normal to z (as LAMMPS writes it).
    plane : three integers
        Miller indices of the crystal's surface.
    max_strain : float
        Largest principal in-plane strain of the glass.
    max_area : float
        Largest area of the interface, in Å².
    width : float
        Least thickness of the crystal, in Å.
    region : float
        Thickness of each interface's region, in Å, recorded for the analysis.
    n_cuts : int
        How many heights are tried at which to open the glass.
    shift_step : float
        Distance between the in-plane shifts tried, in Å.
    contact : float
        As for :func:`aiida_lpsgb.structures.bicrystal.candidates`.

    Returns
    -------
    ase.Atoms
        Crystal below, glass above, atoms grouped by element, with ``arrays["grain"]`` (1 crystal, 2 glass) and
        ``info["interface"]``: plane, area, strain of the glass, thicknesses, gaps and ``regions``.

    Raises
    ------
    ValueError
        If elements differ, the glass does not lie flat, or sizes and limits are impossible.
    NoCoincidence
        If no supercells fit within the limits.
    """
    check_sizes(width, region)
    if not (max_strain > 0 and max_area > 0 and n_cuts >= 1):
        raise ValueError(f"max_strain ({max_strain}), max_area ({max_area} Å²) and n_cuts ({n_cuts}) must be positive")
    _check_glass(crystal, glass)
    surface = crystal.plane(plane)
    fit = _lateral_fit(surface, glass, max_strain, max_area)
    cell = fit.grain.vectors @ fit.grain.basis
    table = contact_table(crystal, contact)
    units = find_units(glass, crystal.cutoffs)
    n_layers = math.ceil(width / surface.spacing - 1e-9)
    crystals = [fill_slab(crystal, fit.grain, cut, n_layers) for cut in crystal.terminations(surface)[:n_cuts]]
    glasses = [_glass_slab(glass, units, k / n_cuts, fit) for k in range(n_cuts)]
    found = []
    for lower, upper in itertools.product(crystals, glasses):
        for shift in planar_grid(fit.grain.basis, shift_step):
            first, _ = touch(lower.raised(-lower.thickness), upper, shift, cell, table)
            second, _ = touch(upper.raised(-upper.thickness), lower, -shift, cell, table)
            found.append((lower, upper, shift, (first, second)))
    lower, upper, shift, gaps = min(found, key=lambda item: round(sum(item[3]), 6))
    atoms, centres = stack(lower, upper, cell, shift=shift, gaps=gaps, elements=crystal.elements)
    atoms.info["interface"] = {
        "plane": surface.miller.tolist(),
        "area_A2": round(fit.area, 4),
        "glass_strain": np.round(strain_tensor(fit.deformation), 8).tolist(),
        "max_strain": round(fit.strain, 8),
        "crystal_width_A": round(lower.thickness, 6),
        "glass_width_A": round(upper.thickness, 6),
        "gaps_A": [round(gap, 6) for gap in gaps],
        "shift_A": [round(float(x), 6) + 0.0 for x in shift],
        "regions": [region_record(centre, region, centres[1]) for centre in centres],
    }
    return atoms


def _check_glass(crystal: Crystal, glass: Atoms) -> None:
    extra = sorted(set(glass.get_chemical_symbols()) - set(crystal.atoms.get_chemical_symbols()))
    if extra:
        raise ValueError(f"the glass contains {', '.join(extra)}, which the crystal does not")
    if not all(glass.pbc):
        raise ValueError("the glass must be periodic in three dimensions")
    if np.abs(glass.cell.array[:2, 2]).max() > 1e-6:
        raise ValueError("the first two cell vectors of the glass must be normal to z, as LAMMPS writes a cell")


@dataclass(frozen=True)
class _Fit:
    """A common in-plane cell: the crystal as it is, and the glass's repeats and deformation."""

    grain: Grain
    repeats: np.ndarray
    deformation: np.ndarray

    @property
    def area(self) -> float:
        return abs(float(np.linalg.det(self.grain.vectors @ self.grain.basis)))

    @property
    def strain(self) -> float:
        return float(np.abs(np.linalg.eigvalsh(strain_tensor(self.deformation))).max())


def _lateral_fit(surface: Plane, glass: Atoms, max_strain: float, max_area: float) -> _Fit:
    """Find the smallest common cell within the limits."""
    fits = [fit for fit in _fits(surface, glass, max_strain, max_area) if fit.strain <= max_strain]
    if fits:
        return min(fits, key=lambda fit: (round(fit.area, 2), fit.strain))
    base = glass.cell.array[:2, :2]
    wider = _fits(surface, glass, max(LOOK_FURTHER, 4 * max_strain), max_area)
    nearest = min(wider, key=lambda fit: fit.strain, default=None)
    detail = "there is none" if nearest is None else f"the nearest needs {nearest.strain:.1%} and {nearest.area:.0f} Å²"
    raise NoCoincidence(
        f"no repeats of the glass ({np.linalg.norm(base[0]):.2f} × {np.linalg.norm(base[1]):.2f} Å) fit the plane "
        f"{surface.miller.tolist()} with at most {max_strain:.1%} strain and {max_area:.0f} Å²: {detail}; allow more, "
        "or quench a glass in a cell that is commensurate with the plane"
    )


def _fits(surface: Plane, glass: Atoms, max_strain: float, max_area: float) -> list[_Fit]:
    base = glass.cell.array[:2, :2]
    found = []
    for direction in _directions(surface):
        frame = laboratory_frame(surface.normal, direction)
        basis = (surface.basis @ frame.T)[:, :2]
        for item in match(base, basis, max_strain, max_area):
            deformation = np.linalg.solve(item.first @ base, item.second @ basis).T
            found.append(_Fit(Grain(surface, frame, item.second, np.eye(2)), item.first, deformation))
    return found


def _directions(surface: Plane, reach: int = 2) -> list[np.ndarray]:
    """Short lattice vectors of the plane, along which the glass's first vector may lie."""
    grid = [(i, j) for i in range(-reach, reach + 1) for j in range(reach + 1) if math.gcd(i, j) == 1]
    return sorted((np.array(v) @ surface.basis for v in grid), key=np.linalg.norm)


def _glass_slab(glass: Atoms, units: Sequence[Unit], opening: float, fit: _Fit) -> Slab:
    """Open the glass at a height, repeat it in the plane and strain the centres of its units."""
    cell = glass.cell.array
    planar = fit.repeats @ cell[:2, :2]
    inverse = np.linalg.inv(cell)
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    scaled = grid @ cell[:2, :2] @ np.linalg.inv(planar)
    inside = grid[np.all((scaled > -1e-9) & (scaled < 1 - 1e-9), axis=1)] @ cell[:2]
    thinner = 1.0 / np.linalg.det(fit.deformation)
    positions, symbols = [], []
    for unit in units:
        fractional = unit.centre @ inverse
        fractional[2] = (fractional[2] - opening) % 1.0
        fractional[:2] %= 1.0
        centres = fractional @ cell + inside
        strained = np.column_stack([centres[:, :2] @ fit.deformation.T, centres[:, 2] * thinner])
        positions.append((strained[:, None] + (unit.positions - unit.centre)).reshape(-1, 3))
        symbols += list(unit.symbols) * len(centres)
    return Slab(np.vstack(positions), np.array(symbols), float(cell[2, 2] * thinner), np.zeros(2))
