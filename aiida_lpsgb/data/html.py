"""What a node says of itself in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida.orm import Data

from aiida_lpsgb.analysis.html import fields

__all__ = ["described", "named"]


def described(node: Data, title: str, rows: Mapping[str, Any]) -> str:
    """Write a table of a title and values by name, as :func:`aiida_lpsgb.analysis.html.fields`, that names the node."""
    return fields(f"{title} ({named(node)})", rows)


def named(node: Data) -> str:
    """Name a node by its class and PK."""
    return f"{type(node).__name__} <{node.pk}>" if node.is_stored else f"{type(node).__name__}, not stored"
