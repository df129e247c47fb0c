"""Named sets of numbers, a YAML file each, and what is replaced in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from importlib import resources
from numbers import Real
from typing import Any, ClassVar

import yaml

from aiida_lpsgb.typed import meant

OPTION_ROLES = ("label", "relax", "train", "select", "md", "analyse")
"""The jobs that ``options`` tell apart; ``select`` is grading, selecting and computing errors."""


class ProtocolReader:
    """Read `workflows/protocols/<name>.yaml`, where `name` is the module of the process.

    An entry that bears the name of a child in ``CHILDREN`` holds overrides of the child's own protocol: the parent
    hands them on and knows no key of them.
    """

    CHILDREN: ClassVar[tuple[str, ...]] = ()
    # Entries that an override replaces whole, since their keys exclude each other.
    WHOLE_ENTRIES: ClassVar[tuple[str, ...]] = ()
    # Entries that take keys the protocol does not list; the port they are given to checks them.
    OPEN_ENTRIES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def _protocol_file(cls) -> dict[str, Any]:
        name = cls.__module__.rsplit(".", maxsplit=1)[-1]
        path = resources.files("aiida_lpsgb") / "workflows" / "protocols" / f"{name}.yaml"
        return yaml.safe_load(path.read_text(encoding="utf-8"))

    @classmethod
    def get_default_protocol(cls) -> str:
        """Name of the protocol used where none is asked for."""
        return cls._protocol_file()["default_protocol"]

    @classmethod
    def get_available_protocols(cls) -> dict[str, str]:
        """Names of the protocols, each with its description."""
        return {name: values["description"] for name, values in cls._protocol_file()["protocols"].items()}

    @classmethod
    def get_protocol_inputs(
        cls,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        path: str = "",
    ) -> dict[str, Any]:
        """Values of a protocol over the file's defaults, with overrides over both.

        Parameters
        ----------
        protocol
            Name of the protocol; the default one if not given.
        overrides
            Replacements for entries of the protocol.
        options
            ``metadata.options`` by role (`OPTION_ROLES`); those of the overrides come over them.
        path
            Where the overrides stand in those of the parent, for messages.

        Returns
        -------
        dict
            The values, ``options`` with every role, and ``protocol``, the name.

        Raises
        ------
        ValueError
            If the protocol does not exist, or an override names a key that no protocol has or is of another kind than
            what it replaces (a number for a list).
        """
        content = cls._protocol_file()
        name = protocol or content["default_protocol"]
        if name not in content["protocols"]:
            raise ValueError(f"protocol {name!r} does not exist; choose one of {sorted(content['protocols'])}")
        given = dict(overrides or {})
        own_options = given.pop("options", {})
        for label, roles in (("options", options or {}), (f"override '{path}options'", own_options)):
            if unknown := sorted(set(roles) - set(OPTION_ROLES)):
                raise ValueError(f"{label}: unknown {', '.join(unknown)}; the jobs are {', '.join(OPTION_ROLES)}")
        values = cls._merge(content["default_inputs"], content["protocols"][name])
        values.pop("description")
        values = cls._merge(values, given, strict=True, path=path)
        values["options"] = {
            role: {**(options or {}).get(role, {}), **own_options.get(role, {})} for role in OPTION_ROLES
        }
        return values | {"protocol": name}

    @classmethod
    def _merge(
        cls, base: Mapping[str, Any], changes: Mapping[str, Any], *, strict: bool = False, path: str = ""
    ) -> dict[str, Any]:
        """Deep merge of dictionaries; `strict` refuses keys the base lacks."""
        merged = deepcopy(dict(base))
        for key, value in changes.items():
            if strict and key not in merged:
                near = meant([key], merged)
                raise ValueError(f"override {path + key!r} is no entry of the protocol{near}; there: {sorted(merged)}")
            nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            if nested and key not in cls.WHOLE_ENTRIES:
                inner = strict and key not in (*cls.OPEN_ENTRIES, *cls.CHILDREN)
                merged[key] = cls._merge(merged[key], value, strict=inner, path=f"{path}{key}.")
            else:
                if strict and (message := kind_error(key, merged[key], value)):
                    raise ValueError(f"override {path + key!r} {message}")
                merged[key] = deepcopy(value)
        return merged


def kind_error(name: str, default: Any, value: Any) -> str | None:
    """What is wrong with the kind of an override, against the value that the protocol has, or None.

    None always stands for leaving something out.
    """
    if value is None:
        return None
    if isinstance(default, bool) and not isinstance(value, bool):
        return f"is {value!r}, not true or false"
    if isinstance(default, Mapping) and not isinstance(value, Mapping):
        return f"is {value!r}, not a dictionary with {', '.join(map(str, default)) or 'entries'}"
    if isinstance(default, list) and not isinstance(value, (list, tuple)):
        return f"is {value!r}, not a list such as {default}"
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            return f"is {value!r}, not a number such as {default}"
        if name.startswith("n_") and value != int(value):
            return f"is {value!r}, not a whole number"
        if name == "max_concurrent" and value < 1:
            return f"is {value!r}: nothing would ever begin"
    return None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dictionary with the entries of another over it, and those of dictionaries inside over theirs."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result
