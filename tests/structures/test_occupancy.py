"""Partially occupied sites, and the whole numbers of atoms that they are filled with."""

import pytest
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures import occupancy

CHARGES = {"Li": 1, "S": -2, "Cl": -1}
EXPECTED = {("Cl", "S"): (0.5, 0.5), ("", "Li"): (1.5, 1.5)}


@pytest.fixture
def cell():
    """One site that S and Cl share, three that Li shares with vacancies, and a full one."""
    species = [{"S": 0.5, "Cl": 0.5}, {"Li": 0.9}, {"Li": 0.3}, {"Li": 0.3}, "Cl"]
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5]]
    return Structure(Lattice.cubic(5.0), species, sites)


def test_what_is_not_occupied_is_vacant(cell):
    assert occupancy.occupants(cell[0]) == {"S": 0.5, "Cl": 0.5}
    assert occupancy.occupants(cell[1]) == pytest.approx({"Li": 0.9, occupancy.VACANCY: 0.1})
    assert occupancy.described(cell[1]) == "Li 0.90"


def test_sites_with_the_same_occupants_are_one_pool(cell):
    pools = occupancy.pools_of(cell, None)
    assert {pool.labels: pool.expected for pool in pools} == {k: pytest.approx(x) for k, x in EXPECTED.items()}
    assert [pool.kept for pool in pools] == [True, False]


def test_sites_that_keep_their_shares_are_pools_of_their_own(cell):
    assert sorted(len(pool.sites) for pool in occupancy.pools_of(cell, True)) == [1, 1, 2]


def test_the_neutral_numbers_nearest_to_the_occupancies_are_chosen(cell):
    """Of one full Cl and one S or Cl: three Li with S, or two with Cl, which is 0.5 Li off."""
    counts, deviation = occupancy.whole_counts(cell, occupancy.pools_of(cell, None), CHARGES, 0.5)
    assert counts == [(1, 0), (1, 2)]
    assert deviation == {"Cl": 0.5, "Li": 0.5, "S": -0.5}
    with pytest.raises(ValueError, match=r"the nearest neutral one is off by 0\.50 atoms"):
        occupancy.whole_counts(cell, occupancy.pools_of(cell, None), CHARGES, 0.4)


def test_an_occupant_that_vanishes_is_told(cell):
    pools = occupancy.pools_of(cell, None)
    assert not occupancy.is_represented(pools[0], (1, 0))
    assert occupancy.is_represented(pools[1], (1, 2))
    (said,) = occupancy.unrepresented(pools, [(1, 0), (1, 2)], cell, "(1, 1, 2) of 10 atoms")
    assert "filled with 1 Cl: this cell cannot hold their shares, a supercell (1, 1, 2) of 10 atoms can" in said
