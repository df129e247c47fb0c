"""The folder that lpsgb-analyse writes."""

import json

import numpy as np
import pytest

from aiida_lpsgb.analysis.observables import Outcome
from aiida_lpsgb.analysis.results import Results, ResultsFormatError, load


def outcome(value=1.0):
    scalars = {"mean": value, "mean_uncertainty": None, "form": "normalised"}
    return Outcome(scalars, {"site_means": np.array([1.0, np.nan])})


def test_what_was_written_is_there_at_any_moment(tmp_path):
    results = Results(tmp_path / "out", run={"n_frames": 3})
    results.write()
    assert load(tmp_path / "out").results == {}
    results.add("disorder", "", "disorder", outcome())
    results.fail("rdf", "no reason", refused=True)
    found = load(tmp_path / "out")
    assert not found.complete
    assert found.failed == {"rdf": {"reason": "no reason", "refused": True}}
    (label, entry, arrays), *others = found.outcomes()
    assert (label, entry["node"], others) == ("disorder", "arrays", [])
    np.testing.assert_array_equal(arrays["site_means"], [1.0, np.nan])
    assert found.summary() == {"run": {"n_frames": 3}, "disorder": outcome().scalars}


def test_labels_are_nested_in_the_summary(tmp_path):
    results = Results(tmp_path)
    for variant in ("a", "b"):
        results.add("topology", variant, f"topology.{variant}", Outcome({"f_pd": 0.1}, {}))
    assert list(results.summary()["topology"]) == ["a", "b"]
    assert results.summary()["topology"]["a"]["f_pd"] == 0.1
    assert results.arrays("topology.a") == {}


def test_equal_contents_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        results = Results(tmp_path / name, run={"b": 1, "a": 2})
        results.write()
        results.add("disorder", "", "disorder", outcome())
    for name in ("results.json", "disorder.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_numbers_that_are_none_are_refused(tmp_path):
    results = Results(tmp_path)
    results.write()
    with pytest.raises(ValueError, match="not JSON compliant"):
        results.add("disorder", "", "disorder", outcome(np.nan))
    assert load(tmp_path).results == {}


def test_other_folders_and_newer_versions_are_refused(tmp_path):
    with pytest.raises(ResultsFormatError, match="cannot be read"):
        load(tmp_path / "nowhere")
    for content, message in (
        ({"format": "lpsgb-analysis", "version": 9}, "has format version 9; this package reads 1"),
        ({"format": "another"}, "holds no results of lpsgb-analyse"),
        ([], "holds no results"),
    ):
        (tmp_path / "results.json").write_text(json.dumps(content))
        with pytest.raises(ResultsFormatError, match=message):
            load(tmp_path)
