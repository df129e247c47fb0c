"""A whole study in miniature, on the real programs: Morse labels, a level-4 potential, picoseconds."""

from __future__ import annotations

import contextlib
import time
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida import load_profile, orm
from aiida.engine import submit
from aiida.manage import get_manager
from aiida.manage.configuration import profile_context
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.cli import quicksetup
from aiida_lpsgb.workflows.protocols import load_codes

CIF = Path(__file__).parents[1] / "data" / "half-filled.cif"
SEED = 11
STUDY_TIMEOUT_S = 900.0

MD = {"timestep_fs": 1.0, "barostat": "iso"}
HOLD = {"ensemble": "nvt", "duration_ps": 1, "temperature_K": "target"}
MINIATURE = {
    "mobile": {"species": "Li", "charge": 1},
    "label": {
        "engine": {
            "parameters": {
                "calculator": "ase.calculators.morse:MorsePotential",
                "keywords": {"epsilon": 0.1, "rho0": 4.0, "r0": 2.7, "rcut1": 1.4, "rcut2": 1.8},
            }
        }
    },
    "ordering": {"charges": {"Li": 1, "Cl": -0.5}, "n_candidates": 1},
    "start_set": {"strains": [0.0], "amplitudes": [0.1, 0.2], "n_rattles": 8},
    "reference_md": {
        "settings": {
            "temperatures_K": [600],
            "timestep_fs": 1.0,
            "duration_ps": 0.1,
            "equilibration_ps": 0.02,
            "n_samples": 4,
        }
    },
    # The passive stage puts its own level there. It has one point: measured times might not choose the same twice.
    "potential": {"level": 2, "radial_basis_size": 4},
    "passive_learning": {
        "settings": {"levels": [4], "cutoffs_angstrom": [5.0]},
        "training": {"max_iter": 40},
        "cell": {"n_atoms": 60},
    },
    "recipes": {
        "crystal": {"learn": {"n_atoms": 12}, "run": {"n_atoms": 96}},
        "boundary": {"learn": {"width": 6.0, "region": 3.0}, "run": {"width": 8.0, "region": 4.0, "n_atoms": 1}},
    },
    "active_learning": {
        "training": {"max_iter": 40},
        "selection": {"selection_limit": 20},
        "settings": {
            "temperatures_K": [500, 900],
            "gamma_break": [50],
            "grade_interval_steps": 5,
            "max_iterations": 10,
            "n_potentials": 2,
            "n_relaxations": 1,
        },
        "exploration": MD | {"stages": [HOLD | {"name": "explore"}]},
    },
    "transport": {
        "temperatures_K": [1000, 650, 300],
        "budget": {"target_relative_error": 0.5, "max_production_ps": 20},
        "analyse": {
            "speciation": {"centre": "Cl", "ligand": "Li", "cutoff_A": 3.0, "coordination": 4, "bonds_A": {}},
            "disorder": {"neighbours": ["Cl"]},
            "rdf": {"cutoff_A": 3.5},
            "regions": {"estimators": ["tagged"]},
        },
        "parameters": MD
        | {
            "restart_interval_ps": 5,
            "stages": [
                HOLD | {"name": "hold"},
                HOLD | {"name": "produce", "duration_ps": 10, "dump_interval_ps": 0.1},
            ],
        },
    },
    # What relaxes is learned from, too; the cards have a test of their own.
    "properties": {
        "start": {"amplitudes": [0.02], "n_rattles": 1},
        "deformation": {"volume_strains": []},
        "drift": None,
    },
    "go_on_anyway": True,
    # Going back to learning has a test of its own.
    "returns": None,
    "boundary_parity": {"cell": {"width": 6.0, "region": 3.0}},
    "validate": {
        "temperatures_K": [650, 1000],
        "n_frames": 3,
        "parameters": MD | {"stages": [HOLD | {"name": "produce", "duration_ps": 2, "dump_interval_ps": 0.1}]},
    },
}
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    # Cut between any two atoms: what the toy potential makes of the crystal need not have units.
    "boundary": {"kind": "boundary", "axis": [0, 0, 1], "plane": [2, 1, 0], "cutoffs": {}, "core": {"width_A": 5.0}},
}


def register_codes():
    """Register the programs in the loaded profile."""
    computer, _ = quicksetup.setup_computer("localhost", fresh_profile=False)
    for program, path in quicksetup.find_programs().items():
        quicksetup.setup_code(program, path, computer, update=False)


def build(explore_ps=1, systems=SYSTEMS, **arguments):
    """Return the builder of the miniature study in the loaded profile; it is the same in every profile.

    ``explore_ps`` is the length of an exploration run.
    """
    register_codes()
    overrides = deepcopy(MINIATURE)
    overrides["active_learning"]["exploration"]["stages"][0]["duration_ps"] = explore_ps
    return WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        load_codes(),
        orm.CifData(file=str(CIF), parse_policy="lazy"),
        systems,
        protocol="fast",
        overrides=overrides,
        seed=orm.Int(SEED),
        **arguments,
    )


def daemon_log(profile):
    """Return the text of a profile's daemon log."""
    from aiida.engine.daemon.client import get_daemon_client

    return Path(get_daemon_client(profile.name).daemon_log_file).read_text(encoding="utf-8")


def wait_for(node, condition, timeout=STUDY_TIMEOUT_S):
    """Wait until a condition holds, failing with the state of the processes if it does not in time."""
    from aiida.cmdline.utils.ascii_vis import format_call_graph

    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(
                f"timed out after {timeout} s\n{format_call_graph(node)}\n{daemon_log(get_manager().get_profile())}"
            )
        time.sleep(0.2)
    return value


def explain(node):
    """Return the call graph and the reports of a process, for the message of a failed assertion."""
    from aiida.cmdline.utils.ascii_vis import format_call_graph
    from aiida.cmdline.utils.common import get_workchain_report

    return f"{format_call_graph(node)}\n{get_workchain_report(node, 'REPORT')}"


def descendants(node):
    """Yield every process below a process."""
    for call in node.called:
        yield call
        yield from descendants(call)


def essence(study):
    """Return what a study has found, as plain values that do not depend on the profile or on the time it took."""
    outputs = study.outputs
    return {
        "potentials": {name: potential.get_content() for name, potential in outputs.potentials.items()},
        "iterations": [
            {
                key: row[key]
                for key in ("iteration", "potentials", "gamma_break", "n_broken", "n_extrapolated", "max_grade")
            }
            for row in outputs.learning_curve["iterations"]
        ],
        "labels": {name: len(data) for name, data in outputs.training_sets.items()},
        "diffusivities": {
            name: {label: node.value for label, node in system.diffusivities.items()}
            for name, system in outputs.systems.items()
        },
        "test_errors": {name: node["energy_mae_ev_atom"] for name, node in outputs.test_errors.items()},
    }


@pytest.fixture(scope="session")
def miniature():
    """Return the helpers of the tests that run whole studies."""
    return SimpleNamespace(build=build, wait_for=wait_for, explain=explain, essence=essence, descendants=descendants)


@pytest.fixture(scope="session")
def broker_profile_factory(aiida_config, aiida_profile, aiida_profile_factory):
    """Return a context manager that loads a profile of its own with a broker.

    Its daemon, if one is started, is stopped at the end, and the profile loaded before is loaded again.
    """
    from aiida.engine.daemon.client import DaemonException, get_daemon_client

    @contextlib.contextmanager
    def factory():
        with aiida_profile_factory(aiida_config, broker_backend="core.zeromq") as profile:
            aiida_config.set_option("daemon.timeout", 60, scope=profile.name)
            aiida_config.store()
            try:
                yield profile
            finally:
                client = get_daemon_client(profile.name)
                if client.is_daemon_running:
                    with contextlib.suppress(DaemonException):
                        client.stop_daemon(wait=True)

    return factory


@pytest.fixture(scope="session")
def _study(aiida_profile, broker_profile_factory):
    """Run the miniature study once through a daemon; the profile and the UUID, with the profile not loaded."""
    from aiida.engine.daemon.client import get_daemon_client

    with broker_profile_factory() as profile:
        builder = build()
        client = get_daemon_client(profile.name)
        client.start_daemon(1)
        quicksetup.wait_for_broker()
        node = submit(builder)
        wait_for(node, lambda: node.is_terminated)
        client.stop_daemon(wait=True)
        assert node.is_finished_ok, explain(node)
        uuid = node.uuid
        load_profile(aiida_profile.name, allow_switch=True)
        yield profile, uuid
        load_profile(profile.name, allow_switch=True)


@pytest.fixture
def study(_study):
    """Return the finished miniature study; its profile is loaded, and no daemon runs."""
    profile, uuid = _study
    with profile_context(profile, allow_switch=True):
        yield orm.load_node(uuid)
