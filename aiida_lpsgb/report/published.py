"""Published numbers of several systems, to stand beside those of a study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida_lpsgb.typed import read_yaml

_ENTRY = {"values", "note"}


def read_published(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of published numbers, such as `examples/data/beta-li3ps4-published.yaml`.

    Returns
    -------
    dict
        ``source`` and ``systems``: by name, ``recipe`` (what of a system's recipe tells that it is the same one) and,
        by the name of a number, ``values`` and a ``note`` on why a run may differ.

    Raises
    ------
    ValueError
        If the file is not of this form; the message names the entry.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("systems"), Mapping):
        raise ValueError(f"{path}: expected `systems`, a dictionary of published numbers by system, and `source`")
    if unknown := sorted(set(content) - {"source", "systems"}):
        raise ValueError(f"{path}: there is no `{unknown[0]}`; there are `source` and `systems`")
    for name, entry in content["systems"].items():
        if not isinstance(entry, Mapping):
            raise ValueError(f"{path}: systems.{name}: expected a dictionary of numbers, found {entry!r}")
        for key, value in entry.items():
            if key == "recipe" and isinstance(value, Mapping):
                continue
            if not isinstance(value, Mapping) or "values" not in value or set(value) - _ENTRY:
                raise ValueError(f"{path}: systems.{name}.{key}: expected `values` and, optionally, a `note`")
    return dict(content)


def published_of(
    published: Mapping[str, Any] | None, name: str, recipe: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """The published numbers of a system, found by its name or by its recipe; empty if there are none.

    Parameters
    ----------
    published
        Of `read_published`, or None.
    name, recipe
        Of the system.
    """
    systems = (published or {}).get("systems", {})
    if name in systems:
        return systems[name]
    for entry in systems.values():
        wanted = entry.get("recipe")
        if wanted and recipe and all(recipe.get(key) == value for key, value in wanted.items()):
            return entry
    return {}
