"""The file of configurations gives back exactly what was written."""

import io
import zipfile

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_lpsgb.labelling import container
from aiida_lpsgb.mtp.configurations import labels as labels_of


def store(images):
    handle = io.BytesIO()
    summary = container.write(handle, images)
    return handle, summary


def labelled(seed=0, size=5):
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        rng.choice(["Li", "P", "S"], size),
        positions=rng.normal(size=(size, 3)) * 3,
        cell=np.eye(3) * 9 + rng.normal(size=(3, 3)) * 0.1,
        pbc=[True, True, seed % 2 == 0],
        info={
            "mv_grade": float(rng.uniform()),
            "temperature_K": 300,
            "source": 'a "quoted" ë',
            "features": {"a": "b c"},
        },
    )
    atoms.calc = SinglePointCalculator(
        atoms, energy=rng.normal(), forces=rng.normal(size=(size, 3)), stress=rng.normal(size=6)
    )
    return atoms


def assert_same(a, b):
    assert np.array_equal(a.numbers, b.numbers)
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.cell.array, b.cell.array)
    assert np.array_equal(a.pbc, b.pbc)
    assert a.info == b.info
    left, right = labels_of(a), labels_of(b)
    assert left.keys() == right.keys()
    for name in left:
        assert np.array_equal(left[name], right[name])


def test_round_trip_is_exact():
    images = [labelled(seed, size=2 + seed % 7) for seed in range(150)]
    images[3] = container.with_labels(images[3])
    images[4] = container.with_labels(images[4], energy=1.25)
    images[5].set_array("nbh_grades", np.linspace(0, 1, len(images[5])))
    images[6].set_array("names", np.array(["a", "bcd"] + ["e"] * (len(images[6]) - 2)))
    handle, summary = store(iter(images))
    reader = container.Reader(handle)
    assert len(reader) == summary["count"] == 150
    for image, back in zip(images, reader, strict=True):
        assert_same(image, back)
        assert image.arrays.keys() == back.arrays.keys()
        for name in image.arrays:
            assert np.array_equal(image.arrays[name], back.arrays[name])
    assert_same(images[-1], reader[-1])
    assert_same(images[77], reader[77])


def test_equal_images_give_equal_bytes():
    first, second = (store([labelled(1), labelled(2)])[0].getvalue() for _ in range(2))
    assert first == second
    images = [labelled(1), labelled(2)]
    images[1].info = dict(reversed(images[1].info.items()))
    assert store(images)[0].getvalue() == first


def test_bytes_do_not_depend_on_the_reading():
    handle, _ = store([labelled(1), labelled(2)])
    again, _ = store(container.Reader(handle))
    assert handle.getvalue() == again.getvalue()


def test_numpy_opens_the_file():
    image = labelled(1)
    handle, _ = store([image])
    handle.seek(0)
    arrays = np.load(handle)
    assert np.array_equal(arrays["positions"], image.positions)
    assert arrays["energies"][0] == image.get_potential_energy()


def test_summary():
    first, second = labelled(1, size=4), container.with_labels(labelled(2, size=8))
    _, summary = store([first, second])
    assert summary["n_atoms"] == 12
    assert (summary["n_atoms_min"], summary["n_atoms_max"]) == (4, 8)
    assert summary["n_labelled"] == 1
    assert not summary["labelled"]
    assert not summary["has_stress"]
    assert summary["energy_min_ev_atom"] == pytest.approx(first.get_potential_energy() / 4)
    assert summary["max_grade"] == max(first.info["mv_grade"], second.info["mv_grade"])
    assert summary["force_max_ev_angstrom"] == pytest.approx(np.linalg.norm(first.get_forces(), axis=1).max())
    assert summary["formulae"] == sorted({a.get_chemical_formula("hill") for a in (first, second)})


def test_stale_labels_are_not_stored():
    atoms = labelled(1)
    atoms.positions[0] += 0.1
    assert labels_of(atoms) == {}
    live = bulk("Cu")
    live.calc = EMT()
    assert labels_of(live) == {}
    energy = live.get_potential_energy()
    assert labels_of(live)["energy"] == energy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    infos=st.lists(st.dictionaries(st.text(), JSON, max_size=4), min_size=1, max_size=4),
    numbers=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4),
    data=st.data(),
)
def test_anything_finite_round_trips(infos, numbers, data):
    images = []
    for info in infos:
        info.pop("mv_grade", None)
        size = data.draw(st.integers(1, 4))
        values = np.resize(numbers, (size, 3))
        atoms = Atoms(["Li"] * size, positions=values, info=info)
        labels = {"energy": numbers[0], "forces": -values, "stress": np.resize(numbers, 6)}
        images.append(container.with_labels(atoms, **{k: v for k, v in labels.items() if data.draw(st.booleans())}))
    handle, _ = store(images)
    for image, back in zip(images, container.Reader(handle), strict=True):
        assert_same(image, back)


def test_info_that_json_cannot_hold_is_left_out():
    atoms = bulk("Cu")
    atoms.info = {"good": np.float64(1.5), "array": np.arange(3), "bad": object(), 3: "x"}
    handle, _ = store([atoms])
    assert container.Reader(handle)[0].info == {"good": 1.5, "array": [0, 1, 2]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.positions.__setitem__((0, 0), np.nan), "configuration 1: non-finite positions"),
        (lambda a: a.set_cell(np.diag([1, np.inf, 1])), "configuration 1: non-finite cell vectors"),
        (lambda a: a.set_cell(np.zeros((3, 3))), "configuration 1 is periodic and its cell has no volume"),
        (lambda a: a.calc.results["forces"].__setitem__((0, 0), np.nan), "configuration 1: non-finite forces"),
        (lambda a: a.calc.results.update(energy=np.inf), "configuration 1: non-finite energy"),
        (lambda a: a.calc.results.update(forces=np.zeros((1, 3))), "configuration 1: forces of shape"),
        (lambda a: a.info.update(mv_grade=np.nan), "mv_grade"),
        (lambda a: a.numbers.__setitem__(0, 0), "no element"),
        (lambda a: a.__delitem__(slice(None)), "configuration 1 has no atoms"),
    ],
)
def test_bad_images_are_refused(change, message):
    bad = labelled(2)
    change(bad)
    with pytest.raises(container.ContainerError, match=message.replace("[", r"\[").replace("]", r"\]")):
        store([labelled(1), bad])


def test_arrays_must_be_alike():
    first, second = labelled(1), labelled(2)
    first.set_array("mark", np.zeros(5))
    second.set_array("mark", np.zeros((5, 2)))
    with pytest.raises(container.ContainerError, match="array 'mark' differs in type or shape"):
        store([first, second])
    first.set_array("mark", None)
    first.set_array("things", np.array([object()] * 5))
    with pytest.raises(container.ContainerError, match="array 'things' is of type object"):
        store([first])


def test_no_images_are_refused():
    with pytest.raises(container.ContainerError, match="there are no configurations"):
        store([])


def test_truncated_or_foreign_files_are_refused():
    content = store([labelled(1), labelled(2)])[0].getvalue()
    for bad in (content[: len(content) // 2], b"", b"BEGIN_CFG\n", content[100:]):
        with pytest.raises(container.ContainerError, match="not a file of configurations"):
            container.Reader(io.BytesIO(bad))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(container.ContainerError, match="not a file of configurations"):
        container.Reader(other)


def test_index_out_of_range():
    reader = container.Reader(store([labelled(1)])[0])
    with pytest.raises(IndexError, match="holds 1"):
        reader[1]
