import os
import tempfile

# The reference pages show ports of processes; AiiDA wants a profile for that, which goes with this build.
os.environ.setdefault("AIIDA_PATH", tempfile.mkdtemp())
import warnings

import aiida
from aiida.common.warnings import AiidaDeprecationWarning
from aiida.manage.configuration import Profile
from aiida.storage.sqlite_temp import SqliteTempBackend

import aiida_lpsgb

PROFILE: Profile = SqliteTempBackend.create_profile("docs")
aiida.load_profile(PROFILE, allow_switch=True)
# autodoc touches every attribute of AiiDA's classes, the deprecated ones too.
warnings.filterwarnings("ignore", category=AiidaDeprecationWarning)

project = "aiida-lpsgb"
author = "The aiida-lpsgb developers"
copyright = author
release = version = aiida_lpsgb.__version__

extensions = [
    "aiida.sphinxext",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
napoleon_google_docstring = False
# Attributes of data classes are documented in the class's own text; napoleon would list them a second time.
napoleon_use_ivar = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# Docstrings follow Python's habit of single backticks for names, which are not cross-references here.
default_role = "code"
# Names of attributes in docstrings of data classes look like types, and several classes have them.
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"aiida-lpsgb {version}"
exclude_patterns = ["_build"]
