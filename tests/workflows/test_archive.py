"""A finished study, exported, imported into an empty profile and asked again."""

import contextlib
import io
from pathlib import Path

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage.configuration import profile_context
from aiida.plugins import DataFactory
from aiida.tools.archive import create_archive, import_archive

from aiida_lpsgb.data.archive import write_archive
from aiida_lpsgb.report import study_results, table
from aiida_lpsgb.report.page import page

pytestmark = pytest.mark.daemon
README = Path(__file__).parents[2] / "README.md"


def ask():
    """Run the README's query in the loaded profile and return what it prints."""
    code = README.read_text(encoding="utf-8").split("<!-- query -->\n```python\n")[1].split("```")[0]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "README.md", "exec"), {})
    return output.getvalue()


def cold_diffusivities(study):
    """Return every diffusivity below 700 K that a study has handed out, found without a query."""
    links = study.base.links.get_outgoing(link_type=LinkType.RETURN).all()
    nodes = [link.node for link in links if isinstance(link.node, DataFactory("lpsgb.diffusivity"))]
    return [node for node in nodes if node.temperature < 700]


def test_an_imported_study_gives_the_same_answers(study, aiida_profile, tmp_path):
    answer = ask()
    assert answer.count("\n") == len(cold_diffusivities(study)), answer
    assert all(potential.uuid[:8] in answer for potential in study.outputs.potentials.values())
    numbers = [(run.temperature_K, run.diffusivity_cm2_s) for run in study_results(study).runs]
    uuid, path = study.uuid, tmp_path / "study.aiida"
    create_archive([study], filename=path)

    with profile_context(aiida_profile, allow_switch=True):
        aiida_profile.reset_storage()
        assert ask() == ""
        import_archive(path)
        assert ask() == answer
        imported = orm.load_node(uuid)
        results = study_results(imported)
        assert [(run.temperature_K, run.diffusivity_cm2_s) for run in results.runs] == numbers
        assert f"StudyWorkChain<{imported.pk}> finished" in table(results)


def test_an_archive_without_its_largest_files_is_asked_and_reported(study, aiida_profile, tmp_path):
    answer, uuid, path = ask(), study.uuid, tmp_path / "study.aiida"
    left_out = {files.name for files in write_archive([study], path, 3000)}
    assert "trajectory.lpsgbtraj" in left_out

    with profile_context(aiida_profile, allow_switch=True):
        aiida_profile.reset_storage()
        import_archive(path)
        assert ask() == answer
        results = study_results(orm.load_node(uuid))
        assert set(results.left_out) <= left_out
        assert "trajectory.lpsgbtraj" in page(results)
        assert f"StudyWorkChain<{results.pk}> finished" in table(results)
