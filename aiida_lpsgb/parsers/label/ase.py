"""Parser of `lpsgb-label`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode
from ase import Atoms

from aiida_lpsgb.calculations.label.ase import AseLabelCalculation
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling import labels as label_files
from aiida_lpsgb.labelling.calculators import level_of_theory
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.parsers.program import ProgramParser

# How the last line of a complete run begins, and that of one that ran out of time.
_DONE, _OUT_OF_TIME = "done: ", "out of time: "


class AseLabelParser(ProgramParser):
    """Put the labels on the configurations, and tell which failed."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the files of a finished job."""
        error = self.read(AseLabelCalculation.ERROR_FILE)
        refused = [line for line in error.splitlines() if line.startswith("ERROR: ")]
        if refused:
            return self.exit_codes.ERROR_LABEL_PROGRAM.format(detail=refused[0].removeprefix("ERROR: "))
        path = Path(kwargs.get("retrieved_temporary_folder") or ".") / AseLabelCalculation.LABELS_FILE
        if not path.exists():
            detail = error.strip().splitlines()[-1] if error.strip() else "it did not start"
            return self.signalled() or self.exit_codes.ERROR_OUTPUT_MISSING.format(detail=detail)
        with path.open(encoding="utf-8") as stream:
            labels = label_files.read(stream)
        return self._give(labels)

    def _give(self, labels: Mapping[int, label_files.Label]) -> ExitCode | None:
        configurations = self.node.inputs.configurations
        total = len(configurations)
        labelled = {index: label for index, label in labels.items() if not label.error and index < total}
        failed = {index: label for index, label in sorted(labels.items()) if label.error and index < total}
        level = level_of_theory(self.node.process_class.program_parameters(self.node.inputs))
        if labelled:
            images = _labelled(configurations, labelled)
            self.out("configurations", ConfigurationsData(images, configurations.species, level))
        results = {
            "n_configurations": total,
            "n_labelled": len(labelled),
            "failed": {str(index): label.error for index, label in failed.items()},
            "not_begun": [index for index in range(total) if index not in labels],
            "level_of_theory": level,
            "versions": self._versions(),
        }
        self.out("results", orm.Dict(results))
        return self._exit_code(results, failed)

    def _versions(self) -> dict[str, str]:
        """Return the versions of ASE and the calculator, which the program prints first."""
        first = self.read(self.node.get_option("output_filename")).partition("\n")[0]
        _, brace, rest = first.partition("{")
        return json.loads(brace + rest) if first.startswith("calculator ") and rest.endswith("}") else {}

    def _exit_code(self, results: dict[str, Any], failed: dict[int, label_files.Label]) -> ExitCode | None:
        labelled, total = results["n_labelled"], results["n_configurations"]
        lines = self.read(self.node.get_option("output_filename")).strip().splitlines()
        last = lines[-1] if lines else ""
        if last.startswith(_OUT_OF_TIME):
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(labelled=labelled, total=total)
        if results["not_begun"] or not last.startswith(_DONE):
            return self.signalled(
                f"; {labelled} of {total} configurations are labelled"
            ) or self.exit_codes.ERROR_INTERRUPTED.format(labelled=labelled, total=total)
        if not failed:
            return None
        errors = [label.error for label in failed.values() if not label.refused]
        if not errors:
            detail = next(iter(failed.values())).error
            return self.exit_codes.ERROR_REFUSED.format(failed=len(failed), total=total, detail=detail)
        if not labelled:
            return self.exit_codes.ERROR_ALL_FAILED.format(detail=errors[0])
        return self.exit_codes.ERROR_SOME_FAILED.format(failed=len(failed), total=total, detail=errors[0])


def _labelled(configurations: ConfigurationsData, labels: Mapping[int, label_files.Label]) -> Iterator[Atoms]:
    """The configurations that have a label, where the program has relaxed them to."""
    for index, atoms in enumerate(configurations):
        if index not in labels:
            continue
        values = dict(labels[index].values)
        if "cell" in values:
            atoms.set_cell(values.pop("cell"))
            atoms.positions = values.pop("positions")
        yield with_labels(atoms, **values)
