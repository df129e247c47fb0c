"""A whole study against a truth that is known: `benchmarks/closed_loop.py` with one seed and short runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "closed_loop.py"


@pytest.mark.slow
def test_a_study_finds_what_its_labels_were_made_from(tmp_path):
    arguments = ["--seeds", "1", "--truth-ps", "100", "--replicas", "1"]
    run = subprocess.run([sys.executable, SCRIPT, tmp_path, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found["numbers"] >= 5
    # Of six numbers at 95 % two are outside once in thirty times.
    assert found["covered"] >= 0.6, run.stdout
