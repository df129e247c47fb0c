"""The daemon-backed profile works beside the session's own."""

import pytest
from aiida import orm
from aiida.calculations.arithmetic.add import ArithmeticAddCalculation
from aiida.manage import get_manager


def test_profile_without_daemon(aiida_profile):
    assert get_manager().get_profile() == aiida_profile


@pytest.mark.daemon
def test_submit_and_wait(submit_and_wait, daemon_profile, aiida_profile, aiida_code_installed, metadata):
    assert get_manager().get_profile() == daemon_profile != aiida_profile
    code = aiida_code_installed(default_calc_job_plugin="core.arithmetic.add", filepath_executable="/bin/bash")
    node = submit_and_wait(ArithmeticAddCalculation, code=code, x=orm.Int(1), y=orm.Int(2), metadata=metadata)
    assert node.is_finished_ok
    assert node.outputs.sum == 3
