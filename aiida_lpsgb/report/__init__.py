"""A study's results for people: collected from its nodes, as text, as figures and as an HTML page."""

from aiida_lpsgb.report.drawing import arrhenius_figure, draw
from aiida_lpsgb.report.gather import study_results
from aiida_lpsgb.report.page import html
from aiida_lpsgb.report.results import Results, Run, System
from aiida_lpsgb.report.tables.whole import table

__all__ = ("Results", "Run", "System", "arrhenius_figure", "draw", "html", "study_results", "table")
