"""Summaries of one segment and of several, from logs that LAMMPS wrote."""

import numpy as np
import pytest

from aiida_lpsgb.calculations.md_parameters import resolve
from aiida_lpsgb.parsers.lammps_log import Phase, parse_log
from aiida_lpsgb.parsers.md_summary import (
    describe_minimisation,
    join_results,
    join_thermo,
    n_graded,
    summarise,
    thermo_arrays,
    unheld_temperature,
)

RELAX = {"name": "relax", "ensemble": "minimise", "relax_cell": "aniso"}
HOLD = {"name": "hold", "ensemble": "nvt", "duration_ps": 1.0, "temperature_K": 60}
PRODUCE = {"name": "produce", "ensemble": "npt", "duration_ps": 1.0, "temperature_K": 60, "dump_interval_ps": 0.1}
STAGED = resolve({"stages": [RELAX, HOLD, PRODUCE]})
EXTRAPOLATION = {"n_graded": 51, "n_extrapolated": 3, "n_extrapolated_left_out": 1, "max_grade": 2.5}


@pytest.fixture
def log(data_path):
    return lambda name: parse_log((data_path / "lammps" / f"{name}.log").read_text())


def minimisation(**stage):
    return resolve({"stages": [{"ensemble": "minimise", **stage}]})["stages"][0]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [(0, 1000, 11), (0, 999, 10), (0, 0, 1), (250, 1000, 8), (300, 300, 1), (310, 390, 0)],
)
def test_steps_that_were_graded(first, last, expected):
    """Counted one by one: multiples of the interval between the first and the last step of a segment."""
    parameters = {"pair_style": "mtp/extrapolation", "extrapolation": {"interval_steps": 100}, "timestep_fs": 2.0}
    assert expected == sum(step % 100 == 0 for step in range(first, last + 1))
    assert n_graded(parameters | {"thermo_interval_ps": 0.2}, first, last) == expected
    also_for_output = sum(step % 100 == 0 or step % 30 == 0 for step in range(first, last + 1))
    assert n_graded(parameters | {"thermo_interval_ps": 0.06}, first, last) == also_for_output
    assert n_graded(parameters | {"pair_style": "mlip"}, first, last) == last - first + 1
    assert n_graded({"pair_style": "mtp"}, first, last) == 0


def test_staged(log):
    results = summarise(log("staged"), STAGED, 108)
    assert (results["steps"], results["planned_steps"], results["next_stage"]) == (1000, 1000, None)
    assert [stage["name"] for stage in results["stages"]] == ["hold", "produce"]
    thermo = log("staged").thermo
    assert results["stages"][0]["temperature_K"] == pytest.approx(np.mean(thermo["Temp"][:6]))
    assert results["minimisations"][0]["converged"]
    assert results["minimised_energies_eV"] == [pytest.approx(-9.09, abs=0.05)]


@pytest.mark.parametrize(
    ("begins", "ends", "n_atoms", "n_rows", "stage", "held"),
    [
        (60, 60, 1000, 40, {}, True),
        (30, 62, 1000, 40, {}, True),  # as it begins it may be anything
        (60, 68, 1000, 40, {}, False),
        (60, 30, 1000, 40, {"ensemble": "nve"}, False),
        (60, 68, 20, 40, {}, True),  # few atoms fluctuate by a fifth
        (60, 68, 1000, 19, {}, True),
        (60, 68, 1000, 40, {"dump_interval_ps": None}, True),
        (60, 68, 1000, 40, {"temperature_K": [60, 90]}, True),
    ],
)
def test_a_temperature_that_is_not_held(begins, ends, n_atoms, n_rows, stage, held):
    half = n_rows // 2
    temperatures = np.array([20.0] * 50 + [begins] * half + [ends] * (n_rows - half))
    thermo = {"temperature_K": temperatures, "stage": np.array([1] * 50 + [2] * n_rows)}
    found = unheld_temperature(thermo, resolve({"stages": [RELAX, HOLD, PRODUCE | stage]}), n_atoms)
    assert found == (None if held else (ends, 60))


@pytest.mark.parametrize(
    ("name", "stages", "following", "why"),
    [
        ("minimised", [{**RELAX, "relax_cell": "iso"}], None, None),
        ("max_steps", [{"ensemble": "minimise"}], 0, "max iterations, the largest force component is"),
        ("max_steps_cell", [RELAX], 0, "max iterations as the cell relaxed, the pressure is off by"),
        ("walltime_minimisation", [{"ensemble": "minimise"}], 0, "walltime limit reached"),
        ("walltime_minimisation_then_dynamics", [{"ensemble": "minimise"}, HOLD], 0, "walltime limit reached"),
    ],
)
def test_minimisations(log, name, stages, following, why):
    results = summarise(log(name), resolve({"stages": stages}), 108)
    (entry,) = results["minimisations"]
    assert results["next_stage"] == following
    assert entry["converged"] == (why is None)
    assert (entry["why"] or "").startswith(why or "")
    assert len(results["minimised_energies_eV"]) == (why is None)


@pytest.mark.parametrize(
    ("criterion", "force_max", "converged"),
    [
        ("force tolerance", 1e-5, True),
        ("linesearch alpha is zero", 1e-3, True),
        ("linesearch alpha is zero", 0.3, False),
        ("max force evaluations", 1e-5, False),
        ("search direction is not downhill", 1e-5, False),
        (None, None, False),
    ],
)
def test_what_counts_as_a_minimum(criterion, force_max, converged):
    phase = Phase(criterion=criterion, energy=-1.0, force_max=force_max)
    assert describe_minimisation([phase], minimisation())["converged"] is converged


@pytest.mark.parametrize(("axes", "pressure", "converged"), [("z", 40.0, True), ("z", 60.0, False), ("x", 150.0, True)])
def test_a_cell_is_judged_by_the_pressure_that_is_left(axes, pressure, converged):
    row = {"Pxx": 20.0, "Pyy": 1e4, "Pzz": pressure}
    phases = [Phase("force tolerance", -1.0), Phase("max iterations", -1.0), Phase("force tolerance", -1.0, row=row)]
    assert describe_minimisation(phases, minimisation(relax_cell=axes))["converged"] is converged


@pytest.mark.parametrize(("tilt", "converged"), [(0.0, True), (1.5, False)])
def test_all_lengths_of_a_leaning_cell_are_relaxed_with_its_angles(tilt, converged):
    row = {"Pxx": 2.0, "Pyy": 3.0, "Pzz": 4.0, "Pxy": 0.0, "Pxz": 0.0, "Pyz": 900.0, "Xy": 0.0, "Xz": 0.0, "Yz": tilt}
    phases = [Phase("force tolerance", -1.0), Phase("max iterations", -1.0), Phase("force tolerance", -1.0, row=row)]
    assert describe_minimisation(phases, minimisation(relax_cell="aniso"))["converged"] is converged


def test_a_minimisation_that_was_never_asked_to_relax_the_cell_again_is_no_minimum():
    phases = [Phase("force tolerance", -1.0), Phase("walltime limit reached", -1.0)]
    entry = describe_minimisation(phases, minimisation(relax_cell="iso"))
    assert not entry["converged"]
    assert not entry["ended"]


def cut(thermo, keep):
    return {name: values[keep] for name, values in thermo.items()}


class TestJoin:
    @pytest.fixture
    def whole(self, log):
        return summarise(log("staged"), STAGED, 108) | EXTRAPOLATION

    @pytest.fixture
    def thermo(self, log):
        return thermo_arrays(log("staged"))

    @pytest.mark.parametrize("restart", [200, 500, 700])
    def test_same_as_undisturbed(self, whole, thermo, restart):
        """The first job went on for 200 steps behind its restart file, which the second ran again."""
        first = cut(thermo, thermo["step"] <= restart + 200)
        second = cut(
            thermo, (thermo["step"] >= restart) & ~((thermo["step"] == 500) & (restart == 500) & (thermo["stage"] == 1))
        )
        parts = [
            {**whole, "steps": restart + 200, "minimised_energies_eV": [], "next_stage": 1},
            {**whole, "first_step": restart, "minimisations": [], "minimised_energies_eV": []},
        ]
        joined = join_results(STAGED, parts, [first, second])
        assert joined["stages"] == whole["stages"]
        assert joined["minimised_energies_eV"] == whole["minimised_energies_eV"]
        assert joined["n_extrapolated"] == 6
        assert joined["n_graded"] == 102
        assert joined["n_extrapolated_left_out"] == 2
        assert joined["max_grade"] == 2.5
        assert joined["n_segments"] == 2
        assert (joined["first_step"], joined["steps"], joined["planned_steps"]) == (0, 1000, 1000)

    def test_stages_left_out_at_the_beginning(self, whole):
        parts = [{**whole, "next_stage": 0}, {**whole, "n_stages": 2, "minimisations": [], "next_stage": 1}]
        joined = join_results(STAGED, parts, [{}, {}])
        assert joined["n_stages"] == 3
        assert joined["next_stage"] == 2
        assert joined["minimisations"] == whole["minimisations"]
        assert joined["stages"] == []

    def test_grades_of_all_segments(self, whole, thermo):
        parts = [{**whole, "max_grade": grade} for grade in (None, 7.0, 3.0)]
        assert join_results(STAGED, parts, [thermo, {}, {}])["max_grade"] == 7.0

    def test_no_rows(self):
        assert join_thermo([{}, {}]) == {}
