"""Moment tensor potentials: reading, evaluating, training, grading, selecting."""

from importlib.util import find_spec

if find_spec("aiida_lpsgb.mtp._core") is None:
    raise ImportError(
        f"{__path__[0]} has no compiled modules: it is a folder of sources, found before what is installed. Run Python "
        "elsewhere than in a clone's root, or install the clone itself with `pip install -e .`"
    )
