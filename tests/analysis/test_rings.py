"""Rings of loops whose ions are known."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import read

from aiida_lpsgb.analysis.rings import LONGEST_RING, from_arrays, longest_lived, rings_of, to_arrays, write_rings
from aiida_lpsgb.analysis.topology import alpha_loops, rips_loops

CELL = 40.0 * np.eye(3)


def polygon(n, radius=4.0, centre=(0.0, 0.0, 20.0)):
    """A ring of ions around a corner of the cell, cut by the boundary, with its ions out of order."""
    angle = 2 * np.pi * np.arange(n) / n
    places = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1) + centre
    order = np.random.default_rng(n).permutation(n)
    return (places[order] / 40.0) % 1.0, order


@pytest.mark.parametrize("n", [4, 5, 6, 9, 12])
@pytest.mark.parametrize("find", [alpha_loops, rips_loops])
def test_a_polygon_is_its_own_ring(n, find):
    scaled, order = polygon(n)
    loops = find(scaled, CELL)
    (ring,) = rings_of(scaled, CELL, loops, longest_lived(loops, 1))
    assert sorted(ring.ions) == list(range(n))
    steps = np.diff(np.append(order[ring.ions], order[ring.ions[0]])) % n
    assert set(steps) in ({1}, {n - 1})  # around it, without a jump
    side = 2 * 4.0 * np.sin(np.pi / n)
    assert ring.edges_A == pytest.approx(side, abs=1e-3)
    assert ring.positions_A.std(axis=0).max() < 5  # whole, though the boundary cuts it
    assert ring.birth_A == pytest.approx(side / (2 if find is alpha_loops else 1), abs=1e-3)


def test_a_triangle_is_a_ring_of_the_alpha_filtration():
    scaled = np.vstack([polygon(3, 2.0)[0], [[0.5, 0.5, 0.9]]])
    loops = alpha_loops(scaled, CELL)
    (ring,) = rings_of(scaled, CELL, loops, [np.argmin(loops.birth_A)])
    assert sorted(ring.ions) == [0, 1, 2]


def test_rings_are_as_short_as_the_filtration_says():
    """The network has further edges than the alpha complex, which may only shorten a ring."""
    rng = np.random.default_rng(3)
    cell = np.array([[14.0, 0, 0], [2.0, 13.0, 0], [0, 1.0, 15.0]])
    scaled = rng.random((90, 3))
    loops = alpha_loops(scaled, cell)
    which = longest_lived(loops, 40)
    rings = rings_of(scaled, cell, loops, which)
    assert len(rings) >= (loops.ring_size[which] > 0).sum() > 30
    for ring in rings:
        k = ring.loop
        assert 3 <= len(ring.ions) <= (loops.ring_size[k] or LONGEST_RING)
        assert ring.edges_A.max() == pytest.approx(2 * loops.birth_A[k], abs=1e-3)
        closing = {tuple(sorted(pair)) for pair in zip(ring.ions, np.roll(ring.ions, -1), strict=True)}
        assert tuple(sorted(loops.edge[k])) in closing
    same = [len(ring.ions) == loops.ring_size[ring.loop] for ring in rings]
    assert np.mean(same) > 0.5


def test_rips_rings_have_four_ions_or_more():
    scaled = np.random.default_rng(5).random((120, 3))
    cell = 18.0 * np.eye(3)
    loops = rips_loops(scaled, cell, longest_distance_A=5.9)
    rings = rings_of(scaled, cell, loops, longest_lived(loops, 20))
    assert len(rings) > 10
    assert min(len(ring.ions) for ring in rings) >= 4


def test_nothing_asked_for():
    scaled, _ = polygon(5)
    assert rings_of(scaled, CELL, alpha_loops(scaled, CELL), []) == []


def framed():
    """Return two polygons among other atoms: the rings and the frame."""
    scaled = np.vstack([polygon(5)[0], polygon(4, centre=(20.0, 20.0, 5.0))[0]])
    loops = alpha_loops(scaled, CELL)
    indices = np.arange(2, 11)
    rings = rings_of(scaled, CELL, loops, np.argsort(loops.birth_A)[:2])
    frame = Atoms("PS" + "Li" * 9, scaled_positions=[[0.5, 0.5, 0.5], [0.55, 0.5, 0.5], *scaled], cell=CELL, pbc=True)
    return from_arrays(to_arrays(rings, frame, indices))


def test_rings_are_stored_and_read():
    rings, frame = framed()
    assert sorted(len(ring.ions) for ring in rings) == [4, 5]
    for ring in rings:
        assert set(frame.numbers[ring.ions]) == {3}
        off = frame.positions[ring.ions] - ring.positions_A
        assert off / 40 == pytest.approx(np.rint(off / 40), abs=1e-9)


def test_files_for_vesta_and_ovito(tmp_path):
    rings, frame = framed()
    write_rings(tmp_path / "rings.extxyz", rings, frame)
    found = read(tmp_path / "rings.extxyz")
    for number, ring in enumerate(rings, start=1):
        assert sorted(np.flatnonzero(found.arrays["ring"] == number)) == sorted(ring.ions)
    write_rings(tmp_path / "rings.cif", rings, frame)
    text = (tmp_path / "rings.cif").read_text()
    assert text.count("_r1 ") == len(rings[0].ions)
    assert text.count("_r2 ") == len(rings[1].ions)
    again = read(tmp_path / "rings.cif")
    assert again.get_chemical_formula() == frame.get_chemical_formula()
    assert again.get_scaled_positions() == pytest.approx(frame.get_scaled_positions(), abs=1e-5)
    with pytest.raises(ValueError, match=r"expected \.cif, \.xyz or \.extxyz"):
        write_rings(tmp_path / "rings.pdb", rings, frame)
