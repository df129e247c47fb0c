"""Parser of molecular dynamics with `lpsgb-label`."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
from aiida import orm
from aiida.engine import ExitCode
from ase import Atoms

from aiida_lpsgb.calculations.dynamics import DynamicsCalculation
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling.calculators import level_of_theory
from aiida_lpsgb.parsers.program import ProgramParser

_DONE, _OUT_OF_TIME, _EXPLODED = "done: ", "out of time: ", "exploded "


class DynamicsParser(ProgramParser):
    """Keep the frames of a segment, and tell how far it came."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the files of a finished job."""
        error = self.read(DynamicsCalculation.ERROR_FILE)
        refused = [line for line in error.splitlines() if line.startswith("ERROR: ")]
        if refused:
            return self.exit_codes.ERROR_PROGRAM.format(detail=refused[0].removeprefix("ERROR: "))
        path = Path(kwargs.get("retrieved_temporary_folder") or ".") / DynamicsCalculation.FRAMES_FILE
        if not path.exists():
            detail = error.strip().splitlines()[-1] if error.strip() else "it did not start"
            return self.signalled() or self.exit_codes.ERROR_OUTPUT_MISSING.format(detail=detail)
        return self._give(list(complete_frames(path)))

    def _give(self, frames: list[Atoms]) -> ExitCode | None:
        start = self.node.inputs.start
        level = level_of_theory(self.node.inputs.parameters.get_dict())
        step = frames[-1].info["step"] if frames else start[0].info.get("step", 0)
        if frames:
            self.out("configurations", ConfigurationsData(frames, start.species, level))
        self.out("results", orm.Dict({"n_steps_done": step, "n_frames": len(frames), "level_of_theory": level}))
        lines = self.read(self.node.get_option("output_filename")).strip().splitlines()
        last = lines[-1] if lines else ""
        if last.startswith(_EXPLODED):
            return self.exit_codes.ERROR_EXPLODED.format(detail=last)
        if last.startswith(_OUT_OF_TIME):
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(step=step)
        if not last.startswith(_DONE):
            return self.signalled(f" after step {step}") or self.exit_codes.ERROR_INTERRUPTED.format(step=step)
        return None


def complete_frames(path: Path) -> Iterator[Atoms]:
    """Yield the frames of an extended XYZ file up to the first that is cut short."""
    text = path.read_text(encoding="utf-8", errors="replace")
    # A line that is not ended is not whole, though it may look so.
    lines = text.splitlines()[: text.count("\n")]
    start = 0
    while start < len(lines) and start + 2 + int(lines[start]) <= len(lines):
        stop = start + 2 + int(lines[start])
        yield from ase.io.iread(StringIO("\n".join(lines[start:stop]) + "\n"), index=":", format="extxyz")
        start = stop
