"""Recipes of a study's systems: what a structure is made from, and the small and the large cell of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.analysis.misfit import CORE, misfit_core
from aiida_lpsgb.analysis.observables import POSITIVE, regions_of, registry
from aiida_lpsgb.calculations.functions.structure_requests import (
    amorphous_keys_error,
    boundary_of_crystal_error,
    boundary_request_error,
    interface_keys_error,
    supercell_keys_error,
)
from aiida_lpsgb.calculations.functions.structures import refusing
from aiida_lpsgb.calculations.protocols import merged

KINDS = ("crystal", "boundary", "glass", "interface", "structure")
FOR_THE_STUDY = ("kind", "learn", "run", "explore", "amorphous", "glass", "regions", "core")
"""Keys that are not handed on to what makes the structure."""
WITH_PLANES = ("boundary", "interface")
"""Kinds with indices, which refer to the cell of the crystal."""
NEEDED = {"boundary": ("plane",), "glass": ("amorphous",), "interface": ("glass", "plane")}
LEARNED = ("crystal", "boundary", "glass")
"""Kinds that have a small cell to learn from."""
CELLS = {
    "crystal": supercell_keys_error,
    "boundary": boundary_request_error,
    "glass": supercell_keys_error,
    "interface": interface_keys_error,
}
"""What checks the parameters of a cell of each kind."""
EXCLUDED_BY = {"matrix": "n_atoms", "n_atoms": "matrix"}
"""Two ways to say how large a supercell is."""


@calcfunction
def read_recipe(recipe: orm.Dict) -> dict[str, orm.Dict]:
    """What a recipe says to each of the processes that follow it.

    Parameters
    ----------
    recipe
        ``kind``, ``learn``, ``run``, ``explore``, ``amorphous``, ``regions``, ``core`` and parameters that ``learn``
        and ``run`` have in common.

    Returns
    -------
    dict
        ``run`` and, where there are any, ``learn``, ``explore``, ``amorphous``, ``regions``, ``core`` and, of a
        boundary, ``boundary``, what it is whatever its cell (Dict).
    """
    values = recipe.get_dict()
    common = shared(values)
    parts = {"run": {**common, **(values.get("run") or {})}}
    if values.get("learn"):
        parts["learn"] = {**common, **values["learn"]}
    if values["kind"] == "boundary":
        parts["boundary"] = common
    parts |= {name: values[name] for name in ("explore", "amorphous", "regions", "core") if values.get(name)}
    return {name: orm.Dict(part) for name, part in parts.items()}


def shared(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a recipe that its small and its large cell have in common."""
    return {key: value for key, value in recipe.items() if key not in FOR_THE_STUDY}


def completed(recipe: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with what it leaves out.

    What it says of both cells, beside ``learn`` and ``run``, comes over what the defaults say of one of them.

    Parameters
    ----------
    recipe
        As `lpsgb.study` takes it.
    defaults
        A recipe of the same kind.
    """
    result = merged(defaults, recipe)
    for cell in ("learn", "run"):
        if not result.get(cell):
            continue
        default = defaults.get(cell) or {}
        common = {key: value for key, value in shared(recipe).items() if {key, EXCLUDED_BY.get(key)} & default.keys()}
        said = merged(common, recipe.get(cell) or {})
        kept = {key: value for key, value in default.items() if EXCLUDED_BY.get(key) not in said}
        result[cell] = merged(kept, said)
    return result


@calcfunction
def name_regions(results: orm.Dict, name: orm.Str) -> orm.Dict:
    """Name the slabs around the boundaries of a bicrystal or an interface.

    Parameters
    ----------
    results
        ``results`` of `lpsgb.grain_boundary` or `lpsgb.interface`.
    name
        What they are called, together.

    Returns
    -------
    Dict
        ``regions`` as `lpsgb.transport` takes them: slabs along the third cell vector.
    """
    slabs = results["regions"]
    region = {
        "axis": 2,
        "centres": [slab["centre_fraction"] for slab in slabs],
        "thickness_A": slabs[0]["thickness_A"],
    }
    return orm.Dict({name.value: region})


@calcfunction
@refusing
def add_core(
    regions: orm.Dict, structure: orm.StructureData, results: orm.Dict, observables: orm.Dict, parameters: orm.Dict
) -> orm.Dict:
    """Find the core of the dislocation in a relaxed boundary, and add it to the regions as ``core``.

    Parameters
    ----------
    regions
        From `lpsgb.name_regions`.
    structure, results
        Of `lpsgb.grain_boundary`.
    observables
        Parameters of `lpsgb.analyse`, with `diffusivity`: all but its species is the framework.
    parameters
        ``width_A`` along the boundary (Å); along the axis of a tilt a core runs from end to end.
    """
    [boundary] = regions_of(regions.get_dict()).values()
    described = results["candidates"][results["lowest"]]
    atoms = structure.get_ase()
    framework = atoms[[symbol != observables["diffusivity"]["species"] for symbol in atoms.get_chemical_symbols()]]
    core = misfit_core(
        framework.get_scaled_positions(),
        np.asarray(atoms.cell),
        boundary,
        parameters["width_A"],
        through=described["axis_along"],
    )
    return orm.Dict({**regions.get_dict(), CORE: asdict(core)})


@calcfunction
def observe_region(observables: orm.Dict, region: orm.Str) -> orm.Dict:
    """Resolve diffusion by region, and restrict the observables of structure to one.

    Parameters
    ----------
    observables
        Parameters of `lpsgb.analyse`, with `diffusivity`.
    region
        Name of the region.
    """
    known = registry()
    values = observables.get_dict()
    moving = values["diffusivity"]
    values["regions"] = {key: moving[key] for key in ("species", "charge") if key in moving} | (
        values.get("regions") or {}
    )
    for name, given in values.items():
        if given is None or known[name].needs_regions or "region" not in known[name].parameters:
            continue
        restricted = {"region": region.value}
        values[name] = (
            {v: p and p | restricted for v, p in given.items()} if known[name].variants else given | restricted
        )
    return orm.Dict(values)


def recipe_error(name: str, systems: Mapping[str, Mapping[str, Any]], structures: Collection[str]) -> str | None:
    """What is wrong with a recipe among the others of a study, or None."""
    recipe = systems[name]
    kind = recipe.get("kind")
    if kind not in KINDS:
        return f"systems.{name}: `kind` is {kind!r}; choose one of {', '.join(KINDS)}"
    if missing := [key for key in NEEDED.get(kind, ()) if not recipe.get(key)]:
        return f"systems.{name}: {', '.join(missing)} must be given for a {kind}"
    if kind == "structure" and name not in structures:
        return f"systems.{name}: give its structure as `structures.{name}`"
    if kind == "interface":
        glass = recipe["glass"]
        if systems.get(glass, {}).get("kind") != "glass":
            return f"systems.{name}: `glass` is {glass!r}, which is no system of kind glass"
    if message := _core_error(recipe):
        return f"systems.{name}: {message}"
    if recipe.get("learn") and kind not in LEARNED:
        return f"systems.{name}: a system of kind {kind} has no `learn`; it is learned from {', '.join(LEARNED)}"
    return _parts_error(f"systems.{name}", recipe)


def with_planes(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the systems whose recipes have indices of a plane."""
    return [name for name, recipe in systems.items() if recipe.get("kind") in WITH_PLANES]


def boundaries_error(systems: Mapping[str, Mapping[str, Any]], crystal: orm.CifData | orm.StructureData) -> str | None:
    """What is wrong with the boundaries among the recipes of a study for its crystal, or None."""
    for name, request in boundary_requests(systems).items():
        if message := boundary_of_crystal_error(request, crystal):
            return f"systems.{name}: {message}"
    return None


def boundary_requests(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is asked for the large cell of each boundary among recipes, by name."""
    found = {name: recipe for name, recipe in systems.items() if recipe["kind"] == "boundary"}
    return {name: {**shared(recipe), **(recipe.get("run") or {})} for name, recipe in found.items()}


def _core_error(recipe: Mapping[str, Any]) -> str | None:
    core = recipe.get("core")
    if core is None:
        return None
    if recipe["kind"] != "boundary":
        return f"a system of kind {recipe['kind']} has no `core`; dislocations are looked for in a boundary"
    if not (isinstance(core, Mapping) and set(core) == {"width_A"} and POSITIVE.accepts(core["width_A"])):
        return f"`core` is {core!r}; give {{width_A: …}}, its width along the boundary in Å"
    return None


def _parts_error(path: str, recipe: Mapping[str, Any]) -> str | None:
    """What is wrong with the parameters of a recipe, each part by itself; the crystal is not known here."""
    check = CELLS.get(recipe["kind"])
    for cell in ("learn", "run"):
        own = recipe.get(cell)
        if own is not None and not isinstance(own, Mapping):
            return f"{path}.{cell}: must be a dictionary, it is {own!r}"
        if check and (own or cell == "run") and (message := check({**shared(recipe), **(own or {})})):
            return f"{path}.{cell}: {message}"
    if recipe["kind"] == "glass" and (message := amorphous_keys_error(dict(recipe["amorphous"]))):
        return f"{path}: {message}"
    try:
        regions_of(recipe.get("regions"))
    except ValueError as error:
        return f"{path}.{error}"
    return None
