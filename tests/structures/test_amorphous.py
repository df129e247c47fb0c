import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.structures import amorphous
from aiida_lpsgb.structures.supercell import supercell


@pytest.fixture(scope="module")
def random_framework():
    """Points at random but for a closest distance, in a cubic box."""
    rng = np.random.default_rng(5)
    box, points = 30.0, []
    while len(points) < 250:
        point = rng.uniform(0, box, 3)
        apart = np.array([p - point for p in points]).reshape(-1, 3)
        apart -= box * np.round(apart / box)
        if not len(points) or np.linalg.norm(apart, axis=1).min() > 3.2:
            points.append(point)
    return Atoms("P250", positions=points, cell=[box] * 3, pbc=True)


def test_lattice_has_full_bragg_order():
    lattice = Atoms("P", cell=[4, 4, 4], pbc=True).repeat(5)
    assert amorphous.bragg_order(lattice) == pytest.approx(1)
    assert amorphous.pair_modulation(lattice) > 0.5


def test_random_points_have_none(random_framework):
    assert amorphous.bragg_order(random_framework) < 0.1
    assert amorphous.pair_modulation(random_framework) < 0.1


def test_order_falls_with_displacements_as_debye_and_waller_say():
    lattice = Atoms("P", cell=[4, 4, 4], pbc=True).repeat(6)
    lattice.rattle(0.3, seed=1)
    expected = np.exp(-((2 * np.pi / 4) ** 2) * 0.3**2)
    assert amorphous.bragg_order(lattice) == pytest.approx(expected, rel=0.1)


def test_crystal_is_told_from_a_melt(lps):
    crystal = supercell(lps, (2, 3, 4))
    report = amorphous.characterise(crystal, "P", "PS4")
    assert not report.amorphous
    assert report.whole_share == 1
    assert report.density_g_cm3 == pytest.approx(1.80, abs=0.01)
    assert report.units == {"Li": 288, "PS4": 96}
    assert set(report.as_dict()) >= {"bragg_order", "density_g_cm3", "amorphous"}


def test_thermal_crystal_is_no_glass(lps):
    hot = supercell(lps, (2, 3, 4))
    hot.rattle(0.35, seed=2)
    assert not amorphous.characterise(hot, "P", "PS4").amorphous


def test_glass_is_one(random_framework):
    report = amorphous.characterise(random_framework, "P", "P")
    assert report.amorphous
    assert report.whole_share == 1


def test_framework_element_must_be_there(lps):
    with pytest.raises(ValueError, match="has 0 Si atoms"):
        amorphous.characterise(lps, "Si", "SiO4")
