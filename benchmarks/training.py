"""Time to train a moment tensor potential to the loss at which MLIP-2's `mlp train` stops.

    python benchmarks/training.py [--peer MLP] [--peer-seconds S] [--motep] [--cases small large] [--data FILE.extxyz]

Cases: `small` is level 8 with 100 configurations of 32 atoms, `large` is level 14 with 300. The configurations are
strained, rattled and molecular dynamics frames of β-Li₃PS₄ at 500 to 1000 K, labelled by SevenNet-0: made once (about a
quarter of an hour) and kept in `--data`. All programs read the same `.cfg` and begin without coefficients; losses are
those of the resulting potentials by one and the same function. `--peer` gives MLIP-2's program, `--peer-iterations` and
`--peer-seconds` (of processor time) its limits. Compared is the processor time on one core until a peer stops, or is
stopped, with ours until the loss that it had then: processor time bears other load better than wall time. Threads are
compared by wall time, the fastest of several runs.

The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.spacegroup import crystal

from aiida_lpsgb.mtp import training
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import read_cfg, write_cfg
from aiida_lpsgb.mtp.potential import MTP

SPECIES = ["Li", "P", "S"]
CASES = {"small": (8, 100), "large": (14, 300)}
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


def processor_seconds(command: list[str], folder: Path, limit: int | None = None) -> tuple[float, str]:
    """Processor time and output of a program, which is stopped at the limit on its processor time."""

    def set_limit() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=set_limit)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode and not (limit and seconds > limit - 1):
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds, done.stdout


class Ours:
    """Training in this process, with the processor time at which each loss was reached (reading included)."""

    def __init__(self, folder: Path, max_iter: int, tolerance: float):
        begin, self.times = time.process_time(), []
        images, mtp = read_cfg(folder / "train.cfg", SPECIES), MTP.read(folder / "initial.mtp")
        result = training.train(
            mtp,
            images,
            SPECIES,
            max_iter=max_iter,
            tolerance=tolerance,
            regularisation=0.0,  # the peers' loss
            progress=lambda iteration, loss, current: self.times.append((time.process_time() - begin, loss)),
        )
        self.seconds, self.loss, self.iterations = self.times[-1][0], result.loss, len(self.times) - 1

    def seconds_to(self, loss: float) -> float | None:
        return next((seconds for seconds, reached in self.times if reached <= loss), None)


def final_loss(folder: Path, name: str) -> float:
    images = read_cfg(folder / "train.cfg", SPECIES)
    return training.train(MTP.read(folder / name), images, SPECIES, max_iter=0, regularisation=0.0).loss


def run_peer(program: str, folder: Path, iterations: int, limit: int | None) -> dict:
    # Where it is stopped, the potential of its last iteration counts.
    arguments = ["train", "initial.mtp", "train.cfg", f"--max-iter={iterations}"]
    arguments += ["--trained-pot-name=peer.mtp", "--curr-pot-name=peer.mtp"]
    seconds, text = processor_seconds([program, *arguments], folder, limit)
    return {
        "seconds": seconds,
        "iterations": len(re.findall("BFGS iter", text)),
        "stopped_by_itself": "BFGS ended due to" in text.rpartition("Pre-training ended")[2],
        "loss": final_loss(folder, "peer.mtp"),
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
    return {"seconds": seconds, "iterations": iterations, "loss": final_loss(folder, "motep.mtp")}


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
        ours = Ours(folder, args.max_iter, args.tolerance)
        found = {"level": level, "configurations": count, "loss": ours.loss, "seconds": ours.seconds}
        found |= {"iterations": ours.iterations, "two_threads": thread_ratio(folder, args.repeats)}
        print(f"{name}: ours {ours.seconds:.1f} s, {ours.iterations} iterations, loss {ours.loss:.5g}", flush=True)
        print(f"{name}: two threads {found['two_threads']:.2f} times as fast as one", flush=True)
        for peer, run in (
            ("mlp", args.peer and (lambda: run_peer(args.peer, folder, args.peer_iterations, args.peer_seconds))),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="MLIP-2's mlp")
    parser.add_argument("--peer-iterations", type=int, default=1000)
    parser.add_argument("--peer-seconds", type=int)
    parser.add_argument("--motep", action="store_true")
    parser.add_argument("--motep-iterations", type=int, default=60)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--max-iter", type=int, default=300)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    parser.add_argument("--repeats", type=int, default=5)
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aiida-lpsgb" / "training.extxyz"
    parser.add_argument("--data", type=Path, default=cache)
    args = parser.parse_args()
    images = load_data(args.data, max(CASES[name][1] for name in args.cases))
    print(json.dumps({name: run_case(name, images, args) for name in args.cases}))


if __name__ == "__main__":
    main()
