"""Do quantities of many structures go together, and in which order do kinds of structures stand?

Everything is answered by drawing each quantity from what is known of it, many times: what is positive from a
log-normal distribution, what has only an upper limit from the exponential one whose 95 % quantile is the limit (the
posterior of a rate of which no event was seen), all else from a normal distribution. An answer is thus as sure as the
numbers are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import permutation_test, rankdata

LEVEL = 1.959964
"""Standard errors in half of a 95 % interval."""
SUPPORTED = 0.95
"""Probability from which on an order counts as supported, or its opposite, which contradicts it."""
_EXACT = 8  # so many structures have few enough permutations to go through all of them
_LARGEST_LOGARITHM = 100.0


@dataclass(frozen=True)
class Known:
    """What is known of a quantity of a structure.

    Attributes
    ----------
    value
        None where there is only a limit.
    low, high
        Ends of the 95 % interval; None where no error is known.
    limit
        Upper 95 % limit.
    positive
        Whether the quantity cannot be negative and is known by a factor rather than by a difference: D, σ, ξ.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    positive: bool = False

    def __post_init__(self) -> None:
        if (self.value is None) == (self.limit is None):
            raise ValueError("give either a value or an upper limit")
        if self.positive and not (self.limit if self.value is None else self.value) > 0:
            raise ValueError(f"a positive quantity is {self.value if self.limit is None else self.limit}")

    @classmethod
    def of(
        cls, value: float | None, error: float | None = None, *, limit: float | None = None, positive: bool = False
    ) -> Known:
        """What is known by a value with its standard error, or by an upper limit."""
        if value is None or error is None or not math.isfinite(error):
            return cls(value, limit=limit, positive=positive)
        if positive:
            # An error of so many times the value says nothing but that; a float ends at e^709.
            factor = math.exp(min(LEVEL * error / value, _LARGEST_LOGARITHM)) if value > 0 else 1.0
            return cls(value, value / factor, value * factor, positive=True)
        return cls(value, value - LEVEL * error, value + LEVEL * error)

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw from what is known, shape ``(size,)``."""
        if self.value is None:
            return rng.exponential(self.limit / -math.log(1 - 0.95), size)
        if self.low is None or self.high is None:
            return np.full(size, float(self.value))
        normal = rng.standard_normal(size)
        if not self.positive:
            return self.value + np.where(normal < 0, self.value - self.low, self.high - self.value) / LEVEL * normal
        low, high = (abs(math.log(end / self.value)) for end in (max(self.low, 1e-300), self.high))
        return self.value * np.exp(np.where(normal < 0, low, high) / LEVEL * normal)


@dataclass(frozen=True)
class Structure:
    """A structure and what is known of it.

    Attributes
    ----------
    kind
        Such as ``crystal``, ``tilt``, ``twist``, ``interface``, ``glass``.
    known
        Quantities by name.
    """

    kind: str
    known: Mapping[str, Known]


@dataclass(frozen=True)
class Correlation:
    """Rank correlation of two quantities over structures.

    Attributes
    ----------
    x, y
        Names of the quantities.
    rho
        Spearman's coefficient: median over draws.
    interval95
        Of the draws: what the errors of the quantities leave open.
    p_value
        Probability that as many structures without any relation give a coefficient of the size of `rho` or more, by
        permutation of the ranks of the central values (a limit ranks by its median).
    n_structures
        How many structures have both.
    """

    x: str
    y: str
    rho: float
    interval95: tuple[float, float]
    p_value: float
    n_structures: int


@dataclass(frozen=True)
class Relation:
    """A claim about two kinds of structures in one quantity.

    Attributes
    ----------
    quantity
        Name.
    claim
        Such as ``crystal < tilt`` or ``twist ~ glass``.
    probability
        That it holds: for ``<`` that the mean over the structures of the first kind is below that of the second; for
        ``~`` that the means differ by less than the tolerance.
    opposite
        Probability of what contradicts it: of ``<`` that the mean is above; of ``~`` that one of the two means, always
        the same one, is larger by more than the tolerance; of several steps that of the step contradicted most.
        What is hardly known makes neither probable.
    verdict
        ``supported``, ``contradicted`` or ``open``.
    """

    quantity: str
    claim: str
    probability: float
    opposite: float

    @property
    def verdict(self) -> str:
        """What the probabilities say."""
        if self.probability >= SUPPORTED:
            return "supported"
        return "contradicted" if self.opposite >= SUPPORTED else "open"


def correlation(
    structures: Mapping[str, Structure], x: str, y: str, *, draws: int = 4000, seed: int = 0
) -> Correlation | None:
    """Rank correlation of two quantities.

    Parameters
    ----------
    structures
        By name.
    x, y
        Names of the quantities.
    draws, seed
        Of the sampling.

    Returns
    -------
    Correlation or None
        None if fewer than three structures have both.
    """
    both = [s for _, s in sorted(structures.items()) if x in s.known and y in s.known]
    if len(both) < 3:
        return None
    rng = np.random.default_rng(seed)
    drawn = [np.array([s.known[name].draw(rng, draws) for s in both]) for name in (x, y)]
    ranks = [rankdata(values, axis=0) for values in drawn]
    coefficients = _pearson(*ranks)
    coefficients = coefficients[np.isfinite(coefficients)]
    if not len(coefficients):
        return None
    first, second = (rankdata(np.median(values, axis=1)) for values in drawn)
    found = permutation_test(
        (first,),
        lambda ranks, axis: _pearson(np.moveaxis(ranks, axis, 0), np.moveaxis(second + 0 * ranks, axis, 0)),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=np.inf if len(both) <= _EXACT else 9999,
        rng=np.random.default_rng(seed),
    )
    low, middle, high = np.quantile(coefficients, [0.025, 0.5, 0.975])
    orders = np.abs(found.null_distribution)
    drawn_orders = len(both) > _EXACT  # of which none may happen to be as large: the one that is there counts, too
    by_chance = (np.count_nonzero(orders >= abs(middle) - 1e-9) + drawn_orders) / (len(orders) + drawn_orders)
    return Correlation(x, y, float(middle), (float(low), float(high)), float(by_chance), len(both))


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Coefficient of each column."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (x * y).sum(axis=0) / np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))


def parse_order(claim: str) -> tuple[list[str], list[str]]:
    """Kinds and separators of a claim such as ``crystal < tilt < twist ~ glass``.

    Raises
    ------
    ValueError
        If it is none.
    """
    words = re.split(r"\s*([<~])\s*", claim.strip())
    kinds, separators = words[::2], words[1::2]
    if len(kinds) < 2 or not all(re.fullmatch(r"\w+", kind) for kind in kinds) or len(set(kinds)) < len(kinds):
        raise ValueError(f"{claim!r} is no order, such as 'crystal < tilt < twist ~ glass'")
    return kinds, separators


def order(
    structures: Mapping[str, Structure],
    quantity: str,
    claim: str,
    *,
    tolerance: float = 0.25,
    draws: int = 20000,
    seed: int = 0,
) -> list[Relation]:
    """Probability of each step of a claimed order of kinds, and of all that is known of them together.

    Parameters
    ----------
    structures
        By name.
    quantity
        Name of the quantity.
    claim
        Kinds, each followed by ``<`` or ``~`` and the next.
    tolerance
        Two kinds are alike where their means differ by less than this share of the larger one; of a positive quantity,
        known by a factor, where they differ by less than the factor (1 + tolerance)².
    draws, seed
        Of the sampling.

    Returns
    -------
    list of Relation
        Each step, and all steps together last where there are several. A kind of which nothing is known is passed over,
        so that its neighbours are compared: of ``a < b ~ c`` without ``b``, ``a < c``. Empty with fewer than two kinds.
    """
    kinds, separators = parse_order(claim)
    rng = np.random.default_rng(seed)
    known = [s.known[quantity] for s in structures.values() if quantity in s.known]
    positive = all(entry.positive for entry in known)
    means = {kind: _mean_of_kind(structures, kind, quantity, positive, rng, draws) for kind in kinds}
    steps = _steps_between(kinds, separators, [kind for kind in kinds if means[kind] is not None])
    relations, held = [], []
    for first, separator, second in steps:
        a, b = means[first], means[second]
        held.append(a < b if separator == "<" else _alike(a, b, tolerance, positive))
        opposite = max(float((~held[-1] & side).mean()) for side in (a >= b, a < b))
        relations.append(Relation(quantity, f"{first} {separator} {second}", float(held[-1].mean()), opposite))
    if len(relations) > 1:
        whole = " ".join([steps[0][0], *(f"{separator} {second}" for _, separator, second in steps)])
        opposite = max(relation.opposite for relation in relations)
        relations.append(Relation(quantity, whole, float(np.logical_and.reduce(held).mean()), opposite))
    return relations


def _steps_between(kinds: list[str], separators: list[str], known: list[str]) -> list[tuple[str, str, str]]:
    """What a claim says of each known kind and the next: ``<`` where any step between them is one."""
    places = [kinds.index(kind) for kind in known]
    return [(kinds[a], "<" if "<" in separators[a:b] else "~", kinds[b]) for a, b in pairwise(places)]


def _mean_of_kind(
    structures: Mapping[str, Structure],
    kind: str,
    quantity: str,
    positive: bool,
    rng: np.random.Generator,
    draws: int,
) -> np.ndarray | None:
    """Mean over the structures of a kind in each draw, of the logarithm if positive; None without any."""
    found = [s.known[quantity] for _, s in sorted(structures.items()) if s.kind == kind and quantity in s.known]
    if not found:
        return None
    drawn = np.array([known.draw(rng, draws) for known in found])
    return (np.log(np.maximum(drawn, 1e-300)) if positive else drawn).mean(axis=0)


def _alike(a: np.ndarray, b: np.ndarray, tolerance: float, positive: bool) -> np.ndarray:
    if positive:
        return np.abs(a - b) < 2 * math.log1p(tolerance)
    return np.abs(a - b) < tolerance * np.maximum(np.abs(a), np.abs(b))
