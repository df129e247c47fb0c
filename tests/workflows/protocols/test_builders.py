"""Snapshots of every work chain's builder for every protocol, and how overrides and options reach the children."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.plugins import WorkflowFactory
from ase.build import bulk

PROTOCOLS = ("fast", "moderate", "paper")
SYSTEMS = {
    "crystal": {"kind": "crystal"},
    "tilt": {"kind": "boundary", "axis": [0, 0, 1], "plane": [2, 1, 0]},
    "twist": {"kind": "boundary", "axis": [0, 0, 1], "plane": [0, 0, 1]},
    "glass": {"kind": "glass", "amorphous": {"centre": "Cl", "unit": "Cl"}},
    "amorphous_001": {"kind": "interface", "glass": "glass", "plane": [0, 0, 1]},
}


@pytest.fixture(scope="module")
def codes(aiida_profile):
    """Return codes of every role."""
    # Another module that takes this fixture may have stored it.
    new, computer = orm.Computer.collection.get_or_create(
        label="snapshots", hostname="localhost", transport_type="core.local", scheduler_type="core.direct"
    )
    if new:
        computer.store()
    plugins = {
        "mlp": "lpsgb.mlp.train",
        "md": "lpsgb.md",
        "label": "lpsgb.label.ase",
        "analyse": "lpsgb.analyse",
    }
    return {
        role: orm.InstalledCode(
            computer=computer, filepath_executable="/bin/true", label=role, default_calc_job_plugin=plugin
        ).store()
        for role, plugin in plugins.items()
    }


@pytest.fixture
def crystal():
    """Return rock salt."""
    return orm.StructureData(ase=bulk("LiCl", "rocksalt", a=5.13, cubic=True))


def plain(value):
    """Return a builder's content as what YAML can hold."""
    if isinstance(value, orm.Dict):
        return plain(value.get_dict())
    if isinstance(value, orm.List):
        return value.get_list()
    if isinstance(value, (orm.Int, orm.Float, orm.Str, orm.Bool)):
        return value.value
    if isinstance(value, orm.AbstractCode):
        return f"code {value.label}"
    if isinstance(value, orm.Node):
        return type(value).__name__
    if hasattr(value, "items"):
        return {key: plain(entry) for key, entry in value.items()}
    return list(value) if isinstance(value, tuple) else value


def snapshot(builder):
    """Return the pruned inputs of a builder as plain values."""
    return plain(builder._inputs(prune=True))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_study(codes, crystal, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        codes, crystal, SYSTEMS, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_active_learning(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.active_learning").get_builder_from_protocol(
        codes, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_passive_learning(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.passive_learning").get_builder_from_protocol(
        codes, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_transport(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.transport").get_builder_from_protocol(
        codes,
        regions={"slab": {"axis": 2, "centres": [0.0], "thickness_A": 5.0}},
        mobile={"species": "Li", "charge": 1},
        protocol=protocol,
        seed=orm.Int(1),
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_grain_boundary(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.grain_boundary").get_builder_from_protocol(
        codes, boundary={"axis": [0, 0, 1], "plane": [2, 1, 0]}, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_melt_quench(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.melt_quench").get_builder_from_protocol(
        codes, amorphous={"centre": "P", "unit": "PS4"}, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_validate(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.validate").get_builder_from_protocol(codes, protocol=protocol, seed=orm.Int(1))
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_boundary_parity(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.boundary_parity").get_builder_from_protocol(
        codes, boundaries={"tilt": {"axis": [0, 0, 1], "plane": [2, 1, 0]}}, protocol=protocol, seed=orm.Int(1)
    )
    data_regression.check(snapshot(builder))


@pytest.mark.parametrize("protocol", ["fast", "moderate"])
def test_label(codes, protocol, data_regression):
    builder = WorkflowFactory("lpsgb.label").get_builder_from_protocol(codes, protocol=protocol)
    data_regression.check(snapshot(builder))


def build(codes, crystal, **arguments):
    return WorkflowFactory("lpsgb.study").get_builder_from_protocol(codes, crystal, SYSTEMS, **arguments)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ({"label": {"engine": {"level": "CHGNet"}}}, "label.engine.ase.parameters.calculator", "chgnet"),
        (
            {"label": {"engine": {"level": "CHGNet"}}},
            "active_learning.label.engine.ase.parameters.calculator",
            "chgnet",
        ),
        (
            {"active_learning": {"label": {"max_attempts": 5}}},
            "active_learning.label.max_attempts",
            5,
        ),
        ({"passive_learning": {"settings": {"levels": [8]}}}, "passive_learning.settings.levels", [8]),
        ({"validate": {"label": {"batch_size": 3}}}, "validate.label.batch_size", 3),
        ({"validate": {"n_replicas": 4}}, "validate.n_replicas", 4),
        ({"transport": {"n_replicas": 2}}, "transport.n_replicas", 2),
        ({"transport": {"analyse": {"rdf": {"cutoff_A": 7.0}}}}, "transport.structural.rdf.cutoff_A", 7.0),
        ({"grain_boundary": {"rattle": {"n": 9}}}, "grain_boundary.rattle.n", 9),
        ({"grain_boundary": {"boundary": {"n_candidates": 3}}}, "systems.tilt.run.n_candidates", 3),
        (
            {"melt_quench": {"options": {"md": {"queue_name": "long"}}}},
            "melt_quench.md.md.metadata.options.queue_name",
            "long",
        ),
        (
            {"active_learning": {"options": {"train": {"queue_name": "gpu"}}}},
            "active_learning.train.mlp.metadata.options.queue_name",
            "gpu",
        ),
        ({"recipes": {"crystal": {"run": {"n_atoms": 99}}}}, "systems.crystal.run.n_atoms", 99),
    ],
)
def test_an_override_is_used(codes, crystal, override, path, value):
    found = snapshot(build(codes, crystal, overrides=override))
    for key in path.split("."):
        found = found[key]
    assert found == value


@pytest.mark.parametrize(
    ("override", "path"),
    [
        ({"active_learning": {"label": {"calculator": "chgnet"}}}, "active_learning.label.calculator"),
        ({"validate": {"n_replica": 4}}, "validate.n_replica"),
        ({"passive_learning": {"settings": {"level": 8}}}, "passive_learning.settings.level"),
        ({"transport": {"analyse": {"rfd": {}}}}, "transport.analyse.rfd"),
        ({"transport": {"parameters": {"timestep": 1}}}, "transport.parameters.timestep"),
        ({"grain_boundary": {"max_conc": 1}}, "grain_boundary.max_conc"),
        ({"melt_quench": {"options": {"lmp": {}}}}, "melt_quench.options"),
        ({"arrhenius": {}}, "arrhenius"),
    ],
)
def test_an_override_that_nothing_uses_is_refused_with_its_path(codes, crystal, override, path):
    with pytest.raises(ValueError, match=path.replace(".", r"\.")):
        build(codes, crystal, overrides=override)


def test_options_reach_every_job_by_role(codes, crystal):
    roles = ("label", "train", "select", "md", "analyse")
    found = snapshot(build(codes, crystal, options={role: {"queue_name": role} for role in roles}))

    def queue(*path):
        value = found
        for key in (*path, "metadata", "options", "queue_name"):
            value = value[key]
        return value

    assert queue("label", "engine", "ase") == "label"
    learning = found["active_learning"]
    assert learning["label"]["engine"]["ase"]["metadata"]["options"]["queue_name"] == "label"
    assert queue("active_learning", "train", "mlp") == "train"
    for job in ("grade", "select", "errors"):
        assert queue("active_learning", job, "mlp") == "select"
    for parent in ("active_learning", "transport", "grain_boundary", "melt_quench", "validate"):
        assert queue(parent, "md", "md") == "md"
    assert queue("transport", "analyse") == "analyse"
    assert queue("validate", "predict", "mlp") == "select"


def test_a_cell_by_matrix_takes_the_place_of_one_by_size(codes, crystal):
    systems = {"crystal": {"kind": "crystal", "run": {"matrix": [2, 2, 1]}}}
    builder = WorkflowFactory("lpsgb.study").get_builder_from_protocol(codes, crystal, systems, protocol="fast")
    recipe = snapshot(builder)["systems"]["crystal"]
    assert recipe["run"] == {"matrix": [2, 2, 1]}
    assert recipe["learn"] == {"n_atoms": 64}
