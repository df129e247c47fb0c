"""From partially occupied sites to ordered, neutral, stoichiometric cells, ranked.

What was done to the occupancies is told with every structure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure

from aiida_lpsgb.structures.arrangement import Filling, arrangements_of, distinct
from aiida_lpsgb.structures.crystal import spglib_cell
from aiida_lpsgb.structures.distances import closest_approach, overlap
from aiida_lpsgb.structures.occupancy import (
    Pool,
    described,
    is_represented,
    name_of,
    occupants,
    pools_of,
    unrepresented,
    whole_counts,
)
from aiida_lpsgb.structures.supercell import heights
from aiida_lpsgb.structures.units import as_pairs
from aiida_lpsgb.structures.validation import require_buildable, require_charges, require_present

__all__ = ["order", "primitive_cell", "rank"]

ORIGINAL = "original_label"
RANKINGS = ("ewald", "occupancy")
#: What a unit of log-probability weighs when arrangements are ranked by occupancy (eV): more than electrostatics does.
OCCUPANCY_WEIGHT_EV = 20.0
#: Sites of a supercell that can be asked for; every two of them interact.
LARGEST_ORDERED = 10_000
#: How far a translation may miss an equal site and still be one of the crystal's (Å).
TRANSLATION_TOLERANCE_A = 0.02
#: More kinds of partially occupied sites than this are told by their occupants alone.
MOST_KINDS = 12


def order(
    structure: Structure,
    charges: Mapping[str, float] | None = None,
    *,
    n_candidates: int = 1,
    primitive: bool = False,
    supercell: Sequence[int] | Sequence[Sequence[int]] | None = None,
    max_atoms: int = 200,
    seed: int = 0,
    max_deviation: float = 0.5,
    keep_shares: bool | None = None,
    rank_by: str = "ewald",
    n_samples: int = 20,
    min_distances: Mapping[tuple[str, str] | str, float] | None = None,
) -> list[Atoms]:
    """Fill the partially occupied sites of a crystal and rank the arrangements.

    Sites with the same occupants form one pool. Each pool receives whole numbers of each occupant: those closest to the
    sums of the occupancies that make the cell neutral. A pool is filled in every possible way if there are few enough,
    else by seeded annealing; arrangements equivalent by symmetry appear once, and none has two atoms closer than they
    can come.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal, some sites partially occupied. A fully ordered one is returned as its own only candidate.
    charges : mapping of str to float, optional
        Formal charge of each element, in units of e; a fully ordered crystal can do without.
    n_candidates : int
        How many arrangements to keep, best first; fewer are returned if there are fewer.
    primitive : bool
        Whether the primitive cell is filled in place of the given one: half as many atoms of a body-centred crystal,
        a quarter of a face-centred one.
    supercell : three integers, or 3 × 3 integers, optional
        Applied to the cell before it is filled. By default the smallest repeats of at most `max_atoms` that make the
        cell neutral and represent the shares of every pool.
    max_atoms : int
        Largest cell that is chosen where no supercell is given.
    seed : int
        Of the sampling of large cells; enumeration does not depend on it.
    max_deviation : float
        Largest accepted difference, in atoms per (super)cell, of an element's count from the sum of its occupancies.
    keep_shares : bool, optional
        Whether sites of different occupancy form pools of their own, so that (with 0.7 and 0.3, say) both keep their
        share of the atoms; otherwise the atoms go wherever the energy is lowest among all sites of their pool. By
        default sites that elements share keep their shares, for molecular dynamics will not exchange these, and sites
        that an element shares with vacancies only do not, for it will.
    rank_by : {"ewald", "occupancy"}
        Lowest Ewald energy of the formal charges first, or most probable arrangement first (the product of the sites'
        occupancies, as if independent), equally probable ones by Ewald energy. Formal charges on unrelaxed sites favour
        the sites nearest to the anions; where the refinement says which sites atoms prefer, ``occupancy`` follows it.
    n_samples : int
        Annealing runs of a cell too large to enumerate.
    min_distances : mapping of pair to float, optional
        Closest approach in Å of pairs of elements, as ``("Li", "Li")`` or ``"Li-Li"``; others by
        :func:`aiida_lpsgb.structures.distances.closest_approach`, or what fully occupied sites show to be possible.

    Returns
    -------
    list of ase.Atoms
        Each with ``info["ewald_energy_eV"]`` (of the cell, None without charges), ``info["log_probability"]`` (of the
        arrangement, sites taken as independent), ``info["composition_deviation"]`` (element to atoms),
        ``info["occupancies"]`` (for every kind of partially occupied site: ``site``, ``n_sites``, ``asked`` and
        ``filled`` shares), ``info["supercell"]`` (its vectors in those of the given cell) and ``info["warnings"]``:
        sentences on shares that the cell cannot represent.

    Raises
    ------
    ValueError
        If a charge is missing, no whole numbers of atoms make the cell neutral within `max_deviation`, or no
        arrangement keeps all atoms as far apart as they must be.
    """
    if rank_by not in RANKINGS:
        raise ValueError(f"rank_by must be {' or '.join(map(repr, RANKINGS))}, not {rank_by!r}")
    if n_candidates < 1 or n_samples < 1:
        raise ValueError(f"n_candidates ({n_candidates}) and n_samples ({n_samples}) must be at least 1")
    structure = structure.copy()
    structure.remove_oxidation_states()
    given_cell = structure.lattice.matrix
    if primitive:
        structure = primitive_cell(structure)
    if charges or not structure.is_ordered:
        require_charges({element.symbol for element in structure.composition}, charges or {})
    limits = _limits(structure, charges, min_distances)
    _refuse_overlaps(structure, limits)

    matrix, better = _choose_supercell(structure, charges, keep_shares, max_deviation, supercell, max_atoms)
    cell = _repeated(structure, matrix)
    pools = pools_of(cell, keep_shares)
    counts, deviation = whole_counts(cell, pools, charges, max_deviation)
    filling = Filling(cell, pools, charges, limits, OCCUPANCY_WEIGHT_EV if rank_by == "occupancy" else 0.0)
    arrangements = arrangements_of(filling, counts, n_samples, seed)
    keep = distinct(filling, arrangements, filling.values(arrangements), n_candidates)
    told = {
        "composition_deviation": deviation,
        "supercell": _in_terms_of(given_cell, matrix @ structure.lattice.matrix),
        "warnings": unrepresented(pools, counts, cell, better),
    }
    return [_to_atoms(filling, arrangements[i], told) for i in keep]


def primitive_cell(structure: Structure) -> Structure:
    """Return the primitive cell of a crystal, its sites partially occupied or not, where they are.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.

    Returns
    -------
    pymatgen.core.Structure
        The crystal itself where its cell is primitive already.
    """
    # Told at once, also of thousands of atoms, where the search for the cell's vectors takes a minute.
    found = spglib.find_primitive(spglib_cell(structure), symprec=TRANSLATION_TOLERANCE_A)
    if found is None or len(found[2]) == len(structure):
        return structure
    return structure.get_primitive_structure(tolerance=TRANSLATION_TOLERANCE_A)


def rank(candidates: Sequence[Atoms], calculator: Calculator) -> list[Atoms]:
    """Sort candidates by the energy a calculator gives them, the lowest first.

    Parameters
    ----------
    candidates : sequence of ase.Atoms
        Structures of equal composition.
    calculator : ase.calculators.calculator.Calculator
        A label engine or a potential.

    Returns
    -------
    list of ase.Atoms
        Copies, with ``info["energy_eV"]`` added.

    Raises
    ------
    ValueError
        If the compositions differ, for then the energies do not compare.
    """
    formulas = {atoms.get_chemical_formula() for atoms in candidates}
    if len(formulas) > 1:
        raise ValueError(f"energies of different compositions do not compare: {', '.join(sorted(formulas))}")
    ranked = []
    for atoms in candidates:
        copy = atoms.copy()
        copy.calc = calculator
        copy.info["energy_eV"] = float(copy.get_potential_energy())
        copy.calc = None
        ranked.append(copy)
    return sorted(ranked, key=lambda atoms: atoms.info["energy_eV"])


# How close atoms come


def _limits(
    structure: Structure,
    charges: Mapping[str, float] | None,
    given: Mapping[tuple[str, str] | str, float] | None,
) -> dict[tuple[str, str], float]:
    """Closest approach of every ordered pair of elements; fully occupied sites show what is possible."""
    elements = [element.symbol for element in structure.composition]
    table = closest_approach(elements, charges)
    whole = [i for i, site in enumerate(structure) if site.is_ordered]
    symbols = [structure[i].specie.symbol for i in whole]
    distances = structure.distance_matrix[np.ix_(whole, whole)] if whole else np.zeros((0, 0))
    for i, j in itertools.combinations(range(len(whole)), 2):
        pair = symbols[i], symbols[j]
        shorter = min(table[pair], 0.98 * float(distances[i, j]))
        table[pair] = table[pair[::-1]] = shorter
    known = as_pairs(given or {})
    require_present(("-".join(pair) for pair in known), elements, "min_distances")
    for (a, b), distance in known.items():
        table[a, b] = table[b, a] = distance
    return table


def _refuse_overlaps(structure: Structure, limits: Mapping[tuple[str, str], float]) -> None:
    """Refuse fully occupied sites that lie in each other."""
    table = overlap(element.symbol for element in structure.composition)
    whole = [i for i, site in enumerate(structure) if site.is_ordered]
    distances = structure.distance_matrix
    for i, j in itertools.combinations(whole, 2):
        a, b = structure[i], structure[j]
        pair = a.specie.symbol, b.specie.symbol
        if distances[i, j] <= min(table[pair], limits[pair] / 0.979):
            raise ValueError(
                f"the fully occupied sites {a.label} and {b.label} are {distances[i, j]:.2f} Å apart, closer than "
                f"{pair[0]} and {pair[1]} can come ({table[pair]:.2f} Å): correct their positions, symmetry or "
                "occupancies"
            )


# The cell that is filled


def repeats_matrix(given: Sequence[int] | Sequence[Sequence[int]]) -> np.ndarray:
    """Read the repeats of a supercell.

    Parameters
    ----------
    given : three integers, or a matrix of shape (3, 3)
        The repeats.

    Returns
    -------
    ndarray of int, shape (3, 3)
        The matrix.

    Raises
    ------
    ValueError
        If they are none.
    """
    try:
        matrix = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        matrix = np.zeros(3)
    matrix = np.diag(np.maximum(matrix, 0)) if matrix.shape == (3,) else matrix
    whole = matrix.shape == (3, 3) and np.array_equal(matrix, np.round(matrix))
    if not whole or round(np.linalg.det(matrix)) < 1:
        raise ValueError(f"supercell must be three positive integers or a 3 x 3 matrix of them, not {given}")
    return matrix.astype(int)


def _choose_supercell(
    structure: Structure,
    charges: Mapping[str, float] | None,
    keep_shares: bool | None,
    max_deviation: float,
    given: Sequence[int] | Sequence[Sequence[int]] | None,
    max_atoms: int,
) -> tuple[np.ndarray, str | None]:
    """Choose the repeats, and name those that would represent the occupancies if the chosen ones do not."""
    if given is not None:
        matrix = repeats_matrix(given)
        start = round(float(np.linalg.det(matrix)))
        require_buildable(start * len(structure), LARGEST_ORDERED)
    else:
        matrix, start = None, 1
    pools = pools_of(structure, keep_shares)
    n_atoms = structure.composition.num_atoms
    first = matrix
    for n in range(start, max(start, 60) + 1) if pools else ():
        if n > start and n * n_atoms > max(20 * max_atoms, 2000):
            break
        scaled = [Pool(pool.sites * n, pool.labels, tuple(n * x for x in pool.expected), pool.kept) for pool in pools]
        try:
            counts, _ = whole_counts(structure, scaled, charges, max_deviation, n)
        except ValueError:
            continue
        affordable = n == 1 or n * n_atoms <= max_atoms
        if first is None and affordable:
            first = np.diag(_repeats(structure, n))
        if all(map(is_represented, scaled, counts)):
            if given is None and affordable:
                return np.diag(_repeats(structure, n)), None
            repeats = tuple(_repeats(structure, n).tolist())
            return np.eye(3, dtype=int) if first is None else first, f"{repeats} of {n * n_atoms:.0f} atoms"
    return np.eye(3, dtype=int) if first is None else first, None


def _in_terms_of(cell: np.ndarray, vectors: np.ndarray) -> list[list[float]]:
    """Vectors as multiples of those of a cell; whole numbers as such."""
    multiples = np.round(vectors @ np.linalg.inv(cell), 6) + 0.0
    whole = np.array_equal(multiples, np.round(multiples))
    return (multiples.astype(int) if whole else multiples).tolist()


def _repeated(structure: Structure, matrix: np.ndarray) -> Structure:
    """The supercell, every site with the label that its original has."""
    cell = structure.copy()
    cell.add_site_property(ORIGINAL, [site.label for site in structure])
    cell.make_supercell(matrix, to_unit_cell=True)
    for site in cell:
        site.label = site.properties[ORIGINAL]
    return cell


def _repeats(structure: Structure, n: int) -> np.ndarray:
    """Repeats of a cell n times, as compact as they get."""
    factors = [(i, j, n // (i * j)) for i in range(1, n + 1) for j in range(1, n + 1) if n % (i * j) == 0]
    spans = heights(structure.lattice.matrix)
    return np.array(max(factors, key=lambda f: (round(min(spans * f), 3), -round(max(spans * f), 3))))


# What is told of an arrangement


def _to_atoms(filling: Filling, codes: np.ndarray, told: Mapping[str, Any]) -> Atoms:
    """Write an arrangement as Atoms, sorted by element in the order of the crystal's formula."""
    chosen = sorted(np.flatnonzero(codes), key=lambda i: codes[i])
    lattice, coordinates = filling.cell.lattice, filling.cell.frac_coords[chosen]
    symbols = [filling.labels[codes[i]] for i in chosen]
    atoms = Atoms(symbols, positions=lattice.get_cartesian_coords(coordinates), cell=lattice.matrix, pbc=True)
    energy = float(filling.energies(codes[None])[0])
    atoms.info["ewald_energy_eV"] = None if math.isnan(energy) else round(energy, 6)
    atoms.info["log_probability"] = round(float(filling.log_probabilities(codes[None])[0]), 6) + 0.0
    atoms.info["occupancies"] = _occupancies(filling, codes)
    atoms.info.update(told)
    return atoms


def _occupancies(filling: Filling, codes: np.ndarray) -> list[dict[str, Any]]:
    """Asked and filled shares of every kind of partially occupied site; without symmetry, of every mixture."""
    partial = [i for i, site in enumerate(filling.cell) if not site.is_ordered]
    n_names = len({name_of(filling.cell[i]) for i in partial})
    named = n_names <= MOST_KINDS and n_names < len(partial)
    kinds: dict[str, list[int]] = {}
    for i in partial:
        site = filling.cell[i]
        kinds.setdefault(name_of(site) if named else described(site), []).append(i)
    return [
        {
            "site": name,
            "n_sites": len(sites),
            "asked": {s: round(x, 4) for s, x in occupants(filling.cell[sites[0]]).items() if s},
            "filled": {
                s: round(float(np.mean(codes[sites] == filling.code[s])), 4)
                for s in occupants(filling.cell[sites[0]])
                if s
            },
        }
        for name, sites in kinds.items()
    ]
