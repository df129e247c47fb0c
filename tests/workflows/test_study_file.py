"""Studies that are written down: kept and read again, at scales, and those in `examples` at every scale."""

from pathlib import Path

import pytest
import yaml

from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.guess import guess
from aiida_lpsgb.workflows.study_file import read_plan, write_plan
from aiida_lpsgb.workflows.study_plan import StudyPlan
from tests.workflows.protocols.test_builders import codes, snapshot  # noqa: F401

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [
    *(("jalem2023.yaml", scale) for scale in ("paper", "small", "fast")),
    *(("li6ps5cl.yaml", scale) for scale in ("paper", "fast")),
]


def write(tmp_path, **more):
    content = {"format": 1, "crystal": "c.cif", "systems": {"crystal": {"kind": "crystal"}}, **more}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# --- those of the examples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_builder_takes_it(codes, name, scale, data_regression):  # noqa: F811
    """Every system and number is taken by the builder; what it makes of them is kept."""
    content = snapshot(read_plan(EXAMPLES / name, scale).builder(codes))
    data_regression.check({key: content[key] for key in content if key not in ("grain_boundary", "melt_quench")})


def test_all_systems_of_the_paper():
    systems = read_plan(EXAMPLES / "jalem2023.yaml", "paper").systems
    kinds = [recipe["kind"] for recipe in systems.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"crystal": 1, "boundary": 8, "glass": 1, "interface": 2}


def test_scales_are_described():
    for name in {name for name, _ in CASES}:
        found = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))["scales"]
        assert set(found) == {scale for other, scale in CASES if other == name}
        assert all(scale["description"] for scale in found.values())


# --- kept and read again ----------------------------------------------------------------------------------------------


def test_a_plan_is_kept(codes, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "na3ps4.cif").write_text((EXAMPLES / "data" / "na3ps4.cif").read_text())
    (tmp_path / "numbers.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    material = guess(read_structure("na3ps4.cif", oxidation_states=True))
    given = {"label": "chgnet", "seed": 5, "published": "numbers.yaml"}
    made = StudyPlan.of("na3ps4.cif", material, boundaries=["001/120"], **given)
    write_plan(made, "study.yaml")
    assert "crystal: na3ps4.cif\n" in Path("study.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path.parent)
    read = read_plan(tmp_path / "study.yaml")
    assert (read.crystal, read.published) == (str(tmp_path / "na3ps4.cif"), str(tmp_path / "numbers.yaml"))
    assert read.systems == made.systems
    assert (read.overrides, read.seed, read.label) == (made.overrides, 5, "chgnet")
    assert read.builder(codes).label.engine.ase.parameters["calculator"] == "chgnet"


def test_one_thing_need_not_be_a_list(tmp_path):
    """A name that is typed into a file is a name, not its letters."""
    plan = read_plan(write(tmp_path, potentials=123, frames=["a.xyz", 7], species=None))
    assert (plan.potentials, plan.frames, plan.species) == (("123",), ("a.xyz", "7"), ())


def test_a_scale_comes_over_the_rest(tmp_path):
    scales = {
        "a": {"overrides": {"potential": {"level": 8}}, "systems": {"crystal": {"run": {"n_atoms": 9}}}, "seed": 3},
        "b": {"only": ["glass"], "protocol": "paper", "label": "chgnet"},
    }
    systems = {"crystal": {"kind": "crystal", "learn": None}, "glass": {"kind": "glass"}}
    path = write(tmp_path, systems=systems, scales=scales, seed=1, overrides={"potential": {"level": 4, "cutoff": 5}})
    (tmp_path / "c.cif").touch()
    first, second = read_plan(path, "a"), read_plan(path, "b")
    assert first.overrides == {"potential": {"level": 8, "cutoff": 5}}
    assert first.systems["crystal"] == {"kind": "crystal", "learn": None, "run": {"n_atoms": 9}}
    assert (first.seed, second.seed) == (3, 1)
    assert (first.protocol, second.protocol) == ("fast", "paper")
    assert (first.label, second.label) == (None, "chgnet")
    assert list(second.systems) == ["glass"]
    assert first.crystal == str(tmp_path / "c.cif")


def test_without_scales(tmp_path):
    path = write(tmp_path, protocol="moderate", scales=None)
    assert read_plan(path).protocol == "moderate"
    with pytest.raises(ValueError, match="there are no scales, so there is no 'small'"):
        read_plan(path, "small")


def test_which_scale_is_asked(tmp_path):
    path = write(tmp_path, scales={"b": {"description": "Minutes"}, "c": {}})
    with pytest.raises(ValueError, match=r"which scale\? There are b: Minutes; c"):
        read_plan(path)
    with pytest.raises(ValueError, match=r"no scale is 'a'\. There are b: Minutes; c"):
        read_plan(path, "a")


# --- bad files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as YAML"),
        ("- 1", "is no study: it needs `crystal` and `systems`"),
        ("a: 1", "needs `crystal` and `systems`"),
        ("{crystal: a.cif, systems: {}}", "`format` is None.* begin the file with `format: 1`"),
    ],
)
def test_a_file_that_is_no_study(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_plan(path)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sytems": 1}, r"unknown keys \['sytems'\]; `sytems` may be meant as `systems`"),
        ({"systems": ["crystal"]}, r"systems: expected a dictionary of recipes .*, found \['crystal'\]"),
        ({"systems": {"a": 3}}, "systems: expected a dictionary of recipes"),
        ({"systems": None}, "systems: expected a dictionary of recipes"),
        ({"overrides": "fast"}, "overrides: expected a dictionary"),
        ({"seed": "one"}, "seed: expected a whole number of at least 1"),
        ({"crystal": ["a.cif"]}, "crystal: expected a text"),
        ({"frames": [{}]}, "frames: expected a list of names"),
        ({"scales": ["a"]}, r"scales: expected a dictionary, found \['a'\]"),
        ({"scales": {"a": 3}}, r"scales.a: expected a dictionary, found 3"),
        ({"scales": {"a": {"system": {}}}}, r"scales.a: unknown keys \['system'\]; `system` may be meant as `systems`"),
        ({"scales": {"a": {"only": ["cristal"]}}}, r"scales.a.only: .* cristal; `cristal` may be meant as `crystal`"),
        ({"scales": {"a": {"only": "crystal"}}}, "scales.a: only: expected a list of names"),
    ],
)
def test_bad_entries(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        read_plan(write(tmp_path, **more), "a" if "scales" in more else None)
