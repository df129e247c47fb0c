"""Active sets and the selection of configurations."""

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.mtp import selection
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import read_cfg
from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.mtp.selection import ActiveSet, ALSFormatError, select_add


@pytest.fixture(scope="module")
def mtp(make_potential):
    return make_potential(4, radial_basis_size=3)  # 27 + 3 + 2 coefficients


@pytest.fixture(scope="module")
def images(make_atoms):
    return [make_atoms(5 + seed % 4, seed) for seed in range(60)]


def test_rows(mtp, images, species):
    energies = Engine(mtp, species).rows(images[0])
    np.testing.assert_allclose(ActiveSet(mtp, species).rows(images[0])[0], energies.mean(axis=0))
    np.testing.assert_allclose(ActiveSet(mtp, species, weighting="molecules").rows(images[0])[0], energies.sum(axis=0))
    np.testing.assert_array_equal(ActiveSet(mtp, species, "neighborhood").rows(images[0]), energies)


@pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
def test_rows_are_streamed(mtp, images, species, mode, monkeypatch):
    """The same is selected however many rows are held at a time."""
    monkeypatch.setattr(selection, "_SUBSET", 40)
    found = []
    for block in (4096, 7):
        monkeypatch.setattr(selection, "_BLOCK", block)
        active = ActiveSet(mtp, species, mode)
        count = active.extend(images[:40])
        found.append((count, [id(atoms) for atoms in active.images], active.grade(images)))
    assert found[0][:2] == found[1][:2]
    np.testing.assert_allclose(found[0][2], found[1][2], rtol=1e-9)


@pytest.mark.parametrize("subset", [2500, 12])
@pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
def test_volume_is_maximal(mtp, images, species, mode, subset, monkeypatch):
    """No exchange of one row enlarges the determinant, by determinants themselves."""
    monkeypatch.setattr(selection, "_SUBSET", subset)
    active = ActiveSet(mtp, species, mode)
    active.extend(images[:40])
    np.testing.assert_allclose(active.matrix @ active.inverse, np.eye(len(active.matrix)), atol=1e-7)
    volume = np.linalg.slogdet(active.matrix)[1]
    for atoms in images[:40:7]:
        for row in active.rows(atoms)[:2]:
            for place in range(0, len(active.matrix), 5):
                other = active.matrix.copy()
                other[place] = row
                assert np.linalg.slogdet(other)[1] < volume + 1e-5
    assert active.grade(images[:40]).max() < 1 + 1e-5


def test_grades_solve_the_linear_system(mtp, images, species):
    active = ActiveSet(mtp, species)
    active.extend(images[:40])
    rows = np.concatenate([active.rows(atoms) for atoms in images[40:]])
    expected = np.abs(np.linalg.solve(active.matrix.T, rows.T)).max(axis=0)
    np.testing.assert_allclose(active.grade(images[40:]), expected, rtol=1e-8)
    assert expected.max() > 1


def test_fewer_rows_than_coefficients(mtp, images, species):
    active = ActiveSet(mtp, species)
    active.extend(images[:5])
    assert len(active.selected) == 5
    assert sum(atoms is None for atoms in active.images) == mtp.n_parameters - 5
    assert active.grade(images[:5]).max() < 1 + 1e-6
    assert active.grade([images[10]])[0] > 10


def root_mean_squares(mtp, images, species):
    """Of every derivative over the rows of images, by definition; radial ones over all pairs of species."""
    rows = np.concatenate([Engine(mtp, species).rows(atoms) for atoms in images])
    squares = (rows**2).mean(axis=0)
    pairs = mtp.n_species**2
    radial = squares[: mtp.radial_coefficients.size].reshape(pairs, -1)
    squares[: mtp.radial_coefficients.size] = np.tile(radial.mean(axis=0), pairs)
    return np.sqrt(squares)


def test_begins_with_a_share_of_what_is_typical_of_each_coefficient(mtp, images, species):
    active = ActiveSet(mtp, species, "neighborhood")
    active.begin_with(images[:20], 0.01)
    diagonal = 0.01 * root_mean_squares(mtp, images[:20], species)
    np.testing.assert_allclose(active.matrix, np.diag(diagonal), rtol=1e-9)
    np.testing.assert_allclose(active.inverse, np.diag(1 / diagonal), rtol=1e-9)
    with pytest.raises(ValueError, match="init_scale should be positive"):
        active.begin_with(images, 0)


def test_a_pair_that_never_met_has_a_grade_of_what_others_come_to(mtp, species):
    """Two P at 4.9 Å, just within the cut-off, are no reason to end a run; nearer they are."""

    def molecule(distance):
        symbols = [species[0], species[1], species[1]]
        positions = [[0, 0, 2.5], [0, 0, 0], [distance, 0, 0]]
        return Atoms(symbols, positions, cell=[30, 30, 30], pbc=True)

    apart = [molecule(5.5 + 0.1 * k) for k in range(5)]

    def grades(**start):
        return select_add(mtp, apart, [], species, mode="neighborhood", **start).active_set.grade(met)

    met = [molecule(4.9), molecule(3.0)]
    assert grades().min() > 500
    at_cutoff, near = grades(init_scale=0.2)
    assert at_cutoff < 1.1 < 2 < near


def test_fixed_composition(mtp, make_atoms, species):
    """The species' columns are then dependent: rows of the identity remain, and nothing diverges."""
    images = [make_atoms(6, seed) for seed in range(60)]
    active = ActiveSet(mtp, species)
    active.extend(images[:50])
    assert sum(atoms is None for atoms in active.images) >= 2
    grades = active.grade(images)
    assert np.isfinite(grades).all()
    assert grades[:50].max() < 1 + 1e-5
    assert grades[50:].max() < 100


def test_select_add(mtp, images, species):
    found = select_add(mtp, images[:30], images[30:], species)
    assert found.added
    assert len(set(found.added)) == len(found.added)
    assert found.active_set.grade(images).max() < 1 + 1e-5
    assert all(images[30 + index] in found.active_set.selected for index in found.added)
    assert select_add(mtp, images, images[:10], species).added == []


def test_thresholds_and_limits(mtp, images, species):
    assert select_add(mtp, images[:30], images[30:], species, select_threshold=1e9).added == []
    limited = select_add(mtp, images[:30], images[30:], species, swap_limit=2)
    assert len(limited.added) == 2
    with pytest.raises(ValueError, match="select_threshold should be above 1"):
        select_add(mtp, images[:30], images[30:], species, select_threshold=0.5)
    with pytest.raises(ValueError, match="init_threshold should be positive"):
        ActiveSet(mtp, species, init_threshold=0)
    with pytest.raises(ValueError, match="mode should be one of"):
        ActiveSet(mtp, species, "atoms")


@pytest.mark.parametrize("mode", ["configuration", "neighborhood"])
def test_file_round_trip(mtp, images, species, tmp_path, mode):
    active = ActiveSet(mtp, species, mode)
    active.extend(images[: 25 if mode == "configuration" else 3])
    active.write(tmp_path / "a.als")
    other = ActiveSet.read(tmp_path / "a.als", species)
    assert (other.mtp, other.mode) == (mtp, mode)
    np.testing.assert_array_equal(other.matrix, active.matrix)
    np.testing.assert_array_equal(other.inverse, active.inverse)
    assert [a is None for a in other.images] == [a is None for a in active.images]
    assert all(a == b for a, b in zip(other.selected, active.selected, strict=True))
    np.testing.assert_allclose(other.grade(images), active.grade(images), rtol=1e-12)
    if mode == "neighborhood":
        assert other.neighbourhood_grades(images[0]).shape == (len(images[0]),)
    else:
        with pytest.raises(ValueError, match="neighborhood"):
            other.neighbourhood_grades(images[0])


def test_ends_where_rounding_alone_exchanges_rows(data_path):
    """A moment's coefficient and the scale of its radial functions do the same, so that a row of the start is left."""
    folder = data_path / "mtp"
    active = ActiveSet(MTP.read(folder / "dependent.mtp"), ["Li", "Cl"])
    for name in ("dependent-train.cfg", "dependent-in.cfg"):
        images = read_cfg(folder / name, ["Li", "Cl"])
        active.extend(images)
    assert active.grade(images).max() < 1 + 1e-5


def test_threads_find_the_same(mtp, images, species):
    one, three = ActiveSet(mtp, species), ActiveSet(mtp, species, threads=3)
    assert one.extend(images[:40]) == three.extend(images[:40])
    np.testing.assert_array_equal(one.matrix, three.matrix)
    np.testing.assert_array_equal(one.grade(images), three.grade(images))


def test_extending_a_loaded_set_is_extending_the_set(mtp, images, species, tmp_path):
    active = ActiveSet(mtp, species)
    active.extend(images[:30])
    active.write(tmp_path / "a.als")
    loaded = ActiveSet.read(tmp_path / "a.als", species)
    assert active.extend(images[30:]) == loaded.extend(images[30:])
    np.testing.assert_allclose(active.matrix, loaded.matrix)


def test_broken_files(mtp, images, species, tmp_path):
    active = ActiveSet(mtp, species)
    active.extend(images[:10])
    active.write(tmp_path / "a.als")
    data = (tmp_path / "a.als").read_bytes()
    begin = data.index(b"\n#") + 2
    size = 16 * mtp.n_parameters**2
    nan = np.array([np.nan]).tobytes()
    cases = {
        "no active set follows": data[: begin - 36],
        "ends within their inverse": data[: begin + size - 1],
        "ends within the weights": data[: begin - 20],
        "not finite": data[:begin] + nan + data[begin + 8 :],
        "row 3 of the table": data.replace(b"\n3 ", b"\n7 ", 1),
        "the weights is not finite": data[: begin - 34] + nan + data[begin - 26 :],
        "selected by nothing": data[: begin - 34] + bytes(32) + data[begin - 2 :],
        "END_CFG": data[:-20],
        "line": b"MTP\nversion = 1.1.0\n^",
    }
    for reason, content in cases.items():
        (tmp_path / "b.als").write_bytes(content)
        with pytest.raises(ALSFormatError, match=reason):
            ActiveSet.read(tmp_path / "b.als", species)


def test_unknown_species(mtp, species):
    with pytest.raises(ValueError, match="Na"):
        ActiveSet(mtp, species).grade([Atoms("Na")])
