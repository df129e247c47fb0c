"""Table and figures of an analysis, of nodes as its parser makes them."""

from types import SimpleNamespace

import numpy as np
import pytest
from aiida import orm

from aiida_lpsgb.analysis.observables import registry
from aiida_lpsgb.data.diffusivity import DiffusivityData
from aiida_lpsgb.parsers.analyse import node_of
from aiida_lpsgb.report.characterisation import (
    DRAWINGS,
    caption,
    characterisation_figures,
    characterisation_table,
    density_of,
)
from tests.report.conftest import arrays, scalars, structural, summary_of

pytestmark = pytest.mark.usefixtures("aiida_profile")

SLAB = {"axis": 2, "centres": [0.0, 0.5], "thickness_A": 5.0}


def outputs():
    """Return the outputs of an analysis of all observables."""
    found = {}
    for label, entry, content in structural()[1]:
        name, _, variant = label.partition(".")
        node = node_of(entry, content)
        if variant:
            found.setdefault(name, {})[variant] = node
        else:
            found[name] = node
    found["diffusivity"] = DiffusivityData(scalars(5e-5, 300.0), arrays(5e-5))
    regional = scalars(1e-5, 300.0, region="boundary", estimator="occupancy")
    found["regions"] = {"boundary_occupancy": DiffusivityData(regional, arrays(1e-5))}
    return found


@pytest.fixture(scope="module")
def analysis(aiida_profile):
    return SimpleNamespace(outputs=outputs())


def test_every_observable_has_a_drawing():
    assert set(DRAWINGS) == set(registry())


def test_map_can_be_written_from_its_node(analysis, tmp_path):
    from ase.io import read

    node = analysis.outputs["density"]
    density = density_of(node)
    density.write_xsf(tmp_path / "map.xsf")
    assert len(read(tmp_path / "map.xsf")) == 100
    assert density.projection(1).sum() > 0


def test_figures_of_every_output(analysis, tmp_path):
    drawn = characterisation_figures(analysis)
    expected = {"rdf", "density", "density_profile", "disorder", "topology_alpha_diameter", "diffusivity"}
    expected |= {"topology_alpha_diameter_rings", "regions_boundary_occupancy"}
    assert expected == set(drawn)
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_some_figures_alone(analysis):
    assert set(characterisation_figures(analysis, names=["rdf", "disorder"])) == {"rdf", "disorder"}


def test_captions_are_those_of_the_registry(analysis):
    for name in characterisation_figures(analysis):
        observable, _, label = name.partition("_")
        captions = registry()[observable].captions
        part = next((part for part in captions if part and label.endswith(part)), "")
        assert caption(name).startswith(captions[part].rstrip("."))


def test_units_of_one_kind_are_no_figure(analysis):
    assert "speciation" not in characterisation_figures(analysis)
    several = {"speciation": orm.Dict({"units": {"PS4": 61.5, "P2S7": 1.0, "S2": 0.5}})}
    assert "speciation" in characterisation_figures(SimpleNamespace(outputs=several))


def test_regions_are_marked_on_both_sides_of_the_boundary():
    _, entry, content = next(found for found in structural()[1] if found[0] == "density")
    entry = entry | {"scalars": entry["scalars"] | {"region_definition": SLAB}}
    drawn = characterisation_figures(SimpleNamespace(outputs={"density": node_of(entry, content)}))
    axes = drawn["density_profile"].axes[0]
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches)
    np.testing.assert_allclose(spans, [(0, 2.5), (6.5, 11.5), (15.5, 18)])


def test_table_beside_references():
    numbers = scalars(2e-7, 300.0, diffusive=False)
    regional = {
        f"boundary_{estimator}": scalars(1e-6, 300.0, region="boundary", estimator=estimator, isotropy=0.4)
        for estimator in ("occupancy", "tagged")
    }
    references = {
        "first_peaks_A": {"values": {"S-P": 2.06}, "note": "colder"},
        "f_pd": {"values": 0.04},
        "whole_fraction": {"values": 0.87},
    }
    text = characterisation_table(summary_of(numbers, regional, structure=True), references)
    lines = {
        cells[0]: cells[1:]
        for cells in ([c.strip() for c in line.split("  ") if c] for line in text.splitlines())
        if cells
    }
    # A pair is found whichever way round it is named.
    assert lines["first peak P-S (Å)"][-1] == "2.06"
    assert lines["f_PD, L > 1 Å, alpha, diameter"][-1] == "0.04"
    assert lines["whole units"] == ["100.0%", "87.0%"]
    assert lines["D (cm²/s), not diffusive: below"] == ["2.34×10⁻⁷"]
    assert lines["D in boundary, occupancy (cm²/s)"] == ["(1.00 ± 0.10)×10⁻⁶"]
    assert lines["ξ in boundary, occupancy"] == ["0.40 ± 0.10"]
    assert "ξ in boundary, tagged" not in lines
    assert "first_peaks_A: colder" in text
