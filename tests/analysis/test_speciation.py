"""Tetrahedra that are whole, broken, linked and bonded."""

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.analysis.neighbours import pairs_within
from aiida_lpsgb.analysis.speciation import speciation
from aiida_lpsgb.analysis.trajectory import Trajectory

TETRAHEDRON = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])


def ps4(centre):
    return [("P", np.array(centre, float)), *(("S", np.array(centre) + v) for v in TETRAHEDRON)]


def run(atoms, cell=20.0, frames=1):
    symbols, positions = zip(*atoms, strict=True)
    images = [Atoms(symbols, positions, cell=[cell] * 3, pbc=True)] * frames
    return Trajectory.from_ase(images, 1.0)


def test_whole_units_across_the_boundary():
    result = speciation(run([*ps4([0, 0, 0]), *ps4([10, 10, 10]), ("Li", [5, 5, 5])]), "P", "S", 2.5)
    assert result.whole_fraction.tolist() == [1.0]
    assert result.isolated_fraction.tolist() == [1.0]
    assert result.units == {"PS4": 2.0}
    assert result.coordination == {4: 1.0}


def test_bridge_makes_p2s7():
    first = ps4([10, 10, 10])
    bridge = first[1][1]
    direction = (bridge - first[0][1]) / np.linalg.norm(bridge - first[0][1])
    centre = bridge + 2.05 * direction
    # The second tetrahedron is the first mirrored through the bridging sulphur.
    second = [("P", centre), *(("S", 2 * bridge - v) for _, v in first[2:])]
    result = speciation(run([*first, *second]), "P", "S", 2.5)
    assert result.units == {"P2S7": 1.0}
    assert result.whole_fraction.tolist() == [1.0]
    assert result.isolated_fraction.tolist() == [0.0]


def test_homonuclear_bonds_only_when_asked():
    atoms = [*ps4([5, 5, 5]), ("S", [15.0, 15, 15]), ("S", [17.0, 15, 15])]
    assert speciation(run(atoms), "P", "S", 2.5).units == {"PS4": 1.0, "S": 2.0}
    assert speciation(run(atoms), "P", "S", 2.5, bonds_A={"S-S": 2.3}).units == {"PS4": 1.0, "S2": 1.0}
    with pytest.raises(ValueError, match="it may name P-P and S-S"):
        speciation(run(atoms), "P", "S", 2.5, bonds_A={"P-O": 2.0})


def test_a_unit_that_breaks_and_exchanges():
    first, second = ps4([5, 5, 5]), ps4([15, 15, 15])
    lost = [*first[:4], ("S", np.array([0.0, 10, 0])), *second]
    symbols, a = zip(*(first + second), strict=True)
    b = [p for _, p in lost]
    swapped = [*a[:4], a[9], *a[5:9], a[4]]
    images = [Atoms(symbols, p, cell=[20] * 3, pbc=True) for p in (a, b, swapped)]
    result = speciation(Trajectory.from_ase(images, 1.0, unwrapped=True), "P", "S", 2.5)
    np.testing.assert_allclose(result.whole_fraction, [1, 0.5, 1])
    # The exchange leaves both whole, but not with the ligands they began with.
    np.testing.assert_allclose(result.intact_fraction, [1, 0.5, 0])


def test_pairs_in_a_small_skew_cell_against_ase():
    from ase.neighborlist import neighbor_list

    rng = np.random.default_rng(0)
    cell = np.array([[4.0, 0, 0], [1.5, 4.5, 0], [-1.0, 0.7, 5.0]])
    for pbc in ([True] * 3, [True, False, True]):
        scaled = rng.uniform(0, 1, (6, 3))
        atoms = Atoms("Li6", scaled_positions=scaled, cell=cell, pbc=pbc)
        i, j, d = neighbor_list("ijd", atoms, 6.5)
        pairs, distances = pairs_within(scaled, cell, pbc, 6.5)
        np.testing.assert_allclose(np.sort(distances), np.sort(d[i < j]), atol=1e-10)
        assert len(pairs) == np.sum(i < j)


@pytest.mark.parametrize("options", [{"cutoff_A": -1}, {"cutoff_A": 2.5, "every": 0}])
def test_bad_input(options):
    with pytest.raises(ValueError, match=r"positive|every"):
        speciation(run(ps4([5, 5, 5])), "P", "S", **options)
