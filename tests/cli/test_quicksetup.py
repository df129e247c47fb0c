"""quicksetup, as a person calls it (in an AiiDA configuration of its own) and its parts in the session's profile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_lpsgb.cli import quicksetup

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def run_in(tmp_path_factory):
    """Return a function that runs a program of this environment with an AiiDA configuration in a temporary folder."""
    folder = tmp_path_factory.mktemp("aiida")

    def run(program, *arguments, ok=True, path="/usr/bin:/bin"):
        environment = {**os.environ, "AIIDA_PATH": str(folder), "PATH": path}
        result = subprocess.run(
            [BIN / program, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        if ok:
            assert result.returncode == 0, result.stderr
        return result

    return run


@pytest.fixture(scope="module")
def first(run_in):
    """Return what the first run prints as JSON; the environment is not activated."""
    return json.loads(run_in("aiida-lpsgb", "quicksetup", "-p", "one", "--json").stdout)


def test_first_run_makes_everything(first):
    status = {(step["kind"], step["label"]): step["status"] for step in first["steps"]}
    assert status.pop(("card", "gpu")) in ("present", "absent")
    assert status == {
        ("profile", "one"): "created",
        ("option", "daemon.timeout"): "set",
        ("option", "caching.enabled_for"): "set",
        ("computer", "localhost"): "created",
        ("code", "lpsgb-mlp@localhost"): "created",
        ("code", "lmp@localhost"): "created",
        ("code", "lpsgb-label@localhost"): "created",
        ("code", "lpsgb-analyse@localhost"): "created",
    }
    assert first["changed"] is True


def test_second_run_changes_nothing(first, run_in):
    again = json.loads(run_in("aiida-lpsgb", "quicksetup", "-p", "one", "--json").stdout)
    assert again["changed"] is False
    assert {step["status"] for step in again["steps"] if step["kind"] != "card"} == {"present"}
    pks = [[step["pk"] for step in run["steps"]] for run in (first, again)]
    assert pks[0] == pks[1]


def test_says_what_it_did(first, run_in):
    text = run_in("aiida-lpsgb", "quicksetup", "-p", "one").stdout
    assert "Nothing to do." in text
    assert "lmp@localhost" in text
    assert "daemon start" in text


def test_default_profile_stays(first, run_in):
    text = run_in("aiida-lpsgb", "quicksetup", "-p", "two").stdout
    assert "The default profile is still one" in text
    assert "* one" in run_in("verdi", "profile", "list").stdout


def test_missing_program_is_named_before_anything_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(quicksetup, "environment_program", lambda name: None if name == "lmp" else tmp_path)
    monkeypatch.setattr(quicksetup, "setup_profile", lambda name: pytest.fail("changed something"))
    with pytest.raises(FileNotFoundError, match=r"not found in .*: lmp\."):
        quicksetup.run_quicksetup("never")


def test_programs_of_the_environment_only(tmp_path, monkeypatch):
    stranger = tmp_path / "stranger"
    stranger.write_text("#!/bin/sh\n")
    stranger.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert quicksetup.environment_program("stranger") is None
    assert quicksetup.environment_program("verdi").parent == BIN


@pytest.fixture
def program():
    """Return a program under a label that no other test uses."""
    return quicksetup.Program("thing", "thing", "core.arithmetic.add", "A thing.")


def executable(path):
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("aiida_profile_clean")
class TestSetupCode:
    def test_vanished_program_is_replaced_under_the_same_label(self, program, aiida_localhost, tmp_path):
        old_path, new_path = executable(tmp_path / "old"), executable(tmp_path / "new")
        first = quicksetup.setup_code(program, old_path, aiida_localhost, update=False)
        old_path.unlink()
        step = quicksetup.setup_code(program, new_path, aiida_localhost, update=False)
        assert (first.status, step.status) == ("created", "replaced")
        assert orm.load_code("thing@localhost").pk == step.pk
        old = orm.load_node(first.pk)
        assert old.label == f"thing-{old.pk}"
        assert old.is_hidden
        assert str(old.filepath_executable) == str(old_path)

    def test_other_working_program_is_left_unless_asked(self, program, aiida_localhost, tmp_path):
        theirs, ours = executable(tmp_path / "theirs"), executable(tmp_path / "ours")
        first = quicksetup.setup_code(program, theirs, aiida_localhost, update=False)
        left = quicksetup.setup_code(program, ours, aiida_localhost, update=False)
        assert (left.status, left.pk) == ("left", first.pk)
        assert "--update" in left.detail
        moved = quicksetup.setup_code(program, ours, aiida_localhost, update=True)
        assert moved.status == "replaced"
        assert orm.load_code("thing@localhost").filepath_executable == ours

    def test_code_leaves_mpi_to_the_job_and_one_thread_by_default(self, program, aiida_localhost, tmp_path):
        step = quicksetup.setup_code(program, executable(tmp_path / "thing"), aiida_localhost, update=False)
        code = orm.load_node(step.pk)
        assert code.with_mpi is None
        assert code.default_calc_job_plugin == "core.arithmetic.add"
        shell = f"{code.prepend_text}\necho $OMP_NUM_THREADS ${{PATH%%:*}}"
        for given, expected in ((None, "1"), ("3", "3")):
            environment = {"PATH": "/usr/bin:/bin"} | ({"OMP_NUM_THREADS": given} if given else {})
            output = subprocess.run(["sh", "-c", shell], env=environment, capture_output=True, text=True, check=True)
            assert output.stdout.split() == [expected, str(tmp_path)]


@pytest.mark.usefixtures("aiida_profile_clean")
class TestSetupComputer:
    def test_made_where_there_is_none(self):
        computer, step = quicksetup.setup_computer("localhost", fresh_profile=False)
        assert step.status == "created"
        assert computer.is_configured
        assert computer.get_minimum_job_poll_interval() == quicksetup.POLL_INTERVAL_S
        assert computer.get_default_mpiprocs_per_machine() == 1
        with computer.get_transport() as transport:
            transport.makedirs(computer.get_workdir(), ignore_existing=True)

    def test_left_alone_where_there_is_one(self, aiida_localhost):
        aiida_localhost.set_minimum_job_poll_interval(3.0)
        computer, step = quicksetup.setup_computer("localhost", fresh_profile=False)
        assert (step.status, computer.pk) == ("present", aiida_localhost.pk)
        assert computer.get_minimum_job_poll_interval() == 3.0

    def test_other_computers_must_exist(self):
        with pytest.raises(NotExistent):
            quicksetup.setup_computer("cluster", fresh_profile=False)


def test_existing_daemon_timeout_is_left(aiida_profile, monkeypatch):
    from aiida.manage.configuration import get_config

    config = get_config()
    config.set_option("daemon.timeout", 7, scope=aiida_profile.name)
    try:
        assert quicksetup._setup_daemon_timeout(aiida_profile.name).status == "left"
        assert config.get_option("daemon.timeout", scope=aiida_profile.name) == 7
    finally:
        config.unset_option("daemon.timeout", scope=aiida_profile.name)


def test_caching_does_not_need_aiida_vasp(monkeypatch):
    """AiiDA loads what a pattern without a wildcard names; a fresh install may lack it."""
    from aiida.common.exceptions import MissingEntryPointError
    from aiida.manage import caching

    def missing(name):
        raise MissingEntryPointError(name)

    monkeypatch.setattr("aiida.plugins.entry_point.load_entry_point_from_string", missing)
    for pattern in quicksetup.CACHED:
        caching._validate_identifier_pattern(identifier=pattern, strict=True)
    assert caching._match_wildcard(string="aiida.calculations:vasp.vasp", pattern=quicksetup.CACHED[1])


def test_existing_caching_is_left(aiida_profile):
    from aiida.manage.configuration import get_config

    config = get_config()
    config.set_option("caching.enabled_for", ["aiida.calculations:core.arithmetic.add"], scope=aiida_profile.name)
    try:
        assert quicksetup._setup_caching(aiida_profile.name).status == "left"
    finally:
        config.unset_option("caching.enabled_for", scope=aiida_profile.name)


def test_mlip2_is_registered_too(first, run_in, tmp_path):
    mlp = executable(tmp_path / "mlp")
    document = json.loads(run_in("aiida-lpsgb", "quicksetup", "-p", "one", "--mlip2", str(mlp), "--json").stdout)
    step = [step for step in document["steps"] if step["kind"] == "code"][-1]
    assert (step["label"], step["status"], step["detail"]) == ("mlip2@localhost", "created", str(mlp))


def test_mlip2_must_be_a_program(run_in, tmp_path):
    result = run_in("aiida-lpsgb", "quicksetup", "--mlip2", str(tmp_path / "mlp"), ok=False)
    assert result.returncode != 0
    assert "does not exist" in result.stderr


class SlowBroker:
    """A manager whose broker is there at the third look."""

    def __init__(self):
        self.looks = 0

    def get_communicator(self):
        self.looks += 1
        if self.looks < 3:
            raise ConnectionError("not yet")


def test_a_slow_broker_is_waited_for(monkeypatch):
    manager = SlowBroker()
    monkeypatch.setattr("aiida.manage.get_manager", lambda: manager)
    quicksetup.wait_for_broker(timeout_s=60)
    assert manager.looks == 3


def test_a_broker_that_never_comes_is_an_error(monkeypatch):
    monkeypatch.setattr("aiida.manage.get_manager", SlowBroker)
    with pytest.raises(ConnectionError, match="not yet"):
        quicksetup.wait_for_broker(timeout_s=0)
