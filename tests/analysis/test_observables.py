"""The registry: every declaration is whole, and what is asked for wrongly is refused with its path."""

import inspect

import numpy as np
import pytest

from aiida_lpsgb.analysis import density, diffusion, disorder, elements, rdf, region_diffusion, speciation, topology
from aiida_lpsgb.analysis.observables import REQUIRED, Context, Outcome, parameters_error, regions_of, registry
from aiida_lpsgb.analysis.regions import Box, Slab
from aiida_lpsgb.report.characterisation import DRAWINGS, caption

FUNCTIONS = {
    "rdf": rdf.radial_distributions,
    "speciation": speciation.speciation,
    "density": density.density_map,
    "elements": elements.element_msd,
    "disorder": disorder.disorder,
    "topology": topology.persistence,
    "diffusivity": diffusion.diffusivity,
    "regions": region_diffusion.region_diffusivity,
}
SLAB = {"axis": 2, "centres": [0.5], "thickness_A": 9.0}


def test_the_registry_knows_the_observables_in_order():
    assert list(registry()) == [
        *("rdf", "speciation", "density", "elements", "disorder", "topology", "diffusivity", "regions"),
    ]
    assert set(DRAWINGS) == set(registry())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_described_and_its_default_accepted(name):
    observable = registry()[name]
    for parameter in observable.parameters.values():
        assert parameter.help
        assert parameter.default is REQUIRED or parameter.error(parameter.default) is None or parameter.default == []
    # Nothing of the function is left out but what is not a user's choice.
    keywords = set(inspect.signature(FUNCTIONS[name]).parameters)
    assert keywords - set(observable.parameters) <= {"trajectory", "workers", "regions", "energy_eV"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_headline_rows_and_captions(name, tetrahedra):
    observable = registry()[name]
    given = {
        "speciation": {"centre": "P", "ligand": "S", "cutoff_A": 2.5},
        "density": {"species": "Li", "voxel_A": 1.0, "region": "middle", "beside": ["P", "S"]},
        "rdf": {"pairs": ["P-S", "Li-P"], "region": "middle"},
    }.get(name, {"species": "Li"})
    assert observable.error(given, ["middle"], ["Li", "P", "S"]) is None
    context = Context(regions_of({"middle": SLAB}), 600.0)
    options = observable.options(given)
    found = observable.compute(tetrahedra(), options, context)
    for label, outcome in found.items() if isinstance(found, dict) else [("", found)]:
        assert isinstance(outcome, Outcome)
        numbers = options | outcome.scalars
        assert set(observable.headline) <= set(numbers)
        rows = observable.rows({key: numbers[key] for key in observable.headline}, label)
        assert rows
        assert all(row.value is None or np.isfinite(row.value) for row in rows)
        figures = DRAWINGS[name](Outcome(numbers, outcome.arrays), {})
        assert all(caption(f"{name}_{part}" if part else name).endswith(".") for part in figures)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rfd": {}}, "parameters.rfd: there is no such observable; `rfd` may be meant as `rdf`; there are rdf"),
        ({"rdf": 3}, "parameters.rdf: expected a dictionary of parameters, found 3"),
        ({"rdf": {"bins": 3}}, "parameters.rdf.bins: there is no such parameter; `bins` may be meant as `bin_A`"),
        ({"rdf": {"every": 0.5}}, "parameters.rdf.every: is 0.5, expected an integer of at least 1"),
        ({"rdf": {"every": True}}, "parameters.rdf.every: is True"),
        ({"rdf": {"pairs": ["LiS"]}}, "parameters.rdf.pairs: is ['LiS'], expected a list of pairs"),
        ({"rdf": {"pairs": ["Li-Cl"]}}, "parameters.rdf.pairs: no Cl in the trajectory, which has Li, P, S"),
        ({"rdf": {"region": "edge"}}, "parameters.rdf.region: there is no region 'edge'; there are middle"),
        ({"density": {}}, "parameters.density.species: is missing; give a chemical symbol"),
        ({"density": {"species": "Xy"}}, "parameters.density.species: is 'Xy', expected a chemical symbol"),
        ({"topology": {"a": {"species": "Li", "scale": "area"}}}, "parameters.topology.a.scale: is 'area', expected"),
        ({"topology": {"a b": {"species": "Li"}}}, "parameters.topology.a b: a name is letters and digits"),
        ({"topology": ["a"]}, "parameters.topology: expected a dictionary of variants by name"),
        ({"diffusivity": {"species": "Li", "window_ps": [4, 2]}}, "parameters.diffusivity.window_ps: is [4, 2]"),
        ({"diffusivity": {"species": "Li", "charge": 0}}, "parameters.diffusivity.charge: is 0"),
        ({"regions": {"species": "Li", "names": ["edge"]}}, "parameters.regions.names: there is no region 'edge'"),
        ({"regions": {"species": "Li", "estimators": ["best"]}}, "parameters.regions.estimators: is ['best']"),
        ({"speciation": {"centre": "P", "ligand": "S", "cutoff_A": 2, "bonds_A": {"P-P": -1}}}, "bonds_A: is {'P-P'"),
        ({"rdf": None, "topology": {"a": None}}, "parameters: nothing is asked for"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_with_its_path(parameters, message):
    found = parameters_error(parameters, {"middle": SLAB}, ["Li", "P", "S"])
    assert found is not None
    assert message in found


def test_regions_are_named_and_defined():
    regions = regions_of({"boundary": SLAB, "core_1": {"low": [0, 0, 0], "high": [1, 0.5, 0.5]}})
    assert regions == {"boundary": Slab(2, (0.5,), 9.0), "core_1": Box((0, 0, 0), (1, 0.5, 0.5))}
    for bad, message in (
        ({"a__b": SLAB}, "regions.a__b: a name is letters"),
        ({"a": {"axis": 2}}, "regions.a: a region is axis, centres"),
        ({"a": SLAB | {"thickness_A": -1}}, "regions.a: a slab needs a positive thickness_A"),
        ({"a": None}, "regions.a: "),
    ):
        assert message in parameters_error({"rdf": {}}, bad)
    assert parameters_error({"regions": {"species": "Li"}}, {}) == (
        "parameters.regions: needs named regions; give some in `regions`, or null here"
    )
    # Before regions and trajectory are known, what they hold is not looked at.
    assert parameters_error({"regions": {"species": "Li"}, "rdf": {"region": "edge"}}) is None
