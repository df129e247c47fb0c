"""Speed of molecular dynamics with this package's LAMMPS pair styles.

    python benchmarks/md.py [--peer PLUGIN.so] [--peer-coeff "* * {file} 0 1 2"] [--levels 8 14 ...]
                            [--atoms 1792 12288] [--packing crystal glass] [--measure mpi ...]

Li₃PS₄ with random coefficients: the cost of a step depends on the level and on the neighbours, not on the values. Atoms
stay in place (a tiny time step) and neighbour lists are rebuilt every 15 steps, as in a run at 2 fs and 600 K. `glass`
is as many atoms at the same density, packed at random. `--peer` is a ready-built LAMMPS plugin that brings another
`pair_style mtp`: the older one of LAMMPS's pull request takes the file from `pair_style`, the newer one of LAMMPS wants
`--peer-coeff`, what stands behind `pair_coeff`. It runs the same input in the same `lmp`, alternating with ours. Each
figure is the fastest of `--repeats` runs.

`--measure` picks from: `comparison` (with the peer, and flops), `mpi` (two processes by one), `extrapolation` (grading
every tenth step), `kernels` (the instruction sets).

The last line is one JSON object. `us` is microseconds per atom and step of the whole run, `pair_us` of the pair style.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from tools import processor

from aiida_lpsgb.mtp import _core
from aiida_lpsgb.mtp.basis import untrained

BIN = Path(sys.executable).parent
SPECIES = ["Li", "P", "S"]
REPEATS = {384: (2, 2, 3), 1792: (2, 4, 7), 3072: (4, 4, 6), 12288: (4, 8, 12), 98304: (8, 16, 24)}
CUTOFF = 5.0
REBUILD = 15

INPUT = """units metal
read_data atoms.data
{plugin}
pair_style {style}
pair_coeff {coeff}
velocity all create 600 1
fix 1 all nve
timestep 1e-9
neigh_modify every {rebuild} delay 0 check no
thermo {steps}
run {steps}
"""

PEAK = r"""
#include <chrono>
#include <cstdio>
typedef double V __attribute__((vector_size(LANES * 8)));
int main() {
  V x[16], a, b;
  for (int l = 0; l < LANES; ++l) a[l] = 0.999999 + 1e-9 * l, b[l] = 1e-7;
  for (int k = 0; k < 16; ++k) x[k] = a * (k + 1.0);
  double best = 0;
  for (int r = 0; r < 20; ++r) {
    const auto start = std::chrono::steady_clock::now();
    for (int n = 0; n < 1000000; ++n)
      for (int k = 0; k < 16; ++k) x[k] = x[k] * a + b;
    const double t = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const double rate = 1e6 * 16 * 2 * LANES / t / 1e9;
    if (rate > best) best = rate;
  }
  double sum = 0;
  for (int k = 0; k < 16; ++k) for (int l = 0; l < LANES; ++l) sum += x[k][l];
  std::printf("%g %g\n", best, sum);
}
"""
ALL = "* *"
# Soft spheres of this diameter, Å, are what a random packing is relaxed with.
DIAMETER = 2.4

LANES = {"baseline": 2, "AVX2": 4, "AVX-512": 8}


def structure(n_atoms):
    """Rattled β-Li₃PS₄ with all 8d and 4b sites filled."""
    sites = [(0.333, 0.030, 0.387), (0, 0, 0.5), (0.088, 0.25, 0.165), (0.1544, 0.030, 0.274)]
    sites += [(0.938, 0.25, 0.263), (0.106, 0.25, 0.840)]
    cell = crystal(["Li", "Li", "P", "S", "S", "S"], sites, spacegroup=62, cellpar=[13.07, 8.13, 6.26, 90, 90, 90])
    atoms = cell.repeat(REPEATS[n_atoms])
    atoms.rattle(0.1, seed=1)
    return atoms


def packed(atoms):
    """The same atoms in a cube of the same density, at random, and pushed apart as soft spheres."""
    rng = np.random.default_rng(2)
    glass = Atoms(rng.permutation(atoms.symbols), cell=[atoms.get_volume() ** (1 / 3)] * 3, pbc=True)
    glass.set_scaled_positions(rng.uniform(size=(len(glass), 3)))
    for _ in range(200):
        first, distances, vectors = neighbor_list("idD", glass, DIAMETER)
        overlap = (1 - DIAMETER / np.maximum(distances, 0.1))[:, None] * vectors
        glass.positions += 0.3 * np.stack([np.bincount(first, own, len(glass)) for own in overlap.T], axis=1)
    glass.wrap()
    return glass


PACKINGS = {"crystal": lambda atoms: atoms, "glass": packed}


def potential(level):
    """Potential with random coefficients whose forces leave the atoms where they are."""
    mtp = untrained(level, len(SPECIES), min_distance=1.5, cutoff=CUTOFF)
    return mtp.with_parameters(np.random.default_rng(level).uniform(-0.01, 0.01, mtp.n_parameters))


def write_active_set(path, mtp, *, neighbourhoods):
    """An active set of MLIP-2's format whose grades select nothing."""
    size = mtp.n_parameters
    weights = np.array([1.0, 0, 0, 0] if neighbourhoods else [0, 1.0, 0, 0])
    matrices = np.concatenate([np.eye(size) * 1e9, np.eye(size) / 1e9])
    path.write_bytes(mtp.to_string().rstrip().encode() + b"\n^" + weights.tobytes() + b"\n#" + matrices.tobytes())


class Runner:
    """Runs LAMMPS in a folder with potentials and a structure."""

    def __init__(self, folder, repeats, levels, peer, peer_coeff):
        self.folder = folder
        self.repeats = repeats
        self.peer = peer
        self.peer_coeff = peer_coeff
        for level in levels:
            mtp = potential(level)
            mtp.write(folder / f"p{level}.mtp")
            for mode in ("configuration", "neighborhood"):
                write_active_set(folder / f"p{level}.{mode}.als", mtp, neighbourhoods=mode == "neighborhood")

    def take(self, n_atoms, packing="crystal"):
        """Run the structure of so many atoms from now on."""
        atoms = PACKINGS[packing](structure(n_atoms))
        atoms.write(self.folder / "atoms.data", format="lammps-data", specorder=SPECIES, masses=True)
        self.n_atoms, self.neighbours = n_atoms, len(neighbor_list("i", atoms, CUTOFF)) / n_atoms

    def once(self, style, steps, *, peer=None, coeff=ALL, ranks=1, kernel=None):
        """Microseconds per atom and step: of the run, of the pair style."""
        plugin = ""
        if peer:
            plugin = f"plugin unload pair mtp/extrapolation\nplugin unload pair mtp\nplugin load {peer}"
        script = INPUT.format(style=style, coeff=coeff, steps=steps, plugin=plugin, rebuild=REBUILD)
        (self.folder / "in.lmp").write_text(script)
        command = [str(BIN / "lmp"), "-in", "in.lmp", "-log", "none"]
        if ranks > 1:
            command = [str(BIN / "mpiexec"), "-n", str(ranks), *command]
        env = dict(os.environ, OMP_NUM_THREADS="1", **({"MTP_KERNEL": kernel} if kernel else {}))
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        loop = re.search(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms", done.stdout)
        pair = re.search(r"^Pair\s+\| \S+\s+\| (\S+)", done.stdout, re.MULTILINE)
        if done.returncode or not loop:
            raise SystemExit(f"lmp failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        scale = 1e6 / int(loop[2]) / int(loop[3])
        return float(loop[1]) * scale, float(pair[1]) * scale

    def best(self, variants):
        """Fastest of alternating runs of each variant (name: arguments of `once`)."""
        times = {name: [] for name in variants}
        for _ in range(self.repeats):
            for name, (style, steps, options) in variants.items():
                times[name].append(self.once(style, steps, **options))
        return {name: (min(t[0] for t in runs), min(t[1] for t in runs)) for name, runs in times.items()}


def measured_peak(folder, kernel):
    """GFLOP/s of independent fused multiply-adds in registers, or None without a compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    flags = {"baseline": [], "AVX2": ["-mavx2", "-mfma"], "AVX-512": ["-mavx512f"]}[kernel]
    (folder / "peak.cpp").write_text(PEAK)
    command = [
        compiler,
        "-O3",
        "-w",
        "-ffp-contract=fast",
        *flags,
        f"-DLANES={LANES[kernel]}",
        "peak.cpp",
        "-o",
        "peak",
    ]
    subprocess.run(command, cwd=folder, check=True)
    return float(subprocess.run([folder / "peak"], capture_output=True, text=True, check=True).stdout.split()[0])


def steps_for(runner, level, *, peer=False):
    """Steps that take about a second."""
    cost = {8: 0.4, 10: 0.5, 12: 0.6, 14: 0.8, 16: 1.2, 18: 2.0, 20: 3.5}.get(level, 4.0) * (12 if peer else 1)
    return max(2, round(1e6 / (cost * runner.n_atoms) / REBUILD)) * REBUILD


def comparison(runner, level):
    """Time and flops, beside the peer's time."""
    variants = {"ours": (f"mtp p{level}.mtp", steps_for(runner, level), {})}
    if runner.peer:
        style = f"mtp p{level}.mtp" if runner.peer_coeff == ALL else "mtp"
        options = {"peer": runner.peer, "coeff": runner.peer_coeff.format(file=f"p{level}.mtp")}
        variants["peer"] = (style, steps_for(runner, level, peer=True), options)
    times = runner.best(variants)
    evaluator = _core.Evaluator(_core.Potential((runner.folder / f"p{level}.mtp").read_text()))
    flops = evaluator.flops_per_atom + runner.neighbours * evaluator.flops_per_neighbour
    row = {"us": times["ours"][0], "pair_us": times["ours"][1], "gflops": flops / times["ours"][1] / 1e3}
    if runner.peer:
        row["peer_us"], row["peer_pair_us"] = times["peer"]
        row["ratio"] = row["peer_us"] / row["us"]
        row["pair_ratio"] = row["peer_pair_us"] / row["pair_us"]
    return row


def mpi(runner, level):
    """Speed-up of two processes over one."""
    style, steps = f"mtp p{level}.mtp", 2 * steps_for(runner, level)
    times = runner.best({ranks: (style, steps, {"ranks": ranks}) for ranks in (1, 2)})
    return {"us": times[1][0], "us_2_ranks": times[2][0], "speed_up": times[1][0] / times[2][0]}


def extrapolation(runner, level):
    """Time of a run that grades every tenth step, over one that does not."""
    steps = steps_for(runner, level)
    variants = {"plain": (f"mtp p{level}.mtp", steps, {})}
    for mode in ("configuration", "neighborhood"):
        style = f"mtp/extrapolation p{level}.mtp p{level}.{mode}.als 10 2 10 out.cfg"
        variants[mode] = (style, steps, {})
    times = runner.best(variants)
    return {mode: times[mode][0] / times["plain"][0] for mode in ("configuration", "neighborhood")}


def kernels(runner, level):
    """Pair style's time with each instruction set."""
    steps = steps_for(runner, level)
    names = _core.available_kernels()
    times = runner.best({name: (f"mtp p{level}.mtp", steps, {"kernel": name}) for name in names})
    return {name: times[name][1] for name in names}


MEASURES = {measure.__name__: measure for measure in (comparison, mpi, extrapolation, kernels)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="ready-built LAMMPS plugin with another pair_style mtp")
    parser.add_argument("--peer-coeff", default=ALL, help="its pair_coeff, with {file} for the potential")
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 10, 14, 16, 20])
    parser.add_argument("--atoms", type=int, nargs="+", default=[1792, 12288], choices=sorted(REPEATS))
    parser.add_argument("--packing", nargs="+", default=["crystal"], choices=PACKINGS)
    parser.add_argument("--measure", nargs="+", default=list(MEASURES), choices=MEASURES)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    best_kernel = _core.available_kernels()[-1]
    found = {"processor": processor(), "load": round(os.getloadavg()[0], 1), "kernel": best_kernel}
    report = {"benchmark": "md", **found, **{name: [] for name in arguments.measure}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer = arguments.peer and arguments.peer.resolve()
        runner = Runner(folder, arguments.repeats, arguments.levels, peer, arguments.peer_coeff)
        report["peak_gflops"] = measured_peak(folder, best_kernel)
        for n_atoms, packing in itertools.product(arguments.atoms, arguments.packing):
            runner.take(n_atoms, packing)
            print(f"{n_atoms} atoms, {packing}, {runner.neighbours:.1f} neighbours within {CUTOFF} A")
            for level, measure in itertools.product(arguments.levels, arguments.measure):
                row = MEASURES[measure](runner, level)
                report[measure].append({"atoms": n_atoms, "packing": packing, "level": level, **row})
                print(measure, level, "  ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
