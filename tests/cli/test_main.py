"""The command group: quick to start, every registered command there."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from aiida_lpsgb.cli import COMMANDS, main


def test_help_imports_no_aiida():
    code = (
        "import sys; from click.testing import CliRunner; from aiida_lpsgb.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\n"
        "print(result.exit_code, 'aiida' in sys.modules, 'numpy' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["0", "False", "False"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_examples_of_use(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    assert name in CliRunner().invoke(main, ["--help"]).output


def test_unknown_command():
    result = CliRunner().invoke(main, ["quickset"])
    assert result.exit_code == 2
    assert "No such command" in result.output
