"""Numbers and tables as plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

MEV_PER_EV = 1000.0


def with_uncertainty(value: float | None, uncertainty: float | None = None, digits: int = 2) -> str:
    """Write a number and its standard uncertainty with one power of ten.

    Parameters
    ----------
    value, uncertainty
        In the same unit; a missing value gives ``-``, a missing uncertainty is left out.
    digits
        Significant digits of the uncertainty (of the value, where there is no uncertainty: one more).

    Examples
    --------
    >>> with_uncertainty(1.2345e-6, 1.2e-7)
    '(1.23 ± 0.12)e-06'
    """
    if value is None or not math.isfinite(value):
        return "-"
    if not uncertainty or not math.isfinite(uncertainty):
        return f"{value:.{digits}e}"
    exponent = math.floor(math.log10(max(abs(value), uncertainty)))
    scaled, spread = value / 10.0**exponent, uncertainty / 10.0**exponent
    decimals = max(0, digits - 1 - math.floor(math.log10(spread)))
    return f"({scaled:.{decimals}f} ± {spread:.{decimals}f})e{exponent:+03d}"


def columns(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align rows of text under a header, two spaces between columns."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def text(value: Any) -> str:
    """A value as text, ``-`` for none."""
    return "-" if value is None else str(value)


def in_mev(value: float | None, decimals: int = 1) -> str:
    """A value in eV (or eV/Å …) as text in meV."""
    return "-" if value is None else f"{MEV_PER_EV * value:.{decimals}f}"


def plus_minus(value: float, uncertainty: float) -> str:
    """A number and its uncertainty without powers of ten, two digits of the uncertainty."""
    if not math.isfinite(uncertainty) or uncertainty <= 0:
        return f"{value:.3f}"
    decimals = max(0, 1 - math.floor(math.log10(uncertainty)))
    return f"{value:.{decimals}f} ± {uncertainty:.{decimals}f}"


def interval(bounds: Sequence[float]) -> str:
    """A confidence interval."""
    return f"{bounds[0]:.1e} to {bounds[1]:.1e}"
