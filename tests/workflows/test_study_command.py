"""A study that `aiida-lpsgb study` submits, really run: from a file of a plan to a table."""

from copy import deepcopy

import pytest
import yaml
from aiida import orm
from aiida.engine.daemon.client import get_daemon_client
from click.testing import CliRunner

from aiida_lpsgb.cli import main, quicksetup
from tests.workflows.conftest import CIF, MINIATURE, register_codes

pytestmark = pytest.mark.daemon


def plan():
    """Return the plan of the crystal alone, with one potential at one temperature."""
    overrides = deepcopy(MINIATURE)
    overrides["active_learning"]["settings"]["n_potentials"] = 1
    overrides["transport"] |= {"temperatures_K": [1000], "budget": None}
    overrides["validate"] = None
    systems = {"crystal": {"kind": "crystal"}}
    return {"format": 1, "crystal": str(CIF), "seed": 11, "systems": systems, "overrides": overrides}


def test_a_plan_becomes_a_table(broker_profile_factory, tmp_path):
    path, folder = tmp_path / "study.yaml", tmp_path / "results"
    path.write_text(yaml.safe_dump(plan()))
    with broker_profile_factory() as profile:
        register_codes()
        get_daemon_client(profile.name).start_daemon(1)
        quicksetup.wait_for_broker()
        result = CliRunner().invoke(main, ["study", str(path), "--yes", "--folder", str(folder)])
        assert result.exit_code == 0, result.output
        study = orm.load_node(int((folder / "pk").read_text()))
        assert study.is_finished_ok
        assert list(study.outputs.systems.crystal.diffusivities) == ["t1000k_p1_1"]
    assert "crystal" in (folder / "results.txt").read_text(encoding="utf-8")
