"""What people type: names, of which one may be meant by another, and YAML in files and on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

__all__ = ["meant", "read_yaml", "yaml_value"]


def meant(names: Iterable[str], known: Iterable[str]) -> str:
    """A half-sentence on what may be meant by names that do not exist; empty if nothing is near.

    Parameters
    ----------
    names
        What was typed.
    known
        What there is.
    """
    known = [str(name) for name in known]
    near = {str(name): difflib.get_close_matches(str(name), known, n=1) for name in names}
    return "".join(f"; `{name}` may be meant as `{found[0]}`" for name, found in near.items() if found)


def read_yaml(path: str | PathLike) -> Any:
    """Read a YAML file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    ValueError
        If it cannot be read; the message names it, in one line.
    """
    try:
        return yaml_value(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} cannot be read as YAML: it is no text") from None
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from None


def yaml_value(text: str) -> Any:
    """Read YAML.

    Parameters
    ----------
    text
        What to read.

    Raises
    ------
    ValueError
        If it is none; the message says where, in one line.
    """
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
