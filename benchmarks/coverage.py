"""Do intervals hold the truth, and verdicts keep what they promise?

    python benchmarks/coverage.py [--runs 40] [--real FOLDER] [--species Li] [--pieces 50 100 150 300] [--loop FILE]

Synthetic walks have a diffusivity that is known. Of real trajectories, FOLDER holds long ones (`*.trj` files of
`Trajectory.save`, or LAMMPS dumps `*.bin` or `*.dump` with `--types Li P S`), each of which is cut into pieces: what is
called diffusive in a piece is compared with the long run. FILE holds the table of a closed loop, one JSON object a line
with `truth` and `interval95`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from aiida_lpsgb.analysis.diffusion import Diffusivity, diffusivity
from aiida_lpsgb.analysis.trajectory import Trajectory

A2_PS = 1e-4  # in cm²/s
Walk = tuple[np.ndarray, float | None, float]
"""Positions, Å; long-time diffusivity, Å²/ps (None: there is none); time between frames, ps."""


# ---- synthetic walks -----------------------------------------------------------------------------------------------


def brownian(rng, n_frames, n_ions, d, interval=1.0) -> np.ndarray:
    return (rng.normal(size=(n_frames, n_ions, 3)) * np.sqrt(2 * d * interval)).cumsum(axis=0)


def vibration(rng, n_frames, n_ions, amplitude, memory_ps=0.3, interval=1.0) -> np.ndarray:
    kept = np.exp(-interval / memory_ps)
    x = rng.normal(0, amplitude, (n_frames, n_ions, 3))
    for t in range(1, n_frames):
        x[t] = kept * x[t - 1] + np.sqrt(1 - kept**2) * x[t]
    return x


def hops(rng, n_frames, n_ions, rate, back, hop=3.0) -> tuple[np.ndarray, float]:
    """Hops on a cubic lattice with a chance to go straight back; positions and the long-time diffusivity."""
    directions = np.concatenate([np.eye(3), -np.eye(3)])
    position, last = np.zeros((n_ions, 3)), rng.integers(6, size=n_ions)
    frames = np.empty((n_frames, n_ions, 3))
    for t in range(n_frames):
        moves = rng.random(n_ions) < rate
        other = (last + 3 + rng.integers(1, 6, n_ions)) % 6
        chosen = np.where(rng.random(n_ions) < back, (last + 3) % 6, other)
        last = np.where(moves, chosen, last)
        position = position + np.where(moves[:, None], hop * directions[chosen], 0.0)
        frames[t] = position
    c = -back + (1 - back) / 5
    return frames, rate * hop**2 / 6 * (1 + c) / (1 - c)


def hopping(rng, n_frames, n_ions, rate, back=1 / 6) -> Walk:
    positions, d = hops(rng, n_frames, n_ions, rate, back)
    return positions + vibration(rng, n_frames, n_ions, 0.3), d, 1.0


def fractional(rng, n_frames, n_ions, hurst) -> Walk:
    """Fractional Brownian motion by the circulant embedding of Davies and Harte."""
    k = np.arange(n_frames)
    covariance = 0.5 * ((k + 1.0) ** (2 * hurst) - 2.0 * k ** (2 * hurst) + np.abs(k - 1.0) ** (2 * hurst))
    eigenvalues = np.maximum(np.fft.fft(np.concatenate([covariance, covariance[-2:0:-1]])).real, 0)
    size = len(eigenvalues)
    noise = rng.normal(size=(size, 3 * n_ions)) + 1j * rng.normal(size=(size, 3 * n_ions))
    steps = np.fft.fft(np.sqrt(eigenvalues / size)[:, None] * noise, axis=0).real[:n_frames]
    return 0.4 * steps.cumsum(axis=0).reshape(n_frames, n_ions, 3), None, 1.0


def two_populations(rng, share) -> Walk:
    n_frames, n_ions = 1000, 200
    x = vibration(rng, n_frames, n_ions, 0.3)
    mobile = round(share * n_ions)
    x[:, :mobile] += brownian(rng, n_frames, mobile, 0.1)
    return x, 0.1 * share, 1.0


def slowing(rng, factor) -> Walk:
    fast, slow = brownian(rng, 500, 100, 0.05, 0.2), brownian(rng, 500, 100, 0.05 / factor, 0.2)
    return np.concatenate([fast, fast[-1] + slow]) + vibration(rng, 1000, 100, 0.2, 0.02, 0.2), 0.05 / factor, 0.2


def vibrating_walk(rng, n_frames, n_ions, d) -> Walk:
    return brownian(rng, n_frames, n_ions, d) + vibration(rng, n_frames, n_ions, 0.3), d, 1.0


WALKS: dict[str, Callable[[np.random.Generator], Walk]] = {
    "walk, 24 ions": lambda rng: (brownian(rng, 600, 24, 0.01), 0.01, 1.0),
    "walk, 4 ions": lambda rng: vibrating_walk(rng, 2000, 4, 0.05),
    "walk, 1000 ions": lambda rng: vibrating_walk(rng, 400, 1000, 0.05),
    "hops": lambda rng: hopping(rng, 800, 60, 0.1),
    "rare hops": lambda rng: hopping(rng, 800, 200, 0.01),
    "7 of 10 hops go back": lambda rng: hopping(rng, 800, 100, 0.1, 0.7),
    "9 of 10 hops go back": lambda rng: hopping(rng, 800, 100, 0.3, 0.9),
    "one of ten moves": lambda rng: two_populations(rng, 0.1),
}
NOT_DIFFUSIVE: dict[str, Callable[[np.random.Generator], Walk]] = {
    "hops rarer than the run": lambda rng: hopping(rng, 800, 400, 2e-4),
    "cage of 1.5 Å, 30 ps": lambda rng: (vibration(rng, 1000, 100, 1.5, 30.0), 0.0, 1.0),
    "vibration": lambda rng: (vibration(rng, 1000, 100, 0.45, 2.0, 0.2), 0.0, 0.2),
    "t^0.7, 48 ions": lambda rng: fractional(rng, 800, 48, 0.35),
    "t^0.84, 300 ions": lambda rng: fractional(rng, 3000, 300, 0.42),
    "slows tenfold half-way": lambda rng: slowing(rng, 10),
}


def stored(positions: np.ndarray, interval: float) -> Trajectory:
    """The ions beside two atoms that stand still."""
    everything = np.concatenate([positions, np.zeros((len(positions), 2, 3))], axis=1)
    times = np.arange(len(positions)) * interval
    return Trajectory(["Li"] * positions.shape[1] + ["S"] * 2, everything, np.eye(3) * 20, times)


def synthetic(name: str, make: Callable[[np.random.Generator], Walk], runs: int) -> dict[str, Any]:
    """Share called diffusive, share of those whose interval holds the truth, share of limits that hold of the rest."""
    hits, limits, ratios = [], [], []
    for seed in range(runs):
        positions, d, interval = make(np.random.default_rng(seed))
        found = diffusivity(stored(positions, interval), "Li")
        if found.diffusive:
            hits.append(d is not None and covers(found, d * A2_PS))
            ratios.append(found.value / (d * A2_PS) if d else np.nan)
        elif d is not None:
            limits.append(bool(found.upper_limit_cm2_s >= d * A2_PS))
    row = {
        "diffusive": round((len(hits)) / runs, 3),
        "covered": mean(hits),
        "value_over_truth": mean(ratios),
        "limits_hold": mean(limits),
    }
    print(f"{name:28s} " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return row


def mean(values: list) -> float | None:
    return round(float(np.mean(values)), 3) if values and np.isfinite(np.mean(values)) else None


def covers(found: Diffusivity, d: float) -> bool:
    low, high = found.total.interval()
    return bool(low <= d <= high)


# ---- pieces of real trajectories -----------------------------------------------------------------------------------


def long_runs(folder: Path, types: list[str] | None) -> Iterable[tuple[str, Trajectory]]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".trj":
            yield path.stem, Trajectory.load(path)
        elif path.suffix in (".bin", ".dump"):
            yield path.stem, Trajectory.from_lammps_dump(path, types)


def pieces(name: str, run: Trajectory, species: str, lengths_ps: list[float]) -> dict[str, Any]:
    """What pieces say, against the whole: the value where it is diffusive, else what may be at most."""
    whole = diffusivity(run, species)
    own = whole.total.interval()
    print(f"{name}: {whole.value:.2e} ± {whole.uncertainty:.0e} cm²/s; {whole.verdict.sentence}", flush=True)
    rows = {}
    for length in lengths_ps:
        size = int(length / run.interval_ps)
        found = [diffusivity(run[a : a + size], species) for a in range(0, run.n_frames - size + 1, size)]
        if len(found) < 2:
            continue
        called = [f for f in found if f.diffusive]
        # The long run is not known exactly either: intervals should meet.
        meets = [f for f in called if whole.diffusive and overlap(f.total.interval(), own)]
        far = [bool(not whole.diffusive or not 0.5 < f.value / whole.value < 2) for f in called]
        row = {
            "pieces": len(found),
            "diffusive": len(called),
            "covered": sum(covers(f, whole.value) for f in called) if whole.diffusive else 0,
            "intervals_meet": len(meets),
            "off_by_two": sum(far),
            "limits_hold": sum(bool(f.upper_limit_cm2_s >= max(own[0], 0.0)) for f in found if not f.diffusive),
        }
        print(f"  {length:g} ps: " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        rows[f"{length:g} ps"] = row
    return {"diffusivity_cm2_s": float(whole.value), "diffusive": bool(whole.diffusive), "pieces": rows}


def overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return bool(a[0] <= b[1] and a[1] >= b[0])


def pooled(real: dict[str, Any]) -> dict[str, Any]:
    """Shares over all temperatures and lengths."""
    rows = [row for run in real.values() for row in run["pieces"].values()]
    total = {
        key: sum(row[key] for row in rows) for key in ("pieces", "diffusive", "covered", "intervals_meet", "off_by_two")
    }
    called = max(total["diffusive"], 1)
    shares = ("covered", "intervals_meet", "off_by_two")
    return total | {f"{key}_share": round(total[key] / called, 3) for key in shares}


def closed_loop(path: Path) -> dict[str, Any]:
    """Share of the numbers of a closed loop whose interval holds the truth."""
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    held = [low <= row["truth"] <= high for row in rows for low, high in [row["interval95"]]]
    return {"numbers": len(held), "covered": mean(held)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="walks of each kind")
    parser.add_argument("--real", type=Path, help="folder of long trajectories")
    parser.add_argument("--species", default="Li")
    parser.add_argument("--types", nargs="+", help="symbols by LAMMPS type, for dumps")
    parser.add_argument("--pieces", nargs="+", type=float, default=[50, 100, 150, 300], help="ps")
    parser.add_argument("--loop", type=Path, help="table of a closed loop")
    args = parser.parse_args()
    result: dict[str, Any] = {}
    if args.runs:
        result["walks"] = {name: synthetic(name, make, args.runs) for name, make in WALKS.items()}
        few = max(3, args.runs // 4)
        result["not_diffusive"] = {
            name: synthetic(name, make, few if "300" in name else args.runs) for name, make in NOT_DIFFUSIVE.items()
        }
    if args.real:
        runs = long_runs(args.real, args.types)
        result["real"] = {name: pieces(name, run, args.species, args.pieces) for name, run in runs}
        result["real_pooled"] = pooled(result["real"])
    if args.loop:
        result["closed_loop"] = closed_loop(args.loop)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
