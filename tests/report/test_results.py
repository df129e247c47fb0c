"""Results as an object: its systems by name, and in a notebook."""

import pytest

from aiida_lpsgb.report import study_results


def test_a_system_that_there_is_not(rich):
    with pytest.raises(KeyError, match="no system 'glass'; there are crystal, tilt_120"):
        study_results(rich).system("glass")


def test_in_a_notebook(rich):
    text = study_results(rich)._repr_html_()
    assert "<td>tilt_120</td>" in text
    assert "0.314" in text
