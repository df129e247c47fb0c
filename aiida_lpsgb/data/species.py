"""Checks of lists of species shared by the nodes."""

from __future__ import annotations

from collections.abc import Iterable

from ase.data import atomic_numbers


def check_species(species: Iterable[str]) -> list[str]:
    """Return an ordered list of chemical symbols.

    Parameters
    ----------
    species
        Chemical symbols, each once.

    Returns
    -------
    list of str
        The symbols in the order given.

    Raises
    ------
    ValueError
        If there is none, one is not a chemical symbol, or one is given twice.
    """
    if isinstance(species, str):
        raise ValueError(f"species must be a list of symbols such as ['Li', 'P', 'S'], not the string {species!r}")
    symbols = list(species)
    unknown = [symbol for symbol in symbols if atomic_numbers.get(symbol, 0) < 1]
    if unknown:
        raise ValueError(f"species contains {unknown}, which are not chemical symbols")
    if not symbols:
        raise ValueError("species is empty; at least one chemical symbol is needed")
    if len(set(symbols)) != len(symbols):
        raise ValueError(f"species {symbols} names a symbol twice")
    return symbols
