"""What is wrong with the parameters of calcfunctions over structures, told at the port."""

import pytest

from aiida_lpsgb.calculations.functions.structure_requests import (
    interface_keys_error,
    order_request_error,
    rattle_request_error,
    start_set_request_error,
    supercell_keys_error,
)

CHARGES = {"Li": 1, "P": 5, "S": -2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"charge": CHARGES}, "unknown charge; `charge` may be meant as `charges`; known are"),
        ({"n_candidates": 0}, "n_candidates must be a whole number of at least 1"),
        ({"rank_by": "mass"}, "rank_by must be one of ewald, occupancy"),
        ({"charges": {"Li": "one"}}, "charges must give a number for each element"),
        ({"charges": CHARGES, "keep_shares": True, "check_formula": False}, None),
        ({}, None),
    ],
)
def test_order(options, message):
    error = order_request_error(options)
    assert (message in error) if message else error is None


@pytest.mark.parametrize(
    ("check", "options", "message"),
    [
        (supercell_keys_error, {"matrix": [1, 1, 2], "n_atoms": 100}, "give `matrix`, or `n_atoms` and `height`"),
        (supercell_keys_error, {"n_atoms": -1}, "n_atoms must be a number that is not negative"),
        (supercell_keys_error, {"n_atoms": 100, "height": 20.0}, None),
        (interface_keys_error, {"width": 20.0}, "plane must be given"),
        (interface_keys_error, {"plane": [0, 0, 0]}, "interface: "),
        (interface_keys_error, {"plane": [0, 0, 1]}, None),
        (rattle_request_error, {"amplitude": 0.1, "n": 0}, "n must be at least 1"),
        (start_set_request_error, {"approaches": [1.2]}, "between 0 and 1"),
        (start_set_request_error, {"amplitudes": [-0.1]}, "must not be negative"),
        (start_set_request_error, {"strains": 0.1}, "strains must be a list of numbers"),
        (start_set_request_error, {"strains": [-0.02, 0.02], "n_rattles": 2}, None),
    ],
)
def test_other_structures(check, options, message):
    error = check(options)
    assert (message in error) if message else error is None
