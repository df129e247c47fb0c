"""Builders of `lpsgb.study`: of a new one, and of one that adds systems to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm

from aiida_lpsgb.calculations.functions.recipes import completed, shared
from aiida_lpsgb.calculations.protocols import merged
from aiida_lpsgb.workflows.properties import can_relax
from aiida_lpsgb.workflows.protocols import ProtocolMixin, fill_in, inputs_of_child
from aiida_lpsgb.workflows.study_inputs import CRYSTAL, elements
from aiida_lpsgb.workflows.study_ports import (
    OPTIONAL_CHILDREN,
    ActiveLearningWorkChain,
    GrainBoundaryWorkChain,
    MeltQuenchWorkChain,
    TransportWorkChain,
)

# The work chains that make structures of a kind.
RECIPE_CHILDREN = {"boundary": "grain_boundary", "glass": "melt_quench"}
# What a study that is added to has done already.
ADDED_WITHOUT = (
    *("start_set", "reference_md", "potential", "training_sets", "label", "passive_learning", "active_learning"),
    *("validate", "boundary_parity", "properties", "reference", "thresholds", "returns"),
)


class StudyBuilder(ProtocolMixin):
    """The part of `lpsgb.study` that fills in its inputs."""

    CHILDREN = (
        *("label", "reference_md", "passive_learning", "active_learning"),
        *("boundary_parity", "grain_boundary", "melt_quench", "properties", "transport", "validate"),
    )
    OPEN_ENTRIES = ("mobile", "ordering", "start_set", "potential", "recipes")

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        crystal: orm.CifData | orm.StructureData,
        systems: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        structures: Mapping[str, orm.StructureData] | None = None,
        potentials: Mapping[str, orm.Data] | None = None,
        training_sets: Mapping[str, orm.Data] | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        seed: orm.Int | None = None,
    ) -> Any:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        codes
            By role: `mlp`, `md`, `label`, `analyse`; see `load_codes`. Without learning, `md` and `analyse` are enough;
            cards need `lpsgb-label`, as `label` or, where the labels are another program's, as `relax`.
        crystal
            The crystal, partial occupancies allowed.
        systems
            Recipes by name; what they leave out is that of the protocol for their `kind`. The crystal alone if left
            out.
        structures
            Of systems of kind `structure`, by their names.
        potentials
            To run with; nothing is learned then.
        training_sets
            Labelled configurations to learn from, beside the start set.
        protocol
            `fast`, `moderate` (default) or `paper`.
        overrides
            Replacements for entries of the protocol; entries that bear the name of a work chain take those of its own
            protocol. Unknown keys are refused with their path.
        options
            `metadata.options` by role: `label`, `train`, `select`, `md`, `analyse`.
        seed
            Seed of the study; drawn once and stored where not given.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options)
        builder = cls.get_builder()
        fill_in(builder, crystal=crystal, structures=structures or None)
        builder.seed = seed or cls.draw_seed()
        builder.max_concurrent = orm.Int(values["max_concurrent"])
        builder.ordering = orm.Dict(values["ordering"])
        recipes = cls._recipes(values, systems or {CRYSTAL: {"kind": CRYSTAL}})
        builder.systems = {label: orm.Dict(recipe) for label, recipe in recipes.items()}
        builder.metadata.description = f"{', '.join(recipes)} by protocol {values['protocol']}"
        builder.transport = cls._child(codes, values, "transport", mobile=values["mobile"])
        if values["returns"] and not potentials and "watch" in builder.transport:
            builder.returns = orm.Dict(values["returns"])
        cls._fill_recipes(builder, codes, values, recipes)
        cls._fill_examination(builder, codes, values)
        if potentials:
            builder.potentials = dict(potentials)
            return cls.checked(builder)
        if values["start_set"]:
            builder.start_set = orm.Dict(values["start_set"])
        builder.potential = orm.Dict({"species": elements(crystal), **values["potential"]})
        fill_in(builder, training_sets=training_sets or None)
        if not any(recipe["kind"] == "boundary" for recipe in recipes.values()):
            values["boundary_parity"] = None
        for entry in ("active_learning", "validate", "boundary_parity"):
            values[entry] = None if values[entry] is None else merged({"label": values["label"]}, values[entry])
        if values["reference_md"] is not None:
            engine = {"engine": values["label"].get("engine", {})}
            values["reference_md"] = merged(engine, values["reference_md"])
        for entry in ("label", "reference_md", "passive_learning", "active_learning", "validate", "boundary_parity"):
            if values[entry] is not None:
                builder[entry] = cls._child(codes, values, entry)
        engine = builder.label._inputs(prune=True).get("engine", {}).get("ase")
        if engine and "thresholds" in builder._inputs(prune=True):
            builder.reference = engine["parameters"]
        return cls.checked(builder)

    @classmethod
    def get_builder_adding(
        cls,
        study: orm.WorkChainNode,
        systems: Mapping[str, Mapping[str, Any]],
        *,
        structures: Mapping[str, orm.StructureData] | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Any:
        """Builder of a study that has further systems beside those of a finished one, with its potentials.

        With caching on (as `aiida-lpsgb quicksetup` sets it) only the new systems are computed.

        Parameters
        ----------
        study
            A study that has learned potentials, or was given some.
        systems
            The new recipes.
        structures
            Of new systems of kind `structure`, by their names.
        protocol, overrides
            As of `get_builder_from_protocol`; they concern the new recipes and what makes them alone.

        Raises
        ------
        ValueError
            If the study has no potentials, or as of `get_builder_from_protocol`.
        """
        values = cls.get_protocol_inputs(protocol, overrides)
        recipes = cls._recipes(values, systems)
        builder = study.get_builder_restart()
        places = study.inputs, study.outputs, last_learning(study)
        ports = ("potentials", "active_sets")
        learned, active_sets = (next((dict(p[port]) for p in places if port in p), None) for port in ports)
        if learned is None:
            raise ValueError(f"{study.process_label}<{study.pk}> has learned no potentials and was given none")
        builder.potentials = learned
        if "watch" in study.inputs.transport and active_sets:
            builder.transport.active_sets = active_sets
        for port in ADDED_WITHOUT:
            if port in study.inputs:
                delattr(builder, port)
        builder.systems = {**study.inputs.systems, **{label: orm.Dict(recipe) for label, recipe in recipes.items()}}
        if structures:
            builder.structures = {**(study.inputs.structures if "structures" in study.inputs else {}), **structures}
        codes = {"md": study.inputs.transport.md.md.code}
        missing = {
            label: recipe
            for label, recipe in recipes.items()
            if (port := RECIPE_CHILDREN.get(recipe.get("kind"))) is not None and port not in study.inputs
        }
        cls._fill_recipes(builder, codes, values, missing)
        builder.metadata.description = f"{', '.join(recipes)} added to {study.process_label}<{study.pk}>"
        return cls.checked(builder)

    @classmethod
    def _recipes(cls, values: Mapping[str, Any], systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """Recipes with what they leave out."""
        relaxed = GrainBoundaryWorkChain.get_protocol_inputs(
            values["protocol"], values["grain_boundary"], path="grain_boundary."
        )
        glass = MeltQuenchWorkChain.get_protocol_inputs(values["protocol"], values["melt_quench"], path="melt_quench.")
        defaults = {"boundary": {"run": relaxed["boundary"]}, "glass": {"amorphous": glass["amorphous"]}}
        defaults = merged(defaults, values["recipes"])
        return {name: completed(recipe, defaults.get(recipe.get("kind"), {})) for name, recipe in systems.items()}

    @classmethod
    def _fill_recipes(
        cls, builder: Any, codes: Mapping[str, Any], values: Mapping[str, Any], recipes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Put the inputs of the work chains that these recipes need into a builder."""
        for kind, port in RECIPE_CHILDREN.items():
            first = next((recipe for recipe in recipes.values() if recipe.get("kind") == kind), None)
            if first is not None:
                own = {"boundary": shared(first)} if kind == "boundary" else {"amorphous": first["amorphous"]}
                builder[port] = cls._child(codes, values, port, **own)

    @classmethod
    def _fill_examination(cls, builder: Any, codes: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Put the inputs of what the cards show into a builder, where they are wanted.

        By default they are where there is a code for them.
        """
        if values["properties"] is None or (not values["properties"] and not can_relax(codes)):
            return
        builder.properties = cls._child(codes, values, "properties")
        limits = {name: limit for name, limit in values["thresholds"].items() if limit is not None}
        builder.thresholds = orm.Dict(limits)
        builder.go_on_anyway = orm.Bool(values["go_on_anyway"])

    @classmethod
    def _child(cls, codes: Mapping[str, Any], values: Mapping[str, Any], entry: str, **more: Any) -> dict[str, Any]:
        """What the builder of a child holds, but for what the study fills in."""
        child, filled_in = (TransportWorkChain, ("seed",)) if entry == "transport" else OPTIONAL_CHILDREN[entry][:2]
        inputs = inputs_of_child(child, codes, values, entry, **more)
        return {port: value for port, value in inputs.items() if port not in filled_in}


def last_learning(study: orm.WorkChainNode) -> Any:
    """Outputs of the last learning of a study that ended well, for a study that did not come to its own end."""
    kind = ActiveLearningWorkChain.build_process_type()
    done = [node for node in study.called if node.process_type == kind and node.is_finished_ok]
    return max(done, key=lambda node: node.ctime).outputs if done else {}
