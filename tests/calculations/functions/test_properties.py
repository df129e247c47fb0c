"""Cards of potentials, and the drift of the energy."""

import numpy as np
import pytest
from aiida import orm

from aiida_lpsgb.calculations.functions.properties import (
    CHECKS,
    card,
    deformation_error,
    energy_drift,
    thresholds_error,
)

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def properties(scale=1.0, stable=True):
    return orm.Dict(
        {
            "lattice": {"lengths_A": [13.0 * scale, 8.0, 6.0], "density_g_cm3": 1.9 / scale},
            "elasticity": {"bulk_modulus_GPa": 30.0 * scale, "shear_modulus_GPa": 10.0, "stable": stable},
            "equation_of_state": None,
        }
    )


def checks_of(node):
    return {check["check"]: check for check in node["checks"]}


def test_what_is_not_known_is_no_failure():
    node = card(orm.Dict(dict.fromkeys(set(CHECKS) - {"stable"}, 1.0) | {"stable": True}))
    assert node["passed"]
    assert all(check["passed"] is None for check in node["checks"])
    assert node["reasons"] == []


def test_deviations_from_the_reference():
    limits = orm.Dict({"density_percent": 2.0, "lattice_percent": 5.0, "bulk_modulus_percent": 15.0})
    node = card(limits, properties=properties(1.03), reference=properties())
    checks = checks_of(node)
    assert checks["density_percent"]["value"] == pytest.approx(100 * (1 - 1 / 1.03))
    assert checks["lattice_percent"]["value"] == pytest.approx(3.0)
    assert checks["bulk_modulus_percent"]["value"] == pytest.approx(3.0)
    assert [checks[name]["passed"] for name in limits.get_dict()] == [False, True, True]
    assert node["reasons"] == ["density, off the label engine's: density_percent is 2.91, allowed 2"]


def test_errors_and_stability():
    errors = orm.Dict({"energy_rmse_ev_atom": 0.0031, "forces_rmse_ev_angstrom": 0.3})
    training = orm.Dict({"training": {"energy_rmse_ev_atom": 0.02}})
    limits = {"test_energy_rmse_mev_atom": 5.0, "test_forces_rmse_mev_A": 200.0, "training_energy_rmse_mev_atom": 10.0}
    node = card(
        orm.Dict(limits | {"stable": True}), test=errors, training=training, properties=properties(stable=False)
    )
    assert {name: check["passed"] for name, check in checks_of(node).items()} == {
        "test_energy_rmse_mev_atom": True,
        "test_forces_rmse_mev_A": False,
        "training_energy_rmse_mev_atom": False,
        "stable": False,
    }
    assert len(node["reasons"]) == 3


def test_drift_is_the_slope_of_the_last_stage():
    """0.5 meV/atom/ps on four atoms, in two segments that overlap, after a stage that heats."""
    structure = orm.StructureData(cell=np.eye(3) * 5)
    for x in range(4):
        structure.append_atom(position=(x, 0, 0), symbols="Ar")
    stages = [
        {"ensemble": "nvt", "duration_ps": 1, "temperature_K": 20},
        {"ensemble": "nve", "duration_ps": 3, "temperature_K": 20},
    ]
    steps = np.arange(0, 2001, 10)
    energy = np.where(steps < 500, 7.0, 1.0 + 0.002 * steps * 2e-3)

    def segment(first, last):
        rows = slice(first, last)
        node = orm.ArrayData()
        node.set_array("step", steps[rows])
        node.set_array("stage", (steps[rows] >= 500).astype(int))
        node.set_array("total_energy_eV", energy[rows])
        node.set_array("temperature_K", np.full(len(steps[rows]), 10.0))
        return node

    parameters = orm.Dict({"timestep_fs": 2.0, "stages": stages})
    found = energy_drift(parameters, structure, segment_000=segment(0, 120), segment_001=segment(100, None))
    assert found["energy_drift_mev_atom_ps"] == pytest.approx(0.5)
    assert found["duration_ps"] == pytest.approx(3)
    assert found["temperature_K"] == 10
    assert found["fluctuation_mev_atom"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"speed": 1}, "thresholds: unknown speed; there are training_energy"),
        ({"density_percent": None}, "density_percent is None, expected a positive number"),
        ({"stable": 1}, "stable is 1, expected true or false"),
        ({"density_percent": -1}, "density_percent is -1, expected a positive number"),
        ({"density_percent": True}, "density_percent is True, expected a positive number"),
    ],
)
def test_bad_thresholds(thresholds, message):
    assert message in thresholds_error(thresholds)


def test_bad_deformations():
    assert deformation_error({"strain": 0.01}) == "deformation: give strain and volume_strains, not ['strain']"
    assert "strain is 0.7" in deformation_error({"strain": 0.7, "volume_strains": []})
    assert deformation_error({"strain": 0.005, "volume_strains": []}) is None
