from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.neighborlist import neighbor_list
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_lpsgb.structures import bicrystal
from aiida_lpsgb.structures.boundary import boundaries
from aiida_lpsgb.structures.coincidence import NoCoincidence
from aiida_lpsgb.structures.contact import FAR, contact_table
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.units import survey

TABLE = yaml.safe_load((Path(__file__).parents[2] / "examples" / "data" / "grain_boundaries.yaml").read_text())


@pytest.fixture(scope="module")
def crystal(lps):
    return Crystal(lps, charges={"Li": 1, "P": 5, "S": -2})


def environments(atoms, region, reach=7.0, half_width=6.0):
    """Element and a smooth sum over neighbours of every atom near a boundary, sorted."""
    height = atoms.cell.array[2, 2]
    away = np.abs((atoms.positions[:, 2] - region["centre_A"] + height / 2) % height - height / 2)
    near = np.flatnonzero(away < half_width)
    i, j, d = neighbor_list("ijd", atoms, reach)
    sums = np.bincount(i, atoms.numbers[j] * (1 - (d / reach) ** 2) ** 2 * np.exp(-d), len(atoms))
    edge = half_width - np.abs(away[near] - half_width) < 1e-3
    assert not edge.any()
    return sorted((int(atoms.numbers[k]), round(float(sums[k]), 6)) for k in near)


@pytest.mark.parametrize("name", TABLE)
def test_published_boundaries(crystal, name):
    request = TABLE[name]
    limit = 0.02 if request["kind"] == "twist" else 0.01
    start = process_time()
    (atoms,) = bicrystal.grain_boundary(crystal, **request, convention="pseudo-cubic", max_strain=limit, n_atoms=10_000)
    assert process_time() - start < 10
    info = atoms.info["grain_boundary"]
    n = len(atoms) // 8
    assert len(atoms) >= 10_000
    assert Counter(atoms.get_chemical_symbols()) == {"Li": 3 * n, "P": n, "S": 4 * n}
    report = survey(atoms)
    assert report.formulas == {"Li": 3 * n, "PS4": n}
    assert report.longest_bond < 2.4
    assert report.shortest_inter_unit["P-S"] > 2.8
    assert report.shortest_pair > 1.6
    assert info["max_strain"] <= (limit if request["kind"] == "twist" else 1e-9)
    assert info["nominal_sigma"] == request["sigma"]
    assert min(info["grain_widths_A"]) >= 25
    assert info["equivalent_by"] in ("screw", "glide")
    assert len(info["regions"]) == 2
    if request["kind"] == "twist":
        assert info["axis_along"] is None
    elif request["axis"] == [0, 0, 1]:
        length = atoms.cell.lengths()[info["axis_along"]] / crystal.atoms.cell.lengths()[2]
        assert length == pytest.approx(round(length), abs=1e-6)


@pytest.mark.parametrize("name", TABLE)
def test_both_boundaries_are_equivalent(crystal, name):
    """Every atom near one boundary has its like near the other, so the two have the same energy."""
    options = {"convention": "pseudo-cubic", "max_strain": 0.02, "width": 15, "region": 7.5}
    (atoms,) = bicrystal.grain_boundary(crystal, **TABLE[name], **options)
    first, second = (environments(atoms, region) for region in atoms.info["grain_boundary"]["regions"])
    assert [k for k, _ in first] == [k for k, _ in second]
    assert np.allclose([s for _, s in first], [s for _, s in second], atol=1e-5)


@pytest.mark.parametrize("name", TABLE)
def test_both_are_equivalent_in_a_crystal_that_has_lost_its_symmetry(lps, crystal, name):
    """Lithium off its special positions, as after relaxation: the mirror that twists need is the parent's alone."""
    relaxed = lps.copy()
    relaxed.rattle(0.1, seed=3)
    options = {"convention": "pseudo-cubic", "max_strain": 0.02, "width": 15, "region": 7.5, "shift_step": 4.0}
    (atoms,) = bicrystal.grain_boundary(Crystal(relaxed, parent=lps), **TABLE[name], **options)
    info = atoms.info["grain_boundary"]
    twist = TABLE[name]["kind"] == "twist"
    assert (info["equivalent_by"], info["variant"]) == (("glide", True) if twist else ("screw", False))
    first, second = (environments(atoms, region) for region in info["regions"])
    assert [k for k, _ in first] == [k for k, _ in second]
    assert np.allclose([s for _, s in first], [s for _, s in second], atol=1e-5)

    (orderly,) = bicrystal.grain_boundary(crystal, **TABLE[name], **options)
    for key in ("true_angle_deg", "nominal_angle_deg", "area_A2"):
        assert info[key] == pytest.approx(orderly.info["grain_boundary"][key], abs=1e-3)
    if twist:
        (alone,) = bicrystal.grain_boundary(Crystal(relaxed), **TABLE[name], **options)
        assert alone.info["grain_boundary"]["equivalent_by"] == "none"


def test_every_termination_and_shift_is_equivalent_too(crystal):
    boundary = boundaries(crystal, (0, 0, 1), (1, 2, 0))[0]
    found = bicrystal.candidates(crystal, boundary, shift_step=6.0)
    assert len({candidate.cuts for candidate in found}) == len(crystal.terminations(boundary.grains[0].plane))
    for candidate in found[:: len(found) // 6]:
        atoms = bicrystal.build(crystal, boundary, candidate)
        first, second = (environments(atoms, region) for region in atoms.info["grain_boundary"]["regions"])
        assert np.allclose([s for _, s in first], [s for _, s in second], atol=1e-5)


def test_middle_of_a_grain_is_the_crystal(crystal, lps):
    (atoms,) = bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0))
    height = atoms.cell.array[2, 2]
    middle = height / 4
    reach = 6.0
    i, d = neighbor_list("id", atoms, reach)
    inside = np.flatnonzero(np.abs(atoms.positions[:, 2] - middle) < 4)
    found = {round(float(d[i == k].sum()), 3) for k in inside}
    i, d = neighbor_list("id", lps, reach)
    assert found <= {round(float(d[i == k].sum()), 3) for k in range(len(lps))}


def test_gap_is_contact(crystal):
    """The closest pair of different grains, relative to the crystal's own distances, is at the contact distance."""
    boundary = boundaries(crystal, (0, 0, 1), (1, 2, 0))[0]
    candidate = bicrystal.candidates(crystal, boundary, shift_step=4.0, contact=0.85)[3]
    atoms = bicrystal.build(crystal, boundary, candidate)
    i, j, d = neighbor_list("ijd", atoms, 5.0)
    grain = atoms.arrays["grain"]
    across = grain[i] != grain[j]
    symbols = np.array(atoms.get_chemical_symbols())
    ratios = [
        length / crystal.distances[tuple(sorted((a, b)))]
        for a, b, length in zip(symbols[i][across], symbols[j][across], d[across], strict=True)
    ]
    assert min(ratios) == pytest.approx(0.85, abs=1e-6)


def test_impossible_scans_are_refused(crystal):
    for options, message in (({"shift_step": 0}, "shift_step is 0 Å"), ({"contact": -1}, "positive share")):
        with pytest.raises(ValueError, match=message):
            bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0), **options)


def test_scan_finds_the_lowest_gap_of_every_candidate():
    rock_salt = Crystal(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    boundary = boundaries(rock_salt, (0, 0, 1), (2, 1, 0))[0]
    choices = bicrystal.candidates(rock_salt, boundary, shift_step=3.0)
    widenings = (0.0, 0.5, 1.0, 3.0)
    ranked = bicrystal.scan(rock_salt, boundary, choices, calculator, widenings=widenings, width=10)
    assert len(ranked) == len(choices)
    assert [c.rigid_energy for c in ranked] == sorted(c.rigid_energy for c in ranked)

    crystal = rock_salt.atoms.copy()
    crystal.calc = calculator
    for choice in choices:
        energies = {}
        for widening in widenings:
            gaps = tuple(gap + widening for gap in choice.gaps)
            atoms = bicrystal.build(rock_salt, boundary, replace(choice, gaps=gaps), width=10, region=5)
            atoms.calc = calculator
            excess = atoms.get_potential_energy() - len(atoms) / 8 * crystal.get_potential_energy()
            energies[gaps] = 16.02177 * excess / (2 * boundary.area)
        (found,) = [c for c in ranked if c.cuts == choice.cuts and np.array_equal(c.shift, choice.shift)]
        assert found.gaps == min(energies, key=energies.get)
        assert found.rigid_energy == pytest.approx(min(energies.values()), rel=1e-5)


def test_calculator_decides_which_is_built():
    rock_salt = Crystal(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    options = {"width": 10, "region": 5, "n_candidates": 3}
    built = bicrystal.grain_boundary(rock_salt, (0, 0, 1), (2, 1, 0), calculator=calculator, n_scanned=5, **options)
    energies = [atoms.info["grain_boundary"]["rigid_energy_J_m2"] for atoms in built]
    assert energies[0] == min(energies)
    (densest, *_) = bicrystal.grain_boundary(rock_salt, (0, 0, 1), (2, 1, 0), **options)
    assert densest.info["grain_boundary"]["rigid_energy_J_m2"] is None
    with pytest.raises(ValueError, match="n_scanned must be at least 1"):
        bicrystal.grain_boundary(rock_salt, (0, 0, 1), (2, 1, 0), n_scanned=0)


def test_vacuum_opens_the_second_boundary(crystal):
    (atoms,) = bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0), vacuum=15.0)
    assert len(atoms.info["grain_boundary"]["regions"]) == 1
    heights = np.sort(atoms.positions[:, 2] % atoms.cell.array[2, 2])
    assert (atoms.cell.array[2, 2] - np.ptp(heights)) > 10
    assert np.diff(heights).max() < 3


def test_sizes(crystal):
    small = bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0), width=12, region=5)[0]
    assert min(small.info["grain_boundary"]["grain_widths_A"]) >= 12
    many = bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0), n_atoms=3000, n_candidates=3)
    assert len(many) == 3
    assert all(len(atoms) >= 3000 for atoms in many)
    assert len({tuple(atoms.info["grain_boundary"]["cuts_A"]) for atoms in many}) == 3
    for options, message in (
        ({"width": 15}, "thinner than two regions of 10 Å"),
        ({"width": -1}, "must be positive"),
        ({"n_atoms": 0}, "must be positive"),
        ({"n_candidates": 0}, "n_candidates"),
    ):
        with pytest.raises(ValueError, match=message):
            bicrystal.grain_boundary(crystal, (0, 0, 1), (1, 2, 0), **options)


def test_asymmetric_and_mixed_boundaries_are_whole(crystal):
    for request in (
        {"axis": (0, 0, 1), "plane": (1, 0, 0), "kind": "asymmetric", "plane_2": (0, 1, 0)},
        {
            "axis": None,
            "plane": (0, 0, 1),
            "kind": "mixed",
            "plane_2": (1, 0, 0),
            "direction": (0, 1, 0),
            "direction_2": (0, 1, 0),
        },
    ):
        (atoms,) = bicrystal.grain_boundary(crystal, **request, max_strain=0.03)
        n = len(atoms) // 8
        report = survey(atoms)
        assert report.formulas == {"Li": 3 * n, "PS4": n}
        assert report.shortest_pair > 1.6
        info = atoms.info["grain_boundary"]
        if info["equivalent_by"] != "none":
            first, second = (environments(atoms, region) for region in info["regions"])
            assert np.allclose([s for _, s in first], [s for _, s in second], atol=1e-5)


def argyrodite():
    """Li₆PS₅Cl, fully ordered (F-43m, lithium on 24g)."""
    structure = Structure.from_spacegroup(
        "F-43m",
        Lattice.cubic(9.86),
        ["Li", "P", "S", "S", "Cl"],
        [[0.25, 0.017, 0.25], [0, 0, 0.5], [0.1195, 0.1195, 0.6195], [0.25, 0.25, 0.25], [0, 0, 0]],
    )
    return Atoms(AseAtomsAdaptor.get_atoms(structure, msonable=False))


def lithium_nitride():
    """α-Li₃N (P6/mmm)."""
    return Atoms(
        "Li3N",
        scaled_positions=[[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0], [0, 0, 0.5], [0, 0, 0]],
        cell=[3.65, 3.65, 3.88, 90, 90, 120],
        pbc=True,
    )


SALT, HEXAGON = 5.64**2 / 2, 3.65**2 * np.sqrt(3) / 2


@pytest.mark.parametrize(
    ("atoms", "formula", "requests"),
    [
        # What each must give: true angle, area of the cell, distance of its lattice planes.
        (
            bulk("NaCl", "rocksalt", a=5.64, cubic=True),
            {"Na": 1, "Cl": 1},
            [
                ({"axis": (0, 0, 1), "plane": (2, 1, 0)}, 36.87, np.sqrt(5) * SALT, 5.64 / np.sqrt(20)),
                ({"axis": (0, 0, 1), "plane": (3, 1, 0)}, 36.87, np.sqrt(10) * SALT, 5.64 / np.sqrt(40)),
                ({"axis": (1, -1, 0), "plane": (1, 1, 1)}, 70.53, np.sqrt(3) / 2 * SALT, 5.64 / np.sqrt(3)),
                ({"axis": (0, 0, 1), "plane": (3, 2, 0)}, 22.62, np.sqrt(13) * SALT, 5.64 / np.sqrt(52)),
                ({"axis": (0, 0, 1), "plane": (5, 1, 0)}, 22.62, np.sqrt(26) * SALT, 5.64 / np.sqrt(104)),
                ({"axis": (0, 0, 1), "plane": (0, 0, 1), "kind": "twist", "sigma": 5}, 36.87, 5 * SALT, 5.64 / 2),
                ({"axis": (0, 0, 1), "plane": (0, 0, 1), "kind": "twist", "sigma": 13}, 22.62, 13 * SALT, 5.64 / 2),
            ],
        ),
        (
            argyrodite(),
            {"Li": 6, "PS4": 1, "S": 1, "Cl": 1},
            [
                ({"axis": (0, 0, 1), "plane": (1, 2, 0)}, 36.87, np.sqrt(5) / 2 * 9.86**2, 9.86 / np.sqrt(20)),
                (
                    {"axis": (0, 0, 1), "plane": (0, 0, 1), "kind": "twist", "sigma": 5},
                    *(36.87, 5 / 2 * 9.86**2, 9.86 / 2),
                ),
            ],
        ),
        (
            lithium_nitride(),
            {"Li": 3, "N": 1},
            [
                # A hexagonal plane (hk0) has the area a·c·√(h²+k²+hk); the twist of 21.79° is Σ7.
                ({"axis": (0, 0, 1), "plane": (1, 2, 0)}, 21.79, 3.65 * 3.88 * np.sqrt(7), HEXAGON / 3.65 / np.sqrt(7)),
                ({"axis": (0, 0, 1), "plane": (0, 0, 1), "kind": "twist", "angle": 21.79}, 21.79, 7 * HEXAGON, 3.88),
            ],
        ),
    ],
    ids=["rock salt", "argyrodite", "lithium nitride"],
)
def test_other_crystals(atoms, formula, requests):
    """Units, coincidence and density of three other crystals, against what is known of their lattices."""
    crystal = Crystal(atoms)
    for request, angle, area, spacing in requests:
        options = {"convention": "pseudo-cubic"} if "sigma" in request else {}
        (built,) = bicrystal.grain_boundary(crystal, **request, **options, n_atoms=1000)
        info = built.info["grain_boundary"]
        assert info["true_angle_deg"] == pytest.approx(angle, abs=0.01)
        assert info["area_A2"] == pytest.approx(area, abs=1e-4)
        assert info["max_strain"] < 1e-9
        # Every lattice plane of either grain holds one primitive cell an area · spacing.
        planes = [width / spacing for width in info["grain_widths_A"]]
        assert planes == pytest.approx(np.round(planes), abs=1e-4)
        report = survey(built)
        cells = info["total_area_A2"] * sum(info["grain_widths_A"]) / atoms.cell.volume
        n = round(cells * survey(atoms).formulas["Li" if "Li" in formula else "Na"] / formula.get("Li", 1))
        assert report.formulas == {unit: n * count for unit, count in sorted(formula.items())}
        assert info["equivalent_by"] in ("screw", "glide")
        first, second = (environments(built, region, half_width=5.003) for region in info["regions"])
        assert np.allclose([s for _, s in first], [s for _, s in second], atol=1e-4)


def shortest_across(crystal, atoms, contact=0.8):
    """Smallest ratio of a distance between atoms of different grains to what is allowed, by brute force."""
    table = contact_table(crystal, contact)
    i, j, d = neighbor_list("ijd", atoms, max(table.values()) * 1.3)
    grain, symbols = atoms.arrays["grain"], atoms.get_chemical_symbols()
    across = grain[i] != grain[j]
    pairs = zip(i[across], j[across], d[across], strict=True)
    return min((length / table[symbols[a], symbols[b]] for a, b, length in pairs), default=np.inf)


OPEN_CRYSTALS = {
    "Li bcc": bulk("Li", "bcc", a=3.49, cubic=True),
    "Fe bcc primitive": bulk("Fe", "bcc", a=2.87),
    "Mg hcp": bulk("Mg", "hcp", a=3.2, c=5.2),
    "Al fcc primitive": bulk("Al", "fcc", a=4.05),
    "Po sc": bulk("Po", "sc", a=3.35),
    "Si": bulk("Si", "diamond", a=5.43),
    "NaCl": bulk("NaCl", "rocksalt", a=5.64),
    "CsCl": bulk("CsCl", "cesiumchloride", a=4.12),
    "CaF2": bulk("CaF2", "fluorite", a=5.46),
    "tall": Atoms("K", cell=[3.0, 9.0, 9.0], pbc=True),  # columns with room for each other
    "layers": Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.1]], cell=[4, 4, 12], pbc=True),
}


@pytest.mark.filterwarnings("ignore::aiida_lpsgb.structures.validation.StructureWarning")
@pytest.mark.parametrize("name", OPEN_CRYSTALS)
@pytest.mark.parametrize("plane", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (1, -1, 1), (1, 2, 0), (2, 1, 1)])
def test_grains_do_not_interpenetrate(name, plane):
    """No two atoms of different grains are closer than 0.8 of their own distance, and neither grain is in the other."""
    axes = {(1, 0, 0): (0, 0, 1), (1, 1, 0): (0, 0, 1), (1, 1, 1): (0, 1, -1), (1, -1, 1): (1, 1, 0)}
    axis = axes.get(plane, (0, 0, 1) if plane == (1, 2, 0) else (0, 1, -1))
    crystal = Crystal(OPEN_CRYSTALS[name], cutoffs={})
    for shift_step, contact in ((1.0, 0.8), (0.3, 0.9)):
        (atoms,) = bicrystal.grain_boundary(
            crystal, axis, plane, width=10, region=5, shift_step=shift_step, contact=contact
        )
        assert shortest_across(crystal, atoms, contact) > 1 - 1e-6
        depth = max(contact_table(crystal, contact).values())
        heights = [atoms.positions[atoms.arrays["grain"] == k, 2] for k in (1, 2)]
        assert heights[0].max() - heights[1].min() < depth + 1e-6


REQUESTS = [
    {"axis": (0, 0, 1), "plane": (1, 0, 0), "kind": "asymmetric", "plane_2": (1, 2, 0)},
    {
        **{"axis": None, "plane": (0, 0, 1), "kind": "mixed", "plane_2": (1, 1, 1)},
        **{"direction": (1, 1, 0), "direction_2": (1, -1, 0)},
    },
    {"axis": None, "plane": (0, 0, 1), "kind": "twist"},
    {"axis": None, "plane": (1, 2, 0), "kind": "twist"},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=[f"{r['kind']} {r['plane']}" for r in REQUESTS])
@pytest.mark.parametrize("name", ["Fe bcc primitive", "Si", "CsCl", "CaF2", "layers"])
def test_strained_grains_do_not_interpenetrate_either(name, request_):
    crystal = Crystal(OPEN_CRYSTALS[name], cutoffs={})
    (atoms,) = bicrystal.grain_boundary(crystal, **request_, max_strain=0.03, max_area=600, width=10, region=5)
    assert shortest_across(crystal, atoms) > 1 - 1e-6


def test_shifts_are_those_that_differ():
    """Σ5 (001) of rock salt: the vectors of both grains span a lattice of a fifth of the planar cell's area."""
    crystal = Crystal(bulk("NaCl", "rocksalt", a=5.64, cubic=True))
    request = {"convention": "pseudo-cubic", "sigma": 5}
    twist = boundaries(crystal, (0, 0, 1), (0, 0, 1), "twist", **request)[0]
    assert abs(np.linalg.det(twist.displacement_cell)) == pytest.approx(5.64**2 / 2 / 5)
    tilt = boundaries(crystal, (0, 0, 1), (2, 1, 0))[0]
    assert abs(np.linalg.det(tilt.displacement_cell)) == pytest.approx(tilt.area)

    choices = bicrystal.candidates(crystal, twist, shift_step=0.5)
    calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=6.0, smooth=True)
    first, energies = choices[0], []
    for moved in (np.zeros(2), *twist.displacement_cell, *twist.grains[0].basis):
        atoms = bicrystal.build(crystal, twist, replace(first, shift=first.shift + moved), width=10, region=5)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    assert energies[1:] == pytest.approx(energies[:1] * 4, abs=1e-6)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.tuples(
        st.floats(6, 11), st.floats(6, 11), st.floats(6, 11), st.floats(75, 105), st.floats(75, 105), st.floats(75, 105)
    ),
    st.tuples(*[st.integers(-3, 3)] * 3).filter(lambda v: np.gcd.reduce(v) == 1),
    st.integers(0, 2**16),
)
@example((6.0, 6.0, 8.5, 77.0, 82.0, 75.0), (0, 0, 1), 0)
def test_random_molecular_crystals_stay_whole(cellpar, plane, seed):
    """A triclinic cell with one tetrahedral molecule and three ions anywhere stays whole and apart."""
    rng = np.random.default_rng(seed)
    arms = 2.05 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    centre = rng.uniform(size=3)
    cell = Atoms(cell=cellpar).cell.array
    positions = [centre @ cell, *(centre @ cell + arms @ q)]
    ions = [(centre + offset) % 1 @ cell for offset in ((0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))]
    atoms = Atoms("PS4Li3", positions=[*positions, *ions], cell=cell, pbc=True)
    base = survey(atoms)
    assume(base.formulas == {"Li": 3, "PS4": 1})
    axes = [v for v in np.ndindex(7, 7, 7) if np.gcd.reduce(np.array(v) - 3) == 1]
    axis = min((np.array(v) - 3 for v in axes if (np.array(v) - 3) @ plane == 0), key=lambda v: v @ v)
    crystal = Crystal(atoms)
    (built,) = bicrystal.grain_boundary(crystal, axis, plane, width=20, region=5, shift_step=4.0)
    n = len(built) // 8
    report = survey(built)
    assert report.formulas == {"Li": 3 * n, "PS4": n}
    for pair, distance in report.shortest_inter_unit.items():
        own = crystal.distances.get(tuple(pair.split("-")), FAR)
        assert distance > min(0.8 * own, base.shortest_inter_unit.get(pair, np.inf)) - 1e-6
    assert shortest_across(crystal, built) > 1 - 1e-6
    # Away from the boundaries every atom has the crystal's surroundings, also across the faces of the cell.
    reach = 5.0
    i, d = neighbor_list("id", built, reach)
    record, height = built.info["grain_boundary"], built.cell.array[2, 2]
    away = built.positions[:, 2, None] - [region["centre_A"] for region in record["regions"]]
    away = np.abs((away + height / 2) % height - height / 2).min(axis=1)
    # Grains end in whole molecules, and reach into each other where the gap is negative.
    inside = np.flatnonzero(away > reach + 2.05 + max(0.0, -min(record["gaps_A"]) / 2) + 0.01)
    assert len(inside) > 0
    j, own = neighbor_list("id", atoms, reach)
    known = np.array([np.sum((1 - own[j == k] / reach) ** 2) for k in range(len(atoms))])
    for k in inside:
        assert np.abs(known - np.sum((1 - d[i == k] / reach) ** 2)).min() < 1e-6
    volume = atoms.cell.volume * n
    gaps = sum(built.info["grain_boundary"]["gaps_A"]) * built.info["grain_boundary"]["area_A2"]
    assert built.cell.volume == pytest.approx(volume + gaps, rel=1e-4)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.tuples(st.floats(4, 8), st.floats(4, 8), st.floats(60, 120)),
    st.floats(5, 175),
)
def test_random_twists(planar, angle):
    a, b, gamma = planar
    atoms = Atoms("NaCl", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[a, b, 5.0, 90, 90, gamma], pbc=True)
    crystal = Crystal(atoms)
    try:
        (built,) = bicrystal.grain_boundary(
            crystal,
            (0, 0, 1),
            (0, 0, 1),
            "twist",
            angle=angle,
            angle_tolerance=5,
            max_strain=0.03,
            max_area=500,
            width=10,
            region=5,
        )
    except NoCoincidence:
        return
    counts = Counter(built.get_chemical_symbols())
    assert counts["Na"] == counts["Cl"]
    info = built.info["grain_boundary"]
    assert info["max_strain"] <= 0.03 + 1e-6
    distances = survey(built).shortest_inter_unit
    for pair, distance in distances.items():
        own = crystal.distances.get(tuple(sorted(pair.split("-"))), FAR)
        assert distance > 0.75 * own


def test_boundary_energy():
    """Ten atoms of −10 eV each in the bulk have 1 eV more beside two boundaries of 16.02 Å²."""
    energy = bicrystal.boundary_energy(-99.0, n_atoms=10, bulk_energy_per_atom=-10.0, area=16.0217663, n_boundaries=2)
    assert energy == pytest.approx(0.5)
