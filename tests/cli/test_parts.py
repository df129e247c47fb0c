"""`aiida-lpsgb launch`: builders of the parts, and what they refuse; nothing is run here."""

import numpy as np
import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import DataFactory, WorkflowFactory
from ase.build import bulk
from ase.io import write
from click.testing import CliRunner

from aiida_lpsgb.cli import main

POTENTIAL = "mtp/li3ps4_level8.mtp"


@pytest.fixture
def crystal(tmp_path):
    """Return a file of a made-up crystal of Li, P and S: PS4 tetrahedra and lithium."""
    atoms = bulk("CsCl", "cesiumchloride", a=6.2)
    atoms.symbols = ["P", "Li"]
    corner = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 2.05 / np.sqrt(3)
    for position in corner:
        atoms.append("S")
        atoms.positions[-1] = position
    for place in ([0.5, 0.5, 0], [0.5, 0, 0.5]):
        atoms.append("Li")
        atoms.positions[-1] = np.dot(place, atoms.cell)
    path = tmp_path / "crystal.extxyz"
    write(path, atoms)
    return path


@pytest.fixture
def launch(computer, data_path):
    """Return a function that runs a part dry and gives its inputs, or what it says if it is refused."""

    def run(name, *arguments, potential=False, code=0):
        given = ("--potential", data_path / POTENTIAL, "-s", "Li,P,S") if potential else ()
        words = ["launch", name, *arguments, *given, "--computer", computer, "--dry-run"]
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
        if code:
            return result.output
        content, _, end = result.stdout.partition("\nDry run of ")
        assert end.endswith("nothing was submitted.\n")
        return yaml.safe_load(content)

    return run


def test_a_sweep_at_one_temperature(launch, crystal):
    inputs = launch("sweep", crystal, "--temperatures", "600", "--replicas", 2, potential=True)
    assert inputs["temperatures"] == [600.0]
    assert inputs["structural_temperatures"] == [600.0]
    assert inputs["n_replicas"] == 2
    assert inputs["motion"]["diffusivity"] == {"species": "Li", "charge": 1.0}
    assert inputs["motion"]["speciation"]["ligand"] == "S"
    assert list(inputs["potentials"]) == ["p1"]


def test_a_sweep_by_regions(launch, crystal):
    regions = "{slab: {axis: 2, centres: [0.0], thickness_A: 4.0}}"
    inputs = launch("sweep", crystal, "--regions", regions, potential=True)
    assert inputs["regions"]["slab"]["thickness_A"] == 4.0
    assert inputs["motion"]["regions"] is not None


def test_a_structure_is_a_node_as_well(launch, crystal):
    from ase.io import read

    node = orm.StructureData(ase=read(crystal)).store()
    assert f"<{node.pk}>" in launch("sweep", node.pk, potential=True)["structure"]


@pytest.fixture
def finished(computer, launch, crystal, data_path):
    """Return a sweep of two temperatures, as if it had finished."""
    from ase.io import read

    work_chain = WorkflowFactory("lpsgb.transport")
    codes = {
        role: orm.load_code(f"{label}@{computer}") for role, label in {"md": "lmp", "analyse": "lpsgb-analyse"}.items()
    }
    potential = DataFactory("lpsgb.potential")(data_path / POTENTIAL, ["Li", "P", "S"])
    builder = work_chain.get_builder_from_protocol(
        codes,
        orm.StructureData(ase=read(crystal)),
        {"p1": potential},
        protocol="fast",
        overrides={"temperatures_K": [900, 300]},
        seed=orm.Int(4),
    )
    node = orm.WorkChainNode(process_type=work_chain.build_process_type())
    for label, value in _nodes(builder._inputs(prune=True)):
        value = value if value.is_stored else value.store()
        node.base.links.add_incoming(value, LinkType.INPUT_WORK, label)
    return node.store()


def _nodes(inputs, prefix=""):
    for name, value in inputs.items():
        if isinstance(value, orm.Data):
            yield prefix + name, value
        elif isinstance(value, dict) and name != "metadata":
            yield from _nodes(value, f"{prefix}{name}__")


def test_temperatures_and_replicas_join_a_sweep(launch, finished):
    inputs = launch("sweep", "--add", finished.pk, "--temperatures", "600,300", "--replicas", 2)
    assert inputs["temperatures"] == [900, 300, 600.0]
    assert inputs["n_replicas"] == 2
    assert inputs["seed"] == 4
    assert f"<{finished.inputs.structure.pk}>" in inputs["structure"]
    inputs = launch("sweep", "--add", finished.pk, "--max-production", 500)
    assert inputs["budget"]["max_production_ps"] == 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to add: give temperatures beside 900, 300 K"),
        (("--temperatures", "900"), "nothing to add"),
        (("--temperatures", "-5"), "temperatures must be above 0 K"),
        (("--temperatures", "500", "--protocol", "fast"), "--protocol: those of the sweep"),
        (("--temperatures", "500", "--mobile", "Na", "--cutoff", "P-S=2.5"), "--mobile, --cutoff: those of the sweep"),
    ],
)
def test_what_cannot_join_a_sweep(launch, finished, arguments, message):
    code = 2 if "those of the sweep" in message else 1
    assert message in launch("sweep", "--add", finished.pk, *arguments, code=code)


def test_what_is_no_sweep(launch, finished):
    assert "it is no sweep" in launch("sweep", "--add", finished.inputs.structure.pk, "--temperatures", "500", code=2)
    assert "give the STRUCTURE" in launch("sweep", code=2)


def test_learning_from_frames(launch, crystal, generate_images, tmp_path):
    write(tmp_path / "frames.extxyz", generate_images(3))
    frames = ("--from", tmp_path / "frames.extxyz", "-l", "CHGNet")
    inputs = launch("learn", crystal, *frames, "--label", "chgnet", "--protocol", "fast", "--seed", 3)
    assert inputs["label"]["engine"]["ase"]["parameters"] == {"calculator": "chgnet"}
    assert inputs["seed"] == 3
    assert launch("learn", crystal, *frames)["label"] == inputs["label"]
    wrong = launch("learn", crystal, *frames, "--label", "sevennet", code=1)
    assert "CHGNet, those that the label engine computes SevenNet-0" in wrong


def test_a_boundary(launch, crystal):
    inputs = launch("boundary", crystal, "--boundary", "001/120", "--cutoff", "P-S=2.5", potential=True)
    assert (inputs["boundary"]["axis"], inputs["boundary"]["plane"]) == ([0, 0, 1], [1, 2, 0])
    assert inputs["boundary"]["cutoffs"] == {"P-S": 2.5}
    assert "does not contain the tilt axis" in launch(
        "boundary", crystal, "--boundary", "001/121", potential=True, code=1
    )
    assert "give one boundary" in launch("boundary", crystal, potential=True, code=2)
    assert "give the potential" in launch("boundary", crystal, "--boundary", "001/120", code=2)


def test_a_glass(launch, crystal):
    inputs = launch("glass", crystal, potential=True)
    assert inputs["amorphous"] == {"centre": "P", "unit": "PS4", "cutoffs": {"P-S": 2.54}}


def test_labels(launch, generate_images, tmp_path):
    write(tmp_path / "frames.extxyz", generate_images(2, labelled=False))
    inputs = launch("label", tmp_path / "frames.extxyz", "--label", "sevennet+d3")
    assert inputs["engine"]["ase"]["parameters"]["dispersion"] == {"method": "PBE", "damping": "d3zero"}


DUMP = """\
ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
3
ITEM: BOX BOUNDS pp pp pp
0 8
0 8
0 8
ITEM: ATOMS id element xu yu zu
1 Li {x} 0 0
2 Li 4 {x} 0
3 Cl 4 4 4
"""


def test_an_own_dump(launch, tmp_path):
    dump = tmp_path / "run.dump"
    dump.write_text("".join(DUMP.format(step=100 * k, x=0.1 * k) for k in range(20)))
    arguments = (dump, "--timestep", 2, "--temperature", 600)
    inputs = launch("analyse", *arguments)
    assert list(inputs["trajectories"]) == ["segment_000"]
    assert inputs["parameters"]["diffusivity"] == {"species": "Li", "charge": 1.0}
    assert inputs["parameters"]["speciation"] is None
    assert "give --temperature" in launch("analyse", dump, "--timestep", 2, code=2)
    assert "needs named regions" not in str(inputs)


def test_what_a_dump_leaves_open_is_an_option(launch, tmp_path):
    dump = tmp_path / "run.dump"
    frames = [DUMP.format(step=100 * (k % 10), x=0.1 * k) for k in range(20)]
    dump.write_text("".join(frames))
    arguments = ("analyse", dump, "--timestep", 2, "--temperature", 600)
    assert "give restart_gap_ps" in launch(*arguments, code=1)
    launch(*arguments, "--restart-gap", 0.2)


def test_what_is_neither_a_file_nor_a_node(launch):
    assert "nothing.cif: no such file, and no such node" in launch("sweep", "nothing.cif", potential=True, code=1)
