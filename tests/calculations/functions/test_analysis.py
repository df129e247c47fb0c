"""From trajectories to diffusivities and activation energies, as processes."""

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.analysis.arrhenius import K_B
from aiida_lpsgb.analysis.motion import nernst_einstein
from aiida_lpsgb.analysis.trajectory import Trajectory

pytestmark = pytest.mark.usefixtures("aiida_profile")


def energy_landscape(temperature_K, ea=0.3, d0=2e-3):
    return d0 * np.exp(-ea / (K_B * temperature_K))


def run(temperature_K, seed, n_frames=400, n_ions=40):
    """Random walk of Li at the diffusivity of the temperature beside a PS4 tetrahedron."""
    rng = np.random.default_rng(seed)
    d = energy_landscape(temperature_K) * 1e4
    walk = 8 + (rng.normal(size=(n_frames, n_ions, 3)) * np.sqrt(2 * d)).cumsum(axis=0)
    tetrahedron = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    still = np.broadcast_to(np.vstack([np.zeros((1, 3)), tetrahedron]), (n_frames, 5, 3))
    positions = np.concatenate([walk, still], axis=1)
    trajectory = Trajectory(["Li"] * n_ions + ["P"] + ["S"] * 4, positions, np.eye(3) * 16, np.arange(n_frames) * 1.0)
    return DataFactory("lpsgb.trajectory")(trajectory, "npt", temperature_K, 2.0)


def test_from_trajectories_to_conductivity():
    diffusivity = CalculationFactory("lpsgb.diffusivity")
    nodes = {}
    for seed, temperature in enumerate((500.0, 600.0, 700.0, 800.0)):
        nodes[f"t{temperature:.0f}k_1"] = diffusivity(run(temperature, seed), orm.Dict({"species": "Li", "charge": 1}))
        node = nodes[f"t{temperature:.0f}k_1"]
        assert node.value == pytest.approx(energy_landscape(temperature), abs=3.5 * node.uncertainty)
        assert node.conductivity == pytest.approx(nernst_einstein(node.value, 40 / 16**3, temperature), rel=1e-6)
        assert node.creator is not None
        assert node.base.attributes.get("drift") == "P S"
        assert node.get_array("msd_A2").shape == (node.base.attributes.get("n_frames") // 2 + 1, 3)


def test_speciation():
    result = CalculationFactory("lpsgb.speciation")(
        run(500.0, 0, n_frames=60),
        orm.Dict({"centre": "P", "ligand": "S", "cutoff_A": 2.5, "coordination": 4, "every": 10}),
    )
    assert result["whole_fraction_min"] == 1.0
    assert result["units"] == {"PS4": 1.0}
    assert result["shares_by_coordination"] == {"4": 1.0}
    assert (result["coordination"], result["n_frames"]) == (4, 6)


def test_nodes_tell_what_they_were_computed_with_even_by_default():
    trajectory = run(500.0, 0, n_frames=60)
    names = ("observable", "species", "filtration", "scale", "threshold_A", "every", "region", "cutoff_A", "degree")
    wanted = {
        "lpsgb.rdf": {"observable": "radial_distributions", "cutoff_A": 10.0, "every": 1, "region": None},
        "lpsgb.disorder": {"species": "Li", "cutoff_A": 5.0, "degree": 6, "every": 1, "region": None},
        "lpsgb.density": {"species": "Li", "every": 1, "region": None},
        "lpsgb.topology": {
            "species": "Li",
            "filtration": "alpha",
            "scale": "radius",
            "threshold_A": 1.0,
            "region": None,
        },
    }
    for entry_point, expected in wanted.items():
        parameters = {} if entry_point == "lpsgb.rdf" else {"species": "Li"}
        if entry_point == "lpsgb.topology":
            parameters["every"] = 20
        node = CalculationFactory(entry_point)(trajectory, orm.Dict(parameters))
        attributes = node.base.attributes.all
        assert expected == {name: attributes[name] for name in names if name in expected}
        assert "workers" not in attributes


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "species missing"),
        ({"species": "Na"}, "no Na in this trajectory"),
        ({"species": "Li", "windo_ps": 3}, "unknown windo_ps; known are .*window_ps"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        CalculationFactory("lpsgb.diffusivity")(run(500.0, 0, n_frames=60), orm.Dict(parameters))
