"""Reference calculators by name or import path."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from ase import Atoms
from ase.calculators.calculator import BaseCalculator


@dataclass(frozen=True)
class Pretrained:
    """A calculator that has a name of its own.

    Attributes
    ----------
    path
        ``module:Class`` of the calculator.
    level_of_theory
        Name its labels go by.
    keywords
        Arguments it is called with unless others are given.
    """

    path: str
    level_of_theory: str
    keywords: Mapping[str, Any] = field(default_factory=dict)


#: Pretrained potentials whose weights ship in their wheels.
PRETRAINED = {
    "sevennet": Pretrained("sevenn.calculator:SevenNetCalculator", "SevenNet-0", {"model": "7net-0", "device": "cpu"}),
    "chgnet": Pretrained("chgnet.model.dynamics:CHGNetCalculator", "CHGNet", {"use_device": "cpu"}),
}

#: Arguments that say where and how fast a calculator runs, and not what it finds: they are no part of the level.
MACHINE_KEYWORDS = frozenset(
    {
        *("command", "device", "directory", "label", "logfile", "profile", "txt", "use_device"),
        *("enable_cueq", "enable_flash", "enable_oeq", "n_threads", "nthreads", "num_threads"),
    }
)

#: DFT-D3's forms of damping at short distances.
DAMPINGS = ("d3bj", "d3mbj", "d3mzero", "d3op", "d3zero")


def find(calculator: str) -> Pretrained:
    """Return the calculator of a name, or of the import path of any ASE calculator.

    Parameters
    ----------
    calculator
        ``sevennet``, ``chgnet``, or ``module:Class``.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if calculator in PRETRAINED:
        return PRETRAINED[calculator]
    module, _, name = calculator.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise ValueError(
            f"calculator is {calculator!r}, expected {', '.join(sorted(PRETRAINED))} or the import path module:Class "
            "of an ASE calculator"
        )
    return Pretrained(calculator, calculator)


def check_dispersion(dispersion: Any) -> None:
    """Refuse what is not the name of a functional and of a damping.

    Parameters
    ----------
    dispersion
        ``{"method": "PBE", "damping": "d3zero"}``: the functional that the calculator stands for, and one of
        `DAMPINGS`.

    Raises
    ------
    ValueError
        Which says what is expected.
    """
    if not isinstance(dispersion, Mapping) or set(dispersion) != {"method", "damping"}:
        raise ValueError(f'dispersion is {dispersion!r}, expected such as {{"method": "PBE", "damping": "d3zero"}}')
    if not isinstance(dispersion["method"], str):
        raise ValueError(f"dispersion: method is {dispersion['method']!r}, expected the name of a functional")
    if dispersion["damping"] not in DAMPINGS:
        raise ValueError(f"dispersion: damping is {dispersion['damping']!r}, expected one of {', '.join(DAMPINGS)}")


def level_of_theory(parameters: Mapping[str, Any]) -> str:
    """Return the name that labels by these parameters go by.

    It holds everything that a label depends on and nothing else: labels of one level may be mixed, whatever the machine
    and the device they were computed on.

    Parameters
    ----------
    parameters
        ``calculator``, and optionally ``keywords``, ``dispersion`` and ``level_of_theory``, which overrules the name
        made from the others.

    Raises
    ------
    ValueError
        If ``calculator`` is not known.
    """
    given = parameters.get("level_of_theory")
    if given:
        return str(given)
    calculator = find(parameters["calculator"])
    changed = {
        key: value
        for key, value in parameters.get("keywords", {}).items()
        if key not in MACHINE_KEYWORDS and calculator.keywords.get(key) != value
    }
    arguments = ", ".join(f"{key}={value!r}" for key, value in sorted(changed.items()))
    name = f"{calculator.level_of_theory}({arguments})" if arguments else calculator.level_of_theory
    dispersion = parameters.get("dispersion")
    # The names of functionals are known in any case.
    return f"{name} + {dispersion['damping']}({dispersion['method'].upper()})" if dispersion else name


def build(parameters: Mapping[str, Any]) -> BaseCalculator:
    """Return a new calculator.

    Parameters
    ----------
    parameters
        ``calculator``, a name or an import path, and optionally ``keywords``, its arguments, and ``dispersion``, the
        DFT-D3 correction (Grimme et al., J. Chem. Phys. 132, 154104, 2010) to add.

    Raises
    ------
    ValueError
        If it cannot be imported or does not take the arguments.
    """
    base = _base(parameters)
    dispersion = parameters.get("dispersion")
    return _correction(dispersion).add_calculator(base) if dispersion else base


def _correction(dispersion: Mapping[str, str]) -> BaseCalculator:
    try:
        from dftd3.ase import DFTD3
    except ImportError as error:
        raise ValueError(f"dispersion: {error}; pip install 'aiida-lpsgb[labels]'") from error
    calculator = DFTD3(**dispersion)
    try:
        # It looks for the functional only when it is used.
        calculator.get_potential_energy(Atoms("H"))
    except RuntimeError as error:
        raise ValueError(f"dispersion: {dispersion['damping']} of {dispersion['method']}: {error}") from error
    return calculator


def _base(parameters: Mapping[str, Any]) -> BaseCalculator:
    calculator = find(parameters["calculator"])
    module, _, name = calculator.path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except ImportError as error:
        hint = "; pip install 'aiida-lpsgb[labels]'" if parameters["calculator"] in PRETRAINED else ""
        raise ValueError(f"calculator {parameters['calculator']}: {error}{hint}") from error
    except AttributeError as error:
        raise ValueError(f"calculator {parameters['calculator']}: {error}") from error
    try:
        return factory(**{**calculator.keywords, **parameters.get("keywords", {})})
    except Exception as error:
        # Any library may be behind the path, and what it raises is about these arguments.
        raise ValueError(f"calculator {parameters['calculator']} does not start: {error}") from error


def versions(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the versions of ASE and of the distributions that hold the calculator."""
    package = find(parameters["calculator"]).path.partition(":")[0].partition(".")[0]
    distributions = {"ase", *metadata.packages_distributions().get(package, [])}
    if parameters.get("dispersion"):
        distributions.add("dftd3")
    return {name: metadata.version(name) for name in sorted(distributions)}
