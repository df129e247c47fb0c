"""Molecular dynamics with a calculator of ASE, which can be interrupted anywhere and goes on as if it had not been.

Langevin dynamics at constant volume or pressure (BAOAB splitting, Leimkuhler and Matthews, J. Chem. Phys. 138, 174102,
2013; barostat of Quigley and Probert, J. Chem. Phys. 120, 11432, 2004), or none. Random numbers are drawn anew for each
frame from the seed and the number of the frame, so that a run in segments is the run in one, to rounding.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet

from aiida_lpsgb.labelling import labels
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.labelling.plans import PlanOf

ENSEMBLES = ("nve", "nvt", "npt")


@dataclass(frozen=True)
class Plan(PlanOf):
    """What is run.

    Attributes
    ----------
    temperature_K
        Temperature of the thermostat, and of the first velocities where there are none.
    n_steps
        Steps of the whole run, all segments together.
    interval_steps
        Steps between frames.
    seed
        Seed of velocities and thermostat.
    ensemble
        One of `ENSEMBLES`.
    timestep_fs
        Time step.
    pressure_GPa
        Pressure, at constant pressure.
    thermostat_damping_ps, barostat_damping_ps
        Times within which temperature and volume follow.
    isotropic
        Whether the cell keeps its shape at constant pressure.
    """

    KEY = "dynamics"

    temperature_K: float
    n_steps: int
    interval_steps: int
    seed: int
    ensemble: str = "nvt"
    timestep_fs: float = 2.0
    pressure_GPa: float = 0.0
    thermostat_damping_ps: float = 0.1
    barostat_damping_ps: float = 1.0
    isotropic: bool = False

    def __post_init__(self) -> None:
        if self.ensemble not in ENSEMBLES:
            raise ValueError(f"ensemble is {self.ensemble!r}, expected one of {', '.join(ENSEMBLES)}")
        self.require_positive("temperature_K", "timestep_fs", "thermostat_damping_ps", "barostat_damping_ps")
        self.require_numbers("pressure_GPa")
        self.require_counts("n_steps", "interval_steps", "seed")
        self.require_truth("isotropic")
        if self.n_steps % self.interval_steps:
            raise ValueError(f"n_steps {self.n_steps} is no multiple of interval_steps {self.interval_steps}")


def run(
    atoms: Atoms,
    calculator: BaseCalculator,
    plan: Plan,
    seconds: float | None = None,
    max_force: float = labels.MAX_FORCE,
) -> Iterator[Atoms]:
    """Run molecular dynamics from a start or from any frame of the same run.

    Parameters
    ----------
    atoms
        Where it begins: at rest, or with momenta, or a frame of an earlier segment (``info['step']``).
    calculator
        A calculator of ASE.
    plan
        What is run.
    seconds
        Time to spend. No frame is begun that, by the longest so far, would not be done by then.
    max_force
        Largest length of a force, eV/Å; with a larger one the run has exploded.

    Yields
    ------
    ase.Atoms
        A frame every `interval_steps`, with energy, forces and, if the calculator has it, stress, with momenta, and
        with ``step``, ``time_ps`` and ``temperature_K`` (that of the plan) in ``info``; at constant pressure also
        ``barostat``, the momentum of the cell.

    Raises
    ------
    ValueError
        If the run explodes, or its start is not between two frames.
    """
    step = int(atoms.info.get("step", 0))
    if step % plan.interval_steps or step > plan.n_steps:
        raise ValueError(f"the run begins at step {step}, expected a multiple of {plan.interval_steps}")
    atoms, barostat = _start(atoms, plan), atoms.info.get("barostat", 0.0)
    atoms.calc = calculator
    begin, longest = time.monotonic(), 0.0
    while step < plan.n_steps:
        start = time.monotonic()
        if seconds is not None and start - begin + longest > seconds:
            return
        driver = _driver(atoms, plan, np.random.default_rng([plan.seed, step // plan.interval_steps]))
        if plan.ensemble == "npt":
            driver.p_eps = float(barostat) if plan.isotropic else np.zeros((3, 3)) + barostat
        driver.run(plan.interval_steps)
        step += plan.interval_steps
        info = {"step": step, "time_ps": step * plan.timestep_fs * 1e-3, "temperature_K": plan.temperature_K}
        if plan.ensemble == "npt":
            barostat = driver.p_eps
            info["barostat"] = np.asarray(barostat).tolist()
        yield _frame(atoms, info, max_force)
        longest = max(longest, time.monotonic() - start)


def _start(atoms: Atoms, plan: Plan) -> Atoms:
    start = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    if atoms.has("momenta"):
        start.set_momenta(atoms.get_momenta())
    else:
        # Drawn from a stream of their own: the frames' begin at 0.
        rng = np.random.default_rng([plan.seed, 2**31])
        thermalize_momenta(start, plan.temperature_K, rng=rng)
        Stationary(start, preserve_temperature=True)
    return start


def _driver(atoms: Atoms, plan: Plan, rng: np.random.Generator) -> Any:
    timestep = plan.timestep_fs * units.fs
    if plan.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    pressure: dict[str, Any] = {}
    if plan.ensemble == "npt":
        pressure = {
            "externalstress": -plan.pressure_GPa * units.GPa,
            "hydrostatic": plan.isotropic,
            "P_tau": plan.barostat_damping_ps * 1000 * units.fs,
        }
    with warnings.catch_warnings():
        # It tells that the barostat's mass follows from its damping time.
        warnings.simplefilter("ignore")
        return LangevinBAOAB(
            atoms,
            timestep,
            temperature_K=plan.temperature_K,
            T_tau=plan.thermostat_damping_ps * 1000 * units.fs,
            rng=rng,
            **pressure,
        )


def _frame(atoms: Atoms, info: dict[str, Any], max_force: float) -> Atoms:
    values = labels.compute(atoms.calc, atoms, max_force)
    frame = with_labels(atoms, **values)
    frame.info = info
    return frame
