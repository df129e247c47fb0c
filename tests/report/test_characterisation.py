"""Table and figures of a characterisation, from stand-ins for its nodes."""

from types import SimpleNamespace

import numpy as np

from aiida_lpsgb.report.characterisation import characterisation_figures, characterisation_table, density_of


class Node(SimpleNamespace):
    """Arrays and attributes, as an array node has them."""

    def __init__(self, arrays, attributes, **more):
        super().__init__(arrays=arrays, base=SimpleNamespace(attributes=attributes), **more)

    def get_array(self, name):
        return self.arrays[name]


def outputs():
    r = np.linspace(0.05, 9.95, 100)
    edges = np.linspace(0, 3, 31)
    line = np.linspace(1, 2, 20)
    lags = np.arange(1, 51) * 0.2
    return SimpleNamespace(
        **{
            "rdf": Node({"r_A": r, "g_Li_S": 1 + np.exp(-((r - 2.4) ** 2))}, {"first_peaks_A": {"Li-S": 2.4}}),
            "speciation": SimpleNamespace(get_dict=lambda: {"units": {"PS4": 61.5, "P2S7": 1.0, "S2": 0.5}}),
            "density": Node(
                {
                    "density_A3": np.random.default_rng(0).random((6, 7, 20)),
                    "cell_A": np.diag([6.0, 7.0, 20.0]),
                    "profile_position_A_2": line,
                    "profile_A3_2": line,
                    "profile_smooth_A3_2": line,
                    "profile_error_A3_2": 0.1 * line,
                    "numbers": np.array([3, 16]),
                    "positions_A": np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 15.0]]),
                },
                {"species": "Li", "region": {"axis": 2, "centres": [0.0, 0.5], "thickness_A": 5.0}},
            ),
            "disorder": Node({"distribution": np.ones(30), "edges": edges}, {"mean": 1.5}),
            "diffusivity": Node(
                {
                    "lag_times_ps": lags,
                    "msd_components_angstrom2": np.stack([lags, lags, lags], axis=1),
                    "msd_uncertainty_angstrom2": np.full(50, 0.1),
                },
                {"window_ps": [1.0, 4.0], "details": {"intercept_A2": 0.1}},
                value=5e-5,
            ),
            "topology": {
                "alpha": Node(
                    {"birth_A": np.array([1.5, 1.8, 2.0]), "death_A": np.array([2.0, 3.0, 2.1])},
                    {"filtration": "alpha", "scale": "radius", "n_frames": 2, "threshold_A": 1.0},
                )
            },
        }
    )


def test_map_can_be_written_from_its_node(tmp_path):
    from ase.io import read

    node = outputs().density
    density = density_of(node)
    density.write_xsf(tmp_path / "map.xsf")
    assert read(tmp_path / "map.xsf").get_chemical_formula() == "LiS"
    np.testing.assert_allclose(density.projection(1), node.get_array("density_A3").mean(axis=1) * 7.0)


def test_regions_are_marked_on_both_sides_of_the_boundary():
    drawn = characterisation_figures(SimpleNamespace(outputs=Outputs(outputs())))
    spans = sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in drawn["profile"].axes[0].patches)
    np.testing.assert_allclose(spans, [(0, 2.5), (7.5, 12.5), (17.5, 20)])


class Outputs:
    """Attribute access and membership, as a process's outputs have them."""

    def __init__(self, values):
        self.__dict__.update(vars(values))

    def __contains__(self, name):
        return name in self.__dict__


def test_figures_of_every_output(tmp_path):
    drawn = characterisation_figures(SimpleNamespace(outputs=Outputs(outputs())))
    assert set(drawn) == {"rdf", "speciation", "density", "profile", "disorder", "msd", "topology_alpha"}
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_table_beside_references():
    summary = {
        "first_peaks_A": {"P-Li": 3.18, "P-S": 2.06},
        "whole_fraction": 1.0,
        "mean_disorder": 1.55,
        "mean_disorder_uncertainty": 0.01,
        "topology": {
            "a": {
                "f_pd": 0.13,
                "f_pd_uncertainty": 0.01,
                "threshold_A": 1.0,
                "filtration": "alpha",
                "scale": "diameter",
            }
        },
        "diffusivity_cm2_s": 2e-7,
        "diffusive": False,
        "regions": {
            "boundary__occupancy": {
                "diffusivity_cm2_s": 1e-6,
                "uncertainty_cm2_s": 1e-7,
                "isotropy": 0.4,
                "isotropy_uncertainty": 0.1,
            },
            "boundary__tagged": {"diffusivity_cm2_s": 1e-6, "uncertainty_cm2_s": 1e-7, "isotropy": 0.3},
        },
    }
    references = {"first_peaks_A": {"values": {"Li-P": 3.05}, "note": "colder"}, "f_pd": {"values": 0.04}}
    text = characterisation_table(summary, references)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    # A pair is found whichever way round it is named.
    assert lines["first peak P-Li (Å)"].split()[-2:] == ["3.18", "3.05"]
    assert lines["f_PD, L > 1 Å, alpha, diameter"].endswith("0.04")
    assert "1.550 ± 0.010" in lines["mean site disorder, normalised"]
    assert "D (cm²/s), not yet diffusive" in lines
    assert "D in boundary, occupancy (cm²/s)" in lines
    assert lines["ξ in boundary, occupancy"].endswith("0.40 ± 0.10")
    assert "ξ in boundary, tagged" not in lines
    assert "first_peaks_A: colder" in text
