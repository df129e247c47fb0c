"""Calcfunctions that make potentials."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.potential import forget, untrained

PARAMETERS = {"level": 8, "species": ["Li", "P", "S"], "cutoff_angstrom": 5.0}


def test_untrained():
    node = untrained(orm.Dict(PARAMETERS))
    assert (node.level, node.species, node.cutoff, node.trained) == (8, ["Li", "P", "S"], 5.0, False)
    assert not node.mtp.trained


def test_seed():
    first, again, other = (untrained(orm.Dict(PARAMETERS), orm.Int(seed)) for seed in (1, 1, 2))
    assert first.get_content() == again.get_content() != other.get_content()
    assert first.mtp.trained
    assert not first.trained


def test_a_potential_that_forgets_keeps_its_form():
    seeded, blank = untrained(orm.Dict(PARAMETERS), orm.Int(1)), untrained(orm.Dict(PARAMETERS))
    found = forget(seeded)
    assert found.get_content() == blank.get_content()
    assert (found.species, found.trained) == (seeded.species, False)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"level": 8}, "parameters: species must be given"),
        ({"species": ["Li"]}, "parameters: level must be given"),
        ({**PARAMETERS, "cutoff": 4}, r"parameters: unknown keys \['cutoff'\]"),
        ({**PARAMETERS, "level": 7}, "`level` is 7; it is an even number"),
        ({**PARAMETERS, "species": ["Li", "Li"]}, "names a symbol twice"),
        ({**PARAMETERS, "cutoff_angstrom": 1.0}, "max_dist"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        untrained(orm.Dict(parameters))
