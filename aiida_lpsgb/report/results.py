"""What a study, a sweep or a learning has found, collected from its nodes: the numbers and where each came from.

Everything is read from the processes that were called, not from the outputs at the top, so that one that runs, was
killed or was imported is looked at as one that has finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from aiida_lpsgb.report.fits import Fit
from aiida_lpsgb.report.processes import Process, ProcessTree, chunks, inputs_of, names_of, outputs_of

if TYPE_CHECKING:
    from aiida.orm import Node, ProcessNode

STUDY, TRANSPORT, LEARNING, PASSIVE = ROOTS = tuple(
    f"aiida.workflows:lpsgb.{name}" for name in ("study", "transport", "active_learning", "passive_learning")
)
RUN, VALIDATION, LABELLING = (f"aiida.workflows:lpsgb.{name}" for name in ("transport_run", "validate", "label"))
MD_BASE, PROPERTIES = (f"aiida.workflows:lpsgb.{name}" for name in ("md.base", "properties"))
ANALYSIS, MD = (f"aiida.calculations:lpsgb.{name}" for name in ("analyse", "md"))
ADVANCE, CHOOSE, JUDGE, CARD = (
    f"aiida.calculations:lpsgb.{name}" for name in ("learning.advance", "passive.choose", "judge", "properties.card")
)
RECIPE = "recipe_"
"""What begins the name of the process that makes the structure of a system."""
REGIONS = "regions__"
VERSIONS = {"plugin": "aiida-lpsgb", "core": "aiida-core"}
"""What AiiDA calls the versions that a process notes."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Run:
    """A run of a system: what it has found, and its origin.

    Attributes
    ----------
    system, label
        The system, and the name of the run within it, such as ``t500k_p1_1``.
    temperature_K, potential, replica
        What was run.
    outcome, failed
        How its process ended or stands, empty if it ended well; and whether it failed. What a run says that has not
        ended well is of the run so far.
    motion
        Scalars of the diffusivity of the whole cell, None if there is none yet.
    regions
        Those of regions by label, such as ``boundary_occupancy``.
    summary
        Headline numbers of `lpsgb.analyse`, by observable.
    judgement
        Whether the diffusivity is known well enough, and why; None without a budget.
    watched_above
        Grade above which a frame was counted as one that extrapolates; None where the run was not watched.
    max_grade, n_extrapolated, n_graded
        Highest grade (None where the program says none), number of such frames, and of all that were graded.
    core_hours
        What its jobs took, from creation to the end.
    pk, analysis_pk, diffusivity_pk, potential_pk, md_pks, seed
        Primary keys of the processes and nodes, and the seed of its velocities.
    """

    system: str
    label: str
    temperature_K: float
    potential: str
    replica: int
    outcome: str = ""
    failed: bool = False
    motion: Mapping[str, Any] | None = None
    regions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    judgement: Mapping[str, Any] | None = None
    watched_above: float | None = None
    max_grade: float | None = None
    n_extrapolated: int | None = None
    n_graded: int | None = None
    core_hours: float = 0.0
    pk: int | None = None
    analysis_pk: int | None = None
    diffusivity_pk: int | None = None
    potential_pk: int | None = None
    md_pks: tuple[int, ...] = ()
    seed: int | None = None

    @property
    def production_ps(self) -> float | None:
        """How long was produced."""
        return self.summary.get("run", {}).get("duration_ps") or (self.judgement or {}).get("production_ps")

    @property
    def diffusivity_cm2_s(self) -> float | None:
        """Diffusivity of the whole cell, None where the motion is not diffusive."""
        return self.motion["diffusivity_cm2_s"] if self.motion and self.motion["diffusive"] else None


@dataclass(frozen=True)
class System:
    """A structure and what was found for it.

    Attributes
    ----------
    name, kind
        Name in the study, and the kind of its recipe.
    recipe
        The recipe that was asked for.
    made
        What the recipe has found: energies of a boundary, order of a glass, an interface's strain; empty for others.
    outcome, failed
        How its process ended or stands, empty if it ended well; and whether it failed.
    structure_pk, formula, n_atoms
        What was run, None if there is no structure yet.
    sweep_pk
        Of the work chain that runs it, None if that has not begun.
    runs
        From the coldest, by label.
    n_planned
        How many runs were planned.
    left_out
        Runs that were planned and given up, as it was too cold for the budget.
    fit
        Of the diffusivities of the whole cell, None if there is none.
    regional_fits
        Those of regions by label, such as ``boundary_occupancy``.
    extrapolated_before
        With each of the potentials before, where the study went back to learning: number of frames that extrapolate,
        and of all that were graded.
    """

    name: str
    kind: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = ""
    failed: bool = False
    structure_pk: int | None = None
    formula: str | None = None
    n_atoms: int | None = None
    sweep_pk: int | None = None
    runs: tuple[Run, ...] = ()
    n_planned: int = 0
    left_out: tuple[str, ...] = ()
    fit: Fit | None = None
    regional_fits: Mapping[str, Fit] = field(default_factory=dict)
    extrapolated_before: tuple[tuple[int, int], ...] = ()

    @property
    def extrapolated(self) -> tuple[int, int] | None:
        """Number of frames that extrapolate, and of all that were graded; None where no run was watched."""
        watched = [run for run in self.runs if run.n_graded]
        return (sum(run.n_extrapolated for run in watched), sum(run.n_graded for run in watched)) if watched else None

    @property
    def species(self) -> str:
        """What moves; empty if nothing has been looked at."""
        return next((run.motion["species"] for run in self.runs if run.motion), "")

    @property
    def energy_J_m2(self) -> float | None:
        """Energy of a boundary."""
        return self.made["energies_J_m2"][self.made["lowest"]] if "energies_J_m2" in self.made else None

    def at(self, temperature_K: float) -> list[Run]:
        """The runs at a temperature that have a diffusivity; what a failed one had found before is none of them."""
        return [run for run in self.runs if run.temperature_K == temperature_K and run.motion and not run.failed]

    @property
    def temperatures_K(self) -> list[float]:
        """The temperatures at which there is a diffusivity, from the coldest."""
        return sorted({run.temperature_K for run in self.runs if run.motion and not run.failed})


@dataclass(frozen=True)
class Learning:
    """What active learning has shown.

    Attributes
    ----------
    iterations
        The learning curve.
    converged
        Whether the potential no longer extrapolates.
    outcome, failed
        How it ended or stands, empty if it ended well; and whether it failed.
    labels
        Number of labelled configurations by set, those of each iteration last.
    level_of_theory
        Of the labels, None if they do not say.
    gamma_select
        Grade above which a configuration is a candidate.
    """

    iterations: tuple[Mapping[str, Any], ...] = ()
    converged: bool = False
    outcome: str = ""
    failed: bool = False
    labels: Mapping[str, int] = field(default_factory=dict)
    level_of_theory: str | None = None
    gamma_select: float | None = None


@dataclass(frozen=True)
class Results:
    """What a process has found, complete or not.

    Attributes
    ----------
    pk, uuid, label, description, process_label
        The process.
    outcome, finished, failed
        How it ended or stands, and whether it ended well or did not.
    ctime, duration
        When it was created, and from then to its last change.
    material
        Reduced formula of the crystal, None if there is no structure yet.
    systems
        In the order of the study.
    learning
        None if nothing was learned.
    grid
        What the passive stage has found (`grid` of `lpsgb.passive_learning`), None if there was none.
    test_errors
        Errors of each potential on configurations that were never trained on.
    test_set_pk, prediction_pks
        Primary keys of these configurations and, by potential, of what it predicts for them; None and empty if there
        are none.
    potentials
        Primary key and attributes by name.
    cards
        What each potential was checked for before anything was run; empty without cards.
    properties
        Results of `lpsgb.properties` by potential, and of the label engine under ``reference``.
    failures
        What failed, in words.
    processes
        How many processes of each label it took, and how many of them were taken from the cache.
    core_hours
        What the jobs took by their label, without those from the cache.
    codes
        Full label and executable of every code that was used.
    seeds
        Every seed that went in, by the process it went into.
    versions
        Of this package and of aiida-core, as the process noted them, and of the programs, as their jobs did.
    """

    pk: int
    uuid: str
    label: str
    description: str
    process_label: str
    outcome: str
    finished: bool
    failed: bool
    ctime: datetime
    duration: timedelta
    material: str | None = None
    systems: tuple[System, ...] = ()
    learning: Learning | None = None
    grid: Mapping[str, Any] | None = None
    test_errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    test_set_pk: int | None = None
    prediction_pks: Mapping[str, int] = field(default_factory=dict)
    potentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    processes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    core_hours: Mapping[str, float] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def standing(self) -> str:
        """How it ended or stands, without the causes where `failures` names them."""
        return self.outcome.partition(": ")[0] if self.failures else self.outcome

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of all systems."""
        return tuple(run for system in self.systems for run in system.runs)

    def system(self, name: str) -> System:
        """A system by its name."""
        found = {system.name: system for system in self.systems}
        if name not in found:
            raise KeyError(f"no system {name!r}; there are {', '.join(found) or 'none'}")
        return found[name]

    def _repr_html_(self) -> str:
        """The systems side by side, in a notebook."""
        from html import escape

        from aiida_lpsgb.report.tables.systems import comparison

        return f"<p>{escape(self.standing)}</p>{comparison(self)._repr_html_() if self.systems else ''}"


def study_results(node: ProcessNode) -> Results:
    """Collect what a process has found so far.

    Parameters
    ----------
    node
        An `lpsgb.study`, `lpsgb.transport`, `lpsgb.active_learning` or `lpsgb.passive_learning` process; it may still
        run.

    Raises
    ------
    ValueError
        If the process is of another kind.
    """
    if node.process_type not in ROOTS:
        kinds = ", ".join(root.partition(":")[2] for root in ROOTS)
        raise ValueError(f"{node.process_label}<{node.pk}> is none of the processes that have results: {kinds}")
    tree = ProcessTree(node.pk).refresh()
    jobs, cached = _jobs(tree)
    systems = _systems(tree, node, jobs)
    learning = _learning(tree)
    root = tree.root
    return Results(
        pk=node.pk,
        uuid=node.uuid,
        label=node.label,
        description=node.description,
        process_label=node.process_label,
        outcome=root.outcome,
        finished=root.succeeded,
        failed=root.failed,
        ctime=node.ctime,
        duration=node.mtime - node.ctime,
        material=_material(tree, node),
        systems=systems,
        learning=learning,
        grid=_grid(tree),
        test_errors=_test_errors(tree),
        test_set_pk=_test_set_pk(tree),
        prediction_pks=_prediction_pks(tree),
        potentials=_potentials(tree),
        cards=_cards(tree),
        properties=_properties(tree),
        failures=_failures(systems, learning),
        processes=_counts(tree, cached),
        core_hours={label: sum(jobs[pk] for pk in pks) for label, pks in _by_label(tree, jobs).items()},
        codes=_codes(jobs),
        seeds=_seeds(tree),
        versions=_versions(node, jobs),
    )


# ---- systems -------------------------------------------------------------------------------------------------------


def _systems(tree: ProcessTree, node: ProcessNode, hours: Mapping[int, float]) -> tuple[System, ...]:
    """A system for every recipe of a study, or the only one of a sweep."""
    if node.process_type in (LEARNING, PASSIVE):
        return ()
    if node.process_type == TRANSPORT:
        sweeps, replaced, recipes, own = {_name_of_sweep(node): tree.root}, [], {}, {}
    else:
        every = tree.children(node.pk, TRANSPORT)
        sweeps = {process.name: process for process in every}  # of a system that was run again, the last
        replaced = [process for process in every if process not in sweeps.values()]
        recipes = _below("systems__", inputs_of([node.pk], ["systems__*"]).get(node.pk, {}))
        own = _below("systems__", outputs_of([node.pk], ["systems__*"]).get(node.pk, {}))
    makers = {process.name: process for process in tree.children(node.pk) if process.name.startswith(RECIPE)}
    made = outputs_of([process.pk for process in makers.values()], ["results", "amorphous"])
    before = outputs_of([process.pk for process in replaced], ["summary"])
    pks = [sweep.pk for sweep in sweeps.values()]
    inputs = inputs_of(pks, ["structure", "potentials__*", "temperatures", "n_replicas"])
    outputs = outputs_of(pks, ["arrhenius", "regional_arrhenius__*"])
    runs = _runs(tree, {name: sweep.pk for name, sweep in sweeps.items()}, hours)
    systems = []
    for name in dict.fromkeys([*recipes, *sweeps]):
        sweep, maker = sweeps.get(name), makers.get(RECIPE + name)
        recipe = recipes[name].get_dict() if name in recipes else {}
        given = inputs.get(sweep.pk, {}) if sweep else {}
        fits = outputs.get(sweep.pk, {}) if sweep else {}
        structure, planned = given.get("structure"), _planned(given)
        begun = {run.label for run in runs.get(name, ())}
        found = {**(made.get(maker.pk, {}) if maker else {}), **_below(f"{name}__recipe", own)}
        # The output of the study, which it has at its end; before, that of what makes a glass or a boundary.
        told = next((found[key] for key in ("", "amorphous", "results") if key in found), None)
        process = sweep or maker
        systems.append(
            System(
                name=name,
                kind=recipe.get("kind", "structure"),
                recipe=recipe,
                made=told.get_dict() if told is not None else {},
                outcome=_standing(process, whole=process is sweep),
                failed=process is not None and process.failed,
                structure_pk=structure.pk if structure else None,
                formula=structure.get_formula() if structure else None,
                n_atoms=len(structure.sites) if structure else None,
                sweep_pk=sweep.pk if sweep else None,
                runs=runs.get(name, ()),
                n_planned=len(planned),
                left_out=tuple(label for label in planned if sweep.ended and label not in begun) if sweep else (),
                fit=Fit(fits["arrhenius"].get_dict()) if "arrhenius" in fits else None,
                regional_fits={
                    label: Fit(fit.get_dict()) for label, fit in sorted(_below("regional_arrhenius__", fits).items())
                },
                extrapolated_before=tuple(
                    seen
                    for process in replaced
                    if process.name == name and (seen := _extrapolated(before.get(process.pk, {}).get("summary")))
                ),
            )
        )
    return tuple(systems)


def _name_of_sweep(node: ProcessNode) -> str:
    return node.label or node.inputs.structure.label or node.inputs.structure.get_formula()


def _extrapolated(summary: Node | None) -> tuple[int, int] | None:
    """Number of frames that extrapolate in all runs of a sweep, and of all that were graded; None where none was."""
    from aiida_lpsgb.calculations.functions.transport import extrapolation_of

    watched = summary.get_dict().get("extrapolation") if summary is not None else None
    if not watched:
        return None
    seen = extrapolation_of(watched.values())
    return seen["n_extrapolated"], seen["n_graded"]


def _standing(process: Process | None, whole: bool = True) -> str:
    """How a process ended or stands; empty if it ended well and nothing is to follow."""
    if process is None:
        return "not begun"
    return "" if whole and process.succeeded else process.outcome


def _planned(given: Mapping[str, Node]) -> list[str]:
    """Labels of all runs that the inputs of a sweep ask for."""
    from aiida_lpsgb.calculations.functions.sweep import run_label

    if "temperatures" not in given or "n_replicas" not in given:
        return []
    names = _below("potentials__", given)
    return [
        run_label(temperature, name, replica)
        for temperature in given["temperatures"].get_list()
        for name in names
        for replica in range(1, given["n_replicas"].value + 1)
    ]


def _below(prefix: str, nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes of a namespace by the rest of their labels."""
    return {label.removeprefix(prefix): node for label, node in nodes.items() if label.startswith(prefix)}


def _runs(tree: ProcessTree, sweeps: Mapping[str, int], hours: Mapping[int, float]) -> dict[str, tuple[Run, ...]]:
    """The runs of each sweep, from the coldest; the last analysis of each counts."""
    processes = {name: tree.children(pk, RUN) for name, pk in sweeps.items()}
    every = [process for group in processes.values() for process in group]
    analyses = {process.pk: _last(tree.children(process.pk, ANALYSIS)) for process in every}
    judges = {process.pk: _last(tree.children(process.pk, JUDGE)) for process in every}
    wanted = ["diffusivity", f"{REGIONS}*", "summary"]
    found = outputs_of([process.pk for process in analyses.values() if process], wanted)
    judged = outputs_of([process.pk for process in judges.values() if process], ["judgement"])
    wanted = [f"md__md__{port}" for port in ("potential", "seed", "parameters", "active_set")]
    given = inputs_of([process.pk for process in every], wanted)
    parts = {process.pk: [part.pk for part in tree.children(process.pk, MD_BASE)] for process in every}
    dynamics = outputs_of([pk for pks in parts.values() for pk in pks], ["results"])
    runs: dict[str, tuple[Run, ...]] = {}
    for name, group in processes.items():
        own = []
        for process in group:
            analysis, judge = analyses[process.pk], judges[process.pk]
            nodes = found.get(analysis.pk, {}) if analysis else {}
            judgement = judged.get(judge.pk, {}).get("judgement") if judge else None
            below = [job for job in tree.below(process.pk) if job.is_job]
            own.append(
                _run(name, process, nodes, given.get(process.pk, {}), judgement)
                | _grades(
                    given.get(process.pk, {}), [dynamics[pk]["results"] for pk in parts[process.pk] if pk in dynamics]
                )
                | {
                    "core_hours": sum(hours.get(job.pk, 0.0) for job in below),
                    "analysis_pk": analysis.pk if analysis else None,
                    "md_pks": tuple(job.pk for job in below if job.process_type == MD),
                }
            )
        runs[name] = tuple(sorted((Run(**values) for values in own), key=lambda run: (run.temperature_K, run.label)))
    return runs


def _last(processes: Sequence[Process]) -> Process | None:
    """The last process that left something."""
    return next((process for process in reversed(processes) if process.state == "finished"), None)


def _run(
    system: str, process: Process, found: Mapping[str, Node], given: Mapping[str, Node], judgement: Node | None
) -> dict[str, Any]:
    """What a run's nodes say."""
    from aiida_lpsgb.calculations.functions.sweep import read_label

    temperature, potential, replica = read_label(process.name)
    diffusivity, seed = found.get("diffusivity"), given.get("md__md__seed")
    return {
        "system": system,
        "label": process.name,
        "temperature_K": temperature,
        "potential": potential,
        "replica": replica,
        "outcome": _standing(process),
        "failed": process.failed,
        "motion": diffusivity.scalars() if diffusivity is not None else None,
        "regions": {label: node.scalars() for label, node in sorted(_below(REGIONS, found).items())},
        "summary": found["summary"].get_dict() if "summary" in found else {},
        "judgement": judgement.get_dict() if judgement is not None else None,
        "pk": process.pk,
        "diffusivity_pk": diffusivity.pk if diffusivity is not None else None,
        "potential_pk": given["md__md__potential"].pk if "md__md__potential" in given else None,
        "seed": seed.value if seed is not None else None,
    }


def _grades(given: Mapping[str, Node], parts: Sequence[Node]) -> dict[str, Any]:
    """What was seen of a run that was watched."""
    if "md__md__active_set" not in given:
        return {}
    from aiida_lpsgb.calculations.functions.transport import extrapolation_of

    control = given["md__md__parameters"].get_dict().get("extrapolation") or {}
    return {"watched_above": control.get("gamma_select"), **extrapolation_of(node.get_dict() for node in parts)}


# ---- learning and potentials ---------------------------------------------------------------------------------------


def _learning(tree: ProcessTree) -> Learning | None:
    """The learning at the top or those right below it: where there were several, each went on from the one before."""
    root = tree.root
    loops = [root] if root.process_type == LEARNING else tree.children(root.pk, LEARNING)
    if not loops:
        return None
    curves = [_curve(tree, one) for one in loops]
    rows = [row for curve in curves for row in curve.get("iterations", ())]
    loop, curve = loops[-1], curves[-1]
    given = inputs_of([loop.pk], ["training_sets__*", "settings"]).get(loop.pk, {})
    sets = dict(sorted(_below("training_sets__", given).items()))
    rounds = tree.children(loop.pk, LABELLING)
    labelled = outputs_of([process.pk for process in rounds], ["configurations"])
    sets |= {process.name: labelled[process.pk]["configurations"] for process in rounds if process.pk in labelled}
    levels = [node.base.attributes.get("level_of_theory", None) for node in sets.values()]
    return Learning(
        iterations=tuple({**row, "iteration": number} for number, row in enumerate(rows, start=1)),
        converged=bool(curve.get("converged")),
        outcome=_standing(loop),
        failed=loop.failed,
        labels={name: node.base.attributes.get("count") for name, node in sets.items()},
        level_of_theory=next((level for level in levels if level), None),
        gamma_select=given["settings"].get_dict().get("gamma_select") if "settings" in given else None,
    )


def _curve(tree: ProcessTree, loop: Process) -> dict[str, Any]:
    """What the iterations of a loop so far have shown."""
    last = _last(tree.children(loop.pk, ADVANCE))
    return outputs_of([last.pk], ["result"])[last.pk]["result"].get_dict() if last else {}


def _last_of(processes: Sequence[Process]) -> Process | None:
    return processes[-1] if processes else None


def _test_errors(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """Errors of each potential on the test set of a study."""
    return {name: node.get_dict() for name, node in _of_validation(tree, "errors_", "result").items()}


def _prediction_pks(tree: ProcessTree) -> dict[str, int]:
    """What each potential predicts for the test set of a study."""
    return {name: node.pk for name, node in _of_validation(tree, "predict_", "configurations").items()}


def _of_validation(tree: ProcessTree, prefix: str, output: str) -> dict[str, Node]:
    """An output of every process of the validation whose name begins so, by the rest of its name."""
    called = [
        process
        for validation in tree.children(tree.pk, VALIDATION)
        for process in tree.children(validation.pk)
        if process.name.startswith(prefix)
    ]
    found = outputs_of([process.pk for process in called], [output])
    named = {process.name.removeprefix(prefix): found[process.pk] for process in called if process.pk in found}
    return {name: nodes[output] for name, nodes in sorted(named.items())}


def _test_set_pk(tree: ProcessTree) -> int | None:
    """The labelled frames that a study tests its potentials on."""
    labelled = [
        process.pk
        for validation in tree.children(tree.pk, VALIDATION)
        for process in tree.children(validation.pk, LABELLING)
    ]
    found = outputs_of(labelled, ["configurations"])
    return next((found[pk]["configurations"].pk for pk in labelled if pk in found), None)


def _grid(tree: ProcessTree) -> dict[str, Any] | None:
    """What the passive stage at the top or right below it has found."""
    root = tree.root
    stage = root if root.process_type == PASSIVE else _last_of(tree.children(root.pk, PASSIVE))
    chosen = _last(tree.children(stage.pk, CHOOSE)) if stage else None
    return outputs_of([chosen.pk], ["grid"])[chosen.pk]["grid"].get_dict() if chosen else None


def _potentials(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """Every potential that ran or was learned, by name: primary key, class and attributes."""
    root = tree.root
    sweeps = [root.pk] if root.process_type == TRANSPORT else [p.pk for p in tree.children(root.pk, TRANSPORT)]
    nodes: dict[str, Node] = {}
    for given in inputs_of(sweeps[:1], ["potentials__*"]).values():
        nodes |= _below("potentials__", given)
    loops = [root.pk] if root.process_type == LEARNING else [p.pk for p in tree.children(root.pk, LEARNING)]
    for learned in outputs_of(loops, ["potentials__*"]).values():
        nodes |= _below("potentials__", learned)
    return {
        name: {"pk": node.pk, "class": type(node).__name__, **node.base.attributes.all}
        for name, node in sorted(nodes.items())
    }


def _cards(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """The cards of a study: of each potential the last that was dealt."""
    dealt = {process.name.removeprefix("card_"): process.pk for process in tree.children(tree.pk, CARD)}
    found = outputs_of(dealt.values(), ["result"])
    return {name: found[pk]["result"].get_dict() for name, pk in sorted(dealt.items()) if pk in found}


def _properties(tree: ProcessTree) -> dict[str, dict[str, Any]]:
    """What was found of the crystal by each potential and by the label engine, with the drift of the energy."""
    processes = {process.name.removeprefix("properties_"): process.pk for process in tree.children(tree.pk, PROPERTIES)}
    outputs = outputs_of(processes.values(), ["results", "drift"])
    found = {name: outputs.get(pk, {}) for name, pk in sorted(processes.items())}
    return {
        name: {**nodes["results"].get_dict(), "drift": nodes["drift"].get_dict() if "drift" in nodes else None}
        for name, nodes in found.items()
        if "results" in nodes
    }


def _material(tree: ProcessTree, node: ProcessNode) -> str | None:
    """Reduced formula of what was studied."""
    if node.process_type == LEARNING:
        structures = _below("structures__", inputs_of([node.pk], ["structures__*"]).get(node.pk, {}))
        structure = next((structures[name] for name in sorted(structures)), None)
    elif node.process_type in (TRANSPORT, PASSIVE):
        structure = node.inputs.structure
    else:
        structure = outputs_of([node.pk], ["structure"]).get(node.pk, {}).get("structure")
    if structure is None:
        return None
    return structure.get_pymatgen().composition.reduced_formula


# ---- what it took --------------------------------------------------------------------------------------------------


def _jobs(tree: ProcessTree) -> tuple[dict[int, float], set[int]]:
    """Core-hours of every job, none for those from the cache, and which processes are from the cache.

    A job's time runs from its creation to its last change, so that waiting for a scheduler counts.
    """
    from aiida.orm import ProcessNode, QueryBuilder

    hours: dict[int, float] = {}
    cached: set[int] = set()
    for some in chunks(tree.processes):
        query = QueryBuilder().append(
            ProcessNode,
            filters={"id": {"in": some}},
            project=["id", "attributes.resources", "extras._aiida_cached_from"],
        )
        for pk, resources, source in query.all():
            if source:
                cached.add(pk)
            process = tree.processes[pk]
            if process.is_job:
                seconds = (process.mtime - process.ctime).total_seconds()
                hours[pk] = 0.0 if source else seconds / SECONDS_PER_HOUR * cores(resources or {})
    return hours, cached


def cores(resources: Mapping[str, Any]) -> int:
    """Number of cores that a job asked for."""
    processes = resources.get("tot_num_mpiprocs") or resources.get("num_machines", 1) * resources.get(
        "num_mpiprocs_per_machine", 1
    )
    each = resources.get("num_cores_per_mpiproc")
    return int(processes * each if each else resources.get("num_cpus") or processes)


def _by_label(tree: ProcessTree, pks: Iterable[int]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for pk in pks:
        groups.setdefault(tree.processes[pk].label, []).append(pk)
    return dict(sorted(groups.items()))


def _counts(tree: ProcessTree, cached: set[int]) -> dict[str, tuple[int, int]]:
    every = [process for pk, process in tree.processes.items() if pk != tree.pk]
    total, again = (Counter(p.label for p in group) for group in (every, [p for p in every if p.pk in cached]))
    return {label: (number, again[label]) for label, number in sorted(total.items())}


def _codes(jobs: Iterable[int]) -> dict[str, str]:
    """Full label and executable of the codes of some jobs."""
    codes = {nodes["code"] for nodes in inputs_of(jobs, ["code"]).values()}
    return {code.full_label: str(code.get_executable()) for code in sorted(codes, key=lambda code: code.full_label)}


def _versions(node: ProcessNode, jobs: Iterable[int]) -> dict[str, str]:
    """Versions of what took part; several of one program where it was replaced meanwhile."""
    from aiida.orm import CalcJobNode, Dict, QueryBuilder

    noted = node.base.attributes.get("version", None) or {}
    found = {name: {str(noted[key])} for key, name in VERSIONS.items() if key in noted}
    for some in chunks(jobs):
        query = QueryBuilder().append(CalcJobNode, filters={"id": {"in": some}}, tag="job")
        query.append(
            Dict,
            with_incoming="job",
            edge_filters={"label": "results"},
            project=["attributes.lammps_version", "attributes.versions"],
        )
        for lammps, others in query.all():
            programs = {"LAMMPS": lammps} if lammps else others
            for name, version in (programs if isinstance(programs, Mapping) else {}).items():
                found.setdefault(name, set()).add(str(version))
    return {name: " and ".join(sorted(versions)) for name, versions in found.items()}


def _seeds(tree: ProcessTree) -> dict[str, int]:
    """The seed of every work chain that has one, by the path of its names; those of runs stand with the runs."""
    nodes = inputs_of(tree.processes, ["seed"])
    seeded = [pk for pk in sorted(nodes) if not tree.processes[pk].is_job]
    return {
        " ".join([*names_of(tree, pk), f"{tree.processes[pk].label}<{pk}>"]): nodes[pk]["seed"].value for pk in seeded
    }


def _failures(systems: Sequence[System], learning: Learning | None) -> tuple[str, ...]:
    """What went wrong, each cause once; first the potential, where it is one that has all the failed runs."""
    from aiida_lpsgb.calculations.functions.sweep import potential_at_fault

    failures = [f"learning: {learning.outcome}"] if learning and learning.failed else []
    ended = {s.name: [run for run in s.runs if run.failed or not run.outcome] for s in systems}
    blame = potential_at_fault({name: {run.label: not run.failed for run in runs} for name, runs in ended.items()})
    failures += [f"of the runs {blame}"] if blame else []
    for system in systems:
        broken = [f"{system.name} {run.label}: {run.outcome}" for run in system.runs if run.failed]
        failures += broken or ([f"{system.name}: {system.outcome}"] if system.failed else [])
    return tuple(failures)
