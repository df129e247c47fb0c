"""Energies of boundaries by potentials and by labels, from energies that were made up."""

import numpy as np
import pytest
from aiida import orm
from ase import Atoms

from aiida_lpsgb.calculations.functions.boundary_parity import cells_to_label, compare_boundaries, small_boundaries
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.container import with_labels

J_M2 = 16.021766  # of 1 eV/Å²
AREA_A2 = 25.0


def cell(source, n_atoms, energy):
    """Return a labelled cell of so many atoms."""
    atoms = Atoms(f"Li{n_atoms}", np.arange(3 * n_atoms).reshape(-1, 3) % 4.9, cell=[5, 5, 5 * n_atoms], pbc=True)
    atoms.info["source"] = source
    return with_labels(atoms, energy=energy, forces=np.zeros((n_atoms, 3)), stress=np.zeros((3, 3)))


def made(n_atoms):
    """Return the results of the relaxation of a boundary, two of them in its cell."""
    described = {"n_atoms": n_atoms, "total_area_A2": AREA_A2, "regions": [{}, {}]}
    return orm.Dict({"lowest": "candidate_0", "candidates": {"candidate_0": described}})


@pytest.fixture
def labelled(aiida_profile):
    """Return a function that labels the cells of two boundaries of 8 and 12 atoms: so much above 4 atoms of bulk."""

    def factory(tilt, twist, bulk=-10.0, level="PBE", only=None):
        cells = [
            cell("boundary_tilt", 8, 2 * bulk + tilt),
            cell("boundary_twist", 12, 3 * bulk + twist),
            cell("bulk_tilt", 4, bulk),
            cell("bulk_twist", 4, bulk),
        ]
        kept = [one for one in cells if only is None or one.info["source"] in only]
        return ConfigurationsData(kept, ["Li"], level)

    return factory


def test_energies_are_excesses_per_area_of_two_boundaries(labelled):
    known = {"results_tilt": made(8), "results_twist": made(12)}
    known |= {"predicted_p1": labelled(1.1, 1.8, bulk=-9.0, level=None), "predicted_p2": labelled(1.0, 2.0, level=None)}
    found = compare_boundaries(labelled(1.0, 2.0), **known)
    energies = found["energies"].get_dict()
    tilt, twist = energies["boundaries"]["tilt"], energies["boundaries"]["twist"]
    assert (tilt["n_atoms"], twist["n_atoms"]) == (8, 12)
    assert tilt["label_J_m2"] == pytest.approx(1.0 / (2 * AREA_A2) * J_M2, rel=1e-6)
    assert twist["label_J_m2"] == pytest.approx(2.0 / (2 * AREA_A2) * J_M2, rel=1e-6)
    assert tilt["potentials_J_m2"] == pytest.approx({"p1": 1.1 / 50 * J_M2, "p2": tilt["label_J_m2"]}, rel=1e-6)
    assert found["errors_p1"].get_dict() == pytest.approx(
        {
            "boundary_energy_mae_J_m2": 0.15 / 50 * J_M2,
            "boundary_energy_max_J_m2": 0.2 / 50 * J_M2,
            "n_boundaries": 2,
        },
        rel=1e-6,
    )
    assert found["errors_p2"]["boundary_energy_max_J_m2"] == pytest.approx(0.0, abs=1e-9)
    assert energies["level_of_theory"] == "PBE"


def test_a_boundary_without_a_label_is_named_and_the_other_compared(labelled):
    only = ("bulk_tilt", "bulk_twist", "boundary_twist")
    known = {"results_tilt": made(8), "results_twist": made(12), "predicted_p1": labelled(0, 1.0, only=only)}
    energies = compare_boundaries(labelled(0, 1.0, only=only), **known)["energies"]
    assert list(energies["boundaries"]) == ["twist"]
    assert energies["unlabelled"] == ["tilt"]


def test_without_any_pair_of_labels_it_is_refused(labelled):
    only = ("bulk_tilt",)
    known = {"results_tilt": made(8), "predicted_p1": labelled(0, 0, only=only)}
    _, node = compare_boundaries.run_get_node(labelled(0, 0, only=only), **known)
    assert "no boundary has labels of both" in node.exit_message


def test_the_small_cell_comes_over_what_a_boundary_is(aiida_profile):
    cells = small_boundaries(orm.Dict({"width": 6.0}), tilt=orm.Dict({"plane": [1, 2, 0], "width": 20.0}))
    assert cells["tilt"].get_dict() == {"plane": [1, 2, 0], "width": 6.0}


def test_cells_are_told_apart_by_their_names(aiida_profile):
    structure = orm.StructureData(ase=Atoms("Li", cell=[3, 3, 3], pbc=True))
    node = cells_to_label(bulk_tilt=structure, boundary_tilt=structure)
    assert [atoms.info["source"] for atoms in node] == ["boundary_tilt", "bulk_tilt"]
