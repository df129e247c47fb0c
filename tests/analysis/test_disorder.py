"""S_j of perfect lattices, of noise, and as pyscal3 and the definition give it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.special import sph_harm_y

from aiida_lpsgb.analysis.disorder import disorder
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.trajectory import Trajectory


def by_definition(atoms, cutoff, degree=6):
    from ase.neighborlist import neighbor_list

    i, j, d, vector = neighbor_list("ijdD", atoms, cutoff)
    theta, phi = np.arccos(vector[:, 2] / d), np.arctan2(vector[:, 1], vector[:, 0])
    q = np.zeros((len(atoms), 2 * degree + 1), complex)
    for m in range(-degree, degree + 1):
        np.add.at(q[:, m + degree], i, sph_harm_y(degree, m, theta, phi))
    q /= np.linalg.norm(q, axis=1)[:, None]
    cosine = np.sum(q[i] * q[j].conj(), axis=1).real
    return 2 - 2 * np.bincount(i, cosine) / np.bincount(i)


def test_perfect_lattice_is_zero():
    trajectory = Trajectory.from_ase([bulk("Cu", "fcc", a=3.6, cubic=True) * (4, 4, 4)], 1.0)
    result = disorder(trajectory, "Cu", cutoff_A=3.0)
    assert np.abs(result.values).max() < 1e-4
    assert result.form == "normalised"


@pytest.mark.parametrize("workers", [1, 2])
def test_against_the_definition(workers):
    rng = np.random.default_rng(0)
    images = [
        Atoms("Li60P20S80", scaled_positions=rng.random((160, 3)), cell=[[14, 0, 0], [2, 13, 0], [1, -2, 15]], pbc=True)
        for _ in range(3)
    ]
    trajectory = Trajectory.from_ase(images, 1.0, unwrapped=True)
    result = disorder(trajectory, "Li", neighbours=["P"], cutoff_A=5.0, workers=workers)
    for row, index in zip(result.values, result.frames, strict=True):
        atoms = trajectory.frame(index, ["Li", "P"])
        np.testing.assert_allclose(row, by_definition(atoms, 5.0)[: len(row)], atol=1e-8)
    # Neighbours that know nothing of each other: 2 in the limit of many.
    assert result.mean == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize("degree", [4, 6, 7])
def test_against_pyscal3(degree):
    pyscal3 = pytest.importorskip("pyscal3")
    rng = np.random.default_rng(1)
    image = Atoms("Li200P60", scaled_positions=rng.random((260, 3)), cell=[17, 16, 18], pbc=True)
    trajectory = Trajectory.from_ase([image], 1.0)
    atoms = trajectory.frame(0)
    pyscal3.find_neighbors(atoms, method="cutoff", cutoff=5.0, store_rows=False)
    expected = np.asarray(pyscal3.disorder(atoms, q=degree))[:200]
    ours = disorder(trajectory, "Li", neighbours=["P"], cutoff_A=5.0, degree=degree)
    np.testing.assert_allclose(ours.values[0], expected, atol=1e-8)


def test_region_and_site_means():
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * (3, 3, 6)
    atoms.rattle(0.1, seed=1)
    trajectory = Trajectory.from_ase([atoms, atoms], 1.0)
    result = disorder(trajectory, "Cu", cutoff_A=3.2, region=Slab(2, (0.5,), 5.0))
    inside = np.isfinite(result.values[0])
    assert 0.1 < inside.mean() < 0.4
    np.testing.assert_allclose(result.site_means[inside], result.values[0][inside])
    assert np.isnan(result.site_means[~inside]).all()
    with pytest.raises(ValueError, match="cutoff_A > 0"):
        disorder(trajectory, "Cu", cutoff_A=0)


def test_published_sites_at_rest():
    """Li on 8d and 4b of β-Li3PS4, with P within 5 Å: bimodal, and 1.14 in the mean."""
    from ase.spacegroup import crystal

    sites = {"Li": [(0.333, 0.030, 0.387), (0.0, 0.0, 0.5)], "P": [(0.088, 0.25, 0.165)]}
    symbols = [symbol for symbol, places in sites.items() for _ in places]
    places = [place for group in sites.values() for place in group]
    atoms = crystal(symbols, places, spacegroup=62, cellpar=[13.07, 8.13, 6.26, 90, 90, 90]) * (2, 2, 2)
    run = Trajectory.from_ase([atoms], 1.0)
    found = disorder(run, "Li", neighbours=["P"], cutoff_A=5.0).values[0]
    kinds = atoms.arrays["spacegroup_kinds"][atoms.numbers == 3]
    assert found.mean() == pytest.approx(1.142, abs=1e-3)
    assert found[kinds == 0].mean() == pytest.approx(1.019, abs=1e-3)
    assert found[kinds == 1].mean() == pytest.approx(1.388, abs=1e-3)
