"""Fixtures shared by all tests.

Every profile lives in a temporary folder. ``aiida_profile`` (loaded for the session by AiiDA's own fixtures) has no
broker: processes run in the test's own interpreter. ``daemon_profile`` has a broker and a running daemon, for the tests
marked ``daemon``, which use ``submit_and_wait``.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from tests.programs import emulated_vasp

pytest_plugins = ["aiida.tools.pytest_fixtures"]

PROGRAMS = Path(sys.executable).parent
POLL_INTERVAL_S = 0.05


@pytest.fixture(scope="session", autouse=True)
def _rest_between_polls():
    """Let work chains in the test's own interpreter wait for their children at rest.

    AiiDA looks at them without a pause in profiles of tests, which takes a core from the programs that run.
    """
    from aiida.engine.runners import Runner

    begin = Runner.__init__

    def begin_resting(self, poll_interval=0, **kwargs):
        begin(self, poll_interval or POLL_INTERVAL_S, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "__init__", begin_resting)
        yield


@pytest.fixture(scope="session")
def data_path():
    """Return the folder of small input files."""
    return Path(__file__).parent / "data"


@pytest.fixture
def generate_images():
    """Return a factory of small random Li-P-S images, labelled by a smooth function of the seed."""

    def factory(count=2, size=8, seed=0, labelled=True, **info):
        rng = np.random.default_rng(seed)
        images = []
        for _ in range(count):
            symbols = ["Li", "P", "S", *rng.choice(["Li", "P", "S"], max(size - 3, 0))][:size]
            # Scaled positions on a jittered grid keep atoms apart.
            edge = int(np.ceil(size ** (1 / 3)))
            grid = np.array([(i, j, k) for i in range(edge) for j in range(edge) for k in range(edge)])[:size]
            cell = np.eye(3) * 2.6 * edge + rng.normal(size=(3, 3)) * 0.05
            atoms = Atoms(symbols, cell=cell, pbc=True, info=dict(info))
            atoms.set_scaled_positions((grid + 0.5 + rng.uniform(-0.08, 0.08, grid.shape)) / edge)
            if labelled:
                forces = rng.normal(size=(size, 3)) * 0.3
                atoms.calc = SinglePointCalculator(
                    atoms,
                    energy=-4.0 * size + rng.normal() * 0.1,
                    forces=forces - forces.mean(axis=0),
                    stress=rng.normal(size=6) * 0.01,
                )
            images.append(atoms)
        return images

    return factory


@pytest.fixture
def generate_configurations(generate_images):
    """Return a factory of configuration nodes; the arguments are those of ``generate_images``."""

    def factory(*args, species=("Li", "P", "S"), level_of_theory="toy", **kwargs):
        from aiida_lpsgb.data.configurations import ConfigurationsData

        images = generate_images(*args, **kwargs)
        return ConfigurationsData(images, species, level_of_theory if kwargs.get("labelled", True) else None)

    return factory


@pytest.fixture
def generate_potential():
    """Return a factory of potential nodes of level 2, with small random coefficients if trained."""

    def factory(species=("Li", "P", "S"), cutoff=5.0, seed=1, trained=True):
        from aiida_lpsgb.data.potential import PotentialData
        from aiida_lpsgb.mtp.potential import MTP

        mtp = MTP(
            n_species=len(species),
            radial_basis_type="RBChebyshev",
            min_distance=1.5,
            cutoff=cutoff,
            radial_basis_size=8,
            n_radial=1,
            index_basic=np.array([[0, 0, 0, 0]]),
            index_times=np.zeros((0, 4), dtype=int),
            moment_mapping=np.array([0]),
            n_moments=1,
        )
        if trained:
            mtp = mtp.with_parameters(np.random.default_rng(seed).normal(size=mtp.n_parameters) * 0.02)
        return PotentialData(mtp, species)

    return factory


@pytest.fixture
def installed_code(aiida_code_installed):
    """Return a factory of codes for this package's own programs, by name, on the local computer."""

    def factory(program, plugin, **kwargs):
        path = PROGRAMS / program
        if not path.exists():
            pytest.fail(f"{program} is not installed beside {sys.executable}: install the package first")
        return aiida_code_installed(
            label=f"{program}-{plugin}", default_calc_job_plugin=plugin, filepath_executable=str(path), **kwargs
        )

    return factory


@pytest.fixture
def metadata():
    """Return the metadata of a short serial job."""
    return {"options": {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}, "withmpi": False}}


@pytest.fixture
def fixture_sandbox():
    """Return a temporary folder of AiiDA's kind."""
    from aiida.common.folders import SandboxFolder

    with SandboxFolder() as folder:
        yield folder


@pytest.fixture
def generate_calc_job(fixture_sandbox):
    """Return a factory that prepares a CalcJob for submission without running it.

    It returns the ``CalcInfo`` and the folder the input files were written to.
    """

    def factory(entry_point, inputs):
        from aiida.engine.utils import instantiate_process
        from aiida.manage import get_manager
        from aiida.plugins import CalculationFactory

        runner = get_manager().get_runner()
        process = instantiate_process(runner, CalculationFactory(entry_point), **inputs)
        return process.prepare_for_submission(fixture_sandbox), fixture_sandbox

    return factory


@pytest.fixture
def generate_calc_job_node(aiida_localhost):
    """Return a factory of stored CalcJob nodes with given retrieved files, to feed to a parser.

    ``retrieved`` maps names to text or bytes; files of the folder ``path`` are added to them.
    """

    def factory(entry_point, inputs=None, retrieved=None, path=None, options=None):
        from aiida import orm
        from aiida.common import LinkType
        from aiida.plugins.entry_point import format_entry_point_string

        node = orm.CalcJobNode(
            computer=aiida_localhost, process_type=format_entry_point_string("aiida.calculations", entry_point)
        )
        node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
        for key, value in (options or {}).items():
            node.set_option(key, value)
        for label, value in _flatten(inputs or {}):
            value.store()
            node.base.links.add_incoming(value, link_type=LinkType.INPUT_CALC, link_label=label)
        node.store()
        folder = orm.FolderData()
        if path is not None:
            folder.base.repository.put_object_from_tree(path)
        for name, content in (retrieved or {}).items():
            data = content.encode() if isinstance(content, str) else content
            folder.base.repository.put_object_from_filelike(io.BytesIO(data), name)
        folder.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label="retrieved")
        folder.store()
        return node

    return factory


def _flatten(inputs, prefix=""):
    from aiida import orm

    for key, value in inputs.items():
        if isinstance(value, orm.Node):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict) and key != "metadata":
            yield from _flatten(value, f"{prefix}{key}__")


@pytest.fixture
def generate_parser():
    """Return a factory of parser classes by entry point."""

    def factory(entry_point):
        from aiida.plugins import ParserFactory

        return ParserFactory(entry_point)

    return factory


@pytest.fixture
def generate_workchain():
    """Return a factory of work chain processes that are set up but not run."""

    def factory(entry_point, inputs):
        from aiida.engine.utils import instantiate_process
        from aiida.manage import get_manager
        from aiida.plugins import WorkflowFactory

        return instantiate_process(get_manager().get_runner(), WorkflowFactory(entry_point), **inputs)

    return factory


@pytest.fixture
def computer(aiida_profile):
    """Return the label of a computer with the codes that quicksetup makes; none of them is run."""
    return stored_computer()


def stored_computer():
    """Return the label of a computer with the codes that quicksetup makes, which is stored if it is not there."""
    from aiida import orm

    from aiida_lpsgb.cli.quicksetup import PROGRAMS

    if orm.QueryBuilder().append(orm.Computer, filters={"label": "dry"}).count():
        return "dry"
    machine = orm.Computer("dry", "localhost", "", "core.local", "core.direct", "/tmp").store()
    machine.set_default_mpiprocs_per_machine(1)
    for program in PROGRAMS:
        orm.InstalledCode(machine, "/bin/true", label=program.label, default_calc_job_plugin=program.plugin).store()
    return machine.label


@pytest.fixture(scope="module")
def daemon_profile(aiida_config, aiida_profile_factory):
    """Load a profile with a broker, start its daemon, and go back to the session's profile at the end of the module."""
    if shutil.which("verdi") is None:
        pytest.fail("verdi is not on PATH: activate the environment the tests run in")
    from aiida.engine.daemon.client import DaemonException, get_daemon_client

    from aiida_lpsgb.cli.quicksetup import wait_for_broker

    with aiida_profile_factory(aiida_config, broker_backend="core.zeromq") as profile:
        # The default of 2 s fails on a loaded machine.
        aiida_config.set_option("daemon.timeout", 60)
        aiida_config.store()
        client = get_daemon_client(profile.name)
        client.start_daemon(1)
        try:
            wait_for_broker()
            yield profile
        finally:
            with contextlib.suppress(DaemonException):
                client.stop_daemon(wait=True)


@pytest.fixture
def submit_and_wait(daemon_profile):
    """Return a factory that submits a process to the daemon and waits until it has ended."""

    def factory(process, timeout=120, **inputs):
        from aiida.engine import submit
        from aiida.engine.daemon.client import get_daemon_client

        node = submit(process, **inputs)
        end = time.monotonic() + timeout
        while not node.is_terminated:
            if time.monotonic() > end:
                log = Path(get_daemon_client(daemon_profile.name).daemon_log_file).read_text(encoding="utf-8")
                pytest.fail(f"process {node.pk} is {node.process_state} after {timeout} s; daemon log:\n{log}")
            time.sleep(0.1)
        return node

    return factory


# --- VASP: an emulator as a code, and POTCARs that hold nothing ----------------------------------------------------

POTCAR_FAMILY = "STUB.54"


@pytest.fixture
def potcar_family(aiida_profile):
    """Return the name of a family of POTCARs that hold nothing, for Li, Li_sv, P, S, Cu and Ar."""
    pytest.importorskip("aiida_vasp")
    emulated_vasp.upload_potcars(POTCAR_FAMILY, ("Li", "Li_sv", "P", "S", "Cu", "Ar"))
    return POTCAR_FAMILY


@pytest.fixture
def vasp_code(aiida_code_installed, tmp_path):
    """Return a factory of codes that run the emulator with a calculator of ASE and, where told, failures."""
    pytest.importorskip("aiida_vasp")

    def factory(calculator="ase.calculators.emt:EMT", failures=(), **config):
        number = len(list(tmp_path.glob("vasp_*.json")))
        script = emulated_vasp.write_program(tmp_path, f"vasp_{number}", calculator, failures, **config)
        return aiida_code_installed(
            label=f"vasp-{tmp_path.name}-{number}", default_calc_job_plugin="vasp.vasp", filepath_executable=str(script)
        )

    return factory
