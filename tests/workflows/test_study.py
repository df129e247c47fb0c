"""What `lpsgb.study` refuses before anything is submitted."""

import pytest
from aiida import orm

from aiida_lpsgb.workflows.study import validate_inputs

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

BOUNDARY = {"axis": [0, 0, 1], "plane": [1, 2, 0]}


@pytest.fixture
def inputs():
    """Return the inputs that the validator looks at."""
    return {
        "potential": orm.Dict({"species": ["Li", "P", "S"]}),
        "arrhenius": {
            "diffusivity_parameters": orm.Dict({"species": "Li"}),
            "speciation_parameters": orm.Dict({"centre": "P", "ligand": "S"}),
            "max_concurrent": orm.Int(2),
        },
        "boundary": orm.Dict(BOUNDARY),
        "grain_boundary": {"boundary": orm.Dict(BOUNDARY)},
        "regions": orm.Dict({"species": "Li"}),
        "structural_run": orm.Dict({"stages": []}),
        "characterise": {
            "disorder": orm.Dict({"species": "Li", "neighbours": ["P"]}),
            "topology": {"alpha": orm.Dict({"species": "Li"})},
        },
    }


def test_good_inputs(inputs):
    assert validate_inputs(inputs, None) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("boundary", "boundary: `boundary`"),
        ("grain_boundary", "boundary: `boundary`"),
        ("structural_run", "structural_run: `structural_run` and `characterise` go together"),
        ("characterise", "structural_run: `structural_run` and `characterise` go together"),
    ],
)
def test_one_half_alone(inputs, name, message):
    del inputs[name]
    assert validate_inputs(inputs, None).startswith(message)


def test_boundary_without_a_plane(inputs):
    inputs["boundary"] = orm.Dict({"axis": [0, 0, 1]})
    assert validate_inputs(inputs, None) == "boundary: parameters: plane must be given"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ports: ports["arrhenius"].update(diffusivity_parameters=orm.Dict({"species": "Na"})), "Na"),
        (lambda ports: ports.update(regions=orm.Dict({"species": "K"})), "regions: the study has no K"),
        (
            lambda ports: ports["characterise"].update(disorder=orm.Dict({"species": "Li", "neighbours": ["Si"]})),
            "characterise.disorder: the study has no Si; `potential` names Li, P, S",
        ),
        (
            lambda ports: ports["characterise"]["topology"].update(rips=orm.Dict({"species": "Ag"})),
            "characterise.topology.rips: the study has no Ag",
        ),
    ],
)
def test_species_that_the_study_does_not_have(inputs, change, message):
    change(inputs)
    assert message in validate_inputs(inputs, None)
