"""Nodes of crystals."""

from aiida import orm
from pymatgen.core import Lattice, Structure

from aiida_lpsgb.workflows.crystal import crystal_node


def test_a_disordered_structure_without_a_file_keeps_its_occupancies(aiida_profile):
    structure = Structure(
        Lattice.cubic(5.0), [{"Li+": 0.5}, {"Li+": 0.5}, "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]]
    )
    node = crystal_node(structure)
    assert isinstance(node, orm.StructureData)
    assert node.has_vacancies
