"""The registry of observables: what a trajectory can be asked for.

Each module of this package that has one declares it once, as ``OBSERVABLE`` (or several, as ``OBSERVABLES``): its name,
its parameters, the function that computes it, its headline numbers, its rows in a table and the caption of its figure.
The program ``lpsgb-analyse``, the calculation of that name, the protocols, tables and figures read them from here, so a
new observable touches its own module, its figure (`report/figures`) and its test.

A parameter's default and description are those of the function that it is handed to; its unit ends its name.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from aiida_lpsgb.analysis.regions import Region, region_from_dict
from aiida_lpsgb.analysis.trajectory import Trajectory
from aiida_lpsgb.typed import meant

REQUIRED = inspect.Parameter.empty
"""Default of a parameter that must be given."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
"""Names of regions and variants: they become names of outputs."""


# ---- parameters ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """What the value of a parameter may be.

    Attributes
    ----------
    expected
        In words, to follow "expected".
    accepts
        Whether a value is of this kind.
    species
        The chemical symbols that a value names.
    region
        Whether a value is the name of a region.
    """

    expected: str
    accepts: Callable[[Any], bool]
    species: Callable[[Any], Iterable[str]] = lambda value: ()
    region: bool = False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_symbol(value: Any) -> bool:
    return isinstance(value, str) and atomic_numbers.get(value, 0) > 0


def _is_list(value: Any, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(accepts, value))


def _is_bond(value: Any) -> bool:
    ends = value.split("-") if isinstance(value, str) else []
    return len(ends) == 2 and all(map(_is_symbol, ends))


def _ends(bonds: Iterable[str]) -> set[str]:
    return {end for bond in bonds for end in bond.split("-")}


def _is_frame(value: Any) -> bool:
    try:
        rows = np.asarray(value, float)
    except (TypeError, ValueError):
        return False
    return rows.shape == (3, 3) and np.allclose(rows @ rows.T, np.eye(3), atol=1e-6)


POSITIVE = Kind("a positive number", lambda v: _is_number(v) and v > 0)
NOT_NEGATIVE = Kind("a number of at least 0", lambda v: _is_number(v) and v >= 0)
CHARGE = Kind("a charge number other than 0", lambda v: _is_number(v) and v != 0)
COUNT = Kind("an integer of at least 1", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
SPECIES = Kind("a chemical symbol such as 'Li'", _is_symbol, lambda v: (v,))
SPECIES_LIST = Kind("a list of chemical symbols", lambda v: len(v) == 0 or _is_list(v, _is_symbol), tuple)
PAIRS = Kind("a list of pairs such as ['Li-S', 'P-S']", lambda v: _is_list(v, _is_bond), _ends)
BOND_LENGTHS = Kind(
    "a dictionary of positive lengths such as {'P-P': 2.5}",
    lambda v: isinstance(v, Mapping) and all(_is_bond(b) and POSITIVE.accepts(r) for b, r in v.items()),
    _ends,
)
WINDOW = Kind(
    "two ascending times of at least 0", lambda v: _is_list(v, NOT_NEGATIVE.accepts) and len(v) == 2 and v[0] < v[1]
)
FRAME = Kind("three orthonormal directions in rows", _is_frame)
REGION = Kind("the name of a region", lambda v: isinstance(v, str), region=True)
REGIONS = Kind("a list of names of regions", lambda v: _is_list(v, lambda n: isinstance(n, str)), region=True)
REFERENCE = Kind(
    "'framework', a chemical symbol or a list of them",
    lambda v: v == "framework" or _is_symbol(v) or _is_list(v, _is_symbol),
    lambda v: () if v == "framework" else (v,) if isinstance(v, str) else tuple(v),
)


def one_of(*words: str) -> Kind:
    """The kind of a choice between words."""
    return Kind(f"one of {', '.join(words)}", lambda v: v in words)


def some_of(*words: str) -> Kind:
    """The kind of a list of some words."""
    return Kind(f"a list of some of {', '.join(words)}", lambda v: _is_list(v, words.__contains__))


@dataclass(frozen=True)
class Parameter:
    """A parameter of an observable: its kind, its default (:data:`REQUIRED` if there is none) and what it means."""

    kind: Kind
    default: Any = REQUIRED
    help: str = ""

    def error(self, value: Any) -> str | None:
        """What is wrong with a value, None if nothing is."""
        if value is None and self.default is None:
            return None
        try:
            fits = self.kind.accepts(value)
        except TypeError:
            fits = False
        return None if fits else f"is {value!r}, expected {self.kind.expected}"


def parameters_of(function: Callable[..., Any], **kinds: Kind) -> dict[str, Parameter]:
    """Parameters of these kinds, with the defaults and descriptions that a function has for them.

    Parameters
    ----------
    function
        With a NumPy docstring.
    **kinds
        By name of the parameter; each must be one of the function's.
    """
    signature, described = inspect.signature(function).parameters, _descriptions(function)
    parameters = {}
    for name, kind in kinds.items():
        default = signature[name].default
        default = list(default) if isinstance(default, tuple) else default
        parameters[name] = Parameter(kind, default, described.get(name, ""))
    return parameters


def _descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """What the section Parameters of a NumPy docstring says of each."""
    text = inspect.getdoc(function) or ""
    _, _, section = text.partition("Parameters\n----------\n")
    section = re.split(r"\n\n\w+\n-+\n", section)[0]
    described = {}
    for names, body in re.findall(r"^(\S[^\n]*)\n((?:[ ]+[^\n]*\n?)+)", section, re.MULTILINE):
        for name in names.split(", "):
            described[name] = re.sub(r"``|:\w+:`~?([^`]*)`", r"\1", " ".join(body.split()))
    return described


# ---- observables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Context:
    """What an observable may use beside its parameters: named regions, the run's temperature (K) and threads."""

    regions: Mapping[str, Region] = field(default_factory=dict)
    temperature_K: float | None = None
    threads: int = 1

    def region(self, name: str | None) -> Region | None:
        """A region by its name; None for None."""
        return None if name is None else self.regions[name]


@dataclass(frozen=True)
class Outcome:
    """What an observable found: numbers of JSON's types with the unit in each key, and arrays by name.

    A number that is missing is None; in an array it is NaN.
    """

    scalars: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes
    ----------
    quantity
        What it is, with its unit.
    value, error
        The number and its standard error, None if missing.
    form
        Format of both, such as ``.3f``.
    reference
        Where its published value stands among references: a name, or a name and a key.
    """

    quantity: str
    value: float | None
    error: float | None = None
    form: str = ".3g"
    reference: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observable:
    """One thing that a trajectory can be asked for.

    Attributes
    ----------
    name
        By which it is asked for, and that of its output.
    order
        Its place in tables.
    summary
        What it is, in one sentence.
    parameters
        By name.
    compute
        Called with the trajectory, all parameters and the :class:`Context`; returns an :class:`Outcome`, or several
        by a label each (an output each).
    headline
        Which of the numbers are its headline: names of scalars.
    rows
        Lines of a table from the headline numbers (those of one outcome) and its label, which is empty if there is one
        outcome alone.
    captions
        Of its figures, by a part of their names that is empty for the first.
    node
        What an outcome becomes: ``arrays`` or ``diffusivity``.
    variants
        Whether it takes a dictionary of variants by name, each with parameters of its own.
    needs_regions
        Whether it makes no sense without named regions.
    """

    name: str
    order: int
    summary: str
    parameters: Mapping[str, Parameter]
    compute: Callable[[Trajectory, Mapping[str, Any], Context], Outcome | dict[str, Outcome]]
    headline: Sequence[str]
    rows: Callable[[Mapping[str, Any], str], list[Row]]
    captions: Mapping[str, str]
    node: str = "arrays"
    variants: bool = False
    needs_regions: bool = False

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters with defaults filled in."""
        defaults = {name: p.default for name, p in self.parameters.items() if p.default is not REQUIRED}
        return defaults | dict(given)

    def error(self, given: Any, regions: Iterable[str] | None, species: Iterable[str] | None = None) -> str | None:
        """What is wrong with parameters, by the path below the observable's; None if nothing is.

        Parameters
        ----------
        given
            The parameters.
        regions
            Names of the regions that there are; not looked at if None.
        species
            Symbols in the trajectory; not looked at if None.
        """
        if not isinstance(given, Mapping):
            return f": expected a dictionary of parameters, found {given!r}"
        if unknown := sorted(set(given) - set(self.parameters)):
            near = meant(unknown[:1], self.parameters)
            return f".{unknown[0]}: there is no such parameter{near}; there are {', '.join(sorted(self.parameters))}"
        for name, parameter in self.parameters.items():
            if name not in given:
                if parameter.default is REQUIRED:
                    return f".{name}: is missing; give {parameter.kind.expected}"
                continue
            if message := parameter.error(given[name]):
                return f".{name}: {message}"
            if message := _name_error(parameter.kind, given[name], regions, species):
                return f".{name}: {message}"
        if self.needs_regions and regions is not None and not set(regions):
            return ": needs named regions; give some in `regions`, or null here"
        return None


def _name_error(kind: Kind, value: Any, regions: Iterable[str] | None, species: Iterable[str] | None) -> str | None:
    """A region or a species that is not there."""
    if value is None:
        return None
    wanted = ({value} if isinstance(value, str) else set(value)) if kind.region else set()
    if regions is not None and (missing := sorted(wanted - set(regions))):
        return f"there is no region {missing[0]!r}; there are {', '.join(sorted(regions)) or 'none'}"
    if species is not None and (missing := sorted(set(kind.species(value)) - set(species))):
        return f"no {', '.join(missing)} in the trajectory, which has {', '.join(sorted(set(species)))}"
    return None


# ---- the registry --------------------------------------------------------------------------------------------------


@cache
def registry() -> dict[str, Observable]:
    """Every observable by name, in the order of tables: those that the modules of this package declare."""
    package = import_module("aiida_lpsgb.analysis")
    found: list[Observable] = []
    for module in iter_modules(package.__path__):
        if not module.name.startswith("_"):
            declared = import_module(f"{package.__name__}.{module.name}")
            found += getattr(declared, "OBSERVABLES", [])
            found += [declared.OBSERVABLE] if hasattr(declared, "OBSERVABLE") else []
    return {observable.name: observable for observable in sorted(found, key=lambda o: o.order)}


def regions_of(definitions: Mapping[str, Any] | None) -> dict[str, Region]:
    """Regions from their definitions by name.

    Raises
    ------
    ValueError
        Which names the region.
    """
    regions = {}
    for name, values in (definitions or {}).items():
        if not NAME.fullmatch(name):
            raise ValueError(f"regions.{name}: a name is letters and digits, with single underscores between")
        try:
            regions[name] = region_from_dict(values)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"regions.{name}: {error}") from None
    return regions


def asked(parameters: Mapping[str, Any]) -> Iterator[tuple[Observable, str, Mapping[str, Any]]]:
    """The observables that parameters ask for: each with the name of the variant (empty without) and its parameters.

    What is None is not wanted.
    """
    for observable in registry().values():
        given = parameters.get(observable.name)
        if given is None:
            continue
        if observable.variants:
            yield from ((observable, name, values) for name, values in sorted(given.items()) if values is not None)
        else:
            yield observable, "", given


def parameters_error(
    parameters: Mapping[str, Any], regions: Mapping[str, Any] | None = None, species: Iterable[str] | None = None
) -> str | None:
    """The first thing wrong with what is asked for, with its path and what is right; None if all is well.

    Parameters
    ----------
    parameters
        By observable; see :func:`asked`.
    regions
        Definitions by name; neither they nor their names are looked at if None.
    species
        Symbols in the trajectory; not looked at if None.
    """
    known = registry()
    for name, given in parameters.items():
        if name not in known:
            return f"parameters.{name}: there is no such observable{meant([name], known)}; there are {', '.join(known)}"
        if given is not None and known[name].variants:
            if not isinstance(given, Mapping):
                return f"parameters.{name}: expected a dictionary of variants by name, found {given!r}"
            for variant in given:
                if not NAME.fullmatch(variant):
                    return f"parameters.{name}.{variant}: a name is letters and digits, with single underscores between"
    try:
        there = None if regions is None else regions_of(regions)
    except ValueError as error:
        return str(error)
    for observable, variant, given in asked(parameters):
        path = f"parameters.{observable.name}" + (f".{variant}" if variant else "")
        if message := observable.error(given, there, species):
            return path + message
    if not any(True for _ in asked(parameters)):
        return f"parameters: nothing is asked for; there are {', '.join(known)}"
    return None
