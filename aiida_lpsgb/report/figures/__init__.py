"""Figures in one house style.

Every function takes plain numbers and returns a matplotlib ``Figure``; nothing here knows AiiDA.
"""

from aiida_lpsgb.report.figures.comparison import relations, scatter
from aiida_lpsgb.report.figures.displacement import Displacement, element_msd, msd, msd_panel
from aiida_lpsgb.report.figures.learning import boundary_parity, grid, learning_curve, parity
from aiida_lpsgb.report.figures.structure import (
    density_map,
    density_maps,
    disorder,
    profile,
    radial_distributions,
    units,
)
from aiida_lpsgb.report.figures.style import COLOURS, save
from aiida_lpsgb.report.figures.temperature import Series, arrhenius, arrhenius_comparison, curve, energy_text
from aiida_lpsgb.report.figures.topology import persistence_diagram, rings

__all__ = [
    "COLOURS",
    "Displacement",
    "Series",
    "arrhenius",
    "arrhenius_comparison",
    "boundary_parity",
    "curve",
    "density_map",
    "density_maps",
    "disorder",
    "element_msd",
    "energy_text",
    "grid",
    "learning_curve",
    "msd",
    "msd_panel",
    "parity",
    "persistence_diagram",
    "profile",
    "radial_distributions",
    "relations",
    "rings",
    "save",
    "scatter",
    "units",
]
