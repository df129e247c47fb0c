"""Draw the structures of the gallery: ``python docs/gallery/pictures.py [FOLDER]``, beside this file by default.

Where chromium is installed, the page of the study in ``tests/archives`` is pictured as well, in a temporary profile.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from aiida_lpsgb.structures.bicrystal import grain_boundary
from aiida_lpsgb.structures.crystal import Crystal
from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.guess import guess
from aiida_lpsgb.structures.ordering import order
from aiida_lpsgb.structures.picture import draw

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CRYSTALS = ROOT / "examples" / "data"
BOUNDARIES = {
    "tilt": {"axis": (0, 0, 1), "plane": (1, 2, 0)},
    "twist": {"axis": None, "plane": (0, 0, 1)},
}
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def structures(folder: Path) -> None:
    """Draw an ordered crystal and two boundaries of it."""
    disordered = read_structure(CRYSTALS / "beta-li3ps4.cif")
    material = guess(disordered)
    (atoms,) = order(disordered, material.charges.value, rank_by=material.ordering.value["rank_by"])
    atoms.info = {}
    figures = {"crystal": draw(atoms.repeat((1, 2, 2)))}
    for name, request in BOUNDARIES.items():
        (boundary,) = grain_boundary(Crystal(atoms), **request, width=13.0, region=5.0)
        figures[name] = draw(boundary)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=55, bbox_inches="tight", metadata={"Software": None})


def page(folder: Path) -> None:
    """Picture the top of a report in a browser."""
    browser = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if browser is None:
        print("no chromium: the picture of the report is left as it is")
        return
    from aiida import orm
    from aiida.manage.configuration import profile_context
    from aiida.storage.sqlite_temp import SqliteTempBackend
    from aiida.tools.archive import import_archive

    from aiida_lpsgb.report import html, study_results

    with TemporaryDirectory() as scratch, profile_context(SqliteTempBackend.create_profile(), allow_switch=True):
        import_archive(ROOT / "tests" / "archives" / "0.1.aiida")
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"attributes.process_label": "StudyWorkChain"})
        path = html(study_results(query.first(flat=True)), Path(scratch) / "page.html")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={scratch}"]
        shot = [f"--screenshot={folder / 'report.png'}", "--window-size=1000,1500", path.as_uri()]
        subprocess.run([browser, *options, *shot], check=True, capture_output=True)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    structures(target)
    page(target)
