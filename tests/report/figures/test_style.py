"""The house style, and the files."""

import matplotlib as mpl
import numpy as np

from aiida_lpsgb.report import figures
from aiida_lpsgb.report.figures.style import log_bars


def test_files_are_reproducible_and_settings_are_left_alone(tmp_path):
    before = dict(mpl.rcParams)
    for name in ("a", "b"):
        figures.save(figures.disorder({"Li": (np.ones(3), np.arange(4.0))}, means={"Li": 1.5}), tmp_path / name)
    assert dict(mpl.rcParams) == before
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_bars_on_a_logarithmic_axis_are_symmetric_there_and_never_reach_zero():
    below, above = log_bars(np.array([1e-6, 1e-6]), np.array([1e-7, 3e-6]))
    np.testing.assert_allclose((1e-6 + above) / 1e-6, 1e-6 / (1e-6 - below))
    assert np.all(below < 1e-6)
