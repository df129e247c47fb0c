"""The notebook of the examples, run cell by cell in a fresh IPython as a reader would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "first_hour.ipynb"
#: Runs cells that stand in a file and prints what a notebook would show of the last one of each.
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="nocolor")
for source in json.load(open(sys.argv[1])):
    result = shell.run_cell(source, silent=False)
    result.raise_error()
    html = getattr(result.result, "_repr_html_", None)
    print(html() if html else "")
"""


def sources():
    """Return the code cells, and how many of them need no profile."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells]
    return code, next(number for number, source in enumerate(code) if "load_profile" in source)


def run(code, folder, **variables):
    """Run cells in an interpreter of their own, in the folder of the examples."""
    (folder / "cells.json").write_text(json.dumps(code))
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", **variables}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    words = [sys.executable, "-c", RUN, folder / "cells.json"]
    done = subprocess.run(words, cwd=EXAMPLES, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_part_without_a_profile(tmp_path):
    code, n_plain = sources()
    output = run(code[:n_plain], tmp_path, AIIDA_PATH="/nonexistent")
    assert "polyanions: PS4" in output
    assert "misoriented by 34.55°" in output
    assert "Diffusion of Li at 700 K (Diffusivity)" in output
    assert "cm²/s</td>" in output


@pytest.mark.slow
def test_the_whole_notebook(tmp_path):
    code, _ = sources()
    environment = {"AIIDA_PATH": str(tmp_path), "TMPDIR": str(tmp_path)}
    quicksetup = [Path(sys.executable).parent / "aiida-lpsgb", "quicksetup"]
    subprocess.run(quicksetup, check=True, capture_output=True, env={**os.environ, **environment})
    output = run(code, tmp_path, **environment)
    for shown in ("Moment tensor potential", "Segment of a run, 321 frames", "Diffusion of Li at 700 K"):
        assert shown in output
