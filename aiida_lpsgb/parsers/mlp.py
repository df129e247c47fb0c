"""Parsers of ``mlp train``, ``calc-grade``, ``select-add``, ``calc-errors`` and ``calc-efs``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode
from ase import Atoms

from aiida_lpsgb.calculations.mlp import (
    INDEX_FEATURE,
    MlpCalculation,
    MlpGradeCalculation,
    MlpPredictCalculation,
    MlpSelectCalculation,
    MlpTrainCalculation,
)
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.labelling.container import with_labels
from aiida_lpsgb.mtp.configurations import labels as labels_of
from aiida_lpsgb.mtp.configurations import read_cfg
from aiida_lpsgb.parsers import mlp_output
from aiida_lpsgb.parsers.program import ProgramParser

# Exit status that a scheduler plugin sets when the wall time ran out.
_SCHEDULER_OUT_OF_WALLTIME = 120
# `mlp` writes configurations with few decimals.
_POSITION_TOLERANCE = 1e-4
# What predictions have for a level of theory, so that nobody mixes them with labels.
PREDICTED = "moment tensor potential"


class MlpParser(ProgramParser):
    """What the parsers of all sub-commands have in common."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Parse the files of a finished job."""
        self._folder = Path(kwargs.get("retrieved_temporary_folder") or ".")
        name = self.node.get_option("output_filename")
        if name not in self.retrieved.base.repository.list_object_names():
            return self._ended(self.exit_codes.ERROR_OUTPUT_MISSING.format(detail="it did not start"))
        stdout = self.read(name)
        failure = mlp_output.find_failure(stdout, self.read(MlpCalculation.ERROR_FILE))
        if failure:
            return self.exit_codes.ERROR_MLP.format(detail=failure)
        return self._parse_files(stdout)

    def _parse_files(self, stdout: str) -> ExitCode | None:
        raise NotImplementedError

    def _ended(self, otherwise: ExitCode) -> ExitCode:
        """Blame the wall time if the scheduler does, or the signal that ended it, otherwise give the code at hand."""
        if self.node.exit_status == _SCHEDULER_OUT_OF_WALLTIME:
            return self.exit_codes.ERROR_OUT_OF_WALLTIME
        return self.signalled() or otherwise

    def _incomplete(self, detail: str) -> ExitCode:
        return self._ended(self.exit_codes.ERROR_OUTPUT_INCOMPLETE.format(detail=detail))

    def _missing(self, name: str) -> ExitCode:
        return self._ended(self.exit_codes.ERROR_OUTPUT_MISSING.format(detail=f"{name} was not written"))

    def _namespace(self, name: str) -> dict[str, ConfigurationsData]:
        """Return the inputs of a dynamic namespace by label, in the order of the labels."""
        inputs = self.node.base.links.get_incoming().nested().get(name, {})
        return {label: inputs[label] for label in sorted(inputs)}

    def _cfg(self, name: str) -> list[Atoms]:
        return read_cfg(self._folder / name, self.node.inputs.potential.species)

    def _answers(self, name: str, configurations: ConfigurationsData) -> list[Atoms] | ExitCode:
        """Return what the program wrote of each configuration it was sent, or say what is wrong with it."""
        if not (self._folder / name).exists():
            return self._missing(name)
        try:
            answers = self._cfg(name)
        except ValueError as error:
            return self._incomplete(str(error))
        if len(answers) != len(configurations):
            return self._incomplete(f"{name} holds {len(answers)} of {len(configurations)} configurations")
        if not all(_same(*pair) for pair in zip(configurations, answers, strict=True)):
            return self._incomplete(f"{name} holds other configurations than were sent, or another order")
        return answers


class MlpTrainParser(MlpParser):
    """Parser of ``mlp train``."""

    def _parse_files(self, stdout: str) -> ExitCode | None:
        training = mlp_output.parse_training(stdout)
        report = training["training"]
        if report is None:
            self._keep_current(training)
            return self._incomplete("there is no report of the training errors")
        expected = sum(len(node) for node in self._namespace("training_sets").values())
        if report["n_configurations"] != expected:
            return self._incomplete(f"it trained on {report['n_configurations']} of {expected} configurations")
        path = self._folder / MlpTrainCalculation.TRAINED_FILE
        if not path.exists():
            return self._missing(path.name)
        if not mlp_output.is_finite(report):
            return self.exit_codes.ERROR_INVALID_POTENTIAL.format(detail="its training errors are not finite")
        try:
            potential = PotentialData(path, self.node.inputs.potential.species, training_errors=_errors(report))
        except ValueError as error:
            return self.exit_codes.ERROR_INVALID_POTENTIAL.format(detail=error)
        if not potential.trained:
            return self.exit_codes.ERROR_INVALID_POTENTIAL.format(detail="it has no coefficients")
        self.out("potential", potential)
        self.out("results", orm.Dict(_finite(training)))
        return None

    def _keep_current(self, training: dict[str, Any]) -> None:
        """Give the potential of the last complete iteration, if there is one, and how far it got, as outputs."""
        path = self._folder / MlpTrainCalculation.CURRENT_FILE
        if not path.exists():
            return
        try:
            potential = PotentialData(path, self.node.inputs.potential.species)
        except ValueError:
            # The job ended while it was being written.
            return
        if potential.trained:
            self.out("potential", potential)
            self.out("results", orm.Dict(_finite(training)))


def _errors(report: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in report.items() if not key.startswith("n_")}


def _finite(training: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not finite (errors on the validation set, loss), which the database cannot hold."""
    result = {key: value for key, value in training.items() if value is not None}
    if "validation" in result:
        result["validation"] = {key: value for key, value in result["validation"].items() if np.isfinite(value)}
    result["loss_history"] = [value for value in training["loss_history"] if np.isfinite(value)]
    return result


class MlpErrorsParser(MlpParser):
    """Parser of ``mlp calc-errors``."""

    def _parse_files(self, stdout: str) -> ExitCode | None:
        report = mlp_output.parse_report(stdout)
        if report is None:
            return self._incomplete("there is no complete report of errors")
        expected = len(self.node.inputs.configurations)
        if report["n_configurations"] != expected:
            return self._incomplete(f"it compared {report['n_configurations']} of {expected} configurations")
        if not mlp_output.is_finite(report):
            return self._incomplete("the errors are not finite")
        self.out("results", orm.Dict(report))
        return None


class MlpGradeParser(MlpParser):
    """Parser of ``mlp calc-grade``."""

    def _parse_files(self, stdout: str) -> ExitCode | None:
        active_set = self._folder / MlpGradeCalculation.ACTIVE_SET_FILE
        if not active_set.exists() or not active_set.stat().st_size:
            return self._missing(active_set.name)
        if "configurations" in self.node.inputs:
            exit_code = self._parse_grades(self.node.inputs.configurations)
            if exit_code is not None:
                return exit_code
        else:
            self.out("results", orm.Dict({"n_configurations": 0}))
        self.out("active_set", orm.SinglefileData(active_set, filename=active_set.name))
        return None

    def _parse_grades(self, configurations: ConfigurationsData) -> ExitCode | None:
        name = MlpGradeCalculation.GRADED_FILE
        graded = self._answers(name, configurations)
        if isinstance(graded, ExitCode):
            return graded
        grades = [atoms.info.get("mv_grade") for atoms in graded]
        if None in grades or not np.isfinite(grades).all():
            return self._incomplete(f"{name} has configurations without a finite grade")
        self.out(
            "configurations",
            ConfigurationsData(
                _with_grades(configurations, graded), configurations.species, configurations.level_of_theory
            ),
        )
        self.out(
            "results",
            orm.Dict(
                {
                    "n_configurations": len(grades),
                    "max_grade": max(grades),
                    "mean_grade": float(np.mean(grades)),
                    "n_above_one": int(np.sum(np.array(grades) > 1)),
                }
            ),
        )
        return None


def _same(sent: Atoms, received: Atoms) -> bool:
    return (
        len(sent) == len(received)
        and np.array_equal(sent.numbers, received.numbers)
        and np.allclose(sent.positions, received.positions, atol=_POSITION_TOLERANCE, rtol=1e-6)
    )


def _with_grades(configurations: ConfigurationsData, graded: list[Atoms]) -> Iterator[Atoms]:
    """Put the grades on the images that were sent, which are exact."""
    for atoms, copy in zip(configurations, graded, strict=True):
        atoms.info["mv_grade"] = copy.info["mv_grade"]
        if "nbh_grades" in copy.arrays:
            atoms.set_array("nbh_grades", copy.arrays["nbh_grades"])
        yield atoms


class MlpPredictParser(MlpParser):
    """Parser of ``mlp calc-efs``."""

    def _parse_files(self, stdout: str) -> ExitCode | None:
        name, sent = MlpPredictCalculation.PREDICTED_FILE, self.node.inputs.configurations
        answers = self._answers(name, sent)
        if isinstance(answers, ExitCode):
            return answers
        labels = [labels_of(atoms) for atoms in answers]
        if not all({"energy", "forces"} <= set(found) for found in labels):
            return self._incomplete(f"{name} has configurations without energy or forces")
        try:
            predicted = ConfigurationsData(
                (with_labels(atoms, **found) for atoms, found in zip(sent, labels, strict=True)),
                sent.species,
                PREDICTED,
            )
        except ValueError as error:
            return self._incomplete(str(error))
        self.out("configurations", predicted)
        self.out("results", orm.Dict({"n_configurations": len(labels)}))
        return None


class MlpSelectParser(MlpParser):
    """Parser of ``mlp select-add``."""

    def _parse_files(self, stdout: str) -> ExitCode | None:
        name = MlpSelectCalculation.ADDED_FILE
        if not (self._folder / name).exists():
            return self._missing(name)
        try:
            selected = self._cfg(name)
            numbers = sorted(int(atoms.info["features"][INDEX_FEATURE]) for atoms in selected)
        except ValueError as error:
            return self._incomplete(str(error))
        except KeyError:
            return self._incomplete(f"{name} does not tell which candidates it holds (feature {INDEX_FEATURE})")
        candidates = self._namespace("candidates")
        n_candidates = sum(len(node) for node in candidates.values())
        if len(set(numbers)) != len(numbers) or (numbers and not 0 <= numbers[0] <= numbers[-1] < n_candidates):
            return self._incomplete(f"{name} names candidates twice, or that there are not")
        if numbers:
            self._give_selected(candidates, set(numbers))
        active_set = self._folder / MlpSelectCalculation.ACTIVE_SET_FILE
        if active_set.exists() and active_set.stat().st_size:
            self.out("active_set", orm.SinglefileData(active_set, filename=active_set.name))
        self.out(
            "results",
            orm.Dict(
                {
                    "n_candidates": n_candidates,
                    "n_selected": len(numbers),
                    "selected": _by_label(candidates, numbers),
                }
            ),
        )
        return None

    def _give_selected(self, candidates: dict[str, ConfigurationsData], numbers: set[int]) -> None:
        images = enumerate(chain.from_iterable(candidates.values()))
        levels = {node.level_of_theory for node in candidates.values()}
        self.out(
            "selected",
            ConfigurationsData(
                (atoms for number, atoms in images if number in numbers),
                self.node.inputs.potential.species,
                levels.pop() if len(levels) == 1 else None,
            ),
        )


def _by_label(candidates: dict[str, ConfigurationsData], numbers: list[int]) -> dict[str, list[int]]:
    """Return the places of the selected candidates in each set."""
    places, start = {}, 0
    for label, node in candidates.items():
        places[label] = [number - start for number in numbers if start <= number < start + len(node)]
        start += len(node)
    return places
