"""Maps that integrate to the number of ions, files that ASE reads back, profiles and enrichment."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from ase.io.cube import read_cube_data
from ase.io.xsf import read_xsf

from aiida_lpsgb.analysis.density import density_map, enrichment, grid_axes, profile
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.trajectory import Trajectory

CELL = np.array([[8.0, 0, 0], [1.0, 9.0, 0], [0.5, -1.0, 20.0]])


@pytest.fixture(scope="module")
def trajectory():
    """Twice as many ions in the middle half of c; one site that is always taken; a breathing cell."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(200):
        middle = rng.random((40, 3)) * [1, 1, 0.5] + [0, 0, 0.25]
        outer = (rng.random((20, 3)) * [1, 1, 0.5] + [0, 0, 0.75]) % 1
        fixed = [[0.5, 0.5, 0.1]]
        scaled = np.concatenate([middle, outer, fixed])
        images.append(Atoms("Li60P", scaled_positions=scaled, cell=CELL * (1 + 0.02 * rng.normal()), pbc=True))
    return Trajectory.from_ase(images, 1.0, unwrapped=True)


def test_map_counts_everyone(trajectory):
    density = density_map(trajectory, "Li", voxel_A=0.5)
    volume = abs(np.linalg.det(trajectory.mean_cell))
    assert density.density_A3.mean() * volume == pytest.approx(60)
    area = volume / 20.0
    assert density.projection(2).mean() * area == pytest.approx(60, rel=0.02)
    assert density.smoothed(0.6).density_A3.mean() == pytest.approx(density.density_A3.mean())
    site = density_map(trajectory, "P", voxel_A=0.5).density_A3
    assert np.count_nonzero(site) <= 8
    a, b, left = grid_axes(density, 2)
    assert (len(a) - 1, len(b) - 1) == tuple(density.density_A3.shape[k] for k in left)


def test_files_read_back(trajectory, tmp_path):
    density = density_map(trajectory, "Li", voxel_A=1.0)
    density.write_cube(tmp_path / "d.cube")
    data, atoms = read_cube_data(str(tmp_path / "d.cube"))
    np.testing.assert_allclose(data, density.density_A3, rtol=1e-4)
    np.testing.assert_allclose(atoms.cell, density.cell, atol=1e-4)
    np.testing.assert_allclose(atoms.positions, density.atoms.positions, atol=1e-4)
    density.write_xsf(tmp_path / "d.xsf")
    with open(tmp_path / "d.xsf") as handle:
        data, *_ = read_xsf(handle, read_data=True)
    # The general grid repeats the first planes at its end.
    np.testing.assert_allclose(data[:-1, :-1, :-1], density.density_A3, rtol=1e-5)
    np.testing.assert_allclose(read(tmp_path / "d.xsf").cell, density.cell, atol=1e-6)


def test_profile_and_enrichment(trajectory):
    result = profile(trajectory, "Li", 2, bin_A=1.0, width_A=0.5)
    height = result.position_A[-1] + 0.5
    middle = np.abs(result.position_A - height / 2) < height / 4 - 1
    outer = np.abs(result.position_A - height / 2) > height / 4 + 1
    assert result.density_A3[middle].mean() / result.density_A3[outer].mean() == pytest.approx(2, rel=0.05)
    assert result.smooth_A3.mean() == pytest.approx(result.density_A3.mean())
    expected = 60 / trajectory.mean_volume_A3
    assert result.density_A3.mean() == pytest.approx(expected, rel=1e-6)
    slab = Slab(2, (0.5,), height / 4)
    gain = enrichment(trajectory, "Li", slab)
    low, high = gain.interval()
    truth = (40 / 60 / 2) / 0.25 / ((1 - 40 / 60 / 2) / 0.75) - 1
    assert low < truth < high
    assert gain.error < 0.05


def test_bad_input(trajectory):
    with pytest.raises(ValueError, match="voxel_A"):
        density_map(trajectory, "Li", voxel_A=0)
    with pytest.raises(ValueError, match="axis must be"):
        profile(trajectory, "Li", 3)
    with pytest.raises(ValueError, match="a part of the cell"):
        enrichment(trajectory, "Li", Slab(2, (0.5,), 100.0))
