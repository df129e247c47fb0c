"""Labels by VASP and CP2K: back to what they are of and by, from the cache, and through an archive."""

import shutil

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.manage.configuration import profile_context
from aiida.plugins import DataFactory, WorkflowFactory
from aiida.tools.archive import create_archive, import_archive
from ase import Atoms
from ase.build import bulk

from aiida_lpsgb.data.configurations import ConfigurationsData

LabelWorkChain = WorkflowFactory("lpsgb.label")


def copper():
    images = []
    for seed in range(2):
        images.append(bulk("Cu", cubic=True))
        images[-1].rattle(0.1, seed=seed)
    return images


def hydrogen():
    return [Atoms("H2", [[1.6, 1.5, 1.5], [2.4 + 0.1 * k, 1.5, 1.5]], cell=[4, 4, 4], pbc=True) for k in range(2)]


@pytest.fixture
def by_vasp(vasp_code, potcar_family):
    """Return what labels with VASP: codes, overrides, configurations, job and what caches it."""
    pytest.importorskip("aiida_vasp")
    overrides = {"potential_family": potcar_family, "potential_mapping": {"Cu": "Cu"}}
    return {"label": vasp_code()}, overrides, copper(), "VaspCalculation", "aiida.calculations:vasp.vasp"


@pytest.fixture
def by_cp2k(aiida_code_installed):
    """Return what labels with CP2K."""
    path = shutil.which("cp2k")
    if path is None:
        pytest.skip("CP2K is not installed: apt-get install cp2k")
    code = aiida_code_installed(label="cp2k", default_calc_job_plugin="lpsgb.label.cp2k", filepath_executable=path)
    overrides = {"force_eval": {"DFT": {"MGRID": {"CUTOFF": 150}}}, "basis_set": "SZV-MOLOPT-SR-GTH"}
    return {"label": code}, overrides, hydrogen(), "Cp2kLabelCalculation", "aiida.calculations:lpsgb.label.cp2k"


def run(engine, cached=False):
    """Label, and return the outputs, the process and its jobs."""
    codes, overrides, images, label, identifier = engine
    environment = {"environment_variables": {"OMP_NUM_THREADS": "1"}}
    builder = LabelWorkChain.get_builder_from_protocol(
        codes,
        ConfigurationsData(images),
        protocol="fast",
        overrides={"engine": overrides},
        options={
            "label": environment | {"withmpi": False, "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}},
        },
    )
    if cached:
        with enable_caching(identifier=identifier):
            outputs, node = run_get_node(builder)
    else:
        outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    return outputs, node, [job for job in node.called_descendants if job.process_label == label]


def ancestors(node):
    """Return every node that a node depends on, through data and calculations."""
    found, front = {}, [node]
    while front:
        links = front.pop().base.links.get_incoming(link_type=(LinkType.CREATE, LinkType.INPUT_CALC)).all()
        new = [link.node for link in links if link.node.pk not in found]
        found |= {one.pk: one for one in new}
        front += new
    return list(found.values())


def values(configurations):
    return [(atoms.get_potential_energy(), atoms.get_forces().tolist()) for atoms in configurations]


def check_cache_and_archive(engine, first, profile, path):
    """Equal configurations are not computed again, and an archive gives the labels and where they came from."""
    outputs, _, jobs = first
    again, _, repeated = run(engine, cached=True)
    assert len(repeated) == len(jobs)
    assert all(job.base.caching.is_created_from_cache for job in repeated)
    assert again["configurations"].base.caching.get_hash() == outputs["configurations"].base.caching.get_hash()

    uuid, numbers = outputs["configurations"].uuid, values(outputs["configurations"])
    level, history = (
        outputs["configurations"].level_of_theory,
        {one.uuid for one in ancestors(outputs["configurations"])},
    )
    create_archive([outputs["configurations"]], filename=path)
    with profile_context(profile, allow_switch=True):
        profile.reset_storage()
        import_archive(path)
        imported = orm.load_node(uuid)
        assert isinstance(imported, DataFactory("lpsgb.configurations"))
        assert (values(imported), imported.level_of_theory) == (numbers, level)
        assert {one.uuid for one in ancestors(imported)} == history


def test_vasp(by_vasp, aiida_profile, tmp_path):
    first = outputs, node, jobs = run(by_vasp)
    assert len(jobs) == 2
    found = ancestors(outputs["configurations"])
    assert node.inputs.configurations.pk in {one.pk for one in found}
    assert {job.pk for job in jobs} <= {one.pk for one in found}
    assert [one.pk for one in found if isinstance(one, orm.AbstractCode)] == [by_vasp[0]["label"].pk]
    # Each label leads to its own configuration, INCAR, KPOINTS, and the POTCAR by its hash.
    for job, image in zip(sorted(jobs, key=lambda job: job.pk), by_vasp[2], strict=True):
        structure = job.inputs.structure
        assert np.allclose(structure.get_ase().positions, image.positions, rtol=0, atol=1e-12)
        assert structure.creator.process_type == "aiida.calculations:lpsgb.configurations.structures"
        assert job.inputs.parameters["gga"] == "PE"
        assert job.inputs.parameters["encut"] == 520
        assert job.inputs.kpoints.get_kpoints_mesh()[0] == [1, 1, 1]
        (potcar,) = job.inputs.potential.values()
        assert potcar.full_name == "Cu"
        assert len(potcar.sha512) == 128
    check_cache_and_archive(by_vasp, first, aiida_profile, tmp_path / "labels.aiida")


@pytest.mark.slow
def test_cp2k(by_cp2k, aiida_profile, tmp_path):
    first = outputs, node, jobs = run(by_cp2k)
    (job,) = jobs
    found = ancestors(outputs["configurations"])
    assert {node.inputs.configurations.pk, job.pk} <= {one.pk for one in found}
    assert [one.pk for one in found if isinstance(one, orm.AbstractCode)] == [by_cp2k[0]["label"].pk]
    parameters = job.inputs.parameters.get_dict()
    assert parameters["force_eval"]["DFT"]["MGRID"]["CUTOFF"] == 150
    assert parameters["basis_set"] == "SZV-MOLOPT-SR-GTH"
    assert outputs["configurations"].level_of_theory == job.inputs.level_of_theory.value
    check_cache_and_archive(by_cp2k, first, aiida_profile, tmp_path / "labels.aiida")
