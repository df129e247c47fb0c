"""Moment tensor potentials as an ASE calculator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from aiida_lpsgb.mtp import _core
from aiida_lpsgb.mtp.configurations import types_of
from aiida_lpsgb.mtp.potential import MTP

__all__ = ["Engine", "MTPCalculator"]

# The engine orders a virial as LAMMPS does: xx yy zz xy xz yz.
_TO_VOIGT = [0, 1, 2, 5, 4, 3]


class Engine:
    """Evaluates a potential on configurations.

    Parameters
    ----------
    mtp
        Potential with coefficients.
    species
        Chemical symbols in the order of the potential's types.
    """

    def __init__(self, mtp: MTP, species: Sequence[str]):
        if not mtp.trained:
            raise ValueError("the potential has no coefficients yet: it must be trained first")
        if len(species) != mtp.n_species:
            raise ValueError(f"the potential has {mtp.n_species} species, got {', '.join(species) or 'none'}")
        self.species = list(species)
        self._evaluator = _core.Evaluator(_core.Potential(mtp.to_string()))

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Energy (eV), energies (n,), forces (n, 3; eV/Å) and, with three periods, stress (6, Voigt; eV/Å³)."""
        found = self._evaluator.evaluate(types_of(atoms, self.species), atoms.positions, atoms.cell.array, atoms.pbc)
        results = {key: found[key] for key in ("energy", "energies", "forces")}
        if atoms.pbc.all():
            results["stress"] = -found["virial"][_TO_VOIGT] / atoms.get_volume()
        return results

    def rows(self, atoms: Atoms) -> np.ndarray:
        """Derivatives of the atoms' energies with respect to all coefficients (n, p), in the order of an ``.als``."""
        return self._evaluator.rows(types_of(atoms, self.species), atoms.positions, atoms.cell.array, atoms.pbc)


class MTPCalculator(Calculator):
    """ASE calculator of a moment tensor potential.

    Parameters
    ----------
    mtp
        Potential with coefficients.
    species
        Chemical symbols in the order of the potential's types.

    Examples
    --------
    >>> atoms.calc = MTPCalculator(MTP.read("pot.mtp"), ["Li", "P", "S"])  # doctest: +SKIP
    >>> atoms.get_potential_energy()  # doctest: +SKIP
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, mtp: MTP, species: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self._engine = Engine(mtp, species)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Evaluate everything at once; see `ase.calculators.calculator.Calculator.calculate`."""
        super().calculate(atoms, properties, system_changes)
        self.results = self._engine.evaluate(self.atoms)
        self.results["free_energy"] = self.results["energy"]
