"""Training, grading, selecting and testing with ``lpsgb-mlp`` or MLIP-2's ``mlp``: the Code alone decides which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from ase import Atoms

from aiida_lpsgb.calculations.program import call_of, declare_program, threads_of
from aiida_lpsgb.calculations.validation import configurations_error, levels_error
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.data.potential import PotentialData
from aiida_lpsgb.mtp.configurations import write_cfg
from aiida_lpsgb.mtp.training import prior_error

# Name of the feature that tells which candidate a selected configuration is.
INDEX_FEATURE = "lpsgb_index"
# What the value of an option may be; a tuple lists the words it may be.
POSITIVE, WEIGHT, FLAG = "a positive number", "a number of at least 0", "true or false"
ABOVE_ONE = "a number above 1"
COUNT, INTEGER, NAME = "an integer of at least 1", "an integer of at least 0", "a name"
WEIGHTS_BY_NAME = "numbers of at least 0 by name"


def _is_valid(value: Any, kind: str | tuple[str, ...]) -> bool:
    if isinstance(kind, tuple):
        return value in kind
    if kind == NAME:
        return isinstance(value, str) and value.replace("_", "a").isalnum()
    if kind == WEIGHTS_BY_NAME:
        return isinstance(value, Mapping) and all(_is_valid(weight, WEIGHT) for weight in value.values())
    if kind == FLAG or isinstance(value, bool):
        return kind == FLAG and isinstance(value, bool)
    if not isinstance(value, int if kind in (COUNT, INTEGER) else (int, float)) or not math.isfinite(value):
        return False
    if kind == ABOVE_ONE:
        return value > 1
    return value >= {POSITIVE: math.ulp(0.0), COUNT: 1}.get(kind, 0)


def _expected(kind: str | tuple[str, ...]) -> str:
    return f"one of {', '.join(kind)}" if isinstance(kind, tuple) else kind


def _parameters_of(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return inputs["parameters"].get_dict() if "parameters" in inputs else {}


_RESULTS_HELP = (
    "What the program reported, the unit in each key. Errors of forces and stresses: `rmse` is that of a component, "
    "`mae` and `max` are the mean and the largest length of the difference."
)


class MlpCalculation(CalcJob):
    """What the sub-commands of ``mlp`` have in common."""

    COMMAND: ClassVar[str]
    PARSER: ClassVar[str]
    # Options of the sub-command, without their leading dashes and with underscores, and what their values may be.
    OPTIONS: ClassVar[dict[str, Any]]
    # What is to be said of some of them.
    OPTIONS_HELP: ClassVar[str] = ""

    POTENTIAL_FILE = "potential.mtp"
    TRAINING_FILE = "train.cfg"
    CONFIGURATIONS_FILE = "in.cfg"
    OUTPUT_FILE = "mlp.out"
    ERROR_FILE = "mlp.err"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the ports and exit codes that all sub-commands share."""
        super().define(spec)
        spec.input("potential", valid_type=PotentialData, help="Moment tensor potential; its species order the types.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=cls._parameters_error,
            help=f"Options of `mlp {cls.COMMAND}`, with underscores for dashes: {', '.join(sorted(cls.OPTIONS))}."
            f" An option that is not given is not sent, so the program's own default holds.{cls.OPTIONS_HELP}",
        )
        declare_program(spec, cls.POTENTIAL_FILE, cls.OUTPUT_FILE, cls.PARSER)
        spec.inputs.validator = cls._inputs_error

        spec.output("results", valid_type=orm.Dict, help=_RESULTS_HELP)
        spec.default_output_node = "results"

        spec.exit_code(
            300,
            "ERROR_OUTPUT_MISSING",
            message="The program left no output: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(
            301,
            "ERROR_OUTPUT_INCOMPLETE",
            message="The output is truncated or does not fit the input: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(310, "ERROR_MLP", message="The program stopped: {detail}", invalidates_cache=True)
        spec.exit_code(
            400,
            "ERROR_OUT_OF_WALLTIME",
            message="The wall time ended before the program did; ask for more of it.",
            invalidates_cache=True,
        )

    @classmethod
    def _parameters_error(cls, node: orm.Dict | None, _: Any) -> str | None:
        if node is None:
            return None
        for key, value in node.get_dict().items():
            if key not in cls.OPTIONS:
                return f"parameters: `mlp {cls.COMMAND}` has no option {key!r}; it has {', '.join(sorted(cls.OPTIONS))}"
            if not _is_valid(value, cls.OPTIONS[key]):
                return f"parameters: {key} is {value!r}, expected {_expected(cls.OPTIONS[key])}"
        return None

    @classmethod
    def _inputs_error(cls, inputs: Mapping[str, Any], _: Any) -> str | None:
        """Check what involves more than one port; a port may be missing where these inputs are exposed."""
        potential = inputs.get("potential")
        if potential is None:
            return None
        for port, node in cls._configurations_ports(inputs):
            error = configurations_error(node, potential, port)
            if error:
                return error
        return cls._own_error(inputs)

    @classmethod
    def _own_error(cls, inputs: Mapping[str, Any]) -> str | None:
        if not inputs["potential"].trained:
            return f"potential: it is not trained, which `mlp {cls.COMMAND}` needs"
        return None

    @staticmethod
    def _configurations_ports(inputs: Mapping[str, Any]) -> Iterator[tuple[str, ConfigurationsData]]:
        for port, value in inputs.items():
            if isinstance(value, ConfigurationsData):
                yield port, value
            elif isinstance(value, Mapping) and port != "metadata":
                for label, node in value.items():
                    if isinstance(node, ConfigurationsData):
                        yield f"{port}.{label}", node

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the files the sub-command reads and build its command line."""
        calcinfo = call_of(self, [self.COMMAND, *self._write_files(folder), *self._options()])
        potential = self.inputs.potential
        calcinfo.local_copy_list = [(potential.uuid, potential.filename, self.POTENTIAL_FILE)]
        calcinfo.retrieve_temporary_list = []
        self._name_outputs(calcinfo)
        return calcinfo

    def _options(self) -> Iterator[str]:
        for key, value in sorted(self._sent().items()):
            option = "--" + key.replace("_", "-")
            if value is True:
                yield option
            elif value is not False:
                yield f"{option}={value}"
        # MLIP-2's program has processes instead.
        threads = threads_of(self.options.resources)
        if threads > 1 and not self.options.withmpi:
            yield f"--threads={threads}"

    def _sent(self) -> dict[str, Any]:
        """The options that are the program's own."""
        return _parameters_of(self.inputs)

    def _write(self, folder: Folder, name: str, images: Any) -> None:
        write_cfg(folder.get_abs_path(name), images, self.inputs.potential.species)

    def _write_training_sets(self, folder: Folder) -> None:
        sets = self.inputs.training_sets
        images = chain.from_iterable(self._weighted(label, sets[label]) for label in sorted(sets))
        self._write(folder, self.TRAINING_FILE, images)

    def _weighted(self, label: str, images: Iterable[Atoms]) -> Iterable[Atoms]:
        """The configurations of a training set with what they count, where the program is to know."""
        return images

    def _write_files(self, folder: Folder) -> list[str]:
        """Write the input files; return the arguments of the sub-command."""
        raise NotImplementedError

    def _name_outputs(self, calcinfo: CalcInfo) -> None:
        """Add the files to bring back."""


def _add_training_sets(spec: CalcJobProcessSpec, help_text: str) -> None:
    spec.input_namespace(
        "training_sets",
        dynamic=True,
        valid_type=ConfigurationsData,
        validator=_training_sets_error,
        help=f"{help_text} They are joined in the order of their labels.",
    )


def _training_sets_error(value: Mapping[str, Any], _: Any) -> str | None:
    if not value:
        return "training_sets: there is none; give at least one, such as training_sets.start"
    return None


class MlpTrainCalculation(MlpCalculation):
    """Train a moment tensor potential (``mlp train``)."""

    COMMAND = "train"
    PARSER = "lpsgb.mlp.train"
    OPTIONS = {
        "energy_weight": WEIGHT,
        "force_weight": WEIGHT,
        "stress_weight": WEIGHT,
        "scale_by_force": WEIGHT,
        "l2": WEIGHT,
        "prior_weight": POSITIVE,
        "max_iter": COUNT,
        "bfgs_conv_tol": POSITIVE,
        "weighting": ("vibrations", "molecules", "structures"),
        "weight_feature": NAME,
        "set_weights": WEIGHTS_BY_NAME,
        "init_params": ("random", "same"),
        "starts": COUNT,
        "skip_preinit": FLAG,
        "update_mindist": FLAG,
        "seed": INTEGER,
        "bootstrap_seed": INTEGER,
    }
    OPTIONS_HELP = (
        " Of `lpsgb-mlp` alone: `starts`, the number of random starts that a potential without coefficients is given"
        " (the best goes on), `seed`, of these and all that is random, and"
        " `bootstrap_seed`, by which the configurations are weighted at random (a Bayesian bootstrap). Jobs that differ"
        " in these two alone give a committee; equal seeds give equal potentials. `prior_weight`, as how many"
        " configurations the `prior` counts (8). `l2`, which holds coefficients that few configurations determine."
        " `weight_feature`, the feature of a configuration by which its part of the loss is multiplied. And"
        " `set_weights`, as how many each configuration of a training set counts, by the set's name (1):"
        " `{strained: 3, minima_*: 2}`."
    )
    SET_WEIGHT = "set_weight"
    TRAINED_FILE = "trained.mtp"
    CURRENT_FILE = "current.mtp"
    VALIDATION_FILE = "validation.cfg"
    PRIOR_FILE, PRIOR_SET_FILE = "prior.mtp", "prior.cfg"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        _add_training_sets(spec, "Labelled configurations to train on.")
        spec.input(
            "validation_set",
            valid_type=ConfigurationsData,
            required=False,
            help="Labelled configurations that are not trained on; the errors on them are reported.",
        )
        spec.input(
            "prior",
            valid_type=PotentialData,
            required=False,
            help="A potential of another level of theory, of `potential`'s level, cut-offs and species, near which the "
            "trained one stays as far as `prior_set` determines it. Of `lpsgb-mlp` alone.",
        )
        spec.input(
            "prior_set",
            valid_type=ConfigurationsData,
            required=False,
            help="The labelled configurations that the `prior` was trained on.",
        )
        spec.output(
            "potential",
            valid_type=PotentialData,
            required=False,
            help="The trained potential with its training errors. After `ERROR_OUT_OF_WALLTIME`, as far as it got.",
        )
        spec.exit_code(
            320,
            "ERROR_INVALID_POTENTIAL",
            message="The trained potential is not usable: {detail}",
        )

    @classmethod
    def _own_error(cls, inputs: Mapping[str, Any]) -> str | None:
        ports = list(cls._configurations_ports(inputs))
        for port, node in ports:
            if not node.labelled:
                n_missing = len(node) - node.base.attributes.get("n_labelled")
                return f"{port}: {n_missing} of {len(node)} configurations lack energy or forces; label them first"
        given = _parameters_of(inputs)
        if "set_weights" in given and "weight_feature" in given:
            return "parameters: give either set_weights or weight_feature"
        if ("prior" in inputs) != ("prior_set" in inputs):
            return "prior: `prior` and `prior_set` go together"
        if "prior" in inputs and (message := _prior_error(inputs)):
            return f"prior: {message}"
        # What was learned from the prior's labels is what may be of another level.
        return levels_error([(port, node) for port, node in ports if port != "prior_set"])

    def _sent(self) -> dict[str, Any]:
        sent = super()._sent()
        if sent.pop("set_weights", None):
            sent["weight_feature"] = self.SET_WEIGHT
        return sent

    def _weighted(self, label: str, images: Iterable[Atoms]) -> Iterable[Atoms]:
        given = _parameters_of(self.inputs).get("set_weights", {})
        weight = next((weight for pattern, weight in given.items() if fnmatch(label, pattern)), None)
        for atoms in images:
            if weight is not None:
                atoms.info["features"] = {**atoms.info.get("features", {}), self.SET_WEIGHT: weight}
            yield atoms

    def _write_files(self, folder: Folder) -> list[str]:
        self._write_training_sets(folder)
        arguments = [
            self.POTENTIAL_FILE,
            self.TRAINING_FILE,
            f"--trained-pot-name={self.TRAINED_FILE}",
            f"--curr-pot-name={self.CURRENT_FILE}",
        ]
        if "validation_set" in self.inputs:
            self._write(folder, self.VALIDATION_FILE, self.inputs.validation_set)
            arguments.append(f"--valid-cfgs={self.VALIDATION_FILE}")
        if "prior" in self.inputs:
            Path(folder.get_abs_path(self.PRIOR_FILE)).write_text(self.inputs.prior.get_content(), encoding="utf-8")
            self._write(folder, self.PRIOR_SET_FILE, self.inputs.prior_set)
            arguments += [f"--prior={self.PRIOR_FILE}", f"--prior-set={self.PRIOR_SET_FILE}"]
        return arguments

    def _name_outputs(self, calcinfo: CalcInfo) -> None:
        # The potential becomes a node of its own.
        calcinfo.retrieve_temporary_list += [self.TRAINED_FILE, self.CURRENT_FILE]


def _prior_error(inputs: Mapping[str, Any]) -> str | None:
    prior, potential = inputs["prior"], inputs["potential"]
    if not prior.trained:
        return "it is not trained"
    if _parameters_of(inputs).get("l2"):
        return "`parameters` has l2 as well; give one of them"
    if prior.species != potential.species:
        return f"its species are {prior.species}, those of `potential` {potential.species}"
    return prior_error(prior.mtp, potential.mtp)


_SELECTION_OPTIONS = {
    "init_threshold": POSITIVE,
    "init_scale": POSITIVE,
    "select_threshold": ABOVE_ONE,
    "swap_threshold": ABOVE_ONE,
    "energy_weight": WEIGHT,
    "nbh_weight": WEIGHT,
}


def _selection_error(inputs: Mapping[str, Any]) -> str | None:
    parameters = _parameters_of(inputs)
    if parameters.get("energy_weight", 1) == 0 and not parameters.get("nbh_weight", 0):
        return "parameters: energy_weight is 0 and nbh_weight is not given, so there is nothing to select by"
    return None


class MlpGradeCalculation(MlpCalculation):
    """Build the active set of training sets and grade configurations by it (``mlp calc-grade``)."""

    COMMAND = "calc-grade"
    PARSER = "lpsgb.mlp.grade"
    OPTIONS = _SELECTION_OPTIONS
    ACTIVE_SET_FILE = "active_set.als"
    GRADED_FILE = "graded.cfg"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs."""
        super().define(spec)
        _add_training_sets(spec, "Configurations the potential was trained on.")
        spec.input(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="Configurations to grade. Without them only the active set is built.",
        )
        spec.output("active_set", valid_type=orm.SinglefileData, help="Active set (`.als`) of the training sets.")
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="The configurations in their order, each with its extrapolation grade in `info['mv_grade']`.",
        )

    @classmethod
    def _own_error(cls, inputs: Mapping[str, Any]) -> str | None:
        return super()._own_error(inputs) or _selection_error(inputs)

    def _write_files(self, folder: Folder) -> list[str]:
        self._write_training_sets(folder)
        if "configurations" in self.inputs:
            self._write(folder, self.CONFIGURATIONS_FILE, self.inputs.configurations)
        else:
            first = min(self.inputs.training_sets)
            self._write(folder, self.CONFIGURATIONS_FILE, [self.inputs.training_sets[first][0]])
        files = [self.POTENTIAL_FILE, self.TRAINING_FILE, self.CONFIGURATIONS_FILE, self.GRADED_FILE]
        return [*files, f"--als-filename={self.ACTIVE_SET_FILE}"]

    def _name_outputs(self, calcinfo: CalcInfo) -> None:
        calcinfo.retrieve_temporary_list += [self.ACTIVE_SET_FILE, self.GRADED_FILE]


class MlpSelectCalculation(MlpCalculation):
    """Select the candidates that a training set should be extended by (``mlp select-add``)."""

    COMMAND = "select-add"
    PARSER = "lpsgb.mlp.select"
    OPTIONS = {
        **_SELECTION_OPTIONS,
        "selection_limit": INTEGER,
        "weighting": ("vibrations", "molecules", "structures"),
    }
    ACTIVE_SET_FILE = "active_set.als"
    SELECTED_FILE = "selected.cfg"
    ADDED_FILE = "added.cfg"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs."""
        super().define(spec)
        _add_training_sets(spec, "Configurations the potential was trained on.")
        spec.input_namespace(
            "candidates",
            dynamic=True,
            valid_type=ConfigurationsData,
            validator=_candidates_error,
            help="Configurations to select from.",
        )
        spec.output(
            "selected",
            valid_type=ConfigurationsData,
            required=False,
            help="The candidates to add, in the order of their labels and places there; absent if there is none.",
        )
        spec.output(
            "active_set",
            valid_type=orm.SinglefileData,
            required=False,
            help="Active set (`.als`) of the training sets and the selected candidates together.",
        )

    @classmethod
    def _own_error(cls, inputs: Mapping[str, Any]) -> str | None:
        return super()._own_error(inputs) or _selection_error(inputs)

    def _write_files(self, folder: Folder) -> list[str]:
        self._write_training_sets(folder)
        self._write(folder, self.CONFIGURATIONS_FILE, numbered(self.inputs.candidates))
        files = [self.POTENTIAL_FILE, self.TRAINING_FILE, self.CONFIGURATIONS_FILE, self.ADDED_FILE]
        return [*files, f"--als-filename={self.ACTIVE_SET_FILE}", f"--selected-filename={self.SELECTED_FILE}"]

    def _name_outputs(self, calcinfo: CalcInfo) -> None:
        calcinfo.retrieve_temporary_list += [self.ACTIVE_SET_FILE, self.ADDED_FILE]


def _candidates_error(value: Mapping[str, Any], _: Any) -> str | None:
    if not value:
        return "candidates: there is none; give at least one, such as candidates.exploration"
    return None


def numbered(candidates: Mapping[str, ConfigurationsData]) -> Iterator[Atoms]:
    """Yield all candidates in the order of their labels, each with its number in all as a feature."""
    images = chain.from_iterable(candidates[label] for label in sorted(candidates))
    for number, atoms in enumerate(images):
        atoms.info = {"features": {INDEX_FEATURE: str(number)}}
        yield atoms


class MlpErrorsCalculation(MlpCalculation):
    """Compare a potential with the labels of configurations (``mlp calc-errors``)."""

    COMMAND = "calc-errors"
    PARSER = "lpsgb.mlp.errors"
    OPTIONS = {}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Labelled configurations to compare with.")

    @classmethod
    def _own_error(cls, inputs: Mapping[str, Any]) -> str | None:
        configurations = inputs.get("configurations")
        if configurations is not None and not configurations.labelled:
            return "configurations: some lack energy or forces, so there is nothing to compare with; label them first"
        return super()._own_error(inputs)

    def _write_files(self, folder: Folder) -> list[str]:
        self._write(folder, self.CONFIGURATIONS_FILE, self.inputs.configurations)
        return [self.POTENTIAL_FILE, self.CONFIGURATIONS_FILE]


class MlpPredictCalculation(MlpCalculation):
    """Predict energies, forces and stresses of configurations (``mlp calc-efs``)."""

    COMMAND = "calc-efs"
    PARSER = "lpsgb.mlp.predict"
    OPTIONS = {}
    PREDICTED_FILE = "predicted.cfg"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Configurations, labelled or not.")
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            help="The configurations in their order, with the potential's energy, forces and stress as labels.",
        )

    def _write_files(self, folder: Folder) -> list[str]:
        self._write(folder, self.CONFIGURATIONS_FILE, self.inputs.configurations)
        return [self.POTENTIAL_FILE, self.CONFIGURATIONS_FILE, self.PREDICTED_FILE]

    def _name_outputs(self, calcinfo: CalcInfo) -> None:
        calcinfo.retrieve_temporary_list += [self.PREDICTED_FILE]
