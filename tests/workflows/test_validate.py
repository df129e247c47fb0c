"""What `lpsgb.validate` refuses before anything is run."""

import pytest
from aiida import orm

from aiida_lpsgb.workflows.validate import validate_settings


@pytest.mark.parametrize("settings", [{}, {"n_frames": 0}, {"n_frames": 2.5}, {"n_frames": 3, "n_frame": 3}])
def test_a_test_needs_frames(settings):
    """It would be told only after all runs."""
    assert validate_settings(orm.Dict(settings), None).startswith(f"settings: is {settings}")


def test_a_frame_is_enough():
    assert validate_settings(orm.Dict({"n_frames": 1}), None) is None
