"""Studies that are written down in `examples`, at every scale."""

from pathlib import Path

import pytest
import yaml
from aiida import orm
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.workflows.presets import read_preset, scales_of
from tests.workflows.protocols.test_builders import codes, plain, snapshot  # noqa: F401

EXAMPLES = Path(__file__).parents[2] / "examples"
CASES = [
    *(("jalem2023.yaml", scale) for scale in ("paper", "small", "fast")),
    *(("li6ps5cl.yaml", scale) for scale in ("paper", "fast")),
]


def build(codes, name, scale):  # noqa: F811
    preset = read_preset(EXAMPLES / name, scale)
    return WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        codes,
        orm.CifData(file=preset["crystal"], parse_policy="lazy"),
        preset["systems"],
        protocol=preset["protocol"],
        overrides=preset["overrides"],
        seed=orm.Int(preset["seed"]),
    )


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_the_builder_takes_it(codes, name, scale, data_regression):  # noqa: F811
    """Every system and number is taken by the builder; what it makes of them is kept."""
    content = snapshot(build(codes, name, scale))
    data_regression.check({key: content[key] for key in content if key not in ("grain_boundary", "melt_quench")})


def test_all_systems_of_the_paper():
    systems = read_preset(EXAMPLES / "jalem2023.yaml", "paper")["systems"]
    kinds = [recipe["kind"] for recipe in systems.values()]
    assert {kind: kinds.count(kind) for kind in kinds} == {"crystal": 1, "boundary": 8, "glass": 1, "interface": 2}


def test_scales_are_described():
    for name in {name for name, _ in CASES}:
        found = scales_of(EXAMPLES / name)
        assert set(found) == {scale for other, scale in CASES if other == name}
        assert all(found.values())


def write(tmp_path, **more):
    content = {"crystal": "c.cif", "systems": {"crystal": {"kind": "crystal"}}, **more}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_scale_comes_over_the_rest(tmp_path):
    scales = {
        "a": {"overrides": {"potential": {"level": 8}}, "systems": {"crystal": {"run": {"n_atoms": 9}}}, "seed": 3},
        "b": {"only": ["glass"], "protocol": "paper"},
    }
    systems = {"crystal": {"kind": "crystal", "learn": None}, "glass": {"kind": "glass"}}
    path = write(tmp_path, systems=systems, scales=scales, seed=1, overrides={"potential": {"level": 4, "cutoff": 5}})
    first, second = read_preset(path, "a"), read_preset(path, "b")
    assert first["overrides"] == {"potential": {"level": 8, "cutoff": 5}}
    assert first["systems"]["crystal"] == {"kind": "crystal", "learn": None, "run": {"n_atoms": 9}}
    assert (first["seed"], second["seed"]) == (3, 1)
    assert (first["protocol"], second["protocol"]) == (None, "paper")
    assert list(second["systems"]) == ["glass"]
    assert first["crystal"] == str(tmp_path / "c.cif")


def test_without_scales(tmp_path):
    path = write(tmp_path, protocol="fast", scales=None)
    assert scales_of(path) == {}
    assert read_preset(path)["protocol"] == "fast"
    with pytest.raises(ValueError, match="there are no scales"):
        read_preset(path, "small")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"temperature": 1}, "there is no `temperature`"),
        ({"scales": {"a": {"system": {}}}}, "there is no `scales.a.system`"),
        ({"scales": {"a": {"only": ["x"]}}}, r"scales.a.only: there are no systems x"),
        ({"overrides": 3}, "overrides: expected a dictionary, found 3"),
        ({"systems": None}, "systems: expected a dictionary, found None"),
        ({"scales": {"b": {}}}, "scale 'a' is none of b"),
        ({"scales": ["a"]}, r"scales: expected a dictionary, found \['a'\]"),
    ],
)
def test_bad_files(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        read_preset(write(tmp_path, **more), "a")


def test_no_study(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("- 1")
    with pytest.raises(ValueError, match="is no study: it needs `crystal` and `systems`"):
        read_preset(path)
    with pytest.raises(ValueError, match="cannot be read"):
        read_preset(tmp_path / "none.yaml")
