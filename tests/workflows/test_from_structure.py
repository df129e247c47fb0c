"""Studies that are guessed from a crystal: what they take from it, and what comes over it."""

from pathlib import Path

import pytest
from aiida import orm
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.workflows.from_structure import study_from_structure

CRYSTALS = Path(__file__).parents[2] / "examples" / "data"
NAMES = ("beta-li3ps4", "li3n", "li6ps5cl", "li7la3zr2o12", "na3ps4")


@pytest.fixture(scope="module")
def codes(aiida_profile):
    """Return codes of every role; none of them is run."""
    computer = orm.Computer("guessed", "localhost", "", "core.local", "core.direct", "/tmp").store()
    plugins = {"mlp": "lpsgb.mlp.train", "md": "lpsgb.md", "label": "lpsgb.label.ase", "analyse": "lpsgb.analyse"}
    return {
        role: orm.InstalledCode(computer, "/bin/true", label=role, default_calc_job_plugin=plugin).store()
        for role, plugin in plugins.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_crystal_is_enough(codes, name):
    builder = study_from_structure(CRYSTALS / f"{name}.cif", codes=codes)
    partial = not read_structure(CRYSTALS / f"{name}.cif").is_ordered
    assert isinstance(builder.crystal, orm.CifData if partial else orm.StructureData)
    assert builder.systems["crystal"]["kind"] == "crystal"
    mobile = "Na" if name == "na3ps4" else "Li"
    assert builder.transport.motion["diffusivity"] == {"species": mobile, "charge": 1.0}
    assert ("charges" in builder.ordering.get_dict()) is partial


@pytest.mark.parametrize("name", ["li3n", "li7la3zr2o12"])
def test_without_polyanions_nothing_is_counted_in_units(codes, name):
    builder = study_from_structure(CRYSTALS / f"{name}.cif", codes=codes, boundaries=["001/130"])
    assert builder.transport.motion["speciation"] is None
    assert builder.systems["tilt_001_130"]["cutoffs"] == {}


@pytest.mark.parametrize("kind", ["atoms", "structure", "poscar", "node"])
def test_any_kind_of_crystal(codes, tmp_path, kind):
    atoms = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    atoms.write(tmp_path / "POSCAR")
    crystal = {
        "atoms": atoms,
        "structure": Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(5.13), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
        ),
        "poscar": tmp_path / "POSCAR",
        "node": orm.StructureData(ase=atoms),
    }[kind]
    builder = study_from_structure(crystal, codes=codes, seed=3)
    assert builder.crystal.get_formula() == "Cl4Li4"
    assert builder.seed.value == 3


def test_overrides_come_over_what_was_guessed(codes):
    overrides = {"potential": {"min_distance_angstrom": 1.1}, "transport": {"temperatures_K": [700]}}
    builder = study_from_structure(CRYSTALS / "na3ps4.cif", codes=codes, overrides=overrides)
    assert builder.potential["min_distance_angstrom"] == 1.1
    assert builder.potential["species"] == ["Na", "P", "S"]
    assert builder.transport.structural_temperatures.get_list() == [700]


def test_longer_dynamics_are_of_a_cheaper_level_and_labelled_again(codes):
    builder = study_from_structure(CRYSTALS / "na3ps4.cif", codes=codes, protocol="moderate")
    assert builder.reference_md.engine.ase.parameters["calculator"] == "chgnet"
    assert builder.label.engine.ase.parameters["calculator"] == "sevennet"


def test_learning_begins_with_dynamics_of_quick_labels(codes, generate_configurations):
    def ports(**given):
        return study_from_structure(CRYSTALS / "na3ps4.cif", codes=codes, **given)._inputs(prune=True)

    inputs = ports(label="sevennet+d3")
    engines = (inputs["reference_md"]["engine"]["ase"], inputs["label"]["engine"]["ase"])
    assert engines[0]["parameters"].get_dict() == engines[1]["parameters"].get_dict()
    assert "reference_md" not in ports(overrides={"reference_md": None})
    assert "reference_md" not in ports(training_sets={"mine": generate_configurations(level_of_theory="SevenNet-0")})


@pytest.mark.parametrize(
    ("name", "given", "primitive"),
    [
        ("li7la3zr2o12", {}, True),  # body-centred, 192 atoms
        ("li7la3zr2o12", {"overrides": {"ordering": {"primitive": False}}}, False),
        ("na3ps4", {}, None),  # body-centred, 16 atoms
        ("beta-li3ps4", {}, None),
    ],
)
def test_a_large_centred_crystal_is_ordered_in_its_primitive_cell(codes, name, given, primitive):
    builder = study_from_structure(CRYSTALS / f"{name}.cif", codes=codes, **given)
    assert builder.ordering.get_dict().get("primitive") is primitive


def test_planes_refer_to_the_whole_cell(codes):
    garnet = CRYSTALS / "li7la3zr2o12.cif"
    builder = study_from_structure(garnet, codes=codes, boundaries=["001/120"])
    assert "primitive" not in builder.ordering.get_dict()
    with pytest.raises(ValueError, match=r"the planes and axes of tilt_001_120 refer to the cell of the crystal"):
        study_from_structure(garnet, codes=codes, boundaries=["001/120"], overrides={"ordering": {"primitive": True}})
