"""No observable knows where the origin is, how the cell is turned, in which image an atom stands or in which order."""

import numpy as np
import pytest

from aiida_lpsgb.analysis.density import density_map, enrichment, profile
from aiida_lpsgb.analysis.diffusion import diffusivity
from aiida_lpsgb.analysis.disorder import disorder
from aiida_lpsgb.analysis.rdf import radial_distributions
from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
from aiida_lpsgb.analysis.regions import Slab
from aiida_lpsgb.analysis.speciation import speciation
from aiida_lpsgb.analysis.topology import persistence
from aiida_lpsgb.analysis.trajectory import Trajectory

CELL = np.array([[17.0, 0, 0], [3.0, 18.0, 0], [-2.0, 1.0, 19.0]])
SHIFT = np.array([0.31, -0.47, 0.23])
TETRAHEDRON = 2.05 / np.sqrt(3) * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])


@pytest.fixture(scope="module")
def run():
    """Li that wanders among PS4 tetrahedra in a skew cell: symbols, unwrapped scaled positions, cells."""
    rng = np.random.default_rng(0)
    n_frames = 120
    centres = np.stack(np.meshgrid(*[[0.25, 0.75]] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3) @ CELL
    units = (centres + TETRAHEDRON).reshape(-1, 3) + rng.normal(0, 0.05, (n_frames, 40, 3))
    lithium = rng.random((60, 3)) @ CELL + rng.normal(0, 0.2, (n_frames, 60, 3)).cumsum(axis=0)
    cells = CELL * (1 + 0.005 * rng.normal(size=(n_frames, 1, 1)))
    symbols = ["Li"] * 60 + ["P", "S", "S", "S", "S"] * 8
    return symbols, np.concatenate([lithium, units], axis=1) @ np.linalg.inv(CELL), cells


def observe(symbols, scaled, cells, centre=0.5):
    """Every observable, as numbers and sorted or binned arrays; ``centre`` is that of the region."""
    trajectory = Trajectory(symbols, scaled @ cells, cells, 0.1 * np.arange(len(cells)))
    slab = Slab(2, (centre,), 7.0)
    found = speciation(trajectory, "P", "S", 2.5, every=10)
    values = {"whole": found.whole_fraction, "units": list(found.units.values())}
    pairs = [("Li", "Li"), ("Li", "S"), ("P", "Li")]
    for (a, b), pair in radial_distributions(trajectory, pairs, cutoff_A=8.0, bin_A=0.5, every=10).items():
        values[f"coordination {a}-{b}"] = pair.coordination[2:]
    near = radial_distributions(trajectory, [("Li", "S")], cutoff_A=8.0, bin_A=0.5, every=10, region=slab)
    values["coordination in the region"] = near["Li", "S"].coordination[4:]
    for name, region in (("whole", None), ("region", slab)):
        sites = disorder(trajectory, "Li", neighbours=["P"], cutoff_A=6.0, every=10, region=region)
        values[f"disorder, {name}"] = sites.mean
        for filtration, longest in (("alpha", None), ("rips", 8.0)):
            diagram = persistence(trajectory, "Li", filtration=filtration, every=40, longest_A=longest, region=region)
            values[f"loops, {filtration}, {name}"] = [np.sum(diagram.lifetime_A > level) for level in (0.1, 0.5, 1.0)]
            values[f"births, {filtration}, {name}"] = np.sort(diagram.birth_A[diagram.lifetime_A > 0.5])
    values["enrichment"] = 1 + enrichment(trajectory, "Li", slab).value
    values["profile"] = np.sort(profile(trajectory, "Li", 2, bin_A=100.0).density_A3)
    values["map"] = density_map(trajectory, "Li", voxel_A=100.0).density_A3
    motion = diffusivity(trajectory, "Li", window_ps=(0.2, 1.0))
    values |= {"D": motion.value, "D of the charge": motion.collective.value}
    local = region_diffusivity(trajectory, "Li", {"slab": slab}, window_ps=(0.2, 1.0))
    values |= {f"D, {region}, {name}": result.total.value for (region, name), result in local.items()}
    return values


@pytest.fixture(scope="module")
def plain(run):
    return observe(*run)


@pytest.mark.parametrize("change", ["rotation", "translation", "image shifts", "order of atoms"])
def test_nothing_changes(run, plain, change):
    pytest.importorskip("ripser")
    symbols, scaled, cells = run
    rng = np.random.default_rng(1)
    centre = 0.5
    if change == "rotation":
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        cells = cells @ turn
    elif change == "translation":
        scaled, centre = scaled + SHIFT, centre + SHIFT[2]
    elif change == "image shifts":
        scaled = scaled + rng.integers(-2, 3, (1, len(symbols), 3))
    else:
        order = rng.permutation(len(symbols))
        symbols, scaled = [symbols[i] for i in order], scaled[:, order]
    found = observe(symbols, scaled, cells, centre)
    for name, value in plain.items():
        # Stored positions are rounded to 1e-3 Å: a few of some thousand pairs change their bin, or ions their region.
        few = 0.01 * np.max(np.abs(value))
        np.testing.assert_allclose(found[name], value, rtol=0.01, atol=few, err_msg=name)
