"""Ideal gases, perfect crystals, small and skew cells, regions, peers."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from aiida_lpsgb.analysis.rdf import radial_distributions
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.trajectory import Trajectory


def gas(n_frames=20, n=(300, 200), cell=None, seed=0):
    rng = np.random.default_rng(seed)
    cell = np.eye(3) * 22.0 if cell is None else cell
    images = [
        Atoms(["Li"] * n[0] + ["S"] * n[1], scaled_positions=rng.random((sum(n), 3)), cell=cell, pbc=True)
        for _ in range(n_frames)
    ]
    return Trajectory.from_ase(images, 1.0, unwrapped=True), images


def test_ideal_gas_is_one():
    trajectory, _ = gas()
    for pair, result in radial_distributions(trajectory, cutoff_A=10, bin_A=0.5).items():
        far = result.r_A > 2
        assert result.g[far].mean() == pytest.approx(1, abs=0.01), pair
        # The errors are those of the scatter about one.
        z = (result.g[far] - 1) / result.g_error[far]
        assert 0.4 < z.std() < 2.2, pair
    like = radial_distributions(trajectory, [("S", "Li")], cutoff_A=10, bin_A=0.5)["S", "Li"]
    assert like.coordination[-1] == pytest.approx(300 * 4 / 3 * np.pi * 1000 / 22**3, rel=0.02)


@pytest.mark.parametrize("cutoff", [3.0, 9.0, 14.0])
def test_counts_against_ase_in_a_small_skew_cell(cutoff):
    cell = np.array([[9.03, 0, 0], [3.0, 8.0, 0], [-2.0, 1.0, 7.0]])
    trajectory, _ = gas(2, (12, 7), cell)
    results = radial_distributions(trajectory, [("Li", "Li"), ("Li", "S"), ("S", "Li")], cutoff_A=cutoff, bin_A=0.25)
    for (a, b), result in results.items():
        expected = np.zeros(len(result.r_A))
        for atoms in trajectory:
            i, j, d = neighbor_list("ijd", atoms, cutoff + 0.1)
            symbols = np.array(atoms.get_chemical_symbols())
            keep = (symbols[i] == a) & (symbols[j] == b)
            expected += np.histogram(d[keep], result.edges_A)[0]
        n_a = len(trajectory.indices(a))
        np.testing.assert_allclose(np.diff(np.r_[0, result.coordination]) * n_a * 2, expected, atol=1e-6)


def test_perfect_crystal_shells():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (4, 4, 4)
    trajectory = Trajectory.from_ase([atoms], 1.0)
    result = radial_distributions(trajectory, cutoff_A=6, bin_A=0.02)["Cu", "Cu"]
    for distance, total in ((3.0, 12), (3.8, 18), (4.6, 42), (5.2, 54)):
        assert result.coordination_at(distance) == pytest.approx(total)
    assert result.first_peak_A() == pytest.approx(3.6 / np.sqrt(2), abs=0.02)


def test_npt_normalisation():
    rng = np.random.default_rng(1)
    images = []
    for _ in range(60):
        edge = 20 * (1 + 0.1 * rng.uniform(-1, 1))
        images.append(Atoms("Li400", scaled_positions=rng.random((400, 3)), cell=[edge] * 3, pbc=True))
    result = radial_distributions(Trajectory.from_ase(images, 1.0, unwrapped=True), cutoff_A=9, bin_A=1)["Li", "Li"]
    assert result.g[3:].mean() == pytest.approx(1, abs=0.005)


def test_region_takes_its_own_centres():
    atoms = Atoms("Li4", positions=[[2, 2, 2], [2, 2, 4], [2, 2, 12], [2, 2, 15]], cell=[20] * 3, pbc=True)
    trajectory = Trajectory.from_ase([atoms], 1.0)
    low = radial_distributions(trajectory, cutoff_A=5, bin_A=0.1, region=Slab(2, (0.15,), 4.0))["Li", "Li"]
    high = radial_distributions(trajectory, cutoff_A=5, bin_A=0.1, region=Slab(2, (0.675,), 4.0))["Li", "Li"]
    assert low.first_peak_A() == pytest.approx(2.0, abs=0.1)
    assert high.first_peak_A() == pytest.approx(3.0, abs=0.1)
    assert low.coordination[-1] == high.coordination[-1] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_against_freud(workers):
    freud = pytest.importorskip("freud")
    trajectory, _ = gas(4)
    ours = radial_distributions(trajectory, cutoff_A=10, bin_A=0.1, workers=workers)["Li", "S"]
    rdf = freud.density.RDF(100, 10.0)
    for atoms in trajectory:
        box = freud.box.Box.cube(22.0)
        rdf.compute((box, atoms.positions[300:]), query_points=atoms.positions[:300], reset=False)
    np.testing.assert_allclose(ours.g[20:], rdf.rdf[20:], rtol=0.01)
    assert ours.g.mean() == pytest.approx(rdf.rdf.mean(), rel=2e-3)


def test_bad_input():
    trajectory, _ = gas(1)
    with pytest.raises(ValueError, match="no Na"):
        radial_distributions(trajectory, [("Li", "Na")])
    with pytest.raises(ValueError, match="bin_A"):
        radial_distributions(trajectory, bin_A=0)
