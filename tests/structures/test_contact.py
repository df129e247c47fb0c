import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_lpsgb.structures.contact import contact_table, touch
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.slab import Slab

CELL = np.array([[9.0, 0.0], [2.0, 8.0]])


def slab(positions, symbols):
    return Slab(np.array(positions, dtype=float), np.array(symbols), 10.0, np.zeros(2))


def test_two_atoms_touch_at_their_contact_distance():
    below, above = slab([[1, 1, -0.5]], ["Li"]), slab([[1, 1, 0.3]], ["S"])
    table = dict.fromkeys([("Li", "Li"), ("Li", "S"), ("S", "Li"), ("S", "S")], 2.0)
    gap, crowding = touch(below, above, np.zeros(2), CELL, table)
    assert gap == pytest.approx(2.0 - 0.8)
    assert crowding == pytest.approx(1 / 72)
    gap, _ = touch(below, above, np.array([1.2, 0.0]), CELL, table)
    assert gap == pytest.approx(np.sqrt(4 - 1.44) - 0.8)
    assert touch(below, above, CELL[1], CELL, table)[0] == pytest.approx(1.2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16))
def test_closest_pair_of_two_surfaces_is_at_contact(seed):
    """Whatever the surfaces, at the gap found one pair touches and none is closer, periodic images included."""
    rng = np.random.default_rng(seed)
    table = {("A", "A"): 2.0, ("A", "B"): 2.5, ("B", "A"): 2.5, ("B", "B"): 3.0}
    sides = []
    for sign in (-1, 1):
        n = int(rng.integers(1, 12))
        heights = sign * rng.uniform(-1, 4, n)
        sides.append(slab(np.column_stack([rng.uniform(size=(n, 2)) @ CELL, heights]), rng.choice(["A", "B"], n)))
    below, above = sides
    shift = rng.uniform(-5, 5, 2)
    gap, _ = touch(below, above, shift, CELL, table)
    images = np.array([[i, j] for i in range(-3, 4) for j in range(-3, 4)]) @ CELL
    ratios = []
    for p, a in zip(below.positions, below.symbols, strict=True):
        for q, b in zip(above.positions, above.symbols, strict=True):
            lateral = np.linalg.norm(q[:2] + shift + images - p[:2], axis=1)
            ratios.append(np.hypot(lateral, q[2] + gap - p[2]).min() / table[a, b])
    touching = min(ratios) == pytest.approx(1.0, abs=1e-6)
    assert touching or min(ratios) > 1  # no pair need ever touch where the surfaces pass each other laterally


def test_table_is_a_share_of_the_crystals_distances(lps):
    crystal = Crystal(lps)
    table = contact_table(crystal, 0.8)
    assert table["Li", "S"] == table["S", "Li"] == pytest.approx(0.8 * crystal.distances["Li", "S"])
    assert table["P", "S"] > crystal.bond_cutoffs["P", "S"]
    with pytest.raises(ValueError, match="contact must be a positive share"):
        contact_table(Crystal(Atoms("Ar", cell=[5, 5, 5], pbc=True)), 0.0)
