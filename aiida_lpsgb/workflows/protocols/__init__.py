"""Named sets of numbers for the work chains, one YAML file each."""

from aiida_lpsgb.workflows.protocols.mixin import (
    ProtocolMixin,
    child_inputs,
    code_of,
    fill_in,
    fill_job,
    inputs_of_child,
    load_codes,
)

__all__ = ["ProtocolMixin", "child_inputs", "code_of", "fill_in", "fill_job", "inputs_of_child", "load_codes"]
