"""What a study is made of, before it is one: what ``aiida-lpsgb study`` shows, saves and reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any

from aiida import orm
from aiida.engine import ProcessBuilder
from aiida.plugins import WorkflowFactory
from pymatgen.core import Structure

from aiida_lpsgb.calculations.functions.recipes import with_planes
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.structures.guess import Material
from aiida_lpsgb.structures.ordering import primitive_cell
from aiida_lpsgb.workflows.crystal import crystal_node, structure_of
from aiida_lpsgb.workflows.guessed import guessed_overrides, recipes
from aiida_lpsgb.workflows.label.choice import find_label_code, is_quick, label_of, label_overrides

__all__ = ["NO_START_SET", "StudyPlan"]

MANY_ATOMS = 100
"""A label of more takes seconds to minutes, and so does every step of dynamics by labels."""
NO_START_SET = {"start_set": None}
"""Overrides where there is something else to learn from."""


@dataclass(frozen=True)
class StudyPlan:
    """What a study is made of, in words and numbers that a person can read and change.

    Attributes
    ----------
    crystal
        File of the crystal.
    systems
        Recipes by name, as `lpsgb.study` takes them.
    overrides
        Of the protocol of `lpsgb.study`: what was guessed, and what was asked for.
    protocol
        ``fast``, ``moderate`` or ``paper``.
    label
        What computes the labels, as :func:`~aiida_lpsgb.workflows.label.choice.label_overrides` reads it; None for what
        the protocol has.
    label_code
        Label of its code, None for the only one that there is.
    potentials
        Given potentials (PK or UUID of a node or of a study, or a file); nothing is learned then.
    species
        What the types of potentials in files stand for.
    frames
        Files of labelled configurations to learn from.
    level_of_theory
        Of the labels of the frames, where their files do not say.
    seed
        Of the study; None to draw one.
    published
        File of published numbers to stand beside what is found.
    """

    crystal: str
    systems: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    protocol: str = "fast"
    label: str | None = None
    label_code: str | None = None
    potentials: tuple[str, ...] = ()
    species: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    level_of_theory: str | None = None
    seed: int | None = None
    published: str | None = None

    @classmethod
    def of(
        cls,
        crystal: str | PathLike,
        material: Material,
        *,
        boundaries: Sequence[str] = (),
        twists: Sequence[str] = (),
        glass: bool = False,
        interfaces: Sequence[str] = (),
        pseudo_cubic: bool = False,
        overrides: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> StudyPlan:
        """A plan for a crystal of which these things are guessed.

        Parameters
        ----------
        crystal
            File of the crystal.
        material
            What :func:`aiida_lpsgb.structures.guess.guess` says of it.
        boundaries, twists, glass, interfaces, pseudo_cubic
            As of :func:`aiida_lpsgb.workflows.from_structure.study_from_structure`.
        overrides
            What comes over the guesses.
        **given
            The other attributes.

        Raises
        ------
        ValueError
            With the questions that a person must answer, or for indices that are none.
        """
        systems = recipes(material, boundaries, twists, glass, interfaces, pseudo_cubic)
        return cls(str(crystal), systems, merged(guessed_overrides(material), overrides or {}), **given)

    def changed(self, overrides: Mapping[str, Any], systems: Mapping[str, Any], **given: Any) -> StudyPlan:
        """The plan with more overrides and systems, and other attributes where these are not None or empty."""
        return replace(
            self,
            overrides=merged(self.overrides, overrides),
            systems={**self.systems, **systems},
            **{key: value for key, value in given.items() if value not in (None, ())},
        )

    def builder(
        self,
        codes: Mapping[str, orm.AbstractCode],
        *,
        crystal: orm.CifData | orm.StructureData | None = None,
        potentials: Mapping[str, orm.Data] | None = None,
        training_sets: Mapping[str, orm.Data] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ProcessBuilder:
        """Builder of the study.

        Parameters
        ----------
        codes
            By role; the one for labels gives way to that of :attr:`label`.
        crystal
            Node of the crystal; made of its file if not given.
        potentials, training_sets
            Nodes of what :attr:`potentials` and :attr:`frames` name.
        options
            ``metadata.options`` by role.

        Raises
        ------
        ValueError
            For everything that is known to be wrong before anything is run.
        """
        overrides = dict(self.overrides)
        codes = dict(codes)
        label = self.label or label_of((training_sets or {}).values())
        if label is not None and not potentials:
            engine, by_label = label_overrides(label)
            overrides = merged(by_label, overrides)
            codes["label"] = find_label_code(engine, self.label_code, codes.get("label"))
        if not (potentials or training_sets) and is_quick(codes.get("label")):
            overrides = merged({"reference_md": {}}, overrides)
        whole = potentials or with_planes(self.systems)
        if not whole and is_large_and_centred(structure_of(crystal or self.crystal)):
            overrides = merged({"ordering": {"primitive": True}}, overrides)
        return WorkflowFactory("lpsgb.study").get_builder_from_protocol(
            codes,
            crystal or crystal_node(self.crystal),
            self.systems,
            potentials=potentials,
            training_sets=training_sets,
            protocol=self.protocol,
            overrides=overrides,
            options=options,
            seed=None if self.seed is None else orm.Int(self.seed),
        )


def is_large_and_centred(crystal: Structure) -> bool:
    """Whether a crystal's cell has more atoms than labels should have, and its primitive cell fewer."""
    return crystal.composition.num_atoms > MANY_ATOMS and len(primitive_cell(crystal)) < len(crystal)
