"""Parameters of `lpsgb.md`."""

import pytest

from aiida_lpsgb.calculations.md_parameters import (
    extension_error,
    parameters_error,
    planned_steps,
    resolve,
    trajectory_error,
)

NVT = {"ensemble": "nvt", "duration_ps": 4, "temperature_K": 600}
STAGES = [
    {"name": "relax", "ensemble": "minimise"},
    {"name": "heat", "ensemble": "npt", "duration_ps": 2, "temperature_K": [300, 600]},
    {**NVT, "name": "produce", "dump_interval_ps": 0.1},
]
EXTRAPOLATION = {"gamma_select": 2.0, "gamma_break": 10.0}
GRADED = {"pair_style": "mtp/extrapolation"}


def error(**changes):
    return parameters_error({"stages": STAGES, **changes})


def stage(**changes):
    return error(stages=[{key: value for key, value in {**NVT, **changes}.items() if value != "absent"}])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {**GRADED, "extrapolation": EXTRAPOLATION},
        {
            **GRADED,
            "extrapolation": {**EXTRAPOLATION, "grade": "neighborhood", "spacing_ps": 1, "max_configurations": 5},
        },
        {"restart_interval_ps": None},
        {"pair_style": "mtp/gpu", "precision": "mixed"},
        {"stages": [{"ensemble": "minimise", "relax_cell": "z", "max_steps": 5, "pressure_tolerance_bar": 10}]},
        {"stages": [{**NVT, "temperature_K": [300, 600], "pressure_bar": -10}]},
    ],
)
def test_good(changes):
    assert error(**changes) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestep": 2}, "unknown keys ['timestep']; `timestep` may be meant as `timestep_fs`"),
        ({"stages": []}, "at least one stage"),
        ({"stages": ["nvt"]}, "a stage is a dictionary"),
        ({"pair_style": "lj/cut"}, "`pair_style`"),
        ({"timestep_fs": -1}, "`timestep_fs` must be positive"),
        ({"timestep_fs": 200}, "`timestep_fs` is 200: no atom is followed by steps above 20 fs"),
        ({"timestep_fs": "2"}, "`timestep_fs` must be positive"),
        ({"restart_interval_ps": 0}, "`restart_interval_ps` must be positive"),
        ({"barostat": "cubic"}, "`barostat`"),
        ({"stages": [STAGES[2], STAGES[2]]}, "only one stage may set `dump_interval_ps`"),
        ({"extrapolation": EXTRAPOLATION}, "no effect with pair_style mtp"),
        ({"pair_style": "mtp/gpu", "extrapolation": EXTRAPOLATION}, "no effect with pair_style mtp/gpu"),
        ({"pair_style": "mtp/extrapolation/gpu"}, "needs `extrapolation`"),
        ({"pair_style": "mtp/gpu", "precision": "single"}, "`precision` is 'single'; choose one of double, mixed"),
        ({"precision": "mixed"}, "no effect with pair_style mtp, which is in double; use mtp/gpu or"),
        (GRADED, "needs `extrapolation`"),
        ({**GRADED, "extrapolation": {"gamma_select": 5, "gamma_break": 2}}, "is below"),
        ({**GRADED, "extrapolation": {"gamma_select": 2}}, "both"),
        ({**GRADED, "extrapolation": {"gamma_select": 0.5, "gamma_break": 2}}, "at least 1"),
        ({**GRADED, "extrapolation": {"gamma_select": "2", "gamma_break": 3}}, "must be a number"),
        ({**GRADED, "extrapolation": {**EXTRAPOLATION, "grade": "atoms"}}, "`grade` is 'atoms'"),
        ({**GRADED, "extrapolation": {**EXTRAPOLATION, "every": 5}}, "unknown keys ['every']"),
        ({**GRADED, "extrapolation": {**EXTRAPOLATION, "max_configurations": 0}}, "`max_configurations`"),
        ({**GRADED, "extrapolation": {**EXTRAPOLATION, "spacing_ps": 0}}, "`spacing_ps`"),
    ],
)
def test_bad(changes, message):
    assert message in error(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ensemble": "nph"}, "`ensemble` is 'nph' (for constant pressure take npt"),
        ({"ensemble": "minimize"}, "(minimise)"),
        ({"ensemble": "absent"}, "`ensemble` is None"),
        ({"duration": 4, "duration_ps": "absent"}, "`duration` may be meant as `duration_ps`"),
        ({"duration_ps": 0}, "`duration_ps` must be positive"),
        ({"duration_ps": "4"}, "`duration_ps` must be positive"),
        ({"duration_ps": 0.0005}, "shorter than a step of 2 fs"),
        ({"temperature_K": "absent"}, "`temperature_K` is missing"),
        ({"temperature_K": "target"}, "must be a number, or [start, end]"),
        ({"temperature_K": [300]}, "must be a number, or [start, end]"),
        ({"temperature_K": [300, 400, 500]}, "must be a number, or [start, end]"),
        ({"temperature_K": 0}, "above 0 K"),
        ({"temperature_K": [300, -5]}, "above 0 K"),
        ({"temperature_K": float("nan")}, "must be a number"),
        ({"pressure_bar": None}, "`pressure_bar` must be a number"),
        ({"dump_interval_ps": -1}, "`dump_interval_ps` must be positive"),
        ({"dump_interval_ps": 5}, "is longer than the stage"),
        ({"relax_cell": "z"}, "`relax_cell` is for `minimise`"),
        ({"max_steps": 5}, "unknown keys ['max_steps']"),
    ],
)
def test_bad_stage(changes, message):
    assert message in stage(**changes)
    assert stage(**changes).startswith("stage 0: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_ps": 1}, "['duration_ps'] have no meaning in a minimisation"),
        ({"dump_interval_ps": 1}, "['dump_interval_ps'] have no meaning"),
        ({"relax_cell": "xy"}, "`relax_cell` is 'xy'"),
        ({"max_steps": 0}, "`max_steps` must be an integer"),
        ({"maxsteps": 5}, "`maxsteps` may be meant as `max_steps`"),
        ({"force_tolerance_eV_A": 0}, "`force_tolerance_eV_A` must be positive"),
    ],
)
def test_bad_minimisation(changes, message):
    assert message in error(stages=[{"ensemble": "minimise", **changes}])


def test_steps():
    assert planned_steps(resolve({"stages": STAGES})) == 3000
    assert planned_steps(resolve({"stages": STAGES, "timestep_fs": 1.0})) == 6000


def test_a_run_without_a_dump_leaves_nothing_to_use():
    assert trajectory_error({"stages": STAGES}) is None
    assert "no stage sets `dump_interval_ps` (relax, heat)" in trajectory_error({"stages": STAGES[:2]})


class TestExtension:
    def error(self, last=None, **changes):
        stages = [*STAGES[:2], {**STAGES[2], **(last or {})}]
        return extension_error({"stages": STAGES}, {"stages": stages, **changes})

    @pytest.mark.parametrize(
        ("last", "changes"),
        [({}, {}), ({"duration_ps": 5}, {}), ({}, {"restart_interval_ps": 3}), ({}, {"timestep_fs": 2})],
    )
    def test_good(self, last, changes):
        assert self.error(last, **changes) is None

    @pytest.mark.parametrize(
        ("last", "changes", "message"),
        [
            ({"duration_ps": 3}, {}, "the last stage is shorter (3 ps)"),
            ({"temperature_K": 700}, {}, "only `duration_ps` may differ"),
            ({}, {"timestep_fs": 1}, "['timestep_fs'] differ"),
            ({}, {"stages": STAGES[1:]}, "only the last stage may differ"),
            ({}, {"stages": [*STAGES, NVT]}, "only the last stage may differ"),
        ],
    )
    def test_bad(self, last, changes, message):
        assert message in self.error(last, **changes)

    def test_a_ramp_cannot_be_extended(self):
        longer = [STAGES[0], {**STAGES[1], "duration_ps": 3}]
        assert "a ramp (300 to 600 K) cannot be extended" in extension_error({"stages": STAGES[:2]}, {"stages": longer})
