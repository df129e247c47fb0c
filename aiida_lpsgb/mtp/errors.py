"""Errors of a potential on labelled configurations, counted and printed as MLIP-2's ``mlp`` does.

As in MLIP-2 since July 2020, root mean squares of forces and stresses are those of their 3 and 9 components, and the
averages are the mean length of a difference divided by 3 or 9, which is less than the mean absolute error of a
component. Maxima are lengths of differences (Frobenius norms for stresses).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import labels
from aiida_lpsgb.mtp.potential import MTP

__all__ = ["ErrorReport", "Statistics", "evaluate_errors"]

#: eV/Å³ in GPa, as MLIP-2 has it.
EV_A3_TO_GPA = 160.2176487


@dataclass
class Statistics:
    """Absolute errors of one quantity with so many components, and how large the quantity is."""

    components: int = 1
    differences: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, difference: np.ndarray, value: np.ndarray) -> None:
        """Take the norms of vectors (n, k), or of scalars (n,), into account."""
        for array, norms in ((difference, self.differences), (value, self.values)):
            array = np.asarray(array, dtype=float).reshape(len(array), -1)
            norms.extend(np.linalg.norm(array, axis=1).tolist())

    @property
    def count(self) -> int:
        """Number of errors."""
        return len(self.differences)

    @property
    def maximum(self) -> float:
        """Largest error, 0 without any."""
        return max(self.differences, default=0.0)

    @property
    def mae(self) -> float:
        """Mean length of an error, divided by the number of components."""
        return float(np.mean(self.differences)) / self.components if self.differences else 0.0

    @property
    def rmse(self) -> float:
        """Root mean square error of a component."""
        return _rms(self.differences) / math.sqrt(self.components) if self.differences else 0.0

    def relative(self) -> tuple[float, float]:
        """Largest error by largest value, and root mean square error by root mean square value."""
        if not self.differences:
            return 0.0, 0.0
        return self.maximum / (max(self.values) + 1e-300), _rms(self.differences) / (_rms(self.values) + 1e-300)

    def lines(self, of: str, relative: str | None) -> list[str]:
        """Lines of MLIP-2's report; `relative` abbreviates the quantity where ratios are wanted."""
        found = [
            f"\tErrors checked for {self.count} {of}",
            f"\tMaximal absolute difference = {self.maximum:g}",
            f"\tAverage absolute difference = {self.mae:g}",
            f"\tRMS     absolute difference = {self.rmse:g}",
        ]
        if relative:
            largest, rms = self.relative()
            found.append(f"\tMax({relative}Diff) / Max({relative}) = {largest:g}")
            found.append(f"\tRMS({relative}Diff) / RMS({relative}) = {rms:g}")
        return found


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@dataclass
class ErrorReport:
    """Errors of energies (eV), energies per atom (eV), forces (eV/Å), virials (eV) and stresses (GPa)."""

    energy: Statistics = field(default_factory=Statistics)
    energy_per_atom: Statistics = field(default_factory=Statistics)
    forces: Statistics = field(default_factory=lambda: Statistics(3))
    virial: Statistics = field(default_factory=lambda: Statistics(9))
    stress: Statistics = field(default_factory=lambda: Statistics(9))

    def add(self, atoms: Atoms, known: dict, found: dict) -> None:
        """Compare labels with predictions (dictionaries of energy, forces, stress in ASE's units and order)."""
        if "energy" in known:
            difference, value = np.array([found["energy"] - known["energy"]]), np.array([known["energy"]])
            self.energy.add(difference, value)
            self.energy_per_atom.add(difference / len(atoms), value / len(atoms))
        if "forces" in known:
            self.forces.add(np.asarray(found["forces"]) - known["forces"], known["forces"])
        if "stress" in known and atoms.pbc.all():
            double = np.sqrt([1, 1, 1, 2, 2, 2])  # off-diagonal elements stand twice in the tensor
            difference = (np.asarray(found["stress"]) - known["stress"])[None] * double
            value = np.asarray(known["stress"])[None] * double
            self.stress.add(difference * EV_A3_TO_GPA, value * EV_A3_TO_GPA)
            self.virial.add(difference * atoms.get_volume(), value * atoms.get_volume())

    def __str__(self) -> str:
        blocks = (
            ("Energy:", self.energy.lines("configurations", None)),
            ("Energy per atom:", self.energy_per_atom.lines("configurations", None)),
            ("Forces:", self.forces.lines("atoms", "Force")),
            ("Stresses (in eV):", self.virial.lines("configurations", "Stres")),
            ("Stresses (in GPa):", self.stress.lines("configurations", "Stres")),
        )
        body = "\n\n".join("\n".join([heading, *lines]) for heading, lines in blocks)
        return f"_________________Errors report_________________\n{body}\n{'_' * 47}\n"


def evaluate_errors(mtp: MTP, images: Iterable[Atoms], species: Sequence[str]) -> ErrorReport:
    """Compare a potential with the labels of configurations.

    Parameters
    ----------
    mtp
        Potential with coefficients.
    images
        Configurations; those of energy, forces and stress that they carry are compared.
    species
        Chemical symbols in the order of the potential's types.
    """
    engine = Engine(mtp, species)
    report = ErrorReport()
    for atoms in images:
        report.add(atoms, labels(atoms), engine.evaluate(atoms))
    return report
