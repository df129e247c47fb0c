"""Do studies of one recipe with different seeds agree within their intervals?

    aiida-lpsgb results PK --json seed1.json        (each in its profile)
    python benchmarks/seeds.py seed1.json seed2.json seed3.json

Of everything that two studies report for the same system (D at each temperature as the mean over the potentials,
activation energy, conductivity at the target, each of the cell and by region), the difference is held against the
combined half-widths of both 95 % intervals. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from scipy.stats import t as student

from aiida_lpsgb.analysis.transport import RECOMMENDED
from aiida_lpsgb.report.fits import measured


class Value(NamedTuple):
    """A number as a study reports it, with its 95 % interval."""

    value: float
    low: float
    high: float

    def agrees_with(self, other: Value) -> bool:
        """Whether the difference lies within what the two intervals, as of independent numbers, leave open."""
        upper, lower = (self, other) if self.value > other.value else (other, self)
        return upper.value - lower.value <= math.hypot(upper.value - upper.low, lower.high - lower.value)


def is_told(part: str) -> bool:
    """Whether a region's numbers are by the estimator that tables show; the others are of the same motion."""
    return part.endswith(f"_{RECOMMENDED}")


def averaged(motions: list[dict[str, Any]]) -> Value:
    """Return the mean over potentials, whose error has as many degrees of freedom as there are others of them."""
    if len(motions) == 1:
        return Value(motions[0]["diffusivity_cm2_s"], *motions[0]["interval95_cm2_s"])
    together = measured(motions)
    half = student.ppf(0.975, len(motions) - 1) * together.error
    return Value(together.value, together.value - half, together.value + half)


def of_fit(fit: dict[str, Any]) -> Iterator[tuple[str, Value]]:
    """Yield what a fit says of activation energy and conductivity, where it is more than a limit."""
    for quantity, unit in (("activation_energy", "eV"), ("conductivity", "s_cm")):
        value = fit.get(f"{quantity}_{unit}")
        if value is not None:
            interval = fit[f"{quantity}_interval95_{unit}"]
            # The interval of what is extrapolated is one of its logarithm.
            numbers = (value, *interval) if unit == "eV" else map(math.log10, (value, *interval))
            yield quantity if unit == "eV" else f"log10 {quantity}", Value(*numbers)


def reported(results: dict[str, Any]) -> dict[str, Value]:
    """Return everything with an interval that the results of a study (`--json`) hold, by what it is."""
    found = {}
    for system in results["systems"]:
        name = system["name"]
        for temperature in sorted({run["temperature_K"] for run in system["runs"]}):
            runs = [run for run in system["runs"] if run["temperature_K"] == temperature]
            for part in ("cell", *filter(is_told, runs[0]["regions"])):
                motions = [run["motion"] if part == "cell" else run["regions"].get(part) for run in runs]
                if all(motion and motion["diffusive"] for motion in motions):
                    found[f"{name} {part} D({temperature:g} K)"] = averaged(motions)
        regional = {part: fit for part, fit in system["regional_fits"].items() if is_told(part)}
        for part, fit in {"cell": system["fit"], **regional}.items():
            found |= {f"{name} {part} {quantity}": value for quantity, value in of_fit(fit or {})}
    return found


def main() -> None:
    """Compare every two of the studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", nargs="+", type=Path, help="files of `aiida-lpsgb results --json`")
    studies = {
        path.stem: reported(json.loads(path.read_text(encoding="utf-8"))) for path in parser.parse_args().results
    }

    print(f"{'':42s}", *(f"{name:>32s}" for name in studies))
    for quantity in dict.fromkeys(key for study in studies.values() for key in study):
        cells = [study.get(quantity) for study in studies.values()]
        texts = [f"{c.value:.3g} [{c.low:.3g}, {c.high:.3g}]" if c else "-" for c in cells]
        print(f"{quantity:42s}", *(f"{text:>32s}" for text in texts))

    verdicts = []
    for (first, ours), (second, theirs) in combinations(studies.items(), 2):
        for quantity in ours.keys() & theirs.keys():
            verdicts.append(ours[quantity].agrees_with(theirs[quantity]))
            if not verdicts[-1]:
                print(f"{quantity}: {first} and {second} differ by more than their intervals")
    whole = sum(verdicts)
    print(json.dumps({"pairs": len(verdicts), "agree": whole, "share": whole / len(verdicts) if verdicts else None}))


if __name__ == "__main__":
    main()
