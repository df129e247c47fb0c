"""Studies that are guessed from a crystal: what they take from it, what they refuse, and that they can be kept."""

from pathlib import Path

import pytest
from aiida import orm
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.structures.files import read_structure
from aiida_lpsgb.structures.guess import guess
from aiida_lpsgb.workflows.from_structure import (
    StudyPlan,
    crystal_node,
    is_quick,
    label_of,
    label_overrides,
    study_from_structure,
)

CRYSTALS = Path(__file__).parents[2] / "examples" / "data"
PLACES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
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


def plan(name, **given):
    path = CRYSTALS / f"{name}.cif"
    material = guess(read_structure(path, oxidation_states=True), **given.pop("known", {}))
    return StudyPlan.of(path, material, **given)


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


def test_systems_are_named_by_their_indices():
    made = plan(
        "li6ps5cl", boundaries=["001/-250", "0,0,1/1,-2,0"], twists=["001", "001@36.9"], interfaces=["100"], glass=True
    )
    assert list(made.systems) == [
        *("crystal", "tilt_001_m250", "tilt_001_1m20", "twist_001", "twist_001_36p9", "glass", "interface_100"),
    ]
    assert made.systems["twist_001_36p9"]["angle"] == 36.9
    assert made.systems["glass"]["amorphous"] == {"centre": "P", "unit": "PS4", "cutoffs": {"P-S": 2.54}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"boundaries": ["120"]}, "give axis/plane, such as 001/120"),
        ({"boundaries": ["001/12"]}, "'12' is not three integers"),
        ({"twists": ["001@x"]}, "'x' is not an angle in degrees"),
        ({"twists": ["001"], "pseudo_cubic": True}, "given by its Σ, such as 001@5"),
    ],
)
def test_what_is_no_boundary(request_, message):
    with pytest.raises(ValueError, match=message):
        plan("li6ps5cl", **request_)


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


def test_a_disordered_structure_without_a_file_keeps_its_occupancies(codes):
    structure = Structure(
        Lattice.cubic(5.0), [{"Li+": 0.5}, {"Li+": 0.5}, "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]
    )
    node = crystal_node(structure)
    assert isinstance(node, orm.StructureData)
    assert node.has_vacancies


def test_mixed_valence_is_asked():
    half = Structure(Lattice.cubic(6.0), [{"Li": 0.5}, "Fe", "P", *4 * "O"], PLACES)
    with pytest.raises(ValueError, match=r"mixed valence: Fe .* give one charge for each element"):
        StudyPlan.of("half.cif", guess(half))
    charges = {"Li": 1, "Fe": 2.5, "P": 5, "O": -2}
    assert StudyPlan.of("half.cif", guess(half, charges=charges)).overrides["ordering"]["charges"] == charges


def test_full_order_needs_no_charges():
    full = Structure(Lattice.cubic(6.0), ["Li", "Fe", "Fe", *4 * "O"], PLACES)
    assert guess(full).charges.value is None
    assert StudyPlan.of("full.cif", guess(full)).overrides["mobile"] == {"species": "Li", "charge": 1.0}


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


def test_dynamics_of_dft_are_a_choice(aiida_code_installed, codes):
    assert is_quick(codes["label"])
    assert not is_quick(aiida_code_installed(default_calc_job_plugin="vasp.vasp", filepath_executable="/bin/true"))
    assert not is_quick(None)


@pytest.mark.parametrize(
    ("label", "level"),
    [("sevennet+d3", "SevenNet-0 + D3"), ("SevenNet-0", "SevenNet-0"), ("CHGNet", "CHGNet"), ("ase:chgnet", "CHGNet")],
)
def test_labels(label, level):
    assert label_overrides(label) == ("ase", {"label": {"engine": {"level": level}}})


@pytest.mark.parametrize(
    ("levels", "label"),
    [
        (["CHGNet"], "CHGNet"),
        (["SevenNet-0 + d3zero(PBE)"], "SevenNet-0 + D3"),
        (["PBE"], None),
        (["CHGNet", "PBE"], None),
    ],
)
def test_labels_go_on_with_the_level_of_those_that_are_there(generate_configurations, levels, label):
    assert label_of([generate_configurations(level_of_theory=level) for level in levels]) == label


@pytest.mark.parametrize("label", ["mace", "ase:mace"])
def test_unknown_labels_are_refused_with_those_there_are(label):
    with pytest.raises(ValueError, match="SevenNet-0"):
        label_overrides(label)


def test_a_plan_is_kept(codes, tmp_path, monkeypatch):
    (tmp_path / "na3ps4.cif").write_text((CRYSTALS / "na3ps4.cif").read_text())
    monkeypatch.chdir(tmp_path)
    material = guess(read_structure("na3ps4.cif", oxidation_states=True))
    made = StudyPlan.of("na3ps4.cif", material, boundaries=["001/120"], label="chgnet", seed=5)
    made.write("study.yaml")
    assert "crystal: na3ps4.cif\n" in Path("study.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path.parent)
    read = StudyPlan.read(tmp_path / "study.yaml")
    assert read.crystal == str(tmp_path / "na3ps4.cif")
    first, second = made.systems, read.systems
    assert first == second
    assert (read.overrides, read.seed, read.label) == (made.overrides, 5, "chgnet")
    assert read.builder(codes).label.engine.ase.parameters["calculator"] == "chgnet"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as YAML"),
        ("a: 1", "needs `crystal` and `systems`"),
        ("{crystal: a.cif, systems: {}}", "`format` is None"),
        ("{format: 1, crystal: a.cif, systems: {}, sytems: 1}", r"unknown keys \['sytems'\]"),
        (
            "{format: 1, crystal: a.cif, systems: [crystal]}",
            r"systems: expected a dictionary of recipes .*, found \['crystal'\]",
        ),
        ("{format: 1, crystal: a.cif, systems: {a: 3}}", "systems: expected a dictionary of recipes"),
        ("{format: 1, crystal: a.cif, systems: {}, overrides: fast}", "overrides: expected a dictionary"),
        ("{format: 1, crystal: a.cif, systems: {}, seed: one}", "seed: expected a whole number of at least 1"),
        ("{format: 1, crystal: [a.cif], systems: {}}", "crystal: expected a text"),
    ],
)
def test_a_file_that_is_no_plan(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        StudyPlan.read(path)


def test_one_thing_need_not_be_a_list(tmp_path):
    """A name that is typed into a saved plan is a name, not its letters."""
    path = tmp_path / "study.yaml"
    path.write_text("{format: 1, crystal: a.cif, systems: {}, potentials: 123, frames: [a.xyz, 7], species:}")
    plan = StudyPlan.read(path)
    assert (plan.potentials, plan.frames, plan.species) == (("123",), ("a.xyz", "7"), ())
