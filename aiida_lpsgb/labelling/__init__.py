"""Reference labels (energy, forces, stress) from ASE calculators, and the file many configurations are kept in.

Nothing here imports AiiDA.
"""
