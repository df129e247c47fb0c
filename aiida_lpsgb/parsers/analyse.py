"""Parser of `lpsgb-analyse`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_lpsgb.analysis import results as results_file
from aiida_lpsgb.analysis.results import Results, ResultsFormatError
from aiida_lpsgb.calculations.analyse import AnalyseCalculation
from aiida_lpsgb.data.diffusivity import DiffusivityData
from aiida_lpsgb.parsers.program import ProgramParser


class AnalyseParser(ProgramParser):
    """Turn every result into its node, and tell which could not be had."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the files of a finished job."""
        folder = Path(kwargs.get("retrieved_temporary_folder") or ".") / AnalyseCalculation.RESULTS_FOLDER
        error = self.read(AnalyseCalculation.ERROR_FILE).strip()
        if not (folder / results_file.FILENAME).exists():
            if error.startswith("ERROR: "):
                return self.exit_codes.ERROR_PROGRAM.format(detail=error.removeprefix("ERROR: "))
            detail = error.splitlines()[-1] if error else "it did not start"
            return self.signalled() or self.exit_codes.ERROR_OUTPUT_MISSING.format(detail=detail)
        try:
            results = results_file.load(folder)
        except ResultsFormatError as reason:
            return self.exit_codes.ERROR_PROGRAM.format(detail=reason)
        if results.refused:
            return self.exit_codes.ERROR_TRAJECTORIES.format(detail=results.refused)
        for label, entry, arrays in results.outcomes():
            self.out(label, node_of(entry, arrays))
        if results.results:
            self.out("summary", orm.Dict(results.summary()))
        return self._exit_code(results, error)

    def _exit_code(self, results: Results, error: str) -> ExitCode | None:
        if not results.complete and error.startswith("ERROR: "):
            return self.exit_codes.ERROR_PROGRAM.format(detail=error.removeprefix("ERROR: "))
        if not results.complete:
            had = ", ".join(results.results) or "nothing"
            return self.signalled(f" (attached is what it had: {had})") or self.exit_codes.ERROR_INTERRUPTED.format(
                detail=had
            )
        if not results.failed:
            return None
        detail = "; ".join(f"{label}: {entry['reason']}" for label, entry in sorted(results.failed.items()))
        if all(entry["refused"] for entry in results.failed.values()):
            return self.exit_codes.ERROR_OBSERVABLES_REFUSED.format(detail=detail)
        return self.exit_codes.ERROR_OBSERVABLES_FAILED.format(detail=detail)


def node_of(entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> orm.Data:
    """The node that a result becomes, its numbers attributes to query."""
    if entry["node"] == "diffusivity":
        return DiffusivityData(entry["scalars"], arrays)
    if not arrays:
        return orm.Dict(entry["scalars"])
    node = orm.ArrayData()
    for name, array in sorted(arrays.items()):
        node.set_array(name, np.ascontiguousarray(array))
    node.base.attributes.set_many(entry["scalars"])
    return node
