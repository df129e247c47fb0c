"""The house style of figures, and the files that they are written to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

_STYLE = {
    "axes.grid": True,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.dpi": 150,
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "savefig.bbox": "tight",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw within the house style, leaving the user's matplotlib settings alone."""

    @wraps(function)
    def draw(*args: Any, **kwargs: Any) -> Figure:
        import matplotlib as mpl
        from cycler import cycler

        with mpl.rc_context({**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)}):
            return function(*args, **kwargs)

    return draw


def save(figure: Figure, path: str | os.PathLike, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write a figure in several formats, without time stamps, and return the files.

    Parameters
    ----------
    figure
        What to write.
    path
        Its suffix, if any, is replaced by each format's.
    formats
        Suffixes.
    """
    paths = [Path(path).with_suffix(f".{suffix}") for suffix in formats]
    for target in paths:
        metadata = (
            {"CreationDate": None}
            if target.suffix == ".pdf"
            else {"Software": None}
            if target.suffix == ".png"
            else None
        )
        figure.savefig(target, dpi=200, bbox_inches="tight", metadata=metadata)
    return paths


def new_figure(width: float = 4.4, height: float = 3.3, **kwargs: Any) -> tuple[Figure, Any]:
    """A figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**kwargs)


def log_bars(d: np.ndarray, s: np.ndarray) -> np.ndarray:
    """95 % bars of a log-normal: they never reach zero on a logarithmic axis."""
    factor = np.exp(1.96 * np.nan_to_num(s) / d)
    return np.stack([d - d / factor, d * factor - d])
