import warnings

import numpy as np
import pytest
import spglib
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import spglib_cell
from aiida_lpsgb.structures.validation import StructureWarning

CELL = """data_test
_cell_length_a 4.1(1)
_cell_length_b 4.1
_cell_length_c 4.1
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
"""
P1 = "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n"
FORMULA = "_chemical_formula_sum 'Li F'\n_cell_formula_units_Z 4\n"
COLUMNS = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
CATIONS = ["0 0 0", "0.5 0.5 0", "0.5 0 0.5", "0 0.5 0.5"]
ANIONS = ["0.5 0 0", "0 0.5 0", "0 0 0.5", "0.5 0.5 0.5"]


def cif(rows, head="", columns=COLUMNS, symmetry=P1):
    return CELL + head + symmetry + "loop_\n" + "".join(f"_atom_site_{c}\n" for c in columns) + "\n".join(rows) + "\n"


def in_cell(cell, rows, symmetry):
    text = cif(rows, symmetry=symmetry)
    for line, value in zip(CELL.splitlines()[1:], cell, strict=True):
        text = text.replace(line, f"{line.split()[0]} {value}")
    return text


def salt(cation="Li{i} Li {r} 1", anion="F{i} F {r} 1"):
    rows = [cation.format(i=i, r=r) for i, r in enumerate(CATIONS, 1)]
    return rows + [anion.format(i=i, r=r) for i, r in enumerate(ANIONS, 1)]


def counts(structure):
    return {element.symbol: pytest.approx(n, abs=1e-6) for element, n in structure.composition.items()}


@pytest.mark.parametrize("missing", [".", "?", "'.'", '"?"'])
def test_unknown_occupancies_are_one(missing):
    rows = salt()
    rows[0] = rows[0][:-1] + missing
    rows[5] = rows[5][:-1] + missing
    assert counts(read_cif(cif(rows, "_chemical_formula_sum 'Li F'\n_cell_formula_units_Z 4\n"))) == {"Li": 4, "F": 4}


def test_a_value_that_is_left_out_is_named_by_its_line():
    rows = salt()
    rows[2] = rows[2][:-2]
    with pytest.raises(ValueError, match=r"rows of 6 values, but line 20 has 5"):
        read_cif(cif(rows))


def test_a_file_without_occupancies_is_full():
    rows = [row[:-2] for row in salt()]
    assert counts(read_cif(cif(rows, columns=COLUMNS[:-1]))) == {"Li": 4, "F": 4}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*salt("Li{i} Li {r} 0.55"), *(f"Na{i} Na {r} 0.50" for i, r in enumerate(CATIONS))],
            r"site at \(0, 0, 0\) add up to 1\.05 \(Li 0\.55, Na 0\.50; Li1 in line 18, Na0 in line 26\)",
        ),
        ([*salt(), "Li9 Li 0 0 0 1"], r"at \(0, 0, 0\) add up to 2\.00 .*Li1 in line 18, Li9 in line 26"),
        ([*salt(), "Na Na 0.5 0.001 0.5 0.3"], r"at \(0\.5, 0, 0\.5\) add up to 1\.30"),
        (salt("Li{i} Li {r} 1.1"), r"Li1 in line 18\); up to 1\.02 is taken for rounding"),
        (salt("Li{i} Li {r} -0.2"), r"the occupancy of site Li1 \(line 18\) is negative"),
        (salt("Li{i} Li {r} nan"), r"the occupancy of site Li1 \(line 18\) is 'nan', not a number"),
        (salt("Li{i} Li {r} inf"), r"the occupancy of site Li1 \(line 18\) is 'inf', not a number"),
        (salt("Li{i} Li nan 0 0 1"), r"a coordinate of site Li1 \(line 18\) is 'nan'"),
        (salt("Li{i} Li {r} half"), r"the occupancy of site Li1 \(line 18\) is 'half', not a number"),
        (salt("Li{i} Li 0 ? 0 1"), r"site Li1 \(line 18\) has no position \(0 \? 0\)"),
        (salt("Li{i} Li 0 0 zero 1"), r"a coordinate of site Li1 \(line 18\) is 'zero'"),
        (salt("M{i} M {r} 1"), r"site M1 \(line 18\): 'M' names no element"),
        (salt("M{i} 'Li/Na' {r} 1"), r"'Li/Na' names several elements without their shares"),
        (salt("M{i} '0.5Li + 0.3Na' {r} 0.6"), r"shares of '0.5Li \+ 0.3Na' add up to 0\.8, and its occupancy is 0\.6"),
        (salt("M{i} Li:Na {r} 1"), r"'Li:Na' names several elements without their shares"),
        (salt("M{i} 'Li 50% Na 50%' {r} 1"), r"'Li 50% Na 50%' names several elements without their shares"),
        (salt("M{i} LiNa {r} 1"), r"'LiNa' names several elements without their shares"),
        (salt("M{i} Li1+Na1+ {r} 1"), r"'Li1\+Na1\+' names several elements without their shares"),
        (salt("Wat{i} OH2 {r} 1"), r"'OH2' stands for a group of atoms"),
    ],
)
def test_rows_that_cannot_be_right_are_named(rows, message):
    with pytest.raises(ValueError, match=message):
        read_cif(cif(rows))


def test_rounding_of_shared_sites_is_scaled_back():
    rows = [*salt("Li{i} Li {r} 0.51"), *(f"Na{i} Na {r} 0.505" for i, r in enumerate(CATIONS))]
    structure = read_cif(cif(rows))
    assert structure.composition["Li"] == pytest.approx(4 * 0.51 / 1.015)
    assert structure.composition.num_atoms == pytest.approx(8)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("M{i} '0.5Li + 0.5Na' {r} 1", {"Li": 2, "Na": 2, "F": 4}),
        ("M{i} '0.5Li+0.5Na' {r} 1", {"Li": 2, "Na": 2, "F": 4}),
        ("'Li,Na' '0.75(2)Li + 0.25(2)Na' {r} 1", {"Li": 3, "Na": 1, "F": 4}),
        ("M{i} '0.25Fe<sup>3+</sup> + 0.25Al<sup>3+</sup>' {r} 1", {"Fe": 1, "Al": 1, "F": 4}),
        ("M{i} '0.25Fe3+ + 0.25Al' {r} 0.5", {"Fe": 1, "Al": 1, "F": 4}),
        ("M{i} '0.5Li + 0.5Na' {r} 0.5", {"Li": 1, "Na": 1, "F": 4}),
        ("M{i} '0.75Li' {r} 1", {"Li": 3, "F": 4}),
        ("M{i} Li0.5Na0.5 {r} 1", {"Li": 2, "Na": 2, "F": 4}),
        ("M{i} 'Li.5, Na.25' {r} 1", {"Li": 2, "Na": 1, "F": 4}),
        ("Li0.5 Li {r} 1", {"Li": 4, "F": 4}),
        ("M{i} '.5Li + .25Na + .25K' {r} .", {"Li": 2, "Na": 1, "K": 1, "F": 4}),
        ("D{i} D {r} 1", {"H": 4, "F": 4}),
        ("D{i} D1+ {r} 0.5", {"H": 2, "F": 4}),
        ("LI{i} LI {r} 1", {"Li": 4, "F": 4}),
        ("Li{i}A Li1+ {r} 1", {"Li": 4, "F": 4}),
        ("Li{i} . {r} 1", {"Li": 4, "F": 4}),
        ("Li{i} Li {r} 1.00(2)", {"Li": 4, "F": 4}),
        ("Va{i} Va {r} 1", {"F": 4}),
        ("V{i} V {r} 1", {"V": 4, "F": 4}),
        ("M{i} 'Li0.5 Va0.5' {r} 1", {"Li": 2, "F": 4}),
        ("M{i} Li0.75Vac0.25 {r} 1", {"Li": 3, "F": 4}),
        ("M{i} '0.5Li + 0.5VA' {r} 1", {"Li": 2, "F": 4}),
        ("M{i} '0.5Li + 0.5□' {r} 0.5", {"Li": 2, "F": 4}),
        ("Li{i} 7Li {r} 1", {"Li": 4, "F": 4}),
        ("D{i} 2H {r} 1", {"H": 4, "F": 4}),
        ("Li{i}A ? {r} 1", {"Li": 4, "F": 4}),
        ("O{i}W OW {r} 1", {"O": 4, "F": 4}),
        ("P{i} P(V) {r} 1", {"P": 4, "F": 4}),
        ("Li{i} Li {r} 0", {"F": 4}),
    ],
)
def test_symbols_as_they_are_found(row, expected):
    assert counts(read_cif(cif(salt(row)))) == expected


def test_deuterium_and_hydrogen_share_a_site():
    rows = salt("Li{i} Li {r} 1", "D{i} D {r} 0.5") + [f"H{i} H {r} 0.5" for i, r in enumerate(ANIONS)]
    structure = read_cif(cif(rows, "_chemical_formula_sum 'Li D0.5 H0.5'\n_cell_formula_units_Z 4\n"))
    assert counts(structure) == {"Li": 4, "H": 4}
    assert structure.is_ordered


@pytest.mark.parametrize("head", [FORMULA, FORMULA.splitlines()[0] + "\n"])
def test_atoms_are_compared_with_the_formula(head):
    assert counts(read_cif(cif(salt(), head))) == {"Li": 4, "F": 4}
    with pytest.raises(ValueError, match=r"(Li 3|F 4) instead of (4|3)"):
        read_cif(cif(salt()[1:], head))
    assert counts(read_cif(cif(salt()[1:], head), check_formula=False)) == {"Li": 3, "F": 4}


def test_a_vacancy_pair_keeps_the_ratio_but_not_the_atoms():
    rows = salt()
    with pytest.raises(ValueError, match=r"F 3 instead of 4, Li 3 instead of 4"):
        read_cif(cif([*rows[1:4], *rows[5:]], "_chemical_formula_sum 'Li F'\n_cell_formula_units_Z 4\n"))


def test_a_formula_of_the_whole_cell_and_small_differences():
    whole = "_chemical_formula_sum 'Li4 F4'\n_cell_formula_units_Z 4\n"  # as pymatgen writes it
    assert counts(read_cif(cif(salt(), whole))) == {"Li": 4, "F": 4}
    with pytest.warns(StructureWarning, match=r"Li 3\.6 instead of 4"):
        read_cif(cif(salt("Li{i} Li {r} 0.9"), whole))
    with pytest.raises(ValueError, match="H 0 instead of 4"):
        read_cif(cif(salt(), "_chemical_formula_sum 'Li F H'\n_cell_formula_units_Z 4\n"))


def test_ambiguous_labels_follow_the_formula():
    rows = [row[:-2].replace(" C ", " ") for row in salt("CO{i} C {r} 1")]
    columns = ("label", *COLUMNS[2:5])
    rows = [row.replace(" F ", " ") for row in rows]
    assert counts(read_cif(cif(rows, "_chemical_formula_sum 'C F'\n", columns))) == {"C": 4, "F": 4}
    assert counts(read_cif(cif(rows, "_chemical_formula_sum 'Co F'\n", columns))) == {"Co": 4, "F": 4}


def test_special_positions_in_three_decimals_are_one_site():
    """0.333 is a third: its images under the threefold axis are one atom, not three."""
    text = cif(["N1 N 0 0 0 1", "Li1 Li 0.333 0.667 0 1", "Li2 Li 0 0 0.5 1"], symmetry="_space_group_IT_number 191\n")
    text = text.replace("_cell_length_a 4.1(1)", "_cell_length_a 3.65").replace(
        "_cell_length_b 4.1", "_cell_length_b 3.65"
    )
    text = text.replace("_cell_angle_gamma 90", "_cell_angle_gamma 120")
    structure = read_cif(text)
    assert counts(structure) == {"Li": 3, "N": 1}
    assert structure.get_space_group_info()[1] == 191


@pytest.mark.parametrize(
    "symmetry",
    [
        "_symmetry_space_group_name_H-M 'F m -3 m'\n",
        "_space_group_name_H-M_alt 'F m -3 m'\n",
        "_SYMMETRY_INT_TABLES_NUMBER 225\n",
        "_space_group.IT_number 225\n",
    ],
)
def test_symmetry_by_name_or_number(symmetry):
    structure = read_cif(cif(["Li1 Li 0 0 0 1", "F1 F 0.5 0.5 0.5 1"], symmetry=symmetry))
    expected = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert counts(structure) == {"Li": 4, "F": 4}
    assert np.allclose(np.sort(structure.distance_matrix.ravel()), np.sort(expected.distance_matrix.ravel()))


@pytest.mark.parametrize(
    ("symmetry", "cell", "expected"),
    [
        ("_symmetry_space_group_name_H-M 'F m 3 m'\n", (4, 4, 4, 90, 90, 90), "Fm-3m 48"),
        ("_symmetry_space_group_name_H-M 'F M -3 M'\n", (4, 4, 4, 90, 90, 90), "Fm-3m 48"),
        ("_space_group_name_Hall '-F 4 2 3'\n", (4, 4, 4, 90, 90, 90), "Fm-3m 48"),
        ("_symmetry_space_group_name_H-M 'R -3 m'\n", (6, 6, 14, 90, 90, 120), "R-3m 36"),
        ("_symmetry_space_group_name_H-M 'R -3 m'\n", (5, 5, 5, 33, 33, 33), "R-3m 12"),
        ("_symmetry_space_group_name_H-M 'R -3 m R'\n", (5, 5, 5, 33, 33, 33), "R-3m 12"),
        ("_space_group_IT_number 166\n", (5, 5, 5, 33, 33, 33), "R-3m 12"),
        ("_symmetry_space_group_name_H-M 'C 2/m'\n", (9, 5, 6, 90, 105, 90), "C2/m 8"),
        ("_symmetry_space_group_name_H-M 'C 2/m'\n", (9, 5, 6, 90, 90, 90), "C2/m 8"),
        ("_symmetry_space_group_name_H-M 'B 2/m'\n_symmetry_Int_Tables_number 12\n", (9, 6, 5, 90, 90, 105), "C2/m 8"),
        ("_symmetry_space_group_name_H-M 'C m c a'\n", (5, 6, 7, 90, 90, 90), "Cmce 16"),
        ("_symmetry_space_group_name_H-M 'F d -3 m :2'\n", (8, 8, 8, 90, 90, 90), "Fd-3m 192"),
    ],
)
def test_settings_follow_from_names_and_the_cell(symmetry, cell, expected):
    """Two atoms in general positions, the second so that nothing is added to the symmetry."""
    found = read_cif(in_cell(cell, ["Li1 Li .11 .23 .37 1", "F1 F .04 .29 .43 1"], symmetry))
    name, number = expected.split()
    group = spglib.get_spacegroup(spglib_cell(found), symprec=1e-3).split()[0].replace("_", "")
    assert (group, len(found) // 2 if name != "Fm-3m" else 48) == (name, int(number))


def test_glide_planes_are_those_of_the_name():
    """P 21/n and P 21/c have as many atoms each, and one number."""
    names = "_symmetry_space_group_name_H-M 'P 21/n'\n_symmetry_Int_Tables_number 14\n"
    found = read_cif(in_cell((6, 5, 9, 90, 105, 90), ["Li1 Li .1 .2 .3 1"], names))
    expected = [[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [0.4, 0.7, 0.2], [0.6, 0.3, 0.8]]
    assert sorted(map(tuple, found.frac_coords.round(6).tolist())) == sorted(map(tuple, expected))


def test_of_two_origins_the_formula_tells_which_is_meant():
    spinel = ["Li1 Li .125 .125 .125 1", "Mn1 Mn .5 .5 .5 1", "O1 O .2624 .2624 .2624 1"]
    name = "_symmetry_space_group_name_H-M 'F d -3 m'\n"
    text = in_cell((8.2, 8.2, 8.2, 90, 90, 90), spinel, name)
    with pytest.raises(ValueError, match=r"'F d -3 m' has several origins.*name the choice, as in 'F d -3 m :2'"):
        read_cif(text)
    formula = "_chemical_formula_sum 'Li Mn2 O4'\n_cell_formula_units_Z 8\n"
    assert counts(read_cif(text.replace(name, name + formula))) == {"Li": 8, "Mn": 16, "O": 32}


@pytest.mark.parametrize(
    ("symmetry", "cell", "message"),
    [
        ("_space_group_IT_number 225\n", (4, 4, 5, 90, 90, 90), r"the cell \(4, 4, 5, .* of the space group '225'"),
        (
            "_symmetry_space_group_name_H-M 'C 2/m'\n",
            (9, 6, 5, 90, 90, 105),
            r"the cell \(9, 6, 5, 90, 90, 105\) has not the symmetry of the space group 'C 2/m'",
        ),
        (P1 + "'y,x,z'\n", (4, 5, 5, 90, 90, 90), "not the symmetry of the symmetry operations listed"),
        (
            "_space_group_name_H-M_alt 'F m -3 m'\n_space_group_IT_number 221\n",
            (4, 4, 4, 90, 90, 90),
            r"names the space groups 'F m -3 m', '221', which contradict each other",
        ),
        (
            "_symmetry_space_group_name_H-M 'P 99/x'\n_space_group_IT_number 14\n",
            (6, 5, 9, 90, 105, 90),
            "not found by",
        ),
    ],
)
def test_symmetry_that_contradicts_the_cell_or_itself_is_refused(symmetry, cell, message):
    with pytest.raises(ValueError, match=message):
        read_cif(in_cell(cell, ["Li1 Li .1 .2 .3 1"], symmetry))


def test_symmetry_that_is_doubtful_is_told():
    with pytest.warns(StructureWarning, match="tells no symmetry"):
        assert counts(read_cif(cif(salt(), symmetry=""))) == {"Li": 4, "F": 4}
    symmetry = "_space_group_IT_number 225\nloop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'-x,-y,-z'\n"
    with pytest.warns(StructureWarning, match=r"those of space group 2, and it names 225"):
        assert counts(read_cif(cif(salt(), symmetry=symmetry))) == {"Li": 4, "F": 4}


def test_a_formula_unit_is_not_taken_for_the_cell():
    """One unit of four is what is left where the symmetry is."""
    with pytest.raises(ValueError, match="F 1 instead of 4, Li 1 instead of 4"):
        read_cif(cif(["Li1 Li 0 0 0 1", "F1 F .5 .5 .5 1"], FORMULA))


def test_symmetry_that_is_named_but_not_found_is_refused():
    with pytest.raises(ValueError, match="space group 'Q 17' but lists no symmetry operations"):
        read_cif(cif(salt(), symmetry="_symmetry_space_group_name_H-M 'Q 17'\n"))


@pytest.mark.parametrize("operation", ["x,y,q", "x,y", "x,y,z,t", "x,,z", "1,y,z"])
def test_symmetry_operations_that_are_none_are_refused(operation):
    with pytest.raises(ValueError, match=f"symmetry operation 2 of .* is '{operation}', not such as"):
        read_cif(cif(salt(), symmetry=f"{P1}'{operation}'\n"))


def test_a_number_of_units_that_cannot_be_is_left_out():
    head = "_chemical_formula_sum 'Li F'\n_cell_formula_units_Z 0\n"
    assert counts(read_cif(cif(salt(), head))) == {"Li": 4, "F": 4}


def test_text_fields_comments_and_other_loops():
    head = """# a comment with loop_ and 'quotes
_publ_section_title
;
data_not a block
loop_ _atom_site_label
;
_chemical_name_common 'it''s a salt' # more
loop_
_atom_type_symbol
_atom_type_oxidation_number
Li1+ 1
F1- -1
"""
    assert counts(read_cif(cif(salt(), head))) == {"Li": 4, "F": 4}


def test_dummy_rows_and_attached_hydrogens():
    rows = [f"{row} d" for row in salt()] + ["Cg Cg 0.1 0.1 0.1 1 dum"]
    assert counts(read_cif(cif(rows, columns=(*COLUMNS, "calc_flag")))) == {"Li": 4, "F": 4}
    rows = [f"{row} 1" for row in salt()]
    with pytest.raises(ValueError, match=r"site Li1 \(line 19\) has 1 hydrogen attached"):
        read_cif(cif(rows, columns=(*COLUMNS, "attached_hydrogens")))


def test_no_structure_and_no_cell():
    with pytest.raises(ValueError, match=r"found 0 \(no atom sites with fractional coordinates\)"):
        read_cif("data_x\n_cell_length_a 3\n")
    with pytest.raises(ValueError, match="no _cell_length_a"):
        read_cif(cif(salt()).replace("_cell_length_a 4.1(1)\n", ""))


def test_what_pymatgen_and_ase_write_is_read_back(lps, tmp_path):
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter

    write(tmp_path / "ase.cif", lps)
    CifWriter(AseAtomsAdaptor.get_structure(lps), symprec=0.01).write_file(tmp_path / "pymatgen.cif")
    for name in ("ase.cif", "pymatgen.cif"):
        structure = read_cif(tmp_path / name)
        assert structure.composition.formula == "Li12 P4 S16"
        own = np.sort(lps.get_all_distances(mic=True).ravel())
        assert np.allclose(np.sort(structure.distance_matrix.ravel()), own, atol=1e-3)


def test_line_ends_and_marks_of_other_systems(tmp_path):
    for text in (cif(salt()).replace("\n", "\r\n"), "\ufeff" + cif(salt()), "\n\n" + cif(salt())):
        (tmp_path / "x.cif").write_bytes(text.encode("utf-8"))
        assert counts(read_cif(tmp_path / "x.cif")) == {"Li": 4, "F": 4}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(["", "x", "'", ";", "\n", "_", "loop_", "?", "-9"]))
def test_damaged_files_are_refused_or_read(where, length, instead):
    """Whatever is cut out or put in, the answer is a structure or a ValueError."""
    whole = cif([*salt("M{i} '0.5Li + 0.5Na' {r} 1"), "D1 D2+ 0.25 0.25 0.25 0.2(1)"], FORMULA)
    start = where % len(whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            structure = read_cif(whole[:start] + instead + whole[start + length :], oxidation_states=True)
        except ValueError:
            return
    assert len(structure) > 0
