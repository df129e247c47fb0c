"""A short run of the fuzzer of the Python readers."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fuzz_python_readers.py")


@pytest.mark.parametrize("inputs", [3000, pytest.param(300000, marks=pytest.mark.slow)])
def test_no_reader_fails_otherwise_than_by_its_error(inputs):
    command = [sys.executable, str(PROGRAM), "--inputs", str(inputs), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
