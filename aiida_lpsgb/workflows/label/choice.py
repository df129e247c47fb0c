"""What computes labels, by the words that a person has for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiida import orm

from aiida_lpsgb.calculations.label import engine as engines
from aiida_lpsgb.labelling.calculators import level_of_theory
from aiida_lpsgb.typed import meant

__all__ = ["find_label_code", "is_quick", "label_of", "label_overrides"]


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
