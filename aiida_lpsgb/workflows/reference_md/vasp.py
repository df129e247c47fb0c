"""Reference dynamics with VASP, at one temperature: `lpsgb.reference_md.vasp`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec
from aiida.plugins import WorkflowFactory

from aiida_lpsgb.calculations.functions.labels import PLACE, structures
from aiida_lpsgb.calculations.functions.reference import frames_of_vasp, start_of, vasp_parameters
from aiida_lpsgb.workflows.label.vasp import VaspLabelWorkChain
from aiida_lpsgb.workflows.protocols import child_inputs
from aiida_lpsgb.workflows.reference_md.run import ReferenceRunWorkChain

VaspWorkChain = WorkflowFactory("vasp.v2.vasp")
# aiida-vasp goes on with an unfinished run from its geometry, without velocities and with all steps again.
HANDLERS = {"handler_unfinished_calc_ionic": {"enabled": False}, "handler_ionic_conv": {"enabled": False}}
#: What is needed beside the settings of a single point. Without the energies of electronic steps aiida-vasp does not
#: tell how many of these there were; and a trajectory that is missing hides from it that a run was ended from outside.
SETTINGS = {"include_node": ["trajectory"], "electronic_step_energies": True, "check_completeness": False}


class VaspReferenceRunWorkChain(ReferenceRunWorkChain):
    """Run VASP in segments; each begins with positions and velocities of the CONTCAR of the one before."""

    CODE_PLUGIN = VaspLabelWorkChain.CODE_PLUGIN

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare the inputs of VASP."""
        super().define(spec)
        spec.input("level_of_theory", valid_type=orm.Str, help="Name the labels go by.")
        spec.input(
            "segment_steps",
            valid_type=orm.Int,
            default=lambda: orm.Int(1000),
            serializer=orm.to_aiida_type,
            help="Most steps of a job: as many as are surely done within its wall time, since what a job that is ended "
            "from outside has done is lost.",
        )
        # The builder fills in the settings that carry CONTCAR on and keep aiida-vasp from losing the velocities.
        spec.expose_inputs(
            VaspWorkChain,
            namespace="vasp",
            exclude=("structure", "restart_folder"),
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        protocol: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder for the level of theory of `lpsgb.label.vasp`, with its overrides."""
        label = VaspLabelWorkChain.get_builder_from_protocol(code, None, protocol, overrides, options)
        builder = cls.get_builder()
        builder.level_of_theory = label.level_of_theory
        builder.vasp = child_inputs(label)["vasp"]
        settings = label.vasp.settings.get_dict()
        settings["parser_settings"] |= SETTINGS
        # Copied into the folder of a job that goes on, if it is there.
        settings["ADDITIONAL_REMOTE_COPY_LIST"] = ["CONTCAR"]
        builder.vasp.settings = orm.Dict(settings)
        builder.vasp.handler_overrides = orm.Dict(HANDLERS)
        # The next segment needs CONTCAR.
        builder.vasp.clean_workdir = orm.Bool(False)
        return builder

    def setup(self) -> None:
        """Begin with the structure, atoms of a species together."""
        super().setup()
        self.ctx.structure = structures(start_of(self.inputs.structure))[PLACE.format(0)]
        self.ctx.progress = {}

    def segment(self) -> tuple[type, dict[str, Any]]:
        """Return VASP from the last positions and velocities."""
        inputs = self.exposed_inputs(VaspWorkChain, namespace="vasp")
        inputs.structure = self.ctx.structure
        inputs.parameters = vasp_parameters(
            inputs.parameters, self.inputs.plan, self.inputs.segment_steps, **self.ctx.progress
        )
        if "folder" in self.ctx:
            inputs.restart_folder = self.ctx.folder
            options = dict(inputs.calc.metadata.options)
            options["prepend_text"] = "\n".join(
                [options.get("prepend_text", ""), "cp CONTCAR POSCAR || exit 1"]
            ).strip()
            inputs.calc = {"metadata": {**inputs.calc.metadata, "options": options}}
        return VaspWorkChain, inputs

    def inspect_segment(self) -> ExitCode | None:
        """Keep the frames of a segment that came to its end."""
        child = self.ctx.segment
        missing = [name for name in ("trajectory", "misc", "remote_folder") if name not in child.outputs]
        if not child.is_finished_ok or missing:
            return self.fail(f"it left no {' and no '.join(missing)}" if child.is_finished_ok else None)
        found = frames_of_vasp(
            self.inputs.level_of_theory,
            self.inputs.plan,
            child.outputs.trajectory,
            child.outputs.misc,
            **self.ctx.progress,
        )
        self.ctx.progress = {"progress": found["progress"]}
        self.ctx.folder = child.outputs.remote_folder
        self.keep(found["progress"]["n_steps_done"], found.get("configurations"))
        return None
