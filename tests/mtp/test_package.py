"""The package where it is only a folder of sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import aiida_lpsgb
import aiida_lpsgb.mtp


def test_a_source_folder_says_what_it_is(tmp_path):
    """As from a clone's root, where Python finds the sources before what is installed."""
    folder = tmp_path / "aiida_lpsgb"
    (folder / "mtp").mkdir(parents=True)
    for module, name in ((aiida_lpsgb, "__init__.py"), (aiida_lpsgb.mtp, "mtp/__init__.py")):
        shutil.copy(Path(module.__file__), folder / name)
    command = [sys.executable, "-c", "import aiida_lpsgb.mtp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has no compiled modules" in done.stderr
    assert "pip install -e ." in done.stderr
