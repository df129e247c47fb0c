"""The commands ``verdi data lpsgb.…``."""

import re

import ase.io
import pytest
from aiida import orm
from aiida.plugins.entry_point import load_entry_point
from click.testing import CliRunner

from aiida_lpsgb.cli.data import configurations, potential


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
    result = run(configurations, "import", tmp_path / "c.cfg")
    assert result.exit_code == 2
    assert "name them in order" in result.output


def test_a_cut_file_is_refused(run, generate_configurations, tmp_path):
    text = generate_configurations(1).get_cfg()
    (tmp_path / "c.cfg").write_text(text[: len(text) // 2])
    result = run(configurations, "import", tmp_path / "c.cfg", "-s", "Li,P,S")
    assert result.exit_code == 1
    assert "line" in result.output
