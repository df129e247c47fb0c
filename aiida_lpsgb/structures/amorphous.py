"""Is it a glass? Long-range order, density and molecular units of a quenched structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_lpsgb.structures.units import survey
from aiida_lpsgb.structures.validation import require_ordered

__all__ = ["AmorphousReport", "bragg_order", "characterise", "density", "pair_modulation"]

GRAMS_PER_CM3 = 1.66053906660  # of one dalton a cubic ångström


@dataclass(frozen=True)
class AmorphousReport:
    """What tells a glass from a crystal.

    Attributes
    ----------
    bragg_order : float
        Strongest reflection of the framework: largest `|Σ exp(ik·r)|²/n²` over wave vectors of the cell; 1 for a
        lattice, of order 10/n for a glass of n centres.
    pair_modulation : float
        Root mean square of g(r) − 1 between the framework's centres from 8 to 12 Å.
    density_g_cm3 : float
        Mass density.
    units : dict of str to int
        How many molecular units of each formula, ions included.
    whole_share : float
        Share of the framework's centres in units of the kind that `unit` names.
    amorphous : bool
        Whether both measures of order are below their limits.
    """

    bragg_order: float
    pair_modulation: float
    density_g_cm3: float
    units: dict[str, int]
    whole_share: float
    amorphous: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain numbers."""
        return asdict(self)


def characterise(
    atoms: Atoms,
    centre: str,
    unit: str,
    *,
    cutoffs: Mapping[tuple[str, str] | str, float] | None = None,
    max_bragg_order: float = 0.2,
    max_pair_modulation: float = 0.3,
) -> AmorphousReport:
    """Measure order, density and units of a structure.

    Parameters
    ----------
    atoms : ase.Atoms
        A periodic structure of at least some hundred atoms.
    centre : str
        Element whose atoms form the framework that loses its order, such as P.
    unit : str
        Formula of the unit whose share is reported, the least electronegative element first, such as PS4.
    cutoffs : mapping of pair to float, optional
        Bonds; see :func:`aiida_lpsgb.structures.units.find_units`.
    max_bragg_order, max_pair_modulation : float
        What counts as amorphous.

    Returns
    -------
    AmorphousReport
        The measures.

    Raises
    ------
    ValueError
        If the structure has no atom of the centre's element.
    """
    require_ordered(atoms)
    framework = atoms[[symbol == centre for symbol in atoms.get_chemical_symbols()]]
    if len(framework) < 2:
        raise ValueError(f"the structure has {len(framework)} {centre} atoms: name the element of its framework")
    order, modulation = bragg_order(framework), pair_modulation(framework)
    formulas = survey(atoms, cutoffs).formulas
    return AmorphousReport(
        bragg_order=round(order, 6),
        pair_modulation=round(modulation, 6),
        density_g_cm3=round(density(atoms), 6),
        units=formulas,
        whole_share=round(formulas.get(unit, 0) / len(framework), 6),
        amorphous=bool(order < max_bragg_order and modulation < max_pair_modulation),
    )


def density(atoms: Atoms) -> float:
    """Mass density of a periodic structure, in g/cm³."""
    return float(atoms.get_masses().sum() / atoms.cell.volume * GRAMS_PER_CM3)


def bragg_order(atoms: Atoms, shortest_period: float = 2.5, longest_period: float = 10.0) -> float:
    """Strongest Bragg reflection of some atoms.

    Parameters
    ----------
    atoms : ase.Atoms
        The scatterers, all counted alike.
    shortest_period, longest_period : float
        Range of `2π/|k|`, in Å.

    Returns
    -------
    float
        Largest `|Σ exp(ik·r)|²/n²` over the wave vectors of the cell within the range (0 without any).
    """
    reciprocal = np.linalg.inv(atoms.cell.array).T
    limits = np.ceil(np.linalg.norm(atoms.cell.array, axis=1) / shortest_period).astype(int)
    # Friedel's law: half of the vectors are enough.
    grid = np.stack(
        np.meshgrid(np.arange(limits[0] + 1), *[np.arange(-n, n + 1) for n in limits[1:]], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ reciprocal, axis=1)
    inside = grid[(lengths >= 1 / longest_period) & (lengths <= 1 / shortest_period)]
    scaled = atoms.get_scaled_positions()
    strongest = 0.0
    for part in np.array_split(inside, max(1, len(inside) * len(atoms) // 10**7)):
        amplitudes = np.exp(2j * np.pi * (part @ scaled.T)).sum(axis=1)
        strongest = max(strongest, float((np.abs(amplitudes) ** 2).max(initial=0.0)))
    return strongest / len(atoms) ** 2


def pair_modulation(atoms: Atoms, low: float = 8.0, high: float = 12.0, width: float = 0.25) -> float:
    """Root mean square of g(r) − 1 over a range.

    Parameters
    ----------
    atoms : ase.Atoms
        The atoms whose pairs are counted.
    low, high : float
        Range, in Å.
    width : float
        Width of the bins, in Å.

    Returns
    -------
    float
        0 without structure at these distances.
    """
    edges = np.arange(low, high + width / 2, width)
    counts, _ = np.histogram(neighbor_list("d", atoms, high), bins=edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    expected = len(atoms) ** 2 / atoms.cell.volume * shells
    noise = 2.0 / expected.mean()  # variance of a bin's share: pairs are counted twice
    variance = float(np.mean((counts / expected - 1) ** 2))
    return float(np.sqrt(max(0.0, variance - noise)))
