import pytest

from aiida_lpsgb.structures.distances import closest_approach, overlap

#: Shortest distances that are known in solids or molecules, in Å.
KNOWN = [
    ("Li", "Li", 2.11, "Li3N"),
    ("Li", "N", 1.94, "Li3N"),
    ("Na", "Na", 2.78, "Na2O"),
    ("K", "K", 3.22, "K2O"),
    ("Li", "O", 1.75, "LiO4"),
    ("Li", "F", 1.56, "LiF molecule"),
    ("Na", "Cl", 2.36, "NaCl molecule"),
    ("Ag", "I", 2.54, "AgI molecule"),
    ("P", "S", 1.90, "P=S"),
    ("P", "O", 1.44, "P4O10"),
    ("S", "O", 1.40, "SO3"),
    ("S", "S", 2.05, "S8"),
    ("N", "N", 1.10, "N2"),
    ("C", "O", 1.13, "CO"),
    ("C", "N", 1.15, "cyanide"),
    ("O", "H", 0.96, "water"),
    ("B", "H", 1.19, "borohydride"),
    ("Ti", "O", 1.62, "titanyl"),
    ("V", "O", 1.57, "vanadyl"),
    ("Al", "Cl", 2.06, "AlCl3"),
    ("La", "O", 2.30, "La2O3"),
    ("Zr", "O", 2.04, "ZrO2"),
]


@pytest.mark.parametrize(("a", "b", "known", "where"), KNOWN)
def test_no_known_distance_is_called_impossible(a, b, known, where):
    assert closest_approach([a, b])[a, b] < known, where
    assert overlap([a, b])[a, b] < closest_approach([a, b])[b, a]


@pytest.mark.parametrize(
    ("a", "b", "charges", "known"),
    [
        ("O", "O", {"O": -2}, 2.20),  # carbonate
        ("S", "S", {"S": -2}, 3.0),
        ("F", "F", {"F": -1}, 2.24),  # BF4
        ("Cl", "S", {"Cl": -1, "S": -2}, 3.2),
        ("H", "H", {"H": 1}, 1.51),  # water
    ],
)
def test_anions_keep_their_size(a, b, charges, known):
    distance = closest_approach([a, b], charges)[a, b]
    assert 0.6 * known < distance < known


def test_alternative_positions_are_impossible_together():
    for a, b, apart in (("Li", "Li", 1.63), ("Li", "F", 0.49), ("H", "H", 0.8), ("Na", "Na", 1.6), ("O", "H", 0.4)):
        assert closest_approach([a, b])[a, b] > apart
