"""What a study has found, collected from its nodes: the numbers and where each of them came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiida.orm import Data, ProcessNode


STUDY, ARRHENIUS = PROCESS_TYPES = ("aiida.workflows:lpsgb.study", "aiida.workflows:lpsgb.arrhenius")
CRYSTAL, BOUNDARY = "crystal", "boundary cell"
REGIONS = {"boundary": "boundary region", "elsewhere": "grains"}
CHARACTERISE = "characterise_"
"""What begins the label of a call of `lpsgb.characterise`; the place follows."""


@dataclass(frozen=True)
class Run:
    """A diffusivity and its origin.

    Attributes
    ----------
    place
        What was run: `crystal`, or `boundary cell` for a bicrystal.
    label
        Name of the run within its sweep.
    temperature_K, diffusivity_cm2_s, uncertainty_cm2_s, conductivity_s_cm, conductivity_uncertainty_s_cm
        Values of the node; the conductivity is None where it is not known.
    species, estimator, window_ps
        What diffuses and how the number was estimated.
    upper_limit_cm2_s
        Upper limit of the diffusivity where no diffusion was seen, else None.
    pk
        Primary key of the `lpsgb.diffusivity` node.
    potential_pk, trajectory_pk, md_pk, seed
        The potential, the trajectory and the molecular dynamics that the number came from, and its velocity seed;
        None for a node that was not made by a process of this package.
    speciation
        Results of `lpsgb.speciation` for the same trajectory, if there are any.
    """

    place: str
    label: str
    temperature_K: float
    diffusivity_cm2_s: float
    uncertainty_cm2_s: float
    conductivity_s_cm: float | None
    conductivity_uncertainty_s_cm: float | None
    species: str
    estimator: str
    window_ps: tuple[float, float] | None
    upper_limit_cm2_s: float | None
    pk: int
    potential_pk: int | None = None
    trajectory_pk: int | None = None
    md_pk: int | None = None
    seed: int | None = None
    speciation: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class StudyResults:
    """The outputs of an `lpsgb.study` or `lpsgb.arrhenius` process, complete or not.

    Attributes
    ----------
    pk, uuid, label, process_label, outcome
        The process and how it ended.
    ctime, duration
        When it was created, and from then to its last change.
    formula, n_atoms
        The structure that was run, None if there is none yet.
    runs
        The diffusivities, by place, temperature and label.
    fits
        Results of `lpsgb.arrhenius_fit` by place, the crystal first; those of the region of a boundary and of its
        grains name their estimator. Places with too few runs are left out.
    boundary
        Results of `lpsgb.boundary_energies`, None without a boundary.
    characterisations
        Primary keys of the `lpsgb.characterise` processes, by place.
    iterations
        The learning curve, empty without active learning.
    converged
        Whether active learning converged, None without it.
    test_errors
        Results of `lpsgb.mlp.errors` on the test set, None without one.
    potentials
        Attributes of every potential that a run used, by primary key.
    processes
        How many processes of each label the study took.
    codes
        Full label and executable of every code that was used.
    seeds
        Every seed that went in, by the process and port it went into.
    """

    pk: int
    uuid: str
    label: str
    process_label: str
    outcome: str
    ctime: datetime
    duration: timedelta
    formula: str | None
    n_atoms: int | None
    runs: tuple[Run, ...]
    fits: Mapping[str, Mapping[str, Any]]
    boundary: Mapping[str, Any] | None = None
    characterisations: Mapping[str, int] = field(default_factory=dict)
    iterations: tuple[Mapping[str, Any], ...] = ()
    converged: bool | None = None
    test_errors: Mapping[str, Any] | None = None
    potentials: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)

    @property
    def fit(self) -> Mapping[str, Any] | None:
        """The fit of the first place, None if there is none."""
        return next(iter(self.fits.values()), None)


def study_results(node: ProcessNode) -> StudyResults:
    """Collect what a study has found so far.

    Parameters
    ----------
    node
        An `lpsgb.study` or `lpsgb.arrhenius` process.

    Raises
    ------
    ValueError
        If the process is of another kind.
    """
    if node.process_type not in PROCESS_TYPES:
        kinds = " or ".join(process_type.partition(":")[2] for process_type in PROCESS_TYPES)
        raise ValueError(f"{node.process_label}<{node.pk}> has no diffusivities; give a process of {kinds}")
    outputs = node.outputs
    runs = [*runs_of(CRYSTAL, outputs), *runs_of(BOUNDARY, namespace(outputs, "boundary"))]
    relaxation = namespace(outputs, "grain_boundary")
    curve = outputs.learning_curve.get_dict() if "learning_curve" in outputs else {}
    structure = swept_structure(node)
    calls = list(descendants(node))
    return StudyResults(
        pk=node.pk,
        uuid=node.uuid,
        label=node.label,
        process_label=node.process_label,
        outcome=outcome(node),
        ctime=node.ctime,
        duration=node.mtime - node.ctime,
        formula=structure.get_formula() if structure else None,
        n_atoms=len(structure.sites) if structure else None,
        runs=tuple(runs),
        fits=fits_of(outputs),
        boundary=relaxation["results"].get_dict() if "results" in relaxation else None,
        characterisations=characterisations_of(node),
        iterations=tuple(curve.get("iterations", ())),
        converged=curve.get("converged"),
        test_errors=outputs.test_errors.get_dict() if "test_errors" in outputs else None,
        potentials=used_potentials(runs),
        processes=dict(sorted(Counter(call.process_label for call in calls).items())),
        codes=used_codes(calls),
        seeds=used_seeds(node, calls),
    )


def outcome(node: ProcessNode) -> str:
    """How a process ended, in words."""
    name = f"{node.process_label}<{node.pk}>"
    if node.is_finished_ok:
        return f"{name} finished"
    if node.is_finished:
        return f"{name} failed with exit status {node.exit_status}: {node.exit_message}"
    if node.is_excepted:
        return f"{name} excepted: {node.exception}"
    if node.is_killed:
        return f"{name} was killed"
    return f"{name} is {node.process_state.value if node.process_state else 'created'}"


def runs_of(place: str, outputs: Mapping[str, Any]) -> list[Run]:
    """The runs in the outputs of a sweep, by temperature and label."""
    diffusivities, speciation = (namespace(outputs, name) for name in ("diffusivities", "speciation"))
    runs = [run_of(place, label, data, speciation.get(label)) for label, data in diffusivities.items()]
    return sorted(runs, key=lambda run: (run.temperature_K, run.label))


def fits_of(outputs: Any) -> dict[str, dict[str, Any]]:
    """The Arrhenius fits in the outputs of a study or a sweep, by place."""
    boundary = namespace(outputs, "boundary")
    fits = {
        place: found["arrhenius"] for place, found in ((CRYSTAL, outputs), (BOUNDARY, boundary)) if "arrhenius" in found
    }
    for region, estimators in sorted(namespace(boundary, "regional_arrhenius").items()):
        for estimator, fit in sorted(estimators.items()):
            fits[f"{REGIONS.get(region, region)}, {estimator}"] = fit
    return {name: fit.get_dict() for name, fit in fits.items()}


def namespace(outputs: Any, name: str) -> Mapping[str, Any]:
    """A namespace of outputs, empty if nothing was put into it."""
    return outputs[name] if name in outputs else {}  # noqa: SIM401 (a process's outputs have no `get`)


def characterisations_of(node: ProcessNode) -> dict[str, int]:
    """Primary keys of the characterisations that a process called, by place."""
    from aiida.common.links import LinkType

    calls = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    calls = [call for call in calls if call.link_label.startswith(CHARACTERISE)]
    return {call.link_label.removeprefix(CHARACTERISE): call.node.pk for call in calls}


def run_of(place: str, label: str, data: Data, speciation: Data | None = None) -> Run:
    """A diffusivity node with its origin."""
    trajectory = input_of(data.creator, "aiida.data:lpsgb.trajectory") if data.creator else None
    md = trajectory.creator if trajectory is not None else None
    inputs = md.inputs if md is not None else {}
    attributes = data.base.attributes.all
    window = attributes.get("window_ps")
    details = attributes.get("details", {})
    return Run(
        place=place,
        label=label,
        temperature_K=attributes["temperature_K"],
        diffusivity_cm2_s=attributes["diffusivity_cm2_s"],
        uncertainty_cm2_s=attributes["uncertainty_cm2_s"],
        conductivity_s_cm=attributes.get("conductivity_s_cm"),
        conductivity_uncertainty_s_cm=attributes.get("conductivity_uncertainty_s_cm"),
        species=attributes["species"],
        estimator=attributes["estimator"],
        window_ps=tuple(window) if window else None,
        upper_limit_cm2_s=None if details.get("detected", True) else details.get("upper_limit_cm2_s"),
        pk=data.pk,
        potential_pk=inputs["potential"].pk if "potential" in inputs else None,
        trajectory_pk=trajectory.pk if trajectory is not None else None,
        md_pk=md.pk if md is not None else None,
        seed=inputs["seed"].value if "seed" in inputs else None,
        speciation=speciation.get_dict() if speciation is not None else None,
    )


def input_of(process: ProcessNode, data_type: str) -> Data | None:
    """The first input of a process whose class is registered under an entry point, None if there is none."""
    from aiida.plugins.entry_point import load_entry_point_from_string

    cls = load_entry_point_from_string(data_type)
    return next((entry.node for entry in process.base.links.get_incoming().all() if isinstance(entry.node, cls)), None)


def swept_structure(node: ProcessNode) -> Any:
    """The structure whose diffusion was run: an input of the sweep, for a study that of the sweep it called."""
    for process in (node, *node.called):
        if process.process_type == ARRHENIUS:
            return process.inputs.structure
    return node.outputs.structure if "structure" in node.outputs else None


def descendants(node: ProcessNode) -> Iterator[ProcessNode]:
    """Every process called below a process, depth first."""
    for call in node.called:
        yield call
        yield from descendants(call)


def used_potentials(runs: list[Run]) -> dict[int, dict[str, Any]]:
    """Attributes of the potentials of some runs, by primary key."""
    from aiida.orm import load_node

    pks = sorted({run.potential_pk for run in runs if run.potential_pk is not None})
    return {pk: load_node(pk).base.attributes.all for pk in pks}


def used_codes(calls: list[ProcessNode]) -> dict[str, str]:
    """Full label and executable of the codes of some processes."""
    from aiida.orm import CalcJobNode

    codes = {call.inputs.code for call in calls if isinstance(call, CalcJobNode) and "code" in call.inputs}
    return {code.full_label: str(code.get_executable()) for code in sorted(codes, key=lambda code: code.full_label)}


def used_seeds(node: ProcessNode, calls: list[ProcessNode]) -> dict[str, int]:
    """Every integer that went into a port named `seed`, by process and port."""
    seeds = {}
    for process in (node, *calls):
        for entry in process.base.links.get_incoming().all():
            if entry.link_label == "seed":
                seeds[f"{process.process_label}<{process.pk}>"] = entry.node.value
    return seeds
