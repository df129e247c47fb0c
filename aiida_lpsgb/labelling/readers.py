"""Frames of the files that programs of electronic structure and of learning leave: one function a format.

Each yields :class:`Frame`, labelled where the file has labels and with a word about what is wrong with it where the
program itself was not done with it. Energies are those that the forces are the slope of: VASP's free energy, and
``free_energy`` where a file has it beside ``energy``. A virial is minus the volume times the stress.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import ase.db
import ase.io
import numpy as np
from ase import Atoms, units
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_lpsgb.labelling import cp2k, vasp
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.configurations import iter_cfg

#: Names in use for the labels of extended XYZ and of ASE's databases, the first that is there counts.
ENERGIES = (
    *("free_energy", "energy", "REF_energy", "REF_Energy", "dft_energy", "DFT_energy", "Energy", "total_energy"),
    *("TotEnergy", "potential_energy", "energy_dft", "ref_energy"),
)
FORCES = (
    "forces",
    "force",
    "REF_forces",
    "REF_Forces",
    "dft_forces",
    "dft_force",
    "DFT_forces",
    "Forces",
    "ref_forces",
)
STRESSES = ("stress", "REF_stress", "dft_stress", "DFT_stress", "Stress", "ref_stress")
VIRIALS = ("virial", "virials", "REF_virial", "REF_virials", "dft_virial", "DFT_virial", "Virial", "ref_virial")
#: How a frame's level of theory is named in its ``info``.
LEVEL = "level_of_theory"
#: What is wrong with what follows the last whole step of a run that was ended from outside.
CUT = "the file is cut short here"
#: Feature EFS_by of MLIP's configurations whose labels are not to be learned from.
UNCONVERGED = "VASP_not_converged"
NO_STEP = "there is no ionic step, or the file is cut short before the first was done"


@dataclass(frozen=True)
class Frame:
    """One configuration of a file.

    Attributes
    ----------
    atoms
        Configuration, with those of energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) that the file has; None where
        it is cut off.
    problem
        What the program was not done with, empty if it was.
    level
        Level of theory that the file gives, None if it gives none.
    """

    atoms: Atoms | None
    problem: str = ""
    level: str | None = None


Reader = Callable[[Path, Sequence[str] | None], Iterator[Frame]]


def reader_of(path: Path) -> Reader:
    """Return the function that reads a file or folder, by its name."""
    name = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        return deepmd
    for is_it, reader in (
        (name.endswith(".cfg"), cfg),
        (name.endswith(".xml"), vasprun),
        (name.endswith("-pos-1.xyz"), cp2k_dynamics),
        (name.endswith((".out", ".log")) and _is_of_cp2k(path), cp2k_single_point),
        (name.endswith(".db"), database),
        # Names such as OUTCAR.1 and run1_OUTCAR; what was made of one may bear its name.
        ("outcar" in name and not name.endswith((".xyz", ".extxyz", ".traj")), outcar),
    ):
        if is_it:
            return reader
    return any_of_ase


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


# --- VASP -----------------------------------------------------------------------------------------------------------


def vasprun(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read ``vasprun.xml``, single points and dynamics, also compressed.

    Of a file that is cut short, as a run leaves that was ended from outside, the steps before are read.
    """
    from pymatgen.io.vasp import Vasprun

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=False)
        except (AttributeError, IndexError) as error:
            raise ValueError(NO_STEP) from error
    cut = any("malformed" in str(warning.message) for warning in caught)
    nelm = int(run.parameters.get("NELM", 60))
    pstress = float(run.parameters.get("PSTRESS", 0.0))
    level = vasp.level_of_run(dict(run.incar), run.potcar_symbols)
    for step in run.ionic_steps:
        values: dict[str, Any] = {}
        if step.get("e_fr_energy") is not None:
            values["energy"] = vasp.without_work(float(step["e_fr_energy"]), pstress, step["structure"].volume)
        if step.get("forces") is not None:
            values["forces"] = np.array(step["forces"], dtype=float)
        if step.get("stress") is not None:
            values["stress"] = vasp.ase_stress(step["stress"])
        structure = step["structure"]
        atoms = Atoms(
            [site.specie.symbol for site in structure], structure.cart_coords, cell=structure.lattice.matrix, pbc=True
        )
        yield Frame(with_labels(atoms, **values), _not_converged(len(step["electronic_steps"]), nelm), level)
    if cut:
        yield Frame(None, CUT, level)


def outcar(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read ``OUTCAR``, also compressed; positions have five decimals there, forces six."""
    with _open(path) as stream:
        counts, nelm, ended = _electronic_steps(stream)
    with _open(path) as stream:
        try:
            images = ase.io.read(stream, index=":", format="vasp-out")
        except (IndexError, ase.io.ParseError):
            images = []
    if not images:
        raise ValueError(NO_STEP)
    for number, atoms in enumerate(images):
        yield Frame(_from_calculator(atoms), _not_converged(counts[number], nelm))
    if not ended:
        yield Frame(None, CUT)


def _electronic_steps(lines: IO[str]) -> tuple[list[int], int, bool]:
    """Return the electronic steps of each ionic step, how many it may take, and whether the run ended by itself."""
    counts: list[int] = []
    count, nelm, ended = 0, 60, False
    for line in lines:
        ended = ended or "General timing and accounting" in line
        if "ML FREE ENERGIE" in line:
            raise ValueError("it has steps of a machine-learned force field: read vasprun.xml, which tells them apart")
        # Steps are counted where they end: their numbers begin anew in files of several runs.
        if "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
            counts.append(count)
            count = 0
        elif match := re.search(r"Iteration *\d+\( *(\d+)\)", line):
            count = int(match[1])
        elif match := re.match(r"\s+NELM\s+=\s*(\d+)", line):
            nelm = int(match[1])
    return counts, nelm, ended


def _not_converged(count: int, nelm: int) -> str:
    if count == 0:
        return "no electronic step: its forces are those of a machine-learned force field"
    return f"the electrons did not converge in {count} steps (NELM {nelm})" if count >= nelm else ""


# --- CP2K -----------------------------------------------------------------------------------------------------------


def cp2k_dynamics(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read a run of CP2K: ``NAME-pos-1.xyz`` with ``NAME-frc-1.xyz`` and ``NAME-1.cell`` beside it.

    Convergence and stress are in the output of the program, a file ``.out`` or ``.log`` beside them. The file
    ``NAME-1.stress`` is not read: in dynamics it holds the motion of the atoms too.
    """
    project = path.name.removesuffix("-pos-1.xyz")
    forces, cells = path.with_name(f"{project}-frc-1.xyz"), path.with_name(f"{project}-1.cell")
    for needed, section in ((forces, "FORCES"), (cells, "CELL")):
        if not needed.exists():
            raise ValueError(f"{needed.name} is not beside it: let CP2K print it (MOTION/PRINT/{section})")
    rows = np.loadtxt(cells, ndmin=2)
    vectors = rows[:, 2:11].reshape(-1, 3, 3)
    energies = [float(text) for text in re.findall(r"E =\s*(\S+)", path.read_text(encoding="utf-8"))]
    steps = _steps(path)
    # Each file has a stride of its own.
    for name, others in ((forces.name, _steps(forces)), (cells.name, rows[:, 0].astype(int).tolist())):
        if others[: len(steps)] != steps[: len(others)]:
            raise ValueError(f"{name} is of other steps than {path.name}: all files must be printed at the same steps")
    evaluations = _evaluations(path.parent, project)
    pairs = zip(ase.io.iread(path, index=":"), ase.io.iread(forces, index=":"), strict=True)
    for number, (atoms, force) in enumerate(pairs):
        if number >= len(vectors) or number >= len(energies):
            raise ValueError(f"frame {number} has no cell or no energy: all files must be printed at the same steps")
        values = {
            "energy": energies[number] * units.Hartree,
            "forces": force.positions * units.Hartree / units.Bohr,
        }
        problem = ""
        if evaluation := _evaluation_of(values["energy"], evaluations):
            problem = "" if evaluation.converged else "the electrons did not converge"
            values |= {"stress": evaluation.values["stress"]} if "stress" in evaluation.values else {}
        elif evaluations:
            problem = "the output of CP2K has no such energy"
        plain = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=vectors[number], pbc=True)
        yield Frame(with_labels(plain, **values), problem)


def _steps(path: Path) -> list[int]:
    """Return the number of the step of each frame of a trajectory."""
    return [int(text) for text in re.findall(r"(?m)^\s*i =\s*(\d+)", path.read_text(encoding="utf-8"))]


def _is_of_cp2k(path: Path) -> bool:
    with _open(path) as stream:
        return any(line.startswith(" CP2K|") for line in islice(stream, 500))


def cp2k_single_point(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read the output of CP2K for one configuration, with its forces (``FORCE_EVAL/PRINT/FORCES``).

    Cell vectors have three decimals there, their lengths and angles six: the cell is that of the lengths and angles, in
    the direction of the vectors. Positions have six decimals.
    """
    with _open(path) as stream:
        lines = stream.read().splitlines()
    output = cp2k.read_output(lines)
    if len(output.evaluations) != 1:
        raise ValueError(
            f"it holds {len(output.evaluations)} configurations, and positions of one at most: read NAME-pos-1.xyz"
        )
    found = output.evaluations[0]
    problem = "" if found.converged else "the electrons did not converge"
    yield Frame(with_labels(cp2k.read_structure(lines), **found.values), problem if output.ended else problem or CUT)


def _evaluations(folder: Path, project: str) -> list[cp2k.Evaluation]:
    """Return what the output of a project says of each configuration, nothing where there is no output."""
    for path in sorted(chain(folder.glob("*.out"), folder.glob("*.log"))):
        with _open(path) as stream:
            if any(re.search(rf"GLOBAL\| Project name\s+{re.escape(project)}\s*$", line) for line in stream):
                stream.seek(0)
                return cp2k.read_output(stream).evaluations
    return []


def _evaluation_of(energy: float, evaluations: list[cp2k.Evaluation]) -> cp2k.Evaluation | None:
    # Ten decimals of a hartree stand in the trajectory.
    return next((found for found in evaluations if abs(found.values["energy"] - energy) < 1e-8), None)


# --- files of learning ----------------------------------------------------------------------------------------------


def cfg(path: Path, species: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read MLIP's configurations."""
    if not species:
        raise ValueError("a .cfg file holds numbers for species: name them in order, such as Li P S")
    for atoms in iter_cfg(path, list(species)):
        features = atoms.info.get("features", {})
        # What MLIP writes of an OUTCAR whose electrons took all steps they might.
        problem = "the electrons did not converge" if features.get("EFS_by", "").strip() == UNCONVERGED else ""
        yield Frame(atoms, problem, atoms.info.get(LEVEL) or features.get(LEVEL))


def deepmd(path: Path, species: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read a system of DeePMD-kit: ``type.raw``, ``type_map.raw`` and the folders ``set.000`` ….

    Lengths are in Å, energies in eV; its virial is minus the volume times the stress.
    """
    if not (path / "type.raw").exists():
        raise ValueError("the folder has no type.raw: it is no system of DeePMD-kit")
    types = np.loadtxt(path / "type.raw", dtype=int, ndmin=1)
    names = (path / "type_map.raw").read_text().split() if (path / "type_map.raw").exists() else list(species or [])
    if len(names) <= types.max():
        raise ValueError(f"type.raw has the type {types.max()} and there are names for {len(names)}: give the species")
    periodic = not (path / "nopbc").exists()
    for folder in sorted(path.glob("set.*")):
        arrays = {name: _array(folder / f"{name}.npy") for name in ("coord", "box", "energy", "force", "virial")}
        if (mixed := _array(folder / "real_atom_types.npy")) is not None and mixed.max() >= len(names):
            raise ValueError(f"{folder.name} has the type {mixed.max()} and there are names for {len(names)}")
        if arrays["coord"] is None or (periodic and arrays["box"] is None):
            raise ValueError(f"{folder.name} has no coord.npy or no box.npy")
        numbers = {f"{name}.npy": _frames_in(array, name, len(types)) for name, array in arrays.items()}
        if len(set(numbers.values()) - {None}) > 1:
            told = ", ".join(f"{count:g} in {name}" for name, count in numbers.items() if count is not None)
            raise ValueError(f"{folder.name} has different numbers of frames: {told}")
        for number, positions in enumerate(arrays["coord"].reshape(-1, len(types), 3)):
            cell = arrays["box"].reshape(-1, 3, 3)[number] if periodic else None
            kinds = types if mixed is None else mixed[number]
            if min(kinds) < 0:
                raise ValueError(f"{folder.name}, frame {number}: atoms of type {min(kinds)}, which is no element")
            atoms = Atoms([names[kind] for kind in kinds], positions, cell=cell, pbc=periodic)
            values: dict[str, Any] = {}
            if arrays["energy"] is not None:
                values["energy"] = float(arrays["energy"].reshape(-1)[number])
            if arrays["force"] is not None:
                values["forces"] = arrays["force"].reshape(-1, len(types), 3)[number].astype(float)
            if arrays["virial"] is not None and periodic:
                values["stress"] = _stress_of_virial(arrays["virial"].reshape(-1, 3, 3)[number], atoms)
            yield Frame(with_labels(atoms, **values))


def _frames_in(array: np.ndarray | None, name: str, n_atoms: int) -> float | None:
    widths = {"coord": 3 * n_atoms, "force": 3 * n_atoms, "box": 9, "virial": 9}
    return None if array is None else array.size / widths.get(name, 1)


def _array(path: Path) -> np.ndarray | None:
    return np.load(path, allow_pickle=False) if path.exists() else None


def any_of_ase(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read extended XYZ, ``.traj`` and whatever else ASE reads."""
    for atoms in ase.io.iread(path, index=":"):
        yield Frame(_from_calculator(atoms), _ambiguous(atoms), atoms.info.get(LEVEL))


def database(path: Path, _: Sequence[str] | None = None) -> Iterator[Frame]:
    """Read a database of ASE; labels and level of theory may be key-value pairs."""
    with ase.db.connect(path) as rows:
        for row in rows.select():
            atoms = row.toatoms()
            atoms.info = dict(row.key_value_pairs)
            yield Frame(_from_calculator(atoms), _ambiguous(atoms), row.key_value_pairs.get(LEVEL))


def _from_calculator(atoms: Atoms) -> Atoms:
    """Return an image with energy, forces and stress alone, wherever the reader of ASE has put them."""
    results = dict(atoms.calc.results) if atoms.calc else {}
    values: dict[str, Any] = {}
    copy = atoms.copy()
    copy.calc = None
    copy.set_constraint()
    whole, atomic = {**copy.info, **results}, {**copy.arrays, **results}
    for name, names, found in (("energy", ENERGIES, whole), ("forces", FORCES, atomic)):
        key = next((key for key in names if found.get(key) is not None), None)
        if key is not None:
            values[name] = float(found[key]) if name == "energy" else np.array(found[key], dtype=float)
    stress = next((whole[key] for key in STRESSES if whole.get(key) is not None), None)
    virial = next((whole[key] for key in VIRIALS if whole.get(key) is not None), None)
    if stress is not None:
        values["stress"] = _voigt(stress)
    elif virial is not None and atoms.pbc.all():
        values["stress"] = _stress_of_virial(virial, atoms)
    for key in (*ENERGIES, *STRESSES, *VIRIALS):
        copy.info.pop(key, None)
    for key in FORCES:
        copy.arrays.pop(key, None)
    return with_labels(copy, **values)


def _ambiguous(atoms: Atoms) -> str:
    """Say which labels are there by two names and do not agree, as those of a potential and of its reference."""
    results = dict(atoms.calc.results) if atoms.calc else {}
    # The free energy is another one than the energy; digits may have been lost on the way.
    for names, found in ((ENERGIES[1:], {**atoms.info, **results}), (FORCES, {**atoms.arrays, **results})):
        first, *others = [key for key in names if found.get(key) is not None] or [""]
        for other in others:
            if not np.allclose(found[first], found[other], rtol=0, atol=1e-4):
                return f"{first} and {other} differ: leave the one that is to be learned"
    return ""


def _stress_of_virial(virial: Any, atoms: Atoms) -> np.ndarray:
    return -_voigt(virial) / atoms.get_volume()


def _voigt(tensor: Any) -> np.ndarray:
    """Return six numbers xx yy zz yz xz xy of six, nine or three by three."""
    array = np.asarray(tensor, dtype=float)
    if array.size == 9:
        return full_3x3_to_voigt_6_stress(array.reshape(3, 3))
    if array.shape != (6,):
        raise ValueError(f"a stress or virial has the shape {array.shape}, expected (6,) or (3, 3)")
    return array
