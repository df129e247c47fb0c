"""What work chains that run one structure at several temperatures have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec
from aiida.plugins import DataFactory, WorkflowFactory

from aiida_lpsgb.calculations import validation
from aiida_lpsgb.calculations.functions.md import plan_sweep, run_label
from aiida_lpsgb.workflows.md import MD_FILLED_IN
from aiida_lpsgb.workflows.protocols import ProtocolMixin
from aiida_lpsgb.workflows.queue import QueueMixin

MdBaseWorkChain = WorkflowFactory("lpsgb.md.base")
PotentialData = DataFactory("lpsgb.potential")

MIN_TEMPERATURES = 2


class SweepWorkChain(ProtocolMixin, QueueMixin):
    """Ports of a temperature sweep, and the queue of its runs."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the ports of the runs."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="Fully occupied structure to run.")
        spec.input("potential", valid_type=PotentialData, help="Trained potential that knows every element of it.")
        spec.input("temperatures", valid_type=orm.List, validator=validate_temperatures, help="Temperatures in K.")
        spec.input("seeds", valid_type=orm.List, validator=validate_seeds, help="One integer a replica of the sweep.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            help="Parameters of `lpsgb.md`, with the word `target` where a stage is to have the run's temperature.",
        )
        spec.input("max_concurrent", valid_type=orm.Int, default=lambda: orm.Int(2), help="Runs at the same time.")
        spec.expose_inputs(MdBaseWorkChain, namespace="md", exclude=MD_FILLED_IN)
        spec.inputs.validator = validate_inputs

    def queue_sweep(self) -> None:
        """Queue `lpsgb.md.base` for every temperature and replica of the inputs."""
        plan = plan_sweep(self.inputs.parameters, self.inputs.temperatures, self.inputs.seeds)
        runs = {}
        for replica in range(1, len(self.inputs.seeds.get_list()) + 1):
            for temperature in self.inputs.temperatures.get_list():
                label = run_label(temperature, replica)
                inputs = AttributeDict(self.exposed_inputs(MdBaseWorkChain, namespace="md"))
                inputs.md.structure = self.inputs.structure
                inputs.md.potential = self.inputs.potential
                inputs.md.parameters = plan[f"parameters_{label}"]
                inputs.md.seed = plan[f"seed_{label}"]
                runs[label] = inputs
        self.report(f"{len(runs)} runs at {', '.join(f'{t:g}' for t in self.inputs.temperatures.get_list())} K")
        self.fill_queue(MdBaseWorkChain, runs, self.inputs.max_concurrent.value)


def validate_temperatures(node: orm.List, _: Any) -> str | None:
    """At least two different temperatures above zero."""
    temperatures = node.get_list()
    if message := validation.temperature_error(temperatures):
        return f"temperatures: {message}"
    if len(set(temperatures)) < MIN_TEMPERATURES:
        return f"temperatures: at least {MIN_TEMPERATURES} different ones are needed, got {temperatures}"
    if len(set(temperatures)) < len(temperatures):
        return f"temperatures: {temperatures} holds one twice; use `seeds` for replicas"
    return None


def validate_seeds(node: orm.List, _: Any) -> str | None:
    """Distinct non-negative integers."""
    seeds = node.get_list()
    if not seeds or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
        return f"seeds: a list of non-negative integers is needed, got {seeds}"
    if len(set(seeds)) < len(seeds):
        return f"seeds: {seeds} holds one twice; the replicas would be the same run"
    return None


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Structure and potential must fit each other."""
    if any(key not in inputs for key in ("structure", "potential")):
        return None  # the ports themselves complain
    return validation.md_inputs_error(inputs["structure"], inputs["potential"])
