"""A study of a crystal that nobody has set up before: guessed from its structure, and kept as a plan that can be read.

:func:`study_from_structure` is all that is needed; :class:`StudyPlan` is what it goes through, and what
``aiida-lpsgb study`` shows, saves and reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from aiida import orm
from aiida.engine import ProcessBuilder
from aiida.plugins import WorkflowFactory
from ase import Atoms
from pymatgen.core import Element, Structure

from aiida_lpsgb.calculations.functions.recipes import with_planes
from aiida_lpsgb.calculations.label import engine as engines
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.labelling.calculators import level_of_theory
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.structures.crystal import read_indices
from aiida_lpsgb.structures.files import is_cif, read_structure
from aiida_lpsgb.structures.guess import Material, guess
from aiida_lpsgb.structures.ordering import primitive_cell
from aiida_lpsgb.typed import meant, read_yaml
from aiida_lpsgb.workflows.protocols import load_codes

__all__ = ["StudyPlan", "crystal_node", "find_label_code", "label_overrides", "study_from_structure"]

FORMAT = 1
"""Of the file that a plan is saved to."""
CRYSTAL, GLASS = "crystal", "glass"
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
        What computes the labels, as :func:`label_overrides` reads it; None for what the protocol has.
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
            As of :func:`study_from_structure`.
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

    # --- files ----------------------------------------------------------------------------------------------------

    def write(self, path: str | PathLike) -> None:
        """Save the plan as YAML; files are named relative to it where they lie beside or below it."""
        path = Path(path)
        folder = path.absolute().parent
        values = {key: value for key, value in asdict(self).items() if value not in (None, (), {})}
        for key in ("crystal", "potentials", "frames"):
            if key in values:
                values[key] = _each(values[key], lambda name: _relative(name, folder))
        text = yaml.safe_dump({"format": FORMAT, **_plain(values)}, sort_keys=False, allow_unicode=True)
        path.write_text(f"# aiida-lpsgb study {path.name}\n{text}", encoding="utf-8")

    @classmethod
    def read(cls, path: str | PathLike) -> StudyPlan:
        """Read a plan that :meth:`write` has saved.

        Raises
        ------
        ValueError
            If the file is none; the message names it.
        """
        path = Path(path)
        values = read_yaml(path)
        if not isinstance(values, dict) or not {"crystal", "systems"} <= set(values):
            raise ValueError(f"{path} is no plan of a study: it needs `crystal` and `systems`")
        if (version := values.pop("format", None)) != FORMAT:
            raise ValueError(f"{path}: `format` is {version!r}, this version reads {FORMAT}")
        known = [item.name for item in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"{path}: unknown keys {unknown}{meant(unknown, known)}; there are {', '.join(known)}")
        for key in ("potentials", "species", "frames"):
            given = values.get(key) or []
            values[key] = tuple(given if isinstance(given, list) else [given])
        for key, value in values.items():
            if message := _kind_error(key, value):
                raise ValueError(f"{path}: {key}: {message}, found {value!r}")
        for key in ("crystal", "potentials", "frames"):
            values[key] = _each(values[key], lambda name: _found(name, path.absolute().parent))
        return cls(**values)

    # --- the builder ----------------------------------------------------------------------------------------------

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


# --- crystals -------------------------------------------------------------------------------------------------------


def structure_of(crystal: Any) -> Structure:
    """A crystal of any kind with its occupancies, and its oxidation states where it has them."""
    if isinstance(crystal, Structure):
        return crystal
    if isinstance(crystal, Atoms):
        return Structure(
            crystal.cell.array, crystal.get_chemical_symbols(), crystal.positions, coords_are_cartesian=True
        )
    if isinstance(crystal, orm.StructureData):
        return crystal.get_pymatgen_structure()
    if isinstance(crystal, orm.CifData):
        return read_cif(crystal.get_content(), check_formula=False, oxidation_states=True)
    return read_structure(crystal, check_formula=False, oxidation_states=True)


def crystal_node(crystal: Any) -> orm.CifData | orm.StructureData:
    """A node of a crystal: a CIF with partial occupancies as it is, anything else as a structure.

    Parameters
    ----------
    crystal
        A file, a structure of ASE or pymatgen, or a node, which is returned.
    """
    if isinstance(crystal, (orm.StructureData, orm.CifData)):
        return crystal
    structure = structure_of(crystal).copy()
    structure.remove_oxidation_states()
    path = Path(crystal) if isinstance(crystal, (str, PathLike)) else None
    if path is not None and is_cif(path) and not structure.is_ordered:
        node = orm.CifData(file=str(path.absolute()), parse_policy="lazy")
    else:
        node = orm.StructureData(pymatgen=structure)
    node.label = structure.composition.reduced_formula if path is None else path.name
    return node


# --- from guesses to what a study takes -----------------------------------------------------------------------------


def recipes(
    material: Material,
    boundaries: Sequence[str] = (),
    twists: Sequence[str] = (),
    glass: bool = False,
    interfaces: Sequence[str] = (),
    pseudo_cubic: bool = False,
) -> dict[str, dict[str, Any]]:
    """Recipes of the systems by name; units are cut as they were guessed."""
    common = {"cutoffs": material.cutoffs.value}
    labels = {"convention": "pseudo-cubic"} if pseudo_cubic else {}
    systems: dict[str, dict[str, Any]] = {CRYSTAL: {"kind": "crystal"}}
    for text in boundaries:
        axis, found, plane = text.partition("/")
        if not found:
            raise ValueError(f"boundary {text!r}: give axis/plane, such as 001/120")
        recipe = {"kind": "boundary", "axis": read_indices(axis), "plane": read_indices(plane), **common, **labels}
        systems[f"tilt_{_word(recipe['axis'])}_{_word(recipe['plane'])}"] = recipe
    for text in twists:
        name, recipe = _twist(text, labels)
        systems[name] = recipe | common
    if glass or interfaces:
        systems[GLASS] = {"kind": "glass", "amorphous": {**framework(material), **common}}
    for text in interfaces:
        plane = read_indices(text)
        systems[f"interface_{_word(plane)}"] = {"kind": "interface", "glass": GLASS, "plane": plane, **common}
    return systems


def _twist(text: str, labels: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and recipe of a twist such as 001, 001@36.9 (an angle) or, with labels of a cube, 001@5 (Σ)."""
    indices, _, number = text.partition("@")
    plane = read_indices(indices)
    recipe: dict[str, Any] = {"kind": "boundary", "plane": plane, **labels}
    if labels and not number:
        raise ValueError(f"twist {text!r}: a twist by labels of a cube is given by its Σ, such as {indices}@5")
    if number:
        try:
            recipe |= {"sigma": int(number)} if labels else {"angle": float(number)}
            if not math.isfinite(recipe.get("angle", 0.0)):
                raise ValueError
        except ValueError:
            expected = "a whole number, Σ" if labels else "an angle in degrees"
            raise ValueError(f"twist {text!r}: {number!r} is not {expected}") from None
    return f"twist_{_word(plane)}" + (f"_{number.replace('.', 'p')}" if number else ""), recipe


def _word(indices: Sequence[int]) -> str:
    """Indices as a part of a name: 120, m250 for (-250)."""
    return "".join(f"m{-index}" if index < 0 else str(index) for index in indices)


def framework(material: Material) -> dict[str, str]:
    """Centre and unit of the framework that a glass is looked at by: the polyanions, else what is charged most."""
    speciation = material.speciation.value
    if speciation is not None:
        unit = next(unit for unit in material.units.value if speciation["centre"] in unit)
        return {"centre": speciation["centre"], "unit": unit}
    still = [element for element in material.species.value if element != material.mobile.value]
    charges = material.charges.value or {}
    if not still:
        raise ValueError(f"a glass of {material.formula}: everything in it moves, so there is no framework to look at")
    centre = max(still, key=lambda element: (charges.get(element, 0.0), -Element(element).X))
    return {"centre": centre, "unit": centre}


def guessed_overrides(material: Material) -> dict[str, Any]:
    """Overrides of the protocol of `lpsgb.study` that say what was guessed.

    Raises
    ------
    ValueError
        With the questions, where something that is needed cannot be guessed, or if it is no crystal.
    """
    if material.empty:
        raise ValueError(f"{material.formula}: {material.empty}: a study needs a crystal that fills its cell")
    unknown = material.mobile.value is None or (material.charges.value is None and material.ordering.value is not None)
    if unknown:
        raise ValueError("; ".join(material.questions))
    return {
        "mobile": mobile_of(material),
        "ordering": dict(material.ordering.value or {}),
        "potential": {"species": sorted(material.species.value), "min_distance_angstrom": material.min_distance.value},
        "transport": {"analyse": guessed_observables(material)},
    }


def mobile_of(material: Material) -> dict[str, Any]:
    """Species and charge of what moves; without charges that of its commonest oxidation state."""
    mobile = material.mobile.value
    if mobile is None:
        raise ValueError("; ".join(material.questions))
    charges = material.charges.value or {mobile: float(Element(mobile).common_oxidation_states[0])}
    return {"species": mobile, "charge": charges[mobile]}


def guessed_observables(material: Material) -> dict[str, Any]:
    """Overrides of the protocol of `lpsgb.analyse` that say what was guessed, beside what moves."""
    return {"speciation": material.speciation.value, "disorder": material.disorder.value}


# --- labels ---------------------------------------------------------------------------------------------------------


def label_overrides(label: str) -> tuple[str, dict[str, Any]]:
    """Engine and overrides of the protocol for what computes the labels.

    Parameters
    ----------
    label
        A level of theory of `lpsgb.label.ase` (``sevennet``, ``sevennet+d3``, ``chgnet``, in any spelling), or the name
        of an engine with or without a level (``vasp``, ``vasp:optB88-vdW``, ``cp2k:PBE``).

    Raises
    ------
    ValueError
        Which lists what there is.
    """
    levels = engines.load("ase").LEVELS.levels
    named = {_spelt(name): name for name in levels}
    if _spelt(label) in named:
        return "ase", {"label": {"engine": {"level": named[_spelt(label)]}}}
    engine, _, level = label.partition(":")
    if engine not in engines.names():
        there = ", ".join([*levels, *(f"{name}:LEVEL" for name in engines.names())])
        near = meant([label], [*levels, *engines.names()])
        raise ValueError(f"label {label!r} is none{near}; choose one of {there} (aiida-lpsgb levels lists them)")
    known = engines.load(engine).LEVELS
    if level and level not in known.levels:
        level = {_spelt(name): name for name in known.levels}.get(_spelt(level), level)
    if level:
        known.get(level)
    # The protocol's own level is one of another engine.
    return engine, {"label": {"engine": {"level": level or None}}}


def is_quick(code: orm.AbstractCode | None) -> bool:
    """Whether a code's labels take seconds, so that hundreds of steps of its own dynamics are a good start.

    They show which distances there are in a crystal of which nothing is known. With DFT they are a choice to be made.
    """
    return code is not None and code.default_calc_job_plugin == engines.load("ase").CODE_PLUGIN


def is_large_and_centred(crystal: Structure) -> bool:
    """Whether a crystal's cell has more atoms than labels should have, and its primitive cell fewer."""
    return crystal.composition.num_atoms > MANY_ATOMS and len(primitive_cell(crystal)) < len(crystal)


def label_of(sets: Iterable[orm.Data]) -> str | None:
    """The level of theory of labels that are there, where an engine without further settings can go on with it."""
    known = {level_of_theory(level): name for name, level in engines.load("ase").LEVELS.levels.items()}
    found = {node.level_of_theory for node in sets}
    return known.get(found.pop()) if len(found) == 1 else None


def _spelt(level: str) -> str:
    """A level's name without what people leave out."""
    return level.lower().replace(" ", "").replace("-0", "").replace("-", "")


def find_label_code(engine: str, name: str | None = None, default: orm.AbstractCode | None = None) -> orm.AbstractCode:
    """The code of a label engine.

    Parameters
    ----------
    engine
        Name of the engine.
    name
        Label of the code; the only one that is registered for the engine if not given.
    default
        Code that is taken where it is for the engine and no name is given.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    plugin = engines.load(engine).CODE_PLUGIN
    if name is not None:
        return orm.load_code(name)
    if default is not None and default.default_calc_job_plugin == plugin:
        return default
    query = orm.QueryBuilder().append(orm.AbstractCode, filters={"attributes.input_plugin": plugin})
    found = [code for code in query.all(flat=True) if not code.is_hidden]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ValueError(f"label: no code is registered for {plugin}; make one (verdi code create core.code.installed)")
    raise ValueError(f"label: several codes are for {plugin}, name one: {', '.join(code.full_label for code in found)}")


# --- YAML -----------------------------------------------------------------------------------------------------------


def _kind_error(key: str, value: Any) -> str | None:
    """What is wrong with the kind of an entry of a saved plan, or None."""
    if key == "systems":
        named = isinstance(value, dict) and all(isinstance(name, str) for name in value)
        if not named or not all(isinstance(recipe, dict) for recipe in value.values()):
            return "expected a dictionary of recipes by name, dictionaries themselves"
    elif key == "overrides":
        if not isinstance(value, dict):
            return "expected a dictionary"
    elif key == "seed":
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            return "expected a whole number of at least 1"
    elif isinstance(value, tuple):
        if not all(isinstance(item, (str, int)) for item in value):
            return "expected a list of names"
    elif value is not None and not isinstance(value, str):
        return "expected a text"
    return None


def _each(value: Any, change: Callable[[Any], str]) -> Any:
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)


def _relative(name: str, folder: Path) -> str:
    path = Path(name)
    if not path.is_file():
        return name
    absolute = path.absolute()
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else str(absolute)


def _found(name: str, folder: Path) -> str:
    path = folder / str(name)
    return str(path) if path.is_file() else str(name)


def _plain(value: Any) -> Any:
    """Lists for tuples, which YAML has no word for."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
