"""Logs that LAMMPS itself wrote for argon by a Lennard-Jones potential, whole, cut, and of runs that failed."""

import numpy as np
import pytest

from aiida_lpsgb.parsers.lammps_log import MACHINE, NON_FINITE, UNSTABLE, parse_log


@pytest.fixture
def read(data_path):
    return lambda name: (data_path / "lammps" / f"{name}.log").read_text()


def test_complete_log(read):
    log = parse_log(read("staged"))
    assert log.finished
    assert not log.timed_out
    assert log.error is None
    assert log.break_grade is None
    assert log.stage_names == {0: "relax", 1: "hold", 2: "produce"}
    # Stage 1 ends at step 500, where stage 2 begins: that step has a row in both.
    assert log.thermo["Step"].tolist() == [*range(0, 501, 100), *range(500, 1001, 100)]
    assert log.stage.tolist() == [1] * 6 + [2] * 6
    assert log.thermo["Temp"][0] == pytest.approx(60.0)
    assert (log.first_step, log.last_step) == (0, 1000)
    assert log.version.startswith("22 Jul 2025")


def test_of_two_runs_in_one_log_the_last_one_counts(read):
    """As where a job was begun anew behind what it had written: the first one's end is none of the second."""
    whole = read("staged")
    cut = whole[: whole.index("       300 ")]
    log = parse_log(whole + cut)
    assert not log.finished
    assert log.last_step == 200
    assert (log.loops, len(log.minimisations[0])) == ({}, 3)
    log = parse_log(cut + "ERROR: Lost atoms: original 108 current 107 (src/thermo.cpp:494)\n" + whole)
    assert log.finished
    assert log.error is None


def test_minimisation_is_no_dynamics(read):
    log = parse_log(read("staged"))
    assert np.all(log.thermo["KinEng"] > 0)
    positions, cell, again = log.minimisations[0]
    assert [phase.criterion for phase in (positions, cell, again)] == ["force tolerance"] * 3
    assert positions.force_norm == pytest.approx(5.4906539e-4)
    assert positions.force_max == pytest.approx(8.7210626e-5)
    assert positions.energy == pytest.approx(-9.08636746356271)
    assert (positions.iterations, positions.evaluations) == (62, 62)
    assert positions.row["Pxx"] == pytest.approx(-489.4506812)
    assert abs(again.row["Pxx"]) < 1


def test_what_the_steps_took(read):
    log = parse_log(read("staged"))
    # The minimisation is no part of it.
    assert {stage: (loop.n_steps, loop.n_atoms, loop.n_processes) for stage, loop in log.loops.items()} == {
        1: (500, 108, 1),
        2: (500, 108, 1),
    }
    assert log.loops[1].seconds == pytest.approx(0.0397063)
    # Parts of a stage are added up.
    assert sum(loop.n_steps for loop in parse_log(read("walltime")).loops.values()) == 500 + 4500 + 2400
    assert parse_log(read("minimised")).loops == {}


def test_rows_of_a_run_cut_for_its_restart_files_count_once(read):
    log = parse_log(read("walltime"))
    pairs = list(zip(log.stage, log.thermo["Step"], strict=True))
    assert len(set(pairs)) == len(pairs)
    assert read("walltime").count("Loop time") > 2


@pytest.mark.parametrize("name", ["walltime", "walltime_minimisation"])
def test_wall_time(read, name):
    log = parse_log(read(name))
    assert log.finished
    assert log.timed_out


def test_minimisation_out_of_wall_time(read):
    (phase,) = parse_log(read("walltime_minimisation")).minimisations[0]
    assert phase.criterion == "walltime limit reached"
    assert phase.energy < 0


def test_minimisation_at_its_limit(read):
    (phase,) = parse_log(read("max_steps")).minimisations[0]
    assert phase.criterion == "max iterations"
    assert phase.iterations == 3


@pytest.mark.parametrize(
    ("name", "symptom", "error"),
    [
        ("lost", UNSTABLE, "Lost atoms: original 108 current 1"),
        ("blown", UNSTABLE, "Domain too large for neighbor bins"),
        (
            "exploded",
            UNSTABLE,
            "Fix halt condition for fix-id pressure_above_1e7_bar met on step 27 with value 288228944.6144261",
        ),
        ("nan", NON_FINITE, "Non-numeric atom coords - simulation unstable"),
        ("disk_full", MACHINE, "Error writing dump trajectory: No space left on device"),
        ("memory", MACHINE, "Failed to reallocate 559939584 bytes for array atom:x"),
    ],
)
def test_errors(read, name, symptom, error):
    log = parse_log(read(name))
    assert log.error == error
    assert not log.finished
    assert [bool(pattern.search(log.error)) for pattern in (UNSTABLE, NON_FINITE, MACHINE)] == [
        pattern is symptom for pattern in (UNSTABLE, NON_FINITE, MACHINE)
    ]


def test_refused_input_names_its_line(read):
    log = parse_log(read("refused"))
    assert log.error == "Invalid neighbor argument: -2"
    assert log.last_line == "neighbor -2 bin"
    assert not any(pattern.search(log.error) for pattern in (UNSTABLE, NON_FINITE, MACHINE))


def test_non_finite_rows(read):
    log = parse_log(read("nan"))
    assert log.first_non_finite_step() == 0
    assert not log.finite_rows().any()


@pytest.mark.parametrize("n_words", [3, 18, 19])
def test_cut_in_the_middle_of_a_row(read, n_words):
    text = read("staged")
    start = text.index("       300 ")
    line = text[start : text.index("\n", start)]
    # Even a row that has all its columns, but no end of line, may lack digits.
    log = parse_log(text[:start] + " ".join(line.split()[:n_words])[:-1])
    assert not log.finished
    assert log.last_step == 200


def test_break_by_extrapolation(read):
    message = "ERROR: MTP extrapolation: grade 12.5 at step 40 exceeds the break threshold 10 (src/pair_mtp.cpp:1)"
    assert parse_log(read("staged") + message).break_grade == 12.5


def test_empty_log():
    log = parse_log("")
    assert log.version is None
    assert log.last_step == 0
    assert log.first_non_finite_step() is None
