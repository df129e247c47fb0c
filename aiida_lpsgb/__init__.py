"""From a crystal structure to the ionic conductivity of its glass, grain boundaries and interfaces."""

__version__ = "0.1.0"
