"""Levels of theory by name."""

import pytest

from aiida_lpsgb.labelling import calculators, cli, levels


def test_shipped_levels_of_ase_are_what_the_program_takes():
    shipped = levels.shipped("ase")
    assert shipped.of_protocol(None) == shipped.of_protocol("moderate") == "SevenNet-0"
    assert shipped.of_protocol("fast") == "CHGNet"
    for name in shipped.levels:
        cli.check_parameters(shipped.get(name))
    assert len({calculators.level_of_theory(level) for level in shipped.levels.values()}) == len(shipped.levels)


def test_a_file_extends_them(tmp_path):
    (tmp_path / "mine.yaml").write_text("levels: {CHGNet: {calculator: a.b:C}, mine: {calculator: d.e:F}}")
    extended = levels.shipped("ase").extended(tmp_path / "mine.yaml")
    assert extended.get("mine") == {"calculator": "d.e:F"}
    assert extended.get("CHGNet") == {"calculator": "a.b:C"}
    assert extended.get("SevenNet-0") == {"calculator": "sevennet"}
    assert extended.of_protocol("fast") == "CHGNet"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levels: [", "cannot be read as YAML"),
        ("- a", "expected `levels`"),
        ("levels: {a: b}", "expected `levels`"),
        ("{levels: {}, level: {}}", r"unknown keys \['level'\]"),
    ],
)
def test_bad_files(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        levels.read(tmp_path / "bad.yaml")


def test_unknown_names():
    shipped = levels.shipped("ase")
    with pytest.raises(ValueError, match="level of theory 'PBE' is not known; there are CHGNet, SevenNet-0"):
        shipped.get("PBE")
    with pytest.raises(ValueError, match=r"protocol 'slow' does not exist; choose one of \['fast'"):
        shipped.of_protocol("slow")
