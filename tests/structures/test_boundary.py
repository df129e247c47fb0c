import re
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.boundary import as_indices, boundaries, require_boundary
from aiida_lpsgb.structures.coincidence import NoCoincidence
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.ordering import order
from aiida_lpsgb.structures.validation import StructureWarning

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


@pytest.mark.parametrize("max_strain", [0.01, 0.02])
def test_common_cells_are_compact(crystal, max_strain):
    """Molecular dynamics cannot run in a cell that leans far."""
    found = boundaries(crystal, (0, 0, 1), (0, 0, 1), convention="pseudo-cubic", sigma=5, max_strain=max_strain)
    for a, b in (item.cell for item in found):
        assert abs(a @ b) <= 0.5001 * min(a @ a, b @ b)


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


@pytest.mark.parametrize(("plane_2", "angle", "sigma"), [((3, 4, 0), 36.87, 5), ((5, 12, 0), 22.62, 13)])
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
        (((0, 0, 1), (1, 2, 0), "twist"), "not normal to the twist axis .* 90.00° off .*leave the axis out"),
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
        ({"kind": "symmetric", "plane_2": (1, 0, 0)}, "leave plane_2 out"),
        ({"kind": "symmetric", "direction": (1, 0, 0)}, "for mixed boundaries"),
    ):
        with pytest.raises(ValueError, match=message):
            boundaries(crystal, (0, 0, 1), (1, 2, 0), **options)
    with pytest.raises(ValueError, match="needs direction and direction_2"):
        boundaries(crystal, None, (1, 2, 0), "mixed", plane_2=(1, 0, 0))
    with pytest.raises(ValueError, match="given by its nominal sigma"):
        boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", convention="pseudo-cubic")


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({"axis": (0, 0, 1), "plane": (1, 2, 0)}, "symmetric"),
        ({"axis": (0, 0, 1), "plane": (0, 0, 1), "convention": "pseudo-cubic", "sigma": 5}, "twist"),
        ({"axis": None, "plane": (0, 0, 1), "smallest": True}, "twist"),
        ({"axis": (0, 0, 1), "plane": (1, 0, 0), "plane_2": (1, 2, 0), "max_strain": 0.03}, "asymmetric"),
    ],
)
def test_the_indices_say_what_kind_is_meant(crystal, request_, kind):
    assert boundaries(crystal, **request_)[0].kind == kind


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


@pytest.mark.parametrize(
    ("axis", "plane", "kind", "plane_2"),
    [
        ((0, 0, 1), (1, 0, 0), "symmetric", None),
        ((0, 1, 0), (0, 0, 1), "symmetric", None),
        ((0, 0, 1), (1, 0, 0), "asymmetric", (1, 0, 0)),
    ],
)
def test_what_the_crystals_own_symmetry_makes_is_no_boundary(crystal, axis, plane, kind, plane_2):
    with pytest.warns(StructureWarning, match="no grain boundary: the crystal's own symmetry"):
        found = boundaries(crystal, axis, plane, kind, plane_2=plane_2)
    with pytest.raises(
        NoCoincidence, match=r"no grain boundary: .* on \[.*\], so the two are one crystal with a shift"
    ):
        require_boundary(found)


def test_a_plane_that_symmetry_carries_into_the_other_is_no_boundary(copper):
    with pytest.warns(StructureWarning, match=r"boundary on \[1, 0, 0\] and \[0, 1, 0\]"):
        boundaries(copper, (0, 0, 1), (1, 0, 0), "asymmetric", plane_2=(0, 1, 0))
    require_boundary(boundaries(copper, (0, 0, 1), (1, 2, 0)))


def test_twist_about_the_normal_of_a_plane_without_a_lattice_direction_along_it(crystal):
    """(120) of an orthorhombic lattice: no direction is normal to it, and its planar cell is a rectangle."""
    found = boundaries(crystal, None, (1, 2, 0), "twist", max_strain=0.02)
    normal = np.array([1 / 13.07, 2 / 8.13, 0])
    for item in found:
        for grain in item.grains:
            assert grain.frame @ (normal / np.linalg.norm(normal)) == pytest.approx([0, 0, 1], abs=1e-9)
        assert item.notes == ()
    assert found[0].angle_deg == pytest.approx(180)  # a half turn always fits
    assert found[0].area == pytest.approx(boundaries(crystal, (0, 0, 1), (1, 2, 0))[0].area)
    triclinic = Crystal(Atoms("Ar", cell=[5, 6, 7, 80, 95, 105], pbc=True))
    assert boundaries(triclinic, None, (1, 1, 2), "twist", max_area=500)


@pytest.mark.parametrize("limit", [0.012, 0.02])
def test_label_keeps_its_orientation_when_the_cell_relaxes(lps, crystal, limit):
    """Σ5[100]/(100) is at 64.6° on the given cell; on one 3 % longer along c another orientation has a smaller cell."""
    request = {"kind": "twist", "convention": "pseudo-cubic", "sigma": 5, "max_strain": limit}
    (asked, *_) = boundaries(crystal, (1, 0, 0), (1, 0, 0), **request)
    assert asked.angle_deg == pytest.approx(64.63, abs=0.01)
    relaxed = lps.copy()
    relaxed.set_cell(lps.cell.array * [[1.0], [0.985], [1.03]], scale_atoms=True)
    relaxed.rattle(0.02, seed=1)
    alone = boundaries(Crystal(relaxed), (1, 0, 0), (1, 0, 0), **request)
    kept = boundaries(Crystal(relaxed, parent=lps), (1, 0, 0), (1, 0, 0), **request)
    assert abs(alone[0].angle_deg - asked.angle_deg) > 10
    assert abs(kept[0].angle_deg - asked.angle_deg) < 3
    (note,) = kept[0].notes
    assert "kept at the orientation of the parent's cell, 64.63°" in note
    assert kept[0].describe()["notes"] == [note]
    other = boundaries(Crystal(relaxed, parent=lps), (1, 0, 0), (1, 0, 0), **request, angle=alone[0].angle_deg)
    assert other[0].angle_deg == pytest.approx(alone[0].angle_deg)


def test_label_that_no_longer_fits_is_refused_with_what_does(lps):
    relaxed = lps.copy()
    relaxed.set_cell(lps.cell.array * [[1.0], [1.03], [0.97]], scale_atoms=True)
    request = {"kind": "twist", "convention": "pseudo-cubic", "sigma": 5, "max_strain": 0.012}
    with pytest.raises(NoCoincidence, match=r"at 64\.63° in the parent's cell, and in the crystal's nothing within"):
        boundaries(Crystal(relaxed, parent=lps), (1, 0, 0), (1, 0, 0), **request)


def test_symmetry_of_the_disordered_crystal_counts():
    """Ordering takes argyrodite's axes: what was 36.87° about [001] is then 180° about something else."""
    disordered = Structure.from_spacegroup(
        "F-43m",
        Lattice.cubic(9.86),
        [{"Li": 0.5}, "P", "S", "S", "Cl"],
        [[0.183, 0.183, 0.024], [0, 0, 0.5], [0.1195, 0.1195, 0.6195], [0.25, 0.25, 0.25], [0, 0, 0]],
    )
    ordered = order(disordered, {"Li": 1, "P": 5, "S": -2, "Cl": -1}, n_samples=1)[0]
    relaxed = ordered.copy()
    relaxed.set_cell(ordered.cell.array * [[1.004], [0.997], [1.002]], scale_atoms=True)
    (alone,) = boundaries(Crystal(ordered), (0, 0, 1), (1, 2, 0))
    assert alone.angle_deg == pytest.approx(180)
    assert "no rotation about the axis asked for, [0, 0, 1]" in alone.notes[0]
    for atoms, tolerance in ((ordered, 0.01), (relaxed, 0.5)):
        (found,) = boundaries(Crystal(atoms, parent=disordered), (0, 0, 1), (1, 2, 0))
        assert found.angle_deg == pytest.approx(36.87, abs=tolerance)
        assert as_indices(found.axis) in ([0, 0, 1], [0, 0, -1])
        assert found.notes == ()
    double = Crystal(ordered.repeat((1, 1, 2)), parent=disordered)
    assert np.array_equal(double.repeats, np.diag([1, 1, 2]))
    (found,) = boundaries(double, (0, 0, 1), (1, 2, 0))
    assert found.angle_deg == pytest.approx(36.87, abs=0.01)
    # Indices are those of the parent, also along the doubled axis.
    (found,) = boundaries(double, (1, 0, 0), (0, 1, 2))
    assert found.angle_deg == pytest.approx(36.87, abs=0.01)
    assert found.describe()["plane_1"] == [0, 1, 2]
    assert found.describe()["axis"] in ([1, 0, 0], [-1, 0, 0])
    (own,) = boundaries(Crystal(double.atoms), (1, 0, 0), (0, 1, 4))
    assert own.grains[0].plane.normal == pytest.approx(found.grains[0].plane.normal)
    assert np.allclose(double.direction([0, 0, 1]), disordered.lattice.matrix[2])


def test_directions_are_written_as_small_integers():
    assert as_indices(np.array([0.5, 1.0, 0.0])) == [1, 2, 0]
    assert as_indices(np.array([-0.2, 0.3, 0.1])) == [-2, 3, 1]
    assert as_indices(np.array([0.1234, 1.0, 0.0])) == [0.1234, 1.0, 0.0]


def test_listing_twists_of_a_metal_takes_seconds():
    """Cells of up to 1500 Å² of a small planar lattice: the known coincidences first, each orientation once."""
    magnesium = Crystal(bulk("Mg", "hcp", a=3.2, c=5.2), cutoffs={})
    start = process_time()
    found = boundaries(magnesium, (0, 0, 1), (0, 0, 1), "twist")
    assert process_time() - start < 10
    assert [round(item.angle_deg, 2) for item in found[:3]] == [21.79, 27.80, 13.17]
    assert len({(round(item.angle_deg, 1), round(item.max_strain, 3)) for item in found}) == len(found)
    start = process_time()
    (smallest, *_) = boundaries(magnesium, (0, 0, 1), (0, 0, 1), "twist", smallest=True)
    assert process_time() - start < 2
    assert smallest.area == pytest.approx(found[0].area)


def test_the_nearest_is_one_that_would_be_found(crystal):
    """Allowed the strain that the message names, the search finds the cell that it names."""
    request = {"plane_2": (1, 2, 0), "max_area": 900}
    with pytest.raises(NoCoincidence) as caught:
        boundaries(crystal, (0, 0, 1), (1, 0, 0), "asymmetric", **request, max_strain=0.002)
    strain, area = (
        float(x) for x in re.search(r"the nearest has ([\d.]+)% strain and (\d+)", str(caught.value)).groups()
    )
    assert strain > 0.2
    found = boundaries(crystal, (0, 0, 1), (1, 0, 0), "asymmetric", **request, max_strain=(strain + 0.01) / 100)
    assert min(abs(item.area - area) for item in found) < 1
