"""Configuration nodes."""

import tracemalloc

import ase.io
import numpy as np
import pytest
from aiida import orm
from aiida.plugins import DataFactory
from ase.build import bulk

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.mtp.configurations import labels as labels_of


def assert_close(a, b, tolerance=0.0):
    assert a.get_chemical_symbols() == b.get_chemical_symbols()
    assert np.array_equal(a.pbc, b.pbc)
    np.testing.assert_allclose(a.positions, b.positions, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.cell.array, b.cell.array, rtol=0, atol=tolerance)
    left, right = labels_of(a), labels_of(b)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_allclose(left[name], right[name], rtol=0, atol=tolerance)


def test_attributes(generate_images):
    images = generate_images(3, mv_grade=2.5)
    node = ConfigurationsData(images, ["Li", "P", "S"], "toy")
    assert DataFactory("lpsgb.configurations") is ConfigurationsData
    assert len(node) == 3
    assert node.labelled
    assert node.species == ["Li", "P", "S"]
    assert node.elements == ["Li", "P", "S"]
    assert node.level_of_theory == "toy"
    attributes = node.base.attributes.all
    energies = [atoms.get_potential_energy() / len(atoms) for atoms in images]
    assert attributes["energy_min_ev_atom"] == min(energies)
    assert attributes["energy_max_ev_atom"] == max(energies)
    assert attributes["max_grade"] == 2.5
    assert attributes["n_atoms"] == 24
    assert node.formulae == sorted({atoms.get_chemical_formula("hill") for atoms in images})


def test_species_and_elements():
    node = ConfigurationsData([bulk("Cu")], ["Ni", "Cu"])
    assert node.species == ["Ni", "Cu"]
    assert node.elements == ["Cu"]
    with pytest.raises(ValueError, match=r"\['Cu'\], which species"):
        ConfigurationsData([bulk("Cu")], ["Ni"])


def test_images_come_back_exactly(generate_images):
    images = generate_images(5, source="md", temperature_K=300.0)
    node = orm.load_node(ConfigurationsData(images).store().pk)
    for image, back in zip(images, node, strict=True):
        assert_close(image, back)
        assert back.info == {"source": "md", "temperature_K": 300.0}
    assert_close(images[-1], node[-1])
    assert [len(atoms) for atoms in node[1:4]] == [8, 8, 8]
    with pytest.raises(IndexError, match="holds 5"):
        node[5]


def test_memory_does_not_grow_with_the_configurations():
    """What is written goes to disk, not into memory."""

    def images(count):
        for seed in range(count):
            atoms = bulk("Cu", cubic=True).repeat(4)
            atoms.rattle(0.1, seed=seed)
            atoms.set_array("velocities", atoms.positions)
            yield atoms

    peaks = []
    for count in (50, 800):
        tracemalloc.start()
        assert len(ConfigurationsData(images(count))) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3e6  # 750 of them are 9 MB


def test_equal_content_gives_equal_hashes(generate_images):
    def stored(*args, **kwargs):
        return ConfigurationsData(*args, **kwargs).store().base.caching.get_hash()

    images = generate_images(2)
    reference = stored(images)
    assert stored(iter(generate_images(2))) == reference
    assert stored(ConfigurationsData(images)) == reference
    assert stored(images[::-1]) != reference
    assert stored(images, level_of_theory="toy") != reference
    images[0].info["source"] = "elsewhere"
    assert stored(images) != reference


def test_extxyz_round_trip(generate_images, tmp_path):
    images = generate_images(3, mv_grade=1.25, source="a b", features={"by": "two words"})
    images[1].set_tags(range(8))
    node = ConfigurationsData(images)
    path = tmp_path / "images.extxyz"
    node.export(path, fileformat="extxyz")
    for image, back in zip(images, ase.io.read(path, ":"), strict=True):
        assert_close(image, back)
        assert back.info["mv_grade"] == 1.25
        assert back.info["source"] == "a b"
        assert back.info["features"] == image.info["features"]
    again = ConfigurationsData.from_extxyz(path)
    for image, back in zip(images, again, strict=True):
        assert_close(image, back)
    assert np.array_equal(again[1].get_tags(), range(8))


def test_cfg_round_trip(generate_images, tmp_path):
    images = generate_images(3, mv_grade=1.25)
    node = ConfigurationsData(images, ["S", "Li", "P"])
    path = tmp_path / "images.cfg"
    node.export(path)
    again = ConfigurationsData.from_cfg(path, ["S", "Li", "P"], "toy")
    assert again.species == ["S", "Li", "P"]
    for image, back in zip(images, again, strict=True):
        assert_close(image, back, 1e-12)
        assert back.info["mv_grade"] == 1.25
    with pytest.raises(ValueError, match="species"):
        node.get_cfg(["S", "Li"])


def test_truncated_cfg_is_refused(generate_configurations, tmp_path):
    path = tmp_path / "images.cfg"
    text = generate_configurations().get_cfg()
    path.write_text(text[: len(text) * 3 // 4])
    with pytest.raises(ValueError, match="line"):
        ConfigurationsData.from_cfg(path, ["Li", "P", "S"])


def test_structures(generate_images):
    images = generate_images(2, labelled=False)
    node = ConfigurationsData.from_structures([orm.StructureData(ase=atoms) for atoms in images])
    for image, back in zip(images, node, strict=True):
        assert_close(image, back, 1e-12)
    assert not node.labelled
    assert node.get_structure(1).get_formula() == orm.StructureData(ase=images[1]).get_formula()


def test_partial_occupancies_are_refused():
    structure = orm.StructureData(cell=np.eye(3) * 4)
    structure.append_atom(position=(0, 0, 0), symbols="Li", weights=0.7)
    with pytest.raises(ValueError, match="partial occupancies"):
        ConfigurationsData.from_structures([structure])


def test_bad_content_is_refused(generate_images):
    with pytest.raises(ValueError, match="there are no configurations"):
        ConfigurationsData([])
    with pytest.raises(ValueError, match="must be a list of configurations, not Atoms"):
        ConfigurationsData(bulk("Cu"))
    with pytest.raises(ValueError, match="configuration 0 is a str"):
        ConfigurationsData(["Cu"])
    with pytest.raises(ValueError, match="configuration 0 is a int"):
        ConfigurationsData([5])
    bad = generate_images(2)
    bad[1].calc.results["forces"][0, 0] = np.nan
    with pytest.raises(ValueError, match="configuration 1: non-finite forces"):
        ConfigurationsData(bad)
    with pytest.raises(ValueError, match="level_of_theory must be a name"):
        ConfigurationsData(generate_images(1), level_of_theory="")


def test_packed_content_is_read(generate_images):
    """`verdi storage maintain` packs files; reading with seeks must still work."""
    from aiida.manage import get_manager

    images = generate_images(70)
    node = ConfigurationsData(images).store()
    get_manager().get_profile_storage().maintain(full=False, compress=True)
    assert_close(node[65], images[65])
    assert len(list(node)) == 70
