"""Read the log file of a staged LAMMPS run (no AiiDA)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

HEADING = "LAMMPS ("
STAGE = re.compile(r"^lpsgb stage (\d+) (.+)$")
FINISHED = "lpsgb finished"
WALL_TIME = "Wall time limit reached"
BREAK = re.compile(r"MTP extrapolation: grade\s+(\S+).*exceeds the break threshold|Breaking threshold exceeded")
ERROR = re.compile(r"^ERROR(?: on proc \d+)?: (.+?)(?: \(src/\S+?\))?$")
LAST_LINE = re.compile(r"^Last (?:input line|command): (.*)$")
CRITERION = re.compile(r"^\s*Stopping criterion = (.+?)\s*$")
FORCE_NORM = re.compile(r"^\s*Force two-norm initial, final = \S+ (\S+)")
FORCE_MAX = re.compile(r"^\s*Force max component initial, final = \S+ (\S+)")
ITERATIONS = re.compile(r"^\s*Iterations, force evaluations = (\d+) (\d+)")
LOOP = re.compile(r"^Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms")
ENERGIES = re.compile(r"^\s*Energy initial, next-to-last, final =")

# Why a minimisation ends that has reached what it was asked for; "linesearch alpha is zero" is no such reason, but no
# failure either: the energy cannot be lowered any more in double precision.
TOLERANCES = ("energy tolerance", "force tolerance", "forces are zero", "quadratic factors are zero")
LINE_SEARCH = "linesearch alpha is zero"
OUT_OF_TIME = "walltime limit reached"

# What LAMMPS says, depending on what it notices first, when atoms fly apart or the cell collapses.
UNSTABLE = re.compile(
    r"lost atoms|box size << cutoff|out of range|too (?:large|many) (?:for )?neighbor bins|neighbor list overflow|"
    r"fix halt condition",
    re.IGNORECASE,
)
NON_FINITE = re.compile(r"non-numeric|not finite|non-finite", re.IGNORECASE)
RESTART = re.compile(r"restart file", re.IGNORECASE)
# Faults of the machine, which another try may not meet.
MACHINE = re.compile(
    r"no space left|quota exceeded|input/output error|stale (?:nfs )?file handle|read-only file system|"
    r"failed to (?:re)?allocate|cannot allocate memory|bad_alloc|out[- ]of[- ]memory|oom[-_ ]kill|"
    r"cuda|hip ?error|device (?:lost|unavailable)|bus error|node failure|due to node|connection (?:reset|timed out)|"
    r"resource temporarily unavailable|too many open files|transport endpoint",
    re.IGNORECASE,
)


@dataclass
class Phase:
    """One `minimize`: why it ended and what was left.

    Attributes
    ----------
    criterion
        LAMMPS's own words.
    energy
        Last energy, eV; with a moving cell it includes the work of the pressure.
    force_norm, force_max
        Two-norm of all forces and largest component, eV/Å.
    iterations, evaluations
        Steps and force evaluations it took.
    row
        Last thermodynamic output, by column.
    """

    criterion: str | None = None
    energy: float | None = None
    force_norm: float | None = None
    force_max: float | None = None
    iterations: int | None = None
    evaluations: int | None = None
    row: dict[str, float] = field(default_factory=dict)


@dataclass
class Loop:
    """What steps of dynamics took, by LAMMPS's own clock.

    Attributes
    ----------
    seconds
        Wall time.
    n_steps, n_atoms, n_processes
        Of how many; processes times threads.
    """

    seconds: float
    n_steps: int
    n_atoms: int
    n_processes: int


@dataclass
class LammpsLog:
    """What a log says.

    Attributes
    ----------
    thermo
        Column name to array, one row per line of thermodynamic output, minimisation left out.
    stage
        Index of the stage each row belongs to.
    stage_names
        Index of a stage to its name, in the order run.
    minimisations
        Index of a stage to the phases of its minimisation.
    error
        Text of LAMMPS's own error message, or None.
    last_line
        Input line at which the error came, or None.
    break_grade
        Grade at which an extrapolation break ended the run (NaN where the program does not tell), or None.
    finished
        Whether the script came to its end.
    timed_out
        Whether LAMMPS ended by its own timer.
    loops
        Index of a stage of dynamics to what its steps took.
    """

    thermo: dict[str, np.ndarray] = field(default_factory=dict)
    stage: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    stage_names: dict[int, str] = field(default_factory=dict)
    minimisations: dict[int, list[Phase]] = field(default_factory=dict)
    error: str | None = None
    last_line: str | None = None
    break_grade: float | None = None
    finished: bool = False
    timed_out: bool = False
    loops: dict[int, Loop] = field(default_factory=dict)
    version: str | None = None

    @property
    def first_step(self) -> int:
        """First step that has thermodynamic output: 0, or the step a run was continued from."""
        steps = self.thermo.get("Step")
        return int(steps[0]) if steps is not None and len(steps) else 0

    @property
    def last_step(self) -> int:
        """Last step that has thermodynamic output."""
        steps = self.thermo.get("Step")
        return int(steps[-1]) if steps is not None and len(steps) else 0

    def first_non_finite_step(self) -> int | None:
        """Step of the first row with a value that is not finite, or None."""
        bad = ~self.finite_rows()
        return int(self.thermo["Step"][np.argmax(bad)]) if bad.any() else None

    def finite_rows(self) -> np.ndarray:
        """Whether each row has finite values only."""
        if not self.thermo:
            return np.zeros(0, dtype=bool)
        return np.all(np.isfinite(np.column_stack(list(self.thermo.values()))), axis=1)


def parse_log(text: str) -> LammpsLog:
    """Parse the text of `log.lammps`.

    Rows of a table that was cut in the middle of a line are dropped; lines between rows (warnings) are passed over. A
    row that is printed again where a run is cut for its restart files counts once. Where a run was begun again, and its
    log appended to the one before, the last one counts.
    """
    return _Reader().read(text)


class _Reader:
    """Goes through a log line by line."""

    def __init__(self) -> None:
        self.log = LammpsLog()
        self.columns: list[str] | None = None
        self.names: list[str] = []
        self.rows: dict[tuple[int, float], list[float]] = {}
        self.stage = 0
        self.phase: Phase | None = None
        self.energies_follow = False

    def read(self, text: str) -> LammpsLog:
        lines = text.splitlines(keepends=True)
        begins = max((number for number, line in enumerate(lines) if line.startswith(HEADING)), default=0)
        for line in lines[begins:]:
            # A line without its end was cut while it was written: it is no row, though it may look like one.
            if not (self._marks(line.rstrip()) or self._minimisation(line)) and line.endswith("\n"):
                self._table(line)
        if self.rows:
            table = np.array(list(self.rows.values()))
            self.log.thermo = {name: table[:, index] for index, name in enumerate(self.names)}
            self.log.stage = np.array([stage for stage, _ in self.rows])
        return self.log

    def _marks(self, line: str) -> bool:
        """Lines that say where the run is, or how it ended."""
        log = self.log
        if line.startswith(HEADING):
            log.version = line[len(HEADING) :].split(")")[0]
        elif match := STAGE.match(line):
            self.stage = int(match[1])
            log.stage_names[self.stage] = match[2]
        elif line.startswith(FINISHED):
            log.finished = True
        elif WALL_TIME in line:
            log.timed_out = True
        elif match := BREAK.search(line):
            log.break_grade = float(match[1]) if match[1] else float("nan")
        elif match := ERROR.match(line):
            log.error = log.error or match[1].strip()
        elif match := LAST_LINE.match(line):
            log.last_line = match[1].strip()
        else:
            return False
        return True

    def _minimisation(self, line: str) -> bool:
        """Lines of the statistics that follow a `minimize`."""
        if line.startswith("minimize "):
            self.phase = Phase()
            self.log.minimisations.setdefault(self.stage, []).append(self.phase)
            return True
        if line.startswith("run "):
            self.phase = None
            return True
        if self.phase is None:
            return False
        if self.energies_follow:
            self.energies_follow = False
            self.phase.energy = _number(line.split()[-1]) if line.split() else None
        elif match := CRITERION.match(line):
            self.phase.criterion = match[1]
        elif ENERGIES.match(line):
            self.energies_follow = True
        elif match := FORCE_NORM.match(line):
            self.phase.force_norm = _number(match[1])
        elif match := FORCE_MAX.match(line):
            self.phase.force_max = _number(match[1])
        elif match := ITERATIONS.match(line):
            self.phase.iterations, self.phase.evaluations = int(match[1]), int(match[2])
        else:
            return False
        return True

    def _table(self, line: str) -> None:
        """Heads and rows of thermodynamic output."""
        if line.split()[:1] == ["Step"]:
            self.columns = line.split()
        elif line.startswith("Loop time"):
            self.columns = None
            if self.phase is None and (match := LOOP.match(line)):
                self._loop(float(match[1]), *(int(number) for number in match.groups()[1:]))
        elif self.columns and (row := _row(line, len(self.columns))) is not None:
            if self.phase is not None:
                self.phase.row = dict(zip(self.columns, row, strict=True))
            else:
                self.names = self.columns
                self.rows[self.stage, row[0]] = row

    def _loop(self, seconds: float, n_processes: int, n_steps: int, n_atoms: int) -> None:
        """Add up the parts that a stage is run in."""
        loop = self.log.loops.setdefault(self.stage, Loop(0.0, 0, n_atoms, n_processes))
        loop.seconds += seconds
        loop.n_steps += n_steps


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _row(line: str, n_columns: int) -> list[float] | None:
    words = line.split()
    if len(words) != n_columns:
        return None
    values = [_number(word) for word in words]
    return None if None in values else values  # type: ignore[return-value]
