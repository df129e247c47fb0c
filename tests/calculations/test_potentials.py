"""Potentials of every kind as LAMMPS is told them."""

import io

import pytest
from aiida import orm
from ase.build import bulk

from aiida_lpsgb.calculations.md_parameters import resolve
from aiida_lpsgb.calculations.potentials import interaction, known_species, potential_error
from aiida_lpsgb.calculations.validation import md_inputs_error
from aiida_lpsgb.data.pair_style import PairStyleData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

NVT = {"ensemble": "nvt", "duration_ps": 1, "temperature_K": 300}
PARAMETERS = resolve({"stages": [NVT]})


@pytest.fixture
def of_aiida_lammps():
    """Return a factory of aiida-lammps's nodes.

    With aiida-core 2.9 they are made by `get_or_create` alone, which leaves its arguments on the class, where they hide
    the properties of every node. That is not undone here before the test ends: nothing may depend on those properties.
    """
    cls = pytest.importorskip("aiida_lammps.data.potential").LammpsPotentialData
    names = ("pair_style", "species", "atom_style", "units", "extra_tags")
    kept = {name: cls.__dict__[name] for name in names if name in cls.__dict__}

    def factory(pair_style, content, species=("Ar",), units="metal", **kwargs):
        source = io.BytesIO(content.encode())
        return cls.get_or_create(source, "given.dat", pair_style, list(species), units=units, **kwargs)

    yield factory
    for name in names:
        if name in kept:
            setattr(cls, name, kept[name])
        elif name in cls.__dict__:
            delattr(cls, name)


def test_moment_tensor_potential(generate_potential):
    node = generate_potential()
    found = interaction(node, PARAMETERS)
    assert found.pair_style.lines == ("pair_style mtp potential.mtp", "pair_coeff * *")
    assert found.pair_style.species == ("Li", "P", "S")
    assert found.files == ((node.uuid, node.filename, "potential.mtp"),)
    assert potential_error(node) is None
    assert potential_error(generate_potential(trained=False)).startswith("potential: it is untrained")


def test_pair_style():
    lines = ["pair_style born/coul/dsf 0.25 8", "pair_coeff * * 0.2 0.3 2 0 0"]
    node = PairStyleData(lines, ["Na", "Cl"], {"Na": 1, "Cl": -1})
    found = interaction(node, PARAMETERS)
    assert found.pair_style.render() == ["set type 1 charge 1", "set type 2 charge -1", *lines]
    assert found.pair_style.atom_style == "charge"
    assert potential_error(node) is None


def test_files_of_a_pair_style():
    node = PairStyleData(["pair_style eam", "pair_coeff * * Cu_u3.eam"], ["Cu"], files={"Cu_u3.eam": b"\n"})
    assert interaction(node, PARAMETERS).files == ((node.uuid, "Cu_u3.eam", "Cu_u3.eam"),)


class TestAiidaLammps:
    def test_potential_of_a_file(self, of_aiida_lammps):
        node = of_aiida_lammps("eam/alloy", "table\n", ("Ni", "Al"))
        found = interaction(node, PARAMETERS)
        assert found.pair_style.lines == ("pair_style eam/alloy", "pair_coeff * * potential.dat Ni Al")
        assert found.files == ((node.uuid, "given.dat", "potential.dat"),)

    def test_potential_of_coefficients(self, of_aiida_lammps):
        found = interaction(of_aiida_lammps("lj/cut", "0.0104\n3.4\n"), {**PARAMETERS, "pair_style_options": [8.5]})
        assert found.pair_style.lines == ("pair_style lj/cut 8.5", "pair_coeff * * 0.0104 3.4")
        assert found.files == ()

    def test_each_node_is_what_it_was_made_as(self, of_aiida_lammps):
        first = of_aiida_lammps("lj/cut", "0.0104 3.4\n")
        of_aiida_lammps("eam/alloy", "table\n", ("Ni", "Al"))
        assert known_species(first) == ["Ar"]
        assert interaction(first, PARAMETERS).pair_style.lines[0] == "pair_style lj/cut"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [({"units": "real"}, "its units are 'real'"), ({"atom_style": "charge"}, "its atom_style is 'charge'")],
    )
    def test_other_units_and_atoms_are_refused(self, of_aiida_lammps, changes, message):
        assert message in potential_error(of_aiida_lammps("tersoff", "table\n", ("Si",), **changes))


@pytest.mark.parametrize("key", ["pair_style", "extrapolation"])
def test_only_a_moment_tensor_potential_is_graded(key):
    node = PairStyleData("pair_style lj/cut 8\npair_coeff * * 0.0104 3.4", ["Ar"])
    assert f"['{key}'] have no meaning" in potential_error(node, {key: "mtp"})


def test_options_are_those_of_aiida_lammps(generate_potential):
    assert "['pair_style_options'] have no meaning" in potential_error(
        generate_potential(), {"pair_style_options": [1]}
    )


def test_species_of_every_kind_are_checked(of_aiida_lammps, generate_potential):
    structure = orm.StructureData(ase=bulk("Cu"))
    nodes = [
        generate_potential(),
        PairStyleData("pair_style lj/cut 8\npair_coeff * * 0.0104 3.4", ["Ar"]),
        of_aiida_lammps("lj/cut", "0.0104 3.4"),
    ]
    for node in nodes:
        assert "and not ['Cu'], which the structure contains" in md_inputs_error(structure, node)
