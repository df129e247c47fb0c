"""How close two atoms can come: what tells alternative sites, and files that are wrong, from neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from pymatgen.core import Element

__all__ = ["closest_approach", "is_ionic_metal", "overlap"]

#: Shares of the sum of covalent radii (Cordero et al., Dalton Trans. 2008, 2832) below which two atoms do not come: two
#: metals, or any atom and an alkali, alkaline-earth or rare-earth metal (Li-Li 2.00 Å; 2.11 Å in Li₃N, 2.31 Å in Li₂O),
#: and others (N-N 0.99 Å; 1.10 Å in N₂).
IONIC_SHARE, COVALENT_SHARE = 0.78, 0.70
#: The same of two anions' ionic radii, for no bond brings these together (S-S 2.72 Å; 3.3 Å in PS₄).
ANION_SHARE = 0.8
#: Two hydrogen atoms of one molecule other than H₂ are farther apart than this, in Å.
HYDROGEN_PAIR = 1.4
#: Closer than these shares of the covalent radii atoms overlap, however sure the file is of them.
IONIC_OVERLAP, COVALENT_OVERLAP = 0.65, 0.55


def is_ionic_metal(element: Element) -> bool:
    """Whether an element is an alkali, alkaline-earth or rare-earth metal, which makes no covalent bonds."""
    return element.is_alkali or element.is_alkaline or element.is_rare_earth


def closest_approach(
    elements: Iterable[str], charges: Mapping[str, float] | None = None
) -> dict[tuple[str, str], float]:
    """List the distance that atoms of two elements do not fall below in a solid.

    Parameters
    ----------
    elements : iterable of str
        The elements.
    charges : mapping of str to float, optional
        Formal charges: two anions of their usual charge keep their ionic radii apart.

    Returns
    -------
    dict of (str, str) to float
        Distances in Å of every ordered pair.
    """
    charges = charges or {}
    kinds = sorted(set(elements))
    table = {}
    for a in kinds:
        for b in kinds:
            first, second = Element(a), Element(b)
            metallic = first.is_metal and second.is_metal
            share = IONIC_SHARE if metallic or is_ionic_metal(first) or is_ionic_metal(second) else COVALENT_SHARE
            distance = share * _radii(a, b)
            if a == b == "H":
                distance = HYDROGEN_PAIR
            anions = [Element(e).ionic_radii.get(round(charges.get(e, 0))) for e in (a, b) if charges.get(e, 0) < 0]
            if len(anions) == 2 and None not in anions:
                distance = max(distance, ANION_SHARE * float(sum(anions)))
            table[a, b] = distance
    return table


def overlap(elements: Iterable[str]) -> dict[tuple[str, str], float]:
    """List the distance in Å below which atoms of two elements (every ordered pair) would be in each other."""
    kinds = sorted(set(elements))
    return {
        (a, b): (IONIC_OVERLAP if is_ionic_metal(Element(a)) or is_ionic_metal(Element(b)) else COVALENT_OVERLAP)
        * _radii(a, b)
        for a in kinds
        for b in kinds
    }


def _radii(a: str, b: str) -> float:
    return float(np.sum(covalent_radii[[atomic_numbers[a], atomic_numbers[b]]]))
