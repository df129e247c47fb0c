r"""Moment tensor bases of a given level, generated from scratch.

The level of a moment :math:`M_{\mu,\nu}` is :math:`2 + 4\mu + \nu`, and that of a product of moments is the sum of
its factors' levels [1]_. A scalar contraction of a product is a multigraph without loops: each node is a moment,
each edge contracts one index of two moments, and a node's degree is the moment's rank :math:`\nu`. The basis of level
*l* consists of all such graphs, connected or not, of level at most *l*, that differ by more than an exchange of
nodes. MLIP-2's templates (levels 2 to 28) hold exactly these with at most four nodes, :math:`\mu \le 5` and
:math:`\nu \le 10`; without the limit on nodes there are 61 instead of 52 at level 14 (:math:`M_{0,0}^5` is the first
to go, at level 10).

A graph is evaluated by removing one node after the other. What is left has open indices: for every node it is
symmetric in them, so its components are labelled by one exponent triple a node, and again a graph, up to exchanges of
equal nodes. The node that leaves the fewest components is removed first, which needs as many intermediate moments as
MLIP-2's templates up to level 14 and fewer above (1 260 instead of 1 352 at level 20).

References
----------
.. [1] A. V. Shapeev, Multiscale Model. Simul. 14, 1153 (2016), section 3; I. S. Novikov, K. Gubaev,
   E. V. Podryabinkin, A. V. Shapeev, Mach. Learn.: Sci. Technol. 2, 025002 (2021), section 2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, combinations_with_replacement, permutations, product

import numpy as np

from aiida_lpsgb.mtp.potential import LEVELS, MTP

__all__ = ["basis_functions", "random_coefficients", "transferred", "untrained"]

MAX_FACTORS = 4
MAX_RADIAL = 6
MAX_RANK = 10

#: A node is (μ, a, b, c): radial function and exponents of its open indices.
Node = tuple[int, int, int, int]
_PAIRS = {n: list(combinations(range(n), 2)) for n in range(1, MAX_FACTORS + 1)}
_EDGE = {n: {pair: k for k, pair in enumerate(pairs)} for n, pairs in _PAIRS.items()}
_RELABELLINGS = {
    n: [(p, [_EDGE[n][min(p[i], p[j]), max(p[i], p[j])] for i, j in pairs]) for p in permutations(range(n))]
    for n, pairs in _PAIRS.items()
}


@dataclass(frozen=True, order=True)
class _Graph:
    """Contraction of moments: nodes, and the number of indices contracted between each pair of them."""

    nodes: tuple[Node, ...]
    edges: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    def multiplicity(self, i: int, j: int) -> int:
        return self.edges[_EDGE[len(self)][min(i, j), max(i, j)]]

    def ranks(self) -> list[int]:
        """Rank ν of each node: its open indices and its edges."""
        ranks = [sum(node[1:]) for node in self.nodes]
        for (i, j), count in zip(_PAIRS[len(self)], self.edges, strict=True):
            ranks[i] += count
            ranks[j] += count
        return ranks

    def level(self) -> int:
        return sum(2 + 4 * node[0] + rank for node, rank in zip(self.nodes, self.ranks(), strict=True))

    def part(self, keep: tuple[int, ...]) -> _Graph:
        """Graph of some of the nodes and the edges between them."""
        return _Graph(
            tuple(self.nodes[i] for i in keep), tuple(self.multiplicity(i, j) for i, j in combinations(keep, 2))
        )

    def parts(self) -> list[tuple[int, ...]]:
        """Nodes of each connected part."""
        label = list(range(len(self)))
        for (i, j), count in zip(_PAIRS[len(self)], self.edges, strict=True):
            if count:
                label = [label[i] if other == label[j] else other for other in label]
        return [tuple(i for i, other in enumerate(label) if other == name) for name in dict.fromkeys(label)]


@cache
def _canonical(graph: _Graph) -> _Graph:
    """The one representative of all graphs that differ by an exchange of nodes."""
    return min(
        _Graph(tuple(graph.nodes[i] for i in nodes), tuple(graph.edges[k] for k in edges))
        for nodes, edges in _RELABELLINGS[len(graph)]
    )


@cache
def _exponents(rank: int) -> list[tuple[int, int, int]]:
    """Exponents of x, y, z in the components of a symmetric tensor."""
    return [(a, b, rank - a - b) for a in range(rank, -1, -1) for b in range(rank - a, -1, -1)]


def _multinomial(exponents: tuple[int, int, int]) -> int:
    return math.factorial(sum(exponents)) // math.prod(map(math.factorial, exponents))


def _scalars(level: int) -> list[_Graph]:
    """All scalar contractions up to a level, by level and then by number of factors."""
    budget = level // 2  # Σ (1 + 2μ) over nodes + number of edges
    found = []
    for count in range(1, MAX_FACTORS + 1):
        for mus in combinations_with_replacement(range(MAX_RADIAL), count):
            left = budget - count - 2 * sum(mus)
            for edges in _edge_counts(len(_PAIRS[count]), left):
                graph = _Graph(tuple((mu, 0, 0, 0) for mu in mus), edges)
                if max(graph.ranks()) <= MAX_RANK and _canonical(graph) == graph:
                    found.append(graph)
    return sorted(found, key=lambda graph: (graph.level(), len(graph), graph))


def _edge_counts(pairs: int, budget: int) -> Iterator[tuple[int, ...]]:
    """All ways to give each pair of nodes a number of edges, `budget` edges at most."""
    if budget < 0:
        return
    if pairs == 0:
        yield ()
        return
    for count in range(budget + 1):
        for rest in _edge_counts(pairs - 1, budget - count):
            yield (count, *rest)


@cache
def _component_count(shape: tuple[tuple[int, int], ...], edges: tuple[int, ...]) -> int:
    """Number of distinct components of a tensor with nodes (μ, number of open indices)."""
    choices = product(*(_exponents(rank) for _, rank in shape))
    return len(
        {
            _canonical(_Graph(tuple((mu, *e) for (mu, _), e in zip(shape, exponents, strict=True)), edges))
            for exponents in choices
        }
    )


@cache
def _removable(shape: tuple[tuple[int, int], ...], edges: tuple[int, ...]) -> int:
    """Node whose removal leaves the fewest components."""
    graph = _Graph(tuple((mu, rank, 0, 0) for mu, rank in shape), edges)

    def cost(node: int) -> tuple:
        keep = tuple(i for i in range(len(graph)) if i != node)
        left = tuple((shape[i][0], shape[i][1] + graph.multiplicity(i, node)) for i in keep)
        return _component_count(left, graph.part(keep).edges), graph.ranks()[node], shape[node][0]

    return min(range(len(graph)), key=cost)


def _factors(graph: _Graph) -> Counter:
    """Write a moment as a sum of products of simpler ones: (first, second) -> integer factor."""
    parts = sorted(graph.parts(), key=lambda part: (len(part), graph.part(part)))
    if len(parts) > 1:
        rest = tuple(sorted(node for part in parts[1:] for node in part))
        return Counter({(_canonical(graph.part(parts[0])), _canonical(graph.part(rest))): 1})
    node = _removable(tuple((n[0], sum(n[1:])) for n in graph.nodes), graph.edges)
    keep = tuple(i for i in range(len(graph)) if i != node)
    rest = graph.part(keep)
    terms: Counter = Counter()
    for exponents in product(*(_exponents(graph.multiplicity(i, node)) for i in keep)):
        removed = _add(graph.nodes[node], *exponents)
        opened = tuple(_add(n, e) for n, e in zip(rest.nodes, exponents, strict=True))
        pair = _Graph((removed,), ()), _canonical(_Graph(opened, rest.edges))
        terms[pair] += math.prod(map(_multinomial, exponents))
    return terms


def _add(node: Node, *exponents: tuple[int, int, int]) -> Node:
    return (node[0], *(node[axis + 1] + sum(e[axis] for e in exponents) for axis in range(3)))  # type: ignore[return-value]


def _moments(scalars: list[_Graph]) -> dict[_Graph, Counter | None]:
    """All moments that the scalars need, with their products (None for basic ones)."""
    found: dict[_Graph, Counter | None] = {}
    pending = list(scalars)
    while pending:
        graph = pending.pop()
        if graph not in found:
            found[graph] = _factors(graph) if len(graph) > 1 else None
            pending.extend(factor for pair in found[graph] or () for factor in pair)
    return found


@cache
def _tables(level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The arrays index_basic, index_times, moment_mapping and the number of moments."""
    scalars = _scalars(level)
    moments = _moments(scalars)
    basic = sorted(
        (graph.nodes[0] for graph, terms in moments.items() if terms is None),
        key=lambda node: (node[0], sum(node[1:]), tuple(-x for x in node[1:])),
    )
    products = sorted((graph for graph, terms in moments.items() if terms), key=lambda g: (len(g), g.level(), g))
    number = {_Graph((node,), ()): index for index, node in enumerate(basic)}
    number |= {graph: index + len(basic) for index, graph in enumerate(products)}
    times = [
        (*sorted((number[first], number[second])), factor, number[graph])
        for graph in products
        for (first, second), factor in (moments[graph] or {}).items()
    ]
    return (
        np.array(basic, dtype=np.int64),
        np.array(sorted(times, key=lambda row: (row[3], row)), dtype=np.int64).reshape(-1, 4),
        np.array([number[graph] for graph in scalars], dtype=np.int64),
        len(number),
    )


def untrained(
    level: int,
    n_species: int,
    min_distance: float = 1.5,
    cutoff: float = 5.0,
    radial_basis_size: int = 8,
    seed: int | None = None,
    radial_basis_type: str = "RBChebyshev",
) -> MTP:
    """Make a moment tensor potential of a level, without coefficients or with random ones.

    Parameters
    ----------
    level
        Even number from 2 to 28.
    n_species
        Number of species.
    min_distance, cutoff
        Interval of the radial basis, Å; `min_distance` a little below the shortest distance to be met.
    radial_basis_size
        Number of radial basis functions for each radial function.
    seed
        With a seed the potential gets random coefficients (see `random_coefficients`); without, none.
    radial_basis_type
        One of `aiida_lpsgb.mtp.potential.RADIAL_BASES`.

    Returns
    -------
    MTP

    Raises
    ------
    ValueError
        When the level is not known, or another argument makes no potential.
    """
    if level not in LEVELS:
        raise ValueError(f"the level should be an even number from {min(LEVELS)} to {max(LEVELS)}, got {level}")
    index_basic, index_times, moment_mapping, n_moments = _tables(level)
    mtp = MTP(
        n_species=n_species,
        radial_basis_type=radial_basis_type,
        min_distance=float(min_distance),
        cutoff=float(cutoff),
        radial_basis_size=radial_basis_size,
        n_radial=int(index_basic[:, 0].max()) + 1,
        index_basic=index_basic.copy(),
        index_times=index_times.copy(),
        moment_mapping=moment_mapping.copy(),
        n_moments=n_moments,
    )
    return mtp if seed is None else random_coefficients(mtp, seed)


def random_coefficients(mtp: MTP, seed: int | Sequence[int], same: bool = False) -> MTP:
    """Copy of a potential with random coefficients.

    The radial functions are independent combinations of the radial basis with falling weights, scaled to a root mean
    square of about one over the interval; species and moment coefficients are small (1e-3 eV).
    """
    rng = np.random.default_rng(seed)
    shape = (mtp.n_species, mtp.n_species, mtp.n_radial, mtp.radial_basis_size)
    radial = np.broadcast_to(rng.normal(size=shape[2:] if same else shape), shape) / (
        1.0 + np.arange(mtp.radial_basis_size)
    )
    radial /= np.linalg.norm(radial, axis=-1, keepdims=True) * mtp.scaling * 0.3 * (mtp.cutoff - mtp.min_distance) ** 2
    return replace(
        mtp,
        radial_coefficients=radial,
        species_coefficients=1e-3 * rng.normal(size=mtp.n_species),
        moment_coefficients=1e-3 * rng.normal(size=len(mtp.moment_mapping)),
    )


def basis_functions(mtp: MTP, vectors: np.ndarray, radial: np.ndarray) -> np.ndarray:
    """Basis functions of one neighbourhood, for given values of the radial functions.

    Parameters
    ----------
    mtp
        Potential, of which only the form is used.
    vectors
        Vectors to the neighbours (n, 3).
    radial
        Values of the radial functions (n, K) at the neighbours.

    Returns
    -------
    array of float, shape (M,)
    """
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    monomials = np.prod(unit[:, None, :] ** mtp.index_basic[None, :, 1:], axis=2)
    moments = np.zeros(mtp.n_moments)
    moments[: len(mtp.index_basic)] = np.sum(radial[:, mtp.index_basic[:, 0]] * monomials, axis=0)
    for first, second, factor, target in mtp.index_times.tolist():
        moments[target] += factor * moments[first] * moments[second]
    return moments[mtp.moment_mapping]


def transferred(source: MTP, target: MTP, seed: int = 0) -> MTP:
    """Give a potential of a larger basis the coefficients of one of a smaller basis, as a start for its training.

    Both potentials are the same function of the positions then: basis functions that only the larger one has get the
    coefficient zero, radial functions that only the larger one has are random.

    Parameters
    ----------
    source
        Potential with coefficients.
    target
        Potential of at least the same basis, with the same species and radial basis; it may have more radial basis
        functions. Basis functions are recognised by their values, so either may come from MLIP's templates.
    seed
        Seed of the new radial functions.

    Raises
    ------
    ValueError
        When the target lacks something of the source.
    """
    for attribute in ("n_species", "radial_basis_type", "min_distance", "cutoff"):
        old, new = getattr(source, attribute), getattr(target, attribute)
        if old != new:
            raise ValueError(f"the potentials differ in {attribute}: {old} and {new}")
    for attribute in ("n_radial", "radial_basis_size"):
        if getattr(source, attribute) > getattr(target, attribute):
            raise ValueError(f"{attribute} should not become smaller, from {getattr(source, attribute)}")
    start = random_coefficients(target, seed)
    radial = start.radial_coefficients.copy()
    radial[:, :, : source.n_radial] = 0.0
    radial[:, :, : source.n_radial, : source.radial_basis_size] = (
        source.radial_coefficients * source.scaling / target.scaling
    )
    moment = np.zeros(len(target.moment_mapping))
    moment[_matches(source, target)] = source.moment_coefficients
    return replace(
        start,
        radial_coefficients=radial,
        species_coefficients=source.species_coefficients.copy(),
        moment_coefficients=moment,
    )


def _matches(source: MTP, target: MTP) -> np.ndarray:
    """Index in the target of each basis function of the source."""
    rng = np.random.default_rng(0)
    samples = [(rng.normal(size=(12, 3)), rng.normal(size=(12, target.n_radial))) for _ in range(3)]
    ours, theirs = (np.array([basis_functions(mtp, *sample) for sample in samples]).T for mtp in (source, target))
    same = np.isclose(ours[:, None], theirs[None], rtol=1e-9, atol=0).all(axis=2)
    if (same.sum(axis=1) != 1).any():
        raise ValueError(f"the larger basis lacks {np.sum(~same.any(axis=1))} basis functions of the smaller one")
    return same.argmax(axis=1)
