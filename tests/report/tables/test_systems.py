"""All systems beside each other."""

from dataclasses import replace

import pytest

from aiida_lpsgb.report import study_results, table
from aiida_lpsgb.report.tables import systems
from tests.report.conftest import D0_CM2_S, PUBLISHED


def test_runs_of_several_potentials_are_averaged(results):
    crystal = results.system("crystal")
    numbers = systems.system_numbers(crystal, 300.0, {})
    (column,) = [column for column in numbers if column.key == "diffusivity_500k_cm2_s"]
    runs = [run.motion for run in crystal.at(500.0)]
    assert len(runs) == 2
    mean = sum(run["diffusivity_cm2_s"] for run in runs) / 2
    assert numbers[column].value.value == pytest.approx(mean)
    assert mean == pytest.approx(D0_CM2_S["crystal"] * 2.718281828 ** (-0.4 / (8.617333262e-5 * 500)) * 1.075, rel=1e-6)


def test_what_is_not_known_at_the_target_says_at_which_temperature_it_is(results, lines_of):
    lines = lines_of(table(results))
    assert lines["isotropy ξ"][0].endswith("(500 K)")
    assert "(" not in lines["mean site disorder, normalised"][0]


def test_isotropy_of_a_boundary_is_that_of_its_region(results):
    tilt = results.system("tilt_120")
    runs = tuple(
        replace(
            run,
            regions={
                key: found | {"isotropy": 0.25 if key == "boundary_occupancy" else 0.9}
                for key, found in run.regions.items()
            },
        )
        for run in tilt.runs
    )
    numbers = systems.system_numbers(replace(tilt, runs=runs), 300.0, {})
    (entry,) = [entry for column, entry in numbers.items() if column.key == "isotropy"]
    assert entry.value.value == pytest.approx(0.25)


def test_columns_of_systems_that_know_different_things_keep_their_order():
    assert systems.ordered([["a", "b", "d"], ["a", "c", "d", "e"]]) == ["a", "c", "b", "d", "e"]


def test_a_system_without_runs_is_not_begun(make_study):
    assert "not begun" in str(systems.comparison(study_results(make_study(temperatures=(), learning=False))))


def test_published_numbers_follow_their_own(results):
    header = systems.comparison(results, PUBLISHED).csv().splitlines()[0].split(",")
    own = header.index("activation_energy_ev")
    assert "activation_energy_ev_published" in header[own + 1 : own + 4]
