"""Errors of a potential on labelled configurations, counted and printed as MLIP-2's ``mlp`` does.

As in MLIP-2 since July 2020, root mean squares of forces and stresses are those of their 3 and 9 components, and the
averages are the mean length of a difference divided by 3 or 9, which is less than the mean absolute error of a
component. Maxima are lengths of differences (Frobenius norms for stresses).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ase import Atoms

from aiida_lpsgb.mtp._tools import ErrorReport
from aiida_lpsgb.mtp.calculator import Engine
from aiida_lpsgb.mtp.configurations import structure_of
from aiida_lpsgb.mtp.potential import MTP

__all__ = ["ErrorReport", "evaluate_errors"]


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
    engine, report = Engine(mtp, species), ErrorReport()
    for atoms in images:
        found = engine.evaluate(atoms)
        virial = -found["stress"] * atoms.get_volume() if "stress" in found else [0.0] * 6
        report.add(structure_of(atoms, species), found["energy"], found["forces"], virial)
    return report
