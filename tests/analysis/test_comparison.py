"""Rank correlations and orders against closed forms."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from aiida_lpsgb.analysis.comparison import Known, Structure, correlation, order, parse_order

KINDS = ("crystal", "tilt", "tilt", "twist", "glass")


def table(x, y=None, error=0.0, kinds=KINDS, positive=False):
    values = {"x": x} if y is None else {"x": x, "y": y}
    return {
        f"s{k}": Structure(
            kinds[k % len(kinds)],
            {name: Known.of(column[k], error, positive=positive) for name, column in values.items()},
        )
        for k in range(len(x))
    }


def test_without_errors_it_is_spearmans_coefficient():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 7))
    found = correlation(table(x, y), "x", "y")
    expected = spearmanr(x, y).statistic
    assert found.rho == pytest.approx(expected)
    assert found.interval95 == pytest.approx((expected, expected))
    assert found.n_structures == 7


def test_p_value_is_exact_for_few_structures():
    """Of 5! orders only two have |rho| = 1."""
    found = correlation(table([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]), "x", "y")
    assert found.rho == 1
    assert found.p_value == pytest.approx(2 / 120)


def test_p_value_of_many_structures_is_never_zero():
    """Of 40 structures no drawn order has |rho| = 1; 9 999 are drawn."""
    found = correlation(table(range(40), range(40)), "x", "y")
    assert found.p_value == pytest.approx(1e-4)


def test_what_errors_leave_of_a_relation_is_as_likely_by_chance_as_a_relation_of_that_size():
    """Five exact ranks of which the errors leave little: what the central values alone would say is not said."""
    x = np.arange(5.0)
    blurred = correlation(table(x, x, 3.0), "x", "y")
    chances = [spearmanr(x, order).statistic for order in permutations(x)]
    assert blurred.p_value == pytest.approx(np.mean(np.abs(chances) >= abs(blurred.rho) - 1e-9))
    assert blurred.p_value > 0.1


def test_errors_widen_the_interval():
    x = np.arange(8.0)
    sharp, blurred = (correlation(table(x, x, error), "x", "y") for error in (0.05, 3.0))
    assert sharp.interval95[0] > 0.95
    assert blurred.interval95[0] < 0.3
    assert blurred.rho < 0.9


def test_too_few_structures():
    assert correlation(table([1, 2], [1, 2]), "x", "y") is None
    assert correlation(table([1, 2, 3, 4]), "x", "y") is None


@pytest.mark.parametrize(("difference", "error"), [(1.0, 1.0), (0.3, 1.0), (-1.0, 0.5)])
def test_probability_of_a_step_is_that_of_normal_errors(difference, error):
    structures = table([0.0, difference], error=error, kinds=("crystal", "tilt"))
    (step,) = order(structures, "x", "crystal < tilt", draws=200_000)
    assert step.probability == pytest.approx(norm.cdf(difference / error / np.sqrt(2)), abs=5e-3)


def test_a_mean_over_a_kind_is_surer_than_one_structure():
    one = order(table([0.0, 0.5], error=1.0, kinds=("a", "b")), "x", "a < b")[0]
    many = order(table([0.0, 0.5] * 9, error=1.0, kinds=("a", "b")), "x", "a < b")[0]
    assert many.probability > one.probability
    assert many.probability == pytest.approx(norm.cdf(0.5 * 3 / np.sqrt(2)), abs=0.02)


def test_a_limit_is_a_rate_of_which_nothing_was_seen():
    """Exponential with 95 % below the limit; P(limit < log-normal) by numerical integration."""
    limit = Known(limit=1.0, positive=True)
    drawn = limit.draw(np.random.default_rng(0), 400_000)
    assert (drawn < 1).mean() == pytest.approx(0.95, abs=2e-3)
    structures = {"a": Structure("crystal", {"x": limit}), "b": Structure("tilt", {"x": Known(1.0)})}
    assert order(structures, "x", "crystal < tilt", draws=200_000)[0].probability == pytest.approx(0.95, abs=5e-3)


def test_likeness_of_a_positive_quantity_is_a_factor():
    structures = table([1e-6, 1.5e-6, 1e-4], kinds=("a", "b", "c"), positive=True)
    close, far, whole = order(structures, "x", "a ~ b ~ c", tolerance=0.25)
    assert (close.probability, far.probability, whole.probability) == (1, 0, 0)
    assert (close.verdict, far.verdict) == ("supported", "contradicted")


def test_what_is_hardly_known_contradicts_nothing():
    """Two rates known within a factor of a hundred are rarely drawn alike, and a chain of them is never."""
    structures = {kind: Structure(kind, {"x": Known(1.0, 0.01, 100.0, positive=True)}) for kind in ("a", "b", "c", "d")}
    *steps, whole = order(structures, "x", "a ~ b ~ c ~ d")
    assert all(step.probability < 0.2 and step.verdict == "open" for step in steps)
    assert whole.probability < 0.05
    assert (whole.opposite, whole.verdict) == (max(step.opposite for step in steps), "open")


def test_a_chain_is_contradicted_by_one_of_its_steps():
    structures = table([1.0, 3.0, 2.0], error=0.1, kinds=("a", "b", "c"))
    first, second, whole = order(structures, "x", "a < b < c")
    assert [step.verdict for step in (first, second, whole)] == ["supported", "contradicted", "contradicted"]
    assert second.opposite == pytest.approx(1 - second.probability)


@pytest.mark.parametrize(
    ("kinds", "claims"),
    [
        (("crystal", "tilt"), ["crystal < tilt"]),
        (("crystal", "glass"), ["crystal < glass"]),
        (("twist", "glass"), ["twist ~ glass"]),
        (("crystal", "twist", "glass"), ["crystal < twist", "twist ~ glass", "crystal < twist ~ glass"]),
        (("crystal",), []),
        ((), []),
    ],
)
def test_kinds_of_which_nothing_is_known_are_passed_over(kinds, claims):
    structures = table(np.arange(1.0, len(kinds) + 1), kinds=kinds)
    found = order(structures, "x", "crystal < tilt < twist ~ interface ~ glass")
    assert [relation.claim for relation in found] == claims


def test_the_interval_is_drawn_as_it_is_given():
    known = Known(2e-6, 1e-6, 8e-6, positive=True)
    drawn = known.draw(np.random.default_rng(0), 400_000)
    assert np.quantile(drawn, [0.025, 0.5, 0.975]) == pytest.approx([1e-6, 2e-6, 8e-6], rel=0.02)


@pytest.mark.parametrize("claim", ["crystal", "crystal < ", "a < b < a", "a > b"])
def test_bad_claims(claim):
    with pytest.raises(ValueError, match="is no order, such as"):
        parse_order(claim)


def test_bad_numbers():
    with pytest.raises(ValueError, match="either a value or an upper limit"):
        Known()
    with pytest.raises(ValueError, match="a positive quantity is -1"):
        Known(-1.0, positive=True)


def test_an_error_of_many_times_the_value():
    """It leaves everything open, and is no error."""
    known = Known.of(1e-12, 1e-9, positive=True)
    assert known.low < 1e-50
    assert known.high > 1e30
    assert np.isfinite(known.draw(np.random.default_rng(0), 1000)).all()
    with pytest.raises(ValueError, match="a positive quantity is 0"):
        Known.of(0.0, 1.0, positive=True)
