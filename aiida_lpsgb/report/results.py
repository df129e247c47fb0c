"""What a study, a sweep or a learning has found: the numbers, and where each came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiida_lpsgb.report.fits import Fit


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
    boundary_energies
        Of small cells of boundaries, by the label engine and by each potential (`energies` of `lpsgb.boundary_parity`).
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
    left_out
        How many files of each name the archive that it was imported from has left out.
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
    boundary_energies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    potentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    processes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    core_hours: Mapping[str, float] = field(default_factory=dict)
    codes: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

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
