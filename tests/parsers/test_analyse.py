"""What becomes of the program's results, whole or not."""

import json

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.analysis.cli import analyse
from aiida_lpsgb.analysis.results import Results
from tests.analysis.conftest import tetrahedra_run

pytestmark = pytest.mark.usefixtures("aiida_profile")
CODES = CalculationFactory("lpsgb.analyse").exit_codes


@pytest.fixture
def parse(tmp_path, generate_calc_job_node, generate_parser):
    def function(error=""):
        node = generate_calc_job_node("lpsgb.analyse", {}, {"analyse.out": "", "analyse.err": error})
        parser = generate_parser("lpsgb.analyse")
        return parser.parse_from_node(node, store_provenance=False, retrieved_temporary_folder=str(tmp_path))

    return function


def test_nodes_and_what_they_tell(tmp_path, parse):
    parameters = {"density": {"species": "Li", "voxel_A": 2.0}, "diffusivity": {"species": "Li"}}
    parameters["speciation"] = {"centre": "P", "ligand": "S", "cutoff_A": 2.5}
    analyse(tetrahedra_run(), parameters, tmp_path / "results", temperature_K=600.0)
    outputs, calcfunction = parse()
    assert calcfunction.is_finished_ok, calcfunction.exit_message
    assert set(outputs) == {"density", "diffusivity", "speciation", "summary"}
    assert isinstance(outputs["diffusivity"], DataFactory("lpsgb.diffusivity"))
    assert outputs["diffusivity"].temperature == 600.0
    assert isinstance(outputs["speciation"], orm.Dict)
    assert outputs["speciation"]["cutoff_A"] == 2.5
    # What is missing is None, or NaN in an array.
    assert outputs["density"].base.attributes.get("enrichment") is None
    assert np.isfinite(outputs["density"].get_array("density_A3")).all()


def test_no_results(parse):
    assert parse("ERROR: no such file")[1].exit_status == CODES.ERROR_PROGRAM.status
    _, node = parse("/bin/sh: lpsgb-analyse: not found\n")
    assert node.exit_status == CODES.ERROR_OUTPUT_MISSING.status
    assert "lpsgb-analyse: not found" in node.exit_message


def test_interrupted(tmp_path, parse):
    results = analyse(tetrahedra_run(60), {"rdf": {}}, tmp_path / "results")
    results.complete = False
    results.write()
    outputs, node = parse()
    assert node.exit_status == CODES.ERROR_INTERRUPTED.status
    assert CODES.ERROR_INTERRUPTED.invalidates_cache
    assert "rdf" in outputs


@pytest.mark.parametrize(
    ("refused", "code"), [(True, "ERROR_OBSERVABLES_REFUSED"), (False, "ERROR_OBSERVABLES_FAILED")]
)
def test_some_failed(tmp_path, parse, refused, code):
    results = analyse(tetrahedra_run(60), {"rdf": {}}, tmp_path / "results")
    results.fail("diffusivity", "the reason", refused=refused)
    outputs, node = parse()
    assert node.exit_status == CODES[code].status
    assert "diffusivity: the reason" in node.exit_message
    # What equal inputs would refuse again may be taken from the cache; what broke may not.
    assert CODES[code].invalidates_cache is not refused
    assert "rdf" in outputs


def test_segments_of_other_runs_and_newer_results(tmp_path, parse):
    Results(tmp_path / "results", refused="they do not continue each other", complete=True).write()
    _, node = parse("ERROR: they do not continue each other")
    assert node.exit_status == CODES.ERROR_TRAJECTORIES.status
    (tmp_path / "results" / "results.json").write_text(json.dumps({"format": "lpsgb-analysis", "version": 9}))
    _, node = parse()
    assert node.exit_status == CODES.ERROR_PROGRAM.status
    assert "format version 9" in node.exit_message
