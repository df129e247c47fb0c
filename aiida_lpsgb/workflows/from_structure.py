"""A study of a crystal that nobody has set up before: what is not given is guessed from its structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder
from ase import Atoms
from pymatgen.core import Structure

from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.structures.guess import guess
from aiida_lpsgb.workflows.crystal import crystal_node, structure_of
from aiida_lpsgb.workflows.protocols import load_codes
from aiida_lpsgb.workflows.study_plan import NO_START_SET, StudyPlan

__all__ = ["study_from_structure"]


def study_from_structure(
    crystal: str | PathLike | Structure | Atoms | orm.StructureData | orm.CifData,
    *,
    codes: Mapping[str, orm.AbstractCode] | None = None,
    mobile: str | None = None,
    charges: Mapping[str, float] | None = None,
    cutoffs: Mapping[str, float] | None = None,
    boundaries: Sequence[str] = (),
    twists: Sequence[str] = (),
    glass: bool = False,
    interfaces: Sequence[str] = (),
    pseudo_cubic: bool = False,
    label: str | None = None,
    label_code: str | None = None,
    potentials: Mapping[str, orm.Data] | None = None,
    training_sets: Mapping[str, orm.Data] | None = None,
    protocol: str = "fast",
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int | None = None,
) -> ProcessBuilder:
    """Builder of a study of any crystal; what is not given is guessed from its structure.

    Parameters
    ----------
    crystal
        A CIF, POSCAR or any file of ASE or pymatgen, or the structure itself; partial occupancies are ordered.
    codes
        By role; those of ``aiida-lpsgb quicksetup`` if not given.
    mobile, charges, cutoffs
        The element that moves, formal charges by element, longest bonds of polyanions by pair in Å (empty: no units).
    boundaries, twists, interfaces
        Tilt boundaries as ``axis/plane`` (``"001/120"``), twists as planes with or without a true angle in degrees
        (``"001"``, ``"001@36.9"``), planes of interfaces with the glass.
    glass
        Whether a glass is made.
    pseudo_cubic
        Whether indices are read as labels of a cube; a twist then has a nominal Σ in place of an angle (``"001@5"``).
    label
        What computes the labels, such as ``sevennet``, ``sevennet+d3``, ``chgnet`` or ``vasp:optB88-vdW``; by default
        what gave those of the training sets, else that of the protocol.
    label_code
        Label of its code.
    potentials
        By name: run with these, nothing is learned.
    training_sets
        By name: learn from these in place of a start set.
    protocol, overrides, options
        As of the builder of `lpsgb.study`; overrides come over what was guessed.
    seed
        Of the study; drawn if not given.

    Returns
    -------
    ProcessBuilder
        Of `lpsgb.study`, checked.

    Raises
    ------
    ValueError
        With the questions that a person must answer, or what is wrong with what was given.
    """
    plan = StudyPlan.of(
        str(crystal) if isinstance(crystal, (str, PathLike)) else "",
        guess(structure_of(crystal), charges=charges, mobile=mobile, cutoffs=cutoffs),
        boundaries=boundaries,
        twists=twists,
        glass=glass,
        interfaces=interfaces,
        pseudo_cubic=pseudo_cubic,
        overrides=merged(NO_START_SET if training_sets else {}, overrides or {}),
        protocol=protocol,
        label=label,
        label_code=label_code,
        seed=seed,
    )
    return plan.builder(
        codes or load_codes(),
        crystal=crystal_node(crystal),
        potentials=potentials,
        training_sets=training_sets,
        options=options,
    )
