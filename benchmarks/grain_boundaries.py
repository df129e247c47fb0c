"""Compare this package's grain boundaries with those of aimsgb and pymatgen, and relax them with a potential.

    python benchmarks/grain_boundaries.py [--compare] [--potential P.mtp --species Li P S] [--sevennet]
                                          [--output table.md]

Every boundary of examples/data/grain_boundaries.yaml is built, with --compare also by aimsgb and pymatgen. These bring
the crystal into the standard setting a < b < c, so the crystal and the indices are permuted for them first.

With a potential, the crystal is relaxed from several rattled copies and the lowest is taken; the ordered crystal is its
parent. Of each boundary the densest candidate and the ones whose unrelaxed energies are lowest are relaxed by LAMMPS
(all atoms, and the cell along the normal), and the lowest is kept: its energy against that crystal, the difference
between the two boundaries of its cell, and with --sevennet the energy that SevenNet-0 gives the same structures.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms
from ase.io import read
from ase.io.lammpsdata import write_lammps_data
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_lpsgb.mtp.calculator import MTPCalculator
from aiida_lpsgb.mtp.potential import MTP
from aiida_lpsgb.structures import bicrystal, ordering, strain, units
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import Crystal

DATA = Path(__file__).parents[1] / "examples" / "data"
CHARGES = {"Li": 1, "P": 5, "S": -2}
MASSES = {"Li": 6.94, "P": 30.974, "S": 32.06}
OF_RELAXED = ("true_angle_deg", "area_A2", "max_strain")
MAX_STRAIN = {"symmetric": 0.01, "twist": 0.02}


def main() -> None:
    arguments = parse()
    crystal = ordering.order(read_cif(DATA / "beta-li3ps4.cif"), CHARGES, rank_by="occupancy")[0]
    table = yaml.safe_load((DATA / "grain_boundaries.yaml").read_text(encoding="utf-8"))
    rows = []
    engine = sevennet() if arguments.sevennet else None
    bulk = relaxed_bulk(crystal, arguments, engine) if arguments.potential else None
    for name, request in table.items():
        if arguments.only and name not in arguments.only:
            continue
        row = {"name": name, "kind": request["kind"], **own(Crystal(crystal), request, arguments.width)}
        if bulk is not None:
            row.update(relaxed(Crystal(bulk, parent=crystal), request, arguments, engine))
        if arguments.compare:
            row["aimsgb"] = attempt(aimsgb, crystal, request)
            row["pymatgen"] = attempt(pymatgen, crystal, request, row["nominal_angle_deg"])
        rows.append(row)
        print(json.dumps(row, ensure_ascii=False), flush=True)
    text = "\n".join([built_table(rows), *compared_table(rows), *relaxed_table(rows)])
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    print(text)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", type=Path, help="trained .mtp file to relax with")
    parser.add_argument("--species", nargs="+", default=["Li", "P", "S"], help="what its types stand for")
    parser.add_argument("--sevennet", action="store_true", help="energies of the relaxed cells with SevenNet-0 as well")
    parser.add_argument("--sevennet-atoms", type=int, default=700, help="for cells of at most so many atoms")
    parser.add_argument("--rattles", type=int, default=8, help="how many rattled copies of the crystal are relaxed")
    parser.add_argument("--candidates", type=int, default=3, help="how many of lowest unrelaxed energy are relaxed")
    parser.add_argument("--only", nargs="+", help="labels of the boundaries to look at, by default all")
    parser.add_argument("--width", type=float, default=15.0, help="least thickness of a grain that is relaxed, Å")
    parser.add_argument("--compare", action="store_true", help="build with aimsgb and pymatgen, too (slow)")
    parser.add_argument("--output", type=Path, help="Markdown table to write")
    return parser.parse_args()


def describe(atoms: Atoms) -> dict:
    """Count what is whole: stoichiometry of the cell, share of P in PS₄ units, shortest distance."""
    counts = Counter(atoms.get_chemical_symbols())
    report = units.survey(atoms)
    return {
        "n_atoms": len(atoms),
        "stoichiometric": counts["Li"] == 3 * counts["P"] and counts["S"] == 4 * counts["P"],
        "whole": report.formulas.get("PS4", 0) / counts["P"],
        "shortest_pair_A": report.shortest_pair,
    }


def own(crystal: Crystal, request: dict, width: float) -> dict:
    """Build with this package: a small cell, and one of 10 000 atoms against the clock."""
    options = {"convention": "pseudo-cubic", "max_strain": MAX_STRAIN[request["kind"]]}
    start = time.perf_counter()
    (large,) = bicrystal.grain_boundary(crystal, **request, **options, n_atoms=10_000)
    seconds = time.perf_counter() - start
    (small,) = bicrystal.grain_boundary(crystal, **request, **options, width=width, region=width / 2)
    info = small.info["grain_boundary"]
    keys = ("nominal_sigma", "nominal_angle_deg", "true_angle_deg", "area_A2", "max_strain", "equivalent_by")
    return {
        **{key: info[key] for key in keys},
        "gap_A": info["gaps_A"][0],
        **describe(small),
        "large": {**describe(large), "seconds": seconds},
    }


def relaxed_bulk(crystal: Atoms, arguments: argparse.Namespace, engine) -> Atoms:
    """Relax the crystal off its symmetry, and say how much lower than in its symmetry it is then."""
    symmetric = minimise(crystal, arguments, "aniso")
    found = [minimise(copy, arguments, "aniso") for copy in strain.rattle(crystal, 0.05, arguments.rattles, 3)]
    found.sort(key=lambda atoms: atoms.info["energy_eV"])

    def below(energies: Sequence[float]) -> list[float]:
        return [round(1000 * (energy - energies[0]) / len(crystal), 3) for energy in energies[1:]]

    energies = {"potential": below([atoms.info["energy_eV"] for atoms in (symmetric, *found)])}
    if engine is not None:
        energies["SevenNet-0"] = below([potential_energy(atoms, engine) for atoms in (symmetric, found[0])])
    row = {"bulk_against_symmetric_meV_atom": energies, "cell_A": found[0].cell.lengths().round(3).tolist()}
    print(json.dumps(row), flush=True)
    return found[0]


def relaxed(crystal: Crystal, request: dict, arguments: argparse.Namespace, engine) -> dict:
    """Build candidates from the relaxed crystal, relax them, and describe the one of lowest energy."""
    options = {"convention": "pseudo-cubic", "max_strain": MAX_STRAIN[request["kind"]]}
    options |= {"width": arguments.width, "region": arguments.width / 2}
    calculator = MTPCalculator(MTP.read(arguments.potential), arguments.species)
    bulk = crystal.atoms
    candidates = bicrystal.grain_boundary(crystal, **request, **options)
    candidates += bicrystal.grain_boundary(
        crystal, **request, **options, calculator=calculator, n_candidates=arguments.candidates
    )
    found = []
    for built in candidates:
        atoms = minimise(built, arguments, "z")
        found.append((gamma(atoms, atoms.info["energy_eV"], built, bulk, bulk.info["energy_eV"]), built, atoms))
    lowest, built, atoms = min(found, key=lambda item: item[0])
    report = units.survey(atoms)
    row = {
        "gamma_J_m2": lowest,
        "gammas_J_m2": [item[0] for item in found],
        "relaxed": {
            **describe(atoms),
            "longest_bond_A": report.longest_bond,
            "shortest_P_S_between_units_A": report.shortest_inter_unit["P-S"],
            "whole_of_all": min(describe(item[2])["whole"] for item in found),
            **{key: built.info["grain_boundary"][key] for key in ("equivalent_by", "variant", *OF_RELAXED)},
            "difference_meV_atom": difference(built, atoms, calculator),
        },
    }
    if engine is not None and len(atoms) <= arguments.sevennet_atoms:
        energies = potential_energy(atoms, engine), potential_energy(bulk, engine)
        row["gamma_sevennet_J_m2"] = gamma(atoms, energies[0], built, bulk, energies[1])
    return row


def gamma(atoms: Atoms, energy: float, built: Atoms, bulk: Atoms, bulk_energy: float) -> float:
    """Energy of a boundary in J/m²."""
    area = built.info["grain_boundary"]["total_area_A2"]
    return bicrystal.boundary_energy(energy, len(atoms), bulk_energy / len(bulk), area)


def difference(built: Atoms, relaxed: Atoms, calculator: MTPCalculator) -> float:
    """Difference in energy between the regions of both boundaries after relaxation, in meV an atom.

    The regions are the atoms that were near the boundaries when these were built, when symmetry made the sets alike.
    They end where atoms leave most room, 5 to 7 Å away, so that no atom lies on the edge.
    """
    energies = calculator.get_potential_energies(relaxed)
    height = built.cell.array[2, 2]
    regions = built.info["grain_boundary"]["regions"]
    centres = np.array([[region["centre_A"]] for region in regions])
    away = np.abs((built.positions[:, 2] - centres + height / 2) % height - height / 2)
    edges = np.sort(away[(away > 5) & (away < 7)])
    widest = np.argmax(np.diff(edges))
    near = away < (edges[widest] + edges[widest + 1]) / 2
    if near[0].sum() != near[1].sum():
        raise ValueError(f"the regions of both boundaries differ: {near.sum(axis=1)} atoms")
    return 1000 * abs(energies[near[0]].sum() - energies[near[1]].sum()) / near[0].sum()


def minimise(atoms: Atoms, arguments: argparse.Namespace, axes: str) -> Atoms:
    """Relax atoms and cell with LAMMPS; the energy goes to ``info["energy_eV"]``."""
    command = "minimize 0.0 1.0e-3 1000 10000"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with (path / "structure.data").open("w", encoding="utf-8") as handle:
            write_lammps_data(
                handle, atoms, specorder=arguments.species, masses=False, units="metal", atom_style="atomic"
            )
            masses = "".join(f"{i} {MASSES[s]}\n" for i, s in enumerate(arguments.species, start=1))
            handle.write(f"\nMasses\n\n{masses}")
        lines = [
            "units metal",
            "atom_style atomic",
            "read_data structure.data",
            f"pair_style mtp {arguments.potential.resolve()}",
            "pair_coeff * *",
            "neigh_modify every 1 delay 0",
            command,
            f"fix relax all box/relax {axes} 0.0 vmax 0.002 nreset 50",
            command,
            "unfix relax",
            command,
            'print "energy_eV $(pe:%.12g)"',
            "write_dump all custom final.lammpstrj id type xu yu zu modify sort id format float %.12g",
        ]
        (path / "in").write_text("\n".join(lines) + "\n", encoding="utf-8")
        subprocess.run(["lmp", "-in", "in", "-log", "log", "-screen", "none"], cwd=path, check=True)
        energy = (path / "log").read_text(encoding="utf-8").split("\nenergy_eV ")[1].split()[0]
        final = read(path / "final.lammpstrj", format="lammps-dump-text")
    result = Atoms(atoms.get_chemical_symbols(), positions=final.positions, cell=final.cell, pbc=True)
    result.info["energy_eV"] = float(energy)
    return result


def sevennet():
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-0", device="cpu")


def potential_energy(atoms: Atoms, calculator) -> float:
    copy = atoms.copy()
    copy.calc = calculator
    return float(copy.get_potential_energy())


def attempt(function, *arguments) -> dict:
    """Run one of the other tools; an exception is its result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return describe(function(*arguments))
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def standard_setting(crystal: Atoms, request: dict) -> tuple[Structure, list[int], list[int]]:
    """Exchange a and c, which makes a < b < c, and the indices with them."""
    cell = crystal.cell.lengths()[::-1]
    structure = Structure(np.diag(cell), crystal.get_chemical_symbols(), crystal.get_scaled_positions()[:, ::-1])
    return structure, request["axis"][::-1], request["plane"][::-1]


def aimsgb(crystal: Atoms, request: dict) -> Atoms:
    from aimsgb import Grain, GrainBoundary

    structure, axis, plane = standard_setting(crystal, request)
    initial = Grain.from_sites(structure.sites)
    for signs in itertools.product((1, -1), repeat=3):
        # aimsgb lists one of the planes that are equivalent in an orthorhombic crystal.
        equivalent = [sign * index for sign, index in zip(signs, plane, strict=True)]
        try:
            boundary = GrainBoundary(axis, request["sigma"], equivalent, initial, uc_a=2, uc_b=2)
            break
        except ValueError as error:
            refused = error
    else:
        raise refused
    stacked = Grain.stack_grains(boundary.grain_a, boundary.grain_b, direction=boundary.direction)
    return AseAtomsAdaptor.get_atoms(stacked, msonable=False)


def pymatgen(crystal: Atoms, request: dict, angle: float) -> Atoms:
    from pymatgen.core.interface import GrainBoundaryGenerator

    structure, axis, plane = standard_setting(crystal, request)
    generator = GrainBoundaryGenerator(structure)
    angles = generator.get_rotation_angle_from_sigma(request["sigma"], tuple(axis), lat_type="c")
    exact = min(angles, key=lambda other: min(abs(other - angle), abs(180 - other - angle)))
    boundary = generator.gb_from_parameters(tuple(axis), exact, expand_times=2, plane=tuple(plane), ratio=[1, 1, 1])
    return AseAtomsAdaptor.get_atoms(boundary, msonable=False)


def built_table(rows: list[dict]) -> str:
    """Tabulate what this package builds."""
    head = ["boundary", "nominal", "true", "area (Å²)", "strain of a grain", "atoms", "PS₄ whole", "shortest pair (Å)"]
    lines = [
        [
            title(row),
            f"{row['nominal_angle_deg']:.2f}°",
            f"{row['true_angle_deg']:.2f}°",
            f"{row['area_A2']:.0f}",
            percent(row["max_strain"]),
            row["n_atoms"],
            f"{100 * row['whole']:.0f} %",
            f"{row['shortest_pair_A']:.2f}",
            row["equivalent_by"],
            f"{row['large']['seconds']:.1f} s",
        ]
        for row in rows
    ]
    return markdown([*head, "boundaries equivalent by", "10 000 atoms"], lines)


def compared_table(rows: list[dict]) -> list[str]:
    """Tabulate what the other tools build, if they were asked."""
    if "aimsgb" not in rows[0]:
        return []
    tools = ("aimsgb", "pymatgen")
    head = ["boundary", "this package", *(f"{tool} {version(tool)}" for tool in tools)]
    lines = [[title(row), other(row), *(other(row[tool]) for tool in tools)] for row in rows]
    return [markdown(head, lines)]


def relaxed_table(rows: list[dict]) -> list[str]:
    """Tabulate the relaxed boundaries, if there are any, and how far their energies are from SevenNet's."""
    if "gamma_J_m2" not in rows[0]:
        return []
    head = ["boundary", "true", "strain of a grain", "atoms", "γ (J/m²)", "γ, SevenNet-0"]
    lines = []
    for row in rows:
        after = row["relaxed"]
        lines.append(
            [
                title(row),
                f"{after['true_angle_deg']:.2f}°",
                percent(after["max_strain"]),
                after["n_atoms"],
                f"{row['gamma_J_m2']:.3f}",
                f"{row['gamma_sevennet_J_m2']:.3f}" if "gamma_sevennet_J_m2" in row else "",
                f"{100 * after['whole_of_all']:.0f} %",
                f"{after['longest_bond_A']:.2f}, {after['shortest_P_S_between_units_A']:.2f}",
                f"{after['difference_meV_atom']:.0e}",
            ]
        )
    head += ["PS₄ whole", "longest P–S, next S (Å)", "boundaries differ by (meV/atom)"]
    tables = [markdown(head, lines)]
    both = [abs(row["gamma_J_m2"] - row["gamma_sevennet_J_m2"]) for row in rows if "gamma_sevennet_J_m2" in row]
    if both:
        tables.append(f"MAE of {len(both)} boundaries against SevenNet-0: {np.mean(both):.3f} J/m²\n")
    return tables


def title(row: dict) -> str:
    return row["name"] + (" twist" if row["kind"] == "twist" else "")


def percent(strain: float) -> str:
    return f"{100 * strain:.2f} %" if strain > 1e-9 else "0"


def markdown(head: list[str], lines: list[list]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "".join("| " + " | ".join(str(cell) for cell in row) + " |\n" for row in rows)


def other(result: dict) -> str:
    """What a tool has built, in a few words."""
    if "error" in result:
        return "refused" if "ValueError" in result["error"] else "failed"
    note = "" if result["stoichiometric"] else ", not Li₃PS₄"
    return f"{100 * result['whole']:.0f} %, {result['shortest_pair_A']:.2f} Å{note}"


if __name__ == "__main__":
    main()
