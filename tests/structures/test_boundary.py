from pathlib import Path

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk

from aiida_lpsgb.structures.boundary import boundaries
from aiida_lpsgb.structures.coincidence import NoCoincidence
from aiida_lpsgb.structures.crystal import Crystal

TABLE = yaml.safe_load((Path(__file__).parents[2] / "examples" / "data" / "grain_boundaries.yaml").read_text())


@pytest.fixture(scope="module")
def copper():
    return Crystal(bulk("Cu", a=3.61, cubic=True))


@pytest.fixture(scope="module")
def crystal(lps):
    return Crystal(lps)


@pytest.mark.parametrize(
    ("axis", "plane", "sigma", "angle", "area"),
    [
        # Area of the planar lattice of fcc (hkl): a²√(h²+k²+l²)/2, for all odd a²√(h²+k²+l²)/4.
        ((0, 0, 1), (2, 1, 0), 5, 36.87, np.sqrt(5) / 2),
        ((0, 0, 1), (3, 1, 0), 5, 36.87, np.sqrt(10) / 2),
        ((1, -1, 0), (1, 1, 1), 3, 70.53, np.sqrt(3) / 4),
        ((0, 0, 1), (3, 2, 0), 13, 22.62, np.sqrt(13) / 2),
        ((0, 0, 1), (5, 1, 0), 13, 22.62, np.sqrt(26) / 2),
    ],
)
def test_symmetric_tilts_of_a_cubic_metal(copper, axis, plane, sigma, angle, area):
    (found,) = boundaries(copper, axis, plane, convention="pseudo-cubic")
    assert found.sigma == sigma
    assert found.angle_deg == pytest.approx(angle, abs=0.01)
    assert found.nominal_angle_deg == pytest.approx(angle, abs=0.01)
    assert found.area == pytest.approx(3.61**2 * area)
    assert found.max_strain < 1e-9


@pytest.mark.parametrize(
    ("request_", "sigma"),
    [
        ({"axis": (0, 0, 1), "plane": (2, 1, 0)}, 5),
        ({"axis": (1, -1, 0), "plane": (1, 1, 1)}, 3),
        ({"axis": (0, 0, 1), "plane": (3, 2, 0)}, 13),
        ({"axis": (0, 0, 1), "plane": (0, 0, 1), "kind": "twist", "sigma": 13}, 13),
    ],
)
def test_one_site_of_sigma_coincides(copper, request_, sigma):
    """Count the sites of one grain's cubic lattice that fall on sites of the other's, over a period of both."""
    (found, *_) = boundaries(copper, **request_, convention="pseudo-cubic")
    sites = np.stack(np.meshgrid(*[np.arange(sigma)] * 3), axis=-1).reshape(-1, 3)
    lower, upper = (grain.frame for grain in found.grains)
    on_other = sites @ lower.T @ upper
    coincident = np.all(np.abs(on_other - np.round(on_other)) < 1e-6, axis=1)
    assert coincident.sum() == sigma**2


@pytest.mark.parametrize(("sigma", "angle"), [(5, 36.87), (13, 22.62), (17, 28.07), (25, 16.26), (29, 43.60)])
def test_twists_of_a_cubic_metal(copper, sigma, angle):
    found = boundaries(copper, (0, 0, 1), (0, 0, 1), "twist", convention="pseudo-cubic", sigma=sigma)[0]
    assert found.angle_deg == pytest.approx(angle, abs=0.01)
    assert found.area == pytest.approx(sigma * 3.61**2 / 2)
    assert found.max_strain < 1e-9
    true = boundaries(copper, (0, 0, 1), (0, 0, 1), "twist", angle=angle, max_strain=1e-5, max_area=200)[0]
    assert true.area == pytest.approx(found.area)


def test_hexagonal_twist():
    """Twists of a hexagonal lattice about c: Σ7 at 38.21° (or 21.79°)."""
    cobalt = Crystal(bulk("Co", "hcp", a=2.5, c=4.07))
    found = boundaries(cobalt, (0, 0, 1), (0, 0, 1), "twist", max_strain=1e-4, max_area=45)
    assert found[0].area == pytest.approx(7 * 2.5**2 * np.sqrt(3) / 2)
    assert found[0].angle_deg == pytest.approx(21.79, abs=0.01)


@pytest.mark.parametrize(
    ("name", "nominal", "true"),
    [
        # Nominal: 2·atan of the plane's indices. True: the same with the cell's lengths, 13.07, 8.13 and 6.26 Å.
        ("Σ5[001]/(120)", 53.13, 34.55),
        ("Σ5[001]/(130)", 36.87, 23.43),
        ("Σ13[001]/(150)", 22.62, 14.18),
        ("Σ13[001]/(3-20)", 67.38, 86.03),
        ("Σ25[001]/(170)", 16.26, 10.16),
        ("Σ29[001]/(-250)", 43.60, 27.94),
        ("Σ5[001]/(2-10)", 53.13, 77.59),
        ("Σ5[010]/(201)", 53.13, 87.54),
        ("Σ3[110]/(111)", 109.47, 84.40),
        # Twists, after the strain of the common cell has turned the grains; a cube has 36.87° and 53.13° for Σ5.
        ("Σ5[001]/(001)", 53.13, 78.46),
        ("Σ5[100]/(100)", 53.13, 64.63),
        ("Σ5[010]/(010)", 36.87, 70.53),
    ],
)
def test_true_and_nominal_angles_of_the_published_boundaries(crystal, name, nominal, true):
    request = TABLE[name]
    found = boundaries(crystal, **request, convention="pseudo-cubic", max_strain=0.02)[0]
    assert found.nominal_angle_deg == pytest.approx(nominal, abs=0.01)
    assert found.angle_deg == pytest.approx(true, abs=0.01)
    assert found.sigma == request["sigma"]


@pytest.mark.parametrize("plane", [(1, 2, 0), (1, 7, 0), (3, -2, 0)])
def test_true_angle_follows_from_the_cell(crystal, plane):
    """Twice the angle between the plane's normal and the nearest of the two-fold axes."""
    (found,) = boundaries(crystal, (0, 0, 1), plane)
    normal = np.array(plane[:2]) / [13.07, 8.13]
    from_axis = np.degrees(np.arctan(np.abs(normal[0] / normal[1])))
    assert found.angle_deg == pytest.approx(2 * min(from_axis, 90 - from_axis), abs=0.01)
    assert found.sigma is found.nominal_angle_deg is None


def test_pseudo_cubic_twist_lays_equal_index_vectors_on_each_other(crystal):
    found = boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", convention="pseudo-cubic", sigma=5, max_strain=0.02)
    a, b = 13.07, 8.13
    pairs = {2 * np.degrees(np.arctan2(n * b, m * a)) for m, n in ((1, 2), (2, 1), (1, 3), (3, 1))}
    allowed = {min(angle, 180 - angle) for angle in pairs}
    for item in found:
        assert min(abs(item.angle_deg - angle) for angle in allowed) < 1.5  # strain turns the grains a little
        assert item.max_strain <= 0.02
    mirrored = [item for item in found if abs(item.angle_deg - 34.55) < 1]
    assert mirrored[0].max_strain < 0.005
    assert mirrored[0].area == pytest.approx(11 * a * b)
    assert found[0].nominal_angle_deg == pytest.approx(53.13, abs=0.01)


def test_true_angle_chooses_among_the_twists_of_a_label(crystal):
    request = {"kind": "twist", "convention": "pseudo-cubic", "sigma": 5, "max_strain": 0.02}
    every = boundaries(crystal, (0, 0, 1), (0, 0, 1), **request)
    chosen = boundaries(crystal, (0, 0, 1), (0, 0, 1), **request, angle=35.0)
    assert every[0].angle_deg == pytest.approx(78.46, abs=0.01)
    assert [item.angle_deg for item in chosen] == [item.angle_deg for item in every if abs(item.angle_deg - 35) <= 1]
    assert chosen
    with pytest.raises(NoCoincidence, match=r"true angle of 50 ± 1°: they have 78\.46°, 35\.10°"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), **request, angle=50)


def test_asymmetric_tilt_keeps_the_axes_parallel(crystal):
    found = boundaries(crystal, (0, 0, 1), (1, 0, 0), "asymmetric", plane_2=(0, 1, 0), max_strain=0.02)
    item = found[0]
    assert item.angle_deg == pytest.approx(90, abs=0.01)
    axes = [grain.frame @ [0, 0, 1] for grain in item.grains]
    assert abs(axes[0] @ axes[1]) == pytest.approx(1)
    assert abs(axes[0][2]) < 1e-9


@pytest.mark.parametrize(
    ("plane_2", "angle", "sigma"), [((3, 4, 0), 36.87, 5), ((5, 12, 0), 22.62, 13), ((0, 1, 0), 0.0, 1)]
)
def test_asymmetric_tilts_of_a_cubic_metal(copper, plane_2, angle, sigma):
    request = {"plane_2": plane_2, "max_strain": 0.02, "convention": "pseudo-cubic"}
    item = boundaries(copper, (0, 0, 1), (1, 0, 0), "asymmetric", **request)[0]
    assert (item.sigma, round(item.nominal_angle_deg, 2)) == (sigma, angle)
    assert item.angle_deg == pytest.approx(angle, abs=0.5)


def test_asymmetric_label_chooses_between_the_axes_parallel_and_antiparallel(crystal):
    request = {"plane_2": (2, -1, 0), "max_strain": 0.03, "convention": "pseudo-cubic"}
    both = boundaries(crystal, (0, 0, 1), (1, 2, 0), "asymmetric", **request)
    assert {item.sigma for item in both} == {1, 5}
    (one,) = boundaries(crystal, (0, 0, 1), (1, 2, 0), "asymmetric", sigma=5, **request)
    assert one.nominal_angle_deg == pytest.approx(36.87, abs=0.01)
    with pytest.raises(ValueError, match="nominal Σ 1 and 5, not 7"):
        boundaries(crystal, (0, 0, 1), (1, 2, 0), "asymmetric", sigma=7, **request)


def test_mixed_boundary_lays_the_directions_parallel(crystal):
    item = boundaries(
        crystal,
        None,
        (0, 0, 1),
        "mixed",
        plane_2=(1, 0, 0),
        direction=(0, 1, 0),
        direction_2=(0, 1, 0),
        max_strain=0.03,
    )[0]
    lower, upper = (grain.frame @ [0, 1, 0] for grain in item.grains)
    assert lower == pytest.approx(upper)
    assert item.kind == "mixed"


def test_grains_are_rotated_not_reflected(crystal):
    for request in (((0, 0, 1), (1, 2, 0), "symmetric"), ((0, 0, 1), (0, 0, 1), "twist")):
        for item in boundaries(crystal, *request)[:5]:
            for grain in item.grains:
                assert np.linalg.det(grain.frame) == pytest.approx(1)
                assert np.allclose(grain.frame @ grain.plane.normal, [0, 0, 1])
                assert np.allclose(grain.vectors @ grain.basis @ grain.deformation.T, item.cell)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (((0, 0, 1), (1, 2, 3), "symmetric"), r"does not contain the tilt axis \[0, 0, 1\]"),
        (((1, 1, 0), (1, 1, 1), "symmetric"), r"the equivalent direction \[1, -1, 0\] does"),
        (((0, 0, 1), (2, 4, 0), "symmetric"), "common divisor 2"),
        (((0, 0, 2), (1, 2, 0), "symmetric"), "axis .* common divisor"),
        (((0, 0, 1), (1, 2, 0), "twist"), "not normal to the twist axis .* 90.00° off"),
        ((None, (1, 2, 0), "symmetric"), "axis must be given"),
        (((0, 0, 1), (1, 2, 0), "tilt"), "kind must be one of"),
        (((0, 0, 1), (1, 2, 0), "asymmetric"), "needs plane_2"),
        (((0, 0, 1), (1, 2, 0), "mixed"), "needs plane_2"),
    ],
)
def test_bad_requests(crystal, request_, message):
    with pytest.raises(ValueError, match=message):
        boundaries(crystal, *request_)


def test_bad_options(crystal):
    for options, message in (
        ({"convention": "cubic"}, "convention must be"),
        ({"sigma": 5}, "sigma belongs to convention='pseudo-cubic'"),
        ({"sigma": 13, "convention": "pseudo-cubic"}, "nominal Σ 5, not 13"),
        ({"angle": 30}, "angle is for twists"),
        ({"max_strain": 0}, "max_strain"),
        ({"max_area": -1}, "max_area"),
        ({"plane_2": (1, 0, 0)}, "leave plane_2 out"),
        ({"direction": (1, 0, 0)}, "for mixed boundaries"),
    ):
        with pytest.raises(ValueError, match=message):
            boundaries(crystal, (0, 0, 1), (1, 2, 0), **options)
    with pytest.raises(ValueError, match="needs direction and direction_2"):
        boundaries(crystal, None, (1, 2, 0), "mixed", plane_2=(1, 0, 0))
    with pytest.raises(ValueError, match="given by its nominal sigma"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", convention="pseudo-cubic")


def test_no_coincidence_names_the_nearest(crystal):
    with pytest.raises(NoCoincidence, match=r"the nearest has \d.\d+% strain and \d+ Å²"):
        boundaries(crystal, (0, 0, 1), (1, 0, 0), "asymmetric", plane_2=(1, 2, 0), max_strain=0.001, max_area=500)
    with pytest.raises(NoCoincidence, match="no rotation about the normal"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", convention="pseudo-cubic", sigma=7)
    with pytest.raises(NoCoincidence, match=r"at 50 ± 0.1°: the nearest is at 44\.42°"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", angle=50, angle_tolerance=0.1, max_area=800)
    with pytest.raises(NoCoincidence, match="one of the crystal's own symmetry"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", angle=45, max_strain=0.002, max_area=300)
    with pytest.raises(NoCoincidence, match=r"the nearest are 51\.8 Å long and need 0\.84%"):
        boundaries(crystal, (1, 1, 1), (1, 1, 1), "twist", convention="pseudo-cubic", sigma=3, max_strain=0.02)


def test_monoclinic_twist_axis_must_be_the_true_normal():
    monoclinic = Crystal(Atoms("Ar", cell=[5, 6, 7, 90, 105, 90], pbc=True))
    with pytest.raises(ValueError, match=r"15\.00° off its normal"):
        boundaries(monoclinic, (0, 0, 1), (0, 0, 1), "twist")
    assert boundaries(monoclinic, (0, 1, 0), (0, 1, 0), "twist", max_strain=0.02, max_area=600)
