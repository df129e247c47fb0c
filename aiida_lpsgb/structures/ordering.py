"""From partially occupied sites to ordered, neutral, stoichiometric cells, ranked.

The Ewald energy of every arrangement on a fixed set of sites is the quadratic form q·M·q of one matrix, computed once:
small cells are enumerated exhaustively and large ones annealed by swaps, with the same numbers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifParser

from aiida_lpsgb.structures.validation import require_charges

__all__ = ["order", "rank", "read_cif"]

VACANCY = ""
#: Arrangements evaluated one by one; a cell with more is sampled.
ENUMERATION_LIMIT = 50_000
#: What a unit of log-probability weighs when arrangements are ranked by occupancy (eV): more than electrostatics does.
OCCUPANCY_WEIGHT_EV = 20.0


def read_cif(source: str | PathLike, occupancy_tolerance: float = 1.02) -> Structure:
    """Read the only structure of a CIF file, partial occupancies kept.

    Parameters
    ----------
    source : path, or the text of a CIF
        A string with a line that begins with ``data_`` is taken as the text itself.
    occupancy_tolerance : float
        Site occupancies between 1 and this are rounding and scaled back to 1.

    Returns
    -------
    pymatgen.core.Structure
        The conventional cell as the file states it.

    Raises
    ------
    ValueError
        If the file holds no structure, or more than one.
    """
    is_text = isinstance(source, str) and any(line.startswith("data_") for line in source.splitlines())
    parser = (
        CifParser.from_str(source, occupancy_tolerance=occupancy_tolerance)
        if is_text
        else CifParser(source, occupancy_tolerance=occupancy_tolerance)
    )
    structures = parser.parse_structures(primitive=False)
    if len(structures) != 1:
        raise ValueError(f"expected one structure in the CIF, found {len(structures)}")
    structure = structures[0]
    structure.remove_oxidation_states()
    return structure


@dataclass(frozen=True)
class _Pool:
    """Partially occupied sites that share the same occupants: one sublattice to be filled."""

    sites: tuple[int, ...]
    labels: tuple[str, ...]
    expected: tuple[float, ...]


def order(
    structure: Structure,
    charges: Mapping[str, float],
    *,
    n_candidates: int = 1,
    supercell: Sequence[int] | Sequence[Sequence[int]] = (1, 1, 1),
    seed: int = 0,
    max_deviation: float = 0.5,
    keep_shares: bool = False,
    rank_by: str = "ewald",
    n_samples: int = 20,
) -> list[Atoms]:
    """Fill the partially occupied sites of a crystal and rank the arrangements.

    Sites with the same occupants form one pool. Each pool receives whole numbers of each occupant: those closest to the
    sums of the occupancies that make the cell neutral. A pool is filled in every possible way if there are few enough,
    else by seeded annealing; arrangements equivalent by symmetry appear once.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal, some sites partially occupied. A fully ordered one is returned as its own only candidate.
    charges : mapping of str to float
        Formal charge of each element, in units of e.
    n_candidates : int
        How many arrangements to keep, best first; fewer are returned if there are fewer.
    supercell : three integers, or 3 × 3 integers
        Applied to the cell before it is filled.
    seed : int
        Of the sampling of large cells; enumeration does not depend on it.
    max_deviation : float
        Largest accepted difference, in atoms per (super)cell, of an element's count from the sum of its occupancies.
    keep_shares : bool
        Whether sites of different occupancy form pools of their own, so that (with 0.7 and 0.3, say) both keep their
        share of the atoms; by default the atoms go wherever the energy is lowest among all sites of their pool.
    rank_by : {"ewald", "occupancy"}
        Lowest Ewald energy of the formal charges first, or most probable arrangement first (the product of the sites'
        occupancies, as if independent), equally probable ones by Ewald energy. Formal charges on unrelaxed sites favour
        the sites nearest to the anions; where the refinement says which sites atoms prefer, ``occupancy`` follows it.
    n_samples : int
        Annealing runs of a cell too large to enumerate.

    Returns
    -------
    list of ase.Atoms
        Each with ``info["ewald_energy_eV"]`` (of the cell), ``info["log_probability"]`` (of the arrangement, sites
        taken as independent) and ``info["composition_deviation"]`` (element to atoms).

    Raises
    ------
    ValueError
        If a charge is missing, or no whole numbers of atoms make the cell neutral within `max_deviation`.
    """
    if rank_by not in ("ewald", "occupancy"):
        raise ValueError(f"rank_by must be 'ewald' or 'occupancy', not {rank_by!r}")
    if n_candidates < 1 or n_samples < 1:
        raise ValueError(f"n_candidates ({n_candidates}) and n_samples ({n_samples}) must be at least 1")
    require_charges({element.symbol for element in structure.composition}, charges)
    cell = structure.copy()
    cell.make_supercell(np.asarray(supercell, dtype=int), to_unit_cell=True)
    pools = _pools(cell, keep_shares)
    counts, deviation = _whole_counts(cell, pools, charges, max_deviation)
    labels = np.array([VACANCY if not site.is_ordered else site.species_string for site in cell], dtype=object)
    objective = _Objective(cell, charges, OCCUPANCY_WEIGHT_EV if rank_by == "occupancy" else 0.0)
    if _n_arrangements(pools, counts) <= ENUMERATION_LIMIT:
        arrangements = list(_enumerate(labels, pools, counts))
    else:
        rng = np.random.default_rng(seed)
        runs = (_anneal(objective, labels, pools, counts, rng) for _ in range(n_samples))
        arrangements = [arrangement for run in runs for arrangement in run]
    keep = _distinct(cell, arrangements, objective.values(arrangements), n_candidates)
    return [_to_atoms(cell, arrangements[i], objective, deviation) for i in keep]


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


def _pools(cell: Structure, keep_shares: bool) -> list[_Pool]:
    """Group the partially occupied sites by their occupants (and by the shares, if these are to be kept)."""
    groups: dict[tuple, list[int]] = {}
    for i, site in enumerate(cell):
        if site.is_ordered:
            continue
        shares = _occupants(site)
        key = tuple(sorted((s, round(x, 4) if keep_shares else None) for s, x in shares.items()))
        groups.setdefault(key, []).append(i)
    pools = []
    for key, sites in groups.items():
        labels = tuple(label for label, _ in key)
        expected = tuple(sum(_occupants(cell[i]).get(label, 0.0) for i in sites) for label in labels)
        pools.append(_Pool(tuple(sites), labels, expected))
    return pools


def _whole_counts(
    cell: Structure, pools: Sequence[_Pool], charges: Mapping[str, float], max_deviation: float
) -> tuple[list[tuple[int, ...]], dict[str, float]]:
    """Choose the whole numbers of occupants of every pool that make the cell neutral, closest to the occupancies."""
    fixed = sum(charges[site.species_string] for site in cell if site.is_ordered)
    elements = sorted({element.symbol for element in cell.composition})
    best: tuple[float, float, list[tuple[int, ...]], dict[str, float]] | None = None
    for choice in itertools.product(*[_roundings(pool) for pool in pools]):
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
                if label:
                    deviation[label] += n - x
        worst = max(map(abs, deviation.values()), default=0.0)
        if best is None or (worst, local) < best[:2]:
            best = (worst, local, list(choice), deviation)
    if best is None or best[0] > max_deviation + 1e-6:
        nearest = "none is neutral" if best is None else f"the nearest neutral one is off by {best[0]:.2f} atoms"
        raise ValueError(
            f"no whole numbers of atoms within {max_deviation:g} of the occupancies of {cell.composition.formula} make "
            f"the cell neutral with charges {dict(charges)} ({nearest}): check charges and occupancies, or give a "
            "larger supercell"
        )
    return best[2], {element: round(x, 6) + 0.0 for element, x in best[3].items()}


def _roundings(pool: _Pool) -> list[tuple[int, ...]]:
    """List the whole numbers of occupants of a pool within one and a half of the occupancies."""
    size = len(pool.sites)
    options = [range(max(0, math.ceil(x - 1.5)), min(size, math.floor(x + 1.5)) + 1) for x in pool.expected]
    return [counts for counts in itertools.product(*options) if sum(counts) == size]


class _Objective:
    """What arrangements are ranked by: the Ewald energy, less the weighted log-probability of the arrangement."""

    def __init__(self, cell: Structure, charges: Mapping[str, float], occupancy_weight: float):
        self.matrix = _ewald_matrix(cell)
        self.charges = {**charges, VACANCY: 0.0}
        self.weight = occupancy_weight
        self.log_shares = [{label: math.log(share) for label, share in _occupants(site).items()} for site in cell]

    def energies(self, arrangements: Sequence[np.ndarray]) -> np.ndarray:
        """Ewald energies in eV."""
        q = np.array([[self.charges[label] for label in labels] for labels in arrangements], dtype=float)
        return np.einsum("ki,ki->k", q @ self.matrix, q)

    def log_probability(self, labels: Sequence[str]) -> float:
        """Logarithm of the product of the sites' occupancies."""
        return sum(shares[label] for shares, label in zip(self.log_shares, labels, strict=True))

    def values(self, arrangements: Sequence[np.ndarray]) -> np.ndarray:
        """What is ranked, in eV."""
        values = self.energies(arrangements)
        if self.weight:
            values = values - self.weight * np.array([self.log_probability(labels) for labels in arrangements])
        return values

    def swap_cost(self, i: int, j: int, labels: np.ndarray) -> float:
        """Change of the occupancy term when sites i and j exchange their occupants."""
        a, b = self.log_shares[i], self.log_shares[j]
        if not self.weight:
            return 0.0
        never = math.log(1e-6)
        after = a.get(labels[j], never) + b.get(labels[i], never)
        return -self.weight * (after - a[labels[i]] - b[labels[j]])


def _ewald_matrix(cell: Structure) -> np.ndarray:
    """Ewald interaction of unit charges on every site, in eV; exact for every neutral assignment of charges."""
    unit = Structure(cell.lattice, ["H"] * len(cell), cell.frac_coords)
    unit.add_oxidation_state_by_site([1.0] * len(cell))
    return EwaldSummation(unit).total_energy_matrix


def _n_arrangements(pools: Sequence[_Pool], counts: Sequence[tuple[int, ...]]) -> int:
    total = 1
    for pool, numbers in zip(pools, counts, strict=True):
        total *= math.factorial(len(pool.sites)) // math.prod(math.factorial(n) for n in numbers)
    return total


def _enumerate(labels: np.ndarray, pools: Sequence[_Pool], counts: Sequence[tuple[int, ...]]) -> Iterator[np.ndarray]:
    """Yield every distribution of the counted occupants over their pools."""
    per_pool = [list(_multiset(pool.labels, numbers)) for pool, numbers in zip(pools, counts, strict=True)]
    for fillings in itertools.product(*per_pool):
        filled = labels.copy()
        for pool, filling in zip(pools, fillings, strict=True):
            filled[list(pool.sites)] = filling
        yield filled


def _multiset(labels: Sequence[str], counts: Sequence[int]) -> Iterator[tuple[str, ...]]:
    """Yield the distinct permutations of a multiset."""
    total = sum(counts)
    if total == 0:
        yield ()
        return
    for i, label in enumerate(labels):
        if counts[i]:
            rest = tuple(n - (j == i) for j, n in enumerate(counts))
            for tail in _multiset(labels, rest):
                yield (label, *tail)


def _anneal(
    objective: _Objective,
    labels: np.ndarray,
    pools: Sequence[_Pool],
    counts: Sequence[tuple[int, ...]],
    rng: np.random.Generator,
    sweeps: int = 60,
    hot_eV: float = 5.0,
    cold_eV: float = 0.01,
) -> list[np.ndarray]:
    """Anneal a random filling by swaps within a pool (Metropolis, geometric cooling); keep the cooler half's states."""
    matrix = objective.matrix
    filled = labels.copy()
    for pool, numbers in zip(pools, counts, strict=True):
        filling = [label for label, n in zip(pool.labels, numbers, strict=True) for _ in range(n)]
        filled[list(pool.sites)] = rng.permutation(np.array(filling, dtype=object))
    q = np.array([objective.charges[label] for label in filled])
    field = 2 * matrix @ q
    sites = np.concatenate([pool.sites for pool in pools]).astype(int)
    partners = {i: np.array(pool.sites) for pool in pools for i in pool.sites}
    states = []
    for sweep, temperature in enumerate(np.geomspace(hot_eV, cold_eV, sweeps)):
        for i in rng.choice(sites, size=len(sites)):
            j = rng.choice(partners[i])
            if filled[i] == filled[j]:
                continue
            d = q[j] - q[i]
            change = d * (field[i] - field[j]) + d * d * (matrix[i, i] + matrix[j, j] - 2 * matrix[i, j])
            change += objective.swap_cost(i, j, filled)
            if change < 0 or rng.random() < math.exp(-change / temperature):
                field += 2 * d * (matrix[:, i] - matrix[:, j])
                q[i], q[j] = q[j], q[i]
                filled[i], filled[j] = filled[j], filled[i]
        if sweep >= sweeps // 2:
            states.append(filled.copy())
    return states


def _distinct(cell: Structure, arrangements: Sequence[np.ndarray], energies: np.ndarray, n: int) -> list[int]:
    """Pick the lowest arrangements, leaving out those that are equivalent to a lower one by symmetry."""
    proximity = np.exp(-cell.distance_matrix / 2.0)
    kept: list[int] = []
    seen: list[tuple[float, np.ndarray]] = []
    for i in np.argsort(energies, kind="stable"):
        fingerprint = _fingerprint(proximity, arrangements[i])
        if any(abs(energy - energies[i]) < 1e-4 and np.allclose(fingerprint, other) for energy, other in seen):
            continue
        kept.append(int(i))
        seen.append((energies[i], fingerprint))
        if len(kept) == n:
            break
    return kept


def _fingerprint(proximity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Eigenvalues of the element-weighted proximities of all atoms: the same for any two congruent arrangements."""
    elements = sorted(set(labels) - {VACANCY})
    weights = np.array([0.0 if label == VACANCY else math.sqrt(1 + elements.index(label)) for label in labels])
    return np.linalg.eigvalsh(weights[:, None] * proximity * weights)


def _to_atoms(cell: Structure, labels: np.ndarray, objective: _Objective, deviation: dict[str, float]) -> Atoms:
    """Write an arrangement as Atoms, sorted by element in the order of the crystal's formula."""
    elements = list(dict.fromkeys(element.symbol for site in cell for element in site.species))
    chosen = sorted(np.flatnonzero(labels != VACANCY), key=lambda i: elements.index(labels[i]))
    ordered = Structure(cell.lattice, [labels[i] for i in chosen], cell.frac_coords[chosen])
    atoms = AseAtomsAdaptor.get_atoms(ordered, msonable=False)
    atoms = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
    atoms.info["ewald_energy_eV"] = round(float(objective.energies([labels])[0]), 6)
    atoms.info["log_probability"] = round(objective.log_probability(labels), 6)
    atoms.info["composition_deviation"] = deviation
    return atoms
