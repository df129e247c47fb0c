import pytest
from ase import Atoms
from ase.io import read

from aiida_lpsgb.structures.validation import composition, require_ordered, total_charge


def test_partial_occupancy_is_refused_in_every_form(disordered, lps, cif_path):
    with pytest.raises(ValueError, match=r"crystal has partially occupied sites .*lpsgb.order"):
        require_ordered(disordered, "crystal")
    with pytest.raises(ValueError, match="partially occupied"):
        require_ordered(read(cif_path))
    require_ordered(lps)
    with pytest.raises(TypeError, match="str"):
        require_ordered("Li3PS4")


def test_charge_and_composition(lps):
    assert composition(lps) == {"Li": 12, "P": 4, "S": 16}
    assert total_charge(lps, {"Li": 1, "P": 5, "S": -2}) == 0
    assert total_charge(Atoms("Li2S"), {"Li": 1, "S": -1}) == 1
    with pytest.raises(ValueError, match="given for P"):
        total_charge(lps, {"Li": 1, "S": -2})
