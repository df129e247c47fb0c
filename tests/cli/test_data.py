"""The commands ``verdi data lpsgb.…``."""

import re

import ase.io
import pytest
from aiida import orm
from aiida.plugins.entry_point import load_entry_point
from click.testing import CliRunner

from aiida_lpsgb.cli.data import configurations, data, potential
from aiida_lpsgb.mtp.configurations import read_cfg


@pytest.fixture
def run(aiida_profile):
    def factory(group, *arguments):
        return CliRunner().invoke(group, [str(argument) for argument in arguments])

    return factory


def stored(result):
    assert result.exit_code == 0, result.output
    return orm.load_node(int(re.search(r"<(\d+)>", result.output)[1]))


def test_entry_points():
    assert load_entry_point("aiida.cmdline.data", "lpsgb.potential") is potential
    assert load_entry_point("aiida.cmdline.data", "lpsgb.configurations") is configurations


def test_potential(run, generate_potential, tmp_path):
    path = tmp_path / "p.mtp"
    path.write_text(generate_potential(["Li", "S"]).get_mtp())
    node = stored(run(potential, "import", path, "-s", "Li S"))
    assert node.species == ["Li", "S"]
    assert run(potential, "export", node.pk).output == path.read_text()
    assert run(potential, "export", node.pk, "-o", tmp_path / "out").exit_code == 0
    assert (tmp_path / "out").read_text() == path.read_text()
    assert "already found" in run(potential, "export", node.pk, "-o", tmp_path / "out").output
    assert run(potential, "export", node.pk, "-o", tmp_path / "out", "-f").exit_code == 0
    assert "n_parameters: 35" in run(potential, "show", node.pk).output
    assert re.search(rf"{node.pk}\s+Li S\s+2\s+5\s+35\s+True", run(potential, "list").output)


def test_a_bad_potential_is_refused(run, generate_potential, tmp_path):
    path = tmp_path / "p.mtp"
    path.write_text(generate_potential().get_mtp()[:300])
    result = run(potential, "import", path, "-s", "Li,P,S")
    assert result.exit_code != 0
    assert "p.mtp" in result.output or "line" in result.output
    assert run(potential, "import", path).exit_code == 2


@pytest.mark.parametrize("name", ["c.cfg", "c.extxyz", "c.traj"])
def test_configurations(run, generate_configurations, tmp_path, name):
    sent = generate_configurations(2)
    path = tmp_path / name
    if name.endswith("traj"):
        ase.io.write(path, sent.get_ase())
    else:
        sent.export(str(path))
    node = stored(run(configurations, "import", path, "-s", "Li,P,S", "-l", "toy"))
    assert node.labelled
    assert node.level_of_theory == "toy"
    assert abs(node[1].positions - sent[1].positions).max() < 1e-12
    assert run(configurations, "export", node.pk).output == node.get_extxyz()
    assert run(configurations, "export", node.pk, "-F", "cfg").output == node.get_cfg()
    assert "level_of_theory: toy" in run(configurations, "show", node.pk).output
    assert re.search(rf"{node.pk}\s+2\s+Li P S\s+2\s+toy", run(configurations, "list").output)


def test_cfg_needs_species(run, generate_configurations, tmp_path):
    generate_configurations(1).export(str(tmp_path / "c.cfg"))
    result = run(configurations, "import", tmp_path / "c.cfg", "-l", "toy")
    assert result.exit_code == 1
    assert "name them in order" in result.output


def test_a_cut_file_is_refused(run, generate_configurations, tmp_path):
    text = generate_configurations(1).get_cfg()
    (tmp_path / "c.cfg").write_text(text[: len(text) // 2])
    result = run(configurations, "import", tmp_path / "c.cfg", "-s", "Li,P,S")
    assert result.exit_code == 1
    assert "line" in result.output


@pytest.mark.parametrize("group", [configurations, data])
def test_the_suffix_is_the_format(run, generate_configurations, tmp_path, group):
    node = generate_configurations(2).store()
    for name in ("c.cfg", "c.extxyz", "c.traj"):
        result = run(group, "export", node.pk, "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "c.cfg").read_text().startswith("BEGIN_CFG")
    assert read_cfg(tmp_path / "c.cfg", node.species)[1].positions == pytest.approx(node[1].positions)
    assert ase.io.read(tmp_path / "c.extxyz").get_potential_energy() == node[1].get_potential_energy()
    result = run(group, "export", node.pk, "-o", tmp_path / "c.poscar")
    assert result.exit_code == 1
    assert "c.poscar: the format is told by the suffix" in result.output
    assert not (tmp_path / "c.poscar").exists()
    assert "is there already" in run(group, "export", node.pk, "-o", tmp_path / "c.cfg").output
    assert run(group, "export", node.pk, "-o", tmp_path / "c.cfg", "-f").exit_code == 0


def test_import_by_either_program(run, generate_configurations, tmp_path):
    """The level of theory that was exported is found again; frames that cannot be used are named or left out."""
    node = generate_configurations(2).store()
    path = tmp_path / "c.extxyz"
    run(data, "export", node.pk, "-o", path)
    for group in (configurations, data):
        found = stored(run(group, "import", path, "-s", "Li,P,S"))
        assert found.level_of_theory == "toy"
        assert found.species == ["Li", "P", "S"]
    images = node.get_ase()
    images[1].calc = None
    ase.io.write(tmp_path / "d.traj", images)
    result = run(data, "import", tmp_path / "d.traj", "-l", "toy")
    assert result.exit_code == 1
    assert "d.traj, frame 1: no energy and no forces" in result.output
    result = run(data, "import", tmp_path / "d.traj", "-l", "toy", "--skip")
    assert len(stored(result)) == 1
    assert "left out: " in result.output
    result = run(data, "import", tmp_path / "d.traj")
    assert result.exit_code == 1
    unlabelled = stored(run(data, "import", tmp_path / "d.traj", "--unlabelled"))
    assert (len(unlabelled), unlabelled.base.attributes.get("n_labelled")) == (2, 0)


def test_what_is_no_set(run, generate_potential):
    node = generate_potential().store()
    result = run(data, "export", node.pk)
    assert result.exit_code == 1
    assert "is a PotentialData, not a set of configurations" in result.output
    assert run(data, "export", 10**9).exit_code == 1
