"""The front of cost and error, and the choice on it."""

import pytest

from aiida_lpsgb.mtp.choice import Candidate, choose, pareto_front

#: Level 8 is cheap and bad, 14 as good as 20 within what can be told, 12 costs more than 14 here and is worse.
LEVELS = [
    Candidate("l08", 1.0, 0.20, 0.01),
    Candidate("l12", 3.0, 0.16, 0.01),
    Candidate("l14", 2.5, 0.105, 0.01),
    Candidate("l20", 9.0, 0.10, 0.006),
]


def test_front():
    assert pareto_front(LEVELS) == [True, False, True, True]
    twins = [Candidate("a", 1.0, 1.0), Candidate("b", 1.0, 1.0), Candidate("c", 1.0, 2.0)]
    assert pareto_front(twins) == [True, True, False]


def test_the_cheapest_within_one_standard_error_of_the_best():
    place, reason = choose(LEVELS)
    assert LEVELS[place].name == "l14"
    assert reason == "l14 is the cheapest with an error within one standard error (0.006) of the smallest, 0.1: 0.105"
    # It is the standard error of the best that counts.
    surer = [*LEVELS[:3], Candidate("l20", 9.0, 0.10, 0.004)]
    assert surer[choose(surer)[0]].name == "l20"


def test_without_a_standard_error_the_best():
    assert choose([Candidate("a", 1.0, 0.2), Candidate("b", 2.0, 0.1)])[0] == 1


@pytest.mark.parametrize(("target", "name"), [(0.2, "l08"), (0.17, "l14"), (0.1, "l20")])
def test_the_cheapest_that_reaches_a_target(target, name):
    assert LEVELS[choose(LEVELS, target)[0]].name == name


def test_a_target_that_none_reaches():
    place, reason = choose(LEVELS, 0.05)
    assert place is None
    assert reason == "no candidate has an error of at most the target, 0.05; the smallest is 0.1, of l20"
