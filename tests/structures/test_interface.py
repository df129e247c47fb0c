import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.structures.coincidence import NoCoincidence
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.interface import interface
from aiida_lpsgb.structures.supercell import supercell
from aiida_lpsgb.structures.units import survey


@pytest.fixture(scope="module")
def crystal(lps):
    return Crystal(lps)


@pytest.fixture(scope="module")
def glass(lps):
    """A disturbed supercell with its own cell lengths, cut through units by the cell, stands for a glass."""
    atoms = supercell(lps, (2, 3, 4))
    atoms.set_cell(atoms.cell.array * np.array([[1.01], [0.99], [1.02]]), scale_atoms=True)
    atoms.positions += [1.0, 2.0, 3.0]
    atoms.rattle(0.02, seed=4)
    atoms.wrap()
    return atoms


@pytest.mark.parametrize("plane", [(0, 0, 1), (1, 0, 0), (1, 2, 0)])
def test_interface_keeps_units_and_stoichiometry(crystal, glass, plane):
    atoms = interface(crystal, glass, plane, max_strain=0.05, max_area=3000, shift_step=6.0, n_cuts=2)
    n = len(atoms) // 8
    report = survey(atoms)
    assert report.formulas == {"Li": 3 * n, "PS4": n}
    assert report.shortest_pair > 1.6
    info = atoms.info["interface"]
    assert info["max_strain"] <= 0.05
    assert info["crystal_width_A"] >= 25
    glass_atoms = atoms[atoms.arrays["grain"] == 2]
    assert len(glass_atoms) % len(glass) == 0
    volume = glass.cell.volume * len(glass_atoms) / len(glass)
    assert info["glass_width_A"] * info["area_A2"] == pytest.approx(volume, rel=1e-4)
    crystal_atoms = len(atoms) - len(glass_atoms)
    assert info["crystal_width_A"] * info["area_A2"] == pytest.approx(
        crystal_atoms / 32 * 13.07 * 8.13 * 6.26, rel=1e-4
    )


def test_glass_quenched_in_a_commensurate_cell_fits_a_high_index_plane(crystal, lps):
    """Its cell begins with vectors of the plane; LAMMPS turns the first to x and the second into the xy plane."""
    cell = supercell(lps, [[0, 0, 4], [4, -2, 0], [1, 2, 0]])
    length, angles = cell.cell.cellpar()[:3] * 1.01, cell.cell.cellpar()[3:]
    cell.set_cell([*length, *angles], scale_atoms=True)
    cell.rattle(0.02, seed=4)
    atoms = interface(crystal, cell, (1, 2, 0), max_strain=0.015, shift_step=8.0, n_cuts=2)
    assert atoms.info["interface"]["max_strain"] == pytest.approx(0.01, abs=1e-3)
    assert atoms.info["interface"]["area_A2"] == pytest.approx(
        abs(np.linalg.det(cell.cell[:2, :2])) / 1.01**2, rel=1e-4
    )


def test_regions_are_where_crystal_meets_glass(crystal, glass):
    atoms = interface(crystal, glass, (0, 0, 1), max_strain=0.05, shift_step=6.0, n_cuts=2)
    height = atoms.cell.array[2, 2]
    for region, sides in zip(atoms.info["interface"]["regions"], ((1, 2), (2, 1)), strict=True):
        for side, sign in zip(sides, (-1, 1), strict=True):
            away = (atoms.positions[:, 2] - region["centre_A"] + height / 2) % height - height / 2
            beyond = atoms.arrays["grain"][(away * sign > 4) & (away * sign < 8)]
            assert set(beyond.tolist()) == {side}


def test_refusals(crystal, glass):
    with pytest.raises(NoCoincidence, match=r"the nearest needs \d\.\d% and \d+ Å²; allow more, .* commensurate"):
        interface(crystal, glass, (1, 2, 0), max_strain=0.001, max_area=1500)
    network = Atoms("PS", positions=[[0, 0, 0], [2, 0, 0]], cell=[4, 8, 8], pbc=True).repeat((3, 2, 3))
    with pytest.raises(ValueError, match="network without end"):
        interface(crystal, network, (0, 0, 1), max_strain=0.1)
    other = glass.copy()
    other.symbols[0] = "Na"
    with pytest.raises(ValueError, match="contains Na"):
        interface(crystal, other, (0, 0, 1))
    with pytest.raises(ValueError, match="thinner than two regions"):
        interface(crystal, glass, (0, 0, 1), width=10)
    for options in ({"n_cuts": 0}, {"max_strain": 0.0}, {"max_area": -1.0}):
        with pytest.raises(ValueError, match="must be positive"):
            interface(crystal, glass, (0, 0, 1), **options)
    tilted = Atoms(glass, cell=glass.cell.array[[2, 0, 1]])
    with pytest.raises(ValueError, match="normal to z"):
        interface(crystal, tilted, (0, 0, 1))
    with pytest.raises(ValueError, match="periodic"):
        interface(crystal, Atoms(glass, pbc=(True, True, False)), (0, 0, 1))
