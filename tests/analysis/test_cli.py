"""The program lpsgb-analyse."""

import json

import numpy as np
import pytest

from aiida_lpsgb.analysis.cli import analyse, main
from aiida_lpsgb.analysis.results import load

SLAB = {"axis": 2, "centres": [0.5], "thickness_A": 9.0}


@pytest.fixture
def segments(tmp_path, tetrahedra):
    run = tetrahedra()
    return [str(run[:60].save(tmp_path / "a.lpsgbtraj")), str(run[59:].save(tmp_path / "b.lpsgbtraj"))]


def request_file(path, **request):
    (path / "request.json").write_text(json.dumps(request))
    return str(path / "request.json")


def test_results_are_those_of_the_functions(tmp_path, segments, tetrahedra, capsys):
    parameters = {"rdf": {"pairs": ["P-S"]}, "topology": {"rips": {"species": "Li", "filtration": "rips", "every": 40}}}
    parameters |= {"regions": {"species": "Li", "estimators": ["occupancy"]}, "disorder": None}
    request = request_file(tmp_path, parameters=parameters, regions={"middle": SLAB}, temperature_K=600)
    assert main([request, str(tmp_path / "out"), *segments, "--threads", "2"]) == 0
    assert "done: 3 of 3 computed" in capsys.readouterr().out
    found = load(tmp_path / "out")
    assert found.complete
    assert found.run["n_frames"] == 120
    assert found.run["temperature_K"] == 600
    assert set(found.results) == {"rdf", "topology.rips", "regions.middle_occupancy", "regions.elsewhere_occupancy"}
    whole = analyse(tetrahedra(), parameters, tmp_path / "whole", regions={"middle": SLAB}, temperature_K=600)
    for label, _, arrays in found.outcomes():
        for name, values in whole.arrays(label).items():
            np.testing.assert_allclose(arrays[name], values, atol=2e-2, equal_nan=True)
    assert found.summary()["rdf"]["first_peaks_A"]["P-S"] == pytest.approx(2.05, abs=0.05)
    assert found.summary()["regions"]["middle_occupancy"]["temperature_K"] == 600


def test_content_does_not_depend_on_threads(tmp_path, tetrahedra):
    parameters = {"rdf": {}, "topology": {"alpha": {"species": "Li"}}, "disorder": {"species": "Li"}}
    for threads in (1, 3):
        analyse(tetrahedra(), parameters, tmp_path / str(threads), threads=threads)
    for name in ("results.json", "rdf.npz", "topology.alpha.npz", "disorder.npz"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_what_is_refused_or_breaks_is_told_and_the_rest_kept(tmp_path, tetrahedra, monkeypatch, capsys):
    import aiida_lpsgb.analysis.rdf as module

    def broken(*args, **kwargs):
        raise MemoryError("no more")

    monkeypatch.setattr(module, "radial_distributions", broken)
    parameters = {"rdf": {}, "diffusivity": {"species": "Li"}, "density": {"species": "Li", "voxel_A": 2.0}}
    found = analyse(tetrahedra(n_frames=10), parameters, tmp_path)
    assert list(found.results) == ["density"]
    assert found.failed["rdf"] == {"reason": "MemoryError: no more", "refused": False}
    assert found.failed["diffusivity"]["refused"]
    assert "50 frames" in found.failed["diffusivity"]["reason"]
    assert load(tmp_path).failed == found.failed


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"parameters": {"rdf": {"cutof_A": 5}}}, "parameters.rdf.cutof_A: there is no such parameter"),
        ({"parameters": {"rdf": {"pairs": ["Li-Cl"]}}}, "parameters.rdf.pairs: no Cl in the trajectory"),
        ({"parameters": {"rdf": {}}, "region": {}}, "there is no region; there are parameters, regions, temperature_K"),
        ({"rdf": {}}, "must hold a dictionary with `parameters`"),
        ({"parameters": {"rdf": {}}, "temperature_K": "600"}, "temperature_K is '600', expected a positive number"),
        ({"parameters": {"rdf": {}}, "temperature_K": np.nan}, "temperature_K is nan, expected a positive number"),
    ],
)
def test_bad_requests(tmp_path, segments, request_, message, capsys):
    assert main([request_file(tmp_path, **request_), str(tmp_path / "out"), *segments]) == 1
    assert message in capsys.readouterr().err


def test_segments_that_do_not_continue(tmp_path, segments, tetrahedra, capsys):
    other = tetrahedra(seed=1)[59:].save(tmp_path / "other.lpsgbtraj")
    request = request_file(tmp_path, parameters={"rdf": {}})
    assert main([request, str(tmp_path / "out"), segments[0], str(other)]) == 1
    assert "steps begin again at 14750 in other.lpsgbtraj" in capsys.readouterr().err
    assert "other.lpsgbtraj" in load(tmp_path / "out").refused


@pytest.mark.parametrize(("variable", "option", "threads"), [("3,1", [], 3), ("", [], 1), ("3", ["--threads", "2"], 2)])
def test_threads_come_from_the_option_or_the_environment(
    tmp_path, segments, monkeypatch, capsys, variable, option, threads
):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    request = request_file(tmp_path, parameters={"density": {"species": "Li", "voxel_A": 3.0}})
    assert main([request, str(tmp_path / "out"), *segments, *option]) == 0
    assert f", {threads} threads" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([request, str(tmp_path / "out"), *segments, "--threads", "0"])
