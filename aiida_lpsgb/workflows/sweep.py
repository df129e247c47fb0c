"""Ports of work chains that run structures at several temperatures."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessSpec
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.sweep import template_error
from aiida_lpsgb.calculations.md_parameters import trajectory_error
from aiida_lpsgb.calculations.potentials import POTENTIAL_TYPES
from aiida_lpsgb.workflows.md import MD_FILLED_IN

MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")


def expose_sweep(spec: ProcessSpec) -> None:
    """Declare potentials, temperatures, replicas, seed and parameters of the runs."""
    spec.input_namespace(
        "potentials",
        dynamic=True,
        valid_type=POTENTIAL_TYPES,
        help="Potentials by name, as `lpsgb.md` takes them; each runs every temperature.",
    )
    spec.input("temperatures", valid_type=orm.List, validator=validate_temperatures, help="Temperatures in K.")
    spec.input(
        "n_replicas",
        valid_type=orm.Int,
        default=lambda: orm.Int(1),
        validator=validation.count_error,
        help="Runs of each.",
    )
    spec.input("seed", valid_type=orm.Int, help="The seed that those of all runs derive from.")
    spec.input(
        "parameters",
        valid_type=orm.Dict,
        validator=validate_template,
        help="Parameters of `lpsgb.md`, with the word `target` where a stage is to have the run's temperature.",
    )
    spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)


def outcomes_of(sweep: orm.ProcessNode) -> dict[str, bool]:
    """Whether the runs of an `lpsgb.transport` ended well, by label."""
    called = sweep.base.links.get_outgoing(node_class=orm.WorkChainNode, link_type=LinkType.CALL_WORK).all()
    return {entry.link_label: entry.node.is_finished_ok for entry in called}


def validate_temperatures(node: orm.List, _: Any) -> str | None:
    """Different temperatures above zero."""
    message = validation.temperatures_error(node.get_list())
    return f"temperatures: {message}" if message else None


def validate_template(node: orm.Dict, _: Any) -> str | None:
    """Stages that LAMMPS can run, one of which leaves a trajectory."""
    message = template_error(node.get_dict()) or trajectory_error(node.get_dict())
    return f"parameters: {message}" if message else None
