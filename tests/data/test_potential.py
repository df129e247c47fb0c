"""Potential nodes."""

import io

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed
from aiida.plugins import DataFactory

from aiida_lpsgb.data.potential import PotentialData


def test_attributes(generate_potential):
    node = generate_potential()
    assert DataFactory("lpsgb.potential") is PotentialData
    assert node.species == ["Li", "P", "S"]
    assert node.level == 2
    assert node.cutoff == 5.0
    assert node.n_parameters == node.mtp.n_parameters == 9 * 8 + 3 + 1
    assert node.trained
    assert node.training_errors == {}
    assert not generate_potential(trained=False).trained


def test_store_load_and_query(generate_potential):
    mtp = generate_potential().mtp
    node = PotentialData(mtp, ["Li", "P", "S"], training_errors={"forces_mae_ev_angstrom": 0.05}).store()
    loaded = orm.load_node(node.pk)
    assert np.array_equal(loaded.mtp.parameters, mtp.parameters)
    query = orm.QueryBuilder().append(
        PotentialData, filters={"attributes.training_errors.forces_mae_ev_angstrom": {"<": 0.06}, "id": node.pk}
    )
    assert query.count() == 1
    with pytest.raises(ModificationNotAllowed):
        loaded.base.attributes.set("level", 8)


def test_equal_content_gives_equal_hashes(generate_potential, tmp_path):
    node = generate_potential()
    path = tmp_path / "another_name_1234.mtp"
    path.write_text(node.get_content())
    from_path = PotentialData(path, ["Li", "P", "S"])
    from_string = PotentialData.from_string(node.get_content(), ("Li", "P", "S"))
    from_handle = PotentialData(io.BytesIO(node.get_content().encode()), ["Li", "P", "S"])
    hashes = {n.store().base.caching.get_hash() for n in (node, from_path, from_string, from_handle)}
    assert len(hashes) == 1
    assert PotentialData(path, ["P", "Li", "S"]).store().base.caching.get_hash() not in hashes
    assert generate_potential(seed=2).store().base.caching.get_hash() not in hashes


@pytest.mark.parametrize(
    ("species", "message"),
    [
        (["Li", "P"], "species lists 2 symbols"),
        (["Li", "P", "P"], "names a symbol twice"),
        (["Li", "P", "Xx"], "not chemical symbols"),
        ([], "species is empty"),
        ("LiPS", "must be a list"),
    ],
)
def test_bad_species_are_refused(generate_potential, species, message):
    with pytest.raises(ValueError, match=message):
        PotentialData(generate_potential().mtp, species)


def test_truncated_and_damaged_files_are_refused(generate_potential):
    text = generate_potential().get_content()
    for bad in (text[: len(text) // 2], "", "nonsense", text.rsplit("\n", 2)[0][:-5]):
        with pytest.raises(ValueError, match="line"):
            PotentialData.from_string(bad, ["Li", "P", "S"])
    first = f"{generate_potential().mtp.moment_coefficients[0]:.15e}"
    assert first in text
    with pytest.raises(ValueError, match="finite"):
        PotentialData.from_string(text.replace(first, "nan"), ["Li", "P", "S"])


def test_training_errors_must_be_finite(generate_potential):
    with pytest.raises(ValueError, match="not finite"):
        PotentialData(generate_potential().mtp, ["Li", "P", "S"], {"energy_mae_ev_atom": np.nan})


def test_export(generate_potential, tmp_path):
    node = generate_potential()
    node.export(tmp_path / "out.mtp", fileformat="mtp")
    assert (tmp_path / "out.mtp").read_text() == node.get_content()
