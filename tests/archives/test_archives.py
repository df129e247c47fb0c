"""Archives of every released schema: each is imported into an empty profile, queried and reported."""

from pathlib import Path

import pytest
from aiida import orm
from aiida.plugins import DataFactory
from aiida.tools.archive import import_archive

from aiida_lpsgb.report import draw, html, study_results, table

ARCHIVES = sorted(Path(__file__).parent.glob("*.aiida"))


def test_there_is_an_archive_of_this_schema():
    assert ARCHIVES


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_an_archive_is_imported_queried_and_reported(path, aiida_profile_clean, tmp_path):
    import_archive(path)
    study = (
        orm.QueryBuilder().append(orm.WorkChainNode, filters={"attributes.process_label": "StudyWorkChain"}).one()[0]
    )
    assert study.is_finished_ok

    hot = {"attributes.temperature_K": {">": 600}, "attributes.species": "Li"}
    diffusivities = orm.QueryBuilder().append(DataFactory("lpsgb.diffusivity"), filters=hot).all(flat=True)
    assert diffusivities
    assert all(node.value > 0 for node in diffusivities)

    segments = orm.QueryBuilder().append(DataFactory("lpsgb.trajectory")).all(flat=True)
    with segments[0].open_trajectory() as trajectory:
        assert trajectory.n_frames == segments[0].n_frames
    for node in orm.QueryBuilder().append(DataFactory("lpsgb.configurations")).all(flat=True):
        assert len(node.get_ase()) == len(node)
    potentials = orm.QueryBuilder().append(DataFactory("lpsgb.potential")).all(flat=True)
    assert any(node.trained for node in potentials)

    results = study_results(study)
    assert "crystal" in table(results)
    assert draw(results)
    assert html(results, tmp_path / "report.html").stat().st_size > 1000
