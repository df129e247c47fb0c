"""Mean-squared displacement of every species: the mobile ones run away, the framework must stand still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.diffusion import reference_drift
from aiida_lpsgb.analysis.msd import mean_squared_displacement
from aiida_lpsgb.analysis.observables import COUNT, SPECIES, Context, Observable, Outcome, Row, parameters_of
from aiida_lpsgb.analysis.trajectory import Trajectory

_VALUES_A_BATCH = 2**24
_POINTS = 200


@dataclass(frozen=True)
class ElementMsd:
    """Mean-squared displacement of every species against the framework.

    Attributes
    ----------
    lags_ps
        Shape ``(n_lags,)``, spread on a logarithmic scale.
    msd_A2
        Total, by species, shape ``(n_lags,)``.
    reference
        The species that are held still together; ``none`` if there is only the mobile one.
    """

    lags_ps: np.ndarray
    msd_A2: Mapping[str, np.ndarray]
    reference: str


def element_msd(trajectory: Trajectory, species: str, *, every: int = 1) -> ElementMsd:
    """Mean-squared displacement of each species, to half of the run.

    Parameters
    ----------
    trajectory
        The run.
    species
        What is mobile; the drift of all others is taken off.
    every
        Take one frame in so many.
    """
    if every < 1:
        raise ValueError(f"needed: every ≥ 1, found {every}")
    drift, reference = reference_drift(trajectory, species, "framework")
    n_frames = len(range(0, trajectory.n_frames, every))
    if n_frames < 4:
        raise ValueError(f"displacements need four frames or more, one in {every} of {trajectory.n_frames} is less")
    lags = np.unique(np.geomspace(1, n_frames // 2, _POINTS).round().astype(int))
    found = {}
    for symbol in trajectory.species:
        indices = np.asarray(trajectory.indices(symbol))
        total = np.zeros(n_frames)
        # Some ions at a time: all of a framework would not fit into memory.
        for batch in np.array_split(indices, max(1, 3 * n_frames * len(indices) // _VALUES_A_BATCH)):
            positions = trajectory.positions(indices=batch, step=every) - drift[::every, None]
            total += mean_squared_displacement(positions).sum(axis=1) * len(batch)
        found[symbol] = total[lags] / len(indices)
    return ElementMsd(lags * every * trajectory.interval_ps, found, reference)


def observe(trajectory: Trajectory, options: Mapping[str, Any], context: Context) -> Outcome:
    """Arrays ``lags_ps`` and ``msd_A2_<species>``; the displacement of each species after the longest lag."""
    found = element_msd(trajectory, options["species"], every=options["every"])
    return Outcome(
        {
            "reference": found.reference,
            "longest_lag_ps": float(found.lags_ps[-1]),
            "msd_A2": {symbol: float(values[-1]) for symbol, values in found.msd_A2.items()},
        },
        {"lags_ps": found.lags_ps} | {f"msd_A2_{symbol}": values for symbol, values in found.msd_A2.items()},
    )


def rows(headline: Mapping[str, Any], label: str) -> list[Row]:
    """A line for each species of the framework."""
    framework = {symbol: value for symbol, value in headline["msd_A2"].items() if symbol != headline["species"]}
    return [Row(f"MSD of {symbol}, half of the run (Å²)", value, form=".2f") for symbol, value in framework.items()]


OBSERVABLE = Observable(
    name="elements",
    order=35,
    summary="Mean-squared displacement of every species.",
    parameters=parameters_of(element_msd, species=SPECIES, every=COUNT),
    compute=observe,
    headline=("species", "longest_lag_ps", "msd_A2"),
    rows=rows,
    captions={"": "Mean-squared displacement of every species against the framework."},
)
