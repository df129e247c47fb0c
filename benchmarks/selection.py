"""Time to select configurations for a training set, beside MLIP-2's `mlp select-add`.

    python benchmarks/selection.py [--peer MLP] [--level 14] [--candidates 2000 10000]

Candidates are strained and rattled cells of β-Li₃PS₄ (32 atoms), the training set is made of 200 of them, the potential
has random coefficients. Both programs read and write the same kinds of files; processor time of the whole programs on
one core is compared, and the volumes of the active sets that they find. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.spacegroup import crystal

from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.configurations import write_cfg
from aiida_lpsgb.mtp.selection import ActiveSet

SPECIES = ["Li", "P", "S"]
SITES = {
    "Li": [(0.333, 0.030, 0.387), (0, 0, 0.5)],
    "P": [(0.088, 0.25, 0.165)],
    "S": [(0.1544, 0.030, 0.274), (0.938, 0.25, 0.263), (0.106, 0.25, 0.840)],
}
TRAINING = 200


def make_images(count: int, seed: int) -> list[Atoms]:
    rng = np.random.default_rng(seed)
    symbols = [symbol for symbol, sites in SITES.items() for _ in sites]
    basis = [site for sites in SITES.values() for site in sites]
    perfect = crystal(symbols, basis, spacegroup=62, cellpar=[13.07, 8.13, 6.26, 90, 90, 90])
    images = []
    for _ in range(count):
        atoms = Atoms(perfect.get_chemical_symbols(), positions=perfect.positions, cell=perfect.cell, pbc=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(size=atoms.positions.shape) * rng.choice([0.02, 0.05, 0.1, 0.2])
        images.append(atoms)
    return images


def select(command: list[str], folder: Path) -> dict:
    """Processor time, number of selected configurations and logarithm of the volume."""
    files = ["pot.mtp", "train.cfg", "candidates.cfg", "added.cfg", "--als-filename=state.als"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "select-add", *files], cwd=folder, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    active = ActiveSet.read(folder / "state.als", chemical_symbols[1:4])
    return {
        "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "selected": len(active.selected),
        "log_volume": float(np.linalg.slogdet(active.matrix)[1]),
    }


def run(level: int, count: int, peer: str | None) -> dict:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        untrained(level, len(SPECIES), 1.4, seed=1).write(folder / "pot.mtp")
        write_cfg(folder / "train.cfg", make_images(TRAINING, 1), SPECIES)
        write_cfg(folder / "candidates.cfg", make_images(count, 2), SPECIES)
        found = {"ours": select([str(Path(sys.executable).parent / "lpsgb-mlp")], folder)}
        if peer:
            found["mlp"] = select([peer], folder)
            found["ratio"] = found["mlp"]["seconds"] / found["ours"]["seconds"]
    for name in found.keys() - {"ratio"}:
        print(f"{count} candidates: {name} {found[name]}", flush=True)
    if peer:
        print(f"{count} candidates: {found['ratio']:.1f} times faster", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="MLIP-2's mlp")
    parser.add_argument("--level", type=int, default=14)
    parser.add_argument("--candidates", type=int, nargs="+", default=[2000, 10000])
    args = parser.parse_args()
    print(json.dumps({str(count): run(args.level, count, args.peer) for count in args.candidates}))


if __name__ == "__main__":
    main()
