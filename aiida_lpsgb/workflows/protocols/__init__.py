"""Named sets of numbers for the work chains, one YAML file each."""

from aiida_lpsgb.workflows.protocols.mixin import ProtocolMixin

__all__ = ["ProtocolMixin"]
