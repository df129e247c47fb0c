"""Logs written by LAMMPS itself (a Lennard-Jones crystal), and the same cut short."""

import numpy as np
import pytest

from aiida_lpsgb.parsers.lammps_log import parse_log


@pytest.fixture
def complete(data_path):
    return (data_path / "lammps" / "complete.log").read_text()


def test_complete_log(complete):
    log = parse_log(complete)
    assert log.finished
    assert log.error is None
    assert log.break_grade is None
    assert log.stage_names == {0: "min"}
    assert log.thermo["Step"].tolist() == list(range(0, 101, 10))
    assert log.thermo["Temp"][0] == pytest.approx(300.0)
    assert log.last_step == 100
    assert log.version.startswith("22 Jul 2025")


def test_minimisation_is_no_dynamics(complete):
    # The minimisation prints steps 0 and 1 with zero kinetic energy; neither may enter the averages.
    log = parse_log(complete)
    assert np.all(log.thermo["KinEng"] > 0)
    assert 1 not in log.thermo["Step"]


def test_lost_atoms(data_path):
    log = parse_log((data_path / "lammps" / "lost_atoms.log").read_text())
    assert "Lost atoms" in log.error
    assert not log.finished


def test_cut_in_the_middle_of_a_row(complete):
    cut = complete[: complete.index("        60   ") + 14]
    log = parse_log(cut)
    assert not log.finished
    assert log.last_step == 50


def test_non_finite_row(complete):
    row = next(line for line in complete.splitlines() if line.split()[:1] == ["60"])
    log = parse_log(complete.replace(row, "        60   nan " + " ".join(row.split()[2:])))
    assert log.first_non_finite_step() == 60


def test_break_by_extrapolation(complete):
    message = "ERROR: MTP extrapolation: grade 12.5 at step 40 exceeds the break threshold 10 (src/pair_mtp.cpp:1)"
    log = parse_log(complete + message)
    assert log.break_grade == 12.5


def test_empty_log():
    log = parse_log("")
    assert log.version is None
    assert log.last_step == 0
    assert log.first_non_finite_step() is None
