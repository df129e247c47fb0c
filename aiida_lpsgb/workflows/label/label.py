"""Label configurations with any engine, in batches: `lpsgb.label`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_lpsgb.calculations.functions.configurations import collect_labels, n_batches, split, split_compositions
from aiida_lpsgb.calculations.label import engine as engines
from aiida_lpsgb.calculations.validation import declare_count
from aiida_lpsgb.data.configurations import ConfigurationsData
from aiida_lpsgb.workflows.label.cost import cost_of
from aiida_lpsgb.workflows.outputs import how_it_ended
from aiida_lpsgb.workflows.protocols import ProtocolMixin, child_inputs, code_of
from aiida_lpsgb.workflows.queue import QueueMixin


class LabelWorkChain(ProtocolMixin, QueueMixin):
    """Label configurations in batches, try once more what failed, and keep what there is."""

    # Its keys are those of the engine, which checks them.
    WHOLE_ENTRIES = ("engine",)

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Configurations to label.")
        declare_count(
            spec,
            "batch_size",
            50,
            "Most configurations a job. It gets fewer where that lets `max_concurrent` jobs run at once. Engines that "
            "run a job for each configuration take no notice of it.",
        )
        cls.limit_queue(spec, "Jobs")
        declare_count(
            spec, "max_attempts", 2, "How often a configuration is tried, where its failure is one that may pass."
        )
        engines.expose_engines(spec, exclude=("configurations", "max_concurrent"))
        spec.inputs.validator = validate_inputs
        spec.outline(
            cls.setup,
            while_(cls.has_to_try)(
                cls.queue,
                while_(cls.queue_waits)(cls.run_queue),
                cls.inspect,
            ),
            cls.finish,
        )
        spec.output(
            "configurations",
            valid_type=ConfigurationsData,
            required=False,
            help="The configurations that were labelled, in their order; absent if there is none.",
        )
        spec.output(
            "unlabelled",
            valid_type=ConfigurationsData,
            required=False,
            help="The configurations that could not be labelled; absent if there is none.",
        )
        spec.output(
            "results",
            valid_type=orm.Dict,
            required=False,
            help="`n_configurations`, `n_labelled`, `level_of_theory` and what failed.",
        )
        spec.exit_code(401, "ERROR_NO_LABELS", message="No configuration could be labelled: {detail}")
        spec.exit_code(
            402,
            "ERROR_SOME_UNLABELLED",
            message="{n} of {total} configurations could not be labelled ({detail}); the others are in the output.",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        codes: Mapping[str, orm.AbstractCode],
        configurations: ConfigurationsData | None = None,
        *,
        engine: str | None = None,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        path: str = "",
    ) -> ProcessBuilder:
        """Return a builder with the inputs of a protocol.

        Parameters
        ----------
        codes
            By role: ``label`` (of ``lpsgb-label``, of VASP, …); see `load_codes`.
        configurations
            Configurations to label; left open if not given, for a work chain that fills them in.
        engine
            Name of the engine; the one that the code is for if not given.
        protocol, overrides, options, path
            As of `get_protocol_inputs`; the override ``engine`` takes entries of the engine, the role of ``options`` is
            ``label``.

        Returns
        -------
        ProcessBuilder
            Ready to be submitted.

        Raises
        ------
        ValueError
            If there is no such protocol or engine, or an override names an entry that it has not.
        """
        values = cls.get_protocol_inputs(protocol, overrides, options, path)
        code = code_of(codes, "label")
        name = engine or engines.name_of(code)
        inner = engines.load(name).get_builder_from_protocol(
            code, None, values["protocol"], values["engine"], values["options"]["label"]
        )
        builder = cls.get_builder()
        if configurations is not None:
            builder.configurations = configurations
        for key in ("batch_size", "max_concurrent", "max_attempts"):
            setattr(builder, key, orm.Int(values[key]))
        builder.engine[name] = child_inputs(inner)
        return cls.checked(builder)

    def setup(self) -> None:
        """Find out which engine to use, and begin with all configurations."""
        self.ctx.engine = engines.given(self.inputs.engine)
        self.ctx.attempt = 0
        self.ctx.to_label = self.inputs.configurations
        self.ctx.may_pass = True
        self.ctx.labelled = {}
        self.ctx.detail = "nothing was tried"
        self.ctx.collected = {}
        self.report(f"{cost_of(self.inputs)}")

    @property
    def engine(self) -> type[engines.LabelEngine]:
        """The process that labels."""
        return engines.load(self.ctx.engine)

    def has_to_try(self) -> bool:
        """Whether configurations are left that another attempt may label, and an attempt is left."""
        left = self.ctx.to_label is not None and self.ctx.may_pass
        return left and self.ctx.attempt < self.inputs.max_attempts.value

    def queue(self) -> None:
        """Queue a job for each batch of what is left."""
        self.ctx.attempt += 1
        shared = self.exposed_inputs(self.engine, namespace=f"engine.{self.ctx.engine}")
        if self._one_by_one:
            shared["max_concurrent"] = self.inputs.max_concurrent
        jobs = {}
        for label, batch in self._batches().items():
            jobs[f"attempt_{self.ctx.attempt}_{label}"] = {**shared, "configurations": batch}
        self.report(f"attempt {self.ctx.attempt}: {len(self.ctx.to_label)} configurations in {len(jobs)} jobs")
        self.fill_queue(self.engine, jobs)

    @property
    def _one_by_one(self) -> bool:
        """Whether the engine runs a job for each configuration, and so many of them at the same time by itself."""
        return "max_concurrent" in self.engine.spec().inputs

    def _batches(self) -> dict[str, ConfigurationsData]:
        counts = (self.inputs.batch_size, self.inputs.max_concurrent)
        if self.engine.ONE_COMPOSITION and len(self.ctx.to_label.formulae) > 1:
            return dict(split_compositions(self.ctx.to_label, *counts))
        if self._one_by_one or n_batches(len(self.ctx.to_label), *(node.value for node in counts)) == 1:
            return {"batch_000": self.ctx.to_label}
        return dict(split(self.ctx.to_label, *counts))

    def inspect(self) -> None:
        """Collect the labels that came, and find out what is left."""
        self.ctx.may_pass = False
        for label, job in self.ctx.children.items():
            if "configurations" in job.outputs:
                self.ctx.labelled[label] = job.outputs.configurations
            if not job.is_finished_ok:
                self.ctx.detail = how_it_ended(job)
                self.report(self.ctx.detail)
                self.ctx.may_pass |= may_pass(job)
        jobs = list(self.ctx.children.values())
        if self.ctx.attempt == 1 and len(jobs) == 1 and jobs[0].is_finished_ok:
            # One job did it all: its outputs serve as they are.
            self.ctx.collected = {"configurations": jobs[0].outputs.configurations, "results": jobs[0].outputs.results}
        else:
            self.ctx.collected = collect_labels(self.inputs.configurations, **self.ctx.labelled)
        self.ctx.to_label = self.ctx.collected.get("unlabelled")

    def finish(self) -> ExitCode | None:
        """Give what there is."""
        for name, node in self.ctx.collected.items():
            self.out(name, node)
        if self.ctx.to_label is None:
            return None
        if not self.ctx.labelled:
            return self.exit_codes.ERROR_NO_LABELS.format(detail=self.ctx.detail)
        return self.exit_codes.ERROR_SOME_UNLABELLED.format(
            n=len(self.ctx.to_label), total=len(self.inputs.configurations), detail=self.ctx.detail
        )


def may_pass(job: orm.ProcessNode) -> bool:
    """Whether what made a job fail may be gone another time."""
    known = [code for code in job.process_class.exit_codes.values() if code.status == job.exit_status]
    # One that excepted, was killed, or failed in a way that it does not know, says nothing about the configurations.
    return not known or any(code.invalidates_cache for code in known)


def validate_inputs(inputs: Mapping[str, Any], _: Any) -> str | None:
    """The configurations must be such as the engine can label."""
    # Where a work chain exposes these inputs, it fills in the configurations later.
    if "configurations" not in inputs or "engine" not in inputs:
        return None
    name = engines.given(inputs["engine"])
    return engines.load(name).validate({**inputs["engine"][name], "configurations": inputs["configurations"]})
