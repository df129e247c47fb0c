"""CP2K's files: trajectories that it evaluates in one run, and the energies, forces and stresses it prints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.cell import Cell
from ase.stress import full_3x3_to_voigt_6_stress

TRAJECTORY_FILE, CELL_FILE = "reftraj.xyz", "reftraj.cell"
#: The oldest version that knows `EVAL` and stops where the electrons do not converge unless it is told not to.
NEW_KEYWORDS = (2023, 2)

#: Keys of the input that do not change a converged result.
MACHINE_KEYS = frozenset(
    {
        *("scf_guess", "max_scf", "mixing", "diagonalization", "ot", "outer_scf", "print", "cholesky", "smear_history"),
        *("added_mos", "extrapolation", "extrapolation_order", "preferred_diag_library", "elpa_kernel"),
    }
)

_PRESSURES = {"gpa": units.GPa, "bar": 1e-4 * units.GPa, "kbar": 0.1 * units.GPa}
_NUMBER = r"[-+]?\d+\.?\d*(?:[EeDd][-+]?\d+)?"
_ENERGY = re.compile(rf"ENERGY\| Total FORCE_EVAL .*\[(?:a\.u\.|hartree)\]:?\s+({_NUMBER})")
_FORCES = re.compile(r"^\s*(?:ATOMIC FORCES in \[a\.u\.\]|FORCES\| Atomic forces \[hartree/bohr\])")
_FORCE = re.compile(
    rf"^\s*(?:FORCES\|\s+\d+|\d+\s+\d+\s+[A-Z][a-z]?)\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})(?:\s|$)"
)
_STRESS = re.compile(r"STRESS\| Analytical stress tensor \[(\w+)\]")
_STRESS_ROW = re.compile(rf"STRESS\|\s+[xyz]\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*$")
_VECTOR = re.compile(
    rf" CELL\| Vector [abc] \[angstrom\]:?\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s+\|[abc]\| =\s+({_NUMBER})"
)
_ANGLE = re.compile(rf" CELL\| Angle .*:\s+({_NUMBER})\s*$")
_ATOM = re.compile(rf"\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s")
NOT_CONVERGED, ABORTED, ENDED = "SCF run NOT converged", "[ABORT]", "PROGRAM ENDED AT"
_OUT_OF_TIME = re.compile(r"exceeded requested execution time|requested walltime", re.IGNORECASE)


@dataclass(frozen=True)
class Evaluation:
    """What CP2K printed of one configuration.

    Attributes
    ----------
    converged
        Whether the electrons converged.
    values
        Those of ``energy`` (eV), ``forces`` (eV/Å) and ``stress`` (eV/Å³, Voigt, ASE's sign) that it printed.
    """

    converged: bool
    values: dict[str, Any]


@dataclass(frozen=True)
class Output:
    """What CP2K printed in a run.

    Attributes
    ----------
    evaluations
        One for each configuration it has begun to evaluate, in order; the last may lack values.
    ended
        Whether the program came to its end by itself.
    out_of_time
        Whether it ended because the time it was given was over.
    abort
        Why it stopped, empty where it did not.
    """

    evaluations: list[Evaluation]
    ended: bool
    out_of_time: bool
    abort: str


def atom_order(symbols: Sequence[str]) -> np.ndarray:
    """Return the order in which atoms are given to CP2K: by symbol, so that equal compositions are alike."""
    return np.argsort(np.asarray(symbols), kind="stable")


def write_trajectory(images: Iterable[Atoms]) -> tuple[str, str]:
    """Return the two files that CP2K's REFTRAJ reads, positions (XYZ) and cells, with every digit.

    Parameters
    ----------
    images
        Configurations of one composition.

    Raises
    ------
    ValueError
        If the compositions differ.
    """
    first: list[str] | None = None
    positions, cells = [], ["#   Step   Time [fs]   Ax Ay Az   Bx By Bz   Cx Cy Cz [Angstrom]   Volume [Angstrom^3]"]
    for number, atoms in enumerate(images, start=1):
        ordered = atoms[atom_order(atoms.get_chemical_symbols())]
        symbols = ordered.get_chemical_symbols()
        first = first or symbols
        if symbols != first:
            raise ValueError(f"configuration {number - 1} has another composition than the first: one a run")
        positions.append(f"{len(symbols)}\n i = {number}, time = {number:.1f}")
        positions += [
            f"{s} {x:.16f} {y:.16f} {z:.16f}" for s, (x, y, z) in zip(symbols, ordered.positions, strict=True)
        ]
        vectors = " ".join(f"{x:.16f}" for x in ordered.cell.array.ravel())
        cells.append(f"{number} {number:.1f} {vectors} {ordered.get_volume():.10f}")
    return "\n".join(positions) + "\n", "\n".join(cells) + "\n"


def build_input(
    parameters: Mapping[str, Any], first: Atoms, count: int, version: Sequence[int], seconds: float | None = None
) -> dict[str, Any]:
    """Return the input of a run that evaluates the trajectory of `write_trajectory`.

    Parameters
    ----------
    parameters
        A level of theory: ``force_eval``, ``basis_set``, ``potential`` and ``kinds`` (element to a dictionary of
        ``basis_set`` and ``potential``).
    first
        First configuration.
    count
        Number of configurations.
    version
        Version of CP2K, such as ``(2023, 1)``.
    seconds
        Time after which the program ends by itself.

    Returns
    -------
    dict
        Sections and keywords, as `write_input` takes them.
    """
    new = tuple(version) >= NEW_KEYWORDS
    force_eval = _copied(parameters["force_eval"])
    force_eval["STRESS_TENSOR"] = "ANALYTICAL"
    force_eval["PRINT"] = {"FORCES": {"_": "ON", "NDIGITS": 15}, "STRESS_TENSOR": {"_": "ON"}}
    if new:
        # One that does not converge must not cost the others; it is told by what is printed.
        force_eval["DFT"]["SCF"]["IGNORE_CONVERGENCE_FAILURE"] = True
    force_eval["SUBSYS"] = {
        "CELL": {key: " ".join(f"{x:.16f}" for x in row) for key, row in zip("ABC", first.cell.array, strict=True)},
        # The first configuration of the trajectory.
        "TOPOLOGY": {"COORD_FILE_NAME": TRAJECTORY_FILE, "COORD_FILE_FORMAT": "XYZ"},
        "KIND": [_kind(parameters, symbol) for symbol in sorted(set(first.get_chemical_symbols()))],
    }
    evaluate = {"EVAL": "ENERGY_FORCES"} if new else {"EVAL_ENERGY_FORCES": True, "EVAL_FORCES": True}
    reftraj = {
        "TRAJ_FILE_NAME": TRAJECTORY_FILE,
        "CELL_FILE_NAME": CELL_FILE,
        "VARIABLE_VOLUME": True,
        "FIRST_SNAPSHOT": 1,
        "LAST_SNAPSHOT": count,
        "STRIDE": 1,
        **evaluate,
    }
    silent = {key: {"_": "OFF"} for key in ("TRAJECTORY", "VELOCITIES", "RESTART", "RESTART_HISTORY")}
    walltime = {} if seconds is None else {"WALLTIME": round(seconds)}
    return {
        "GLOBAL": {"PROJECT": "aiida", "RUN_TYPE": "MD", "PRINT_LEVEL": "MEDIUM", **walltime},
        "MOTION": {"MD": {"ENSEMBLE": "REFTRAJ", "STEPS": count, "REFTRAJ": reftraj}, "PRINT": silent},
        "FORCE_EVAL": force_eval,
    }


def _kind(parameters: Mapping[str, Any], symbol: str) -> dict[str, str]:
    own = parameters.get("kinds", {}).get(symbol, {})
    return {
        "_": symbol,
        "BASIS_SET": own.get("basis_set", parameters["basis_set"]),
        "POTENTIAL": own.get("potential", parameters["potential"]),
    }


def write_input(sections: Mapping[str, Any], depth: int = 0) -> str:
    """Write an input of CP2K.

    Parameters
    ----------
    sections
        Keyword to value, section to its keywords; what is repeated is a list. The parameter of a section, such as the
        name of a functional after ``&XC_FUNCTIONAL``, is its entry ``_``.
    depth
        Number of sections around.

    Returns
    -------
    str
        The text; logical values are ``.TRUE.`` and ``.FALSE.``.
    """
    indent, lines = "  " * depth, []
    for key, values in sections.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, Mapping):
                parameter = f" {value['_']}" if "_" in value else ""
                inner = write_input({name: item for name, item in value.items() if name != "_"}, depth + 1)
                lines.append(f"{indent}&{key}{parameter}\n{inner}{indent}&END {key}\n")
            else:
                shown = f".{str(value).upper()}." if isinstance(value, bool) else value
                lines.append(f"{indent}{key} {shown}\n")
    return "".join(lines)


def _copied(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in section.items()}


def read_output(lines: Iterable[str], order: np.ndarray | None = None) -> Output:
    """Read what CP2K printed.

    Parameters
    ----------
    lines
        Lines of the output.
    order
        Order in which the atoms were given to CP2K (`atom_order`); forces are given back in their own. That of CP2K if
        not given.

    Returns
    -------
    Output
        Evaluations in the order they were made.
    """
    found: list[Evaluation] = []
    converged, ended, out_of_time, abort, aborting = True, False, False, [], False
    lines = iter(lines)
    for line in lines:
        if NOT_CONVERGED in line:
            converged = False
        elif match := _ENERGY.search(line):
            found.append(Evaluation(converged, {"energy": _number(match[1]) * units.Hartree}))
            converged = True
        elif _FORCES.match(line) and found:
            forces = _force_rows(lines) * units.Hartree / units.Bohr
            if order is None or len(forces) == len(order):
                found[-1].values["forces"] = forces if order is None else forces[np.argsort(order)]
        elif (match := _STRESS.search(line)) and found:
            tensor = _stress_rows(lines)
            if tensor is not None:
                # CP2K's is the pressure's sign: positive where the cell wants to expand.
                stress = -tensor * _PRESSURES[match[1].lower()]
                found[-1].values["stress"] = full_3x3_to_voigt_6_stress(stress)
        elif ABORTED in line:
            aborting = True
        elif aborting:
            text = line.strip(" *\n|/\\_O")
            aborting = bool(text) and len(abort) < 4
            abort += [text] if aborting else []
        elif ENDED in line:
            ended = True
        out_of_time = out_of_time or bool(_OUT_OF_TIME.search(line))
    return Output(found, ended, out_of_time, " ".join(abort))


def _number(text: str) -> float:
    return float(text.replace("D", "E").replace("d", "e"))


def _force_rows(lines: Iterable[str]) -> np.ndarray:
    rows: list[list[float]] = []
    for line in lines:
        if match := _FORCE.match(line):
            rows.append([_number(value) for value in match.groups()])
        elif rows:
            break
    return np.array(rows).reshape(-1, 3)


def _stress_rows(lines: Iterable[str]) -> np.ndarray | None:
    rows: list[list[float]] = []
    for line in lines:
        if match := _STRESS_ROW.search(line):
            rows.append([_number(value) for value in match.groups()])
            if len(rows) == 3:
                return np.array(rows)
        elif rows:
            break
    return None


def read_structure(lines: Sequence[str]) -> Atoms:
    """Return the structure that CP2K prints before it begins.

    Parameters
    ----------
    lines
        Lines of the output.

    Raises
    ------
    ValueError
        If coordinates or cell are not printed.
    """
    vectors, lengths, angles, symbols, positions = [], [], [], [], []
    coordinates = iter(lines)
    for line in coordinates:
        if match := _VECTOR.match(line):
            *vector, length = map(float, match.groups())
            vectors, lengths = [*vectors, vector], [*lengths, length]
        elif match := _ANGLE.match(line):
            angles.append(float(match[1]))
        elif "ATOMIC COORDINATES IN ANGSTROM" in line.upper():
            for row in coordinates:
                if match := _ATOM.match(row):
                    symbols.append(match[1])
                    positions.append([float(value) for value in match.groups()[1:]])
                elif symbols:
                    break
            break
    if len(vectors) < 3 or len(angles) < 3 or not symbols:
        raise ValueError("the cell or the coordinates are not printed: PRINT_LEVEL MEDIUM prints them")
    return Atoms(symbols, positions, cell=_precise_cell(np.array(vectors[:3]), [*lengths[:3], *angles[:3]]), pbc=True)


def _precise_cell(vectors: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
    """Return the cell of lengths and angles, turned to vectors that have fewer digits."""
    cell = Cell.fromcellpar(parameters).array
    if np.abs(cell - vectors).max() < 1e-3:
        return cell
    left, _, right = np.linalg.svd(cell.T @ vectors)
    return cell @ left @ right


def changed(base: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Return the keywords in which another input differs from a base, by path, without those of `MACHINE_KEYS`."""
    differences: dict[str, Any] = {}
    for key in sorted(set(base) | set(other)):
        if key.lower() in MACHINE_KEYS:
            continue
        left, right = base.get(key), other.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            differences |= changed(left, right, f"{path}{key}/")
        elif left != right:
            differences[path + key] = right
    return differences


def level_of_theory(name: str, level: Mapping[str, Any], used: Mapping[str, Any]) -> str:
    """Return the name that labels go by, given the level of that name and what is used of it.

    Parameters
    ----------
    name
        Name of the level.
    level, used
        ``force_eval``, ``basis_set``, ``potential`` and ``kinds``, of the level and as they are used.
    """
    parts = [f"{key.split('/')[-1]}={value}" for key, value in changed(level["force_eval"], used["force_eval"]).items()]
    tags = f"({', '.join(parts)})" if parts else ""
    kinds = [
        f"{symbol}: {own.get('basis_set', used['basis_set'])} {own.get('potential', used['potential'])}"
        for symbol, own in sorted(used["kinds"].items())
    ]
    return f"CP2K {name}{tags}, {'; '.join([used['basis_set'] + ' ' + used['potential'], *kinds])}"
