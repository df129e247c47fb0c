"""A short made-up run through the whole characterisation, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.report.characterisation import characterisation_figures

pytestmark = pytest.mark.usefixtures("aiida_profile")


@pytest.fixture
def trajectory(aiida_profile):
    """Li that wanders among PS4 tetrahedra."""
    rng = np.random.default_rng(0)
    n_frames, n_ions, edge = 120, 60, 18.0
    centres = np.stack(np.meshgrid(*[[4.5, 13.5]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    legs = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    frame = np.concatenate([centres, (centres[:, None] + legs).reshape(-1, 3)])
    lithium = rng.uniform(0, edge, (1, n_ions, 3)) + rng.normal(0, 0.15, (n_frames, n_ions, 3)).cumsum(axis=0)
    still = frame + rng.normal(0, 0.03, (n_frames, *frame.shape))
    symbols = ["Li"] * n_ions + ["P"] * 8 + ["S"] * 32
    run = Trajectory(symbols, np.concatenate([lithium, still], axis=1), np.eye(3) * edge, np.arange(n_frames) * 0.5)
    return DataFactory("lpsgb.trajectory")(run, "nvt", 600.0, 2.0)


def documented(page, word):
    """The Python block of a page of the documentation that holds a word."""
    text = (Path(__file__).parents[2] / "docs" / "topics" / "analysis" / page).read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block)


def test_everything_by_protocol(trajectory, tmp_path, monkeypatch):
    builder = WorkflowFactory("lpsgb.characterise").get_builder_from_protocol(
        trajectory,
        "fast",
        overrides={"density": {"voxel_A": 1.0}},
        region={"axis": 2, "centres": [0.5], "thickness_A": 9.0},
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    summary = outputs["summary"].get_dict()
    assert summary["first_peaks_A"]["P-S"] == pytest.approx(2.05, abs=0.05)
    assert summary["whole_fraction"] == 1.0
    assert summary["units"] == {"PS4": 8.0}
    assert summary["diffusivity_cm2_s"] == pytest.approx(0.15**2 / 2 / 0.5 * 1e-4, rel=0.2)
    assert set(summary["regions"]) == {
        f"{region}__{estimator}"
        for region in ("boundary", "elsewhere")
        for estimator in ("tagged", "both_ends", "continuous", "occupancy")
    }
    diagram = summary["topology"]["alpha_radius"]
    assert (diagram["filtration"], diagram["scale"], diagram["threshold_A"]) == ("alpha", "radius", 1.0)
    assert summary["topology"]["alpha_diameter"]["f_pd"] > diagram["f_pd"]
    assert 1 < summary["mean_disorder"] < 2.5
    assert summary["disorder_form"] == "normalised"
    # Every node is found by what it was computed with, and made by a process.
    query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"id": node.pk}, tag="chain")
    query.append(
        orm.ArrayData,
        with_incoming="chain",
        filters={"attributes.filtration": "alpha", "attributes.scale": "radius"},
        project="attributes.f_pd",
    )
    assert query.all(flat=True) == [diagram["f_pd"]]
    assert all(node.creator is not None for node in node.outputs.topology.values())
    assert outputs["rdf"].base.attributes.get("region")["thickness_A"] == 9.0
    grid = outputs["density"].get_array("density_A3")
    assert grid.mean() * 18**3 == pytest.approx(60)
    drawn = characterisation_figures(node)
    assert {"rdf", "density", "profile", "disorder", "msd", "topology_rips_diameter"} <= set(drawn)
    # The queries of the documentation find this run.
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(documented("index.md", "f_pd"), found)
    motion, diagram = summary["regions"]["boundary__occupancy"], summary["topology"]["rips_diameter"]
    row = [diagram["f_pd"], diagram["f_pd_uncertainty"], motion["conductivity_s_cm"], "boundary", 600.0]
    assert row in found["rows"]
    exec(documented("isotropy.md", "isotropy_uncertainty"), found)
    row = [motion[k] for k in ("isotropy", "isotropy_uncertainty", "diffusivity_cm2_s", "uncertainty_cm2_s")]
    assert row in found["points"]
    assert (tmp_path / "isotropy.pdf").exists()


def test_what_fails_is_named_and_the_rest_kept(trajectory):
    builder = WorkflowFactory("lpsgb.characterise").get_builder()
    builder.trajectory = trajectory
    builder.speciation = orm.Dict({"centre": "P", "ligand": "S", "cutoff_A": 2.5})
    builder.rdf = orm.Dict({"cutof_A": 5})
    outputs, node = run_get_node(builder)
    assert node.exit_status == 401
    assert "unknown cutof_A" in node.exit_message
    assert outputs["speciation"]["units"]
    assert "rdf" not in outputs


def test_absent_species_is_refused_before_it_runs(trajectory):
    builder = WorkflowFactory("lpsgb.characterise").get_builder()
    builder.trajectory = trajectory
    builder.topology = {"alpha": orm.Dict({"species": "Na"})}
    with pytest.raises(ValueError, match=r"topology.alpha: no Na in the trajectory"):
        run_get_node(builder)


def test_what_moves_is_said_once():
    work_chain = WorkflowFactory("lpsgb.characterise")
    overrides = {"mobile": {"species": "Na"}, "density": {"species": "O"}, "rdf": None}
    analyses = work_chain.get_analyses("fast", overrides, by_region=True)
    species = {name: values["species"] for name, values in analyses.items() if "species" in values}
    assert species == {
        "density": "O",
        "disorder": "Na",
        "diffusivity": "Na",
        "regions": "Na",
        "topology__alpha_radius": "Na",
        "topology__alpha_diameter": "Na",
        "topology__rips_diameter": "Na",
    }
    assert analyses["diffusivity"]["charge"] == 1
    assert "rdf" not in analyses
    assert "topology__alpha_radius" not in work_chain.get_analyses("fast", {"topology": None})
    assert "regions" not in work_chain.get_analyses("fast")
