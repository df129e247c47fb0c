"""How many labels of a dear level of theory does a potential of a cheap one save?

    python benchmarks/two_levels.py FOLDER [--labels 4 8 16 32 64] [--repeats 3]

The cheap level is SevenNet-0, the dear one SevenNet-0 with D3 dispersion, which draws Li₃PS₄ together by 1 GPa. Frames
of dynamics at 500 to 1200 K are labelled by both (kept in FOLDER), and a level-8 potential learns the cheap labels of
all but the test set. With n dear labels, drawn `--repeats` times, potentials are trained from nothing, without and with
regularisation, from the cheap potential, and with it as a prior. Errors are those on the dear labels of the test set,
the median of the repeats. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from aiida_lpsgb.labelling import dynamics, labels
from aiida_lpsgb.labelling.calculators import build
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.basis import untrained
from aiida_lpsgb.mtp.errors import evaluate_errors
from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.mtp.training import Prior, train
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.ordering import order

SPECIES = ["Li", "P", "S"]
CIF = Path(__file__).parents[1] / "examples" / "data" / "beta-li3ps4.cif"
CHEAP = {"calculator": "sevennet"}
DEAR = CHEAP | {"dispersion": {"method": "PBE", "damping": "d3zero"}}
TEMPERATURES_K = (500, 700, 900, 1200)
FRAMES, LEFT_OUT, STEPS, N_TEST = 45, 5, 15, 60
MAX_ITER = 200


def frames(folder: Path) -> tuple[list[Atoms], list[Atoms]]:
    """Return frames of dynamics by the cheap level, with its labels and with those of the dear one."""
    files = folder / "cheap.extxyz", folder / "dear.extxyz"
    if not all(path.exists() for path in files):
        crystal = order(read_cif(CIF), {"Li": 1, "P": 5, "S": -2}, rank_by="occupancy")[0]
        cheap, dear = build(CHEAP), build(DEAR)
        plans = [dynamics.Plan(t, (FRAMES + LEFT_OUT) * STEPS, STEPS, seed=t) for t in TEMPERATURES_K]
        found = [frame for plan in plans for frame in list(dynamics.run(crystal, cheap, plan))[LEFT_OUT:]]
        write(files[0], found)
        write(files[1], [with_labels(atoms, **labels.compute(dear, atoms)) for atoms in found])
    return read(files[0], ":"), read(files[1], ":")


def new() -> MTP:
    """Return a potential without coefficients."""
    return untrained(8, len(SPECIES), 1.4)


def ways(cheap: MTP, known: Sequence[Atoms], seed: int) -> dict[str, Callable[[list[Atoms]], MTP]]:
    """Return the ways of training on dear labels, by name."""
    options = {"seed": seed, "max_iter": MAX_ITER}
    return {
        "from nothing": lambda few: train(new(), few, SPECIES, **options).mtp,
        "from nothing, l2": lambda few: train(new(), few, SPECIES, regularisation=1e-4, **options).mtp,
        "from the cheap one": lambda few: train(cheap, few, SPECIES, **options).mtp,
        **{
            f"prior, {weight}": lambda few, weight=weight: (
                train(new(), few, SPECIES, prior=Prior(cheap, known, weight), **options).mtp
            )
            for weight in (2, 8, 32)
        },
    }


def errors(mtp: MTP, test: Sequence[Atoms]) -> tuple[float, float, float]:
    """Return errors of energy (meV/atom), forces (meV/Å) and stress (GPa)."""
    found = evaluate_errors(mtp, test, SPECIES)
    return 1e3 * found.energy_per_atom.rmse, 1e3 * found.forces.rmse, found.stress.rmse


def main() -> None:
    """Train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--labels", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    cheap_labels, dear_labels = frames(arguments.folder)
    shuffled = np.random.default_rng(0).permutation(len(dear_labels))
    test, pool = [dear_labels[k] for k in shuffled[:N_TEST]], shuffled[N_TEST:]
    known = [cheap_labels[k] for k in pool]
    cheap = train(new(), known, SPECIES, max_iter=MAX_ITER).mtp
    all_of_them = train(new(), [dear_labels[k] for k in pool], SPECIES, max_iter=MAX_ITER).mtp
    print(f"{'':24}{'energy':>18}{'forces':>18}{'stress':>18}")
    print(f"{'':24}{'meV/atom':>18}{'meV/Å':>18}{'GPa':>18}")
    table: dict[str, list[float]] = {}

    def tell(name: str, values: np.ndarray) -> None:
        table[name] = np.median(values, axis=0).round(4).tolist()
        print(f"{name:24}" + "".join(f"{value:18.4g}" for value in table[name]), flush=True)

    tell("cheap labels alone", np.array([errors(cheap, test)]))
    tell(f"{len(pool)} dear labels", np.array([errors(all_of_them, test)]))
    for n in arguments.labels:
        found = defaultdict(list)
        for repeat in range(arguments.repeats):
            few = [dear_labels[k] for k in np.random.default_rng(repeat).permutation(pool)[:n]]
            for name, way in ways(cheap, known, repeat).items():
                found[name].append(errors(way(few), test))
        for name, values in found.items():
            tell(f"{n} labels, {name}", np.array(values))
    print(json.dumps({"rmse_mev_atom_mev_A_GPa": table}, ensure_ascii=False))


if __name__ == "__main__":
    main()
