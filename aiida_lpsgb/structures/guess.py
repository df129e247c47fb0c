"""What a crystal says about itself: species, charges, mobile ion, polyanions and settings, each with its reason.

Everything here is a guess that a person can look at and replace. What cannot be guessed is asked: see
:attr:`Material.questions`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from pymatgen.core import Composition, Element, Species, Structure
from pymatgen.util.string import formula_double_format

from aiida_lpsgb.structures.distances import closest_approach, overlap
from aiida_lpsgb.structures.units import as_pairs, bond_cutoffs, find_units
from aiida_lpsgb.structures.validation import empty_layer, require_charges, require_present

__all__ = ["Guess", "Material", "guess", "guess_charges", "guess_ordering"]

#: Cations that move in known conductors, the likelier first; then anions.
MONOVALENT = ("Li", "Na", "Ag", "Cu", "K", "Rb", "Cs")
OTHERS = ("F", "Mg", "Zn", "Ca", "Al", "O", "Cl", "Br", "I", "H")
#: Total charge that occupancies may leave by rounding, as a share of the sum of all charges' magnitudes.
CHARGE_TOLERANCE = 0.005
#: The shortest distance that a potential must know, as a share of the shortest in the crystal.
COMPRESSION = 0.7
#: Occupancies that differ by more than this say which sites the atoms prefer.
PREFERENCE = 0.2
#: Cells in which partial occupancies are looked for as whole atoms, at most.
LARGEST_MULTIPLE = 13
#: Where neighbours end if no shell says so, in Å.
NEIGHBOUR_CUTOFF = 5.0


@dataclass(frozen=True)
class Guess:
    """A value and why it is that.

    Attributes
    ----------
    value : any
        None if there is nothing of the kind, or it cannot be guessed.
    reason : str
        One phrase.
    """

    value: Any
    reason: str


@dataclass(frozen=True)
class Material:
    """What is guessed of a crystal.

    Attributes
    ----------
    formula : str
        Reduced formula.
    species : Guess
        Elements, least electronegative first (list of str): the types of a potential.
    charges : Guess
        Formal charge of each element (dict of str to float).
    mobile : Guess
        Element that moves (str).
    cutoffs : Guess
        Longest bond within polyanions by pair (dict of str to float, Å); empty where there are none.
    units : Guess
        Formulas of the polyanions (list of str).
    speciation : Guess
        Parameters of :func:`aiida_lpsgb.analysis.speciation.speciation`, or None without polyanions.
    disorder : Guess
        Neighbours and cut-off of the mobile ion's surroundings.
    min_distance : Guess
        Shortest distance that a potential must know, in Å.
    ordering : Guess
        Parameters of :func:`aiida_lpsgb.structures.ordering.order`, or None where every site is full.
    questions : tuple of str
        What a person must decide.
    empty : str or None
        What of the cell is empty, if it holds a slab or a molecule rather than a crystal.
    """

    formula: str
    species: Guess
    charges: Guess
    mobile: Guess
    cutoffs: Guess
    units: Guess
    speciation: Guess
    disorder: Guess
    min_distance: Guess
    ordering: Guess
    questions: tuple[str, ...]
    empty: str | None = None

    def describe(self) -> list[str]:
        """One line for each guess, its reason in parentheses, then the questions."""
        lines = [f"formula: {self.formula}"]
        for name, label in LABELS.items():
            item: Guess = getattr(self, name)
            lines.append(f"{label}: {written(item.value)} ({item.reason})")
        lines += [f"question: {question}" for question in self.questions]
        return lines + ([f"no crystal: {self.empty}"] if self.empty else [])


LABELS = {
    "species": "species",
    "charges": "charges",
    "mobile": "mobile ion",
    "units": "polyanions",
    "cutoffs": "bonds (Å)",
    "speciation": "speciation",
    "disorder": "disorder",
    "min_distance": "shortest distance (Å)",
    "ordering": "ordering",
}


def guess(
    structure: Structure,
    *,
    charges: Mapping[str, float] | None = None,
    mobile: str | None = None,
    cutoffs: Mapping[str, float] | None = None,
) -> Material:
    """Guess what a study of a crystal needs.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal, with partial occupancies and oxidation states if it has them.
    charges, mobile, cutoffs : optional
        What is known, and not to be guessed.

    Returns
    -------
    Material
        The guesses.

    Raises
    ------
    ValueError
        If a given charge, mobile ion or bond is not of this crystal, or two of its atoms lie in each other.
    """
    elements = sorted((e.symbol for e in structure.composition.element_composition), key=lambda e: (Element(e).X, e))
    questions: list[str] = []
    if charges is None:
        charged, asked = guess_charges(structure)
        questions += [asked] if asked else []
    else:
        require_charges(elements, charges)
        require_present(charges, elements, "the charges given")
        if not _is_neutral(structure.composition.element_composition, charges):
            given = ", ".join(f"{element} {charge:+g}" for element, charge in charges.items())
            raise ValueError(f"the charges given ({given}) leave the cell of {structure.composition.formula} charged")
        charged = Guess({e: float(charges[e]) for e in elements}, "as given")
    require_present(("-".join(pair) for pair in as_pairs(cutoffs or {})), elements, "a bond given")
    if mobile is None:
        moving, asked = _guess_mobile(structure, elements, charged.value)
        questions += [asked] if asked else []
    elif mobile in elements:
        moving = Guess(mobile, "as given")
    else:
        raise ValueError(f"mobile ion {mobile} is not in the crystal of {', '.join(elements)}")

    atoms = _likely_atoms(structure, charged.value)
    _refuse_overlaps(atoms)
    still = [e for e in elements if e != moving.value or not Element(e).is_metal]  # a cation that moves is not bonded
    bonds = bond_cutoffs(still) if cutoffs is None else as_pairs(cutoffs)
    units, lengths = _guess_units(atoms, bonds, given=cutoffs is not None)
    return Material(
        formula=_formula(structure.composition.element_composition),
        species=Guess(elements, "the elements of the crystal, least electronegative first"),
        charges=charged,
        mobile=moving,
        cutoffs=lengths,
        units=units,
        speciation=_guess_speciation(atoms, lengths.value, units.value),
        disorder=_guess_disorder(atoms, elements, charged.value, moving.value, units.value, lengths.value),
        min_distance=_guess_min_distance(atoms),
        ordering=guess_ordering(structure, charged.value),
        questions=tuple(questions),
        empty=empty_layer(structure.lattice.matrix, structure.frac_coords),
    )


def _formula(composition: Composition) -> str:
    """Formula reduced by what its numbers of atoms have in common, to two decimals."""
    amounts = composition.get_el_amt_dict()
    whole = [round(n) for n in amounts.values() if abs(n - round(n)) < 1e-3]
    common = math.gcd(*(whole if len(whole) > 1 else map(round, amounts.values()))) or 1
    by_electronegativity = sorted(amounts, key=lambda symbol: Element(symbol).X)
    return "".join(f"{e}{formula_double_format(round(amounts[e] / common, 2))}" for e in by_electronegativity)


def guess_charges(structure: Structure) -> tuple[Guess, str | None]:
    """Guess the formal charge of each element.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal; oxidation states that it carries are taken.

    Returns
    -------
    Guess, str or None
        Charges by element (None if they cannot be guessed), and what must be asked.
    """
    carried = _carried_charges(structure)
    composition = structure.composition.element_composition
    if carried is not None:
        mixed = {e: sorted(states) for e, states in carried.items() if len(states) > 1}
        if mixed:
            return _mixed_valence({e: f"{states[0]:+g} and {states[-1]:+g}" for e, states in mixed.items()})
        charges = {e: next(iter(states)) for e, states in carried.items()}
        if _is_neutral(composition, charges):
            return Guess(charges, "oxidation states that the file states"), None
    if len(composition) == 1:
        (element,) = composition
        return Guess({element.symbol: 0.0}, "an element"), None
    found = _whole_states(composition)
    if found is not None:
        return Guess(found, "the commonest oxidation states that make the cell neutral"), None
    average = _average_states(composition)
    if average is None:
        formula = composition.reduced_formula
        question = f"no common oxidation states make {formula} neutral: give the charges, and check the occupancies"
        return Guess(None, "no common oxidation states make the cell neutral"), question
    return _mixed_valence({e: f"{q:+.2f} on average" for e, q in average.items() if abs(q - round(q)) > 1e-3})


def _mixed_valence(found: Mapping[str, str]) -> tuple[Guess, str]:
    listed = ", ".join(f"{element} ({states})" for element, states in found.items())
    question = (
        f"mixed valence: {listed}: give one charge for each element, such as the average, for all atoms of an element "
        "are one species here"
    )
    return Guess(None, f"mixed valence of {listed}"), question


def _carried_charges(structure: Structure) -> dict[str, set[float]] | None:
    """Oxidation states that the species carry, by element; None if some carry none."""
    states: dict[str, set[float]] = {}
    for site in structure:
        for species in site.species:
            state = getattr(species, "oxi_state", None)
            if state is None:
                return None
            states.setdefault(species.symbol, set()).add(float(state))
    return states


def _is_neutral(composition: Composition, charges: Mapping[str, float]) -> bool:
    amounts = composition.get_el_amt_dict()
    total = sum(n * charges[e] for e, n in amounts.items())
    return abs(total) <= CHARGE_TOLERANCE * max(1.0, sum(n * abs(charges[e]) for e, n in amounts.items()))


def _whole_states(composition: Composition) -> dict[str, float] | None:
    """Whole oxidation states, one for each element, that make the composition neutral: those found most often."""
    elements = [element.symbol for element in composition]
    choices = [[state for state in _states(element) if state] for element in elements]
    best, most = None, -math.inf
    for states in itertools.product(*choices):
        charges = {e: float(state) for e, state in zip(elements, states, strict=True)}
        likely = sum(_log_frequency(e, state) for e, state in zip(elements, states, strict=True))
        if likely > most and _is_neutral(composition, charges):
            best, most = charges, likely
    return best


def _states(element: str) -> Sequence[int]:
    known = Element(element)
    return known.icsd_oxidation_states or known.common_oxidation_states or known.oxidation_states


def _log_frequency(element: str, state: int) -> float:
    """Logarithm of how often an element has an oxidation state, against its commonest one."""
    if Composition.oxi_prob is None:
        Composition("NaCl").oxi_state_guesses()  # reads the table
    counts = {s: Composition.oxi_prob.get(Species(element, s), 1e-2) for s in _states(element)}
    return math.log(counts.get(state, 1e-2) / max(counts.values()))


def _average_states(composition: Composition) -> dict[str, float] | None:
    """Average oxidation states by pymatgen, where whole ones do not do."""
    multiple = next((n for n in range(1, LARGEST_MULTIPLE) if _is_whole(composition * n)), 1)
    whole = Composition({element: round(amount) for element, amount in (composition * multiple).items()})
    try:
        found = whole.oxi_state_guesses(max_sites=-1)
    except ValueError:
        return None
    return found[0] if found else None


def _is_whole(composition: Composition) -> bool:
    return all(abs(amount - round(amount)) < 0.02 and round(amount) for amount in composition.values())


def _guess_mobile(
    structure: Structure, elements: Sequence[str], charges: Mapping[str, float] | None
) -> tuple[Guess, str | None]:
    """The element that moves: a monovalent cation, else another ion of known conductors; one with vacancies first."""
    vacant = {
        e.symbol for site in structure if sum(site.species.values()) < 0.999 for e in site.species.element_composition
    }
    likely = [e for e in MONOVALENT if e in elements and (charges is None or charges[e] > 0)]
    likely = likely or [e for e in OTHERS if e in elements]
    if not likely:
        return Guess(None, "no element that moves in known conductors"), "which element moves? give it as mobile"
    first = [e for e in likely if e in vacant] or likely
    parts = ["has vacant sites"] if first[0] in vacant else []
    parts += [f"the likeliest of {', '.join(likely)}" if len(likely) > 1 else "the only ion of those that move"]
    rivals = [e for e in first[1:] if e in MONOVALENT]
    asked = f"{first[0]} or {', '.join(rivals)}: which one moves? give it as mobile" if rivals else None
    return Guess(first[0], ", ".join(parts)), asked


def _likely_atoms(structure: Structure, charges: Mapping[str, float] | None) -> Atoms:
    """Atoms as they are somewhere in the crystal: the fullest sites first, none too close to one before it."""
    if structure.is_ordered:
        symbols = [site.specie.symbol for site in structure]
        return Atoms(symbols, positions=structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    limits = closest_approach((e.symbol for e in structure.composition.element_composition), charges)
    likely = _dealt(structure)
    fullness = [site.species.num_atoms for site in structure]
    order = sorted(range(len(structure)), key=lambda i: (-round(fullness[i], 3), i))
    distances = structure.distance_matrix
    kept: list[int] = []
    for i in order:
        others = [limits[likely[i], likely[j]] for j in kept]
        if fullness[i] > 0.99 or np.all(distances[i, kept] >= others):
            kept.append(i)
    kept.sort()
    symbols = [likely[i] for i in kept]
    return Atoms(symbols, positions=structure.cart_coords[kept], cell=structure.lattice.matrix, pbc=True)


def _dealt(structure: Structure) -> list[str]:
    """An element for each site; sites that elements share alike are dealt out among these by their shares."""
    owed: dict[Composition, Counter[str]] = {}
    dealt = []
    for site in structure:
        shares = site.species.element_composition
        due = owed.setdefault(shares, Counter())
        due.update(shares.get_el_amt_dict())
        dealt.append(due.most_common(1)[0][0])
        due[dealt[-1]] -= shares.num_atoms
    return dealt


def _refuse_overlaps(atoms: Atoms) -> None:
    i, j, d = neighbor_list("ijd", atoms, overlap(atoms.get_chemical_symbols()))
    if len(d):
        k = int(np.argmin(d))
        named = [f"{atoms.symbols[index]} (atom {index + 1})" for index in (i[k], j[k])]
        raise ValueError(f"{named[0]} and {named[1]} are {d[k]:.2f} Å apart, in each other: correct their positions")


def _guess_units(atoms: Atoms, bonds: Mapping[tuple[str, str], float], given: bool) -> tuple[Guess, Guess]:
    """Polyanions of the bond graph, and the cut-offs of the bonds that they have."""
    if not bonds:
        reason = "as given" if given else "no two elements but the mobile one bind covalently"
        return Guess([], reason), Guess({}, reason)
    units = find_units(atoms, bonds, allow_infinite=True)
    i, j, d = neighbor_list("ijd", atoms, dict(bonds))
    symbols = np.array(atoms.get_chemical_symbols())
    lengths: dict[str, list[float]] = {}
    for a, b, length in zip(symbols[i], symbols[j], d, strict=True):
        lengths.setdefault("-".join(sorted((str(a), str(b)))), []).append(float(length))
    if not lengths:
        return Guess([], "no bonds: every ion by itself"), Guess({}, "no atoms as close as a bond")
    try:
        find_units(atoms, bonds)
    except ValueError:
        pairs = ", ".join(sorted(lengths))
        reason = f"the bonds {pairs} make a network without end"
        return Guess([], reason), Guess({}, f"{reason}, which is cut between any two atoms")
    counts = Counter(unit.formula for unit in units if len(unit.symbols) > 1)
    found = ", ".join(f"{n} {formula}" for formula, n in counts.most_common())
    cutoffs = {pair: round(_cutoff(bonds, pair), 2) for pair in sorted(lengths)}
    ranges = ", ".join(f"{pair} bonds are {_range(x)} Å" for pair, x in sorted(lengths.items()))
    return (
        Guess(sorted(counts), f"components of the bond graph: {found} in the cell"),
        Guess(cutoffs, "as given" if given else f"1.2 × covalent radii; {ranges}"),
    )


def _range(values: Sequence[float]) -> str:
    return "-".join(dict.fromkeys(f"{value:.2f}" for value in (min(values), max(values))))


def _cutoff(bonds: Mapping[tuple[str, str], float], pair: str) -> float:
    a, b = pair.split("-")
    return bonds[a, b] if (a, b) in bonds else bonds[b, a]


def _guess_speciation(atoms: Atoms, cutoffs: Mapping[str, float], units: Sequence[str]) -> Guess:
    """Centre, ligand and coordination of the commonest polyanion."""
    if not units:
        return Guess(None, "no polyanions")
    found = [unit for unit in find_units(atoms, as_pairs(cutoffs)) if len(unit.symbols) > 1]
    commonest = Counter(unit.formula for unit in found).most_common(1)[0][0]
    unit = next(unit for unit in found if unit.formula == commonest)
    apart = np.linalg.norm(unit.positions[:, None] - unit.positions, axis=-1)
    limits = {frozenset(pair.split("-")): length for pair, length in cutoffs.items()}
    reach = np.array([[limits.get(frozenset((a, b)), 0.0) for b in unit.symbols] for a in unit.symbols])
    bonded = (apart < reach) & ~np.eye(len(unit.symbols), dtype=bool)
    kinds = np.array(unit.symbols)
    degrees = {str(e): bonded[kinds == e].sum(axis=1).mean() for e in set(unit.symbols)}
    centre = max(degrees, key=lambda e: (degrees[e], -Element(e).X))
    ligands = Counter(
        str(kinds[k]) for row in bonded[kinds == centre] for k in np.flatnonzero(row) if kinds[k] != centre
    )
    if not ligands:
        return Guess(None, f"{commonest} has no ligands around {centre}")
    ligand = ligands.most_common(1)[0][0]
    n = round(float(bonded[np.ix_(kinds == centre, kinds == ligand)].sum(axis=1).mean()))
    every = bond_cutoffs([centre, ligand])
    value = {
        "centre": centre,
        "ligand": ligand,
        "cutoff_A": cutoffs["-".join(sorted((centre, ligand)))],
        "coordination": n,
        "bonds_A": {f"{e}-{e}": round(every[e, e], 2) for e in (centre, ligand) if (e, e) in every},
    }
    return Guess(value, f"the commonest polyanion, {commonest}: {n} {ligand} around {centre}")


def _guess_disorder(
    atoms: Atoms,
    elements: Sequence[str],
    charges: Mapping[str, float] | None,
    mobile: str | None,
    units: Sequence[str],
    cutoffs: Mapping[str, float],
) -> Guess:
    """Neighbours of the mobile ion beside itself: centres of polyanions, else ions of its own sign, else all others."""
    if mobile is None:
        return Guess(None, "no mobile ion")
    if units:
        centre = _guess_speciation(atoms, cutoffs, units).value
        neighbours, reason = ([centre["centre"]], "centres of the polyanions") if centre else ([], "")
    else:
        neighbours = []
    if not neighbours:
        sign = 0.0 if charges is None else charges[mobile]
        neighbours = [e for e in elements if e != mobile and charges is not None and charges[e] * sign > 0]
        reason = "ions of the same sign, which do not move"
    if not neighbours:
        neighbours = [e for e in elements if e != mobile]
        reason = "all that does not move"
    return Guess({"neighbours": neighbours, "cutoff_A": NEIGHBOUR_CUTOFF}, reason)


def _guess_min_distance(atoms: Atoms) -> Guess:
    i, j, d = neighbor_list("ijd", atoms, 4.0)
    if not len(d):
        return Guess(2.0, "no two atoms within 4 Å")
    k = int(np.argmin(d))
    symbols = atoms.get_chemical_symbols()
    pair = "-".join(sorted((symbols[i[k]], symbols[j[k]])))
    value = math.floor(COMPRESSION * float(d[k]) * 20 + 1e-9) / 20
    return Guess(value, f"{COMPRESSION:g} of the shortest distance in the crystal, {pair} {d[k]:.2f} Å")


def guess_ordering(structure: Structure, charges: Mapping[str, float] | None) -> Guess:
    """Guess how partially occupied sites are filled.

    Parameters
    ----------
    structure : pymatgen.core.Structure
        The crystal.
    charges : mapping of str to float, optional
        Formal charge of each element.

    Returns
    -------
    Guess
        ``charges`` and ``rank_by`` of :func:`aiida_lpsgb.structures.ordering.order`; None where every site is full.
    """
    partial = [site for site in structure if not site.is_ordered]
    if not partial:
        return Guess(None, "every site is fully occupied")
    shares: dict[str, set[float]] = {}
    for site in partial:
        if sum(site.species.values()) < 0.999:  # what elements share among themselves is kept
            for element, share in site.species.element_composition.items():
                shares.setdefault(element.symbol, set()).add(round(share, 3))
    preferred = [e for e, found in shares.items() if max(found) - min(found) > PREFERENCE]
    rank_by = "occupancy" if preferred else "ewald"
    reason = (
        f"the occupancies of {', '.join(preferred)} say which sites it prefers"
        if preferred
        else "occupancies are alike, so electrostatics decides"
    )
    return Guess({"charges": None if charges is None else dict(charges), "rank_by": rank_by}, reason)


def written(value: Any) -> str:
    """Write a value for a person."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {written(item)}" for key, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
