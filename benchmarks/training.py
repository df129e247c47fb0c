"""Time to train a moment tensor potential to the loss at which MLIP-2's `mlp train` stops, and how sure that is.

    python benchmarks/training.py [--peer MLP] [--peer-seconds S] [--motep] [--cases small large basins memory]
                                  [--records FOLDER]

Cases: `small` is level 8 with 100 configurations of 32 atoms, `large` is level 14 with 300. The configurations are
strained, rattled and molecular dynamics frames of β-Li₃PS₄ at 500 to 1000 K, labelled by SevenNet-0: made once (about a
quarter of an hour) and kept in `--data`. All programs read the same `.cfg` and begin without coefficients; losses are
those of the resulting potentials by one and the same function. `--peer` gives MLIP-2's program, `--peer-iterations` and
`--peer-seconds` (of processor time) its limits. Compared is the processor time on one core until a peer stops, or is
stopped, with ours until the loss that it had then: processor time bears other load better than wall time. Threads are
compared by wall time, the fastest of several runs.

`basins` counts how many of `--seeds` trainings at level 8 end at (to 1e-4) or below the best loss of `--peer-runs`
runs of `mlp`, and the processor time until they are there, for three data sets: Li₃PS₄ as above, and rattled copper and
a random alloy of copper, palladium and gold, both labelled by effective medium theory. Each training is a line of JSON
in a file of `--records`; what is there already is not run again, so that a run may be stopped and go on. `memory` is
level 16 with many configurations of 128 atoms and random labels: time of an iteration and largest resident memory.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from tools import processor

from aiida_lpsgb.mtp import _training, training
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import read_cfg, write_cfg
from aiida_lpsgb.mtp.potential import MTP

SPECIES = ["Li", "P", "S"]
CASES = {"small": (8, 100), "large": (14, 300)}
BASIN_LEVEL = 8
# Losses that differ by less are those of one minimum, where each program stops a little short of it.
SAME_LOSS = 1e-4
MIN_DISTANCE = 1.4
SITES = {
    "Li": [(0.333, 0.030, 0.387), (0, 0, 0.5)],
    "P": [(0.088, 0.25, 0.165)],
    "S": [(0.1544, 0.030, 0.274), (0.938, 0.25, 0.263), (0.106, 0.25, 0.840)],
}


def ordered_crystal() -> Atoms:
    symbols = [symbol for symbol, sites in SITES.items() for _ in sites]
    basis = [site for sites in SITES.values() for site in sites]
    return crystal(symbols, basis, spacegroup=62, cellpar=[13.07, 8.13, 6.26, 90, 90, 90])


def labelled(atoms: Atoms) -> Atoms:
    copy = Atoms(atoms.get_chemical_symbols(), positions=atoms.positions, cell=atoms.cell, pbc=True)
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
    copy.calc = SinglePointCalculator(copy, **results)
    return copy


def make_data(count: int) -> list[Atoms]:
    """Frames labelled by SevenNet-0, a third of them strained and rattled, the rest from Langevin dynamics."""
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import thermalize_momenta
    from sevenn.calculator import SevenNetCalculator

    calculator, rng = SevenNetCalculator("7net-0", device="cpu"), np.random.default_rng(1)
    images = []
    for index in range(count // 3):
        atoms = ordered_crystal()
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.rattle((0.05, 0.1, 0.15)[index % 3], rng=rng)
        atoms.calc = calculator
        images.append(labelled(atoms))
    for temperature in (500, 650, 800, 1000):
        atoms = ordered_crystal()
        atoms.calc = calculator
        thermalize_momenta(atoms, 1.6 * temperature, rng=rng)
        dynamics = Langevin(atoms, 2 * units.fs, temperature_K=temperature, friction=0.02 / units.fs, rng=rng)
        dynamics.run(60)
        for _ in range(-(-(count - count // 3) // 4)):
            dynamics.run(10)
            images.append(labelled(atoms))
    return images[:count]


def load_data(path: Path, count: int) -> list[Atoms]:
    if not path.exists():
        print(f"labelling {count} configurations with SevenNet-0 into {path}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, make_data(count), format="extxyz")
    images = [atoms for atoms in read(path, ":") if len(atoms) == 32]
    if len(images) < count:
        raise SystemExit(f"{path} has {len(images)} configurations of 32 atoms, {count} are needed")
    return images


def make_metal(elements: list[str], lattice: float, count: int, seed: int) -> list[Atoms]:
    """Strained and rattled fcc cells of 32 atoms, some with a vacancy, labelled by effective medium theory."""
    from ase.calculators.emt import EMT

    rng, images = np.random.default_rng(seed), []
    for index in range(count):
        atoms = bulk(elements[0], "fcc", a=lattice, cubic=True).repeat(2)
        atoms.symbols = rng.permutation(np.resize(elements, len(atoms)))
        if index % 5 == 4:
            del atoms[rng.integers(len(atoms))]
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.04, 0.04, (3, 3))), scale_atoms=True)
        atoms.rattle((0.03, 0.08, 0.15)[index % 3], rng=rng)
        atoms.calc = EMT()
        images.append(labelled(atoms))
    return images


def shortest_distance(images: list[Atoms]) -> float:
    return min(neighbor_list("d", atoms, 3.0).min() for atoms in images)


def machine(peer: str | None) -> dict:
    """What the numbers belong to; the load tells whether the machine was quiet."""
    found = {"processor": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    found["kernel"] = _training.TrainingSet(untrained(2, 1).to_string()).kernel
    if peer:
        found["peer"] = subprocess.run([peer, "help"], capture_output=True, text=True).stdout.partition(",")[0]
    return found


def processor_seconds(command: list[str], folder: Path, limit: int | None = None) -> tuple[float, str]:
    """Processor time and output of a program, which is stopped at the limit on its processor time."""

    def set_limit() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=set_limit)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stopped = limit and -done.returncode in (signal.SIGXCPU, signal.SIGKILL)
    if done.returncode and not stopped:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds, done.stdout


class Ours:
    """Training in this process, with the processor time at which each loss was reached (reading included)."""

    def __init__(self, folder: Path, species: list[str], **options):
        begin, self.times = time.process_time(), []
        images, mtp = read_cfg(folder / "train.cfg", species), MTP.read(folder / "initial.mtp")
        result = training.train(
            mtp,
            images,
            species,
            regularisation=0.0,  # the peers' loss
            progress=lambda iteration, loss, current: self.times.append((time.process_time() - begin, loss)),
            **options,
        )
        self.seconds, self.loss, self.iterations = self.times[-1][0], result.loss, len(self.times) - 1

    def seconds_to(self, loss: float) -> float | None:
        return next((seconds for seconds, reached in self.times if reached <= loss), None)


def final_loss(folder: Path, name: str, species: list[str]) -> float:
    images = read_cfg(folder / "train.cfg", species)
    return training.train(MTP.read(folder / name), images, species, max_iter=0, regularisation=0.0).loss


def run_peer(args: argparse.Namespace, folder: Path, species: list[str]) -> dict:
    # Where it is stopped, the potential of its last iteration counts.
    arguments = ["train", "initial.mtp", "train.cfg", f"--max-iter={args.peer_iterations}"]
    arguments += ["--trained-pot-name=peer.mtp", "--curr-pot-name=peer.mtp"]
    seconds, text = processor_seconds([args.peer, *arguments], folder, args.peer_seconds)
    return {
        "seconds": seconds,
        "iterations": len(re.findall("BFGS iter", text)),
        "stopped_by_itself": "BFGS ended due to" in text.rpartition("Pre-training ended")[2],
        "loss": final_loss(folder, "peer.mtp", species),
    }


MOTEP = """[common]
seed = 1
[configurations]
training = ["motep.cfg"]
[potentials]
initial = "initial.mtp"
final = "motep.mtp"
[loss]
energy_weight = 1.0
forces_weight = 0.01
stress_weight = 0.001
[[steps]]
method = "LLS"
optimized = ["species_coeffs", "moment_coeffs"]
[[steps]]
method = "BFGS"
optimized = ["species_coeffs", "radial_coeffs", "moment_coeffs"]
kwargs = {{ options = {{ maxiter = {iterations} }} }}
"""


def run_motep(folder: Path, iterations: int) -> dict:
    # motep reads no numbers with exponents.
    text = (folder / "train.cfg").read_text()
    decimals = re.sub(r"-?\d+(\.\d+)?e[-+]?\d+", lambda match: f"{float(match[0]):.18f}", text)
    (folder / "motep.cfg").write_text(decimals)
    (folder / "motep.toml").write_text(MOTEP.format(iterations=iterations))
    program = str(Path(sys.executable).parent / "motep")
    seconds, _ = processor_seconds([program, "train", "motep.toml"], folder)
    # It writes other keywords than MLIP-2, and the number of radial functions after their coefficients.
    text = (folder / "motep.mtp").read_text()
    for theirs, usual in (("min", "min_dist"), ("max", "max_dist"), ("size", "radial_basis_size")):
        text = text.replace(f"\t{theirs} =", f"\t{usual} =")
    count = re.search(r"\s*radial_funcs_count = \d+", text)[0]
    text = text.replace(count, "").replace("\n\tradial_coeffs", f"{count}\n\tradial_coeffs")
    (folder / "motep.mtp").write_text(text)
    return {"seconds": seconds, "iterations": iterations, "loss": final_loss(folder, "motep.mtp", SPECIES)}


def thread_ratio(folder: Path, repeats: int) -> float:
    """Wall time of the normal equations on one thread by that on two."""
    images = read_cfg(folder / "train.cfg", SPECIES)
    mtp = untrained(MTP.read(folder / "initial.mtp").level, len(SPECIES), MIN_DISTANCE, seed=1)
    data, _ = training.training_set(mtp, images, SPECIES, training.Weights())
    fastest = {1: np.inf, 2: np.inf}
    for _ in range(repeats):
        for threads in fastest:
            begin = time.perf_counter()
            data.normal_equations(mtp.parameters, threads)
            fastest[threads] = min(fastest[threads], time.perf_counter() - begin)
    return fastest[1] / fastest[2]


def run_case(name: str, images: list[Atoms], args: argparse.Namespace) -> dict:
    level, count = CASES[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        picked = np.linspace(0, len(images) - 1, count).astype(int)
        write_cfg(folder / "train.cfg", [images[index] for index in picked], SPECIES)
        untrained(level, len(SPECIES), MIN_DISTANCE).write(folder / "initial.mtp")
        ours = Ours(folder, SPECIES, max_iter=args.max_iter, tolerance=args.tolerance)
        found = {"level": level, "configurations": count, "loss": ours.loss, "seconds": ours.seconds}
        found |= {"iterations": ours.iterations, "two_threads": thread_ratio(folder, args.repeats)}
        print(f"{name}: ours {ours.seconds:.1f} s, {ours.iterations} iterations, loss {ours.loss:.5g}", flush=True)
        print(f"{name}: two threads {found['two_threads']:.2f} times as fast as one", flush=True)
        for peer, run in (
            ("mlp", args.peer and (lambda: run_peer(args, folder, SPECIES))),
            ("motep", args.motep and (lambda: run_motep(folder, args.motep_iterations))),
        ):
            if not run:
                continue
            found[peer] = theirs = run()
            reached = ours.seconds_to(theirs["loss"])
            theirs |= {"our_seconds": reached, "ratio": theirs["seconds"] / reached if reached else None}
            ratio = f"{theirs['ratio']:.1f} times faster" if reached else "not reached"
            print(
                f"{name}: {peer} {theirs['seconds']:.1f} s, loss {theirs['loss']:.5g}; ours to it {ratio}", flush=True
            )
    return found


def basin_sets(args: argparse.Namespace) -> dict[str, tuple[list[str], list[Atoms]]]:
    """Species and configurations of each data set."""
    crystal_images = load_data(args.data, CASES["small"][1])
    picked = np.linspace(0, len(crystal_images) - 1, 60).astype(int)
    return {
        "Li-P-S": (SPECIES, [crystal_images[index] for index in picked]),
        "Cu": (["Cu"], make_metal(["Cu"], 3.6, 60, seed=1)),
        "Cu-Pd-Au": (["Cu", "Pd", "Au"], make_metal(["Cu", "Pd", "Au"], 3.85, 60, seed=2)),
    }


def recorded(path: Path, runs: int, run: Callable[[int], dict]) -> list[dict]:
    """What `run` gives for 0, 1, ..., one line of JSON each; lines that the file has already are read."""
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for number in range(len(found), runs):
        found.append({"run": number, **run(number)})
        with path.open("a") as out:
            print(json.dumps(found[-1]), file=out)
        brief = {key: value for key, value in found[-1].items() if key != "trace"}
        print(f"{path.stem}: {json.dumps(brief)}", flush=True)
    return found[:runs]


def one_of_ours(folder: Path, species: list[str], seed: int) -> dict:
    ours = Ours(folder, species, seed=seed)
    found = {"seconds": ours.seconds, "iterations": ours.iterations, "loss": ours.loss}
    return found | {"trace": [[round(seconds, 3), loss] for seconds, loss in ours.times]}


def run_basins(name: str, species: list[str], images: list[Atoms], args: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        records = args.records or folder
        records.mkdir(parents=True, exist_ok=True)
        write_cfg(folder / "train.cfg", images, species)
        untrained(BASIN_LEVEL, len(species), 0.95 * shortest_distance(images)).write(folder / "initial.mtp")
        ours = recorded(records / f"{name}.jsonl", args.seeds, lambda seed: one_of_ours(folder, species, seed))
        peer_runs = args.peer_runs if args.peer else 0
        theirs = recorded(records / f"{name}-mlp.jsonl", peer_runs, lambda _: run_peer(args, folder, species))
    losses = sorted(run["loss"] for run in ours)
    found = {"configurations": len(images), "losses": losses, "mlp": theirs}
    found["seconds"] = statistics.median(run["seconds"] for run in ours)
    print(f"{name}: ours {found['seconds']:.1f} s, losses {losses[0]:.4g} to {losses[-1]:.4g}", flush=True)
    if theirs:
        best = min(theirs, key=lambda run: run["loss"])
        least = best["loss"] * (1 + SAME_LOSS)
        reached = [
            next(seconds for seconds, loss in run["trace"] if loss <= least) for run in ours if run["loss"] <= least
        ]
        ratio = best["seconds"] / statistics.median(reached) if reached else None
        found |= {"share": len(reached) / len(ours), "ratio": ratio}
        text = ", ".join(f"{run['loss']:.4g} in {run['seconds']:.0f} s" for run in theirs)
        print(f"{name}: mlp {text}; {found['share']:.0%} of ours reach its best", flush=True)
        print(f"{name}: these reach it {ratio and round(ratio, 1)} times faster (median)", flush=True)
    return found


def run_memory(args: argparse.Namespace) -> dict:
    """Time and memory of an iteration at level 16, for configurations of 128 atoms with random labels."""
    rng, base, images = np.random.default_rng(1), ordered_crystal().repeat((1, 2, 2)), []
    for _ in range(args.memory_configurations):
        atoms = Atoms(base.symbols, positions=base.positions, cell=base.cell, pbc=True)
        atoms.rattle(0.1, rng=rng)
        results = {"energy": rng.normal(), "forces": rng.normal(size=(len(atoms), 3)), "stress": rng.normal(size=6)}
        atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    mtp = untrained(16, len(SPECIES), MIN_DISTANCE, seed=1)
    data, _ = training.training_set(mtp, images, SPECIES, training.Weights())
    begin = time.process_time()
    data.normal_equations(mtp.parameters, 1)
    found = {"configurations": len(images), "seconds": time.process_time() - begin, "images_mb": before}
    found["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"level 16, {len(images)} x 128 atoms: {found}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="MLIP-2's mlp")
    parser.add_argument("--peer-iterations", type=int, default=1000)
    parser.add_argument("--peer-seconds", type=int)
    parser.add_argument("--motep", action="store_true")
    parser.add_argument("--motep-iterations", type=int, default=60)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, "basins", "memory"], default=list(CASES))
    parser.add_argument("--peer-runs", type=int, default=3, help="for basins")
    parser.add_argument("--seeds", type=int, default=20, help="for basins")
    parser.add_argument("--records", type=Path, help="folder that keeps the runs of basins")
    parser.add_argument("--memory-configurations", type=int, default=1000)
    parser.add_argument("--max-iter", type=int, default=300)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--repeats", type=int, default=5)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiida-lpsgb" / "training.extxyz"
    parser.add_argument("--data", type=Path, default=cache)
    args = parser.parse_args()
    found = machine(args.peer)
    print(found, flush=True)
    cases = [name for name in args.cases if name in CASES]
    if cases:
        images = load_data(args.data, max(CASES[name][1] for name in cases))
        found |= {name: run_case(name, images, args) for name in cases}
    if "basins" in args.cases:
        found["basins"] = {name: run_basins(name, *data, args) for name, data in basin_sets(args).items()}
    if "memory" in args.cases:
        found["memory"] = run_memory(args)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
