"""From what is guessed of a crystal to what a study takes: recipes of its systems, and overrides of its protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pymatgen.core import Element

from aiida_lpsgb.structures.crystal import read_indices
from aiida_lpsgb.structures.guess import Material

CRYSTAL, GLASS = "crystal", "glass"


def recipes(
    material: Material,
    boundaries: Sequence[str] = (),
    twists: Sequence[str] = (),
    glass: bool = False,
    interfaces: Sequence[str] = (),
    pseudo_cubic: bool = False,
) -> dict[str, dict[str, Any]]:
    """Recipes of the systems by name; units are cut as they were guessed."""
    common = {"cutoffs": material.cutoffs.value}
    labels = {"convention": "pseudo-cubic"} if pseudo_cubic else {}
    systems: dict[str, dict[str, Any]] = {CRYSTAL: {"kind": "crystal"}}
    for text in boundaries:
        axis, found, plane = text.partition("/")
        if not found:
            raise ValueError(f"boundary {text!r}: give axis/plane, such as 001/120")
        recipe = {"kind": "boundary", "axis": read_indices(axis), "plane": read_indices(plane), **common, **labels}
        systems[f"tilt_{_word(recipe['axis'])}_{_word(recipe['plane'])}"] = recipe
    for text in twists:
        name, recipe = _twist(text, labels)
        systems[name] = recipe | common
    if glass or interfaces:
        systems[GLASS] = {"kind": "glass", "amorphous": {**framework(material), **common}}
    for text in interfaces:
        plane = read_indices(text)
        systems[f"interface_{_word(plane)}"] = {"kind": "interface", "glass": GLASS, "plane": plane, **common}
    return systems


def _twist(text: str, labels: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and recipe of a twist such as 001, 001@36.9 (an angle) or, with labels of a cube, 001@5 (Σ)."""
    indices, _, number = text.partition("@")
    plane = read_indices(indices)
    recipe: dict[str, Any] = {"kind": "boundary", "plane": plane, **labels}
    if labels and not number:
        raise ValueError(f"twist {text!r}: a twist by labels of a cube is given by its Σ, such as {indices}@5")
    if number:
        try:
            recipe |= {"sigma": int(number)} if labels else {"angle": float(number)}
            if not math.isfinite(recipe.get("angle", 0.0)):
                raise ValueError
        except ValueError:
            expected = "a whole number, Σ" if labels else "an angle in degrees"
            raise ValueError(f"twist {text!r}: {number!r} is not {expected}") from None
    return f"twist_{_word(plane)}" + (f"_{number.replace('.', 'p')}" if number else ""), recipe


def _word(indices: Sequence[int]) -> str:
    """Indices as a part of a name: 120, m250 for (-250)."""
    return "".join(f"m{-index}" if index < 0 else str(index) for index in indices)


def framework(material: Material) -> dict[str, str]:
    """Centre and unit of the framework that a glass is looked at by: the polyanions, else what is charged most."""
    speciation = material.speciation.value
    if speciation is not None:
        unit = next(unit for unit in material.units.value if speciation["centre"] in unit)
        return {"centre": speciation["centre"], "unit": unit}
    still = [element for element in material.species.value if element != material.mobile.value]
    charges = material.charges.value or {}
    if not still:
        raise ValueError(f"a glass of {material.formula}: everything in it moves, so there is no framework to look at")
    centre = max(still, key=lambda element: (charges.get(element, 0.0), -Element(element).X))
    return {"centre": centre, "unit": centre}


def guessed_overrides(material: Material) -> dict[str, Any]:
    """Overrides of the protocol of `lpsgb.study` that say what was guessed.

    Raises
    ------
    ValueError
        With the questions, where something that is needed cannot be guessed, or if it is no crystal.
    """
    if material.empty:
        raise ValueError(f"{material.formula}: {material.empty}: a study needs a crystal that fills its cell")
    unknown = material.mobile.value is None or (material.charges.value is None and material.ordering.value is not None)
    if unknown:
        raise ValueError("; ".join(material.questions))
    return {
        "mobile": mobile_of(material),
        "ordering": dict(material.ordering.value or {}),
        "potential": {"species": sorted(material.species.value), "min_distance_angstrom": material.min_distance.value},
        "transport": {"analyse": guessed_observables(material)},
    }


def mobile_of(material: Material) -> dict[str, Any]:
    """Species and charge of what moves; without charges that of its commonest oxidation state."""
    mobile = material.mobile.value
    if mobile is None:
        raise ValueError("; ".join(material.questions))
    charges = material.charges.value or {mobile: float(Element(mobile).common_oxidation_states[0])}
    return {"species": mobile, "charge": charges[mobile]}


def guessed_observables(material: Material) -> dict[str, Any]:
    """Overrides of the protocol of `lpsgb.analyse` that say what was guessed, beside what moves."""
    return {"speciation": material.speciation.value, "disorder": material.disorder.value}
