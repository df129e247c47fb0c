"""Published numbers, and which system they are of."""

from pathlib import Path

import pytest
import yaml

from aiida_lpsgb.report.published import published_of, read_published

EXAMPLES = Path(__file__).parents[2] / "examples"
CONTENT = {
    "systems": {
        "crystal": {"f_pd": {"values": 0.04}},
        "a": {"recipe": {"kind": "boundary", "plane": [1, 2, 0]}, "f_pd": {"values": 0.12}},
    }
}


def test_the_example_can_be_read():
    published = read_published(EXAMPLES / "data" / "beta-li3ps4-published.yaml")
    assert len(published["systems"]) == 12
    recipe = {"kind": "boundary", "axis": [0, 0, 1], "plane": [1, 3, 0], "sigma": 5, "run": {"n_atoms": 750}}
    assert published_of(published, "mine", recipe)["activation_energy_ev"] == {"values": 0.42}
    assert published_of(published, "mine", {"kind": "crystal"})["conductivity_300k_s_cm"]["values"] == 7.4e-5
    assert published_of(published, "mine", {"kind": "structure"}) == {}


@pytest.mark.parametrize("study", ["jalem2023.yaml", "li6ps5cl.yaml"])
def test_every_published_system_is_one_of_its_study(study):
    plan = yaml.safe_load((EXAMPLES / study).read_text(encoding="utf-8"))
    published = read_published(EXAMPLES / plan["published"])
    found = [published_of(published, name, recipe) for name, recipe in plan["systems"].items()]
    assert all(entry in found for entry in published["systems"].values())


def test_a_system_is_found_by_name_and_by_recipe():
    assert published_of(CONTENT, "crystal")["f_pd"]["values"] == 0.04
    assert published_of(CONTENT, "x", {"kind": "boundary", "plane": [1, 2, 0]})["f_pd"]["values"] == 0.12
    assert published_of(CONTENT, "x", {"kind": "boundary", "plane": [1, 3, 0]}) == {}
    assert published_of(None, "crystal") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f_pd: {values: 0.04}", "expected `systems`"),
        ("systems: {crystal: {f_pd: 0.04}}", r"systems\.crystal\.f_pd: expected `values`"),
        ("systems: {crystal: {f_pd: {value: 0.04}}}", r"systems\.crystal\.f_pd: expected `values`"),
        ("systems: {crystal: 3}", r"systems\.crystal: expected a dictionary"),
        ("systems: {}\nnote: x", "there is no `note`"),
        ("systems: {", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, text, message):
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_published(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_published(tmp_path / "none.yaml")
