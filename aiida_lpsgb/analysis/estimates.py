"""A number, its standard error and the degrees of freedom the error rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Attributes
    ----------
    value
        The estimate.
    error
        Its standard error.
    dof
        Degrees of freedom of the error; infinite if the error is known.
    """

    value: float
    error: float
    dof: float = np.inf

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided confidence interval, from Student's t."""
        reach = stats.t.ppf(0.5 + level / 2, self.dof) * self.error
        return self.value - reach, self.value + reach

    def upper_limit(self, level: float = 0.95) -> float:
        """One-sided upper confidence limit of a quantity that cannot be negative."""
        return max(self.value, 0.0) + stats.t.ppf(level, self.dof) * self.error

    def scalars(self, name: str, unit: str = "") -> dict[str, Any]:
        """Value, standard error and 95 % interval by name, JSON types; None where they are not known.

        Parameters
        ----------
        name
            Of the quantity, such as ``lateral``.
        unit
            Of the quantity, as it stands in keys, such as ``cm2_s``; none for a ratio.

        Returns
        -------
        dict
            ``<name>_<unit>``, ``<name>_uncertainty_<unit>`` and ``<name>_interval95_<unit>``.
        """
        unit = f"_{unit}" if unit else ""
        known = bool(np.isfinite(self.value))
        error = known and bool(np.isfinite(self.error))
        return {
            f"{name}{unit}": float(self.value) if known else None,
            f"{name}_uncertainty{unit}": float(self.error) if error else None,
            f"{name}_interval95{unit}": [float(end) for end in self.interval()] if error else None,
        }

    def scaled(self, factor: float, error: float = 0.0) -> Estimate:
        """The estimate times a factor, which may have a standard error of its own."""
        return Estimate(self.value * factor, float(np.hypot(self.error * factor, self.value * error)), self.dof)


_BLOCKS_THAT_TELL = 5

UNKNOWN = Estimate(np.nan, np.nan)
"""What cannot be told, such as a ratio to something that is zero."""


def finite(value: float | None) -> float | None:
    """The number, or None where it is none."""
    return None if value is None or not np.isfinite(value) else float(value)


def from_blocks(value: float, blocks: np.ndarray, gain: float = 1.0, memory: bool = False) -> Estimate:
    """``value`` of the whole with the standard error of the mean of independent blocks.

    Parameters
    ----------
    value
        Estimate from all data.
    blocks
        The same estimate from each block, shape ``(n_blocks,)``, at least two.
    gain
        Standard error of the whole over that of the mean of the blocks, if the whole uses the data better.
    memory
        Make the error larger where neighbouring blocks, which share no data, are alike, as motion outlasts a block.
    """
    blocks = np.asarray(blocks, float)
    if len(blocks) < 2:
        raise ValueError(f"an uncertainty needs at least 2 blocks, found {len(blocks)}")
    factor = gain * (np.sqrt(1 + 2 * max(0.0, _alike(blocks))) if memory else 1.0)
    return Estimate(float(value), float(factor * blocks.std(ddof=1) / np.sqrt(len(blocks))), len(blocks) - 1)


def _alike(blocks: np.ndarray) -> float:
    """Correlation of neighbours, freed from its expectation for independent blocks, -1/n; zero with too few to tell."""
    n, deviations = len(blocks), blocks - blocks.mean()
    square = float(deviations @ deviations)
    return float(deviations[1:] @ deviations[:-1]) / square + 1 / n if n >= _BLOCKS_THAT_TELL and square > 0 else 0.0


def ratio_from_blocks(numerator: np.ndarray, denominator: np.ndarray, value: float, gain: float = 1.0) -> Estimate:
    """A ratio of two block means, with a jackknife standard error.

    Parameters
    ----------
    numerator, denominator
        Block values, shape ``(n_blocks,)``.
    value
        The ratio from all data.
    gain
        As for :func:`from_blocks`.
    """
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    n = len(numerator)
    left_out = (numerator.sum() - numerator) / (denominator.sum() - denominator)
    error = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    return Estimate(float(value), float(gain * error), n - 1)
