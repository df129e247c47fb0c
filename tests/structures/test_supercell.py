import numpy as np
import pytest
from ase.build import bulk, molecule

from aiida_lpsgb.structures import supercell


def test_repeats_and_groups_elements(lps):
    repeated = supercell.supercell(lps, (1, 2, 3))
    assert len(repeated) == 6 * len(lps)
    assert repeated.cell.lengths() == pytest.approx(lps.cell.lengths() * (1, 2, 3))
    assert repeated.get_chemical_symbols() == ["Li"] * 72 + ["P"] * 24 + ["S"] * 96


def test_matrix_gives_the_conventional_cell():
    cubic = supercell.supercell(bulk("Cu", a=3.6), [[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    assert cubic.cell.lengths() == pytest.approx([3.6] * 3)
    assert cubic.cell.angles() == pytest.approx([90] * 3)
    assert len(cubic) == 4


def test_heights_of_a_skew_cell():
    cell = np.array([[4.0, 0, 0], [2, 3, 0], [1, 1, 5]])
    volume = 60
    expected = [volume / np.linalg.norm(np.cross(cell[(i + 1) % 3], cell[(i + 2) % 3])) for i in range(3)]
    assert supercell.heights(cell) == pytest.approx(expected)


def test_at_least(lps):
    assert len(supercell.at_least(lps)) == 32
    many = supercell.at_least(lps, n_atoms=750)
    assert 750 <= len(many) < 2 * 750
    lengths = many.cell.lengths()
    assert lengths.max() / lengths.min() < 1.7
    assert supercell.heights(supercell.at_least(lps, height=10).cell.array).min() >= 10


@pytest.mark.parametrize("matrix", [(1, 1), (1, 1, 0), (1, 1, 1.5), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]])
def test_bad_matrix(lps, matrix):
    with pytest.raises(ValueError, match="supercell"):
        supercell.supercell(lps, matrix)


def test_what_has_no_cell_is_not_repeated():
    """Copies of a molecule would lie on each other."""
    for repeat in (lambda atoms: supercell.supercell(atoms, [2, 1, 1]), lambda atoms: supercell.at_least(atoms, 10)):
        with pytest.raises(ValueError, match=r"H2O has no cell of three vectors \(a molecule, perhaps\)"):
            repeat(molecule("H2O"))
