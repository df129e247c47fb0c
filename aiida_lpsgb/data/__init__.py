"""AiiDA data nodes: potentials, configurations, trajectories and diffusivities."""

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.data.diffusivity import DiffusivityData
from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.data.trajectory import TrajectoryData

__all__ = ("ConfigurationsData", "DiffusivityData", "PotentialData", "TrajectoryData")
