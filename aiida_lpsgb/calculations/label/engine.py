"""What every engine that labels configurations has in common, and how engines are found.

An engine is a process, a CalcJob or a work chain, that is registered under an entry point ``lpsgb.label.<name>`` and
derives from :class:`LabelEngine`. A package of its own may bring one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from aiida import orm
from aiida.common.exceptions import LoadingEntryPointError, MissingEntryPointError
from aiida.engine import Process, ProcessBuilder, ProcessSpec
from aiida.plugins.entry_point import get_entry_point_names, load_entry_point

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.levels import Levels
from aiida_lpsgb.typed import meant

PREFIX = "lpsgb.label."
_GROUPS = ("aiida.calculations", "aiida.workflows")
# What is to be installed for the engines of this package that need a plugin of another.
_EXTRAS = {"vasp": "aiida-lpsgb[vasp]"}


class LabelEngine(Process):
    """A process that computes energy, forces and stress of configurations.

    The contract: the input ``configurations`` is labelled; the output ``configurations`` holds those that have a
    label, in their order, with positions and cells unchanged to the last bit; the output ``results`` says at least
    ``n_configurations``, ``n_labelled`` and ``level_of_theory``. Where a configuration is not labelled the exit status
    is not zero. Failures whose exit code is marked ``invalidates_cache`` may pass, and what they left is tried again;
    other failures are final. Energies are those that the forces are the slope of, in eV; forces are in eV/Å, stresses
    in eV/Å³ with ASE's sign. An engine that runs a process for each configuration has an input ``max_concurrent`` and
    is given all configurations at once; any other is given batches.
    """

    #: Entry point of the calculation that a code for this engine is registered for.
    CODE_PLUGIN: ClassVar[str]
    #: Levels of theory that have a name.
    LEVELS: ClassVar[Levels]
    #: Entries of a protocol beside the level of theory, with their values; overrides may name these.
    DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    #: Whether configurations must be periodic along three axes.
    PERIODIC: ClassVar[bool] = True
    #: Whether a job can label configurations of one composition only; `lpsgb.label` splits them so.
    ONE_COMPOSITION: ClassVar[bool] = False

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare what is common to all engines."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Configurations to label.")
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="The configurations that were labelled, in their order; absent if there is none.",
        )
        spec.output(
            "results",
            valid_type=orm.Dict,
            required=False,
            help="`n_configurations`, `n_labelled`, `level_of_theory`, and what the engine adds.",
        )

        spec.inputs.validator = cls.validate_job

    @classmethod
    def validate_job(cls, inputs: Mapping[str, Any], _: Any = None) -> str | None:
        """Refuse configurations that the engine cannot label, or not all at once."""
        error = cls.validate(inputs)
        if error or not cls.ONE_COMPOSITION or "configurations" not in inputs:
            return error
        formulae = inputs["configurations"].formulae
        if len(formulae) == 1:
            return None
        return (
            f"configurations: {len(formulae)} compositions ({', '.join(formulae)}), a job labels one; use lpsgb.label"
        )

    @classmethod
    def validate(cls, inputs: Mapping[str, Any]) -> str | None:
        """Refuse configurations that the engine cannot label, with these inputs.

        `lpsgb.label` asks this of the engine it is given, before anything is submitted.
        """
        if not cls.PERIODIC or "configurations" not in inputs:
            return None
        with inputs["configurations"].open_reader() as reader:
            isolated = [place for place, pbc in enumerate(reader.pbc) if not pbc.all()]
        if isolated:
            return f"configurations: {_places(isolated)} not periodic along all three axes"
        return None

    @classmethod
    def level_of(cls, inputs: Mapping[str, Any]) -> str | None:
        """Name of the level of theory that labels computed with these inputs have, None if it cannot be told."""
        node = inputs.get("level_of_theory")
        return None if node is None else node.value

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        configurations: ConfigurationsData | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder for the level of theory of a protocol.

        Parameters
        ----------
        code
            Code that runs the engine's program.
        configurations
            Configurations to label; left open if not given.
        protocol
            Name of the protocol; the default one if not given.
        overrides
            Entries that replace those of the protocol: ``level``, the name of a level of theory; ``levels``, a YAML
            file with levels of one's own; keys of the level; and the engine's `DEFAULTS`.
        options
            ``metadata.options`` of the jobs.

        Raises
        ------
        ValueError
            If the code is for another plugin, or a protocol, a level or a key is not known.
        """
        plugin = code.default_calc_job_plugin
        if plugin is not None and plugin != cls.CODE_PLUGIN:
            raise ValueError(f"code: {code.full_label} is for {plugin}, this engine needs one for {cls.CODE_PLUGIN}")
        values = cls.get_protocol_inputs(protocol, overrides)
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        cls.fill_builder(builder, code, values, dict(options or {}))
        return builder

    @classmethod
    def get_protocol_inputs(cls, protocol: str | None, overrides: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return ``level`` (a dictionary with its ``name``) and the entries of `DEFAULTS`, with overrides over them."""
        changes = dict(overrides or {})
        levels = cls.LEVELS.extended(changes.pop("levels")) if "levels" in changes else cls.LEVELS
        name = changes.pop("level", None) or levels.of_protocol(protocol)
        unknown = sorted(set(changes) - set(cls.DEFAULTS))
        if unknown:
            there = sorted({"level", "levels", *cls.DEFAULTS})
            entry = f"{unknown[0]!r} is no entry of {cls.__name__}{meant(unknown[:1], there)}"
            raise ValueError(f"override {entry}; there are {', '.join(there)}")
        return {**cls.DEFAULTS, **changes, "level": {"name": name, **levels.get(name)}}

    @classmethod
    def fill_builder(
        cls, builder: ProcessBuilder, code: orm.AbstractCode, values: dict[str, Any], options: dict[str, Any]
    ) -> None:
        """Put code, level of theory and options where the engine wants them.

        Parameters
        ----------
        builder
            Builder of the engine.
        code
            Code of the right plugin.
        values
            What `get_protocol_inputs` returns.
        options
            ``metadata.options`` of the jobs.
        """
        raise NotImplementedError


def _places(places: list[int]) -> str:
    """Name the first few of some places."""
    shown = ", ".join(map(str, places[:5])) + (" …" if len(places) > 5 else "")
    return f"configuration {shown} is" if len(places) == 1 else f"{len(places)} configurations ({shown}) are"


def names(prefix: str = PREFIX) -> list[str]:
    """Return the names of all engines that are registered, whether or not what they need is installed.

    Parameters
    ----------
    prefix
        How their entry points begin.
    """
    found = {name for group in _GROUPS for name in get_entry_point_names(group) if name.startswith(prefix)}
    return sorted(name.removeprefix(prefix) for name in found)


def load(name: str, prefix: str = PREFIX, base: type[Process] = LabelEngine) -> Any:
    """Return an engine.

    Parameters
    ----------
    name
        What follows the prefix in its entry point.
    prefix
        How the entry points of such engines begin.
    base
        What they derive from.

    Raises
    ------
    ValueError
        If there is no such engine, or what it needs is not installed.
    """
    for group in _GROUPS:
        try:
            engine = load_entry_point(group, prefix + name)
        except MissingEntryPointError:
            continue
        except LoadingEntryPointError as error:
            hint = f"; pip install '{_EXTRAS[name]}'" if name in _EXTRAS else ""
            # AiiDA gives the whole traceback as the message.
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(f"engine {name!r} cannot be loaded: {reason}{hint}") from error
        if not (isinstance(engine, type) and issubclass(engine, base)):
            raise ValueError(f"engine {name!r}: {engine.__name__} does not derive from {base.__name__}")
        return engine
    there = names(prefix)
    raise ValueError(f"engine {name!r} is not registered{meant([name], there)}; there are {', '.join(there)}")


def available(prefix: str = PREFIX, base: type[Process] = LabelEngine) -> dict[str, Any]:
    """Return the engines that can be used, by name."""
    found = {}
    for name in names(prefix):
        try:
            found[name] = load(name, prefix, base)
        except ValueError:
            # The plugin it is made for is not installed: an engine that is not there.
            continue
    return found


def expose_engines(
    spec: ProcessSpec, exclude: Collection[str], prefix: str = PREFIX, base: type[Process] = LabelEngine
) -> None:
    """Expose the inputs of all engines that can be used as ``engine.<name>``; those of one of them must be given."""
    there = available(prefix, base)
    for name, engine in there.items():
        options = {"required": False, "populate_defaults": False, "help": f"Inputs of `{prefix}{name}`."}
        spec.expose_inputs(engine, namespace=f"engine.{name}", exclude=exclude, namespace_options=options)

    def one_engine(value: Mapping[str, Any], _: Any) -> str | None:
        given = [name for name, inputs in value.items() if inputs]
        if len(given) == 1:
            return None
        found = f"{len(given)} are given ({', '.join(given)})" if given else "none is given"
        return f"engine: {found}; give the inputs of one engine, such as engine.ase (there are {', '.join(there)})"

    spec.inputs["engine"].validator = one_engine
    spec.inputs["engine"].help = "Inputs of the engine to use, under its name."


def given(engines: Mapping[str, Any]) -> str:
    """Name of the engine whose inputs are given."""
    return next(name for name, inputs in engines.items() if inputs)


def name_of(code: orm.AbstractCode, prefix: str = PREFIX, base: type[Process] = LabelEngine) -> str:
    """Return the name of the engine that a code is for.

    Raises
    ------
    ValueError
        If none is, or the code does not say which plugin it is for.
    """
    plugin = code.default_calc_job_plugin
    engines = available(prefix, base)
    for name, engine in engines.items():
        if plugin == engine.CODE_PLUGIN:
            return name
    known = ", ".join(f"{engine.CODE_PLUGIN} ({name})" for name, engine in engines.items())
    raise ValueError(f"code: {code.full_label} is for {plugin}; engines are there for codes of {known}")


def level_of(engine: Mapping[str, Any] | None) -> str | None:
    """Level of theory of the labels that the inputs of an engine, under its name, stand for; None if not known."""
    return next((load(name).level_of(inputs) for name, inputs in (engine or {}).items() if inputs), None)
