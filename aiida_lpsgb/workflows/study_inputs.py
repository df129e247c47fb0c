"""What the inputs of a study must be, among each other and for its crystal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_lpsgb.calculations.functions.potential import untrained_error
from aiida_lpsgb.calculations.functions.recipes import boundaries_error, recipe_error, with_planes
from aiida_lpsgb.calculations.functions.structure_requests import order_request_error, start_set_request_error
from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.calculations.md_parameters import temperature_range
from aiida_lpsgb.calculations.potentials import known_species, potential_error
from aiida_lpsgb.calculations.validation import level_error, structure_error
from aiida_lpsgb.structures.cif import read_cif
from aiida_lpsgb.workflows.learning_inputs import own_exploration_error

CRYSTAL = "crystal"
PROPERTIES = "properties_"
REFERENCE = "reference"
VALIDATION = "validation"
PARITY = "boundary_energies"
RECIPE = "recipe_"
# What the study calls its other children and crystals, and what calculations have beside structures by their names.
TAKEN = (
    *(VALIDATION, PARITY, "best", "before", "parameters", "seed", "settings", "exploration", "structures", "history"),
    "metadata",
)


def elements(crystal: orm.CifData | orm.StructureData) -> list[str]:
    """The elements of a crystal, sorted."""
    if isinstance(crystal, orm.StructureData):
        return sorted(crystal.get_symbols_set())
    composition = read_cif(crystal.get_content(), check_formula=False).composition
    return sorted(str(element) for element in composition.element_composition)


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Every recipe must make sense among the others, and there must be something to learn from."""
    if not inputs.get("systems"):
        return "systems: give at least one recipe"
    if bool(inputs.get("properties")) != ("thresholds" in inputs):
        return "thresholds: `properties` and `thresholds` go together"
    if REFERENCE in (inputs.get("potentials") or {}) and inputs.get("properties"):
        return f"potentials: {REFERENCE!r} is what the label engine's properties are called; give it another name"
    systems = {name: recipe.get_dict() for name, recipe in inputs["systems"].items()}
    for name in systems:
        if name in TAKEN or name.startswith((RECIPE, PROPERTIES)):
            return f"systems.{name}: the study itself calls something so; give the system another name"
        if message := recipe_error(name, systems, inputs.get("structures", {})):
            return message
    if message := crystal_error(inputs, systems):
        return message
    if "crystal" in inputs and (message := boundaries_error(systems, inputs["crystal"])):
        return message
    if message := returns_error(inputs):
        return message
    return None if inputs.get("potentials") else learning_error(inputs, systems)


def returns_error(inputs: Mapping[str, Any]) -> str | None:
    """Going back to learning needs runs that are watched, and something to go back to."""
    if "returns" not in inputs:
        return None
    if inputs.get("potentials"):
        return "returns: with `potentials` that are given nothing is learned that could be gone back to"
    if "watch" not in inputs.get("transport", {}):
        return "returns: runs are not watched; give `transport.watch`, or leave `returns` out"
    return None


def crystal_error(inputs: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The crystal must be one that can be ordered as it is asked, of elements that the potentials know."""
    if "crystal" not in inputs:
        return None  # the port itself complains
    ordering = inputs["ordering"].get_dict() if "ordering" in inputs else {}
    if message := order_request_error(ordering, inputs["crystal"]):
        return message
    if ordering.get("primitive") and (planar := with_planes(systems)):
        return (
            f"ordering: the planes and axes of {', '.join(planar)} refer to the cell of the crystal, which must be the "
            "one that is ordered: leave `primitive` out"
        )
    wanted = elements(inputs["crystal"])
    for name, potential in inputs.get("potentials", {}).items():
        if missing := sorted(set(wanted) - set(known_species(potential))):
            return f"potentials.{name}: it knows {known_species(potential)} and not {missing} of the crystal"
        if message := potential_error(potential):
            return f"potentials.{name}: {message}"
    for name, structure in inputs.get("structures", {}).items():
        if message := structure_error(structure, f"structures.{name}"):
            return message
    return None


def learning_error(inputs: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> str | None:
    """There must be something to learn from, of one level of theory, and a potential that can learn it."""
    for port in ("potential", "label", "active_learning"):
        if not inputs.get(port):
            return f"{port}: missing; give it, or `potentials` that are trained"
    if not any(inputs.get(port) for port in ("start_set", "reference_md", "training_sets")):
        return "start_set: give `start_set`, `reference_md`, `training_sets` or several of them to learn from"
    if not any(recipe.get("learn") for recipe in systems.values()):
        return "systems: no recipe has a `learn`, so there is nothing to explore"
    potential = inputs["potential"].get_dict()
    if message := untrained_error(potential):
        return f"potential: {message}"
    if "crystal" in inputs and (missing := sorted(set(elements(inputs["crystal"])) - set(potential["species"]))):
        return f"potential: `species` lacks {', '.join(missing)} of the crystal"
    if "start_set" in inputs and (message := start_set_request_error(inputs["start_set"].get_dict())):
        return message
    common = inputs["active_learning"]["exploration"].get_dict() if "exploration" in inputs["active_learning"] else None
    for name, recipe in systems.items():
        if recipe.get("explore") and (message := own_exploration_error(recipe["explore"], common)):
            return f"systems.{name}.explore: {message}"
    return melt_error(inputs, systems) or levels_error(inputs)


def melt_error(inputs: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> str | None:
    """No glass is melted hotter than its small cell was explored, for the melt of the large one is not watched."""
    if "parameters" not in inputs.get("melt_quench", {}):
        return None
    stages = inputs["melt_quench"]["parameters"]["stages"]
    melted = max((max(temperature_range(stage)) for stage in stages if stage["ensemble"] != "minimise"), default=0.0)
    common = inputs["active_learning"]["settings"].get_dict()
    for name, recipe in systems.items():
        if recipe["kind"] != "glass" or recipe.get("learn") is None:
            continue
        explored = max({**common, **recipe.get("explore", {})}["temperatures_K"])
        if melted > explored:
            return (
                f"systems.{name}.explore: its small cell is explored up to {explored:g} K and the glass melted at "
                f"{melted:g} K, which the potentials would not know: raise `temperatures_K`, or lower those of the "
                "stages in `melt_quench.parameters`"
            )
    return None


def levels_error(inputs: Mapping[str, Any]) -> str | None:
    """All labels, those that are given and those that are computed, must be of one level of theory."""
    engines = {"label": inputs["label"].get("engine")}
    for port in ("active_learning", "validate"):
        if inputs.get(port):
            engines[f"{port}.label"] = inputs[port].get("label", {}).get("engine")
    levels = {port: level for port, engine in engines.items() if (level := level_of(engine)) is not None}
    if len(set(levels.values())) > 1:
        listed = ", ".join(f"{port} {level}" for port, level in levels.items())
        return f"label: the engines compute labels of different levels of theory, which cannot be mixed: {listed}"
    given = [(f"training_sets.{name}", node) for name, node in inputs.get("training_sets", {}).items()]
    return level_error(given, next(iter(levels.values()), None))
