"""Processor time and memory of `lpsgb-mlp`'s sub-commands, beside MLIP-2's `mlp`.

    python benchmarks/tools.py [--peer MLP] [--levels 8 14 20] [--configurations 20 120 2000] [--repeats 3]

Both programs read the same files: strained and rattled cells of β-Li₃PS₄ (32 atoms), labelled by the potential of the
tests, and potentials of each level with random coefficients. Whole programs on one core are compared by their processor
time: runs alternate and the least of each program counts, so that other load matters little. Memory is the largest
resident set, of which some 9 MB may be those of the process that starts the program. The last line is one JSON object.
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
# A started program's memory counts from that of the process it was forked from: a small one.
LAUNCHER = """
import os, sys
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print("\\n", usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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


def run(command: list[str], folder: Path) -> tuple[float, float]:
    """Processor time in seconds and largest resident memory in MB of a program."""
    shutil.copy(folder / "in.cfg", folder / "mindist.cfg")
    done = subprocess.run([sys.executable, "-ISc", LAUNCHER, *command], cwd=folder, capture_output=True, text=True)
    if done.returncode or done.stderr:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    seconds, kilobytes = done.stdout.split()[-2:]
    return float(seconds), float(kilobytes) / 1e3


def measure(level: int, count: int, programs: dict[str, str], args: argparse.Namespace) -> dict:
    found: dict = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, level, count)
        for command in args.commands:
            runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
            for _ in range(args.repeats):
                for name, program in programs.items():
                    runs[name].append(run([program, command, *COMMANDS[command]], folder))
            row = {
                name: {"seconds": min(seconds for seconds, _ in done), "memory_mb": max(memory for _, memory in done)}
                for name, done in runs.items()
            }
            text = ", ".join(f"{name} {one['seconds']:.3f} s, {one['memory_mb']:.0f} MB" for name, one in row.items())
            if "mlp" in row:
                found[command] = row | {"ratio": row["mlp"]["seconds"] / row["ours"]["seconds"]}
                text += f"; {found[command]['ratio']:.2f} times as fast"
            else:
                found[command] = row
            print(f"level {level}, {count} configurations, {command}: {text}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="MLIP-2's mlp")
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 14, 20])
    parser.add_argument("--configurations", type=int, nargs="+", default=[20, 120, 2000])
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=COMMANDS)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    programs = {"ours": str(Path(sys.executable).parent / "lpsgb-mlp")} | ({"mlp": args.peer} if args.peer else {})
    print(f"processor: {processor()}")
    found = {
        str(level): {str(count): measure(level, count, programs, args) for count in args.configurations}
        for level in args.levels
    }
    print(json.dumps({"processor": processor(), "levels": found}))


if __name__ == "__main__":
    main()
