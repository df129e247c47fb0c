"""Named levels of theory, kept in a YAML file for each engine and extended by files of the user's own.

A file has ``levels``, name to what the engine needs to know of the level, and may have ``protocols``, name to the name
of the level that the protocol stands for, and ``default_protocol``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiida_lpsgb.typed import meant, read_yaml


@dataclass(frozen=True)
class Levels:
    """The levels of theory of an engine.

    Attributes
    ----------
    levels
        Name to what the engine needs to know.
    protocols
        Name of a protocol to the name of its level.
    default_protocol
        Protocol used where none is named.
    """

    levels: Mapping[str, Mapping[str, Any]]
    protocols: Mapping[str, str] = field(default_factory=dict)
    default_protocol: str = ""

    def of_protocol(self, protocol: str | None) -> str:
        """Return the name of the level that a protocol stands for.

        Raises
        ------
        ValueError
            If there is no such protocol.
        """
        name = protocol or self.default_protocol
        if name not in self.protocols:
            raise ValueError(f"protocol {name!r} does not exist; choose one of {sorted(self.protocols)}")
        return self.protocols[name]

    def get(self, name: str) -> dict[str, Any]:
        """Return what the engine needs to know of a level.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        if name not in self.levels:
            there = sorted(self.levels)
            raise ValueError(
                f"level of theory {name!r} is not known{meant([name], there)}; there are {', '.join(there)}"
            )
        return dict(self.levels[name])

    def extended(self, path: str | Path) -> Levels:
        """Return these levels and those of another file, which replace levels of the same name.

        Raises
        ------
        ValueError
            If the file is not one of levels.
        """
        return Levels(
            {**self.levels, **read(path).levels},
            self.protocols,
            self.default_protocol,
        )


def read(path: str | Path) -> Levels:
    """Read a file of levels.

    Parameters
    ----------
    path
        YAML file.

    Raises
    ------
    ValueError
        If it is not one of levels.
    """
    content = read_yaml(path)
    levels = content.get("levels") if isinstance(content, dict) else None
    if not isinstance(levels, dict) or not all(isinstance(level, dict) for level in levels.values()):
        raise ValueError(f"{path}: expected `levels`, a dictionary of a dictionary for each level")
    unknown = sorted(set(content) - {"levels", "protocols", "default_protocol"})
    if unknown:
        raise ValueError(f"{path}: unknown keys {unknown}; there are levels, protocols, default_protocol")
    return Levels(levels, content.get("protocols", {}), content.get("default_protocol", ""))


def shipped(engine: str) -> Levels:
    """Return the levels that this package ships for one of its engines, such as ``vasp``."""
    return read(Path(__file__).with_name(f"levels_{engine}.yaml"))
