"""Processor time of `lpsgb-mlp`'s sub-commands, beside MLIP-2's `mlp`.

    python benchmarks/tools.py [--peer MLP] [--levels 8 14 20] [--configurations 20 120 2000] [--repeats 3]

Both programs read the same files: strained and rattled cells of β-Li₃PS₄ (32 atoms), labelled by the potential of the
tests, and potentials of each level with random coefficients. Whole programs on one core are compared by their processor
time, the least of several runs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from ase.calculators.singlepoint import SinglePointCalculator
from selection import SPECIES, make_images

from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import write_cfg
from aiida_lpsgb.mtp.potential import MTP

POTENTIAL = Path(__file__).parents[1] / "tests" / "data" / "mtp" / "li3ps4_level8.mtp"
COMMANDS = {
    "calc-efs": ["pot.mtp", "in.cfg", "out.cfg"],
    "calc-errors": ["pot.mtp", "in.cfg"],
    "mindist": ["mindist.cfg"],
    "calc-grade": ["pot.mtp", "in.cfg", "candidates.cfg", "out.cfg"],
    "select-add": ["pot.mtp", "in.cfg", "candidates.cfg", "out.cfg"],
}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def write_files(folder: Path, level: int, count: int) -> None:
    engine = Engine(MTP.read(POTENTIAL), SPECIES)
    for seed, name in enumerate(("in.cfg", "candidates.cfg")):
        images = make_images(count, seed)
        for atoms in images:
            found = engine.evaluate(atoms)
            found.pop("energies")
            atoms.calc = SinglePointCalculator(atoms, **found)
        write_cfg(folder / name, images, SPECIES)
    if level == 8:
        shutil.copy(POTENTIAL, folder / "pot.mtp")
    else:
        untrained(level, len(SPECIES), 1.4, seed=1).write(folder / "pot.mtp")


def seconds(command: list[str], folder: Path) -> float:
    """Processor time of a program."""
    shutil.copy(folder / "in.cfg", folder / "mindist.cfg")
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status or errors:
        raise SystemExit(f"{' '.join(command)} failed: {errors.decode()[-500:]}")
    return usage.ru_utime + usage.ru_stime


def measure(level: int, count: int, programs: dict[str, str], repeats: int) -> dict:
    found: dict = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, level, count)
        for command, arguments in COMMANDS.items():
            best = {
                name: min(seconds([program, command, *arguments], folder) for _ in range(repeats))
                for name, program in programs.items()
            }
            text = ", ".join(f"{name} {value:.3f} s" for name, value in best.items())
            if "mlp" in best:
                best["ratio"] = best["mlp"] / best["ours"]
                text += f", {best['ratio']:.1f} times as fast"
            found[command] = best
            print(f"level {level}, {count} configurations, {command}: {text}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="MLIP-2's mlp")
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 14, 20])
    parser.add_argument("--configurations", type=int, nargs="+", default=[20, 120, 2000])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    programs = {"ours": str(Path(sys.executable).parent / "lpsgb-mlp")} | ({"mlp": args.peer} if args.peer else {})
    print(f"processor: {processor()}")
    found = {
        str(level): {str(count): measure(level, count, programs, args.repeats) for count in args.configurations}
        for level in args.levels
    }
    print(json.dumps({"processor": processor(), "levels": found}))


if __name__ == "__main__":
    main()
