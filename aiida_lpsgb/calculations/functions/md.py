"""Calcfunctions that derive the inputs of molecular dynamics runs."""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_lpsgb.calculations.md_parameters import DEFAULTS, resolve
from aiida_lpsgb.parsers.md_summary import join_results

CLOSE_STEPS = 2
"""Steps between grades of a run that is looked at closely: atoms fall from what is known into each other within ten."""


@calcfunction
def halve_timestep(parameters: orm.Dict) -> orm.Dict:
    """Same run with half the time step."""
    values = parameters.get_dict()
    values["timestep_fs"] = values.get("timestep_fs", DEFAULTS["timestep_fs"]) / 2
    return orm.Dict(values)


@calcfunction
def watch_closely(parameters: orm.Dict) -> orm.Dict:
    """Same run, graded every `CLOSE_STEPS` steps."""
    values = parameters.get_dict()
    return orm.Dict({**values, "extrapolation": {**values["extrapolation"], "interval_steps": CLOSE_STEPS}})


@calcfunction
def remaining_stages(parameters: orm.Dict, first: orm.Int) -> orm.Dict:
    """Same run from a stage on, given by its index."""
    values = parameters.get_dict()
    return orm.Dict({**values, "stages": values["stages"][first.value :]})


@calcfunction
def join_segments(parameters: orm.Dict, **segments: orm.Data) -> orm.Dict:
    """Results of a run from those of its segments.

    Parameters
    ----------
    parameters
        Parameters of the whole run.
    segments
        `results_<segment>` and, where there is some, `thermo_<segment>` of each segment; joined in the order of the
        labels.

    Returns
    -------
    Dict
        As those of `lpsgb.md`, with `n_segments`: averages over the rows of all segments, the number and the highest
        grade of all extrapolated configurations, the minimisations of all.
    """
    labels = sorted(name.removeprefix("results_") for name in segments if name.startswith("results_"))
    return orm.Dict(
        join_results(
            resolve(parameters.get_dict()),
            [segments[f"results_{label}"].get_dict() for label in labels],
            [_arrays(segments.get(f"thermo_{label}")) for label in labels],
        )
    )


def _arrays(node: orm.ArrayData | None) -> dict[str, np.ndarray]:
    return {} if node is None else {name: node.get_array(name) for name in node.get_arraynames()}
