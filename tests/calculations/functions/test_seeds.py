"""Seeds depend on names alone."""

import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.seeds import derive_seed, derive_seeds


def test_a_seed_depends_on_every_name():
    seeds = {
        derive_seed(7, "crystal", "500 K", 1),
        derive_seed(7, "crystal", "500 K", 2),
        derive_seed(7, "crystal", "600 K", 1),
        derive_seed(7, "glass", "500 K", 1),
        derive_seed(8, "crystal", "500 K", 1),
    }
    assert len(seeds) == 5
    assert all(0 < seed < 2**31 for seed in seeds)


def test_the_same_in_every_release():
    assert derive_seed(2023, "exploration") == 622888660


@pytest.mark.usefixtures("aiida_profile_clean")
def test_one_more_name_changes_no_other_seed():
    few = derive_seeds(orm.Int(7), orm.List(["ordering", "system_crystal"]))
    more = derive_seeds(orm.Int(7), orm.List(["system_glass", "ordering", "system_crystal"]))
    assert {name: node.value for name, node in few.items()} == {name: more[name].value for name in few}
