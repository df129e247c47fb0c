"""Where LAMMPS finds the pair styles ``mtp``, ``mtp/extrapolation`` and their forms for a GPU."""

from importlib.util import find_spec
from pathlib import Path


def directory() -> str:
    """Folder of the LAMMPS plugin ``mtpplugin.so``, for ``LAMMPS_PLUGIN_PATH``.

    Returns
    -------
    str
        The folder. In an editable installation it is not the one of the Python sources.

    Raises
    ------
    RuntimeError
        If the compiled part of the package is missing.
    """
    spec = find_spec("aiida_lpsgb.mtp._core")
    if spec is None or spec.origin is None:
        raise RuntimeError("aiida_lpsgb is installed without its compiled part; install it with pip, not by path")
    return str(Path(spec.origin).parent)
