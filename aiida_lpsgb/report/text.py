"""Numbers and tables, in one format everywhere."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

MISSING = "–"
PLAIN = (1e-2, 1e4)
"""Between these, numbers stand without a power of ten."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True)
class Number:
    """A number as tables show it.

    Attributes
    ----------
    value
        None if it is not known.
    error
        Standard uncertainty; it decides how many digits are shown.
    interval
        Ends of the 95 % interval, shown where there is no error.
    limit
        Upper 95 % limit, which stands in place of the value.
    form
        Format of a value without error, such as ``.2f``; three significant digits by default.
    note
        What follows in brackets, such as a temperature.
    """

    value: float | None = None
    error: float | None = None
    interval: Sequence[float] | None = None
    limit: float | None = None
    form: str = ""
    note: str = ""

    def __str__(self) -> str:
        shown = self._shown()
        return f"{shown} ({self.note})" if self.note and shown != MISSING else shown

    def _shown(self) -> str:
        if self.limit is not None:
            return f"< {decimal(self.limit, 2)}"
        if self.value is None or not math.isfinite(self.value):
            return MISSING
        if self.error and math.isfinite(self.error):
            return with_error(self.value, self.error)
        plain = "%" in self.form or self.value == 0 or PLAIN[0] <= abs(self.value) < PLAIN[1]
        single = f"{self.value:{self.form}}" if plain and self.form and "e" not in self.form else decimal(self.value, 3)
        if self.interval is None:
            return single
        return f"{decimal(self.value, 2)} [{decimal(self.interval[0], 2)}, {decimal(self.interval[1], 2)}]"

    @property
    def parts(self) -> tuple[str, str]:
        """The number, and what is said of it below: its interval and the note."""
        if self.interval is None or self.limit is not None or self.value is None:
            return self._shown(), self.note
        told = f"95 %: {decimal(self.interval[0], 2)} to {decimal(self.interval[1], 2)}"
        return decimal(self.value, 2), f"{told}; {self.note}" if self.note else told

    @property
    def order(self) -> float | None:
        """By what it is sorted."""
        return self.limit if self.limit is not None else self.value

    def fields(self) -> dict[str, float | None]:
        """The bare numbers by what follows the name of their column."""
        low, high = self.interval if self.interval is not None else (None, None)
        return {
            "": self.value if self.limit is None else None,
            "_uncertainty": self.error,
            "_low95": low,
            "_high95": high,
            "_upper_limit95": self.limit,
        }


def decimal(value: float, digits: int | None = None) -> str:
    """A number with so many significant digits, or with as many as it has.

    Examples
    --------
    >>> decimal(2.1e-4, 3), decimal(2.1e-4), decimal(0.31234, 3), decimal(768, 3)
    ('2.10×10⁻⁴', '2.1×10⁻⁴', '0.312', '768')
    """
    if value == 0:
        return "0"
    if digits is None:
        digits = len(f"{value:e}".partition("e")[0].rstrip("0").lstrip("-").replace(".", ""))
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if PLAIN[0] <= abs(value) < PLAIN[1]:
        return f"{value:.{max(0, digits - 1 - exponent)}f}"
    return f"{value / 10.0**exponent:.{digits - 1}f}{power(exponent)}"


def with_error(value: float, error: float) -> str:
    """A number and its standard uncertainty, two digits of it, with one power of ten.

    Examples
    --------
    >>> with_error(1.2345e-6, 1.2e-7), with_error(0.3123, 0.0145)
    ('(1.23 ± 0.12)×10⁻⁶', '0.312 ± 0.015')
    """
    largest = max(abs(value), error)
    exponent = 0 if PLAIN[0] <= largest < PLAIN[1] else math.floor(math.log10(largest))
    scaled, spread = value / 10.0**exponent, error / 10.0**exponent
    decimals = max(0, 1 - math.floor(math.log10(float(f"{spread:.1e}"))))
    text = f"{scaled:.{decimals}f} ± {spread:.{decimals}f}"
    return f"({text}){power(exponent)}" if exponent else text


def power(exponent: int) -> str:
    """A power of ten as a factor."""
    return f"×10{str(exponent).translate(_SUPERSCRIPTS)}"


def formula(text: str | None) -> str:
    """A chemical formula with subscripts."""
    return (text or "").translate(_SUBSCRIPTS)


class Column(NamedTuple):
    """A column of a table: its name in files, units in it, and its title."""

    key: str
    title: str


@dataclass(frozen=True)
class Table:
    """A table, to be printed, shown on a page or written to a file.

    Attributes
    ----------
    name
        That of its file.
    title
        Its heading.
    columns, rows
        A cell is a :class:`Number`, a number, text, or None.
    note
        What to know about it.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str = ""

    @property
    def filled(self) -> list[int]:
        """Numbers of the columns that have something in them."""
        return [index for index in range(len(self.columns)) if any(cell(row[index]) != MISSING for row in self.rows)]

    def __str__(self) -> str:
        header = [self.columns[index].title for index in self.filled]
        body = columns(header, ([cell(row[index]) for index in self.filled] for row in self.rows))
        return "\n".join(line for line in (self.title, body, self.note) if line)

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        head = "".join(f"<th>{escape(self.columns[index].title)}</th>" for index in self.filled)
        rows = ("".join(f"<td>{escape(cell(row[index]))}</td>" for index in self.filled) for row in self.rows)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><caption>{escape(self.title)}</caption><tr>{head}</tr>{body}</table>"

    def csv(self) -> str:
        """Bare numbers; a column that has uncertainties, intervals or limits is followed by columns of these."""
        wide = [self._fields(index) for index in range(len(self.columns))]
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(
            [column.key + field for column, fields in zip(self.columns, wide, strict=True) for field in fields]
        )
        for row in self.rows:
            cells = zip(row, wide, strict=True)
            writer.writerow([_bare(value, field) for value, fields in cells for field in fields])
        return output.getvalue()

    def _fields(self, index: int) -> list[str]:
        """Which of a number's fields a column has; all columns have the first."""
        numbers = [row[index] for row in self.rows if isinstance(row[index], Number)]
        known = {field for number in numbers for field, value in number.fields().items() if value is not None}
        return ["", *(field for field in Number().fields() if field and field in known)]


def _bare(value: Any, field: str) -> Any:
    if isinstance(value, Number):
        found = value.fields()[field]
        return "" if found is None else repr(float(found))
    if field or value is None:
        return ""
    return repr(value) if isinstance(value, float) else value


def cell(value: Any) -> str:
    """A cell of a table as text."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows of text under a header, two spaces between columns."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
