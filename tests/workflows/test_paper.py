"""The systems of the paper by the command that a user types, at the smallest scale, and what the study then holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "aiida-lpsgb"
#: Prints which outputs the study has, without its own tables.
OUTPUTS = """
import json
from aiida import load_profile, orm
from aiida_lpsgb.workflows.outputs import leaves
load_profile("paper")
types = {"attributes.process_label": "StudyWorkChain"}
study = orm.QueryBuilder().append(orm.WorkChainNode, filters=types).first(flat=True)
outputs = {path: type(node).__name__ for path, node in leaves(study.outputs, "")}
summaries = {name: system.summary.get_dict() for name, system in study.outputs.systems.items()}
energies = study.outputs.boundary_energies["boundaries"]
print(json.dumps({"outputs": outputs, "energies": energies, "summaries": summaries}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run the study in a profile of its own; return what runs commands there, with its folder."""
    folder = tmp_path_factory.mktemp("paper")
    path = os.pathsep.join([str(PROGRAM.parent), os.environ["PATH"]])
    environment = {**os.environ, "AIIDA_PATH": str(folder), "PATH": path, "MPLBACKEND": "agg"}

    def command(*words):
        done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    command.folder = folder
    command(PROGRAM, "quicksetup", "-p", "paper", "--daemon", "2")
    try:
        study = ROOT / "examples" / "jalem2023.yaml"
        command(PROGRAM, "study", study, "--scale", "fast", "--yes", "--folder", folder / "out")
        yield command
    finally:
        command(PROGRAM.with_name("verdi"), "-p", "paper", "daemon", "stop")


def test_what_the_paper_shows_is_an_output_of_the_study(run):
    found = json.loads(run(sys.executable, "-c", OUTPUTS).splitlines()[-1])
    outputs, systems = found["outputs"], ("crystal", "tilt_120", "twist_001")
    for system in systems:
        own = {path for path in outputs if path.startswith(f".systems.{system}.")}
        for observable in ("rdf", "speciation", "density", "elements", "disorder", "topology"):
            assert any(f".{observable}" in path for path in own), (system, observable, sorted(own))
        assert any(".diffusivities." in path for path in own)
        assert f".systems.{system}.arrhenius" in own
    for boundary in systems[1:]:
        assert f".systems.{boundary}.recipe" in outputs
        for region in ("boundary_", "core_"):
            assert any(f".systems.{boundary}.regions" in path and region in path for path in outputs)
        energies = found["energies"][boundary]
        assert 0.1 < energies["label_J_m2"] < 1.0
        assert abs(energies["potentials_J_m2"]["p1"] - energies["label_J_m2"]) < 0.15


def test_tables_and_figures_stand_beside_what_was_published(run):
    text = (run.folder / "out" / "results.txt").read_text(encoding="utf-8")
    for part in ("published", "Energies of boundaries in small cells", "crystal < tilt", "twist_001"):
        assert part in text
    drawn = {path.stem for path in (run.folder / "out").glob("*.png")}
    assert {"arrhenius", "boundary_parity", "learning_curve", "parity", "relations"} <= drawn
    for system in ("crystal", "tilt_120", "twist_001"):
        own = {name.removeprefix(f"{system}_") for name in drawn if name.startswith(f"{system}_")}
        assert {"msd", "rdf", "disorder"} <= own
        assert {name for name in own if "rings" in name}
        assert {name for name in own if name.startswith("density")}
    page = run.folder / "report.html"
    run(PROGRAM, "report", "-o", page, "--published", ROOT / "examples" / "data" / "beta-li3ps4-published.yaml")
    assert "Energies of boundaries in small cells" in page.read_text(encoding="utf-8")
