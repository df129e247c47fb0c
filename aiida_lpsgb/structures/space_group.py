"""Space groups by name, number or Hall symbol, in every setting of International Tables that spglib knows.

A name often stands for several settings: C 2/m for three choices of the unique axis, R -3 m for hexagonal and
rhombohedral axes, F d -3 m for two origins. The cell tells which axes are meant; it tells nothing of the origin.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import spglib
from pymatgen.core import Lattice
from pymatgen.core.operations import SymmOp
from spglib import SpaceGroupType

__all__ = [
    "fits",
    "group_of",
    "number_of",
    "number_of_settings",
    "operations_of",
    "settings_of_cell",
    "settings_of_hall",
    "settings_of_name",
    "settings_of_number",
]

N_SETTINGS = 530
MONOCLINIC = range(3, 16)
#: Numbers of the groups that older tables call by 3 what is now -3, as in F m 3 m.
INVERTED_CUBIC = (*range(200, 207), *range(221, 231))
#: What databases append to a name, and the choice that it stands for.
SUFFIXES = {"h": "H", "r": "R", "s": "1", "z": "2", ":h": "H", ":r": "R", ":1": "1", ":2": "2"}
#: How much a metric may differ from a symmetric one, relative to its vectors.
METRIC_TOLERANCE = 0.02


def settings_of_name(name: str) -> list[int]:
    """Hall numbers of the settings that a Hermann–Mauguin name stands for, perhaps with a choice (F d -3 m :2).

    Parameters
    ----------
    name : str
        The name, short or full.

    Returns
    -------
    list of int
        Hall numbers, the usual setting first; none if the name is not known.
    """
    plain = _plain(name)
    if plain in _names():
        return list(_names()[plain])
    for suffix, choice in SUFFIXES.items():
        if plain.endswith(suffix) and plain.removesuffix(suffix) in _names():
            found = _names()[plain.removesuffix(suffix)]
            return [n for n in found if _types()[n - 1].choice.startswith(choice)]
    return []


def settings_of_hall(symbol: str) -> list[int]:
    """Hall numbers of a Hall symbol: one, or none if it is not known."""
    plain = _plain(symbol)
    return [n for n, group in enumerate(_types(), start=1) if _plain(group.hall_symbol) == plain][:1]


def settings_of_number(number: int) -> list[int]:
    """Hall numbers of the standard setting of a group, whatever its origin or kind of axes."""
    found = _all_settings(number)
    return [n for n in found if _types()[n - 1].international_full == _types()[found[0] - 1].international_full]


def number_of_settings(setting: int) -> int:
    """How many settings the group of a setting has."""
    return len(_all_settings(group_of(setting)))


def group_of(setting: int) -> int:
    """Number of the space group of a setting."""
    return int(_types()[setting - 1].number)


def operations_of(setting: int) -> list[SymmOp]:
    """Symmetry operations of a setting, in fractional coordinates."""
    found = spglib.get_symmetry_from_database(setting)
    pairs = zip(found["rotations"], found["translations"], strict=True)
    return [SymmOp.from_rotation_and_translation(rotation, shift) for rotation, shift in pairs]


def fits(operations: Sequence[SymmOp], lattice: Lattice) -> bool:
    """Whether the operations leave lengths and angles of a lattice as they are."""
    metric = lattice.matrix @ lattice.matrix.T
    size = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    rotations = np.array([operation.rotation_matrix for operation in operations])
    turned = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    return bool(np.abs((turned - metric) / size).max() < METRIC_TOLERANCE)


def settings_of_cell(settings: Sequence[int], lattice: Lattice) -> list[int]:
    """Of the settings that a name stands for, those of the axes that a cell has; they differ in their origins alone."""
    fitting = [setting for setting in settings if fits(operations_of(setting), lattice)] or list(settings)
    # Where all angles are right ones, several axes may be the unique one: the usual setting comes first.
    axes = [_types()[setting - 1].international_full for setting in fitting]
    return [setting for setting, name in zip(fitting, axes, strict=True) if name == axes[0]]


def number_of(operations: Sequence[SymmOp], lattice: Lattice) -> int | None:
    """Number of the space group of some operations; None if they make none."""
    rotations = np.array([np.rint(operation.rotation_matrix) for operation in operations], dtype="intc")
    shifts = np.array([operation.translation_vector for operation in operations])
    found = spglib.get_spacegroup_type_from_symmetry(rotations, shifts, lattice.matrix)
    return None if found is None else int(found.number)


def _all_settings(number: int) -> list[int]:
    return [n for n, group in enumerate(_types(), start=1) if group.number == number]


@cache
def _types() -> tuple[SpaceGroupType, ...]:
    """What spglib knows of every setting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return tuple(spglib.get_spacegroup_type(setting) for setting in range(1, N_SETTINGS + 1))


@cache
def _names() -> Mapping[str, list[int]]:
    """Settings by name."""
    found: dict[str, list[int]] = {}
    for setting, group in enumerate(_types(), start=1):
        names = {group.international_full, group.international.split("=")[-1]}
        if group.number in MONOCLINIC:
            # P 21/n is P 1 21/n 1; the short name that all settings share says nothing of the setting.
            names = {group.international_full, re.sub(r"(?<= )1(?= |$)", "", group.international_full)}
        if group.number in INVERTED_CUBIC:
            names |= {name.replace("-3", "3") for name in names}
        # Double glide planes e were called by one of their directions until 1992, as in C m c a.
        names |= {name.replace("e", glide) for name in names for glide in "abc"}
        for name in {_plain(name) for name in names}:
            found.setdefault(name, []).append(setting)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_()]", "", name).lower()
