"""Turn a YAML file of protocols into inputs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from copy import deepcopy
from importlib import resources
from typing import Any, ClassVar

import yaml
from aiida import orm
from aiida.engine import WorkChain


class ProtocolMixin(WorkChain):
    """Read `workflows/protocols/<name>.yaml`, where `name` is the module of the work chain."""

    # Entries that an override replaces whole, since their keys exclude each other.
    WHOLE_ENTRIES: ClassVar[tuple[str, ...]] = ("options", "label")
    # Entries that take keys the protocol does not list; the port they are given to checks them.
    OPEN_ENTRIES: ClassVar[tuple[str, ...]] = ("training", "grading", "selection", "diffusivity", "speciation")

    @classmethod
    def _protocol_file(cls) -> dict[str, Any]:
        name = cls.__module__.rsplit(".", maxsplit=1)[-1]
        text = resources.files("aiida_lpsgb.workflows.protocols").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)

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
        cls, protocol: str | None = None, overrides: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Values of a protocol over the file's defaults, with overrides over both.

        Raises
        ------
        ValueError
            If the protocol does not exist or an override names a key that no protocol has.
        """
        content = cls._protocol_file()
        name = protocol or content["default_protocol"]
        if name not in content["protocols"]:
            raise ValueError(f"protocol {name!r} does not exist; choose one of {sorted(content['protocols'])}")
        values = cls._merge(content["default_inputs"], content["protocols"][name])
        values.pop("description")
        return cls._merge(values, overrides or {}, strict=True)

    @classmethod
    def _merge(
        cls, base: Mapping[str, Any], changes: Mapping[str, Any], *, strict: bool = False, path: str = ""
    ) -> dict[str, Any]:
        """Deep merge of dictionaries; `strict` refuses keys the base lacks."""
        merged = deepcopy(dict(base))
        for key, value in changes.items():
            if strict and key not in merged:
                raise ValueError(f"override {path + key!r} is no entry of the protocol; there: {sorted(merged)}")
            nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            if nested and key not in cls.WHOLE_ENTRIES:
                inner = strict and key not in cls.OPEN_ENTRIES
                merged[key] = cls._merge(merged[key], value, strict=inner, path=f"{path}{key}.")
            else:
                merged[key] = deepcopy(value)
        return merged

    @staticmethod
    def draw_seed() -> orm.Int:
        """A seed drawn once; it is stored with the process it is given to."""
        return orm.Int(secrets.randbelow(2**31 - 1) + 1)

    @classmethod
    def draw_seeds(cls, n: int) -> orm.List:
        """Several different seeds drawn once."""
        seeds: set[int] = set()
        while len(seeds) < n:
            seeds.add(cls.draw_seed().value)
        return orm.List(sorted(seeds))
