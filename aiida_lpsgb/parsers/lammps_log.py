"""Read the log file of a staged LAMMPS run (no AiiDA)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

STAGE = re.compile(r"^lpsgb stage (\d+) (.+)$")
MINIMISED = re.compile(r"^lpsgb minimised (\d+) (\S+)$")
FINISHED = "lpsgb finished"
BREAK = re.compile(r"MTP extrapolation: grade\s+(\S+).*exceeds the break threshold|Breaking threshold exceeded")
ERROR = re.compile(r"^ERROR(?: on proc \d+)?: (.+?)(?: \(src/\S+?\))?$")


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
    minimised
        Index of a minimisation to the potential energy it reached, eV.
    error
        Text of LAMMPS's own error message, or None.
    break_grade
        Grade at which an extrapolation break ended the run (NaN where the program does not tell), or None.
    finished
        Whether the script came to its end.
    timed_out
        Whether LAMMPS ended by its own timer.
    """

    thermo: dict[str, np.ndarray] = field(default_factory=dict)
    stage: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    stage_names: dict[int, str] = field(default_factory=dict)
    minimised: dict[int, float] = field(default_factory=dict)
    error: str | None = None
    break_grade: float | None = None
    finished: bool = False
    timed_out: bool = False
    version: str | None = None

    @property
    def last_step(self) -> int:
        """Last step that has thermodynamic output."""
        steps = self.thermo.get("Step")
        return int(steps[-1]) if steps is not None and len(steps) else 0

    def first_non_finite_step(self) -> int | None:
        """Step of the first row with a value that is not finite, or None."""
        if not self.thermo:
            return None
        bad = ~np.all(np.isfinite(np.column_stack(list(self.thermo.values()))), axis=1)
        return int(self.thermo["Step"][np.argmax(bad)]) if bad.any() else None


def parse_log(text: str) -> LammpsLog:
    """Parse the text of `log.lammps`.

    Rows of a table that was cut in the middle of a line are dropped; lines between rows (warnings) are passed over.
    """
    log = LammpsLog()
    columns: list[str] | None = None
    rows: list[list[float]] = []
    stages: list[int] = []
    current, minimising = 0, False
    for line in text.splitlines():
        if line.startswith("LAMMPS ("):
            log.version = line[len("LAMMPS (") :].split(")")[0]
        elif match := STAGE.match(line):
            current = int(match[1])
            log.stage_names[current] = match[2]
        elif match := MINIMISED.match(line):
            log.minimised[int(match[1])] = float(match[2])
        elif line.startswith("minimize "):
            minimising = True
        elif line.startswith("run "):
            minimising = False
        elif line.split()[:1] == ["Step"]:
            columns = line.split()
        elif line.startswith("Loop time"):
            columns = None
        elif line.startswith(FINISHED):
            log.finished = True
        elif "Wall time limit reached" in line:
            log.timed_out = True
        elif match := BREAK.search(line):
            log.break_grade = float(match[1]) if match[1] else float("nan")
        elif match := ERROR.match(line):
            log.error = log.error or match[1].strip()
        elif columns and not minimising and (row := _row(line, len(columns))) is not None:
            rows.append(row)
            stages.append(current)
            names = columns
    if rows:
        table = np.array(rows)
        log.thermo = {name: table[:, index] for index, name in enumerate(names)}
        log.stage = np.array(stages)
    return log


def _row(line: str, n_columns: int) -> list[float] | None:
    words = line.split()
    if len(words) != n_columns:
        return None
    try:
        return [float(word) for word in words]
    except ValueError:
        return None
