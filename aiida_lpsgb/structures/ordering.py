"""From partially occupied sites to ordered, neutral, stoichiometric cells, ranked.

The Ewald energy of every arrangement on a fixed set of sites is the quadratic form q·M·q of one matrix, computed once:
small cells are enumerated exhaustively and large ones annealed by swaps, with the same numbers. Sites closer than two
atoms can come exclude each other, whatever their charges gain. What was done to the occupancies is told with every
structure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from ase.calculators.calculator import Calculator
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from aiida_lpsgb.structures.crystal import spglib_cell
from aiida_lpsgb.structures.distances import closest_approach, overlap
from aiida_lpsgb.structures.supercell import heights
from aiida_lpsgb.structures.units import as_pairs
from aiida_lpsgb.structures.validation import require_buildable, require_charges, require_present

__all__ = ["order", "primitive_cell", "rank"]

VACANCY = ""
ORIGINAL = "original_label"
RANKINGS = ("ewald", "occupancy")
#: Arrangements evaluated one by one; a cell with more is sampled.
ENUMERATION_LIMIT = 50_000
#: What a unit of log-probability weighs when arrangements are ranked by occupancy (eV): more than electrostatics does.
OCCUPANCY_WEIGHT_EV = 20.0
#: Sites of a supercell that can be asked for; every two of them interact.
LARGEST_ORDERED = 10_000
#: What two atoms that are too close cost beyond what their charges gain, so that annealing parts them (eV).
CLASH_EV = 10.0
COULOMB_EV_A = 14.399645
#: How far a translation may miss an equal site and still be one of the crystal's (Å).
TRANSLATION_TOLERANCE_A = 0.02
#: A share of a sublattice is represented if the whole numbers of atoms are off by less than this.
SHARE_TOLERANCE = 0.06
#: Combinations of whole numbers that are looked through.
MOST_CHOICES = 200_000
#: More kinds of partially occupied sites than this are told by their occupants alone.
MOST_KINDS = 12
#: How long the integer programme may look for an arrangement of sites that exclude each other.
MILP_SECONDS = 60.0


@dataclass(frozen=True)
class _Pool:
    """Partially occupied sites that are filled from one stock of atoms; of each label, how many are expected."""

    sites: tuple[int, ...]
    labels: tuple[str, ...]
    expected: tuple[float, ...]
    kept: bool


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
    pools = _pools(cell, keep_shares)
    counts, deviation = _whole_counts(cell, pools, charges, max_deviation)
    filling = _Filling(cell, pools, charges, limits, OCCUPANCY_WEIGHT_EV if rank_by == "occupancy" else 0.0)
    arrangements = _arrangements(filling, counts, n_samples, seed)
    keep = _distinct(filling, arrangements, filling.values(arrangements), n_candidates)
    told = {
        "composition_deviation": deviation,
        "supercell": _in_terms_of(given_cell, matrix @ structure.lattice.matrix),
        "warnings": _unrepresented(pools, counts, cell, better),
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


def _occupants(site) -> dict[str, float]:
    shares = {element.symbol: float(share) for element, share in site.species.items()}
    vacant = 1.0 - sum(shares.values())
    if vacant > 1e-3:
        shares[VACANCY] = vacant
    return shares


def _name(site) -> str:
    """Label of a site as its file has it and its occupants."""
    described = _described(site)
    return described if site.label.startswith(site.species_string) else f"{site.label} ({described})"


def _described(site) -> str:
    return " + ".join(f"{label} {share:.2f}" for label, share in _occupants(site).items() if label)


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


# How many atoms of which kind, in which cell


def _pools(cell: Structure, keep_shares: bool | None) -> list[_Pool]:
    """Group the partially occupied sites by their occupants (and by the shares, if these are to be kept)."""
    groups: dict[tuple, list[int]] = {}
    for i, site in enumerate(cell):
        if site.is_ordered:
            continue
        shares = _occupants(site)
        kept = len(set(shares) - {VACANCY}) > 1 if keep_shares is None else keep_shares
        key = (kept, tuple(sorted((s, round(x, 4) if kept else None) for s, x in shares.items())))
        groups.setdefault(key, []).append(i)
    pools = []
    for (kept, key), sites in groups.items():
        labels = tuple(label for label, _ in key)
        expected = tuple(sum(_occupants(cell[i]).get(label, 0.0) for i in sites) for label in labels)
        pools.append(_Pool(tuple(sites), labels, expected, kept))
    return pools


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
    pools = _pools(structure, keep_shares)
    n_atoms = structure.composition.num_atoms
    first = matrix
    for n in range(start, max(start, 60) + 1) if pools else ():
        if n > start and n * n_atoms > max(20 * max_atoms, 2000):
            break
        scaled = [_Pool(pool.sites * n, pool.labels, tuple(n * x for x in pool.expected), pool.kept) for pool in pools]
        try:
            counts, _ = _whole_counts(structure, scaled, charges, max_deviation, n)
        except ValueError:
            continue
        affordable = n == 1 or n * n_atoms <= max_atoms
        if first is None and affordable:
            first = np.diag(_repeats(structure, n))
        if all(map(_is_represented, scaled, counts)):
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


def _is_represented(pool: _Pool, counts: Sequence[int]) -> bool:
    """Whether no occupant has vanished, and a pool that keeps its shares has them within the tolerance."""
    for n, x in zip(counts, pool.expected, strict=True):
        if n == 0 and x > 0.0:
            return False
        if pool.kept and abs(n - x) > SHARE_TOLERANCE * len(pool.sites):
            return False
    return True


def _unrepresented(
    pools: Sequence[_Pool], counts: Sequence[Sequence[int]], cell: Structure, better: str | None
) -> list[str]:
    """Say which shares the cell cannot hold, and which supercell can."""
    said = []
    for pool, numbers in zip(pools, counts, strict=True):
        if _is_represented(pool, numbers):
            continue
        names = ", ".join(dict.fromkeys(_name(cell[i]) for i in pool.sites))
        filled = " + ".join(f"{n} {label or 'vacant'}" for label, n in zip(pool.labels, numbers, strict=True) if n)
        advice = f"a supercell {better} can" if better else "a larger supercell may"
        said.append(
            f"the {len(pool.sites)} sites of {names} are filled with {filled}: this cell cannot hold their shares, "
            f"{advice}"
        )
    return said


def _whole_counts(
    cell: Structure,
    pools: Sequence[_Pool],
    charges: Mapping[str, float] | None,
    max_deviation: float,
    multiple: int = 1,
) -> tuple[list[tuple[int, ...]], dict[str, float]]:
    """Choose the whole numbers of occupants of every pool that make the cell neutral, closest to the occupancies.

    The sites that are not in a pool are those of the cell times `multiple`.
    """
    elements = sorted({element.symbol for element in cell.composition})
    if charges is None:
        return [], dict.fromkeys(elements, 0.0)
    fixed = multiple * sum(charges[site.specie.symbol] for site in cell if site.is_ordered)
    # Of many pools, those next to the occupancies have choices enough.
    for reach in (1.5,) if len(pools) < 4 else (0.999, 1.5):
        options = [_roundings(pool, reach) for pool in pools]
        if reach > 1 and math.prod(map(len, options)) > MOST_CHOICES and len(pools) >= 4:
            break
        best = _nearest_neutral(pools, options, charges, fixed, elements)
        if best is not None and best[0] <= max_deviation + 1e-6:
            return best[2], {element: round(x, 6) + 0.0 for element, x in best[3].items()}
    nearest = "none is neutral" if best is None else f"the nearest neutral one is off by {best[0]:.2f} atoms"
    raise ValueError(
        f"no whole numbers of atoms within {max_deviation:g} of the occupancies of {cell.composition.formula} make "
        f"the cell neutral with charges {dict(charges)} ({nearest}): check charges and occupancies, or give a "
        "larger supercell"
    )


def _nearest_neutral(
    pools: Sequence[_Pool],
    options: Sequence[Sequence[tuple[int, ...]]],
    charges: Mapping[str, float],
    fixed: float,
    elements: Sequence[str],
) -> tuple[float, float, list[tuple[int, ...]], dict[str, float]] | None:
    """Of all combinations that make the cell neutral, the one closest to the occupancies.

    Returned with the largest deviation of an element, the sum of those of all pools, and the elements' deviations.
    """
    best: tuple[float, float, list[tuple[int, ...]], dict[str, float]] | None = None
    for choice in itertools.product(*options):
        charge = fixed + sum(
            charges[label] * n
            for pool, counts in zip(pools, choice, strict=True)
            for label, n in zip(pool.labels, counts, strict=True)
            if label
        )
        if abs(charge) > 1e-6:
            continue
        deviation = dict.fromkeys(elements, 0.0)
        local = 0.0
        for pool, counts in zip(pools, choice, strict=True):
            for label, n, x in zip(pool.labels, counts, pool.expected, strict=True):
                local += abs(n - x)
                local += 1e-6 * (n == 0)  # of two equally near, the one in which no occupant has vanished
                if label:
                    deviation[label] += n - x
        worst = round(max(map(abs, deviation.values()), default=0.0), 9)
        if best is None or (worst, local) < best[:2]:
            best = (worst, local, list(choice), deviation)
    return best


def _roundings(pool: _Pool, reach: float) -> list[tuple[int, ...]]:
    """List the whole numbers of occupants of a pool within some atoms of the occupancies."""
    size = len(pool.sites)
    options = [range(max(0, math.ceil(x - reach)), min(size, math.floor(x + reach)) + 1) for x in pool.expected]
    return [counts for counts in itertools.product(*options) if sum(counts) == size]


# Arrangements


class _Filling:
    """A cell to be filled, and what arrangements of labels on its sites are ranked by.

    Arrangements are arrays of codes into `labels`, one for each site. They are ranked by the Ewald energy, less the
    weighted log-probability of the arrangement.
    """

    def __init__(
        self,
        cell: Structure,
        pools: Sequence[_Pool],
        charges: Mapping[str, float] | None,
        limits: Mapping[tuple[str, str], float],
        occupancy_weight: float,
    ):
        self.cell, self.pools, self.weight = cell, pools, occupancy_weight
        self.labels = [VACANCY, *dict.fromkeys(element.symbol for site in cell for element in site.species)]
        self.code = {label: k for k, label in enumerate(self.labels)}
        self.empty = np.array([self.code[site.specie.symbol] if site.is_ordered else 0 for site in cell])
        self.charges = None if charges is None else np.array([0.0, *(charges[label] for label in self.labels[1:])])
        self.matrix = None if charges is None else _ewald_matrix(cell)
        self.log_shares = np.full((len(cell), len(self.labels)), math.log(1e-6))
        for i, site in enumerate(cell):
            for label, share in _occupants(site).items():
                self.log_shares[i, self.code[label]] = math.log(share)
        elements = self.labels[1:]
        self.limits = np.zeros((len(self.labels),) * 2)
        self.limits[1:, 1:] = [[limits[a, b] for b in elements] for a in elements]
        # A fully occupied neighbour is always there: only where atoms would lie in each other is the site impossible.
        touching = overlap(elements)
        self.limits_of_full = np.zeros_like(self.limits)
        self.limits_of_full[1:, 1:] = [[min(touching[a, b], limits[a, b]) for b in elements] for a in elements]
        self.distances = cell.distance_matrix
        self.close = self._close_sites() if pools else []

    def _close_sites(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For every site its neighbours that may be too close, and the cost of each pair of labels there, in eV."""
        partial = np.isin(np.arange(len(self.cell)), [i for pool in self.pools for i in pool.sites])
        near = (self.distances < self.limits.max()) & (partial[:, None] | partial) & ~np.eye(len(partial), dtype=bool)
        attraction = COULOMB_EV_A * np.maximum(0.0, -np.outer(self.charges, self.charges))
        found = []
        for i in range(len(self.cell)):
            others = np.flatnonzero(near[i])
            apart = self.distances[i, others][:, None, None]
            both = (partial[i] & partial[others])[:, None, None]
            limits = np.where(both, self.limits, self.limits_of_full)
            cost = np.where(apart < limits, CLASH_EV + attraction / np.maximum(apart, 0.1), 0.0)
            found.append((others, cost))
        return found

    def clash_cost(self, i: int, codes: np.ndarray) -> float:
        """What the atom on site i costs for being too close to others, in eV."""
        others, cost = self.close[i]
        return float(cost[np.arange(len(others)), codes[i], codes[others]].sum())

    def clashes(self, codes: np.ndarray) -> list[tuple[int, int]]:
        """Pairs of sites whose atoms are too close."""
        return [(i, j) for i, j, cost in self._close_pairs() if cost[codes[i], codes[j]] > 0]

    def crowding(self, arrangements: np.ndarray) -> np.ndarray:
        """How many pairs of every arrangement are too close."""
        counts = np.zeros(len(arrangements), dtype=int)
        for i, j, cost in self._close_pairs():
            counts += cost[arrangements[:, i], arrangements[:, j]] > 0
        return counts

    def _close_pairs(self) -> Iterator[tuple[int, int, np.ndarray]]:
        for i, (others, costs) in enumerate(self.close):
            yield from ((i, int(j), cost) for j, cost in zip(others, costs, strict=True) if i < j)

    def energies(self, arrangements: np.ndarray) -> np.ndarray:
        """Ewald energies in eV; NaN without charges."""
        if self.charges is None:
            return np.full(len(arrangements), np.nan)
        q = self.charges[arrangements]
        return np.einsum("ki,ki->k", q @ self.matrix, q)

    def log_probabilities(self, arrangements: np.ndarray) -> np.ndarray:
        """Logarithms of the products of the sites' occupancies."""
        return self.log_shares[np.arange(len(self.cell)), arrangements].sum(axis=1)

    def values(self, arrangements: np.ndarray) -> np.ndarray:
        """What is ranked, in eV."""
        return np.nan_to_num(self.energies(arrangements)) - self.weight * self.log_probabilities(arrangements)


def _ewald_matrix(cell: Structure) -> np.ndarray:
    """Ewald interaction of unit charges on every site, in eV; exact for every neutral assignment of charges."""
    unit = Structure(cell.lattice, ["H"] * len(cell), cell.frac_coords)
    unit.add_oxidation_state_by_site([1.0] * len(cell))
    return EwaldSummation(unit).total_energy_matrix


def _arrangements(filling: _Filling, counts: Sequence[tuple[int, ...]], n_samples: int, seed: int) -> np.ndarray:
    """Arrangements without atoms that are too close: all of them, or those that annealing came by.

    Where annealing finds none, sites that exclude each other are as good as full: an integer programme then finds an
    arrangement, or proves that there is none, and gentle annealing goes on from there.
    """
    if _n_arrangements(filling.pools, counts) <= ENUMERATION_LIMIT:
        every = np.array(list(_enumerate(filling, counts)))
        crowding = filling.crowding(every)
        if crowding.min() > 0:
            raise _too_close(filling, every[crowding.argmin()])
        return every[crowding == 0]
    rng = np.random.default_rng(seed)
    found = np.array([codes for _ in range(n_samples) for codes in _anneal(filling, counts, rng)])
    crowding = filling.crowding(found)
    if crowding.min() == 0:
        return found[crowding == 0]
    packed = []
    for _ in range(n_samples):
        start = _packed(filling, counts, rng)
        if start is None:
            raise _too_close(filling, found[crowding.argmin()])
        packed += [start, *_anneal(filling, counts, rng, start=start, hot_eV=1.0)]
    return np.array(packed)[filling.crowding(np.array(packed)) == 0]


def _packed(filling: _Filling, counts: Sequence[tuple[int, ...]], rng: np.random.Generator) -> np.ndarray | None:
    """Solve for an arrangement without atoms that are too close, the most probable or a random one; None if none is."""
    chosen = [(i, filling.code[label]) for pool in filling.pools for i in pool.sites for label in pool.labels if label]
    index = {item: k for k, item in enumerate(chosen)}
    rows, lower, upper = [], [], []

    def constrain(members: Sequence[int], least: float, most: float) -> None:
        rows.append(members)
        lower.append(least)
        upper.append(most)

    for pool, numbers in zip(filling.pools, counts, strict=True):
        for label, n in zip(pool.labels, numbers, strict=True):
            if label:
                constrain([index[i, filling.code[label]] for i in pool.sites], n, n)
        for i in pool.sites:
            constrain([index[i, filling.code[label]] for label in pool.labels if label], 0, 1)
    for (i, a), k in index.items():
        others, cost = filling.close[i]
        for j, c in zip(others, cost, strict=True):
            if filling.empty[j]:
                if c[a, filling.empty[j]] > 0:
                    constrain([k], 0, 0)
                continue
            for b in np.flatnonzero(c[a] > 0):
                if (j, b) in index and index[j, b] > k:
                    constrain([k, index[j, b]], 0, 1)
    matrix = lil_array((len(rows), len(chosen)))
    for row, members in enumerate(rows):
        matrix[row, members] = 1.0
    weights = rng.random(len(chosen))
    if filling.weight:
        gains = np.array([filling.log_shares[i, 0] - filling.log_shares[i, a] for i, a in chosen])
        weights = gains + 1e-3 * weights
    solved = milp(
        weights,
        integrality=np.ones(len(chosen)),
        bounds=Bounds(0, 1),
        constraints=LinearConstraint(matrix.tocsr(), lower, upper),
        options={"time_limit": MILP_SECONDS},
    )
    if solved.x is None:
        return None
    codes = filling.empty.copy()
    for (i, a), x in zip(chosen, solved.x, strict=True):
        if x > 0.5:
            codes[i] = a
    return codes


def _too_close(filling: _Filling, codes: np.ndarray) -> ValueError:
    """Describe an arrangement that cannot be."""
    pairs = filling.clashes(codes)
    i, j = min(pairs, key=lambda pair: filling.distances[pair])
    a, b = filling.labels[codes[i]], filling.labels[codes[j]]
    return ValueError(
        f"no arrangement found that keeps the atoms apart: at best {len(pairs)} pairs of filled sites are closer than "
        f"they can be, such as {a} on {_name(filling.cell[i])} and {b} on {_name(filling.cell[j])}, "
        f"{filling.distances[i, j]:.2f} Å apart ({a}-{b} come to {filling.limits[codes[i], codes[j]]:.2f} Å). Check "
        f'positions and occupancies; if such pairs are right, allow them: min_distances={{"{a}-{b}": …}}'
    )


def _n_arrangements(pools: Sequence[_Pool], counts: Sequence[tuple[int, ...]]) -> int:
    total = 1
    for pool, numbers in zip(pools, counts, strict=True):
        total *= math.factorial(len(pool.sites)) // math.prod(math.factorial(n) for n in numbers)
    return total


def _enumerate(filling: _Filling, counts: Sequence[tuple[int, ...]]) -> Iterator[np.ndarray]:
    """Yield every distribution of the counted occupants over their pools."""
    per_pool = [
        list(_multiset([filling.code[label] for label in pool.labels], numbers))
        for pool, numbers in zip(filling.pools, counts, strict=True)
    ]
    for fillings in itertools.product(*per_pool):
        codes = filling.empty.copy()
        for pool, chosen in zip(filling.pools, fillings, strict=True):
            codes[list(pool.sites)] = chosen
        yield codes


def _multiset(values: Sequence[int], counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the distinct permutations of a multiset."""
    if sum(counts) == 0:
        yield ()
        return
    for i, value in enumerate(values):
        if counts[i]:
            rest = tuple(n - (j == i) for j, n in enumerate(counts))
            for tail in _multiset(values, rest):
                yield (value, *tail)


def _anneal(
    filling: _Filling,
    counts: Sequence[tuple[int, ...]],
    rng: np.random.Generator,
    *,
    start: np.ndarray | None = None,
    sweeps: int = 60,
    hot_eV: float = 5.0,
    cold_eV: float = 0.01,
) -> list[np.ndarray]:
    """Anneal a filling (a random one) by swaps within a pool (Metropolis, geometric cooling).

    The states of the cooler half are returned.
    """
    matrix = filling.matrix
    codes = (filling.empty if start is None else start).copy()
    for pool, numbers in zip(filling.pools, counts, strict=True) if start is None else ():
        stock = [filling.code[label] for label, n in zip(pool.labels, numbers, strict=True) for _ in range(n)]
        codes[list(pool.sites)] = rng.permutation(stock)
    q = filling.charges[codes]
    field = 2 * matrix @ q
    sites = np.concatenate([pool.sites for pool in filling.pools]).astype(int)
    partners = {i: np.array(pool.sites) for pool in filling.pools for i in pool.sites}
    states = []
    for sweep, temperature in enumerate(np.geomspace(hot_eV, cold_eV, sweeps)):
        for i in rng.choice(sites, size=len(sites)):
            j = rng.choice(partners[i])
            if codes[i] == codes[j]:
                continue
            d = q[j] - q[i]
            change = d * (field[i] - field[j]) + d * d * (matrix[i, i] + matrix[j, j] - 2 * matrix[i, j])
            before = _cost(filling, i, j, codes)
            codes[i], codes[j] = codes[j], codes[i]
            change += _cost(filling, i, j, codes) - before
            if change < 0 or rng.random() < math.exp(-change / temperature):
                field += 2 * d * (matrix[:, i] - matrix[:, j])
                q[i], q[j] = q[j], q[i]
            else:
                codes[i], codes[j] = codes[j], codes[i]
        if sweep >= sweeps // 2:
            states.append(codes.copy())
    return states


def _cost(filling: _Filling, i: int, j: int, codes: np.ndarray) -> float:
    """What the occupants of two sites cost beside their charges, in eV."""
    cost = filling.clash_cost(i, codes) + filling.clash_cost(j, codes)
    if filling.weight:
        cost -= filling.weight * (filling.log_shares[i, codes[i]] + filling.log_shares[j, codes[j]])
    return cost


def _distinct(filling: _Filling, arrangements: np.ndarray, values: np.ndarray, n: int) -> list[int]:
    """Pick the lowest arrangements, leaving out those that are equivalent to a lower one by symmetry."""
    proximity = np.exp(-filling.distances / 2.0)
    kept: list[int] = []
    seen: list[tuple[float, np.ndarray]] = []
    for i in np.argsort(values, kind="stable"):
        fingerprint = _fingerprint(proximity, arrangements[i])
        if any(abs(value - values[i]) < 1e-4 and np.allclose(fingerprint, other) for value, other in seen):
            continue
        kept.append(int(i))
        seen.append((values[i], fingerprint))
        if len(kept) == n:
            break
    return kept


def _fingerprint(proximity: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Eigenvalues of the element-weighted proximities of all atoms: the same for any two congruent arrangements."""
    weights = np.where(codes == 0, 0.0, np.sqrt(codes))
    return np.linalg.eigvalsh(weights[:, None] * proximity * weights)


def _to_atoms(filling: _Filling, codes: np.ndarray, told: Mapping[str, Any]) -> Atoms:
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


def _occupancies(filling: _Filling, codes: np.ndarray) -> list[dict[str, Any]]:
    """Asked and filled shares of every kind of partially occupied site; without symmetry, of every mixture."""
    partial = [i for i, site in enumerate(filling.cell) if not site.is_ordered]
    n_names = len({_name(filling.cell[i]) for i in partial})
    named = n_names <= MOST_KINDS and n_names < len(partial)
    kinds: dict[str, list[int]] = {}
    for i in partial:
        site = filling.cell[i]
        kinds.setdefault(_name(site) if named else _described(site), []).append(i)
    return [
        {
            "site": name,
            "n_sites": len(sites),
            "asked": {s: round(x, 4) for s, x in _occupants(filling.cell[sites[0]]).items() if s},
            "filled": {
                s: round(float(np.mean(codes[sites] == filling.code[s])), 4)
                for s in _occupants(filling.cell[sites[0]])
                if s
            },
        }
        for name, sites in kinds.items()
    ]
