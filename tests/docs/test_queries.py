"""The queries of README and docs, asked of a study made of nodes alone: nothing is run."""

import re
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory

from aiida_lpsgb.analysis.trajectory import Trajectory

ROOT = Path(__file__).parents[2]
SCALARS = {"species": "Li", "region": "all", "estimator": "msd", "direction": "xyz", "upper_limit_cm2_s": 3e-6}


def blocks(page):
    """Return the Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def linked(process, inputs, outputs):
    """Store a process between its inputs and its outputs."""
    calculation = isinstance(process, orm.CalcJobNode)
    for label, node in inputs.items():
        node = node if node.is_stored else node.store()
        process.base.links.add_incoming(node, LinkType.INPUT_CALC if calculation else LinkType.INPUT_WORK, label)
    process.store()
    for label, node in outputs.items():
        node.base.links.add_incoming(process, LinkType.CREATE if calculation else LinkType.RETURN, label)
        node.store()
    return process


def run(potential, temperature_K, value, diffusive):
    """Make a run of two segments that was looked at twice; the last of its two diffusivities counts."""
    found = Trajectory(["Li"], np.zeros((2, 1, 3)), np.eye(3), np.arange(2.0))
    segments = [DataFactory("lpsgb.trajectory")(found, "npt", temperature_K) for _ in range(2)]
    for segment in segments:
        linked(orm.CalcJobNode(process_type="aiida.calculations:lpsgb.md"), {"potential": potential}, {"s": segment})
    numbers = {"diffusivity_cm2_s": value, "uncertainty_cm2_s": value / 10, "temperature_K": temperature_K}
    looks = [
        DataFactory("lpsgb.diffusivity")({**SCALARS, **numbers, "diffusive": diffusive, "verdict": "yes"})
        for _ in segments
    ]
    for n_segments, look in enumerate(looks, start=1):
        inputs = {f"trajectories__segment_{k:03d}": segments[k] for k in range(n_segments)}
        linked(orm.CalcJobNode(process_type="aiida.calculations:lpsgb.analyse"), inputs, {"diffusivity": look})
    return looks[-1]


@pytest.fixture
def potential(aiida_profile_clean, data_path):
    """Return the potential of a study with two runs below 700 K and one above."""
    potential = DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", ["Li", "P", "S"])
    runs = {
        "systems__crystal__diffusivities__t900k_p1_1": run(potential, 900.0, 1e-5, True),
        "systems__crystal__diffusivities__t500k_p1_1": run(potential, 500.0, 1e-6, True),
        "systems__crystal__diffusivities__t300k_p1_1": run(potential, 300.0, 2e-6, False),
    }
    linked(orm.WorkChainNode(process_type="aiida.workflows:lpsgb.study"), {}, runs)
    return potential


def test_the_query_of_the_readme_lists_each_run_once(potential, capsys):
    (query,) = [block for block in blocks("README.md") if "QueryBuilder()" in block]
    exec(compile(query, "README.md", "exec"), {})
    of = f"potential {potential.uuid[:8]} of level 8"
    assert capsys.readouterr().out.splitlines() == [
        f"systems.crystal.diffusivities.t300k_p1_1: 300 K, D < 3.00e-06 cm²/s, {of}",
        f"systems.crystal.diffusivities.t500k_p1_1: 500 K, D = 1.00e-06 cm²/s, {of}",
    ]


def test_the_other_queries_can_be_asked(aiida_profile_clean):
    curve, fit = orm.Dict({"converged": True}).store(), orm.Dict({"activation_energy_ev": 0.3}).store()
    outputs = {"learning_curve": curve, "systems__crystal__arrhenius": fit, "systems__crystal__summary": curve}
    linked(orm.WorkChainNode(process_type="aiida.workflows:lpsgb.study"), {}, outputs)
    names, answers = {}, []
    for block in blocks("docs/how-to/query.md"):
        exec(compile(block, "query.md", "exec"), names)
        answers.append(names["query"].all())
    known, potentials, fits, boundaries = answers
    assert (known, potentials, boundaries) == ([], [], [])
    assert [row[1:] for row in fits] == [[{"activation_energy_ev": 0.3}, "systems__crystal__arrhenius"]]
