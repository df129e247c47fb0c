"""All observables of a made-up run in one job, and what is refused."""

import json
import re
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import CalculationFactory, DataFactory

from aiida_lpsgb.analysis.observables import registry
from aiida_lpsgb.report.characterisation import characterisation_figures, characterisation_table
from tests.analysis.conftest import tetrahedra_run

AnalyseCalculation = CalculationFactory("lpsgb.analyse")
TrajectoryData = DataFactory("lpsgb.trajectory")
BOUNDARY = {"boundary": {"axis": 2, "centres": [0.5], "thickness_A": 9.0}}

pytestmark = pytest.mark.usefixtures("aiida_profile")


@pytest.fixture
def segments():
    """Two segments; the second repeats the last frame of the first."""
    run = tetrahedra_run()
    return {
        "segment_000": TrajectoryData(run[:71], "nvt", 600.0, 2.0),
        "segment_001": TrajectoryData(run[70:], "nvt", 600.0, 2.0),
    }


@pytest.fixture
def code(installed_code):
    return installed_code("lpsgb-analyse", "lpsgb.analyse")


def documented(page, word):
    """The Python block of a page of the documentation that holds a word."""
    text = (Path(__file__).parents[2] / "docs" / "topics" / "analysis" / page).read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if word in block)


def test_everything_by_protocol(code, segments, tmp_path, monkeypatch):
    builder = AnalyseCalculation.get_builder_from_protocol(
        code,
        segments,
        "fast",
        {"density": {"voxel_A": 1.0, "region": "boundary"}, "topology": {"rips_diameter": None}},
        regions=BOUNDARY,
    )
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    summary = outputs["summary"].get_dict()
    assert (summary["run"]["n_frames"], summary["run"]["temperature_K"]) == (120, 600.0)
    assert summary["rdf"]["first_peaks_A"]["P-S"] == pytest.approx(2.05, abs=0.05)
    assert summary["speciation"] == {"whole_fraction_mean": 1.0, "units": {"PS4": 8.0}}
    assert summary["diffusivity"]["diffusivity_cm2_s"] == pytest.approx(0.15**2 / 2 / 0.5 * 1e-4, rel=0.2)
    assert set(summary["regions"]) == {
        f"{region}_{estimator}"
        for region in ("boundary", "elsewhere")
        for estimator in ("tagged", "both_ends", "continuous", "occupancy", "propagator")
    }
    diagram = summary["topology"]["alpha_radius"]
    assert (diagram["filtration"], diagram["scale"], diagram["threshold_A"]) == ("alpha", "radius", 1.0)
    assert summary["topology"]["alpha_diameter"]["f_pd"] > diagram["f_pd"]
    assert 1 < summary["disorder"]["mean"] < 2.5
    query = orm.QueryBuilder().append(orm.CalcJobNode, filters={"id": node.pk}, tag="job")
    query.append(
        orm.ArrayData,
        with_incoming="job",
        filters={"attributes.filtration": "alpha", "attributes.scale": "radius"},
        project="attributes.f_pd",
    )
    assert query.all(flat=True) == [diagram["f_pd"]]
    region = outputs["regions"]["boundary_occupancy"]
    assert isinstance(region, DataFactory("lpsgb.diffusivity"))
    assert region.base.attributes.get("region") == "boundary"
    assert node.outputs.regions.boundary_occupancy.uuid == region.uuid
    assert outputs["density"].base.attributes.get("region_definition") == BOUNDARY["boundary"]
    assert outputs["density"].get_array("density_A3").mean() * 18**3 == pytest.approx(60)
    drawn = characterisation_figures(node)
    assert {"rdf", "density", "density_profile", "disorder", "diffusivity", "regions_boundary_occupancy"} <= set(drawn)
    assert "first peak P-S (Å)" in characterisation_table(summary)
    # The queries of the documentation find this run.
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(documented("index.md", "f_pd").replace('"rips"', '"alpha"'), found)
    motion, diagram = summary["regions"]["boundary_occupancy"], summary["topology"]["alpha_diameter"]
    row = [diagram["f_pd"], diagram["f_pd_uncertainty"], motion["conductivity_s_cm"], "boundary", 600.0]
    assert row in found["rows"]
    exec(documented("isotropy.md", "isotropy_uncertainty"), found)
    motion = summary["regions"]["boundary_propagator"]
    row = [motion[k] for k in ("isotropy", "isotropy_uncertainty", "diffusivity_cm2_s", "uncertainty_cm2_s")]
    assert row in found["points"]
    assert (tmp_path / "isotropy.pdf").exists()


def test_segments_are_neither_stored_again_nor_hashed_by_threads(code, segments, generate_calc_job, metadata):
    for node in segments.values():
        node.store()
    metadata["options"]["resources"]["num_cores_per_mpiproc"] = 4
    inputs = {"code": code, "trajectories": segments, "parameters": {"rdf": {}}, "metadata": metadata}
    calcinfo, folder = generate_calc_job("lpsgb.analyse", inputs)
    assert calcinfo.codes_info[0].cmdline_params == [
        "request.json",
        "results",
        "segment_000.lpsgbtraj",
        "segment_001.lpsgbtraj",
        "--threads=4",
    ]
    assert [entry[0] for entry in calcinfo.local_copy_list] == [node.uuid for node in segments.values()]
    assert folder.get_content_list() == ["request.json"]
    with folder.open("request.json") as handle:
        assert json.load(handle) == {"parameters": {"rdf": {}}, "temperature_K": 600.0}


def test_equal_inputs_give_equal_contents(code, segments):
    parameters = {"rdf": {}, "topology": {"alpha": {"species": "Li"}}, "diffusivity": {"species": "Li"}}
    contents = []
    for threads in (1, 2):
        options = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": threads}}
        inputs = {"code": code, "trajectories": segments, "parameters": parameters, "metadata": {"options": options}}
        outputs, node = run_get_node(AnalyseCalculation, **inputs)
        assert node.is_finished_ok, node.exit_message
        names = ("rdf", "diffusivity", "summary")
        contents.append(
            [outputs[name].base.caching.get_hash() for name in names]
            + [outputs["topology"]["alpha"].base.caching.get_hash()]
        )
    assert contents[0] == contents[1]
    with enable_caching(identifier="aiida.calculations:lpsgb.*"):
        _, again = run_get_node(AnalyseCalculation, **inputs)
    assert again.base.caching.is_created_from_cache


def test_what_cannot_be_computed_is_named_and_the_rest_kept(code, segments):
    short = {"segment_000": TrajectoryData(tetrahedra_run(n_frames=20), temperature_K=600.0)}
    parameters = {"speciation": {"centre": "P", "ligand": "S", "cutoff_A": 2.5}, "diffusivity": {"species": "Li"}}
    outputs, node = run_get_node(AnalyseCalculation, code=code, trajectories=short, parameters=parameters)
    assert node.exit_status == AnalyseCalculation.exit_codes.ERROR_OBSERVABLES_REFUSED.status
    assert "diffusivity: a diffusivity needs 50 frames" in node.exit_message
    assert outputs["speciation"]["units"] == {"PS4": 8.0}
    assert "diffusivity" not in outputs


def test_segments_of_other_runs_are_refused(code, segments):
    other = TrajectoryData(tetrahedra_run(seed=1)[70:], "nvt", 600.0, 2.0)
    inputs = {"trajectories": {**segments, "segment_001": other}, "parameters": {"rdf": {}}}
    _, node = run_get_node(AnalyseCalculation, code=code, **inputs)
    assert node.exit_status == AnalyseCalculation.exit_codes.ERROR_TRAJECTORIES.status, node.exit_message
    warmer = TrajectoryData(tetrahedra_run()[70:], "nvt", 700.0, 2.0)
    inputs["trajectories"]["segment_001"] = warmer
    with pytest.raises(ValueError, match=r"trajectories.segment_001: its temperature_K is 700.0, that of segment_000"):
        run_get_node(AnalyseCalculation, code=code, **inputs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rfd": {}}, r"parameters.rfd: there is no such observable; `rfd` may be meant as `rdf`; there are rdf"),
        (
            {"rdf": {"cutof_A": 5}},
            r"parameters.rdf.cutof_A: there is no such parameter; `cutof_A` may be meant as `cutoff_A`",
        ),
        ({"rdf": {"cutoff_A": -5}}, r"parameters.rdf.cutoff_A: is -5, expected a positive number"),
        ({"density": {}}, r"parameters.density.species: is missing"),
        ({"topology": {"a__b": {"species": "Li"}}}, r"parameters.topology.a__b: a name is letters"),
        ({"rdf": None}, r"parameters: nothing is asked for"),
    ],
)
def test_parameters_are_refused_when_the_builder_is_made(parameters, message):
    builder = AnalyseCalculation.get_builder()
    with pytest.raises(ValueError, match=message):
        builder.parameters = orm.Dict(parameters)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"topology": {"rips": {"species": "Na"}}}, r"parameters.topology.rips.species: no Na in the trajectory"),
        ({"rdf": {"region": "boundary"}}, r"parameters.rdf.region: there is no region 'boundary'; there are none"),
        ({"rdff": None}, r"override 'rdff' is no entry"),
    ],
)
def test_what_the_trajectory_lacks_is_refused_when_the_builder_is_made(code, segments, overrides, message):
    with pytest.raises(ValueError, match=message):
        AnalyseCalculation.get_builder_from_protocol(code, segments, overrides=overrides)


def test_what_moves_is_said_once():
    overrides = {"mobile": {"species": "Na"}, "density": {"species": "O"}, "rdf": None}
    parameters = AnalyseCalculation.get_parameters("fast", overrides, by_region=True)
    species = {name: values["species"] for name, values in parameters.items() if values and "species" in values}
    assert species == {"density": "O", "elements": "Na", "disorder": "Na", "diffusivity": "Na", "regions": "Na"}
    assert {values["species"] for values in parameters["topology"].values()} == {"Na"}
    assert parameters["diffusivity"]["charge"] == 1
    assert parameters["rdf"] is None
    assert AnalyseCalculation.get_parameters("fast")["regions"] is None


def test_every_observable_has_its_output():
    assert set(registry()) <= set(AnalyseCalculation.spec().outputs)
