"""Studies that are written down: their crystal, systems and numbers in a YAML file, at several scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.typed import meant, read_yaml

KEYS = {"crystal", "published", "seed", "systems", "overrides", "protocol", "scales"}
SCALE_KEYS = {"description", "only", "seed", "systems", "overrides", "protocol"}


def scales_of(path: str | Path) -> dict[str, str]:
    """Names of the scales of a file, each with its description."""
    return {name: scale.get("description", "") for name, scale in _read(Path(path))["scales"].items()}


def read_preset(path: str | Path, scale: str | None = None) -> dict[str, Any]:
    """Read a study.

    Parameters
    ----------
    path
        A YAML file with ``crystal`` (a file, relative to it), ``systems`` (recipes by name), and optionally
        ``overrides`` (of the protocol of `lpsgb.study`), ``protocol``, ``seed``, ``published`` (a file of published
        numbers) and ``scales``: by name, what comes over these, ``only`` (the names of the systems to keep) and a
        ``description``.
    scale
        Name of a scale; needed where there are any.

    Returns
    -------
    dict
        ``crystal`` (path), ``systems``, ``overrides``, ``protocol`` (None for the default one), ``seed`` (None to draw
        one) and ``published`` (path or None).

    Raises
    ------
    ValueError
        If the file is not of this form, or has no such scale; the message names the entry.
    """
    path = Path(path)
    content = _read(path)
    scales = content["scales"]
    if scales and scale not in scales:
        raise ValueError(f"{path}: scale {scale!r} is none of {', '.join(scales)}")
    if scale is not None and not scales:
        raise ValueError(f"{path}: there are no scales, so there is no {scale!r}")
    chosen = scales.get(scale, {})
    systems = merged(content["systems"], chosen.get("systems", {}))
    if only := chosen.get("only"):
        if unknown := sorted(set(only) - set(systems)):
            raise ValueError(f"{path}: scales.{scale}.only: there are no systems {', '.join(unknown)}")
        systems = {name: recipe for name, recipe in systems.items() if name in only}
    folder = path.absolute().parent
    return {
        "crystal": str(folder / content["crystal"]),
        "systems": systems,
        "overrides": merged(content.get("overrides", {}), chosen.get("overrides", {})),
        "protocol": chosen.get("protocol", content.get("protocol")),
        "seed": chosen.get("seed", content.get("seed")),
        "published": str(folder / content["published"]) if "published" in content else None,
    }


def _read(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict) or not {"crystal", "systems"} <= set(content):
        raise ValueError(f"{path} is no study: it needs `crystal` and `systems`")
    _check(path, content, KEYS, "")
    content["scales"] = content.get("scales") or {}
    if not isinstance(content["scales"], dict):
        raise ValueError(f"{path}: scales: expected a dictionary, found {content['scales']!r}")
    for name, scale in content["scales"].items():
        _check(path, scale, SCALE_KEYS, f"scales.{name}.")
    return content


def _check(path: Path, values: Any, known: set[str], where: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{path}: {where.rstrip('.')}: expected a dictionary, found {values!r}")
    if unknown := sorted(set(values) - known):
        near = meant(unknown[:1], known)
        raise ValueError(f"{path}: there is no `{where}{unknown[0]}`{near}; there are {', '.join(sorted(known))}")
    for key in ("systems", "overrides"):
        if not isinstance(values.get(key, {}), dict):
            raise ValueError(f"{path}: {where}{key}: expected a dictionary, found {values[key]!r}")
