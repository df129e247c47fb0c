"""Table and figures of an analysis, from stand-ins for its nodes."""

from types import SimpleNamespace

import numpy as np

from aiida_lpsgb.report.characterisation import caption, characterisation_figures, characterisation_table, density_of

SLAB = {"axis": 2, "centres": [0.0, 0.5], "thickness_A": 5.0}


class Node(SimpleNamespace):
    """Arrays and attributes, as an array node has them."""

    def __init__(self, arrays, attributes):
        base = SimpleNamespace(attributes=SimpleNamespace(all=attributes))
        super().__init__(arrays=arrays, base=base)

    def get_array(self, name):
        return self.arrays[name]

    def get_arraynames(self):
        return list(self.arrays)


def outputs():
    r = np.linspace(0.05, 9.95, 100)
    line = np.linspace(1, 2, 20)
    lags = np.arange(1, 51) * 0.2
    motion = {"lags_ps": lags, "msd_A2": np.stack([lags, lags, lags], axis=1), "msd_error_A2": np.full(50, np.nan)}
    numbers = {"window_ps": [1.0, 4.0], "intercept_A2": 0.1, "diffusivity_cm2_s": 5e-5}
    grid = {
        "density_A3": np.random.default_rng(0).random((6, 7, 20)),
        "cell_A": np.diag([6.0, 7.0, 20.0]),
        "profile_position_A_2": line,
        "profile_A3_2": line,
        "profile_smooth_A3_2": line,
        "profile_error_A3_2": 0.1 * line,
        "numbers": np.array([3, 16]),
        "positions_A": np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 15.0]]),
    }
    loops = {"birth_A": np.array([1.5, 1.8, 2.0]), "death_A": np.array([2.0, 3.0, 2.1])}
    return {
        "rdf": Node({"r_A": r, "g_Li_S": 1 + np.exp(-((r - 2.4) ** 2))}, {"first_peaks_A": {"Li-S": 2.4}}),
        "speciation": SimpleNamespace(get_dict=lambda: {"units": {"PS4": 61.5, "P2S7": 1.0, "S2": 0.5}}),
        "density": Node(grid, {"species": "Li", "region": "boundary", "region_definition": SLAB}),
        "disorder": Node({"distribution": np.ones(30), "edges": np.linspace(0, 3, 31)}, {"mean": 1.5, "species": "Li"}),
        "diffusivity": Node(motion, numbers | {"estimator": "windowed_msd_gls"}),
        "regions": {
            "boundary_occupancy": Node(motion, numbers | {"estimator": "occupancy"}),
            "boundary_tagged": Node(motion, numbers | {"estimator": "tagged"}),
        },
        "topology": {
            "alpha": Node(loops, {"filtration": "alpha", "scale": "radius", "n_frames": 2, "threshold_A": 1.0})
        },
    }


def test_map_can_be_written_from_its_node(tmp_path):
    from ase.io import read

    node = outputs()["density"]
    density = density_of(node)
    density.write_xsf(tmp_path / "map.xsf")
    assert read(tmp_path / "map.xsf").get_chemical_formula() == "LiS"
    np.testing.assert_allclose(density.projection(1), node.get_array("density_A3").mean(axis=1) * 7.0)


def test_regions_are_marked_on_both_sides_of_the_boundary():
    drawn = characterisation_figures(SimpleNamespace(outputs=outputs()))
    patches = drawn["density_profile"].axes[0].patches
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in patches)
    np.testing.assert_allclose(spans, [(0, 2.5), (7.5, 12.5), (17.5, 20)])


def test_figures_of_every_output(tmp_path):
    drawn = characterisation_figures(SimpleNamespace(outputs=outputs()))
    assert set(drawn) == {
        "rdf",
        "speciation",
        "density",
        "density_profile",
        "disorder",
        "diffusivity",
        "regions_boundary_occupancy",
        "topology_alpha",
    }
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
        assert caption(name).endswith(".")
    assert caption("density_profile") == "Concentration along the third cell vector."
    assert caption("topology_alpha_radius") == "Persistence diagram of the loops (alpha, radius)."


MOTION = {
    "diffusivity_cm2_s": 2e-7,
    "uncertainty_cm2_s": 1e-7,
    "conductivity_s_cm": None,
    "conductivity_uncertainty_s_cm": None,
    "diffusive": False,
    "upper_limit_cm2_s": 4e-7,
    "isotropy": 0.4,
    "isotropy_uncertainty": 0.1,
    "haven_ratio": None,
    "haven_ratio_uncertainty": None,
}


def test_table_beside_references():
    diagram = {"f_pd": 0.13, "f_pd_uncertainty": 0.01, "threshold_A": 1.0, "filtration": "alpha", "scale": "diameter"}
    region = {**MOTION, "diffusive": True, "region": "boundary"}
    summary = {
        "run": {"cell_A": [26.2, 16.2, 12.5], "density_g_cm3": 1.87},
        "rdf": {"first_peaks_A": {"P-Li": 3.18, "P-S": None}},
        "speciation": {"whole_fraction_mean": 1.0, "units": {"PS4": 8.0}},
        "disorder": {"mean": 1.55, "mean_uncertainty": 0.01, "form": "normalised"},
        "topology": {"a": {**diagram, "region": None}, "b": {**diagram, "region": "boundary"}},
        "diffusivity": MOTION,
        "regions": {f"boundary_{name}": {**region, "estimator": name} for name in ("occupancy", "tagged")},
    }
    references = {
        "first_peaks_A": {"values": {"Li-P": 3.05}, "note": "colder"},
        "f_pd": {"values": 0.04},
        "cell_A": {"values": [13.07, 8.13, 6.26]},
    }
    text = characterisation_table(summary, references)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert lines["a (Å)"].split()[-2:] == ["13.10", "13.07"]
    # A pair is found whichever way round it is named.
    assert lines["first peak P-Li (Å)"].split()[-2:] == ["3.18", "3.05"]
    assert lines["first peak P-S (Å)"].endswith("-")
    assert lines["f_PD, L > 1 Å, alpha, diameter"].endswith("0.0400")
    assert "f_PD, L > 1 Å, alpha, diameter, boundary" in lines
    assert "1.550 ± 0.010" in lines["mean site disorder, normalised"]
    # Where the motion is not diffusive only its limit holds.
    assert lines["D (cm²/s), not diffusive: below"].endswith("4.00e-07")
    assert "σ (S/cm)" not in lines
    assert lines["D in boundary, occupancy (cm²/s)"].endswith("2.00e-07 ± 1.00e-07")
    assert lines["ξ in boundary, occupancy"].endswith("0.40 ± 0.10")
    assert "ξ in boundary, tagged" not in lines
    assert "first_peaks_A: colder" in text
