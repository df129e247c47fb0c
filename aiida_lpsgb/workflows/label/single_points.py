"""Base of engines whose plugin computes one configuration a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, Process, ProcessSpec, while_

from aiida_lpsgb.calculations.functions.labels import PLACE, structures
from aiida_lpsgb.calculations.label.engine import LabelEngine
from aiida_lpsgb.workflows.outputs import how_it_ended
from aiida_lpsgb.workflows.queue import QueueMixin


class SinglePointsWorkChain(LabelEngine, QueueMixin):
    """Label each configuration with a process of another plugin, a bounded number at a time.

    An engine says which process that is, which of its outputs hold the label, and how they are read. What failed is
    left out and named with its exit status.
    """

    #: Process that computes a structure; its inputs are exposed in the namespace `NAMESPACE`.
    PROCESS: ClassVar[type[Process]]
    NAMESPACE: ClassVar[str]
    #: Ports of the process that are filled in for each configuration, or that are not for users to give.
    FILLED_IN: ClassVar[tuple[str, ...]] = ("structure",)
    #: Names of the outputs of the process that `COLLECT` reads.
    READ: ClassVar[tuple[str, ...]]
    #: Registered calcfunction of `configurations`, `level_of_theory` and those outputs, named such as
    #: `image_00003_misc`, which gives the outputs of the engine; `labels.assemble` does most of its work.
    COLLECT: ClassVar[Callable[..., dict[str, orm.Data]]]

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input(
            "level_of_theory",
            valid_type=orm.Str,
            serializer=orm.to_aiida_type,
            help="Name the labels go by; labels of different names are not mixed.",
        )
        cls.limit_queue(spec, "Configurations")
        spec.expose_inputs(cls.PROCESS, namespace=cls.NAMESPACE, exclude=cls.FILLED_IN)
        spec.outline(cls.setup, while_(cls.queue_waits)(cls.run_queue), cls.collect)
        spec.exit_code(401, "ERROR_NO_LABELS", message="No configuration could be labelled: {detail}")
        spec.exit_code(
            402,
            "ERROR_SOME_UNLABELLED",
            message="{n} of {total} configurations could not be labelled: {detail}",
        )
        spec.exit_code(
            403,
            "ERROR_SOME_INTERRUPTED",
            message="{n} of {total} configurations could not be labelled, some of which may be another time: {detail}",
            invalidates_cache=True,
        )

    def setup(self) -> None:
        """Queue a process for each configuration."""
        jobs = {
            name: self.child_inputs(structure) for name, structure in structures(self.inputs.configurations).items()
        }
        self.fill_queue(self.PROCESS, jobs)

    def child_inputs(self, structure: orm.StructureData) -> AttributeDict:
        """Return the inputs of the process for a structure, whose atoms of a species are together."""
        inputs = self.exposed_inputs(self.PROCESS, namespace=self.NAMESPACE)
        inputs.structure = structure
        return inputs

    def collect(self) -> ExitCode | None:
        """Read the labels of what succeeded, and name what did not."""
        done = {name: child for name, child in self.ctx.children.items() if not self.lacking(child)}
        nodes = {f"{name}_{output}": child.outputs[output] for name, child in done.items() for output in self.READ}
        outputs = type(self).COLLECT(self.inputs.configurations, self.inputs.level_of_theory, **nodes)
        for name, node in outputs.items():
            self.out(name, node)
        results = outputs["results"]
        for place in results["refused"]:
            distrust(done[PLACE.format(int(place))])
        failures = {
            place: results["refused"].get(str(place)) or self.reason_of(self.ctx.children[PLACE.format(place)])
            for place in results["unlabelled"]
        }
        for place, reason in failures.items():
            self.report(f"configuration {place} has no label: {reason}")
        return self._exit_code(failures, results)

    def lacking(self, child: orm.ProcessNode) -> list[str]:
        """Outputs that `COLLECT` reads and a process does not have; all of them where it failed."""
        return [name for name in self.READ if not child.is_finished_ok or name not in child.outputs]

    def reason_of(self, child: orm.ProcessNode) -> str:
        """Say how a process ended, and the last calculation in it."""
        if child.is_finished_ok:
            return f"{child.process_label}<{child.pk}> finished without {', '.join(self.lacking(child))}"
        return ", after ".join(how_it_ended(node) for node in dict.fromkeys((child, calculation_of(child))))

    def _exit_code(self, failures: dict[int, str], results: orm.Dict) -> ExitCode | None:
        if not failures:
            return None
        shown = "; ".join(f"{place}: {reason}" for place, reason in list(failures.items())[:5])
        detail = shown + ("; …" if len(failures) > 5 else "")
        passing = any(may_pass(self.ctx.children[PLACE.format(place)]) for place in failures)
        if passing:
            exit_code = self.exit_codes.ERROR_SOME_INTERRUPTED
        elif results["n_labelled"]:
            exit_code = self.exit_codes.ERROR_SOME_UNLABELLED
        else:
            return self.exit_codes.ERROR_NO_LABELS.format(detail=detail)
        return exit_code.format(n=len(failures), total=results["n_configurations"], detail=detail)


def calculation_of(child: orm.ProcessNode) -> orm.ProcessNode:
    """Return the last calculation that a process ran, or the process where it is one."""
    jobs = [node for node in child.called_descendants if isinstance(node, orm.CalcJobNode)]
    return max(jobs, key=lambda node: node.pk, default=child)


def may_pass(child: orm.ProcessNode) -> bool:
    """Whether the reason why there is no label may be gone another time."""
    return not calculation_of(child).base.caching.is_valid_cache


def distrust(child: orm.ProcessNode) -> None:
    """Keep a process that finished well and left nothing of use, such as half a file, out of the cache."""
    calculation_of(child).base.caching.is_valid_cache = False
