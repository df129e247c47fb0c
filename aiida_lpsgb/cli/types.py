"""Kinds of what a person types, each read and refused in one place, before anything is computed."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import click

__all__ = (
    "ARCHIVE",
    "FIGURE",
    "FILE",
    "FOLDER",
    "FOUND",
    "LENGTH",
    "PAGE",
    "PLAN",
    "SEED",
    "SIZE",
    "Number",
    "OutputPath",
    "StructureFile",
    "by_element",
    "by_pair",
    "indices",
    "numbers",
    "symbol",
    "symbols",
)

LARGEST_SEED = 2**31 - 1
"""What LAMMPS takes for its random numbers."""


class Number(click.FloatRange):
    """A number of a range; infinity and what is no number are refused."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class OutputPath(click.Path):
    """A file or folder to write, of which it is known before anything is computed that it can be written.

    Parameters
    ----------
    folder
        Whether it is a folder, which is made with those above it.
    dash
        Whether ``-`` may stand for the terminal.
    suffixes
        With one of which a file's name must end, since it is told by that; any if there are none.
    """

    def __init__(self, folder: bool = False, dash: bool = False, suffixes: tuple[str, ...] = ()):
        super().__init__(file_okay=not folder, dir_okay=folder, writable=True, allow_dash=dash, path_type=Path)
        self.folder, self.suffixes = folder, suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path."""
        path = Path(super().convert(value, param, ctx))
        if path == Path("-") and self.allow_dash:
            return path
        above = path.absolute().parent
        while self.folder and not above.exists():
            above = above.parent
        if not above.exists():
            self.fail(f"{str(path)!r}: there is no folder {str(path.parent)!r}", param, ctx)
        if not above.is_dir():
            self.fail(f"{str(path)!r}: {str(above)!r} is a file, not a folder", param, ctx)
        if not path.exists() and not os.access(above, os.W_OK | os.X_OK):
            self.fail(f"{str(path)!r}: nothing can be written into {str(above)!r}", param, ctx)
        if self.suffixes and path.suffix.lower() not in self.suffixes:
            self.fail(f"{str(path)!r}: give a name that ends with {' or '.join(self.suffixes)}", param, ctx)
        return path


class StructureFile(OutputPath):
    """A file to write whose name must stand for a format in which structures are written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path."""
        from aiida_lpsgb.structures.files import require_writable

        path = super().convert(value, param, ctx)
        try:
            require_writable(path)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return path


class Size(click.ParamType):
    """A size of a file, such as ``100kB`` or ``2 MB``; in bytes."""

    name = "size"
    UNITS: ClassVar[dict[str, int]] = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value.lower())
        if not found or found[2] not in self.UNITS:
            self.fail(f"{value!r} is no size: give a number with kB, MB or GB", param, ctx)
        return round(float(found[1]) * self.UNITS[found[2]])


class Figure(OutputPath):
    """A file to draw to, whose name must stand for a format of Matplotlib."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Read a path."""
        from matplotlib.backend_bases import FigureCanvasBase

        path = super().convert(value, param, ctx)
        formats = sorted(FigureCanvasBase.get_supported_filetypes())
        if path.suffix.removeprefix(".").lower() not in formats:
            self.fail(f"{str(path)!r}: a figure is told by its suffix, one of .{', .'.join(formats)}", param, ctx)
        return path


FOUND = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
FILE, FOLDER, FIGURE, SIZE = OutputPath(), OutputPath(folder=True), Figure(), Size()
PLAN, PAGE = OutputPath(suffixes=(".yaml", ".yml")), OutputPath(suffixes=(".html", ".htm"))
ARCHIVE = OutputPath(suffixes=(".aiida",))
SEED = click.IntRange(1, LARGEST_SEED)
LENGTH = Number(min=0, min_open=True)
"""A length, an area or a time that cannot be zero."""


def symbols(_context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Read chemical symbols such as ``Li,P,S``; an empty list without any."""
    found = (value or "").replace(",", " ").split()
    for symbol in found:
        _require_element(symbol, parameter)
    return found


def symbol(_context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Read a chemical symbol."""
    if value is not None:
        _require_element(value, parameter)
    return value


def by_element(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float] | None:
    """Read numbers by element, such as ``Li=1``; None without any."""
    found = {}
    for value in values:
        name, number = _assignment(value, parameter)
        _require_element(name, parameter)
        found[name] = number
    return found or None


def by_pair(_context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float] | None:
    """Read lengths by pair of elements, such as ``P-S=2.5``; None without any."""
    found = {}
    for value in values:
        name, number = _assignment(value, parameter)
        pair = name.split("-")
        if len(pair) != 2:
            raise click.BadParameter(f"{name!r} is not two elements, such as P-S", param=parameter)
        for element in pair:
            _require_element(element, parameter)
        if not number > 0:
            raise click.BadParameter(f"{value!r}: a length must be above 0", param=parameter)
        found[name] = number
    return found or None


def _assignment(value: str, parameter: click.Parameter) -> tuple[str, float]:
    name, _, text = value.partition("=")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"{value!r} is not {parameter.metavar}", param=parameter)
    return name, number


def _require_element(symbol: str, parameter: click.Parameter) -> None:
    from ase.data import atomic_numbers

    if atomic_numbers.get(symbol, 0) < 1:
        right = symbol.capitalize()
        hint = f": give {right}" if right in atomic_numbers else ""
        raise click.BadParameter(f"{symbol!r} is no chemical symbol{hint}", param=parameter)


def indices(_context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Read three integers, not all zero."""
    from aiida_lpsgb.structures.crystal import read_indices

    if value is None:
        return None
    try:
        found = tuple(read_indices(value))
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from error
    if not any(found):
        raise click.BadParameter(f"{value!r}: three zeros are no plane and no direction", param=parameter)
    return found


def numbers(_context: click.Context, parameter: click.Parameter, value: str | None) -> list[float]:
    """Read finite numbers such as ``600,500`` or ``600 500``."""
    try:
        found = [float(word) for word in (value or "").replace(",", " ").split()]
    except ValueError:
        found = [math.nan]
    if not all(map(math.isfinite, found)) or (value is not None and not found):
        raise click.BadParameter(f"{value!r} is not a list of numbers, such as 700,500", param=parameter)
    return found
