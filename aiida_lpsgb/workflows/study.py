"""From a crystal to a table of how fast ions move in it, its glass and its boundaries: `lpsgb.study`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_
from aiida.plugins import CalculationFactory

from aiida_lpsgb.calculations.functions.active_learning import FIRST
from aiida_lpsgb.calculations.functions.sweep import potential_at_fault
from aiida_lpsgb.calculations.label.engine import level_of
from aiida_lpsgb.workflows.outputs import RefusedError, how_it_ended, leaves, made_by, named, namespace_of
from aiida_lpsgb.workflows.queue import QueueMixin
from aiida_lpsgb.workflows.study_builder import StudyBuilder
from aiida_lpsgb.workflows.study_inputs import CRYSTAL, PARITY, PROPERTIES, RECIPE, REFERENCE, VALIDATION
from aiida_lpsgb.workflows.study_ports import (
    ActiveLearningWorkChain,
    BoundaryParityWorkChain,
    ConfigurationsData,
    GrainBoundaryWorkChain,
    LabelWorkChain,
    MeltQuenchWorkChain,
    PassiveLearningWorkChain,
    PropertiesWorkChain,
    ReferenceMdWorkChain,
    TransportWorkChain,
    ValidateWorkChain,
    define_exit_codes,
    define_inputs,
    define_outputs,
)
from aiida_lpsgb.workflows.sweep import outcomes_of

add_core = CalculationFactory("lpsgb.add_core")
bicrystal = CalculationFactory("lpsgb.bicrystal")
derive_seeds = CalculationFactory("lpsgb.derive_seeds")
interface = CalculationFactory("lpsgb.interface")
make_start_set = CalculationFactory("lpsgb.start_set")
make_supercell = CalculationFactory("lpsgb.supercell")
name_regions = CalculationFactory("lpsgb.name_regions")
make_card = CalculationFactory("lpsgb.properties.card")
observe_region = CalculationFactory("lpsgb.observe_region")
order = CalculationFactory("lpsgb.order")
pick_candidates = CalculationFactory("lpsgb.learning.candidates")
read_recipe = CalculationFactory("lpsgb.read_recipe")
tabulate = CalculationFactory("lpsgb.tabulate")
untrained_potential = CalculationFactory("lpsgb.potential.untrained")

TESTS = {VALIDATION: "validation", PARITY: "parity"}
"""What a production calls the tests of its potentials, by the names of their processes."""
TRAINING = "aiida.calculations:lpsgb.mlp.train"
SEEDED = (
    *("ordering", "start_set", "reference_md", "passive_learning", "potential", "exploration"),
    *("properties", "validation"),
)


class StudyWorkChain(StudyBuilder, QueueMixin):
    """Order a crystal, learn potentials for it, make every system that is asked for, and run each of them.

    A system is a recipe for a structure: the crystal, a grain boundary, a glass, an interface of two of these, or a
    structure that is given. One that fails leaves the results of the others.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        define_inputs(spec)
        cls.limit_queue(spec, "Systems worked on")
        spec.outline(
            cls.build_structures,
            if_(cls.has_to_learn)(
                cls.label_start_set,
                cls.label_reference,
                cls.inspect_labels,
                if_(cls.has_grid)(cls.try_grid, cls.inspect_grid),
                cls.learn,
                cls.inspect_learning,
            ).else_(cls.take_potentials),
            while_(cls.has_to_produce)(
                if_(cls.has_to_examine)(cls.examine, while_(cls.queue_waits)(cls.run_queue), cls.deal_cards),
                cls.queue_systems,
                while_(cls.queue_waits)(cls.run_queue),
                cls.inspect_systems,
                if_(cls.goes_back)(cls.learn_again, cls.inspect_learning_again),
            ),
            cls.finish,
        )
        define_outputs(spec)
        define_exit_codes(spec)

    # --- structures and potentials --------------------------------------------------------------------------------

    def has_to_learn(self) -> bool:
        """Whether there are no potentials yet."""
        return not self.inputs.get("potentials")

    def build_structures(self) -> ExitCode | None:
        """Order the crystal, read the recipes, and build the small cells that are learned from."""
        returns = range(1, self.inputs.returns["max_returns"] + 1) if "returns" in self.inputs else ()
        names = [*SEEDED, *(f"return_{k}" for k in returns), *(f"system_{name}" for name in self.inputs.systems)]
        self.ctx.seeds = derive_seeds(self.inputs.seed, orm.List(names))
        self.ctx.recipes = {name: dict(read_recipe(recipe)) for name, recipe in self.inputs.systems.items()}
        self.ctx.small, self.ctx.starts, self.ctx.tested = {}, {}, []
        self.ctx.n_returns, self.ctx.stuck, self.ctx.examined = 0, None, {}
        self.ctx.production, self.ctx.before = None, None
        try:
            ordered = made_by(order, self.inputs.crystal, self.inputs.ordering, self.ctx.seeds["ordering"])
            self.ctx.crystal = ordered["structure"]
            if self.has_to_learn():
                self._build_small_cells({"best": self.ctx.crystal, **ordered.get("others", {})})
        except RefusedError as error:
            return self.exit_codes.ERROR_STRUCTURES_FAILED.format(detail=error)
        self.out("structure", self.ctx.crystal)
        self.report(f"{self.ctx.crystal.get_formula()}: systems {', '.join(self.inputs.systems)}")
        return None

    def _build_small_cells(self, candidates: Mapping[str, orm.StructureData]) -> None:
        """Build the cells that are explored, those of the start set, and name those that potentials are tested on."""
        self.ctx.starts = dict(candidates)
        for name, recipe in self.ctx.recipes.items():
            if "learn" not in recipe:
                continue
            if self._kind(name) == "boundary":
                built = made_by(bicrystal, self.ctx.crystal, recipe["learn"], parent=self.inputs.crystal)
                self.ctx.small[name] = self.ctx.starts[name] = built["structure"]
                self.ctx.tested.append(name)
            elif self._kind(name) == CRYSTAL:
                for label, structure in candidates.items():
                    self.ctx.small[f"{name}_{label}"] = made_by(make_supercell, structure, recipe["learn"])
                self.ctx.tested.append(f"{name}_best")
            else:
                self.ctx.small[name] = made_by(make_supercell, self.ctx.crystal, recipe["learn"])

    def label_start_set(self) -> ExitCode | ToContext:
        """Label strained and rattled configurations, and let the label engine move and relax, where it is wanted."""
        begun = {}
        if "start_set" in self.inputs:
            try:
                seed = self.ctx.seeds["start_set"]
                configurations = made_by(make_start_set, self.inputs.start_set, seed, **self.ctx.starts)
            except RefusedError as error:
                return self.exit_codes.ERROR_STRUCTURES_FAILED.format(detail=error)
            self.report(f"{len(configurations)} configurations of {', '.join(self.ctx.starts)} to start with")
            begun["labelling"] = self._label(configurations)
        if self.inputs.get("reference_md"):
            inputs = self.exposed_inputs(ReferenceMdWorkChain, namespace="reference_md")
            inputs.structure = self.ctx.crystal
            inputs.seed = self.ctx.seeds["reference_md"]
            begun["reference_md"] = self.submit(ReferenceMdWorkChain, **inputs)
        if self.has_to_examine() and "reference" in self.inputs:
            inputs = self._properties_inputs(parameters=self.inputs.reference)
            begun["reference"] = self.submit(PropertiesWorkChain, **named(PROPERTIES + REFERENCE, inputs))
        return ToContext(**begun)

    def _label(self, configurations: ConfigurationsData) -> orm.WorkChainNode:
        inputs = self.exposed_inputs(LabelWorkChain, namespace="label")
        inputs.configurations = configurations
        return self.submit(LabelWorkChain, **inputs)

    def label_reference(self) -> ExitCode | ToContext | None:
        """Label the frames of the dynamics again where these had another level of theory than the labels."""
        self.ctx.training_sets = dict(self.inputs.get("training_sets", {}))
        dynamics = self.ctx.get("reference_md")
        if dynamics is None:
            return None
        if "configurations" not in dynamics.outputs:
            return self.exit_codes.ERROR_REFERENCE_FAILED.format(detail=how_it_ended(dynamics))
        frames = dynamics.outputs.configurations
        self.report(f"{len(frames)} frames of dynamics by {frames.level_of_theory} to start with, too")
        if frames.level_of_theory != level_of(self.inputs.label.engine):
            return ToContext(relabelling=self._label(frames))
        self.ctx.training_sets["reference"] = frames
        return None

    def inspect_labels(self) -> ExitCode | None:
        """Take what there is to learn from."""
        self.ctx.potential = self.inputs.potential
        for name, labelling in (("start", "labelling"), ("reference", "relabelling")):
            if labelling not in self.ctx:
                continue
            node = self.ctx[labelling]
            if "configurations" not in node.outputs:
                return self.exit_codes.ERROR_LABELLING_FAILED.format(detail=how_it_ended(node))
            self.ctx.training_sets[name] = node.outputs.configurations
        return self._take_rest() if "reference" in self.ctx else None

    def _take_rest(self) -> ExitCode | None:
        """Learn from what the label engine has relaxed, too: nothing else is as close to rest."""
        node = self.ctx.reference
        if not node.is_finished_ok:
            return self.exit_codes.ERROR_PROPERTIES_FAILED.format(detail=how_it_ended(node))
        self.ctx.examined[REFERENCE] = node
        for name in ("relaxed", "strained"):
            if node.outputs[name].level_of_theory == level_of(self.inputs.label.engine):
                self.ctx.training_sets[name] = node.outputs[name]
        return None

    def has_grid(self) -> bool:
        """Whether level and cut-off are to be chosen."""
        return bool(self.inputs.get("passive_learning"))

    def try_grid(self) -> ToContext:
        """Try potentials of several levels and cut-offs on what is labelled."""
        inputs = self.exposed_inputs(PassiveLearningWorkChain, namespace="passive_learning")
        inputs.training_sets = self.ctx.training_sets
        inputs.structure = self.ctx.crystal
        inputs.potential = self.inputs.potential
        inputs.seed = self.ctx.seeds["passive_learning"]
        return ToContext(grid=self.submit(PassiveLearningWorkChain, **inputs))

    def inspect_grid(self) -> ExitCode | None:
        """Take the level and cut-off that were chosen; of points that failed the choice is among the others."""
        grid = self.ctx.grid
        self.out_many(self.exposed_outputs(grid, PassiveLearningWorkChain, namespace="passive_learning"))
        if "parameters" not in grid.outputs:
            return self.exit_codes.ERROR_CHOICE_FAILED.format(detail=how_it_ended(grid))
        if not grid.is_finished_ok:
            self.report(f"some points of the grid failed, going on with the others: {grid.exit_message}")
        self.ctx.potential = grid.outputs.parameters
        return None

    def learn(self) -> ToContext:
        """Learn the potentials actively."""
        untrained = untrained_potential(self.ctx.potential, self.ctx.seeds["potential"])
        return ToContext(learning=self._learn(untrained, self.ctx.training_sets, self.ctx.seeds["exploration"]))

    def _learn(
        self, potential: orm.Data, training_sets: Mapping[str, orm.Data], seed: orm.Int, **more: Any
    ) -> orm.WorkChainNode:
        inputs = self.exposed_inputs(ActiveLearningWorkChain, namespace="active_learning")
        inputs.potential = potential
        inputs.training_sets = dict(training_sets)
        inputs.structures = self.ctx.small
        inputs.explorations = {
            name: recipe["explore"] for name, recipe in self.ctx.recipes.items() if "explore" in recipe
        }
        inputs.seed = seed
        return self.submit(ActiveLearningWorkChain, **{**inputs, **more})

    def inspect_learning(self) -> ExitCode | None:
        """Take what was learned."""
        learning = self.ctx.learning
        if not learning.is_finished_ok:
            self.out_many(self.exposed_outputs(learning, ActiveLearningWorkChain))
            return self.exit_codes.ERROR_LEARNING_FAILED.format(detail=how_it_ended(learning))
        self._produce_with(namespace_of(learning, "potentials"), namespace_of(learning, "active_sets"), learning)
        return None

    def take_potentials(self) -> None:
        """Take the potentials that were given."""
        self._produce_with(dict(self.inputs.potentials), {})

    # --- production -----------------------------------------------------------------------------------------------

    def _produce_with(
        self,
        potentials: Mapping[str, orm.Data],
        active_sets: Mapping[str, orm.Data],
        learning: orm.WorkChainNode | None = None,
    ) -> None:
        """Begin a production; nothing of it is an output before it is known to be the last."""
        self.ctx.potentials, self.ctx.active_sets = dict(potentials), dict(active_sets)
        self.ctx.before = self.ctx.production
        nothing = {name: {} for name in ("properties", "cards", "structures", "made", "sweeps", "failed")}
        self.ctx.production = {"learning": learning, **nothing, "validation": None, "parity": None, "table": None}
        self.ctx.to_produce = True

    def has_to_produce(self) -> bool:
        """Whether there are potentials that nothing was run with yet."""
        return self.ctx.to_produce

    def _hand_on(self, production: Mapping[str, Any]) -> None:
        """Attach all that a production has given, and the learning of its potentials."""
        if production["learning"] is not None:
            self.out_many(self.exposed_outputs(production["learning"], ActiveLearningWorkChain))
        for name, card in production["cards"].items():
            self.out(f"cards.{name}", card)
        for namespace, processes in (("properties", production["properties"]), ("systems", production["sweeps"])):
            for name, process in processes.items():
                for path, output in leaves(process.outputs, f"{namespace}.{name}"):
                    self.out(path, output)
        if (validation := production["validation"]) is not None:
            if "test_set" in validation.outputs:
                self.out("test_set", validation.outputs.test_set)
            for path, errors in leaves(namespace_of(validation, "errors"), "test_errors"):
                self.out(path, errors)
        if (parity := production["parity"]) is not None and "energies" in parity.outputs:
            self.out("boundary_energies", parity.outputs.energies)
        for name, structure in production["structures"].items():
            self.out(f"systems.{name}.structure", structure)
        for name, results in production["made"].items():
            self.out(f"systems.{name}.recipe", results)
        if production["table"] is not None:
            self.out("table", production["table"])

    # --- cards ----------------------------------------------------------------------------------------------------

    def has_to_examine(self) -> bool:
        """Whether the potentials are examined before anything is run."""
        return bool(self.inputs.get("properties"))

    def examine(self) -> None:
        """Queue the properties of the crystal by every potential and by the reference, and the tests."""
        self.open_queue()
        for name, potential in sorted(self.ctx.potentials.items()):
            self.enqueue(PROPERTIES + name, PropertiesWorkChain, self._properties_inputs(potential=potential))
        if "reference" in self.inputs and REFERENCE not in self.ctx.examined:
            inputs = self._properties_inputs(parameters=self.inputs.reference)
            self.enqueue(PROPERTIES + REFERENCE, PropertiesWorkChain, inputs)
        self._queue_tests()

    def _properties_inputs(self, **examined: orm.Data) -> AttributeDict:
        inputs = self.exposed_inputs(PropertiesWorkChain, namespace="properties")
        inputs.structure = self.ctx.crystal
        inputs.seed = self.ctx.seeds["properties"]
        inputs.relax.update(examined)
        if "potential" not in examined:
            inputs.pop("drift", None)
        return inputs

    def deal_cards(self) -> ExitCode | None:
        """Give every potential its card; one that does not pass ends the study unless it is told to go on."""
        examined = self.ctx.production["properties"]
        if REFERENCE in self.ctx.examined:
            examined[REFERENCE] = self.ctx.examined[REFERENCE]
        for label, node in self.ctx.children.items():
            if label.startswith(PROPERTIES):
                examined[label.removeprefix(PROPERTIES)] = node
        self.ctx.examined = examined
        if failed := [how_it_ended(node) for node in examined.values() if not node.is_finished_ok]:
            return self._give_up(self.exit_codes.ERROR_PROPERTIES_FAILED.format(detail="; ".join(failed)))
        unfit = []
        for name in sorted(self.ctx.potentials):
            own = named(f"card_{name}", self._known_of(name, examined))
            card = make_card(self.inputs.thresholds, **own)
            self.ctx.production["cards"][name] = card
            self.report(f"{name}: {'passes' if card['passed'] else '; '.join(card['reasons'])}")
            if not card["passed"]:
                unfit.append(f"{name}: {'; '.join(card['reasons'])}")
        if unfit and not self.inputs.go_on_anyway.value:
            return self._give_up(self.exit_codes.ERROR_POTENTIAL_UNFIT.format(detail=" | ".join(unfit)))
        return None

    def _give_up(self, code: ExitCode) -> ExitCode:
        """End before a production; the results of the one before, if there was one, are kept."""
        if self.ctx.before is None:
            self._hand_on(self.ctx.production)
            return code
        self._hand_on(self.ctx.before)
        return self.exit_codes.ERROR_RETURN_FAILED.format(share=self._said(self.ctx.before), detail=code.message)

    def _known_of(self, name: str, examined: Mapping[str, orm.ProcessNode]) -> dict[str, orm.Dict]:
        """What there is to hold against the thresholds."""
        known = {"properties": examined[name].outputs.results}
        if "drift" in examined[name].outputs:
            known["drift"] = examined[name].outputs.drift
        if REFERENCE in examined and "reference" in self.inputs:
            known["reference"] = examined[REFERENCE].outputs.results
        training = self.ctx.potentials[name].creator
        if training is not None and training.process_type == TRAINING and "results" in training.outputs:
            known["training"] = training.outputs.results
        validation = self.ctx.production["validation"]
        if validation is not None and name in namespace_of(validation, "errors"):
            known["test"] = validation.outputs.errors[name]
        if (parity := self.ctx.production["parity"]) is not None and name in namespace_of(parity, "errors"):
            known["boundaries"] = parity.outputs.errors[name]
        return known

    # --- systems --------------------------------------------------------------------------------------------------

    def queue_systems(self) -> None:
        """Begin with every system that needs nothing of another, and with the test of the potentials."""
        self.open_queue()
        if not self.has_to_examine():
            self._queue_tests()
        for name in self.inputs.systems:
            getattr(self, f"_make_{self._kind(name)}")(name)

    def child_ended(self, label: str, node: orm.ProcessNode) -> None:
        """Run a structure that is made; what waits for it is made, too."""
        if label in TESTS:
            self.ctx.production[TESTS[label]] = node
        if label in TESTS or label.startswith(PROPERTIES):
            return
        name = label.removeprefix(RECIPE)
        if not node.is_finished_ok:
            self._fail(name, how_it_ended(node))
        if label == name:
            self.ctx.production["sweeps"][name] = node
        elif node.is_finished_ok:
            if self._kind(name) == "boundary":
                self._run_boundary(name, node.outputs.structure, node.outputs.results)
            else:
                self._run(name, node.outputs.structure, node.outputs.amorphous)

    def _make_crystal(self, name: str) -> None:
        try:
            structure = made_by(make_supercell, self.ctx.crystal, self.ctx.recipes[name]["run"])
        except RefusedError as error:
            self._fail(name, str(error))
        else:
            self._run(name, structure)

    def _make_structure(self, name: str) -> None:
        self._run(name, self.inputs.structures[name])

    def _make_boundary(self, name: str) -> None:
        inputs = self._recipe_inputs(GrainBoundaryWorkChain, "grain_boundary", name)
        inputs.boundary = self.ctx.recipes[name]["run"]
        inputs.parent = self.inputs.crystal
        self.enqueue(RECIPE + name, GrainBoundaryWorkChain, inputs)

    def _make_glass(self, name: str) -> None:
        inputs = self._recipe_inputs(MeltQuenchWorkChain, "melt_quench", name)
        inputs.supercell = self.ctx.recipes[name]["run"]
        inputs.amorphous = self.ctx.recipes[name]["amorphous"]
        self.enqueue(RECIPE + name, MeltQuenchWorkChain, inputs)

    def _make_interface(self, name: str) -> None:
        """Join the glass, once there is one, to the crystal."""
        glass, structures = self.inputs.systems[name]["glass"], self.ctx.production["structures"]
        if glass in self.ctx.production["failed"]:
            self._fail(name, f"it waits for {glass}, which failed")
        elif glass in structures:
            try:
                parameters = self.ctx.recipes[name]["run"]
                joined = made_by(interface, self.ctx.crystal, structures[glass], parameters, self.inputs.crystal)
            except RefusedError as error:
                self._fail(name, str(error))
            else:
                regions = name_regions(joined["results"], orm.Str("interface"))
                self._run(name, joined["structure"], joined["results"], regions, "interface")

    def _recipe_inputs(self, child: type, namespace: str, name: str) -> AttributeDict:
        inputs = self.exposed_inputs(child, namespace=namespace)
        inputs.structure = self.ctx.crystal
        inputs.potential = self.ctx.potentials[min(self.ctx.potentials)]
        inputs.seed = self.ctx.seeds[f"system_{name}"]
        return inputs

    def _run_boundary(self, name: str, structure: orm.StructureData, results: orm.Dict) -> None:
        """Queue the transport of a boundary, in its slabs and, if asked for, in the core of a dislocation."""
        regions, core = name_regions(results, orm.Str("boundary")), self.ctx.recipes[name].get("core")
        try:
            if core is not None:
                regions = made_by(add_core, regions, structure, results, self.inputs.transport["motion"], core)
        except RefusedError as error:
            self._fail(name, str(error))
        else:
            self._run(name, structure, results, regions, "boundary")

    def _run(
        self,
        name: str,
        structure: orm.StructureData,
        results: orm.Dict | None = None,
        regions: orm.Dict | None = None,
        region: str | None = None,
    ) -> None:
        """Queue the transport of a structure, its structure looked at in a region, and make what waits for it."""
        self.ctx.production["structures"][name] = structure
        inputs = self.exposed_inputs(TransportWorkChain, namespace="transport")
        inputs.structure = structure
        inputs.potentials = self.ctx.potentials
        if "watch" in inputs and self.ctx.active_sets:
            inputs.active_sets = self.ctx.active_sets
        inputs.seed = self.ctx.seeds[f"system_{name}"]
        inputs.ends_when_lost = orm.Bool(self._may_go_back())
        if results is not None:
            self.ctx.production["made"][name] = results
        if regions is not None:
            inputs.regions = regions
            for port in ("motion", "structural"):
                if port in inputs:
                    inputs[port] = observe_region(inputs[port], orm.Str(region))
        elif "regions" in self.ctx.recipes[name]:
            inputs.regions = self.ctx.recipes[name]["regions"]
        self.enqueue(name, TransportWorkChain, inputs)
        self._make_waiting(name)

    def _fail(self, name: str, detail: str) -> None:
        """Note that a system failed; so do those that wait for it."""
        self.report(f"{name}: {detail}")
        self.ctx.production["failed"].setdefault(name, detail)
        self._make_waiting(name)

    def _make_waiting(self, name: str) -> None:
        begun = (*self.ctx.production["structures"], *self.ctx.production["failed"])
        for other, recipe in self.inputs.systems.items():
            if recipe.get_dict().get("glass") == name and other not in begun:
                self._make_interface(other)

    def _kind(self, name: str) -> str:
        return self.inputs.systems[name]["kind"]

    def _queue_tests(self) -> None:
        """Queue the test of the potentials on frames, and on energies of boundaries, where they are wanted."""
        if self.inputs.get("validate") and self.ctx.tested:
            inputs = self.exposed_inputs(ValidateWorkChain, namespace="validate")
            inputs.structures = {name: self.ctx.small[name] for name in self.ctx.tested}
            inputs.potentials = self.ctx.potentials
            inputs.seed = self.ctx.seeds["validation"]
            self.enqueue(VALIDATION, ValidateWorkChain, inputs)
        if self.inputs.get("boundary_parity"):
            recipes = self.ctx.recipes
            inputs = self.exposed_inputs(BoundaryParityWorkChain, namespace="boundary_parity")
            inputs.structure, inputs.parent = self.ctx.crystal, self.inputs.crystal
            inputs.boundaries = {name: recipe["boundary"] for name, recipe in recipes.items() if "boundary" in recipe}
            inputs.potentials = self.ctx.potentials
            inputs.seed = self.ctx.seeds["validation"]
            self.enqueue(PARITY, BoundaryParityWorkChain, inputs)

    # --- back to learning -----------------------------------------------------------------------------------------

    def inspect_systems(self) -> None:
        """Put all systems into one table."""
        self.ctx.to_produce = False
        sweeps = self.ctx.production["sweeps"]
        summaries = {name: node.outputs.summary for name, node in sweeps.items() if "summary" in node.outputs}
        if summaries:
            if self.ctx.before is not None and self.ctx.before["table"] is not None:
                summaries["before"] = self.ctx.before["table"]
            self.ctx.production["table"] = tabulate(**summaries)

    def goes_back(self) -> bool:
        """Whether potentials are to be learned again, with frames of production."""
        return self._may_go_back() and bool(self._extrapolating(self.ctx.production))

    def _may_go_back(self) -> bool:
        return "returns" in self.inputs and self.ctx.n_returns < self.inputs.returns["max_returns"]

    def _extrapolating(self, production: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Systems of which too large a share of the frames extrapolates, or that failed where some do."""
        if "returns" not in self.inputs or production["table"] is None:
            return {}
        table = production["table"].get_dict()
        seen = {name: entry["extrapolated"] for name, entry in table.items() if entry["extrapolated"]}
        share, failed = self.inputs.returns["max_share"], production["failed"]
        return {
            name: found
            for name, found in seen.items()
            if found["n_extrapolated"] > (0 if name in failed else share * found["n_graded"])
        }

    def _said(self, production: Mapping[str, Any]) -> str:
        """How much of which systems extrapolates, in words."""
        return "; ".join(
            f"{name}: {found['n_extrapolated']} of {found['n_graded']} frames"
            + (f", grades up to {found['max_grade']:.3g}" if found["max_grade"] is not None else "")
            for name, found in self._extrapolating(production).items()
        )

    def learn_again(self) -> ToContext | None:
        """Learn from the frames of production, with the potentials and the training sets that there are."""
        self.report(f"production extrapolates: {self._said(self.ctx.production)}; going back to learning")
        frames = {
            f"{name}_{run}_{segment}": node
            for name in self._extrapolating(self.ctx.production)
            for run, segments in namespace_of(self.ctx.production["sweeps"][name], "extrapolated").items()
            for segment, node in segments.items()
        }
        potential = self.ctx.potentials[FIRST]
        try:
            candidates = made_by(pick_candidates, self.inputs.returns, potential, **frames)
        except RefusedError as error:
            self.ctx.stuck = str(error)
            return None
        sets = namespace_of(self.ctx.production["learning"], "training_sets")
        name = f"return_{self.ctx.n_returns + 1}"
        more = named(name, {"candidates": {"production": candidates}})
        return ToContext(learning=self._learn(potential, sets, self.ctx.seeds[name], **more))

    def inspect_learning_again(self) -> None:
        """Produce with what was learned; where nothing was, the production before is what there is."""
        learning = self.ctx.learning
        if self.ctx.stuck is None and not learning.is_finished_ok:
            self.ctx.stuck = how_it_ended(learning)
        if self.ctx.stuck is not None:
            self.report(f"no way back to learning: {self.ctx.stuck}")
            return
        self.ctx.n_returns += 1
        self._produce_with(namespace_of(learning, "potentials"), namespace_of(learning, "active_sets"), learning)

    # --- end ------------------------------------------------------------------------------------------------------

    def finish(self) -> ExitCode | None:
        """Hand out the last production, name the systems that failed, and those that extrapolate."""
        production = self.ctx.production
        self._hand_on(production)
        if production["failed"]:
            detail = "; ".join(f"{name}: {end}" for name, end in production["failed"].items())
            blame = potential_at_fault({name: outcomes_of(sweep) for name, sweep in production["sweeps"].items()})
            return self.exit_codes.ERROR_SYSTEMS_FAILED.format(blame=f"{blame}; " if blame else "", detail=detail)
        for key, code in (("validation", "ERROR_VALIDATION_FAILED"), ("parity", "ERROR_PARITY_FAILED")):
            if (test := production[key]) is not None and not test.is_finished_ok:
                return self.exit_codes[code].format(detail=how_it_ended(test))
        if self.ctx.stuck is not None:
            return self.exit_codes.ERROR_RETURN_FAILED.format(share=self._said(production), detail=self.ctx.stuck)
        if share := self._said(production):
            return self.exit_codes.ERROR_STILL_EXTRAPOLATES.format(n=self.ctx.n_returns, share=share)
        return None
