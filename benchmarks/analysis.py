"""Analysis against its peers, on made-up trajectories of the size of the paper's.

    python benchmarks/analysis.py [NAME …] [--quick]

Every ratio compares runs of the same invocation; where a peer is timed on a sample of frames, its entry says so. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import struct
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

CORES = len(os.sched_getaffinity(0))
EDGES = np.array([52.28, 65.04, 75.12])  # the paper's 4 × 8 × 12 supercell, 12 288 atoms
NUMBERS = {"Li": 4608, "P": 1536, "S": 6144}


def timed(function: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Best wall time of some repeats, s, and the last result."""
    best, result = np.inf, None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def peak_memory() -> float:
    """Largest memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def sites(number: int, rng: np.random.Generator) -> np.ndarray:
    """Scaled positions on a jittered grid: no two on top of each other, as in a solid."""
    shape = np.ceil(EDGES / (np.prod(EDGES) / number) ** (1 / 3)).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = rng.permutation(len(grid))[:number]
    return (grid[chosen] + 0.5 + rng.normal(0, 0.1, (number, 3))) / shape % 1.0


def solid(n_frames: int, species: dict[str, int], seed: int = 0):
    """A trajectory that vibrates about such sites."""
    from aiida_lpsgb.analysis.trajectory import TrajectoryWriter

    rng = np.random.default_rng(seed)
    symbols = [s for s, n in species.items() for _ in range(n)]
    base = sites(len(symbols), rng)
    writer = TrajectoryWriter(symbols, {"temperature_K": 300.0})
    for k in range(n_frames):
        writer.append(base + rng.normal(0, 0.15, base.shape) / EDGES, np.diag(EDGES), 0.1 * k)
    return writer.finish()


def verdict(ours: float, peers: dict[str, float], bar: float, **more: Any) -> dict[str, Any]:
    """Times, ratio to the best peer and whether the bar is met (None without a peer)."""
    ratio = min(peers.values()) / ours if peers else None
    met = None if ratio is None else bool(ratio >= bar)
    return {
        "seconds": ours,
        "peers_seconds": peers,
        "ratio_to_best_peer": ratio,
        "bar": f"ratio >= {bar}",
        "met": met,
        **more,
    }


def bench_msd(quick: bool) -> dict[str, Any]:
    """All lags, three components."""
    from aiida_lpsgb.analysis.diffusion import mean_squared_displacement

    n_frames, n_ions = (1000, 512) if quick else (5000, 4608)
    rng = np.random.default_rng(0)
    positions = rng.normal(0, 0.1, (n_frames, n_ions, 3))
    np.cumsum(positions, axis=0, out=positions)
    before = peak_memory()
    one, msd = timed(lambda: mean_squared_displacement(positions, workers=1), 2)
    more, _ = timed(lambda: mean_squared_displacement(positions, workers=CORES), 2)
    memory = 1 + max(0.0, peak_memory() - before) / positions.nbytes
    peers = {}
    if find_spec("freud"):
        import freud

        peers["freud"], theirs = timed(lambda: freud.msd.MSD(mode="window").compute(positions).msd)
        assert np.allclose(theirs[1:50], msd[1:50].sum(axis=1), rtol=1e-3)
    if find_spec("tidynamics"):
        import tidynamics

        peers["tidynamics"], _ = timed(lambda: [tidynamics.msd(positions[:, i]) for i in range(n_ions)])
    if find_spec("MDAnalysis"):
        import MDAnalysis
        from MDAnalysis.analysis.msd import EinsteinMSD

        universe = MDAnalysis.Universe.empty(n_ions, trajectory=True)
        universe.load_new(positions.astype(np.float32))
        peers["MDAnalysis"], _ = timed(lambda: EinsteinMSD(universe, msd_type="xyz", fft=True).run())
    result = verdict(
        min(one, more), peers, 4, seconds_by_cores={1: one, CORES: more}, memory_with_input_over_input=memory
    )
    result["bar"] += ", memory <= 2 x input"
    result["met"] = result["met"] and memory <= 2
    return result


def bench_region(quick: bool) -> dict[str, Any]:
    """Three estimators in one slab, from the compact file; the peer has one estimator.

    `DiffusionAnalyzer` is given displacements, and as many `Structure` objects as it looks at, ready in memory: they
    take longer to make than all else (`seconds_for_its_structures`). For its lag number k it averages over the ions
    that are in the range in frames k and k + 1, whatever the time origin; ours asks of each displacement where it
    begins and ends and whether it stayed.
    """
    from aiida_lpsgb.analysis.region_diffusion import region_diffusivity
    from aiida_lpsgb.analysis.regions import Slab
    from aiida_lpsgb.analysis.trajectory import Trajectory

    n_frames, n_ions = (400, 512) if quick else (2000, 4608)
    rng = np.random.default_rng(0)
    start = rng.random((1, n_ions, 3)) * EDGES
    positions = start + rng.normal(0, 0.1, (n_frames, n_ions, 3)).cumsum(axis=0)
    everything = np.concatenate([positions, np.zeros((n_frames, 1, 3))], axis=1)
    trajectory = Trajectory(["Li"] * n_ions + ["S"], everything, np.diag(EDGES), np.arange(n_frames) * 0.1)
    options = {"estimators": ["tagged", "both_ends", "continuous"], "window_ps": (0.5, 0.1 * 0.08 * n_frames)}
    slab = {"boundary": Slab(2, (0.5,), 10.0)}
    with tempfile.TemporaryDirectory() as folder:
        run = Trajectory.load(trajectory.save(Path(folder) / "t.lpsgbtraj"))
        one, found = timed(lambda: region_diffusivity(run, "Li", slab, **options, workers=1), 3)
        more, _ = timed(lambda: region_diffusivity(run, "Li", slab, **options, workers=CORES), 3)
    truth = 0.5 * 0.1**2 / 0.1 * 1e-4  # steps of 0.1 Å every 0.1 ps
    along = {estimator: result.lateral.value / truth for (_, estimator), result in found.items()}
    peers, more_of_it = {}, {}
    if find_spec("pymatgen.analysis.diffusion"):
        from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
        from pymatgen.core import Lattice, Structure

        lattice, seen = Lattice(np.diag(EDGES)), 400 if quick else 230
        making, structures = timed(
            lambda: [Structure(lattice, run.symbols, x / EDGES, to_unit_cell=True) for x in everything[:seen]]
        )
        moved = np.ascontiguousarray((everything - everything[:1]).transpose(1, 0, 2))
        middle = (0.5 - 5 / EDGES[2], 0.5 + 5 / EDGES[2])
        settings = {"smoothed": "max", "c_ranges": [middle], "structures": structures}
        peers["pymatgen DiffusionAnalyzer, its one estimator"], analyzer = timed(
            lambda: DiffusionAnalyzer(structures[0], moved, "Li", 300.0, 1.0, 100, **settings)
        )
        theirs = analyzer.diffusivity_c_range_components[:2].mean() / truth
        more_of_it = {"its_value_over_truth": theirs, "seconds_for_its_structures": making}
    return verdict(
        min(one, more), peers, 20, seconds_by_cores={1: one, CORES: more}, values_over_truth=along, **more_of_it
    )


def bench_persistence(quick: bool) -> dict[str, Any]:
    """Periodic loops of the ions, frame by frame; Rips diagrams are checked to be those of the peer."""
    from aiida_lpsgb.analysis.topology import persistence

    n_frames, n_ions = (8, 512) if quick else (200, 4608)
    trajectory = solid(n_frames, {"Li": n_ions})
    ours, diagram = timed(lambda: persistence(trajectory, "Li", filtration="alpha", workers=CORES))
    result = verdict(ours, {}, 10, loops_per_frame=len(diagram.birth_A) / n_frames)
    result["bar"] = "alpha: ratio >= 10 and <= 120 s; rips: ratio >= 2"
    if not find_spec("ripser"):
        return result
    from ripser import ripser
    from scipy.spatial import cKDTree

    def plain(index: int) -> np.ndarray:
        tree = cKDTree(trajectory.frame_positions(index) % EDGES, boxsize=EDGES)
        distances = tree.sparse_distance_matrix(tree, 8.0, output_type="coo_matrix")
        bars = ripser(distances, distance_matrix=True, maxdim=1, thresh=8.0)["dgms"][1]
        return bars[np.isfinite(bars[:, 1])]

    sample = range(0, n_frames, max(1, n_frames // 20))
    theirs, bars = timed(lambda: [plain(i) for i in sample])
    rips, own = timed(lambda: persistence(trajectory, "Li", filtration="rips", workers=CORES))
    for column, values in enumerate((own.birth_A, own.death_A)):
        wanted = np.sort(np.concatenate(bars)[:, column])
        assert np.allclose(np.sort(values[np.isin(own.frame, sample)]), wanted, atol=1e-5)
    scale = n_frames / len(sample)
    ratios = {"alpha": scale * theirs / ours, "rips": scale * theirs / rips}
    return result | {
        f"peers_seconds (from {len(sample)} frames)": {"ripser to 8 Å, a frame at a time": scale * theirs},
        "seconds_rips": rips,
        "ratio_to_best_peer": ratios,
        "met": bool(ratios["alpha"] >= 10 and ours <= 120 and ratios["rips"] >= 2),
    }


def bench_prdf(quick: bool) -> dict[str, Any]:
    """All pairs of species to 10 Å."""
    from aiida_lpsgb.analysis.rdf import radial_distributions

    n_frames, sample = (5, 2) if quick else (200, 20)
    trajectory = solid(n_frames, NUMBERS)
    ours, found = timed(lambda: radial_distributions(trajectory, cutoff_A=10.0, bin_A=0.02, workers=CORES))
    peers = {}
    indices = {s: trajectory.indices(s) for s in NUMBERS}
    if find_spec("freud"):
        import freud

        box = freud.box.Box(*EDGES)
        frames = [trajectory.frame_positions(i) - EDGES / 2 for i in range(sample)]

        def with_freud() -> None:
            for a, b in found:
                rdf = freud.density.RDF(500, 10.0)
                for positions in frames:
                    options = {"r_max": 10.0, "exclude_ii": a == b}
                    rdf.compute(
                        (box, positions[indices[b]]), query_points=positions[indices[a]], neighbors=options, reset=False
                    )

        seconds, _ = timed(with_freud)
        peers[f"freud (from {sample} frames)"] = seconds * n_frames / sample
    if find_spec("MDAnalysis"):
        from MDAnalysis.analysis.rdf import InterRDF

        universe = trajectory[:2].to_mdanalysis()
        groups = {s: universe.select_atoms(f"name {s}") for s in NUMBERS}

        def with_mdanalysis() -> None:
            for a, b in found:
                block = (1, 1) if a == b else None
                InterRDF(groups[a], groups[b], nbins=500, range=(0.0, 10.0), exclusion_block=block).run()

        seconds, _ = timed(with_mdanalysis)
        peers["MDAnalysis InterRDF (from 2 frames)"] = seconds * n_frames / 2
    return verdict(ours, peers, 1)


def bench_disorder(quick: bool) -> dict[str, Any]:
    """S_j of Li among Li and P."""
    from aiida_lpsgb.analysis.disorder import disorder

    n_frames = 10 if quick else 200
    trajectory = solid(n_frames, NUMBERS)
    ours, found = timed(lambda: disorder(trajectory, "Li", neighbours=["P"], cutoff_A=5.0, workers=CORES))
    if not find_spec("pyscal3"):
        return verdict(ours, {}, 1.8)
    import pyscal3

    def loop() -> np.ndarray:
        values = []
        for index in range(n_frames):
            atoms = trajectory.frame(index, ["Li", "P"])
            pyscal3.find_neighbors(atoms, method="cutoff", cutoff=5.0, store_rows=False)
            values.append(np.asarray(pyscal3.disorder(atoms, q=6))[: NUMBERS["Li"]])
        return np.array(values)

    theirs, values = timed(loop)
    return verdict(
        ours,
        {"pyscal3, a frame at a time": theirs},
        1.8,
        largest_difference=float(np.nanmax(np.abs(values - found.values))),
    )


def bench_ingest(quick: bool) -> dict[str, Any]:
    """A dump of 12 288 atoms into the compact file."""
    from aiida_lpsgb.analysis.trajectory import Trajectory

    n_frames = 50 if quick else 2000
    atoms = sum(NUMBERS.values())
    with tempfile.TemporaryDirectory() as folder:
        text, binary, target = (Path(folder) / name for name in ("dump.txt", "dump.bin", "t.lpsgbtraj"))
        write_dumps(text, binary, n_frames)
        seconds, trajectory = timed(lambda: ingest(binary, target))
        size = target.stat().st_size
        opened, again = timed(lambda: Trajectory.load(target))
        frame, _ = timed(lambda: again.frame(n_frames // 2))
        lithium, _ = timed(lambda: again.positions("Li"))
        from_text, _ = timed(lambda: ingest(text, Path(folder) / "u.lpsgbtraj"))
        parse = with_pandas(text, atoms)
    met = seconds <= 2 and from_text <= 4 and size <= 0.15e9 and opened <= 1
    return {
        "seconds": seconds,
        "seconds_text": from_text,
        "peers_seconds": {"pandas, text, numbers alone": parse},
        "ratio_to_best_peer": parse / seconds,
        "peak_memory_GB": peak_memory() / 1e9,
        "file_GB": size / 1e9,
        "bytes_per_coordinate": size / (3 * atoms * trajectory.n_frames),
        "open_seconds": opened,
        "one_frame_seconds": frame,
        "all_lithium_seconds": lithium,
        "bar": "binary <= 2 s, text <= 4 s; file <= 0.15 GB; open <= 1 s",
        "met": bool(met),
    }


def ingest(path: Path, target: Path):
    """From a dump to the compact file."""
    from aiida_lpsgb.analysis.trajectory import Trajectory

    trajectory = Trajectory.from_lammps_dump(path, list(NUMBERS), timestep_fs=2.0)
    trajectory.save(target)
    return trajectory


def with_pandas(path: Path, atoms: int) -> float:
    """Seconds that pandas takes for the numbers of a text dump, the frames having been cut out beforehand."""
    import pandas

    seconds = 0.0
    with open(path) as lines:
        while list(islice(lines, 9)):
            piece = StringIO("".join(islice(lines, atoms)))
            start = time.perf_counter()
            pandas.read_csv(piece, sep=" ", header=None).to_numpy()
            seconds += time.perf_counter() - start
    return seconds


def write_dumps(text: Path, binary: Path, n_frames: int) -> None:
    """The same trajectory as LAMMPS writes it in both forms."""
    rng = np.random.default_rng(0)
    atoms = sum(NUMBERS.values())
    table = np.empty((atoms, 5))
    table[:, 0] = np.arange(1, atoms + 1)
    table[:, 1] = np.repeat(np.arange(len(NUMBERS)) + 1, list(NUMBERS.values()))
    base, noise = rng.random((atoms, 3)), rng.normal(0, 0.1, (atoms, 3)) / EDGES
    columns = b"id type xsu ysu zsu"
    with open(binary, "wb") as out, open(text, "w") as lines:
        for k in range(n_frames):
            table[:, 2:] = base + np.roll(noise, 7 * k, axis=0)
            out.write(struct.pack("<q10sii", -10, b"DUMPCUSTOM", 1, 2))
            out.write(struct.pack("<qqi6i", 50 * k, atoms, 0, *[0] * 6))
            out.write(struct.pack("<6d", 0, EDGES[0], 0, EDGES[1], 0, EDGES[2]) + struct.pack("<ii", 5, 0))
            out.write(struct.pack("<bd", 1, 0.1 * k) + struct.pack("<i", len(columns)) + columns)
            out.write(struct.pack("<ii", 1, 5 * atoms) + table.tobytes())
            lines.write(f"ITEM: TIMESTEP\n{50 * k}\nITEM: NUMBER OF ATOMS\n{atoms}\nITEM: BOX BOUNDS pp pp pp\n")
            lines.writelines(f"0.0 {edge}\n" for edge in EDGES)
            lines.write("ITEM: ATOMS id type xsu ysu zsu\n")
            lines.writelines(f"{i:.0f} {t:.0f} {x:.8f} {y:.8f} {z:.8f}\n" for i, t, x, y, z in table.tolist())


def bench_memory(quick: bool) -> dict[str, Any]:
    """`lpsgb-analyse` on a long run in four segments: every observable, few frames for structure, all for motion."""
    n_frames, numbers = (400, {"Li": 480, "P": 160, "S": 640}) if quick else (20000, NUMBERS)
    sparse = max(1, n_frames // 100)
    parameters = {
        "rdf": {"every": sparse},
        "speciation": {"centre": "P", "ligand": "S", "cutoff_A": 2.5, "every": sparse},
        "density": {"species": "Li", "region": "boundary"},
        "disorder": {"species": "Li", "neighbours": ["P"], "every": 10},
        "topology": {name: {"species": "Li", "filtration": name, "every": sparse} for name in ("alpha", "rips")},
        "diffusivity": {"species": "Li"},
        "regions": {"species": "Li", "estimators": ["occupancy"]},
    }
    slab = {"axis": 2, "centres": [0.0, 0.5], "thickness_A": 10.0}
    request = {"parameters": parameters, "regions": {"boundary": slab}, "temperature_K": 600.0}
    with tempfile.TemporaryDirectory() as folder:
        segments = write_segments(Path(folder), n_frames, numbers)
        size = sum(path.stat().st_size for path in segments)
        (Path(folder) / "request.json").write_text(json.dumps(request))
        command = ["lpsgb-analyse", "request.json", "results", *(path.name for path in segments), f"--threads={CORES}"]
        seconds, done = timed(lambda: subprocess.run(command, cwd=folder, capture_output=True, text=True))
    print("        " + done.stdout.replace("\n", "\n        ") + done.stderr, flush=True)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    return {
        "seconds": seconds,
        "files_GB": size / 1e9,
        "peak_memory_GB": memory,
        "bar": "all computed, memory <= 2 GB",
        "met": bool(done.returncode == 0 and memory <= 2.0),
    }


def write_segments(folder: Path, n_frames: int, numbers: dict[str, int]) -> list[Path]:
    """Segments of a run in which Li walks and the others vibrate, written frame by frame."""
    from aiida_lpsgb.analysis.trajectory_file import Encoder

    rng = np.random.default_rng(0)
    symbols = [s for s, n in numbers.items() for _ in range(n)]
    position, n_ions, paths = sites(len(symbols), rng), numbers["Li"], []
    noise = rng.normal(0, 0.15, (8, len(symbols), 3)) / EDGES
    steps = rng.normal(0, 0.05, (64, n_ions, 3)) / EDGES
    for part in np.array_split(np.arange(n_frames), 4):
        paths.append(folder / f"segment_{len(paths):03d}.lpsgbtraj")
        encoder = Encoder(symbols, {"temperature_K": 600.0}, path=paths[-1])
        for k in part.tolist():
            position[:n_ions] += np.roll(steps[k % 64], k, axis=0)
            encoder.append(position + np.roll(noise[k % 8], 3 * k, axis=0), np.diag(EDGES), 0.1 * k, 50 * k)
        encoder.finish()
    return paths


BENCHMARKS = {
    "ingest": bench_ingest,
    "memory": bench_memory,
    "msd": bench_msd,
    "region": bench_region,
    "prdf": bench_prdf,
    "disorder": bench_disorder,
    "persistence": bench_persistence,
}


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; bars do not apply")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(BENCHMARKS)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    warnings.simplefilter("ignore")
    results: dict[str, Any] = {"cores": CORES, "quick": arguments.quick}
    for name in arguments.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name].__doc__.splitlines()[0]}", flush=True)
        results[name] = BENCHMARKS[name](arguments.quick)
        for key, value in results[name].items():
            print(f"    {key}: {value}", flush=True)
    print(json.dumps(results, default=float))


if __name__ == "__main__":
    main()
