"""What a node says of itself in a notebook: one small table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from aiida.orm import Data

__all__ = ["described"]


def described(node: Data, title: str, rows: Mapping[str, Any]) -> str:
    """Write a table of two columns.

    Parameters
    ----------
    node
        The node, named by its class and PK.
    title
        What it is, in some words.
    rows
        Values by name; those that are None or empty are left out.
    """
    name = f"{type(node).__name__} <{node.pk}>" if node.is_stored else f"{type(node).__name__}, not stored"
    shown = ((key, _text(value)) for key, value in rows.items())
    body = "".join(f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in shown if text)
    return f"<table><caption>{escape(title)} ({escape(name)})</caption>{body}</table>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(_text, value))
    return str(value)
