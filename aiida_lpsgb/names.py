"""Names that people type: which one was meant by one that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["meant"]


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
