"""Check and time the pair styles for GPUs on a machine with a card.

    python benchmarks/gpu.py [--levels 8 14 20] [--atoms 12288 98304] [--device 0]

Li₃PS₄ with random coefficients, as in `md.py`. For each level: energy, forces and virial against the CPU's engine with
3 072 atoms. For each level and number of atoms: the kernels alone by the card's clock, with the neighbour list as it is
between rebuilds, and whole steps of `lmp` with `mtp/gpu` on one and four processes and with `mtp` on all cores. With
`--device host` everything is run on the host, to see that the script works: such times mean nothing.

Without a card it says so and leaves with status 3. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from md import ALL, BIN, REBUILD, REPEATS, SPECIES, potential, structure
from md import INPUT as WHOLE

from aiida_lpsgb.mtp import _core

SKIN = 2.0
TOLERANCE = {False: 1e-12, True: 1e-4}

# The kernels are compiled and the first list is made before the clock starts.
INPUT = WHOLE.replace("run {steps}", "run {rebuild}\nrun {steps}")


def arguments_of(atoms):
    types = np.array([SPECIES.index(symbol) for symbol in atoms.symbols])
    return types, atoms.positions, atoms.cell.array, atoms.pbc


def check(text, device, *, mixed, n_atoms):
    """Seconds until the kernels are there, and the largest relative differences from the CPU's results."""
    parsed = _core.Potential(text)
    begin = time.perf_counter()
    evaluator = _core.DeviceEvaluator(parsed, device, mixed)
    row = {"start_s": time.perf_counter() - begin}
    arguments = arguments_of(structure(n_atoms))
    expected = _core.Evaluator(parsed).evaluate(*arguments)
    found = evaluator.evaluate(*arguments, skin=SKIN, virials=True)
    for name, value in expected.items():
        row[name] = float(np.max(np.abs(found[name] - value)) / np.max(np.abs(value)))
    row["virials"] = float(
        np.max(np.abs(found["virials"].sum(axis=0) - expected["virial"])) / np.abs(expected["virial"]).max()
    )
    row["agrees"] = all(row[name] < TOLERANCE[mixed] for name in (*expected, "virials"))
    return row


def kernel_ns(text, device, atoms, *, mixed):
    """Nanoseconds an atom of the kernels of one step."""
    evaluator = _core.DeviceEvaluator(_core.Potential(text), device, mixed)
    evaluator.evaluate(*arguments_of(atoms), skin=SKIN)
    return 1e3 * evaluator.time_step(20) / len(atoms)


def step_ms(folder, style, steps, *, ranks=1):
    """Milliseconds of a whole step of LAMMPS, and of its pair style."""
    (folder / "in.lmp").write_text(INPUT.format(style=style, coeff=ALL, steps=steps, plugin="", rebuild=REBUILD))
    command = [str(BIN / "lmp"), "-in", "in.lmp", "-log", "none"]
    if ranks > 1:
        command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    loops = re.findall(r"Loop time of (\S+) on \d+ procs for (\d+) steps", done.stdout)
    pairs = re.findall(r"^Pair\s+\| \S+\s+\| (\S+)", done.stdout, re.MULTILINE)
    if done.returncode or len(loops) < 2:
        raise SystemExit(f"lmp failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return 1e3 * float(loops[-1][0]) / steps, 1e3 * float(pairs[-1]) / steps


def measure(folder, level, n_atoms, device):
    """One row of times."""
    atoms, text = structure(n_atoms), potential(level).to_string()
    (folder / "p.mtp").write_text(text)
    atoms.write(folder / "atoms.data", format="lammps-data", specorder=SPECIES, masses=True)
    row = {"level": level, "atoms": n_atoms}
    row["kernel_ns"] = kernel_ns(text, device, atoms, mixed=False)
    row["kernel_mixed_ns"] = kernel_ns(text, device, atoms, mixed=True)
    steps = REBUILD if device == "host" else REBUILD * max(2, round(3e6 / n_atoms / REBUILD / (1 + (level > 16) * 9)))
    row["step_ms"], row["pair_ms"] = step_ms(folder, f"mtp/gpu p.mtp device {device}", steps)
    if device != "host":
        # They take turns without MPS.
        row["step_4_ranks_ms"], _ = step_ms(folder, f"mtp/gpu p.mtp device {device}", steps, ranks=4)
    cores = len(os.sched_getaffinity(0))
    row["cpu_ranks"] = cores
    row["cpu_step_ms"], _ = step_ms(folder, "mtp p.mtp", REBUILD, ranks=cores)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 14, 20])
    parser.add_argument("--atoms", type=int, nargs="+", default=[12288, 98304], choices=sorted(REPEATS))
    parser.add_argument("--device", default="0", help="number of the card, or host")
    options = parser.parse_args()
    report = {"benchmark": "gpu", "checks": [], "times": []}
    try:
        report["device"] = _core.card_description(int(options.device)) if options.device != "host" else "host"
        report["compiler"] = _core.nvrtc_description() if options.device != "host" else "c++"
    except _core.DeviceError as error:
        print(f"Nothing was checked and nothing timed: {error}")
        print(json.dumps({**report, "error": str(error)}))
        raise SystemExit(3) from error
    print(report["device"], report["compiler"], sep="\n")
    for level in options.levels:
        for mixed in (False, True):
            text = potential(level).to_string()
            row = check(text, options.device, mixed=mixed, n_atoms=384 if options.device == "host" else 3072)
            report["checks"].append({"level": level, "mixed": mixed, **row})
            print("check", report["checks"][-1], flush=True)
    with tempfile.TemporaryDirectory() as name:
        for n_atoms in options.atoms:
            for level in options.levels:
                report["times"].append(measure(Path(name), level, n_atoms, options.device))
                print("time", report["times"][-1], flush=True)
    print(json.dumps(report))
    if not all(row["agrees"] for row in report["checks"]):
        raise SystemExit("the card's results are not those of the CPU")


if __name__ == "__main__":
    main()
