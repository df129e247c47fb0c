r"""Active sets, extrapolation grades and the MaxVol selection of configurations (D-optimality).

A configuration is the row :math:`b = \frac1N \partial E/\partial p` of derivatives with respect to all coefficients,
or, for neighbourhoods, one row for each atom. The active set is the square matrix :math:`A` of rows with the largest
determinant that exchanges of one row can reach [1]_, begun with :math:`\varepsilon I` or, by `ActiveSet.begin_with`,
with a share of what is typical of each coefficient. The grade of a configuration is
:math:`\gamma = \max |b A^{-1}|`: above 1, exchanging a row for it would enlarge the determinant, and the potential
extrapolates [2]_.

References
----------
.. [1] S. A. Goreinov, I. V. Oseledets, D. V. Savostyanov, E. E. Tyrtyshnikov, N. L. Zamarashkin, in Matrix Methods:
   Theory, Algorithms and Applications (World Scientific, 2010), p. 247.
.. [2] E. V. Podryabinkin, A. V. Shapeev, Comput. Mater. Sci. 140, 171 (2017); K. Gubaev, E. V. Podryabinkin,
   A. V. Shapeev, J. Chem. Phys. 148, 241727 (2018).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_lpsgb.mtp import _tools
from aiida_lpsgb.mtp.configurations import atoms_of, structure_of
from aiida_lpsgb.mtp.potential import MTP

__all__ = ["ALSFormatError", "ActiveSet", "Selection", "select_add"]

_MODES = ("configuration", "neighborhood")
_WEIGHTINGS = ("vibrations", "molecules", "structures")
# Rows that are held at a time, where a configuration has not more of them.
_BLOCK = 4096
# Rows among which exchanges are made between two looks at all rows: as many as fit into a processor's cache.
_SUBSET = 2500


class ALSFormatError(ValueError):
    """An active set's file is broken; the message names the file and the reason."""


class ActiveSet:
    r"""The rows that a potential's training set spans.

    Parameters
    ----------
    mtp
        The potential whose derivatives the rows are.
    species
        Chemical symbols in the order of the potential's types.
    mode
        ``configuration`` (rows are means over a configuration's atoms) or ``neighborhood`` (one row for each atom).
    init_threshold
        The :math:`\varepsilon` of the identity that it begins with.
    weighting
        ``vibrations`` and ``structures``: rows of configurations are means over the atoms; ``molecules``: sums.
    threads
        Number of threads that evaluate rows.
    """

    def __init__(
        self,
        mtp: MTP,
        species: Sequence[str],
        mode: str = "configuration",
        init_threshold: float = 1e-5,
        weighting: str = "vibrations",
        threads: int = 1,
    ):
        if mode not in _MODES:
            raise ValueError(f"mode should be one of {', '.join(_MODES)}, got {mode!r}")
        if weighting not in _WEIGHTINGS:
            raise ValueError(f"weighting should be one of {', '.join(_WEIGHTINGS)}, got {weighting!r}")
        if len(species) != mtp.n_species:
            raise ValueError(f"the potential has {mtp.n_species} species, got {', '.join(species) or 'none'}")
        self.mtp, self.species, self.mode = mtp, list(species), mode
        self._selection = _tools.Selection(
            mtp.to_string(), mode == "neighborhood", weighting == "molecules", init_threshold, threads
        )
        self._images: list[Atoms] = []

    @property
    def matrix(self) -> np.ndarray:
        """A (p, p); a row that was never selected is that of the identity's multiple."""
        return self._selection.matrix

    @property
    def inverse(self) -> np.ndarray:
        """The inverse of A (p, p)."""
        return self._selection.inverse_columns.T

    @property
    def images(self) -> list[Atoms | None]:
        """The configuration of each row, None where it was never selected."""
        return [None if owner < 0 else self._images[owner] for owner in self._selection.owners]

    @property
    def selected(self) -> list[Atoms]:
        """The configurations of the active set, each once, in the order of their first rows."""
        return [self._images[owner] for owner in dict.fromkeys(self._selection.owners) if owner >= 0]

    def rows(self, atoms: Atoms) -> np.ndarray:
        """Rows of a configuration: (1, p), or (n, p) for neighbourhoods."""
        return self._selection.rows(structure_of(atoms, self.species))

    def begin_with(self, images: Sequence[Atoms], share: float) -> None:
        r"""Begin anew with a diagonal that suits the coefficients, before anything is selected.

        The entry of a coefficient is `share` times the root mean square of :math:`\partial E/\partial p` over the rows
        of configurations, for radial coefficients over all pairs of species as well. The derivatives of radial and of
        moment coefficients differ by many orders of magnitude, by which no single :math:`\varepsilon` can do for both.
        A pair of species that never met within the cut-off has no rows: its first contact has the grade that it comes
        to over `share` of what other pairs do, where :math:`\varepsilon I` makes that thousands.

        Raises
        ------
        ValueError
            If the share is not positive.
        """
        self._images = []
        self._selection.begin_with([structure_of(atoms, self.species) for atoms in images], share)

    def grade(self, images: Iterable[Atoms]) -> np.ndarray:
        """Extrapolation grades (number of configurations,); that of a configuration is the largest of its rows."""
        structures = [structure_of(atoms, self.species) for atoms in images]
        grades = self._selection.grades(structures)
        if self.mode == "configuration" or not structures:
            return grades
        return np.maximum.reduceat(grades, np.cumsum([0, *(len(s.types) for s in structures[:-1])]))

    def neighbourhood_grades(self, atoms: Atoms) -> np.ndarray:
        """Extrapolation grade (n,) of each atom's neighbourhood.

        Raises
        ------
        ValueError
            When the active set is one of configurations.
        """
        if self.mode != "neighborhood":
            raise ValueError("neighbourhoods are graded by an active set in the mode 'neighborhood'")
        return self._selection.grades([structure_of(atoms, self.species)])

    def extend(
        self,
        images: Sequence[Atoms],
        select_threshold: float = 1.1,
        swap_threshold: float = 1.0000001,
        swap_limit: int | None = None,
    ) -> int:
        """Exchange rows for those of further configurations until the volume is maximal.

        The configurations' rows are made anew for each look at them, so that few are held at a time.

        Parameters
        ----------
        images
            Configurations to choose from.
        select_threshold
            Nothing is exchanged when no grade is above.
        swap_threshold
            Exchanges end when no grade is above.
        swap_limit
            Largest number of exchanges.

        Returns
        -------
        int
            Number of exchanges.
        """
        structures, first = [structure_of(atoms, self.species) for atoms in images], len(self._images)
        self._images.extend(images)
        limit = -1 if swap_limit is None else swap_limit
        return self._selection.extend(structures, first, select_threshold, swap_threshold, limit, _SUBSET, _BLOCK)

    def write(self, path: str | os.PathLike) -> None:
        """Write the active set as MLIP-2's ``.als`` file."""
        numbers = {owner for owner in self._selection.owners if owner >= 0}
        structures = {number: structure_of(self._images[number], self.species) for number in numbers}
        Path(path).write_bytes(self._selection.write(structures))

    @classmethod
    def read(cls, path: str | os.PathLike, species: Sequence[str], threads: int = 1) -> ActiveSet:
        """Read an ``.als`` file of MLIP-2.

        Raises
        ------
        ALSFormatError
            When the file is truncated, not finite or inconsistent.
        """
        active = cls.__new__(cls)
        try:
            active._selection, structures = _tools.Selection.read(Path(path).read_bytes(), False, threads)
            active.mtp = MTP.from_string(active._selection.potential)
            if len(species) != active.mtp.n_species:
                raise ValueError(
                    f"the potential has {active.mtp.n_species} species, got {', '.join(species) or 'none'}"
                )
            numbers = np.array([atomic_numbers[symbol] for symbol in species])
            active._images = [atoms_of(structure, numbers) for structure in structures]
        except ValueError as error:
            raise ALSFormatError(f"{os.fspath(path)}: {error}") from None
        active.species = list(species)
        active.mode = _MODES[active._selection.neighbourhoods]
        return active


@dataclass
class Selection:
    """What `select_add` finds.

    Attributes
    ----------
    active_set
        The active set of both sets.
    added
        Indices of the candidates that it holds, in the order of their rows.
    """

    active_set: ActiveSet
    added: list[int]


def select_add(
    mtp: MTP,
    train: Sequence[Atoms],
    candidates: Sequence[Atoms],
    species: Sequence[str],
    *,
    mode: str = "configuration",
    init_threshold: float = 1e-5,
    init_scale: float | None = None,
    select_threshold: float = 1.1,
    swap_threshold: float = 1.0000001,
    swap_limit: int | None = None,
    weighting: str = "vibrations",
    threads: int = 1,
) -> Selection:
    """Select the candidates that a training set should be extended by.

    Parameters
    ----------
    mtp
        Potential with coefficients.
    train
        Configurations of the training set.
    candidates
        Configurations to choose from; they need no labels.
    species
        Chemical symbols in the order of the potential's types.
    mode
        ``configuration`` or ``neighborhood``.
    init_threshold
        See `ActiveSet`.
    init_scale
        The share of `ActiveSet.begin_with`, in place of `init_threshold`.
    select_threshold, swap_threshold, swap_limit
        See `ActiveSet.extend`.
    weighting
        ``vibrations`` and ``structures``: rows are means over the atoms; ``molecules``: sums.
    threads
        Number of threads that evaluate rows.

    Returns
    -------
    Selection
    """
    active = ActiveSet(mtp, list(species), mode, init_threshold, weighting, threads)
    if init_scale is not None:
        active.begin_with(train, init_scale)
    active.extend(train, swap_threshold, swap_threshold)
    active.extend(candidates, select_threshold, swap_threshold, swap_limit)
    owners = dict.fromkeys(active._selection.owners)
    return Selection(active, [owner - len(train) for owner in owners if owner >= len(train)])
