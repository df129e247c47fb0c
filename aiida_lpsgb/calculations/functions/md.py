"""Calcfunctions that derive the inputs of molecular dynamics runs."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.md import DEFAULTS


@calcfunction
def halve_timestep(parameters: orm.Dict) -> orm.Dict:
    """Same run with half the time step."""
    values = parameters.get_dict()
    values["timestep_fs"] = values.get("timestep_fs", DEFAULTS["timestep_fs"]) / 2
    return orm.Dict(values)
