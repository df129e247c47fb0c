"""Import and export of labelled configurations: many files, one level of theory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ase.db
import ase.io
import numpy as np
from ase import Atoms

from aiida_lpsgb.labelling import labels
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.labelling.extxyz import write_extxyz
from aiida_lpsgb.labelling.readers import LEVEL, Frame, reader_of
from aiida_lpsgb.mtp.configurations import write_cfg

#: Suffixes of the files that are written.
SUFFIXES = (".cfg", ".extxyz", ".xyz", ".traj", ".db")


@dataclass
class Imported:
    """Configurations of one level of theory.

    Attributes
    ----------
    images
        Configurations, each with energy (eV), forces (eV/Å) and, where the file has it, stress (eV/Å³, Voigt).
    level_of_theory
        Level of theory of all of them.
    skipped
        File, number of the frame (from 0) and reason of each that was left out.
    """

    images: list[Atoms] = field(default_factory=list)
    level_of_theory: str | None = None
    skipped: list[str] = field(default_factory=list)


def read(
    paths: Sequence[str | Path] | str | Path,
    species: Sequence[str] | None = None,
    level_of_theory: str | None = None,
    skip: bool = False,
    labelled: bool = True,
    max_force: float = labels.MAX_FORCE,
) -> Imported:
    """Read labelled configurations of one level of theory, or configurations to be labelled.

    Parameters
    ----------
    paths
        File or files: ``vasprun.xml`` and ``OUTCAR`` of VASP (also ``.gz``), ``NAME-pos-1.xyz`` of CP2K with its forces
        and cells beside it, extended XYZ, ``.traj`` and ``.db`` of ASE, systems of DeePMD-kit (folders), ``.cfg`` of
        MLIP, and what else ASE reads.
    species
        Elements of the types, for files that number them (``.cfg``; DeePMD-kit without ``type_map.raw``).
    level_of_theory
        Level of theory of all frames; if not given, that which the files name.
    skip
        Leave out frames that cannot be used instead of refusing all.
    labelled
        Whether labels are wanted; if not, those that are there are not taken, and nothing is asked of the frames.
    max_force
        Largest length of a force to accept, eV/Å.

    Returns
    -------
    Imported
        The configurations.

    Raises
    ------
    ValueError
        If a file cannot be read; if a frame has no energy or forces, is not periodic along all three axes, did not
        converge or has a number that is not finite, and is not to be skipped; if levels of theory differ, or none is
        known; if there is no frame left.
    """
    found = Imported()
    named: dict[str | None, str] = {}
    for path in [Path(paths)] if isinstance(paths, (str, Path)) else map(Path, paths):
        for number, frame in enumerate(_frames(path, species)):
            if not labelled:
                found.images += [] if frame.atoms is None else [with_labels(frame.atoms)]
                continue
            where = f"{path}, frame {number}"
            problem = frame.problem or _problem(frame.atoms, max_force)
            if problem and not skip:
                raise ValueError(f"{where}: {problem}")
            if problem:
                found.skipped.append(f"{where}: {problem}")
                continue
            named.setdefault(frame.level, where)
            found.images.append(frame.atoms)
    if not found.images:
        what = "labelled configuration" if labelled else "configuration"
        raise ValueError("; ".join([f"there is no {what}", *found.skipped[:5]]))
    if labelled:
        found.level_of_theory = level_of_theory or _one_level(named)
    return found


def _frames(path: Path, species: Sequence[str] | None) -> Iterator[Frame]:
    try:
        yield from reader_of(path)(path, species)
    except Exception as error:
        # Readers of other packages raise anything at all.
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        raise ValueError(f"{path} cannot be read: {kind}{error}") from error


def _problem(atoms: Atoms, max_force: float) -> str:
    """Say why a configuration cannot be learned from."""
    if not atoms.pbc.all():
        return f"not periodic along all three axes (pbc {''.join('FT'[x] for x in atoms.pbc.astype(int))})"
    if abs(atoms.cell.volume) < 1e-6:
        return "the cell has no volume"
    results = atoms.calc.results if atoms.calc else {}
    missing = [name for name in ("energy", "forces") if results.get(name) is None]
    if missing:
        return f"no {' and no '.join(missing)}"
    if np.shape(results["forces"]) != (len(atoms), 3):
        return f"forces of shape {np.shape(results['forces'])} for {len(atoms)} atoms"
    try:
        labels.check({"positions": atoms.positions, "cell": atoms.cell.array, **results}, max_force)
    except labels.Refused as refusal:
        return str(refusal)
    return ""


def _one_level(named: dict[str | None, str]) -> str:
    if len(named) > 1:
        different = "; ".join(f"{where}: {level or 'not known'}" for level, where in named.items())
        raise ValueError(f"labels of different levels of theory would be mixed ({different}); import them apart")
    level = next(iter(named))
    if level is None:
        raise ValueError("level_of_theory: the files do not say what gave the labels; name it, such as optB88-vdW")
    return level


def write(
    path: str | Path, images: Iterable[Atoms], species: Sequence[str], level_of_theory: str | None = None
) -> None:
    """Write configurations to a file of the format that its suffix says.

    Parameters
    ----------
    path
        File: ``.cfg``, ``.extxyz`` or ``.xyz``, ``.traj``, ``.db``. One that is there is replaced.
    images
        Configurations; labels are those of their calculators.
    species
        Elements in the order of the types of a ``.cfg`` file.
    level_of_theory
        Named in each frame, so that the file can be imported again.

    Raises
    ------
    ValueError
        If the suffix is none of these.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path.name}: the format is told by the suffix, one of {', '.join(SUFFIXES)}")
    if level_of_theory:
        images = (_named(atoms, level_of_theory) for atoms in images)
    if path.suffix in (".traj", ".db"):
        # They would be added to.
        path.unlink(missing_ok=True)
    if path.suffix == ".cfg":
        write_cfg(path, images, species)
    elif path.suffix in (".extxyz", ".xyz"):
        with path.open("w", encoding="utf-8") as stream:
            write_extxyz(stream, images)
    elif path.suffix == ".db":
        with ase.db.connect(path) as rows:
            for atoms in images:
                rows.write(atoms, {LEVEL: level_of_theory} if level_of_theory else {})
    else:
        ase.io.write(path, list(images))


def _named(atoms: Atoms, level_of_theory: str) -> Atoms:
    copy = atoms.copy()
    copy.calc = atoms.calc
    copy.info[LEVEL] = level_of_theory
    return copy
