"""Partially occupied sites, and the whole numbers of atoms that they are filled with.

Sites that are filled from one stock of atoms form a pool. Its whole numbers are those closest to the sums of the
occupancies that make the cell neutral.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymatgen.core import PeriodicSite, Structure

VACANCY = ""
#: A share of a sublattice is represented if the whole numbers of atoms are off by less than this.
SHARE_TOLERANCE = 0.06
#: Combinations of whole numbers that are looked through.
MOST_CHOICES = 200_000


@dataclass(frozen=True)
class Pool:
    """Partially occupied sites that are filled from one stock of atoms; of each label, how many are expected."""

    sites: tuple[int, ...]
    labels: tuple[str, ...]
    expected: tuple[float, ...]
    kept: bool


def occupants(site: PeriodicSite) -> dict[str, float]:
    """Shares of a site by element, and of what is vacant."""
    shares = {element.symbol: float(share) for element, share in site.species.items()}
    vacant = 1.0 - sum(shares.values())
    if vacant > 1e-3:
        shares[VACANCY] = vacant
    return shares


def name_of(site: PeriodicSite) -> str:
    """Label of a site as its file has it and its occupants."""
    shares = described(site)
    return shares if site.label.startswith(site.species_string) else f"{site.label} ({shares})"


def described(site: PeriodicSite) -> str:
    """Occupants of a site and their shares, in words."""
    return " + ".join(f"{label} {share:.2f}" for label, share in occupants(site).items() if label)


def pools_of(cell: Structure, keep_shares: bool | None) -> list[Pool]:
    """Group the partially occupied sites by their occupants (and by the shares, if these are to be kept)."""
    groups: dict[tuple, list[int]] = {}
    for i, site in enumerate(cell):
        if site.is_ordered:
            continue
        shares = occupants(site)
        kept = len(set(shares) - {VACANCY}) > 1 if keep_shares is None else keep_shares
        key = (kept, tuple(sorted((s, round(x, 4) if kept else None) for s, x in shares.items())))
        groups.setdefault(key, []).append(i)
    pools = []
    for (kept, key), sites in groups.items():
        labels = tuple(label for label, _ in key)
        expected = tuple(sum(occupants(cell[i]).get(label, 0.0) for i in sites) for label in labels)
        pools.append(Pool(tuple(sites), labels, expected, kept))
    return pools


def whole_counts(
    cell: Structure,
    pools: Sequence[Pool],
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
    pools: Sequence[Pool],
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
                    local += 1e-7 * max(0.0, n - x)  # then that of fewer atoms: sites may exclude each other
        worst = round(max(map(abs, deviation.values()), default=0.0), 9)
        if best is None or (worst, local) < best[:2]:
            best = (worst, local, list(choice), deviation)
    return best


def _roundings(pool: Pool, reach: float) -> list[tuple[int, ...]]:
    """List the whole numbers of occupants of a pool within some atoms of the occupancies."""
    size = len(pool.sites)
    options = [range(max(0, math.ceil(x - reach)), min(size, math.floor(x + reach)) + 1) for x in pool.expected]
    return [counts for counts in itertools.product(*options) if sum(counts) == size]


def is_represented(pool: Pool, counts: Sequence[int]) -> bool:
    """Whether no occupant has vanished, and a pool that keeps its shares has them within the tolerance."""
    for n, x in zip(counts, pool.expected, strict=True):
        if n == 0 and x > 0.0:
            return False
        if pool.kept and abs(n - x) > SHARE_TOLERANCE * len(pool.sites):
            return False
    return True


def unrepresented(
    pools: Sequence[Pool], counts: Sequence[Sequence[int]], cell: Structure, better: str | None
) -> list[str]:
    """Say which shares the cell cannot hold, and which supercell can."""
    said = []
    for pool, numbers in zip(pools, counts, strict=True):
        if is_represented(pool, numbers):
            continue
        names = ", ".join(dict.fromkeys(name_of(cell[i]) for i in pool.sites))
        filled = " + ".join(f"{n} {label or 'vacant'}" for label, n in zip(pool.labels, numbers, strict=True) if n)
        advice = f"a supercell {better} can" if better else "a larger supercell may"
        said.append(
            f"the {len(pool.sites)} sites of {names} are filled with {filled}: this cell cannot hold their shares, "
            f"{advice}"
        )
    return said
