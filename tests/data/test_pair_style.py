"""Nodes of pair styles."""

import pytest
from aiida.common.exceptions import ValidationError
from aiida.orm import load_node

from aiida_lpsgb.data.pair_style import PairStyleData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

LINES = ["pair_style lj/cut 8.5", "pair_coeff 1 1 0.0104 3.40"]


def test_attributes():
    node = PairStyleData("# argon\npair_style   lj/cut 8.5\n\npair_coeff 1 1 0.0104 3.40  # Rahman\n", ["Ar"]).store()
    node = load_node(node.pk)
    assert node.lines == LINES
    assert node.style == "lj/cut"
    assert node.species == ["Ar"]
    assert node.charges == {}
    assert node.files == []
    assert node.trained
    assert node.base.attributes.get("format_version") == 1


def test_files_and_charges(tmp_path):
    (tmp_path / "other.txt").write_text("table\n")
    lines = ["pair_style hybrid/overlay coul/dsf 0.2 8 table linear 100", "pair_coeff * * table t.dat A"]
    node = PairStyleData(lines, ["Na", "Cl"], {"Na": 1, "Cl": -1}, {"t.dat": tmp_path / "other.txt"}).store()
    assert node.files == ["t.dat"]
    assert node.base.repository.get_object_content("t.dat") == "table\n"
    assert node.charges == {"Na": 1.0, "Cl": -1.0}


def test_equal_definitions_have_equal_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"x\n")
    one = PairStyleData("pair_style eam\npair_coeff * * u.eam", ["Cu"], files={"u.eam": b"x\n"})
    two = PairStyleData(["pair_style  eam #", "pair_coeff * *  u.eam"], ["Cu"], files={"u.eam": tmp_path / "a"})
    other = PairStyleData(["pair_style eam", "pair_coeff * * u.eam"], ["Cu"], files={"u.eam": b"y\n"})
    hashes = [node.store().base.caching.compute_hash() for node in (one, two, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    charged = [
        PairStyleData(LINES, ["Na", "Cl"], dict(items)).store()
        for items in ([("Na", 1), ("Cl", -1)], [("Cl", -1), ("Na", 1)])
    ]
    assert charged[0].base.caching.compute_hash() == charged[1].base.caching.compute_hash()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["run 100", *LINES], ["Ar"]), "none of a potential's"),
        ((["shell rm -r x"], ["Ar"]), "none of a potential's"),
        (([], ["Ar"]), "begin with one `pair_style`"),
        ((LINES[::-1], ["Ar"]), "begin with one `pair_style`"),
        ((LINES[:1], ["Ar"]), "no `pair_coeff`"),
        (([*LINES, LINES[0]], ["Ar"]), "more than once"),
        ((LINES, ["X"]), "not chemical symbols"),
        ((LINES, []), "at least one chemical symbol"),
        ((LINES, ["Na", "Cl"], {"Na": 1}), "charges are those of"),
        ((LINES, ["Na"], {"Na": float("nan")}), "not finite"),
        ((LINES, ["Ar"], None, {"x.dat": b""}), "no line names 'x.dat'"),
        ((["pair_style x", "pair_coeff * * ../x"], ["Ar"], None, {"../x": b""}), "no plain name"),
    ],
)
def test_bad(arguments, message):
    with pytest.raises(ValueError, match=message):
        PairStyleData(*arguments)


def test_other_files_are_refused():
    node = PairStyleData(LINES, ["Ar"])
    node.base.repository.put_object_from_bytes(b"", "stray")
    with pytest.raises(ValidationError, match="nothing else"):
        node.store()
