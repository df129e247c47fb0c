"""Arrangements of atoms on the sites of a cell: what they are ranked by, and which there are.

The Ewald energy of every arrangement on a fixed set of sites is the quadratic form q·M·q of one matrix, computed once:
small cells are enumerated exhaustively and large ones annealed by swaps, with the same numbers. Sites closer than two
atoms can come exclude each other, whatever their charges gain.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import lil_array

from aiida_lpsgb.structures.distances import overlap
from aiida_lpsgb.structures.occupancy import VACANCY, Pool, name_of, occupants

#: Arrangements evaluated one by one; a cell with more is sampled.
ENUMERATION_LIMIT = 50_000
#: What two atoms that are too close cost beyond what their charges gain, so that annealing parts them (eV).
CLASH_EV = 10.0
COULOMB_EV_A = 14.399645
#: How long the integer programme may look for an arrangement of sites that exclude each other.
MILP_SECONDS = 60.0


class Filling:
    """A cell to be filled, and what arrangements of labels on its sites are ranked by.

    Arrangements are arrays of codes into `labels`, one for each site. They are ranked by the Ewald energy, less the
    weighted log-probability of the arrangement.
    """

    def __init__(
        self,
        cell: Structure,
        pools: Sequence[Pool],
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
            for label, share in occupants(site).items():
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


def arrangements_of(filling: Filling, counts: Sequence[tuple[int, ...]], n_samples: int, seed: int) -> np.ndarray:
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


def _n_arrangements(pools: Sequence[Pool], counts: Sequence[tuple[int, ...]]) -> int:
    total = 1
    for pool, numbers in zip(pools, counts, strict=True):
        total *= math.factorial(len(pool.sites)) // math.prod(math.factorial(n) for n in numbers)
    return total


def _enumerate(filling: Filling, counts: Sequence[tuple[int, ...]]) -> Iterator[np.ndarray]:
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
    filling: Filling,
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


def _cost(filling: Filling, i: int, j: int, codes: np.ndarray) -> float:
    """What the occupants of two sites cost beside their charges, in eV."""
    cost = filling.clash_cost(i, codes) + filling.clash_cost(j, codes)
    if filling.weight:
        cost -= filling.weight * (filling.log_shares[i, codes[i]] + filling.log_shares[j, codes[j]])
    return cost


def _packed(filling: Filling, counts: Sequence[tuple[int, ...]], rng: np.random.Generator) -> np.ndarray | None:
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


def _too_close(filling: Filling, codes: np.ndarray) -> ValueError:
    """Describe an arrangement that cannot be."""
    pairs = filling.clashes(codes)
    i, j = min(pairs, key=lambda pair: filling.distances[pair])
    a, b = filling.labels[codes[i]], filling.labels[codes[j]]
    return ValueError(
        f"no arrangement found that keeps the atoms apart: at best {len(pairs)} pairs of filled sites are closer than "
        f"they can be, such as {a} on {name_of(filling.cell[i])} and {b} on {name_of(filling.cell[j])}, "
        f"{filling.distances[i, j]:.2f} Å apart ({a}-{b} come to {filling.limits[codes[i], codes[j]]:.2f} Å). Check "
        f'positions and occupancies; if such pairs are right, allow them: min_distances={{"{a}-{b}": …}}'
    )


def distinct(filling: Filling, arrangements: np.ndarray, values: np.ndarray, n: int) -> list[int]:
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
