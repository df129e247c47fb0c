from itertools import combinations_with_replacement

import numpy as np
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list

from aiida_lpsgb.structures.approach import approach


def shortest(atoms):
    """Shortest distance of every two species within 7 Å."""
    first, second, distances = neighbor_list("ijd", atoms, 7.0)
    symbols = np.array(atoms.get_chemical_symbols())
    pairs = combinations_with_replacement(sorted(set(symbols)), 2)
    of_both = {pair: distances[(symbols[first] == pair[0]) & (symbols[second] == pair[1])] for pair in pairs}
    return {pair: found.min() for pair, found in of_both.items() if len(found)}


@pytest.mark.parametrize("share", [0.8, 0.6])
def test_species_meet_at_the_share_of_their_distance(share):
    """In rock salt every two species have room to: each has one pair that is so close, and none that is closer."""
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(2)
    pressed = approach(salt, share, 3)
    before, after = shortest(salt), shortest(pressed)
    assert {pair: after[pair] / before[pair] for pair in before} == pytest.approx(dict.fromkeys(before, share))
    assert (np.abs(pressed.positions - salt.positions).max(axis=1) > 1e-9).sum() == 6
    assert np.allclose(pressed.positions.mean(axis=0), salt.positions.mean(axis=0))
    assert np.array_equal(pressed.positions, approach(salt, share, 3).positions)
    assert not np.array_equal(pressed.positions, approach(salt, share, 4).positions)


def test_nothing_comes_closer_than_asked_for(lps):
    """Two P are far from each other: they stay in their tetrahedra."""
    pressed = approach(lps, 0.6, 0)
    before, after = shortest(lps), shortest(pressed)
    shares = {pair: after[pair] / before[pair] for pair in before}
    assert min(shares.values()) == pytest.approx(0.6)
    assert shares["P", "P"] > 0.9
    assert [shares[pair] for pair in (("Li", "Li"), ("Li", "S"), ("P", "S"))] == pytest.approx([0.6] * 3)


def test_an_atom_and_its_own_images_cannot_meet():
    """A cell of one atom has no two that could."""
    atoms = bulk("Li", "bcc", a=3.5)
    assert np.array_equal(approach(atoms, 0.8, 0).positions, atoms.positions)


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_is_between_0_and_1(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        approach(bulk("NaCl", "rocksalt", a=5.64), share, 0)
