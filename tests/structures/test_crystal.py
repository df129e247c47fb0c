import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_lpsgb.structures.coincidence import reduced_basis
from aiida_lpsgb.structures.crystal import Crystal, primitive_indices


@pytest.fixture(scope="module")
def salt():
    return Crystal(bulk("NaCl", "rocksalt", a=5.64, cubic=True))


def test_primitive_lattice_of_a_centred_cell(salt):
    assert abs(np.linalg.det(salt.lattice)) == pytest.approx(5.64**3 / 4)
    assert np.linalg.det(salt.lattice) > 0
    assert sorted(unit.formula for unit in salt.units) == ["Cl", "Na"]
    assert len(salt.rotations) == 24


@pytest.mark.parametrize(
    ("miller", "spacing", "area"),
    [
        # Cubic closest packing: d = a/√(h²+k²+l²), halved for mixed parity; area = volume / d.
        ((1, 0, 0), 0.5, 0.5),
        ((1, 1, 0), 0.5 / np.sqrt(2), 1 / np.sqrt(2)),
        ((1, 1, 1), 1 / np.sqrt(3), np.sqrt(3) / 4),
        ((2, 1, 0), 0.5 / np.sqrt(5), np.sqrt(5) / 2),
        ((3, 1, 0), 0.5 / np.sqrt(10), np.sqrt(10) / 2),
        ((5, 1, 0), 0.5 / np.sqrt(26), np.sqrt(26) / 2),
    ],
)
def test_planes_of_a_face_centred_lattice(salt, miller, spacing, area):
    plane = salt.plane(miller)
    assert plane.spacing == pytest.approx(5.64 * spacing)
    assert np.linalg.norm(np.cross(*plane.basis)) == pytest.approx(5.64**2 * area)
    assert plane.normal == pytest.approx(np.array(miller) / np.linalg.norm(miller))


indices = st.tuples(*[st.integers(-6, 6)] * 3).filter(lambda v: np.gcd.reduce(v) == 1)
cells = st.tuples(*[st.floats(3, 9)] * 3, *[st.floats(65, 115)] * 3).filter(
    lambda p: Atoms(cell=p).cell.volume > 0.4 * p[0] * p[1] * p[2]
)


@settings(max_examples=60, deadline=None)
@given(cells, indices)
def test_plane_vectors_span_the_lattice(cellpar, miller):
    crystal = Crystal(Atoms("Ar", cell=cellpar, pbc=True))
    plane = crystal.plane(miller)
    assert np.allclose(plane.basis @ plane.normal, 0, atol=1e-8)
    assert plane.stacking @ plane.normal == pytest.approx(plane.spacing)
    determinant = np.linalg.det(np.vstack([plane.basis, plane.stacking]))
    assert determinant == pytest.approx(crystal.atoms.cell.volume)
    integers = np.vstack([plane.basis, plane.stacking]) @ np.linalg.inv(crystal.lattice)
    assert np.allclose(integers, np.round(integers), atol=1e-6)
    assert plane.normal @ crystal.cell.T == pytest.approx(np.array(miller) * plane.spacing)
    a, b = plane.basis
    assert abs(a @ b) <= min(a @ a, b @ b) / 2 + 1e-9


def test_terminations_lie_between_units(lps):
    crystal = Crystal(lps)
    plane = crystal.plane((0, 0, 1))
    cuts = crystal.terminations(plane)
    heights = np.sort(crystal.heights(plane))
    assert len(cuts) == len(np.unique(np.round(heights, 3)))
    for cut in cuts:
        assert np.abs((heights - cut + 3.13) % 6.26 - 3.13).min() > 0.02


def test_flips_are_symmetries(lps):
    crystal = Crystal(lps)
    for miller, kinds in (((0, 0, 1), {"mirror", "inversion"}), ((1, 2, 0), {"inversion"})):
        plane = crystal.plane(miller)
        flips = crystal.flips(plane)
        assert {flip.kind for flip in flips} == kinds
        for flip in flips:
            assert flip.shift @ plane.normal == pytest.approx(2 * flip.height)
            linear = -np.eye(3) if flip.kind == "inversion" else np.eye(3) - 2 * np.outer(plane.normal, plane.normal)
            image = Atoms(lps.numbers, positions=lps.positions @ linear.T + flip.shift, cell=lps.cell, pbc=True)
            both = lps + image
            nearest = both.get_all_distances(mic=True)[:32, 32:].min(axis=1)
            assert nearest.max() < 1e-6


def test_relaxed_crystal_has_the_symmetry_of_its_parent(lps):
    relaxed = lps.copy()
    relaxed.set_cell(lps.cell.array * np.array([[0.98], [1.01], [1.03]]), scale_atoms=True)
    relaxed.rattle(0.05, seed=2)
    assert len(Crystal(relaxed).point_group) == 1
    crystal = Crystal(relaxed, parent=lps)
    assert len(crystal.point_group) == 8
    assert len(crystal.rotations) == 4
    assert [crystal.has(rotation) for rotation in crystal.point_group] == [True] + 7 * [False]
    assert len(crystal.units) == len(Crystal(relaxed).units)
    assert crystal.flips(crystal.plane((0, 0, 1))) == []


def test_parent_lends_no_symmetry_that_the_relaxed_cell_cannot_have():
    cubic = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    tetragonal = cubic.copy()
    tetragonal.set_cell([5.64, 5.64, 5.9], scale_atoms=True)
    tetragonal.rattle(0.02, seed=1)
    crystal = Crystal(tetragonal, parent=cubic)
    assert len(crystal.rotations) == 8
    assert all(np.allclose(rotation @ rotation.T, np.eye(3)) for rotation in crystal.rotations)


def test_parent_must_be_the_same_crystal_in_the_same_setting(lps):
    with pytest.raises(ValueError, match="parent Li12P4S15 is not the crystal before relaxation"):
        Crystal(lps, parent=lps[:-1])
    with pytest.raises(ValueError, match="parent must be in the crystal's own setting"):
        Crystal(lps, parent=Atoms(lps, cell=lps.cell.array * [[1.0], [1.0], [1.5]]))


def test_bad_crystals_and_indices(lps):
    with pytest.raises(ValueError, match=r"common divisor 2: give \[1, 2, 0\]"):
        primitive_indices((2, 4, 0), "plane")
    with pytest.raises(ValueError, match="three integers"):
        primitive_indices((1, 2.5, 0), "axis")
    with pytest.raises(ValueError, match="not be zero"):
        primitive_indices((0, 0, 0), "axis")
    with pytest.raises(ValueError, match=r"charged: its cell has \+4 e"):
        Crystal(lps, charges={"Li": 1, "P": 6, "S": -2})
    with pytest.raises(ValueError, match="periodic"):
        Crystal(Atoms("Ar", cell=[5, 5, 5], pbc=(True, True, False)))
    with pytest.raises(ValueError, match="left-handed"):
        Crystal(Atoms("Ar", cell=[[0, 5, 0], [5, 0, 0], [0, 0, 5]], pbc=True))


@pytest.mark.parametrize("angle", np.linspace(0.0, np.pi, 50))
def test_reduction_ends_where_the_projection_is_half_of_a_vector(angle):
    # On a rhombic lattice rounding decides whether half rounds up or down; adding and taking away must not alternate.
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for height in (np.sqrt(0.75), 0.9, 1.7):
        a, b = reduced_basis(np.array([[1.0, 0.0], [0.5, height]]) @ rotation)
        assert np.linalg.norm(a) == pytest.approx(1.0)
        assert np.linalg.norm(b) == pytest.approx(np.hypot(0.5, height))
