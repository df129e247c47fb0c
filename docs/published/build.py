"""Build the page of the published study from its archive: ``python docs/published/build.py [--page FILE] [FOLDER]``.

Tables and pictures come out beside this file, or in FOLDER; ``--page`` writes the HTML report, too. The archive is
imported into a profile that lives as long as this takes.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from aiida import orm
from aiida.manage.configuration import profile_context
from aiida.storage.sqlite_temp import SqliteTempBackend
from aiida.tools.archive import import_archive

from aiida_lpsgb.report import Results, draw, html, study_results, table
from aiida_lpsgb.report.published import read_published

HERE = Path(__file__).parent
ARCHIVE = HERE / "jalem2023-small.aiida"
PUBLISHED = HERE.parents[1] / "examples" / "data" / "beta-li3ps4-published.yaml"
#: What is shown of all that can be drawn.
PICTURES = (
    *("arrhenius", "relations", "learning_curve", "boundary_parity"),
    *(f"{system}_density_species" for system in ("crystal", "tilt_120", "twist_001", "amorphous_001")),
    *("amorphous_001_density_profile", "tilt_120_regions", "crystal_disorder", "glass_disorder", "crystal_elements"),
)


@contextmanager
def study_of(archive: Path) -> Iterator[orm.WorkChainNode]:
    """The study of an archive, in a profile of its own."""
    with profile_context(SqliteTempBackend.create_profile("published"), allow_switch=True):
        import_archive(archive)
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"attributes.process_label": "StudyWorkChain"})
        yield query.first(flat=True)


def write(results: Results, folder: Path, page: Path | None = None) -> None:
    """Write ``results.txt`` and the pictures of a study, and its report where it is wanted."""
    mpl.use("agg")
    published = read_published(PUBLISHED)
    (folder / "results.txt").write_text(table(results, published) + "\n", encoding="utf-8")
    drawn = draw(results)
    for name in PICTURES:
        drawn[name].savefig(folder / f"{name}.png", dpi=80, bbox_inches="tight", metadata={"Software": None})
    if page is not None:
        html(results, page, published=published)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=HERE)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    parser.add_argument("--page", type=Path, help="the HTML report, to be written here")
    given = parser.parse_args()
    with study_of(given.archive) as study:
        write(study_results(study), given.folder, given.page)
