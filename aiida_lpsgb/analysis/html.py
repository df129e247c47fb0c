"""What a result says of itself in a notebook: one small table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

__all__ = ["fields", "motion_fields"]


def fields(title: str, rows: Mapping[str, Any]) -> str:
    """Write a table of two columns.

    Parameters
    ----------
    title
        What it is, in some words.
    rows
        Values by name; those that are None or empty are left out.
    """
    shown = ((key, _text(value)) for key, value in rows.items())
    body = "".join(f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in shown if text)
    return f"<table><caption>{escape(title)}</caption>{body}</table>"


def motion_fields(scalars: Mapping[str, Any], name: str) -> str:
    """Write what a diffusion coefficient is, from the scalars of :meth:`aiida_lpsgb.analysis.motion.Motion.scalars`.

    Parameters
    ----------
    scalars
        The scalars.
    name
        What holds them.
    """
    value, error, limit = (scalars.get(f"{key}_cm2_s") for key in ("diffusivity", "uncertainty", "upper_limit"))
    found = "not known" if limit is None else f"< {limit:.3g} cm²/s"
    if scalars["diffusive"]:
        found = f"{value:.3g} ± {error:.2g} cm²/s"
    at = f" at {scalars['temperature_K']:g} K" if scalars.get("temperature_K") else ""
    rows = {
        "diffusivity": found,
        "conductivity (S/cm)": scalars.get("conductivity_s_cm"),
        "motion": scalars.get("verdict") or ("diffusive" if scalars["diffusive"] else "not diffusive"),
        "region": scalars["region"],
        "direction": scalars["direction"],
        "estimator": scalars["estimator"],
        "window (ps)": scalars.get("window_ps"),
    }
    return fields(f"Diffusion of {scalars['species']}{at} ({name})", rows)


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
