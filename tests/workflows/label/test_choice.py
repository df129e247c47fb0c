"""What computes labels, by the words that people have for it."""

import pytest

from aiida_lpsgb.workflows.label.choice import is_quick, label_of, label_overrides


@pytest.mark.parametrize(
    ("label", "level"),
    [("sevennet+d3", "SevenNet-0 + D3"), ("SevenNet-0", "SevenNet-0"), ("CHGNet", "CHGNet"), ("ase:chgnet", "CHGNet")],
)
def test_labels(label, level):
    assert label_overrides(label) == ("ase", {"label": {"engine": {"level": level}}})


@pytest.mark.parametrize(
    ("levels", "label"),
    [
        (["CHGNet"], "CHGNet"),
        (["SevenNet-0 + d3zero(PBE)"], "SevenNet-0 + D3"),
        (["PBE"], None),
        (["CHGNet", "PBE"], None),
    ],
)
def test_labels_go_on_with_the_level_of_those_that_are_there(generate_configurations, levels, label):
    assert label_of([generate_configurations(level_of_theory=level) for level in levels]) == label


@pytest.mark.parametrize("label", ["mace", "ase:mace"])
def test_unknown_labels_are_refused_with_those_there_are(label):
    with pytest.raises(ValueError, match="SevenNet-0"):
        label_overrides(label)


def test_dynamics_of_dft_are_a_choice(aiida_code_installed):
    assert is_quick(aiida_code_installed(default_calc_job_plugin="lpsgb.label.ase", filepath_executable="/bin/true"))
    assert not is_quick(aiida_code_installed(default_calc_job_plugin="vasp.vasp", filepath_executable="/bin/true"))
    assert not is_quick(None)
