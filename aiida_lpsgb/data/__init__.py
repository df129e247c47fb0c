"""AiiDA data nodes: potentials, configurations, trajectories and diffusivities."""
