"""The same numbers from kinisi, pymatgen-analysis-diffusion and MDAnalysis, where they compute the same."""

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.analysis import arrhenius
from aiida_lpsgb.analysis.diffusion import diffusivity, mean_squared_displacement
from aiida_lpsgb.analysis.motion import nernst_einstein
from aiida_lpsgb.analysis.rdf import radial_distributions
from aiida_lpsgb.analysis.trajectory import Trajectory

D, EDGE, N_FRAMES, N_IONS = 1.0e-6, 20.0, 600, 24  # cm²/s, Å; frames 1 ps apart


@pytest.fixture(scope="module")
def positions():
    """Hopping and vibrating ions, and two atoms that stand still."""
    rng = np.random.default_rng(0)
    walk = (rng.normal(size=(N_FRAMES, N_IONS, 3)) * np.sqrt(2 * D * 1e4)).cumsum(axis=0)
    walk += rng.normal(0, 0.1, walk.shape) + 5
    return np.concatenate([walk, np.zeros((N_FRAMES, 2, 3))], axis=1)


@pytest.fixture(scope="module")
def ours(positions):
    symbols = ["Li"] * N_IONS + ["S"] * 2
    return diffusivity(Trajectory(symbols, positions, np.eye(3) * EDGE, np.arange(N_FRAMES) * 1.0), "Li")


def test_pymatgen(positions, ours):
    analyzer = pytest.importorskip("pymatgen.analysis.diffusion.analyzer")
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice.cubic(EDGE), ["Li"] * N_IONS + ["S"] * 2, positions[0] / EDGE)
    moved = (positions - positions[:1]).transpose(1, 0, 2)
    # Without a limit its line runs through lags up to the whole run, whose noise is then as large as the slope.
    limit = {"min_obs": round(N_IONS * N_FRAMES / ours.window_ps[1])}
    theirs = analyzer.DiffusionAnalyzer(structure, moved, "Li", 300.0, 1000, 1, smoothed="max", **limit)
    lags = np.rint(theirs.dt / 1000).astype(int)
    np.testing.assert_allclose(
        mean_squared_displacement(positions[:, :N_IONS])[lags].sum(axis=1), theirs.msd, rtol=1e-6
    )
    # It weights all lags alike, which costs it precision.
    assert ours.value == pytest.approx(theirs.diffusivity, rel=0.08)
    sigma = nernst_einstein(theirs.diffusivity, N_IONS / EDGE**3, 300.0)
    assert sigma * 1000 == pytest.approx(theirs.conductivity, rel=1e-3)  # mS/cm


def test_mdanalysis_msd(positions):
    msd = pytest.importorskip("MDAnalysis.analysis.msd")
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(N_IONS, trajectory=True)
    universe.load_new(positions[:, :N_IONS].astype(np.float32))
    theirs = msd.EinsteinMSD(universe, msd_type="xyz", fft=True).run().results.timeseries
    np.testing.assert_allclose(
        mean_squared_displacement(positions[:, :N_IONS]).sum(axis=1), theirs, rtol=1e-3, atol=1e-3
    )


def test_mdanalysis_rdf():
    inter_rdf = pytest.importorskip("MDAnalysis.analysis.rdf").InterRDF
    rng = np.random.default_rng(2)
    cell = np.array([[22.0, 0, 0], [3.0, 23.0, 0], [-2.0, 4.0, 24.0]])
    images = [Atoms("Li150S100", scaled_positions=rng.random((250, 3)), cell=cell, pbc=True) for _ in range(3)]
    trajectory = Trajectory.from_ase(images, 1.0, unwrapped=True)
    universe = trajectory.to_mdanalysis()
    lithium, sulphur = (universe.select_atoms(f"name {s}") for s in ("Li", "S"))
    theirs = inter_rdf(lithium, sulphur, nbins=40, range=(0.0, 10.0)).run().results
    ours = radial_distributions(trajectory, [("Li", "S")], cutoff_A=10.0, bin_A=0.25)["Li", "S"]
    np.testing.assert_allclose(ours.r_A, theirs.bins)
    # Its positions are of single precision, ours of 1e-3 Å: a pair or two in the bin next door.
    np.testing.assert_allclose(ours.g[4:], theirs.rdf[4:], rtol=0.02, atol=0.01)


@pytest.mark.slow
def test_kinisi_diffusion(positions, ours):
    analyze = pytest.importorskip("kinisi.analyze")
    import scipp

    symbols = f"Li{N_IONS}S2"
    images = [Atoms(symbols, positions=frame, cell=[EDGE] * 3, pbc=True) for frame in positions]
    for atoms in images:
        atoms.wrap()
    ps = scipp.Unit("ps")
    theirs = analyze.DiffusionAnalyzer.from_ase(
        images, "Li", time_step=1.0 * ps, step_skip=1 * scipp.units.dimensionless, progress=False
    )
    theirs.diffusion(5 * ps, progress=False, random_state=np.random.RandomState(0))
    value, error = float(theirs.D.values.mean()), float(theirs.D.values.std())
    assert abs(ours.value - value) < 2 * np.hypot(ours.uncertainty, error)
    # Errors of the same kind: blocks of time against the posterior of a model covariance.
    assert 0.4 < ours.uncertainty / error < 2


def test_kinisi_arrhenius():
    arrhenius_of_kinisi = pytest.importorskip("kinisi.arrhenius")
    import scipp

    rng = np.random.default_rng(1)
    temperatures = np.array([500.0, 600.0, 700.0, 800.0])
    values = 1e-3 * np.exp(-0.3 / arrhenius.K_B / temperatures + rng.normal(0, 0.05, 4))
    data = scipp.DataArray(
        data=scipp.array(dims=["temperature"], values=values, variances=(0.05 * values) ** 2, unit="cm^2/s"),
        coords={"temperature": scipp.array(dims=["temperature"], values=temperatures, unit="K")},
    )
    theirs = arrhenius_of_kinisi.Arrhenius(data)
    found = arrhenius.fit(temperatures, values, 0.05 * values)
    # It weights D, ours ln D: the same to first order in the errors.
    assert found.activation_energy_eV == pytest.approx(
        float(theirs.activation_energy.value), abs=0.3 * found.activation_energy_error_eV
    )
