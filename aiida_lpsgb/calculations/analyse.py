"""All observables of a run in one job, with `lpsgb-analyse`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, ProcessBuilder

from aiida_lpsgb.analysis.observables import parameters_error, regions_of, registry
from aiida_lpsgb.calculations.program import THREADS, call_of, declare_program, threads_of
from aiida_lpsgb.calculations.protocols import ProtocolReader
from aiida_lpsgb.data.diffusivity import DiffusivityData
from aiida_lpsgb.data.trajectory import TrajectoryData


class AnalyseCalculation(ProtocolReader, CalcJob):
    """Compute observables of a trajectory in segments: structure, motion, topology, disorder."""

    WHOLE_ENTRIES = ("bonds_A",)
    OPEN_ENTRIES = tuple(registry())

    REQUEST_FILE = "request.json"
    RESULTS_FOLDER = "results"
    OUTPUT_FILE = "analyse.out"
    ERROR_FILE = "analyse.err"

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports, outputs and exit codes."""
        super().define(spec)
        spec.input_namespace(
            "trajectories",
            valid_type=TrajectoryData,
            dynamic=True,
            validator=_trajectories_error,
            help="Segments of one run, joined in the order of their keys, such as `segment_000`. They must hold the "
            "same atoms; a frame that a restart repeats is dropped.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=observables_error,
            help="What to compute: by observable its parameters, or None where it is not wanted. "
            f"{_observables_help()} `lpsgb-analyse --help` lists the parameters.",
        )
        spec.input(
            "regions",
            valid_type=orm.Dict,
            required=False,
            serializer=orm.to_aiida_type,
            validator=regions_error,
            help="Parts of the cell by name, which a parameter `region` may name: slabs `{axis, centres, thickness_A}` "
            "or a box `{low, high}`, in fractions of the cell vectors. `regions` resolves diffusion by all of them.",
        )
        spec.inputs.validator = inputs_error
        declare_program(spec, cls.REQUEST_FILE, cls.OUTPUT_FILE, "lpsgb.analyse")
        threads = f"The program takes as many threads as the first of {', '.join(THREADS)} says."
        spec.inputs["metadata"]["options"]["resources"].help = threads

        cls._define_outputs(spec)
        cls._define_exit_codes(spec)

    @classmethod
    def _define_outputs(cls, spec: CalcJobProcessSpec) -> None:
        for observable in registry().values():
            valid_type = DiffusivityData if observable.node == "diffusivity" else (orm.ArrayData, orm.Dict)
            if observable.variants:
                spec.output_namespace(
                    observable.name, valid_type=valid_type, dynamic=True, required=False, help=observable.summary
                )
            elif observable.needs_regions:
                spec.output_namespace(
                    observable.name,
                    valid_type=valid_type,
                    dynamic=True,
                    required=False,
                    help=f"{observable.summary} Named `<region>_<estimator>`; `elsewhere` is what no region holds.",
                )
            else:
                spec.output(observable.name, valid_type=valid_type, required=False, help=observable.summary)
        spec.output(
            "summary",
            valid_type=orm.Dict,
            required=False,
            help="Headline numbers by observable, those of `topology` and `regions` by name, each with its "
            "uncertainty (None: not known); `run` has frames, duration, cell and density of the run.",
        )
        spec.default_output_node = "summary"

    @classmethod
    def _define_exit_codes(cls, spec: CalcJobProcessSpec) -> None:
        spec.exit_code(
            300, "ERROR_OUTPUT_MISSING", message="The program left no results: {detail}", invalidates_cache=True
        )
        spec.exit_code(
            301,
            "ERROR_INTERRUPTED",
            message="The program was ended from outside (wall time, memory); attached is what it had: {detail}",
            invalidates_cache=True,
        )
        spec.exit_code(310, "ERROR_PROGRAM", message="The program stopped: {detail}", invalidates_cache=True)
        # What follows from the inputs alone would come out again: it may be taken from the cache.
        spec.exit_code(
            320,
            "ERROR_TRAJECTORIES",
            message="The trajectories are not segments of one run: {detail}",
            invalidates_cache=False,
        )
        spec.exit_code(
            321,
            "ERROR_OBSERVABLES_REFUSED",
            message="Not all can be computed of this run: {detail}; the others are attached.",
            invalidates_cache=False,
        )
        spec.exit_code(
            322,
            "ERROR_OBSERVABLES_FAILED",
            message="Not all could be computed: {detail}; the others are attached.",
            invalidates_cache=True,
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        trajectories: Mapping[str, TrajectoryData] | TrajectoryData,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        regions: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Builder with the numbers of a protocol.

        Parameters
        ----------
        code
            For `lpsgb-analyse`.
        trajectories
            Segments by key, or the only one.
        protocol
            `fast`, `moderate` (default) or `paper`.
        overrides
            Replacements for entries of the protocol: `mobile` (species and charge of what moves), and parameters by
            observable, None to leave one out. A parameter `region` names one of `regions`.
        regions
            Regions by name: `{axis, centres, thickness_A}` or `{low, high}`. Diffusion is resolved by them.
        options
            `metadata.options` of the job.

        Raises
        ------
        ValueError
            With the path of what is wrong: an unknown observable, parameter, region or species.
        """
        builder = cls.get_builder()
        builder.code = code
        builder.trajectories = {"segment_000": trajectories} if isinstance(trajectories, orm.Data) else trajectories
        builder.parameters = orm.Dict(cls.get_parameters(protocol, overrides, by_region=bool(regions)))
        if regions:
            builder.regions = orm.Dict(dict(regions))
        if options:
            builder.metadata.options = dict(options)
        if message := inputs_error(builder._inputs(prune=True), None):
            raise ValueError(message)
        return builder

    @classmethod
    def get_parameters(
        cls,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        *,
        by_region: bool = False,
        path: str = "",
    ) -> dict[str, Any]:
        """Parameters of the observables of a protocol.

        Parameters
        ----------
        protocol, overrides
            As of `get_builder_from_protocol`.
        by_region
            Whether diffusion is to be resolved by named regions.
        path
            Where the overrides stand in those of a parent, for messages.
        """
        values = cls.get_protocol_inputs(protocol, overrides, path=path)
        mobile = values.pop("mobile")
        del values["options"], values["protocol"]
        if not by_region:
            values["regions"] = None
        known = registry()
        for name, given in values.items():
            if given is not None:
                default = {key: value for key, value in mobile.items() if key in known[name].parameters}
                if known[name].variants:
                    values[name] = {v: p if p is None else default | p for v, p in given.items()}
                else:
                    values[name] = default | given
        return values

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the request; the segments are copied as they are, and stored nowhere again."""
        request = {"parameters": self.inputs.parameters.get_dict(), "temperature_K": self._temperature_K()}
        if "regions" in self.inputs:
            request["regions"] = self.inputs.regions.get_dict()
        text = json.dumps(request, indent=1, sort_keys=True)
        folder.create_file_from_filelike(io.StringIO(text), self.REQUEST_FILE, mode="w", encoding="utf-8")

        segments = dict(sorted(self.inputs.trajectories.items()))
        names = [f"{key}.lpsgbtraj" for key in segments]
        threads = f"--threads={threads_of(self.options.resources)}"
        calcinfo = call_of(self, [self.REQUEST_FILE, self.RESULTS_FOLDER, *names, threads])
        calcinfo.local_copy_list = [
            (node.uuid, node.FILENAME, name) for node, name in zip(segments.values(), names, strict=True)
        ]
        calcinfo.retrieve_temporary_list = [self.RESULTS_FOLDER]
        return calcinfo

    def _temperature_K(self) -> float | None:
        return next(iter(self.inputs.trajectories.values())).base.attributes.get("temperature_K", None)


def _observables_help() -> str:
    variants = ", ".join(f"`{name}`" for name, observable in registry().items() if observable.variants)
    names = ", ".join(f"`{name}`" for name in registry())
    return f"Observables: {names}; {variants} takes a dictionary of variants by name."


def _trajectories_error(value: Mapping[str, Any], _: Any) -> str | None:
    if not value:
        return "trajectories: there is none; give at least one segment, such as trajectories.segment_000"
    attributes = {key: node.base.attributes for key, node in sorted(value.items())}
    first, *others = attributes
    for name in ("composition", "temperature_K"):
        expected = attributes[first].get(name, None)
        for key in others:
            if (found := attributes[key].get(name, None)) != expected:
                return (
                    f"trajectories.{key}: its {name} is {found}, that of {first} is {expected}; segments are of one run"
                )
    return None


def observables_error(node: orm.Dict, port: Any) -> str | None:
    """What is wrong with the observables in a port, as far as it can be told without trajectories and regions."""
    message = parameters_error(node.get_dict())
    return message and message.replace("parameters", port.name if port else "parameters", 1)


def regions_error(node: orm.Dict, _: Any) -> str | None:
    """What is wrong with the definitions of regions in a port."""
    try:
        regions_of(node.get_dict())
    except ValueError as error:
        return str(error)
    return None


def inputs_error(inputs: Mapping[str, Any], _: Any) -> str | None:
    """Check what involves more than one port; a port may be missing where these inputs are exposed."""
    if not inputs.get("trajectories") or "parameters" not in inputs:
        return None
    if message := _trajectories_error(inputs["trajectories"], None):
        return message
    regions = inputs["regions"].get_dict() if "regions" in inputs else {}
    species = next(iter(inputs["trajectories"].values())).species
    return parameters_error(inputs["parameters"].get_dict(), regions, species)
