import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiida_lpsgb.structures.coincidence import NoCoincidence, match, no_coincidence, strain_tensor, twists


def turned(basis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return basis @ np.array([[c, s], [-s, c]])


@pytest.mark.parametrize(
    ("sigma", "degrees"), [(5, 36.8699), (5, 53.1301), (13, 22.6199), (17, 28.0725), (25, 16.2602), (29, 43.6028)]
)
def test_square_lattice_has_the_known_coincidences(sigma, degrees):
    square = 4.0 * np.eye(2)
    exact = match(square, turned(square, degrees), 1e-4, 16 * 40)[0]
    assert exact.area == pytest.approx(16 * sigma, rel=1e-4)
    assert exact.max_strain < 1e-5


@pytest.mark.parametrize(("sigma", "degrees"), [(7, 38.2132), (13, 27.7958), (19, 46.8264)])
def test_hexagonal_lattice_has_the_known_coincidences(sigma, degrees):
    hexagonal = 3.0 * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]])
    exact = match(hexagonal, turned(hexagonal, degrees), 1e-4, 9 * 25)[0]
    assert exact.area == pytest.approx(sigma * 9 * np.sqrt(3) / 2, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(3, 9), st.floats(3, 9), st.floats(60, 120)), st.floats(-180, 180), st.sampled_from([0.01, 0.03])
)
def test_matches_are_what_they_say(cell, degrees, limit):
    a, b, gamma = cell
    first = np.array([[a, 0], [b * np.cos(np.radians(gamma)), b * np.sin(np.radians(gamma))]])
    second = turned(first, degrees)
    found = match(first, second, limit, 600.0)
    strains = [item.max_strain for item in found]
    assert strains == sorted(strains, reverse=True)
    for item in found:
        assert item.max_strain <= limit + 1e-6
        assert item.area <= 600 * 1.1
        assert np.linalg.det(item.cell) > 0
        for basis, vectors, deformation in zip(
            (first, second), (item.first, item.second), item.deformations, strict=True
        ):
            assert np.allclose(vectors @ basis @ deformation.T, item.cell)
            strain = strain_tensor(deformation)
            assert np.allclose((strain + np.eye(2)) @ (strain + np.eye(2)), deformation.T @ deformation)


def test_smallest_cell_is_found_by_brute_force():
    """Compare with a plain search over small integer matrices."""
    first = np.array([[4.1, 0.0], [0.9, 5.3]])
    second = turned(first, 41.0)
    limit, max_area = 0.03, 400.0
    smallest = np.inf
    numbers = range(-6, 7)
    vectors = [np.array([i, j]) for i in numbers for j in numbers if (i, j) != (0, 0)]
    near = [
        (v, w)
        for v in vectors
        for w in vectors
        if np.linalg.norm(v @ first - w @ second) < 0.06 * np.linalg.norm(v @ first)
    ]
    for v, w in near:
        for p, q in near:
            a, b = np.array([v, p]) @ first, np.array([w, q]) @ second
            area = np.linalg.det(a)
            if not (1 < area < max_area and np.linalg.det(b) > 0):
                continue
            common = (a + b) / 2
            strain = max(np.abs(np.linalg.svd(np.linalg.solve(m, common))[1] - 1).max() for m in (a, b))
            if strain <= limit:
                smallest = min(smallest, np.linalg.det(common))
    assert match(first, second, limit, max_area)[0].area == pytest.approx(smallest)


def test_nearest_is_named_if_none_is_allowed():
    first = np.array([[13.07, 0.0], [0.0, 8.13]])
    second = turned(first, 34.5)
    assert match(first, second, 0.001, 1300.0) == []
    error = no_coincidence([(first, second)], 0.001, 1300.0)
    assert isinstance(error, NoCoincidence)
    assert "the nearest has 0.48% strain and 1169 Å²" in str(error)
    assert "none has less than 6.0% strain" in str(no_coincidence([(first, second)], 0.001, 150.0))


def test_twists_of_a_rectangle_contain_the_mirror_pairs():
    """On a rectangle, (2, −1) falls on (2, 1) after twice the angle of (2, 1)."""
    angles = [item.angle_deg for item in twists(np.diag([13.07, 8.13]), 1e-6, 1200.0, equivalent_deg=(0, 180))]
    expected = 2 * np.degrees(np.arctan2(8.13, 26.14))
    assert expected == pytest.approx(34.55, abs=0.01)
    assert angles == []  # the mirrored cells are sheared: their lengths agree, not their shapes


@pytest.mark.parametrize(
    ("basis", "symmetry", "expected"),
    [
        (4.0 * np.eye(2), 90, {5: 36.87, 13: 22.62, 17: 28.07, 25: 16.26, 29: 43.60}),
        (3.0 * np.array([[1, 0], [-0.5, np.sqrt(3) / 2]]), 60, {7: 21.79, 13: 27.80, 19: 13.17, 31: 17.90, 37: 9.43}),
    ],
)
def test_twists_of_square_and_hexagonal_lattices_are_the_known_ones(basis, symmetry, expected):
    """Σ and angle of all twists up to the largest Σ (Ranganathan 1966), and nothing else."""
    area = np.linalg.det(basis)
    equivalent = range(0, 360, symmetry)
    found = list(twists(basis, 1e-6, (max(expected) + 0.5) * area, equivalent_deg=equivalent))
    assert {round(item.match.area / area): round(item.angle_deg, 2) for item in found} == expected
    for item in found:
        assert item.match.max_strain < 1e-9
        assert np.allclose(item.match.second @ turned(basis, item.turn_deg), item.match.first @ basis)


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.floats(3, 9), st.floats(3, 9), st.floats(60, 120)), st.sampled_from([0.003, 0.01]))
def test_twists_are_what_they_say(cell, limit):
    a, b, gamma = cell
    basis = np.array([[a, 0], [b * np.cos(np.radians(gamma)), b * np.sin(np.radians(gamma))]])
    last = 0.0
    for item in itertools.islice(twists(basis, limit, 300.0), 20):
        assert item.match.area >= last * (1 - 4 * limit)
        last = item.match.area
        assert item.match.max_strain <= limit + 1e-6
        assert item.angle_deg == pytest.approx(abs(item.turn_deg))
        for lattice, vectors, deformation in zip(
            (basis, turned(basis, item.turn_deg)),
            (item.match.first, item.match.second),
            item.match.deformations,
            strict=True,
        ):
            assert np.allclose(vectors @ lattice @ deformation.T, item.match.cell)
            assert np.allclose(deformation, deformation.T, atol=4 * limit**2)  # no rotation is left over


@settings(max_examples=15, deadline=None)
@given(st.floats(3, 6), st.floats(3, 6), st.floats(5, 175))
@example(3.25, 3.3125, 141.5)
def test_smallest_twist_at_an_angle_is_that_of_the_search_at_fixed_orientation(a, b, angle):
    """Cells small enough for their vectors to be matched one by one, which may turn either lattice by a degree."""
    rectangle = np.diag([a, b])
    smallest = match(rectangle, turned(rectangle, angle), 0.01, 150.0)
    found = list(twists(rectangle, 0.01, 150.0, accept=lambda angles: np.abs(angles - angle) < 2.5))
    if smallest:
        assert found
        assert found[0].match.area <= smallest[0].area * 1.02
