"""Molecular units, found from the bond graph of the structure itself.

A unit is a connected component of the bond graph: a PS₄ tetrahedron, a P₂S₇, or a single ion. What is cut, moved or
strained elsewhere in this package is a whole unit, never an atom out of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from pymatgen.core import Element

from aiida_lpsgb.structures.validation import require_ordered

__all__ = ["Unit", "UnitReport", "as_pairs", "bond_cutoffs", "find_units", "inter_unit_distances", "survey"]

#: A bond is at most this many times the sum of the covalent radii.
RADIUS_FACTOR = 1.2
#: What is longer is no bond, in Å.
LONGEST_BOND = 10.0
#: Elements that differ more than this in Pauling electronegativity bind by charge, which joins no unit.
IONIC_DIFFERENCE = 1.7


@dataclass(frozen=True)
class Unit:
    """A whole molecular unit.

    Attributes
    ----------
    indices : numpy.ndarray, shape (n,)
        Its atoms in the structure it was found in.
    symbols : tuple of str
        Their elements.
    positions : numpy.ndarray, shape (n, 3)
        Their positions in Å, not wrapped: bonded atoms are next to each other.
    """

    indices: np.ndarray
    symbols: tuple[str, ...]
    positions: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        """Mean position of the atoms, in Å."""
        return self.positions.mean(axis=0)

    @property
    def formula(self) -> str:
        """Elements with their numbers, the least electronegative first, such as ``PS4``, ``NH4`` or ``ClO4``."""
        counts = Counter(self.symbols)
        # What is alone may be a noble gas, which has no electronegativity.
        symbols = sorted(counts, key=_place) if len(counts) > 1 else counts
        return "".join(symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in symbols)


def _place(symbol: str) -> float:
    """Place of an element in a formula: its electronegativity, but hydrogen stands behind nitrogen."""
    return 3.1 if symbol == "H" else Element(symbol).X


@dataclass(frozen=True)
class UnitReport:
    """What a structure is made of, and how close its atoms come.

    Attributes
    ----------
    formulas : dict of str to int
        How many units of each formula.
    longest_bond : float
        Longest distance between bonded atoms, in Å (0 without bonds).
    shortest_inter_unit : dict of str to float
        Shortest distance between atoms of different units for each pair of elements (``P-S``), in Å.
    shortest_pair : float
        Shortest distance between any two atoms, in Å.
    """

    formulas: dict[str, int]
    longest_bond: float
    shortest_inter_unit: dict[str, float]
    shortest_pair: float


def bond_cutoffs(elements: Sequence[str]) -> dict[tuple[str, str], float]:
    """Longest covalent bond of each pair of elements that forms one.

    A pair bonds if at least one partner is a non-metal or metalloid, neither is an alkali, alkaline-earth or rare-earth
    metal, and their electronegativities differ by less than 1.7. The cut-off is 1.2 times the sum of the covalent radii
    of Cordero et al., Dalton Trans. 2008, 2832.

    Parameters
    ----------
    elements : sequence of str
        The elements of the structure.

    Returns
    -------
    dict of (str, str) to float
        Cut-offs in Å by alphabetically ordered pair.
    """
    cutoffs = {}
    kinds = sorted(set(elements))
    for i, first in enumerate(kinds):
        for second in kinds[i:]:
            if _covalent(Element(first), Element(second)):
                radii = covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]
                cutoffs[first, second] = RADIUS_FACTOR * float(radii)
    return cutoffs


def _covalent(first: Element, second: Element) -> bool:
    def ionic_metal(element: Element) -> bool:
        return element.is_alkali or element.is_alkaline or element.is_rare_earth

    def metal(element: Element) -> bool:
        return element.is_metal and not element.is_metalloid

    if any(ionic_metal(e) or e.is_noble_gas for e in (first, second)) or (metal(first) and metal(second)):
        return False
    return abs(first.X - second.X) < IONIC_DIFFERENCE


def find_units(
    atoms: Atoms, cutoffs: Mapping[tuple[str, str] | str, float] | None = None, allow_infinite: bool = False
) -> list[Unit]:
    """Find the molecular units of a structure.

    Parameters
    ----------
    atoms : ase.Atoms
        An ordered structure.
    cutoffs : mapping of pair to float, optional
        Longest bond in Å of each pair of elements that bonds, the pair given as ``("P", "S")`` or ``"P-S"``; an empty
        mapping makes every atom a unit. By default the pairs and lengths of :func:`bond_cutoffs`.
    allow_infinite : bool
        Return bond networks without end as one unit each, instead of refusing them.

    Returns
    -------
    list of Unit
        In the order of their first atoms.

    Raises
    ------
    ValueError
        If a component of the bond graph goes on through the periodic boundaries, so that it cannot be kept whole.
    """
    require_ordered(atoms)
    i, j, shift = _bonds(atoms, cutoffs)
    symbols = atoms.get_chemical_symbols()
    order = np.argsort(i, kind="stable")
    j, shift = j[order], shift[order]
    start = np.searchsorted(i[order], np.arange(len(atoms) + 1))
    offset = np.zeros((len(atoms), 3), dtype=int)
    seen = np.zeros(len(atoms), dtype=bool)
    units = []
    for first in range(len(atoms)):
        if seen[first]:
            continue
        seen[first] = True
        members = [first]
        for atom in members:
            for k in range(start[atom], start[atom + 1]):
                other, image = j[k], offset[atom] + shift[k]
                if not seen[other]:
                    seen[other] = True
                    offset[other] = image
                    members.append(other)
                elif not allow_infinite and not np.array_equal(offset[other], image):
                    raise ValueError(
                        f"the bonds of {symbols[atom]} and {symbols[other]} make a network without end, which no cut "
                        'can keep whole: give the pairs that bond within molecules as cutoffs, such as {"P-S": 2.5}, '
                        "or {} to cut between any two atoms"
                    )
        indices = np.array(members)
        positions = atoms.positions[indices] + offset[indices] @ atoms.cell.array
        units.append(Unit(indices, tuple(symbols[k] for k in members), positions))
    return units


def survey(
    atoms: Atoms, cutoffs: Mapping[tuple[str, str] | str, float] | None = None, reach: float = 6.0
) -> UnitReport:
    """Count the units of a structure and measure its shortest distances.

    Parameters
    ----------
    atoms : ase.Atoms
        An ordered structure.
    cutoffs : mapping of pair to float, optional
        As in :func:`find_units`.
    reach : float
        Distances above this are not looked for, in Å.

    Returns
    -------
    UnitReport
        The counts and distances.
    """
    units = find_units(atoms, cutoffs, allow_infinite=True)
    i, j, shift = _bonds(atoms, cutoffs)
    bonds = np.linalg.norm(atoms.positions[j] - atoms.positions[i] + shift @ atoms.cell.array, axis=1)
    shortest = inter_unit_distances(atoms, units, reach)
    every = [*shortest.values(), *bonds.tolist()]
    return UnitReport(
        formulas=dict(sorted(Counter(unit.formula for unit in units).items())),
        longest_bond=float(bonds.max(initial=0.0)),
        shortest_inter_unit={f"{a}-{b}": distance for (a, b), distance in shortest.items()},
        shortest_pair=float(min(every)) if every else float("inf"),
    )


def inter_unit_distances(atoms: Atoms, units: Sequence[Unit], reach: float = 6.0) -> dict[tuple[str, str], float]:
    """Shortest distance between atoms of different units, for each pair of elements.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure.
    units : sequence of Unit
        Its units.
    reach : float
        Pairs of elements that come no closer than this, in Å, are left out.

    Returns
    -------
    dict of (str, str) to float
        Distances in Å by alphabetically ordered pair.
    """
    owner = np.empty(len(atoms), dtype=int)
    position = np.empty((len(atoms), 3))
    for k, unit in enumerate(units):
        owner[unit.indices] = k
        position[unit.indices] = unit.positions
    i, j, d, vector = neighbor_list("ijdD", atoms, reach)
    # Two atoms of one unit are bonded or bridged only in the unwrapped image; other images are other units.
    same = (owner[i] == owner[j]) & np.all(np.abs(position[j] - position[i] - vector) < 1e-6, axis=1)
    i, j, d = i[~same], j[~same], d[~same]
    elements, code = np.unique(atoms.get_chemical_symbols(), return_inverse=True)
    low, high = np.minimum(code[i], code[j]), np.maximum(code[i], code[j])
    shortest = np.full((len(elements), len(elements)), np.inf)
    np.minimum.at(shortest, (low, high), d)
    return {
        (str(elements[a]), str(elements[b])): float(shortest[a, b])
        for a in range(len(elements))
        for b in range(a, len(elements))
        if np.isfinite(shortest[a, b])
    }


def _bonds(
    atoms: Atoms, cutoffs: Mapping[tuple[str, str] | str, float] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bonded pairs (both directions) and the cell shift of the second atom."""
    pairs = bond_cutoffs(atoms.get_chemical_symbols()) if cutoffs is None else as_pairs(cutoffs)
    if not pairs:
        return np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty((0, 3), dtype=int)
    i, j, shift = neighbor_list("ijS", atoms, pairs)
    return i, j, shift


def as_pairs(cutoffs: Mapping[tuple[str, str] | str, float]) -> dict[tuple[str, str], float]:
    """Read bond cut-offs whose pairs are given as ``("P", "S")`` or ``"P-S"``.

    Parameters
    ----------
    cutoffs : mapping of pair to float
        Cut-offs in Å.

    Returns
    -------
    dict of (str, str) to float
        The same, pairs as tuples.

    Raises
    ------
    ValueError
        If a pair does not name two elements or a cut-off is not positive.
    """
    pairs = {}
    for key, cutoff in cutoffs.items():
        elements = tuple(key.split("-")) if isinstance(key, str) else tuple(key)
        if len(elements) != 2 or any(symbol not in atomic_numbers for symbol in elements):
            raise ValueError(f'a bond cut-off must be named by two elements, such as "P-S", not {key!r}')
        if not 0 < cutoff <= LONGEST_BOND:
            limits = f"above 0 and at most {LONGEST_BOND:g} Å"
            raise ValueError(f"the bond cut-off of {'-'.join(elements)} must be {limits}, not {cutoff}")
        pairs[elements] = float(cutoff)
    return pairs
