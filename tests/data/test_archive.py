"""Archives without their largest files: what goes, what stays, and what is said of it."""

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory
from aiida.tools.archive import import_archive

from aiida_lpsgb.data.archive import write_archive
from aiida_lpsgb.data.left_out import arrays_there, left_out_of, open_file

LIMIT = 2000


@pytest.fixture
def process(aiida_profile_clean, data_path):
    """Return a process with a potential and an array beyond the limit, and a small array."""
    potential = DataFactory("lpsgb.potential")(data_path / "mtp" / "li3ps4_level8.mtp", ["Li", "P", "S"]).store()
    frames, small = orm.ArrayData(), orm.ArrayData()
    frames.set_array("positions", np.random.default_rng(1).normal(size=(500, 3)))
    frames.set_array("times", np.arange(5.0))
    frames.base.extras.set("mine", 7)
    small.set_array("msd", np.arange(5.0))
    process = orm.WorkChainNode().store()
    job = orm.CalcJobNode(computer=orm.Computer("here", "localhost", "", "core.local", "core.direct", "/tmp").store())
    job.base.links.add_incoming(process, LinkType.CALL_CALC, "run")
    job.base.links.add_incoming(potential, LinkType.INPUT_CALC, "potential")
    job.store()
    for name, node in (("frames", frames), ("small", small)):
        node.base.links.add_incoming(job, LinkType.CREATE, name)
        node.store()
        node.base.links.add_incoming(process, LinkType.RETURN, name)
    job.seal()
    return process.seal()


def test_large_files_go_and_all_else_stays(process, aiida_profile, tmp_path):
    path = tmp_path / "study.aiida"
    kept = [entry.node.uuid for entry in process.base.links.get_outgoing(link_type=LinkType.RETURN).all()]
    attributes = {uuid: orm.load_node(uuid).base.attributes.all for uuid in kept}
    (files,) = write_archive([process], path, LIMIT)
    assert (files.name, files.count) == ("positions.npy", 1)
    assert LIMIT < files.bytes < 500 * 3 * 8 + LIMIT

    uuid = process.uuid
    aiida_profile.reset_storage()
    import_archive(path)
    (frames,) = orm.load_node(uuid).base.links.get_outgoing(link_label_filter="frames").all_nodes()
    assert left_out_of(frames) == ("positions.npy",)
    assert frames.base.extras.get("mine") == 7
    assert arrays_there(frames) == {"times"}
    assert frames.get_array("times").tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="positions"):
        frames.get_array("positions")
    with pytest.raises(FileNotFoundError, match=r"positions\.npy was left out of the archive"):
        open_file(frames, "positions.npy")
    with open_file(frames, "times.npy") as handle:
        assert np.load(handle).shape == (5,)
    small = orm.load_node(uuid).outputs.small
    assert left_out_of(small) == ()
    assert small.get_array("msd").shape == (5,)
    potential = frames.creator.inputs.potential
    assert potential.base.repository.get_object_size(potential.base.repository.list_object_names()[0]) > LIMIT
    assert {uuid: orm.load_node(uuid).base.attributes.all for uuid in kept} == attributes


def test_files_of_a_name_are_kept(process, tmp_path):
    kept = tmp_path / "kept.aiida"
    assert write_archive([process], kept, LIMIT, keep=["positions.npy"]) == ()
    assert write_archive([process], kept, LIMIT, keep=["pos*.npy"]) == ()
    (files,) = write_archive([process], kept, LIMIT, keep=["times.npy"])
    assert files.name == "positions.npy"


def test_without_a_limit_all_is_kept(process, aiida_profile, tmp_path):
    path = tmp_path / "study.aiida"
    assert write_archive([process], path) == ()
    frames = process.outputs.frames.uuid
    aiida_profile.reset_storage()
    import_archive(path)
    assert orm.load_node(frames).get_array("positions").shape == (500, 3)
