"""What work chains call their children, and say and hand on of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiida import orm


def named(label: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of a child that is called by a label."""
    return {**inputs, "metadata": {**inputs.get("metadata", {}), "call_link_label": label}}


def how_it_ended(node: orm.ProcessNode) -> str:
    """Name of a process with its exit status and message or, of one that has none, its state and what was raised."""
    name = f"{node.process_label}<{node.pk}>"
    if node.is_finished:
        return f"{name} [{node.exit_status}] {node.exit_message}"
    raised = (node.exception or "").strip().splitlines()[-1:]
    return ": ".join([f"{name} {node.process_state.value}", *raised])


class RefusedError(ValueError):
    """A calculation function has refused its input; the message says which, and why."""


def made_by(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a calculation function makes of its input.

    Raises
    ------
    RefusedError
        If it refuses it, which it does by exit code.
    """
    result, node = function.run_get_node(*args, **kwargs)
    if not node.is_finished_ok:
        raise RefusedError(how_it_ended(node))
    return result


def namespace_of(node: orm.ProcessNode, name: str) -> dict[str, Any]:
    """The outputs of a process in a namespace by their labels; empty where there are none."""
    return dict(node.outputs[name]) if name in node.outputs else {}


def flattened(results: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Results by label, `__` in it or not.

    AiiDA takes a label such as ``region__estimator`` for a namespace, and nests the results where they come from the
    cache; where they are computed they keep their labels.
    """
    flat = {}
    for name, value in results.items():
        flat |= flattened(value, f"{prefix}{name}__") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def leaves(outputs: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, orm.Node]]:
    """Every node in nested namespaces with the path of its port, below a prefix."""
    for name in outputs:
        path = f"{prefix}.{name}"
        if isinstance(outputs[name], orm.Node):
            yield path, outputs[name]
        else:
            yield from leaves(outputs[name], path)


def in_words(seconds: float) -> str:
    """A time in the unit that fits it, such as `4.2 min`."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.{int(seconds < 10 * length)}f} {unit}"
    return f"{seconds:.{int(seconds < 10)}f} s"
