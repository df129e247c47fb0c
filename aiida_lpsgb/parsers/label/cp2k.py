"""Parser of the runs of CP2K that label configurations."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.labelling import cp2k
from aiida_lpsgb.labelling import labels as label_checks
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.parsers.program import ProgramParser


class Cp2kLabelParser(ProgramParser):
    """Put what CP2K printed on the configurations, and leave out what did not converge."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the output of a finished job."""
        name = self.node.get_option("output_filename")
        if name not in self.retrieved.base.repository.list_object_names():
            return self.signalled() or self.exit_codes.ERROR_OUTPUT_MISSING
        configurations = self.node.inputs.configurations
        with self.retrieved.base.repository.open(name, "r") as stream:
            output = cp2k.read_output(stream, cp2k.atom_order(configurations[0].get_chemical_symbols()))
        return self._give(configurations, output)

    def _give(self, configurations: ConfigurationsData, output: cp2k.Output) -> ExitCode | None:
        evaluations = output.evaluations[: len(configurations)]
        labelled, unconverged, refused, not_begun = [], [], {}, []
        for place, atoms in enumerate(configurations):
            evaluation = evaluations[place] if place < len(evaluations) else None
            if evaluation is None or set(evaluation.values) != {"energy", "forces", "stress"}:
                not_begun.append(place)
            elif not evaluation.converged:
                unconverged.append(place)
            else:
                try:
                    label_checks.check(evaluation.values)
                except label_checks.Refused as error:
                    refused[str(place)] = str(error)
                else:
                    labelled.append(with_labels(atoms, **evaluation.values))
        level = self.node.inputs.level_of_theory.value
        if labelled:
            self.out("configurations", ConfigurationsData(labelled, configurations.species, level))
        results = {
            "n_configurations": len(configurations),
            "n_labelled": len(labelled),
            "unconverged": unconverged,
            "refused": refused,
            "not_begun": not_begun,
            "level_of_theory": level,
        }
        self.out("results", orm.Dict(results))
        return self._exit_code(results, output)

    def _exit_code(self, results: dict[str, Any], output: cp2k.Output) -> ExitCode | None:
        labelled, total = results["n_labelled"], results["n_configurations"]
        if output.abort:
            return self.exit_codes.ERROR_ABORTED.format(detail=output.abort)
        if results["not_begun"] and output.out_of_time:
            return self.exit_codes.ERROR_OUT_OF_WALLTIME.format(labelled=labelled, total=total)
        if results["not_begun"] or not output.ended:
            return self.signalled(
                f"; {labelled} of {total} configurations are labelled"
            ) or self.exit_codes.ERROR_INTERRUPTED.format(labelled=labelled, total=total)
        if labelled < total:
            causes = [f"{place}: the electrons did not converge" for place in results["unconverged"]]
            causes += [f"{place}: {reason}" for place, reason in results["refused"].items()]
            detail = "; ".join(causes[:5])
            return self.exit_codes.ERROR_NOT_CONVERGED.format(failed=total - labelled, total=total, detail=detail)
        return None
