import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from aiida_lpsgb.structures import units


def test_tetrahedra_and_ions_are_found(lps):
    found = units.find_units(lps)
    assert sorted(unit.formula for unit in found) == ["Li"] * 12 + ["PS4"] * 4
    for unit in found:
        if unit.formula == "PS4":
            centre = unit.positions[unit.symbols.index("P")]
            lengths = np.linalg.norm(unit.positions - centre, axis=1)
            assert np.sort(lengths)[1:] == pytest.approx([2.07] * 4, abs=0.04)


def test_units_are_unwrapped_wherever_the_cell_cuts(lps):
    for shift in np.random.default_rng(0).uniform(0, 13, (5, 3)):
        moved = lps.copy()
        moved.positions += shift
        moved.wrap()
        report = units.survey(moved)
        assert report.formulas == {"Li": 12, "PS4": 4}
        spans = [np.ptp(unit.positions, axis=0).max() for unit in units.find_units(moved)]
        assert max(spans) < 4


def test_survey_matches_all_pairs(lps):
    report = units.survey(lps)
    distances = lps.get_all_distances(mic=True)
    symbols = np.array(lps.get_chemical_symbols())
    lithium_sulphur = distances[np.ix_(symbols == "Li", symbols == "S")]
    assert report.shortest_inter_unit["Li-S"] == pytest.approx(lithium_sulphur.min())
    assert report.shortest_pair == pytest.approx(distances[np.triu_indices(32, 1)].min())
    assert report.longest_bond == pytest.approx(2.1019, abs=1e-4)


def test_periodic_image_of_a_unit_counts_as_another(lps):
    """In a cell shorter than the reach the nearest sulphur of another unit may be an image of the unit's own."""
    water = molecule("H2O", cell=[3.2, 3.2, 3.2], pbc=True)
    report = units.survey(water)
    assert report.formulas == {"H2O": 1}
    assert report.shortest_inter_unit["O-O"] == pytest.approx(3.2)


@pytest.mark.parametrize(
    ("atoms", "formulas"),
    [
        (bulk("NaCl", "rocksalt", a=5.64, cubic=True), {"Cl": 4, "Na": 4}),
        (bulk("Cu", cubic=True), {"Cu": 4}),
        (
            Atoms("LiZrO", positions=[[0, 0, 0], [2, 0, 0], [4, 0, 0]], cell=[9, 9, 9], pbc=True),
            {"Li": 1, "O": 1, "Zr": 1},
        ),
        (molecule("C2H6", vacuum=4), {"C2H6": 1}),
    ],
)
def test_what_binds(atoms, formulas):
    assert units.survey(atoms).formulas == formulas


def test_networks_are_refused_unless_allowed_or_cut():
    silicon = bulk("Si", cubic=True)
    with pytest.raises(ValueError, match="network without end"):
        units.find_units(silicon)
    assert len(units.find_units(silicon, allow_infinite=True)) == 1
    assert len(units.find_units(silicon, cutoffs={})) == 8


def test_given_cutoffs(lps):
    assert units.survey(lps, {"P-S": 2.0}).formulas == {"Li": 12, "P": 4, "S": 16}
    assert units.survey(lps, {("P", "S"): 2.5}).formulas == {"Li": 12, "PS4": 4}
    for bad in ({"PS": 2.5}, {"P-Q": 2.5}, {"P-S": -1}):
        with pytest.raises(ValueError, match="bond cut-off"):
            units.find_units(lps, bad)


@pytest.mark.parametrize("formula", ["PO4", "SiO4", "SbS4", "ClO4", "NH4", "BH4", "H2O", "P2S7"])
def test_formulas_are_written_as_chemists_do(formula):
    symbols = sorted(Atoms(formula).get_chemical_symbols())
    assert units.Unit(np.arange(len(symbols)), tuple(symbols), np.zeros((len(symbols), 3))).formula == formula
