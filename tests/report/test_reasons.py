"""What is to blame for an order that is not supported."""

import pytest

from aiida_lpsgb.analysis.comparison import Known, Structure, order
from aiida_lpsgb.report.reasons import Evidence, reason


def structures(crystal, tilt, quantity="disorder"):
    known = {"crystal": crystal, "tilt_120": tilt}
    return {name: Structure(name.partition("_")[0], {quantity: entry}) for name, entry in known.items()}


def told(found, potentials=None, conventions=None, quantity="disorder", claim="crystal < tilt"):
    (step,) = order(found, quantity, claim)
    return step.verdict, reason(step, Evidence(found, potentials or {}, conventions or {}))


def test_nothing_is_to_blame_where_a_step_is_supported():
    assert told(structures(Known.of(1.0, 0.01), Known.of(2.0, 0.01))) == ("supported", "")


@pytest.mark.parametrize(
    ("errors", "cause"),
    [((0.3, 0.3, 0.3), "statistics"), ((0.01, 0.01, 0.01), "potentials"), ((0.3, None, 0.3), "statistics")],
)
def test_an_open_step_is_blamed_on_the_larger_part_of_the_largest_error(errors, cause):
    """The crystal's potentials scatter by 0.15; it is known worst, whatever the tilt's do."""
    by_potential = {
        "crystal": dict(zip(("p1", "p2", "p3"), zip((0.95, 1.1, 1.25), errors, strict=True), strict=True)),
        "tilt_120": {"p1": (0.5, 0.0), "p2": (1.9, 0.0), "p3": (1.2, 0.0)},
    }
    verdict, text = told(structures(Known.of(1.1, 0.2), Known.of(1.2, 0.05)), by_potential)
    assert (verdict, text) == ("open", f"{cause}: crystal is 1.10 ± 0.20")


def test_a_limit_and_a_factor_are_said():
    limit = Known(limit=1e-6, positive=True)
    known = Known(1e-8, 1e-10, 1e-6, positive=True)
    assert told(structures(limit, known))[1] == "statistics: crystal has only an upper limit"
    assert told(structures(Known.of(1e-8, 1e-9, positive=True), known))[1] == (
        "statistics: tilt_120 is known within a factor of 100"
    )
    assert told(structures(Known.of(1.0), Known.of(1.01, 0.4)))[1] == "statistics: tilt_120 is 1.01 ± 0.40"


def test_of_a_contradicted_step_the_potentials_that_would_have_it_are_named():
    found = structures(Known.of(2.0, 0.1), Known.of(1.0, 0.1))
    differ = {
        "crystal": {"p1": (2.0, 0.1), "p2": (2.2, 0.1), "p3": (1.1, 0.1)},
        "tilt_120": {"p1": (0.5, 0.1), "p2": (0.9, 0.1), "p3": (1.4, 0.1)},
    }
    assert told(found, differ) == ("contradicted", "potentials: p3 of 3 would have it so")
    alike = {"crystal": differ["crystal"] | {"p3": (1.5, 0.1)}, "tilt_120": differ["tilt_120"]}
    assert told(found, alike)[1] == "by all 3 potentials alike"
    assert told(found, {"crystal": {"p1": (2.0, 0.1)}, "tilt_120": {"p1": (1.0, 0.1)}})[1].startswith(
        "not for want of statistics: crystal, tilt_120"
    )
    assert told(found, differ, claim="crystal ~ tilt")[1].startswith("not for want of statistics")


def test_a_convention_by_which_a_step_is_supported_is_named():
    found = structures(Known.of(1.0, 0.2), Known.of(1.1, 0.2))
    others = {
        "rips, diameter": structures(Known.of(1.0, 0.01), Known.of(1.5, 0.01)),
        "alpha, radius": structures(Known.of(1.5, 0.01), Known.of(1.0, 0.01)),
    }
    assert told(found, conventions=others)[1].endswith("; convention: by rips, diameter 100%")
