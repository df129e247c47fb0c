"""``aiida-lpsgb structure``: order crystals, build boundaries and interfaces, draw them. No AiiDA profile is needed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from aiida_lpsgb.cli.errors import PlainGroup
from aiida_lpsgb.cli.types import (
    FIGURE,
    FOUND,
    LENGTH,
    Number,
    StructureFile,
    by_element,
    by_pair,
    indices,
    symbol,
    symbols,
)
from aiida_lpsgb.structures.validation import StructureWarning

#: Searches for twists above this area take longer than some seconds, Å².
LARGE_AREA = 3000.0

INPUT = click.argument("crystal", type=FOUND)


def _output(required: bool) -> Callable:
    """The option that names the file to write."""
    return click.option(
        *("-o", "--output"),
        type=StructureFile(),
        required=required,
        help="File to write, its format by its name: .extxyz, .cif, POSCAR, .data (LAMMPS), and others of ASE.",
    )


OUTPUT = _output(required=True)
PICTURE = click.option("--picture", type=FIGURE, help="PNG to draw it to.")
STRAIN, AMPLITUDE = Number(-1, 1, min_open=True), Number(0, 5)
SHARE = Number(0, 1, min_open=True, max_open=True)
WIDTH = click.option("--width", type=LENGTH, default=25.0, show_default=True, help="Least thickness of a grain, Å.")
REGION = click.option("--region", type=LENGTH, default=10.0, show_default=True, help="Thickness of each region, Å.")
CHARGES = click.option(
    "--charge",
    "charges",
    multiple=True,
    callback=by_element,
    metavar="ELEMENT=CHARGE",
    help="Formal charge, such as Li=1; repeat. Guessed where none is given.",
)
POTENTIAL = click.option("--potential", type=FOUND, help="Trained .mtp file whose energies rank them.")
SPECIES = click.option("--species", callback=symbols, help="What the types of the potential stand for, such as Li,P,S.")
CUTOFFS = click.option(
    "--cutoff",
    "cutoffs",
    multiple=True,
    callback=by_pair,
    metavar="PAIR=LENGTH",
    help="Longest bond within a unit in Å, such as P-S=2.5; repeat. By default from covalent radii.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the description as JSON.")


def _max_area(default: float) -> Callable:
    """The option ``--max-area``."""
    return click.option("--max-area", type=LENGTH, default=default, show_default=True, help="Largest area, Å².")


def _candidates_option(what: str) -> Callable:
    """The option ``-n/--candidates``: how many of what is made are written."""
    return click.option(
        "-n",
        "--candidates",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help=f"{what}; files get a number.",
    )


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"]})
def structure() -> None:
    """Order crystals, build grain boundaries and interfaces, and draw them."""


@structure.command()
@INPUT
@OUTPUT
@CHARGES
@_candidates_option("Arrangements")
@click.option("--primitive", is_flag=True, help="Fill the primitive cell in place of the given one.")
@click.option(
    "--supercell",
    nargs=3,
    type=click.IntRange(min=1),
    help="Repeats before filling; by default the smallest that hold the shares.",
)
@click.option(
    "--max-atoms",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Largest cell that is chosen by itself.",
)
@click.option(
    "--min-distance",
    "min_distances",
    multiple=True,
    callback=by_pair,
    metavar="PAIR=LENGTH",
    help="Closest that two elements come in Å, such as Li-Li=2.3; repeat. By default from their radii.",
)
@click.option("--ignore-formula", is_flag=True, help="Read a CIF whose atoms are not those of its own formula.")
@click.option(
    "--rank-by",
    type=click.Choice(["ewald", "occupancy"]),
    help="What comes first; by default occupancies where they tell sites apart, else the Ewald energy.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the sampling of large cells."
)
@POTENTIAL
@SPECIES
def order(
    crystal: Path,
    output: Path,
    charges: dict[str, float] | None,
    candidates: int,
    primitive: bool,
    supercell: tuple[int, int, int] | None,
    max_atoms: int,
    min_distances: dict[str, float] | None,
    ignore_formula: bool,
    rank_by: str | None,
    seed: int,
    potential: str | None,
    species: list[str],
) -> None:
    """Fill the partially occupied sites of CRYSTAL (a CIF, or any file of ASE or pymatgen)."""
    from aiida_lpsgb.structures import ordering
    from aiida_lpsgb.structures.files import read_structure, write_atoms

    calculator = _calculator(potential, species)
    disordered = read_structure(crystal, check_formula=not ignore_formula, oxidation_states=True)
    if charges is None and not disordered.is_ordered:
        charges = _guessed_charges(disordered)
    found = ordering.order(
        disordered,
        charges,
        n_candidates=candidates,
        primitive=primitive,
        supercell=supercell,
        max_atoms=max_atoms,
        rank_by=rank_by or _guessed_ranking(disordered, charges),
        seed=seed,
        min_distances=min_distances,
    )
    if calculator is not None:
        found = ordering.rank(found, calculator)
    _describe_filling(found[0].info)
    if len(found) < candidates:
        click.echo(f"only {len(found)} different arrangement{'s' * (len(found) > 1)} found")
    for i, atoms in enumerate(found):
        path = _numbered(output, i, candidates)
        energies = {"Ewald energy": atoms.info["ewald_energy_eV"], "energy": atoms.info.get("energy_eV")}
        parts = [f"{name} {energy:.3f} eV" for name, energy in energies.items() if energy is not None]
        atoms.info = {}
        write_atoms(path, atoms)
        click.echo(", ".join([f"{path}: {atoms.get_chemical_formula()}", *parts]))


def _guessed_charges(disordered: Any) -> dict[str, float]:
    """Guess formal charges, and say so."""
    from aiida_lpsgb.structures.guess import guess_charges

    found, question = guess_charges(disordered)
    if found.value is None:
        raise ValueError(f"{question}: --charge ELEMENT=CHARGE for each element")
    listed = ", ".join(f"{element} {charge:+g}" for element, charge in found.value.items())
    click.echo(f"charges {listed}: {found.reason}; --charge replaces them", err=True)
    return found.value


def _guessed_ranking(disordered: Any, charges: dict[str, float] | None) -> str:
    """Guess what ranks arrangements, and say so."""
    from aiida_lpsgb.structures.guess import guess_ordering

    found = guess_ordering(disordered, charges)
    if found.value is None:
        return "ewald"
    click.echo(f"ranked by {found.value['rank_by']}: {found.reason}; --rank-by replaces it", err=True)
    return found.value["rank_by"]


def _describe_filling(info: dict[str, Any]) -> None:
    """Say how the partially occupied sites were filled, in which cell, and what that cell cannot hold."""
    if info["supercell"] != [[1, 0, 0], [0, 1, 0], [0, 0, 1]]:
        click.echo(f"supercell {info['supercell']}")
    for kind in info["occupancies"]:
        filled = " + ".join(f"{element} {share:.2f}" for element, share in kind["filled"].items() if share) or "none"
        click.echo(f"{kind['n_sites']} site{'s' * (kind['n_sites'] > 1)} of {kind['site']}: filled {filled}")
    if not info["occupancies"]:
        click.echo("every site is fully occupied: nothing to order")
    for sentence in info["warnings"]:
        click.echo(f"Warning: {sentence}", err=True)


@structure.command()
@INPUT
@OUTPUT
@click.option("--isotropic", "strains", type=STRAIN, multiple=True, help="Isotropic strain, such as -0.05; repeat.")
@click.option("--shear", "shears", type=STRAIN, multiple=True, help="Shear strain, in each of three planes; repeat.")
@click.option("--rattle", "amplitudes", type=AMPLITUDE, multiple=True, help="Amplitude in Å, 0 for none; repeat.")
@click.option(
    "--n-rattles", type=click.IntRange(min=1), default=1, show_default=True, help="Rattled copies for each amplitude."
)
@click.option(
    "--approach", "approaches", type=SHARE, multiple=True, help="Share of their distance that atoms come to; repeat."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of rattles and approaches.")
def strain(
    crystal: Path,
    output: Path,
    strains: tuple[float, ...],
    shears: tuple[float, ...],
    amplitudes: tuple[float, ...],
    n_rattles: int,
    approaches: tuple[float, ...],
    seed: int,
) -> None:
    """Strain, shear, rattle and press the ordered CRYSTAL into one file of configurations."""
    from aiida_lpsgb.structures.files import read_atoms, write_frames
    from aiida_lpsgb.structures.strain import start_set

    if not (strains or shears or amplitudes or approaches):
        raise click.UsageError("give at least one of --isotropic, --shear, --rattle and --approach")
    pressed_alone = approaches and not amplitudes
    images = start_set(
        [read_atoms(crystal)],
        seed=seed,
        strains=strains or (() if shears or pressed_alone else (0.0,)),
        shears=shears,
        amplitudes=amplitudes or (0.0,),
        n_rattles=n_rattles,
        approaches=approaches,
    )
    write_frames(output, images)
    click.echo(f"{output}: {len(images)} configurations of {len(images[0])} atoms")


@structure.command()
@INPUT
@_output(required=False)
@click.option(
    "--axis", callback=indices, help="Tilt or twist axis [uvw], such as 0,0,1; without, a twist is about the normal."
)
@click.option("--plane", callback=indices, required=True, help="Boundary plane (hkl) of grain 1, such as 1,2,0.")
@click.option(
    "--kind",
    type=click.Choice(["symmetric", "asymmetric", "twist", "mixed"]),
    help="By default what the indices say: a twist where the axis is the normal or left out.",
)
@click.option("--plane-2", callback=indices, help="Plane of grain 2 (asymmetric, mixed).")
@click.option("--direction", callback=indices, help="Direction of grain 1 (mixed).")
@click.option("--direction-2", callback=indices, help="Direction of grain 2 that is parallel to it (mixed).")
@click.option("--pseudo-cubic", is_flag=True, help="Read the labels as if the cell were a cube.")
@click.option("--sigma", type=click.IntRange(min=1), help="Nominal Σ (pseudo-cubic).")
@click.option("--angle", type=Number(), help="True twist angle, degrees.")
@click.option("--max-strain", type=LENGTH, default=0.01, show_default=True, help="Largest strain of either grain.")
@_max_area(1500.0)
@WIDTH
@REGION
@click.option("--n-atoms", type=click.IntRange(min=1), default=1, show_default=True, help="Least number of atoms.")
@click.option(
    "--vacuum", type=Number(min=0), default=0.0, show_default=True, help="Open the second boundary by this, Å."
)
@_candidates_option("Bicrystals")
@POTENTIAL
@SPECIES
@click.option(
    "--parent",
    type=FOUND,
    help="The crystal before it was relaxed or ordered (also its CIF with partial sites), whose symmetry counts.",
)
@CHARGES
@CUTOFFS
@click.option("--list", "list_only", is_flag=True, help="List the coincidences found and build nothing.")
@PICTURE
@JSON
def boundary(
    crystal: Path,
    output: Path | None,
    pseudo_cubic: bool,
    list_only: bool,
    picture: Path | None,
    as_json: bool,
    candidates: int,
    potential: str | None,
    species: list[str],
    parent: Path | None,
    charges: dict[str, float] | None,
    cutoffs: dict[str, float] | None,
    width: float,
    region: float,
    n_atoms: int,
    vacuum: float,
    **request: Any,
) -> None:
    """Build bicrystals of the ordered CRYSTAL with two grain boundaries a cell."""
    from aiida_lpsgb.structures import bicrystal
    from aiida_lpsgb.structures.boundary import boundaries, require_boundary
    from aiida_lpsgb.structures.crystal import Crystal
    from aiida_lpsgb.structures.files import read_atoms, read_structure

    calculator = _calculator(potential, species)
    atoms = read_atoms(crystal)
    _require_no_vacuum(atoms, crystal)
    setting = Crystal(atoms, cutoffs=cutoffs, charges=charges, parent=read_structure(parent) if parent else None)
    request["convention"] = "pseudo-cubic" if pseudo_cubic else "lattice"
    if output is None and not list_only:
        raise click.UsageError("give the file to write with --output, or --list")
    if request["max_area"] > LARGE_AREA and request["kind"] in (None, "twist"):
        click.echo(
            f"looking for common cells of up to {request['max_area']:g} Å²; --max-area, --angle or less --max-strain "
            "narrow the search",
            err=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)  # what is no boundary is refused here
        found = boundaries(setting, **request, smallest=not list_only)
    require_boundary(found)
    if list_only:
        for item in found:
            click.echo(
                f"true angle {item.angle_deg:7.3f}°  area {item.area:9.2f} Å²  strain {item.max_strain:.3%}  "
                f"spacing {item.grains[0].plane.spacing:.3f} Å"
            )
            for note in item.notes:
                click.echo(f"  {note}")
        return
    built = bicrystal.bicrystals(
        setting,
        found[0],
        n_candidates=candidates,
        calculator=calculator,
        width=width,
        region=region,
        n_atoms=n_atoms,
        vacuum=vacuum,
    )
    for i, atoms in enumerate(built):
        drawn = picture and _numbered(picture, i, candidates)
        _finish(atoms, atoms.info["grain_boundary"], _numbered(output, i, candidates), drawn, as_json)


def _require_no_vacuum(atoms: Any, path: Path) -> None:
    """Refuse slabs and molecules, which are no crystals to cut grains from."""
    from aiida_lpsgb.structures.validation import empty_layer

    if (
        all(atoms.pbc)
        and atoms.cell.rank == 3
        and (found := empty_layer(atoms.cell.array, atoms.get_scaled_positions()))
    ):
        raise ValueError(f"{path}: {found}: grains are cut from a crystal that fills its cell")


def _calculator(potential: Path | None, species: list[str]) -> Any:
    """Make the calculator of a potential, if there is one."""
    if potential is None:
        return None
    from aiida_lpsgb.mtp.calculator import MTPCalculator
    from aiida_lpsgb.mtp.potential import MTP

    if not species:
        raise click.UsageError("--potential needs --species, such as Li,P,S")
    return MTPCalculator(MTP.read(potential), species)


def _numbered(path: Path, i: int, count: int) -> Path:
    """Return the path itself if there is to be one file, else with a number."""
    return path if count == 1 else path.with_stem(f"{path.stem}-{i}")


@structure.command()
@INPUT
@click.argument("glass", type=FOUND)
@OUTPUT
@click.option("--plane", callback=indices, required=True, help="Surface (hkl) of the crystal, such as 0,0,1.")
@click.option("--max-strain", type=LENGTH, default=0.03, show_default=True, help="Largest strain of the glass.")
@_max_area(2500.0)
@WIDTH
@REGION
@CUTOFFS
@PICTURE
@JSON
def interface(
    crystal: Path,
    glass: Path,
    output: Path,
    plane: tuple[int, int, int],
    max_strain: float,
    max_area: float,
    width: float,
    region: float,
    cutoffs: dict[str, float] | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Join the periodic GLASS to a plane of the ordered CRYSTAL on both sides."""
    from aiida_lpsgb.structures.crystal import Crystal
    from aiida_lpsgb.structures.files import read_atoms
    from aiida_lpsgb.structures.interface import interface as join

    bulk = read_atoms(crystal)
    _require_no_vacuum(bulk, crystal)
    atoms = join(
        Crystal(bulk, cutoffs=cutoffs),
        read_atoms(glass),
        plane,
        max_strain=max_strain,
        max_area=max_area,
        width=width,
        region=region,
    )
    _finish(atoms, atoms.info["interface"], output, picture, as_json)


@structure.command()
@INPUT
@CHARGES
@click.option("--mobile", callback=symbol, help="The element that moves, such as Li.")
@CUTOFFS
@click.option("--ignore-formula", is_flag=True, help="Read a CIF whose atoms are not those of its own formula.")
def guess(
    crystal: Path,
    charges: dict[str, float] | None,
    mobile: str | None,
    cutoffs: dict[str, float] | None,
    ignore_formula: bool,
) -> None:
    """Guess species, charges, mobile ion, polyanions and settings of CRYSTAL, each with its reason."""
    from aiida_lpsgb.structures.files import read_structure
    from aiida_lpsgb.structures.guess import guess as guess_material

    found = read_structure(crystal, check_formula=not ignore_formula, oxidation_states=True)
    for line in guess_material(found, charges=charges, mobile=mobile, cutoffs=cutoffs).describe():
        click.echo(line)


@structure.command()
@click.argument("path", type=FOUND)
@CUTOFFS
def check(path: Path, cutoffs: dict[str, float] | None) -> None:
    """Say what molecular units the structure in PATH is made of, and how close its atoms come."""
    from aiida_lpsgb.structures.files import read_atoms
    from aiida_lpsgb.structures.units import survey

    report = survey(read_atoms(path), cutoffs)
    click.echo("units: " + ", ".join(f"{count} {formula}" for formula, count in report.formulas.items()))
    click.echo(f"longest bond: {report.longest_bond:.3f} Å")
    click.echo(f"shortest distance: {report.shortest_pair:.3f} Å")
    for pair, distance in report.shortest_inter_unit.items():
        click.echo(f"shortest {pair} between units: {distance:.3f} Å")


@structure.command()
@click.argument("path", type=FOUND)
@click.argument("picture", type=FIGURE)
@click.option("--title", default="", help="Heading.")
@click.option("--depth", type=LENGTH, help="Show only what is within this of the front, Å.")
@CUTOFFS
def draw(path: Path, picture: Path, title: str, depth: float | None, cutoffs: dict[str, float] | None) -> None:
    """Draw the structure in PATH along x and y to the file PICTURE."""
    from aiida_lpsgb.structures.files import read_atoms
    from aiida_lpsgb.structures.picture import draw as draw_figure
    from aiida_lpsgb.structures.picture import save

    save(draw_figure(read_atoms(path), title=title, depth=depth, cutoffs=cutoffs), picture)


def _finish(atoms: Any, description: dict[str, Any], output: Path, picture: Path | None, as_json: bool) -> None:
    """Draw, write and describe a structure; extended XYZ files keep the description."""
    from aiida_lpsgb.structures.files import write_atoms
    from aiida_lpsgb.structures.picture import draw as draw_figure
    from aiida_lpsgb.structures.picture import save

    if picture:
        save(draw_figure(atoms, title=output.stem), picture)
    write_atoms(output, atoms)
    if as_json:
        click.echo(json.dumps({**description, "n_atoms": len(atoms)}))
        return
    click.echo(f"{output}: {len(atoms)} atoms, {atoms.get_chemical_formula()}")
    for key, value in description.items():
        click.echo(f"  {key}: {value}")
