"""Relax configurations with a calculator of ASE, in cells that are fixed or free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from aiida_lpsgb.labelling.plans import PlanOf


@dataclass(frozen=True)
class Plan(PlanOf):
    """How configurations are relaxed.

    Attributes
    ----------
    cell
        Whether the cell relaxes, too.
    pressure_GPa
        Pressure that a free cell comes to.
    force_tolerance_ev_angstrom
        Largest length of a force at the end.
    stress_tolerance_GPa
        Largest deviation of a component of the stress of a free cell from the pressure.
    max_steps
        Steps after which it has failed.
    """

    KEY = "relaxation"

    cell: bool = False
    pressure_GPa: float = 0.0
    force_tolerance_ev_angstrom: float = 1e-3
    stress_tolerance_GPa: float = 0.01
    max_steps: int = 1000

    def __post_init__(self) -> None:
        self.require_truth("cell")
        self.require_numbers("pressure_GPa")
        self.require_positive("force_tolerance_ev_angstrom", "stress_tolerance_GPa")
        self.require_counts("max_steps")


class NotConverged(RuntimeError):
    """A configuration did not come to rest within the steps it was given."""


def relax(atoms: Atoms, calculator: BaseCalculator, plan: Plan) -> Atoms:
    """Relax a configuration.

    Parameters
    ----------
    atoms
        Where it begins; it is not changed.
    calculator
        A calculator of ASE, with stress where the cell relaxes.
    plan
        What relaxes, and how far.

    Returns
    -------
    ase.Atoms
        The relaxed configuration without calculator, in its orientation: a free cell keeps that of the start but for
        rotations that no stress asks for.

    Raises
    ------
    NotConverged
        If it does not come to rest.
    """
    relaxed = atoms.copy()
    relaxed.set_constraint()
    relaxed.calc = calculator
    pressure = plan.pressure_GPa * units.GPa
    moved = FrechetCellFilter(relaxed, scalar_pressure=pressure) if plan.cell else relaxed
    # It stops by the tolerances of the plan: those of ASE mix forces and stress.
    for _ in BFGS(moved, logfile=None, maxstep=0.1).irun(fmax=0.0, steps=plan.max_steps):
        force, stress = _residuals(relaxed, plan)
        if force <= plan.force_tolerance_ev_angstrom and stress <= plan.stress_tolerance_GPa:
            relaxed.calc = None
            return relaxed
    raise NotConverged(
        f"not relaxed after {plan.max_steps} steps: the largest force is {force:.3g} eV/Å"
        + (f", the stress is off by {stress:.3g} GPa" if plan.cell else "")
    )


def _residuals(atoms: Atoms, plan: Plan) -> tuple[float, float]:
    """Largest force, eV/Å, and largest deviation of the stress, GPa (none where the cell is fixed)."""
    force = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not plan.cell:
        return force, 0.0
    off = atoms.get_stress(voigt=False) / units.GPa + plan.pressure_GPa * np.eye(3)
    return force, float(np.abs(off).max())
