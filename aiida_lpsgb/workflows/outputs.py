"""Results of calculation functions by the labels they were given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flattened(results: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Results by label, `__` in it or not.

    AiiDA takes a label such as ``region__estimator`` for a namespace, and nests the results where they come from the
    cache; where they are computed they keep their labels.
    """
    flat = {}
    for name, value in results.items():
        flat |= flattened(value, f"{prefix}{name}__") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat
