"""Relaxation of configurations, in the library and by the program."""

import json

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from aiida_lpsgb.labelling import cli, labels
from aiida_lpsgb.labelling.relaxation import NotConverged, Plan, relax


def rattled():
    atoms = bulk("Cu", a=3.7, cubic=True)
    atoms.rattle(0.1, seed=1)
    return atoms


def test_ions_come_to_rest_in_a_fixed_cell():
    start = rattled()
    found = relax(start, EMT(), Plan())
    assert found.calc is None
    assert np.array_equal(found.cell.array, start.cell.array)
    found.calc = EMT()
    assert np.linalg.norm(found.get_forces(), axis=1).max() <= 1e-3
    assert np.array_equal(start.positions, rattled().positions)


@pytest.mark.parametrize("pressure", [0.0, 5.0])
def test_a_free_cell_comes_to_the_pressure(pressure):
    found = relax(rattled(), EMT(), Plan(cell=True, pressure_GPa=pressure))
    found.calc = EMT()
    assert found.get_stress(voigt=False) / units.GPa == pytest.approx(-pressure * np.eye(3), abs=0.01)
    if not pressure:
        # The lattice constant of copper by EMT.
        assert found.get_volume() ** (1 / 3) == pytest.approx(3.59, abs=0.002)


def test_what_does_not_come_to_rest_is_refused():
    with pytest.raises(NotConverged, match=r"not relaxed after 2 steps: the largest force is .* the stress is off by"):
        relax(rattled(), EMT(), Plan(cell=True, max_steps=2))
    (label,) = labels.label(EMT(), [rattled()], relaxation=Plan(max_steps=2))
    assert label.refused
    assert "not relaxed after 2 steps" in label.error


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cells": True}, "relaxation: unknown keys"),
        ({"cell": 1}, "cell is 1, expected true or false"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"force_tolerance_ev_angstrom": 0}, "force_tolerance_ev_angstrom is 0"),
        ({"pressure_GPa": "high"}, "pressure_GPa is 'high'"),
        (3, "expected a dictionary"),
    ],
)
def test_bad_plans(values, message):
    with pytest.raises(ValueError, match=message):
        Plan.of(values)


def test_the_program_relaxes_and_goes_on_where_it_was(tmp_path):
    write(tmp_path / "in.extxyz", [rattled(), bulk("Cu", a=3.5)])
    parameters = {"calculator": "ase.calculators.emt:EMT", "relaxation": {"cell": True}}
    (tmp_path / "parameters.json").write_text(json.dumps(parameters))
    arguments = [str(tmp_path / name) for name in ("in.extxyz", "parameters.json", "labels.jsonl")]
    assert cli.main(arguments) == cli.ALL_LABELLED
    text = (tmp_path / "labels.jsonl").read_text()
    found = labels.read((tmp_path / "labels.jsonl").open())
    assert [value.values["energy"] / n for value, n in zip(found.values(), (4, 1), strict=True)] == pytest.approx(
        [-0.00704, -0.00704], abs=1e-4
    )
    assert np.abs(np.linalg.det(found[1].values["cell"])) == pytest.approx(11.565, abs=0.01)
    (tmp_path / "labels.jsonl").write_text("\n".join(text.splitlines()[:2]) + "\n")
    assert cli.main(arguments) == cli.ALL_LABELLED
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 3


def test_dynamics_and_relaxation_exclude_each_other():
    plan = {"temperature_K": 300, "n_steps": 10, "interval_steps": 5, "seed": 1}
    with pytest.raises(ValueError, match="exclude each other"):
        cli.check_parameters({"calculator": "chgnet", "dynamics": plan, "relaxation": {}})
