"""A study that `aiida-lpsgb study` submits, really run: from a CIF and a potential to a table."""

from pathlib import Path

import pytest
from aiida import orm
from aiida.engine.daemon.client import get_daemon_client
from click.testing import CliRunner

from aiida_lpsgb.cli import main, quicksetup
from tests.workflows.conftest import explain, register_codes, wait_for

pytestmark = pytest.mark.daemon

CIF = Path(__file__).parents[2] / "examples" / "data" / "beta-li3ps4.cif"
STAGES = (
    "[{name: hold, ensemble: nvt, duration_ps: 0.2, temperature_K: target}, "
    "{name: produce, ensemble: nvt, duration_ps: 2, temperature_K: target, dump_interval_ps: 0.02}]"
)
SHORT = {
    "recipes.crystal.run": "{n_atoms: 64}",
    "ordering.n_candidates": "1",
    "transport.temperatures_K": "[500]",
    "transport.budget": "null",
    "transport.parameters.timestep_fs": "1.0",
    "transport.parameters.stages": STAGES,
    "transport.analyse.topology": "null",
}


def test_a_crystal_and_a_potential_become_a_table(broker_profile_factory, data_path, tmp_path):
    words = ["study", CIF, "--potential", data_path / "mtp" / "li3ps4_level8.mtp", "-s", "Li,P,S", "--yes"]
    words += [word for path, value in SHORT.items() for word in ("--set", f"{path}={value}")]
    with broker_profile_factory() as profile:
        register_codes()
        get_daemon_client(profile.name).start_daemon(1)
        quicksetup.wait_for_broker()
        folder = tmp_path / "results"
        result = CliRunner().invoke(main, [str(word) for word in (*words, "--folder", folder, "--no-follow")])
        assert result.exit_code == 0, result.output
        study = orm.load_node(int((folder / "pk").read_text()))
        wait_for(study, lambda: study.is_terminated)
        assert study.is_finished_ok, explain(study)
        (run,) = study.outputs.systems.crystal.diffusivities.values()
        assert run.base.attributes.get("temperature_K") == 500
        listed = CliRunner().invoke(main, ["results", str(study.pk)])
        assert "crystal" in listed.output
