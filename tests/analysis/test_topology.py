"""Loops that are known: polygons, circles, lattices, tori; both filtrations; gudhi and ripser."""

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.analysis.regions import Box, Slab
from aiida_lpsgb.analysis.topology import Loops, alpha_loops, heatmap, persistence, rips_loops
from aiida_lpsgb.analysis.trajectory import Trajectory

FREE = (False, False, False)
SKEW = np.array([[14.0, 0, 0], [3.0, 15.0, 0], [-2.0, 1.0, 16.0]])


def polygon(n, radius=3.0):
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n)], axis=1) + 10


def flat(points):
    """Two apices far off make a planar set solid without coming near its loops."""
    return np.vstack([points, [[10, 10, 60], [10, 10, -60]]]) / 100, np.eye(3) * 100


def longest(loops: Loops) -> int:
    return int(np.argmax(loops.lifetime_A))


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8, 12])
def test_polygon_alpha(n):
    scaled, cell = flat(polygon(n))
    loops = alpha_loops(scaled, cell, FREE, longest_radius_A=20.0)
    # Born when the balls of neighbours touch, at half the side; filled at the circumradius.
    k = longest(loops)
    assert loops.birth_A[k] == pytest.approx(3 * np.sin(np.pi / n), abs=1e-3)
    assert loops.death_A[k] == pytest.approx(3.0, abs=1e-3)
    assert loops.ring_size[k] == n
    assert (loops.filtration, loops.scale) == ("alpha", "radius")


@pytest.mark.parametrize("n", [4, 5, 6, 8])
def test_polygon_rips(n):
    pytest.importorskip("ripser")
    loops = rips_loops(polygon(n) / 100, np.eye(3) * 100, FREE, longest_distance_A=8.0)
    assert len(loops.birth_A) == 1
    assert loops.birth_A[0] == pytest.approx(6 * np.sin(np.pi / n), abs=1e-5)
    # A loop dies when a triangle spans it: at the chord over a third of the ring.
    assert loops.death_A[0] == pytest.approx(6 * np.sin(np.pi * int(np.ceil(n / 3)) / n), abs=1e-5)
    assert (loops.filtration, loops.scale) == ("rips", "diameter")


def test_three_ions_are_a_ring_for_alpha_only():
    pytest.importorskip("ripser")
    triangle = polygon(3)
    assert len(rips_loops(triangle / 100, np.eye(3) * 100, FREE, longest_distance_A=8.0).birth_A) == 0
    scaled, cell = flat(triangle)
    assert len(alpha_loops(scaled, cell, FREE, longest_radius_A=20.0).birth_A) == 1


def test_periodic_cubic_lattice():
    edge, n = 4.0, 6
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = (grid + 0.5 + rng.normal(0, 0.005, grid.shape)) / n
    loops = alpha_loops(points, np.eye(3) * edge * n)
    # Squares close at half the edge, fill at half the diagonal; three times n^3 squares, one in n^3 of each cube's is
    # the others' sum.
    real = loops.lifetime_A > 0.5
    np.testing.assert_allclose(loops.birth_A[real], edge / 2, atol=0.1)
    np.testing.assert_allclose(loops.death_A[real], edge / np.sqrt(2), atol=0.1)
    assert real.sum() == 2 * n**3 - 2
    # And three loops around the torus, born with the lattice's bonds.
    np.testing.assert_allclose(loops.periodic_A, [edge / 2] * 3, atol=0.1)


def test_periodic_cubic_lattice_rips():
    pytest.importorskip("ripser")
    edge, n = 4.0, 5
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    loops = rips_loops((grid + 0.5 + rng.normal(0, 0.005, grid.shape)) / n, np.eye(3) * edge * n)
    # Squares close with their fourth side and fill with a diagonal.
    real = loops.lifetime_A > 0.5
    np.testing.assert_allclose(loops.birth_A[real], edge, atol=0.15)
    np.testing.assert_allclose(loops.death_A[real], edge * np.sqrt(2), atol=0.15)
    # Two of three of a cube's faces, less the two relations of the torus; its own three loops never die.
    assert real.sum() == 2 * n**3 - 2


def test_periodic_loop_is_no_ring_for_rips():
    """A straight row of ions through the boundary closes, but is no ring."""
    pytest.importorskip("ripser")
    row = np.stack([np.arange(8) + 0.5, np.full(8, 12.0), np.full(8, 12.0)], axis=1) * [3, 1, 1] / 24
    assert len(rips_loops(row, np.eye(3) * 24, longest_distance_A=7.9).birth_A) == 0
    # Curled up into an octagon of the same sides it is one.
    octagon = polygon(8, 1.5 / np.sin(np.pi / 8)) / 24
    assert len(rips_loops(octagon, np.eye(3) * 24, longest_distance_A=7.9).birth_A) == 1


def test_periodic_loop_of_a_chain():
    # A chain through the boundary among distant points: percolates along x at half its spacing.
    rng = np.random.default_rng(0)
    cell = np.diag([15.0, 16.0, 18.0])
    chain = np.stack([np.arange(15) + 0.5, np.full(15, 8.0), np.full(15, 9.0)], axis=1) + rng.normal(0, 0.02, (15, 3))
    others = rng.random((60, 3)) @ cell
    others = others[np.hypot(others[:, 1] - 8, others[:, 2] - 9) > 4]
    loops = alpha_loops(np.vstack([chain, others]) @ np.linalg.inv(cell), cell)
    assert loops.periodic_A[0] == pytest.approx(0.5, abs=0.05)
    assert loops.periodic_A[1] > 1


def test_invariance_on_the_torus():
    rng = np.random.default_rng(1)
    scaled = rng.random((150, 3))
    plain = alpha_loops(scaled, SKEW)
    order = rng.permutation(150)
    moved = scaled[order] + rng.random(3) + rng.integers(-2, 3, (150, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    other = alpha_loops(moved, SKEW @ turn)
    for name in ("birth_A", "death_A"):
        long = [np.sort(getattr(x, name)[x.lifetime_A > 1e-3]) for x in (plain, other)]
        np.testing.assert_allclose(*long, atol=1e-4)
    np.testing.assert_allclose(plain.periodic_A, other.periodic_A, atol=1e-4)


def test_supercell_repeats_every_loop():
    rng = np.random.default_rng(2)
    scaled = rng.random((60, 3))
    once = alpha_loops(scaled, SKEW)
    double = np.concatenate([scaled * [0.5, 1, 1], scaled * [0.5, 1, 1] + [0.5, 0, 0]])
    twice = alpha_loops(double, SKEW * [[2], [1], [1]])
    # Loops around the short torus count otherwise in the long one: up to three differ.
    for level in (0.2, 0.5, 1.0):
        assert abs(np.sum(twice.lifetime_A > level) - 2 * np.sum(once.lifetime_A > level)) <= 3


@pytest.mark.parametrize("seed", range(3))
def test_free_points_against_gudhi(seed):
    gudhi = pytest.importorskip("gudhi")
    points = np.random.default_rng(seed).random((250, 3)) * 12
    tree = gudhi.AlphaComplex(points=points).create_simplex_tree()
    tree.compute_persistence()
    expected = np.sqrt(tree.persistence_intervals_in_dimension(1))
    ours = alpha_loops(points / 30, np.eye(3) * 30, FREE, longest_radius_A=1e3)
    keep = expected[:, 1] - expected[:, 0] > 1e-3
    own = np.stack([ours.birth_A, ours.death_A], axis=1)[ours.lifetime_A > 1e-3]
    np.testing.assert_allclose(np.sort(own, axis=0), np.sort(expected[keep], axis=0), atol=1e-4)


def test_periodic_points_against_padded_gudhi():
    gudhi = pytest.importorskip("gudhi")
    scaled = np.random.default_rng(5).random((200, 3))
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    padded = (scaled[None] + shifts[:, None]).reshape(-1, 3) @ SKEW
    tree = gudhi.AlphaComplex(points=padded).create_simplex_tree()
    tree.compute_persistence()
    pairs = np.sqrt(
        [[tree.filtration(a), tree.filtration(b)] for a, b in tree.persistence_pairs() if len(a) == 2 and len(b) == 3]
    )
    ours = alpha_loops(scaled, SKEW)
    # Far from the rim every loop of the block is one of 27 equal ones; compare the distributions of the long-lived.
    block = pairs[pairs[:, 1] - pairs[:, 0] > 0.5]
    assert np.sum(ours.lifetime_A > 0.5) == pytest.approx(len(block) / 27, rel=0.12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("cell", [SKEW * 1.8, np.diag([26.0, 25.0, 27.0])])
def test_rips_against_a_dense_matrix(cell, seed):
    """No loop is lost where the filtration is cut early."""
    ripser = pytest.importorskip("ripser")
    scaled = np.random.default_rng(seed).random((300, 3))
    ours = rips_loops(scaled, cell, longest_distance_A=8.0)
    atoms = Atoms("H300", scaled_positions=scaled, cell=cell, pbc=True)
    bars = ripser.ripser(atoms.get_all_distances(mic=True), distance_matrix=True, maxdim=1, thresh=8.0)["dgms"][1]
    bars = bars[np.isfinite(bars[:, 1])]
    np.testing.assert_allclose(np.sort(ours.birth_A), np.sort(bars[:, 0]), atol=1e-5)
    np.testing.assert_allclose(np.sort(ours.death_A), np.sort(bars[:, 1]), atol=1e-5)


def test_rips_refuses_a_small_cell():
    with pytest.raises(ValueError, match="two distances"):
        rips_loops(np.random.default_rng(3).random((20, 3)), SKEW, longest_distance_A=12.0)


@pytest.fixture(scope="module")
def liquid():
    rng = np.random.default_rng(4)
    images = [Atoms("Li120S30", scaled_positions=rng.random((150, 3)), cell=[20, 20, 30], pbc=True) for _ in range(6)]
    return Trajectory.from_ase(images, 1.0, unwrapped=True)


@pytest.mark.parametrize("filtration", ["alpha", "rips"])
def test_pooled_diagram(liquid, filtration):
    if filtration == "rips":
        pytest.importorskip("ripser")
    diagram = persistence(liquid, "Li", filtration=filtration, workers=2)
    one = persistence(liquid, "Li", filtration=filtration, workers=1)
    np.testing.assert_array_equal(diagram.birth_A, one.birth_A)
    assert (diagram.filtration, diagram.scale) == (filtration, {"alpha": "radius", "rips": "diameter"}[filtration])
    assert diagram.n_frames == 6
    assert diagram.n_points == 120
    share = diagram.persistent_fraction(0.5)
    assert share.value == pytest.approx(np.mean(diagram.lifetime_A > 0.5))
    assert 0 < share.error < 0.1
    other = "diameter" if diagram.scale == "radius" else "radius"
    factor = 2.0 if other == "diameter" else 0.5
    assert diagram.in_scale(other).persistent_fraction(0.5 * factor).value == share.value
    values, edges = heatmap(diagram.birth_A, diagram.death_A, diagram.n_frames, 0.1, 0.2)
    assert values.sum() * 0.01 * 6 == pytest.approx(len(diagram.birth_A), rel=0.02)
    birth, death = np.unravel_index(np.argmax(values), values.shape)
    near = np.hypot(diagram.birth_A - edges[birth], diagram.death_A - edges[death]) < 0.5
    assert near.sum() > 0.02 * len(near)
    if filtration == "alpha":
        assert np.isfinite(diagram.periodic_A).all()
        assert sum(number for number, _ in diagram.ring_statistics().values()) * 6 == pytest.approx(
            len(diagram.birth_A)
        )


def test_bootstrap_error_is_honest():
    """Standard errors match the scatter between independent runs."""
    from aiida_lpsgb.analysis.topology import PersistenceDiagram

    rng = np.random.default_rng(6)
    values, errors = [], []
    for _ in range(200):
        frame = np.repeat(np.arange(40), 50)
        lifetime = rng.exponential(0.5, 2000) + np.repeat(rng.normal(0, 0.1, 40), 50)
        zero = np.zeros(2000)
        diagram = PersistenceDiagram(zero, lifetime, zero, frame, np.empty((40, 3)), 40, 50, "alpha", "radius", "Li")
        share = diagram.persistent_fraction(1.0)
        values.append(share.value)
        errors.append(share.error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_slab_against_the_torus():
    """A slab with a wide gap above it has the loops of the same points on the torus, as far as the filtration goes."""
    rng = np.random.default_rng(8)
    scaled = rng.random((150, 3)) * [1, 1, 0.2]
    cell = np.diag([20.0, 20.0, 60.0])
    torus = alpha_loops(scaled, cell)
    slab = alpha_loops(scaled, cell, (True, True, False), longest_radius_A=8.0)
    for name in ("birth_A", "death_A"):
        values = [getattr(x, name)[(x.lifetime_A > 1e-3) & (x.death_A < 7.5)] for x in (torus, slab)]
        np.testing.assert_allclose(*map(np.sort, values), atol=1e-4)
    np.testing.assert_array_equal(*[x.ring_size[(x.lifetime_A > 0.01) & (x.death_A < 7.5)] for x in (torus, slab)])


@pytest.mark.parametrize("filtration", ["alpha", "rips"])
def test_regions_share_the_loops_of_the_whole(liquid, filtration):
    """Cut in three, a cell has each of its loops once, and none around the void that a cut would leave."""
    if filtration == "rips":
        pytest.importorskip("ripser")
    whole = persistence(liquid, "Li", filtration=filtration)
    thirds = [
        persistence(liquid, "Li", filtration=filtration, region=Box((0, 0, low), (1, 1, low + 1 / 3)))
        for low in (0, 1 / 3, 2 / 3)
    ]
    for name in ("birth_A", "death_A", "ring_size"):
        together = np.concatenate([getattr(part, name) for part in thirds])
        np.testing.assert_array_equal(np.sort(together), np.sort(getattr(whole, name)))
    assert sum(part.n_points for part in thirds) == pytest.approx(120)
    # Any part of a uniform liquid has the f_PD of the whole.
    for part in thirds:
        assert part.persistent_fraction(0.5).value == pytest.approx(whole.persistent_fraction(0.5).value, abs=0.08)


@pytest.mark.parametrize("filtration", ["alpha", "rips"])
def test_a_ring_belongs_where_it_closes(filtration):
    """A square among distant ions is a loop of the slab that holds it only."""
    if filtration == "rips":
        pytest.importorskip("ripser")
    square = np.array([[28, 28, 15.0], [31, 28, 15], [31, 31.1, 15.1], [28, 31, 15]])
    others = np.array([[10, 10, 45], [50, 12, 46], [12, 50, 47], [48, 51, 44]])
    atoms = Atoms("Li8", positions=np.vstack([square, others]), cell=[60, 60, 60], pbc=True)
    run = Trajectory.from_ase([atoms], 1.0, unwrapped=True)
    here, there = (
        persistence(run, "Li", filtration=filtration, region=Slab(2, (z,), 10.0), longest_A=8.0) for z in (0.25, 0.75)
    )
    longest_lived = here.death_A - here.birth_A
    assert longest_lived.max() > 0.5
    assert (there.birth_A > 8).all()
    assert here.n_points == there.n_points == 4


def test_bad_input(liquid):
    with pytest.raises(ValueError, match="filtration must be one of rips, alpha"):
        persistence(liquid, "Li", filtration="cech")
    with pytest.raises(ValueError, match="four points"):
        alpha_loops(np.zeros((3, 3)), np.eye(3))
    with pytest.raises(ValueError, match="radius or diameter"):
        persistence(liquid, "Li", every=6).in_scale("width")
