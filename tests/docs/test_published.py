"""The study that is published with the docs: its page is that of its archive, which holds what the page says."""

import importlib.util
from pathlib import Path

import pytest

from aiida_lpsgb.report import study_results

PUBLISHED = Path(__file__).parents[2] / "docs" / "published"
OBSERVABLES = {"rdf", "speciation", "density", "elements", "disorder", "topology"}
MOST_BYTES = 20e6


@pytest.fixture(scope="module")
def build():
    """Return the script that builds the page."""
    spec = importlib.util.spec_from_file_location("published_build", PUBLISHED / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study(aiida_profile, build):
    """Return the study of the archive, imported into an empty profile."""
    assert build.ARCHIVE.stat().st_size < MOST_BYTES
    with build.study_of(build.ARCHIVE) as node:
        yield node


def test_tables_and_pictures_are_those_of_the_archive(study, build, tmp_path):
    page = tmp_path / "report.html"
    build.write(study_results(study), tmp_path, page)
    written = (tmp_path / "results.txt").read_text(encoding="utf-8")
    assert written == (PUBLISHED / "results.txt").read_text(encoding="utf-8")
    shown = {path.name for path in PUBLISHED.glob("*.png")}
    assert {path.name for path in tmp_path.glob("*.png")} == shown
    text = (PUBLISHED / "index.md").read_text(encoding="utf-8")
    assert all(name in text for name in shown)
    assert "Energies of boundaries in small cells" in page.read_text(encoding="utf-8")


def test_everything_that_the_paper_shows_is_an_output_of_the_study(study):
    systems = study.outputs.systems
    kinds = {name: study.inputs.systems[name]["kind"] for name in systems}
    assert sorted(kinds.values()) == ["boundary"] * 8 + ["crystal", "glass"] + ["interface"] * 2
    for name, kind in kinds.items():
        found = systems[name]
        assert {label.split("_")[0] for label in found["diffusivities"]} >= {"t900k", "t300k"}
        assert "arrhenius" in found
        for observable in OBSERVABLES:
            assert any(observable in run for run in found["observables"].values()), (name, observable)
        if kind == "boundary":
            assert found["recipe"]["energies_J_m2"]
            assert any(region.startswith("boundary") for region in found["regional_arrhenius"])
        if "core" in study.inputs.systems[name].get_dict():
            assert any(region.startswith("core") for region in found["regional_arrhenius"])
    assert len(study.outputs.boundary_energies["boundaries"]) == 8
    assert set(study.outputs.test_errors) == set(study.outputs.potentials) == {"p1", "p2"}
    assert "test_set" in study.outputs
    assert {"reference", "p1", "p2"} <= set(study.outputs.properties)


def test_crystal_and_boundaries_are_those_of_the_label_engine(study):
    """Density and lattice within 2 %, B and G within 15 %, energies of boundaries within 0.05 J/m²."""
    limits = {"density_percent": 2.0, "lattice_percent": 2.0, "boundary_energy_mae_J_m2": 0.05}
    limits |= dict.fromkeys(("bulk_modulus_percent", "shear_modulus_percent"), 15.0)
    for card in study.outputs.cards.values():
        values = {check["check"]: check["value"] for check in card["checks"]}
        assert {name: values[name] for name, limit in limits.items() if values[name] > limit} == {}
