"""VASP's order, signs and units."""

import numpy as np
import pytest
from ase import units

from aiida_lpsgb.labelling import levels, vasp


def test_order():
    symbols = ["S", "Li", "S", "P", "Li"]
    order = vasp.site_order(symbols)
    assert [symbols[k] for k in order] == ["S", "S", "Li", "Li", "P"]
    assert order.tolist() == [0, 2, 1, 4, 3]


def misc(**changes):
    return {
        "total_energies": {"energy_free": -3.0, "energy_extrapolated": -2.5},
        "forces": [[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0]],
        "stress": [[10.0, 4.0, 5.0], [4.0, 20.0, 6.0], [5.0, 6.0, 30.0]],
    } | changes


def test_label():
    """VASP's stress is in kbar and positive where the cell wants to expand; ASE's has the other sign."""
    found = vasp.label(misc(), ["Li", "S", "Li"])
    assert found["energy"] == -3.0
    assert found["forces"][:, 0].tolist() == [1.0, 3.0, 2.0]
    assert found["stress"] == pytest.approx(-0.1 * units.GPa * np.array([10, 20, 30, 6, 5, 4]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forces": None}, "VASP's output has no forces"),
        ({"total_energies": {"energy_extrapolated": 1.0}}, "VASP's output has no free energy"),
        ({"forces": [[0, 0, 0]]}, r"forces of shape \(1, 3\) for 3 atoms"),
    ],
)
def test_what_is_no_label(changes, message):
    with pytest.raises(ValueError, match=message):
        vasp.label(misc(**changes), ["Li", "S", "Li"])


def test_level_of_theory():
    assert vasp.level_of_theory("PBE", {"ncore": 4}, "PBE.54", {"Li": "Li", "S": "S"}) == "VASP PBE, PBE.54"
    changed = vasp.level_of_theory("PBE", {"encut": 400, "ISPIN": 2}, "PBE.54", {"Li": "Li_sv", "S": "S"})
    assert changed == "VASP PBE(ENCUT=400, ISPIN=2), PBE.54 Li_sv"


def test_shipped_levels_are_single_points():
    shipped = levels.shipped("vasp")
    for name in shipped.levels:
        level = shipped.get(name)
        assert set(level) == {"incar", "kpoints"}
        assert level["incar"]["nsw"] == 0
        assert level["incar"]["lwave"] is level["incar"]["lcharg"] is False


def test_energy_of_a_frame_under_pressure():
    """At a pressure VASP gives the enthalpy: 10 GPa on 64 Å³ are 4 eV."""
    step = {"positions": [[0, 0, 0]], "cells": 4 * np.eye(3), "energy_free": 1.0, "forces": [[0, 0, 0]]}
    atoms = vasp.frame(["Li"], step | {"stress": np.zeros((3, 3))}, pstress=100)
    assert atoms.get_potential_energy() == pytest.approx(1 - 10 * units.GPa * 64)
    assert vasp.frame(["Li"], step | {"stress": np.zeros((3, 3))}).get_potential_energy() == 1.0
