"""Published numbers of several systems, to stand beside those of a study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_ENTRY = {"values", "note"}


@dataclass(frozen=True)
class Published:
    """Published numbers by system.

    Attributes
    ----------
    source
        Where they were published.
    systems
        By name: ``recipe`` (what of a system's recipe tells that it is the same one) and, by the name of a number,
        ``values`` and a ``note`` on why a run may differ.
    """

    source: str = ""
    systems: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, name: str, recipe: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The numbers of a system, found by its name or by its recipe; empty if nothing was published of it."""
        if name in self.systems:
            return self.systems[name]
        for entry in self.systems.values():
            wanted = entry.get("recipe")
            if wanted and recipe and all(recipe.get(key) == value for key, value in wanted.items()):
                return entry
        return {}


def read_published(path: str | Path) -> Published:
    """Read a YAML file of published numbers, such as `examples/data/beta-li3ps4-published.yaml`.

    Raises
    ------
    ValueError
        If the file is not of this form; the message names the entry.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("systems"), Mapping):
        raise ValueError(f"{path}: expected `systems`, a dictionary of published numbers by system, and `source`")
    if unknown := sorted(set(content) - {"source", "systems"}):
        raise ValueError(f"{path}: there is no `{unknown[0]}`; there are `source` and `systems`")
    for name, entry in content["systems"].items():
        for key, value in (entry if isinstance(entry, Mapping) else {"": entry}).items():
            if key == "recipe" and isinstance(value, Mapping):
                continue
            if not isinstance(value, Mapping) or "values" not in value or set(value) - _ENTRY:
                raise ValueError(f"{path}: systems.{name}.{key}: expected `values` and, optionally, a `note`")
    return Published(str(content.get("source", "")), content["systems"])
