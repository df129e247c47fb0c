"""Thinning out of files of extrapolated configurations."""

import numpy as np
import pytest

from aiida_lpsgb.mtp.configurations import write_cfg
from aiida_lpsgb.parsers.extrapolated import read_extrapolated

SPECIES = ["Li", "P", "S"]


@pytest.fixture
def write(generate_images, tmp_path):
    """Return a factory of files as the pair style writes them: grades, and the steps they are of."""

    def factory(grades, interval=10, with_steps=True):
        images = generate_images(len(grades), size=4, labelled=False)
        for number, (image, grade) in enumerate(zip(images, grades, strict=True)):
            image.info = {"mv_grade": grade}
            if with_steps:
                image.info["features"] = {"timestep": str(number * interval)}
        write_cfg(tmp_path / "found.cfg", images, SPECIES)
        return tmp_path / "found.cfg"

    return factory


def steps(found):
    return [int(image.info["features"]["timestep"]) for image in found.images]


def test_the_first_and_the_highest_of_each_span_are_kept(write):
    found = read_extrapolated(write([2.1, 2.5, 2.2, 2.3, 2.4, 9.0]), SPECIES, 30, 100)
    assert steps(found) == [0, 10, 50]
    assert found.n_found == 6
    assert found.max_grade == 9.0
    assert all(image.calc is None for image in found.images)


def test_spans_widen_until_few_enough_are_left(write):
    grades = 2 + np.random.default_rng(1).random(400)
    found = read_extrapolated(write(grades), SPECIES, 10, 30)
    assert 15 <= len(found.images) <= 30
    assert found.n_found == 400
    assert steps(found) == sorted(steps(found))
    assert max(image.info["mv_grade"] for image in found.images) == pytest.approx(grades.max())


@pytest.mark.parametrize(("most", "kept"), [(1, [40]), (2, [0, 40]), (3, [0, 30, 40])])
def test_of_few_the_last_to_go_is_the_highest(write, most, kept):
    """Spans of 40 steps hold the steps to 30, and 40; a span of 80 holds all."""
    assert steps(read_extrapolated(write([2.1, 2.2, 2.3, 2.5, 9.0]), SPECIES, 10, most)) == kept


def test_a_first_that_is_the_highest_is_kept_once(write):
    assert steps(read_extrapolated(write([9.0, 2.2, 2.3]), SPECIES, 100, 5)) == [0]


def test_atoms_that_fell_into_each_other_give_way_to_what_went_before(write):
    found = read_extrapolated(write([2.1, 30.0, 4.5e6]), SPECIES, 100, 10)
    assert steps(found) == [0, 10]
    assert found.n_found == 3
    assert found.max_grade == 4.5e6


def test_where_there_is_nothing_else_the_first_of_them_is_kept(write):
    assert steps(read_extrapolated(write([4.5e6, 8e9]), SPECIES, 100, 10)) == [0]


def test_without_steps_spans_are_of_configurations(write):
    assert len(read_extrapolated(write([2.0] * 10, with_steps=False), SPECIES, 5, 100).images) == 2


def test_half_a_configuration_is_left_out(write):
    path = write([2.1, 2.2, 2.3], interval=100)
    path.write_text(path.read_text()[:-60])
    found = read_extrapolated(path, SPECIES, 1, 100)
    assert steps(found) == [0, 100]
    assert found.n_found == 2


def test_numbers_that_are_not_finite_are_left_out(write):
    path = write([2.1, 2.2, 2.3], interval=100)
    path.write_text(path.read_text().replace("2.3\n", "nan\n"))
    found = read_extrapolated(path, SPECIES, 1, 100)
    assert steps(found) == [0, 100]
    assert found.n_found == 3
    assert found.max_grade == 2.2


def test_no_file(tmp_path):
    assert read_extrapolated(tmp_path / "none.cfg", SPECIES, 1, 1).images == []
