"""Arrangements of atoms on the sites of a cell."""

import math

import numpy as np
import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures import arrangement
from aiida_lpsgb.structures.occupancy import pools_of

CHARGES = {"Li": 1, "F": -1}


def half_filled(n_li=8):
    """A lattice of Li sites that are half occupied, with as many F as Li."""
    sites = [(i, j, k) for i in range(2) for j in range(2) for k in range(2)][:n_li]
    species = [{"Li": 0.5}] * n_li + ["F"] * (n_li // 2)
    positions = [*(np.array(sites) / 2), *(np.array(sites[: n_li // 2]) / 2 + 0.25)]
    return Structure(Lattice.cubic(6.0), species, positions)


def filling_of(cell, limit_A=0.1, weight=0.0):
    limits = {(a, b): limit_A for a in CHARGES for b in CHARGES}
    return arrangement.Filling(cell, pools_of(cell, None), CHARGES, limits, weight)


def test_every_arrangement_is_found_once():
    found = arrangement.arrangements_of(filling_of(half_filled()), [(4, 4)], 1, 0)
    assert len(found) == len(np.unique(found, axis=0)) == math.comb(8, 4)


def test_energies_are_those_of_an_ewald_sum():
    filling = filling_of(half_filled())
    found = arrangement.arrangements_of(filling, [(4, 4)], 1, 0)[::17]
    for codes, energy in zip(found, filling.energies(found), strict=True):
        filled = np.flatnonzero(codes)
        symbols = [filling.labels[code] for code in codes[filled]]
        structure = Structure(filling.cell.lattice, symbols, filling.cell.frac_coords[filled])
        structure.add_oxidation_state_by_element(CHARGES)
        assert EwaldSummation(structure).total_energy == pytest.approx(energy, abs=1e-5)


def test_annealing_finds_the_enumerated_minimum(monkeypatch):
    filling = filling_of(half_filled())
    lowest = filling.values(arrangement.arrangements_of(filling, [(4, 4)], 1, 0)).min()
    monkeypatch.setattr(arrangement, "ENUMERATION_LIMIT", 0)
    found = arrangement.arrangements_of(filling, [(4, 4)], 4, 0)
    assert np.all((found == filling.code["Li"]).sum(axis=1) == 4)
    assert filling.values(found).min() == pytest.approx(lowest)


@pytest.mark.parametrize("limit", [50_000, 0])
def test_sites_that_exclude_each_other(monkeypatch, limit):
    """Sites 3 Å apart exclude each other: four of eight fit in two ways, five do not."""
    monkeypatch.setattr(arrangement, "ENUMERATION_LIMIT", limit)
    filling = filling_of(half_filled(), limit_A=3.1)
    found = np.unique(arrangement.arrangements_of(filling, [(4, 4)], 4, 0), axis=0)
    assert len(found) == 2
    assert filling.crowding(found).tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"Li on .* and Li on .*, 3\.00 Å apart \(Li-Li come to 3\.10 Å\)"):
        arrangement.arrangements_of(filling, [(3, 5)], 1, 0)


def test_equivalent_arrangements_are_told_apart_from_others():
    """Two atoms on the corners of a cube: along an edge, a face's or the body's diagonal."""
    cell = half_filled()
    filling = filling_of(cell)
    found = arrangement.arrangements_of(filling, [(6, 2)], 1, 0)
    lone = np.where(np.array(filling.labels)[found] == "Li", found, 0)  # without the anions, which break the symmetry
    assert len(arrangement.distinct(filling, lone, np.zeros(len(lone)), 100)) == 3
