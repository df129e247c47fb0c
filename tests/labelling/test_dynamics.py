"""Molecular dynamics that can be interrupted."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_lpsgb.labelling import dynamics

PLAN = {"temperature_K": 600, "n_steps": 20, "interval_steps": 5, "seed": 3, "timestep_fs": 2.0}


def copper(size=2):
    return bulk("Cu", cubic=True).repeat(size)


@pytest.mark.parametrize("ensemble", dynamics.ENSEMBLES)
@pytest.mark.parametrize("isotropic", [False, True])
def test_a_run_in_segments_is_the_run_in_one(ensemble, isotropic):
    plan = dynamics.Plan.of(PLAN | {"ensemble": ensemble, "isotropic": isotropic})
    whole = list(dynamics.run(copper(), EMT(), plan))
    rest = list(dynamics.run(whole[1], EMT(), plan))
    assert [frame.info["step"] for frame in whole] == [5, 10, 15, 20]
    assert [frame.info["step"] for frame in rest] == [15, 20]
    for one, other in zip(whole[2:], rest, strict=True):
        assert one.positions == pytest.approx(other.positions, abs=1e-10)
        assert one.cell.array == pytest.approx(other.cell.array, abs=1e-10)
        assert one.get_momenta() == pytest.approx(other.get_momenta(), abs=1e-10)
    if ensemble != "npt":
        assert np.array_equal(whole[-1].cell, copper().cell)
    assert whole[-1].info["time_ps"] == pytest.approx(0.04)


def test_frames_are_labelled():
    plan = dynamics.Plan.of(PLAN)
    frame = next(dynamics.run(copper(), EMT(), plan))
    again = frame.copy()
    again.calc = EMT()
    assert frame.get_potential_energy() == pytest.approx(again.get_potential_energy())
    assert frame.get_forces() == pytest.approx(again.get_forces())
    assert frame.get_stress() == pytest.approx(again.get_stress())


def test_energy_is_kept_without_a_thermostat():
    plan = dynamics.Plan.of(PLAN | {"ensemble": "nve", "n_steps": 100, "timestep_fs": 1.0})
    energies = [frame.get_total_energy() for frame in dynamics.run(copper(), EMT(), plan)]
    assert np.ptp(energies) < 1e-3 * len(copper())


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["nvt", "npt"])
def test_the_temperature_is_that_of_the_plan(ensemble):
    """And the pressure, by the mean of potential and kinetic parts, that of the plan: 0."""
    plan = dynamics.Plan.of(
        PLAN | {"ensemble": ensemble, "n_steps": 8000, "interval_steps": 20, "barostat_damping_ps": 0.3}
    )
    atoms = copper()
    frames = list(dynamics.run(atoms, EMT(), plan))[100:]
    temperatures = [frame.get_temperature() for frame in frames]
    # One frame has a spread of sqrt(2 / 3 N) = 0.144; 300 frames, of which some 100 do not depend on each other.
    assert np.mean(temperatures) == pytest.approx(600, rel=0.06)
    if ensemble == "npt":
        pressures = [-frame.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa for frame in frames]
        assert np.mean(pressures) == pytest.approx(0.0, abs=0.3)
        assert np.mean([frame.get_volume() for frame in frames]) > atoms.get_volume()


def test_seeds():
    one, same, other = (
        next(dynamics.run(copper(), EMT(), dynamics.Plan.of(PLAN | {"seed": seed}))) for seed in (3, 3, 4)
    )
    assert np.array_equal(one.positions, same.positions)
    assert not np.allclose(one.positions, other.positions)


def test_out_of_time():
    assert list(dynamics.run(copper(), EMT(), dynamics.Plan.of(PLAN), seconds=0.0)) == []


def test_a_run_that_explodes():
    atoms = copper()
    atoms.positions[0] = atoms.positions[1] + [0.05, 0, 0]
    with pytest.raises(ValueError, match="above max_force"):
        list(dynamics.run(atoms, EMT(), dynamics.Plan.of(PLAN | {"interval_steps": 1})))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": "npe"}, "dynamics: ensemble is 'npe', expected one of nve, nvt, npt"),
        ({"temperature_K": 0}, "dynamics: temperature_K is 0, expected a positive number"),
        ({"n_steps": 22}, "dynamics: n_steps 22 is no multiple of interval_steps 5"),
        ({"seed": 1.5}, "dynamics: seed is 1.5, expected a positive integer"),
        ({"thermostat": "nose"}, r"dynamics: unknown keys \['thermostat'\]"),
        ({"pressure_GPa": "high"}, "dynamics: pressure_GPa is 'high', expected a number"),
        ({"isotropic": "no"}, "dynamics: isotropic is 'no', expected true or false"),
    ],
)
def test_bad_plans(changes, message):
    with pytest.raises(ValueError, match=message):
        dynamics.Plan.of(PLAN | changes)


def test_what_is_no_plan():
    with pytest.raises(ValueError, match="dynamics: seed missing"):
        dynamics.Plan.of({key: value for key, value in PLAN.items() if key != "seed"})
    with pytest.raises(ValueError, match="dynamics is 3, expected a dictionary of temperature_K, n_steps"):
        dynamics.Plan.of(3)
