"""Studies that are written down: a plan in a YAML file, which may hold it at several scales."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.typed import meant, read_yaml
from aiida_lpsgb.workflows.study_plan import StudyPlan

__all__ = ["read_plan", "write_plan"]

FORMAT = 1
"""Of the file."""
KEYS = [item.name for item in fields(StudyPlan)]
SCALE_KEYS = ["description", "only", "systems", "overrides", "protocol", "label", "seed"]
FILES = ("crystal", "potentials", "frames", "published")
"""Entries that name files, relative to the one that they stand in."""
LISTS = ("potentials", "species", "frames")


def write_plan(plan: StudyPlan, path: str | PathLike) -> None:
    """Save a plan as YAML; files are named relative to it where they lie beside or below it."""
    path = Path(path)
    folder = path.absolute().parent
    values = {key: value for key, value in asdict(plan).items() if value not in (None, (), {})}
    for key in FILES:
        if key in values:
            values[key] = _each(values[key], lambda name: _relative(name, folder))
    text = yaml.safe_dump({"format": FORMAT, **_plain(values)}, sort_keys=False, allow_unicode=True)
    path.write_text(f"# aiida-lpsgb study {path.name}\n{text}", encoding="utf-8")


def read_plan(path: str | PathLike, scale: str | None = None) -> StudyPlan:
    """Read a plan that :func:`write_plan` or a person has written.

    Parameters
    ----------
    path
        A YAML file with ``format``, the attributes of :class:`~aiida_lpsgb.workflows.study_plan.StudyPlan` (``crystal``
        and ``systems`` at least), and optionally ``scales``: by name, what comes over these (``systems``,
        ``overrides``, ``protocol``, ``label``, ``seed``), ``only`` (the names of the systems to keep) and a
        ``description``.
    scale
        Name of a scale; needed where there are any.

    Raises
    ------
    ValueError
        If the file is not of this form, or has no such scale; the message names the entry.
    """
    path = Path(path)
    values, scales = _read(path)
    if scale is not None and not scales:
        raise ValueError(f"{path}: there are no scales, so there is no {scale!r}")
    if scales and scale not in scales:
        asked = "which scale?" if scale is None else f"no scale is {scale!r}."
        raise ValueError(f"{path}: {asked} There are {_described(scales)}")
    if scales:
        values = _at_scale(values, scales[scale], f"{path}: scales.{scale}")
    for key in FILES:
        if values.get(key) is not None:
            values[key] = _each(values[key], lambda name: _found(name, path.absolute().parent))
    return StudyPlan(**values)


def _described(scales: Mapping[str, Mapping[str, Any]]) -> str:
    described = ((name, scale.get("description")) for name, scale in scales.items())
    return "; ".join(f"{name}: {text}" if text else name for name, text in described)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file says, and its scales, every entry of the kind that it should be."""
    values = read_yaml(path)
    if not isinstance(values, dict) or not {"crystal", "systems"} <= set(values):
        raise ValueError(f"{path} is no study: it needs `crystal` and `systems`")
    if (version := values.pop("format", None)) != FORMAT:
        raise ValueError(f"{path}: `format` is {version!r}, not {FORMAT}: begin the file with `format: {FORMAT}`")
    scales = values.pop("scales", None) or {}
    if not isinstance(scales, dict):
        raise ValueError(f"{path}: scales: expected a dictionary, found {scales!r}")
    for key in LISTS:
        given = values.get(key) or []
        values[key] = tuple(given if isinstance(given, list) else [given])
    _check(values, KEYS, str(path))
    for key in LISTS:
        values[key] = tuple(map(str, values[key]))
    for name, entry in scales.items():
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: scales.{name}: expected a dictionary, found {entry!r}")
        _check(entry, SCALE_KEYS, f"{path}: scales.{name}")
    return values, scales


def _at_scale(values: Mapping[str, Any], scale: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Entries of a plan with those of a scale over them."""
    values = {**values, **{key: scale[key] for key in ("protocol", "label", "seed") if key in scale}}
    for key in ("systems", "overrides"):
        values[key] = merged(values.get(key, {}), scale.get(key, {}))
    if only := scale.get("only"):
        if unknown := sorted(set(only) - set(values["systems"])):
            near = meant(unknown, values["systems"])
            raise ValueError(f"{place}.only: there are no systems {', '.join(unknown)}{near}")
        values["systems"] = {name: recipe for name, recipe in values["systems"].items() if name in only}
    return values


def _check(values: Mapping[str, Any], known: Collection[str], place: str) -> None:
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{place}: unknown keys {unknown}{meant(unknown, known)}; there are {', '.join(known)}")
    for key, value in values.items():
        if message := _kind_error(key, value):
            raise ValueError(f"{place}: {key}: {message}, found {value!r}")


def _kind_error(key: str, value: Any) -> str | None:
    """What is wrong with the kind of an entry, or None."""
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
    elif key == "only" or isinstance(value, tuple):
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, (str, int)) for item in value):
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
    path = folder / name
    return str(path) if path.is_file() else name


def _plain(value: Any) -> Any:
    """Lists for tuples, which YAML has no word for."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
