"""Checks shared by the ports of calculations and work chains: each returns a message, or None where all is well."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_lpsgb.calculations.md_parameters import gamma_error as gamma_error
from aiida_lpsgb.calculations.potentials import known_species, potential_error


def count_error(node: orm.Int, port: Any) -> str | None:
    """A count must be at least one; the validator of a port."""
    return None if node.value >= 1 else f"{port.name}: is {node.value}, expected at least 1"


def declare_count(spec: ProcessSpec, name: str, default: int, help_text: str) -> None:
    """Declare a port that takes a count, at least one."""
    spec.input(
        name,
        valid_type=orm.Int,
        default=lambda: orm.Int(default),
        serializer=orm.to_aiida_type,
        validator=count_error,
        help=help_text,
    )


def temperatures_error(temperatures_K: Sequence[float]) -> str | None:
    """There must be a temperature, all must be positive, and none there twice."""
    if not temperatures_K:
        return "none is given"
    for temperature in temperatures_K:
        number = isinstance(temperature, Real) and not isinstance(temperature, bool)
        if not number or not 0 < temperature < math.inf:
            return f"temperatures must be above 0 K, one is {temperature!r}"
    if len(set(temperatures_K)) < len(temperatures_K):
        return f"{temperatures_K} holds one twice; use `n_replicas` for more runs of it"
    return None


def structure_error(structure: orm.StructureData, port: str) -> str | None:
    """Molecular dynamics needs full occupancies and a periodic cell."""
    if structure.has_vacancies or structure.is_alloy:
        return f"{port}: sites are partially occupied; order the structure first (lpsgb.order)"
    if not all(structure.pbc):
        return f"{port}: periodic boundary conditions along all three axes are needed, pbc is {structure.pbc}"
    return None


def species_error(structure: orm.StructureData, potential: orm.Data) -> str | None:
    """Every element of the structure must be one the potential was built for."""
    known = known_species(potential)
    if missing := sorted(set(structure.get_symbols_set()) - set(known)):
        return f"potential: it knows {known} and not {missing}, which the structure contains"
    return None


def configurations_error(configurations: orm.Data, potential: orm.Data, port: str) -> str | None:
    """Every element of the configurations must be one the potential was built for."""
    missing = sorted(set(configurations.elements) - set(potential.species))
    if missing:
        return f"{port}: contains {missing}, which the potential, built for {list(potential.species)}, does not know"
    return None


def levels_error(sets: Iterable[tuple[str, orm.Data]]) -> str | None:
    """Labels of different levels of theory have different zeros of energy and must not be mixed.

    Nor may labels of a known level with labels of which the level is not known; sets without labels have none.
    """
    ports: dict[str | None, str] = {}
    for port, node in sets:
        if node.base.attributes.get("n_labelled"):
            ports.setdefault(node.level_of_theory, port)
    if len(ports) < 2:
        return None
    unknown = ports.pop(None, None)
    named = ", ".join(f"{port} by {level}" for level, port in sorted(ports.items()))
    if len(ports) > 1:
        return f"{next(iter(ports.values()))}: labels of different levels of theory would be mixed ({named})"
    return (
        f"{unknown}: its labels have no level of theory and would be mixed with others ({named}); store the set again "
        "with the level_of_theory that gave its labels"
    )


def level_error(sets: Iterable[tuple[str, orm.Data]], level: str | None) -> str | None:
    """Labels that are there and labels that are to come must be of one level of theory, and of a known one."""
    sets = list(sets)
    if message := levels_error(sets):
        return message
    for port, node in sets:
        if not node.base.attributes.get("n_labelled"):
            return f"{port}: has no labels; label it first (lpsgb.label)"
        if level is not None and node.level_of_theory != level:
            found = node.level_of_theory or "of no known level of theory"
            return f"{port}: its labels are {found}, those that the label engine computes {level}: they cannot be mixed"
    return None


def md_inputs_error(structure: orm.StructureData, potential: orm.Data) -> str | None:
    """All that can be wrong with running a structure with a potential of any kind."""
    return structure_error(structure, "structure") or species_error(structure, potential) or potential_error(potential)
