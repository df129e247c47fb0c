"""Choose among potentials that differ in cost and error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Candidate", "choose", "pareto_front"]


@dataclass(frozen=True)
class Candidate:
    """A potential that may be chosen.

    Attributes
    ----------
    name
        What it is called in sentences.
    cost
        What a step takes, such as microseconds an atom.
    error
        What it is judged by, on configurations it was not trained on.
    uncertainty
        Standard error of it; None if not known.
    """

    name: str
    cost: float
    error: float
    uncertainty: float | None = None


def pareto_front(candidates: Sequence[Candidate]) -> list[bool]:
    """Whether each candidate is on the front: no other is as cheap and as good, and better in one of both."""

    def beats(one: Candidate, other: Candidate) -> bool:
        no_worse = one.cost <= other.cost and one.error <= other.error
        return no_worse and (one.cost < other.cost or one.error < other.error)

    return [not any(beats(other, one) for other in candidates) for one in candidates]


def choose(candidates: Sequence[Candidate], target: float | None = None) -> tuple[int | None, str]:
    """Choose the cheapest candidate that is good enough.

    Parameters
    ----------
    candidates
        At least one.
    target
        Largest error that is good enough. Without it, it is that of the best candidate and its standard error together
        [1]_: what differs by less cannot be told apart by these configurations.

    Returns
    -------
    int or None, str
        Place of the choice, None if none reaches the target, and why, in a sentence.

    References
    ----------
    .. [1] L. Breiman, J. H. Friedman, R. A. Olshen, C. J. Stone, Classification and Regression Trees, Wadsworth 1984,
       section 3.4.3.
    """
    best = min(candidates, key=lambda candidate: (candidate.error, candidate.cost))
    if target is None:
        bound = best.error + (best.uncertainty or 0.0)
        words = f"within one standard error ({best.uncertainty or 0.0:.3g}) of the smallest, {best.error:.3g}"
    else:
        bound, words = target, f"of at most the target, {target:.3g}"
    good = [place for place, candidate in enumerate(candidates) if candidate.error <= bound]
    if not good:
        return None, f"no candidate has an error {words}; the smallest is {best.error:.3g}, of {best.name}"
    place = min(good, key=lambda index: (candidates[index].cost, candidates[index].error))
    chosen = candidates[place]
    return place, f"{chosen.name} is the cheapest with an error {words}: {chosen.error:.3g}"
