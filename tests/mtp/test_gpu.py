"""The GPU's kernels without a card: compiled for the host and run thread by thread, against the CPU's.

No number here was made by a card. What the emulation checks is the source that a card would get: its arithmetic, its
exchanges between lanes, its barriers (threads take turns in an order that changes), and all that the host does.
"""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

from aiida_lpsgb.mtp import _core
from aiida_lpsgb.mtp.basis import untrained
from tests.mtp.conftest import strain_slopes


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory):
    """Each kernel is compiled once for all tests."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler.split()[0]) is None:
        pytest.skip(f"no C++ compiler {compiler}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def potential_of(level, n_species=3, *, repulsive_below=None, **settings):
    """A potential with random coefficients."""
    mtp = untrained(level, n_species, min_distance=repulsive_below or 1.6, cutoff=4.5, **settings)
    mtp = mtp.with_parameters(np.random.default_rng(level).uniform(-0.05, 0.05, mtp.n_parameters))
    text = mtp.to_string()
    return _core.Potential(text.replace("RBChebyshev", "RBChebyshev_repuls") if repulsive_below else text)


@pytest.fixture
def atoms(make_atoms):
    return make_atoms(30, 0, 8.0)


def types_of(atoms):
    return np.array([["Li", "P", "S"].index(symbol) for symbol in atoms.symbols])


def arguments_of(potential, atoms):
    return types_of(atoms) % potential.species_count, atoms.positions, atoms.cell.array, atoms.pbc


def on_cpu(potential, atoms):
    return _core.Evaluator(potential).evaluate(*arguments_of(potential, atoms))


def both(potential, atoms, *, mixed=False, **options):
    """Results of the CPU and of the kernels."""
    device = _core.DeviceEvaluator(potential, "host", mixed)
    return on_cpu(potential, atoms), device.evaluate(*arguments_of(potential, atoms), **options)


def assert_same(cpu, gpu, tolerance=1e-12):
    for name, expected in cpu.items():
        assert np.max(np.abs(gpu[name] - expected)) <= tolerance * np.max(np.abs(expected)), name


@pytest.mark.parametrize(
    ("level", "settings"),
    [
        (8, {}),
        (14, {}),
        pytest.param(16, {}, id="16, products as tables"),
        pytest.param(20, {}, marks=pytest.mark.slow),
        pytest.param(22, {}, marks=pytest.mark.slow, id="22, wide tables"),
        pytest.param(2, {"n_species": 1, "radial_basis_size": 7}, id="one species, odd basis"),
        pytest.param(10, {"n_species": 2, "radial_basis_size": 1}, marks=pytest.mark.slow),
        # More coefficients than fit beside the rest in shared memory.
        pytest.param(10, {"n_species": 9}, marks=pytest.mark.slow),
    ],
)
def test_agrees_with_the_cpu(atoms, level, settings):
    assert_same(*both(potential_of(level, **settings), atoms, skin=1.0))


def test_repulsion_and_virials_of_atoms(atoms):
    distances = np.sort(atoms.get_all_distances(mic=True)[np.triu_indices(len(atoms), 1)])
    below = float(distances[9:11].mean())  # between two, for the slope jumps there
    potential = potential_of(6, repulsive_below=below)
    cpu, gpu = both(potential, atoms, virials=True)
    assert_same(cpu, gpu)
    without = on_cpu(potential_of(6, repulsive_below=below / 2), atoms)
    assert abs(cpu["energy"] - without["energy"]) > 1e-9
    # An atom's virial is minus the derivative of its energy by the strain.
    slopes = strain_slopes(lambda strained: on_cpu(potential, strained)["energies"], atoms)
    assert np.abs(gpu["virials"] + slopes).max() < 1e-6 * np.abs(gpu["virials"]).max()


def test_more_neighbours_than_there_is_room_for_at_first():
    """In the list and within the cutoff; some atoms have none."""
    rng = np.random.default_rng(3)
    crowd = rng.uniform(0, 4.4, (130, 3))
    far = np.array([[30.0, 0, 0], [0, 30, 1], [17, 5, 40]])
    atoms = Atoms(
        rng.choice(["Li", "P", "S"], 133), np.concatenate([crowd, far]), cell=[60, 60, 60], pbc=[True, False, True]
    )
    cpu, gpu = both(potential_of(8), atoms, skin=2.0)
    assert_same(cpu, gpu, 1e-11)
    np.testing.assert_array_equal(gpu["forces"][130:], 0)


def test_mixed_precision(atoms):
    cpu, gpu = both(potential_of(8), atoms, mixed=True, skin=1.0)
    assert_same(cpu, gpu, 1e-5)
    assert np.max(np.abs(gpu["forces"] - cpu["forces"])) > 1e-12 * np.max(np.abs(cpu["forces"]))


def test_atoms_that_are_lost(atoms):
    device = _core.DeviceEvaluator(potential_of(8), "host")
    arguments = (types_of(atoms), atoms.positions + [[1e9, 0, 0]] * (np.arange(len(atoms)) == 3)[:, None])
    with pytest.raises(_core.DeviceError, match="atoms are lost"):
        device.evaluate(*arguments, atoms.cell.array, [False] * 3)


def test_a_card_too_small_is_told():
    with pytest.raises(ValueError, match=r"needs \d+ bytes of shared memory, of which this card has 4096"):
        _core.gpu_source(potential_of(20), shared_limit=4096)


# ---- compiling for a card ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "mixed"), [(8, True), (16, False)])
def test_nvrtc_compiles(level, mixed):
    try:
        _core.nvrtc_description()
    except _core.DeviceError as error:
        pytest.skip(str(error))
    source = _core.gpu_source(potential_of(level), mixed, level == 8)
    assert _core.gpu_compile(source, "sm_90")[:4] == b"\x7fELF"
    assert b".target sm_60" in _core.gpu_compile(source, "compute_60")
    with pytest.raises(_core.DeviceError, match=r"did not compile the kernels for sm_90(.|\n)*nonsense"):
        _core.gpu_compile(source + "\nnonsense\n", "sm_90")


def test_without_nvrtc(tmp_path):
    script = "from aiida_lpsgb.mtp import _core\n_core.nvrtc_description()"
    environment = {**os.environ, "MTP_NVRTC": "/absent/libnvrtc.so"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "pip install 'aiida-lpsgb[gpu]'" in done.stderr
    assert "/absent/libnvrtc.so" in done.stderr
