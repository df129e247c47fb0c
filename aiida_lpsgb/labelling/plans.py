"""Plans of what is done with a calculator: data classes that are made of dictionaries and refuse what is senseless."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Self

from aiida_lpsgb.typed import meant


class PlanOf:
    """A data class that can be made of a dictionary; `KEY` is what this is called in messages."""

    KEY = "plan"

    @classmethod
    def of(cls, values: Any) -> Self:
        """Return the plan of a dictionary.

        Raises
        ------
        ValueError
            If a key is not known or missing, or a value makes no sense.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(values, Mapping):
            raise ValueError(f"{cls.KEY} is {values!r}, expected a dictionary of {', '.join(known)}")
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"{cls.KEY}: unknown keys {unknown}{meant(unknown, known)}; there are {', '.join(known)}")
        if missing := [field.name for field in fields(cls) if field.default is MISSING and field.name not in values]:
            raise ValueError(f"{cls.KEY}: {', '.join(missing)} missing")
        try:
            return cls(**values)
        except ValueError as error:
            raise ValueError(f"{cls.KEY}: {error}") from error

    def require_numbers(self, *names: str) -> None:
        """Refuse attributes that are no finite numbers."""
        for name in names:
            if not _is_number(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a number")

    def require_positive(self, *names: str) -> None:
        """Refuse attributes that are no finite numbers above zero."""
        for name in names:
            if not _is_number(getattr(self, name)) or not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected a positive number")

    def require_counts(self, *names: str) -> None:
        """Refuse attributes that are no positive integers."""
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected a positive integer")

    def require_truth(self, *names: str) -> None:
        """Refuse attributes that are neither true nor false."""
        for name in names:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected true or false")


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
