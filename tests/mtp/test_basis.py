"""The generator of moment tensor bases."""

import numpy as np
import pytest

from aiida_lpsgb.mtp.basis import basis_functions, random_coefficients, transferred, untrained
from aiida_lpsgb.mtp.calculator import Engine

# Basis functions, radial functions and basic moments of MLIP-2's templates.
COUNTS = {
    2: (1, 1, 1),
    4: (2, 1, 1),
    6: (5, 2, 5),
    8: (9, 2, 11),
    10: (16, 3, 25),
    12: (29, 3, 46),
    14: (52, 4, 81),
    16: (92, 4, 130),
    18: (163, 5, 201),
    20: (288, 5, 295),
    22: (500, 6, 421),
    24: (864, 6, 581),
    26: (1464, 6, 706),
    28: (2445, 6, 866),
}
# All moments of the templates; above level 14 the generator needs fewer.
MOMENTS = dict(zip(range(2, 30, 2), (1, 2, 8, 18, 41, 84, 174, 350, 718, 1352, 2621, 4991, 9396, 17366), strict=True))


@pytest.fixture
def neighbourhood():
    rng = np.random.default_rng(5)
    return rng.normal(size=(7, 3)), rng.normal(size=(7, 6))  # vectors, values of the radial functions


@pytest.mark.parametrize(
    "level", [pytest.param(level, marks=pytest.mark.slow if level > 20 else ()) for level in COUNTS]
)
def test_counts_are_those_of_the_templates(level):
    mtp = untrained(level, 3)
    assert (len(mtp.moment_mapping), mtp.n_radial, len(mtp.index_basic)) == COUNTS[level]
    assert mtp.level == level
    assert mtp.n_moments == MOMENTS[level] if level <= 14 else mtp.n_moments < MOMENTS[level]


@pytest.mark.parametrize("level", [8, 14, 18])
def test_rotation_and_reflection_leave_the_scalars(level, neighbourhood):
    vectors, radial = neighbourhood
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    mtp = untrained(level, 1)
    np.testing.assert_allclose(
        basis_functions(mtp, vectors, radial), basis_functions(mtp, -vectors @ rotation.T, radial), rtol=1e-9
    )


def test_lower_level_comes_first(neighbourhood):
    low, high = (basis_functions(untrained(level, 1), *neighbourhood) for level in (10, 14))
    np.testing.assert_allclose(low, high[: len(low)], rtol=1e-12)


def test_independent_in_general_position():
    mtp = untrained(14, 1)
    rng = np.random.default_rng(0)
    rows = np.array([basis_functions(mtp, rng.normal(size=(12, 3)), rng.normal(size=(12, 4))) for _ in range(120)])
    assert np.linalg.matrix_rank(rows / np.linalg.norm(rows, axis=0), tol=1e-8) == 52


def test_against_explicit_tensor_contractions(neighbourhood):
    """Every scalar of level 10 with connected factors, contracted by einsum on full tensors."""
    vectors, radial = neighbourhood
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]

    def moment(mu, rank):
        tensor = radial[:, mu]
        for _ in range(rank):
            tensor = np.einsum("j...,ja->j...a", tensor, unit)
        return tensor.sum(axis=0)

    m = {(mu, nu): moment(mu, nu) for mu in range(3) for nu in range(4)}
    zero, one = m[0, 0], m[1, 0]
    dot = m[0, 1] @ m[0, 1]
    double = np.einsum("ab,ab", m[0, 2], m[0, 2])
    expected = [
        *(zero, zero**2, one, dot, zero**3),
        *(double, zero * one, zero * dot, zero**4),
        *(m[2, 0], np.einsum("abc,abc", m[0, 3], m[0, 3]), m[0, 1] @ m[1, 1], zero * double),
        *(m[0, 1] @ m[0, 2] @ m[0, 1], zero**2 * one, zero**2 * dot),
    ]
    np.testing.assert_allclose(
        np.sort(basis_functions(untrained(10, 1), vectors, radial)), np.sort(expected), rtol=1e-12
    )


def test_random_coefficients_follow_the_seed():
    assert not untrained(8, 3).trained
    first, same, other = (untrained(8, 3, min_distance=1.4, seed=seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other
    assert first.n_parameters == 156
    assert random_coefficients(untrained(8, 3, min_distance=1.4), 1) == first


@pytest.mark.parametrize("level", [0, 7, 30])
def test_unknown_level(level):
    with pytest.raises(ValueError, match="even number from 2 to 28"):
        untrained(level, 1)


def test_bad_interval():
    with pytest.raises(ValueError, match="min_dist < max_dist"):
        untrained(8, 1, min_distance=6.0)


@pytest.mark.parametrize(("low", "high", "size"), [(4, 8, 4), (8, 10, 6), (8, 14, 4)])
def test_transferred_potential_is_the_same_function(make_potential, make_atoms, species, low, high, size):
    source = make_potential(low, seed=4, radial_basis_size=4)
    target = transferred(source, untrained(high, 3, 1.4, radial_basis_size=size), seed=1)
    assert target.level == high
    atoms = make_atoms(8)
    old, new = (Engine(mtp, species).evaluate(atoms) for mtp in (source, target))
    np.testing.assert_allclose(new["forces"], old["forces"], atol=1e-9 * np.abs(old["forces"]).max())
    assert new["energy"] == pytest.approx(old["energy"], rel=1e-12)


def test_transfer_refuses_what_does_not_fit(make_potential):
    source = make_potential(8)
    with pytest.raises(ValueError, match=r"min_distance: 1\.4 and 1\.5"):
        transferred(source, untrained(10, 3, 1.5))
    with pytest.raises(ValueError, match="radial_basis_size should not become smaller"):
        transferred(source, untrained(10, 3, 1.4, radial_basis_size=4))
    with pytest.raises(ValueError, match="lacks 4 basis functions"):
        transferred(source, untrained(6, 3, 1.4))
